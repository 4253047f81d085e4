/**
 * mm/memory.c v6.18: page faults: handle_mm_fault() down to anonymous pages, copy on write and swap-in.
 *
 * Lock tree: mmap_lock or VMA lock, root->rwsem (first anonymous fault), folio lock, ptl. Fidelity: dup for
 * small pages and for large folios of the swap cache; huge PMDs are mm/huge_memory.ts; userfaultfd, NUMA hinting and device memory are left out.
 */

import type { K } from '../../sim/wait.ts';
import { spin_lock } from '../kernel/locking/spinlock.ts';
import { has } from '../kernel.ts';
import { BUG_ON, WARN_ON_ONCE } from '../lib/bug.ts';
import type { folio, mm_struct, vm_area_struct } from '../mm_types.ts';
import { alloc_pages } from './alloc_pages.ts';
import {
  trace_fault_anon,
  trace_fault_cow,
  trace_fault_spurious,
  trace_fault_swap,
} from './events.ts';
import { folio_lock_or_retry, vmf_anon_prepare } from './fault_lock.ts';
import { folio_trylock, folio_unlock } from './folio_lock.ts';
import { __GFP_ZERO, GFP_HIGHUSER_MOVABLE } from './gfp.ts';
import { __wp_can_reuse_large_anon_folio, handleHugePmd } from './huge_memory.ts';
import { ksm_might_need_to_copy } from './ksm_copy.ts';
import { ksm_might_unmap_zero_page } from './ksm_globals.ts';
import { folio_nr_pages } from './large_folio.ts';
import { vm_normal_page } from './memory.ts';
import { do_fault, wp_page_reuse, wp_page_shared } from './memory_file_fault.ts';
import { migration_entry_wait } from './migration_wait.ts';
import {
  is_cow_mapping,
  linear_page_index,
  PAGE_ALIGN_DOWN,
  VM_DROPPABLE,
  VM_LOCKED,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_SHARED,
  VM_WRITE,
  vma_is_anonymous,
} from './mm.ts';
import {
  add_mm_counter,
  dec_mm_counter,
  inc_mm_counter,
  MM_ANONPAGES,
  MM_SWAPENTS,
  mm_counter_file,
} from './mm_counter.ts';
import {
  folio_get,
  folio_ref_count,
  is_zero_pfn,
  page_folio,
  ZERO_PAGE,
  ZERO_PFN,
} from './page_alloc.ts';
import {
  folio_set,
  folio_test_anon,
  folio_test_ksm,
  folio_test_large,
  folio_test_lru,
  folio_test_mlocked,
  folio_test_swapcache,
  folio_test_uptodate,
  PageAnonExclusive,
  PG_uptodate,
  SetPageAnonExclusive,
} from './page-flags.ts';
import {
  is_guard_swp_entry,
  is_migration_entry,
  is_poisoned_swp_entry,
  is_pte_marker,
  mk_pte,
  pfn_pte,
  pgd_offset,
  pmd_alloc,
  pmd_none,
  pmdp_get,
  pte_alloc,
  pte_is_swap_entry,
  pte_mkdirty,
  pte_mkspecial,
  pte_mkwrite,
  pte_mkyoung,
  pte_none,
  pte_offset_map_lock,
  pte_pfn,
  pte_present,
  type pte_ptr,
  pte_same,
  pte_swp_exclusive,
  type pte_t,
  pte_to_swp_entry,
  pte_unmap,
  pte_unmap_unlock,
  pte_write,
  pteOffsetMapRcu,
  ptep_clear_flush,
  ptep_get,
  ptep_set_access_flags,
  ptlock_ptr,
  pud_alloc,
  set_pte_at,
} from './pgtable.ts';
import { pte_advance_pfn, set_ptes } from './pte_batch.ts';
import {
  folio_add_anon_rmap_ptes,
  folio_add_new_anon_rmap,
  folio_move_anon_rmap,
  folio_remove_rmap_pte,
  RMAP_EXCLUSIVE,
  RMAP_NONE,
} from './rmap.ts';
import { check_stable_address_space, maybe_mkwrite, vmf_pte_changed } from './set_pte_range.ts';
import { folio_add_lru_vma, folio_put, lru_add_drain } from './swap.ts';
import { swp_offset } from './swap_entry.ts';
import {
  folio_matches_swap_entry,
  free_swap_cache,
  swap_cache_get_folio,
  swapinPage,
} from './swap_state.ts';
import { folio_free_swap, swap_free_nr, vm_swap_full } from './swapfile.ts';
import { swapinBatch } from './swapin_batch.ts';
import {
  FAULT_FLAG_ORIG_PTE_VALID,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  VM_FAULT_ERROR,
  VM_FAULT_FALLBACK,
  VM_FAULT_HWPOISON,
  VM_FAULT_MAJOR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
  type vm_fault,
} from './vm_fault.ts';

