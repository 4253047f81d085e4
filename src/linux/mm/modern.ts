/** The memory manager of v6.18 as a preset names it. */
import { do_user_addr_fault } from '../arch/x86/mm/fault.ts';
import { modern_exec } from '../fs/exec_stack.ts';
import { do_madvise } from './madvise.ts';
import { migrateAt } from './migrate_at.ts';
import { sys_mlock, sys_mlock2, sys_mlockall, sys_munlock, sys_munlockall } from './mlock.ts';
import { dup_mmap, exit_mmap, sys_brk, sys_mmap } from './mmap.ts';
import { do_mprotect_pkey } from './mprotect.ts';
import { mremap } from './mremap.ts';
import type { mm_ops } from './ops.ts';
import { __alloc_pages_slowpath } from './page_alloc_slow.ts';
import { sys_munmap } from './vma_munmap.ts';
import { reclaimAt, referencedAt } from './vmscan.ts';

export const modern_mm: mm_ops = {
  name: 'modern',
  reuse: 'anon_exclusive',
  mmap: sys_mmap,
  munmap: sys_munmap,
  mprotect: do_mprotect_pkey,
  mremap,
  brk: sys_brk,
  madvise: do_madvise,
  exec: modern_exec,
  mlock: {
    mlock: sys_mlock,
    mlock2: sys_mlock2,
    munlock: sys_munlock,
    mlockall: sys_mlockall,
    munlockall: sys_munlockall,
  },
  do_user_addr_fault,
  dup_mmap,
  exit_mmap,
  alloc_pages_slowpath: __alloc_pages_slowpath,
  reclaimAt,
  referencedAt,
  migrateAt,
  missing: {},
};
