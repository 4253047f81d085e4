/**
 * Stands in for mm_mt (lib/maple_tree.c v6.18 and the vma_iter_* and find_vma* wrappers of
 * include/linux/mm.h, mm/mmap.c): which VMA an address belongs to.
 *
 * As in the maple tree, the range of an entry is the tree's own (tree_start, tree_end; the maple
 * tree's pivots), written by one store and not by writing vm_start: a lookup that races with an
 * operation sees the ranges of before or after the store. A store overwrites what it covers: entries
 * inside vanish, entries that stick out are cut. Shape: the augmented rb tree that Linux used from 3.8
 * to 6.0, keyed by tree_start, with the largest gap of each subtree, so find, store, and gap search are
 * O(log n). Fidelity: custom (the nodes), dup (what lookups, stores and gap searches return).
 *
 * One call is one atomic change, as a maple tree write is for RCU readers. Writers hold mmap_lock for
 * write; readers hold it for read or are in an RCU read section.
 */
import { reportFinding } from '../../sim/finding.ts';
import { ENOMEM } from '../errno.ts';
import { lockdep_assert_held } from '../kernel/locking/lockdep.ts';
import {
  type rb_augment_callbacks,
  rb_clear_node,
  rb_empty_node,
  rb_erase_augmented,
  rb_first,
  rb_insert_augmented,
  rb_last,
  rb_left,
  rb_next,
  rb_parent,
  rb_prev,
  rb_right,
  rb_root_node,
} from '../lib/rbtree.ts';
import { type mm_struct, vm_area_cachep, type vm_area_struct } from '../mm_types.ts';
import { should_failslab } from './failslab.ts';
import { ULONG_MAX } from './mm.ts';

const vma_of_rb = vm_area_cachep.container('vm_rb');

const vmaAt = (node: number): vm_area_struct | null => (node === 0 ? null : vma_of_rb(node));

function subtreeGap(vma: vm_area_struct): number {
  let max = vma.tree_gap;
  const left = rb_left(vma.vm_rb);
  if (left !== 0) {
    max = Math.max(max, vma_of_rb(left).rb_subtree_gap);
  }
  const right = rb_right(vma.vm_rb);
  if (right !== 0) {
    max = Math.max(max, vma_of_rb(right).rb_subtree_gap);
  }
  return max;
}

/**
 * tree_gap is stored, not computed from the neighbour, so that the data of every node agrees with its
 * subtree at each rotation: propagate() may then stop at the first node that does not change.
 */
const gapCallbacks: rb_augment_callbacks = {
  propagate: (from, stop) => {
    for (let node = from; node !== stop && node !== 0; node = rb_parent(node)) {
      const vma = vma_of_rb(node);
      const max = subtreeGap(vma);
      if (vma.rb_subtree_gap === max) {
        break;
      }
      vma.rb_subtree_gap = max;
    }
  },
  copy: (from, to) => {
    vma_of_rb(to).rb_subtree_gap = vma_of_rb(from).rb_subtree_gap;
  },
  rotate: (from, to) => {
    vma_of_rb(to).rb_subtree_gap = vma_of_rb(from).rb_subtree_gap;
    vma_of_rb(from).rb_subtree_gap = subtreeGap(vma_of_rb(from));
  },
};

/** Recomputes the free space below `vma` after its range or that of its predecessor changed. */
function updateGap(vma: vm_area_struct | null): void {
  if (vma === null) {
    return;
  }
  const prev = vmaAt(rb_prev(vma.vm_rb));
  const gap = vma.tree_start - (prev === null ? 0 : prev.tree_end);
  if (vma.tree_gap !== gap) {
    vma.tree_gap = gap;
    gapCallbacks.propagate(vma.vm_rb, 0);
  }
}

// ---------------------------------------------------------------- lookups

/** First entry that ends above `addr`. */
export function vmaTreeAtOrAfter(mm: mm_struct, addr: number): vm_area_struct | null {
  let node = rb_root_node(mm.mm_rb);
  let found: vm_area_struct | null = null;
  while (node !== 0) {
    const vma = vma_of_rb(node);
    if (vma.tree_end > addr) {
      found = vma;
      if (vma.tree_start <= addr) {
        break;
      }
      node = rb_left(node);
    } else {
      node = rb_right(node);
    }
  }
  return found;
}

/** mas_walk(): the entry that contains `addr`. What an RCU reader may call. */
export function vmaTreeWalk(mm: mm_struct, addr: number): vm_area_struct | null {
  const vma = vmaTreeAtOrAfter(mm, addr);
  return vma !== null && vma.tree_start <= addr ? vma : null;
}

