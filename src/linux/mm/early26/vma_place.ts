/**
 * mm/mmap.c v2.6.0 to v2.6.7: where VMAs are: the list and the rbtree of the mm, and the
 * lock of a file. Fidelity: dup; VMA list and rbtree are the tree of v6.18, and i_shared_sem or i_mmap_lock is i_mmap_rwsem.
 */
import type { K } from '../../../sim/wait.ts';
import type { address_space, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_adjust } from '../events.ts';
import { i_mmap_lock_write, i_mmap_unlock_write } from '../vma_link.ts';
import { vmaTreeClear, vmaTreeFirst, vmaTreeNext, vmaTreeStore } from '../vma_tree.ts';

/** mm->mmap, vma->vm_next: the VMA after `prev`, the first one for null. */
export function vmaAfter(mm: mm_struct, prev: vm_area_struct | null): vm_area_struct | null {
  return prev === null ? vmaTreeFirst(mm) : vmaTreeNext(prev);
}

/** down(&mapping->i_shared_sem), if there is one. */
export function* lockShared(mapping: address_space | null): K {
  if (mapping !== null) {
    yield* i_mmap_lock_write(mapping);
  }
}

export function unlockShared(mapping: address_space | null): void {
  if (mapping !== null) {
    i_mmap_unlock_write(mapping);
  }
}

/**
 * Tells the stand-in for list and rbtree the range that VMAs have now. In Linux lookups read vm_start and vm_end.
 */
export function placeAgain(mm: mm_struct, ...vmas: readonly vm_area_struct[]): void {
  for (const vma of vmas) {
    vmaTreeClear(mm, vma.tree_start, vma.tree_end);
  }
  for (const vma of vmas) {
    vmaTreeStore(mm, vma);
    trace_vma_adjust({ vma, start: vma.vm_start, end: vma.vm_end, pgoff: vma.vm_pgoff });
  }
}

/** mm/mmap.c: __vma_unlink() v2.6.0. Preconditions: the VMA's lock. */
export function __vma_unlink(mm: mm_struct, vma: vm_area_struct): void {
  vmaTreeClear(mm, vma.tree_start, vma.tree_end);
}
