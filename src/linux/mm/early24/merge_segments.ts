/**
 * mm/mmap.c: merge_segments() of 2.3.99-pre6, with what the anon layer added: neighbours that are alike become one VMA. It
 * runs inside lock_vma_mappings() of one VMA, and may free that VMA, give it an anon area, or change the lists of others.
 *
 * Lock tree: mmap_sem -> i_shared_lock of one VMA's area and file -> page_table_lock. Fidelity: dup.
 */
import type { K } from '../../../sim/wait.ts';
import { fput } from '../../fs/file_table.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import type { address_space, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_merge } from '../events.ts';
import { PAGE_SIZE } from '../mm.ts';
import { __anon_dup, __anon_put, vm_anon } from '../rmap/anon_area.ts';
import { vm_area_free } from '../vma_init.ts';
import { vma_mapping } from '../vma_link.ts';
import { vmaTreeClear, vmaTreeStore } from '../vma_tree.ts';
import type { anon_area } from './early24_types.ts';
import {
  __remove_shared_vm_struct,
  lock_vma_mappings,
  unlock_vma_mappings,
} from './share_lists.ts';
import { find_vma_prev, killCache, listRemove, vm_next } from './vma_list.ts';

/** What lock_vma_mappings() took. */
export interface merge_locks {
  readonly area: anon_area | null;
  readonly mapping: address_space | null;
}

/** lock_vma_mappings() around a merge. */
export function* lockForMerge(vma: vm_area_struct): K<merge_locks> {
  const locks: merge_locks = {
    area: has('anon_layer') ? vm_anon(vma) : null,
    mapping: vma_mapping(vma),
  };
  yield* lock_vma_mappings(vma);
  return locks;
}

/**
 * unlock_vma_mappings() after a merge. With unlock_rereads it asks the VMA what there is to unlock, although it may have
 * been freed or have got an area meanwhile; without, it releases what was taken.
 */
export function unlockAfterMerge(vma: vm_area_struct, locks: merge_locks): void {
  if (has('unlock_rereads')) {
    unlock_vma_mappings(vma);
    return;
  }
  if (locks.mapping !== null) {
    spin_unlock(locks.mapping.i_shared_lock);
  }
  if (locks.area !== null) {
    spin_unlock(locks.area.i_shared_lock);
  }
}

const areaOf = (vma: vm_area_struct): anon_area | null => (has('anon_layer') ? vm_anon(vma) : null);

/**
 * The test of merge_segments(). Page offsets are compared for files only, so that private pages with an index may get
 * into a VMA with another offset; without merge_ignores_pgoff they are compared where there are such pages.
 */
function isMergeable(prev: vm_area_struct, mpnt: vm_area_struct): boolean {
  if (
    mpnt.vm_file !== prev.vm_file ||
    mpnt.vm_private_data !== prev.vm_private_data ||
    mpnt.vm_ops !== prev.vm_ops ||
    mpnt.vm_flags !== prev.vm_flags ||
    prev.vm_end !== mpnt.vm_start
  ) {
    return false;
  }
  const mine = areaOf(prev);
  const its = areaOf(mpnt);
  if (mine !== null && its !== null && mine !== its) {
    return false;
  }
  if (mpnt.vm_file !== null || (its !== null && !has('merge_ignores_pgoff'))) {
    return prev.vm_pgoff + (prev.vm_end - prev.vm_start) / PAGE_SIZE === mpnt.vm_pgoff;
  }
  return true;
}

/** avl_remove() of `mpnt` and the new end of `prev`. Atomic. */
function swallow(mm: mm_struct, prev: vm_area_struct, mpnt: vm_area_struct): void {
  listRemove(mm, prev, mpnt);
  vmaTreeClear(mm, mpnt.tree_start, mpnt.tree_end);
  prev.vm_end = mpnt.vm_end;
  vmaTreeStore(mm, prev);
}

/** One merge: `mpnt` becomes part of `prev` and is freed. */
function* mergeInto(mm: mm_struct, prev: vm_area_struct, mpnt: vm_area_struct): K {
  const end = mpnt.vm_end;
  swallow(mm, prev, mpnt);
  if (areaOf(mpnt) !== null) {
    if (areaOf(prev) === null) {
      __anon_dup(mpnt, prev);
    }
    __anon_put(mpnt);
  }
  mm.map_count = mm.map_count - 1;
  __remove_shared_vm_struct(mpnt);
  if (mpnt.vm_file !== null) {
    fput(mpnt.vm_file);
  }
  trace_vma_merge({ vma: prev, start: prev.vm_start, end, removed: 1 });
  vm_area_free(mpnt);
}

/** mm/mmap.c: merge_segments() of 2.3.99-pre6. Preconditions: mmap_sem, lock_vma_mappings(), page_table_lock. */
export function* merge_segments(mm: mm_struct, start_addr: number, end_addr: number): K {
  const { vma: first, prev: before } = find_vma_prev(mm, start_addr);
  if (first === null) {
    return;
  }
  let prev = before ?? first;
  let mpnt = vm_next(prev);
  killCache(mm);
  while (mpnt !== null && prev.vm_start < end_addr) {
    const next: vm_area_struct | null = vm_next(mpnt);
    if (isMergeable(prev, mpnt)) {
      yield* mergeInto(mm, prev, mpnt);
    } else {
      prev = mpnt;
    }
    mpnt = next;
  }
}
