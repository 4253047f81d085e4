/**
 * mm/gup.c v6.18: pages of a process for the kernel: faulted in (populate after mmap, brk, mlock) or with
 * references. Pins are in gup_pin.ts. Lock tree: mmap_lock for read, folio lock, ptl. Fidelity: dup.
 */

import type { K } from '../../sim/wait.ts';
import {
  EAGAIN,
  EBUSY,
  EEXIST,
  EFAULT,
  EHWPOISON,
  EINTR,
  EINVAL,
  EMLINK,
  ENOMEM,
} from '../errno.ts';
import { current, current_mm } from '../kernel/current.ts';
import { VM_WARN_ON_FOLIO, WARN_ON_ONCE } from '../lib/bug.ts';
import type { mm_struct, page, vm_area_struct } from '../mm_types.ts';
import { followPmdLeaf, pages_to_huge_end } from './gup_huge.ts';
import {
  can_follow_write_common,
  FOLL_ANON,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HWPOISON,
  FOLL_LONGTERM,
  FOLL_MADV_POPULATE,
  FOLL_PIN,
  FOLL_REMOTE,
  FOLL_TOUCH,
  FOLL_TRIED,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
  gup_must_unshare,
  mm_set_has_pinned_flag,
  try_grab_folio,
} from './gup_ref.ts';
import { vm_normal_page } from './memory.ts';
import { handle_mm_fault } from './memory_fault.ts';
import {
  is_cow_mapping,
  PAGE_SIZE,
  VM_IO,
  VM_LOCKONFAULT,
  VM_MAYREAD,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  vma_is_accessible,
  vma_is_anonymous,
} from './mm.ts';
import { mmap_assert_locked, mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { is_zero_pfn, page_folio } from './page_alloc.ts';
import { folio_test_anon, folio_test_dirty, PageAnonExclusive } from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import {
  mm_find_pmd,
  pmd_none,
  pmd_present,
  pmd_trans_huge,
  pmdp_get,
  pte_dirty,
  pte_offset_map_lock,
  pte_page,
  pte_pfn,
  pte_present,
  type pte_ptr,
  type pte_t,
  pte_unmap_unlock,
  pte_write,
  ptep_get,
} from './pgtable.ts';
import { folio_mark_accessed, lru_add_drain } from './swap.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
} from './vm_fault.ts';
import { vma_needs_dirty_tracking } from './vma_prot.ts';
import { find_vma_intersection, vma_lookup } from './vma_tree.ts';

/** Whether mmap_lock is still held: fault handlers may drop it. */
export interface locked_flag {
  locked: boolean;
}

// ---- the walk under the lock

/** mm/gup.c: can_follow_write_pte() v6.18, without soft-dirty and userfaultfd. */
function can_follow_write_pte(
  pte: pte_t,
  page: page | null,
  vma: vm_area_struct,
  flags: number,
): boolean {
  return pte_write(pte) || can_follow_write_common(page, vma, flags);
}

/** The part of follow_page_pte() under the ptl: the page, 0 for NULL, or a negative errno. */
function followPresentPte(
  vma: vm_area_struct,
  address: number,
  pte: pte_t,
  flags: number,
): page | number {
  let page = vm_normal_page(vma, address, pte);
  if ((flags & FOLL_WRITE) !== 0 && !can_follow_write_pte(pte, page, vma, flags)) {
    return 0;
  }
  if (page === null) {
    if (!is_zero_pfn(pte_pfn(pte))) {
      // follow_pfn_pte(): no struct page.
      return -EEXIST;
    }
    page = pte_page(pte);
  }
  const folio = page_folio(page);
  if (!pte_write(pte) && gup_must_unshare(vma, flags, page)) {
    return -EMLINK;
  }
  VM_WARN_ON_FOLIO(
    (flags & FOLL_PIN) !== 0 && folio_test_anon(folio) && !PageAnonExclusive(page),
    folio,
    '(flags & FOLL_PIN) && PageAnon(page) && !PageAnonExclusive(page)',
  );
  const ret = try_grab_folio(folio, flags);
  if (ret !== 0) {
    return ret;
  }
  if ((flags & FOLL_TOUCH) !== 0) {
    if ((flags & FOLL_WRITE) !== 0 && !pte_dirty(pte) && !folio_test_dirty(folio)) {
      folio_mark_dirty(folio);
    }
    // The zero page is on no list and does not age.
    if (!is_zero_pfn(folio.pfn)) {
      folio_mark_accessed(folio);
    }
  }
  return page;
}

