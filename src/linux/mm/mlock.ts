/**
 * mm/mlock.c v6.18: mlock(2) and its relatives. What happens to a single folio is in mm/swap.ts.
 *
 * Lock tree: mmap_lock (write) -> vma_start_write(), ptl per table. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { EAGAIN, EFAULT, EINTR, EINVAL, ENOMEM, EPERM } from '../errno.ts';
import { current_mm } from '../kernel/current.ts';
import { spin_unlock } from '../kernel/locking/spinlock.ts';
import type { folio, mm_struct, vm_area_struct } from '../mm_types.ts';
import { __mm_populate, mm_populate } from './gup.ts';
import { folio_nr_pages } from './large_folio.ts';
import { vm_normal_page } from './memory.ts';
import {
  MCL_CURRENT,
  MCL_FUTURE,
  MCL_ONFAULT,
  MLOCK_ONFAULT,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  TASK_SIZE,
  VM_IO,
  VM_LOCKED,
  VM_LOCKED_MASK,
  VM_LOCKONFAULT,
  VM_STICKY,
} from './mm.ts';
import { mmap_write_lock_killable, mmap_write_unlock, vma_start_write } from './mmap_lock.ts';
import type { vma_cursor } from './mprotect.ts';
import { page_folio } from './page_alloc.ts';
import { folio_test_large } from './page-flags.ts';
import {
  mm_find_pmd,
  pmd_addr_end,
  pmd_is_huge,
  pmd_none,
  pmd_present,
  pmdp_get,
  pte_offset_map_lock,
  pte_page,
  pte_pfn,
  pte_present,
  type pte_ptr,
  pte_unmap_unlock,
  ptep_get,
} from './pgtable.ts';
import { is_huge_zero_pmd, pmd_trans_huge_lock } from './pgtable_huge.ts';
import { lru_add_drain, mlock_folio, munlock_folio } from './swap.ts';
import { can_do_mlock } from './util.ts';
import { vma_modify_flags } from './vma.ts';
import { vma_supports_mlock } from './vma_map.ts';
import { vmaTreeFirst, vmaTreeNext, vmaTreePrev, vmaTreeWalk } from './vma_tree.ts';

/** The folio gains a VM_LOCKED mapping, or loses one. */
function countMlock(vma: vm_area_struct, folio: folio): void {
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    mlock_folio(folio);
  } else {
    munlock_folio(folio);
  }
}

/** mm/mlock.c: folio_mlock_step() v6.18: entries from `ptep` that map the folio's pages one after the other. */
function folio_mlock_step(folio: folio, ptep: pte_ptr, addr: number, end: number): number {
  if (!folio_test_large(folio)) {
    return 1;
  }
  const max = (end - addr) / PAGE_SIZE;
  const pfn = pte_pfn(ptep_get(ptep));
  let step = 1;
  while (step < max && pfn + step < folio.pfn + folio_nr_pages(folio)) {
    const pte = ptep_get(ptep + step);
    if (!pte_present(pte) || pte_pfn(pte) !== pfn + step) {
      break;
    }
    step++;
  }
  return step;
}

/** mm/mlock.c: allow_mlock_munlock() v6.18: a large folio is mlocked only if all of it is mapped in the range. */
function allow_mlock_munlock(
  folio: folio,
  vma: vm_area_struct,
  start: number,
  end: number,
  step: number,
): boolean {
  if ((vma.vm_flags & VM_LOCKED) === 0 || !folio_test_large(folio)) {
    return true;
  }
  const address = vma.vm_start + (folio.index - vma.vm_pgoff) * PAGE_SIZE;
  const nr = folio_nr_pages(folio);
  return address >= start && address + nr * PAGE_SIZE <= end && step === nr;
}

/**
 * mm/mlock.c: mlock_pte_range() v6.18: counts the folios of one table as mlocked by this VMA, or no longer.
 * False: the table went away under us, the walk looks again (ACTION_AGAIN). Preconditions: mmap_lock for write.
 */