// ---- copy on write

/**
 * mm/memory.c: wp_page_copy() v6.18: gives the mm its own copy of the page. Preconditions: no ptl; a
 * reference to the old folio is held and dropped here.
 *
 * The ptl is not held while copying, so the entry is compared again before it is replaced.
 */
function* wp_page_copy(vmf: vm_fault): K<number> {
  const unshare = (vmf.flags & FAULT_FLAG_UNSHARE) !== 0;
  const vma = vmf.vma;
  const mm = vma.vm_mm as mm_struct;
  const old_page = vmf.page;
  const old_folio = old_page === null ? null : page_folio(old_page);
  const ret = yield* vmf_anon_prepare(vmf);
  if (ret !== 0) {
    if (old_folio !== null) {
      folio_put(old_folio);
    }
    return ret;
  }
  const pfn_is_zero = is_zero_pfn(pte_pfn(vmf.orig_pte));
  const gfp = pfn_is_zero ? GFP_HIGHUSER_MOVABLE | __GFP_ZERO : GFP_HIGHUSER_MOVABLE;
  const new_folio = yield* alloc_pages(gfp, 0);
  if (new_folio === null) {
    if (old_folio !== null) {
      folio_put(old_folio);
    }
    return VM_FAULT_OOM;
  }
  if (old_page !== null) {
    new_folio.content = old_page.content;
  }
  folio_set(new_folio, PG_uptodate);
  vmf.pte = yield* pte_offset_map_lock(mm, vmf.pmd, vmf.address);
  let page_copied = false;
  if (vmf.pte !== 0 && pte_same(ptep_get(vmf.pte), vmf.orig_pte)) {
    if (old_folio === null) {
      ksm_might_unmap_zero_page(mm, vmf.orig_pte);
      inc_mm_counter(mm, MM_ANONPAGES);
    } else if (!folio_test_anon(old_folio)) {
      dec_mm_counter(mm, mm_counter_file(old_folio));
      inc_mm_counter(mm, MM_ANONPAGES);
    }
    let entry = pte_mkyoung(mk_pte(new_folio, vma.vm_page_prot));
    if (!unshare) {
      entry = maybe_mkwrite(pte_mkdirty(entry), vma);
    }
    ptep_clear_flush(vma, vmf.address, vmf.pte);
    folio_add_new_anon_rmap(new_folio, vma, vmf.address, RMAP_EXCLUSIVE);
    folio_add_lru_vma(new_folio, vma);
    BUG_ON(unshare && pte_write(entry), 'unshare && pte_write(entry)');
    set_pte_at(mm, vmf.address, vmf.pte, entry);
    if (old_folio !== null && old_page !== null) {
      // Only now: another sharer that saw the count drop earlier could reuse the page under our readers.
      folio_remove_rmap_pte(old_folio, old_page, vma);
    }
    page_copied = true;
    pte_unmap_unlock(vmf.pte);
    trace_fault_cow({
      vma,
      address: vmf.address,
      old: old_page ?? ZERO_PAGE(),
      page: new_folio,
      reused: 0,
    });
  } else if (vmf.pte !== 0) {
    pte_unmap_unlock(vmf.pte);
    trace_fault_spurious({ vma, address: vmf.address });
  }
  if (page_copied) {
    if (old_folio !== null) {
      // The reference that the entry had, then our own.
      folio_put(old_folio);
      free_swap_cache(old_folio);
      folio_put(old_folio);
    }
  } else {
    folio_put(new_folio);
    if (old_folio !== null) {
      folio_put(old_folio);
    }
  }
  return 0;
}

