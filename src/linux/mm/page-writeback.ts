/** mm/page-writeback.c v6.18: dirty folios. Fidelity: custom (only the flag; nothing writes back by itself). */
import type { folio } from '../mm_types.ts';
import {
  folio_clear,
  folio_test_clear,
  folio_test_set,
  PG_dirty,
  PG_reclaim,
} from './page-flags.ts';

/** folio_mark_dirty(): true if the folio was clean. */
export function folio_mark_dirty(folio: folio): boolean {
  if (folio.mapping !== 0) {
    folio_clear(folio, PG_reclaim);
  }
  return !folio_test_set(folio, PG_dirty);
}

/** folio_clear_dirty_for_io(). The caller holds the folio lock. */
export function folio_clear_dirty_for_io(folio: folio): boolean {
  return folio_test_clear(folio, PG_dirty);
}

/** folio_cancel_dirty(). */
export function folio_cancel_dirty(folio: folio): void {
  folio_clear(folio, PG_dirty);
}
