/**
 * mm/vma.c v6.18: the engine that merges, splits, expands and shrinks VMAs. What may be merged is decided
 * in vma_rules.ts; mapping and unmapping are in vma_map.ts and vma_munmap.ts.
 *
 * Lock tree: mmap_lock (write) -> vma_start_write() -> i_mmap_rwsem -> anon_vma root rwsem. A VMA's range
 * changes only while it is out of every reverse-map tree, between vma_prepare() and vma_complete(),
 * with those locks held: a walk sees the VMA of before or of after.
 *
 * Fidelity: dup. Left out: uprobes, policies, hugetlb.
 */

import type { K } from '../../sim/wait.ts';
import { EINVAL, ENOMEM } from '../errno.ts';
import { fput, get_file } from '../fs/file_table.ts';
import { anon_rmap, has } from '../kernel.ts';
import { VM_BUG_ON_VMA, VM_WARN_ON, WARN_ON, WARN_ON_ONCE } from '../lib/bug.ts';
import { list_entries } from '../lib/list.ts';
import {
  type address_space,
  type anon_vma,
  anon_vma_chain_cachep,
  type file,
  type mm_struct,
  type vm_area_struct,
} from '../mm_types.ts';
import {
  trace_vma_adjust,
  trace_vma_expand,
  trace_vma_map,
  trace_vma_merge,
  trace_vma_split,
} from './events.ts';
import {
  anon_vma_interval_tree_insert,
  anon_vma_interval_tree_remove,
  vma_interval_tree_insert,
  vma_interval_tree_remove,
} from './interval_tree.ts';
import { khugepaged_enter_vma } from './khugepaged_mm.ts';
import { PAGE_SIZE, VM_OPS_SPECIAL, VM_SPECIAL, VM_STICKY, vma_is_anonymous } from './mm.ts';
import {
  mmap_assert_write_locked,
  vma_assert_write_locked,
  vma_mark_attached,
  vma_mark_detached,
  vma_start_write,
} from './mmap_lock.ts';
import {
  anon_vma_lock_write,
  anon_vma_merge,
  anon_vma_unlock_write,
} from './rmap/anon_vma_life.ts';
import { vma_adjust_trans_huge } from './split_huge_pmd.ts';
import { sysctl_max_map_count } from './util.ts';
import { vm_area_dup, vm_area_free } from './vma_init.ts';
import {
  __remove_shared_vm_struct,
  __vma_link_file,
  i_mmap_lock_write,
  i_mmap_unlock_write,
  vma_link_file,
  vma_mapping,
} from './vma_link.ts';
import {
  can_merge_remove_vma,
  can_vma_merge_left,
  can_vma_merge_right,
  VMG_VMA_STATE,
  type vma_merge_struct,
} from './vma_rules.ts';
import {
  find_vma_prev,
  vmaTreeClear,
  vmaTreeNext,
  vmaTreePrealloc,
  vmaTreeStore,
} from './vma_tree.ts';

const avc_of_same_vma = anon_vma_chain_cachep.container('same_vma');

/** struct vma_prepare: what one change of ranges touches. */
interface vma_prepare {
  readonly vma: vm_area_struct;
  /** The neighbour whose start moves along. */
  readonly adj_next: vm_area_struct | null;
  readonly file: file | null;
  readonly mapping: address_space | null;
  readonly anon_vma: anon_vma | null;
  /** Split: the new VMA. */
  insert: vm_area_struct | null;
  /** Merge: VMAs that vanish, in the order in which they are taken apart. */
  readonly remove: readonly vm_area_struct[];
}

/** mm/vma.c: init_multi_vma_prep() v6.18. */
function init_multi_vma_prep(vma: vm_area_struct, vmg: vma_merge_struct | null): vma_prepare {
  const remove: vm_area_struct[] = [];
  let adjust: vm_area_struct | null = null;
  if (vmg !== null) {
    if (vmg.remove_middle && vmg.middle !== null) {
      remove.push(vmg.middle);
    }
    if (vmg.remove_next && vmg.next !== null) {
      remove.push(vmg.next);
    }
    if (vmg.adjust_middle_start) {
      adjust = vmg.middle;
    } else if (vmg.adjust_next_start) {
      adjust = vmg.next;
    }
  }
  const anon_vma = vma.anon_vma ?? (adjust === null ? null : adjust.anon_vma);
  VM_WARN_ON(
    anon_vma !== null &&
      adjust !== null &&
      adjust.anon_vma !== null &&
      anon_vma !== adjust.anon_vma,
    'vp->anon_vma != adjust->anon_vma',
  );
  return {
    vma,
    adj_next: adjust,
    file: vma.vm_file,
    mapping: vma_mapping(vma),
    anon_vma,
    insert: null,
    remove,
  };
}

