/**
 * mm/filemap.c v2.4.0: madvise(2), new in 2.4: MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED.
 * Advice on how a part of anonymous memory is read takes a reference to a file that is not there: an oops
 * (madvise_fixup_start() and its like were mended later in 2.4).
 *
 * Lock tree: mmap_sem -> i_shared_lock -> page_table_lock. Fidelity: dup.
 */
import type { K } from '../../../sim/wait.ts';
import { EAGAIN, EBADF, EINVAL, ENOMEM } from '../../errno.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import type { address_space, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { readAhead } from '../filemap.ts';
import {
  linear_page_index,
  MADV_DONTNEED,
  MADV_NORMAL,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  VM_LOCKED,
  VM_RAND_READ,
  VM_SEQ_READ,
} from '../mm.ts';
import { sysctl_max_map_count } from '../util.ts';
import { fixup } from './split.ts';
import { find_vma, vm_next } from './vma_list.ts';
import { zap_page_range } from './zap.ts';

/** mm/filemap.c: setup_read_behavior() v2.4.0: the flags with it. */
function setup_read_behavior(vm_flags: number, behavior: number): number {
  const flags = vm_flags & ~(VM_SEQ_READ | VM_RAND_READ);
  if (behavior === MADV_SEQUENTIAL) {
    return flags | VM_SEQ_READ;
  }
  return behavior === MADV_RANDOM ? flags | VM_RAND_READ : flags;
}

/** mm/filemap.c: madvise_behavior() v2.4.0. The VMA is split even if it is read that way already. */
function* madvise_behavior(
  vma: vm_area_struct,
  start: number,
  end: number,
  behavior: number,
): K<number> {
  if ((vma.vm_mm as mm_struct).map_count > sysctl_max_map_count()) {
    return -ENOMEM;
  }
  const newflags = setup_read_behavior(vma.vm_flags, behavior);
  const error = yield* fixup(vma, start, end, { newflags, needs_file: true });
  return error === 0 ? 0 : -EAGAIN;
}

/** mm/filemap.c: madvise_willneed() v2.4.0. */
function* madvise_willneed(vma: vm_area_struct, start: number, end: number): K<number> {
  if (vma.vm_file === null) {
    return -EBADF;
  }
  const mapping = vma.vm_file.f_mapping as address_space;
  yield* readAhead(mapping, linear_page_index(vma, start), (end - start) / PAGE_SIZE);
  return 0;
}

/** mm/filemap.c: madvise_dontneed() v2.4.0. */
function* madvise_dontneed(vma: vm_area_struct, start: number, end: number): K<number> {
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    return -EINVAL;
  }
  yield* zap_page_range(vma.vm_mm as mm_struct, start, end - start);
  return 0;
}

/** mm/filemap.c: madvise_vma() v2.4.0. */
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
      return yield* madvise_willneed(vma, start, end);
    case MADV_DONTNEED:
      return yield* madvise_dontneed(vma, start, end);
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
    if (end <= vma.vm_end) {
      const error: number = start < end ? yield* madvise_vma(vma, start, end, behavior) : 0;
      return error === 0 ? unmapped_error : error;
    }
    const error: number = yield* madvise_vma(vma, start, vma.vm_end, behavior);
    if (error !== 0) {
      return error;
    }
    // If it was split, its end is where the advice began, and the other half is advised once more.
    start = vma.vm_end;
    vma = vm_next(vma);
  }
}

/** mm/filemap.c: madvise(2) v2.4.0. */
export function* sys_madvise(
  mm: mm_struct,
  start: number,
  len_in: number,
  behavior: number,
): K<number> {
  yield* down_write(mm.mmap_lock);
  let error = 0;
  const end = start + PAGE_ALIGN(len_in);
  if (offset_in_page(start) !== 0 || end >= 2 ** 64) {
    error = -EINVAL;
  } else if (end !== start) {
    error = yield* adviseRange(mm, start, end, behavior);
  }
  up_write(mm.mmap_lock);
  return error;
}
