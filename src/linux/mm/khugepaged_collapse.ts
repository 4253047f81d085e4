/**
 * mm/khugepaged.c v6.18: collapsing the 512 small pages of one table into a huge one. Who asks for it is in
 * mm/khugepaged.ts.
 *
 * Lock tree: mmap_lock (write) -> vma_start_write() -> root->rwsem (write) -> PMD lock, PTE lock -> folio locks (trylock
 * only). World: one NUMA node, no memory cgroups, no userfaultfd, no machine checks: a copy cannot fail. Fidelity: dup
 * for anonymous memory.
 */

import type { spinlock_t } from '../../sim/struct.ts';
import type { K } from '../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { BUG_ON, VM_BUG_ON } from '../lib/bug.ts';
import type { anon_vma, folio, mm_struct, vm_area_struct } from '../mm_types.ts';
import { mem_map } from '../mm_types.ts';
import { deferred_split_folio } from './deferred_split.ts';
import { trace_thp_collapse } from './events.ts';
import { folio_trylock, folio_unlock } from './folio_lock.ts';
import { folio_alloc_huge } from './huge_zero.ts';
import {
  collapse_allowed,
  type collapse_control,
  hpage_collapse_test_exit,
} from './khugepaged_mm.ts';
import { ksm_might_unmap_zero_page } from './ksm_globals.ts';
import { folio_maybe_mapped_shared } from './large_folio.ts';
import { do_swap_page } from './memory_fault.ts';
import { folio_expected_ref_count } from './migrate.ts';
import { linear_page_index, PAGE_SIZE, PMD_SIZE, vma_is_anonymous } from './mm.ts';
import { add_mm_counter, MM_ANONPAGES } from './mm_counter.ts';
import {
  mmap_read_lock,
  mmap_read_unlock,
  mmap_write_lock,
  mmap_write_unlock,
  vma_start_write,
} from './mmap_lock.ts';
import { folio_ref_count, is_zero_pfn, page_folio } from './page_alloc.ts';
import { folio_set, folio_test_large, folio_test_referenced, PG_uptodate } from './page-flags.ts';
import {
  clear_table_entry,
  HPAGE_PMD_NR,
  is_swap_pte,
  mm_find_pmd,
  PTRS_PER_PTE,
  pmd_lock,
  pmd_none,
  pmd_present,
  pmd_trans_huge,
  pmdp_get,
  pte_clear,
  pte_mkdirty,
  pte_none,
  pte_page,
  pte_pfn,
  pte_present,
  type pte_ptr,
  pte_special,
  type pte_t,
  pte_unmap,
  pte_young,
  pteOffsetMapRcu,
  ptep_get,
  ptlock_ptr,
} from './pgtable.ts';
import {
  folio_mk_pmd,
  is_pmd_migration_entry,
  pgtable_trans_huge_deposit,
  pmd_populate,
  set_huge_pmd,
  thp_vma_suitable_order,
} from './pgtable_huge.ts';
import type { ptdesc } from './pgtable_types.ts';
import { folio_pte_batch } from './pte_batch.ts';
import { anon_vma_lock_write, anon_vma_unlock_write } from './rmap/anon_vma_life.ts';
import { folio_add_new_anon_rmap, folio_remove_rmap_ptes, RMAP_EXCLUSIVE } from './rmap.ts';
import { maybe_mkwrite } from './set_pte_range.ts';
import {
  folio_add_lru_vma,
  folio_isolate_lru,
  folio_put,
  folio_put_refs,
  folio_putback_lru,
  lru_add_drain,
} from './swap.ts';
import { free_swap_cache } from './swap_state.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  VM_FAULT_ERROR,
  VM_FAULT_RETRY,
  type vm_fault,
} from './vm_fault.ts';
import { find_vma } from './vma_tree.ts';

