/**
 * mm/mremap.c v6.18, the half that moves page tables from one VMA to another of the same mm.
 *
 * Lock tree: mmap_lock (write) -> i_mmap_rwsem -> anon_vma root -> old ptl -> new ptl (nesting two ptls is
 * safe because mmap_lock is held for write). Map counts, folio->index and folio->mapping do not change:
 * vm_pgoff moved with the VMA. Fidelity: dup; no huge PUDs, no userfaultfd.
 */
import type { K } from '../../sim/wait.ts';
import { EAGAIN } from '../errno.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { VM_BUG_ON, VM_WARN_ON_ONCE, WARN_ON_ONCE } from '../lib/bug.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { move_huge_pmd } from './huge_memory.ts';
import { PAGE_SIZE, PMD_SIZE, PUD_SIZE } from './mm.ts';
import {
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_alloc,
  pmd_is_huge,
  pmd_lock,
  pmd_none,
  pmd_offset,
  pmd_present,
  pmd_trans_huge,
  pmdp_get,
  pte_alloc,
  pte_none,
  pte_offset_map,
  pte_offset_map_lock,
  type pte_ptr,
  pte_unmap_unlock,
  ptep_get,
  ptep_get_and_clear,
  ptlock_ptr,
  pud_alloc,
  pud_none,
  pud_offset,
  pudp_get,
  set_pmd_at,
  set_pte_at,
} from './pgtable.ts';
import { anon_vma_lock_write, anon_vma_unlock_write } from './rmap/anon_vma_life.ts';
import { __split_huge_pmd } from './split_huge_pmd.ts';
import { i_mmap_lock_write, i_mmap_unlock_write, vma_mapping } from './vma_link.ts';
import { find_vma_intersection } from './vma_tree.ts';

/** struct pagetable_move_control (mm/internal.h v6.18). */
export interface pagetable_move_control {
  readonly old: vm_area_struct;
  readonly new: vm_area_struct;
  old_addr: number;
  new_addr: number;
  readonly len_in: number;
  /** The stack of an execve(): source and destination are one VMA. */
  readonly for_stack?: boolean;
  /** Walks may visit the destination before the source: they must not run meanwhile. */
  readonly need_rmap_locks: boolean;
}

/** mm/mremap.c: take_rmap_locks() v6.18. */
function* take_rmap_locks(vma: vm_area_struct): K {
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    yield* i_mmap_lock_write(mapping);
  }
  if (vma.anon_vma !== null) {
    yield* anon_vma_lock_write(vma.anon_vma);
  }
}

/** mm/mremap.c: drop_rmap_locks() v6.18. */
function drop_rmap_locks(vma: vm_area_struct): void {
  if (vma.anon_vma !== null) {
    anon_vma_unlock_write(vma.anon_vma);
  }
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    i_mmap_unlock_write(mapping);
  }
}

/** mm/mremap.c: get_old_pud() v6.18. 0: nothing is mapped there. */
function get_old_pud(mm: mm_struct, addr: number): pte_ptr {
  const pgd = pgd_offset(mm, addr);
  if (pgd_none(pgdp_get(pgd))) {
    return 0;
  }
  const pud = pud_offset(pgd, addr);
  return pud_none(pudp_get(pud)) ? 0 : pud;
}

/** mm/mremap.c: get_old_pmd() v6.18. */
function get_old_pmd(mm: mm_struct, addr: number): pte_ptr {
  const pud = get_old_pud(mm, addr);
  if (pud === 0) {
    return 0;
  }
  const pmd = pmd_offset(pud, addr);
  return pmd_none(pmdp_get(pmd)) ? 0 : pmd;
}

/** mm/mremap.c: alloc_new_pud() v6.18. 0: no memory. */
function* alloc_new_pud(mm: mm_struct, addr: number): K<pte_ptr> {
  return yield* pud_alloc(mm, pgd_offset(mm, addr), addr);
}

/** mm/mremap.c: alloc_new_pmd() v6.18. 0: no memory. */
function* alloc_new_pmd(mm: mm_struct, addr: number): K<pte_ptr> {
  const pud = yield* alloc_new_pud(mm, addr);
  return pud === 0 ? 0 : yield* pmd_alloc(mm, pud, addr);
}

