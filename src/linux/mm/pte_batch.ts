/**
 * mm/internal.h, mm/util.c v6.18: entries in a row that map the pages of one large folio. Fidelity: dup; without
 * soft-dirty, dirty and write bits are never respected, as none of the callers here asks for it.
 */
import type { folio, mm_struct } from '../mm_types.ts';
import { folio_nr_pages } from './large_folio.ts';
import { PAGE_SIZE } from './mm.ts';
import {
  pte_mkclean,
  pte_mkold,
  pte_pfn,
  type pte_ptr,
  type pte_t,
  pte_wrprotect,
  ptep_get,
  set_pte_at,
} from './pgtable.ts';

/** What one frame more is in an entry. */
const NEXT_PFN = 1 << 8;

/** pte_advance_pfn(), and pte_move_swp_offset() of a swap entry: the entry `nr` pages further on. */
export const pte_advance_pfn = (pte: pte_t, nr: number): pte_t => (pte + nr * NEXT_PFN) >>> 0;

/** __pte_batch_clear_ignored(). */
const compared = (pte: pte_t): pte_t => pte_wrprotect(pte_mkold(pte_mkclean(pte)));

/** folio_pte_batch() v6.18: entries from `ptep` on, at most `max_nr`. Preconditions: PTE lock, the first is present. */
export function folio_pte_batch(folio: folio, ptep: pte_ptr, max_nr: number): number {
  const pte = ptep_get(ptep);
  const left = folio.pfn + folio_nr_pages(folio) - pte_pfn(pte);
  const max = Math.min(max_nr, left);
  const first = compared(pte);
  let nr = 1;
  while (nr < max && compared(ptep_get(ptep + nr)) === first + nr * NEXT_PFN) {
    nr++;
  }
  return nr;
}

/** swap_pte_batch() v6.18: swap entries in a row for slots in a row, exclusive or not like the first. Preconditions: PTE lock. */
export function swap_pte_batch(start_ptep: pte_ptr, max_nr: number): number {
  const first = ptep_get(start_ptep);
  let nr = 1;
  while (nr < max_nr && ptep_get(start_ptep + nr) === pte_advance_pfn(first, nr)) {
    nr++;
  }
  return nr;
}

/** set_ptes(): entries in a row for frames in a row. Preconditions: PTE lock. */
export function set_ptes(
  mm: mm_struct,
  address: number,
  ptep: pte_ptr,
  pte: pte_t,
  nr: number,
): void {
  for (let i = 0; i < nr; i++) {
    set_pte_at(mm, address + i * PAGE_SIZE, ptep + i, pte_advance_pfn(pte, i));
  }
}
