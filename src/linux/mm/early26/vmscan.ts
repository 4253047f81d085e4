/**
 * mm/vmscan.c v2.6.0 to v2.6.8: reclaim of one page that the caller has taken off the LRU. One bit lock of the page
 * is held over both walks: page_referenced() and try_to_unmap() see the same mappings.
 *
 * Lock tree: page lock -> PG_chainlock, PG_maplock -> (lock of the scheme's object ->) trylock of page_table_lock.
 * Fidelity: dup for the steps of shrink_list(); file pages are not written.
 */
import type { K } from '../../../sim/wait.ts';
import type { page } from '../../mm_types.ts';
import { trace_swap_out } from '../events.ts';
import {
  folio_end_writeback,
  folio_start_writeback,
  folio_trylock,
  folio_unlock,
} from '../folio_lock.ts';
import { isolateAt } from '../migrate.ts';
import {
  folio_ref_count,
  folio_ref_freeze,
  folio_ref_unfreeze,
  free_frozen_pages,
} from '../page_alloc.ts';
import { __filemap_remove_folio, folio_mapping } from '../page_cache.ts';
import {
  folio_clear,
  folio_set,
  folio_test_anon,
  folio_test_dirty,
  folio_test_swapcache,
  folio_test_writeback,
  PG_active,
  PG_dirty,
} from '../page-flags.ts';
import { folio_clear_dirty_for_io } from '../page-writeback.ts';
import { SWAP_AGAIN, SWAP_FAIL } from '../rmap/early_ops.ts';
import { folio_putback_lru } from '../swap.ts';
import {
  __swap_cache_del_folio,
  folio_alloc_swap,
  put_swap_folio,
  writeSwapDevice,
} from '../swapfile.ts';
import { mapping_mapped } from './file_vmas.ts';
import { hooks } from './hooks.ts';
import { remove_exclusive_swap_page } from './memory.ts';

const page_mapped = (page: page): boolean => page._mapcount !== -1;

/** The ends of shrink_list() for a page that stays. */
function keepPage(page: page, activate: boolean): false {
  if (activate) {
    folio_set(page, PG_active);
  }
  folio_unlock(page);
  return false;
}

/** The end of shrink_list(): out of its cache, if only cache and reclaim have the page. Atomic: mapping->page_lock. */
function removeFromCache(page: page): boolean {
  if (!folio_ref_freeze(page, 2)) {
    return false;
  }
  if (folio_test_dirty(page)) {
    folio_ref_unfreeze(page, 2);
    return false;
  }
  if (folio_test_swapcache(page)) {
    const swap = page.private;
    __swap_cache_del_folio(page, swap);
    put_swap_folio(page, swap);
  } else {
    __filemap_remove_folio(page);
  }
  return true;
}

/** swap_writepage(), which is over at once. The page comes back unlocked and clean. */
function writeSwapPage(page: page): void {
  const entry = page.private;
  if (remove_exclusive_swap_page(page)) {
    folio_unlock(page);
    return;
  }
  folio_start_writeback(page);
  folio_unlock(page);
  writeSwapDevice(page);
  trace_swap_out({ page, entry });
  folio_end_writeback(page);
}

/** mm/vmscan.c: page_mapping_inuse() v2.6.0: a page of a file counts as used if anybody maps any part of the file. */
function page_mapping_inuse(page: page): boolean {
  if (page_mapped(page) || folio_test_swapcache(page)) {
    return true;
  }
  const mapping = folio_mapping(page);
  return mapping !== null && mapping_mapped(mapping);
}

/** mm/vmscan.c: shrink_list() v2.6.0 for one page. True: freed. False: unlocked, to be put back. */
function* shrink_list(page: page): K<boolean> {
  if (!folio_trylock(page)) {
    return false;
  }
  folio_clear(page, PG_active);
  if (folio_test_writeback(page)) {
    return keepPage(page, false);
  }
  yield* hooks().rmap_lock_page(page);
  const referenced = yield* hooks().page_referenced(page);
  if (referenced > 0 && page_mapping_inuse(page)) {
    hooks().rmap_unlock_page(page);
    return keepPage(page, true);
  }
  if (page_mapped(page) && folio_test_anon(page) && !folio_test_swapcache(page)) {
    hooks().rmap_unlock_page(page);
    // add_to_swap(): dirty, so that it is written.
    if (folio_alloc_swap(page) !== 0) {
      return keepPage(page, true);
    }
    folio_set(page, PG_dirty);
    yield* hooks().rmap_lock_page(page);
  }
  const cached = folio_test_swapcache(page) || folio_mapping(page) !== null;
  if (page_mapped(page) && cached) {
    const result = yield* hooks().try_to_unmap(page);
    if (result === SWAP_FAIL || result === SWAP_AGAIN) {
      hooks().rmap_unlock_page(page);
      return keepPage(page, result === SWAP_FAIL);
    }
  }
  hooks().rmap_unlock_page(page);
  if (folio_test_dirty(page)) {
    const freeable = folio_ref_count(page) === 2;
    if (referenced > 0 || !freeable || !folio_test_swapcache(page)) {
      return keepPage(page, false);
    }
    if (folio_clear_dirty_for_io(page)) {
      // Kept: written pages are met again on the list. The write is over at once here, so this is that time.
      writeSwapPage(page);
      if (!folio_trylock(page)) {
        return false;
      }
    }
    if (folio_test_dirty(page) || folio_test_writeback(page)) {
      return keepPage(page, false);
    }
  }
  const incache = folio_test_swapcache(page) || folio_mapping(page) !== null;
  if (!incache || !removeFromCache(page)) {
    return keepPage(page, false);
  }
  folio_unlock(page);
  free_frozen_pages(page, 0);
  return true;
}

/** Reclaims the page that task number `task` maps at `address`. 1 freed, 0 kept, or a negative errno. */
export function* reclaimAt(task: number, address: number): K<number> {
  const page = isolateAt(task, address);
  if (typeof page === 'number') {
    return page;
  }
  if (yield* shrink_list(page)) {
    return 1;
  }
  folio_putback_lru(page);
  return 0;
}

/** page_referenced() as the ageing of the active list calls it (refill_inactive_zone()): without the page lock. */
export function* referencedAt(task: number, address: number): K<number> {
  const page = isolateAt(task, address);
  if (typeof page === 'number') {
    return page;
  }
  yield* hooks().rmap_lock_page(page);
  const referenced = page_mapped(page) ? yield* hooks().page_referenced(page) : 0;
  hooks().rmap_unlock_page(page);
  folio_putback_lru(page);
  return referenced;
}
