/**
 * mm/mlock.c v2.6.34: mlock(2) and its relatives. Pages are made present and marked under mmap_sem for write; with
 * mlock_populates_later (2.6.38) after that was dropped, under mmap_sem for read.
 *
 * Lock tree: mmap_sem -> page lock -> (try_to_munlock(): anon_vma lock or i_mmap_lock -> ptl). Fidelity: dup without limits:
 * everybody may lock everything.
 */
import type { K } from '../../../sim/wait.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_read, down_write, up_read, up_write } from '../../kernel/locking/rwsem.ts';
import { has, memory_manager } from '../../kernel.ts';
import { BUG_ON } from '../../lib/bug.ts';
import { mem_map, type mm_struct, type page, type vm_area_struct } from '../../mm_types.ts';
import { folio_lock, folio_unlock } from '../folio_lock.ts';
import {
  MCL_CURRENT,
  MCL_FUTURE,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  VM_DONTEXPAND,
  VM_IO,
  VM_LOCKED,
  VM_PFNMAP,
  VM_READ,
  VM_WRITE,
} from '../mm.ts';
import type { mlock_ops } from '../ops.ts';
import { folio_get, is_zero_pfn } from '../page_alloc.ts';
import { lookupPte, pte_pfn, pte_present, pte_write, ptep_get } from '../pgtable.ts';
import { folio_put, lru_add_drain } from '../swap.ts';
import { can_do_mlock } from '../util.ts';
import { FAULT_FLAG_WRITE, VM_FAULT_ERROR, VM_FAULT_OOM } from '../vm_fault.ts';
import { find_vma, vmaTreeFirst, vmaTreeNext, vmaTreePrev } from '../vma_tree.ts';
import { handle_mm_fault } from './memory.ts';
import { mlock_vma_page } from './mlock_page.ts';
import { munlock_vma_page } from './munlock_page.ts';
import { __split_vma, vma_merge } from './vma_adjust.ts';

/** mm/memory.c: follow_page() v2.6.34 with FOLL_GET | FOLL_DUMP: the page that is mapped, with a reference; no zero page. */
function follow_page(vma: vm_area_struct, address: number): page | null {
  const pte = lookupPte(vma.vm_mm as mm_struct, address);
  const entry = pte === 0 ? 0 : ptep_get(pte);
  if (pte === 0 || !pte_present(entry) || is_zero_pfn(pte_pfn(entry))) {
    return null;
  }
  const page = mem_map.at(pte_pfn(entry));
  folio_get(page);
  return page;
}

/**
 * mm/memory.c: __get_user_pages() v2.6.34 for one page: makes it present, for writing if `write`. 0 or a negative errno.
 * Preconditions: mmap_sem.
 */
function* makePresent(vma: vm_area_struct, address: number, write: boolean): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const needed = write ? VM_WRITE : VM_READ;
  if ((vma.vm_flags & (VM_IO | VM_PFNMAP)) !== 0 || (vma.vm_flags & needed) === 0) {
    return -EFAULT;
  }
  for (;;) {
    const pte = lookupPte(mm, address);
    const entry = pte === 0 ? 0 : ptep_get(pte);
    if (pte !== 0 && pte_present(entry) && (!write || pte_write(entry))) {
      return 0;
    }
    const fault = yield* handle_mm_fault(mm, vma, address, write ? FAULT_FLAG_WRITE : 0);
    if ((fault & VM_FAULT_ERROR) !== 0) {
      return (fault & VM_FAULT_OOM) !== 0 ? -ENOMEM : -EFAULT;
    }
  }
}

/** mm/mlock.c: __mlock_vma_pages_range() v2.6.34. 0 or a negative errno. Preconditions: mmap_sem, for read at least. */
function* __mlock_vma_pages_range(vma: vm_area_struct, start: number, end: number): K<number> {
  const write = (vma.vm_flags & VM_WRITE) !== 0;
  for (let addr = start; addr < end; addr = addr + PAGE_SIZE) {
    const ret = yield* makePresent(vma, addr, write);
    if (ret < 0) {
      return ret;
    }
    const page = follow_page(vma, addr);
    lru_add_drain();
    if (page === null) {
      continue;
    }
    if (page.mapping !== 0) {
      yield* folio_lock(page);
      // Truncated meanwhile?
      if (page.mapping !== 0) {
        mlock_vma_page(page);
      }
      folio_unlock(page);
    }
    folio_put(page);
  }
  return 0;
}

/** mm/mlock.c: __mlock_posix_error_return() v2.6.34. */
function __mlock_posix_error_return(retval: number): number {
  if (retval === -EFAULT) {
    return -ENOMEM;
  }
  return retval === -ENOMEM ? -EAGAIN : retval;
}

