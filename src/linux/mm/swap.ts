/**
 * mm/swap.c v6.18: the LRU batch of the CPU, the final put of a folio, folio_mark_accessed(); from mm/mlock.c what mlock
 * does to a folio.
 *
 * Each function is one atomic step (lru_lock and zone->lock are not modelled). There is one CPU, whose
 * batch any task drains. Fidelity: dup for what happens to flags, lists and counts; custom for locking.
 */
import { read_heap, write_heap } from '../../sim/cpu.ts';
import { VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import { type folio, mem_map, type vm_area_struct } from '../mm_types.ts';
import { folio_unqueue_deferred_split } from './deferred_split.ts';
import { folio_nr_pages, folio_order } from './large_folio.ts';
import { VM_LOCKED, VM_SPECIAL } from './mm.ts';
import { FOLIO_BATCH_SIZE } from './mmzone_types.ts';
import { NODE_DATA } from './node.ts';
import { folio_get, folio_put_testzero, free_frozen_pages } from './page_alloc.ts';
import {
  folio_clear,
  folio_set,
  folio_test_active,
  folio_test_anon,
  folio_test_lru,
  folio_test_mlocked,
  folio_test_referenced,
  folio_test_swapbacked,
  folio_test_swapcache,
  folio_test_unevictable,
  PG_active,
  PG_lru,
  PG_mlocked,
  PG_referenced,
  PG_swapbacked,
  PG_unevictable,
  PG_workingset,
} from './page-flags.ts';
import { lruvec_add_folio, lruvec_del_folio } from './swap_lru.ts';

/** __folio_put() with __page_cache_release(): the last reference is gone. */
function __folio_put(folio: folio): void {
  folio_unqueue_deferred_split(folio);
  if (folio_test_lru(folio)) {
    lruvec_del_folio(folio);
    folio_clear(folio, PG_lru | PG_active | PG_unevictable);
  }
  if (folio_test_mlocked(folio)) {
    folio_clear(folio, PG_mlocked);
  }
  free_frozen_pages(folio, folio_order(folio));
}

/** folio_put(). */
export function folio_put(folio: folio): void {
  if (folio_put_testzero(folio)) {
    __folio_put(folio);
  }
}

/** folio_put_refs(). */
export function folio_put_refs(folio: folio, refs: number): void {
  folio._refcount = folio._refcount - refs;
  if (folio._refcount === 0) {
    __folio_put(folio);
  }
}

/** lru_add(): a folio leaves the batch for its list. */
function lru_add(folio: folio): void {
  // Between batch and list an mlocked folio is sorted to the unevictable ones (folio_evictable()).
  if (!folio_test_mlocked(folio)) {
    folio_clear(folio, PG_unevictable);
  } else {
    folio_clear(folio, PG_active);
    folio_set(folio, PG_unevictable);
    // mlock_count: whoever mlocked it may still be in the other batch, which counts him.
    folio.lru_prev = 0;
  }
  folio_set(folio, PG_lru);
  lruvec_add_folio(folio);
}

/** lru_add_drain_cpu(): empties the batch of new folios. */
function lru_add_drain_cpu(): void {
  const node = NODE_DATA();
  const nr = node.lru_add_nr;
  node.lru_add_nr = 0;
  for (let i = 0; i < nr; i++) {
    const folio = mem_map.at(read_heap(node.lru_add + i));
    if (!folio_test_lru(folio)) {
      lru_add(folio);
    }
    folio_put(folio);
  }
}

/** lru_add_drain(): empties the batches of the CPU. */
export function lru_add_drain(): void {
  lru_add_drain_cpu();
  mlock_drain_local();
}

/** folio_add_lru(): puts the folio into the batch, which holds a reference until it is drained. */
export function folio_add_lru(folio: folio): void {
  VM_BUG_ON_FOLIO(
    folio_test_active(folio) && folio_test_unevictable(folio),
    folio,
    'folio_test_active(folio) && folio_test_unevictable(folio)',
  );
  const node = NODE_DATA();
  folio_get(folio);
  write_heap(node.lru_add + node.lru_add_nr, folio.pfn);
  node.lru_add_nr = node.lru_add_nr + 1;
  if (node.lru_add_nr >= FOLIO_BATCH_SIZE || folio_nr_pages(folio) > 1) {
    lru_add_drain_cpu();
  }
}

/** folio_add_lru_vma(). */
export function folio_add_lru_vma(folio: folio, vma: vm_area_struct): void {
  if ((vma.vm_flags & (VM_LOCKED | VM_SPECIAL)) === VM_LOCKED) {
    mlock_new_folio(folio);
  } else {
    folio_add_lru(folio);
  }
}

/**
 * __lru_cache_activate_folio(): a folio that is still in the batch will be added to the active list. One that
 * somebody has isolated is in no batch and stays as it is: reclaim relies on its PG_active.
 */
function __lru_cache_activate_folio(folio: folio): void {
  const node = NODE_DATA();
  for (let i = node.lru_add_nr - 1; i >= 0; i--) {
    if (read_heap(node.lru_add + i) === folio.pfn) {
      folio_set(folio, PG_active);
      return;
    }
  }
}

/** folio_mark_accessed(): inactive -> referenced -> active. */
export function folio_mark_accessed(folio: folio): void {
  if (!folio_test_referenced(folio)) {
    folio_set(folio, PG_referenced);
  } else if (folio_test_unevictable(folio)) {
    // Unevictable folios do not age.
  } else if (!folio_test_active(folio)) {
    if (folio_test_lru(folio)) {
      folio_activate(folio);
    } else {
      __lru_cache_activate_folio(folio);
    }
    folio_clear(folio, PG_referenced);
  }
}

/** folio_activate(). */
export function folio_activate(folio: folio): void {
  if (!folio_test_lru(folio) || folio_test_active(folio) || folio_test_unevictable(folio)) {
    return;
  }
  lruvec_del_folio(folio);
  folio_set(folio, PG_active);
  lruvec_add_folio(folio);
}

/** lru_deactivate(): MADV_COLD. */
export function folio_deactivate(folio: folio): void {
  if (!folio_test_lru(folio) || folio_test_unevictable(folio) || !folio_test_active(folio)) {
    return;
  }
  lruvec_del_folio(folio);
  folio_clear(folio, PG_active | PG_referenced);
  lruvec_add_folio(folio);
}

/** folio_mark_lazyfree() and lru_lazyfree(): MADV_FREE. To the inactive file list, without PG_swapbacked. */
export function folio_mark_lazyfree(folio: folio): void {
  if (
    !folio_test_anon(folio) ||
    !folio_test_swapbacked(folio) ||
    !folio_test_lru(folio) ||
    folio_test_swapcache(folio) ||
    folio_test_unevictable(folio)
  ) {
    return;
  }
  lruvec_del_folio(folio);
  // A clean anonymous folio without PG_swapbacked is what tells reclaim that it may be dropped.
  folio_clear(folio, PG_active | PG_referenced | PG_swapbacked);
  lruvec_add_folio(folio);
}

/** folio_isolate_lru() (mm/vmscan.c): takes the folio off its list with a reference. */
export function folio_isolate_lru(folio: folio): boolean {
  VM_BUG_ON_FOLIO(folio._refcount === 0, folio, '!folio_ref_count(folio)');
  if (!folio_test_lru(folio)) {
    return false;
  }
  folio_get(folio);
  folio_clear(folio, PG_lru);
  lruvec_del_folio(folio);
  return true;
}

/** folio_putback_lru() (mm/vmscan.c): gives back what folio_isolate_lru() took. */
export function folio_putback_lru(folio: folio): void {
  folio_add_lru(folio);
  folio_put(folio);
}

/** workingset_refault(), as far as it sets flags. */
export function folio_set_workingset(folio: folio): void {
  folio_set(folio, PG_workingset);
}

// ---- mm/mlock.c v6.18: the batch of folios that are mlocked or munlocked; each holds a reference

/** What an entry of the batch asks for, beside the frame. */
const MUNLOCK = 0;
const LRU_FOLIO = 1;
const NEW_FOLIO = 2;
const TAGS = 4;

/** __mlock_folio(). mlock_count is the link word lru_prev: an unevictable folio is on no list. */
function __mlock_folio(folio: folio): void {
  if (!folio_test_lru(folio)) {
    // Isolated: lru_add() sorts it, and underestimates mlock_count.
    return;
  }
  if (!folio_test_mlocked(folio)) {
    if (folio_test_unevictable(folio)) {
      lruvec_del_folio(folio);
      folio_clear(folio, PG_unevictable);
      lruvec_add_folio(folio);
    }
    return;
  }
  if (folio_test_unevictable(folio)) {
    folio.lru_prev = folio.lru_prev + 1;
    return;
  }
  lruvec_del_folio(folio);
  folio_clear(folio, PG_active);
  folio_set(folio, PG_unevictable);
  folio.lru_prev = 1;
  lruvec_add_folio(folio);
}

/** __mlock_new_folio(). */
function __mlock_new_folio(folio: folio): void {
  VM_BUG_ON_FOLIO(folio_test_lru(folio), folio, 'folio_test_lru(folio)');
  if (folio_test_mlocked(folio)) {
    folio_set(folio, PG_unevictable);
    folio.lru_prev = 1;
  }
  lruvec_add_folio(folio);
  folio_set(folio, PG_lru);
}

/** __munlock_folio(): the last VM_LOCKED mapping takes the folio back to the evictable lists. */
function __munlock_folio(folio: folio): void {
  if (!folio_test_lru(folio)) {
    folio_clear(folio, PG_mlocked);
    return;
  }
  if (folio_test_unevictable(folio)) {
    if (folio.lru_prev > 0) {
      folio.lru_prev = folio.lru_prev - 1;
    }
    if (folio.lru_prev > 0) {
      return;
    }
  }
  folio_clear(folio, PG_mlocked);
  if (folio_test_unevictable(folio)) {
    lruvec_del_folio(folio);
    folio_clear(folio, PG_unevictable);
    folio.lru_prev = 0;
    lruvec_add_folio(folio);
  }
}

/** mlock_drain_local(), mlock_folio_batch(). */
export function mlock_drain_local(): void {
  const node = NODE_DATA();
  const nr = node.mlock_nr;
  node.mlock_nr = 0;
  for (let i = 0; i < nr; i++) {
    const entry = read_heap(node.mlock + i);
    const folio = mem_map.at(Math.floor(entry / TAGS));
    if (entry % TAGS === LRU_FOLIO) {
      __mlock_folio(folio);
    } else if (entry % TAGS === NEW_FOLIO) {
      __mlock_new_folio(folio);
    } else {
      __munlock_folio(folio);
    }
  }
  for (let i = 0; i < nr; i++) {
    folio_put(mem_map.at(Math.floor(read_heap(node.mlock + i) / TAGS)));
  }
}

/** folio_batch_add(); a large folio is never kept waiting (folio_may_be_lru_cached()). */
function addToMlockBatch(folio: folio, tag: number): void {
  const node = NODE_DATA();
  folio_get(folio);
  write_heap(node.mlock + node.mlock_nr, folio.pfn * TAGS + tag);
  node.mlock_nr = node.mlock_nr + 1;
  if (node.mlock_nr >= FOLIO_BATCH_SIZE || folio_nr_pages(folio) > 1) {
    mlock_drain_local();
  }
}

/** mlock_folio(): a folio that is on its list, or will be again. */
export function mlock_folio(folio: folio): void {
  folio_set(folio, PG_mlocked);
  addToMlockBatch(folio, LRU_FOLIO);
}

/** mlock_new_folio(): a folio that is on no list yet. */
export function mlock_new_folio(folio: folio): void {
  folio_set(folio, PG_mlocked);
  addToMlockBatch(folio, NEW_FOLIO);
}

/** munlock_folio(). PG_mlocked stays until the batch is done: another VMA may have mlocked the folio, too. */
export function munlock_folio(folio: folio): void {
  addToMlockBatch(folio, MUNLOCK);
}

/** mlock_vma_folio() (mm/internal.h). VM_IO set beside VM_LOCKED means that mlock is just changing the VMA. */
export function mlock_vma_folio(folio: folio, vma: vm_area_struct): void {
  if ((vma.vm_flags & (VM_LOCKED | VM_SPECIAL)) === VM_LOCKED) {
    mlock_folio(folio);
  }
}

/** munlock_vma_folio(). */
export function munlock_vma_folio(folio: folio, vma: vm_area_struct): void {
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    munlock_folio(folio);
  }
}
