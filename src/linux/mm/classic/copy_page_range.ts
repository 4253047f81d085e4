/**
 * mm/memory.c v2.6.34, the half that copies page tables at fork. Lock tree: both mmap_sems -> ptl of the child's
 * table -> ptl of the parent's. Fidelity: dup without rescheduling.
 */
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { vm_normal_page } from '../memory.ts';
import { is_cow_mapping, PAGE_SIZE, VM_MIXEDMAP, VM_PFNMAP, VM_SHARED } from '../mm.ts';
import {
  add_mm_counter,
  inc_mm_counter,
  MM_ANONPAGES,
  MM_SWAPENTS,
  mm_counter_file,
} from '../mm_counter.ts';
import { mmlistAddChild } from '../mmlist.ts';
import { folio_get } from '../page_alloc.ts';
import { folio_test_anon } from '../page-flags.ts';
import {
  is_migration_entry,
  is_writable_migration_entry,
  migration_page,
  migration_pte_with_kind,
  pgd_addr_end,
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_addr_end,
  pmd_alloc,
  pmd_none,
  pmd_offset,
  pmdp_get,
  pte_alloc_map_lock,
  pte_is_swap_entry,
  pte_mkclean,
  pte_mkold,
  pte_none,
  pte_offset_map,
  pte_present,
  type pte_ptr,
  pte_to_swp_entry,
  pte_unmap_unlock,
  pte_wrprotect,
  ptep_get,
  ptep_set_wrprotect,
  ptlock_ptr,
  pud_addr_end,
  pud_alloc,
  pud_none,
  pud_offset,
  pudp_get,
  SWP_MIGRATION_READ,
  set_pte_at,
} from '../pgtable.ts';
import { swap_duplicate } from '../swapfile.ts';
import { page_dup_rmap } from './rmap.ts';

/**
 * mm/memory.c: copy_one_pte() v2.6.34. 0 or -ENOMEM. Preconditions: both ptls. A migration entry counts in the child's rss
 * in all kernels here, as from 3.3 on, and as zapping counts it. @atomic
 */
function* copy_one_pte(
  dst_mm: mm_struct,
  src_mm: mm_struct,
  dst_pte: pte_ptr,
  src_pte: pte_ptr,
  vma: vm_area_struct,
  addr: number,
): K<number> {
  let pte = ptep_get(src_pte);
  if (!pte_present(pte)) {
    if (pte_is_swap_entry(pte)) {
      if (swap_duplicate(pte_to_swp_entry(pte)) < 0) {
        return -ENOMEM;
      }
      mmlistAddChild(dst_mm, src_mm);
      inc_mm_counter(dst_mm, MM_SWAPENTS);
    } else if (is_migration_entry(pte)) {
      const moving = migration_page(pte);
      add_mm_counter(dst_mm, folio_test_anon(moving) ? MM_ANONPAGES : mm_counter_file(moving), 1);
      if (is_writable_migration_entry(pte) && is_cow_mapping(vma.vm_flags)) {
        pte = migration_pte_with_kind(pte, SWP_MIGRATION_READ);
        set_pte_at(src_mm, addr, src_pte, pte);
      }
    }
    set_pte_at(dst_mm, addr, dst_pte, pte);
    return 0;
  }
  if (is_cow_mapping(vma.vm_flags)) {
    ptep_set_wrprotect(src_mm, addr, src_pte);
    pte = pte_wrprotect(pte);
  }
  if ((vma.vm_flags & VM_SHARED) !== 0) {
    pte = pte_mkclean(pte);
  }
  pte = pte_mkold(pte);
  const page = vm_normal_page(vma, addr, pte);
  if (page !== null) {
    folio_get(page);
    yield* page_dup_rmap(page);
    add_mm_counter(dst_mm, folio_test_anon(page) ? MM_ANONPAGES : mm_counter_file(page), 1);
  }
  set_pte_at(dst_mm, addr, dst_pte, pte);
  return 0;
}

/** mm/memory.c: copy_pte_range() v2.6.34. 0 or -ENOMEM. */
function* copy_pte_range(
  dst_mm: mm_struct,
  src_mm: mm_struct,
  dst_pmd: pte_ptr,
  src_pmd: pte_ptr,
  vma: vm_area_struct,
  start: number,
  end: number,
): K<number> {
  const orig_dst_pte = yield* pte_alloc_map_lock(dst_mm, dst_pmd, start);
  if (orig_dst_pte === 0) {
    return -ENOMEM;
  }
  const orig_src_pte = pte_offset_map(src_pmd, start);
  const src_ptl = ptlock_ptr(orig_src_pte);
  yield* spin_lock(src_ptl);
  let error = 0;
  for (let addr = start; addr < end && error === 0; addr = addr + PAGE_SIZE) {
    const offset = (addr - start) / PAGE_SIZE;
    if (!pte_none(ptep_get(orig_src_pte + offset))) {
      const dst_pte = orig_dst_pte + offset;
      error = yield* copy_one_pte(dst_mm, src_mm, dst_pte, orig_src_pte + offset, vma, addr);
    }
  }
  spin_unlock(src_ptl);
  pte_unmap_unlock(orig_dst_pte);
  return error;
}

/**
 * mm/memory.c: copy_page_range() v2.6.34, down to copy_pmd_range(): 0 or -ENOMEM. Preconditions: both mmap_sems held for
 * write. What a fault can fill again is not copied. No anon_vma lock: a walk may run meanwhile.
 */
export function* copy_page_range(dst_vma: vm_area_struct, vma: vm_area_struct): K<number> {
  const dst_mm = dst_vma.vm_mm as mm_struct;
  const src_mm = vma.vm_mm as mm_struct;
  if ((vma.vm_flags & (VM_PFNMAP | VM_MIXEDMAP)) === 0 && vma.anon_vma === null) {
    return 0;
  }
  const end = vma.vm_end;
  let addr = vma.vm_start;
  while (addr < end) {
    const src_pgd = pgd_offset(src_mm, addr);
    if (pgd_none(pgdp_get(src_pgd))) {
      addr = pgd_addr_end(addr, end);
      continue;
    }
    const src_pud = pud_offset(src_pgd, addr);
    if (pud_none(pudp_get(src_pud))) {
      addr = pud_addr_end(addr, end);
      continue;
    }
    const src_pmd = pmd_offset(src_pud, addr);
    const next = pmd_addr_end(addr, end);
    if (!pmd_none(pmdp_get(src_pmd))) {
      const dst_pud = yield* pud_alloc(dst_mm, pgd_offset(dst_mm, addr), addr);
      const dst_pmd = dst_pud === 0 ? 0 : yield* pmd_alloc(dst_mm, dst_pud, addr);
      if (dst_pmd === 0) {
        return -ENOMEM;
      }
      const error = yield* copy_pte_range(dst_mm, src_mm, dst_pmd, src_pmd, vma, addr, next);
      if (error !== 0) {
        return error;
      }
    }
    addr = next;
  }
  return 0;
}
