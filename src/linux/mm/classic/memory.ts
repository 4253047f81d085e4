/**
 * mm/memory.c v2.6.34: page faults.
 *
 * Lock tree: mmap_sem (read) -> page lock -> anon_vma lock, ptl. A private page is reused in place when map count and swap count say that nobody else has it.
 * Fidelity: dup; no huge pages, KSM pages, nonlinear files.
 */
import type { K } from '../../../sim/wait.ts';
import { up_read } from '../../kernel/locking/rwsem.ts';
import { spin_lock } from '../../kernel/locking/spinlock.ts';
import { anon_rmap, has } from '../../kernel.ts';
import { VM_BUG_ON_FOLIO } from '../../lib/bug.ts';
import type { mm_struct, page, vm_area_struct } from '../../mm_types.ts';
import { alloc_pages } from '../alloc_pages.ts';
import {
  trace_fault_anon,
  trace_fault_cow,
  trace_fault_file,
  trace_fault_spurious,
  trace_fault_swap,
} from '../events.ts';
import { folio_lock, folio_trylock, folio_unlock, folio_wait_locked } from '../folio_lock.ts';
import { __GFP_ZERO, GFP_HIGHUSER_MOVABLE } from '../gfp.ts';
import { vm_normal_page } from '../memory.ts';
import { do_fault_around } from '../memory_file_fault.ts';
import { migration_entry_wait } from '../migration_wait.ts';
import {
  linear_page_index,
  PAGE_ALIGN_DOWN,
  VM_LOCKED,
  VM_SHARED,
  VM_WRITE,
  vma_is_anonymous,
} from '../mm.ts';
import {
  dec_mm_counter,
  inc_mm_counter,
  MM_ANONPAGES,
  MM_SWAPENTS,
  mm_counter_file,
} from '../mm_counter.ts';
import { folio_get, is_zero_pfn, ZERO_PAGE, ZERO_PFN } from '../page_alloc.ts';
import {
  folio_anon_vma,
  folio_set,
  folio_test_anon,
  folio_test_locked,
  folio_test_mlocked,
  folio_test_swapcache,
  folio_test_uptodate,
  folio_test_writeback,
  PG_dirty,
  PG_locked,
  PG_swapbacked,
  PG_uptodate,
} from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  is_migration_entry,
  mk_pte,
  pfn_pte,
  pgd_offset,
  pmd_alloc,
  pte_alloc,
  pte_is_swap_entry,
  pte_mkdirty,
  pte_mkspecial,
  pte_mkwrite,
  pte_mkyoung,
  pte_none,
  pte_offset_map,
  pte_offset_map_lock,
  pte_pfn,
  pte_present,
  type pte_ptr,
  pte_same,
  type pte_t,
  pte_to_swp_entry,
  pte_unmap_unlock,
  pte_write,
  ptep_clear_flush,
  ptep_get,
  ptep_set_access_flags,
  ptlock_ptr,
  pud_alloc,
  set_pte_at,
} from '../pgtable.ts';
import { maybe_mkwrite } from '../set_pte_range.ts';
import { folio_add_lru, folio_add_lru_vma, folio_put } from '../swap.ts';
import { swap_cache_get_folio, swapinPage } from '../swap_state.ts';
import {
  folio_free_swap,
  swap_cache_del_folio,
  swap_count,
  swap_free,
  vm_swap_full,
} from '../swapfile.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_MKWRITE,
  FAULT_FLAG_WRITE,
  VM_FAULT_ERROR,
  VM_FAULT_LOCKED,
  VM_FAULT_MAJOR,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type vm_fault,
} from '../vm_fault.ts';
import { has_map_pages, has_page_mkwrite, vm_ops_fault, vm_ops_page_mkwrite } from '../vm_ops.ts';
import { clear_page_mlock } from './mlock_page.ts';
import { munlock_vma_page } from './munlock_page.ts';
import {
  page_add_anon_rmap,
  page_add_file_rmap,
  page_add_new_anon_rmap,
  page_mapcount,
  page_move_anon_rmap,
  page_remove_rmap,
} from './rmap.ts';

// ---------------------------------------------------------------- faults