/** Kernels whose pages are v6.18's (5.19, 6.1) lock and unlock pages where entries come and go. */
const marksPages = (): boolean => memory_manager().page_reclaim !== undefined;

/** mm/mlock.c: mlock_vma_pages_range() v2.6.34: for mmap(), brk() and mremap(): errors are hidden. Preconditions: mmap_sem for write. */
export function* mlock_vma_pages_range(vma: vm_area_struct, start: number, end: number): K {
  BUG_ON((vma.vm_flags & VM_LOCKED) === 0, '!(vma->vm_flags & VM_LOCKED)');
  if (!marksPages()) {
    return;
  }
  if ((vma.vm_flags & (VM_IO | VM_PFNMAP | VM_DONTEXPAND)) !== 0) {
    vma.vm_flags = vma.vm_flags & ~VM_LOCKED;
    return;
  }
  yield* __mlock_vma_pages_range(vma, start, end);
}

/** mm/memory.c: make_pages_present() v2.6.34, for MAP_POPULATE. Preconditions: mmap_sem. */
export function* make_pages_present(vma: vm_area_struct, start: number, end: number): K {
  if (!marksPages()) {
    return;
  }
  const write = (vma.vm_flags & VM_WRITE) !== 0;
  for (let addr = start; addr < end; addr = addr + PAGE_SIZE) {
    if ((yield* makePresent(vma, addr, write)) < 0) {
      return;
    }
  }
}

/** mm/mlock.c: munlock_vma_pages_range() v2.6.34. Preconditions: mmap_sem for write, or nobody else uses the mm. */
export function* munlock_vma_pages_range(vma: vm_area_struct, start: number, end: number): K {
  if (!marksPages()) {
    return;
  }
  lru_add_drain();
  vma.vm_flags = vma.vm_flags & ~VM_LOCKED;
  for (let addr = start; addr < end; addr = addr + PAGE_SIZE) {
    const page = follow_page(vma, addr);
    if (page !== null) {
      yield* folio_lock(page);
      if (page.mapping !== 0) {
        yield* munlock_vma_page(page);
      }
      folio_unlock(page);
      folio_put(page);
    }
  }
}

/** mm/mlock.c: mlock_fixup() v2.6.34. The VMA that holds the range, or a negative errno. Preconditions: mmap_sem for write. */
function* mlock_fixup(
  area: vm_area_struct,
  prev: vm_area_struct | null,
  start: number,
  end: number,
  newflags: number,
): K<vm_area_struct | number> {
  const mm = area.vm_mm as mm_struct;
  const lock = (newflags & VM_LOCKED) !== 0;
  if (newflags === area.vm_flags || (area.vm_flags & (VM_IO | VM_PFNMAP | VM_DONTEXPAND)) !== 0) {
    return area;
  }
  const pgoff = area.vm_pgoff + (start - area.vm_start) / PAGE_SIZE;
  const { anon_vma, vm_file } = area;
  const merged = yield* vma_merge(mm, prev, start, end, newflags, anon_vma, vm_file, pgoff);
  const vma = merged ?? area;
  if (merged === null) {
    let ret = 0;
    if (start !== vma.vm_start) {
      ret = yield* __split_vma(vma, start, true);
    }
    if (ret === 0 && end !== vma.vm_end) {
      ret = yield* __split_vma(vma, end, false);
    }
    if (ret !== 0) {
      return ret;
    }
  }
  const nr_pages = (end - start) / PAGE_SIZE;
  mm.locked_vm = mm.locked_vm + (lock ? nr_pages : -nr_pages);
  if (!lock) {
    yield* munlock_vma_pages_range(vma, start, end);
    return vma;
  }
  vma.vm_flags = newflags;
  if (!has('mlock_populates_later')) {
    const ret = yield* __mlock_vma_pages_range(vma, start, end);
    if (ret < 0) {
      return __mlock_posix_error_return(ret);
    }
  }
  return vma;
}

/** mm/mlock.c: do_mlock() v2.6.34. 0 or a negative errno. Preconditions: mmap_sem for write. */
function* do_mlock(mm: mm_struct, start: number, len: number, on: boolean): K<number> {
  const end = start + len;
  if (end >= 2 ** 64) {
    return -EINVAL;
  }
  if (end === start) {
    return 0;
  }
  let vma = find_vma(mm, start);
  if (vma === null || vma.vm_start > start) {
    return -ENOMEM;
  }
  let prev = start > vma.vm_start ? vma : vmaTreePrev(vma);
  let nstart = start;
  for (;;) {
    const newflags: number = on ? vma.vm_flags | VM_LOCKED : vma.vm_flags & ~VM_LOCKED;
    const tmp = Math.min(vma.vm_end, end);
    const result: vm_area_struct | number = yield* mlock_fixup(vma, prev, nstart, tmp, newflags);
    if (typeof result === 'number') {
      return result;
    }
    prev = result;
    nstart = Math.max(tmp, result.vm_end);
    if (nstart >= end) {
      return 0;
    }
    vma = vmaTreeNext(result);
    if (vma === null || vma.vm_start !== nstart) {
      return -ENOMEM;
    }
  }
}