/** mm/vma.c: anon_vma_interval_tree_pre_update_vma() v6.18. Preconditions: root rwsem held for write. */
export function anon_vma_interval_tree_pre_update_vma(vma: vm_area_struct): void {
  for (const at of list_entries(vma.anon_vma_chain)) {
    const avc = avc_of_same_vma(at);
    anon_vma_interval_tree_remove(avc, avc.anon_vma.rb_root);
  }
}

/** mm/vma.c: anon_vma_interval_tree_post_update_vma() v6.18. Preconditions: root rwsem held for write. */
export function anon_vma_interval_tree_post_update_vma(vma: vm_area_struct): void {
  for (const at of list_entries(vma.anon_vma_chain)) {
    const avc = avc_of_same_vma(at);
    anon_vma_interval_tree_insert(avc, avc.anon_vma.rb_root);
  }
}

/** mm/vma.h: vma_set_range() v6.18. Preconditions: the VMA is in no reverse-map tree. */
export function vma_set_range(
  vma: vm_area_struct,
  start: number,
  end: number,
  pgoff: number,
): void {
  vma.vm_start = start;
  vma.vm_end = end;
  vma.vm_pgoff = pgoff;
  trace_vma_adjust({ vma, start, end, pgoff });
}

/** mm/vma.c: vma_prepare() v6.18: takes the locks and takes the VMAs out of the reverse-map trees. */
function* vma_prepare(vp: vma_prepare): K {
  if (vp.mapping !== null) {
    yield* i_mmap_lock_write(vp.mapping);
    if (vp.insert !== null && vp.insert.vm_file !== null) {
      // Both halves are findable before the old one shrinks: no walk can miss a page.
      __vma_link_file(vp.insert, vp.mapping);
    }
  }
  if (vp.anon_vma !== null) {
    yield* anon_vma_lock_write(vp.anon_vma);
    anon_vma_interval_tree_pre_update_vma(vp.vma);
    if (vp.adj_next !== null) {
      anon_vma_interval_tree_pre_update_vma(vp.adj_next);
    }
  }
  if (vp.mapping !== null) {
    vma_interval_tree_remove(vp.vma, vp.mapping.i_mmap);
    if (vp.adj_next !== null) {
      vma_interval_tree_remove(vp.adj_next, vp.mapping.i_mmap);
    }
  }
}

/**
 * mm/vma.c: vma_complete() v6.18: puts the VMAs back into the trees with their new ranges, drops the locks,
 * then takes removed VMAs apart.
 */
function* vma_complete(vp: vma_prepare, mm: mm_struct): K {
  if (vp.mapping !== null) {
    if (vp.adj_next !== null) {
      vma_interval_tree_insert(vp.adj_next, vp.mapping.i_mmap);
    }
    vma_interval_tree_insert(vp.vma, vp.mapping.i_mmap);
  }
  if (vp.remove.length > 0 && vp.mapping !== null) {
    for (const removed of vp.remove) {
      __remove_shared_vm_struct(removed, vp.mapping);
    }
  } else if (vp.insert !== null) {
    // The half that split off enters the tree before a walk or a fault can look again.
    vma_iter_store_new(mm, vp.insert);
    mm.map_count = mm.map_count + 1;
  }
  if (vp.anon_vma !== null) {
    anon_vma_interval_tree_post_update_vma(vp.vma);
    if (vp.adj_next !== null) {
      anon_vma_interval_tree_post_update_vma(vp.adj_next);
    }
    anon_vma_unlock_write(vp.anon_vma);
  }
  if (vp.mapping !== null) {
    i_mmap_unlock_write(vp.mapping);
  }
  for (const removed of vp.remove) {
    yield* vma_mark_detached(removed);
    if (vp.file !== null) {
      fput(vp.file);
    }
    if (removed.anon_vma !== null) {
      yield* anon_vma_merge(vp.vma, removed);
    }
    mm.map_count = mm.map_count - 1;
    WARN_ON_ONCE(
      removed === vp.remove.at(-1) && vp.vma.vm_end < removed.vm_end,
      'vma->vm_end < remove->vm_end',
    );
    vm_area_free(removed);
  }
}

