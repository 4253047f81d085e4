/**
 * include/linux/mmzone.h v6.18: the memory node. One node, one zone, one CPU.
 *
 * Lists of page frames are linked through page.lru_next and page.lru_prev (pfn + 1, 0 = end). Free
 * lists and LRU lists change in one atomic step each: zone->lock, lru_lock and the per-CPU page lists
 * are not modelled. Fidelity: custom.
 */
import { type Obj, type Ptr, struct, type words } from '../../sim/struct.ts';

/** MAX_PAGE_ORDER + 1. */
export const NR_PAGE_ORDERS = 11;

/** enum lru_list. */
export const LRU_INACTIVE_ANON = 0;
export const LRU_ACTIVE_ANON = 1;
export const LRU_INACTIVE_FILE = 2;
export const LRU_ACTIVE_FILE = 3;
export const LRU_UNEVICTABLE = 4;
export const NR_LRU_LISTS = 5;

/** PAGEVEC_SIZE: folios of a per-CPU LRU batch. */
export const FOLIO_BATCH_SIZE = 31;

/** struct pglist_data, with its one zone, its lruvec and the batches of its one CPU; and the other variables of mm/. */
export interface pglist_data extends Obj {
  /** Table number of the directory that finds the ptdesc of a page table (mm/pgtable.ts). */
  ptdesc_directory: number;
  /** swap_info[0]: the one swap area, or null. */
  swap_info: Ptr<Obj>;
  /** Pins that devices hold, newest first (mm/user_pin.ts). */
  user_pins: Ptr<Obj>;
  /** Allocations until one must fail; 0: none (mm/failslab.ts). */
  fail_nth: number;
  /** Frames of the machine. */
  spanned_pages: number;
  /** Frames that are not free. */
  used_pages: number;
  /** Per order: first and last block (pfn + 1), number of blocks. */
  free_area: words;
  /** Per LRU list: first (newest) and last folio (pfn + 1), number of pages. */
  lists: words;
  /** cpu_fbatches.lru_add: folios not yet on a list; each holds a reference. */
  lru_add_nr: number;
  lru_add: words;
  /** mlock_fbatch: folios to mlock or munlock (pfn * 4 + what); each holds a reference. */
  mlock_nr: number;
  mlock: words;
  /** zone->_watermark[]: free pages below which an allocation may not go, kswapd wakes, kswapd sleeps. */
  watermark_min: number;
  watermark_low: number;
  watermark_high: number;
  /** Pages taken off their LRU list by a reclaimer: NR_ISOLATED_ANON, NR_ISOLATED_FILE. */
  nr_isolated_anon: number;
  nr_isolated_file: number;
  /** lruvec: what reclaim of either kind has cost lately (lru_note_cost()). */
  anon_cost: number;
  file_cost: number;
  /** 1: somebody woke kswapd (kswapd_wait), for an allocation of this order. */
  kswapd_awake: number;
  kswapd_order: number;
  /** balance_pgdat() between two of its operations: the scan_control that it keeps. 0 = not balancing. */
  kswapd_priority: number;
  kswapd_reclaimed: number;
  kswapd_flags: number;
  /** Runs of balance_pgdat() in a row that freed nothing. */
  kswapd_failures: number;
  /** deferred_split_queue: first and last folio (pfn + 1), number of folios (mm/deferred_split.ts). */
  split_queue_head: number;
  split_queue_tail: number;
  split_queue_len: number;
  /** shrinker->nr_deferred of both shrinkers of huge pages (mm/shrinker.ts). */
  split_nr_deferred: number;
  huge_zero_nr_deferred: number;
  /** huge_zero_folio: pfn + 1, 0 = none yet; one reference is the cache's own. */
  huge_zero_folio: number;
  huge_zero_refcount: number;
}

export const pglist_data_cachep = struct<pglist_data>('pglist_data', {
  ptdesc_directory: 'n',
  swap_info: 'p',
  user_pins: 'p',
  fail_nth: 'n',
  spanned_pages: 'n',
  used_pages: 'n',
  free_area: ['words', NR_PAGE_ORDERS * 3],
  lists: ['words', NR_LRU_LISTS * 3],
  lru_add_nr: 'n',
  lru_add: ['words', FOLIO_BATCH_SIZE],
  mlock_nr: 'n',
  mlock: ['words', FOLIO_BATCH_SIZE],
  watermark_min: 'n',
  watermark_low: 'n',
  watermark_high: 'n',
  nr_isolated_anon: 'n',
  nr_isolated_file: 'n',
  anon_cost: 'n',
  file_cost: 'n',
  kswapd_awake: 'n',
  kswapd_order: 'n',
  kswapd_priority: 'n',
  kswapd_reclaimed: 'n',
  kswapd_flags: 'n',
  kswapd_failures: 'n',
  split_queue_head: 'n',
  split_queue_tail: 'n',
  split_queue_len: 'n',
  split_nr_deferred: 'n',
  huge_zero_nr_deferred: 'n',
  huge_zero_folio: 'n',
  huge_zero_refcount: 'n',
});
