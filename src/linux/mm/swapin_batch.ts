/**
 * mm/memory.c v6.18: how much one swap fault maps. Fidelity: dup: the part of do_swap_page() for large folios of the swap
 * cache, which no device brings in: they were not freed yet.
 */
import { type folio, mem_map, type page } from '../mm_types.ts';
import { folio_nr_pages } from './large_folio.ts';
import { PAGE_SIZE, PMD_SIZE } from './mm.ts';
import { folio_test_swapcache } from './page-flags.ts';
import { ptep_get } from './pgtable.ts';
import { pte_advance_pfn, swap_pte_batch } from './pte_batch.ts';
import type { vm_fault } from './vm_fault.ts';

/** What one swap fault maps: one page, or all pages of a large folio that is still in the swap cache. */
export interface swapin_batch {
  readonly page: page;
  readonly nr_pages: number;
  /** Where the first of them goes, and how many entries before the fault that is. */
  readonly address: number;
  readonly page_idx: number;
}

/**
 * The part of do_swap_page() that looks whether the whole of a large folio comes back here. `offset` is that of the slot.
 * Preconditions: ptl, folio locked.
 */
export function swapinBatch(vmf: vm_fault, folio: folio, offset: number): swapin_batch {
  const nr = folio_nr_pages(folio);
  const idx = offset % nr;
  const page = mem_map.at(folio.pfn + idx);
  const one: swapin_batch = { page, nr_pages: 1, address: vmf.address, page_idx: 0 };
  if (nr === 1 || !folio_test_swapcache(folio)) {
    return one;
  }
  const address = vmf.address - (vmf.address % PAGE_SIZE);
  const folio_start = address - idx * PAGE_SIZE;
  const folio_end = folio_start + nr * PAGE_SIZE;
  const table = address - (address % PMD_SIZE);
  if (folio_start < Math.max(table, vmf.vma.vm_start)) {
    return one;
  }
  if (folio_end > Math.min(table + PMD_SIZE, vmf.vma.vm_end)) {
    return one;
  }
  const first = vmf.pte - idx;
  if (ptep_get(first) !== pte_advance_pfn(vmf.orig_pte, -idx) || swap_pte_batch(first, nr) !== nr) {
    return one;
  }
  return { page: folio, nr_pages: nr, address: folio_start, page_idx: idx };
}
