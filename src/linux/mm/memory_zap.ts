/**
 * mm/memory.c v6.18: clearing ranges of page tables: munmap, exit, MADV_DONTNEED, truncation.
 *
 * Lock tree: mmap_lock, VMA lock or i_mmap_rwsem, then the PMD lock or the ptl. Fidelity: dup for one entry at a time;
 * hugetlb, device memory are left out, nothing reschedules.
 */

import type { K } from '../../sim/wait.ts';
import { BUG_ON, WARN_ON_ONCE } from '../lib/bug.ts';
import type { folio, mm_struct, page, vm_area_struct } from '../mm_types.ts';
import { zap_huge_pmd } from './huge_memory.ts';
import { ksm_might_unmap_zero_page } from './ksm_globals.ts';
import {
  add_mm_rss_vec,
  count_rss,
  none_run,
  type rss_vec,
  vm_normal_page,
  vma_has_recency,
} from './memory.ts';
import { PAGE_SIZE, PMD_SIZE, vma_is_anonymous } from './mm.ts';
import { MM_ANONPAGES, MM_SWAPENTS, mm_counter } from './mm_counter.ts';
import {
  __tlb_remove_folio_pages,
  tlb_delay_rmap,
  tlb_finish_mmu,
  tlb_flush_mmu,
  tlb_flush_rmaps,
  tlb_gather_mmu,
} from './mmu_gather.ts';
import { page_folio } from './page_alloc.ts';
import { folio_test_anon } from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import {
  is_guard_swp_entry,
  is_migration_entry,
  is_poisoned_swp_entry,
  is_pte_marker,
  migration_page,
  pgd_addr_end,
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_addr_end,
  pmd_is_huge,
  pmd_none,
  pmd_offset,
  pmdp_get,
  pte_clear,
  pte_dirty,
  pte_is_swap_entry,
  pte_offset_map_lock,
  pte_present,
  type pte_ptr,
  type pte_t,
  pte_to_swp_entry,
  pte_unmap_unlock,
  pte_young,
  ptep_get,
  ptep_get_and_clear,
  pud_addr_end,
  pud_none,
  pud_offset,
  pudp_get,
} from './pgtable.ts';
import type { mmu_gather, ptdesc } from './pgtable_types.ts';
import {
  free_pte,
  reclaim_pt_is_enabled,
  try_get_and_clear_pmd,
  try_to_free_pte,
} from './pt_reclaim.ts';
import { folio_remove_rmap_pte } from './rmap.ts';
import { __split_huge_pmd } from './split_huge_pmd.ts';
import { folio_mark_accessed } from './swap.ts';
import { free_swap_and_cache } from './swap_state.ts';

/** struct zap_details. */
export interface zap_details {
  /** Zap private (copied) pages too. */
  readonly even_cows: boolean;
  /** ZAP_FLAG_DROP_MARKER: remove guard markers as well. */
  readonly drop_markers: boolean;
  /** A table that becomes empty as a whole is freed, too. */
  readonly reclaim_pt?: boolean;
  /** Only this folio, or null. */
  readonly single_folio?: folio;
}

function should_zap_cows(details: zap_details | null): boolean {
  return details === null || details.reclaim_pt === true || details.even_cows;
}

function should_zap_folio(details: zap_details | null, folio: folio): boolean {
  return should_zap_cows(details) || !folio_test_anon(folio);
}

/** What zap_pte_range() must do after an entry. */
interface zap_state {
  force_flush: boolean;
  force_break: boolean;
}

/** mm/memory.c: zap_present_folio_ptes() v6.18, one entry. Preconditions: ptl. */
function* zap_present_folio_ptes(
  tlb: mmu_gather,
  vma: vm_area_struct,
  folio: folio,
  page: page,
  pte: pte_ptr,
  addr: number,
  rss: rss_vec,
  state: zap_state,
): K {
  const mm = tlb.mm as mm_struct;
  let delay_rmap = false;
  const ptent = ptep_get_and_clear(mm, addr, pte);
  if (folio_test_anon(folio)) {
    count_rss(rss, MM_ANONPAGES, -1);
  } else {
    if (pte_dirty(ptent)) {
      folio_mark_dirty(folio);
      // Another CPU may still write through its TLB: folio_mkclean() must find the mapping until the flush.
      delay_rmap = tlb_delay_rmap(tlb);
      state.force_flush = true;
    }
    if (pte_young(ptent) && vma_has_recency(vma)) {
      folio_mark_accessed(folio);
    }
    count_rss(rss, mm_counter(folio), -1);
  }
  if (!delay_rmap) {
    folio_remove_rmap_pte(folio, page, vma);
  }
  if (__tlb_remove_folio_pages(tlb, page, delay_rmap)) {
    state.force_flush = true;
    state.force_break = true;
  }
}