/** mm/vma.h: vma_iter_store_new() v6.18: attaches a write-locked VMA and stores it. */
export function vma_iter_store_new(mm: mm_struct, vma: vm_area_struct): void {
  vma_mark_attached(vma);
  vmaTreeStore(mm, vma);
}

/** vm_ops->may_split(): special mappings refuse. 0 or -EINVAL. */
export function vma_may_split(vma: vm_area_struct): number {
  return vma.vm_ops === VM_OPS_SPECIAL ? -EINVAL : 0;
}

/**
 * mm/vma.c: __split_vma() v6.18: splits without looking at the map count. `new_below`: the new VMA is the
 * lower part, and the old object keeps what lies above `addr`. 0 or a negative errno; nothing changed
 * on failure.
 */
export function* __split_vma(vma: vm_area_struct, addr: number, new_below: boolean): K<number> {
  WARN_ON(vma.vm_start >= addr, 'vma->vm_start >= addr');
  WARN_ON(vma.vm_end <= addr, 'vma->vm_end <= addr');
  const refused = vma_may_split(vma);
  if (refused !== 0) {
    return refused;
  }
  const new_vma = vm_area_dup(vma);
  if (new_vma === null) {
    return -ENOMEM;
  }
  const pages_below = (addr - vma.vm_start) / PAGE_SIZE;
  if (new_below) {
    new_vma.vm_end = addr;
  } else {
    new_vma.vm_start = addr;
    new_vma.vm_pgoff = new_vma.vm_pgoff + pages_below;
  }
  if (vmaTreePrealloc() !== 0) {
    vm_area_free(new_vma);
    return -ENOMEM;
  }
  const err = yield* anon_rmap().anon_vma_clone(new_vma, vma);
  if (err !== 0) {
    vm_area_free(new_vma);
    return err;
  }
  if (new_vma.vm_file !== null) {
    get_file(new_vma.vm_file);
  }
  yield* vma_start_write(vma);
  yield* vma_start_write(new_vma);
  const vp = init_multi_vma_prep(vma, null);
  vp.insert = new_vma;
  yield* vma_prepare(vp);
  yield* vma_adjust_trans_huge(vma, vma.vm_start, addr, null);
  if (new_below) {
    vma_set_range(vma, addr, vma.vm_end, vma.vm_pgoff + pages_below);
  } else {
    vma_set_range(vma, vma.vm_start, addr, vma.vm_pgoff);
  }
  yield* vma_complete(vp, vma.vm_mm as mm_struct);
  trace_vma_split({ vma, new_vma, addr });
  return 0;
}

/** mm/vma.c: split_vma() v6.18: __split_vma() within max_map_count. */
export function* split_vma(vma: vm_area_struct, addr: number, new_below: boolean): K<number> {
  if ((vma.vm_mm as mm_struct).map_count >= sysctl_max_map_count()) {
    return -ENOMEM;
  }
  return yield* __split_vma(vma, addr, new_below);
}

/**
 * mm/vma.c: dup_anon_vma() v6.18: an unfaulted survivor takes over the chain of the faulted VMA it
 * swallows, before that one goes. Returns -ENOMEM, 0 (nothing to do) or 1 (dst was changed).
 */
function* dup_anon_vma(dst: vm_area_struct, src: vm_area_struct): K<number> {
  if (src.anon_vma === null || dst.anon_vma !== null) {
    return 0;
  }
  vma_assert_write_locked(dst);
  dst.anon_vma = src.anon_vma;
  const err = yield* anon_rmap().anon_vma_clone(dst, src);
  return err === 0 ? 1 : err;
}

