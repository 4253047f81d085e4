/**
 * Structs of 2.4.0 and of the anon layer that was written for 2.3.99-pre6, and the words that they share with
 * structs of later kernels.
 *
 * A vm_area_struct keeps the links of these kernels in words that later kernels use for something else:
 *
 *     shared_rb          words 0 and 1: vm_next_share, vm_pprev_share; the rest: mm/early24/vma_list.ts
 *     anon_vma           vm_anon: an anon_area
 *     anon_vma_chain     word 0: vm_anon_next_share, word 1: vm_anon_pprev_share
 *
 * A `pprev` holds the address of the word that points to the VMA. Other unions: struct page's `age` is in the
 * upper bits of `flags` (mm/early24/page_age.ts). page->list has no place there: mm/early24/page_links.ts.
 */
import { type Obj, type spinlock_t, struct, type words } from '../../../sim/struct.ts';

/** Global variables of mm/ in these kernels. */
export interface early24_globals extends Obj {
  /** The page cache's hash and lists. Outside pagemap_lru_lock. */
  pagecache_lock: spinlock_t;
  /** The lists of pages and their ages. */
  pagemap_lru_lock: spinlock_t;
  /** init_mm.mmlist: every address space, for swap_out(). */
  mmlist_lock: spinlock_t;
  /** page->list of all frames: numbers of two tables, 0 while nothing is on a list. */
  list_next: number;
  list_prev: number;
}

export const early24_globals_cachep = struct<early24_globals>('early24_globals', {
  pagecache_lock: 'spinlock',
  pagemap_lru_lock: 'spinlock',
  mmlist_lock: 'spinlock',
  list_next: 'n',
  list_prev: 'n',
});

/**
 * struct anon_area of the anon layer: a pseudo address_space for the private pages of a VMA and of what fork, splits
 * and mremap make of it. It has a reference to each of its pages.
 */
export interface anon_area extends Obj {
  /** VMAs attached: as many as are on i_mmap. */
  count: number;
  /** mapping.pages, newest first: pfn + 1, 0 = none. Protected by pagecache_lock. */
  pages: number;
  nrpages: number;
  /** mapping.i_mmap: the first VMA. Protected by i_shared_lock. */
  i_mmap: words;
  i_shared_lock: spinlock_t;
}

export const anon_area_cachep = struct<anon_area>('anon_area', {
  count: 'n',
  pages: 'n',
  nrpages: 'n',
  i_mmap: ['words', 1],
  i_shared_lock: 'spinlock',
});