/**
 * mm/gup.c: follow_page_pte() v6.18: the page, 0 for NULL, -EMLINK if it must be unshared first, or another
 * negative errno. Preconditions: mmap_lock.
 */
function* follow_page_pte(
  vma: vm_area_struct,
  address: number,
  pmd: pte_ptr,
  flags: number,
): K<page | number> {
  const ptep = yield* pte_offset_map_lock(vma.vm_mm as mm_struct, pmd, address);
  if (ptep === 0) {
    return 0;
  }
  const pte = ptep_get(ptep);
  // gup_can_follow_protnone(): nobody here asks to honour NUMA hinting, and FOLL_FORCE may read what is PROT_NONE.
  if (!pte_present(pte)) {
    pte_unmap_unlock(ptep);
    return 0;
  }
  const page = followPresentPte(vma, address, pte, flags);
  pte_unmap_unlock(ptep);
  return page;
}

/**
 * mm/gup.c: follow_page_mask() v6.18: the page, 0 for NULL, or a negative errno; who takes no reference gets the number
 * of pages that were touched, if it is a huge one.
 */
function* follow_page_mask(vma: vm_area_struct, address: number, flags: number): K<page | number> {
  const pmd = mm_find_pmd(vma.vm_mm as mm_struct, address);
  if (pmd === 0 || pmd_none(pmdp_get(pmd))) {
    return 0;
  }
  if (pmd_trans_huge(pmdp_get(pmd))) {
    const page = yield* followPmdLeaf(vma, address, pmd, flags);
    if (page !== null) {
      const referenced = (flags & (FOLL_GET | FOLL_PIN)) !== 0;
      return typeof page === 'number' || referenced ? page : pages_to_huge_end(vma, address);
    }
  }
  if (!pmd_present(pmdp_get(pmd))) {
    return 0;
  }
  return yield* follow_page_pte(vma, address, pmd, flags);
}

/**
 * mm/gup.c: faultin_page() v6.18. 0, or a negative errno; -EBUSY, -EAGAIN: the lock was dropped (lock.locked is false).
 */
function* faultin_page(
  vma: vm_area_struct,
  address: number,
  flags: number,
  unshare: boolean,
  lock: locked_flag,
): K<number> {
  let fault_flags = 0;
  if ((flags & FOLL_WRITE) !== 0) {
    fault_flags |= FAULT_FLAG_WRITE;
  }
  if ((flags & FOLL_REMOTE) !== 0) {
    fault_flags |= FAULT_FLAG_REMOTE;
  }
  if ((flags & FOLL_UNLOCKABLE) !== 0) {
    fault_flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
  }
  if ((flags & FOLL_TRIED) !== 0) {
    fault_flags |= FAULT_FLAG_TRIED;
  }
  if (unshare) {
    fault_flags |= FAULT_FLAG_UNSHARE;
  }
  const ret = yield* handle_mm_fault(vma, address, fault_flags);
  if ((ret & VM_FAULT_COMPLETED) !== 0) {
    lock.locked = false;
    return -EAGAIN;
  }
  if ((ret & VM_FAULT_ERROR) !== 0) {
    // vm_fault_to_errno().
    if ((ret & VM_FAULT_OOM) !== 0) {
      return -ENOMEM;
    }
    const hwpoison = (ret & VM_FAULT_HWPOISON) !== 0 && (flags & FOLL_HWPOISON) !== 0;
    return hwpoison ? -EHWPOISON : -EFAULT;
  }
  if ((ret & VM_FAULT_RETRY) !== 0) {
    lock.locked = false;
    return -EBUSY;
  }
  return 0;
}

