/**
 * mm/huge_memory.c, mm/madvise.c v6.18: MADV_FREE, MADV_COLD and MADV_PAGEOUT of a huge PMD.
 *
 * Lock tree: PMD lock -> folio lock, by trylock only. Fidelity: dup for anonymous memory.
 */

import type { K } from '../../sim/wait.ts';
import { spin_unlock } from '../kernel/locking/spinlock.ts';
import { VM_WARN_ON_FOLIO } from '../lib/bug.ts';
import type { folio, mm_struct, vm_area_struct } from '../mm_types.ts';
import { folio_trylock, folio_unlock } from './folio_lock.ts';
import { zap_deposited_table } from './huge_memory.ts';
import {
  folio_mapcount,
  folio_maybe_mapped_shared,
  folio_test_pmd_mappable,
} from './large_folio.ts';
import { PMD_SIZE, VM_DROPPABLE } from './mm.ts';
import { add_mm_counter, MM_ANONPAGES } from './mm_counter.ts';
import { folio_get, folio_ref_count, page_folio } from './page_alloc.ts';
import {
  folio_clear,
  folio_set,
  folio_test_active,
  folio_test_dirty,
  folio_test_locked,
  folio_test_swapbacked,
  folio_test_unevictable,
  PG_dirty,
  PG_referenced,
  PG_swapbacked,
} from './page-flags.ts';
import {
  HPAGE_PMD_NR,
  pmd_present,
  pmdp_get,
  pte_dirty,
  pte_mkclean,
  pte_mkold,
  pte_page,
  type pte_ptr,
  type pte_t,
  pte_young,
} from './pgtable.ts';
import {
  is_huge_zero_pmd,
  pmd_trans_huge_lock,
  pmdp_huge_get_and_clear,
  pmdp_invalidate,
  set_huge_pmd,
} from './pgtable_huge.ts';
import { folio_remove_rmap_pmd } from './rmap.ts';
import {
  folio_deactivate,
  folio_isolate_lru,
  folio_mark_lazyfree,
  folio_put,
  folio_putback_lru,
  folio_set_workingset,
} from './swap.ts';

/** What advice of a huge entry is about: not the huge zero page, nor a folio that is being migrated. */
function folioOfHugePmd(pmd: pte_t): folio | null {
  const mapped = !is_huge_zero_pmd(pmd) && pmd_present(pmd);
  return mapped ? page_folio(pte_page(pmd)) : null;
}

/**
 * mm/huge_memory.c: madvise_free_huge_pmd() v6.18 of a whole huge PMD; false: go on with the PTEs, if there are any. For
 * a part of it the folio is split first by `split`, which is called with a reference and the folio lock held.
 */
export function* madvise_free_huge_pmd(
  vma: vm_area_struct,
  pmd: pte_ptr,
  addr: number,
  next: number,
  split: (folio: folio) => K<number>,
): K<boolean> {
  const mm = vma.vm_mm as mm_struct;
  const ptl = yield* pmd_trans_huge_lock(pmd);
  if (ptl === null) {
    return false;
  }
  const orig_pmd = pmdp_get(pmd);
  const folio = folioOfHugePmd(orig_pmd);
  if (folio === null || folio_maybe_mapped_shared(folio) || !folio_trylock(folio)) {
    spin_unlock(ptl);
    return false;
  }
  if (next - addr !== PMD_SIZE) {
    folio_get(folio);
    spin_unlock(ptl);
    yield* split(folio);
    folio_unlock(folio);
    folio_put(folio);
    return false;
  }
  folio_clear(folio, PG_dirty);
  folio_unlock(folio);
  if (pte_young(orig_pmd) || pte_dirty(orig_pmd)) {
    pmdp_invalidate(vma, addr, pmd);
    set_huge_pmd(mm, addr, pmd, pte_mkclean(pte_mkold(orig_pmd)));
  }
  folio_mark_lazyfree(folio);
  spin_unlock(ptl);
  return true;
}

/**
 * mm/huge_memory.c: unmap_huge_pmd_locked() and __discard_anon_folio_pmd_locked() v6.18: reclaim drops a huge page after
 * MADV_FREE, unless somebody has used it since. False: it stays mapped. Preconditions: PMD lock, folio locked, isolated
 * with a reference.
 */
export function unmap_huge_pmd_locked(
  vma: vm_area_struct,
  addr: number,
  pmd: pte_ptr,
  folio: folio,
): boolean {
  const mm = vma.vm_mm as mm_struct;
  VM_WARN_ON_FOLIO(!folio_test_pmd_mappable(folio), folio, '!folio_test_pmd_mappable(folio)');
  VM_WARN_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  VM_WARN_ON_FOLIO(folio_test_swapbacked(folio), folio, 'folio_test_swapbacked(folio)');
  if (pte_dirty(pmdp_get(pmd))) {
    folio_set(folio, PG_dirty);
  }
  if (folio_test_dirty(folio) && (vma.vm_flags & VM_DROPPABLE) === 0) {
    folio_set(folio, PG_swapbacked);
    return false;
  }
  const orig_pmd = pmdp_huge_get_and_clear(mm, addr, pmd);
  // A reference beside the isolation's and the mappings': somebody may be using it.
  if (folio_ref_count(folio) !== folio_mapcount(folio) + 1) {
    set_huge_pmd(mm, addr, pmd, orig_pmd);
    return false;
  }
  folio_remove_rmap_pmd(folio, pte_page(orig_pmd), vma);
  zap_deposited_table(mm, pmd);
  add_mm_counter(mm, MM_ANONPAGES, -HPAGE_PMD_NR);
  folio_put(folio);
  return true;
}

/** What MADV_COLD or MADV_PAGEOUT of a huge PMD came to. */
export interface huge_advice {
  /** Only a part of it is meant: the folio, with a reference, to be split. */
  readonly part: folio | null;
  /** Folios for reclaim_pages(). */
  readonly isolated: folio[];
}

/** mm/madvise.c: madvise_cold_or_pageout_pte_range() v6.18, as far as it holds the PMD lock. */
export function* madvise_cold_huge_pmd(
  vma: vm_area_struct,
  pmd: pte_ptr,
  addr: number,
  next: number,
  pageout: boolean,
): K<huge_advice> {
  const isolated: folio[] = [];
  const ptl = yield* pmd_trans_huge_lock(pmd);
  if (ptl === null) {
    return { part: null, isolated };
  }
  const orig_pmd = pmdp_get(pmd);
  const folio = folioOfHugePmd(orig_pmd);
  if (folio === null || folio_maybe_mapped_shared(folio)) {
    spin_unlock(ptl);
    return { part: null, isolated };
  }
  if (next - addr !== PMD_SIZE) {
    folio_get(folio);
    spin_unlock(ptl);
    return { part: folio, isolated };
  }
  if (!pageout && pte_young(orig_pmd)) {
    pmdp_invalidate(vma, addr, pmd);
    set_huge_pmd(vma.vm_mm as mm_struct, addr, pmd, pte_mkold(orig_pmd));
  }
  folio_clear(folio, PG_referenced);
  if (folio_test_active(folio)) {
    folio_set_workingset(folio);
  }
  if (!pageout) {
    folio_deactivate(folio);
  } else if (folio_isolate_lru(folio)) {
    if (folio_test_unevictable(folio)) {
      folio_putback_lru(folio);
    } else {
      isolated.push(folio);
    }
  }
  spin_unlock(ptl);
  return { part: null, isolated };
}
