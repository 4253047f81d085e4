/** mm/mseal.c v6.18.y: mseal(2). Lock tree: mmap_lock (write) -> vma_start_write(). Fidelity: dup. */
import type { K } from '../../sim/wait.ts';
import { EINTR, EINVAL, ENOMEM } from '../errno.ts';
import { current_mm } from '../kernel/current.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { offset_in_page, PAGE_ALIGN, VM_SEALED } from './mm.ts';
import { mmap_write_lock_killable, mmap_write_unlock, vma_start_write } from './mmap_lock.ts';
import { vma_modify_flags } from './vma.ts';
import { vmaTreeFind, vmaTreeNext, vmaTreePrev, vmaTreeRange } from './vma_tree.ts';

/** mm/mseal.c: range_contains_unmapped() v6.18. */
function range_contains_unmapped(mm: mm_struct, start: number, end: number): boolean {
  let prev_end = start;
  for (const vma of vmaTreeRange(mm, start, end)) {
    if (vma.vm_start > prev_end) {
      return true;
    }
    prev_end = vma.vm_end;
  }
  return prev_end < end;
}

/** mm/mseal.c: mseal_apply() v6.18.y. 0 or a negative errno. Preconditions: mmap_lock held for write; no holes. */
function* mseal_apply(mm: mm_struct, start: number, end: number): K<number> {
  let vma = vmaTreeFind(mm, start, end);
  if (vma === null) {
    return 0;
  }
  let prev: vm_area_struct | null = start > vma.vm_start ? vma : vmaTreePrev(vma);
  while (vma !== null && vma.vm_start < end) {
    const curr_start = Math.max(vma.vm_start, start);
    const curr_end = Math.min(vma.vm_end, end);
    if ((vma.vm_flags & VM_SEALED) === 0) {
      const flags = vma.vm_flags | VM_SEALED;
      const modified: vm_area_struct | number = yield* vma_modify_flags(
        prev,
        vma,
        curr_start,
        curr_end,
        flags,
      );
      if (typeof modified === 'number') {
        return modified;
      }
      yield* vma_start_write(modified);
      modified.vm_flags = modified.vm_flags | VM_SEALED;
      vma = modified;
    }
    prev = vma;
    vma = vmaTreeNext(vma);
  }
  return 0;
}

/** mm/mseal.c: do_mseal() v6.18. */
export function* do_mseal(start: number, len_in: number, flags: number): K<number> {
  if (flags !== 0 || offset_in_page(start) !== 0) {
    return -EINVAL;
  }
  const len = PAGE_ALIGN(len_in);
  const end = start + len;
  if ((len_in !== 0 && len === 0) || end >= 2 ** 64) {
    return -EINVAL;
  }
  if (end === start) {
    return 0;
  }
  const mm = current_mm();
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  let ret = -ENOMEM;
  if (!range_contains_unmapped(mm, start, end)) {
    ret = yield* mseal_apply(mm, start, end);
  }
  mmap_write_unlock(mm);
  return ret;
}