/** mm/mremap.c: move_ptes() v6.18. 0, or -EAGAIN when a table has gone. */
function* move_ptes(
  pmc: pagetable_move_control,
  extent: number,
  old_pmd: pte_ptr,
  new_pmd: pte_ptr,
): K<number> {
  const vma = pmc.old;
  const mm = vma.vm_mm as mm_struct;
  const old_end = pmc.old_addr + extent;
  // With the locks a walk sees either the old or the new entry. Without them it may see both, never
  // neither, because it comes to the source first and to the copy after.
  if (pmc.need_rmap_locks) {
    yield* take_rmap_locks(vma);
  }
  let old_addr = pmc.old_addr;
  let new_addr = pmc.new_addr;
  const old_ptep = yield* pte_offset_map_lock(mm, old_pmd, old_addr);
  if (old_ptep === 0) {
    if (pmc.need_rmap_locks) {
      drop_rmap_locks(vma);
    }
    return -EAGAIN;
  }
  const new_ptep = pte_offset_map(new_pmd, new_addr);
  if (new_ptep === 0) {
    pte_unmap_unlock(old_ptep);
    if (pmc.need_rmap_locks) {
      drop_rmap_locks(vma);
    }
    return -EAGAIN;
  }
  const old_ptl = ptlock_ptr(old_ptep);
  const new_ptl = ptlock_ptr(new_ptep);
  if (new_ptl !== old_ptl) {
    yield* spin_lock(new_ptl);
  }
  let from = old_ptep;
  let to = new_ptep;
  while (old_addr < old_end) {
    VM_WARN_ON_ONCE(!pte_none(ptep_get(to)), '!pte_none(*new_ptep)');
    if (!pte_none(ptep_get(from))) {
      const pte = ptep_get_and_clear(mm, old_addr, from);
      set_pte_at(mm, new_addr, to, pte);
    }
    from = from + 1;
    to = to + 1;
    old_addr = old_addr + PAGE_SIZE;
    new_addr = new_addr + PAGE_SIZE;
  }
  // flush_tlb_range(): before the locks go, so that nobody writes through the old address.
  if (new_ptl !== old_ptl) {
    spin_unlock(new_ptl);
  }
  pte_unmap_unlock(old_ptep);
  if (pmc.need_rmap_locks) {
    drop_rmap_locks(vma);
  }
  return 0;
}

/** mm/mremap.c: move_normal_pmd() v6.18: moves a whole PTE table by moving the entry that points to it. */
function* move_normal_pmd(old_pmd: pte_ptr, new_pmd: pte_ptr): K<boolean> {
  // execve()'s overlapping move can leave an empty table behind in the destination.
  if (WARN_ON_ONCE(!pmd_none(pmdp_get(new_pmd)), '!pmd_none(*new_pmd)')) {
    return false;
  }
  const old_ptl = yield* pmd_lock(old_pmd);
  const new_ptl = ptlock_ptr(new_pmd);
  if (new_ptl !== old_ptl) {
    yield* spin_lock(new_ptl);
  }
  const pmd = pmdp_get(old_pmd);
  let res = false;
  if (pmd_present(pmd) && !pmd_trans_huge(pmd)) {
    set_pmd_at(old_pmd, 0);
    res = true;
    VM_BUG_ON(!pmd_none(pmdp_get(new_pmd)), '!pmd_none(*new_pmd)');
    set_pmd_at(new_pmd, pmd);
  }
  if (new_ptl !== old_ptl) {
    spin_unlock(new_ptl);
  }
  spin_unlock(old_ptl);
  return res;
}

/** mm/mremap.c: move_normal_pud() v6.18. The lock of all PUD entries is mm->page_table_lock. */
function* move_normal_pud(mm: mm_struct, old_pud: pte_ptr, new_pud: pte_ptr): K<boolean> {
  if (WARN_ON_ONCE(!pud_none(pudp_get(new_pud)), '!pud_none(*new_pud)')) {
    return false;
  }
  yield* spin_lock(mm.page_table_lock);
  const pud = pudp_get(old_pud);
  set_pmd_at(old_pud, 0);
  VM_BUG_ON(!pud_none(pudp_get(new_pud)), '!pud_none(*new_pud)');
  set_pmd_at(new_pud, pud);
  spin_unlock(mm.page_table_lock);
  return true;
}

/**
 * mm/mremap.c: move_pgt_entry() v6.18 for NORMAL_PMD and NORMAL_PUD: always under the rmap locks, because a walk
 * that holds neither ptl could step over the table as it moves.
 */
function* move_pgt_entry(
  pmc: pagetable_move_control,
  level: 'pmd' | 'pud',
  old_entry: pte_ptr,
  new_entry: pte_ptr,
): K<boolean> {
  yield* take_rmap_locks(pmc.old);
  let moved: boolean;
  if (level === 'pmd') {
    moved = yield* move_normal_pmd(old_entry, new_entry);
  } else {
    moved = yield* move_normal_pud(pmc.old.vm_mm as mm_struct, old_entry, new_entry);
  }
  drop_rmap_locks(pmc.old);
  return moved;
}

/** mm/mremap.c: move_pgt_entry() v6.18 for HPAGE_PMD: under the rmap locks only if the caller needs them. */
function* moveHugePmd(pmc: pagetable_move_control, old_pmd: pte_ptr, new_pmd: pte_ptr): K<boolean> {
  if (pmc.need_rmap_locks) {
    yield* take_rmap_locks(pmc.old);
  }
  const moved = yield* move_huge_pmd(pmc.old, pmc.old_addr, pmc.new_addr, old_pmd, new_pmd);
  if (pmc.need_rmap_locks) {
    drop_rmap_locks(pmc.old);
  }
  return moved;
}

