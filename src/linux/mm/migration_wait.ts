/**
 * mm/migrate.c, mm/filemap.c v6.18: a fault met a migration entry and waits until the folio is back.
 *
 * Lock tree: ptl of the entry, dropped for the wait. Fidelity: dup.
 */
import { block, type K } from '../../sim/wait.ts';
import { might_sleep } from '../kernel/locking/rwsem.ts';
import { spin_unlock } from '../kernel/locking/spinlock.ts';
import type { folio, mm_struct } from '../mm_types.ts';
import { page_folio } from './page_alloc.ts';
import {
  is_migration_entry,
  migration_page,
  pmd_lock,
  pmd_to_swp_entry,
  pmdp_get,
  pte_offset_map_lock,
  type pte_ptr,
  ptep_get,
  ptlock_ptr,
} from './pgtable.ts';
import { is_pmd_migration_entry } from './pgtable_huge.ts';
import { folio_unlocked } from './wait_conditions.ts';

/**
 * mm/filemap.c: migration_entry_wait_on_locked() v6.18: waits until the folio of the entry is unlocked, and
 * drops the ptl. No reference is taken: a migration entry keeps its folio alive, so the waiter must be
 * queued before the ptl is dropped. Here: the unlock of the ptl and the start of the wait are one step.
 * @atomic
 */
function* migration_entry_wait_on_locked(folio: folio, pte: pte_ptr): K {
  spin_unlock(ptlock_ptr(pte));
  might_sleep('migration_entry_wait_on_locked()');
  yield* block(folio_unlocked, folio.pfn, 0);
}

/**
 * mm/migrate.c: migration_entry_wait() v6.18: a fault met a migration entry. Returns when the migration is
 * over or the entry was none; the caller then lets the access fault again.
 */
export function* migration_entry_wait(mm: mm_struct, pmd: pte_ptr, address: number): K {
  const ptep = yield* pte_offset_map_lock(mm, pmd, address);
  if (ptep === 0) {
    return;
  }
  const pte = ptep_get(ptep);
  if (!is_migration_entry(pte)) {
    spin_unlock(ptlock_ptr(ptep));
    return;
  }
  yield* migration_entry_wait_on_locked(page_folio(migration_page(pte)), ptep);
}

/** mm/migrate.c: pmd_migration_entry_wait() v6.18: the same of a huge page that one entry maps. */
export function* pmd_migration_entry_wait(pmd: pte_ptr): K {
  const ptl = yield* pmd_lock(pmd);
  const pmde = pmdp_get(pmd);
  if (!is_pmd_migration_entry(pmde)) {
    spin_unlock(ptl);
    return;
  }
  yield* migration_entry_wait_on_locked(page_folio(migration_page(pmd_to_swp_entry(pmde))), pmd);
}