/** mm/vma.c: vmg_adjust_set_range() v6.18: the neighbour begins where the changed VMA ends. */
function vmg_adjust_set_range(vmg: vma_merge_struct): void {
  let adjust: vm_area_struct;
  let pgoff: number;
  if (vmg.adjust_middle_start) {
    adjust = vmg.middle as vm_area_struct;
    pgoff = adjust.vm_pgoff + (vmg.end - adjust.vm_start) / PAGE_SIZE;
  } else if (vmg.adjust_next_start) {
    adjust = vmg.next as vm_area_struct;
    pgoff = adjust.vm_pgoff - (adjust.vm_start - vmg.end) / PAGE_SIZE;
  } else {
    return;
  }
  vma_set_range(adjust, vmg.end, adjust.vm_end, pgoff);
}

/**
 * mm/vma.c: commit_merge() v6.18. The tree's preallocation is the only failure, before anything changed.
 */
function* commit_merge(vmg: vma_merge_struct): K<number> {
  const target = vmg.target as vm_area_struct;
  // A tail of middle that goes to next: middle is the one that is shrunk, next is adjusted.
  const vma = vmg.adjust_next_start ? (vmg.middle as vm_area_struct) : target;
  const vp = init_multi_vma_prep(vma, vmg);
  if (vmaTreePrealloc() !== 0) {
    return -ENOMEM;
  }
  yield* vma_prepare(vp);
  yield* vma_adjust_trans_huge(
    vma,
    vmg.start,
    vmg.end,
    vmg.adjust_middle_start ? vmg.middle : null,
  );
  vma_set_range(vma, vmg.start, vmg.end, vmg.pgoff);
  vmg_adjust_set_range(vmg);
  vmaTreeStore(vmg.mm, target);
  yield* vma_complete(vp, vmg.mm);
  trace_vma_merge({
    vma: target,
    start: target.vm_start,
    end: target.vm_end,
    removed: vp.remove.length,
  });
  return 0;
}

/** Undoes dup_anon_vma() after a failed commit, and says how the caller must take it. */
function* abortMerge(vmg: vma_merge_struct, dup: vm_area_struct | null): K {
  if (dup !== null) {
    yield* anon_rmap().unlink_anon_vmas(dup);
  }
  if (!vmg.give_up_on_oom) {
    vmg.state = 'error_nomem';
  }
}

/** 6.18.44, 6.19: flags that a merge hands on to the survivor. Read before anything is removed. */
function stickyFlags(vmg: vma_merge_struct, ...vmas: (vm_area_struct | null)[]): number {
  if (!has('maybe_guard')) {
    return 0;
  }
  let flags = vmg.vm_flags;
  for (const vma of vmas) {
    if (vma !== null) {
      flags |= vma.vm_flags;
    }
  }
  return flags & VM_STICKY;
}

/** vm_flags_set() of sticky flags; no write when there are none to add. */
function setStickyFlags(vma: vm_area_struct, sticky: number): void {
  if ((sticky & ~vma.vm_flags) !== 0) {
    vma.vm_flags = vma.vm_flags | sticky;
  }
}

/**
 * mm/vma.c: vma_merge_existing_range() v6.18: [start, end) of vmg->middle gets new attributes; merge it with
 * neighbours that have them already. Returns the VMA that covers the range now, or null. Preconditions:
 * mmap_lock held for write; prev is the VMA before, or middle itself if start is inside it.
 */
