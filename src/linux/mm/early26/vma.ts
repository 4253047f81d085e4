/**
 * mm/mmap.c v2.6.0 to v2.6.6: VMAs that are linked, merged and split. Reclaim looks VMAs up under a page_table_lock that
 * it has only tried, so that every change of the list, the tree or a bound is made under it; in the -aa kernel
 * the lock of the anon_vma does that instead (feature vma_lock_by_scheme).
 *
 * Lock tree: mmap_sem (write) -> i_shared_sem -> page_table_lock, or the scheme's lock.
 * Fidelity: dup; VMA list and rbtree are the tree of v6.18; i_shared_sem is i_mmap_rwsem and i_mmap one tree.
 */
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { fput, get_file } from '../../fs/file_table.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import type { address_space, anon_vma, file, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_merge, trace_vma_split } from '../events.ts';
import { PAGE_SIZE, VM_DONTCOPY, VM_DONTEXPAND, VM_IO, VM_SHARED, vma_has_close } from '../mm.ts';
import { sysctl_max_map_count } from '../util.ts';
import { vm_area_dup, vm_area_free } from '../vma_init.ts';
import { vma_mapping } from '../vma_link.ts';
import { vmaTreeStore } from '../vma_tree.ts';
import { __remove_shared_vm_struct, __vma_link_file, liftFile, putFile } from './file_vmas.ts';
import { hooks } from './hooks.ts';
import { __vma_unlink, lockShared, placeAgain, unlockShared, vmaAfter } from './vma_place.ts';

/** mm/mmap.c: VM_SPECIAL v2.6.0; nothing is VM_RESERVED here. */
const VM_SPECIAL_2_6_0 = VM_IO | VM_DONTCOPY | VM_DONTEXPAND;

/** What keeps reclaim away from a VMA that changes: page_table_lock, or the lock of the scheme's object. */
export function* lockVma(vma: vm_area_struct): K {
  if (has('vma_lock_by_scheme')) {
    yield* hooks().rmap_lock_vma(vma);
  } else {
    yield* spin_lock((vma.vm_mm as mm_struct).page_table_lock);
  }
}

export function unlockVma(vma: vm_area_struct): void {
  if (has('vma_lock_by_scheme')) {
    hooks().rmap_unlock_vma(vma);
  } else {
    spin_unlock((vma.vm_mm as mm_struct).page_table_lock);
  }
}

/** mm/mmap.c: __vma_link() v2.6.0, with the scheme's __anon_vma_link() (-aa). Preconditions: the VMA's lock. */
function __vma_link(mm: mm_struct, vma: vm_area_struct): void {
  vmaTreeStore(mm, vma);
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    __vma_link_file(vma, mapping);
  }
  hooks().rmap_copy_vma(vma, vma);
}

/** mm/mmap.c: vma_link() v2.6.0. In the -aa kernel it joins the list of vma->anon_vma, if it has one. */
export function* vma_link(mm: mm_struct, vma: vm_area_struct): K {
  const mapping = vma_mapping(vma);
  yield* lockShared(mapping);
  yield* lockVma(vma);
  __vma_link(mm, vma);
  unlockVma(vma);
  unlockShared(mapping);
  mm.map_count = mm.map_count + 1;
}

// ---------------------------------------------------------------- merging

/** mm/mmap.c: is_mergeable_vma() v2.6.0. */
function is_mergeable_vma(vma: vm_area_struct, file: file | null, vm_flags: number): boolean {
  return !vma_has_close(vma) && vma.vm_file === file && vma.vm_flags === vm_flags;
}

/** mm/mmap.c: can_vma_merge_before() v2.6.0: anonymous mappings have no offset that could not fit. */
function can_vma_merge_before(
  vma: vm_area_struct,
  vm_flags: number,
  file: file | null,
  vm_pgoff: number,
  size: number,
): boolean {
  if (!is_mergeable_vma(vma, file, vm_flags)) {
    return false;
  }
  return (file === null && !has('anon_pgoff')) || vma.vm_pgoff === vm_pgoff + size;
}

/** mm/mmap.c: can_vma_merge_after() v2.6.0. */
function can_vma_merge_after(
  vma: vm_area_struct,
  vm_flags: number,
  file: file | null,
  vm_pgoff: number,
): boolean {
  if (!is_mergeable_vma(vma, file, vm_flags)) {
    return false;
  }
  const size = (vma.vm_end - vma.vm_start) / PAGE_SIZE;
  return (file === null && !has('anon_pgoff')) || vma.vm_pgoff + size === vm_pgoff;
}

/** include/linux/mm.h: can_vma_merge() v2.6.0: an anonymous VMA with these flags. */
export function can_vma_merge(vma: vm_area_struct, vm_flags: number): boolean {
  return vma.vm_file === null && vma.vm_flags === vm_flags;
}

/** The second half of vma_merge(): `prev` now reaches `next`, which goes. Preconditions: both locks; they are dropped. */
function* swallowNext(
  mm: mm_struct,
  prev: vm_area_struct,
  next: vm_area_struct,
  mapping: address_space | null,
): K {
  prev.vm_end = next.vm_end;
  __vma_unlink(mm, next);
  placeAgain(mm, prev);
  if (mapping !== null) {
    __remove_shared_vm_struct(next, mapping);
    putFile(prev);
  }
  hooks().rmap_absorb_vma(prev, next);
  unlockVma(prev);
  unlockShared(mapping);
  if (next.vm_file !== null) {
    fput(next.vm_file);
  }
  mm.map_count = mm.map_count - 1;
  vm_area_free(next);
}

