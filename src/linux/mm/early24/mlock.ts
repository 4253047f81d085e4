/**
 * mm/mlock.c v2.4.0. A locked VMA is what swap_out() does not go into; its pages do not know of it.
 *
 * Lock tree: mmap_sem -> i_shared_lock -> page_table_lock. Fidelity: dup; every task may lock, without a limit.
 */
import type { K } from '../../../sim/wait.ts';
import { EAGAIN, EINVAL, ENOMEM, ENOSYS } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import {
  MCL_CURRENT,
  MCL_FUTURE,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_ALIGN_DOWN,
  PAGE_SIZE,
  VM_LOCKED,
} from '../mm.ts';
import { NODE_DATA } from '../node.ts';
import type { mlock_ops } from '../ops.ts';
import { make_pages_present } from './memory.ts';
import { fixup } from './split.ts';
import { find_vma, mm_mmap, vm_next } from './vma_list.ts';

/** mm/mlock.c: mlock_fixup() v2.4.0. 0 or -EAGAIN. Preconditions: mmap_sem. */
function* mlock_fixup(
  vma: vm_area_struct,
  start: number,
  end: number,
  newflags: number,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  if (newflags === vma.vm_flags) {
    return 0;
  }
  if ((yield* fixup(vma, start, end, { newflags, needs_file: false })) !== 0) {
    return -EAGAIN;
  }
  const pages = (end - start) / PAGE_SIZE;
  if ((newflags & VM_LOCKED) === 0) {
    mm.locked_vm = mm.locked_vm - pages;
    return 0;
  }
  // Whether it could be done is not asked.
  yield* make_pages_present(mm, start, end);
  mm.locked_vm = mm.locked_vm + pages;
  return 0;
}

const flagsOf = (vma: vm_area_struct, on: boolean): number =>
  on ? vma.vm_flags | VM_LOCKED : vma.vm_flags & ~VM_LOCKED;

/** mm/mlock.c: do_mlock() v2.4.0. Preconditions: mmap_sem. */
function* do_mlock(mm: mm_struct, start: number, len: number, on: boolean): K<number> {
  const end = start + len;
  if (end >= 2 ** 64) {
    return -EINVAL;
  }
  if (len === 0) {
    return 0;
  }
  let vma = find_vma(mm, start);
  if (vma === null || vma.vm_start > start) {
    return -ENOMEM;
  }
  let nstart = start;
  for (;;) {
    const newflags = flagsOf(vma, on);
    if (vma.vm_end >= end) {
      return yield* mlock_fixup(vma, nstart, end, newflags);
    }
    const tmp: number = vma.vm_end;
    const next: vm_area_struct | null = vm_next(vma);
    const error = yield* mlock_fixup(vma, nstart, tmp, newflags);
    if (error !== 0) {
      return error;
    }
    nstart = tmp;
    vma = next;
    if (vma === null || vma.vm_start !== nstart) {
      return -ENOMEM;
    }
  }
}

/** Half of physical memory: no more may be locked. */
const lockable = (): number => NODE_DATA().spanned_pages / 2;

/** mm/mlock.c: mlock(2) v2.4.0. */
function* mlock(start: number, len: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const length = PAGE_ALIGN(len + offset_in_page(start));
  let error = -ENOMEM;
  if (length / PAGE_SIZE + mm.locked_vm <= lockable()) {
    error = yield* do_mlock(mm, PAGE_ALIGN_DOWN(start), length, true);
  }
  up_write(mm.mmap_lock);
  return error;
}

/** mlock2(2) is refused before it gets here. */
function* mlock2(_start: number, _len: number, _flags: number): K<number> {
  return -ENOSYS;
}

/** mm/mlock.c: munlock(2) v2.4.0. */
function* munlock(start: number, len: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const length = PAGE_ALIGN(len + offset_in_page(start));
  const error = yield* do_mlock(mm, PAGE_ALIGN_DOWN(start), length, false);
  up_write(mm.mmap_lock);
  return error;
}

/** mm/mlock.c: do_mlockall() v2.4.0. Preconditions: mmap_sem. */
function* do_mlockall(mm: mm_struct, flags: number): K<number> {
  mm.def_flags = (flags & MCL_FUTURE) === 0 ? 0 : VM_LOCKED;
  let vma = mm_mmap(mm);
  while (vma !== null) {
    const newflags = flagsOf(vma, (flags & MCL_CURRENT) !== 0);
    const error: number = yield* mlock_fixup(vma, vma.vm_start, vma.vm_end, newflags);
    if (error !== 0) {
      return error;
    }
    vma = vm_next(vma);
  }
  return 0;
}

/** mm/mlock.c: mlockall(2) v2.4.0. */
function* mlockall(flags: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  let error = -EINVAL;
  if (flags !== 0 && (flags & ~(MCL_CURRENT | MCL_FUTURE)) === 0) {
    error = mm.total_vm > lockable() ? -ENOMEM : yield* do_mlockall(mm, flags);
  }
  up_write(mm.mmap_lock);
  return error;
}

/** mm/mlock.c: munlockall(2) v2.4.0. */
function* munlockall(): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const error = yield* do_mlockall(mm, 0);
  up_write(mm.mmap_lock);
  return error;
}

export const early24_mlock: mlock_ops = { mlock, mlock2, munlock, mlockall, munlockall };
