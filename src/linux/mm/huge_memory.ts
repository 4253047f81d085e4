/**
 * mm/huge_memory.c v6.18, PMD side: anonymous 2 MiB pages: who may have one, the fault, copy on write, fork,
 * unmapping, moving, protection. Splitting a huge PMD is mm/split_huge_pmd.ts, splitting the folio
 * mm/folio_split.ts, collapsing is mm/khugepaged.ts.
 *
 * Lock tree: mmap_lock or VMA lock, root->rwsem (first fault), folio lock, PMD lock; at fork and in mremap a
 * second PMD lock. World: /sys/kernel/mm/transparent_hugepage/enabled is madvise, only order 9. Fidelity: dup
 * for anonymous memory; file THP, userfaultfd and NUMA hinting are left out.
 */

import type { K } from '../../sim/wait.ts';
import { EAGAIN, ENOMEM } from '../errno.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { VM_BUG_ON_VMA, WARN_ON_ONCE } from '../lib/bug.ts';
import type { folio, mm_struct, vm_area_struct } from '../mm_types.ts';
import { deferred_split_folio } from './deferred_split.ts';
import { trace_fault_anon, trace_fault_cow, trace_fault_spurious } from './events.ts';
import { vmf_anon_prepare } from './fault_lock.ts';
import { folio_lock, folio_trylock, folio_unlock } from './folio_lock.ts';
import { folio_alloc_huge, mm_get_huge_zero_folio } from './huge_zero.ts';
import { khugepaged_enter_vma } from './khugepaged_mm.ts';
import {
  folio_entire_mapcount,
  folio_ids_shared,
  folio_large_mapcount,
  folio_nr_pages,
} from './large_folio.ts';
import { pmd_migration_entry_wait } from './migration_wait.ts';
import {
  VM_HUGEPAGE,
  VM_NOHUGEPAGE,
  VM_SHARED,
  VM_WRITE,
  vma_is_anonymous,
  vma_is_temporary_stack,
} from './mm.ts';
import { add_mm_counter, MM_ANONPAGES } from './mm_counter.ts';
import { __tlb_remove_folio_pages, tlb_flush_mmu } from './mmu_gather.ts';
import { folio_get, folio_ref_count, page_folio } from './page_alloc.ts';
import {
  folio_set,
  folio_test_swapcache,
  PageAnonExclusive,
  PG_uptodate,
  SetPageAnonExclusive,
} from './page-flags.ts';
import {
  HPAGE_PMD_NR,
  is_swap_pmd,
  pmd_lock,
  pmd_none,
  pmd_present,
  pmd_trans_huge,
  pmdp_get,
  pte_dirty,
  pte_mkdirty,
  pte_mkold,
  pte_mkspecial,
  pte_mkwrite,
  pte_mkyoung,
  pte_page,
  pte_protnone,
  type pte_ptr,
  pte_special,
  type pte_t,
  pte_write,
  pte_wrprotect,
  ptep_set_access_flags,
  ptlock_ptr,
} from './pgtable.ts';
import {
  folio_mk_pmd,
  huge_base,
  is_huge_zero_pmd,
  mm_dec_nr_ptes,
  mm_inc_nr_ptes,
  pgtable_trans_huge_deposit,
  pgtable_trans_huge_withdraw,
  pmd_modify,
  pmd_trans_huge_lock,
  pmdp_huge_get_and_clear,
  pmdp_invalidate,
  pte_alloc_one,
  pte_free,
  set_huge_pmd,
  thp_vma_suitable_order,
} from './pgtable_huge.ts';
import type { mmu_gather } from './pgtable_types.ts';
import { changeMigrationPmd, copyMigrationPmd } from './pmd_migration.ts';
import {
  folio_add_new_anon_rmap,
  folio_move_anon_rmap,
  folio_remove_rmap_pmd,
  folio_try_dup_anon_rmap_pmd,
  RMAP_EXCLUSIVE,
} from './rmap.ts';
import { check_stable_address_space, maybe_mkwrite } from './set_pte_range.ts';
import { __split_huge_pmd } from './split_huge_pmd.ts';
import { folio_add_lru_vma, folio_put } from './swap.ts';
import { folio_free_swap } from './swapfile.ts';
import {
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  VM_FAULT_FALLBACK,
  VM_FAULT_OOM,
  type vm_fault,
} from './vm_fault.ts';