/**
 * mm/mmap.c: vma_merge() v2.6.0: makes a new mapping [addr, end) part of the VMA before it, or of the one after, or
 * joins both. The VMA, or null. Nothing is mapped there yet; `anon_vma` is that of pages that mremap() will bring.
 * Preconditions: mmap_sem held for write.
 */
export function* vma_merge(
  mm: mm_struct,
  prev: vm_area_struct | null,
  addr: number,
  end: number,
  vm_flags: number,
  anon_vma: anon_vma | null,
  file: file | null,
  pgoff: number,
): K<vm_area_struct | null> {
  if ((vm_flags & VM_SPECIAL_2_6_0) !== 0) {
    return null;
  }
  const mapping = file === null ? null : file.f_mapping;
  const size = (end - addr) / PAGE_SIZE;
  const next = vmaAfter(mm, prev);
  if (
    prev !== null &&
    prev.vm_end === addr &&
    can_vma_merge_after(prev, vm_flags, file, pgoff) &&
    hooks().rmap_mergeable(prev, null, anon_vma)
  ) {
    // An end that moves up alone needs no i_shared_sem: who reads it early finds no page of the VMA beyond the old one.
    const shared = next !== null && next.vm_file === file ? mapping : null;
    yield* lockShared(shared);
    yield* lockVma(prev);
    liftFile(prev);
    prev.vm_end = end;
    if (
      next !== null &&
      end === next.vm_start &&
      can_vma_merge_before(next, vm_flags, file, pgoff, size) &&
      hooks().rmap_mergeable(prev, next, anon_vma)
    ) {
      yield* swallowNext(mm, prev, next, mapping);
      trace_vma_merge({ vma: prev, start: addr, end, removed: 1 });
      return prev;
    }
    placeAgain(mm, prev);
    putFile(prev);
    unlockVma(prev);
    unlockShared(shared);
    trace_vma_merge({ vma: prev, start: addr, end, removed: 0 });
    return prev;
  }
  if (
    next === null ||
    end !== next.vm_start ||
    !can_vma_merge_before(next, vm_flags, file, pgoff, size) ||
    !hooks().rmap_mergeable(next, null, anon_vma)
  ) {
    return null;
  }
  yield* lockShared(mapping);
  yield* lockVma(next);
  liftFile(next);
  next.vm_start = addr;
  next.vm_pgoff = next.vm_pgoff - size;
  placeAgain(mm, next);
  putFile(next);
  unlockVma(next);
  unlockShared(mapping);
  trace_vma_merge({ vma: next, start: addr, end, removed: 0 });
  return next;
}

/** `prev` takes over all of `vma`, which follows it: the end of mprotect() and mremap(). Preconditions: can be merged. */
export function* absorbVma(mm: mm_struct, prev: vm_area_struct, vma: vm_area_struct): K {
  const mapping = vma_mapping(prev);
  yield* lockShared(mapping);
  yield* lockVma(prev);
  const { vm_start, vm_end } = vma;
  liftFile(prev);
  prev.vm_end = vm_end;
  __vma_unlink(mm, vma);
  placeAgain(mm, prev);
  if (mapping !== null) {
    __remove_shared_vm_struct(vma, mapping);
    putFile(prev);
  }
  unlockVma(prev);
  unlockShared(mapping);
  if (vma.vm_file !== null) {
    fput(vma.vm_file);
  }
  vm_area_free(vma);
  mm.map_count = mm.map_count - 1;
  trace_vma_merge({ vma: prev, start: vm_start, end: vm_end, removed: 1 });
}

// ---------------------------------------------------------------- splitting

/** mm/mmap.c: split_vma() v2.6.0. 0 or -ENOMEM. Preconditions: mmap_sem held for write. */
export function* split_vma(
  mm: mm_struct,
  vma: vm_area_struct,
  addr: number,
  new_below: boolean,
): K<number> {
  if (mm.map_count >= sysctl_max_map_count()) {
    return -ENOMEM;
  }
  const new_vma = vm_area_dup(vma);
  if (new_vma === null) {
    return -ENOMEM;
  }
  if (new_below) {
    new_vma.vm_end = addr;
  } else {
    new_vma.vm_start = addr;
    new_vma.vm_pgoff = new_vma.vm_pgoff + (addr - vma.vm_start) / PAGE_SIZE;
  }
  if (new_vma.vm_file !== null) {
    get_file(new_vma.vm_file);
  }
  const mapping = vma_mapping(vma);
  yield* lockShared(mapping);
  yield* lockVma(vma);
  liftFile(vma);
  if (new_below) {
    vma.vm_start = addr;
    vma.vm_pgoff = vma.vm_pgoff + (addr - new_vma.vm_start) / PAGE_SIZE;
  } else {
    vma.vm_end = addr;
  }
  placeAgain(mm, vma);
  putFile(vma);
  __vma_link(mm, new_vma);
  mm.map_count = mm.map_count + 1;
  unlockVma(vma);
  unlockShared(mapping);
  trace_vma_split({ vma, new_vma, addr });
  return 0;
}

/** The VMAs of mprotect() and mremap() that v2.6.0 never merges: those of files and shared ones. */
export const isPlainAnon = (vma: vm_area_struct): boolean =>
  vma.vm_file === null && (vma.vm_flags & VM_SHARED) === 0;
