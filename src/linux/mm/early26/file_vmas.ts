/**
 * The VMAs that map a file: mm/mmap.c v2.6.0, two lists (mapping->i_mmap, and i_mmap_shared for shared mappings); mm/prio_tree.c
 * v2.6.7, one tree. A list says nothing about what its VMAs map. In the tree a VMA must not change vm_start, vm_end or
 * vm_pgoff. VMAs with the same page offsets share a node of it; the node leads to the first of the others (vm_set).
 *
 * Protected by i_shared_sem or i_mmap_lock; each function is one atomic change. Fidelity: dup; both are kept in words that
 * v6.18 has for its interval tree: the root or the first list in i_mmap, the second list in i_mmap_lists; vma->shared in
 * shared_rb, as left or next, right or prev, parent, head.
 */
import { read_heap, write_heap } from '../../../sim/cpu.ts';
import type { list_head } from '../../../sim/struct.ts';
import type { K } from '../../../sim/wait.ts';
import { has } from '../../kernel.ts';
import {
  INIT_LIST_HEAD,
  list_add,
  list_add_tail,
  list_del,
  list_del_init,
  list_empty,
  list_next,
} from '../../lib/list.ts';
import { type address_space, vm_area_cachep, type vm_area_struct } from '../../mm_types.ts';
import { vma_last_pgoff } from '../interval_tree.ts';
import { is_shared_maywrite, VM_SHARED } from '../mm.ts';
import {
  i_mmap_lock_write,
  i_mmap_unlock_write,
  mapping_allow_writable,
  mapping_unmap_writable,
  vma_mapping,
} from '../vma_link.ts';
import {
  prio_tree_insert,
  type prio_tree_iter,
  prio_tree_iter_init,
  prio_tree_next,
  prio_tree_remove,
  prio_tree_replace,
} from './prio_tree.ts';

const PARENT = 2;
const HEAD = 3;

const vma_of_shared = vm_area_cachep.container('shared_rb');
/** vma->shared as a list_head. */
const listOf = (node: number): list_head => node as list_head;
const shared = (vma: vm_area_struct): number => vma.shared_rb;

const index = (node: number): readonly [number, number] => {
  const vma = vma_of_shared(node) as vm_area_struct;
  return [vma.vm_pgoff, vma_last_pgoff(vma)];
};

/** &mapping->i_mmap and &mapping->i_mmap_shared. */
function heads(mapping: address_space): readonly [list_head, list_head] {
  return [listOf(mapping.i_mmap), listOf(mapping.i_mmap_lists)];
}

// ---------------------------------------------------------------- mm/prio_tree.c v2.6.7

/** mm/prio_tree.c: vma_prio_tree_add() v2.6.7: with the VMAs that map the same pages as `old`, which is in the tree. */
function vma_prio_tree_add(vma: vm_area_struct, old: vm_area_struct): void {
  const node = shared(vma);
  const same = shared(old);
  write_heap(node + HEAD, 0);
  write_heap(node + PARENT, 0);
  const head = read_heap(same + HEAD);
  if (read_heap(same + PARENT) === 0) {
    list_add(listOf(node), listOf(same));
  } else if (head !== 0) {
    list_add_tail(listOf(node), listOf(head));
  } else {
    INIT_LIST_HEAD(listOf(node));
    write_heap(node + HEAD, same);
    write_heap(same + HEAD, node);
  }
}

/** mm/prio_tree.c: vma_prio_tree_insert() v2.6.7. */
function vma_prio_tree_insert(vma: vm_area_struct, mapping: address_space): void {
  const node = shared(vma);
  write_heap(node + HEAD, 0);
  const there = prio_tree_insert(mapping.i_mmap, node, index);
  if (there !== node) {
    vma_prio_tree_add(vma, vma_of_shared(there) as vm_area_struct);
  }
}

/** The second VMA of a vm_set becomes its first: unlinked from the list, of which it was not the only one. 0 for none. */
function takeNext(first: number): number {
  if (list_empty(listOf(first))) {
    return 0;
  }
  const next = list_next(listOf(first));
  list_del_init(listOf(first));
  return next;
}

/** mm/prio_tree.c: vma_prio_tree_remove() v2.6.7. */
function vma_prio_tree_remove(vma: vm_area_struct, mapping: address_space): void {
  const node = shared(vma);
  const head = read_heap(node + HEAD);
  const inTree = read_heap(node + PARENT) !== 0;
  if (head === 0) {
    if (inTree) {
      prio_tree_remove(mapping.i_mmap, node, index);
    } else {
      list_del_init(listOf(node));
    }
    return;
  }
  const next = takeNext(inTree ? head : node);
  if (inTree) {
    prio_tree_replace(mapping.i_mmap, node, head);
  }
  write_heap(head + HEAD, next);
  if (next !== 0) {
    write_heap(next + HEAD, head);
  }
}

/** mm/prio_tree.c: vma_prio_tree_next() v2.6.7 after the first call: the rest of a vm_set, then the next node. */
function nextInTree(iter: prio_tree_iter, vma: vm_area_struct | null): number {
  if (vma !== null) {
    const node = shared(vma);
    const head = read_heap(node + HEAD);
    if (read_heap(node + PARENT) !== 0) {
      if (head !== 0) {
        return head;
      }
    } else {
      const next = list_next(listOf(node));
      if (read_heap(next + HEAD) === 0) {
        return next;
      }
    }
  }
  return prio_tree_next(iter);
}

