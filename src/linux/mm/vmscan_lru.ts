/**
 * mm/vmscan.c v6.18: scanning the LRU lists: what is reclaimed when memory runs short, by the task that needs
 * it (direct reclaim) and by kswapd (mm/kswapd.ts). What becomes of one folio is in mm/vmscan.ts.
 *
 * Kernels before 5.18 come here too, with their own steps for a page (mm_ops.page_reclaim).
 *
 * Lock tree: none while lists change (lru_lock is not modelled, each change is one step); then the folio lock
 * and what shrink_folio_list() takes. Fidelity: dup for one node, one zone and no memory cgroup; of slab
 * shrinkers those of huge pages, no refault costs (there are no shadow entries), no throttling sleeps; the classic
 * lists, not the multi-generational ones.
 */

import { read_heap } from '../../sim/cpu.ts';
import type { K } from '../../sim/wait.ts';
import { current } from '../kernel/current.ts';
import { memory_manager } from '../kernel.ts';
import { type folio, mem_map } from '../mm_types.ts';
import { compact_gap, compaction_suitable } from './compaction.ts';
import { folio_unqueue_deferred_split } from './deferred_split.ts';
import { flushForReclaim } from './flusher.ts';
import { folio_nr_pages, folio_order } from './large_folio.ts';
import { VM_EXEC } from './mm.ts';
import {
  LRU_ACTIVE_ANON,
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  LRU_UNEVICTABLE,
} from './mmzone_types.ts';
import { NODE_DATA } from './node.ts';
import { folio_put_testzero, folio_try_get, free_frozen_pages } from './page_alloc.ts';
import {
  folio_clear,
  folio_set,
  folio_test_lru,
  folio_test_mlocked,
  PG_active,
  PG_lru,
  PG_mlocked,
  PG_unevictable,
  PG_workingset,
} from './page-flags.ts';
import { folio_referenced } from './rmap.ts';
import { shrink_slab } from './shrinker.ts';
import { folio_putback_lru, lru_add_drain } from './swap.ts';
import { folio_is_file_lru, lruvec_add_folio, lruvec_del_folio } from './swap_lru.ts';
import { get_nr_swap_pages, SWP_WRITEOK, swap_info } from './swapfile.ts';
import { shrink_folio_list, type shrink_result } from './vmscan.ts';
import {
  trace_mm_vmscan_direct_reclaim_begin,
  trace_mm_vmscan_direct_reclaim_end,
  trace_mm_vmscan_lru_isolate,
  trace_mm_vmscan_lru_shrink_active,
  trace_mm_vmscan_lru_shrink_inactive,
} from './vmscan_events.ts';
import { nr_free_pages, zone_watermark_ok } from './watermark.ts';

/** Folios of one go. */
export const SWAP_CLUSTER_MAX = 32;
/** The priority that reclaim begins with: a 4096th of each list is scanned. */
export const DEF_PRIORITY = 12;
/** vm.swappiness, and its upper end. */
const SWAPPINESS = 60;
const MAX_SWAPPINESS = 200;
const PAGE_ALLOC_COSTLY_ORDER = 3;
/** Bits of may_deactivate. */
const DEACTIVATE_ANON = 1;
const DEACTIVATE_FILE = 2;

/** struct scan_control: one run of reclaim. */
export interface scan_control {
  readonly kswapd: boolean;
  nr_to_reclaim: number;
  order: number;
  priority: number;
  may_deactivate: number;
  force_deactivate: boolean;
  skipped_deactivate: boolean;
  memcg_full_walk: boolean;
  anon_cost: number;
  file_cost: number;
  cache_trim_mode: boolean;
  no_cache_trim_mode: boolean;
  cache_trim_mode_failed: boolean;
  file_is_tiny: boolean;
  nr_scanned: number;
  nr_reclaimed: number;
}

