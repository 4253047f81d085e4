/**
 * mm/compaction.c v6.18: makes room for large blocks: pages from the low end of memory move to free pages of
 * the high end, until the two scanners meet.
 *
 * Lock tree: that of mm/migrate.ts. Fidelity: dup for what is isolated; custom for the rest: synchronous, of
 * the range that the operation names, without skip hints, cached scanner positions and watermarks; large
 * folios stay where they are.
 */
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

/** Pages that are isolated before they are migrated. */
const COMPACT_CLUSTER_MAX = 32;
/** Targets that one page may need: migrate_pages() tries ten times. */
const TRIES = 10;

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

/**
 * compact_zone() with MIGRATE_SYNC over the frames [first, first + frames). Number of pages that moved.
 */
export function* compactRange(first: number, frames: number): K<number> {
  const end = Math.min(first + frames, NODE_DATA().spanned_pages);
  const cc: compact_control = { migrate_pfn: Math.max(first, 1), free_pfn: end, freepages: [] };
  let moved = 0;
  // lru_add_drain_all(): pages in the batch could not be isolated.
  lru_add_drain();
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
  }
  release_free_list(cc);
  return moved;
}
