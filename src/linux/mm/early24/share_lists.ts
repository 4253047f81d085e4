/**
 * mm/mmap.c v2.4.0: the VMAs of a file, on the lists i_mmap (private) and i_mmap_shared of its address_space:
 * singly linked, each with a pointer to whatever points to it. Truncation is their only reader: no list leads from
 * a page to its page-table entries.
 *
 * Lock tree: mmap_sem -> i_shared_lock -> page_table_lock. Fidelity: dup.
 */
import type { K } from '../../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import type { address_space, vm_area_struct } from '../../mm_types.ts';
import { VM_SHARED } from '../mm.ts';
import { vm_anon } from '../rmap/anon_area.ts';
import { vma_mapping } from '../vma_link.ts';
import { pprevInsert, pprevRemove, share_links, vmaIn } from './pprev.ts';

/** vma->vm_next_share. */
export const vm_next_share = (vma: vm_area_struct): vm_area_struct | null =>
  vmaIn(share_links(vma));

/** mapping->i_mmap, the private mappings; in 2.3 all. */
export const i_mmap = (mapping: address_space): vm_area_struct | null =>
  vmaIn(mapping.i_mmap_lists);

/** mapping->i_mmap_shared. */
export const i_mmap_shared = (mapping: address_space): vm_area_struct | null =>
  vmaIn(mapping.i_mmap_lists + 1);

/** The end of __insert_vm_struct() v2.4.0: at the head of the file's list. Atomic. Preconditions: i_shared_lock. */
export function linkShare(vma: vm_area_struct): void {
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    const list = (vma.vm_flags & VM_SHARED) === 0 || has('one_i_mmap') ? 0 : 1;
    pprevInsert(vma, mapping.i_mmap_lists + list, share_links);
  }
}

/** dup_mmap() v2.4.0: the child's VMA right behind its parent's. Atomic. Preconditions: i_shared_lock. */
export function linkShareAfter(vma: vm_area_struct, old: vm_area_struct): void {
  pprevInsert(vma, share_links(old), share_links);
}

/** mm/mmap.c: lock_vma_mappings() v2.4.0. With anon_layer the anon area's lock comes first. */
export function* lock_vma_mappings(vma: vm_area_struct): K {
  const area = has('anon_layer') ? vm_anon(vma) : null;
  if (area !== null) {
    yield* spin_lock(area.i_shared_lock);
  }
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    yield* spin_lock(mapping.i_shared_lock);
  }
}

/** mm/mmap.c: unlock_vma_mappings() v2.4.0. What was locked is asked of the VMA again. */
export function unlock_vma_mappings(vma: vm_area_struct): void {
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    spin_unlock(mapping.i_shared_lock);
  }
  const area = has('anon_layer') ? vm_anon(vma) : null;
  if (area !== null) {
    spin_unlock(area.i_shared_lock);
  }
}

/** mm/mmap.c: __remove_shared_vm_struct() v2.4.0. Atomic. Preconditions: i_shared_lock. */
export function __remove_shared_vm_struct(vma: vm_area_struct): void {
  if (vma.vm_file !== null) {
    pprevRemove(vma, share_links);
  }
}

/** mm/mmap.c: remove_shared_vm_struct() v2.4.0. */
export function* remove_shared_vm_struct(vma: vm_area_struct): K {
  yield* lock_vma_mappings(vma);
  __remove_shared_vm_struct(vma);
  unlock_vma_mappings(vma);
}
