/**
 * mm/vma.c v6.18, the part that decides: which VMAs may become one, and which may share an anon_vma.
 * mm/vma.ts carries the decisions out. Reads only; fidelity: dup (no policies, userfaultfd contexts
 * or anonymous VMA names exist here, so they never differ).
 */
import { VM_WARN_ON } from '../lib/bug.ts';
import { list_is_singular } from '../lib/list.ts';
import type { anon_vma, file, mm_struct, vm_area_struct } from '../mm_types.ts';
import {
  PAGE_SIZE,
  VM_ACCESS_FLAGS,
  VM_IGNORE_MERGE,
  VM_NORESERVE,
  VM_SHARED,
  VM_WRITE,
  vma_has_close,
  vma_pages,
} from './mm.ts';
import { vmaTreePrev, vmaTreeWalk } from './vma_tree.ts';

/** enum vma_merge_state. */
export type vma_merge_state = 'start' | 'error_nomem' | 'nomerge' | 'success';

/**
 * struct vma_merge_struct (mm/vma.h v6.18): a request to merge, and how far it got. `middle` is the VMA
 * that is modified, null for a new range. Local to one operation.
 */
export interface vma_merge_struct {
  readonly mm: mm_struct;
  prev: vm_area_struct | null;
  middle: vm_area_struct | null;
  next: vm_area_struct | null;
  /** The VMA that survives. */
  target: vm_area_struct | null;
  start: number;
  end: number;
  pgoff: number;
  vm_flags: number;
  readonly file: file | null;
  readonly anon_vma: anon_vma | null;
  /** mremap: the VMA whose copy the new range is (feature copied_from). */
  copied_from: vm_area_struct | null;
  state: vma_merge_state;
  /** brk: extend `prev`, do not look at `next`. */
  just_expand: boolean;
  /** Out of memory means "no merge" instead of an error. */
  readonly give_up_on_oom: boolean;
  /** The merge shrinks `middle` from below / moves the start of `next` down. */
  adjust_middle_start: boolean;
  adjust_next_start: boolean;
  remove_middle: boolean;
  remove_next: boolean;
}

/** VMG_STATE(): a request for a new range. */
export function VMG_STATE(
  mm: mm_struct,
  start: number,
  end: number,
  vm_flags: number,
  pgoff: number,
  file: file | null = null,
  anon_vma: anon_vma | null = null,
): vma_merge_struct {
  return {
    mm,
    prev: null,
    middle: null,
    next: null,
    target: null,
    start,
    end,
    pgoff,
    vm_flags,
    file,
    anon_vma,
    copied_from: null,
    state: 'start',
    just_expand: false,
    give_up_on_oom: false,
    adjust_middle_start: false,
    adjust_next_start: false,
    remove_middle: false,
    remove_next: false,
  };
}

/** VMG_VMA_STATE(): a request that takes everything but the range from `vma`. */
export function VMG_VMA_STATE(
  prev: vm_area_struct | null,
  vma: vm_area_struct,
  start: number,
  end: number,
): vma_merge_struct {
  const pgoff = vma.vm_pgoff + (start - vma.vm_start) / PAGE_SIZE;
  const vmg = VMG_STATE(
    vma.vm_mm as mm_struct,
    start,
    end,
    vma.vm_flags,
    pgoff,
    vma.vm_file,
    vma.anon_vma,
  );
  vmg.prev = prev;
  vmg.middle = vma;
  return vmg;
}

/** mm/vma.c: vma_is_fork_child() v6.18.y (vma_had_uncowed_parents() in 6.18.0): its chain reaches ancestors. */
export function vma_is_fork_child(vma: vm_area_struct | null): boolean {
  return vma !== null && vma.anon_vma !== null && !list_is_singular(vma.anon_vma_chain);
}

/** mm/vma.c: is_mergeable_vma() v6.18. */
function is_mergeable_vma(vmg: vma_merge_struct, vma: vm_area_struct): boolean {
  if (((vma.vm_flags ^ vmg.vm_flags) & ~VM_IGNORE_MERGE) !== 0) {
    return false;
  }
  // The same struct file: two open()s of one inode never merge.
  return vma.vm_file === vmg.file;
}

/**
 * mm/vma.c: is_mergeable_anon_vma() v6.18. A VMA with a long chain is not merged with an unfaulted one:
 * that would make more VMAs hang on the ancestors' root.
 */
