/**
 * mm/memory.c v2.6.0, v2.6.7: clearing ranges of page tables, with page_table_lock held from the first table to the
 * last, and the file half of truncation.
 *
 * Lock tree: (mmap_sem | i_shared_sem, i_mmap_lock ->) page_table_lock -> bit lock of a page.
 * Fidelity: dup; the lock is never dropped for latency (no kernel preemption: ZAP_BLOCK_SIZE is everything).
 */
import type { K } from '../../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { vm_normal_page } from '../memory.ts';
import { PAGE_SIZE, VM_ACCOUNT } from '../mm.ts';
import { dec_mm_counter, MM_SWAPENTS, mm_counter } from '../mm_counter.ts';
import {
  __tlb_remove_folio_pages,
  tlb_finish_mmu,
  tlb_flush_mmu,
  tlb_gather_mmu,
} from '../mmu_gather.ts';
import { folio_test_anon } from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  pgd_addr_end,
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_addr_end,
  pmd_none,
  pmd_offset,
  pmdp_get,
  pte_clear,
  pte_dirty,
  pte_is_swap_entry,
  pte_none,
  pte_offset,
  pte_present,
  type pte_ptr,
  pte_to_swp_entry,
  pte_young,
  ptep_get,
  ptep_get_and_clear,
  pud_addr_end,
  pud_none,
  pud_offset,
  pudp_get,
} from '../pgtable.ts';
import type { mmu_gather } from '../pgtable_types.ts';
import { folio_mark_accessed, lru_add_drain } from '../swap.ts';
import { free_swap_and_cache } from '../swap_state.ts';
import { vm_unacct_memory } from '../util.ts';
import { hooks } from './hooks.ts';

/** struct zap_details v2.6.6: leave private copies and swap entries alone. */
export interface zap_only_file {
  readonly check_mapping: boolean;
}

/** mm/memory.c: zap_pte_range() v2.6.0. Preconditions: ptl. */
function* zap_pte_range(
  tlb: mmu_gather,
  vma: vm_area_struct,
  pmd: pte_ptr,
  start: number,
  end: number,
  details: zap_only_file | null,
): K {
  const mm = tlb.mm as mm_struct;
  let ptep = pte_offset(pmd, start);
  for (let addr = start; addr < end; addr = addr + PAGE_SIZE) {
    const ptent = ptep_get(ptep);
    if (pte_none(ptent)) {
      // Nothing.
    } else if (pte_present(ptent)) {
      const page = vm_normal_page(vma, addr, ptent);
      const keeps = details?.check_mapping === true && page !== null && folio_test_anon(page);
      if (!keeps) {
        const pte = ptep_get_and_clear(mm, addr, ptep);
        if (page !== null) {
          if (pte_dirty(pte)) {
            folio_mark_dirty(page);
          }
          if (page.mapping !== 0 && pte_young(pte) && !folio_test_anon(page)) {
            folio_mark_accessed(page);
          }
          dec_mm_counter(mm, mm_counter(page));
          yield* hooks().rmap_remove(page, vma, addr, ptep);
          if (__tlb_remove_folio_pages(tlb, page, false)) {
            yield* tlb_flush_mmu(tlb);
          }
        }
      }
    } else if (details === null) {
      if (pte_is_swap_entry(ptent)) {
        free_swap_and_cache(pte_to_swp_entry(ptent));
        dec_mm_counter(mm, MM_SWAPENTS);
      }
      pte_clear(mm, addr, ptep);
    }
    ptep = ptep + 1;
  }
}

/** mm/memory.c: unmap_page_range() v2.6.0, with zap_pmd_range(). Preconditions: ptl. */
export function* unmap_page_range(
  tlb: mmu_gather,
  vma: vm_area_struct,
  from: number,
  end: number,
  details: zap_only_file | null,
): K {
  const mm = tlb.mm as mm_struct;
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
    if (!pmd_none(pmdp_get(pmd))) {
      yield* zap_pte_range(tlb, vma, pmd, addr, next, details);
    }
    addr = next;
  }
}

/**
 * mm/memory.c: unmap_vmas() v2.6.0: what of `vmas` lies in [start, end). Pages whose promise goes with them.
 * Preconditions: ptl.
 */
export function* unmap_vmas(
  tlb: mmu_gather,
  vmas: readonly vm_area_struct[],
  start: number,
  end: number,
  details: zap_only_file | null = null,
): K<number> {
  let nr_accounted = 0;
  for (const vma of vmas) {
    const from = Math.max(vma.vm_start, start);
    const to = Math.min(vma.vm_end, end);
    if (from < to) {
      if ((vma.vm_flags & VM_ACCOUNT) !== 0) {
        nr_accounted = nr_accounted + (to - from) / PAGE_SIZE;
      }
      yield* unmap_page_range(tlb, vma, from, to, details);
    }
  }
  return nr_accounted;
}

/** mm/memory.c: zap_page_range() v2.6.0: pages only, not the promise of memory. */
export function* zap_page_range(
  vma: vm_area_struct,
  address: number,
  size: number,
  details: zap_only_file | null = null,
): K {
  const mm = vma.vm_mm as mm_struct;
  lru_add_drain();
  yield* spin_lock(mm.page_table_lock);
  const tlb = tlb_gather_mmu(mm);
  yield* unmap_vmas(tlb, [vma], address, address + size, details);
  yield* tlb_finish_mmu(tlb);
  spin_unlock(mm.page_table_lock);
}

/** vm_unacct_memory() of what unmap_vmas() counted. */
export function unaccount(nr_accounted: number): void {
  if (nr_accounted > 0) {
    vm_unacct_memory(nr_accounted);
  }
}
