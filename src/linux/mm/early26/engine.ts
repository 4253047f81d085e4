/** The memory manager of 2.6.0 to 2.6.7 as a preset names it. */
import type { K } from '../../../sim/wait.ts';
import { ENOSYS } from '../../errno.ts';
import type { folio } from '../../mm_types.ts';
import type { mm_ops } from '../ops.ts';
import { early26_exec } from './exec.ts';
import { do_page_fault } from './fault.ts';
import { hooks } from './hooks.ts';
import { sys_madvise } from './madvise.ts';
import { early26_mlock } from './mlock.ts';
import { dup_mmap, exit_mmap, sys_brk, sys_mmap, sys_munmap } from './mmap.ts';
import { sys_mprotect } from './mprotect.ts';
import { sys_mremap } from './mremap.ts';
import { sys_msync } from './msync.ts';
import { invalidate_mmap_range } from './truncate.ts';
import { reclaimAt, referencedAt } from './vmscan.ts';

const later = (version: string): string => `it came with ${version}`;
const unbuilt = 'the simulator does not have it for this kernel yet';

/** Allocations do not reclaim here: what finds no free page fails. */
function* noReclaim(): K<folio | null> {
  return null;
}

/** No migration before 2.6.16: `missing` says so before a scenario gets here. */
function* noMigration(): K<number> {
  return -ENOSYS;
}

/** Operations that the kernels before 2.6.9 do not have. */
export const missing_early26: Readonly<Record<string, string>> = {
  clone3: later('5.3'),
  compact: later('2.6.35'),
  memfd_create: later('3.17'),
  migrate: later('2.6.16'),
  mkclean: later('2.6.19'),
  mlock2: later('4.4'),
  mseal: later('6.10'),
  pkey_mprotect: later('4.9'),
  pkey_alloc: later('4.9'),
  pkey_free: later('4.9'),
  process_madvise: later('5.10'),
  remap_file_pages: unbuilt,
  collapse: later('2.6.38, as transparent huge pages'),
  khugepaged_scan: later('2.6.38, as transparent huge pages'),
  split: later('2.6.38, as transparent huge pages'),
  execveat: later('3.19'),
  fallocate: later('2.6.23'),
  punch: later('2.6.16, as MADV_REMOVE'),
  prctl: later('2.6.38 as far as memory goes'),
  ksm_scan: later('2.6.32'),
  ksm_set: later('2.6.32'),
  openat: later('2.6.16'),
  kswapd: unbuilt,
  swapoff: unbuilt,
  device_load: unbuilt,
  device_store: unbuilt,
  pin: unbuilt,
  unpin: unbuilt,
};

export const early26_mm: mm_ops = {
  name: 'early 2.6',
  reuse: 'swap_count',
  mmap: sys_mmap,
  munmap: sys_munmap,
  mprotect: sys_mprotect,
  mremap: sys_mremap,
  brk: sys_brk,
  madvise: sys_madvise,
  exec: early26_exec,
  mlock: early26_mlock,
  msync: sys_msync,
  invalidate_mmap_range,
  do_user_addr_fault: do_page_fault,
  mm_alloc: (mm) => hooks().rmap_exec_mm(mm),
  dup_mmap,
  exit_mmap,
  alloc_pages_slowpath: noReclaim,
  reclaimAt,
  referencedAt,
  migrateAt: noMigration,
  missing: missing_early26,
};
