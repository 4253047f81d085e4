/**
 * mm/vmscan.c v2.6.34: reclaim of one page that the caller has taken off the LRU.
 *
 * Lock tree: page lock -> anon_vma lock or i_mmap_lock -> ptl. Fidelity: dup for the steps of shrink_page_list();
 * the two walks (page_referenced, try_to_unmap) lock separately, so that VMAs may come and go between them.
 */
import type { K } from '../../../sim/wait.ts';
import type { page } from '../../mm_types.ts';
import { trace_swap_out } from '../events.ts';
import {
  folio_end_writeback,
  folio_start_writeback,
  folio_trylock,
  folio_unlock,
} from '../folio_lock.ts';
import { isolateAt } from '../migrate.ts';
import { VM_LOCKED } from '../mm.ts';
import type { page_reclaim_ops } from '../ops.ts';
import {
  folio_ref_count,
  folio_ref_freeze,
  folio_ref_unfreeze,
  free_frozen_pages,
} from '../page_alloc.ts';
import { __filemap_remove_folio, folio_mapping } from '../page_cache.ts';
import {
  folio_clear,
  folio_set,
  folio_test_anon,
  folio_test_clear,
  folio_test_dirty,
  folio_test_mlocked,
  folio_test_swapbacked,
  folio_test_swapcache,
  folio_test_writeback,
  PG_active,
  PG_dirty,
  PG_referenced,
} from '../page-flags.ts';
import { folio_clear_dirty_for_io } from '../page-writeback.ts';
import { folio_putback_lru } from '../swap.ts';
import {
  __swap_cache_del_folio,
  folio_alloc_swap,
  folio_free_swap,
  put_swap_folio,
  vm_swap_full,
  writeSwapDevice,
} from '../swapfile.ts';
import {
  page_mapped,
  page_referenced,
  SWAP_FAIL,
  SWAP_MLOCK,
  TTU_UNMAP,
  try_to_unmap,
} from './rmap.ts';

const PAGEREF_RECLAIM = 0;
const PAGEREF_RECLAIM_CLEAN = 1;
const PAGEREF_KEEP = 2;
const PAGEREF_ACTIVATE = 3;

/** mm/vmscan.c: page_check_references() v2.6.34. */
function* page_check_references(page: page): K<number> {
  const refs = yield* page_referenced(page, true);
  const referenced_page = folio_test_clear(page, PG_referenced);
  if ((refs.vm_flags & VM_LOCKED) !== 0) {
    // try_to_unmap() will find the mlock and put the page where it belongs.
    return PAGEREF_RECLAIM;
  }
  if (refs.referenced > 0) {
    if (folio_test_anon(page)) {
      return PAGEREF_ACTIVATE;
    }
    // A file page used once is given one more round.
    folio_set(page, PG_referenced);
    return referenced_page ? PAGEREF_ACTIVATE : PAGEREF_KEEP;
  }
  return referenced_page ? PAGEREF_RECLAIM_CLEAN : PAGEREF_RECLAIM;
}

/** mm/vmscan.c: __remove_mapping() v2.6.34. True: out of its cache and without a reference. Atomic: tree_lock. */
function __remove_mapping(page: page): boolean {
  if (!folio_ref_freeze(page, 2)) {
    return false;
  }
  if (folio_test_dirty(page)) {
    folio_ref_unfreeze(page, 2);
    return false;
  }
  if (folio_test_swapcache(page)) {
    const swap = page.private;
    __swap_cache_del_folio(page, swap);
    put_swap_folio(page, swap);
  } else {
    __filemap_remove_folio(page);
  }
  return true;
}

/** The ends of shrink_page_list() for a page that stays. */
function keepPage(page: page, activate: boolean): false {
  if (activate) {
    if (vm_swap_full()) {
      // Not worth a slot if it is used.
      folio_free_swap(page);
    }
    folio_set(page, PG_active);
  }
  folio_unlock(page);
  return false;
}

/** shrink_page_list() at a page that some VMA has locked (its label cull_mlocked): it goes to the unevictable ones. */
function cullMlocked(page: page): false {
  folio_free_swap(page);
  folio_unlock(page);
  return false;
}