/**
 * mm/memory.c: wp_can_reuse_anon_folio() v6.18: whether ours is the only reference to the folio. If so it
 * moves to our anon_vma. Preconditions: ptl.
 *
 * The ptl keeps nobody else from taking references (reclaim, another sharer's fault): the early looks only
 * save work, the one under the folio lock decides.
 */
function* wp_can_reuse_anon_folio(folio: folio, vma: vm_area_struct): K<boolean> {
  if (folio_test_large(folio)) {
    return __wp_can_reuse_large_anon_folio(folio);
  }
  if (folio_test_ksm(folio) || folio_ref_count(folio) > 3) {
    return false;
  }
  if (!folio_test_lru(folio)) {
    // The batch of this CPU may hold a reference.
    lru_add_drain();
  }
  if (folio_ref_count(folio) > 1 + (folio_test_swapcache(folio) ? 1 : 0)) {
    return false;
  }
  if (!folio_trylock(folio)) {
    return false;
  }
  if (folio_test_swapcache(folio)) {
    folio_free_swap(folio);
  }
  if (folio_test_ksm(folio) || folio_ref_count(folio) !== 1) {
    folio_unlock(folio);
    return false;
  }
  folio_move_anon_rmap(folio, vma);
  folio_unlock(folio);
  return true;
}

/**
 * mm/memory.c: do_wp_page() v6.18: a write (or an unshare) to a present entry that is not writable.
 * Preconditions: ptl held; it is dropped.
 */
function* do_wp_page(vmf: vm_fault): K<number> {
  const unshare = (vmf.flags & FAULT_FLAG_UNSHARE) !== 0;
  const vma = vmf.vma;
  vmf.page = vm_normal_page(vma, vmf.address, vmf.orig_pte);
  const folio = vmf.page === null ? null : page_folio(vmf.page);
  if ((vma.vm_flags & (VM_SHARED | VM_MAYSHARE)) !== 0) {
    if (folio === null) {
      // wp_pfn_shared(): no such mapping exists here.
      wp_page_reuse(vmf, null);
      return 0;
    }
    return yield* wp_page_shared(vmf, folio);
  }
  if (
    folio !== null &&
    vmf.page !== null &&
    folio_test_anon(folio) &&
    (PageAnonExclusive(vmf.page) || (yield* wp_can_reuse_anon_folio(folio, vma)))
  ) {
    if (!PageAnonExclusive(vmf.page)) {
      SetPageAnonExclusive(vmf.page);
    }
    if (unshare) {
      pte_unmap_unlock(vmf.pte);
      return 0;
    }
    const page = vmf.page;
    wp_page_reuse(vmf, folio);
    trace_fault_cow({ vma, address: vmf.address, old: page, page, reused: 1 });
    return 0;
  }
  if (folio !== null) {
    folio_get(folio);
  }
  pte_unmap_unlock(vmf.pte);
  return yield* wp_page_copy(vmf);
}

// ---- anonymous pages

/**
 * mm/memory.c: do_anonymous_page() v6.18: the zero page for a read, a new zeroed page for a write.
 * Preconditions: mmap_lock or the VMA lock held for read.
 */