/** enum scan_result, the results that a collapse of anonymous memory can have. */
export type scan_result =
  | 'FAIL'
  | 'SUCCEED'
  | 'PMD_NULL'
  | 'PMD_NONE'
  | 'PMD_MAPPED'
  | 'PTE_NON_PRESENT'
  | 'PAGE_COUNT'
  | 'PAGE_NULL'
  | 'PAGE_LOCK'
  | 'PAGE_LRU'
  | 'PAGE_ANON'
  | 'EXCEED_NONE_PTE'
  | 'EXCEED_SWAP_PTE'
  | 'EXCEED_SHARED_PTE'
  | 'LACK_REFERENCED_PAGE'
  | 'ANY_PROCESS'
  | 'VMA_NULL'
  | 'VMA_CHECK'
  | 'ADDRESS_RANGE'
  | 'DEL_PAGE_LRU'
  | 'ALLOC_HUGE_PAGE_FAIL';

/** khugepaged_max_ptes_none, _swap, _shared, as they are after boot: they bind khugepaged alone. */
export const khugepaged_max_ptes_none = HPAGE_PMD_NR - 1;
export const khugepaged_max_ptes_swap = HPAGE_PMD_NR / 8;
export const khugepaged_max_ptes_shared = HPAGE_PMD_NR / 2;

/** The entry names no page of its own: nothing, or the zero page. */
export const none_or_zero = (pte: pte_t): boolean =>
  pte_none(pte) || (pte_present(pte) && is_zero_pfn(pte_pfn(pte)));

/** mm/khugepaged.c: hugepage_vma_revalidate() v6.18: mmap_lock was dropped meanwhile. Preconditions: mmap_lock. */
export function hugepage_vma_revalidate(
  mm: mm_struct,
  address: number,
  expect_anon: boolean,
  cc: collapse_control,
): { result: scan_result; vma: vm_area_struct | null } {
  if (hpage_collapse_test_exit(mm)) {
    return { result: 'ANY_PROCESS', vma: null };
  }
  const vma = find_vma(mm, address);
  if (vma === null) {
    return { result: 'VMA_NULL', vma };
  }
  if (!thp_vma_suitable_order(vma, address)) {
    return { result: 'ADDRESS_RANGE', vma };
  }
  if (!collapse_allowed(vma, vma.vm_flags, cc)) {
    return { result: 'VMA_CHECK', vma };
  }
  if (expect_anon && (vma.anon_vma === null || !vma_is_anonymous(vma))) {
    return { result: 'PAGE_ANON', vma };
  }
  return { result: 'SUCCEED', vma };
}

/** mm/khugepaged.c: check_pmd_state() v6.18. */
function check_pmd_state(pmd: pte_ptr): scan_result {
  const pmde = pmdp_get(pmd);
  if (pmd_none(pmde)) {
    return 'PMD_NONE';
  }
  // Success or failure, a huge mapping comes back.
  if (is_pmd_migration_entry(pmde)) {
    return 'PMD_MAPPED';
  }
  if (!pmd_present(pmde)) {
    return 'PMD_NULL';
  }
  return pmd_trans_huge(pmde) ? 'PMD_MAPPED' : 'SUCCEED';
}

/** mm/khugepaged.c: find_pmd_or_thp_or_none() v6.18; the entry is mm_find_pmd() of the address. */
export function find_pmd_or_thp_or_none(mm: mm_struct, address: number): scan_result {
  const pmd = mm_find_pmd(mm, address);
  return pmd === 0 ? 'PMD_NULL' : check_pmd_state(pmd);
}

/** mm/khugepaged.c: check_pmd_still_valid() v6.18. */
function check_pmd_still_valid(mm: mm_struct, address: number, pmd: pte_ptr): scan_result {
  const result = find_pmd_or_thp_or_none(mm, address);
  if (result !== 'SUCCEED') {
    return result;
  }
  return mm_find_pmd(mm, address) === pmd ? 'SUCCEED' : 'FAIL';
}

// ---- isolating the small pages

/** mm/khugepaged.c: release_pte_folio() v6.18. */
function release_pte_folio(folio: folio): void {
  folio_unlock(folio);
  folio_putback_lru(folio);
}

/** mm/khugepaged.c: release_pte_pages() v6.18: entries [0, nr) were dealt with. */
function release_pte_pages(pte: pte_ptr, nr: number, compound_pagelist: readonly folio[]): void {
  for (let i = nr - 1; i >= 0; i--) {
    const pteval = ptep_get(pte + i);
    if (!none_or_zero(pteval)) {
      const folio = page_folio(pte_page(pteval));
      if (!folio_test_large(folio)) {
        release_pte_folio(folio);
      }
    }
  }
  for (const folio of compound_pagelist) {
    release_pte_folio(folio);
  }
}