export function scanControl(kswapd: boolean, order: number, nr_to_reclaim: number): scan_control {
  return {
    kswapd,
    nr_to_reclaim,
    order,
    priority: DEF_PRIORITY,
    may_deactivate: 0,
    force_deactivate: false,
    skipped_deactivate: false,
    memcg_full_walk: false,
    anon_cost: 0,
    file_cost: 0,
    cache_trim_mode: false,
    no_cache_trim_mode: false,
    cache_trim_mode_failed: false,
    file_is_tiny: false,
    nr_scanned: 0,
    nr_reclaimed: 0,
  };
}

/** lruvec_page_state(): pages of a list. */
function lru_size(lru: number): number {
  return read_heap(NODE_DATA().lists + lru * 3 + 2);
}

const is_file_lru = (lru: number): boolean => lru === LRU_INACTIVE_FILE || lru === LRU_ACTIVE_FILE;
const is_active_lru = (lru: number): boolean => lru === LRU_ACTIVE_ANON || lru === LRU_ACTIVE_FILE;

/** mm/vmscan.c: can_reclaim_anon_pages() v6.18: there is swap space left. */
const can_reclaim_anon_pages = (): boolean => get_nr_swap_pages() > 0;
/** mm/vmscan.c: can_age_anon_pages() v6.18: there is swap at all (total_swap_pages: not while swapoff empties it). */
const can_age_anon_pages = (): boolean => ((swap_info()?.flags ?? 0) & SWP_WRITEOK) !== 0;

/** mm/vmscan.c: zone_reclaimable_pages() v6.18. */
export function zone_reclaimable_pages(): number {
  const file = lru_size(LRU_INACTIVE_FILE) + lru_size(LRU_ACTIVE_FILE);
  const anon = lru_size(LRU_INACTIVE_ANON) + lru_size(LRU_ACTIVE_ANON);
  return can_reclaim_anon_pages() ? file + anon : file;
}

/** mm/vmscan.c: inactive_is_low() v6.18: what the inactive list should have at least, by the memory there is. */
function inactive_is_low(inactive_lru: number): boolean {
  const inactive = lru_size(inactive_lru);
  const active = lru_size(inactive_lru + LRU_ACTIVE_ANON);
  const gb = Math.floor((inactive + active) / 262144);
  const inactive_ratio = gb > 0 ? Math.floor(Math.sqrt(10 * gb)) : 1;
  return inactive * inactive_ratio < active;
}

/** mm/swap.c: lru_note_cost() v6.18: rotations and writes make a kind of memory dear. */
function lru_note_cost(file: boolean, nr_io: number, nr_rotated: number): void {
  const node = NODE_DATA();
  const cost = nr_io * SWAP_CLUSTER_MAX + nr_rotated;
  if (cost === 0) {
    return;
  }
  if (file) {
    node.file_cost = node.file_cost + cost;
  } else {
    node.anon_cost = node.anon_cost + cost;
  }
  let lrusize = 0;
  for (let lru = 0; lru < LRU_UNEVICTABLE; lru++) {
    lrusize += lru_size(lru);
  }
  if (node.file_cost + node.anon_cost > Math.floor(lrusize / 4)) {
    node.file_cost = Math.floor(node.file_cost / 2);
    node.anon_cost = Math.floor(node.anon_cost / 2);
  }
}

/** mm/vmscan.c: prepare_scan_control() v6.18: no refaults are counted, so list sizes alone decide. */
function prepare_scan_control(sc: scan_control): void {
  sc.anon_cost = NODE_DATA().anon_cost;
  sc.file_cost = NODE_DATA().file_cost;
  if (sc.force_deactivate) {
    sc.may_deactivate = DEACTIVATE_ANON | DEACTIVATE_FILE;
  } else {
    sc.may_deactivate =
      (inactive_is_low(LRU_INACTIVE_ANON) ? DEACTIVATE_ANON : 0) |
      (inactive_is_low(LRU_INACTIVE_FILE) ? DEACTIVATE_FILE : 0);
  }
  // Plenty of inactive file pages: those first.
  sc.cache_trim_mode =
    lru_size(LRU_INACTIVE_FILE) >> sc.priority > 0 &&
    (sc.may_deactivate & DEACTIVATE_FILE) === 0 &&
    !sc.no_cache_trim_mode;
  const file = lru_size(LRU_ACTIVE_FILE) + lru_size(LRU_INACTIVE_FILE);
  sc.file_is_tiny =
    file + nr_free_pages() <= NODE_DATA().watermark_high &&
    (sc.may_deactivate & DEACTIVATE_ANON) === 0 &&
    lru_size(LRU_INACTIVE_ANON) >> sc.priority > 0;
}