// ---- who may have a huge page

/**
 * mm/huge_memory.c: __thp_vma_allowable_orders() v6.18 for a page fault, order 9, with the check of `enabled` that its
 * caller makes.
 */
export function thp_vma_allowable_order(vma: vm_area_struct): boolean {
  return (
    vma_is_anonymous(vma) &&
    (vma.vm_flags & (VM_HUGEPAGE | VM_NOHUGEPAGE)) === VM_HUGEPAGE &&
    !vma_is_temporary_stack(vma)
  );
}

// ---- faults

/** mm/huge_memory.c: vma_alloc_anon_folio_pmd() v6.18. */
function* vma_alloc_anon_folio_pmd(): K<folio | null> {
  const folio = yield* folio_alloc_huge();
  if (folio !== null) {
    folio_set(folio, PG_uptodate);
  }
  return folio;
}

/** mm/huge_memory.c: map_anon_folio_pmd() v6.18. Preconditions: PMD lock, entry none. */
export function map_anon_folio_pmd(
  folio: folio,
  pmd: pte_ptr,
  vma: vm_area_struct,
  haddr: number,
): void {
  const mm = vma.vm_mm as mm_struct;
  const entry = maybe_mkwrite(pte_mkdirty(folio_mk_pmd(folio, vma.vm_page_prot)), vma);
  folio_add_new_anon_rmap(folio, vma, haddr, RMAP_EXCLUSIVE);
  folio_add_lru_vma(folio, vma);
  set_huge_pmd(mm, haddr, pmd, entry);
  add_mm_counter(mm, MM_ANONPAGES, HPAGE_PMD_NR);
  deferred_split_folio(folio, false);
}

/** mm/huge_memory.c: __do_huge_pmd_anonymous_page() v6.18. */
function* __do_huge_pmd_anonymous_page(vmf: vm_fault): K<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm as mm_struct;
  const folio = yield* vma_alloc_anon_folio_pmd();
  if (folio === null) {
    return VM_FAULT_FALLBACK;
  }
  const pgtable = pte_alloc_one(mm);
  if (pgtable === null) {
    folio_put(folio);
    return VM_FAULT_OOM;
  }
  const ptl = yield* pmd_lock(vmf.pmd);
  let ret = 0;
  if (pmd_none(pmdp_get(vmf.pmd))) {
    ret = check_stable_address_space(mm);
    if (ret === 0) {
      pgtable_trans_huge_deposit(vmf.pmd, pgtable);
      map_anon_folio_pmd(folio, vmf.pmd, vma, huge_base(vmf.address));
      mm_inc_nr_ptes(mm);
      spin_unlock(ptl);
      trace_fault_anon({ vma, address: vmf.address, page: folio });
      return 0;
    }
  }
  // Another thread filled the entry, or the mm is being torn down.
  spin_unlock(ptl);
  pte_free(pgtable);
  folio_put(folio);
  return ret;
}

/** The read fault of do_huge_pmd_anonymous_page(): the huge zero page. */
function* mapHugeZeroFolio(vmf: vm_fault): K<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm as mm_struct;
  const pgtable = pte_alloc_one(mm);
  if (pgtable === null) {
    return VM_FAULT_OOM;
  }
  const zero_folio = yield* mm_get_huge_zero_folio(mm);
  if (zero_folio === null) {
    pte_free(pgtable);
    return VM_FAULT_FALLBACK;
  }
  const ptl = yield* pmd_lock(vmf.pmd);
  let ret = 0;
  if (pmd_none(pmdp_get(vmf.pmd))) {
    ret = check_stable_address_space(mm);
    if (ret === 0) {
      const entry = pte_mkspecial(folio_mk_pmd(zero_folio, vma.vm_page_prot));
      pgtable_trans_huge_deposit(vmf.pmd, pgtable);
      set_huge_pmd(mm, huge_base(vmf.address), vmf.pmd, entry);
      mm_inc_nr_ptes(mm);
      spin_unlock(ptl);
      trace_fault_anon({ vma, address: vmf.address, page: zero_folio });
      return 0;
    }
  }
  spin_unlock(ptl);
  pte_free(pgtable);
  return ret;
}