export function* vma_merge_existing_range(vmg: vma_merge_struct): K<vm_area_struct | null> {
  const middle = vmg.middle as vm_area_struct;
  const prev = vmg.prev;
  const start = vmg.start;
  const left_side = start === middle.vm_start;
  const right_side = vmg.end === middle.vm_end;
  mmap_assert_write_locked(vmg.mm);
  VM_WARN_ON(vmg.next !== null, 'vmg->next');
  VM_WARN_ON(prev !== null && start <= prev.vm_start, 'prev && start <= prev->vm_start');
  VM_WARN_ON(start >= vmg.end, 'start >= end');
  VM_WARN_ON(
    (middle !== prev && start !== middle.vm_start) || vmg.end > middle.vm_end,
    'the range is not inside middle',
  );
  VM_WARN_ON(vmg.copied_from !== null, 'vmg->copied_from');
  vmg.state = 'nomerge';
  if ((vmg.vm_flags & VM_SPECIAL) !== 0 || (!left_side && !right_side)) {
    return null;
  }
  const merge_left = left_side && can_vma_merge_left(vmg);
  let merge_right = false;
  if (right_side) {
    vmg.next = vmaTreeNext(middle);
    merge_right = can_vma_merge_right(vmg, merge_left);
  }
  const next = vmg.next;
  if (!merge_left && !merge_right) {
    return null;
  }
  let merge_both = merge_left && merge_right;
  vmg.remove_middle = left_side && right_side;
  if (vmg.remove_middle && !can_merge_remove_vma(middle)) {
    return null;
  }
  vmg.remove_next = merge_both;
  if (vmg.remove_next && !can_merge_remove_vma(next as vm_area_struct)) {
    // Next must stay: prev swallows middle only.
    vmg.remove_next = false;
    merge_right = false;
    merge_both = false;
  }
  yield* vma_start_write(middle);
  if (merge_right) {
    yield* vma_start_write(next as vm_area_struct);
    vmg.target = next;
  }
  if (merge_left) {
    yield* vma_start_write(prev as vm_area_struct);
    vmg.target = prev;
  }
  const sticky = stickyFlags(vmg, merge_right ? next : null, merge_left ? prev : null);
  const target = vmg.target as vm_area_struct;
  let source = middle;
  if (merge_both) {
    vmg.start = (prev as vm_area_struct).vm_start;
    vmg.end = (next as vm_area_struct).vm_end;
    vmg.pgoff = (prev as vm_area_struct).vm_pgoff;
    if ((next as vm_area_struct).anon_vma !== null) {
      source = next as vm_area_struct;
    }
  } else if (merge_left) {
    vmg.start = (prev as vm_area_struct).vm_start;
    vmg.pgoff = (prev as vm_area_struct).vm_pgoff;
    if (!vmg.remove_middle) {
      vmg.adjust_middle_start = true;
    }
  } else if (vmg.remove_middle) {
    const pglen = (vmg.end - vmg.start) / PAGE_SIZE;
    vmg.end = (next as vm_area_struct).vm_end;
    vmg.pgoff = (next as vm_area_struct).vm_pgoff - pglen;
  } else {
    vmg.adjust_next_start = true;
    vmg.start = middle.vm_start;
    vmg.end = start;
    vmg.pgoff = middle.vm_pgoff;
  }
  const dup = yield* dup_anon_vma(target, source);
  if (dup < 0 || (yield* commit_merge(vmg)) !== 0) {
    yield* abortMerge(vmg, dup === 1 ? target : null);
    return null;
  }
  setStickyFlags(target, sticky);
  yield* khugepaged_enter_vma(target, vmg.vm_flags);
  vmg.state = 'success';
  return target;
}

/**
 * mm/vma.c: vma_merge_new_range() v6.18: a new range [start, end) between vmg->prev and vmg->next. Extends a
 * neighbour over it if it can. Returns the extended VMA or null. Preconditions: mmap_lock held for write.
 */
export function* vma_merge_new_range(vmg: vma_merge_struct): K<vm_area_struct | null> {
  const prev = vmg.prev;
  const next = vmg.next;
  const end = vmg.end;
  mmap_assert_write_locked(vmg.mm);
  VM_WARN_ON(vmg.middle !== null, 'vmg->middle');
  VM_WARN_ON(vmg.target !== null, 'vmg->target');
  vmg.state = 'nomerge';
  if ((vmg.vm_flags & VM_SPECIAL) !== 0 || (prev === null && next === null)) {
    return null;
  }
  const can_merge_left = can_vma_merge_left(vmg);
  const can_merge_right = !vmg.just_expand && can_vma_merge_right(vmg, can_merge_left);
  if (can_merge_right && next !== null) {
    vmg.end = next.vm_end;
    vmg.target = next;
  }
  if (can_merge_left && prev !== null) {
    vmg.start = prev.vm_start;
    vmg.target = prev;
    vmg.pgoff = prev.vm_pgoff;
    if (can_merge_right && !can_merge_remove_vma(next as vm_area_struct)) {
      vmg.end = end;
    }
  }
  if (vmg.target !== null && (yield* vma_expand(vmg)) === 0) {
    yield* khugepaged_enter_vma(vmg.target, vmg.vm_flags);
    vmg.state = 'success';
    return vmg.target;
  }
  return null;
}

/**
 * mm/vma.c: vma_expand() v6.18.y: vmg->target grows to [start, end), over vmg->next if that ends there. 0 or
 * -ENOMEM. Preconditions: mmap_lock held for write; the caller has checked that they fit.
 */
