/**
 * mm/mlock.c v2.6.34, what happens to one page: a page that some VM_LOCKED VMA maps is PG_mlocked and on the list of
 * unevictable pages, without a count of those VMAs. Lock tree: page lock. Fidelity: dup; lists are changed by the batch.
 */
import type { K } from '../../../sim/wait.ts';
import { BUG_ON } from '../../lib/bug.ts';
import type { page } from '../../mm_types.ts';
import { folio_lock, folio_unlock } from '../folio_lock.ts';
import {
  folio_clear,
  folio_set,
  folio_test_locked,
  folio_test_mlocked,
  PG_mlocked,
} from '../page-flags.ts';
import { folio_isolate_lru, folio_putback_lru } from '../swap.ts';

/** mm/mlock.c: mlock_vma_page() v2.6.34. Preconditions: page lock. */
export function mlock_vma_page(page: page): void {
  BUG_ON(!folio_test_locked(page), '!PageLocked(page)');
  if (folio_test_mlocked(page)) {
    return;
  }
  folio_set(page, PG_mlocked);
  if (folio_isolate_lru(page)) {
    folio_putback_lru(page);
  }
}

/**
 * mm/mlock.c: clear_page_mlock() v2.6.34 with the page lock around it, as do_wp_page() calls it: a task that copies a page
 * leaves it to others, whose VMAs may not be locked. Whose are will mlock it again when reclaim meets it.
 */
export function* clear_page_mlock(page: page): K {
  yield* folio_lock(page);
  if (folio_test_mlocked(page)) {
    folio_clear(page, PG_mlocked);
    if (page.mapping !== 0 && folio_isolate_lru(page)) {
      folio_putback_lru(page);
    }
  }
  folio_unlock(page);
}
