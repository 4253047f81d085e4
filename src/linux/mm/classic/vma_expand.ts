/**
 * mm/mmap.c v6.1: vma_expand(), by which mmap(2) and brk(2) of the maple-tree kernels make a neighbour larger instead of
 * asking vma_merge(). mmap() looks at the next VMA first and takes the previous one only if that goes together with it:
 * of two faulted sides that do not, the right one gets the range, and an unfaulted one joins no faulted one.
 *
 * Lock tree: mmap_lock (write) -> i_mmap_rwsem -> anon_vma root. Fidelity: dup; brk(2) writes the bounds with this
 * function, too.
 */
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { fput } from '../../fs/file_table.ts';
import { lockdep_assert_held_write } from '../../kernel/locking/lockdep.ts';
import { anon_rmap } from '../../kernel.ts';
import type { file, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_adjust, trace_vma_merge } from '../events.ts';
import { vma_interval_tree_insert, vma_interval_tree_remove } from '../interval_tree.ts';
import { PAGE_SIZE, VM_SPECIAL } from '../mm.ts';
import { vm_area_free } from '../vma_init.ts';
import {
  __remove_shared_vm_struct,
  i_mmap_lock_write,
  i_mmap_unlock_write,
  vma_mapping,
} from '../vma_link.ts';
import { vmaTreeClear, vmaTreeStore } from '../vma_tree.ts';
import { nextOf } from './vma_adjust.ts';
import { can_vma_merge_after, can_vma_merge_before } from './vma_merge.ts';

/**
 * mm/mmap.c: vma_expand() v6.1: gives `vma` a larger range, over `next` if that ends where it will. 0 or -ENOMEM.
 * Preconditions: mmap_lock held for write.
 */
function* vma_expand(
  vma: vm_area_struct,
  start: number,
  end: number,
  pgoff: number,
  next: vm_area_struct | null,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  lockdep_assert_held_write(mm.mmap_lock, 'mmap_lock');
  const gone = next !== null && next !== vma && end === next.vm_end ? next : null;
  if (gone !== null && gone.anon_vma !== null && vma.anon_vma === null) {
    vma.anon_vma = gone.anon_vma;
    if ((yield* anon_rmap().anon_vma_clone(vma, gone)) !== 0) {
      return -ENOMEM;
    }
  }
  const anon_vma = vma.anon_vma;
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    yield* i_mmap_lock_write(mapping);
  }
  if (anon_vma !== null) {
    yield* anon_rmap().anon_vma_lock(anon_vma);
    anon_rmap().pre_update_vma?.(vma);
  }
  if (mapping !== null) {
    vma_interval_tree_remove(vma, mapping.i_mmap);
  }
  vma.vm_start = start;
  vma.vm_end = end;
  vma.vm_pgoff = pgoff;
  trace_vma_adjust({ vma, start, end, pgoff });
  if (gone !== null) {
    vmaTreeClear(mm, gone.tree_start, gone.tree_end);
  }
  vmaTreeClear(mm, vma.tree_start, vma.tree_end);
  vmaTreeStore(mm, vma);
  if (mapping !== null) {
    vma_interval_tree_insert(vma, mapping.i_mmap);
  }
  if (gone !== null && mapping !== null) {
    __remove_shared_vm_struct(gone, mapping);
  }
  if (anon_vma !== null) {
    anon_rmap().post_update_vma?.(vma);
    anon_rmap().anon_vma_unlock(anon_vma);
  }
  if (mapping !== null) {
    i_mmap_unlock_write(mapping);
  }
  if (gone !== null) {
    if (gone.vm_file !== null) {
      fput(gone.vm_file);
    }
    if (gone.anon_vma !== null) {
      yield* anon_rmap().anon_vma_merge(vma, gone);
    }
    mm.map_count = mm.map_count - 1;
    vm_area_free(gone);
  }
  return 0;
}

/** The part of mmap_region() v6.1 that looks for a VMA to expand over [addr, end): it, or null for a new one. */
export function* expandForMmap(
  mm: mm_struct,
  prev: vm_area_struct | null,
  addr: number,
  end: number,
  vm_flags: number,
  file: file | null,
  pgoff: number,
): K<vm_area_struct | null> {
  if ((vm_flags & VM_SPECIAL) !== 0) {
    return null;
  }
  const next = nextOf(mm, prev);
  const pglen = (end - addr) / PAGE_SIZE;
  const before = mm.map_count;
  let vma: vm_area_struct | null = null;
  let start = addr;
  let merge_end = end;
  let vm_pgoff = pgoff;
  if (
    next !== null &&
    next.vm_start === end &&
    can_vma_merge_before(next, vm_flags, null, file, pgoff + pglen)
  ) {
    merge_end = next.vm_end;
    vma = next;
    vm_pgoff = next.vm_pgoff - pglen;
  }
  const anon_vma = vma === null ? null : vma.anon_vma;
  if (
    prev !== null &&
    prev.vm_end === addr &&
    can_vma_merge_after(prev, vm_flags, anon_vma, file, pgoff)
  ) {
    start = prev.vm_start;
    vma = prev;
    vm_pgoff = prev.vm_pgoff;
  }
  if (vma === null || (yield* vma_expand(vma, start, merge_end, vm_pgoff, next)) !== 0) {
    return null;
  }
  trace_vma_merge({ vma, start: addr, end, removed: before - mm.map_count });
  return vma;
}

/** The part of do_brk_flags() v6.1 that makes the VMA of the heap larger: it, or null. The one behind is not asked. */
export function* expandForBrk(
  prev: vm_area_struct | null,
  addr: number,
  end: number,
  vm_flags: number,
): K<vm_area_struct | null> {
  const pgoff = addr / PAGE_SIZE;
  if (
    prev === null ||
    prev.vm_end !== addr ||
    !can_vma_merge_after(prev, vm_flags, null, null, pgoff)
  ) {
    return null;
  }
  if ((yield* vma_expand(prev, prev.vm_start, end, prev.vm_pgoff, null)) !== 0) {
    return null;
  }
  trace_vma_merge({ vma: prev, start: addr, end, removed: 0 });
  return prev;
}
