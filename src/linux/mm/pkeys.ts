/**
 * mm/mprotect.c and arch/x86/include/asm/pkeys.h v6.18: protection keys, on a processor that has none
 * (X86_FEATURE_OSPKE is off): there is one key, which nobody may name. Lock tree: mmap_lock (write).
 * Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { EINVAL, ENOSPC } from '../errno.ts';
import { current_mm } from '../kernel/current.ts';
import type { mm_struct } from '../mm_types.ts';
import { mmap_write_lock, mmap_write_unlock } from './mmap_lock.ts';

/** arch_max_pkey() without OSPKE. */
const MAX_PKEY = 1;
/** mm->context.execute_only_pkey, which without OSPKE nobody sets to -1. */
const EXECUTE_ONLY_PKEY = 0;
const PKEY_ACCESS_MASK = 3;

/** arch/x86/include/asm/pkeys.h: mm_pkey_is_allocated() v6.18. */
export function mm_pkey_is_allocated(mm: mm_struct, pkey: number): boolean {
  if (pkey < 0 || pkey >= MAX_PKEY || pkey === EXECUTE_ONLY_PKEY) {
    return false;
  }
  return (mm.pkey_allocation_map & (1 << pkey)) !== 0;
}

/** arch/x86/include/asm/pkeys.h: mm_pkey_alloc() v6.18. The key, or -1. */
function mm_pkey_alloc(mm: mm_struct): number {
  if (mm.pkey_allocation_map === (1 << MAX_PKEY) - 1) {
    return -1;
  }
  mm.pkey_allocation_map = mm.pkey_allocation_map | 1;
  return 0;
}

/** arch/x86/include/asm/pkeys.h: mm_pkey_free() v6.18. */
function mm_pkey_free(mm: mm_struct, pkey: number): number {
  if (!mm_pkey_is_allocated(mm, pkey)) {
    return -EINVAL;
  }
  mm.pkey_allocation_map = mm.pkey_allocation_map & ~(1 << pkey);
  return 0;
}

/**
 * mm/mprotect.c: pkey_alloc(2) v6.18. The first call of an address space takes the one key, which is not given
 * back: arch_set_user_pkey_access() refuses it, and the key of execute-only mappings cannot be freed.
 */
export function* sys_pkey_alloc(flags: number, init_val: number): K<number> {
  if (flags !== 0) {
    return -EINVAL;
  }
  if (init_val < 0 || init_val > PKEY_ACCESS_MASK) {
    return -EINVAL;
  }
  const mm = current_mm();
  yield* mmap_write_lock(mm);
  const pkey = mm_pkey_alloc(mm);
  let ret = -ENOSPC;
  if (pkey !== -1) {
    ret = -EINVAL;
    mm_pkey_free(mm, pkey);
  }
  mmap_write_unlock(mm);
  return ret;
}

/** mm/mprotect.c: pkey_free(2) v6.18. */
export function* sys_pkey_free(pkey: number): K<number> {
  const mm = current_mm();
  yield* mmap_write_lock(mm);
  const ret = mm_pkey_free(mm, pkey);
  mmap_write_unlock(mm);
  return ret;
}
