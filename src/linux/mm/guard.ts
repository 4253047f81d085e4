/**
 * mm/madvise.c v6.18: the page-table walks of guard regions (MADV_GUARD_INSTALL, MADV_GUARD_REMOVE): a
 * marker in place of a page makes every access fault. Locks: ptl, per table; the caller holds mmap_lock
 * for read. Fidelity: dup of what the walk_page_range() callbacks do, table by table.
 */
import type { K } from '../../sim/wait.ts';
import { ENOMEM } from '../errno.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { PAGE_SIZE } from './mm.ts';
import {
  is_guard_swp_entry,
  is_swap_pmd,
  make_pte_marker,
  mm_find_pmd,
  PTE_MARKER_GUARD,
  pgd_offset,
  pmd_addr_end,
  pmd_alloc,
  pmd_none,
  pmd_trans_huge,
  pmdp_get,
  pte_alloc_map_lock,
  pte_clear,
  pte_none,
  pte_offset_map_lock,
  type pte_ptr,
  pte_unmap_unlock,
  ptep_get,
  pud_alloc,
  set_pte_at,
} from './pgtable.ts';
import { __split_huge_pmd } from './split_huge_pmd.ts';

/** Sets markers in the entries of one table. 1: an entry maps something. Preconditions: ptl. */
function install_markers(mm: mm_struct, first: pte_ptr, start: number, end: number): number {
  let ptep = first;
  for (let addr = start; addr < end; addr += PAGE_SIZE) {
    const pte = ptep_get(ptep);
    if (pte_none(pte)) {
      set_pte_at(mm, addr, ptep, make_pte_marker(PTE_MARKER_GUARD));
    } else if (!is_guard_swp_entry(pte)) {
      return 1;
    }
    ptep += 1;
  }
  return 0;
}

/**
 * walk_page_range_mm() with guard_install_walk_ops: 0, 1 when something is mapped that must be zapped first, or
 * -ENOMEM.
 */
export function* guard_install_range(vma: vm_area_struct, start: number, end: number): K<number> {
  const mm = vma.vm_mm as mm_struct;
  let addr = start;
  while (addr < end) {
    const next = pmd_addr_end(addr, end);
    const pud = yield* pud_alloc(mm, pgd_offset(mm, addr), addr);
    const pmd = pud === 0 ? 0 : yield* pmd_alloc(mm, pud, addr);
    if (pmd !== 0 && pmd_trans_huge(pmdp_get(pmd))) {
      return 1;
    }
    if (pmd !== 0 && is_swap_pmd(pmdp_get(pmd))) {
      yield* __split_huge_pmd(vma, pmd, addr, false);
    }
    const ptep = pmd === 0 ? 0 : yield* pte_alloc_map_lock(mm, pmd, addr);
    if (ptep === 0) {
      return -ENOMEM;
    }
    const occupied = install_markers(mm, ptep, addr, next);
    pte_unmap_unlock(ptep);
    if (occupied !== 0) {
      return 1;
    }
    addr = next;
  }
  return 0;
}

/** Clears the markers of one table. Preconditions: ptl. */
function remove_markers(mm: mm_struct, first: pte_ptr, start: number, end: number): void {
  let ptep = first;
  for (let addr = start; addr < end; addr += PAGE_SIZE) {
    if (is_guard_swp_entry(ptep_get(ptep))) {
      pte_clear(mm, addr, ptep);
    }
    ptep += 1;
  }
}

/** walk_page_range_vma() with guard_remove_walk_ops. */
export function* guard_remove_range(vma: vm_area_struct, start: number, end: number): K {
  const mm = vma.vm_mm as mm_struct;
  let addr = start;
  while (addr < end) {
    const next = pmd_addr_end(addr, end);
    const pmd = mm_find_pmd(mm, addr);
    if (pmd !== 0 && is_swap_pmd(pmdp_get(pmd))) {
      yield* __split_huge_pmd(vma, pmd, addr, false);
    }
    if (pmd !== 0 && !pmd_none(pmdp_get(pmd))) {
      const ptep = yield* pte_offset_map_lock(mm, pmd, addr);
      if (ptep !== 0) {
        remove_markers(mm, ptep, addr, next);
        pte_unmap_unlock(ptep);
      }
    }
    addr = next;
  }
}
