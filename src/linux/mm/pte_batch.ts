/**
 * mm/internal.h, mm/util.c v6.18: entries in a row that map the pages of one large folio. Fidelity: dup; without
 * soft-dirty, the dirty bit is never respected, as none of the callers here asks for it.
 */
import type { folio, mm_struct } from '../mm_types.ts';
import { folio_nr_pages } from './large_folio.ts';
import { PAGE_SIZE } from './mm.ts';
import {
  pte_dirty,
  pte_mkclean,
  pte_mkdirty,
  pte_mkold,
  pte_mkyoung,
  pte_pfn,
  type pte_ptr,
  type pte_t,
  pte_wrprotect,
  pte_young,
  ptep_get,
  set_pte_at,
} from './pgtable.ts';

/** What one frame more is in an entry. */
const NEXT_PFN = 1 << 8;

/** pte_advance_pfn(), and pte_move_swp_offset() of a swap entry: the entry `nr` pages further on. */
export const pte_advance_pfn = (pte: pte_t, nr: number): pte_t => (pte + nr * NEXT_PFN) >>> 0;

/** Entries of a batch are all writable, or none. */
export const FPB_RESPECT_WRITE = 1;

/** __pte_batch_clear_ignored(). */
function __pte_batch_clear_ignored(pte: pte_t, flags: number): pte_t {
  const rest = pte_mkold(pte_mkclean(pte));
  return (flags & FPB_RESPECT_WRITE) !== 0 ? rest : pte_wrprotect(rest);
}

/**
 * mm/internal.h: folio_pte_batch_flags() v6.18: entries from `ptep` on, at most `max_nr`. Preconditions: PTE lock, the
 * first is present.
 */
export function folio_pte_batch_flags(
  folio: folio,
  ptep: pte_ptr,
  max_nr: number,
  flags: number,
): number {
  const pte = ptep_get(ptep);
  const left = folio.pfn + folio_nr_pages(folio) - pte_pfn(pte);
  const max = Math.min(max_nr, left);
  const first = __pte_batch_clear_ignored(pte, flags);
  let nr = 1;
  while (
    nr < max &&
    __pte_batch_clear_ignored(ptep_get(ptep + nr), flags) === pte_advance_pfn(first, nr)
  ) {
    nr++;
  }
  return nr;
}

/** mm/util.c: folio_pte_batch() v6.18. */
export const folio_pte_batch = (folio: folio, ptep: pte_ptr, max_nr: number): number =>
  folio_pte_batch_flags(folio, ptep, max_nr, 0);

/** modify_prot_start_ptes(): the first entry of a batch, accessed and dirty if any of them is. Preconditions: PTE lock. */
export function modify_prot_start_ptes(ptep: pte_ptr, nr: number): pte_t {
  let pte = ptep_get(ptep);
  for (let i = 1; i < nr; i++) {
    const each = ptep_get(ptep + i);
    if (pte_dirty(each)) {
      pte = pte_mkdirty(pte);
    }
    if (pte_young(each)) {
      pte = pte_mkyoung(pte);
    }
  }
  return pte;
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