// ---------------------------------------------------------------- linking

/** mm/mmap.c: __vma_link_file() v2.6.0, v2.6.7. Preconditions: i_shared_sem. */
export function __vma_link_file(vma: vm_area_struct, mapping: address_space): void {
  if (is_shared_maywrite(vma.vm_flags)) {
    mapping_allow_writable(mapping);
  }
  if (has('file_prio_tree')) {
    vma_prio_tree_insert(vma, mapping);
    return;
  }
  const head = heads(mapping)[(vma.vm_flags & VM_SHARED) === 0 ? 0 : 1];
  // The head of a new file is all zero here.
  if (list_next(head) === 0) {
    INIT_LIST_HEAD(head);
  }
  list_add_tail(listOf(shared(vma)), head);
}

/** mm/mmap.c: __remove_shared_vm_struct() v2.6.0, v2.6.7. Preconditions: i_shared_sem. */
export function __remove_shared_vm_struct(vma: vm_area_struct, mapping: address_space): void {
  if (is_shared_maywrite(vma.vm_flags)) {
    mapping_unmap_writable(mapping);
  }
  if (has('file_prio_tree')) {
    vma_prio_tree_remove(vma, mapping);
  } else {
    list_del(listOf(shared(vma)));
  }
}

/** mm/mmap.c: remove_shared_vm_struct() v2.6.0. */
export function* unlink_file_vma(vma: vm_area_struct): K {
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    yield* i_mmap_lock_write(mapping);
    __remove_shared_vm_struct(vma, mapping);
    i_mmap_unlock_write(mapping);
  }
}

/** kernel/fork.c: the middle of dup_mmap(): next to the VMA that was copied; before it up to 2.6.5. Preconditions: i_shared_sem. */
export function linkForked(vma: vm_area_struct, old: vm_area_struct, mapping: address_space): void {
  if (is_shared_maywrite(vma.vm_flags)) {
    mapping_allow_writable(mapping);
  }
  if (has('file_prio_tree')) {
    vma_prio_tree_add(vma, old);
  } else if (has('fork_links_after')) {
    list_add(listOf(shared(vma)), listOf(shared(old)));
  } else {
    list_add_tail(listOf(shared(vma)), listOf(shared(old)));
  }
}

/** Takes a VMA out of the tree of its file while its bounds change; on a list it stays. Preconditions: i_shared_sem. */
export function liftFile(vma: vm_area_struct): void {
  const mapping = vma_mapping(vma);
  if (mapping !== null && has('file_prio_tree')) {
    vma_prio_tree_remove(vma, mapping);
  }
}

/** Puts it back. */
export function putFile(vma: vm_area_struct): void {
  const mapping = vma_mapping(vma);
  if (mapping !== null && has('file_prio_tree')) {
    vma_prio_tree_insert(vma, mapping);
  }
}

/** include/linux/fs.h: mapping_mapped() v2.6.7; the end of page_mapping_inuse() v2.6.0: somebody maps the file. */
export function mapping_mapped(mapping: address_space): boolean {
  if (has('file_prio_tree')) {
    return read_heap(mapping.i_mmap) !== 0;
  }
  // The head of a new file is all zero here.
  return heads(mapping).some((head) => list_next(head) !== 0 && !list_empty(head));
}

// ---------------------------------------------------------------- walking

/** A walk over the VMAs that map the pages [first, last] of a file. */
export interface file_walk {
  readonly mapping: address_space;
  readonly first: number;
  readonly last: number;
  readonly iter: prio_tree_iter;
  /** Lists: the head that the walk is at. */
  list: 0 | 1;
}

/** Preconditions: i_shared_sem until the walk is over. */
export function startFileWalk(mapping: address_space, first: number, last: number): file_walk {
  const iter = prio_tree_iter_init(mapping.i_mmap, first, last, index);
  return { mapping, first, last, iter, list: 0 };
}

/** The entry after `at`, of the second list after the first; 0 at the end. */
function nextOnLists(walk: file_walk, at: number): number {
  const both = heads(walk.mapping);
  let next = list_next(at);
  while (next === 0 || next === both[walk.list]) {
    if (walk.list === 1) {
      return 0;
    }
    walk.list = 1;
    next = list_next(both[1]);
  }
  return next;
}

/** The VMA that a walk meets after `vma`, the first one for null; null at the end. */
export function nextFileVma(walk: file_walk, vma: vm_area_struct | null): vm_area_struct | null {
  if (has('file_prio_tree')) {
    const node = nextInTree(walk.iter, vma);
    return node === 0 ? null : (vma_of_shared(node) as vm_area_struct);
  }
  let at = vma === null ? heads(walk.mapping)[0] : shared(vma);
  for (;;) {
    at = nextOnLists(walk, at);
    if (at === 0) {
      return null;
    }
    const found = vma_of_shared(at) as vm_area_struct;
    if (found.vm_pgoff <= walk.last && vma_last_pgoff(found) >= walk.first) {
      return found;
    }
  }
}