/** mm/vmscan.c: shrink_page_list() v2.6.34 for one page. True: freed. False: unlocked, to be put back. */
function* shrinkPage(page: page): K<boolean> {
  if (!folio_trylock(page)) {
    return false;
  }
  folio_clear(page, PG_active);
  if (folio_test_mlocked(page)) {
    return cullMlocked(page);
  }
  if (folio_test_writeback(page)) {
    return keepPage(page, false);
  }
  const references = yield* page_check_references(page);
  if (references === PAGEREF_ACTIVATE) {
    return keepPage(page, true);
  }
  if (references === PAGEREF_KEEP) {
    return keepPage(page, false);
  }
  if (folio_test_anon(page) && !folio_test_swapcache(page)) {
    // add_to_swap(): dirty, so that it is written.
    if (folio_alloc_swap(page) !== 0) {
      return keepPage(page, true);
    }
    folio_set(page, PG_dirty);
  }
  const cached = folio_test_swapcache(page) || folio_mapping(page) !== null;
  if (page_mapped(page) && cached) {
    const ret = yield* try_to_unmap(page, TTU_UNMAP);
    if (ret === SWAP_MLOCK) {
      return cullMlocked(page);
    }
    if (page_mapped(page)) {
      // SWAP_FAIL: used meanwhile. SWAP_AGAIN: not all of its entries could be found or taken.
      return keepPage(page, ret === SWAP_FAIL);
    }
  }
  if (folio_test_dirty(page)) {
    if (references === PAGEREF_RECLAIM_CLEAN) {
      return keepPage(page, false);
    }
    // pageout(): file pages are left to the flusher threads here.
    const writes = folio_test_swapcache(page) && folio_ref_count(page) === 2;
    if (!writes || !folio_clear_dirty_for_io(page)) {
      return keepPage(page, !folio_test_swapbacked(page));
    }
    if (!folio_free_swap(page)) {
      const entry = page.private;
      folio_start_writeback(page);
      folio_unlock(page);
      writeSwapDevice(page);
      trace_swap_out({ page, entry });
      folio_end_writeback(page);
      if (!folio_trylock(page)) {
        return false;
      }
    }
    if (folio_test_dirty(page) || folio_test_writeback(page)) {
      return keepPage(page, false);
    }
  }
  if (!cached || !__remove_mapping(page)) {
    return keepPage(page, false);
  }
  folio_unlock(page);
  free_frozen_pages(page, 0);
  return true;
}

/** mm/vmscan.c: shrink_page_list() v2.6.34 of pages that the scan has isolated, the last first. */
function* shrink_page_list(
  pages: readonly page[],
): ReturnType<page_reclaim_ops['shrink_page_list']> {
  const page_list = [...pages];
  const kept: page[] = [];
  let nr_reclaimed = 0;
  let nr_unqueued_dirty = 0;
  let nr_pageout = 0;
  for (;;) {
    const page = page_list.pop();
    if (page === undefined) {
      break;
    }
    const swapbacked = folio_test_swapbacked(page);
    const write = swapbacked && (folio_test_dirty(page) || !folio_test_swapcache(page));
    nr_unqueued_dirty += !swapbacked && folio_test_dirty(page) ? 1 : 0;
    if (yield* shrinkPage(page)) {
      nr_reclaimed = nr_reclaimed + 1;
      nr_pageout += write ? 1 : 0;
    } else {
      kept.push(page);
    }
  }
  return { nr_reclaimed, nr_unqueued_dirty, nr_pageout, kept };
}

/** page_referenced() of the active list: without the page lock. */
function* activeReferenced(page: page): ReturnType<page_reclaim_ops['page_referenced']> {
  const refs = yield* page_referenced(page, false);
  return { count: refs.referenced, vm_flags: refs.vm_flags };
}

/** The scan of the lists is that of v6.18, the steps of a page are these. */
export const classic_page_reclaim: page_reclaim_ops = {
  shrink_page_list,
  page_referenced: activeReferenced,
};

/** Reclaims the page that task number `task` maps at `address`. 1 freed, 0 kept, or a negative errno. */
export function* reclaimAt(task: number, address: number): K<number> {
  const page = isolateAt(task, address);
  if (typeof page === 'number') {
    return page;
  }
  if (yield* shrinkPage(page)) {
    return 1;
  }
  folio_putback_lru(page);
  return 0;
}

/** page_referenced() as the ageing of the active list calls it: without the page lock. */
export function* referencedAt(task: number, address: number): K<number> {
  const page = isolateAt(task, address);
  if (typeof page === 'number') {
    return page;
  }
  const refs = yield* page_referenced(page, false);
  folio_putback_lru(page);
  return refs.referenced;
}
