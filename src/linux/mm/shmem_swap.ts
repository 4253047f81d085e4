/**
 * mm/shmem.c v6.18: tmpfs pages in swap: their slot stands in the page cache in the place of the page.
 *
 * Lock tree: folio lock; inside it one step for the page cache (i_pages lock) and one for the area.
 * Fidelity: dup for small folios; no quotas, block accounting, fallocated pages.
 */
import { block, type K } from '../../sim/wait.ts';
import { EEXIST, EINVAL, EIO, ENOMEM } from '../errno.ts';
import { BUG_ON } from '../lib/bug.ts';
import { list_add, list_del_init, list_empty, list_is_head, list_next } from '../lib/list.ts';
import { type address_space, type folio, type inode, inode_cachep } from '../mm_types.ts';
import { processGlobals } from '../roots.ts';
import { folio_lock, folio_unlock, folio_wait_writeback } from './folio_lock.ts';
import { folio_mapped } from './large_folio.ts';
import {
  page_cache_next_swap,
  page_cache_swap_entry,
  shmem_add_to_page_cache,
  shmem_delete_from_page_cache,
  shmemClearSwap,
} from './page_cache.ts';
import { folio_set, folio_test_swapcache, folio_test_uptodate, PG_uptodate } from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import { folio_put } from './swap.ts';
import type { swp_entry_t } from './swap_entry.ts';
import { free_swap_and_cache, swap_cache_get_folio, swapinPage } from './swap_state.ts';
import {
  folio_alloc_swap,
  swap_cache_del_folio,
  swap_free,
  swap_info,
  swap_shmem_alloc,
} from './swapfile.ts';
import { shmem_eviction_allowed } from './wait_conditions.ts';

const inodeOfList = inode_cachep.container('swaplist');

/**
 * mm/shmem.c: shmem_writeout() v6.18 up to swap_writeout(): the folio moves from the page cache to the swap
 * cache. False (AOP_WRITEPAGE_ACTIVATE): it stays, dirty and locked. Preconditions: locked, unmapped.
 */
export function* shmem_writeout(folio: folio, mapping: address_space): K<boolean> {
  const inode = mapping.host as inode;
  if (swap_info() === null) {
    folio_mark_dirty(folio);
    return false;
  }
  if (!folio_test_uptodate(folio)) {
    folio_set(folio, PG_uptodate);
  }
  if (folio_alloc_swap(folio) !== 0) {
    folio_mark_dirty(folio);
    return false;
  }
  inode.swapped = inode.swapped + 1;
  // Listed before the folio leaves the page cache: until then its lock keeps the inode from eviction.
  if (list_empty(inode.swaplist)) {
    list_add(inode.swaplist, processGlobals().shmem_swaplist);
  }
  swap_shmem_alloc(folio.private);
  shmem_delete_from_page_cache(folio, mapping, folio.private);
  BUG_ON(folio_mapped(folio), 'folio_mapped(folio)');
  return true;
}

/** What shmem_swapin_folio() gives back. */
export interface shmem_swapin {
  /** 0 or a negative errno; -EEXIST: look again. */
  readonly error: number;
  /** The page, locked and with a reference. */
  readonly folio: folio | null;
  /** It was read from the device (VM_FAULT_MAJOR). */
  readonly major: boolean;
}

/** mm/shmem.c: shmem_confirm_swap() v6.18: the entry still stands at `index`. */
function shmem_confirm_swap(mapping: address_space, index: number, swap: swp_entry_t): boolean {
  return page_cache_swap_entry(mapping, index) === swap;
}

/**
 * mm/shmem.c: shmem_swapin_folio() v6.18: brings the page of a swap entry found at `index` back into the page
 * cache.
 */
