/**
 * mm/memory.c v2.4.0: page faults.
 *
 * Lock tree: mmap_sem -> page_table_lock. The fault holds mmap_sem alone; page_table_lock only while an entry is present,
 * because swap_out() takes entries away and never adds one. A private page is reused in place when its
 * reference count says that nobody else has it.
 * Fidelity: dup; custom: file pages come from the page cache of v6.18 (mm/filemap.ts, mm/shmem.ts).
 */
import type { K } from '../../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import { BUG_ON } from '../../lib/bug.ts';
import type { mm_struct, page, vm_area_struct } from '../../mm_types.ts';
import {
  trace_fault_anon,
  trace_fault_cow,
  trace_fault_file,
  trace_fault_spurious,
  trace_fault_swap,
} from '../events.ts';
import { folio_lock, folio_trylock, folio_unlock } from '../folio_lock.ts';
import {
  linear_page_index,
  PAGE_ALIGN_DOWN,
  PAGE_SIZE,
  VM_SHARED,
  VM_WRITE,
  vma_is_anonymous,
} from '../mm.ts';
import { ZERO_PAGE, ZERO_PFN } from '../page_alloc.ts';
import { folio_test_swapcache } from '../page-flags.ts';
import {
  mk_pte,
  pfn_pte,
  pte_mkdirty,
  pte_mkspecial,
  pte_mkwrite,
  pte_mkyoung,
  pte_none,
  pte_offset,
  pte_page,
  pte_present,
  type pte_ptr,
  pte_same,
  type pte_t,
  pte_to_swp_entry,
  pte_write,
  pte_wrprotect,
  ptep_get,
  set_pte_at,
} from '../pgtable.ts';
import { anon_cow, anon_page_add, anon_page_kill, area_of } from '../rmap/anon_area.ts';
import { folio_put } from '../swap.ts';
import { swap_free } from '../swapfile.ts';
import { VM_FAULT_ERROR, VM_FAULT_LOCKED, VM_FAULT_OOM, type vm_fault } from '../vm_fault.ts';
import { vm_ops_fault } from '../vm_ops.ts';
import { allocPrivatePage, PageReserved, rssDec, rssInc, swapEntryDec } from './mapped.ts';
import {
  delete_from_swap_cache_nolock,
  is_page_shared,
  lookup_swap_cache,
  read_swap_cache_async,
} from './swap_state.ts';
import { find_vma } from './vma_list.ts';
import { allocTables } from './zap.ts';

/** What handle_mm_fault() returns. */
export const FAULT_OOM = -1;
export const FAULT_SIGBUS = 0;
export const FAULT_MINOR = 1;
export const FAULT_MAJOR = 2;

/** page_count(): a reserved page has none. An anon area's reference is not counted. */
function page_count(page: page): number {
  if (PageReserved(page)) {
    return 0;
  }
  return page._refcount - (has('anon_layer') && area_of(page) !== null ? 1 : 0);
}

/** The zero page's content is what a new page has. */
function copy_cow_page(from: page, to: page): void {
  to.content = from.content;
}

/** Puts the entry of a new private page in the place of the old page's, and moves mm->rss. Atomic. */
function switchPage(
  mm: mm_struct,
  vma: vm_area_struct,
  address: number,
  ptep: pte_ptr,
  old_page: page,
  new_page: page,
): void {
  const entry = pte_mkyoung(pte_mkwrite(pte_mkdirty(mk_pte(new_page, vma.vm_page_prot))));
  if (!PageReserved(old_page)) {
    rssDec(mm, old_page);
  }
  set_pte_at(mm, address, ptep, entry);
  rssInc(mm, new_page);
}

/**
 * The test of do_wp_page() v2.4.0: nobody else has the page. Its only other user may be the swap cache, if that is the
 * page's only user in turn; the page lock, tried, keeps lookups away meanwhile.
 */
function* canReuse(page: page): K<boolean> {
  const count = page_count(page);
  if (count === 1) {
    return true;
  }
  if (count !== 2 || !folio_test_swapcache(page) || !folio_trylock(page)) {
    return false;
  }
  const shared = is_page_shared(page, page_count(page));
  if (!shared && has('reuse_leaves_swap_cache')) {
    yield* delete_from_swap_cache_nolock(page);
  }
  folio_unlock(page);
  return !shared;
}

/** The copy of a private page: alloc_page() and later copy_cow_page(), or all of it at once with anon_layer. */
function* copyForWrite(vma: vm_area_struct, address: number, orig: page): K<page | null> {
  if (has('anon_layer')) {
    return yield* anon_cow(vma, address, orig);
  }
  const page = yield* allocPrivatePage(false);
  if (page !== null) {
    copy_cow_page(orig, page);
  }
  return page;
}

