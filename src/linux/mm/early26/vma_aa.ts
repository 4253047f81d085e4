/**
 * mm/mmap.c and mm/mprotect.c of 2.6.5-aa with Andrea Arcangeli's patch of 3 April 2004: VMAs merge under mmap_sem
 * alone, by mprotect() too, those of files included. Whatever only moves vm_end up needs no lock: it widens a
 * filter over addresses that hold no page of the VMA. A start that moves takes vm_pgoff along; mprotect() did that
 * without the lock until the answer to it (feature extend_locks).
 *
 * A VMA that takes over pages does not get their anon_vma (extend_links: 17 June 2004). A new VMA beside one that
 * differs in protection only joins its anon_vma, so that mprotect() can merge them later.
 *
 * Lock tree: mmap_sem (write) -> i_shared_sem -> anon_vma lock. Fidelity: dup; no mempolicy, vm_private_data; VMA list
 * and rbtree are the tree of v6.18, the prio_trees of a file are one interval tree.
 */
import type { K } from '../../../sim/wait.ts';
import { fput } from '../../fs/file_table.ts';
import { has } from '../../kernel.ts';
import type { anon_vma, file, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_merge } from '../events.ts';
import { PAGE_SIZE, VM_DONTCOPY, VM_DONTEXPAND, VM_IO, vma_has_close, vma_pages } from '../mm.ts';
import { vm_area_free } from '../vma_init.ts';
import { vma_mapping } from '../vma_link.ts';
import { vmaTreeNext } from '../vma_tree.ts';
import { __remove_shared_vm_struct, liftFile, putFile } from './file_vmas.ts';
import { hooks } from './hooks.ts';
import { __vma_unlink, lockShared, placeAgain, unlockShared, vmaAfter } from './vma_place.ts';

const VM_SPECIAL_AA = VM_IO | VM_DONTCOPY | VM_DONTEXPAND;

/** anon_vma_t **anon_vma_cache: the anon_vma of a neighbour from which a new VMA differs in flags only. */
export interface anon_vma_cache {
  anon_vma: anon_vma | null;
}

/** include/linux/mm.h: is_mergeable_vma() of -aa. */
function is_mergeable_vma(
  vma: vm_area_struct,
  file: file | null,
  vm_flags: number,
  pgoff: number,
  cache: anon_vma_cache | null,
): boolean {
  if (vma_has_close(vma) || vma.vm_file !== file || vma.vm_pgoff !== pgoff) {
    return false;
  }
  if (vma.vm_flags === vm_flags) {
    return true;
  }
  if (cache !== null && cache.anon_vma === null) {
    cache.anon_vma = vma.anon_vma;
  }
  return false;
}

/** include/linux/mm.h: is_mergeable_anon_vma() of -aa. */
function is_mergeable_anon_vma(prev: vm_area_struct, next: vm_area_struct): boolean {
  return next.anon_vma === null || prev.anon_vma === null || next.anon_vma === prev.anon_vma;
}

/** mm/mmap.c: __vma_modify() of -aa. Preconditions: i_shared_sem, if there is a file; what else is the caller's affair. */
function* __vma_modify(vma: vm_area_struct, start: number, end: number, pgoff: number): K {
  liftFile(vma);
  vma.vm_start = start;
  vma.vm_end = end;
  vma.vm_pgoff = pgoff;
  placeAgain(vma.vm_mm as mm_struct, vma);
  putFile(vma);
}

/** mm/objrmap.c: anon_vma_merge() of -aa, which takes the lock itself: `dying` stays on the list until now. */
function* anon_vma_merge(vma: vm_area_struct, dying: vm_area_struct): K {
  yield* hooks().rmap_lock_vma(dying);
  const { anon_vma } = dying;
  hooks().rmap_absorb_vma(vma, dying);
  if (anon_vma !== null) {
    hooks().rmap_unlock_vma(dying);
  }
}

/** `prev` swallows `next`: three places do the same. Preconditions: mmap_sem held for write; both can be merged. */
function* swallow(mm: mm_struct, prev: vm_area_struct, next: vm_area_struct): K {
  const mapping = vma_mapping(prev);
  __vma_unlink(mm, next);
  yield* lockShared(mapping);
  yield* __vma_modify(prev, prev.vm_start, next.vm_end, prev.vm_pgoff);
  if (mapping !== null) {
    __remove_shared_vm_struct(next, mapping);
  }
  unlockShared(mapping);
  yield* anon_vma_merge(prev, next);
  if (next.vm_file !== null) {
    fput(next.vm_file);
  }
  mm.map_count = mm.map_count - 1;
  vm_area_free(next);
}