/** One fault: the parameters that the functions of v2.6.34 hand down. */
interface fault {
  readonly mm: mm_struct;
  readonly vma: vm_area_struct;
  readonly address: number;
  readonly pmd: pte_ptr;
  flags: number;
}

/** mm/swapfile.c: reuse_swap_page() v2.6.34: nobody else has the page; its slot is given up. Preconditions: page lock. */
export function reuse_swap_page(page: page): boolean {
  VM_BUG_ON_FOLIO(!folio_test_locked(page), page, '!PageLocked(page)');
  let count = page_mapcount(page);
  if (count <= 1 && folio_test_swapcache(page)) {
    count += swap_count(page.private);
    if (count === 1 && !folio_test_writeback(page)) {
      swap_cache_del_folio(page);
      folio_set(page, PG_dirty);
    }
  }
  return count <= 1;
}

/** The end of do_wp_page() that changes the entry in place. Preconditions: ptl held; it is dropped. */
function reusePage(at: fault, pte: pte_ptr, orig_pte: pte_t): void {
  const entry = maybe_mkwrite(pte_mkdirty(pte_mkyoung(orig_pte)), at.vma);
  ptep_set_access_flags(at.vma, at.address, pte, entry, true);
  pte_unmap_unlock(pte);
}

/** The middle of do_wp_page(): a first write through a shared mapping. Preconditions: ptl held; it is dropped. */
function* wpShared(at: fault, pte: pte_ptr, orig_pte: pte_t, old_page: page): K<number> {
  const { vma, mm } = at;
  folio_get(old_page);
  if (!has_page_mkwrite(vma)) {
    reusePage(at, pte, orig_pte);
    yield* folio_wait_locked(old_page);
    folio_mark_dirty(old_page);
    folio_put(old_page);
    return 0;
  }
  pte_unmap_unlock(pte);
  const vmf = faultOf(at, FAULT_FLAG_WRITE | FAULT_FLAG_MKWRITE);
  vmf.page = old_page;
  const tmp = yield* vm_ops_page_mkwrite(vmf);
  if ((tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0) {
    folio_put(old_page);
    return tmp;
  }
  if ((tmp & VM_FAULT_LOCKED) === 0) {
    yield* folio_lock(old_page);
    if (old_page.mapping === 0) {
      folio_unlock(old_page);
      folio_put(old_page);
      return 0;
    }
  }
  const again = yield* pte_offset_map_lock(mm, at.pmd, at.address);
  if (!pte_same(ptep_get(again), orig_pte)) {
    pte_unmap_unlock(again);
    folio_unlock(old_page);
    folio_put(old_page);
    return 0;
  }
  reusePage(at, again, orig_pte);
  folio_mark_dirty(old_page);
  folio_unlock(old_page);
  folio_put(old_page);
  return 0;
}

/** The end of do_wp_page() that copies (its label gotten). Preconditions: no ptl; a reference to the old page. */
function* wpCopy(at: fault, orig_pte: pte_t, old_page: page | null): K<number> {
  const { mm, vma, address } = at;
  let new_page: page | null = null;
  if ((yield* anon_rmap().anon_vma_prepare(vma)) === 0) {
    const zero = is_zero_pfn(pte_pfn(orig_pte)) ? __GFP_ZERO : 0;
    new_page = yield* alloc_pages(GFP_HIGHUSER_MOVABLE | zero, 0);
  }
  if (new_page === null) {
    if (old_page !== null) {
      folio_put(old_page);
    }
    return VM_FAULT_OOM;
  }
  if (old_page !== null) {
    new_page.content = old_page.content;
  }
  folio_set(new_page, PG_uptodate);
  const locked = old_page !== null && (vma.vm_flags & VM_LOCKED) !== 0;
  if (old_page !== null && locked && !has('cow_munlocks_after')) {
    yield* clear_page_mlock(old_page);
  }
  const pte = yield* pte_offset_map_lock(mm, at.pmd, address);
  let spare: page | null = new_page;
  if (pte_same(ptep_get(pte), orig_pte)) {
    if (old_page === null) {
      inc_mm_counter(mm, MM_ANONPAGES);
    } else if (!folio_test_anon(old_page)) {
      dec_mm_counter(mm, mm_counter_file(old_page));
      inc_mm_counter(mm, MM_ANONPAGES);
    }
    const entry = maybe_mkwrite(pte_mkdirty(pte_mkyoung(mk_pte(new_page, vma.vm_page_prot))), vma);
    ptep_clear_flush(vma, address, pte);
    page_add_new_anon_rmap(new_page, vma, address);
    folio_add_lru_vma(new_page, vma);
    set_pte_at(mm, address, pte, entry);
    if (old_page !== null) {
      // Only now: a sharer that saw the count drop before could write to the page under our readers.
      yield* page_remove_rmap(old_page, vma);
    }
    spare = old_page;
    trace_fault_cow({ vma, address, old: old_page ?? ZERO_PAGE(), page: new_page, reused: 0 });
  } else {
    trace_fault_spurious({ vma, address });
  }
  if (spare !== null) {
    folio_put(spare);
  }
  if (old_page !== null && !has('cow_munlocks_after')) {
    folio_put(old_page);
  }
  pte_unmap_unlock(pte);
  if (old_page !== null && has('cow_munlocks_after')) {
    if (locked && spare === old_page) {
      yield* folio_lock(old_page);
      yield* munlock_vma_page(old_page);
      folio_unlock(old_page);
    }
    folio_put(old_page);
  }
  return 0;
}

/** mm/memory.c: do_wp_page() v2.6.34. Preconditions: ptl held; it is dropped. */
function* do_wp_page(at: fault, table: pte_ptr, orig_pte: pte_t): K<number> {
  const { mm, vma, address } = at;
  let pte = table;
  const old_page = vm_normal_page(vma, address, orig_pte);
  const shared = (vma.vm_flags & (VM_WRITE | VM_SHARED)) === (VM_WRITE | VM_SHARED);
  if (old_page === null) {
    if (shared) {
      reusePage(at, pte, orig_pte);
      return 0;
    }
    pte_unmap_unlock(pte);
    return yield* wpCopy(at, orig_pte, null);
  }
  if (folio_test_anon(old_page)) {
    if (!folio_trylock(old_page)) {
      folio_get(old_page);
      pte_unmap_unlock(pte);
      yield* folio_lock(old_page);
      pte = yield* pte_offset_map_lock(mm, at.pmd, address);
      if (!pte_same(ptep_get(pte), orig_pte)) {
        folio_unlock(old_page);
        folio_put(old_page);
        pte_unmap_unlock(pte);
        trace_fault_spurious({ vma, address });
        return 0;
      }
      folio_put(old_page);
    }
    const reuse = reuse_swap_page(old_page);
    if (reuse) {
      page_move_anon_rmap(old_page, vma, address);
    }
    folio_unlock(old_page);
    if (reuse) {
      reusePage(at, pte, orig_pte);
      trace_fault_cow({ vma, address, old: old_page, page: old_page, reused: 1 });
      return 0;
    }
  } else if (shared) {
    return yield* wpShared(at, pte, orig_pte, old_page);
  }
  folio_get(old_page);
  pte_unmap_unlock(pte);
  return yield* wpCopy(at, orig_pte, old_page);
}

/** mm/memory.c: do_anonymous_page() v2.6.34: the zero page for a read, a new page for a write. */
function* do_anonymous_page(at: fault): K<number> {
  const { mm, vma, address } = at;
  if ((at.flags & FAULT_FLAG_WRITE) === 0) {
    const pte = yield* pte_offset_map_lock(mm, at.pmd, address);
    if (pte_none(ptep_get(pte))) {
      set_pte_at(mm, address, pte, pte_mkspecial(pfn_pte(ZERO_PFN, vma.vm_page_prot)));
      trace_fault_anon({ vma, address, page: ZERO_PAGE() });
    }
    pte_unmap_unlock(pte);
    return 0;
  }
  if ((yield* anon_rmap().anon_vma_prepare(vma)) !== 0) {
    return VM_FAULT_OOM;
  }
  const page = yield* alloc_pages(GFP_HIGHUSER_MOVABLE | __GFP_ZERO, 0);
  if (page === null) {
    return VM_FAULT_OOM;
  }
  folio_set(page, PG_uptodate);
  let entry = pte_mkyoung(mk_pte(page, vma.vm_page_prot));
  if ((vma.vm_flags & VM_WRITE) !== 0) {
    entry = pte_mkwrite(pte_mkdirty(entry));
  }
  const pte = yield* pte_offset_map_lock(mm, at.pmd, address);
  if (!pte_none(ptep_get(pte))) {
    folio_put(page);
    pte_unmap_unlock(pte);
    trace_fault_spurious({ vma, address });
    return 0;
  }
  inc_mm_counter(mm, MM_ANONPAGES);
  page_add_new_anon_rmap(page, vma, address);
  folio_add_lru_vma(page, vma);
  set_pte_at(mm, address, pte, entry);
  trace_fault_anon({ vma, address, page });
  pte_unmap_unlock(pte);
  return 0;
}

/**
 * include/linux/ksm.h: ksm_might_need_to_copy() v2.6.34. These kernels are built without CONFIG_KSM: the page as it is.
 * Feature ksm_copies gives what a build with KSM does to every page, merged or not: one that is under another anon_vma than
 * this VMA's own is copied, a page inherited over fork included (from 2.6.36 the family decides), so that it never
 * comes to the question whose anon_vma a shared page belongs under. The page or its copy, locked; null when memory is short.
 * Preconditions: page lock, a reference: both pass to the result.
 */
function* ksm_might_need_to_copy(page: page, vma: vm_area_struct, address: number): K<page | null> {
  const anon_vma = folio_anon_vma(page);
  if (anon_vma === null || !has('ksm_copies')) {
    return page;
  }
  const mine = has('root_lock') ? anon_vma.root === vma.anon_vma?.root : anon_vma === vma.anon_vma;
  if (mine && page.index === linear_page_index(vma, address)) {
    return page;
  }
  // ksm_does_need_to_copy(). Whoever is quicker with the page copies it on write, and changes nothing here.
  folio_unlock(page);
  const new_page = yield* alloc_pages(GFP_HIGHUSER_MOVABLE, 0);
  if (new_page !== null) {
    new_page.content = page.content;
    folio_set(new_page, PG_dirty | PG_uptodate | PG_swapbacked | PG_locked);
    folio_add_lru(new_page);
  }
  folio_put(page);
  return new_page;
}

/**
 * include/linux/pagemap.h: lock_page_or_retry() v2.6.37. False: the page was waited for without mmap_sem, which has
 * been dropped, and the fault must begin again. Before, and in the second try, the lock is waited for with mmap_sem held.
 */
function* lock_page_or_retry(page: page, at: fault): K<boolean> {
  if (folio_trylock(page)) {
    return true;
  }
  if ((at.flags & FAULT_FLAG_ALLOW_RETRY) === 0) {
    yield* folio_lock(page);
    return true;
  }
  up_read(at.mm.mmap_lock);
  yield* folio_wait_locked(page);
  return false;
}

/** mm/memory.c: do_swap_page() v2.6.34: the entry is a swap slot or a migration entry. */
function* do_swap_page(at: fault, orig_pte: pte_t): K<number> {
  const { mm, vma, address } = at;
  let ret = 0;
  if (!pte_is_swap_entry(orig_pte)) {
    if (is_migration_entry(orig_pte)) {
      yield* migration_entry_wait(mm, at.pmd, address);
      return 0;
    }
    return VM_FAULT_SIGBUS;
  }
  // A VMA that swaps in has an anon_vma: fork copied it, or the page was born here.
  const entry = pte_to_swp_entry(orig_pte);
  let page = swap_cache_get_folio(entry);
  if (page === null) {
    page = yield* swapinPage(entry);
    if (page === null) {
      const pte = yield* pte_offset_map_lock(mm, at.pmd, address);
      if (pte_same(ptep_get(pte), orig_pte)) {
        ret = VM_FAULT_OOM;
      }
      pte_unmap_unlock(pte);
      return ret;
    }
    ret = VM_FAULT_MAJOR;
  }
  if (!(yield* lock_page_or_retry(page, at))) {
    folio_put(page);
    return ret | VM_FAULT_RETRY;
  }
  page = yield* ksm_might_need_to_copy(page, vma, address);
  if (page === null) {
    return VM_FAULT_OOM;
  }
  const table = yield* pte_offset_map_lock(mm, at.pmd, address);
  if (!pte_same(ptep_get(table), orig_pte) || !folio_test_uptodate(page)) {
    pte_unmap_unlock(table);
    folio_unlock(page);
    folio_put(page);
    trace_fault_spurious({ vma, address });
    return ret;
  }
  inc_mm_counter(mm, MM_ANONPAGES);
  dec_mm_counter(mm, MM_SWAPENTS);
  let pte = pte_mkyoung(mk_pte(page, vma.vm_page_prot));
  let exclusive = false;
  if ((at.flags & FAULT_FLAG_WRITE) !== 0 && reuse_swap_page(page)) {
    pte = maybe_mkwrite(pte_mkdirty(pte), vma);
    at.flags = at.flags & ~FAULT_FLAG_WRITE;
    exclusive = has('keep_anchor');
  }
  set_pte_at(mm, address, table, pte);
  yield* page_add_anon_rmap(page, vma, address, exclusive);
  swap_free(entry);
  if (vm_swap_full() || (vma.vm_flags & VM_LOCKED) !== 0 || folio_test_mlocked(page)) {
    folio_free_swap(page);
  }
  folio_unlock(page);
  trace_fault_swap({ vma, address, entry, page });
  if ((at.flags & FAULT_FLAG_WRITE) !== 0) {
    ret |= yield* do_wp_page(at, table, pte);
    return (ret & VM_FAULT_ERROR) === 0 ? ret : ret & VM_FAULT_ERROR;
  }
  pte_unmap_unlock(table);
  return ret;
}

/** What vma->vm_ops->fault() is handed: without leave to drop mmap_sem and try again. */
function faultOf(at: fault, flags: number): vm_fault {
  return {
    vma: at.vma,
    address: at.address,
    pgoff: linear_page_index(at.vma, at.address),
    flags: flags & ~FAULT_FLAG_ALLOW_RETRY,
    pmd: at.pmd,
    pte: 0,
    orig_pte: 0,
    cow_page: null,
    page: null,
  };
}

/** The first half of __do_fault(): the copy of a private page, or leave to write to a shared one. */
interface prepared {
  /** What is to be mapped. */
  page: page;
  anon: boolean;
  /** A failure to return, with everything released; 0 to go on. */
  ret: number;
  readonly stop: boolean;
}

function* preparePage(at: fault, vmf: vm_fault): K<prepared> {
  const source = vmf.page as page;
  const { vma } = at;
  if ((at.flags & FAULT_FLAG_WRITE) === 0) {
    return { page: source, anon: false, ret: 0, stop: false };
  }
  if ((vma.vm_flags & VM_SHARED) === 0) {
    let copy: page | null = null;
    if ((yield* anon_rmap().anon_vma_prepare(vma)) === 0) {
      copy = yield* alloc_pages(GFP_HIGHUSER_MOVABLE, 0);
    }
    if (copy === null) {
      folio_unlock(source);
      folio_put(source);
      return { page: source, anon: false, ret: VM_FAULT_OOM, stop: true };
    }
    copy.content = source.content;
    folio_set(copy, PG_uptodate);
    return { page: copy, anon: true, ret: 0, stop: false };
  }
  if (has_page_mkwrite(vma)) {
    folio_unlock(source);
    vmf.flags = FAULT_FLAG_WRITE | FAULT_FLAG_MKWRITE;
    const tmp = yield* vm_ops_page_mkwrite(vmf);
    if ((tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0) {
      folio_put(source);
      return { page: source, anon: false, ret: tmp, stop: true };
    }
    if ((tmp & VM_FAULT_LOCKED) === 0) {
      yield* folio_lock(source);
      if (source.mapping === 0) {
        folio_unlock(source);
        folio_put(source);
        return { page: source, anon: false, ret: 0, stop: true };
      }
    }
  }
  return { page: source, anon: false, ret: 0, stop: false };
}

/** mm/memory.c: __do_fault() v2.6.34: a page of a file, or a private copy of it. */
function* __do_fault(at: fault, orig_pte: pte_t): K<number> {
  const { mm, vma, address } = at;
  const vmf = faultOf(at, at.flags);
  const ret = yield* vm_ops_fault(vmf);
  if ((ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0) {
    return ret;
  }
  const source = vmf.page as page;
  if ((ret & VM_FAULT_LOCKED) === 0) {
    yield* folio_lock(source);
  }
  const { page, anon, ret: failed, stop } = yield* preparePage(at, vmf);
  if (stop) {
    return failed;
  }
  const write = (at.flags & FAULT_FLAG_WRITE) !== 0;
  let release = anon;
  let dirty = false;
  const table = yield* pte_offset_map_lock(mm, at.pmd, address);
  if (pte_same(ptep_get(table), orig_pte)) {
    let entry = pte_mkyoung(mk_pte(page, vma.vm_page_prot));
    if (write) {
      entry = maybe_mkwrite(pte_mkdirty(entry), vma);
    }
    if (anon) {
      inc_mm_counter(mm, MM_ANONPAGES);
      page_add_new_anon_rmap(page, vma, address);
      folio_add_lru_vma(page, vma);
      trace_fault_cow({ vma, address, old: source, page, reused: 0 });
    } else {
      inc_mm_counter(mm, mm_counter_file(page));
      page_add_file_rmap(page, vma, address);
      dirty = write;
      trace_fault_file({ vma, address, page });
    }
    set_pte_at(mm, address, table, entry);
  } else {
    if (anon) {
      folio_put(page);
    }
    release = true;
    trace_fault_spurious({ vma, address });
  }
  pte_unmap_unlock(table);
  if (dirty) {
    folio_mark_dirty(page);
  }
  folio_unlock(source);
  if (release) {
    folio_put(source);
  }
  return ret & VM_FAULT_MAJOR;
}

/** mm/memory.c: handle_pte_fault() v2.6.34. */
function* handle_pte_fault(at: fault, pte: pte_ptr): K<number> {
  const entry = ptep_get(pte);
  if (!pte_present(entry)) {
    if (!pte_none(entry)) {
      return yield* do_swap_page(at, entry);
    }
    if (vma_is_anonymous(at.vma)) {
      return yield* do_anonymous_page(at);
    }
    const read = (at.flags & FAULT_FLAG_WRITE) === 0;
    if (read && has('fault_around') && has_map_pages(at.vma)) {
      // Pages of the file that need no reading are mapped in passing, perhaps this one among them (3.15).
      if ((yield* do_fault_around(faultOf(at, at.flags))) !== 0) {
        return 0;
      }
    }
    return yield* __do_fault(at, entry);
  }
  yield* spin_lock(ptlock_ptr(pte));
  if (!pte_same(ptep_get(pte), entry)) {
    pte_unmap_unlock(pte);
    trace_fault_spurious({ vma: at.vma, address: at.address });
    return 0;
  }
  const write = (at.flags & FAULT_FLAG_WRITE) !== 0;
  if (write && !pte_write(entry)) {
    return yield* do_wp_page(at, pte, entry);
  }
  const marked = pte_mkyoung(write ? pte_mkdirty(entry) : entry);
  ptep_set_access_flags(at.vma, at.address, pte, marked, write);
  pte_unmap_unlock(pte);
  return 0;
}

/** mm/memory.c: handle_mm_fault() v2.6.34. VM_FAULT_* bits. Preconditions: mmap_sem held for read. */
export function* handle_mm_fault(
  mm: mm_struct,
  vma: vm_area_struct,
  addr: number,
  flags: number,
): K<number> {
  const address = PAGE_ALIGN_DOWN(addr);
  const pud = yield* pud_alloc(mm, pgd_offset(mm, address), address);
  if (pud === 0) {
    return VM_FAULT_OOM;
  }
  const pmd = yield* pmd_alloc(mm, pud, address);
  if (pmd === 0) {
    return VM_FAULT_OOM;
  }
  if (yield* pte_alloc(mm, pmd)) {
    return VM_FAULT_OOM;
  }
  const at: fault = { mm, vma, address, pmd, flags };
  return yield* handle_pte_fault(at, pte_offset_map(pmd, address));
}