export function* vma_expand(vmg: vma_merge_struct): K<number> {
  const target = vmg.target as vm_area_struct;
  const next = vmg.next;
  let remove_next = false;
  let dup = 0;
  mmap_assert_write_locked(vmg.mm);
  yield* vma_start_write(target);
  if (next !== null && target !== next && vmg.end === next.vm_end) {
    remove_next = true;
  }
  VM_WARN_ON(
    remove_next && !can_merge_remove_vma(next as vm_area_struct),
    'remove_next && !can_merge_remove_vma(next)',
  );
  VM_WARN_ON(
    next !== null && !remove_next && next !== target && vmg.end > next.vm_start,
    'a part of next would be overwritten',
  );
  VM_WARN_ON(
    target.vm_start < vmg.start || target.vm_end > vmg.end,
    'vma_expand() would shrink the target',
  );
  const sticky = stickyFlags(vmg, target, remove_next ? next : null);
  if (remove_next) {
    dup = yield* dup_anon_vma(target, next as vm_area_struct);
  }
  if (dup >= 0 && vmg.copied_from !== null) {
    // mremap onto an unfaulted neighbour: page tables with pages of this chain are about to arrive.
    const copied = yield* dup_anon_vma(target, vmg.copied_from);
    if (copied !== 0) {
      dup = copied;
    }
  }
  if (dup < 0) {
    return dup;
  }
  if (remove_next) {
    yield* vma_start_write(next as vm_area_struct);
    vmg.remove_next = true;
  }
  if ((yield* commit_merge(vmg)) !== 0) {
    yield* abortMerge(vmg, dup === 1 ? target : null);
    return -ENOMEM;
  }
  setStickyFlags(target, sticky);
  trace_vma_expand({ vma: target, start: target.vm_start, end: target.vm_end });
  return 0;
}

/**
 * mm/vma.c: vma_shrink() v6.18: cuts one end off (the stack's relocation in execve()). 0 or -ENOMEM.
 * Preconditions: mmap_lock held for write.
 */
export function* vma_shrink(
  vma: vm_area_struct,
  start: number,
  end: number,
  pgoff: number,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  WARN_ON(vma.vm_start !== start && vma.vm_end !== end, 'vma_shrink() of both ends');
  if (vmaTreePrealloc() !== 0) {
    return -ENOMEM;
  }
  yield* vma_start_write(vma);
  const vp = init_multi_vma_prep(vma, null);
  yield* vma_prepare(vp);
  yield* vma_adjust_trans_huge(vma, start, end, null);
  if (vma.vm_start < start) {
    vmaTreeClear(mm, vma.vm_start, start);
  } else {
    vmaTreeClear(mm, end, vma.vm_end);
  }
  vma_set_range(vma, start, end, pgoff);
  yield* vma_complete(vp, mm);
  return 0;
}

/**
 * mm/vma.c: vma_modify() v6.18: the VMA that is exactly [start, end) of vmg->middle, merged or split as the
 * new attributes need; a negative errno if that fails. A first split is not undone when a second fails.
 */
function* vma_modify(vmg: vma_merge_struct): K<vm_area_struct | number> {
  const vma = vmg.middle as vm_area_struct;
  const start = vmg.start;
  const end = vmg.end;
  const merged = yield* vma_merge_existing_range(vmg);
  if (merged !== null) {
    return merged;
  }
  if (vmg.state === 'error_nomem') {
    return -ENOMEM;
  }
  if (vma.vm_start < start) {
    const err = yield* split_vma(vma, start, true);
    if (err !== 0) {
      return err;
    }
  }
  if (vma.vm_end > end) {
    const err = yield* split_vma(vma, end, false);
    if (err !== 0) {
      return err;
    }
  }
  return vma;
}

/**
 * mm/vma.c: vma_modify_flags() v6.18. The caller stores the flags into the VMA it gets back, OR-ed with the
 * sticky ones that a merge has put there (6.18.44 hands them back through a pointer).
 */
export function* vma_modify_flags(
  prev: vm_area_struct | null,
  vma: vm_area_struct,
  start: number,
  end: number,
  vm_flags: number,
): K<vm_area_struct | number> {
  const vmg = VMG_VMA_STATE(prev, vma, start, end);
  vmg.vm_flags = vm_flags;
  return yield* vma_modify(vmg);
}