/** One folio of __collapse_huge_page_isolate(): locked, off its list, with a reference. */
function isolateForCollapse(folio: folio): scan_result {
  if (!folio_trylock(folio)) {
    return 'PAGE_LOCK';
  }
  // Whoever pins a page must not lose it. No new pin can come: nobody finds the table.
  if (folio_expected_ref_count(folio) !== folio_ref_count(folio)) {
    folio_unlock(folio);
    return 'PAGE_COUNT';
  }
  if (!folio_isolate_lru(folio)) {
    folio_unlock(folio);
    return 'DEL_PAGE_LRU';
  }
  return 'SUCCEED';
}

/** A page that was used since reclaim last looked. */
export const is_referenced = (pteval: pte_t, folio: folio): boolean =>
  pte_young(pteval) || folio_test_referenced(folio);

/**
 * mm/khugepaged.c: __collapse_huge_page_isolate() v6.18: all pages of the table, or none. One atomic step: the table
 * is locked and in no page table. Preconditions: PTE lock, root->rwsem held for write.
 */
function __collapse_huge_page_isolate(
  pte: pte_ptr,
  cc: collapse_control,
  compound_pagelist: folio[],
): scan_result {
  const { is_khugepaged } = cc;
  let nr_none = 0;
  let shared = 0;
  let referenced = 0;
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const pteval = ptep_get(pte + i);
    let result: scan_result = 'SUCCEED';
    if (none_or_zero(pteval)) {
      nr_none++;
      if (!is_khugepaged || nr_none <= khugepaged_max_ptes_none) {
        continue;
      }
      result = 'EXCEED_NONE_PTE';
    } else if (!pte_present(pteval)) {
      result = 'PTE_NON_PRESENT';
    } else if (pte_special(pteval)) {
      result = 'PAGE_NULL';
    } else {
      const folio = page_folio(pte_page(pteval));
      const large = folio_test_large(folio);
      shared += folio_maybe_mapped_shared(folio) ? 1 : 0;
      if (is_khugepaged && shared > khugepaged_max_ptes_shared) {
        result = 'EXCEED_SHARED_PTE';
      } else if (!large || !compound_pagelist.includes(folio)) {
        result = isolateForCollapse(folio);
        if (result === 'SUCCEED' && large) {
          compound_pagelist.push(folio);
        }
      }
      referenced += is_referenced(pteval, folio) ? 1 : 0;
    }
    if (result !== 'SUCCEED') {
      release_pte_pages(pte, i, compound_pagelist);
      return result;
    }
  }
  if (is_khugepaged && referenced === 0) {
    release_pte_pages(pte, HPAGE_PMD_NR, compound_pagelist);
    return 'LACK_REFERENCED_PAGE';
  }
  return 'SUCCEED';
}

// ---- copying them

/** mm/khugepaged.c: __collapse_huge_page_copy_succeeded() v6.18: the small pages go. */
function* __collapse_huge_page_copy_succeeded(
  pte: pte_ptr,
  vma: vm_area_struct,
  address: number,
  compound_pagelist: readonly folio[],
): K {
  const mm = vma.vm_mm as mm_struct;
  const ptl = ptlock_ptr(pte);
  for (let i = 0; i < HPAGE_PMD_NR; ) {
    const pteval = ptep_get(pte + i);
    if (pte_none(pteval)) {
      add_mm_counter(mm, MM_ANONPAGES, 1);
      i += 1;
      continue;
    }
    if (is_zero_pfn(pte_pfn(pteval))) {
      add_mm_counter(mm, MM_ANONPAGES, 1);
      yield* spin_lock(ptl);
      pte_clear(mm, address + i * PAGE_SIZE, pte + i);
      spin_unlock(ptl);
      ksm_might_unmap_zero_page(mm, pteval);
      i += 1;
      continue;
    }
    const src_page = pte_page(pteval);
    const src = page_folio(src_page);
    let nr_ptes = 1;
    if (folio_test_large(src)) {
      nr_ptes = folio_pte_batch(src, pte + i, HPAGE_PMD_NR - i);
    } else {
      release_pte_folio(src);
    }
    yield* spin_lock(ptl);
    clear_ptes(mm, address + i * PAGE_SIZE, pte + i, nr_ptes);
    folio_remove_rmap_ptes(src, src_page, nr_ptes, vma);
    spin_unlock(ptl);
    free_swap_cache(src);
    folio_put_refs(src, nr_ptes);
    i += nr_ptes;
  }
  for (const src of compound_pagelist) {
    folio_unlock(src);
    free_swap_cache(src);
    folio_putback_lru(src);
  }
}

