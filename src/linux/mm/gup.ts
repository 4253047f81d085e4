/**
 * mm/gup.c v6.18: faulting pages in without an access: MAP_POPULATE, mlock(), MADV_POPULATE_*.
 *
 * Lock tree: mmap_lock (read); a fault may drop it, and then the VMA is looked up again. Fidelity:
 * __mm_populate() and populate_vma_page_range() dup; the page walk is faultinPages(), which does what
 * __get_user_pages() does for callers that want no page pointers.
 */
import type { K } from '../../sim/wait.ts';
import { EFAULT, ENOMEM } from '../errno.ts';
import { current_mm } from '../kernel/current.ts';
import { VM_WARN_ON_ONCE } from '../lib/bug.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { handle_mm_fault } from './memory_fault.ts';
import {
  PAGE_SIZE,
  VM_IO,
  VM_LOCKONFAULT,
  VM_PFNMAP,
  VM_SHARED,
  VM_WRITE,
  vma_is_accessible,
} from './mm.ts';
import { mmap_assert_locked, mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { lookupPte, pte_present, pte_protnone, pte_write, ptep_get } from './pgtable.ts';
import { lru_add_drain } from './swap.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
} from './vm_fault.ts';
import { find_vma_intersection } from './vma_tree.ts';

/** Whether mmap_lock is still held: a fault that had to wait has dropped it. */
export interface gup_lock {
  locked: boolean;
}

/** follow_page_mask(): whether the page is there and may be used as asked. */
function pageIsThere(mm: mm_struct, address: number, write: boolean): boolean {
  const ptep = lookupPte(mm, address);
  if (ptep === 0) {
    return false;
  }
  const pte = ptep_get(ptep);
  return pte_present(pte) && !pte_protnone(pte) && (!write || pte_write(pte));
}

/**
 * Faults the pages of [start, end) in. Returns the number of pages done, or a negative errno if that is 0.
 * Fewer pages than asked for with `lock.locked` false: mmap_lock was dropped on the way.
 */
function* faultinPages(
  vma: vm_area_struct,
  start: number,
  end: number,
  write: boolean,
  lock: gup_lock | null,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  let flags = write ? FAULT_FLAG_WRITE : 0;
  if (lock !== null) {
    flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
  }
  let done = 0;
  let addr = start;
  while (addr < end) {
    if (pageIsThere(mm, addr, write)) {
      done = done + 1;
      addr = addr + PAGE_SIZE;
      continue;
    }
    const ret = yield* handle_mm_fault(vma, addr, flags);
    if ((ret & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)) !== 0) {
      if (lock !== null) {
        lock.locked = false;
      }
      return done;
    }
    if ((ret & VM_FAULT_OOM) !== 0) {
      return done === 0 ? -ENOMEM : done;
    }
    if ((ret & (VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV)) !== 0) {
      return done === 0 ? -EFAULT : done;
    }
  }
  return done;
}

/**
 * mm/gup.c: populate_vma_page_range() v6.18: pages done, or a negative errno. Preconditions: mmap_lock held;
 * [start, end) lies in `vma`.
 */
export function* populate_vma_page_range(
  vma: vm_area_struct,
  start: number,
  end: number,
  lock: gup_lock | null,
): K<number> {
  VM_WARN_ON_ONCE(start < vma.vm_start || end > vma.vm_end, 'the range is not inside the vma');
  mmap_assert_locked(vma.vm_mm as mm_struct);
  if ((vma.vm_flags & VM_LOCKONFAULT) !== 0) {
    return (end - start) / PAGE_SIZE;
  }
  if (!vma_is_accessible(vma)) {
    return -EFAULT;
  }
  // Break copy-on-write now, except in shared mappings, where a write would dirty the file.
  const write = (vma.vm_flags & (VM_WRITE | VM_SHARED)) === VM_WRITE;
  const ret = yield* faultinPages(vma, start, end, write, lock);
  lru_add_drain();
  return ret;
}

/** mm/gup.c: __mm_populate() v6.18: 0 or a negative errno. Preconditions: mmap_lock not held. */
export function* __mm_populate(start: number, len: number, ignore_errors: boolean): K<number> {
  const mm = current_mm();
  const end = start + len;
  const lock: gup_lock = { locked: false };
  let vma: vm_area_struct | null = null;
  let ret = 0;
  let nstart = start;
  while (nstart < end) {
    if (!lock.locked) {
      yield* mmap_read_lock(mm);
      lock.locked = true;
      vma = find_vma_intersection(mm, nstart, end);
    } else if (vma !== null && nstart >= vma.vm_end) {
      vma = find_vma_intersection(mm, vma.vm_end, end);
    }
    if (vma === null) {
      break;
    }
    let nend = Math.min(end, vma.vm_end);
    if ((vma.vm_flags & (VM_IO | VM_PFNMAP)) !== 0) {
      nstart = nend;
      continue;
    }
    nstart = Math.max(nstart, vma.vm_start);
    ret = yield* populate_vma_page_range(vma, nstart, nend, lock);
    if (ret < 0) {
      if (!ignore_errors) {
        break;
      }
      ret = 0;
    } else {
      nend = nstart + ret * PAGE_SIZE;
      ret = 0;
    }
    nstart = nend;
  }
  if (lock.locked) {
    mmap_read_unlock(mm);
  }
  return ret;
}

/** include/linux/mm.h: mm_populate() v6.18: errors are ignored, the pages fault in later. */
export function* mm_populate(addr: number, len: number): K {
  yield* __mm_populate(addr, len, true);
}
