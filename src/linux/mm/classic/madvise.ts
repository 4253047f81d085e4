/**
 * mm/madvise.c v2.6.34: madvise(2) with the advice that changes a VMA's flags, and MADV_DONTNEED, which takes mmap_sem
 * for read. By feature what later kernels added: madv_dontdump (3.4), madv_wipeonfork (4.14), madv_pages (MADV_FREE
 * of 4.5, MADV_COLD and MADV_PAGEOUT of 5.4, MADV_DONTNEED_LOCKED of 5.18). All else is -EINVAL, as are the advice values
 * that these kernels know and the simulator does not: MADV_WILLNEED, MADV_REMOVE, MADV_MERGEABLE, MADV_HUGEPAGE,
 * MADV_POPULATE_*. Fidelity: dup otherwise.
 */
import type { K } from '../../../sim/wait.ts';
import { EINVAL, ENOMEM } from '../../errno.ts';
import { down_read, down_write, up_read, up_write } from '../../kernel/locking/rwsem.ts';
import { has } from '../../kernel.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { advisePageRange } from '../madvise_walk.ts';
import { zap_page_range_single } from '../memory_zap.ts';
import {
  MADV_COLD,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_KEEPONFORK,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WIPEONFORK,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_HUGETLB,
  VM_IO,
  VM_LOCKED,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEQ_READ,
  VM_SHARED,
  VM_SPECIAL,
  VM_WIPEONFORK,
  vma_is_anonymous,
} from '../mm.ts';
import { lru_add_drain } from '../swap.ts';
import { find_vma, vmaTreeNext, vmaTreePrev } from '../vma_tree.ts';
import { __split_vma, vma_merge } from './vma_adjust.ts';

/** mm/madvise.c: madvise_behavior_valid() v2.6.34. */
function madvise_behavior_valid(behavior: number): boolean {
  switch (behavior) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_DONTNEED:
    case MADV_DONTFORK:
    case MADV_DOFORK:
      return true;
    case MADV_DONTDUMP:
    case MADV_DODUMP:
      return has('madv_dontdump');
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
      return has('madv_wipeonfork');
    default:
      return has('madv_pages') && onPages(behavior);
  }
}

/** Advice on the pages of a range, which leaves VMAs as they are: mmap_sem for read is enough. */
function onPages(behavior: number): boolean {
  switch (behavior) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
    case MADV_COLD:
    case MADV_PAGEOUT:
      return true;
    default:
      return false;
  }
}

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
    case MADV_WIPEONFORK:
      return vma.vm_file !== null || (flags & VM_SHARED) !== 0 ? -EINVAL : flags | VM_WIPEONFORK;
    case MADV_KEEPONFORK:
      return flags & ~VM_WIPEONFORK;
    case MADV_DONTDUMP:
      return flags | VM_DONTDUMP;
    case MADV_DODUMP:
      return (flags & VM_SPECIAL) !== 0 ? -EINVAL : flags & ~VM_DONTDUMP;
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

/**
 * mm/madvise.c: madvise_dontneed() v2.6.34; madvise_dontneed_free(), madvise_cold(), madvise_pageout() v5.19, which walk
 * page tables as v6.18 does.
 */
function* advisePages(
  vma: vm_area_struct,
  start: number,
  end: number,
  behavior: number,
): K<number> {
  const locked = behavior === MADV_DONTNEED_LOCKED ? 0 : VM_LOCKED;
  if ((vma.vm_flags & (locked | VM_HUGETLB | VM_PFNMAP)) !== 0) {
    return -EINVAL;
  }
  switch (behavior) {
    case MADV_FREE:
      if (!vma_is_anonymous(vma)) {
        return -EINVAL;
      }
      lru_add_drain();
      yield* advisePageRange(vma, start, end, 'free');
      return 0;
    case MADV_COLD:
      lru_add_drain();
      yield* advisePageRange(vma, start, end, 'cold');
      return 0;
    case MADV_PAGEOUT:
      lru_add_drain();
      yield* advisePageRange(vma, start, end, 'pageout');
      return 0;
    default:
      yield* zap_page_range_single(vma, start, end - start, null);
      return 0;
  }
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
    if (onPages(behavior)) {
      const error = yield* advisePages(vma, start, tmp, behavior);
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
  if (!madvise_behavior_valid(behavior) || offset_in_page(start) !== 0) {
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
  const write = !onPages(behavior);
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
