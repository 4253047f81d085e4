/**
 * mm/swap.c v2.4.0: the age of pages and the lists that it moves them between. A page that is touched gains age, one
 * that is not loses half of it, and swap_out() takes entries of pages of age 0 only.
 *
 * Lock tree: pagemap_lru_lock, innermost. Fidelity: dup; custom: the lists are those of mm/swap_lru.ts, so that active_list
 * is one list for files and one for the rest, and the inactive ones, dirty and clean, are one each.
 */
import type { K } from '../../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON } from '../../lib/bug.ts';
import type { page } from '../../mm_types.ts';
import {
  folio_clear,
  folio_set,
  folio_test_active,
  folio_test_locked,
  folio_test_lru,
  PG_active,
  PG_lru,
  PG_referenced,
} from '../page-flags.ts';
import { lruvec_add_folio, lruvec_del_folio } from '../swap_lru.ts';
import { early24Globals } from './globals.ts';

/** include/linux/swap.h v2.4.0. */
export const PAGE_AGE_START = 2;
export const PAGE_AGE_ADV = 3;
export const PAGE_AGE_MAX = 64;

const AGE_SHIFT = 24;
const AGE_MASK = 0x7f << AGE_SHIFT;

/** page->age. Bits 24 to 30 of the flags hold it less PAGE_AGE_START: a page comes from the allocator with that age. */
export function page_age(page: page): number {
  return (((page.flags & AGE_MASK) >> AGE_SHIFT) + PAGE_AGE_START) % 128;
}

export function set_page_age(page: page, age: number): void {
  const stored = (age + 128 - PAGE_AGE_START) % 128;
  page.flags = (page.flags & ~AGE_MASK) | (stored << AGE_SHIFT);
}

/** add_page_to_active_list(), add_page_to_inactive_dirty_list(): by PG_active. */
function addToList(page: page): void {
  folio_set(page, PG_lru);
  lruvec_add_folio(page);
}

function delFromList(page: page): void {
  lruvec_del_folio(page);
  folio_clear(page, PG_lru);
}

/** mm/swap.c: activate_page_nolock() v2.4.0. Atomic. Preconditions: pagemap_lru_lock. */
export function activate_page_nolock(page: page): void {
  if (folio_test_lru(page) && !folio_test_active(page)) {
    delFromList(page);
    folio_set(page, PG_active);
    addToList(page);
  }
  if (page_age(page) < PAGE_AGE_START) {
    set_page_age(page, PAGE_AGE_START);
  }
}

/** mm/swap.c: activate_page() v2.4.0. */
export function* activate_page(page: page): K {
  const { pagemap_lru_lock } = early24Globals();
  yield* spin_lock(pagemap_lru_lock);
  activate_page_nolock(page);
  spin_unlock(pagemap_lru_lock);
}

/**
 * mm/swap.c: deactivate_page_nolock() v2.4.0: one reference for the cache and one for the caller; with more the page stays
 * where it is. Atomic. Preconditions: pagemap_lru_lock.
 */
export function deactivate_page_nolock(page: page): void {
  set_page_age(page, 0);
  folio_clear(page, PG_referenced);
  if (folio_test_lru(page) && folio_test_active(page) && page._refcount <= 2) {
    delFromList(page);
    folio_clear(page, PG_active);
    addToList(page);
  }
}

/** mm/swap.c: deactivate_page() v2.4.0. */
export function* deactivate_page(page: page): K {
  const { pagemap_lru_lock } = early24Globals();
  yield* spin_lock(pagemap_lru_lock);
  deactivate_page_nolock(page);
  spin_unlock(pagemap_lru_lock);
}

function advance(page: page): void {
  set_page_age(page, Math.min(page_age(page) + PAGE_AGE_ADV, PAGE_AGE_MAX));
}

/** mm/swap.c: age_page_up() v2.4.0. */
export function* age_page_up(page: page): K {
  if (page_age(page) === 0) {
    yield* activate_page(page);
  }
  advance(page);
}

/** mm/swap.c: age_page_up_nolock() v2.4.0. Atomic. Preconditions: pagemap_lru_lock. */
export function age_page_up_nolock(page: page): void {
  if (page_age(page) === 0) {
    activate_page_nolock(page);
  }
  advance(page);
}

/** mm/swap.c: age_page_down_ageonly() v2.4.0. */
export function age_page_down_ageonly(page: page): void {
  set_page_age(page, Math.floor(page_age(page) / 2));
}

/** mm/swap.c: lru_cache_add() v2.4.0: to the active list; a page of age 0 goes on to the inactive one. */
export function* lru_cache_add(page: page): K {
  const { pagemap_lru_lock } = early24Globals();
  yield* spin_lock(pagemap_lru_lock);
  BUG_ON(!folio_test_locked(page), '!PageLocked(page)');
  folio_set(page, PG_active);
  addToList(page);
  if (page_age(page) === 0) {
    deactivate_page_nolock(page);
  }
  spin_unlock(pagemap_lru_lock);
}

/** mm/swap.c: __lru_cache_del() v2.4.0. Atomic. Preconditions: pagemap_lru_lock. */
export function __lru_cache_del(page: page): void {
  if (folio_test_lru(page)) {
    delFromList(page);
    folio_clear(page, PG_active);
  }
}

/** mm/swap.c: lru_cache_del() v2.4.0. */
export function* lru_cache_del(page: page): K {
  const { pagemap_lru_lock } = early24Globals();
  BUG_ON(!folio_test_locked(page), '!PageLocked(page)');
  yield* spin_lock(pagemap_lru_lock);
  __lru_cache_del(page);
  spin_unlock(pagemap_lru_lock);
}
