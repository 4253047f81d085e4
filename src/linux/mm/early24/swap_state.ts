/**
 * mm/swap_state.c v2.4.0: the swap cache, the only way from a private page to the entries that name it: they agree on
 * the slot. Each swap entry counts in swap_map; so does the cache.
 *
 * Lock tree: page lock (tried under a spinlock) -> pagecache_lock -> pagemap_lru_lock. Fidelity: dup; custom: page->index is in
 * `private` and page->mapping stays what it was, the hash of pages is that of mm/swapfile.ts, reads are over at once.
 */
import type { K } from '../../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import { BUG_ON } from '../../lib/bug.ts';
import type { page } from '../../mm_types.ts';
import { trace_swap_in } from '../events.ts';
import { folio_lock, folio_trylock, folio_unlock } from '../folio_lock.ts';
import { folio_get } from '../page_alloc.ts';
import {
  folio_clear,
  folio_set,
  folio_test_locked,
  folio_test_swapcache,
  PG_dirty,
  PG_swapbacked,
  PG_uptodate,
} from '../page-flags.ts';
import { folio_put } from '../swap.ts';
import type { swp_entry_t } from '../swap_entry.ts';
import {
  folio_alloc_swap,
  readSwapDevice,
  swap_cache_add_folio,
  swap_cache_del_folio,
  swap_cache_lookup,
  swap_count,
  swap_duplicate,
  swap_free,
  swapcache_prepare,
} from '../swapfile.ts';
import { early24Globals } from './globals.ts';
import { allocPrivatePage, PageReserved } from './mapped.ts';
import { lru_cache_add, lru_cache_del } from './page_age.ts';

/**
 * include/linux/swap.h: is_page_shared() v2.4.0: somebody besides the caller has the page or its slot, `page_count`
 * being the references that count. Preconditions: the page is locked if it is in the swap cache, so that references do not become swap entries meanwhile.
 */
export function is_page_shared(page: page, page_count: number): boolean {
  if (PageReserved(page)) {
    return true;
  }
  let count = page_count;
  if (folio_test_swapcache(page)) {
    // swap_count() counts the cache too here, and the cache has one of the references.
    count = count + swap_count(page.private) + 1 - 2;
  }
  return count > 1;
}

/**
 * get_swap_page() and add_to_swap_cache() v2.4.0: the locked page gets a slot and enters the swap cache, on the active
 * list. False: there is no slot.
 */
export function* addToSwapCacheWithSlot(page: page): K<boolean> {
  const { pagecache_lock } = early24Globals();
  BUG_ON(!folio_test_locked(page), '!PageLocked(page)');
  yield* spin_lock(pagecache_lock);
  const error = folio_alloc_swap(page);
  spin_unlock(pagecache_lock);
  if (error !== 0) {
    return false;
  }
  if (!has('anon_layer')) {
    // An anon area's page has been on its list since it was made.
    yield* lru_cache_add(page);
  }
  return true;
}

/** mm/swap_state.c: delete_from_swap_cache_nolock() v2.4.0. Preconditions: page lock, a reference of the caller's. */
export function* delete_from_swap_cache_nolock(page: page): K {
  const { pagecache_lock } = early24Globals();
  BUG_ON(!folio_test_locked(page), '!PageLocked(page)');
  if (!has('anon_layer')) {
    yield* lru_cache_del(page);
  }
  yield* spin_lock(pagecache_lock);
  folio_clear(page, PG_dirty);
  // __delete_from_swap_cache(), swap_free() and page_cache_release()
  swap_cache_del_folio(page);
  spin_unlock(pagecache_lock);
}

/**
 * mm/swap_state.c: free_page_and_swap_cache() v2.4.0: lets go of a page that an entry mapped. The last user takes it out of
 * the swap cache, but only if nobody has it locked: the caller may hold page_table_lock and cannot wait.
 */
export function* free_page_and_swap_cache(page: page): K {
  if (folio_test_swapcache(page) && folio_trylock(page)) {
    if (!is_page_shared(page, page._refcount)) {
      yield* delete_from_swap_cache_nolock(page);
    }
    folio_unlock(page);
  }
  folio_put(page);
}

/** __find_lock_page(), as far as the reference: atomic under pagecache_lock. */
function findInCache(entry: swp_entry_t): page | null {
  const page = swap_cache_lookup(entry);
  if (page !== null) {
    folio_get(page);
  }
  return page;
}

/** mm/swap_state.c: lookup_swap_cache() v2.4.0: the cached page with a reference, or null. Waits for the page lock. */
export function* lookup_swap_cache(entry: swp_entry_t): K<page | null> {
  const { pagecache_lock } = early24Globals();
  for (;;) {
    yield* spin_lock(pagecache_lock);
    const found = findInCache(entry);
    spin_unlock(pagecache_lock);
    if (found === null) {
      return null;
    }
    yield* folio_lock(found);
    if (folio_test_swapcache(found) && found.private === entry) {
      folio_unlock(found);
      return found;
    }
    folio_unlock(found);
    folio_put(found);
  }
}

/**
 * mm/swap_state.c: read_swap_cache_async() v2.4.0, waiting for the read: a page with the contents of the slot and a
 * reference. Null: no memory, or the slot is no longer in use.
 */
export function* read_swap_cache_async(entry: swp_entry_t): K<page | null> {
  // Keeps the slot while memory is found.
  if (swap_duplicate(entry) !== 0) {
    return null;
  }
  let page: page | null = yield* lookup_swap_cache(entry);
  if (page !== null) {
    swap_free(entry);
    return page;
  }
  const new_page = yield* allocPrivatePage(false);
  if (new_page === null) {
    swap_free(entry);
    return null;
  }
  // lock_kernel() of do_swap_page() makes the second look and the insertion one: only a sleep drops that lock.
  while (!enterCacheUnlessCached(new_page, entry)) {
    page = yield* lookup_swap_cache(entry);
    if (page !== null) {
      folio_put(new_page);
      swap_free(entry);
      return page;
    }
  }
  if (!has('anon_layer')) {
    yield* lru_cache_add(new_page);
  }
  // rw_swap_page(READ)
  new_page.content = readSwapDevice(entry);
  trace_swap_in({ page: new_page, entry });
  folio_unlock(new_page);
  return new_page;
}

/** lock_page() and add_to_swap_cache() v2.4.0 of a new page: the count taken above becomes the cache's. Atomic. */
function enterCacheUnlessCached(page: page, entry: swp_entry_t): boolean {
  if (!swapcache_prepare(entry)) {
    return false;
  }
  folio_trylock(page);
  swap_free(entry);
  swap_cache_add_folio(page, entry);
  folio_set(page, PG_uptodate | PG_swapbacked);
  return true;
}
