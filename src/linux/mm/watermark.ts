/**
 * mm/page_alloc.c v6.18: free pages against the watermarks of the one zone, and waking kswapd
 * (mm/vmscan.c). Atomic functions. Fidelity: dup without highmem, lowmem reserves, boosting and highatomic
 * blocks; a machine too small for a reserve has none (init_per_zone_wmark_min()).
 */
import { read_heap } from '../../sim/cpu.ts';
import { NR_PAGE_ORDERS } from './mmzone_types.ts';
import { NODE_DATA } from './node.ts';
import { trace_mm_vmscan_wakeup_kswapd } from './vmscan_events.ts';

/** vm.watermark_scale_factor: distance of the watermarks in 1/10000 of memory. */
const WATERMARK_SCALE_FACTOR = 10;
/** A machine of up to this many frames has no reserve: Linux's least, 128 KiB, would be most of it. */
const NO_RESERVE_FRAMES = 256;
/** MAX_RECLAIM_RETRIES. */
export const MAX_RECLAIM_RETRIES = 16;

/** zone_page_state(zone, NR_FREE_PAGES). */
export function nr_free_pages(): number {
  const node = NODE_DATA();
  return node.spanned_pages - node.used_pages;
}

/**
 * init_per_zone_wmark_min(), calculate_min_free_kbytes() and __setup_per_zone_wmarks() of a machine whose
 * frames are all of one zone and all managed but the zero page.
 */
export function init_per_zone_wmark_min(): void {
  const node = NODE_DATA();
  const managed = nr_free_pages();
  if (node.spanned_pages <= NO_RESERVE_FRAMES) {
    return;
  }
  const lowmem_kbytes = managed * 4;
  const root = Math.floor(Math.sqrt(lowmem_kbytes * 16));
  const min_free_kbytes = Math.min(Math.max(root, 128), 262144);
  const min = Math.floor(min_free_kbytes / 4);
  const scaled = Math.floor((managed * WATERMARK_SCALE_FACTOR) / 10000);
  const distance = Math.max(Math.floor(min / 4), scaled);
  node.watermark_min = min;
  node.watermark_low = min + distance;
  node.watermark_high = min + 2 * distance;
}

/**
 * __zone_watermark_ok(): with `free` pages free an allocation of this order leaves more than `mark`, and a block
 * that is large enough exists.
 */
export function zone_watermark_ok(order: number, mark: number, free: number): boolean {
  if (free - ((1 << order) - 1) <= mark) {
    return false;
  }
  if (order === 0) {
    return true;
  }
  const { free_area } = NODE_DATA();
  for (let o = order; o < NR_PAGE_ORDERS; o++) {
    if (read_heap(free_area + o * 3) !== 0) {
      return true;
    }
  }
  return false;
}

/** mm/vmscan.c: pgdat_balanced() v6.18: nothing for kswapd to do. */
export function pgdat_balanced(order: number): boolean {
  return zone_watermark_ok(order, NODE_DATA().watermark_high, nr_free_pages());
}

/** mm/vmscan.c: wakeup_kswapd() v6.18: an allocation of this order found less than the low watermark free. */
export function wakeup_kswapd(order: number): void {
  const node = NODE_DATA();
  if (order > node.kswapd_order) {
    node.kswapd_order = order;
  }
  if (node.kswapd_awake === 1) {
    return;
  }
  if (node.kswapd_failures >= MAX_RECLAIM_RETRIES || pgdat_balanced(order)) {
    // Hopeless, or enough is free in blocks too small: compaction is what could help.
    return;
  }
  trace_mm_vmscan_wakeup_kswapd({ order, free: nr_free_pages() });
  node.kswapd_awake = 1;
}
