/**
 * mm/internal.h, mm/util.c v6.18: entries in a row that map the pages of one large folio. Fidelity: dup; without
 * soft-dirty, dirty and write bits are never respected, as none of the callers here asks for it.
 */
import type { folio } from '../mm_types.ts';
import { folio_nr_pages } from './large_folio.ts';
import {
  pte_mkclean,
  pte_mkold,
  pte_pfn,
  type pte_ptr,
  type pte_t,
  pte_wrprotect,
  ptep_get,
} from './pgtable.ts';

/** What one frame more is in an entry. */
const NEXT_PFN = 1 << 8;

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
