/**
 * mm/page_alloc.c v6.18: an allocation that may sleep: kswapd is woken, memory reclaimed by the task itself,
 * processes are killed.
 *
 * Lock tree: what reclaim takes (mm/vmscan.ts); a caller may hold mmap_lock, VMA locks, invalidate_lock and
 * folio locks, nothing inside those. Fidelity: dup without compaction for the orders 1 to 3, cpusets,
 * highatomic reserves and zones. An order above 3 does not loop: it fails after one round of compaction and reclaim, as
 * with __GFP_NORETRY or without __GFP_RETRY_MAYFAIL.
 */
import type { K } from '../../sim/wait.ts';
import { current } from '../kernel/current.ts';
import type { folio, signal_struct } from '../mm_types.ts';
import { compactForOrder } from './compaction.ts';
import {
  __GFP_DIRECT_RECLAIM,
  __GFP_KSWAPD_RECLAIM,
  __GFP_NORETRY,
  __GFP_RETRY_MAYFAIL,
  __GFP_ZERO,
} from './gfp.ts';
import { NODE_DATA } from './node.ts';
import { out_of_memory } from './oom_kill.ts';
import { get_page_from_freelist } from './page_alloc.ts';
import { trace_reclaim_retry_zone } from './vmscan_events.ts';
import { try_to_free_pages, zone_reclaimable_pages } from './vmscan_lru.ts';
import {
  MAX_RECLAIM_RETRIES,
  nr_free_pages,
  wakeup_kswapd,
  zone_watermark_ok,
} from './watermark.ts';

/** PAGE_ALLOC_COSTLY_ORDER. */
const PAGE_ALLOC_COSTLY_ORDER = 3;

/** tsk_is_oom_victim(current). */
function isOomVictim(): boolean {
  return (current().signal as signal_struct).oom_victim === 1;
}

/** The mark of the slow path: the minimum, of which an OOM victim may use half (ALLOC_OOM). */
function slowMark(): number {
  const { watermark_min } = NODE_DATA();
  return isOomVictim() ? watermark_min - Math.floor(watermark_min / 2) : watermark_min;
}

/** mm/page_alloc.c: should_reclaim_retry() v6.18; `no_progress_loops` is counted by the caller. Atomic. */
function should_reclaim_retry(order: number, mark: number, no_progress_loops: number): boolean {
  if (no_progress_loops > MAX_RECLAIM_RETRIES) {
    return false;
  }
  const reclaimable = zone_reclaimable_pages();
  const available = reclaimable + nr_free_pages();
  const min_wmark = NODE_DATA().watermark_min;
  const retry = zone_watermark_ok(order, mark, available);
  trace_reclaim_retry_zone({
    order,
    reclaimable,
    available,
    min_wmark,
    no_progress_loops,
    retry: retry ? 1 : 0,
  });
  return retry;
}

/** mm/page_alloc.c: __alloc_pages_direct_compact() v6.18 of an order above 3; smaller ones do without. */
function* __alloc_pages_direct_compact(
  order: number,
  mark: number,
  zeroed: boolean,
  async: boolean,
): K<folio | null> {
  if (order <= PAGE_ALLOC_COSTLY_ORDER || !(yield* compactForOrder(order, mark, async))) {
    return null;
  }
  return get_page_from_freelist(order, mark, zeroed);
}

/** mm/page_alloc.c: __alloc_pages_direct_reclaim() v6.18: what it freed, and the page if there is one now. */
function* __alloc_pages_direct_reclaim(
  order: number,
  mark: number,
  zeroed: boolean,
): K<{ readonly page: folio | null; readonly progress: number }> {
  const progress = yield* try_to_free_pages(order);
  return { page: progress > 0 ? get_page_from_freelist(order, mark, zeroed) : null, progress };
}

/**
 * mm/page_alloc.c: __alloc_pages_slowpath() and __alloc_pages_may_oom() v6.18. NULL: the caller must do
 * without. Preconditions: the fast path has failed.
 */
export function* __alloc_pages_slowpath(gfp: number, order: number): K<folio | null> {
  const zeroed = (gfp & __GFP_ZERO) !== 0;
  const costly_order = order > PAGE_ALLOC_COSTLY_ORDER;
  const { watermark_min } = NODE_DATA();
  let no_progress_loops = 0;
  if ((gfp & __GFP_KSWAPD_RECLAIM) !== 0) {
    wakeup_kswapd(order);
  }
  let page = get_page_from_freelist(order, watermark_min, zeroed);
  if (page !== null) {
    return page;
  }
  if ((gfp & __GFP_DIRECT_RECLAIM) !== 0 && costly_order && !isOomVictim()) {
    // There may be enough small pages: no need to free any.
    page = yield* __alloc_pages_direct_compact(order, watermark_min, zeroed, true);
    if (page !== null) {
      return page;
    }
  }
  for (;;) {
    if ((gfp & __GFP_KSWAPD_RECLAIM) !== 0) {
      wakeup_kswapd(order);
    }
    // Of this round: who is chosen as a victim meanwhile has another try.
    const oom_reserves = isOomVictim();
    const mark = slowMark();
    page = get_page_from_freelist(order, mark, zeroed);
    if (page !== null || (gfp & __GFP_DIRECT_RECLAIM) === 0) {
      return page;
    }
    const reclaim = yield* __alloc_pages_direct_reclaim(order, mark, zeroed);
    if (reclaim.page !== null) {
      return reclaim.page;
    }
    const { progress } = reclaim;
    page = yield* __alloc_pages_direct_compact(order, mark, zeroed, false);
    if (page !== null) {
      return page;
    }
    if ((gfp & __GFP_NORETRY) !== 0) {
      return null;
    }
    if (costly_order && (gfp & __GFP_RETRY_MAYFAIL) === 0) {
      return null;
    }
    no_progress_loops = progress > 0 && !costly_order ? 0 : no_progress_loops + 1;
    if (should_reclaim_retry(order, mark, no_progress_loops)) {
      continue;
    }
    // __alloc_pages_may_oom(): the high mark, to see whether somebody who was killed meanwhile has made room.
    page = get_page_from_freelist(order, NODE_DATA().watermark_high, zeroed);
    if (page !== null) {
      return page;
    }
    if (costly_order || (gfp & __GFP_RETRY_MAYFAIL) !== 0) {
      return null;
    }
    const killing = yield* out_of_memory();
    // A victim that got nothing out of the reserves either gives up, so that it can exit.
    if ((isOomVictim() && oom_reserves) || !killing) {
      return null;
    }
    no_progress_loops = 0;
  }
}