/** mm/memory.c: do_wp_page() v2.4.0. Preconditions: page_table_lock; it is dropped. */
function* do_wp_page(
  mm: mm_struct,
  vma: vm_area_struct,
  address: number,
  ptep: pte_ptr,
  pte: pte_t,
): K<number> {
  const old_page = pte_page(pte);
  if (yield* canReuse(old_page)) {
    set_pte_at(mm, address, ptep, pte_mkyoung(pte_mkdirty(pte_mkwrite(pte))));
    trace_fault_cow({ vma, address, old: old_page, page: old_page, reused: 1 });
    spin_unlock(mm.page_table_lock);
    return FAULT_MINOR;
  }
  // No reference is taken: the entry keeps the page, and swap_out() may take both away from here on.
  spin_unlock(mm.page_table_lock);
  let new_page = yield* copyForWrite(vma, address, old_page);
  if (new_page === null) {
    return FAULT_OOM;
  }
  yield* spin_lock(mm.page_table_lock);
  if (pte_same(ptep_get(ptep), pte)) {
    copy_cow_page(old_page, new_page);
    switchPage(mm, vma, address, ptep, old_page, new_page);
    trace_fault_cow({ vma, address, old: old_page, page: new_page, reused: 0 });
    new_page = old_page;
  } else {
    trace_fault_spurious({ vma, address });
    if (has('anon_layer')) {
      spin_unlock(mm.page_table_lock);
      yield* anon_page_kill(new_page);
      return FAULT_MINOR;
    }
  }
  spin_unlock(mm.page_table_lock);
  if (!PageReserved(new_page)) {
    folio_put(new_page);
  }
  return FAULT_MINOR;
}

/** An entry that was a swap entry maps the page. Atomic. */
function mapSwapped(mm: mm_struct, address: number, ptep: pte_ptr, pte: pte_t, page: page): void {
  set_pte_at(mm, address, ptep, pte);
  swapEntryDec(mm);
  rssInc(mm, page);
}

/** mm/memory.c: do_swap_page() v2.4.0. Preconditions: mmap_sem, which alone keeps the entry as it is. */
function* do_swap_page(
  mm: mm_struct,
  vma: vm_area_struct,
  address: number,
  ptep: pte_ptr,
  orig_pte: pte_t,
  write_access: boolean,
): K<number> {
  const entry = pte_to_swp_entry(orig_pte);
  let page = yield* lookup_swap_cache(entry);
  if (page === null) {
    page = yield* read_swap_cache_async(entry);
    if (page === null) {
      return FAULT_OOM;
    }
  }
  if (has('anon_layer') && (yield* anon_page_add(vma, address, page)) !== 0) {
    folio_put(page);
    return FAULT_OOM;
  }
  let pte = pte_mkyoung(mk_pte(page, vma.vm_page_prot));
  // Freezes page count and slot count, between which the user moves.
  yield* folio_lock(page);
  swap_free(entry);
  if (write_access && !is_page_shared(page, page._refcount)) {
    if (has('reuse_leaves_swap_cache')) {
      yield* delete_from_swap_cache_nolock(page);
    }
    pte = pte_mkwrite(pte_mkdirty(pte));
  }
  folio_unlock(page);
  mapSwapped(mm, address, ptep, pte, page);
  trace_fault_swap({ vma, address, entry, page });
  return FAULT_MINOR;
}

/** mm/memory.c: do_anonymous_page() v2.4.0. Preconditions: mmap_sem. */
function* do_anonymous_page(
  mm: mm_struct,
  vma: vm_area_struct,
  ptep: pte_ptr,
  write_access: boolean,
  address: number,
): K<number> {
  if (!write_access) {
    const zero = pte_mkyoung(pte_wrprotect(pfn_pte(ZERO_PFN, vma.vm_page_prot)));
    set_pte_at(mm, address, ptep, pte_mkspecial(zero));
    trace_fault_anon({ vma, address, page: ZERO_PAGE() });
    return FAULT_MINOR;
  }
  const page = yield* copyForWrite(vma, address, ZERO_PAGE());
  if (page === null) {
    return FAULT_OOM;
  }
  const entry = pte_mkyoung(pte_mkwrite(pte_mkdirty(mk_pte(page, vma.vm_page_prot))));
  mapPage(mm, address, ptep, entry, page);
  trace_fault_anon({ vma, address, page });
  return FAULT_MINOR;
}

/** mm->rss++ and set_pte(). Atomic. */
function mapPage(mm: mm_struct, address: number, ptep: pte_ptr, pte: pte_t, page: page): void {
  set_pte_at(mm, address, ptep, pte);
  rssInc(mm, page);
}

