/**
 * mm/vmscan.c and mm/page_alloc.c v2.4.0: what is done when memory is short. Pages are made old and taken out of page tables
 * (refill_inactive()), and from the inactive list they are written and freed (page_launder()).
 *
 * Lock tree: mm/early24/swap_out.ts, mm/early24/vmscan.ts. Fidelity: custom: who allocates does what kswapd would do for him, and
 * gives up after some rounds instead of waiting for the OOM killer; a page that is clean is freed at once, so that there
 * is no inactive_clean list; one zone, no inactive_target; dup: the order of the lists and of swap_out() at each priority.
 */
import type { K } from '../../../sim/wait.ts';
import type { folio, page } from '../../mm_types.ts';
import { __GFP_ZERO } from '../gfp.ts';
import {
  LRU_ACTIVE_ANON,
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
} from '../mmzone_types.ts';
import { NODE_DATA } from '../node.ts';
import { folio_try_get, get_page_from_freelist } from '../page_alloc.ts';
import { folio_test_clear, PG_referenced } from '../page-flags.ts';
import { folio_put, lru_add_drain } from '../swap.ts';
import { nr_free_pages } from '../watermark.ts';
import { reclaimPage } from './area_walk.ts';
import { activate_page, page_age } from './page_age.ts';
import { scanFor, swap_out } from './swap_out.ts';
import { launderAndReclaim, pagesFromTail, refill_inactive_scan } from './vmscan.ts';

/** Rounds of do_try_to_free_pages() before an allocation fails. */
const ROUNDS = 12;

/** mm/vmscan.c: free_shortage() v2.4.0. */
const free_shortage = (): number => Math.max(0, NODE_DATA().watermark_high + 1 - nr_free_pages());

/** mm/vmscan.c: page_launder() v2.4.0: the pages of the inactive list, oldest first. Pages freed. */
function* page_launder(): K<number> {
  let freed = 0;
  for (const page of [...pagesFromTail(LRU_INACTIVE_FILE), ...pagesFromTail(LRU_INACTIVE_ANON)]) {
    if (!folio_try_get(page)) {
      continue;
    }
    if (folio_test_clear(page, PG_referenced) || page_age(page) > 0 || page._refcount > 2) {
      // Used since, or mapped.
      yield* activate_page(page);
    } else if (yield* launderAndReclaim(page)) {
      freed = freed + 1;
    }
    folio_put(page);
  }
  return freed;
}

/** mm/vmscan.c: refill_inactive() v2.4.0. */
function* refill_inactive(): K {
  let count = Math.max(free_shortage(), 1);
  for (let priority = 6; priority >= 0; ) {
    let made_progress = false;
    while (yield* refill_inactive_scan(priority, true)) {
      made_progress = true;
      count = count - 1;
      if (count <= 0) {
        return;
      }
    }
    while ((yield* swap_out(scanFor(null))) !== 0) {
      made_progress = true;
      count = count - 1;
      if (count <= 0) {
        return;
      }
    }
    if (free_shortage() === 0) {
      return;
    }
    if (!made_progress) {
      priority = priority - 1;
    }
  }
  while (yield* refill_inactive_scan(0, true)) {
    count = count - 1;
    if (count <= 0) {
      return;
    }
  }
}

/** mm/vmscan.c: do_try_to_free_pages() v2.4.0. Pages freed. */
export function* do_try_to_free_pages(): K<number> {
  lru_add_drain();
  let freed = yield* page_launder();
  if (free_shortage() > 0) {
    yield* refill_inactive();
    freed = freed + (yield* page_launder());
  }
  return freed;
}

/** The anon layer's: each page of the lists is asked for its users, oldest first, until enough are free. Pages freed. */
export function* tryToFreeAreaPages(): K<number> {
  lru_add_drain();
  let freed = 0;
  const lists = [LRU_INACTIVE_FILE, LRU_ACTIVE_FILE, LRU_INACTIVE_ANON, LRU_ACTIVE_ANON];
  const pages: page[] = lists.flatMap(pagesFromTail);
  for (const page of pages) {
    if (free_shortage() === 0) {
      return freed;
    }
    if (folio_try_get(page)) {
      if (yield* reclaimPage(page)) {
        freed = freed + 1;
      }
      folio_put(page);
    }
  }
  return freed;
}

/** The end of __alloc_pages() v2.4.0: the last pages are for those who free memory. */
function lastPages(gfp: number, order: number): folio | null {
  const mark = Math.floor(NODE_DATA().watermark_min / 4);
  return get_page_from_freelist(order, mark, (gfp & __GFP_ZERO) !== 0);
}

/** mm/page_alloc.c: __alloc_pages() v2.4.0 when no zone has lots of pages. Null: it fails. */
export function* allocPagesSlow(gfp: number, order: number): K<folio | null> {
  for (let round = 0; round < ROUNDS; round = round + 1) {
    const mark = NODE_DATA().watermark_min;
    const page = get_page_from_freelist(order, mark, (gfp & __GFP_ZERO) !== 0);
    if (page !== null) {
      return page;
    }
    yield* do_try_to_free_pages();
  }
  return lastPages(gfp, order);
}

/** The same in the anon layer's tree: a second round finds what the first has found in use. */
export function* allocPagesFromAreas(gfp: number, order: number): K<folio | null> {
  let vain = 0;
  while (vain < 2) {
    const mark = NODE_DATA().watermark_min;
    const page = get_page_from_freelist(order, mark, (gfp & __GFP_ZERO) !== 0);
    if (page !== null) {
      return page;
    }
    vain = (yield* tryToFreeAreaPages()) > 0 ? 0 : vain + 1;
  }
  return lastPages(gfp, order);
}

/** mm/vmscan.c: kswapd() v2.4.0, once around its loop. Pages freed. */
export function* kswapdOnce(): K<number> {
  const freed = yield* do_try_to_free_pages();
  yield* refill_inactive_scan(6, false);
  NODE_DATA().kswapd_awake = free_shortage() > 0 ? 1 : 0;
  return freed;
}

/** The same in the anon layer's tree. */
export function* kswapdAreasOnce(): K<number> {
  const freed = yield* tryToFreeAreaPages();
  NODE_DATA().kswapd_awake = free_shortage() > 0 ? 1 : 0;
  return freed;
}
