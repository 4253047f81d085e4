/**
 * mm/filemap.c, include/linux/pagemap.h v6.18: the folio lock and waiting for writeback.
 *
 * Lock tree: the folio lock nests inside mmap_lock and mapping->invalidate_lock and outside i_mmap_rwsem
 * and anon_vma.root->rwsem. It is a page flag: lockdep does not see it, nor do we record its owner.
 * Fidelity: custom (no wait queue, no handoff: any waiter may get it).
 */
import { block, type K } from '../../sim/wait.ts';
import { might_sleep } from '../kernel/locking/rwsem.ts';
import { VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import type { folio } from '../mm_types.ts';
import { folio_test_locked, folio_test_writeback, PG_locked, PG_writeback } from './page-flags.ts';
import { folio_no_writeback, folio_unlocked } from './wait_conditions.ts';

/** folio_trylock(). */
export function folio_trylock(folio: folio): boolean {
  if (folio_test_locked(folio)) {
    return false;
  }
  folio.flags = folio.flags | PG_locked;
  return true;
}

/** folio_lock(). @atomic */
export function* folio_lock(folio: folio): K {
  might_sleep('folio_lock()');
  yield* block(folio_unlocked, folio.pfn, 0);
  folio.flags = folio.flags | PG_locked;
}

/** folio_unlock(). */
export function folio_unlock(folio: folio): void {
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  folio.flags = folio.flags & ~PG_locked;
}

/** folio_wait_locked(): waits until nobody holds the lock, without taking it. @atomic */
export function* folio_wait_locked(folio: folio): K {
  might_sleep('folio_wait_locked()');
  yield* block(folio_unlocked, folio.pfn, 0);
}

/** folio_wait_writeback(). @atomic */
export function* folio_wait_writeback(folio: folio): K {
  might_sleep('folio_wait_writeback()');
  yield* block(folio_no_writeback, folio.pfn, 0);
}

/** folio_start_writeback(). */
export function folio_start_writeback(folio: folio): void {
  VM_BUG_ON_FOLIO(folio_test_writeback(folio), folio, 'folio_test_writeback(folio)');
  folio.flags = folio.flags | PG_writeback;
}

/** folio_end_writeback(). */
export function folio_end_writeback(folio: folio): void {
  folio.flags = folio.flags & ~PG_writeback;
}
