/**
 * mm/swap_state.c, mm/page_io.c v6.18: the swap cache as faults and reclaim use it. One atomic step each.
 * Fidelity: custom (no readahead: vm.page-cluster is 0; device reads and writes are done at once), dup for
 * flags, references and counts.
 */
import type { K } from '../../sim/wait.ts';
import type { folio } from '../mm_types.ts';
import { alloc_pages } from './alloc_pages.ts';
import { trace_swap_in } from './events.ts';
import { folio_trylock, folio_unlock } from './folio_lock.ts';
import { GFP_HIGHUSER_MOVABLE } from './gfp.ts';
import { folio_mapped, folio_nr_pages } from './large_folio.ts';
import { folio_get, folio_try_get } from './page_alloc.ts';
import {
  folio_set,
  folio_test_swapcache,
  folio_test_writeback,
  PG_dirty,
  PG_locked,
  PG_swapbacked,
  PG_uptodate,
} from './page-flags.ts';
import { folio_add_lru, folio_put } from './swap.ts';
import type { swp_entry_t } from './swap_entry.ts';
import {
  folio_free_swap,
  folio_swapped,
  readSwapDevice,
  swap_cache_add_folio,
  swap_cache_del_folio,
  swap_cache_lookup,
  swap_entry_swapped,
  swap_free,
  swapcache_prepare,
  vm_swap_full,
} from './swapfile.ts';

/** swap_cache_get_folio(): the cached folio with a reference, or NULL. */
export function swap_cache_get_folio(entry: swp_entry_t): folio | null {
  const folio = swap_cache_lookup(entry);
  return folio !== null && folio_try_get(folio) ? folio : null;
}

/** folio_matches_swap_entry(): a locked folio found by swap_cache_get_folio() still stands for `entry`. */
export function folio_matches_swap_entry(folio: folio, entry: swp_entry_t): boolean {
  const nr_pages = folio_nr_pages(folio);
  return folio_test_swapcache(folio) && folio.private === entry - (entry % nr_pages);
}

/**
 * swapin_readahead() with a window of one page: __read_swap_cache_async() and swap_read_folio(). Returns
 * the folio with a reference, NULL if the slot is no longer in use or memory is short.
 */
export function* swapinPage(entry: swp_entry_t): K<folio | null> {
  const cached = swap_cache_get_folio(entry);
  if (cached !== null || !swap_entry_swapped(entry)) {
    return cached;
  }
  const folio = yield* alloc_pages(GFP_HIGHUSER_MOVABLE, 0);
  return folio === null ? null : addSwapin(entry, folio);
}

/**
 * The frame `folio` takes the contents of the slot, unless somebody else has brought it in or freed it while memory
 * was found. Atomic.
 */
function addSwapin(entry: swp_entry_t, folio: folio): folio | null {
  const cached = swap_cache_get_folio(entry);
  if (cached !== null || !swapcache_prepare(entry)) {
    folio_put(folio);
    return cached;
  }
  folio_set(folio, PG_locked | PG_swapbacked);
  swap_cache_add_folio(folio, entry);
  folio_add_lru(folio);
  // swap_read_folio(): the read is over at once.
  folio.content = readSwapDevice(entry);
  folio_set(folio, PG_uptodate);
  folio_unlock(folio);
  trace_swap_in({ page: folio, entry });
  return folio;
}

/** free_swap_cache(): an unmapped folio of the swap cache gives up its slot if nobody else names it. */
export function free_swap_cache(folio: folio): void {
  if (folio_test_swapcache(folio) && !folio_mapped(folio) && folio_trylock(folio)) {
    folio_free_swap(folio);
    folio_unlock(folio);
  }
}

/** free_folio_and_swap_cache(). */
export function free_folio_and_swap_cache(folio: folio): void {
  free_swap_cache(folio);
  folio_put(folio);
}

/**
 * mm/swapfile.c: free_swap_and_cache() v6.18: a zapped entry lets go of its slot. If then only the swap
 * cache uses the slot, its folio leaves the cache, unless it is locked or being written; a mapped one only
 * when swap space is short (__try_to_reclaim_swap() with TTRS_UNMAPPED | TTRS_FULL).
 */
export function free_swap_and_cache(entry: swp_entry_t): void {
  swap_free(entry);
  const folio = swap_cache_lookup(entry);
  if (folio === null || swap_entry_swapped(entry) || !folio_trylock(folio)) {
    return;
  }
  folio_get(folio);
  const need_reclaim = !folio_mapped(folio) || vm_swap_full();
  if (need_reclaim && !folio_test_writeback(folio) && !folio_swapped(folio)) {
    swap_cache_del_folio(folio);
    folio_set(folio, PG_dirty);
  }
  folio_unlock(folio);
  folio_put(folio);
}
