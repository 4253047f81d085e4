/**
 * mm/compaction.c v6.18: makes room for large blocks: pages from the low end of memory move to free pages of
 * the high end, until the two scanners meet.
 *
 * Lock tree: that of mm/migrate.ts. Fidelity: dup for what is isolated; custom for the rest: synchronous, of
 * all of memory or the range that the operation names, without skip hints, cached scanner positions and deferring; large
 * folios stay where they are.
 */
import { read_heap } from '../../sim/cpu.ts';
import type { K } from '../../sim/wait.ts';
import { ENOMEM } from '../errno.ts';
import { type folio, mem_map } from '../mm_types.ts';
import { migrateIsolatedFolio } from './migrate.ts';
import { NR_PAGE_ORDERS } from './mmzone_types.ts';
import { NODE_DATA } from './node.ts';
import { folio_get, folio_ref_count, isolateFreeBlock } from './page_alloc.ts';
import { folio_mapping } from './page_cache.ts';
import {
  folio_clear,
  folio_test_large,
  folio_test_lru,
  folio_test_swapcache,
  PG_buddy,
  PG_lru,
} from './page-flags.ts';
import { folio_put, lru_add_drain } from './swap.ts';
import { lruvec_del_folio } from './swap_lru.ts';
import { nr_free_pages, zone_watermark_ok } from './watermark.ts';

/** Pages that are isolated before they are migrated. */
const COMPACT_CLUSTER_MAX = 32;
/** Targets that one page may need: migrate_pages() tries ten times. */
const TRIES = 10;
/** pageblock_nr_pages. */
const PAGEBLOCK = 512;
/** sysctl_extfrag_threshold. */
const EXTFRAG_THRESHOLD = 500;
const PAGE_ALLOC_COSTLY_ORDER = 3;

/** struct compact_control: where both scanners are. */
interface compact_control {
  migrate_pfn: number;
  free_pfn: number;
  /** Free pages taken by the free scanner, the highest last. */
  freepages: folio[];
}

/** A mapped page, or one of a cache, without references that migration cannot account for. */
function isMovable(folio: folio): boolean {
  if (folio_ref_count(folio) === 0 || !folio_test_lru(folio) || folio_test_large(folio)) {
    return false;
  }
  const cached = folio_mapping(folio) !== null || folio_test_swapcache(folio);
  return cached || folio_ref_count(folio) <= folio._mapcount + 1;
}

/**
 * mm/compaction.c: isolate_migratepages_block() v6.18: takes up to COMPACT_CLUSTER_MAX pages off the LRU lists,
 * upwards. Atomic: Linux holds lru_lock.
 */
function isolate_migratepages_block(cc: compact_control): folio[] {
  const isolated: folio[] = [];
  while (cc.migrate_pfn < cc.free_pfn && isolated.length < COMPACT_CLUSTER_MAX) {
    const page = mem_map.at(cc.migrate_pfn);
    if ((page.flags & PG_buddy) !== 0) {
      cc.migrate_pfn += 1 << page.private;
      continue;
    }
    cc.migrate_pfn += 1;
    if (page.compound_head === null && isMovable(page)) {
      folio_get(page);
      folio_clear(page, PG_lru);
      lruvec_del_folio(page);
      isolated.push(page);
    }
  }
  return isolated;
}

/** mm/compaction.c: isolate_freepages() v6.18: takes at least `nr` free pages off the free lists, downwards. Atomic. */
function isolate_freepages(cc: compact_control, nr: number): void {
  while (cc.free_pfn > cc.migrate_pfn && cc.freepages.length < nr) {
    const pfn = cc.free_pfn - 1;
    // The free block that holds the frame may begin below it.
    let start = pfn;
    for (let order = 0; order < NR_PAGE_ORDERS; order++) {
      const candidate = pfn - (pfn % (1 << order));
      const page = mem_map.at(candidate);
      if ((page.flags & PG_buddy) !== 0 && page.private === order) {
        start = candidate;
        break;
      }
    }
    const head = mem_map.at(start);
    if ((head.flags & PG_buddy) !== 0 && start >= cc.migrate_pfn) {
      // The lowest last but the highest taken first: pages pile up at the end of memory.
      cc.freepages = [...isolateFreeBlock(head), ...cc.freepages];
    }
    cc.free_pfn = start;
  }
}

/** mm/compaction.c: release_free_list() v6.18. */
function release_free_list(cc: compact_control): void {
  for (const page of cc.freepages) {
    folio_put(page);
  }
  cc.freepages = [];
}

