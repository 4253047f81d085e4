/**
 * mm/huge_memory.c v6.18: splitting a large folio into small ones. Fidelity: stub: no folio can be split, as if all had
 * an extra reference. Callers hold the folio lock and a reference of their own; the queue of folios to split is
 * mm/deferred_split.ts, split_huge_pmd_address() of mm/huge_memory.ts unmaps with freeze.
 */
import type { K } from '../../sim/wait.ts';
import { EAGAIN } from '../errno.ts';
import type { folio } from '../mm_types.ts';

/** split_folio(). 0 or a negative errno. Preconditions: folio locked, one reference of the caller. */
export function* split_folio(_folio: folio): K<number> {
  return -EAGAIN;
}
