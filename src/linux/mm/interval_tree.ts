/**
 * mm/interval_tree.c v6.18: the two reverse-map trees. Both are ordered by the first page offset of
 * the VMA, equal ones by insertion; that order is the order of a walk. Fidelity: dup.
 *
 *   address_space.i_mmap   VMAs of a file           protected by i_mmap_rwsem
 *   anon_vma.rb_root       anon_vma_chain objects   protected by root->rwsem
 *
 * A VMA in one of the trees must not change vm_start, vm_end or vm_pgoff: vma_prepare() takes it out.
 */
import type { rb_root } from '../../sim/struct.ts';
import { define_interval_tree } from '../lib/interval_tree_generic.ts';
import {
  type anon_vma_chain,
  anon_vma_chain_cachep,
  vm_area_cachep,
  type vm_area_struct,
} from '../mm_types.ts';
import { vma_pages } from './mm.ts';

const vma_of_shared_rb = vm_area_cachep.container('shared_rb');
const avc_of_rb = anon_vma_chain_cachep.container('rb');

export function vma_start_pgoff(vma: vm_area_struct): number {
  return vma.vm_pgoff;
}

export function vma_last_pgoff(vma: vm_area_struct): number {
  return vma.vm_pgoff + vma_pages(vma) - 1;
}

const vma_interval_tree = define_interval_tree<vm_area_struct>({
  node: (vma) => vma.shared_rb,
  entry: vma_of_shared_rb,
  start: vma_start_pgoff,
  last: vma_last_pgoff,
  get_subtree_last: (vma) => vma.shared_rb_subtree_last,
  set_subtree_last: (vma, last) => {
    vma.shared_rb_subtree_last = last;
  },
});

const anon_vma_interval_tree = define_interval_tree<anon_vma_chain>({
  node: (avc) => avc.rb,
  entry: avc_of_rb,
  start: (avc) => vma_start_pgoff(avc.vma),
  last: (avc) => vma_last_pgoff(avc.vma),
  get_subtree_last: (avc) => avc.rb_subtree_last,
  set_subtree_last: (avc, last) => {
    avc.rb_subtree_last = last;
  },
});

export function vma_interval_tree_insert(vma: vm_area_struct, root: rb_root): void {
  vma_interval_tree.insert(vma, root);
}

/** fork: the child's VMA goes right after its parent's, which has the same page offsets. */
export function vma_interval_tree_insert_after(
  vma: vm_area_struct,
  prev: vm_area_struct,
  root: rb_root,
): void {
  vma_interval_tree.insert_after(vma, prev, root);
}

export function vma_interval_tree_remove(vma: vm_area_struct, root: rb_root): void {
  vma_interval_tree.remove(vma, root);
}

/** First VMA in walk order that maps a page of [first, last]. */
export function vma_interval_tree_iter_first(
  root: rb_root,
  first: number,
  last: number,
): vm_area_struct | null {
  return vma_interval_tree.iter_first(root, first, last);
}

export function vma_interval_tree_iter_next(
  vma: vm_area_struct,
  first: number,
  last: number,
): vm_area_struct | null {
  return vma_interval_tree.iter_next(vma, first, last);
}

export function anon_vma_interval_tree_insert(avc: anon_vma_chain, root: rb_root): void {
  anon_vma_interval_tree.insert(avc, root);
}

export function anon_vma_interval_tree_remove(avc: anon_vma_chain, root: rb_root): void {
  anon_vma_interval_tree.remove(avc, root);
}

export function anon_vma_interval_tree_iter_first(
  root: rb_root,
  first: number,
  last: number,
): anon_vma_chain | null {
  return anon_vma_interval_tree.iter_first(root, first, last);
}

export function anon_vma_interval_tree_iter_next(
  avc: anon_vma_chain,
  first: number,
  last: number,
): anon_vma_chain | null {
  return anon_vma_interval_tree.iter_next(avc, first, last);
}