/** A free block of at least that order: nothing left to do (__compact_finished()). */
function isBlockFree(order: number): boolean {
  for (let at = order; at < NR_PAGE_ORDERS; at++) {
    if (read_heap(NODE_DATA().free_area + at * 3) !== 0) {
      return true;
    }
  }
  return false;
}

/**
 * mm/compaction.c: compact_zone() v6.18 with MIGRATE_SYNC over the frames of `cc`; ends early at the end of a block of
 * 512 frames when there is a free block of `order` (-1: never). Number of pages that moved.
 */
function* compact_zone(cc: compact_control, order: number): K<number> {
  let moved = 0;
  // lru_add_drain_all(): pages in the batch could not be isolated.
  lru_add_drain();
  let block = Math.floor(cc.migrate_pfn / PAGEBLOCK);
  while (cc.migrate_pfn < cc.free_pfn) {
    const pages = isolate_migratepages_block(cc);
    for (const page of pages) {
      isolate_freepages(cc, TRIES);
      const rc = yield* migrateIsolatedFolio(page, cc.freepages);
      moved += rc === 0 ? 1 : 0;
      if (rc === -ENOMEM) {
        // The scanners have met.
        cc.migrate_pfn = cc.free_pfn;
      }
    }
    const now = Math.floor(cc.migrate_pfn / PAGEBLOCK);
    if (order >= 0 && now !== block && isBlockFree(order)) {
      break;
    }
    block = now;
  }
  release_free_list(cc);
  return moved;
}

/** compact_gap(): free pages that compaction needs to work with. */
export const compact_gap = (order: number): number => 2 * 2 ** order;

/**
 * mm/vmstat.c: __fragmentation_index() v6.18 of the zone: towards 1000 an allocation fails because memory is in pieces,
 * towards 0 because there is too little; negative: it would not fail.
 */
function fragmentation_index(order: number): number {
  const { free_area } = NODE_DATA();
  let free_blocks_total = 0;
  for (let at = 0; at < NR_PAGE_ORDERS; at++) {
    free_blocks_total += read_heap(free_area + at * 3 + 2);
  }
  if (free_blocks_total === 0) {
    return 0;
  }
  if (isBlockFree(order)) {
    return -1000;
  }
  const share = Math.floor((nr_free_pages() * 1000) / 2 ** order);
  return 1000 - Math.floor((1000 + share) / free_blocks_total);
}

/** mm/compaction.c: compaction_suitable() v6.18: enough is free to work with, and in pieces. */
export function compaction_suitable(order: number, mark: number): boolean {
  const costly = order > PAGE_ALLOC_COSTLY_ORDER;
  const { watermark_low, watermark_min } = NODE_DATA();
  const watermark = mark + compact_gap(order) + (costly ? watermark_low - watermark_min : 0);
  if (!zone_watermark_ok(0, watermark, nr_free_pages())) {
    return false;
  }
  const index = costly ? fragmentation_index(order) : -1;
  return index < 0 || index > EXTFRAG_THRESHOLD;
}

/** mm/compaction.c: compaction_suit_allocation_order() v6.18 for an order above 3: whether compaction could help. */
function isSuitable(order: number, mark: number, async: boolean): boolean {
  if (async && !zone_watermark_ok(0, mark + compact_gap(order), nr_free_pages())) {
    return false;
  }
  return compaction_suitable(order, mark);
}

/**
 * mm/compaction.c: try_to_compact_pages() v6.18: compacts until there is a free block of `order`. False
 * (COMPACT_SKIPPED): it would not help.
 */
export function* compactForOrder(order: number, mark: number, async: boolean): K<boolean> {
  if (zone_watermark_ok(order, mark, nr_free_pages()) && isBlockFree(order)) {
    return true;
  }
  if (!isSuitable(order, mark, async)) {
    return false;
  }
  const cc: compact_control = {
    migrate_pfn: 1,
    free_pfn: NODE_DATA().spanned_pages,
    freepages: [],
  };
  yield* compact_zone(cc, order);
  return true;
}

/** compact_zone() over the frames [first, first + frames). Number of pages that moved. */
export function* compactRange(first: number, frames: number): K<number> {
  const end = Math.min(first + frames, NODE_DATA().spanned_pages);
  const cc: compact_control = { migrate_pfn: Math.max(first, 1), free_pfn: end, freepages: [] };
  return yield* compact_zone(cc, -1);
}