function* do_anonymous_page(vmf: vm_fault): K<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm as mm_struct;
  const addr = vmf.address;
  if ((vma.vm_flags & VM_SHARED) !== 0) {
    return VM_FAULT_SIGBUS;
  }
  if (yield* pte_alloc(mm, vmf.pmd)) {
    return VM_FAULT_OOM;
  }
  if ((vmf.flags & FAULT_FLAG_WRITE) === 0) {
    const zero = pte_mkspecial(pfn_pte(ZERO_PFN, vma.vm_page_prot));
    vmf.pte = yield* pte_offset_map_lock(mm, vmf.pmd, addr);
    if (vmf.pte === 0) {
      return 0;
    }
    if (vmf_pte_changed(vmf)) {
      pte_unmap_unlock(vmf.pte);
      trace_fault_spurious({ vma, address: addr });
      return 0;
    }
    const unstable = check_stable_address_space(mm);
    if (unstable === 0) {
      set_pte_at(mm, addr, vmf.pte, zero);
      trace_fault_anon({ vma, address: addr, page: ZERO_PAGE() });
    }
    pte_unmap_unlock(vmf.pte);
    return unstable;
  }
  const prepared = yield* vmf_anon_prepare(vmf);
  if (prepared !== 0) {
    return prepared;
  }
  const folio = yield* alloc_pages(GFP_HIGHUSER_MOVABLE | __GFP_ZERO, 0);
  if (folio === null) {
    return VM_FAULT_OOM;
  }
  folio_set(folio, PG_uptodate);
  let entry = pte_mkyoung(mk_pte(folio, vma.vm_page_prot));
  if ((vma.vm_flags & VM_WRITE) !== 0) {
    entry = pte_mkwrite(pte_mkdirty(entry));
  }
  vmf.pte = yield* pte_offset_map_lock(mm, vmf.pmd, addr);
  if (vmf.pte === 0) {
    folio_put(folio);
    return 0;
  }
  if (vmf_pte_changed(vmf)) {
    folio_put(folio);
    pte_unmap_unlock(vmf.pte);
    trace_fault_spurious({ vma, address: addr });
    return 0;
  }
  const unstable = check_stable_address_space(mm);
  if (unstable !== 0) {
    folio_put(folio);
    pte_unmap_unlock(vmf.pte);
    return unstable;
  }
  add_mm_counter(mm, MM_ANONPAGES, 1);
  folio_add_new_anon_rmap(folio, vma, addr, RMAP_EXCLUSIVE);
  folio_add_lru_vma(folio, vma);
  set_pte_at(mm, addr, vmf.pte, entry);
  trace_fault_anon({ vma, address: addr, page: folio });
  pte_unmap_unlock(vmf.pte);
  return 0;
}

// ---- swap-in

/** mm/memory.c: should_try_to_free_swap() v6.18. */
function should_try_to_free_swap(folio: folio, vma: vm_area_struct, flags: number): boolean {
  if (!folio_test_swapcache(folio)) {
    return false;
  }
  if (vm_swap_full() || (vma.vm_flags & VM_LOCKED) !== 0 || folio_test_mlocked(folio)) {
    return true;
  }
  // References: swap cache and ours.
  const expected = 1 + folio_nr_pages(folio);
  const write = (flags & FAULT_FLAG_WRITE) !== 0;
  return write && !folio_test_ksm(folio) && folio_ref_count(folio) === expected;
}

/** mm/memory.c: handle_pte_marker() v6.18. */
function handle_pte_marker(vmf: vm_fault): number {
  if (is_poisoned_swp_entry(vmf.orig_pte)) {
    return VM_FAULT_HWPOISON;
  }
  if (is_guard_swp_entry(vmf.orig_pte)) {
    return VM_FAULT_SIGSEGV;
  }
  return VM_FAULT_SIGBUS;
}

/** Ends do_swap_page() without a mapping: the folio, and the swap-cache folio if that is another one. */
function release_swapin(folio: folio, swapcache: folio | null, locked: boolean): void {
  if (locked) {
    folio_unlock(folio);
  }
  folio_put(folio);
  if (swapcache !== null && folio !== swapcache) {
    folio_unlock(swapcache);
    folio_put(swapcache);
  }
}