/** mm/vmscan.c: get_scan_count() and calculate_pressure_balance() v6.18: how much of each list is scanned. */
function get_scan_count(sc: scan_control): number[] {
  const fraction = { anon: 1, file: 1, of: 1 };
  if (!can_reclaim_anon_pages()) {
    fraction.anon = 0;
  } else if (sc.priority === 0) {
    // Close to OOM: all of both kinds.
  } else if (sc.file_is_tiny) {
    fraction.file = 0;
  } else if (sc.cache_trim_mode) {
    fraction.anon = 0;
  } else {
    const cost = sc.anon_cost + sc.file_cost;
    const anon_cost = cost + sc.anon_cost;
    const file_cost = cost + sc.file_cost;
    const total = anon_cost + file_cost;
    fraction.anon = Math.floor((SWAPPINESS * (total + 1)) / (anon_cost + 1));
    fraction.file = Math.floor(((MAX_SWAPPINESS - SWAPPINESS) * (total + 1)) / (file_cost + 1));
    fraction.of = fraction.anon + fraction.file;
  }
  const nr: number[] = [];
  for (let lru = 0; lru < LRU_UNEVICTABLE; lru++) {
    const scan = lru_size(lru) >> sc.priority;
    const share = is_file_lru(lru) ? fraction.file : fraction.anon;
    nr.push(Math.floor((scan * share) / fraction.of));
  }
  return nr;
}

/** What isolation took, oldest first. */
interface isolated {
  readonly folios: folio[];
  readonly nr_taken: number;
  readonly nr_scanned: number;
}

/** Adds to NR_ISOLATED_ANON or NR_ISOLATED_FILE. */
function mod_isolated(file: boolean, nr: number): void {
  const node = NODE_DATA();
  if (file) {
    node.nr_isolated_file = node.nr_isolated_file + nr;
  } else {
    node.nr_isolated_anon = node.nr_isolated_anon + nr;
  }
}

/**
 * mm/vmscan.c: isolate_lru_folios() v6.18: takes folios off the end of a list, each with a reference. Atomic:
 * Linux holds lru_lock.
 */
function isolate_lru_folios(nr_to_scan: number, lru: number): isolated {
  const list = NODE_DATA().lists + lru * 3;
  const folios: folio[] = [];
  let nr_scanned = 0;
  let nr_taken = 0;
  let link = read_heap(list + 1);
  while (nr_scanned < nr_to_scan && link !== 0) {
    const folio = mem_map.at(link - 1);
    const nr_pages = folio_nr_pages(folio);
    link = folio.lru_prev;
    nr_scanned += nr_pages;
    if (!folio_test_lru(folio) || !folio_try_get(folio)) {
      // Being freed: it leaves the list by itself.
      continue;
    }
    folio_clear(folio, PG_lru);
    lruvec_del_folio(folio);
    folios.push(folio);
    nr_taken += nr_pages;
  }
  mod_isolated(is_file_lru(lru), nr_taken);
  trace_mm_vmscan_lru_isolate({ lru, nr_requested: nr_to_scan, nr_scanned, nr_taken });
  return { folios, nr_taken, nr_scanned };
}

/** folio_evictable(). */
const folio_evictable = (folio: folio): boolean => !folio_test_mlocked(folio);

/** mm/vmscan.c: move_folios_to_lru() v6.18: puts folios back; one that nobody else refers to is freed. Atomic. */
function move_folios_to_lru(folios: readonly folio[]): number {
  let nr_moved = 0;
  for (const folio of folios) {
    if (!folio_evictable(folio)) {
      folio_putback_lru(folio);
      continue;
    }
    folio_set(folio, PG_lru);
    if (folio_put_testzero(folio)) {
      folio_clear(folio, PG_lru | PG_active | PG_unevictable | PG_mlocked);
      folio_unqueue_deferred_split(folio);
      free_frozen_pages(folio, folio_order(folio));
      continue;
    }
    lruvec_add_folio(folio);
    nr_moved += folio_nr_pages(folio);
  }
  return nr_moved;
}

