/**
 * Structs of 2.4.0 and of the anon layer that was written for 2.3.99-pre6, and the words that they share with
 * structs of later kernels.
 *
 * A vm_area_struct keeps the links of these kernels in words that later kernels use for something else:
 *
 *     shared_rb          word 0: vm_next_share, word 1: vm_pprev_share
 *     anon_vma           vm_anon: an anon_area
 *     anon_vma_chain     word 0: vm_anon_next_share, word 1: vm_anon_pprev_share
 *
 * A `pprev` holds the address of the word that points to the VMA. Other unions: struct page's `age` is in the
 * upper bits of `flags` (mm/early24/page_age.ts), the list of an anon_area's pages in lru_next and lru_prev.
 */
import { type Obj, type spinlock_t, struct } from '../../../sim/struct.ts';

/** Global variables of mm/ in these kernels. */
export interface early24_globals extends Obj {
  /** The page cache's hash and lists. Outside pagemap_lru_lock. */
  pagecache_lock: spinlock_t;
  /** The lists of pages and their ages. */
  pagemap_lru_lock: spinlock_t;
  /** init_mm.mmlist: every address space, for swap_out(). */
  mmlist_lock: spinlock_t;
}

export const early24_globals_cachep = struct<early24_globals>('early24_globals', {
  pagecache_lock: 'spinlock',
  pagemap_lru_lock: 'spinlock',
  mmlist_lock: 'spinlock',
});
