/**
 * mm/mmap.c v2.4.0: the VMAs of a file, on the lists i_mmap (private) and i_mmap_shared of its address_space:
 * singly linked, each with a pointer to whatever points to it. Truncation is their only reader: no list leads from
 * a page to its page-table entries.
 *
 * Lock tree: mmap_sem -> i_shared_lock -> page_table_lock. Fidelity: dup.
 */
import { cpu, read_heap, write_heap } from '../../../sim/cpu.ts';
import { GRANULE } from '../../../sim/struct.ts';
import type { K } from '../../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import type { address_space, vm_area_struct } from '../../mm_types.ts';
import { VM_SHARED } from '../mm.ts';
import { vma_mapping } from '../vma_link.ts';

const NEXT = 0;
const PPREV = 1;

/** The VMA whose granule a word holds, or null. */
const vmaIn = (word: number): vm_area_struct | null =>
  (cpu.handles[read_heap(word)] as vm_area_struct | null | undefined) ?? null;

const granuleOf = (vma: vm_area_struct | null): number => (vma === null ? 0 : vma.addr / GRANULE);

/** Address of a VMA's vm_next_share, which somebody's vm_pprev_share may hold. */
const nextWord = (vma: vm_area_struct): number => vma.shared_rb + NEXT;

/** vma->vm_next_share. */
export const vm_next_share = (vma: vm_area_struct): vm_area_struct | null => vmaIn(nextWord(vma));

/** mapping->i_mmap, the private mappings. */
export const i_mmap = (mapping: address_space): vm_area_struct | null =>
  vmaIn(mapping.i_mmap_lists);

/** mapping->i_mmap_shared. */
export const i_mmap_shared = (mapping: address_space): vm_area_struct | null =>
  vmaIn(mapping.i_mmap_lists + 1);

/** Puts `vma` where the word at `at` points, before what is there. */
function linkAt(vma: vm_area_struct, at: number): void {
  const next = vmaIn(at);
  write_heap(nextWord(vma), granuleOf(next));
  if (next !== null) {
    write_heap(next.shared_rb + PPREV, nextWord(vma));
  }
  write_heap(at, granuleOf(vma));
  write_heap(vma.shared_rb + PPREV, at);
}

/** The end of __insert_vm_struct() v2.4.0: at the head of the file's list. Atomic. Preconditions: i_shared_lock. */
export function linkShare(vma: vm_area_struct): void {
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    linkAt(vma, mapping.i_mmap_lists + ((vma.vm_flags & VM_SHARED) === 0 ? 0 : 1));
  }
}

/** dup_mmap() v2.4.0: the child's VMA right behind its parent's. Atomic. Preconditions: i_shared_lock. */
export function linkShareAfter(vma: vm_area_struct, old: vm_area_struct): void {
  linkAt(vma, nextWord(old));
}

/** mm/mmap.c: lock_vma_mappings() v2.4.0. */
export function* lock_vma_mappings(vma: vm_area_struct): K {
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    yield* spin_lock(mapping.i_shared_lock);
  }
}

/** mm/mmap.c: unlock_vma_mappings() v2.4.0. */
export function unlock_vma_mappings(vma: vm_area_struct): void {
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    spin_unlock(mapping.i_shared_lock);
  }
}

/** mm/mmap.c: __remove_shared_vm_struct() v2.4.0. Atomic. Preconditions: i_shared_lock. */
export function __remove_shared_vm_struct(vma: vm_area_struct): void {
  if (vma.vm_file === null) {
    return;
  }
  const next = vm_next_share(vma);
  const pprev = read_heap(vma.shared_rb + PPREV);
  if (next !== null) {
    write_heap(next.shared_rb + PPREV, pprev);
  }
  write_heap(pprev, granuleOf(next));
}

/** mm/mmap.c: remove_shared_vm_struct() v2.4.0. */
export function* remove_shared_vm_struct(vma: vm_area_struct): K {
  yield* lock_vma_mappings(vma);
  __remove_shared_vm_struct(vma);
  unlock_vma_mappings(vma);
}