export function vmaTreeFirst(mm: mm_struct): vm_area_struct | null {
  return vmaAt(rb_first(mm.mm_rb));
}

export function vmaTreeLast(mm: mm_struct): vm_area_struct | null {
  return vmaAt(rb_last(mm.mm_rb));
}

/** vma_next(): the entry after `vma`. */
export function vmaTreeNext(vma: vm_area_struct): vm_area_struct | null {
  return vmaAt(rb_next(vma.vm_rb));
}

/** vma_prev(): the entry before `vma`. */
export function vmaTreePrev(vma: vm_area_struct): vm_area_struct | null {
  return vmaAt(rb_prev(vma.vm_rb));
}

/** Last entry that begins below `addr`. */
export function vmaTreeBefore(mm: mm_struct, addr: number): vm_area_struct | null {
  let node = rb_root_node(mm.mm_rb);
  let found: vm_area_struct | null = null;
  while (node !== 0) {
    const vma = vma_of_rb(node);
    if (vma.tree_start < addr) {
      found = vma;
      node = rb_right(node);
    } else {
      node = rb_left(node);
    }
  }
  return found;
}

/** vma_find(): first entry at or after `addr` that begins below `end`. */
export function vmaTreeFind(mm: mm_struct, addr: number, end: number): vm_area_struct | null {
  if (addr >= end) {
    return null;
  }
  const vma = vmaTreeAtOrAfter(mm, addr);
  return vma !== null && vma.tree_start < end ? vma : null;
}

/** All entries that intersect [start, end), in address order. */
export function vmaTreeRange(mm: mm_struct, start = 0, end = ULONG_MAX): vm_area_struct[] {
  const vmas: vm_area_struct[] = [];
  let vma = vmaTreeFind(mm, start, end);
  while (vma !== null && vma.tree_start < end) {
    vmas.push(vma);
    vma = vmaTreeNext(vma);
  }
  return vmas;
}

/** mm/mmap.c: find_vma() v6.18: the first VMA that ends above `addr`. Preconditions: mmap_lock held. */
export function find_vma(mm: mm_struct, addr: number): vm_area_struct | null {
  lockdep_assert_held(mm.mmap_lock, 'mmap_lock');
  return vmaTreeAtOrAfter(mm, addr);
}

/** mm/mmap.c: find_vma_intersection() v6.18. Preconditions: mmap_lock held. */
export function find_vma_intersection(
  mm: mm_struct,
  start: number,
  end: number,
): vm_area_struct | null {
  lockdep_assert_held(mm.mmap_lock, 'mmap_lock');
  return vmaTreeFind(mm, start, end);
}

/** include/linux/mm.h: vma_lookup() v6.18: the VMA that contains `addr`. */
export function vma_lookup(mm: mm_struct, addr: number): vm_area_struct | null {
  return vmaTreeWalk(mm, addr);
}

/** mm/mmap.c: find_vma_prev() v6.18: find_vma() and the VMA before that place. */
export function find_vma_prev(
  mm: mm_struct,
  addr: number,
): { vma: vm_area_struct | null; prev: vm_area_struct | null } {
  const vma = find_vma(mm, addr);
  return { vma, prev: vma === null ? vmaTreeLast(mm) : vmaTreePrev(vma) };
}

// ---------------------------------------------------------------- stores

function erase(mm: mm_struct, vma: vm_area_struct): void {
  const next = vmaTreeNext(vma);
  rb_erase_augmented(vma.vm_rb, mm.mm_rb, gapCallbacks);
  rb_clear_node(vma.vm_rb);
  updateGap(next);
}

function insert(mm: mm_struct, vma: vm_area_struct): void {
  let parent = 0;
  let left = true;
  for (let node = rb_root_node(mm.mm_rb); node !== 0; ) {
    parent = node;
    left = vma.tree_start < vma_of_rb(node).tree_start;
    node = left ? rb_left(node) : rb_right(node);
  }
  vma.tree_gap = 0;
  vma.rb_subtree_gap = 0;
  rb_insert_augmented(vma.vm_rb, parent, left, mm.mm_rb, gapCallbacks);
  updateGap(vma);
  updateGap(vmaTreeNext(vma));
}

/** Whether the VMA is an entry of its mm's tree (vm_area_alloc() clears the node). */
export function vmaTreeContains(vma: vm_area_struct): boolean {
  return !rb_empty_node(vma.vm_rb);
}