/**
 * mm/huge_memory.c: do_huge_pmd_anonymous_page() v6.18: the PMD entry is none. VM_FAULT_FALLBACK: try small pages.
 * Preconditions: mmap_lock or the VMA lock held for read. The anon_vma is made for a read too.
 */
export function* do_huge_pmd_anonymous_page(vmf: vm_fault): K<number> {
  const vma = vmf.vma;
  if (!thp_vma_suitable_order(vma, vmf.address)) {
    return VM_FAULT_FALLBACK;
  }
  const ret = yield* vmf_anon_prepare(vmf);
  if (ret !== 0) {
    return ret;
  }
  yield* khugepaged_enter_vma(vma, vma.vm_flags);
  if ((vmf.flags & FAULT_FLAG_WRITE) === 0) {
    return yield* mapHugeZeroFolio(vmf);
  }
  return yield* __do_huge_pmd_anonymous_page(vmf);
}

/** mm/huge_memory.c: touch_pmd() v6.18. Preconditions: PMD lock. */
export function touch_pmd(vma: vm_area_struct, addr: number, pmd: pte_ptr, write: boolean): void {
  let entry = pte_mkyoung(pmdp_get(pmd));
  if (write) {
    entry = pte_mkdirty(entry);
  }
  ptep_set_access_flags(vma, huge_base(addr), pmd, entry, write);
}

/** mm/huge_memory.c: huge_pmd_set_accessed() v6.18. */
function* huge_pmd_set_accessed(vmf: vm_fault): K {
  const ptl = yield* pmd_lock(vmf.pmd);
  if (pmdp_get(vmf.pmd) === vmf.orig_pte) {
    touch_pmd(vmf.vma, vmf.address, vmf.pmd, (vmf.flags & FAULT_FLAG_WRITE) !== 0);
  } else {
    trace_fault_spurious({ vma: vmf.vma, address: vmf.address });
  }
  spin_unlock(ptl);
}

/** mm/huge_memory.c: do_huge_zero_wp_pmd() v6.18: the huge zero page gives way to a folio; the table stays deposited. */
function* do_huge_zero_wp_pmd(vmf: vm_fault): K<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm as mm_struct;
  const haddr = huge_base(vmf.address);
  const folio = yield* vma_alloc_anon_folio_pmd();
  if (folio === null) {
    return VM_FAULT_FALLBACK;
  }
  const ptl = yield* pmd_lock(vmf.pmd);
  let ret = 0;
  if (pmdp_get(vmf.pmd) === vmf.orig_pte) {
    ret = check_stable_address_space(mm);
    if (ret === 0) {
      pmdp_huge_get_and_clear(mm, haddr, vmf.pmd);
      map_anon_folio_pmd(folio, vmf.pmd, vma, haddr);
      spin_unlock(ptl);
      trace_fault_anon({ vma, address: vmf.address, page: folio });
      return 0;
    }
  }
  folio_put(folio);
  spin_unlock(ptl);
  return ret;
}

/** The end of do_huge_pmd_wp_page() for a folio that is ours alone. Preconditions: PMD lock, dropped here. */
function reuse_huge_pmd(vmf: vm_fault, folio: folio): void {
  const vma = vmf.vma;
  if ((vmf.flags & FAULT_FLAG_UNSHARE) === 0) {
    const entry = maybe_mkwrite(pte_mkdirty(pte_mkyoung(vmf.orig_pte)), vma);
    ptep_set_access_flags(vma, huge_base(vmf.address), vmf.pmd, entry, true);
    trace_fault_cow({ vma, address: vmf.address, old: folio, page: folio, reused: 1 });
  }
  spin_unlock(ptlock_ptr(vmf.pmd));
}

