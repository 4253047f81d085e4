/**
 * mm/madvise.c v2.6.0: madvise(2), all of it under mmap_sem for write. VMAs are split and never merged. Fidelity: dup;
 * MADV_WILLNEED reads nothing ahead.
 */
import type { K } from '../../../sim/wait.ts';
import { EAGAIN, EBADF, EINVAL, ENOMEM } from '../../errno.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import {
  MADV_DONTNEED,
  MADV_NORMAL,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
  offset_in_page,
  PAGE_ALIGN,
  VM_LOCKED,
  VM_RAND_READ,
  VM_SEQ_READ,
} from '../mm.ts';
import { find_vma, vmaTreeNext } from '../vma_tree.ts';
import { splitVma } from './vma_change.ts';
import { zap_page_range } from './zap.ts';

/** mm/madvise.c: madvise_behavior() v2.6.0. */
function* madvise_behavior(
  vma: vm_area_struct,
  start: number,
  end: number,
  behavior: number,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  if (start !== vma.vm_start) {
    if ((yield* splitVma(mm, vma, start, true)) !== 0) {
      return -EAGAIN;
    }
  }
  if (end !== vma.vm_end) {
    if ((yield* splitVma(mm, vma, end, false)) !== 0) {
      return -EAGAIN;
    }
  }
  yield* spin_lock(mm.page_table_lock);
  vma.vm_flags = vma.vm_flags & ~(VM_SEQ_READ | VM_RAND_READ);
  if (behavior === MADV_SEQUENTIAL) {
    vma.vm_flags = vma.vm_flags | VM_SEQ_READ;
  } else if (behavior === MADV_RANDOM) {
    vma.vm_flags = vma.vm_flags | VM_RAND_READ;
  }
  spin_unlock(mm.page_table_lock);
  return 0;
}

/** mm/madvise.c: madvise_vma() v2.6.0. */
function* madvise_vma(
  vma: vm_area_struct,
  start: number,
  end: number,
  behavior: number,
): K<number> {
  switch (behavior) {
    case MADV_NORMAL:
    case MADV_SEQUENTIAL:
    case MADV_RANDOM:
      return yield* madvise_behavior(vma, start, end, behavior);
    case MADV_WILLNEED:
      return vma.vm_file === null ? -EBADF : 0;
    case MADV_DONTNEED:
      if ((vma.vm_flags & VM_LOCKED) !== 0) {
        return -EINVAL;
      }
      yield* zap_page_range(vma, start, end - start);
      return 0;
    default:
      return -EINVAL;
  }
}

/** The loop of madvise(2). Holes are reported in the end, after the rest was done. */
function* adviseRange(mm: mm_struct, from: number, end: number, behavior: number): K<number> {
  let unmapped_error = 0;
  let start = from;
  let vma = find_vma(mm, start);
  for (;;) {
    if (vma === null) {
      return -ENOMEM;
    }
    if (start < vma.vm_start) {
      unmapped_error = -ENOMEM;
      start = vma.vm_start;
    }
    const to = Math.min(vma.vm_end, end);
    const last = end <= vma.vm_end;
    if (start < to) {
      const error = yield* madvise_vma(vma, start, to, behavior);
      if (error !== 0) {
        return error;
      }
    }
    if (last) {
      return unmapped_error;
    }
    start = vma.vm_end;
    vma = vmaTreeNext(vma);
  }
}

/** mm/madvise.c: madvise(2) v2.6.0. */
export function* sys_madvise(
  mm: mm_struct,
  start: number,
  len_in: number,
  behavior: number,
): K<number> {
  let error = -EINVAL;
  yield* down_write(mm.mmap_lock);
  const end = start + PAGE_ALIGN(len_in);
  if (offset_in_page(start) === 0 && end >= start && end < 2 ** 64) {
    error = end === start ? 0 : yield* adviseRange(mm, start, end, behavior);
  }
  up_write(mm.mmap_lock);
  return error;
}
