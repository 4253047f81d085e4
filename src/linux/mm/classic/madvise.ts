/**
 * mm/madvise.c v2.6.34: madvise(2) with the advice that changes a VMA's flags, and MADV_DONTNEED, which takes mmap_sem
 * for read. What later kernels added is -EINVAL, as are the advice values that this kernel knows and the
 * simulator does not: MADV_WILLNEED, MADV_REMOVE, MADV_MERGEABLE. Fidelity: dup otherwise.
 */
import type { K } from '../../../sim/wait.ts';
import { EINVAL, ENOMEM } from '../../errno.ts';
import { down_read, down_write, up_read, up_write } from '../../kernel/locking/rwsem.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { zap_page_range_single } from '../memory_zap.ts';
import {
  MADV_DOFORK,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_NORMAL,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  VM_DONTCOPY,
  VM_HUGETLB,
  VM_IO,
  VM_LOCKED,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEQ_READ,
} from '../mm.ts';
import { find_vma, vmaTreeNext, vmaTreePrev } from '../vma_tree.ts';
import { __split_vma, vma_merge } from './vma_adjust.ts';

const known: readonly number[] = [
  MADV_NORMAL,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_DONTNEED,
  MADV_DONTFORK,
  MADV_DOFORK,
];

/** The flags that an advice means, or -EINVAL. */
function advised(vma: vm_area_struct, behavior: number): number {
  const flags = vma.vm_flags;
  switch (behavior) {
    case MADV_NORMAL:
      return flags & ~(VM_RAND_READ | VM_SEQ_READ);
    case MADV_SEQUENTIAL:
      return (flags & ~VM_RAND_READ) | VM_SEQ_READ;
    case MADV_RANDOM:
      return (flags & ~VM_SEQ_READ) | VM_RAND_READ;
    case MADV_DONTFORK:
      return flags | VM_DONTCOPY;
    default:
      // MADV_DOFORK; memory of a device stays out of the child.
      return (flags & VM_IO) !== 0 ? -EINVAL : flags & ~VM_DONTCOPY;
  }
}

/** mm/madvise.c: madvise_behavior() v2.6.34. The VMA that holds the range afterwards, or a negative errno. */
function* madvise_behavior(
  vma: vm_area_struct,
  prev: vm_area_struct | null,
  start: number,
  end: number,
  behavior: number,
): K<vm_area_struct | number> {
  const mm = vma.vm_mm as mm_struct;
  const new_flags = advised(vma, behavior);
  if (new_flags === -EINVAL) {
    return -EINVAL;
  }
  if (new_flags === vma.vm_flags) {
    return vma;
  }
  const pgoff = vma.vm_pgoff + (start - vma.vm_start) / PAGE_SIZE;
  const { anon_vma, vm_file } = vma;
  const merged = yield* vma_merge(mm, prev, start, end, new_flags, anon_vma, vm_file, pgoff);
  const target = merged ?? vma;
  if (merged === null) {
    let error = 0;
    if (start !== vma.vm_start) {
      error = yield* __split_vma(vma, start, true);
    }
    if (error === 0 && end !== vma.vm_end) {
      error = yield* __split_vma(vma, end, false);
    }
    if (error !== 0) {
      return error;
    }
  }
  target.vm_flags = new_flags;
  return target;
}

/** mm/madvise.c: madvise_dontneed() v2.6.34. */
function* madvise_dontneed(vma: vm_area_struct, start: number, end: number): K<number> {
  if ((vma.vm_flags & (VM_LOCKED | VM_HUGETLB | VM_PFNMAP)) !== 0) {
    return -EINVAL;
  }
  yield* zap_page_range_single(vma, start, end - start, null);
  return 0;
}

/** The loop of madvise(2). Holes are reported in the end, after the rest was done. */
function* adviseRange(mm: mm_struct, from: number, end: number, behavior: number): K<number> {
  let unmapped_error = 0;
  let start = from;
  let vma = find_vma(mm, start);
  let prev = vma === null ? null : vmaTreePrev(vma);
  if (vma !== null && start > vma.vm_start) {
    prev = vma;
  }
  for (;;) {
    if (vma === null) {
      return -ENOMEM;
    }
    if (start < vma.vm_start) {
      unmapped_error = -ENOMEM;
      start = vma.vm_start;
      if (start >= end) {
        return unmapped_error;
      }
    }
    const tmp = Math.min(vma.vm_end, end);
    let last = vma;
    if (behavior === MADV_DONTNEED) {
      const error = yield* madvise_dontneed(vma, start, tmp);
      if (error !== 0) {
        return error;
      }
    } else {
      const result: vm_area_struct | number = yield* madvise_behavior(
        vma,
        prev,
        start,
        tmp,
        behavior,
      );
      if (typeof result === 'number') {
        return result;
      }
      last = result;
    }
    prev = last;
    start = Math.max(tmp, last.vm_end);
    if (start >= end) {
      return unmapped_error;
    }
    vma = vmaTreeNext(last);
  }
}

/** mm/madvise.c: madvise(2) v2.6.34. */
export function* sys_madvise(
  mm: mm_struct,
  start: number,
  len_in: number,
  behavior: number,
): K<number> {
  if (!known.includes(behavior) || offset_in_page(start) !== 0) {
    return -EINVAL;
  }
  const len = PAGE_ALIGN(len_in);
  if (len_in !== 0 && len === 0) {
    return -EINVAL;
  }
  const end = start + len;
  if (end < start || end >= 2 ** 64) {
    return -EINVAL;
  }
  if (end === start) {
    return 0;
  }
  const write = behavior !== MADV_DONTNEED;
  if (write) {
    yield* down_write(mm.mmap_lock);
  } else {
    yield* down_read(mm.mmap_lock);
  }
  const error = yield* adviseRange(mm, start, end, behavior);
  if (write) {
    up_write(mm.mmap_lock);
  } else {
    up_read(mm.mmap_lock);
  }
  return error;
}