/** mm/vmscan.c: too_many_isolated() v6.18. */
function too_many_isolated(file: boolean, sc: scan_control): boolean {
  if (sc.kswapd) {
    return false;
  }
  const node = NODE_DATA();
  const inactive = lru_size(file ? LRU_INACTIVE_FILE : LRU_INACTIVE_ANON);
  const taken = file ? node.nr_isolated_file : node.nr_isolated_anon;
  return taken > inactive >> 3;
}

/** shrink_folio_list(), or what the running kernel has instead. */
function* shrinkPages(folios: readonly folio[]): K<shrink_result> {
  const own = memory_manager().page_reclaim;
  if (own !== undefined) {
    return { nr_scanned: folios.length, ...(yield* own.shrink_page_list(folios)) };
  }
  return yield* shrink_folio_list(folios, false);
}

/** folio_referenced(), or what the running kernel has instead. */
function* pageReferenced(folio: folio): K<{ readonly count: number; readonly vm_flags: number }> {
  const own = memory_manager().page_reclaim;
  if (own !== undefined) {
    return yield* own.page_referenced(folio);
  }
  return yield* folio_referenced(folio, false);
}

/** mm/vmscan.c: shrink_inactive_list() v6.18. Number of pages reclaimed. */
export function* shrink_inactive_list(
  nr_to_scan: number,
  sc: scan_control,
  lru: number,
): K<number> {
  const file = is_file_lru(lru);
  if (too_many_isolated(file, sc)) {
    // Linux waits up to a fiftieth of a second for the other reclaimers, then gives up all the same.
    return current().sigkill === 1 ? SWAP_CLUSTER_MAX : 0;
  }
  lru_add_drain();
  const { folios, nr_taken, nr_scanned } = isolate_lru_folios(nr_to_scan, lru);
  if (nr_taken === 0) {
    return 0;
  }
  // Oldest first.
  const result = yield* shrinkPages([...folios].reverse());
  const { nr_reclaimed, nr_unqueued_dirty, nr_pageout, kept } = result;
  sc.nr_scanned += result.nr_scanned;
  move_folios_to_lru(kept);
  mod_isolated(file, -nr_taken);
  lru_note_cost(file, nr_pageout, nr_scanned - nr_reclaimed);
  if (nr_unqueued_dirty === nr_taken) {
    yield* flushForReclaim();
  }
  trace_mm_vmscan_lru_shrink_inactive({
    file: file ? 1 : 0,
    nr_scanned,
    nr_reclaimed,
    priority: sc.priority,
  });
  return nr_reclaimed;
}

/**
 * mm/vmscan.c: shrink_active_list() v6.18: moves folios to the inactive list; only programs' own code that was
 * used goes another round.
 */
export function* shrink_active_list(nr_to_scan: number, sc: scan_control, lru: number): K {
  lru_add_drain();
  const { folios, nr_taken } = isolate_lru_folios(nr_to_scan, lru);
  const active: folio[] = [];
  const inactive: folio[] = [];
  let nr_rotated = 0;
  for (const folio of folios) {
    if (!folio_evictable(folio)) {
      folio_putback_lru(folio);
      continue;
    }
    const refs = yield* pageReferenced(folio);
    if (refs.count !== 0 && (refs.vm_flags & VM_EXEC) !== 0 && folio_is_file_lru(folio)) {
      nr_rotated = nr_rotated + folio_nr_pages(folio);
      active.push(folio);
      continue;
    }
    folio_clear(folio, PG_active);
    folio_set(folio, PG_workingset);
    inactive.push(folio);
  }
  const nr_active = move_folios_to_lru(active);
  const nr_deactivated = move_folios_to_lru(inactive);
  const file = is_file_lru(lru);
  mod_isolated(file, -nr_taken);
  lru_note_cost(file, 0, nr_rotated);
  trace_mm_vmscan_lru_shrink_active({
    file: file ? 1 : 0,
    nr_taken,
    nr_active,
    nr_deactivated,
    priority: sc.priority,
  });
}