/** clear_ptes() v6.18. Preconditions: PTE lock. */
function clear_ptes(mm: mm_struct, address: number, pte: pte_ptr, nr: number): void {
  for (let i = 0; i < nr; i++) {
    pte_clear(mm, address + i * PAGE_SIZE, pte + i);
  }
}

/** The loop of __collapse_huge_page_copy(): nobody can see the new folio yet, or write to the old pages. */
function copySmallPages(pte: pte_ptr, folio: folio): void {
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const pteval = ptep_get(pte + i);
    if (!none_or_zero(pteval)) {
      mem_map.at(folio.pfn + i).content = pte_page(pteval).content;
    }
  }
}

/** mm/khugepaged.c: __collapse_huge_page_copy() v6.18. The folio is zeroed. */
function* __collapse_huge_page_copy(
  pte: pte_ptr,
  folio: folio,
  vma: vm_area_struct,
  address: number,
  compound_pagelist: readonly folio[],
): K {
  copySmallPages(pte, folio);
  yield* __collapse_huge_page_copy_succeeded(pte, vma, address, compound_pagelist);
}

// ---- the collapse

/** What do_swap_page() came to, for __collapse_huge_page_swapin(). */
function swapinResult(mm: mm_struct, ret: number): scan_result {
  if ((ret & VM_FAULT_RETRY) !== 0) {
    // do_swap_page() dropped mmap_lock.
    return 'PAGE_LOCK';
  }
  if ((ret & VM_FAULT_ERROR) !== 0) {
    mmap_read_unlock(mm);
    return 'FAIL';
  }
  return 'SUCCEED';
}

/**
 * mm/khugepaged.c: __collapse_huge_page_swapin() v6.18: brings in what is swapped out. After a failure mmap_lock is
 * not held any more. Preconditions: mmap_lock held for read.
 */
function* __collapse_huge_page_swapin(
  mm: mm_struct,
  vma: vm_area_struct,
  start_addr: number,
  pmd: pte_ptr,
): K<scan_result> {
  let swapped_in = 0;
  for (let addr = start_addr; addr < start_addr + PMD_SIZE; addr += PAGE_SIZE) {
    const pte = pteOffsetMapRcu(pmd, addr);
    if (pte === 0) {
      mmap_read_unlock(mm);
      return 'PMD_NULL';
    }
    const orig_pte = ptep_get(pte);
    if (!is_swap_pte(orig_pte)) {
      pte_unmap();
      continue;
    }
    const vmf: vm_fault = {
      vma,
      address: addr,
      pgoff: linear_page_index(vma, addr),
      flags: FAULT_FLAG_ALLOW_RETRY,
      pmd,
      pte,
      orig_pte,
      cow_page: null,
      page: null,
    };
    const result = swapinResult(mm, yield* do_swap_page(vmf));
    if (result !== 'SUCCEED') {
      return result;
    }
    swapped_in++;
  }
  if (swapped_in > 0) {
    // The batch of new pages has a reference to each.
    lru_add_drain();
  }
  return 'SUCCEED';
}

/** The part of collapse_huge_page() after the copy: the huge entry. Preconditions: mmap_lock held for write. */
function* installCollapsed(
  folio: folio,
  vma: vm_area_struct,
  address: number,
  pmd: pte_ptr,
  pmd_ptl: spinlock_t,
  pgtable: ptdesc,
): K {
  folio_set(folio, PG_uptodate);
  const entry = maybe_mkwrite(pte_mkdirty(folio_mk_pmd(folio, vma.vm_page_prot)), vma);
  yield* spin_lock(pmd_ptl);
  BUG_ON(!pmd_none(pmdp_get(pmd)), '!pmd_none(*pmd)');
  folio_add_new_anon_rmap(folio, vma, address, RMAP_EXCLUSIVE);
  folio_add_lru_vma(folio, vma);
  pgtable_trans_huge_deposit(pmd, pgtable);
  set_huge_pmd(vma.vm_mm as mm_struct, address, pmd, entry);
  deferred_split_folio(folio, false);
  spin_unlock(pmd_ptl);
}

