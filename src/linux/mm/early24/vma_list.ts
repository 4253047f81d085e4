/**
 * mm/mmap.c and mm/mmap_avl.c v2.4.0: the VMAs of an mm, on a list by address and, from 32 of them on, in an AVL tree by vm_end.
 * find_vma() asks the cache of one VMA first. Each function is atomic; who changes something holds mmap_sem and
 * page_table_lock.
 *
 * Fidelity: dup (list, tree and cache); mm/vma_tree.ts is kept beside them, for views and for whatever is v6.18's. The words are
 * shared: mm_lock_seq is mm->mmap, write_protect_seq mmap_avl, pinned_vm mmap_cache; in a VMA shared_rb has vm_next,
 * vm_avl_left and vm_avl_right behind the two share links, and vm_lock_seq is vm_avl_height.
 */
import { write_heap } from '../../../sim/cpu.ts';
import { GRANULE } from '../../../sim/struct.ts';
import { mm_cachep, type mm_struct, type vm_area_struct } from '../../mm_types.ts';
import { vmaIn } from './pprev.ts';

const AVL_MIN_MAP_COUNT = 32;

const NEXT = 2;
const LEFT = 3;
const RIGHT = 4;

/** Distance of a field of an mm from its address. */
function offsetOf(name: string): number {
  return mm_cachep.info.fields.find((field) => field.name === name)?.offset ?? 0;
}
const MMAP = offsetOf('mm_lock_seq');
const MMAP_AVL = offsetOf('write_protect_seq');
const MMAP_CACHE = offsetOf('pinned_vm');

function put(word: number, vma: vm_area_struct | null): void {
  write_heap(word, vma === null ? 0 : vma.addr / GRANULE);
}

/** mm->mmap, vma->vm_next, mm->mmap_avl, mm->mmap_cache. */
export const mm_mmap = (mm: mm_struct): vm_area_struct | null => vmaIn(mm.addr + MMAP);
export const vm_next = (vma: vm_area_struct): vm_area_struct | null => vmaIn(vma.shared_rb + NEXT);
const mmap_avl = (mm: mm_struct): vm_area_struct | null => vmaIn(mm.addr + MMAP_AVL);
export const mmap_cache = (mm: mm_struct): vm_area_struct | null => vmaIn(mm.addr + MMAP_CACHE);

const left = (vma: vm_area_struct): vm_area_struct | null => vmaIn(vma.shared_rb + LEFT);
const right = (vma: vm_area_struct): vm_area_struct | null => vmaIn(vma.shared_rb + RIGHT);
const height = (vma: vm_area_struct | null): number => (vma === null ? 0 : vma.vm_lock_seq);

/** mm->mmap_cache = NULL. */
export function killCache(mm: mm_struct): void {
  put(mm.addr + MMAP_CACHE, null);
}

// ---------------------------------------------------------------- the tree

/** Height of a node from those of its children. */
function measure(vma: vm_area_struct): void {
  vma.vm_lock_seq = 1 + Math.max(height(left(vma)), height(right(vma)));
}

/** The node's child on `side` takes its place at `place`. */
function rotate(place: number, node: vm_area_struct, side: number): void {
  const other = LEFT + RIGHT - side;
  const child = vmaIn(node.shared_rb + side) as vm_area_struct;
  put(node.shared_rb + side, vmaIn(child.shared_rb + other));
  put(child.shared_rb + other, node);
  put(place, child);
  measure(node);
  measure(child);
}

/** The node at `place` has a child on `side` that is two higher than the other. */
function lean(place: number, node: vm_area_struct, side: number): void {
  const child = vmaIn(node.shared_rb + side) as vm_area_struct;
  const outer = height(vmaIn(child.shared_rb + side));
  const inner = height(vmaIn(child.shared_rb + LEFT + RIGHT - side));
  if (outer < inner) {
    rotate(node.shared_rb + side, child, LEFT + RIGHT - side);
  }
  rotate(place, node, side);
}

/** mm/mmap_avl.c: avl_rebalance() v2.4.0: `places` are the words that lead down to where something changed. */
function avl_rebalance(places: readonly number[]): void {
  for (let i = places.length - 1; i >= 0; i--) {
    const place = places[i] as number;
    const node = vmaIn(place) as vm_area_struct;
    const before = node.vm_lock_seq;
    const difference = height(left(node)) - height(right(node));
    if (difference > 1) {
      lean(place, node, LEFT);
    } else if (difference < -1) {
      lean(place, node, RIGHT);
    } else {
      measure(node);
      if (node.vm_lock_seq === before) {
        return;
      }
    }
  }
}

/** mm/mmap_avl.c: avl_insert_neighbours() v2.4.0: the VMA before the new one, or null. */
function avl_insert_neighbours(mm: mm_struct, vma: vm_area_struct): vm_area_struct | null {
  const places: number[] = [];
  let place = mm.addr + MMAP_AVL;
  let prev: vm_area_struct | null = null;
  for (let node = vmaIn(place); node !== null; node = vmaIn(place)) {
    places.push(place);
    if (vma.vm_end < node.vm_end) {
      place = node.shared_rb + LEFT;
    } else {
      prev = node;
      place = node.shared_rb + RIGHT;
    }
  }
  put(vma.shared_rb + LEFT, null);
  put(vma.shared_rb + RIGHT, null);
  vma.vm_lock_seq = 1;
  put(place, vma);
  avl_rebalance(places);
  return prev;
}

