/**
 * mm/mlock.c v2.6.0. A locked VMA is what try_to_unmap() fails at; its pages do not know of it, and VMAs are split and
 * never merged.
 *
 * Lock tree: mmap_sem -> i_shared_sem -> page_table_lock. Fidelity: dup; every task may lock as much as it likes.
 */
import type { K } from '../../../sim/wait.ts';
import { EAGAIN, EINVAL, ENOMEM, ENOSYS } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import {
  MCL_CURRENT,
  MCL_FUTURE,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_ALIGN_DOWN,
  PAGE_SIZE,
  VM_LOCKED,
  VM_WRITE,
} from '../mm.ts';
import type { mlock_ops } from '../ops.ts';
import { pte_present, pte_write, ptep_get } from '../pgtable.ts';
import { FAULT_FLAG_WRITE, VM_FAULT_ERROR, VM_FAULT_OOM } from '../vm_fault.ts';
import { find_vma, vmaTreeFirst, vmaTreeNext } from '../vma_tree.ts';
import { handle_mm_fault } from './memory.ts';
import { findPte } from './pgtable.ts';
import { splitVma } from './vma_change.ts';

/** mm/memory.c: make_pages_present() v2.6.0. 0, or the negative errno of get_user_pages(). Preconditions: mmap_sem. */
export function* make_pages_present(vma: vm_area_struct, start: number, end: number): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const write = (vma.vm_flags & VM_WRITE) !== 0;
  for (let addr = start; addr < end; addr = addr + PAGE_SIZE) {
    // follow_page()
    const ptep = findPte(mm, addr);
    const pte = ptep === 0 ? 0 : ptep_get(ptep);
    if (!pte_present(pte) || (write && !pte_write(pte))) {
      const fault = yield* handle_mm_fault(mm, vma, addr, write ? FAULT_FLAG_WRITE : 0);
      if ((fault & VM_FAULT_ERROR) !== 0) {
        return (fault & VM_FAULT_OOM) !== 0 ? -ENOMEM : -EINVAL;
      }
    }
  }
  return 0;
}

/** mm/mlock.c: mlock_fixup() v2.6.0. 0 or a negative errno. Preconditions: mmap_sem held for write. */
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
  if (has('vma_lock_by_scheme')) {
    vma.vm_flags = newflags;
  } else {
    yield* spin_lock(mm.page_table_lock);
    vma.vm_flags = newflags;
    spin_unlock(mm.page_table_lock);
  }
  const pages = (end - start) / PAGE_SIZE;
  if ((newflags & VM_LOCKED) === 0) {
    mm.locked_vm = mm.locked_vm - pages;
    return 0;
  }
  const ret = yield* make_pages_present(vma, start, end);
  mm.locked_vm = mm.locked_vm + pages;
  return ret;
}

const flagsOf = (vma: vm_area_struct, on: boolean): number =>
  on ? vma.vm_flags | VM_LOCKED : vma.vm_flags & ~VM_LOCKED;

/** mm/mlock.c: do_mlock() v2.6.0. Preconditions: mmap_sem held for write. */
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
    const next: vm_area_struct | null = vmaTreeNext(vma);
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

/** The body of mlock(2) and munlock(2). */
function* lockRange(start: number, len: number, on: boolean): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const length = PAGE_ALIGN(len + offset_in_page(start));
  const error = yield* do_mlock(mm, PAGE_ALIGN_DOWN(start), length, on);
  up_write(mm.mmap_lock);
  return error;
}

/** mm/mlock.c: mlock(2) v2.6.0. */
function* mlock(start: number, len: number): K<number> {
  return yield* lockRange(start, len, true);
}

/** mlock2(2) is refused before it gets here. */
function* mlock2(_start: number, _len: number, _flags: number): K<number> {
  return -ENOSYS;
}

/** mm/mlock.c: munlock(2) v2.6.0. */
function* munlock(start: number, len: number): K<number> {
  return yield* lockRange(start, len, false);
}

/** mm/mlock.c: do_mlockall() v2.6.0: what goes wrong with one VMA is passed over. Preconditions: mmap_sem. */
function* do_mlockall(mm: mm_struct, flags: number): K {
  mm.def_flags = (flags & MCL_FUTURE) === 0 ? 0 : VM_LOCKED;
  if (flags === MCL_FUTURE) {
    return;
  }
  let vma = vmaTreeFirst(mm);
  while (vma !== null) {
    const newflags = flagsOf(vma, (flags & MCL_CURRENT) !== 0);
    yield* mlock_fixup(vma, vma.vm_start, vma.vm_end, newflags);
    vma = vmaTreeNext(vma);
  }
}

/** mm/mlock.c: mlockall(2) v2.6.0. */
function* mlockall(flags: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  let error = -EINVAL;
  if (flags !== 0 && (flags & ~(MCL_CURRENT | MCL_FUTURE)) === 0) {
    yield* do_mlockall(mm, flags);
    error = 0;
  }
  up_write(mm.mmap_lock);
  return error;
}

/** mm/mlock.c: munlockall(2) v2.6.0. */
function* munlockall(): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  yield* do_mlockall(mm, 0);
  up_write(mm.mmap_lock);
  return 0;
}

export const early26_mlock: mlock_ops = { mlock, mlock2, munlock, mlockall, munlockall };