/**
 * mm/memory.c: do_swap_page() v6.18: the entry is not present: a swap slot, a migration entry or a marker.
 * Preconditions: mmap_lock or the VMA lock held for read; vmf.pte was read without the ptl, in
 * an RCU read section, which ends here.
 */
export function* do_swap_page(vmf: vm_fault): K<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm as mm_struct;
  // pte_unmap_same(); on x86-64 an entry is read in one go, with no need for the lock.
  vmf.pte = pte_unmap();
  if (!pte_is_swap_entry(vmf.orig_pte)) {
    if (is_migration_entry(vmf.orig_pte)) {
      yield* migration_entry_wait(mm, vmf.pmd, vmf.address);
      return 0;
    }
    if (is_pte_marker(vmf.orig_pte)) {
      return handle_pte_marker(vmf);
    }
    WARN_ON_ONCE(true, 'bad page-table entry');
    return VM_FAULT_SIGBUS;
  }
  const entry = pte_to_swp_entry(vmf.orig_pte);
  let ret = 0;
  let folio = swap_cache_get_folio(entry);
  if (folio === null) {
    folio = yield* swapinPage(entry);
    if (folio === null) {
      // Somebody else may have brought the page back while we looked.
      vmf.pte = yield* pte_offset_map_lock(mm, vmf.pmd, vmf.address);
      if (vmf.pte !== 0) {
        if (pte_same(ptep_get(vmf.pte), vmf.orig_pte)) {
          ret = VM_FAULT_OOM;
        }
        pte_unmap_unlock(vmf.pte);
      }
      return ret;
    }
    ret = VM_FAULT_MAJOR;
  }
  const swapcache = folio;
  ret |= yield* folio_lock_or_retry(folio, vmf);
  if ((ret & VM_FAULT_RETRY) !== 0) {
    release_swapin(folio, swapcache, false);
    return ret;
  }
  // While we waited the folio may have left the swap cache, or the slot may stand for another page.
  if (!folio_matches_swap_entry(folio, entry)) {
    release_swapin(folio, swapcache, true);
    return ret;
  }
  const copy = yield* ksm_might_need_to_copy(folio, vma, vmf.address);
  if (copy === null) {
    release_swapin(folio, swapcache, true);
    return VM_FAULT_OOM;
  }
  folio = copy;
  if (
    (vmf.flags & FAULT_FLAG_WRITE) !== 0 &&
    folio === swapcache &&
    !folio_test_ksm(folio) &&
    !folio_test_lru(folio)
  ) {
    lru_add_drain();
  }
  vmf.pte = yield* pte_offset_map_lock(mm, vmf.pmd, vmf.address);
  if (vmf.pte === 0 || !pte_same(ptep_get(vmf.pte), vmf.orig_pte)) {
    if (vmf.pte !== 0) {
      pte_unmap_unlock(vmf.pte);
    }
    release_swapin(folio, swapcache, true);
    trace_fault_spurious({ vma, address: vmf.address });
    return ret;
  }
  if (!folio_test_uptodate(folio)) {
    pte_unmap_unlock(vmf.pte);
    release_swapin(folio, swapcache, true);
    return VM_FAULT_SIGBUS;
  }
  const batch = swapinBatch(vmf, folio, folio === swapcache ? swp_offset(entry) : 0);
  const { page, nr_pages, address } = batch;
  BUG_ON(
    folio_test_anon(folio) && PageAnonExclusive(page),
    'folio_test_anon(folio) && PageAnonExclusive(page)',
  );
  // Under the ptl: fork clears the bit in both page tables when it shares the slot.
  let exclusive = false;
  if (!folio_test_ksm(folio)) {
    exclusive = folio !== swapcache || pte_swp_exclusive(vmf.orig_pte);
  }
  swap_free_nr(entry - batch.page_idx, nr_pages);
  if (should_try_to_free_swap(folio, vma, vmf.flags)) {
    folio_free_swap(folio);
  }
  add_mm_counter(mm, MM_ANONPAGES, nr_pages);
  add_mm_counter(mm, MM_SWAPENTS, -nr_pages);
  let pte = mk_pte(page, vma.vm_page_prot);
  let rmap_flags = RMAP_NONE;
  if (!folio_test_ksm(folio) && (exclusive || folio_ref_count(folio) === 1)) {
    const write = (vmf.flags & FAULT_FLAG_WRITE) !== 0;
    if ((vma.vm_flags & VM_WRITE) !== 0 && (write || has('swapin_writable'))) {
      pte = pte_mkwrite(pte);
      if (write) {
        pte = pte_mkdirty(pte);
        vmf.flags = vmf.flags & ~FAULT_FLAG_WRITE;
      }
    }
    rmap_flags = RMAP_EXCLUSIVE;
  }
  if (nr_pages > 1) {
    folio_get(folio, nr_pages - 1);
  }
  vmf.orig_pte = pte_advance_pfn(pte, batch.page_idx);
  if (folio !== swapcache) {
    folio_add_new_anon_rmap(folio, vma, vmf.address, RMAP_EXCLUSIVE);
    folio_add_lru_vma(folio, vma);
  } else if (!folio_test_anon(folio)) {
    folio_add_new_anon_rmap(folio, vma, vmf.address, rmap_flags);
  } else {
    folio_add_anon_rmap_ptes(folio, page, nr_pages, vma, address, rmap_flags);
  }
  BUG_ON(
    !folio_test_anon(folio) || (pte_write(pte) && !PageAnonExclusive(page)),
    '!folio_test_anon(folio) || (pte_write(pte) && !PageAnonExclusive(page))',
  );
  set_ptes(mm, address, vmf.pte - batch.page_idx, pte, nr_pages);
  trace_fault_swap({ vma, address: vmf.address, entry, page: folio });
  folio_unlock(folio);
  if (folio !== swapcache) {
    folio_unlock(swapcache);
    folio_put(swapcache);
  }
  if ((vmf.flags & FAULT_FLAG_WRITE) !== 0) {
    ret |= yield* do_wp_page(vmf);
    if ((ret & VM_FAULT_ERROR) !== 0) {
      ret &= VM_FAULT_ERROR;
    }
    return ret;
  }
  pte_unmap_unlock(vmf.pte);
  return ret;
}

