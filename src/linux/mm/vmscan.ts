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
import type { folio } from '../mm_types.ts';
import { trace_swap_out } from './events.ts';
import {
  folio_end_writeback,
  folio_start_writeback,
  folio_trylock,
  folio_unlock,
} from './folio_lock.ts';
import { folio_mapped, folio_order } from './large_folio.ts';
import { isolateAt } from './migrate.ts';
import { VM_EXEC, VM_LOCKED } from './mm.ts';
import {
  folio_ref_count,
  folio_ref_freeze,
  folio_ref_unfreeze,
  free_frozen_pages,
} from './page_alloc.ts';
import { __filemap_remove_folio, folio_mapping, shmem_mapping } from './page_cache.ts';
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
import { TTU_BATCH_FLUSH, try_to_unmap } from './rmap_unmap.ts';
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
function* pageout(folio: folio): K<'keep' | 'activate' | 'success'> {
  // is_page_cache_freeable(): isolation and cache.
  if (folio_ref_count(folio) !== 2) {
    return 'keep';
  }
  if (!folio_clear_dirty_for_io(folio)) {
    return 'keep';
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
    folio_unlock(folio);
    if (!folio_test_writeback(folio)) {
      folio_clear(folio, PG_reclaim);
    }
    return 'success';
  }
  const entry = folio.private;
  folio_start_writeback(folio);
  folio_unlock(folio);
  writeSwapDevice(entry, folio.content);
  trace_swap_out({ page: folio, entry });
  if (swap_info()?.disk !== 1) {
    endSwapWrite(folio);
  }
  return 'success';
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
  if (!folio_ref_freeze(folio, 2)) {
    return false;
  }
  if (folio_test_dirty(folio)) {
    folio_ref_unfreeze(folio, 2);
    return false;
  }
  if (folio_test_swapcache(folio)) {
    const swap = folio.private;
    __swap_cache_del_folio(folio, swap);
    put_swap_folio(swap);
  } else {
    __filemap_remove_folio(folio);
  }
  return true;
}

/** The ends of shrink_folio_list() for a folio that stays; the lock is dropped where it is held. */
function keepFolio(folio: folio, activate: boolean, locked: boolean): false {
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
  return false;
}

/**
 * mm/vmscan.c: shrink_folio_list() v6.18 for one isolated folio. True: it was freed. False: it stays, and
 * the caller puts it back. `ignore_references`: MADV_PAGEOUT, memory.reclaim.
 */
export function* shrinkIsolatedFolio(folio: folio, ignore_references: boolean): K<boolean> {
  if (!folio_trylock(folio)) {
    return false;
  }
  folio_clear(folio, PG_active);
  // folio_evictable().
  if (folio_test_mlocked(folio) || folio_test_unevictable(folio)) {
    return keepFolio(folio, true, true);
  }
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
  if (folio_test_anon(folio) && folio_test_large(folio)) {
    // As if it got no swap slots and could not be split (split_folio()).
    return keepFolio(folio, true, true);
  }
  if (folio_test_anon(folio) && folio_test_swapbacked(folio) && !folio_test_swapcache(folio)) {
    if (folio_maybe_dma_pinned(folio)) {
      return keepFolio(folio, false, true);
    }
    if (folio_alloc_swap(folio) !== 0) {
      return keepFolio(folio, true, true);
    }
    // A clean entry may map a page whose contents are nowhere else.
    folio_mark_dirty(folio);
  }
  if (folio_mapped(folio)) {
    yield* try_to_unmap(folio, TTU_BATCH_FLUSH);
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
    if (written !== 'success') {
      return keepFolio(folio, written === 'activate', true);
    }
    if (folio_test_writeback(folio)) {
      // On a disk: it is done as soon as we do not look any more.
      endSwapWrite(folio);
      return keepFolio(folio, false, false);
    }
    if (folio_test_dirty(folio)) {
      return keepFolio(folio, false, false);
    }
    if (!folio_trylock(folio)) {
      return keepFolio(folio, false, false);
    }
    if (folio_test_dirty(folio) || folio_test_writeback(folio)) {
      return keepFolio(folio, false, true);
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
  free_frozen_pages(folio, folio_order(folio));
  return true;
}

/**
 * mm/vmscan.c: reclaim_pages() and reclaim_folio_list() v6.18: reclaims isolated folios although they were
 * used lately; those that stay go back to the LRU in the end.
 */
export function* reclaim_pages(folio_list: readonly folio[]): K {
  const kept: folio[] = [];
  for (const folio of folio_list) {
    folio_clear(folio, PG_active);
    if (!(yield* shrinkIsolatedFolio(folio, true))) {
      kept.push(folio);
    }
  }
  for (const folio of kept) {
    folio_putback_lru(folio);
  }
}

/**
 * Reclaims the folio that task number `task` maps at `address`, as kswapd would when it meets it at the end of the
 * inactive list: a folio that was used since the last look is kept. 1 freed, 0 kept, or a negative errno.
 */
export function* reclaimAt(task: number, address: number): K<number> {
  const folio = isolateAt(task, address);
  if (typeof folio === 'number') {
    return folio;
  }
  if (yield* shrinkIsolatedFolio(folio, false)) {
    return 1;
  }
  folio_putback_lru(folio);
  return 0;
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