/**
 * vma->vm_ops->nopage(): a page of the file with a reference; with `no_share` a private copy of it. Null and a return value
 * of do_no_page() otherwise.
 */
function* nopage(
  vma: vm_area_struct,
  address: number,
  no_share: boolean,
): K<{ readonly page: page | null; readonly error: number }> {
  const vmf: vm_fault = {
    vma,
    address,
    pgoff: linear_page_index(vma, address),
    flags: 0,
    pmd: 0,
    pte: 0,
    orig_pte: 0,
    cow_page: null,
    page: null,
  };
  const ret = yield* vm_ops_fault(vmf);
  if ((ret & VM_FAULT_ERROR) !== 0 || vmf.page === null) {
    return { page: null, error: (ret & VM_FAULT_OOM) !== 0 ? FAULT_OOM : FAULT_SIGBUS };
  }
  const old_page = vmf.page;
  if ((ret & VM_FAULT_LOCKED) !== 0) {
    folio_unlock(old_page);
  }
  if (!no_share) {
    return { page: old_page, error: 0 };
  }
  const new_page = yield* copyForWrite(vma, address, old_page);
  if (new_page !== null) {
    trace_fault_cow({ vma, address, old: old_page, page: new_page, reused: 0 });
  }
  folio_put(old_page);
  return { page: new_page, error: FAULT_OOM };
}

/** mm/memory.c: do_no_page() v2.4.0. Preconditions: mmap_sem. */
function* do_no_page(
  mm: mm_struct,
  vma: vm_area_struct,
  address: number,
  write_access: boolean,
  ptep: pte_ptr,
): K<number> {
  if (vma_is_anonymous(vma)) {
    return yield* do_anonymous_page(mm, vma, ptep, write_access, address);
  }
  const shared = (vma.vm_flags & VM_SHARED) !== 0;
  const { page: new_page, error } = yield* nopage(vma, address, !shared && write_access);
  if (new_page === null) {
    return error;
  }
  let entry = pte_mkyoung(mk_pte(new_page, vma.vm_page_prot));
  if (write_access) {
    entry = pte_mkwrite(pte_mkdirty(entry));
  } else if (page_count(new_page) > 1 && !shared) {
    entry = pte_wrprotect(entry);
  }
  mapPage(mm, address, ptep, entry, new_page);
  trace_fault_file({ vma, address, page: new_page });
  return FAULT_MAJOR;
}

/** mm/memory.c: handle_pte_fault() v2.4.0. Preconditions: mmap_sem. */
function* handle_pte_fault(
  mm: mm_struct,
  vma: vm_area_struct,
  address: number,
  write_access: boolean,
  ptep: pte_ptr,
): K<number> {
  yield* spin_lock(mm.page_table_lock);
  let entry = ptep_get(ptep);
  if (!pte_present(entry)) {
    // Not present: swap_out() leaves it alone, and everybody else waits for mmap_sem.
    spin_unlock(mm.page_table_lock);
    if (pte_none(entry)) {
      return yield* do_no_page(mm, vma, address, write_access, ptep);
    }
    return yield* do_swap_page(mm, vma, address, ptep, entry, write_access);
  }
  if (write_access) {
    if (!pte_write(entry)) {
      return yield* do_wp_page(mm, vma, address, ptep, entry);
    }
    entry = pte_mkdirty(entry);
  }
  entry = pte_mkyoung(entry);
  set_pte_at(mm, address, ptep, entry);
  spin_unlock(mm.page_table_lock);
  return FAULT_MINOR;
}

/** mm/memory.c: handle_mm_fault() v2.4.0: one of FAULT_*. Preconditions: mmap_sem. */
export function* handle_mm_fault(
  mm: mm_struct,
  vma: vm_area_struct,
  addr: number,
  write_access: boolean,
): K<number> {
  const address = PAGE_ALIGN_DOWN(addr);
  const pmd = yield* allocTables(mm, address);
  if (pmd === 0) {
    return FAULT_OOM;
  }
  return yield* handle_pte_fault(mm, vma, address, write_access, pte_offset(pmd, address));
}

/** mm/memory.c: make_pages_present() v2.4.0: of locked memory. 0, or -1 when memory is short. */
export function* make_pages_present(mm: mm_struct, start: number, end: number): K<number> {
  const vma = find_vma(mm, start);
  BUG_ON(start >= end || vma === null, 'addr >= end');
  if (vma === null) {
    return -1;
  }
  const write = (vma.vm_flags & VM_WRITE) !== 0;
  for (let addr = start; addr < end; addr = addr + PAGE_SIZE) {
    if ((yield* handle_mm_fault(mm, vma, addr, write)) < 0) {
      return -1;
    }
  }
  return 0;
}
