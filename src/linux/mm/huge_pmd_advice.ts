/**
 * mm/huge_memory.c, mm/madvise.c v6.18: MADV_FREE, MADV_COLD and MADV_PAGEOUT of a huge PMD.
 *
 * Lock tree: PMD lock -> folio lock, by trylock only. Fidelity: dup for anonymous memory.
 */
import type { K } from '../../sim/wait.ts';
import { spin_unlock } from '../kernel/locking/spinlock.ts';
import type { folio, mm_struct, vm_area_struct } from '../mm_types.ts';
import { folio_trylock, folio_unlock } from './folio_lock.ts';
import { folio_maybe_mapped_shared } from './large_folio.ts';
import { PMD_SIZE } from './mm.ts';
import { folio_get, page_folio } from './page_alloc.ts';
import {
  folio_clear,
  folio_test_active,
  folio_test_unevictable,
  PG_dirty,
  PG_referenced,
} from './page-flags.ts';
import {
  pmdp_get,
  pte_dirty,
  pte_mkclean,
  pte_mkold,
  pte_page,
  type pte_ptr,
  pte_young,
} from './pgtable.ts';
import {
  is_huge_zero_pmd,
  pmd_trans_huge_lock,
  pmdp_invalidate,
  set_huge_pmd,
} from './pgtable_huge.ts';
import {
  folio_deactivate,
  folio_isolate_lru,
  folio_mark_lazyfree,
  folio_put,
  folio_putback_lru,
  folio_set_workingset,
} from './swap.ts';

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
  const folio = is_huge_zero_pmd(orig_pmd) ? null : page_folio(pte_page(orig_pmd));
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
  const folio = is_huge_zero_pmd(orig_pmd) ? null : page_folio(pte_page(orig_pmd));
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
