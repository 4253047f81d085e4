/**
 * mm/madvise.c v6.18: the page-table walks of advice about single pages: MADV_FREE, MADV_COLD,
 * MADV_PAGEOUT and MADV_WILLNEED.
 *
 * Lock tree: ptl, per table -> folio lock, by trylock only. The caller holds mmap_lock or the lock of the VMA
 * for read. Fidelity: dup; there is no TLB to flush, and no rescheduling inside a table.
 */
import type { K } from '../../sim/wait.ts';
import { current } from '../kernel/current.ts';
import type { folio, mm_struct, vm_area_struct } from '../mm_types.ts';
import { folio_lock, folio_trylock, folio_unlock } from './folio_lock.ts';
import { split_folio } from './folio_split.ts';
import { madvise_cold_huge_pmd, madvise_free_huge_pmd } from './huge_pmd_advice.ts';
import { folio_mapcount, folio_maybe_mapped_shared, folio_nr_pages } from './large_folio.ts';
import { vm_normal_page } from './memory.ts';
import { PAGE_SIZE } from './mm.ts';
import { add_mm_counter, MM_SWAPENTS } from './mm_counter.ts';
import { folio_get, page_folio } from './page_alloc.ts';
import {
  folio_clear,
  folio_test_active,
  folio_test_dirty,
  folio_test_large,
  folio_test_lru,
  folio_test_swapcache,
  folio_test_unevictable,
  PG_dirty,
  PG_referenced,
} from './page-flags.ts';
import {
  is_poisoned_swp_entry,
  mm_find_pmd,
  pmd_addr_end,
  pmd_none,
  pmd_present,
  pmd_trans_huge,
  pmdp_get,
  pte_clear,
  pte_dirty,
  pte_is_swap_entry,
  pte_mkclean,
  pte_mkold,
  pte_none,
  pte_offset_map_lock,
  pte_present,
  type pte_ptr,
  pte_to_swp_entry,
  pte_unmap_unlock,
  pte_young,
  ptep_get,
  ptep_get_and_clear,
  ptep_test_and_clear_young,
  set_pte_at,
} from './pgtable.ts';
import { folio_pte_batch } from './pte_batch.ts';
import {
  folio_deactivate,
  folio_isolate_lru,
  folio_mark_lazyfree,
  folio_put,
  folio_putback_lru,
  folio_set_workingset,
} from './swap.ts';
import { free_swap_and_cache, swapinPage } from './swap_state.ts';
import { folio_free_swap } from './swapfile.ts';
import { reclaim_pages } from './vmscan.ts';

/** include/linux/pgtable.h: clear_young_dirty_ptes() v6.18 of one entry, both bits. Preconditions: ptl. */
function clear_young_dirty_pte(mm: mm_struct, addr: number, ptep: pte_ptr): void {
  const pte = ptep_get_and_clear(mm, addr, ptep);
  set_pte_at(mm, addr, ptep, pte_mkclean(pte_mkold(pte)));
}

/**
 * What madvise_free_pte_range() and madvise_cold_or_pageout_pte_range() do with a large folio that is not mapped as a
 * whole in the range: split it. The ptl is dropped meanwhile. Preconditions: ptl, dropped and taken again; 0: the
 * table is gone and nothing is locked.
 */
function* splitPart(
  mm: mm_struct,
  folio: folio,
  pmd: pte_ptr,
  addr: number,
  first: pte_ptr,
): K<{ readonly ptep: pte_ptr; readonly err: number }> {
  folio_get(folio);
  pte_unmap_unlock(first);
  const err = yield* split_folio(folio);
  folio_unlock(folio);
  folio_put(folio);
  return { ptep: yield* pte_offset_map_lock(mm, pmd, addr), err };
}

/**
 * mm/madvise.c: madvise_free_pte_range() v6.18: entries become clean and old, their folios lazily freed; a
 * swap entry is cleared at once, because reading it in again costs more than a new page. A store before
 * reclaim comes makes its entry dirty, which is how reclaim knows that the page is wanted again.
 */
