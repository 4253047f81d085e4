/**
 * mm/migrate.c v6.18: migration of the folio that an operation names: migrate_pages() of a list of one.
 *
 * Lock tree: that of mm/migrate.ts; splitting takes the folio lock first. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { ENOMEM } from '../errno.ts';
import type { folio } from '../mm_types.ts';
import { folio_deferred, folio_test_partially_mapped } from './deferred_split.ts';
import { folio_lock, folio_unlock } from './folio_lock.ts';
import { split_folio_to_list } from './folio_split.ts';
import { isolateAt, migrateIsolatedFolio, tryMigrateFolio } from './migrate.ts';
import { folio_test_large } from './page-flags.ts';
import { folio_putback_lru } from './swap.ts';

/** mm/migrate.c: try_split_folio() v6.18 with MIGRATE_SYNC. 0 or a negative errno. */
function* try_split_folio(folio: folio, split_folios: folio[]): K<number> {
  yield* folio_lock(folio);
  const rc = yield* split_folio_to_list(folio, split_folios);
  folio_unlock(folio);
  return rc;
}

/** The pages of a folio that was split, each by itself. 0, or the errno of the last that stays. */
function* migrateSplit(folio: folio, split_folios: readonly folio[]): K<number> {
  let rc = yield* migrateIsolatedFolio(folio);
  for (const page of split_folios) {
    const one = yield* migrateIsolatedFolio(page);
    rc = one === 0 ? rc : one;
  }
  return rc;
}

/** What migrate_pages_batch() does to a large folio. */
function* migrateLargeFolio(folio: folio): K<number> {
  const split_folios: folio[] = [];
  // One of which a part is unmapped should be split now. The look is racy: it can be on its way off the queue.
  if (folio_deferred(folio) && folio_test_partially_mapped(folio)) {
    if ((yield* try_split_folio(folio, split_folios)) === 0) {
      return yield* migrateSplit(folio, split_folios);
    }
  }
  const rc = yield* tryMigrateFolio(folio, null);
  // No room for the whole: its pages may find some.
  if (rc === -ENOMEM && (yield* try_split_folio(folio, split_folios)) === 0) {
    return yield* migrateSplit(folio, split_folios);
  }
  if (rc !== 0) {
    folio_putback_lru(folio);
  }
  return rc;
}

/**
 * mm/migrate.c: what compaction or move_pages(MPOL_MF_MOVE_ALL) does to one folio: isolates and migrates the
 * one that task number `task` maps at `address`. 0 or a negative errno. A huge page moves as a whole, page tables and all.
 */
export function* migrateAt(task: number, address: number): K<number> {
  const folio = isolateAt(task, address);
  if (typeof folio === 'number') {
    return folio;
  }
  if (folio_test_large(folio)) {
    return yield* migrateLargeFolio(folio);
  }
  return yield* migrateIsolatedFolio(folio);
}