// ---- entry

/** mm/memory.c: do_pte_missing() v6.18. */
function* do_pte_missing(vmf: vm_fault): K<number> {
  if (vma_is_anonymous(vmf.vma)) {
    return yield* do_anonymous_page(vmf);
  }
  return yield* do_fault(vmf);
}

/** Under the ptl: ends the read section. A table that has gone meanwhile is empty, so that the entry differs. */
function isSameLocked(pte: pte_ptr, entry: pte_t): boolean {
  pte_unmap();
  return pte_same(ptep_get(pte), entry);
}

/**
 * mm/memory.c: handle_pte_fault() v6.18. The entry is read without the ptl; whoever acts on it compares it
 * again under the lock and lets the access fault once more if it has changed.
 */
function* handle_pte_fault(vmf: vm_fault): K<number> {
  if (pmd_none(pmdp_get(vmf.pmd))) {
    vmf.pte = 0;
    vmf.flags = vmf.flags & ~FAULT_FLAG_ORIG_PTE_VALID;
  } else {
    vmf.pte = pteOffsetMapRcu(vmf.pmd, vmf.address);
    if (vmf.pte === 0) {
      return 0;
    }
    vmf.orig_pte = ptep_get(vmf.pte);
    vmf.flags = vmf.flags | FAULT_FLAG_ORIG_PTE_VALID;
    if (pte_none(vmf.orig_pte)) {
      vmf.pte = pte_unmap();
    }
  }
  if (vmf.pte === 0) {
    return yield* do_pte_missing(vmf);
  }
  if (!pte_present(vmf.orig_pte)) {
    return yield* do_swap_page(vmf);
  }
  yield* spin_lock(ptlock_ptr(vmf.pte));
  let entry = vmf.orig_pte;
  if (!isSameLocked(vmf.pte, entry)) {
    pte_unmap_unlock(vmf.pte);
    trace_fault_spurious({ vma: vmf.vma, address: vmf.address });
    return 0;
  }
  if ((vmf.flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE)) !== 0) {
    if (!pte_write(entry)) {
      return yield* do_wp_page(vmf);
    }
    if ((vmf.flags & FAULT_FLAG_WRITE) !== 0) {
      entry = pte_mkdirty(entry);
    }
  }
  entry = pte_mkyoung(entry);
  const dirty = (vmf.flags & FAULT_FLAG_WRITE) !== 0;
  if (!ptep_set_access_flags(vmf.vma, vmf.address, vmf.pte, entry, dirty)) {
    if ((vmf.flags & FAULT_FLAG_TRIED) === 0) {
      trace_fault_spurious({ vma: vmf.vma, address: vmf.address });
    }
  }
  pte_unmap_unlock(vmf.pte);
  return 0;
}

