/**
 * mm/page_alloc.c v6.18: the buddy allocator over mem_map, and the reference counts of
 * include/linux/page_ref.h and mm.h. The final put is in mm/swap.ts.
 *
 * Every function is one atomic step: zone->lock and the per-CPU page lists are not modelled. What an
 * allocation does when memory runs short is in mm/page_alloc_slow.ts. Fidelity: custom; dup for splitting,
 * merging, counting and the watermarks.
 */
import { cpu, read_heap, write_heap } from '../../sim/cpu.ts';
import { reportFinding } from '../../sim/finding.ts';
import { VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import { type folio, mem_map, type page } from '../mm_types.ts';
import { ROOT_PAGE, setRoot } from '../roots.ts';
import { trace_mm_page_alloc, trace_mm_page_free } from './events.ts';
import { shouldFailAllocation } from './failslab.ts';
import {
  folio_has_pincount,
  folio_mapped,
  folio_pincount,
  prep_compound_head,
} from './large_folio.ts';
import { NR_PAGE_ORDERS, pglist_data_cachep } from './mmzone_types.ts';
import { NODE_DATA } from './node.ts';
import { ZERO_CONTENT } from './page_content.ts';
import { PG_buddy, PG_locked, PG_lru, PG_reserved, PG_writeback } from './page-flags.ts';
import {
  init_per_zone_wmark_min,
  nr_free_pages,
  wakeup_kswapd,
  zone_watermark_ok,
} from './watermark.ts';

const HEAD = 0;
const TAIL = 1;
const COUNT = 2;

/** is_zero_pfn(): frame 0 is the zero page. */
export const ZERO_PFN = 0;
export const is_zero_pfn = (pfn: number): boolean => pfn === ZERO_PFN;
/** ZERO_PAGE(). */
export const ZERO_PAGE = (): page => mem_map.at(ZERO_PFN);

const page_at = (link: number): page => mem_map.at(link - 1);

function area(order: number): number {
  return NODE_DATA().free_area + order * 3;
}

function add_to_free_list(block: page, order: number, tail: boolean): void {
  const list = area(order);
  block.flags = PG_buddy;
  block.private = order;
  const end = tail ? TAIL : HEAD;
  const neighbour = read_heap(list + end);
  block.lru_prev = tail ? neighbour : 0;
  block.lru_next = tail ? 0 : neighbour;
  if (neighbour === 0) {
    write_heap(list + HEAD, block.pfn + 1);
    write_heap(list + TAIL, block.pfn + 1);
  } else {
    if (tail) {
      page_at(neighbour).lru_next = block.pfn + 1;
    } else {
      page_at(neighbour).lru_prev = block.pfn + 1;
    }
    write_heap(list + end, block.pfn + 1);
  }
  write_heap(list + COUNT, read_heap(list + COUNT) + 1);
}

function del_page_from_free_list(block: page, order: number): void {
  const list = area(order);
  if (block.lru_prev === 0) {
    write_heap(list + HEAD, block.lru_next);
  } else {
    page_at(block.lru_prev).lru_next = block.lru_next;
  }
  if (block.lru_next === 0) {
    write_heap(list + TAIL, block.lru_prev);
  } else {
    page_at(block.lru_next).lru_prev = block.lru_prev;
  }
  write_heap(list + COUNT, read_heap(list + COUNT) - 1);
  block.lru_next = 0;
  block.lru_prev = 0;
  block.flags = block.flags & ~PG_buddy;
  block.private = 0;
}

/**
 * Boot: makes the node, reserves frame 0 as the zero page and gives all other frames to the allocator,
 * lowest first.
 */
export function mem_init(): void {
  const node = pglist_data_cachep.alloc();
  setRoot(ROOT_PAGE, node);
  const frames = cpu.frame_index.length;
  node.spanned_pages = frames;
  node.used_pages = 1;
  for (let pfn = 0; pfn < frames; pfn++) {
    mem_map.at(pfn)._mapcount = -1;
  }
  const zero = ZERO_PAGE();
  zero.flags = PG_reserved;
  zero._refcount = 1;
  zero.content = ZERO_CONTENT;
  let pfn = 1;
  while (pfn < frames) {
    let order = 0;
    while (
      order + 1 < NR_PAGE_ORDERS &&
      pfn % (1 << (order + 1)) === 0 &&
      pfn + (1 << (order + 1)) <= frames
    ) {
      order++;
    }
    add_to_free_list(mem_map.at(pfn), order, true);
    pfn += 1 << order;
  }
  init_per_zone_wmark_min();
}

/** mm/page_alloc.c: __rmqueue_smallest() v6.18: the first block of the smallest order that fits, split. */
function __rmqueue_smallest(order: number): page | null {
  for (let current = order; current < NR_PAGE_ORDERS; current++) {
    const head = read_heap(area(current) + HEAD);
    if (head === 0) {
      continue;
    }
    const block = page_at(head);
    del_page_from_free_list(block, current);
    // expand(): the upper halves go back, the lowest frames are handed out.
    for (let high = current - 1; high >= order; high--) {
      add_to_free_list(mem_map.at(block.pfn + (1 << high)), high, false);
    }
    return block;
  }
  return null;
}

/** should_fail_alloc_page(): asks the schedule whether this allocation fails. */
export function should_fail_alloc_page(): boolean {
  return shouldFailAllocation();
}

/** post_alloc_hook() and prep_compound_page(). */
function prep_new_page(block: page, order: number, zeroed: boolean): void {
  for (let i = 0; i < 1 << order; i++) {
    const page = mem_map.at(block.pfn + i);
    page.flags = 0;
    page._mapcount = -1;
    page.mapping = 0;
    page.index = 0;
    page.private = 0;
    page.lru_next = 0;
    page.lru_prev = 0;
    page.compound_head = i === 0 ? null : block;
    page._refcount = 0;
    if (zeroed) {
      page.content = ZERO_CONTENT;
    }
  }
  if (order > 0) {
    prep_compound_head(block, order);
  }
  block._refcount = 1;
}

/** mm/page_alloc.c: get_page_from_freelist() v6.18 of the one zone: a folio if that leaves more than `mark` free. */
export function get_page_from_freelist(order: number, mark: number, zeroed: boolean): folio | null {
  if (!zone_watermark_ok(order, mark, nr_free_pages())) {
    return null;
  }
  const block = __rmqueue_smallest(order);
  if (block === null) {
    return null;
  }
  prep_new_page(block, order, zeroed);
  const node = NODE_DATA();
  node.used_pages = node.used_pages + (1 << order);
  trace_mm_page_alloc({ page: block, order });
  return block;
}

/**
 * folio_alloc() with GFP_NOWAIT: a folio of 2^order pages with one reference; `zeroed` is __GFP_ZERO. NULL if
 * it cannot be had without reclaim; kswapd has been woken then. Who may sleep calls alloc_pages().
 */
export function folio_alloc(order: number, zeroed = false): folio | null {
  if (should_fail_alloc_page()) {
    return null;
  }
  const node = NODE_DATA();
  const folio = get_page_from_freelist(order, node.watermark_low, zeroed);
  if (folio !== null) {
    return folio;
  }
  wakeup_kswapd(order);
  return get_page_from_freelist(order, node.watermark_min, zeroed);
}

/** page_folio(): the head of the folio a page belongs to. */
export function page_folio(page: page): folio {
  return page.compound_head ?? page;
}

/**
 * __isolate_free_page() and split_map_pages(): takes a free block off its list; its pages, lowest first, each with
 * one reference.
 */
export function isolateFreeBlock(block: page): folio[] {
  const order = block.private;
  const pages: folio[] = [];
  del_page_from_free_list(block, order);
  const node = NODE_DATA();
  node.used_pages = node.used_pages + (1 << order);
  for (let i = 0; i < 1 << order; i++) {
    const page = mem_map.at(block.pfn + i);
    prep_new_page(page, 0, false);
    pages.push(page);
  }
  return pages;
}

/** free_pages_prepare()'s checks: a page that goes back must be in no state, a large folio without mappings and pins. */
function free_page_is_bad(page: page): boolean {
  return (
    (folio_has_pincount(page) && (folio_pincount(page) !== 0 || folio_mapped(page))) ||
    page._mapcount !== -1 ||
    page._refcount !== 0 ||
    (page.flags & (PG_locked | PG_lru | PG_writeback | PG_buddy | PG_reserved)) !== 0
  );
}

/** free_frozen_pages(): gives 2^order frames back; merges with free buddies. */
export function free_frozen_pages(block: page, order: number): void {
  trace_mm_page_free({ page: block, order });
  for (let i = 0; i < 1 << order; i++) {
    const page = mem_map.at(block.pfn + i);
    if (free_page_is_bad(page)) {
      reportFinding('bad-page', `page ${page.pfn} freed while still in use`, [
        `flags ${page.flags.toString(16)} refcount ${page._refcount} mapcount ${page._mapcount + 1}`,
      ]);
      return;
    }
  }
  for (let i = 0; i < 1 << order; i++) {
    const page = mem_map.at(block.pfn + i);
    page.flags = 0;
    page.mapping = 0;
    page.private = 0;
    page.compound_head = null;
  }
  const node = NODE_DATA();
  node.used_pages = node.used_pages - (1 << order);
  let pfn = block.pfn;
  let merged = order;
  while (merged < NR_PAGE_ORDERS - 1) {
    const buddy_pfn = pfn ^ (1 << merged);
    if (buddy_pfn >= node.spanned_pages) {
      break;
    }
    const buddy = mem_map.at(buddy_pfn);
    if ((buddy.flags & PG_buddy) === 0 || buddy.private !== merged) {
      break;
    }
    del_page_from_free_list(buddy, merged);
    pfn &= buddy_pfn;
    merged++;
  }
  add_to_free_list(mem_map.at(pfn), merged, false);
}

// ---- reference counts

export const folio_ref_count = (folio: folio): number => folio._refcount;

/** folio_get(), folio_ref_add(). */
export function folio_get(folio: folio, nr = 1): void {
  VM_BUG_ON_FOLIO(folio._refcount <= 0, folio, 'folio_ref_zero_or_close_to_overflow(folio)');
  folio._refcount = folio._refcount + nr;
}

/** folio_try_get(): a reference unless the count is already zero. */
export function folio_try_get(folio: folio): boolean {
  if (folio._refcount === 0) {
    return false;
  }
  folio._refcount = folio._refcount + 1;
  return true;
}

/** folio_ref_sub(), without the final put. */
export function folio_ref_sub(folio: folio, nr: number): void {
  folio._refcount = folio._refcount - nr;
}

/** folio_put_testzero(). */
export function folio_put_testzero(folio: folio): boolean {
  VM_BUG_ON_FOLIO(folio._refcount <= 0, folio, 'folio_ref_count(folio) == 0');
  folio._refcount = folio._refcount - 1;
  return folio._refcount === 0;
}

/** folio_ref_freeze(): takes all `count` references at once, or none. */
export function folio_ref_freeze(folio: folio, count: number): boolean {
  if (folio._refcount !== count) {
    return false;
  }
  folio._refcount = 0;
  return true;
}

/** folio_ref_unfreeze(). */
export function folio_ref_unfreeze(folio: folio, count: number): void {
  folio._refcount = count;
}