/** mm/mremap.c: get_extent() v6.18: how far one entry of `size` serves both addresses. */
function get_extent(pmc: pagetable_move_control, size: number, old_end: number): number {
  const old_left = size - (pmc.old_addr % size);
  const new_left = size - (pmc.new_addr % size);
  return Math.min(old_left, old_end - pmc.old_addr, new_left);
}

/** mm/mremap.c: can_align_down() v6.18: nothing of another mapping lies below, down to the boundary. */
function can_align_down(
  pmc: pagetable_move_control,
  vma: vm_area_struct,
  addr_to_align: number,
): boolean {
  const addr_masked = addr_to_align - (addr_to_align % PMD_SIZE);
  const for_stack = pmc.for_stack === true;
  if (!for_stack && vma.vm_start !== addr_to_align) {
    return false;
  }
  if (for_stack && addr_masked >= vma.vm_start) {
    return true;
  }
  return find_vma_intersection(vma.vm_mm as mm_struct, addr_masked, vma.vm_start) === null;
}

/** mm/mremap.c: can_realign_addr() v6.18. */
function can_realign_addr(pmc: pagetable_move_control): boolean {
  const old_align = pmc.old_addr % PMD_SIZE;
  if (pmc.len_in < PMD_SIZE - old_align || old_align === 0) {
    return false;
  }
  if (old_align !== pmc.new_addr % PMD_SIZE) {
    return false;
  }
  return can_align_down(pmc, pmc.old, pmc.old_addr) && can_align_down(pmc, pmc.new, pmc.new_addr);
}

/**
 * mm/mremap.c: move_page_tables() v6.18: bytes moved; fewer than asked for when memory for tables ran out.
 * Preconditions: mmap_lock held for write, the source write-locked.
 */
export function* move_page_tables(pmc: pagetable_move_control): K<number> {
  const mm = pmc.old.vm_mm as mm_struct;
  const orig_old_addr = pmc.old_addr;
  const old_end = pmc.old_addr + pmc.len_in;
  if (pmc.len_in === 0) {
    return 0;
  }
  if (can_realign_addr(pmc)) {
    // The whole first table can move at once; what lies below the range in it is empty.
    pmc.old_addr = pmc.old_addr - (pmc.old_addr % PMD_SIZE);
    pmc.new_addr = pmc.new_addr - (pmc.new_addr % PMD_SIZE);
  }
  while (pmc.old_addr < old_end) {
    const extent = yield* moveExtent(pmc, mm, old_end);
    if (extent === 0) {
      break;
    }
    pmc.old_addr = pmc.old_addr + extent;
    pmc.new_addr = pmc.new_addr + extent;
  }
  return Math.max(0, pmc.old_addr - orig_old_addr);
}

/** One round of move_page_tables(): bytes dealt with, 0 when there is no memory. */
function* moveExtent(pmc: pagetable_move_control, mm: mm_struct, old_end: number): K<number> {
  const pud_extent = get_extent(pmc, PUD_SIZE, old_end);
  const old_pud = get_old_pud(mm, pmc.old_addr);
  if (old_pud === 0) {
    return pud_extent;
  }
  const new_pud = yield* alloc_new_pud(mm, pmc.new_addr);
  if (new_pud === 0) {
    return 0;
  }
  if (pud_extent === PUD_SIZE && (yield* move_pgt_entry(pmc, 'pud', old_pud, new_pud))) {
    return pud_extent;
  }
  const extent = get_extent(pmc, PMD_SIZE, old_end);
  const old_pmd = get_old_pmd(mm, pmc.old_addr);
  if (old_pmd === 0) {
    return extent;
  }
  const new_pmd = yield* alloc_new_pmd(mm, pmc.new_addr);
  if (new_pmd === 0) {
    return 0;
  }
  for (;;) {
    if (pmd_is_huge(pmdp_get(old_pmd))) {
      if (extent === PMD_SIZE && (yield* moveHugePmd(pmc, old_pmd, new_pmd))) {
        return extent;
      }
      yield* __split_huge_pmd(pmc.old, old_pmd, pmc.old_addr, false);
    } else if (extent === PMD_SIZE && (yield* move_pgt_entry(pmc, 'pmd', old_pmd, new_pmd))) {
      return extent;
    }
    if (pmd_none(pmdp_get(old_pmd))) {
      return extent;
    }
    if (yield* pte_alloc(mm, new_pmd)) {
      return 0;
    }
    if ((yield* move_ptes(pmc, extent, old_pmd, new_pmd)) === 0) {
      return extent;
    }
  }
}