/** mm/vmscan.c: shrink_list() v6.18. */
function* shrink_list(lru: number, nr_to_scan: number, sc: scan_control): K<number> {
  if (is_active_lru(lru)) {
    const may = is_file_lru(lru) ? DEACTIVATE_FILE : DEACTIVATE_ANON;
    if ((sc.may_deactivate & may) !== 0) {
      yield* shrink_active_list(nr_to_scan, sc, lru);
    } else {
      sc.skipped_deactivate = true;
    }
    return 0;
  }
  return yield* shrink_inactive_list(nr_to_scan, sc, lru);
}

/**
 * The nudge towards proportion in shrink_lruvec(): enough was reclaimed, so the smaller kind is left alone, and
 * of the larger as much is scanned as was of the smaller.
 */
function balanceScan(nr: number[], targets: readonly number[]): boolean {
  const at = (of: readonly number[], lru: number): number => of[lru] ?? 0;
  const nr_file = at(nr, LRU_INACTIVE_FILE) + at(nr, LRU_ACTIVE_FILE);
  const nr_anon = at(nr, LRU_INACTIVE_ANON) + at(nr, LRU_ACTIVE_ANON);
  if (nr_file === 0 || nr_anon === 0) {
    return false;
  }
  const smaller = nr_file > nr_anon ? LRU_INACTIVE_ANON : LRU_INACTIVE_FILE;
  const larger = nr_file > nr_anon ? LRU_INACTIVE_FILE : LRU_INACTIVE_ANON;
  const target = at(targets, smaller) + at(targets, smaller + 1) + 1;
  const percentage = Math.floor((Math.min(nr_file, nr_anon) * 100) / target);
  nr[smaller] = 0;
  nr[smaller + 1] = 0;
  for (const lru of [larger, larger + 1]) {
    const scanned = at(targets, lru) - at(nr, lru);
    const left = Math.floor((at(targets, lru) * (100 - percentage)) / 100);
    nr[lru] = left - Math.min(left, scanned);
  }
  return true;
}

/** mm/vmscan.c: shrink_lruvec() v6.18. */
export function* shrink_lruvec(sc: scan_control): K {
  const nr = get_scan_count(sc);
  const targets = [...nr];
  let nr_reclaimed = 0;
  const proportional = !sc.kswapd && sc.priority === DEF_PRIORITY;
  while (
    (nr[LRU_INACTIVE_ANON] ?? 0) > 0 ||
    (nr[LRU_ACTIVE_FILE] ?? 0) > 0 ||
    (nr[LRU_INACTIVE_FILE] ?? 0) > 0
  ) {
    for (let lru = 0; lru < LRU_UNEVICTABLE; lru = lru + 1) {
      const nr_to_scan = Math.min(nr[lru] ?? 0, SWAP_CLUSTER_MAX);
      if (nr_to_scan > 0) {
        nr[lru] = (nr[lru] ?? 0) - nr_to_scan;
        nr_reclaimed += yield* shrink_list(lru, nr_to_scan, sc);
      }
    }
    if (nr_reclaimed < sc.nr_to_reclaim || proportional) {
      continue;
    }
    if (!balanceScan(nr, targets)) {
      break;
    }
  }
  sc.nr_reclaimed += nr_reclaimed;
  if (can_age_anon_pages() && inactive_is_low(LRU_INACTIVE_ANON)) {
    yield* shrink_active_list(SWAP_CLUSTER_MAX, sc, LRU_ACTIVE_ANON);
  }
}