function* mlock_pte_range(
  vma: vm_area_struct,
  pmd: pte_ptr,
  start: number,
  end: number,
): K<boolean> {
  const huge = pmd_is_huge(pmdp_get(pmd)) ? yield* pmd_trans_huge_lock(pmd) : null;
  if (huge !== null) {
    const entry = pmdp_get(pmd);
    if (pmd_present(entry) && !is_huge_zero_pmd(entry)) {
      countMlock(vma, page_folio(pte_page(entry)));
    }
    spin_unlock(huge);
    return true;
  }
  const first = yield* pte_offset_map_lock(vma.vm_mm as mm_struct, pmd, start);
  if (first === 0) {
    return false;
  }
  let ptep = first;
  for (let addr = start; addr < end; addr += PAGE_SIZE, ptep += 1) {
    const ptent = ptep_get(ptep);
    if (!pte_present(ptent)) {
      continue;
    }
    const page = vm_normal_page(vma, addr, ptent);
    if (page === null) {
      continue;
    }
    const folio = page_folio(page);
    const step = folio_mlock_step(folio, ptep, addr, end);
    if (allow_mlock_munlock(folio, vma, start, end, step)) {
      countMlock(vma, folio);
    }
    addr += (step - 1) * PAGE_SIZE;
    ptep += step - 1;
  }
  pte_unmap_unlock(first);
  return true;
}

/** walk_page_range() with mlock_walk_ops. */
function* mlock_walk(vma: vm_area_struct, start: number, end: number): K {
  const mm = vma.vm_mm as mm_struct;
  let addr = start;
  while (addr < end) {
    const next = pmd_addr_end(addr, end);
    const pmd = mm_find_pmd(mm, addr);
    const present = pmd !== 0 && !pmd_none(pmdp_get(pmd));
    if (!present || (yield* mlock_pte_range(vma, pmd, addr, next))) {
      addr = next;
    }
  }
}

/**
 * mm/mlock.c: mlock_vma_pages_range() v6.18. VM_IO beside VM_LOCKED, which no mapping has otherwise, tells a walk
 * that meets a page meanwhile not to count it as well.
 */
function* mlock_vma_pages_range(
  vma: vm_area_struct,
  start: number,
  end: number,
  newflags: number,
): K {
  const transient = (newflags & VM_LOCKED) !== 0 ? newflags | VM_IO : newflags;
  yield* vma_start_write(vma);
  vma.vm_flags = transient;
  // Only folios on a list have an mlock_count.
  lru_add_drain();
  yield* mlock_walk(vma, start, end);
  lru_add_drain();
  if (transient !== newflags) {
    vma.vm_flags = newflags;
  }
}

/** mm/mlock.c: mlock_fixup() v6.18. 0 or a negative errno. Preconditions: mmap_lock held for write. */
function* mlock_fixup(
  cursor: vma_cursor,
  vma: vm_area_struct,
  start: number,
  end: number,
  flags: number,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const oldflags = vma.vm_flags;
  if (flags === oldflags || !vma_supports_mlock(vma)) {
    cursor.prev = vma;
    return 0;
  }
  const modified = yield* vma_modify_flags(cursor.prev, vma, start, end, flags);
  if (typeof modified === 'number') {
    cursor.prev = vma;
    return modified;
  }
  const newflags = flags | (modified.vm_flags & VM_STICKY);
  const nr_pages = (end - start) / PAGE_SIZE;
  if ((newflags & VM_LOCKED) === 0) {
    mm.locked_vm = mm.locked_vm - nr_pages;
  } else if ((oldflags & VM_LOCKED) === 0) {
    mm.locked_vm = mm.locked_vm + nr_pages;
  }
  if ((newflags & VM_LOCKED) !== 0 && (oldflags & VM_LOCKED) !== 0) {
    yield* vma_start_write(modified);
    modified.vm_flags = newflags;
  } else {
    yield* mlock_vma_pages_range(modified, start, end, newflags);
  }
  cursor.prev = modified;
  return 0;
}

/**
 * mm/mlock.c: apply_vma_lock_flags() v6.18. 0 or a negative errno; VMAs before a hole stay changed.
 * Preconditions: mmap_lock held for write; the range is page aligned.
 */
