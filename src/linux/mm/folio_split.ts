/**
 * mm/huge_memory.c v6.18: splitting a large anonymous folio into single pages. The queue of folios that reclaim may
 * want to split is mm/deferred_split.ts.
 *
 * Lock tree: folio lock (caller) -> root->rwsem (write) -> PMD locks, PTE locks. Fidelity: dup for anonymous folios and
 * order 0; page-cache folios are never large here.
 */

import type { K } from '../../sim/wait.ts';
import { EAGAIN, EBUSY } from '../errno.ts';
import { VM_BUG_ON_FOLIO, VM_WARN_ON_FOLIO } from '../lib/bug.ts';
import { type folio, mem_map, type page } from '../mm_types.ts';
import { __folio_unqueue_deferred_split } from './deferred_split.ts';
import { trace_thp_split_folio } from './events.ts';
import { folio_unlock } from './folio_lock.ts';
import { folio_mapcount, folio_nr_pages } from './large_folio.ts';
import {
  folio_expected_ref_count,
  RMP_LOCKED,
  RMP_USE_SHARED_ZEROPAGE,
  remove_migration_ptes,
} from './migrate.ts';
import { NODE_DATA } from './node.ts';
import {
  folio_get,
  folio_ref_count,
  folio_ref_freeze,
  folio_ref_unfreeze,
  page_folio,
} from './page_alloc.ts';
import {
  folio_clear,
  folio_test_anon,
  folio_test_large,
  folio_test_locked,
  folio_test_lru,
  folio_test_swapcache,
  folio_test_writeback,
  PG_active,
  PG_dirty,
  PG_head,
  PG_locked,
  PG_mlocked,
  PG_referenced,
  PG_swapbacked,
  PG_swapcache,
  PG_unevictable,
  PG_uptodate,
  PG_workingset,
} from './page-flags.ts';
import {
  anon_vma_lock_write,
  anon_vma_unlock_write,
  folio_get_anon_vma,
  put_anon_vma,
} from './rmap/anon_vma_life.ts';
import {
  TTU_BATCH_FLUSH,
  TTU_RMAP_LOCKED,
  TTU_SPLIT_HUGE_PMD,
  TTU_SYNC,
  try_to_migrate,
} from './rmap_unmap.ts';
import { lruvecAddSplit } from './swap_lru.ts';
import { free_folio_and_swap_cache } from './swap_state.ts';
import { __swap_cache_replace_folio } from './swapfile.ts';

/** Flags that every page gets from the folio. */
const INHERITED =
  PG_referenced |
  PG_swapbacked |
  PG_swapcache |
  PG_mlocked |
  PG_uptodate |
  PG_active |
  PG_workingset |
  PG_locked |
  PG_unevictable |
  PG_dirty;

/** References of the swap cache, which do not hinder a split. */
const extra_pins = (folio: folio): number =>
  folio_test_swapcache(folio) ? folio_nr_pages(folio) : 0;

/** mm/huge_memory.c: can_split_folio() v6.18: all references are mappings, the swap cache's and the caller's. Racy. */
export const can_split_folio = (folio: folio, caller_pins: number): boolean =>
  folio_mapcount(folio) === folio_ref_count(folio) - extra_pins(folio) - caller_pins;

/** mm/huge_memory.c: unmap_folio() v6.18: every entry becomes a migration entry. Preconditions: root->rwsem. */
function* unmap_folio(folio: folio): K {
  const flags = TTU_RMAP_LOCKED | TTU_SYNC | TTU_BATCH_FLUSH | TTU_SPLIT_HUGE_PMD;
  yield* try_to_migrate(folio, flags);
}

/** mm/huge_memory.c: __split_folio_to_order() v6.18 for order 0. Preconditions: references frozen. */
function __split_folio_to_order(folio: folio, nr: number): void {
  for (let i = 1; i < nr; i++) {
    const page = mem_map.at(folio.pfn + i);
    VM_BUG_ON_FOLIO(page._mapcount !== -1, page, 'atomic_read(&new_folio->_mapcount) != -1');
    page.flags = folio.flags & INHERITED;
    page.mapping = folio.mapping;
    page.index = folio.index + i;
    // The counts of the folio were in these words of its first tail pages.
    page.private = folio_test_swapcache(folio) ? folio.private + i : 0;
    page.lru_next = 0;
    page.lru_prev = 0;
    page.compound_head = null;
  }
  folio_clear(folio, PG_head);
}

