/**
 * mm/anon.c, David Miller's anon layer of April 2000, written upon 2.3.99-pre6 and never merged: a private VMA gets, with its
 * first page, a pseudo object like a file's address_space. Pages hang off it and so do the VMAs, those that
 * fork, splits and mremap make of the first one included, so that one loop finds the entries of any page.
 *
 * The names are those of the posted file; calls and checks are those of the tree that its author sent around when he gave it
 * up on 30 April. Features take them back to what was posted.
 *
 * Lock tree: mmap_sem -> i_shared_lock of the area -> i_shared_lock of the file -> page_table_lock; pagecache_lock ->
 * pagemap_lru_lock; but reclaim holds pagemap_lru_lock and takes i_shared_lock.
 * Fidelity: dup after the posted file and its author's description; pages are on the LRU lists of mm/swap_lru.ts.
 */
import type { K } from '../../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import { BUG_ON } from '../../lib/bug.ts';
import { mem_map, type page, type vm_area_struct } from '../../mm_types.ts';
import { type anon_area, anon_area_cachep } from '../early24/early24_types.ts';
import { trace_area_alloc, trace_area_free, trace_area_page } from '../early24/events.ts';
import { early24Globals } from '../early24/globals.ts';
import { allocPrivatePage } from '../early24/mapped.ts';
import { list_next_of, list_prev_of, set_list_next, set_list_prev } from '../early24/page_links.ts';
import { anon_links, pprevInsert, pprevRemove, vmaIn } from '../early24/pprev.ts';
import { should_failslab } from '../failslab.ts';
import { folio_lock, folio_trylock, folio_unlock } from '../folio_lock.ts';
import { linear_page_index } from '../mm.ts';
import { folio_get } from '../page_alloc.ts';
import {
  anon_mapping,
  FOLIO_MAPPING_ANON,
  folio_clear,
  folio_set,
  folio_test_lru,
  folio_test_swapcache,
  mapping_pointer,
  PG_active,
  PG_dirty,
  PG_lru,
} from '../page-flags.ts';
import { folio_put } from '../swap.ts';
import { lruvec_add_folio, lruvec_del_folio } from '../swap_lru.ts';
import { swap_cache_del_folio } from '../swapfile.ts';

/** vma->vm_anon. */
export const vm_anon = (vma: vm_area_struct): anon_area | null =>
  vma.anon_vma as unknown as anon_area | null;

function set_vm_anon(vma: vm_area_struct, area: anon_area | null): void {
  vma.anon_vma = area as unknown as vm_area_struct['anon_vma'];
}

/** mapping->i_mmap of an area, and vma->vm_anon_next_share. */
export const firstOfArea = (area: anon_area): vm_area_struct | null => vmaIn(area.i_mmap);
export const vm_anon_next_share = (vma: vm_area_struct): vm_area_struct | null =>
  vmaIn(anon_links(vma));

/** The area whose page this is (PG_anon and page->mapping), or null. */
export const area_of = (page: page): anon_area | null =>
  page.mapping === FOLIO_MAPPING_ANON || (page.mapping & FOLIO_MAPPING_ANON) === 0
    ? null
    : (mapping_pointer(page.mapping) as anon_area);

// ---------------------------------------------------------------- VMAs

/** mm/anon.c: anon_alloc(). Null: no memory. */
function* anon_alloc(vma: vm_area_struct): K<anon_area | null> {
  if (should_failslab()) {
    return null;
  }
  const area = anon_area_cachep.alloc();
  area.count = 1;
  // Not under i_shared_lock: nobody knows the area yet. But nothing keeps a second fault from doing the same.
  set_vm_anon(vma, area);
  pprevInsert(vma, area.i_mmap, anon_links);
  trace_area_alloc({ area, vma });
  return area;
}

/** mm/anon.c: get_anon(). Null: no memory. Preconditions: mmap_sem, which must not be shared here. */
export function* get_anon(vma: vm_area_struct): K<anon_area | null> {
  const area = vm_anon(vma);
  if (area !== null) {
    return area;
  }
  return yield* anon_alloc(vma);
}

/** mm/anon.c: __anon_dup(): `vma` may have pages of the area of `old`. Preconditions: i_shared_lock of the area. */
export function __anon_dup(old: vm_area_struct, vma: vm_area_struct): void {
  const area = vm_anon(old);
  if (BUG_ON(area === null, 'vma->vm_anon == NULL') || area === null) {
    return;
  }
  area.count = area.count + 1;
  pprevInsert(vma, area.i_mmap, anon_links);
  set_vm_anon(vma, area);
}

