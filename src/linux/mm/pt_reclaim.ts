/**
 * mm/pt_reclaim.c v6.18: a page table that MADV_DONTNEED has emptied as a whole goes.
 *
 * Readers of the table may hold no lock at all, only RCU: it is reused after a grace period. Linux hands it to the
 * mmu_gather first, which does the same; there is no TLB to wait for here.
 * Lock tree: PMD lock, ptl; the fast way comes from the ptl and only tries. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { spin_lock, spin_trylock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { call_rcu } from '../kernel/rcu.ts';
import type { mm_struct } from '../mm_types.ts';
import type { zap_details } from './memory_zap.ts';
import { PAGE_SIZE, PMD_SIZE } from './mm.ts';
import {
  clear_table_entry,
  PTRS_PER_PTE,
  pmd_lock,
  pte_none,
  pte_offset_map,
  type pte_ptr,
  ptep_get,
  ptlock_ptr,
} from './pgtable.ts';
import { tlb_remove_table_rcu } from './pgtable_rcu.ts';
import type { ptdesc } from './pgtable_types.ts';

/** mm/pt_reclaim.c: reclaim_pt_is_enabled() v6.18. */
export function reclaim_pt_is_enabled(
  start: number,
  end: number,
  details: zap_details | null,
): boolean {
  return details?.reclaim_pt === true && end - start >= PMD_SIZE;
}

/**
 * mm/pt_reclaim.c: try_get_and_clear_pmd() v6.18: the table, out of its entry, or null if the PMD lock is taken.
 * Preconditions: the ptl of the table, which is empty. Atomic.
 */
export function try_get_and_clear_pmd(pmd: pte_ptr): ptdesc | null {
  const pml = ptlock_ptr(pmd);
  if (!spin_trylock(pml)) {
    return null;
  }
  const table = clear_table_entry(pmd);
  spin_unlock(pml);
  return table;
}

/** mm/pt_reclaim.c: free_pte() v6.18. */
export function free_pte(mm: mm_struct, table: ptdesc): void {
  call_rcu(table, tlb_remove_table_rcu);
  mm.pgtables_bytes = mm.pgtables_bytes - PAGE_SIZE;
}

function isEmpty(table: pte_ptr): boolean {
  for (let i = 0; i < PTRS_PER_PTE; i++) {
    if (!pte_none(ptep_get(table + i))) {
      return false;
    }
  }
  return true;
}

/**
 * mm/pt_reclaim.c: try_to_free_pte() v6.18: the ptl was released on the way: a fault may have filled an entry.
 * Preconditions: mmap_lock or the VMA lock.
 */
export function* try_to_free_pte(mm: mm_struct, pmd: pte_ptr): K {
  const pml = yield* pmd_lock(pmd);
  const start_pte = pte_offset_map(pmd, 0);
  if (start_pte === 0) {
    spin_unlock(pml);
    return;
  }
  const ptl = ptlock_ptr(start_pte);
  yield* spin_lock(ptl);
  if (!isEmpty(start_pte)) {
    spin_unlock(ptl);
    spin_unlock(pml);
    return;
  }
  const table = clear_table_entry(pmd);
  spin_unlock(ptl);
  spin_unlock(pml);
  free_pte(mm, table);
}