/** Takes [start, end) away from all entries but `keep`. */
function clearRange(mm: mm_struct, start: number, end: number, keep: vm_area_struct | null): void {
  let vma = vmaTreeFind(mm, start, end);
  while (vma !== null && vma.tree_start < end) {
    const next = vmaTreeNext(vma);
    if (vma !== keep) {
      if (vma.tree_start < start && vma.tree_end > end) {
        // The maple tree would hold the VMA twice; every caller has split it before.
        reportFinding('bug', 'kernel BUG: a store into the middle of a VMA that was not split');
        return;
      }
      if (vma.tree_start >= start && vma.tree_end <= end) {
        erase(mm, vma);
      } else if (vma.tree_start < start) {
        vma.tree_end = start;
        updateGap(next);
      } else {
        vma.tree_start = end;
        updateGap(vma);
      }
    }
    vma = next;
  }
}

/** vma_iter_store_*(): maps [vma->vm_start, vma->vm_end) to `vma`, over whatever was there. */
export function vmaTreeStore(mm: mm_struct, vma: vm_area_struct): void {
  const start = vma.vm_start;
  const end = vma.vm_end;
  clearRange(mm, start, end, vma);
  if (!vmaTreeContains(vma)) {
    vma.tree_start = start;
    vma.tree_end = end;
    insert(mm, vma);
    return;
  }
  // An entry that is larger than the store keeps the rest, as a maple tree entry would.
  if (vma.tree_start > start) {
    vma.tree_start = start;
    updateGap(vma);
  }
  if (vma.tree_end < end) {
    vma.tree_end = end;
  }
  updateGap(vmaTreeNext(vma));
}

/** vma_iter_clear(): stores NULL over [start, end). */
export function vmaTreeClear(mm: mm_struct, start: number, end: number): void {
  clearRange(mm, start, end, null);
}

/** vma_iter_prealloc(): the only step of a tree change that can fail. 0 or -ENOMEM. */
export function vmaTreePrealloc(): number {
  return should_failslab() ? -ENOMEM : 0;
}

// ---------------------------------------------------------------- gaps

export interface Gap {
  readonly start: number;
  readonly end: number;
}

function clipped(start: number, end: number, low: number, high: number, size: number): Gap | null {
  const from = Math.max(start, low);
  const to = Math.min(end, high);
  return to - from >= size ? { start: from, end: to } : null;
}

function highestIn(node: number, low: number, high: number, size: number): Gap | null {
  if (node === 0) {
    return null;
  }
  const vma = vma_of_rb(node);
  if (vma.rb_subtree_gap < size) {
    return null;
  }
  if (vma.tree_end < high) {
    const gap = highestIn(rb_right(node), low, high, size);
    if (gap !== null) {
      return gap;
    }
  }
  const below = vma.tree_start - vma.tree_gap;
  const own = clipped(below, vma.tree_start, low, high, size);
  if (own !== null) {
    return own;
  }
  return below > low ? highestIn(rb_left(node), low, high, size) : null;
}

/** mas_empty_area_rev(): the highest gap, cut to [low, high), of at least `size` bytes. */
export function vmaTreeHighestGap(
  mm: mm_struct,
  low: number,
  high: number,
  size: number,
): Gap | null {
  const last = vmaTreeLast(mm);
  const top = clipped(last === null ? 0 : last.tree_end, ULONG_MAX, low, high, size);
  return top ?? highestIn(rb_root_node(mm.mm_rb), low, high, size);
}

function lowestIn(node: number, low: number, high: number, size: number): Gap | null {
  if (node === 0) {
    return null;
  }
  const vma = vma_of_rb(node);
  if (vma.rb_subtree_gap < size) {
    return null;
  }
  const below = vma.tree_start - vma.tree_gap;
  if (below > low) {
    const gap = lowestIn(rb_left(node), low, high, size);
    if (gap !== null) {
      return gap;
    }
  }
  const own = clipped(below, vma.tree_start, low, high, size);
  if (own !== null) {
    return own;
  }
  return vma.tree_end < high ? lowestIn(rb_right(node), low, high, size) : null;
}

/** mas_empty_area(): the lowest gap, cut to [low, high), of at least `size` bytes. */
export function vmaTreeLowestGap(
  mm: mm_struct,
  low: number,
  high: number,
  size: number,
): Gap | null {
  const gap = lowestIn(rb_root_node(mm.mm_rb), low, high, size);
  if (gap !== null) {
    return gap;
  }
  const last = vmaTreeLast(mm);
  return clipped(last === null ? 0 : last.tree_end, ULONG_MAX, low, high, size);
}