function is_mergeable_anon_vma(vmg: vma_merge_struct, tgt: vm_area_struct): boolean {
  const src = vmg.middle;
  const tgt_anon = tgt.anon_vma;
  const src_anon = vmg.anon_vma;
  VM_WARN_ON(src !== null && src_anon !== src.anon_vma, 'src && src_anon != src->anon_vma');
  if (tgt_anon === null && src_anon !== null) {
    // dup_anon_vma() will copy the chain of src into tgt.
    return !vma_is_fork_child(src) && !vma_is_fork_child(vmg.copied_from);
  }
  if (tgt_anon !== null && src_anon === null) {
    return !vma_is_fork_child(tgt);
  }
  return src_anon === tgt_anon;
}

/** mm/vma.c: can_vma_merge_before() v6.18: the range may go in front of vmg->next. */
function can_vma_merge_before(vmg: vma_merge_struct, next: vm_area_struct): boolean {
  return (
    is_mergeable_vma(vmg, next) &&
    is_mergeable_anon_vma(vmg, next) &&
    next.vm_pgoff === vmg.pgoff + (vmg.end - vmg.start) / PAGE_SIZE
  );
}

/** mm/vma.c: can_vma_merge_after() v6.18: the range may follow vmg->prev. */
function can_vma_merge_after(vmg: vma_merge_struct, prev: vm_area_struct): boolean {
  return (
    is_mergeable_vma(vmg, prev) &&
    is_mergeable_anon_vma(vmg, prev) &&
    prev.vm_pgoff + vma_pages(prev) === vmg.pgoff
  );
}

/** mm/vma.c: can_vma_merge_left() v6.18. */
export function can_vma_merge_left(vmg: vma_merge_struct): boolean {
  const prev = vmg.prev;
  return prev !== null && prev.vm_end === vmg.start && can_vma_merge_after(vmg, prev);
}

/**
 * mm/vma.c: can_vma_merge_right() v6.18. That the range fits both sides does not mean that the sides fit
 * each other: an unfaulted range goes with prev when both are faulted differently.
 */
export function can_vma_merge_right(vmg: vma_merge_struct, can_merge_left: boolean): boolean {
  const next = vmg.next;
  if (next === null || vmg.end !== next.vm_start || !can_vma_merge_before(vmg, next)) {
    return false;
  }
  if (!can_merge_left) {
    return true;
  }
  const prev = vmg.prev as vm_area_struct;
  return prev.anon_vma === null || next.anon_vma === null || prev.anon_vma === next.anon_vma;
}

/** mm/vma.c: can_merge_remove_vma() v6.18: a close() hook counts users, so such a VMA cannot vanish. */
export function can_merge_remove_vma(vma: vm_area_struct): boolean {
  return !vma_has_close(vma);
}

/**
 * mm/vma.c: anon_vma_compatible() v6.18: flags may differ only in what mprotect() changes and what merging
 * ignores. 6.18.44: the latter includes VM_MAYBE_GUARD (6.18.35: VM_SOFTDIRTY only).
 */
function anon_vma_compatible(a: vm_area_struct, b: vm_area_struct): boolean {
  return (
    a.vm_end === b.vm_start &&
    a.vm_file === b.vm_file &&
    ((a.vm_flags ^ b.vm_flags) & ~(VM_ACCESS_FLAGS | VM_IGNORE_MERGE)) === 0 &&
    b.vm_pgoff === a.vm_pgoff + (b.vm_start - a.vm_start) / PAGE_SIZE
  );
}

/**
 * mm/vma.c: reusable_anon_vma() v6.18. mmap_lock is held for read only, so another fault may be giving
 * `old` its anon_vma right now; one that appears is a singleton, which is what we want.
 */
function reusable_anon_vma(
  old: vm_area_struct,
  a: vm_area_struct,
  b: vm_area_struct,
): anon_vma | null {
  if (anon_vma_compatible(a, b)) {
    const anon_vma = old.anon_vma;
    if (anon_vma !== null && list_is_singular(old.anon_vma_chain)) {
      return anon_vma;
    }
  }
  return null;
}

/**
 * mm/vma.c: find_mergeable_anon_vma() v6.18: a neighbour's anon_vma that `vma` may take over, so that
 * a later mprotect() can merge them. The next VMA is asked first. Preconditions: mmap_lock held.
 */
export function find_mergeable_anon_vma(vma: vm_area_struct): anon_vma | null {
  const next = vmaTreeWalk(vma.vm_mm as mm_struct, vma.vm_end);
  if (next !== null) {
    const anon_vma = reusable_anon_vma(next, vma, next);
    if (anon_vma !== null) {
      return anon_vma;
    }
  }
  const prev = vmaTreePrev(vma);
  return prev === null ? null : reusable_anon_vma(prev, prev, vma);
}

/** mm/vma.c: accountable_mapping() v6.18: private and writable, unless MAP_NORESERVE. */
export function accountable_mapping(vm_flags: number): boolean {
  return (vm_flags & (VM_NORESERVE | VM_SHARED | VM_WRITE)) === VM_WRITE;
}