/** mm/gup.c: writable_file_mapping_allowed() v6.18: a long-term writer would dirty a file behind its back. */
function writable_file_mapping_allowed(vma: vm_area_struct, gup_flags: number): boolean {
  if ((gup_flags & (FOLL_PIN | FOLL_LONGTERM)) !== (FOLL_PIN | FOLL_LONGTERM)) {
    return true;
  }
  return !vma_needs_dirty_tracking(vma);
}

/** mm/gup.c: check_vma_flags() v6.18: 0 or -EFAULT. */
function check_vma_flags(vma: vm_area_struct, gup_flags: number): number {
  const { vm_flags } = vma;
  if ((vm_flags & (VM_IO | VM_PFNMAP)) !== 0) {
    return -EFAULT;
  }
  if ((gup_flags & FOLL_ANON) !== 0 && !vma_is_anonymous(vma)) {
    return -EFAULT;
  }
  if ((gup_flags & FOLL_WRITE) !== 0) {
    if (!vma_is_anonymous(vma) && !writable_file_mapping_allowed(vma, gup_flags)) {
      return -EFAULT;
    }
    if ((vm_flags & VM_WRITE) === 0) {
      if ((gup_flags & FOLL_FORCE) === 0 || !is_cow_mapping(vm_flags)) {
        return -EFAULT;
      }
    }
  } else if ((vm_flags & VM_READ) === 0) {
    if ((gup_flags & FOLL_FORCE) === 0 || (vm_flags & VM_MAYREAD) === 0) {
      return -EFAULT;
    }
  }
  return 0;
}

/** mm/gup.c: gup_vma_lookup() v6.18: the kernel does not grow a stack for itself. */
function gup_vma_lookup(mm: mm_struct, addr: number): vm_area_struct | null {
  return vma_lookup(mm, addr);
}

/**
 * mm/gup.c: __get_user_pages() v6.18: pages done, or a negative errno if that is none. `pages`, if not null,
 * receives them. Preconditions: mmap_lock; with FOLL_UNLOCKABLE it may be dropped (lock.locked false).
 */
function* __get_user_pages(
  mm: mm_struct,
  from: number,
  nr_pages: number,
  gup_flags: number,
  pages: page[] | null,
  lock: locked_flag,
): K<number> {
  let vma: vm_area_struct | null = null;
  let start = from;
  let i = 0;
  let ret = 0;
  while (i < nr_pages) {
    if (vma === null || start >= vma.vm_end) {
      if ((gup_flags & FOLL_MADV_POPULATE) !== 0) {
        vma = vma_lookup(mm, start);
        if (vma === null) {
          ret = -ENOMEM;
          break;
        }
        if (check_vma_flags(vma, gup_flags) !== 0) {
          ret = -EINVAL;
          break;
        }
      } else {
        vma = gup_vma_lookup(mm, start);
        if (vma === null) {
          ret = -EFAULT;
          break;
        }
        ret = check_vma_flags(vma, gup_flags);
        if (ret !== 0) {
          break;
        }
      }
    }
    if (current().sigkill === 1) {
      // fatal_signal_pending().
      ret = -EINTR;
      break;
    }
    const page: page | number = yield* follow_page_mask(vma, start, gup_flags);
    if (page === 0 || page === -EMLINK) {
      ret = yield* faultin_page(vma, start, gup_flags, page === -EMLINK, lock);
      if (ret === 0) {
        continue;
      }
      if (ret === -EBUSY || ret === -EAGAIN) {
        ret = 0;
      }
      break;
    }
    let step = 1;
    if (typeof page === 'number' && page > 0) {
      step = Math.min(page, nr_pages - i);
    } else if (typeof page === 'number') {
      // No struct page: an error only for who wants one.
      if (page !== -EEXIST || pages !== null) {
        ret = page;
        break;
      }
    } else if (pages !== null) {
      pages.push(page);
    }
    i = i + step;
    start = start + step * PAGE_SIZE;
  }
  return i > 0 ? i : ret;
}