/** mm/vmscan.c: should_continue_reclaim() v6.18: more must be free before compaction can make a large block. */
function should_continue_reclaim(nr_reclaimed: number, sc: scan_control): boolean {
  const compacting =
    sc.order > PAGE_ALLOC_COSTLY_ORDER || (sc.order > 0 && sc.priority < DEF_PRIORITY - 2);
  if (!compacting || nr_reclaimed === 0) {
    return false;
  }
  const mark = NODE_DATA().watermark_min;
  if (zone_watermark_ok(sc.order, mark, nr_free_pages())) {
    return false;
  }
  if (compaction_suitable(sc.order, mark)) {
    return false;
  }
  const anon = can_reclaim_anon_pages() ? lru_size(LRU_INACTIVE_ANON) : 0;
  return lru_size(LRU_INACTIVE_FILE) + anon > compact_gap(sc.order);
}

/** mm/vmscan.c: shrink_node() v6.18. */
export function* shrink_node(sc: scan_control): K {
  let reclaimable = false;
  for (;;) {
    const nr_reclaimed = sc.nr_reclaimed;
    prepare_scan_control(sc);
    yield* shrink_lruvec(sc);
    yield* shrink_slab(sc.priority);
    const nr_node_reclaimed = sc.nr_reclaimed - nr_reclaimed;
    reclaimable = reclaimable || nr_node_reclaimed > 0;
    if (!should_continue_reclaim(nr_node_reclaimed, sc)) {
      break;
    }
  }
  if (reclaimable) {
    NODE_DATA().kswapd_failures = 0;
  } else if (sc.cache_trim_mode) {
    sc.cache_trim_mode_failed = true;
  }
}

/** mm/vmscan.c: kswapd_age_node() v6.18. */
export function* kswapd_age_node(sc: scan_control): K {
  if (can_age_anon_pages() && inactive_is_low(LRU_INACTIVE_ANON)) {
    yield* shrink_active_list(SWAP_CLUSTER_MAX, sc, LRU_ACTIVE_ANON);
  }
}

/** mm/vmscan.c: compaction_ready() v6.18: a large block is there, or enough is free to make one. */
function compaction_ready(order: number): boolean {
  const { watermark_min, watermark_high } = NODE_DATA();
  return (
    zone_watermark_ok(order, watermark_min, nr_free_pages()) ||
    compaction_suitable(order, watermark_high)
  );
}

/** mm/vmscan.c: do_try_to_free_pages() and shrink_zones() v6.18. Pages reclaimed. */
function* do_try_to_free_pages(sc: scan_control): K<number> {
  for (;;) {
    while (sc.priority >= 0) {
      sc.nr_scanned = 0;
      // shrink_zones(): a large block needs compaction, once enough is free for that.
      if (sc.order > PAGE_ALLOC_COSTLY_ORDER && compaction_ready(sc.order)) {
        return sc.nr_reclaimed > 0 ? sc.nr_reclaimed : 1;
      }
      yield* shrink_node(sc);
      if (sc.nr_reclaimed >= sc.nr_to_reclaim) {
        break;
      }
      sc.priority -= 1;
    }
    if (sc.nr_reclaimed > 0) {
      return sc.nr_reclaimed;
    }
    sc.priority = DEF_PRIORITY;
    if (!sc.memcg_full_walk) {
      // Linux walks only a part of the cgroups at first. The second walk is there without any cgroup, too, and finds
      // entries old that the first one found used.
      sc.memcg_full_walk = true;
      continue;
    }
    if (!sc.skipped_deactivate) {
      return 0;
    }
    // The lists' ratio protected active pages: without that protection before anybody is killed.
    sc.force_deactivate = true;
    sc.skipped_deactivate = false;
  }
}

/**
 * mm/vmscan.c: try_to_free_pages() v6.18: direct reclaim for an allocation of this order. Number of pages
 * reclaimed. Preconditions: no lock inside the folio lock held.
 */
export function* try_to_free_pages(order: number): K<number> {
  const sc = scanControl(false, order, SWAP_CLUSTER_MAX);
  trace_mm_vmscan_direct_reclaim_begin({ order, free: nr_free_pages() });
  const nr_reclaimed = yield* do_try_to_free_pages(sc);
  trace_mm_vmscan_direct_reclaim_end({ nr_reclaimed, free: nr_free_pages() });
  return nr_reclaimed;
}