function* madvise_free_pte_range(vma: vm_area_struct, pmd: pte_ptr, start: number, end: number): K {
  const mm = vma.vm_mm as mm_struct;
  let ptep = yield* pte_offset_map_lock(mm, pmd, start);
  if (ptep === 0) {
    return;
  }
  let first = ptep;
  let nr_swap = 0;
  let nr = 1;
  for (let addr = start; addr < end; addr += PAGE_SIZE * nr, ptep += nr) {
    nr = 1;
    const ptent = ptep_get(ptep);
    if (pte_none(ptent)) {
      continue;
    }
    if (!pte_present(ptent)) {
      if (pte_is_swap_entry(ptent)) {
        nr_swap -= 1;
        free_swap_and_cache(pte_to_swp_entry(ptent));
        pte_clear(mm, addr, ptep);
      } else if (is_poisoned_swp_entry(ptent)) {
        pte_clear(mm, addr, ptep);
      }
      continue;
    }
    const page = vm_normal_page(vma, addr, ptent);
    if (page === null) {
      continue;
    }
    const folio = page_folio(page);
    if (folio_test_large(folio)) {
      nr = folio_pte_batch(folio, ptep, (end - addr) / PAGE_SIZE);
      if (nr < folio_nr_pages(folio)) {
        if (folio_maybe_mapped_shared(folio) || !folio_trylock(folio)) {
          continue;
        }
        const split = yield* splitPart(mm, folio, pmd, addr, first);
        ptep = split.ptep;
        first = ptep;
        if (first === 0) {
          break;
        }
        if (split.err === 0) {
          // Each page is a folio now: look at this entry again.
          nr = 0;
        }
        continue;
      }
    }
    if (folio_test_swapcache(folio) || folio_test_dirty(folio)) {
      if (!folio_trylock(folio)) {
        continue;
      }
      // Its contents are in the folio, not only in this entry: others who map it want to keep them.
      if (folio_mapcount(folio) !== folio_nr_pages(folio)) {
        folio_unlock(folio);
        continue;
      }
      if (folio_test_swapcache(folio) && !folio_free_swap(folio)) {
        folio_unlock(folio);
        continue;
      }
      folio_clear(folio, PG_dirty);
      folio_unlock(folio);
    }
    for (let i = 0; i < nr; i++) {
      const each = ptep_get(ptep + i);
      if (pte_young(each) || pte_dirty(each)) {
        clear_young_dirty_pte(mm, addr + i * PAGE_SIZE, ptep + i);
      }
    }
    folio_mark_lazyfree(folio);
  }
  if (nr_swap !== 0) {
    add_mm_counter(mm, MM_SWAPENTS, nr_swap);
  }
  if (first !== 0) {
    pte_unmap_unlock(first);
  }
}

/**
 * mm/madvise.c: madvise_cold_or_pageout_pte_range() v6.18: folios that this entry alone maps are deactivated
 * or, for MADV_PAGEOUT, isolated here and reclaimed once the ptl is released. The caller may write the files
 * it maps, so that page-cache folios are never spared (can_do_file_pageout()).
 */
function* madvise_cold_or_pageout_pte_range(
  vma: vm_area_struct,
  pmd: pte_ptr,
  start: number,
  end: number,
  pageout: boolean,
): K {
  const mm = vma.vm_mm as mm_struct;
  const folio_list: folio[] = [];
  let ptep = yield* pte_offset_map_lock(mm, pmd, start);
  if (ptep === 0) {
    return;
  }
  let first = ptep;
  let nr = 1;
  for (let addr = start; addr < end; addr += PAGE_SIZE * nr, ptep += nr) {
    nr = 1;
    const ptent = ptep_get(ptep);
    if (!pte_present(ptent)) {
      continue;
    }
    const page = vm_normal_page(vma, addr, ptent);
    if (page === null) {
      continue;
    }
    const folio = page_folio(page);
    if (folio_test_large(folio)) {
      nr = folio_pte_batch(folio, ptep, (end - addr) / PAGE_SIZE);
      if (nr < folio_nr_pages(folio)) {
        if (folio_maybe_mapped_shared(folio) || !folio_trylock(folio)) {
          continue;
        }
        const split = yield* splitPart(mm, folio, pmd, addr, first);
        ptep = split.ptep;
        first = ptep;
        if (first === 0) {
          break;
        }
        if (split.err === 0) {
          // Each page is a folio now: look at this entry again.
          nr = 0;
        }
        continue;
      }
    }
    // Others who map it may be using it.
    if (!folio_test_lru(folio) || folio_mapcount(folio) !== folio_nr_pages(folio)) {
      continue;
    }
    if (!pageout) {
      for (let i = 0; i < nr; i++) {
        ptep_test_and_clear_young(vma, addr + i * PAGE_SIZE, ptep + i);
      }
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
        folio_list.push(folio);
      }
    }
  }
  if (first !== 0) {
    pte_unmap_unlock(first);
  }
  if (pageout) {
    yield* reclaim_pages(folio_list);
  }
}