/**
 * mm/gup.c: __get_user_pages_locked() v6.18: again and again while faults drop the lock. Preconditions:
 * mmap_lock held for read if lock.locked; it is released at the end if it was taken or dropped here.
 */
export function* __get_user_pages_locked(
  mm: mm_struct,
  from: number,
  count: number,
  pages: page[] | null,
  lock: locked_flag,
  gup_flags: number,
): K<number> {
  if (count === 0) {
    return 0;
  }
  let must_unlock = false;
  if (!lock.locked) {
    yield* mmap_read_lock(mm);
    must_unlock = true;
    lock.locked = true;
  } else {
    mmap_assert_locked(mm);
  }
  let flags = gup_flags;
  if ((flags & FOLL_PIN) !== 0) {
    mm_set_has_pinned_flag(mm);
  }
  if (pages !== null && (flags & FOLL_PIN) === 0) {
    flags |= FOLL_GET;
  }
  let start = from;
  let nr_pages = count;
  let pages_done = 0;
  for (;;) {
    let ret = yield* __get_user_pages(mm, start, nr_pages, flags, pages, lock);
    if ((flags & FOLL_UNLOCKABLE) === 0) {
      pages_done = ret;
      break;
    }
    if (ret > 0) {
      nr_pages = nr_pages - ret;
      pages_done = pages_done + ret;
      if (nr_pages === 0) {
        break;
      }
    }
    if (lock.locked) {
      if (pages_done === 0) {
        pages_done = ret;
      }
      break;
    }
    start = start + ret * PAGE_SIZE;
    must_unlock = true;
    let killed = false;
    do {
      // The page whose fault dropped the lock, with FAULT_FLAG_TRIED: now it may wait under the lock.
      if (current().sigkill === 1) {
        killed = true;
        break;
      }
      yield* mmap_read_lock(mm);
      lock.locked = true;
      ret = yield* __get_user_pages(mm, start, 1, flags | FOLL_TRIED, pages, lock);
    } while (!lock.locked);
    if (killed || ret !== 1) {
      if (pages_done === 0) {
        pages_done = killed ? -EINTR : ret;
      }
      break;
    }
    nr_pages = nr_pages - 1;
    pages_done = pages_done + 1;
    if (nr_pages === 0) {
      break;
    }
    start = start + PAGE_SIZE;
  }
  if (must_unlock && lock.locked) {
    mmap_read_unlock(mm);
    lock.locked = false;
  }
  if (WARN_ON_ONCE(pages_done === 0, 'pages_done == 0 && !(flags & FOLL_NOWAIT)')) {
    return -EFAULT;
  }
  return pages_done;
}

/**
 * mm/gup.c: populate_vma_page_range() v6.18: pages of [start, end) faulted in, or a negative errno.
 * Preconditions: mmap_lock held; it may be dropped (lock.locked false) unless `lock` is null.
 */
