/**
 * mm/memory.c v6.18: faults on VMAs with operations: do_fault() and what it calls, and the first write to a
 * shared page. Lock tree: mmap_lock or VMA lock, folio lock, ptl. Fidelity: dup for small folios; page tables
 * are allocated where they are installed, not beforehand.
 */

import type { K } from '../../sim/wait.ts';
import { fput } from '../fs/file_table.ts';
import { BUG_ON, VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import type { folio, mm_struct, page } from '../mm_types.ts';
import { alloc_pages } from './alloc_pages.ts';
import { trace_fault_cow, trace_fault_file } from './events.ts';
import { maybe_unlock_mmap_for_io, vmf_anon_prepare, vmf_can_call_fault } from './fault_lock.ts';
import { folio_lock, folio_unlock } from './folio_lock.ts';
import { GFP_HIGHUSER_MOVABLE } from './gfp.ts';
import { VM_SHARED, vma_pages } from './mm.ts';
import { add_mm_counter, MM_ANONPAGES, mm_counter_file } from './mm_counter.ts';
import { folio_get, page_folio } from './page_alloc.ts';
import { folio_mapping } from './page_cache.ts';
import {
  folio_set,
  folio_test_anon,
  folio_test_locked,
  PageAnonExclusive,
  PG_uptodate,
} from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import {
  PTRS_PER_PTE,
  pte_alloc,
  pte_index,
  pte_mkdirty,
  pte_mkyoung,
  pte_offset_map_lock,
  pte_same,
  pte_unmap_unlock,
  ptep_get,
  ptep_set_access_flags,
} from './pgtable.ts';
import {
  check_stable_address_space,
  maybe_mkwrite,
  set_pte_range,
  vmf_pte_changed,
} from './set_pte_range.ts';
import { folio_put } from './swap.ts';
import {
  FAULT_FLAG_MKWRITE,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_DONE_COW,
  VM_FAULT_ERROR,
  VM_FAULT_LOCKED,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  type vm_fault,
} from './vm_fault.ts';
import {
  has_map_pages,
  has_page_mkwrite,
  vm_ops_fault,
  vm_ops_map_pages,
  vm_ops_page_mkwrite,
} from './vm_ops.ts';

/** fault_around_bytes: 64 KiB. */
const fault_around_pages = 16;

const FAILED = VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY;

/** mm/memory.c: wp_page_reuse() v6.18: makes the entry writable in place and drops the ptl. */
export function wp_page_reuse(vmf: vm_fault, folio: folio | null): void {
  const vma = vmf.vma;
  BUG_ON((vmf.flags & FAULT_FLAG_WRITE) === 0, '!(vmf->flags & FAULT_FLAG_WRITE)');
  if (folio !== null && folio_test_anon(folio) && vmf.page !== null) {
    VM_BUG_ON_FOLIO(!PageAnonExclusive(vmf.page), folio, '!PageAnonExclusive(vmf->page)');
  }
  const entry = maybe_mkwrite(pte_mkdirty(pte_mkyoung(vmf.orig_pte)), vma);
  ptep_set_access_flags(vma, vmf.address, vmf.pte, entry, true);
  pte_unmap_unlock(vmf.pte);
}

/** mm/memory.c: do_page_mkwrite() v6.18: the file system may refuse, or find the folio truncated. */
function* do_page_mkwrite(vmf: vm_fault, folio: folio): K<number> {
  const old_flags = vmf.flags;
  vmf.flags = FAULT_FLAG_WRITE | FAULT_FLAG_MKWRITE;
  const ret = yield* vm_ops_page_mkwrite(vmf);
  vmf.flags = old_flags;
  if ((ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0) {
    return ret;
  }
  if ((ret & VM_FAULT_LOCKED) === 0) {
    yield* folio_lock(folio);
    if (folio.mapping === 0) {
      folio_unlock(folio);
      return 0;
    }
    return ret | VM_FAULT_LOCKED;
  }
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  return ret;
}

/**
 * mm/memory.c: fault_dirty_shared_page() v6.18: marks the page dirty and unlocks it. Writers of many dirty pages are held
 * up here (not simulated), on a first try without the lock that the fault came in under: VM_FAULT_COMPLETED, and the VMA
 * may be gone.
 */
function fault_dirty_shared_page(vmf: vm_fault): number {
  const folio = page_folio(vmf.page as page);
  const page_mkwrite = has_page_mkwrite(vmf.vma);
  const dirtied = folio_mark_dirty(folio);
  VM_BUG_ON_FOLIO(folio_test_anon(folio), folio, 'folio_test_anon(folio)');
  const mapping = folio_mapping(folio);
  folio_unlock(folio);
  if ((dirtied || page_mkwrite) && mapping !== null) {
    const fpin = maybe_unlock_mmap_for_io(vmf, null);
    if (fpin !== null) {
      fput(fpin);
      return VM_FAULT_COMPLETED;
    }
  }
  return 0;
}

/** mm/memory.c: finish_mkwrite_fault() v6.18: the entry is made writable unless it has changed meanwhile. */
function* finish_mkwrite_fault(vmf: vm_fault, folio: folio): K<number> {
  vmf.pte = yield* pte_offset_map_lock(vmf.vma.vm_mm as mm_struct, vmf.pmd, vmf.address);
  if (vmf.pte === 0) {
    return VM_FAULT_NOPAGE;
  }
  if (!pte_same(ptep_get(vmf.pte), vmf.orig_pte)) {
    pte_unmap_unlock(vmf.pte);
    return VM_FAULT_NOPAGE;
  }
  wp_page_reuse(vmf, folio);
  return 0;
}

/**
 * mm/memory.c: wp_page_shared() v6.18: the first write through a shared mapping to a page that is mapped
 * read-only for write notification. Preconditions: ptl held; it is dropped.
 */
export function* wp_page_shared(vmf: vm_fault, folio: folio): K<number> {
  folio_get(folio);
  if (has_page_mkwrite(vmf.vma)) {
    pte_unmap_unlock(vmf.pte);
    const can = vmf_can_call_fault(vmf);
    if (can !== 0) {
      folio_put(folio);
      return can;
    }
    const tmp = yield* do_page_mkwrite(vmf, folio);
    if (tmp === 0 || (tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0) {
      folio_put(folio);
      return tmp;
    }
    const finished = yield* finish_mkwrite_fault(vmf, folio);
    if ((finished & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0) {
      folio_unlock(folio);
      folio_put(folio);
      return finished;
    }
  } else {
    wp_page_reuse(vmf, folio);
    yield* folio_lock(folio);
  }
  const ret = fault_dirty_shared_page(vmf);
  folio_put(folio);
  return ret;
}

/** mm/memory.c: __do_fault() v6.18: asks the operations for the page; it comes back locked in vmf.page. */
function* __do_fault(vmf: vm_fault): K<number> {
  const ret = yield* vm_ops_fault(vmf);
  if ((ret & (FAILED | VM_FAULT_DONE_COW)) !== 0) {
    return ret;
  }
  const folio = page_folio(vmf.page as page);
  if ((ret & VM_FAULT_LOCKED) === 0) {
    yield* folio_lock(folio);
  } else {
    VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!PageLocked(vmf->page)');
  }
  return ret;
}

/** mm/memory.c: finish_fault() v6.18: maps vmf.page, or the private copy of a write to a private mapping. */
export function* finish_fault(vmf: vm_fault): K<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm as mm_struct;
  const is_cow = (vmf.flags & FAULT_FLAG_WRITE) !== 0 && (vma.vm_flags & VM_SHARED) === 0;
  const page = (is_cow ? vmf.cow_page : vmf.page) as page;
  const folio = page_folio(page);
  if ((vma.vm_flags & VM_SHARED) === 0) {
    const unstable = check_stable_address_space(mm);
    if (unstable !== 0) {
      return unstable;
    }
  }
  if (yield* pte_alloc(mm, vmf.pmd)) {
    return VM_FAULT_OOM;
  }
  vmf.pte = yield* pte_offset_map_lock(mm, vmf.pmd, vmf.address);
  if (vmf.pte === 0) {
    return VM_FAULT_NOPAGE;
  }
  if (vmf_pte_changed(vmf)) {
    // Another thread of this mm has handled the same fault.
    pte_unmap_unlock(vmf.pte);
    return VM_FAULT_NOPAGE;
  }
  set_pte_range(vmf, folio, page, vmf.address);
  add_mm_counter(mm, is_cow ? MM_ANONPAGES : mm_counter_file(folio), 1);
  pte_unmap_unlock(vmf.pte);
  return 0;
}

/**
 * mm/memory.c: do_fault_around() v6.18: maps what is ready in a window of 16 pages. The window starts at
 * the aligned page, or at the VMA's start if that comes later, and then slides past the natural boundary.
 */
export function* do_fault_around(vmf: vm_fault): K<number> {
  const nr_pages = fault_around_pages;
  const pte_off = pte_index(vmf.address);
  const vma_off = vmf.pgoff - vmf.vma.vm_pgoff;
  const from_pte = Math.max(pte_off - (pte_off % nr_pages), pte_off - Math.min(pte_off, vma_off));
  const to_pte =
    Math.min(from_pte + nr_pages, PTRS_PER_PTE, pte_off + vma_pages(vmf.vma) - vma_off) - 1;
  return yield* vm_ops_map_pages(vmf, vmf.pgoff + from_pte - pte_off, vmf.pgoff + to_pte - pte_off);
}

/** mm/memory.c: do_read_fault() v6.18. */
function* do_read_fault(vmf: vm_fault): K<number> {
  if (has_map_pages(vmf.vma)) {
    const around = yield* do_fault_around(vmf);
    if (around !== 0) {
      return around;
    }
  }
  const can = vmf_can_call_fault(vmf);
  if (can !== 0) {
    return can;
  }
  let ret = yield* __do_fault(vmf);
  if ((ret & FAILED) !== 0) {
    return ret;
  }
  ret |= yield* finish_fault(vmf);
  const folio = page_folio(vmf.page as page);
  folio_unlock(folio);
  if ((ret & FAILED) !== 0) {
    folio_put(folio);
  } else {
    trace_fault_file({ vma: vmf.vma, address: vmf.address, page: folio });
  }
  return ret;
}

/** mm/memory.c: do_cow_fault() v6.18: a write to a private mapping of an unmapped page: copied at once. */
function* do_cow_fault(vmf: vm_fault): K<number> {
  const vma = vmf.vma;
  let ret = vmf_can_call_fault(vmf);
  if (ret === 0) {
    ret = yield* vmf_anon_prepare(vmf);
  }
  if (ret !== 0) {
    return ret;
  }
  const folio = yield* alloc_pages(GFP_HIGHUSER_MOVABLE, 0);
  if (folio === null) {
    return VM_FAULT_OOM;
  }
  vmf.cow_page = folio;
  ret = yield* __do_fault(vmf);
  if ((ret & FAILED) !== 0) {
    folio_put(folio);
    return ret;
  }
  if ((ret & VM_FAULT_DONE_COW) !== 0) {
    return ret;
  }
  const source = page_folio(vmf.page as page);
  folio.content = source.content;
  folio_set(folio, PG_uptodate);
  ret |= yield* finish_fault(vmf);
  folio_unlock(source);
  folio_put(source);
  if ((ret & FAILED) !== 0) {
    folio_put(folio);
    return ret;
  }
  trace_fault_cow({ vma, address: vmf.address, old: source, page: folio, reused: 0 });
  return ret;
}

/** mm/memory.c: do_shared_fault() v6.18: a write to a shared mapping of an unmapped page. */
function* do_shared_fault(vmf: vm_fault): K<number> {
  const can = vmf_can_call_fault(vmf);
  if (can !== 0) {
    return can;
  }
  let ret = yield* __do_fault(vmf);
  if ((ret & FAILED) !== 0) {
    return ret;
  }
  const folio = page_folio(vmf.page as page);
  if (has_page_mkwrite(vmf.vma)) {
    folio_unlock(folio);
    const tmp = yield* do_page_mkwrite(vmf, folio);
    if (tmp === 0 || (tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0) {
      folio_put(folio);
      return tmp;
    }
  }
  ret |= yield* finish_fault(vmf);
  if ((ret & FAILED) !== 0) {
    folio_unlock(folio);
    folio_put(folio);
    return ret;
  }
  trace_fault_file({ vma: vmf.vma, address: vmf.address, page: folio });
  ret |= fault_dirty_shared_page(vmf);
  return ret;
}

/** mm/memory.c: do_fault() v6.18. Preconditions: mmap_lock or the VMA lock held for read; no ptl. */
export function* do_fault(vmf: vm_fault): K<number> {
  if ((vmf.flags & FAULT_FLAG_WRITE) === 0) {
    return yield* do_read_fault(vmf);
  }
  if ((vmf.vma.vm_flags & VM_SHARED) === 0) {
    return yield* do_cow_fault(vmf);
  }
  return yield* do_shared_fault(vmf);
}
