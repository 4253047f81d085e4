/** The memory manager of 2.6.33 to 6.1 as presets name it. */
import type { mm_ops } from '../ops.ts';
import { __alloc_pages_slowpath } from '../page_alloc_slow.ts';
import { classic_exec } from './exec.ts';
import { do_page_fault } from './fault.ts';
import { classic_device_pins } from './gup.ts';
import { sys_madvise } from './madvise.ts';
import { migrateAt } from './migrate.ts';
import { classic_mlock } from './mlock.ts';
import { dup_mmap, exit_mmap, sys_brk, sys_mmap, sys_munmap } from './mmap.ts';
import { sys_mprotect } from './mprotect.ts';
import { sys_mremap } from './mremap.ts';
import { try_to_unuse } from './swapoff.ts';
import { classic_page_reclaim, reclaimAt, referencedAt } from './vmscan.ts';

const later = (version: string): string => `it came with ${version}`;
export const unbuilt = 'the simulator does not have it for this kernel yet';
const noKsm = 'the kernels before 6.18 are built without CONFIG_KSM here';

export const classic_mm: mm_ops = {
  name: 'classic',
  reuse: 'swap_count',
  mmap: sys_mmap,
  munmap: sys_munmap,
  mprotect: sys_mprotect,
  mremap: sys_mremap,
  brk: sys_brk,
  madvise: sys_madvise,
  exec: classic_exec,
  mlock: classic_mlock,
  do_user_addr_fault: do_page_fault,
  dup_mmap,
  exit_mmap,
  alloc_pages_slowpath: __alloc_pages_slowpath,
  page_reclaim: classic_page_reclaim,
  device_pins: classic_device_pins,
  try_to_unuse,
  reclaimAt,
  referencedAt,
  migrateAt,
  missing: {
    clone3: later('5.3'),
    memfd_create: later('3.17'),
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
    compact: unbuilt,
    prctl: later('6.4, as far as memory goes'),
    ksm_scan: noKsm,
    ksm_set: noKsm,
  },
};

/** That of 2.6.33 to 2.6.36, with less in it. */
export const classic_mm_2_6: mm_ops = {
  ...classic_mm,
  missing: { ...classic_mm.missing, punch: later('2.6.38') },
};