/** mm/mmap.c: vma_merge() of -aa: a new mapping. The VMA that it became part of, or null. */
export function* vma_merge(
  mm: mm_struct,
  prev: vm_area_struct | null,
  addr: number,
  end: number,
  vm_flags: number,
  cache: anon_vma_cache,
  file: file | null,
  pgoff: number,
): K<vm_area_struct | null> {
  if ((vm_flags & VM_SPECIAL_AA) !== 0) {
    return null;
  }
  const mapping = file === null ? null : file.f_mapping;
  const size = (end - addr) / PAGE_SIZE;
  const next = vmaAfter(mm, prev);
  if (prev !== null && prev.vm_end === addr) {
    const start = pgoff - vma_pages(prev);
    if (is_mergeable_vma(prev, file, vm_flags, start, cache)) {
      if (
        next !== null &&
        end === next.vm_start &&
        is_mergeable_vma(next, file, vm_flags, pgoff + size, cache) &&
        is_mergeable_anon_vma(prev, next)
      ) {
        yield* swallow(mm, prev, next);
        trace_vma_merge({ vma: prev, start: addr, end, removed: 1 });
        return prev;
      }
      yield* lockShared(mapping);
      yield* __vma_modify(prev, prev.vm_start, end, prev.vm_pgoff);
      unlockShared(mapping);
      trace_vma_merge({ vma: prev, start: addr, end, removed: 0 });
      return prev;
    }
  }
  if (next === null || end !== next.vm_start) {
    return null;
  }
  if (!is_mergeable_vma(next, file, vm_flags, pgoff + size, cache)) {
    return null;
  }
  yield* lockShared(mapping);
  yield* hooks().rmap_lock_vma(next);
  yield* __vma_modify(next, addr, next.vm_end, next.vm_pgoff - size);
  hooks().rmap_unlock_vma(next);
  unlockShared(mapping);
  trace_vma_merge({ vma: next, start: addr, end, removed: 0 });
  return next;
}

/** mm/objrmap.c: anon_vma_merge_extend() of 17 June 2004: `prev` gets the anon_vma of pages that come to it. */
function* anon_vma_merge_extend(prev: vm_area_struct, next: vm_area_struct): K {
  if (next.anon_vma === null || prev.anon_vma !== null) {
    return;
  }
  prev.anon_vma = next.anon_vma;
  yield* hooks().rmap_lock_vma(next);
  hooks().rmap_copy_vma(prev, next);
  hooks().rmap_unlock_vma(next);
}

/** mm/mprotect.c: mprotect_attempt_merge() of -aa: the start of `vma`, or all of it, goes to the VMA before it. */
export function* mprotect_attempt_merge_aa(
  vma: vm_area_struct,
  prev: vm_area_struct | null,
  end: number,
  newflags: number,
): K<boolean> {
  const mm = vma.vm_mm as mm_struct;
  if ((newflags & VM_SPECIAL_AA) !== 0 || prev === null || prev.vm_end !== vma.vm_start) {
    return false;
  }
  const prev_pgoff = vma.vm_pgoff - vma_pages(prev);
  if (!is_mergeable_vma(prev, vma.vm_file, newflags, prev_pgoff, null)) {
    return false;
  }
  if (!is_mergeable_anon_vma(prev, vma)) {
    return false;
  }
  const start = vma.vm_start;
  if (end === vma.vm_end) {
    yield* swallow(mm, prev, vma);
    trace_vma_merge({ vma: prev, start, end, removed: 1 });
    return true;
  }
  const mapping = vma_mapping(vma);
  yield* lockShared(mapping);
  yield* __vma_modify(prev, prev.vm_start, end, prev.vm_pgoff);
  const pgoff = vma.vm_pgoff + (end - vma.vm_start) / PAGE_SIZE;
  if (has('extend_locks')) {
    yield* hooks().rmap_lock_vma(vma);
    yield* __vma_modify(vma, end, vma.vm_end, pgoff);
    hooks().rmap_unlock_vma(vma);
  } else {
    // A walk that reads the new start and the old offset looks too high.
    yield* __vma_modify(vma, end, vma.vm_end, pgoff);
  }
  unlockShared(mapping);
  if (has('extend_links')) {
    yield* anon_vma_merge_extend(prev, vma);
  }
  trace_vma_merge({ vma: prev, start, end, removed: 0 });
  return true;
}

/** mm/mprotect.c: mprotect_attempt_merge_final() of -aa: what was changed last, and the VMA after it. */
export function* mprotect_attempt_merge_final(prev: vm_area_struct): K {
  const next = vmaTreeNext(prev);
  if (next === null || prev.vm_end !== next.vm_start || (prev.vm_flags & VM_SPECIAL_AA) !== 0) {
    return;
  }
  const next_pgoff = prev.vm_pgoff + vma_pages(prev);
  if (!is_mergeable_vma(next, prev.vm_file, prev.vm_flags, next_pgoff, null)) {
    return;
  }
  if (is_mergeable_anon_vma(prev, next)) {
    const { vm_start, vm_end } = next;
    yield* swallow(prev.vm_mm as mm_struct, prev, next);
    trace_vma_merge({ vma: prev, start: vm_start, end: vm_end, removed: 1 });
  }
}