/**
 * mm/huge_memory.c: do_huge_pmd_wp_page() v6.18: a write (or an unshare) to a huge PMD that is not writable. A folio
 * that others use too is not copied: the PMD is split and the small fault copies one page.
 */
export function* do_huge_pmd_wp_page(vmf: vm_fault): K<number> {
  const vma = vmf.vma;
  VM_BUG_ON_VMA(vma.anon_vma === null, vma, '!vma->anon_vma');
  if (is_huge_zero_pmd(vmf.orig_pte)) {
    const ret = yield* do_huge_zero_wp_pmd(vmf);
    if ((ret & VM_FAULT_FALLBACK) === 0) {
      return ret;
    }
    yield* __split_huge_pmd(vma, vmf.pmd, vmf.address, false);
    return VM_FAULT_FALLBACK;
  }
  const ptl = yield* pmd_lock(vmf.pmd);
  if (pmdp_get(vmf.pmd) !== vmf.orig_pte) {
    spin_unlock(ptl);
    trace_fault_spurious({ vma, address: vmf.address });
    return 0;
  }
  const page = pte_page(vmf.orig_pte);
  const folio = page_folio(page);
  if (PageAnonExclusive(page)) {
    reuse_huge_pmd(vmf, folio);
    return 0;
  }
  if (!folio_trylock(folio)) {
    folio_get(folio);
    spin_unlock(ptl);
    yield* folio_lock(folio);
    yield* spin_lock(ptl);
    if (pmdp_get(vmf.pmd) !== vmf.orig_pte) {
      spin_unlock(ptl);
      folio_unlock(folio);
      folio_put(folio);
      return 0;
    }
    folio_put(folio);
  }
  // Without the lock somebody may have made it exclusive.
  if (PageAnonExclusive(page)) {
    folio_unlock(folio);
    reuse_huge_pmd(vmf, folio);
    return 0;
  }
  const cached = folio_test_swapcache(folio) ? folio_nr_pages(folio) : 0;
  if (folio_ref_count(folio) <= 1 + cached) {
    if (folio_test_swapcache(folio)) {
      folio_free_swap(folio);
    }
    if (folio_ref_count(folio) === 1) {
      folio_move_anon_rmap(folio, vma);
      SetPageAnonExclusive(page);
      folio_unlock(folio);
      reuse_huge_pmd(vmf, folio);
      return 0;
    }
  }
  folio_unlock(folio);
  spin_unlock(ptl);
  yield* __split_huge_pmd(vma, vmf.pmd, vmf.address, false);
  return VM_FAULT_FALLBACK;
}

/**
 * The part of mm/memory.c: __handle_mm_fault() v6.18 that deals with huge PMDs (create_huge_pmd(), wp_huge_pmd()).
 * VM_FAULT_FALLBACK: go on with small pages.
 */
export function* handleHugePmd(vmf: vm_fault): K<number> {
  const vma = vmf.vma;
  if (pmd_none(pmdp_get(vmf.pmd))) {
    if (!thp_vma_allowable_order(vma)) {
      return VM_FAULT_FALLBACK;
    }
    return yield* do_huge_pmd_anonymous_page(vmf);
  }
  const pmd = pmdp_get(vmf.pmd);
  if (is_swap_pmd(pmd)) {
    yield* pmd_migration_entry_wait(vmf.pmd);
    return 0;
  }
  if (!pmd_trans_huge(pmd)) {
    return VM_FAULT_FALLBACK;
  }
  vmf.orig_pte = pmd;
  if ((vmf.flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE)) !== 0 && !pte_write(pmd)) {
    return yield* do_huge_pmd_wp_page(vmf);
  }
  yield* huge_pmd_set_accessed(vmf);
  return 0;
}

/**
 * mm/memory.c: __wp_can_reuse_large_anon_folio() v6.18: all references are PTE mappings by our mm. The folio keeps
 * its anon_vma. Preconditions: ptl.
 */