/**
 * mm/vma.c: vma_merge_extend() v6.18: extends a VMA in place (mremap), over the next one if that fits. No
 * copied_from: a fork child may so absorb an unfaulted neighbour.
 */
export function* vma_merge_extend(vma: vm_area_struct, delta: number): K<vm_area_struct | null> {
  const vmg = VMG_VMA_STATE(vma, vma, vma.vm_end, vma.vm_end + delta);
  vmg.next = vmaTreeNext(vma);
  vmg.middle = null;
  return yield* vma_merge_new_range(vmg);
}

/** mm/vma.c: vma_link() v6.18: stores a new VMA and links it to its file. 0 or -ENOMEM. */
export function* vma_link(mm: mm_struct, vma: vm_area_struct): K<number> {
  if (vmaTreePrealloc() !== 0) {
    return -ENOMEM;
  }
  yield* vma_start_write(vma);
  vma_iter_store_new(mm, vma);
  yield* vma_link_file(vma);
  mm.map_count = mm.map_count + 1;
  trace_vma_map({ vma, start: vma.vm_start, end: vma.vm_end, flags: vma.vm_flags });
  return 0;
}

/** What copy_vma() gives back besides the new VMA. */
export interface copied_vma {
  readonly new_vma: vm_area_struct;
  /** The source, or the VMA that swallowed it. */
  readonly vma: vm_area_struct;
  /** Rmap walks may meet the source after the copy: page tables must move under the rmap locks. */
  readonly need_rmap_locks: boolean;
}

/**
 * mm/vma.c: copy_vma() v6.18.y: the destination of an mremap() of `vma`: a neighbour extended over it, or a
 * new VMA with the same chain. null: no memory. Preconditions: mmap_lock held for write; the
 * destination is empty.
 */
export function* copy_vma(
  vma: vm_area_struct,
  addr: number,
  len: number,
  source_pgoff: number,
): K<copied_vma | null> {
  const mm = vma.vm_mm as mm_struct;
  const vma_start = vma.vm_start;
  const vmg = VMG_VMA_STATE(null, vma, addr, addr + len);
  let pgoff = source_pgoff;
  let faulted_in_anon_vma = true;
  if (vma_is_anonymous(vma) && vma.anon_vma === null) {
    // No page has an index yet: the offset of the new place lets it merge with its neighbours there.
    pgoff = addr / PAGE_SIZE;
    faulted_in_anon_vma = false;
  }
  const found = find_vma_prev(mm, addr);
  if (found.vma !== null && found.vma.vm_start < addr + len) {
    return null;
  }
  vmg.prev = found.prev;
  vmg.next = found.vma;
  vmg.pgoff = pgoff;
  // vma_merge_copied_range()
  vmg.middle = null;
  if (has('copied_from')) {
    vmg.copied_from = vma;
  }
  const merged = yield* vma_merge_new_range(vmg);
  if (merged !== null) {
    let source = vma;
    if (vma_start >= merged.vm_start && vma_start < merged.vm_end) {
      // The source itself was a neighbour and is gone or grown: only an unfaulted one fits both places.
      VM_BUG_ON_VMA(faulted_in_anon_vma, merged, 'faulted_in_anon_vma');
      source = merged;
    }
    return {
      new_vma: merged,
      vma: source,
      need_rmap_locks: merged.vm_pgoff <= source.vm_pgoff,
    };
  }
  const new_vma = vm_area_dup(vma);
  if (new_vma === null) {
    return null;
  }
  vma_set_range(new_vma, addr, addr + len, pgoff);
  if ((yield* anon_rmap().anon_vma_clone(new_vma, vma)) !== 0) {
    vm_area_free(new_vma);
    return null;
  }
  if (new_vma.vm_file !== null) {
    get_file(new_vma.vm_file);
  }
  if ((yield* vma_link(mm, new_vma)) !== 0) {
    if (new_vma.vm_file !== null) {
      fput(new_vma.vm_file);
    }
    yield* anon_rmap().unlink_anon_vmas(new_vma);
    vm_area_free(new_vma);
    return null;
  }
  // Equal page offsets are visited in insertion order: walks meet the source first, then this copy.
  return { new_vma, vma, need_rmap_locks: false };
}