/** mm/memory.c: __handle_mm_fault() v6.18. */
function* __handle_mm_fault(vma: vm_area_struct, address: number, flags: number): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const vmf: vm_fault = {
    vma,
    address: PAGE_ALIGN_DOWN(address),
    pgoff: linear_page_index(vma, address),
    flags,
    pmd: 0,
    pte: 0,
    orig_pte: 0,
    cow_page: null,
    page: null,
  };
  const pud = yield* pud_alloc(mm, pgd_offset(mm, address), address);
  if (pud === 0) {
    return VM_FAULT_OOM;
  }
  vmf.pmd = yield* pmd_alloc(mm, pud, address);
  if (vmf.pmd === 0) {
    return VM_FAULT_OOM;
  }
  const ret = yield* handleHugePmd(vmf);
  if ((ret & VM_FAULT_FALLBACK) === 0) {
    return ret;
  }
  return yield* handle_pte_fault(vmf);
}

/** mm/memory.c: sanitize_fault_flags() v6.18: the flags, or -1 for VM_FAULT_SIGSEGV. */
function sanitize_fault_flags(vma: vm_area_struct, flags: number): number {
  if ((flags & FAULT_FLAG_UNSHARE) !== 0) {
    if (WARN_ON_ONCE((flags & FAULT_FLAG_WRITE) !== 0, '*flags & FAULT_FLAG_WRITE')) {
      return -1;
    }
    // Only a private mapping can be unshared; otherwise it is a read.
    return is_cow_mapping(vma.vm_flags) ? flags : flags & ~FAULT_FLAG_UNSHARE;
  }
  if ((flags & FAULT_FLAG_WRITE) !== 0) {
    if (WARN_ON_ONCE((vma.vm_flags & VM_MAYWRITE) === 0, '!(vma->vm_flags & VM_MAYWRITE)')) {
      return -1;
    }
    const forced = (vma.vm_flags & VM_WRITE) === 0 && !is_cow_mapping(vma.vm_flags);
    if (WARN_ON_ONCE(forced, '!(vma->vm_flags & VM_WRITE) && !is_cow_mapping(vma->vm_flags)')) {
      return -1;
    }
  }
  return flags;
}

/**
 * mm/memory.c: handle_mm_fault() v6.18. Returns VM_FAULT_* bits; with VM_FAULT_RETRY the lock the caller
 * held has been dropped and `vma` may be gone. Preconditions: mmap_lock for read, or with
 * FAULT_FLAG_VMA_LOCK the VMA's read lock.
 */
export function* handle_mm_fault(
  vma: vm_area_struct,
  address: number,
  orig_flags: number,
): K<number> {
  const flags = sanitize_fault_flags(vma, orig_flags);
  if (flags < 0) {
    return VM_FAULT_SIGSEGV;
  }
  const is_droppable = (vma.vm_flags & VM_DROPPABLE) !== 0;
  const ret = yield* __handle_mm_fault(vma, address, flags);
  return is_droppable ? ret & ~VM_FAULT_OOM : ret;
}
