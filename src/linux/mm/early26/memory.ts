/**
 * mm/memory.c v2.6.0 to v2.6.7: page faults. page_table_lock of the mm is held from the lookup of the entry on and
 * dropped to allocate; then the entry is compared with what it was.
 *
 * Lock tree: mmap_sem (read) -> page lock -> page_table_lock -> bit lock of a page. A private page is reused in place when
 * its reference count says that nobody else has it. Fidelity: dup; no huge pages, no nonlinear mappings; what
 * v2.6.0 does otherwise is asked for by feature. Where v2.6.0 gets no pte_chain for a page it forgets its reference (in
 * do_swap_page() and do_no_page()); here it is given back.
 */
import type { K } from '../../../sim/wait.ts';
import { EFAULT, ENOMEM } from '../../errno.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import { BUG_ON } from '../../lib/bug.ts';
import type { address_space, mm_struct, page, vm_area_struct } from '../../mm_types.ts';
import {
  trace_fault_anon,
  trace_fault_cow,
  trace_fault_file,
  trace_fault_spurious,
  trace_fault_swap,
} from '../events.ts';
import { folio_lock, folio_trylock, folio_unlock } from '../folio_lock.ts';
import { vm_normal_page } from '../memory.ts';
import { linear_page_index, PAGE_ALIGN_DOWN, VM_SHARED, vma_is_anonymous } from '../mm.ts';
import {
  dec_mm_counter,
  inc_mm_counter,
  MM_ANONPAGES,
  MM_SWAPENTS,
  mm_counter,
} from '../mm_counter.ts';
import {
  folio_alloc,
  folio_get,
  folio_ref_count,
  is_zero_pfn,
  ZERO_PAGE,
  ZERO_PFN,
} from '../page_alloc.ts';
import {
  folio_set,
  folio_test_locked,
  folio_test_swapcache,
  folio_test_writeback,
  PG_active,
  PG_dirty,
  PG_referenced,
  PG_swapbacked,
  PG_uptodate,
} from '../page-flags.ts';
import {
  mk_pte,
  pfn_pte,
  pte_is_swap_entry,
  pte_mkdirty,
  pte_mkspecial,
  pte_mkwrite,
  pte_mkyoung,
  pte_none,
  pte_offset,
  pte_pfn,
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
import type { rmap_spare } from '../rmap/early_ops.ts';
import { maybe_mkwrite } from '../set_pte_range.ts';
import { folio_add_lru, folio_mark_accessed, folio_put } from '../swap.ts';
import { swap_cache_get_folio, swapinPage } from '../swap_state.ts';
import { swap_cache_del_folio, swap_count, swap_free, vm_swap_full } from '../swapfile.ts';
import {
  FAULT_FLAG_WRITE,
  VM_FAULT_ERROR,
  VM_FAULT_LOCKED,
  VM_FAULT_MAJOR,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  type vm_fault,
} from '../vm_fault.ts';
import { vm_ops_fault } from '../vm_ops.ts';
import { vma_mapping } from '../vma_link.ts';
import { hooks } from './hooks.ts';
import { allocPmd, pte_alloc_map } from './pgtable.ts';
import { truncate_count } from './truncate_count.ts';

/** One fault: the parameters that the functions of v2.6.0 hand down. */
interface fault {
  readonly mm: mm_struct;
  readonly vma: vm_area_struct;
  readonly address: number;
  readonly pmd: pte_ptr;
  readonly write_access: boolean;
}

/** mm/page_alloc.c, lru_cache_add_active(). */
function lru_cache_add_active(page: page): void {
  folio_set(page, PG_active);
  folio_add_lru(page);
}

/** mm/swapfile.c: exclusive_swap_page() v2.6.0: the entry of the page's slot is in nobody's page table. Atomic. */
function exclusive_swap_page(page: page): boolean {
  return swap_count(page.private) === 0 && folio_ref_count(page) === 2;
}

/**
 * mm/swapfile.c: can_share_swap_page() v2.6.0: nobody else has the page: its only reference is our entry's, or the
 * other one is the swap cache's and nobody's entry names the slot. Preconditions: page lock.
 */
export function can_share_swap_page(page: page): boolean {
  BUG_ON(!folio_test_locked(page), '!PageLocked(page)');
  switch (folio_ref_count(page)) {
    case 2:
      return folio_test_swapcache(page) && exclusive_swap_page(page);
    case 1:
      return true;
    default:
      return false;
  }
}

/**
 * mm/swapfile.c: remove_exclusive_swap_page() v2.6.0: out of the swap cache, if only the cache and the caller have
 * the page. Preconditions: page lock. Atomic: swapper_space.page_lock.
 */
export function remove_exclusive_swap_page(page: page): boolean {
  if (!folio_test_swapcache(page) || folio_test_writeback(page) || folio_ref_count(page) !== 2) {
    return false;
  }
  if (swap_count(page.private) > 0) {
    return false;
  }
  swap_cache_del_folio(page);
  folio_set(page, PG_dirty);
  return true;
}

/** pte_mkwrite() of a write fault: unconditional in v2.6.0, later only if the VMA may be written. */
function writable(entry: pte_t, vma: vm_area_struct): pte_t {
  return has('maybe_mkwrite')
    ? maybe_mkwrite(pte_mkdirty(entry), vma)
    : pte_mkwrite(pte_mkdirty(entry));
}

/** mm/memory.c: do_wp_page() v2.6.0. VM_FAULT_*. Preconditions: ptl; it is dropped. */
function* do_wp_page(at: fault, page_table: pte_ptr, pte: pte_t): K<number> {
  const { mm, vma, address } = at;
  const zero = is_zero_pfn(pte_pfn(pte));
  const old_page = zero ? ZERO_PAGE() : (vm_normal_page(vma, address, pte) as page);
  if (!zero && folio_trylock(old_page)) {
    const reuse = can_share_swap_page(old_page);
    folio_unlock(old_page);
    if (reuse) {
      set_pte_at(mm, address, page_table, pte_mkyoung(writable(pte, vma)));
      spin_unlock(mm.page_table_lock);
      trace_fault_cow({ vma, address, old: old_page, page: old_page, reused: 1 });
      return 0;
    }
  }
  folio_get(old_page);
  spin_unlock(mm.page_table_lock);
  const prepared = yield* hooks().rmap_prepare(vma, false, false);
  if (typeof prepared === 'number') {
    folio_put(old_page);
    return VM_FAULT_OOM;
  }
  const new_page = folio_alloc(0, zero);
  if (new_page === null) {
    hooks().rmap_unprepare(prepared);
    folio_put(old_page);
    return VM_FAULT_OOM;
  }
  // copy_cow_page()
  new_page.content = old_page.content;
  folio_set(new_page, PG_uptodate | PG_swapbacked);
  yield* hooks().rmap_new_page(new_page, vma, address);
  yield* spin_lock(mm.page_table_lock);
  const ptep = pte_offset(at.pmd, address);
  let spare: rmap_spare = prepared;
  let unused: page = new_page;
  if (pte_same(ptep_get(ptep), pte)) {
    if (!zero) {
      dec_mm_counter(mm, mm_counter(old_page));
      yield* hooks().rmap_remove(old_page, vma, address, ptep);
    }
    inc_mm_counter(mm, MM_ANONPAGES);
    // break_cow()
    const entry = writable(pte_mkyoung(mk_pte(new_page, vma.vm_page_prot)), vma);
    set_pte_at(mm, address, ptep, entry);
    if (has('pte_chain_lists')) {
      spare = yield* hooks().rmap_add(new_page, vma, address, ptep, spare);
      lru_cache_add_active(new_page);
    } else {
      lru_cache_add_active(new_page);
      spare = yield* hooks().rmap_add(new_page, vma, address, ptep, spare);
    }
    trace_fault_cow({ vma, address, old: old_page, page: new_page, reused: 0 });
    unused = old_page;
  } else {
    trace_fault_spurious({ vma, address });
  }
  if (unused !== old_page || !zero) {
    folio_put(unused);
  }
  folio_put(old_page);
  spin_unlock(mm.page_table_lock);
  hooks().rmap_unprepare(spare);
  return 0;
}

/** mm/memory.c: do_swap_page() v2.6.0, v2.6.7. VM_FAULT_*. Preconditions: ptl; it is dropped. */
function* do_swap_page(at: fault, orig_pte: pte_t): K<number> {
  const { mm, vma, address } = at;
  const entry = pte_to_swp_entry(orig_pte);
  let ret = 0;
  spin_unlock(mm.page_table_lock);
  let page = swap_cache_get_folio(entry);
  if (page === null) {
    page = yield* swapinPage(entry);
    if (page === null) {
      yield* spin_lock(mm.page_table_lock);
      ret = pte_same(ptep_get(pte_offset(at.pmd, address)), orig_pte) ? VM_FAULT_OOM : 0;
      spin_unlock(mm.page_table_lock);
      return ret;
    }
    ret = VM_FAULT_MAJOR;
  }
  folio_mark_accessed(page);
  const prepared = yield* hooks().rmap_prepare(vma, false, false);
  if (typeof prepared === 'number') {
    folio_put(page);
    return VM_FAULT_OOM;
  }
  yield* folio_lock(page);
  yield* spin_lock(mm.page_table_lock);
  const page_table = pte_offset(at.pmd, address);
  if (!pte_same(ptep_get(page_table), orig_pte)) {
    spin_unlock(mm.page_table_lock);
    folio_unlock(page);
    folio_put(page);
    hooks().rmap_unprepare(prepared);
    trace_fault_spurious({ vma, address });
    return 0;
  }
  swap_free(entry);
  dec_mm_counter(mm, MM_SWAPENTS);
  if (vm_swap_full()) {
    remove_exclusive_swap_page(page);
  }
  inc_mm_counter(mm, MM_ANONPAGES);
  let pte = pte_mkyoung(mk_pte(page, vma.vm_page_prot));
  let write_access = at.write_access;
  if (write_access && can_share_swap_page(page)) {
    pte = writable(pte, vma);
    write_access = false;
  }
  folio_unlock(page);
  set_pte_at(mm, address, page_table, pte);
  const spare = yield* hooks().rmap_add(page, vma, address, page_table, prepared);
  trace_fault_swap({ vma, address, entry, page });
  // From 2.6.7 the copy is made in the same fault; what mremap() moved while it was out must be one (anonmm).
  const copies = write_access && has('swapin_copies');
  if (copies || hooks().rmap_moved(page, address)) {
    const tmp = yield* do_wp_page(at, page_table, pte);
    hooks().rmap_unprepare(spare);
    return (tmp & VM_FAULT_ERROR) !== 0 ? tmp : ret;
  }
  spin_unlock(mm.page_table_lock);
  hooks().rmap_unprepare(spare);
  return ret;
}

/** mm/memory.c: do_anonymous_page() v2.6.0, v2.6.7. VM_FAULT_*. Preconditions: ptl; it is dropped. */
function* do_anonymous_page(at: fault, page_table: pte_ptr): K<number> {
  const { mm, vma, address } = at;
  let spare: rmap_spare = null;
  if (has('pte_chain_lists')) {
    // Even for the zero page, which needs none.
    let chain = yield* hooks().rmap_prepare(vma, false, true);
    if (typeof chain === 'number') {
      spin_unlock(mm.page_table_lock);
      chain = yield* hooks().rmap_prepare(vma, false, false);
      if (typeof chain === 'number') {
        return VM_FAULT_OOM;
      }
      yield* spin_lock(mm.page_table_lock);
    }
    spare = chain;
  }
  if (!at.write_access) {
    const entry = pte_wrprotect(pte_mkspecial(pfn_pte(ZERO_PFN, vma.vm_page_prot)));
    set_pte_at(mm, address, page_table, pte_mkyoung(entry));
    spin_unlock(mm.page_table_lock);
    hooks().rmap_unprepare(spare);
    trace_fault_anon({ vma, address, page: ZERO_PAGE() });
    return 0;
  }
  spin_unlock(mm.page_table_lock);
  if (!has('pte_chain_lists')) {
    const prepared = yield* hooks().rmap_prepare(vma, false, false);
    if (typeof prepared === 'number') {
      return VM_FAULT_OOM;
    }
    spare = prepared;
  }
  const page = folio_alloc(0, true);
  if (page === null) {
    hooks().rmap_unprepare(spare);
    return VM_FAULT_OOM;
  }
  folio_set(page, PG_uptodate | PG_swapbacked);
  yield* hooks().rmap_new_page(page, vma, address);
  yield* spin_lock(mm.page_table_lock);
  const ptep = pte_offset(at.pmd, address);
  if (!pte_none(ptep_get(ptep))) {
    folio_put(page);
    spin_unlock(mm.page_table_lock);
    hooks().rmap_unprepare(spare);
    trace_fault_spurious({ vma, address });
    return 0;
  }
  inc_mm_counter(mm, MM_ANONPAGES);
  const entry = writable(pte_mkyoung(mk_pte(page, vma.vm_page_prot)), vma);
  // mark_page_accessed(): on no list yet, so that only the flag is set.
  lru_cache_add_active(page);
  folio_set(page, PG_referenced);
  if (has('pte_chain_lists')) {
    set_pte_at(mm, address, ptep, entry);
    spare = yield* hooks().rmap_add(page, vma, address, ptep, spare);
  } else {
    spare = yield* hooks().rmap_add(page, vma, address, ptep, spare);
    set_pte_at(mm, address, ptep, entry);
  }
  spin_unlock(mm.page_table_lock);
  hooks().rmap_unprepare(spare);
  trace_fault_anon({ vma, address, page });
  return 0;
}

/** vma->vm_ops->nopage(): a page of the file with a reference, or VM_FAULT_SIGBUS, VM_FAULT_OOM. */
function* nopage(at: fault): K<page | number> {
  const vmf: vm_fault = {
    vma: at.vma,
    address: at.address,
    pgoff: linear_page_index(at.vma, at.address),
    flags: 0,
    pmd: at.pmd,
    pte: 0,
    orig_pte: 0,
    cow_page: null,
    page: null,
  };
  const ret = yield* vm_ops_fault(vmf);
  if ((ret & VM_FAULT_ERROR) !== 0) {
    return (ret & VM_FAULT_OOM) !== 0 ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
  }
  const page = vmf.page as page;
  if ((ret & VM_FAULT_LOCKED) !== 0) {
    folio_unlock(page);
  }
  return page;
}

/** The first half of do_no_page(): the page to map, private copy or not. Preconditions: no ptl. */
interface found {
  readonly page: page;
  readonly anon: boolean;
  readonly spare: rmap_spare;
}

function* findPage(at: fault): K<found | number> {
  const { vma } = at;
  const source = yield* nopage(at);
  if (typeof source === 'number') {
    return source;
  }
  const anon = at.write_access && (vma.vm_flags & VM_SHARED) === 0;
  let spare: rmap_spare = null;
  // Up to 2.6.6 any page needs a pte_chain, later only a private one an anon_vma.
  if (anon || has('pte_chain_lists')) {
    const prepared = yield* hooks().rmap_prepare(vma, !anon, false);
    if (typeof prepared === 'number') {
      folio_put(source);
      return VM_FAULT_OOM;
    }
    spare = prepared;
  }
  if (!anon) {
    return { page: source, anon, spare };
  }
  const copy = folio_alloc(0);
  if (copy === null) {
    folio_put(source);
    hooks().rmap_unprepare(spare);
    return VM_FAULT_OOM;
  }
  copy.content = source.content;
  folio_set(copy, PG_uptodate | PG_swapbacked);
  folio_put(source);
  yield* hooks().rmap_new_page(copy, vma, at.address);
  if (has('pte_chain_lists')) {
    lru_cache_add_active(copy);
  }
  return { page: copy, anon, spare };
}

/** mm/memory.c: do_no_page() v2.6.0, v2.6.7. VM_FAULT_*. Preconditions: ptl; it is dropped. */
function* do_no_page(at: fault, page_table: pte_ptr): K<number> {
  const { mm, vma, address } = at;
  if (vma_is_anonymous(vma)) {
    return yield* do_anonymous_page(at, page_table);
  }
  spin_unlock(mm.page_table_lock);
  const mapping: address_space | null = vma_mapping(vma);
  for (;;) {
    const sequence = mapping === null ? 0 : truncate_count(mapping);
    const source = yield* findPage(at);
    if (typeof source === 'number') {
      return source;
    }
    const { page, anon } = source;
    let { spare } = source;
    yield* spin_lock(mm.page_table_lock);
    if (mapping !== null && truncate_count(mapping) !== sequence) {
      // Truncated meanwhile, perhaps under the copy that was made.
      spin_unlock(mm.page_table_lock);
      folio_put(page);
      hooks().rmap_unprepare(spare);
      continue;
    }
    const ptep = pte_offset(at.pmd, address);
    if (!pte_none(ptep_get(ptep))) {
      folio_put(page);
      spin_unlock(mm.page_table_lock);
      hooks().rmap_unprepare(spare);
      trace_fault_spurious({ vma, address });
      return 0;
    }
    inc_mm_counter(mm, anon ? MM_ANONPAGES : mm_counter(page));
    let entry = pte_mkyoung(mk_pte(page, vma.vm_page_prot));
    if (at.write_access) {
      entry = writable(entry, vma);
    }
    set_pte_at(mm, address, ptep, entry);
    if (anon) {
      if (!has('pte_chain_lists')) {
        lru_cache_add_active(page);
      }
      spare = yield* hooks().rmap_add(page, vma, address, ptep, spare);
    } else {
      spare = yield* hooks().rmap_add_file(page, vma, address, ptep, spare);
    }
    spin_unlock(mm.page_table_lock);
    hooks().rmap_unprepare(spare);
    trace_fault_file({ vma, address, page });
    return VM_FAULT_MAJOR;
  }
}

/** mm/memory.c: handle_pte_fault() v2.6.0. Preconditions: ptl; it is dropped. */
function* handle_pte_fault(at: fault, pte: pte_ptr): K<number> {
  const { mm, vma, address } = at;
  let entry = ptep_get(pte);
  if (!pte_present(entry)) {
    if (pte_none(entry)) {
      return yield* do_no_page(at, pte);
    }
    BUG_ON(!pte_is_swap_entry(entry), 'pte_file(entry)');
    return yield* do_swap_page(at, entry);
  }
  if (at.write_access) {
    if (!pte_write(entry)) {
      return yield* do_wp_page(at, pte, entry);
    }
    entry = pte_mkdirty(entry);
  }
  set_pte_at(mm, address, pte, pte_mkyoung(entry));
  spin_unlock(mm.page_table_lock);
  trace_fault_spurious({ vma, address });
  return 0;
}

/** mm/memory.c: handle_mm_fault() v2.6.0. VM_FAULT_* bits. Preconditions: mmap_sem held for read. */
export function* handle_mm_fault(
  mm: mm_struct,
  vma: vm_area_struct,
  addr: number,
  flags: number,
): K<number> {
  const address = PAGE_ALIGN_DOWN(addr);
  yield* spin_lock(mm.page_table_lock);
  const pmd = yield* allocPmd(mm, address);
  const pte = yield* pte_alloc_map(mm, pmd, address);
  const write_access = (flags & FAULT_FLAG_WRITE) !== 0;
  return yield* handle_pte_fault({ mm, vma, address, pmd, write_access }, pte);
}

/** mm/memory.c: make_page_exclusive() at 70b671f80e: breaks COW before the write. 0 or a negative errno. */
export function* make_page_exclusive(vma: vm_area_struct, addr: number): K<number> {
  const ret = yield* handle_mm_fault(vma.vm_mm as mm_struct, vma, addr, FAULT_FLAG_WRITE);
  if ((ret & VM_FAULT_ERROR) === 0) {
    return 0;
  }
  return (ret & VM_FAULT_OOM) !== 0 ? -ENOMEM : -EFAULT;
}