/** mm/anon.c: anon_dup(). */
export function* anon_dup(old: vm_area_struct, vma: vm_area_struct): K {
  const area = vm_anon(old);
  if (BUG_ON(area === null, 'vma->vm_anon == NULL') || area === null) {
    return;
  }
  area.count = area.count + 1;
  // anon_insert_vma()
  yield* spin_lock(area.i_shared_lock);
  pprevInsert(vma, area.i_mmap, anon_links);
  spin_unlock(area.i_shared_lock);
  set_vm_anon(vma, area);
}

/** mm/anon.c: anon_remove_vma(). */
function* anon_remove_vma(vma: vm_area_struct, area: anon_area): K {
  yield* spin_lock(area.i_shared_lock);
  pprevRemove(vma, anon_links);
  spin_unlock(area.i_shared_lock);
}

/** atomic_dec_and_test(). */
function dec_and_test(area: anon_area): boolean {
  area.count = area.count - 1;
  return area.count === 0;
}

/**
 * mm/anon.c: anon_put(): the VMA goes, or its pages have. An area without VMAs goes, too. Between the count and anon_trim()
 * nothing keeps the area: whoever has the last VMA may have freed it.
 */
export function* anon_put(vma: vm_area_struct): K {
  const area = vm_anon(vma);
  if (BUG_ON(area === null, 'vma->vm_anon == NULL') || area === null) {
    return;
  }
  yield* anon_remove_vma(vma, area);
  if (dec_and_test(area)) {
    yield* invalidate_anon_pages(area);
    trace_area_free({ area });
    anon_area_cachep.free(area);
  } else {
    yield* anon_trim(vma);
  }
  set_vm_anon(vma, null);
}

/** mm/anon.c: __anon_put() as merge_segments() calls it: another VMA keeps the area. Preconditions: i_shared_lock. */
export function __anon_put(vma: vm_area_struct): void {
  const area = vm_anon(vma);
  if (area !== null) {
    pprevRemove(vma, anon_links);
    area.count = area.count - 1;
    set_vm_anon(vma, null);
  }
}

// ---------------------------------------------------------------- pages

/** lru_cache_add() and lru_cache_del() of 2.3.99-pre6. Atomic. Preconditions: pagemap_lru_lock. */
function addToLru(page: page): void {
  folio_set(page, PG_lru | PG_active);
  lruvec_add_folio(page);
}

function delFromLru(page: page): void {
  if (folio_test_lru(page)) {
    lruvec_del_folio(page);
    folio_clear(page, PG_lru | PG_active);
  }
}

/** The insertion into mapping->pages. Atomic. Preconditions: pagecache_lock. */
function linkPage(area: anon_area, page: page): void {
  const first = area.pages;
  area.nrpages = area.nrpages + 1;
  set_list_next(page, first);
  set_list_prev(page, 0);
  if (first !== 0) {
    set_list_prev(mem_map.at(first - 1), page.pfn + 1);
  }
  area.pages = page.pfn + 1;
  page.mapping = anon_mapping(area as unknown as Parameters<typeof anon_mapping>[0]);
}

/** list_del() from mapping->pages; the page is nobody's. Atomic. Preconditions: pagecache_lock. */
function unlinkPage(area: anon_area, page: page): void {
  const next = list_next_of(page);
  const prev = list_prev_of(page);
  if (prev === 0) {
    area.pages = next;
  } else {
    set_list_next(mem_map.at(prev - 1), next);
  }
  if (next !== 0) {
    set_list_prev(mem_map.at(next - 1), prev);
  }
  area.nrpages = area.nrpages - 1;
  page.mapping = FOLIO_MAPPING_ANON;
}

/** mm/anon.c: anon_page_insert(): the page is the area's, at its place in the VMA. */
export function* anon_page_insert(
  vma: vm_area_struct,
  address: number,
  area: anon_area,
  page: page,
): K {
  const { pagecache_lock, pagemap_lru_lock } = early24Globals();
  page.index = linear_page_index(vma, address);
  folio_get(page);
  yield* spin_lock(pagecache_lock);
  linkPage(area, page);
  trace_area_page({ area, page, vma, address });
  spin_unlock(pagecache_lock);
  yield* spin_lock(pagemap_lru_lock);
  if (!folio_test_lru(page)) {
    addToLru(page);
  }
  spin_unlock(pagemap_lru_lock);
}

/**
 * mm/anon.c: anon_page_add(): of a page that was swapped in. 0 or -1. With anon_mail_add, as posted, it does not look whether
 * another sharer of the page has done it. The page is not locked.
 */
export function* anon_page_add(vma: vm_area_struct, address: number, page: page): K<number> {
  const area = yield* get_anon(vma);
  if (area === null) {
    return -1;
  }
  const owner = area_of(page);
  if (owner !== null && !has('anon_mail_add')) {
    BUG_ON(owner !== area, 'page->mapping != vma->vm_anon');
    return 0;
  }
  yield* anon_page_insert(vma, address, area, page);
  return 0;
}

