/**
 * mm/gup.c v6.18: faulting in pages for the kernel: populate after mmap, brk, mlock.
 * Lock tree: mmap_lock for read. Fidelity: dup for populate; pinning pages is not here.
 */
import type { K } from '../../sim/wait.ts';
import { EFAULT, EHWPOISON, EINVAL, ENOMEM } from '../errno.ts';
import { current_mm } from '../kernel/current.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { followHugePmd } from './huge_memory.ts';
import { handle_mm_fault } from './memory_fault.ts';
import {
  PAGE_SIZE,
  VM_IO,
  VM_LOCKONFAULT,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  vma_is_accessible,
} from './mm.ts';
import { mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { page_folio } from './page_alloc.ts';
import { folio_test_dirty } from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import {
  mm_find_pmd,
  pmd_none,
  pmd_trans_huge,
  pmdp_get,
  pte_dirty,
  pte_offset_map_lock,
  pte_page,
  pte_present,
  pte_protnone,
  pte_special,
  pte_unmap_unlock,
  pte_write,
  ptep_get,
} from './pgtable.ts';
import { folio_mark_accessed, lru_add_drain } from './swap.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_WRITE,
  VM_FAULT_ERROR,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
} from './vm_fault.ts';
import { find_vma_intersection, vma_lookup } from './vma_tree.ts';

/** Whether mmap_lock is still held: fault handlers may drop it. */
export interface locked_flag {
  locked: boolean;
}

/**
 * mm/gup.c: follow_page_mask() v6.18 with FOLL_TOUCH: pages that are there, and writable if `write`: 0, 1, or those to the
 * end of a huge page.
 */
function* follow_page_touch(vma: vm_area_struct, address: number, write: boolean): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const pmd = mm_find_pmd(mm, address);
  if (pmd === 0 || pmd_none(pmdp_get(pmd))) {
    return 0;
  }
  if (pmd_trans_huge(pmdp_get(pmd))) {
    const pages = yield* followHugePmd(vma, pmd, address, write);
    if (pages >= 0) {
      return pages;
    }
  }
  const ptep = yield* pte_offset_map_lock(mm, pmd, address);
  if (ptep === 0) {
    return 0;
  }
  const pte = ptep_get(ptep);
  const usable = pte_present(pte) && !pte_protnone(pte) && (!write || pte_write(pte));
  if (usable && !pte_special(pte)) {
    const folio = page_folio(pte_page(pte));
    if (write && !pte_dirty(pte) && !folio_test_dirty(folio)) {
      folio_mark_dirty(folio);
    }
    folio_mark_accessed(folio);
  }
  pte_unmap_unlock(ptep);
  return usable ? 1 : 0;
}

/** mm/gup.c: faultin_page() v6.18. 0, or a negative errno; the lock may be gone. */
function* faultin_page(
  vma: vm_area_struct,
  address: number,
  write: boolean,
  tried: boolean,
  lock: locked_flag | null,
): K<number> {
  // Without a flag to tell it (mprotect, which holds mmap_lock for write) the lock must not be dropped.
  let flags = lock === null ? 0 : FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
  if (write) {
    flags |= FAULT_FLAG_WRITE;
  }
  if (tried) {
    flags |= FAULT_FLAG_TRIED;
  }
  const ret = yield* handle_mm_fault(vma, address, flags);
  if ((ret & VM_FAULT_ERROR) !== 0) {
    // vm_fault_to_errno().
    if ((ret & VM_FAULT_OOM) !== 0) {
      return -ENOMEM;
    }
    return (ret & VM_FAULT_HWPOISON) !== 0 ? -EHWPOISON : -EFAULT;
  }
  if ((ret & VM_FAULT_RETRY) !== 0 && lock !== null) {
    lock.locked = false;
  }
  return 0;
}

/**
 * The loop of __get_user_pages() for callers that want the pages faulted in and no more: pages done, or a
 * negative errno if that is none. The lock may be gone (lock.locked false).
 */
function* faultInPages(
  vma: vm_area_struct,
  start: number,
  nr_pages: number,
  write: boolean,
  lock: locked_flag | null,
): K<number> {
  let done = 0;
  while (done < nr_pages) {
    const address = start + done * PAGE_SIZE;
    let tried = false;
    let pages = yield* follow_page_touch(vma, address, write);
    while (pages === 0) {
      const error = yield* faultin_page(vma, address, write, tried, lock);
      if (error !== 0) {
        lru_add_drain();
        return done > 0 ? done : error;
      }
      if (lock !== null && !lock.locked) {
        lru_add_drain();
        return done;
      }
      tried = true;
      pages = yield* follow_page_touch(vma, address, write);
    }
    done = Math.min(done + pages, nr_pages);
  }
  lru_add_drain();
  return done;
}

/**
 * mm/gup.c: populate_vma_page_range() and __get_user_pages() v6.18: pages of [start, end) faulted in, or a
 * negative errno. Preconditions: mmap_lock held; it may be dropped (lock.locked false) unless `lock` is null.
 */
export function* populate_vma_page_range(
  vma: vm_area_struct,
  start: number,
  end: number,
  lock: locked_flag | null,
): K<number> {
  const nr_pages = (end - start) / PAGE_SIZE;
  if ((vma.vm_flags & VM_LOCKONFAULT) !== 0) {
    return nr_pages;
  }
  // Writable private pages get their own copy now; shared ones are not dirtied for nothing.
  const write = (vma.vm_flags & (VM_WRITE | VM_SHARED)) === VM_WRITE;
  if (!vma_is_accessible(vma)) {
    // Without FOLL_FORCE check_vma_flags() refuses a VMA that nobody may read.
    return -EFAULT;
  }
  return yield* faultInPages(vma, start, nr_pages, write, lock);
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
 * mm/madvise.c: madvise_populate() with faultin_page_range() v6.18: MADV_POPULATE_READ and _WRITE. 0 or a negative
 * errno: -ENOMEM for a hole, -EINVAL for a VMA that may not be accessed so. Preconditions: mmap_lock
 * held for read; it is held again at the end.
 */
export function* madvise_populate(
  mm: mm_struct,
  from: number,
  end: number,
  write: boolean,
): K<number> {
  const needed = write ? VM_WRITE : VM_READ;
  const lock: locked_flag = { locked: true };
  let start = from;
  while (start < end) {
    const vma = vma_lookup(mm, start);
    if (vma === null) {
      return -ENOMEM;
    }
    if ((vma.vm_flags & (VM_IO | VM_PFNMAP)) !== 0 || (vma.vm_flags & needed) === 0) {
      return -EINVAL;
    }
    const nr_pages = (Math.min(end, vma.vm_end) - start) / PAGE_SIZE;
    const pages = yield* faultInPages(vma, start, nr_pages, write, lock);
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