export function __wp_can_reuse_large_anon_folio(folio: folio): boolean {
  if (folio_large_mapcount(folio) <= 1 || folio_ids_shared(folio)) {
    return false;
  }
  if (folio_test_swapcache(folio)) {
    if (!folio_trylock(folio)) {
      return false;
    }
    folio_free_swap(folio);
    folio_unlock(folio);
  }
  if (folio_large_mapcount(folio) !== folio_ref_count(folio)) {
    return false;
  }
  WARN_ON_ONCE(folio_entire_mapcount(folio) !== 0, 'folio_entire_mapcount(folio)');
  return true;
}

// ---- fork

/**
 * mm/huge_memory.c: copy_huge_pmd() v6.18: fork shares a huge page: both entries become read-only. 0, or -EAGAIN: copy
 * the PTEs instead. Preconditions: both mmap_locks held for write.
 */
export function* copy_huge_pmd(
  dst_mm: mm_struct,
  src_mm: mm_struct,
  dst_pmd: pte_ptr,
  src_pmd: pte_ptr,
  addr: number,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
): K<number> {
  if (!vma_is_anonymous(dst_vma)) {
    return 0;
  }
  const pgtable = pte_alloc_one(dst_mm);
  if (pgtable === null) {
    return -ENOMEM;
  }
  const dst_ptl = yield* pmd_lock(dst_pmd);
  const src_ptl = ptlock_ptr(src_pmd);
  yield* spin_lock(src_ptl);
  const pmd = pmdp_get(src_pmd);
  if (is_swap_pmd(pmd)) {
    copyMigrationPmd(dst_mm, src_mm, dst_pmd, src_pmd, addr, pgtable);
    spin_unlock(src_ptl);
    spin_unlock(dst_ptl);
    return 0;
  }
  if (!pmd_trans_huge(pmd)) {
    pte_free(pgtable);
    spin_unlock(src_ptl);
    spin_unlock(dst_ptl);
    return -EAGAIN;
  }
  if (is_huge_zero_pmd(pmd)) {
    // There is one already, so that this only counts.
    yield* mm_get_huge_zero_folio(dst_mm);
  } else {
    const src_page = pte_page(pmd);
    const src_folio = page_folio(src_page);
    folio_get(src_folio);
    if (folio_try_dup_anon_rmap_pmd(src_folio, src_page, dst_vma, src_vma) !== 0) {
      folio_put(src_folio);
      pte_free(pgtable);
      spin_unlock(src_ptl);
      spin_unlock(dst_ptl);
      yield* __split_huge_pmd(src_vma, src_pmd, addr, false);
      return -EAGAIN;
    }
    add_mm_counter(dst_mm, MM_ANONPAGES, HPAGE_PMD_NR);
  }
  mm_inc_nr_ptes(dst_mm);
  pgtable_trans_huge_deposit(dst_pmd, pgtable);
  set_huge_pmd(src_mm, addr, src_pmd, pte_wrprotect(pmd));
  set_huge_pmd(dst_mm, addr, dst_pmd, pte_mkold(pte_wrprotect(pmd)));
  spin_unlock(src_ptl);
  spin_unlock(dst_ptl);
  return 0;
}

// ---- unmapping

/** mm/huge_memory.c: zap_deposited_table() v6.18. Preconditions: PMD lock. */
export function zap_deposited_table(mm: mm_struct, pmd: pte_ptr): void {
  pte_free(pgtable_trans_huge_withdraw(pmd));
  mm_dec_nr_ptes(mm);
}