/**
 * mm/huge_memory.c: lru_add_split_folio() v6.18: a page of a split folio goes next to the head page on its LRU list, or,
 * when reclaim has isolated the folio, on the list of what is reclaimed, with a reference.
 */
function lru_add_split_folio(folio: folio, new_folio: folio, list: folio[] | null): void {
  if (list === null) {
    lruvecAddSplit(folio, new_folio);
    return;
  }
  VM_WARN_ON_FOLIO(folio_test_lru(folio), folio, 'folio_test_lru(folio)');
  folio_get(new_folio);
  list.push(new_folio);
}

/**
 * The part of __folio_split() with interrupts off: from one frozen folio to `nr` pages with one reference each, in one
 * step (split_queue_lock, cluster lock, lru_lock). False: somebody has a reference.
 */
function splitFrozen(folio: folio, nr: number, list: folio[] | null): boolean {
  if (!folio_ref_freeze(folio, 1 + extra_pins(folio))) {
    return false;
  }
  __folio_unqueue_deferred_split(folio);
  __split_folio_to_order(folio, nr);
  for (let i = 1; i < nr; i++) {
    const page = mem_map.at(folio.pfn + i);
    folio_ref_unfreeze(page, folio_expected_ref_count(page) + 1);
    lru_add_split_folio(folio, page, list);
    if (folio_test_swapcache(page)) {
      __swap_cache_replace_folio(page);
    }
  }
  folio_ref_unfreeze(folio, folio_expected_ref_count(folio) + 1);
  return true;
}

/** mm/huge_memory.c: remap_page() v6.18. Preconditions: root->rwsem. */
function* remap_page(folio: folio, nr: number, flags: number): K {
  for (let i = 0; i < nr; ) {
    const each = mem_map.at(folio.pfn + i);
    i += folio_nr_pages(each);
    yield* remove_migration_ptes(each, each, RMP_LOCKED | flags);
  }
}

/**
 * mm/huge_memory.c: __folio_split() v6.18, all to order 0. `lock_at`, one of its pages, is what stays locked and gets the
 * caller's reference; `list`: see lru_add_split_folio().
 */
function* __folio_split(folio: folio, lock_at: page, list: folio[] | null): K<number> {
  VM_WARN_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  VM_WARN_ON_FOLIO(!folio_test_large(folio), folio, '!folio_test_large(folio)');
  VM_WARN_ON_FOLIO(!folio_test_anon(folio), folio, '!folio_test_anon(folio)');
  const nr = folio_nr_pages(folio);
  if (folio.pfn === NODE_DATA().huge_zero_folio - 1 || folio_test_writeback(folio)) {
    return -EBUSY;
  }
  // No mmap_lock need be held: the reference keeps the anon_vma while its lock is waited for.
  const anon_vma = yield* folio_get_anon_vma(folio);
  if (anon_vma === null) {
    return -EBUSY;
  }
  yield* anon_vma_lock_write(anon_vma);
  let ret = -EAGAIN;
  if (can_split_folio(folio, 1)) {
    yield* unmap_folio(folio);
    ret = splitFrozen(folio, nr, list) ? 0 : -EAGAIN;
    trace_thp_split_folio({ page: folio, ret });
    yield* remap_page(folio, nr, ret === 0 ? RMP_USE_SHARED_ZEROPAGE : 0);
    for (let i = 0; ret === 0 && i < nr; i++) {
      const page = mem_map.at(folio.pfn + i);
      if (page === lock_at) {
        continue;
      }
      folio_unlock(page);
      // What nobody maps any more is freed here.
      free_folio_and_swap_cache(page);
    }
  }
  anon_vma_unlock_write(anon_vma);
  yield* put_anon_vma(anon_vma);
  return ret;
}

/**
 * mm/huge_memory.c: split_huge_page() v6.18. 0 or a negative errno. Preconditions: folio locked, one reference of the
 * caller; both are of `page` afterwards.
 */
export function* split_huge_page(page: page): K<number> {
  return yield* __folio_split(page_folio(page), page, null);
}

/** mm/huge_memory.c: split_folio() v6.18: the lock and the reference are of the head page afterwards. */
export function* split_folio(folio: folio): K<number> {
  return yield* split_huge_page(folio);
}

/** mm/huge_memory.c: split_folio_to_list() v6.18: reclaim splits a folio that it has isolated, and goes on with `list`. */
export function* split_folio_to_list(folio: folio, list: folio[]): K<number> {
  return yield* __folio_split(folio, folio, list);
}