function* apply_vma_lock_flags(start: number, len: number, flags: number): K<number> {
  const end = start + len;
  if (end >= 2 ** 64) {
    return -EINVAL;
  }
  if (end === start) {
    return 0;
  }
  let vma = vmaTreeWalk(current_mm(), start);
  if (vma === null) {
    return -ENOMEM;
  }
  const cursor: vma_cursor = { prev: start > vma.vm_start ? vma : vmaTreePrev(vma) };
  let nstart = start;
  let tmp = vma.vm_start;
  while (vma !== null && vma.vm_start < end) {
    if (vma.vm_start !== tmp) {
      return -ENOMEM;
    }
    const newflags = (vma.vm_flags & ~VM_LOCKED_MASK) | flags;
    tmp = Math.min(vma.vm_end, end);
    const error = yield* mlock_fixup(cursor, vma, nstart, tmp, newflags);
    if (error !== 0) {
      return error;
    }
    const reached = cursor.prev as vm_area_struct;
    tmp = reached.vm_end;
    nstart = tmp;
    vma = vmaTreeNext(reached);
  }
  return tmp < end ? -ENOMEM : 0;
}

/** mm/mlock.c: do_mlock() v6.18. CAP_IPC_LOCK: no limit is checked. */
function* do_mlock(addr: number, length: number, flags: number): K<number> {
  if (!can_do_mlock()) {
    return -EPERM;
  }
  const len = PAGE_ALIGN(length + offset_in_page(addr));
  const start = addr - offset_in_page(addr);
  const mm = current_mm();
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  const error = yield* apply_vma_lock_flags(start, len, flags);
  mmap_write_unlock(mm);
  if (error !== 0) {
    return error;
  }
  const populated = yield* __mm_populate(start, len, false);
  // __mlock_posix_error_return()
  if (populated === -EFAULT) {
    return -ENOMEM;
  }
  return populated === -ENOMEM ? -EAGAIN : populated;
}

/** mm/mlock.c: mlock(2) v6.18. */
export function* sys_mlock(start: number, len: number): K<number> {
  return yield* do_mlock(start, len, VM_LOCKED);
}

/** mm/mlock.c: mlock2(2) v6.18. */
export function* sys_mlock2(start: number, len: number, flags: number): K<number> {
  if ((flags & ~MLOCK_ONFAULT) !== 0) {
    return -EINVAL;
  }
  const onfault = (flags & MLOCK_ONFAULT) !== 0 ? VM_LOCKONFAULT : 0;
  return yield* do_mlock(start, len, VM_LOCKED | onfault);
}

/** mm/mlock.c: munlock(2) v6.18. */
export function* sys_munlock(addr: number, length: number): K<number> {
  const mm = current_mm();
  const len = PAGE_ALIGN(length + offset_in_page(addr));
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  const ret = yield* apply_vma_lock_flags(addr - offset_in_page(addr), len, 0);
  mmap_write_unlock(mm);
  return ret;
}

/** mm/mlock.c: apply_mlockall_flags() v6.18. Preconditions: mmap_lock held for write. */
function* apply_mlockall_flags(flags: number): K {
  const mm = current_mm();
  const onfault = (flags & MCL_ONFAULT) !== 0 ? VM_LOCKONFAULT : 0;
  mm.def_flags = mm.def_flags & ~VM_LOCKED_MASK;
  if ((flags & MCL_FUTURE) !== 0) {
    mm.def_flags = mm.def_flags | VM_LOCKED | onfault;
    if ((flags & MCL_CURRENT) === 0) {
      return;
    }
  }
  const to_add = (flags & MCL_CURRENT) !== 0 ? VM_LOCKED | onfault : 0;
  const cursor: vma_cursor = { prev: null };
  let vma = vmaTreeFirst(mm);
  while (vma !== null) {
    const newflags = (vma.vm_flags & ~VM_LOCKED_MASK) | to_add;
    yield* mlock_fixup(cursor, vma, vma.vm_start, vma.vm_end, newflags);
    vma = vmaTreeNext(cursor.prev as vm_area_struct);
  }
}

/** mm/mlock.c: mlockall(2) v6.18. */
export function* sys_mlockall(flags: number): K<number> {
  const mm = current_mm();
  const known = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
  if (flags === 0 || (flags & ~known) !== 0 || flags === MCL_ONFAULT) {
    return -EINVAL;
  }
  if (!can_do_mlock()) {
    return -EPERM;
  }
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  yield* apply_mlockall_flags(flags);
  mmap_write_unlock(mm);
  if ((flags & MCL_CURRENT) !== 0) {
    yield* mm_populate(0, TASK_SIZE);
  }
  return 0;
}

/** mm/mlock.c: munlockall(2) v6.18. */
export function* sys_munlockall(): K<number> {
  const mm = current_mm();
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  yield* apply_mlockall_flags(0);
  mmap_write_unlock(mm);
  return 0;
}