/** mm/huge_memory.c: zap_huge_pmd() v6.18. False: the entry is not huge (any more). */
export function* zap_huge_pmd(
  tlb: mmu_gather,
  vma: vm_area_struct,
  pmd: pte_ptr,
  addr: number,
): K<boolean> {
  const mm = tlb.mm as mm_struct;
  const ptl = yield* pmd_trans_huge_lock(pmd);
  if (ptl === null) {
    return false;
  }
  const orig_pmd = pmdp_huge_get_and_clear(mm, addr, pmd);
  if (is_huge_zero_pmd(orig_pmd)) {
    zap_deposited_table(mm, pmd);
    spin_unlock(ptl);
    return true;
  }
  if (!pmd_present(orig_pmd)) {
    // Of a folio that is being migrated, neither mapping nor reference is left here.
    zap_deposited_table(mm, pmd);
    add_mm_counter(mm, MM_ANONPAGES, -HPAGE_PMD_NR);
    spin_unlock(ptl);
    return true;
  }
  const page = pte_page(orig_pmd);
  const folio = page_folio(page);
  folio_remove_rmap_pmd(folio, page, vma);
  zap_deposited_table(mm, pmd);
  add_mm_counter(mm, MM_ANONPAGES, -HPAGE_PMD_NR);
  spin_unlock(ptl);
  if (__tlb_remove_folio_pages(tlb, page, false)) {
    yield* tlb_flush_mmu(tlb);
  }
  return true;
}

// ---- mremap, mprotect

/**
 * mm/huge_memory.c: move_huge_pmd() v6.18. False: the entry is not huge any more, or the destination is taken.
 * Preconditions: mmap_lock held for write, so that the two PMD locks cannot deadlock.
 */
export function* move_huge_pmd(
  vma: vm_area_struct,
  old_addr: number,
  new_addr: number,
  old_pmd: pte_ptr,
  new_pmd: pte_ptr,
): K<boolean> {
  const mm = vma.vm_mm as mm_struct;
  if (!pmd_none(pmdp_get(new_pmd))) {
    return false;
  }
  const old_ptl = yield* pmd_trans_huge_lock(old_pmd);
  if (old_ptl === null) {
    return false;
  }
  const new_ptl = ptlock_ptr(new_pmd);
  if (new_ptl !== old_ptl) {
    yield* spin_lock(new_ptl);
  }
  const pmd = pmdp_huge_get_and_clear(mm, old_addr, old_pmd);
  if (new_ptl !== old_ptl && vma_is_anonymous(vma)) {
    pgtable_trans_huge_deposit(new_pmd, pgtable_trans_huge_withdraw(old_pmd));
  }
  set_huge_pmd(mm, new_addr, new_pmd, pmd);
  if (new_ptl !== old_ptl) {
    spin_unlock(new_ptl);
  }
  spin_unlock(old_ptl);
  return true;
}

/** mm/huge_memory.c: can_change_pmd_writable() v6.18. */
function can_change_pmd_writable(vma: vm_area_struct, pmd: pte_t): boolean {
  if (WARN_ON_ONCE((vma.vm_flags & VM_WRITE) === 0, '!(vma->vm_flags & VM_WRITE)')) {
    return false;
  }
  if (pte_protnone(pmd)) {
    return false;
  }
  if ((vma.vm_flags & VM_SHARED) !== 0) {
    return pte_dirty(pmd);
  }
  return !pte_special(pmd) && PageAnonExclusive(pte_page(pmd));
}

/**
 * mm/huge_memory.c: change_huge_pmd() v6.18: pages changed, 1 for a migration entry, 0 when the entry is not huge any
 * more.
 */
export function* change_huge_pmd(
  vma: vm_area_struct,
  pmd: pte_ptr,
  addr: number,
  newprot: number,
  try_change_writable: boolean,
): K<number> {
  const ptl = yield* pmd_trans_huge_lock(pmd);
  if (ptl === null) {
    return 0;
  }
  if (is_swap_pmd(pmdp_get(pmd))) {
    changeMigrationPmd(vma.vm_mm as mm_struct, addr, pmd);
    spin_unlock(ptl);
    return 1;
  }
  const oldpmd = pmdp_invalidate(vma, addr, pmd);
  let entry = pmd_modify(oldpmd, newprot);
  if (try_change_writable && !pte_write(entry) && can_change_pmd_writable(vma, entry)) {
    entry = pte_mkwrite(entry);
  }
  set_huge_pmd(vma.vm_mm as mm_struct, addr, pmd, entry);
  spin_unlock(ptl);
  return HPAGE_PMD_NR;
}
