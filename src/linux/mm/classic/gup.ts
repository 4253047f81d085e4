/**
 * mm/memory.c: get_user_pages() v2.6.34, for devices that read and write pages of a program (mm/user_pin.ts). The page is kept
 * by a reference like any other: nobody can tell it from a page that somebody just looks at, fork() copies its entry
 * like all others, and who writes first afterwards gets a page that the device does not have.
 *
 * Lock tree: mmap_sem (read) -> what a fault takes. Fidelity: dup for one page.
 */
import type { K } from '../../../sim/wait.ts';
import { EFAULT, EINVAL, ENOMEM } from '../../errno.ts';
import { down_read, up_read } from '../../kernel/locking/rwsem.ts';
import { mem_map, type mm_struct, type page, type vm_area_struct } from '../../mm_types.ts';
import { folio_lock, folio_unlock } from '../folio_lock.ts';
import { FOLL_FORCE, FOLL_LONGTERM, FOLL_WRITE } from '../gup_ref.ts';
import {
  VM_GROWSDOWN,
  VM_IO,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_PFNMAP,
  VM_READ,
  VM_WRITE,
} from '../mm.ts';
import type { device_pin_ops } from '../ops.ts';
import { folio_get, is_zero_pfn } from '../page_alloc.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import { lookupPte, pte_pfn, pte_present, pte_write, ptep_get } from '../pgtable.ts';
import { folio_put } from '../swap.ts';
import { FAULT_FLAG_WRITE, VM_FAULT_ERROR, VM_FAULT_OOM } from '../vm_fault.ts';
import { find_vma } from '../vma_tree.ts';
import { handle_mm_fault } from './memory.ts';
import { expand_downwards } from './mmap.ts';

/** mm/memory.c: follow_page() v2.6.34 with FOLL_GET: the page, with a reference; null if a fault is needed. One step: the ptl. */
function follow_page(mm: mm_struct, address: number, write: boolean): page | null {
  const pte = lookupPte(mm, address);
  const entry = pte === 0 ? 0 : ptep_get(pte);
  if (pte === 0 || !pte_present(entry) || (write && !pte_write(entry))) {
    return null;
  }
  const page = mem_map.at(pte_pfn(entry));
  if (!is_zero_pfn(page.pfn)) {
    folio_get(page);
  }
  return page;
}

/** mm/mmap.c: find_extend_vma() v2.6.34. Preconditions: mmap_sem for read. */
function* find_extend_vma(mm: mm_struct, address: number): K<vm_area_struct | null> {
  const vma = find_vma(mm, address);
  if (vma === null || vma.vm_start <= address) {
    return vma;
  }
  const grows = (vma.vm_flags & VM_GROWSDOWN) !== 0;
  return grows && (yield* expand_downwards(vma, address)) === 0 ? vma : null;
}

/** mm/memory.c: __get_user_pages() v2.6.34. 1 or a negative errno. Preconditions: mmap_sem for read. */
function* __get_user_pages(mm: mm_struct, start: number, flags: number, pages: page[]): K<number> {
  const vma = yield* find_extend_vma(mm, start);
  let write = (flags & FOLL_WRITE) !== 0;
  let needed = write ? VM_WRITE : VM_READ;
  if ((flags & FOLL_FORCE) !== 0) {
    needed = write ? VM_MAYWRITE : VM_MAYREAD;
  }
  if (vma === null || (vma.vm_flags & (VM_IO | VM_PFNMAP)) !== 0 || (vma.vm_flags & needed) === 0) {
    return -EFAULT;
  }
  for (;;) {
    const page = follow_page(mm, start, write);
    if (page !== null) {
      pages.push(page);
      return 1;
    }
    const fault = yield* handle_mm_fault(mm, vma, start, write ? FAULT_FLAG_WRITE : 0);
    if ((fault & VM_FAULT_ERROR) !== 0) {
      return (fault & VM_FAULT_OOM) !== 0 ? -ENOMEM : -EFAULT;
    }
    // VM_FAULT_WRITE: the copy was made, but by force an entry stays read-only.
    if (write && (vma.vm_flags & VM_WRITE) === 0) {
      write = false;
    }
  }
}

/** mm/memory.c: get_user_pages() v2.6.34 of one page. 1 or a negative errno. There is no FOLL_LONGTERM. */
function* get_user_pages(mm: mm_struct, start: number, flags: number, pages: page[]): K<number> {
  if ((flags & FOLL_LONGTERM) !== 0) {
    return -EINVAL;
  }
  yield* down_read(mm.mmap_lock);
  const ret = yield* __get_user_pages(mm, start, flags, pages);
  up_read(mm.mmap_lock);
  return ret;
}

/** What a driver does in the end: set_page_dirty_lock() if the device has written, then put_page(). */
function* release(page: page, dirty: boolean): K {
  if (is_zero_pfn(page.pfn)) {
    return;
  }
  if (dirty) {
    yield* folio_lock(page);
    folio_mark_dirty(page);
    folio_unlock(page);
  }
  folio_put(page);
}

export const classic_device_pins: device_pin_ops = {
  pin: get_user_pages,
  unpin: release,
  references: 1,
};