/** The part of collapse_huge_page() under mmap_lock held for write. 'SUCCEED': the folio is mapped. */
function* collapseLocked(
  mm: mm_struct,
  address: number,
  pmd: pte_ptr,
  folio: folio,
  cc: collapse_control,
): K<scan_result> {
  const valid = hugepage_vma_revalidate(mm, address, true, cc);
  if (valid.result !== 'SUCCEED') {
    return valid.result;
  }
  const vma = valid.vma as vm_area_struct;
  yield* vma_start_write(vma);
  const state = check_pmd_still_valid(mm, address, pmd);
  if (state !== 'SUCCEED') {
    return state;
  }
  const anon_vma = vma.anon_vma as anon_vma;
  const compound_pagelist: folio[] = [];
  yield* anon_vma_lock_write(anon_vma);
  const pmd_ptl = yield* pmd_lock(pmd);
  // From here on neither a fault nor a walk finds the small pages.
  const pgtable = clear_table_entry(pmd);
  spin_unlock(pmd_ptl);
  const pte = pgtable.table * PTRS_PER_PTE;
  const pte_ptl = ptlock_ptr(pte);
  yield* spin_lock(pte_ptl);
  const result = __collapse_huge_page_isolate(pte, cc, compound_pagelist);
  spin_unlock(pte_ptl);
  if (result !== 'SUCCEED') {
    yield* spin_lock(pmd_ptl);
    BUG_ON(!pmd_none(pmdp_get(pmd)), '!pmd_none(*pmd)');
    pmd_populate(pmd, pgtable);
    spin_unlock(pmd_ptl);
    anon_vma_unlock_write(anon_vma);
    return result;
  }
  // Every page is locked: that keeps rmap walks away from now on.
  anon_vma_unlock_write(anon_vma);
  yield* __collapse_huge_page_copy(pte, folio, vma, address, compound_pagelist);
  yield* installCollapsed(folio, vma, address, pmd, pmd_ptl, pgtable);
  return 'SUCCEED';
}

/**
 * mm/khugepaged.c: collapse_huge_page() v6.18. mmap_lock is not held afterwards. The lock is dropped for the allocation,
 * which may take long, so that everything is checked again. Preconditions: mmap_lock held for read.
 */
export function* collapse_huge_page(
  mm: mm_struct,
  address: number,
  unmapped: number,
  cc: collapse_control,
): K<scan_result> {
  VM_BUG_ON(address % PMD_SIZE !== 0, 'address & ~HPAGE_PMD_MASK');
  mmap_read_unlock(mm);
  const folio = yield* folio_alloc_huge();
  if (folio === null) {
    return 'ALLOC_HUGE_PAGE_FAIL';
  }
  const result = yield* collapseInto(mm, address, unmapped, folio, cc);
  if (result !== 'SUCCEED') {
    folio_put(folio);
  }
  trace_thp_collapse({ mm, address, page: folio, result });
  return result;
}

/** collapse_huge_page() after the allocation. */
function* collapseInto(
  mm: mm_struct,
  address: number,
  unmapped: number,
  folio: folio,
  cc: collapse_control,
): K<scan_result> {
  yield* mmap_read_lock(mm);
  const valid = hugepage_vma_revalidate(mm, address, true, cc);
  const state = valid.result === 'SUCCEED' ? find_pmd_or_thp_or_none(mm, address) : valid.result;
  if (state !== 'SUCCEED') {
    mmap_read_unlock(mm);
    return state;
  }
  const pmd = mm_find_pmd(mm, address);
  if (unmapped > 0) {
    const vma = valid.vma as vm_area_struct;
    const swapin = yield* __collapse_huge_page_swapin(mm, vma, address, pmd);
    if (swapin !== 'SUCCEED') {
      return swapin;
    }
  }
  mmap_read_unlock(mm);
  yield* mmap_write_lock(mm);
  const result = yield* collapseLocked(mm, address, pmd, folio, cc);
  mmap_write_unlock(mm);
  return result;
}
