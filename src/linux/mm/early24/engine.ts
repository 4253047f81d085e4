/** The memory manager of 2.4.0 and of the tree that the anon layer was written in, as presets name it. */
import type { K } from '../../../sim/wait.ts';
import { ENOSYS } from '../../errno.ts';
import type { mm_ops } from '../ops.ts';
import { areaReclaimAt, areaReferencedAt } from './area_walk.ts';
import { dup_mmap, exit_mmap } from './dup_mmap.ts';
import { early24_exec } from './exec.ts';
import { do_page_fault } from './fault.ts';
import { sys_madvise } from './madvise.ts';
import { early24_mlock } from './mlock.ts';
import { listMm, sys_brk, sys_mmap, sys_munmap } from './mmap.ts';
import { sys_mprotect } from './mprotect.ts';
import { sys_mremap } from './mremap.ts';
import { sys_msync } from './msync.ts';
import { sys_swapoff } from './swapoff.ts';
import {
  allocPagesFromAreas,
  allocPagesSlow,
  kswapdAreasOnce,
  kswapdOnce,
} from './try_to_free_pages.ts';
import { reclaimAt, referencedAt } from './vmscan.ts';
import { vmtruncateMappings } from './zap.ts';

const later = (version: string): string => `it came with ${version}`;
const unbuilt = 'the simulator does not have it for this kernel yet';

/** migrate() is refused before it gets here. */
function* noMigration(): K<number> {
  return -ENOSYS;
}

const missing: Readonly<Record<string, string>> = {
  clone3: later('5.3'),
  execveat: later('3.19'),
  fallocate: later('2.6.23'),
  punch: later('2.6.16, as madvise(MADV_REMOVE)'),
  memfd_create: later('3.17'),
  mlock2: later('4.4'),
  mseal: later('6.10'),
  pkey_mprotect: later('4.9'),
  pkey_alloc: later('4.9'),
  pkey_free: later('4.9'),
  process_madvise: later('5.10'),
  remap_file_pages: unbuilt,
  openat: later('2.6.16'),
  collapse: later('2.6.38, as transparent huge pages'),
  khugepaged_scan: later('2.6.38, as transparent huge pages'),
  split: later('2.6.38, as transparent huge pages'),
  ksm_scan: later('2.6.32'),
  ksm_set: later('2.6.32'),
  migrate: 'page migration came with 2.6.16: no walk could find the entries to change',
  compact: later('2.6.35'),
  mkclean: 'page_mkclean() came with 2.6.19: no walk could find the entries to clean',
  prctl: later('2.6.38 as far as memory goes'),
  device_load: unbuilt,
  device_store: unbuilt,
  pin: unbuilt,
  unpin: unbuilt,
};

export const early24_mm: mm_ops = {
  name: 'early24',
  reuse: 'swap_count',
  mmap: sys_mmap,
  munmap: sys_munmap,
  mprotect: sys_mprotect,
  mremap: sys_mremap,
  brk: sys_brk,
  madvise: sys_madvise,
  exec: early24_exec,
  mlock: early24_mlock,
  msync: sys_msync,
  vmtruncate: vmtruncateMappings,
  do_user_addr_fault: do_page_fault,
  mm_alloc: listMm,
  dup_mmap,
  exit_mmap,
  alloc_pages_slowpath: allocPagesSlow,
  kswapd: kswapdOnce,
  swapoff: sys_swapoff,
  reclaimAt,
  referencedAt,
  migrateAt: noMigration,
  missing,
};

/** The tree of the anon layer: the same with reclaim madvise(2) was not there yet. */
export const anon_layer_mm: mm_ops = {
  ...early24_mm,
  name: 'anon layer',
  alloc_pages_slowpath: allocPagesFromAreas,
  kswapd: kswapdAreasOnce,
  missing: { ...missing, swapoff: unbuilt },
  reclaimAt: areaReclaimAt,
  referencedAt: areaReferencedAt,
};