/** mm/mlock.c: do_mlock_pages() v2.6.38: 0 or a negative errno; `ignore_errors` as mlockall() does. */
function* do_mlock_pages(mm: mm_struct, start: number, len: number, ignore: boolean): K<number> {
  const end = start + len;
  let nstart = start;
  while (nstart < end) {
    yield* down_read(mm.mmap_lock);
    const vma = find_vma(mm, nstart);
    if (vma === null || vma.vm_start >= end) {
      up_read(mm.mmap_lock);
      return 0;
    }
    const nend = Math.min(end, vma.vm_end);
    let ret = 0;
    if ((vma.vm_flags & (VM_IO | VM_PFNMAP)) === 0) {
      const from = Math.max(nstart, vma.vm_start);
      ret = yield* __mlock_vma_pages_range(vma, from, nend);
    }
    up_read(mm.mmap_lock);
    if (ret < 0 && !ignore) {
      return __mlock_posix_error_return(ret);
    }
    nstart = nend;
  }
  return 0;
}

/** mm/mlock.c: mlock(2) v2.6.34. */
function* sys_mlock(addr: number, length: number): K<number> {
  const mm = current_mm();
  if (!can_do_mlock()) {
    return -ENOMEM;
  }
  lru_add_drain();
  yield* down_write(mm.mmap_lock);
  const len = PAGE_ALIGN(length + offset_in_page(addr));
  const start = addr - offset_in_page(addr);
  const error = yield* do_mlock(mm, start, len, true);
  up_write(mm.mmap_lock);
  if (error === 0 && has('mlock_populates_later')) {
    return yield* do_mlock_pages(mm, start, len, false);
  }
  return error;
}

/** mm/mlock.c: munlock(2) v2.6.34. */
function* sys_munlock(addr: number, length: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const len = PAGE_ALIGN(length + offset_in_page(addr));
  const ret = yield* do_mlock(mm, addr - offset_in_page(addr), len, false);
  up_write(mm.mmap_lock);
  return ret;
}

/** mm/mlock.c: do_mlockall() v2.6.34. Preconditions: mmap_sem for write. */
function* do_mlockall(mm: mm_struct, flags: number): K {
  mm.def_flags = (flags & MCL_FUTURE) !== 0 ? VM_LOCKED : 0;
  if (flags === MCL_FUTURE) {
    return;
  }
  let prev: vm_area_struct | null = null;
  let vma = vmaTreeFirst(mm);
  while (vma !== null) {
    const on = (flags & MCL_CURRENT) !== 0;
    const newflags: number = on ? vma.vm_flags | VM_LOCKED : vma.vm_flags & ~VM_LOCKED;
    const result: vm_area_struct | number = yield* mlock_fixup(
      vma,
      prev,
      vma.vm_start,
      vma.vm_end,
      newflags,
    );
    // Errors are ignored.
    prev = typeof result === 'number' ? vma : result;
    vma = vmaTreeNext(prev);
  }
}

/** mm/mlock.c: mlockall(2) v2.6.34. */
function* sys_mlockall(flags: number): K<number> {
  const mm = current_mm();
  if (flags === 0 || (flags & ~(MCL_CURRENT | MCL_FUTURE)) !== 0) {
    return -EINVAL;
  }
  lru_add_drain();
  yield* down_write(mm.mmap_lock);
  yield* do_mlockall(mm, flags);
  up_write(mm.mmap_lock);
  if ((flags & MCL_CURRENT) !== 0 && has('mlock_populates_later')) {
    yield* do_mlock_pages(mm, 0, mm.task_size, true);
  }
  return 0;
}

/** mm/mlock.c: munlockall(2) v2.6.34. */
function* sys_munlockall(): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  yield* do_mlockall(mm, 0);
  up_write(mm.mmap_lock);
  return 0;
}

/** It came with 4.4: `missing` says so before a scenario gets here. */
function* noMlock2(): K<number> {
  return -EINVAL;
}

export const classic_mlock: mlock_ops = {
  mlock: sys_mlock,
  mlock2: noMlock2,
  munlock: sys_munlock,
  mlockall: sys_mlockall,
  munlockall: sys_munlockall,
};