export function* populate_vma_page_range(
  vma: vm_area_struct,
  start: number,
  end: number,
  lock: locked_flag | null,
): K<number> {
  const nr_pages = (end - start) / PAGE_SIZE;
  mmap_assert_locked(vma.vm_mm as mm_struct);
  if ((vma.vm_flags & VM_LOCKONFAULT) !== 0) {
    return nr_pages;
  }
  if (!vma_is_accessible(vma)) {
    return -EFAULT;
  }
  let gup_flags = FOLL_TOUCH;
  // Writable private pages get their own copy now; shared ones are not dirtied for nothing.
  gup_flags |= (vma.vm_flags & (VM_WRITE | VM_SHARED)) === VM_WRITE ? FOLL_WRITE : FOLL_FORCE;
  if (lock !== null) {
    gup_flags |= FOLL_UNLOCKABLE;
  }
  const mm = vma.vm_mm as mm_struct;
  const local: locked_flag = lock ?? { locked: true };
  const ret = yield* __get_user_pages(mm, start, nr_pages, gup_flags, null, local);
  lru_add_drain();
  return ret;
}

/**
 * mm/gup.c: faultin_page_range() v6.18, for MADV_POPULATE_READ and _WRITE: pages done or a negative errno.
 * Preconditions: mmap_lock held for read; it may be dropped (lock.locked false).
 */
export function* faultin_page_range(
  mm: mm_struct,
  start: number,
  end: number,
  write: boolean,
  lock: locked_flag,
): K<number> {
  const nr_pages = (end - start) / PAGE_SIZE;
  mmap_assert_locked(mm);
  let gup_flags = FOLL_TOUCH | FOLL_HWPOISON | FOLL_UNLOCKABLE | FOLL_MADV_POPULATE;
  if (write) {
    gup_flags |= FOLL_WRITE;
  }
  const ret = yield* __get_user_pages_locked(mm, start, nr_pages, null, lock, gup_flags);
  lru_add_drain();
  return ret;
}

/**
 * mm/gup.c: __mm_populate() v6.18. 0 or a negative errno; errors do not stop it if `ignore_errors`.
 * Preconditions: mmap_lock not held.
 */
export function* __mm_populate(start: number, len: number, ignore_errors: boolean): K<number> {
  const mm = current_mm();
  const end = start + len;
  const lock: locked_flag = { locked: false };
  let vma: vm_area_struct | null = null;
  let ret = 0;
  let nstart = start;
  while (nstart < end) {
    if (!lock.locked) {
      lock.locked = true;
      yield* mmap_read_lock(mm);
      vma = find_vma_intersection(mm, nstart, end);
    } else if (vma !== null && nstart >= vma.vm_end) {
      vma = find_vma_intersection(mm, vma.vm_end, end);
    }
    if (vma === null) {
      break;
    }
    let nend = Math.min(end, vma.vm_end);
    if ((vma.vm_flags & (VM_IO | VM_PFNMAP)) === 0) {
      nstart = Math.max(nstart, vma.vm_start);
      ret = yield* populate_vma_page_range(vma, nstart, nend, lock);
      if (ret < 0) {
        if (!ignore_errors) {
          break;
        }
      } else {
        nend = nstart + ret * PAGE_SIZE;
      }
      ret = ignore_errors || ret > 0 ? 0 : ret;
    }
    nstart = nend;
  }
  if (lock.locked) {
    mmap_read_unlock(mm);
  }
  return ret;
}

/** include/linux/mm.h: mm_populate() v6.18. */
export function* mm_populate(addr: number, len: number): K {
  yield* __mm_populate(addr, len, true);
}

/**
 * mm/madvise.c: madvise_populate() v6.18: MADV_POPULATE_READ and _WRITE. 0 or a negative errno: -ENOMEM for
 * a hole, -EINVAL for a VMA that may not be accessed so. Preconditions: mmap_lock held for read; it is
 * held again at the end.
 */
export function* madvise_populate(
  mm: mm_struct,
  from: number,
  end: number,
  write: boolean,
): K<number> {
  const lock: locked_flag = { locked: true };
  let start = from;
  while (start < end) {
    const pages = yield* faultin_page_range(mm, start, end, write, lock);
    if (!lock.locked) {
      yield* mmap_read_lock(mm);
      lock.locked = true;
    }
    if (pages < 0) {
      return pages;
    }
    start = start + pages * PAGE_SIZE;
  }
  return 0;
}
