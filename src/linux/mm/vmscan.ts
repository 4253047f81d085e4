/**
 * mm/vmscan.c v6.18: reclaim of one folio: the steps of shrink_folio_list(). What to reclaim is said by the
 * operation or by MADV_PAGEOUT, not found on the LRU lists.
 *
 * Lock tree: folio lock; inside it the rmap locks, ptls, swap. Fidelity: dup per folio; custom: the swap
 * device completes a write at once, so that the folio is freed in the same pass; dirty page-cache folios
 * are never written from here, as in Linux outside kswapd.
 */

import type { K } from '../../sim/wait.ts';
import { EBUSY } from '../errno.ts';
import { VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import { type folio, mem_map } from '../mm_types.ts';
import {
  folio_deferred,
  folio_test_partially_mapped,
  folio_unqueue_deferred_split,
} from './deferred_split.ts';
import { trace_swap_out } from './events.ts';
import {
  folio_end_writeback,
  folio_start_writeback,
  folio_trylock,
  folio_unlock,
} from './folio_lock.ts';
import { can_split_folio, split_folio_to_list } from './folio_split.ts';
import {
  folio_mapped,
  folio_nr_pages,
  folio_order,
  folio_test_pmd_mappable,
} from './large_folio.ts';
import { isolateAt } from './migrate.ts';
import { VM_EXEC, VM_LOCKED } from './mm.ts';
import {
  folio_ref_count,
  folio_ref_freeze,
  folio_ref_unfreeze,
  free_frozen_pages,
} from './page_alloc.ts';
import { __filemap_remove_folio, folio_mapping, shmem_mapping } from './page_cache.ts';
import { ZERO_CONTENT } from './page_content.ts';
import {
  folio_clear,
  folio_set,
  folio_test_active,
  folio_test_anon,
  folio_test_clear,
  folio_test_dirty,
  folio_test_large,
  folio_test_locked,
  folio_test_mlocked,
  folio_test_swapbacked,
  folio_test_swapcache,
  folio_test_unevictable,
  folio_test_writeback,
  PG_active,
  PG_reclaim,
  PG_referenced,
} from './page-flags.ts';
import { folio_clear_dirty_for_io, folio_mark_dirty } from './page-writeback.ts';
import { folio_maybe_dma_pinned, folio_referenced } from './rmap.ts';
import { TTU_BATCH_FLUSH, TTU_SPLIT_HUGE_PMD, TTU_SYNC, try_to_unmap } from './rmap_unmap.ts';
import { shmem_writeout } from './shmem_swap.ts';
import { folio_putback_lru } from './swap.ts';
import { folio_is_file_lru } from './swap_lru.ts';
import {
  __swap_cache_del_folio,
  folio_alloc_swap,
  folio_free_swap,
  put_swap_folio,
  swap_info,
  vm_swap_full,
  writeSwapDevice,
} from './swapfile.ts';

const FOLIOREF_RECLAIM = 0;
const FOLIOREF_RECLAIM_CLEAN = 1;
const FOLIOREF_KEEP = 2;
const FOLIOREF_ACTIVATE = 3;

/** mm/vmscan.c: folio_check_references() v6.18. */
function* folio_check_references(folio: folio): K<number> {
  const refs = yield* folio_referenced(folio, true);
  if ((refs.vm_flags & VM_LOCKED) !== 0) {
    return FOLIOREF_ACTIVATE;
  }
  if (refs.count === -1) {
    // The rmap lock was contended: nothing is known, so keep it.
    return FOLIOREF_KEEP;
  }
  const referenced_folio = folio_test_clear(folio, PG_referenced);
  if (refs.count > 0) {
    folio_set(folio, PG_referenced);
    if (referenced_folio || refs.count > 1) {
      return FOLIOREF_ACTIVATE;
    }
    if ((refs.vm_flags & VM_EXEC) !== 0 && folio_is_file_lru(folio)) {
      return FOLIOREF_ACTIVATE;
    }
    return FOLIOREF_KEEP;
  }
  if (referenced_folio && folio_is_file_lru(folio)) {
    return FOLIOREF_RECLAIM_CLEAN;
  }
  return FOLIOREF_RECLAIM;
}

/**
 * mm/vmscan.c: pageout() and mm/page_io.c: swap_writeout() v6.18 for a folio of the swap cache or of tmpfs: written, and
 * unlocked ('success'), or kept, still locked. Preconditions: folio locked and dirty.
 */
function* pageout(folio: folio): K<'keep' | 'activate' | 'success' | 'clean'> {
  // is_page_cache_freeable(): isolation and cache.
  if (folio_ref_count(folio) !== 1 + folio_nr_pages(folio)) {
    return 'keep';
  }
  if (!folio_clear_dirty_for_io(folio)) {
    return 'clean';
  }
  folio_set(folio, PG_reclaim);
  const mapping = folio_mapping(folio);
  if (mapping !== null && shmem_mapping(mapping)) {
    if (!(yield* shmem_writeout(folio, mapping))) {
      folio_clear(folio, PG_reclaim);
      return 'activate';
    }
  }
  if (folio_free_swap(folio)) {
    // Nobody names the slot any more: no need to write.
    return unwritten(folio);
  }
  const entry = folio.private;
  if (isZeroFilled(folio)) {
    // si->zeromap has it: the device sees nothing of it, and there is nothing to wait for.
    writeSwapDevice(folio);
    trace_swap_out({ page: folio, entry });
    return unwritten(folio);
  }
  folio_start_writeback(folio);
  folio_unlock(folio);
  writeSwapDevice(folio);
  trace_swap_out({ page: folio, entry });
  if (swap_info()?.disk !== 1) {
    endSwapWrite(folio);
  }
  return 'success';
}

/** The end of swap_writeout() and writeout() for a folio that needs no I/O. */
function unwritten(folio: folio): 'success' {
  folio_unlock(folio);
  if (!folio_test_writeback(folio)) {
    folio_clear(folio, PG_reclaim);
  }
  return 'success';
}

/** mm/page_io.c: is_folio_zero_filled() v6.18. */
function isZeroFilled(folio: folio): boolean {
  const nr_pages = folio_nr_pages(folio);
  for (let i = 0; i < nr_pages; i++) {
    if (mem_map.at(folio.pfn + i).content !== ZERO_CONTENT) {
      return false;
    }
  }
  return true;
}

/** end_swap_bio_write(): the device has it; the next reclaim that meets the folio finds it clean. */
function endSwapWrite(folio: folio): void {
  folio_end_writeback(folio);
  folio_clear(folio, PG_reclaim);
}

/**
 * mm/vmscan.c: __remove_mapping() v6.18: takes an unused folio out of its cache. True: it has no reference
 * left and can be freed. Preconditions: folio locked. Atomic: Linux holds the i_pages or cluster lock.
 */
function __remove_mapping(folio: folio): boolean {
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  // The isolation's reference and the cache's: anything more is a user that we must not take it from.
  const refcount = 1 + folio_nr_pages(folio);
  if (!folio_ref_freeze(folio, refcount)) {
    return false;
  }
  if (folio_test_dirty(folio)) {
    folio_ref_unfreeze(folio, refcount);
    return false;
  }
  if (folio_test_swapcache(folio)) {
    const swap = folio.private;
    __swap_cache_del_folio(folio, swap);
    put_swap_folio(folio, swap);
  } else {
    __filemap_remove_folio(folio);
  }
  return true;
}

/** The ends of shrink_folio_list() for a folio that stays; the lock is dropped where it is held. */
function keepFolio(folio: folio, activate: boolean, locked: boolean): 0 {
  if (activate) {
    if (folio_test_swapcache(folio) && (vm_swap_full() || folio_test_mlocked(folio))) {
      folio_free_swap(folio);
    }
    VM_BUG_ON_FOLIO(folio_test_active(folio), folio, 'folio_test_active(folio)');
    if (!folio_test_mlocked(folio)) {
      folio_set(folio, PG_active);
    }
  }
  if (locked) {
    folio_unlock(folio);
  }
  return 0;
}

/**
 * The part of shrink_folio_list() that gives an anonymous folio swap space. A large one is split when a part of it is
 * unmapped, or when there is no room for all of it; its other pages join `folio_list`. Preconditions: folio locked.
 */
function* addToSwap(folio: folio, folio_list: folio[]): K<'added' | 'keep' | 'activate'> {
  if (folio_maybe_dma_pinned(folio)) {
    return 'keep';
  }
  if (folio_test_large(folio)) {
    if (!can_split_folio(folio, 1)) {
      return 'activate';
    }
    // What is unmapped can be freed without writing it.
    if (folio_deferred(folio) && folio_test_partially_mapped(folio)) {
      if ((yield* split_folio_to_list(folio, folio_list)) !== 0) {
        return 'activate';
      }
    }
  }
  if (folio_alloc_swap(folio) !== 0) {
    if (!folio_test_large(folio)) {
      return 'activate';
    }
    if ((yield* split_folio_to_list(folio, folio_list)) !== 0) {
      return 'activate';
    }
    if (folio_alloc_swap(folio) !== 0) {
      return 'activate';
    }
  }
  // A clean entry may map a page whose contents are nowhere else.
  folio_mark_dirty(folio);
  return 'added';
}

/** What shrink_folio_list() counts: struct reclaim_stat, and scan_control's nr_scanned. */
interface reclaim_stat {
  nr_scanned: number;
  nr_unqueued_dirty: number;
  nr_pageout: number;
}

/** Dirty and in nobody's hands: left to the flusher threads (folio_check_dirty_writeback()). */
function isUnqueuedDirty(folio: folio): boolean {
  if (!folio_is_file_lru(folio) || (folio_test_anon(folio) && !folio_test_swapbacked(folio))) {
    return false;
  }
  return folio_test_dirty(folio) && !folio_test_writeback(folio);
}

/**
 * The loop of mm/vmscan.c: shrink_folio_list() v6.18 for one isolated folio: pages that were freed. 0: it stays, and the
 * caller puts it back. Pages that a split makes are added to `folio_list`, isolated. `ignore_references`: MADV_PAGEOUT,
 * memory.reclaim.
 */
function* shrinkIsolatedFolio(
  folio: folio,
  folio_list: folio[],
  ignore_references: boolean,
  stat: reclaim_stat,
): K<number> {
  if (!folio_trylock(folio)) {
    return 0;
  }
  folio_clear(folio, PG_active);
  const nr_isolated = folio_nr_pages(folio);
  stat.nr_scanned += nr_isolated;
  // folio_evictable().
  if (folio_test_mlocked(folio) || folio_test_unevictable(folio)) {
    return keepFolio(folio, true, true);
  }
  stat.nr_unqueued_dirty += isUnqueuedDirty(folio) ? nr_isolated : 0;
  if (folio_test_writeback(folio)) {
    folio_set(folio, PG_reclaim);
    return keepFolio(folio, true, true);
  }
  let references = FOLIOREF_RECLAIM;
  if (!ignore_references) {
    references = yield* folio_check_references(folio);
  }
  if (references === FOLIOREF_ACTIVATE) {
    return keepFolio(folio, true, true);
  }
  if (references === FOLIOREF_KEEP) {
    return keepFolio(folio, false, true);
  }
  if (folio_test_anon(folio) && folio_test_swapbacked(folio) && !folio_test_swapcache(folio)) {
    const swap = yield* addToSwap(folio, folio_list);
    if (!folio_test_large(folio)) {
      // Its other pages are met again, one by one.
      stat.nr_scanned -= nr_isolated - 1;
    }
    if (swap !== 'added') {
      return keepFolio(folio, swap === 'activate', true);
    }
  }
  if (folio_mapped(folio)) {
    let flags = TTU_BATCH_FLUSH;
    if (folio_test_pmd_mappable(folio)) {
      flags |= TTU_SPLIT_HUGE_PMD;
    }
    // The lock of the table is taken from the first entry on: no entry that is empty for a moment is missed.
    if (folio_test_large(folio)) {
      flags |= TTU_SYNC;
    }
    yield* try_to_unmap(folio, flags);
    if (folio_mapped(folio)) {
      return keepFolio(folio, true, true);
    }
  }
  if (folio_maybe_dma_pinned(folio)) {
    return keepFolio(folio, true, true);
  }
  if (folio_test_dirty(folio)) {
    if (folio_is_file_lru(folio)) {
      // Left to the flusher threads; reclaimed once it is clean.
      folio_set(folio, PG_reclaim);
      return keepFolio(folio, true, true);
    }
    if (references === FOLIOREF_RECLAIM_CLEAN) {
      return keepFolio(folio, false, true);
    }
    const written = yield* pageout(folio);
    if (written === 'keep' || written === 'activate') {
      return keepFolio(folio, written === 'activate', true);
    }
    if (written === 'success') {
      stat.nr_pageout += folio_nr_pages(folio);
      if (folio_test_writeback(folio)) {
        // On a disk: it is done as soon as we do not look any more.
        endSwapWrite(folio);
        return keepFolio(folio, false, false);
      }
      if (folio_test_dirty(folio) || !folio_trylock(folio)) {
        return keepFolio(folio, false, false);
      }
      if (folio_test_dirty(folio) || folio_test_writeback(folio)) {
        return keepFolio(folio, false, true);
      }
    }
  }
  if (folio_test_anon(folio) && !folio_test_swapbacked(folio)) {
    // MADV_FREE: in no cache, only the isolation's reference is left.
    if (!folio_ref_freeze(folio, 1)) {
      return keepFolio(folio, false, true);
    }
  } else {
    const cached = folio_test_swapcache(folio) || folio_mapping(folio) !== null;
    if (!cached || !__remove_mapping(folio)) {
      return keepFolio(folio, false, true);
    }
  }
  folio_unlock(folio);
  const nr_pages = folio_nr_pages(folio);
  folio_unqueue_deferred_split(folio);
  free_frozen_pages(folio, folio_order(folio));
  return nr_pages;
}

/** What shrink_folio_list() came to. */
export interface shrink_result extends Readonly<reclaim_stat> {
  readonly nr_reclaimed: number;
  /** Folios that stay, isolated still. */
  readonly kept: folio[];
}

/** mm/vmscan.c: shrink_folio_list() v6.18: reclaims isolated folios, the last of the list first. */
export function* shrink_folio_list(
  folios: readonly folio[],
  ignore_references: boolean,
): K<shrink_result> {
  const folio_list = [...folios];
  const kept: folio[] = [];
  const stat: reclaim_stat = { nr_scanned: 0, nr_unqueued_dirty: 0, nr_pageout: 0 };
  let nr_reclaimed = 0;
  for (;;) {
    const folio = folio_list.pop();
    if (folio === undefined) {
      break;
    }
    const nr = yield* shrinkIsolatedFolio(folio, folio_list, ignore_references, stat);
    if (nr === 0) {
      kept.push(folio);
    }
    nr_reclaimed += nr;
  }
  return { ...stat, nr_reclaimed, kept };
}

/**
 * mm/vmscan.c: reclaim_pages() and reclaim_folio_list() v6.18: reclaims isolated folios although they were
 * used lately; those that stay go back to the LRU in the end.
 */
export function* reclaim_pages(folio_list: readonly folio[]): K {
  for (const folio of folio_list) {
    folio_clear(folio, PG_active);
  }
  const { kept } = yield* shrink_folio_list([...folio_list].reverse(), true);
  for (const folio of kept) {
    folio_putback_lru(folio);
  }
}

/**
 * Reclaims the folio that task number `task` maps at `address`, as kswapd would when it meets it at the end of the
 * inactive list: a folio that was used since the last look is kept. 1 freed (of a huge page that was split: any of it),
 * 0 kept, or a negative errno.
 */
export function* reclaimAt(task: number, address: number): K<number> {
  const folio = isolateAt(task, address);
  if (typeof folio === 'number') {
    return folio;
  }
  const { nr_reclaimed, kept } = yield* shrink_folio_list([folio], false);
  for (const each of kept) {
    folio_putback_lru(each);
  }
  return nr_reclaimed > 0 ? 1 : 0;
}

/**
 * folio_referenced() on the folio that task number `task` maps at `address`, as reclaim of the active list calls it:
 * without the folio lock. Number of mappings that used it, -EBUSY if the rmap lock was contended.
 */
export function* referencedAt(task: number, address: number): K<number> {
  const folio = isolateAt(task, address);
  if (typeof folio === 'number') {
    return folio;
  }
  const refs = yield* folio_referenced(folio, false);
  folio_putback_lru(folio);
  return refs.count === -1 ? -EBUSY : refs.count;
}
