/**
 * mm/vmscan.c v6.18: kswapd: keeps more than the high watermark free. Its loop is cut into operations: each call
 * is one round of balance_pgdat(), and what the loop keeps between rounds is in the node, so that any
 * other task can run in between.
 *
 * Lock tree: mm/vmscan_lru.ts. Fidelity: dup per round; custom: it sleeps between operations, and a round that
 * nobody asked for does nothing.
 */
import type { K } from '../../sim/wait.ts';
import { NODE_DATA } from './node.ts';
import { trace_mm_vmscan_kswapd_sleep, trace_mm_vmscan_kswapd_wake } from './vmscan_events.ts';
import {
  DEF_PRIORITY,
  kswapd_age_node,
  SWAP_CLUSTER_MAX,
  type scan_control,
  scanControl,
  shrink_node,
} from './vmscan_lru.ts';
import { MAX_RECLAIM_RETRIES, nr_free_pages, pgdat_balanced } from './watermark.ts';

/** Bits of kswapd_flags. */
const NO_CACHE_TRIM_MODE = 1;
const CACHE_TRIM_MODE_FAILED = 2;

/** The scan_control that the last round left, or a new one. */
function resume(): scan_control {
  const node = NODE_DATA();
  const sc = scanControl(true, node.kswapd_order, 0);
  sc.priority = node.kswapd_priority;
  sc.nr_reclaimed = node.kswapd_reclaimed;
  sc.no_cache_trim_mode = (node.kswapd_flags & NO_CACHE_TRIM_MODE) !== 0;
  sc.cache_trim_mode_failed = (node.kswapd_flags & CACHE_TRIM_MODE_FAILED) !== 0;
  return sc;
}

function keep(sc: scan_control): void {
  const node = NODE_DATA();
  node.kswapd_order = sc.order;
  node.kswapd_priority = sc.priority;
  node.kswapd_reclaimed = sc.nr_reclaimed;
  node.kswapd_flags =
    (sc.no_cache_trim_mode ? NO_CACHE_TRIM_MODE : 0) |
    (sc.cache_trim_mode_failed ? CACHE_TRIM_MODE_FAILED : 0);
}

/** kswapd_try_to_sleep(): the end of balance_pgdat(). */
function sleep(): void {
  const node = NODE_DATA();
  node.kswapd_priority = 0;
  node.kswapd_reclaimed = 0;
  node.kswapd_flags = 0;
  if (node.kswapd_failures < MAX_RECLAIM_RETRIES && !pgdat_balanced(0)) {
    // prepare_kswapd_sleep(): not done yet, so balance_pgdat() begins again in the next operation.
    return;
  }
  node.kswapd_order = 0;
  node.kswapd_awake = 0;
  trace_mm_vmscan_kswapd_sleep({ free: nr_free_pages(), failures: node.kswapd_failures });
}

/** mm/vmscan.c: kswapd_shrink_node() v6.18. True: enough was scanned, the priority need not rise. */
function* kswapd_shrink_node(sc: scan_control): K<boolean> {
  const nr_reclaimed = sc.nr_reclaimed;
  sc.nr_to_reclaim = Math.max(NODE_DATA().watermark_high, SWAP_CLUSTER_MAX);
  yield* shrink_node(sc);
  if (sc.order > 0 && sc.nr_reclaimed >= 2 << sc.order) {
    // Large blocks are up to compaction now.
    sc.order = 0;
  }
  return Math.max(sc.nr_scanned, sc.nr_reclaimed - nr_reclaimed) >= sc.nr_to_reclaim;
}

/**
 * mm/vmscan.c: kswapd() and one round of the loop in balance_pgdat() v6.18. Pages reclaimed; 0 when it sleeps.
 */
export function* kswapdRound(): K<number> {
  const node = NODE_DATA();
  if (node.kswapd_awake === 0) {
    return 0;
  }
  if (node.kswapd_priority === 0) {
    node.kswapd_priority = DEF_PRIORITY;
    trace_mm_vmscan_kswapd_wake({ order: node.kswapd_order, free: nr_free_pages() });
  }
  const sc = resume();
  if (pgdat_balanced(sc.order)) {
    sleep();
    return 0;
  }
  const nr_before = sc.nr_reclaimed;
  yield* kswapd_age_node(sc);
  sc.nr_scanned = 0;
  const enough_scanned = yield* kswapd_shrink_node(sc);
  const nr_reclaimed = sc.nr_reclaimed - nr_before;
  if (!enough_scanned || nr_reclaimed === 0) {
    sc.priority -= 1;
  }
  if (sc.priority < 1 && sc.nr_reclaimed === 0) {
    if (!sc.no_cache_trim_mode && sc.cache_trim_mode_failed) {
      sc.no_cache_trim_mode = true;
      sc.priority = DEF_PRIORITY;
    } else {
      node.kswapd_failures = node.kswapd_failures + 1;
    }
  }
  keep(sc);
  if (sc.priority < 1) {
    sleep();
  }
  return nr_reclaimed;
}