/** mm/memory.c: zap_present_ptes() v6.18, one entry. True (any_skipped): it stays. */
function* zap_present_ptes(
  tlb: mmu_gather,
  vma: vm_area_struct,
  pte: pte_ptr,
  ptent: pte_t,
  addr: number,
  details: zap_details | null,
  rss: rss_vec,
  state: zap_state,
): K<boolean> {
  const page = vm_normal_page(vma, addr, ptent);
  if (page === null) {
    ptep_get_and_clear(tlb.mm as mm_struct, addr, pte);
    ksm_might_unmap_zero_page(tlb.mm as mm_struct, ptent);
    return false;
  }
  const folio = page_folio(page);
  if (!should_zap_folio(details, folio)) {
    return true;
  }
  yield* zap_present_folio_ptes(tlb, vma, folio, page, pte, addr, rss, state);
  return false;
}

/** mm/memory.c: zap_nonpresent_ptes() v6.18, one entry. True (any_skipped): it stays. Atomic. */
function zap_nonpresent_ptes(
  vma: vm_area_struct,
  pte: pte_ptr,
  ptent: pte_t,
  addr: number,
  details: zap_details | null,
  rss: rss_vec,
): boolean {
  if (pte_is_swap_entry(ptent)) {
    if (!should_zap_cows(details)) {
      return true;
    }
    count_rss(rss, MM_SWAPENTS, -1);
    free_swap_and_cache(pte_to_swp_entry(ptent));
  } else if (is_migration_entry(ptent)) {
    const folio = page_folio(migration_page(ptent));
    if (!should_zap_folio(details, folio)) {
      return true;
    }
    count_rss(rss, mm_counter(folio), -1);
  } else if (is_guard_swp_entry(ptent)) {
    // MADV_DONTNEED leaves guard regions alone; munmap and exit do not.
    if (details === null || !details.drop_markers) {
      return true;
    }
  } else if (is_poisoned_swp_entry(ptent)) {
    if (!should_zap_cows(details)) {
      return true;
    }
  } else if (is_pte_marker(ptent)) {
    if (!vma_is_anonymous(vma) && (details === null || !details.drop_markers)) {
      return true;
    }
  } else {
    WARN_ON_ONCE(true, 'unrecognized swap entry');
  }
  pte_clear(vma.vm_mm as mm_struct, addr, pte);
  return false;
}

/**
 * mm/memory.c: zap_pte_range() v6.18: clears [addr, end) of one table. MADV_DONTNEED of a whole table frees it: at once
 * if the PMD lock can be had under the ptl, else after another look whether it is still empty.
 */
function* zap_pte_range(
  tlb: mmu_gather,
  vma: vm_area_struct,
  pmd: pte_ptr,
  start: number,
  end: number,
  details: zap_details | null,
): K {
  const mm = tlb.mm as mm_struct;
  let can_reclaim_pt = reclaim_pt_is_enabled(start, end, details);
  let direct_reclaim = can_reclaim_pt;
  let cleared: ptdesc | null = null;
  let addr = start;
  while (addr !== end) {
    const rss: rss_vec = [0, 0, 0, 0];
    const state: zap_state = { force_flush: false, force_break: false };
    const start_pte = yield* pte_offset_map_lock(mm, pmd, addr);
    if (start_pte === 0) {
      return;
    }
    let pte = start_pte;
    do {
      const nr = none_run(pte, (end - addr) / PAGE_SIZE);
      addr = addr + nr * PAGE_SIZE;
      pte = pte + nr;
      if (addr === end) {
        break;
      }
      const ptent = ptep_get(pte);
      const any_skipped: boolean = pte_present(ptent)
        ? yield* zap_present_ptes(tlb, vma, pte, ptent, addr, details, rss, state)
        : zap_nonpresent_ptes(vma, pte, ptent, addr, details, rss);
      if (any_skipped) {
        can_reclaim_pt = false;
      }
      addr = addr + PAGE_SIZE;
      pte = pte + 1;
    } while (addr !== end && !state.force_break);
    if (state.force_break) {
      direct_reclaim = false;
    }
    if (can_reclaim_pt && direct_reclaim && addr === end) {
      cleared = try_get_and_clear_pmd(pmd);
    }
    add_mm_rss_vec(mm, rss);
    if (state.force_flush) {
      tlb_flush_rmaps(tlb, vma);
    }
    pte_unmap_unlock(start_pte);
    if (state.force_flush) {
      yield* tlb_flush_mmu(tlb);
    }
  }
  if (can_reclaim_pt) {
    if (cleared !== null) {
      free_pte(mm, cleared);
    } else {
      yield* try_to_free_pte(mm, pmd);
    }
  }
}