export function* shmem_swapin_folio(
  mapping: address_space,
  index: number,
  swap: swp_entry_t,
): K<shmem_swapin> {
  const inode = mapping.host as inode;
  const failed = (error: number): shmem_swapin => ({ error, folio: null, major: false });
  // get_swap_device().
  if (swap_info() === null) {
    return failed(shmem_confirm_swap(mapping, index, swap) ? -EINVAL : -EEXIST);
  }
  if (!shmem_confirm_swap(mapping, index, swap)) {
    return failed(-EEXIST);
  }
  let folio = swap_cache_get_folio(swap);
  let major = false;
  if (folio === null) {
    folio = yield* swapinPage(swap);
    if (folio === null) {
      return failed(shmem_confirm_swap(mapping, index, swap) ? -ENOMEM : -EEXIST);
    }
    major = true;
  }
  yield* folio_lock(folio);
  if (
    !folio_test_swapcache(folio) ||
    !shmem_confirm_swap(mapping, index, swap) ||
    folio.private !== swap
  ) {
    folio_unlock(folio);
    folio_put(folio);
    return failed(-EEXIST);
  }
  if (!folio_test_uptodate(folio)) {
    folio_unlock(folio);
    folio_put(folio);
    return failed(-EIO);
  }
  yield* folio_wait_writeback(folio);
  if (!shmem_add_to_page_cache(folio, mapping, index, swap)) {
    folio_unlock(folio);
    folio_put(folio);
    return failed(-EEXIST);
  }
  inode.swapped = inode.swapped - 1;
  swap_cache_del_folio(folio);
  folio_mark_dirty(folio);
  swap_free(swap);
  return { error: 0, folio, major };
}

/** mm/shmem.c: shmem_free_swap() v6.18: a swap entry leaves the page cache for good. True if it was there. */
export function shmem_free_swap(mapping: address_space, index: number, swap: swp_entry_t): boolean {
  if (!shmemClearSwap(mapping, index, swap)) {
    return false;
  }
  free_swap_and_cache(swap);
  const inode = mapping.host as inode;
  inode.swapped = inode.swapped - 1;
  return true;
}

/** The end of shmem_evict_inode(): off the list, unless swapoff is at the inode again. One step. */
function leaveSwaplist(inode: inode): void {
  if (inode.stop_eviction === 0) {
    list_del_init(inode.swaplist);
  }
}

/**
 * mm/shmem.c: shmem_evict_inode() v6.18: a dying inode leaves the list of those with swapped pages, once
 * swapoff has finished with it. Preconditions: its pages are gone.
 */
export function* shmem_evict_inode(inode: inode): K {
  while (!list_empty(inode.swaplist)) {
    yield* block(shmem_eviction_allowed, inode.addr, 0);
    leaveSwaplist(inode);
  }
}

/** mm/shmem.c: shmem_unuse_inode() v6.18: 0 or -ENOMEM. Entries are looked up one at a time, not in batches. */
function* shmem_unuse_inode(inode: inode): K<number> {
  const mapping = inode.i_mapping as address_space;
  let index = page_cache_next_swap(mapping, 0);
  while (index >= 0) {
    const swap = page_cache_swap_entry(mapping, index);
    if (swap !== 0) {
      const { error, folio } = yield* shmem_swapin_folio(mapping, index, swap);
      if (folio !== null) {
        folio_unlock(folio);
        folio_put(folio);
      }
      if (error === -ENOMEM) {
        return error;
      }
    }
    index = page_cache_next_swap(mapping, index);
  }
  return 0;
}

/**
 * The next inode with swapped pages, which cannot be evicted until it is given back here as `done`; others leave the
 * list. One step, under shmem_swaplist_lock in Linux.
 */
function nextSwappedInode(done: inode | null): inode | null {
  const head = processGlobals().shmem_swaplist;
  let at = list_next(head);
  if (done !== null) {
    done.stop_eviction = done.stop_eviction - 1;
    // If it has left the list meanwhile, the place in the list is lost.
    if (!list_empty(done.swaplist)) {
      at = list_next(done.swaplist);
      if (done.swapped === 0) {
        list_del_init(done.swaplist);
      }
    }
  }
  while (!list_is_head(at, head)) {
    const inode = inodeOfList(at);
    if (inode.swapped > 0) {
      inode.stop_eviction = inode.stop_eviction + 1;
      return inode;
    }
    const next = list_next(at);
    list_del_init(at);
    at = next;
  }
  return null;
}

/** mm/shmem.c: shmem_unuse() v6.18: the tmpfs pages of the area come back, inode by inode. 0 or -ENOMEM. */
export function* shmem_unuse(): K<number> {
  let inode = nextSwappedInode(null);
  while (inode !== null) {
    const error = yield* shmem_unuse_inode(inode);
    if (error < 0) {
      inode.stop_eviction = inode.stop_eviction - 1;
      return error;
    }
    inode = nextSwappedInode(inode);
  }
  return 0;
}