/** mm/anon.c: anon_cow(): a copy of `orig` for the VMA. Null: no memory. No spinlock held. */
export function* anon_cow(vma: vm_area_struct, address: number, orig: page): K<page | null> {
  const area = yield* get_anon(vma);
  if (area === null) {
    return null;
  }
  const page = yield* allocPrivatePage(false);
  if (page === null) {
    return null;
  }
  page.content = orig.content;
  yield* anon_page_insert(vma, address, area, page);
  return page;
}

/** Pages of an area as they are now, newest first. */
function pagesOf(area: anon_area): page[] {
  const pages: page[] = [];
  for (let link = area.pages; link !== 0 && pages.length <= area.nrpages; ) {
    const page = mem_map.at(link - 1);
    pages.push(page);
    link = list_next_of(page);
  }
  return pages;
}

/**
 * mm/anon.c: anon_trim(): frees the area's pages that nobody else has. All of its pages are looked at, whoever goes. A page
 * of the swap cache has another reference and stays. Preconditions: the entries of the VMA are cleared.
 */
export function* anon_trim(vma: vm_area_struct): K {
  const { pagecache_lock, pagemap_lru_lock } = early24Globals();
  const area = vm_anon(vma);
  if (area === null) {
    return;
  }
  yield* spin_lock(pagecache_lock);
  for (const page of pagesOf(area)) {
    if (page._refcount !== 1 || !folio_trylock(page)) {
      continue;
    }
    yield* spin_lock(pagemap_lru_lock);
    delFromLru(page);
    spin_unlock(pagemap_lru_lock);
    unlinkPage(area, page);
    folio_unlock(page);
    folio_put(page);
  }
  spin_unlock(pagecache_lock);
}

/** delete_from_swap_cache_nolock() of a page on an area's list. Preconditions: page lock. */
function leaveSwapCache(page: page): void {
  folio_clear(page, PG_dirty);
  swap_cache_del_folio(page);
}

/** mm/anon.c: invalidate_anon_pages(): the area goes, nobody maps its pages any more. */
function* invalidate_anon_pages(area: anon_area): K {
  const { pagecache_lock, pagemap_lru_lock } = early24Globals();
  yield* spin_lock(pagecache_lock);
  while (area.pages !== 0) {
    const page = mem_map.at(area.pages - 1);
    folio_get(page);
    if (!folio_trylock(page)) {
      spin_unlock(pagecache_lock);
      yield* folio_lock(page);
      yield* spin_lock(pagecache_lock);
    }
    if (area_of(page) !== area) {
      // Reclaim had it locked and has freed it.
      folio_unlock(page);
      folio_put(page);
      continue;
    }
    if (folio_test_swapcache(page)) {
      spin_unlock(pagecache_lock);
      leaveSwapCache(page);
      yield* spin_lock(pagecache_lock);
    }
    folio_put(page);
    yield* spin_lock(pagemap_lru_lock);
    delFromLru(page);
    spin_unlock(pagemap_lru_lock);
    unlinkPage(area, page);
    folio_unlock(page);
    folio_put(page);
  }
  spin_unlock(pagecache_lock);
  BUG_ON(area.nrpages !== 0, 'area->mapping.nrpages');
}

/** mm/anon.c: anon_page_kill(): a copy that came too late. The allocator's reference goes, too. */
export function* anon_page_kill(page: page): K {
  const { pagecache_lock, pagemap_lru_lock } = early24Globals();
  yield* folio_lock(page);
  yield* spin_lock(pagecache_lock);
  yield* spin_lock(pagemap_lru_lock);
  delFromLru(page);
  spin_unlock(pagemap_lru_lock);
  const area = area_of(page);
  if (area !== null) {
    unlinkPage(area, page);
  }
  spin_unlock(pagecache_lock);
  folio_unlock(page);
  folio_put(page);
  folio_put(page);
}

/**
 * mm/anon.c: anon_try_to_free_page(): the area gives the page up if nobody but its caches and the caller has it.
 * Preconditions: page lock, a reference of the caller's.
 */
export function* anon_try_to_free_page(page: page): K<boolean> {
  const { pagecache_lock, pagemap_lru_lock } = early24Globals();
  const area = area_of(page);
  if (area === null) {
    return false;
  }
  yield* spin_lock(pagecache_lock);
  if (folio_test_swapcache(page)) {
    if (page._refcount !== 3) {
      spin_unlock(pagecache_lock);
      return false;
    }
    spin_unlock(pagecache_lock);
    leaveSwapCache(page);
    yield* spin_lock(pagecache_lock);
  }
  const free = page._refcount === 2;
  if (free) {
    yield* spin_lock(pagemap_lru_lock);
    delFromLru(page);
    spin_unlock(pagemap_lru_lock);
    unlinkPage(area, page);
    folio_put(page);
  }
  spin_unlock(pagecache_lock);
  return free;
}