/** mm/mmap_avl.c: avl_remove() v2.4.0: the largest below on the left takes the place of the VMA. */
function avl_remove(mm: mm_struct, vma: vm_area_struct): void {
  const places: number[] = [];
  let place = mm.addr + MMAP_AVL;
  for (let node = vmaIn(place); node !== null && node !== vma; node = vmaIn(place)) {
    places.push(place);
    place = node.shared_rb + (vma.vm_end < node.vm_end ? LEFT : RIGHT);
  }
  const below = left(vma);
  if (below === null) {
    put(place, right(vma));
    avl_rebalance(places);
    return;
  }
  const at = places.length + 1;
  places.push(place);
  let heirPlace = vma.shared_rb + LEFT;
  let heir = below;
  for (let next = right(heir); next !== null; next = right(heir)) {
    places.push(heirPlace);
    heirPlace = heir.shared_rb + RIGHT;
    heir = next;
  }
  put(heirPlace, left(heir));
  put(heir.shared_rb + LEFT, left(vma));
  put(heir.shared_rb + RIGHT, right(vma));
  heir.vm_lock_seq = vma.vm_lock_seq;
  put(place, heir);
  if (places.length > at) {
    places[at] = heir.shared_rb + LEFT;
  }
  avl_rebalance(places);
}

/** mm/mmap.c: build_mmap_avl() v2.4.0. */
export function build_mmap_avl(mm: mm_struct): void {
  put(mm.addr + MMAP_AVL, null);
  for (let vma = mm_mmap(mm); vma !== null; vma = vm_next(vma)) {
    avl_insert_neighbours(mm, vma);
  }
}

// ---------------------------------------------------------------- the list

/** The part of __insert_vm_struct() v2.4.0 about the mm, map_count included. */
export function listInsert(mm: mm_struct, vmp: vm_area_struct): void {
  let prev: vm_area_struct | null = null;
  if (mmap_avl(mm) === null) {
    for (let vma = mm_mmap(mm); vma !== null && vma.vm_start <= vmp.vm_start; vma = vm_next(vma)) {
      prev = vma;
    }
  } else {
    prev = avl_insert_neighbours(mm, vmp);
  }
  const place = prev === null ? mm.addr + MMAP : prev.shared_rb + NEXT;
  put(vmp.shared_rb + NEXT, vmaIn(place));
  put(place, vmp);
  mm.map_count = mm.map_count + 1;
  if (mm.map_count >= AVL_MIN_MAP_COUNT && mmap_avl(mm) === null) {
    build_mmap_avl(mm);
  }
}

/** Takes a VMA off the list, behind `prev`, and out of the tree. */
export function listRemove(mm: mm_struct, prev: vm_area_struct | null, vma: vm_area_struct): void {
  put(prev === null ? mm.addr + MMAP : prev.shared_rb + NEXT, vm_next(vma));
  if (mmap_avl(mm) !== null) {
    avl_remove(mm, vma);
  }
}

/** dup_mmap() v2.4.0: at the end of the list; the tree is made when all are there. */
export function listAppend(mm: mm_struct, last: vm_area_struct | null, vma: vm_area_struct): void {
  put(vma.shared_rb + NEXT, null);
  put(last === null ? mm.addr + MMAP : last.shared_rb + NEXT, vma);
}

/** mm->mmap = mm->mmap_avl = mm->mmap_cache = NULL. */
export function listClear(mm: mm_struct): void {
  put(mm.addr + MMAP, null);
  put(mm.addr + MMAP_AVL, null);
  killCache(mm);
}

/** The end of dup_mmap() v2.4.0. */
export function treeIfMany(mm: mm_struct): void {
  if (mm.map_count >= AVL_MIN_MAP_COUNT) {
    build_mmap_avl(mm);
  }
}

/** mm/mmap.c: find_vma() v2.4.0: the first VMA that ends above `addr`. Preconditions: mmap_sem or page_table_lock. */
export function find_vma(mm: mm_struct, addr: number): vm_area_struct | null {
  let vma = mmap_cache(mm);
  if (vma !== null && vma.vm_end > addr && vma.vm_start <= addr) {
    return vma;
  }
  const tree = mmap_avl(mm);
  if (tree === null) {
    vma = mm_mmap(mm);
    while (vma !== null && vma.vm_end <= addr) {
      vma = vm_next(vma);
    }
  } else {
    vma = null;
    for (let node: vm_area_struct | null = tree; node !== null; ) {
      if (node.vm_end <= addr) {
        node = right(node);
        continue;
      }
      vma = node;
      node = node.vm_start <= addr ? null : left(node);
    }
  }
  if (vma !== null) {
    put(mm.addr + MMAP_CACHE, vma);
  }
  return vma;
}

/** mm/mmap.c: find_vma_prev() v2.4.0: find_vma() and the VMA before that place. */
export function find_vma_prev(
  mm: mm_struct,
  addr: number,
): { readonly vma: vm_area_struct | null; readonly prev: vm_area_struct | null } {
  let prev: vm_area_struct | null = null;
  let vma = mmap_avl(mm);
  if (vma === null) {
    vma = mm_mmap(mm);
    while (vma !== null && vma.vm_end <= addr) {
      prev = vma;
      vma = vm_next(vma);
    }
    return { vma, prev };
  }
  let found: vm_area_struct | null = null;
  while (vma !== null) {
    if (vma.vm_end > addr) {
      found = vma;
      vma = left(vma);
    } else {
      prev = vma;
      vma = right(vma);
    }
  }
  return { vma: found, prev };
}