/** mm/memory.c: zap_pmd_range() to unmap_page_range() v6.18. */
export function* unmap_page_range(
  tlb: mmu_gather,
  vma: vm_area_struct,
  from: number,
  end: number,
  details: zap_details | null,
): K {
  BUG_ON(from >= end, 'addr >= end');
  const mm = vma.vm_mm as mm_struct;
  let addr = from;
  while (addr < end) {
    const pgd = pgd_offset(mm, addr);
    if (pgd_none(pgdp_get(pgd))) {
      addr = pgd_addr_end(addr, end);
      continue;
    }
    const pud = pud_offset(pgd, addr);
    if (pud_none(pudp_get(pud))) {
      addr = pud_addr_end(addr, end);
      continue;
    }
    const pmd = pmd_offset(pud, addr);
    const next = pmd_addr_end(addr, end);
    if (pmd_is_huge(pmdp_get(pmd))) {
      if (next - addr !== PMD_SIZE) {
        yield* __split_huge_pmd(vma, pmd, addr, false);
      } else if (yield* zap_huge_pmd(tlb, vma, pmd, addr)) {
        addr = next;
        continue;
      }
    }
    if (!pmd_none(pmdp_get(pmd))) {
      yield* zap_pte_range(tlb, vma, pmd, addr, next, details);
    }
    addr = next;
  }
}

/** mm/memory.c: unmap_single_vma() v6.18. */
function* unmap_single_vma(
  tlb: mmu_gather,
  vma: vm_area_struct,
  start_addr: number,
  end_addr: number,
  details: zap_details | null,
): K {
  const start = Math.max(vma.vm_start, start_addr);
  if (start >= vma.vm_end) {
    return;
  }
  const end = Math.min(vma.vm_end, end_addr);
  if (end <= vma.vm_start) {
    return;
  }
  if (start !== end) {
    yield* unmap_page_range(tlb, vma, start, end, details);
  }
}

/**
 * mm/memory.c: unmap_vmas() v6.18: clears the page tables of VMAs, which go away. `vmas` in address order.
 * Preconditions: mmap_lock held.
 */
export function* unmap_vmas(
  tlb: mmu_gather,
  vmas: readonly vm_area_struct[],
  start_addr: number,
  end_addr: number,
): K {
  const details: zap_details = { even_cows: true, drop_markers: true };
  for (const vma of vmas) {
    yield* unmap_single_vma(tlb, vma, start_addr, end_addr, details);
  }
}

/** mm/memory.c: zap_page_range_single_batched() v6.18. */
export function* zap_page_range_single_batched(
  tlb: mmu_gather,
  vma: vm_area_struct,
  address: number,
  size: number,
  details: zap_details | null,
): K {
  yield* unmap_single_vma(tlb, vma, address, address + size, details);
}

/**
 * mm/memory.c: zap_page_range_single() v6.18: MADV_DONTNEED, truncation.
 * Preconditions: mmap_lock, or the VMA read-locked, or i_mmap_rwsem of a file VMA.
 */
export function* zap_page_range_single(
  vma: vm_area_struct,
  address: number,
  size: number,
  details: zap_details | null,
): K {
  const tlb = tlb_gather_mmu(vma.vm_mm as mm_struct);
  yield* zap_page_range_single_batched(tlb, vma, address, size, details);
  yield* tlb_finish_mmu(tlb);
}
