/**
 * The memory manager of v5.19 and v6.1 as a preset names it: the VMAs of the classic one, and where pages are
 * concerned the steps of v6.18 for single pages, which knows PageAnonExclusive as these kernels do (5.18, 5.19).
 */
import { get_arg_page } from '../../fs/exec_stack.ts';
import { copy_page_range } from '../memory.ts';
import { migrateAt } from '../migrate_at.ts';
import type { mm_ops } from '../ops.ts';
import { reclaimAt, referencedAt } from '../vmscan.ts';
import { classic_mm, unbuilt } from './engine.ts';
import { classic_exec } from './exec.ts';
import { do_user_addr_fault } from './fault_retry.ts';
import { missing_3_19 } from './later.ts';
import { sys_mremap } from './mremap_dontunmap.ts';

/** Calls that there are by 5.19, and what the page side of v6.18 brings. */
const { clone3: _clone3, compact: _compact, ...missing } = missing_3_19;

/** Pages are reclaimed as in v6.18. */
const {
  page_reclaim: _listed,
  mlock: _marked,
  try_to_unuse: _slots,
  device_pins: _references,
  ...vma_side
} = classic_mm;

export const exclusive_mm: mm_ops = {
  ...vma_side,
  name: 'classic, with exclusive pages',
  reuse: 'anon_exclusive',
  exec: { ...classic_exec, get_arg_page },
  mremap: sys_mremap,
  do_user_addr_fault,
  copy_page_range,
  reclaimAt,
  referencedAt,
  migrateAt,
  missing: {
    ...missing,
    mlock: unbuilt,
    mlockall: unbuilt,
    munlock: unbuilt,
    munlockall: unbuilt,
    mlock2: unbuilt,
    pkey_mprotect: unbuilt,
    pkey_alloc: unbuilt,
    pkey_free: unbuilt,
    process_madvise: unbuilt,
  },
};