/**
 * mm/madvise.c: swapin_walk_pmd_entry() v6.18: reads what is swapped out into the swap cache; the entries
 * stay. The ptl is dropped for each read.
 */
function* swapin_walk_pmd_entry(vma: vm_area_struct, pmd: pte_ptr, start: number, end: number): K {
  const mm = vma.vm_mm as mm_struct;
  let ptep = 0;
  for (let addr = start; addr < end; addr += PAGE_SIZE) {
    if (ptep === 0) {
      ptep = yield* pte_offset_map_lock(mm, pmd, addr);
      if (ptep === 0) {
        break;
      }
    } else {
      ptep += 1;
    }
    const pte = ptep_get(ptep);
    if (!pte_is_swap_entry(pte)) {
      continue;
    }
    pte_unmap_unlock(ptep);
    ptep = 0;
    const folio = yield* swapinPage(pte_to_swp_entry(pte));
    if (folio !== null) {
      folio_put(folio);
    }
  }
  if (ptep !== 0) {
    pte_unmap_unlock(ptep);
  }
}

/**
 * mm/madvise.c: madvise_cold_or_pageout_pte_range() v6.18, its part for a huge PMD. False: the folio was split, go on with
 * the entries of the table.
 */
function* adviseHugePmd(
  vma: vm_area_struct,
  pmd: pte_ptr,
  addr: number,
  next: number,
  pageout: boolean,
): K<boolean> {
  const end = yield* madvise_cold_huge_pmd(vma, pmd, addr, next, pageout);
  if (end.part !== null) {
    const folio = end.part;
    yield* folio_lock(folio);
    const err = yield* split_folio(folio);
    folio_unlock(folio);
    folio_put(folio);
    return err !== 0;
  }
  if (pageout) {
    yield* reclaim_pages(end.isolated);
  }
  return true;
}

/** What a walk does with each PTE table. */
type Advice = 'free' | 'cold' | 'pageout' | 'willneed';

/**
 * walk_page_range_vma() with the pmd_entry callback of the advice. Preconditions: mmap_lock or the VMA lock held
 * for read.
 */
export function* advisePageRange(
  vma: vm_area_struct,
  start: number,
  end: number,
  advice: Advice,
): K {
  const mm = vma.vm_mm as mm_struct;
  let addr = start;
  while (addr < end) {
    const next = pmd_addr_end(addr, end);
    const pmd = mm_find_pmd(mm, addr);
    const huge = pmd !== 0 && pmd_trans_huge(pmdp_get(pmd));
    const reclaims = advice === 'cold' || advice === 'pageout';
    if (reclaims && pmd !== 0 && !pmd_none(pmdp_get(pmd)) && current().sigkill === 1) {
      // madvise_cold_or_pageout_pte_range(): fatal_signal_pending() ends the walk.
      return;
    }
    let done = false;
    if (huge && advice === 'free') {
      done = yield* madvise_free_huge_pmd(vma, pmd, addr, next, split_folio);
    } else if (huge && reclaims) {
      done = yield* adviseHugePmd(vma, pmd, addr, next, advice === 'pageout');
    }
    const table = pmd !== 0 && !pmd_trans_huge(pmdp_get(pmd)) && pmd_present(pmdp_get(pmd));
    if (!done && table) {
      if (advice === 'free') {
        yield* madvise_free_pte_range(vma, pmd, addr, next);
      } else if (advice === 'willneed') {
        yield* swapin_walk_pmd_entry(vma, pmd, addr, next);
      } else {
        yield* madvise_cold_or_pageout_pte_range(vma, pmd, addr, next, advice === 'pageout');
      }
    }
    addr = next;
  }
}
