/**
 * mm/memory.c v6.18, first half: page tables as a whole: freeing them, copying them at fork. Clearing ranges of
 * them is in mm/memory_zap.ts, faults are in mm/memory_fault.ts, page-cache faults in mm/memory_file_fault.ts.
 *
 * Lock tree: mmap_lock, VMA lock, then root->rwsem and i_mmap_rwsem (free_pgtables), ptl; at fork the ptl
 * of the child's table, then the parent's. Fidelity: dup; hugetlb, device memory are left out.
 */

import type { K } from '../../sim/wait.ts';
import { EAGAIN, EIO, ENOMEM } from '../errno.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { anon_rmap, has } from '../kernel.ts';
import { VM_WARN_ON_FOLIO } from '../lib/bug.ts';
import type { folio, mm_struct, page, vm_area_struct } from '../mm_types.ts';
import { alloc_pages } from './alloc_pages.ts';
import { GFP_HIGHUSER_MOVABLE } from './gfp.ts';
import { copy_huge_pmd } from './huge_memory.ts';
import {
  is_cow_mapping,
  PAGE_SIZE,
  PMD_SIZE,
  PUD_SIZE,
  VM_COPY_ON_FORK,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEQ_READ,
  VM_SHARED,
} from './mm.ts';
import {
  add_mm_counter,
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  MM_SWAPENTS,
  mm_counter,
  mm_counter_file,
} from './mm_counter.ts';
import { vma_assert_write_locked, vma_start_write } from './mmap_lock.ts';
import { mmlistAddChild } from './mmlist.ts';
import { tlb_remove_table } from './mmu_gather.ts';
import { folio_get, page_folio } from './page_alloc.ts';
import { folio_set, folio_test_anon, PageAnonExclusive, PG_uptodate } from './page-flags.ts';
import {
  clear_table_entry,
  is_migration_entry,
  is_pte_marker,
  is_readable_migration_entry,
  make_pte_marker,
  migration_page,
  migration_pte_with_kind,
  mk_pte,
  PGDIR_SIZE,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  pgd_addr_end,
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_addr_end,
  pmd_alloc,
  pmd_is_huge,
  pmd_none,
  pmd_offset,
  pmdp_get,
  pte_alloc_map_lock,
  pte_is_swap_entry,
  pte_marker_get,
  pte_mkclean,
  pte_mkdirty,
  pte_mkold,
  pte_none,
  pte_offset_map,
  pte_page,
  pte_present,
  type pte_ptr,
  pte_special,
  pte_swp_clear_exclusive,
  pte_swp_exclusive,
  type pte_t,
  pte_to_swp_entry,
  pte_unmap_unlock,
  pte_write,
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
} from './pgtable.ts';
import type { mmu_gather } from './pgtable_types.ts';
import {
  folio_add_new_anon_rmap,
  folio_dup_file_rmap_pte,
  folio_try_dup_anon_rmap_pte,
  RMAP_EXCLUSIVE,
} from './rmap.ts';
import { maybe_mkwrite } from './set_pte_range.ts';
import { folio_add_lru_vma, folio_put } from './swap.ts';
import { swap_duplicate } from './swapfile.ts';
import {
  unlink_file_vma_batch_add,
  unlink_file_vma_batch_final,
  unlink_file_vma_batch_init,
} from './vma_link.ts';

/** vm_normal_page(): the page of a present entry; null for the zero page, which has no map count. */
export function vm_normal_page(_vma: vm_area_struct, _addr: number, pte: pte_t): page | null {
  return pte_special(pte) ? null : pte_page(pte);
}

/** vma_has_recency(): the VMA's accesses say something about the future. */
export function vma_has_recency(vma: vm_area_struct): boolean {
  return (vma.vm_flags & (VM_SEQ_READ | VM_RAND_READ)) === 0;
}

// ---- resident set counters gathered while a table is locked

export type rss_vec = [number, number, number, number];

export function add_mm_rss_vec(mm: mm_struct, rss: rss_vec): void {
  for (const member of [MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES]) {
    const change = rss[member] ?? 0;
    if (change !== 0) {
      add_mm_counter(mm, member, change);
    }
  }
}

export function count_rss(rss: rss_vec, member: number, by: number): void {
  rss[member] = (rss[member] ?? 0) + by;
}

/** Entries from `pte` that are none, at most `max`. */
export function none_run(pte: pte_ptr, max: number): number {
  let nr = 0;
  while (nr < max && pte_none(ptep_get(pte + nr))) {
    nr++;
  }
  return nr;
}

// ---- freeing page tables

const align_down = (addr: number, size: number): number => addr - (addr % size);

/**
 * Whether a table that covers [start aligned down to `size`, ...) is used by nobody outside [floor,
 * ceiling): then it can go. A ceiling of 0 is the end of the address space.
 */
function table_is_free(
  start: number,
  end: number,
  floor: number,
  ceiling: number,
  size: number,
): boolean {
  if (align_down(start, size) < floor) {
    return false;
  }
  if (ceiling !== 0) {
    const limit = align_down(ceiling, size);
    if (limit === 0 || end > limit) {
      return false;
    }
  }
  return true;
}

/** mm/memory.c: free_pte_range() v6.18. */
function free_pte_range(tlb: mmu_gather, pmd: pte_ptr): void {
  tlb_remove_table(tlb, clear_table_entry(pmd));
  const mm = tlb.mm as mm_struct;
  mm.pgtables_bytes = mm.pgtables_bytes - PAGE_SIZE;
}

/** mm/memory.c: free_pmd_range() v6.18. */
function free_pmd_range(
  tlb: mmu_gather,
  pud: pte_ptr,
  from: number,
  end: number,
  floor: number,
  ceiling: number,
): void {
  for (let addr = from; addr < end; addr = pmd_addr_end(addr, end)) {
    const pmd = pmd_offset(pud, addr);
    if (!pmd_none(pmdp_get(pmd))) {
      free_pte_range(tlb, pmd);
    }
  }
  if (table_is_free(from, end, floor, ceiling, PUD_SIZE)) {
    free_pte_range(tlb, pud);
  }
}

/** mm/memory.c: free_pud_range() v6.18. */
function free_pud_range(
  tlb: mmu_gather,
  pgd: pte_ptr,
  from: number,
  end: number,
  floor: number,
  ceiling: number,
): void {
  for (let addr = from; addr < end; addr = pud_addr_end(addr, end)) {
    const pud = pud_offset(pgd, addr);
    if (!pud_none(pudp_get(pud))) {
      free_pmd_range(tlb, pud, addr, pud_addr_end(addr, end), floor, ceiling);
    }
  }
  if (table_is_free(from, end, floor, ceiling, PGDIR_SIZE)) {
    free_pte_range(tlb, pgd);
  }
}

/**
 * mm/memory.c: free_pgd_range() v6.18: frees the tables of [addr, end) that no neighbour uses: floor is the
 * end of the previous VMA, ceiling the start of the next one (0: none).
 * One atomic step: nobody can be in these tables, their VMAs are out of every tree.
 */
export function free_pgd_range(
  tlb: mmu_gather,
  from: number,
  to: number,
  floor: number,
  ceiling: number,
): void {
  let addr = align_down(from, PMD_SIZE);
  let end = to;
  if (addr < floor) {
    addr += PMD_SIZE;
  }
  let limit = ceiling;
  if (limit !== 0) {
    limit = align_down(limit, PMD_SIZE);
    if (limit === 0) {
      return;
    }
    if (end > limit) {
      end -= PMD_SIZE;
    }
  }
  if (addr >= end) {
    return;
  }
  const mm = tlb.mm as mm_struct;
  for (; addr < end; addr = pgd_addr_end(addr, end)) {
    const pgd = pgd_offset(mm, addr);
    if (!pgd_none(pgdp_get(pgd))) {
      free_pud_range(tlb, pgd, addr, pgd_addr_end(addr, end), floor, limit);
    }
  }
}

/**
 * mm/memory.c: free_pgtables() v6.18: takes the VMAs out of the reverse maps, then frees their page tables.
 * `vmas` in address order (the kernel walks a maple tree). Preconditions: their pages are unmapped; they
 * are detached, or mmap_lock is held for write (`mm_wr_locked`).
 *
 * The VMA must vanish from the rmap first: a walker that still found it would look into freed tables.
 */
export function* free_pgtables(
  tlb: mmu_gather,
  vmas: readonly vm_area_struct[],
  floor: number,
  ceiling: number,
  mm_wr_locked: boolean,
): K {
  let i = 0;
  while (i < vmas.length) {
    let vma = vmas[i] as vm_area_struct;
    const addr = vma.vm_start;
    let next = vmas[i + 1];
    i = i + 1;
    if (mm_wr_locked) {
      yield* vma_start_write(vma);
    }
    yield* anon_rmap().unlink_anon_vmas(vma);
    const vb = unlink_file_vma_batch_init();
    yield* unlink_file_vma_batch_add(vb, vma);
    // Near VMAs share tables: one call frees them together.
    while (next !== undefined && next.vm_start <= vma.vm_end + PMD_SIZE) {
      vma = next;
      next = vmas[i + 1];
      i = i + 1;
      if (mm_wr_locked) {
        yield* vma_start_write(vma);
      }
      yield* anon_rmap().unlink_anon_vmas(vma);
      yield* unlink_file_vma_batch_add(vb, vma);
    }
    yield* unlink_file_vma_batch_final(vb);
    free_pgd_range(tlb, addr, vma.vm_end, floor, next === undefined ? ceiling : next.vm_start);
  }
}

// ---- fork

/**
 * mm/memory.c: copy_nonpresent_pte() v6.18. 0, or -EIO when the swap count could not be raised.
 * Atomic. Preconditions: both ptls.
 */
function copy_nonpresent_pte(
  dst_mm: mm_struct,
  src_mm: mm_struct,
  dst_pte: pte_ptr,
  src_pte: pte_ptr,
  dst_vma: vm_area_struct,
  addr: number,
  rss: rss_vec,
): number {
  const orig_pte = ptep_get(src_pte);
  let pte = orig_pte;
  if (pte_is_swap_entry(orig_pte)) {
    if (swap_duplicate(pte_to_swp_entry(orig_pte)) < 0) {
      return -EIO;
    }
    mmlistAddChild(dst_vma.vm_mm as mm_struct, src_mm);
    // Two page tables name the slot now: no longer exclusive in either.
    if (pte_swp_exclusive(orig_pte)) {
      pte = pte_swp_clear_exclusive(orig_pte);
      set_pte_at(src_mm, addr, src_pte, pte);
    }
    count_rss(rss, MM_SWAPENTS, 1);
  } else if (is_migration_entry(orig_pte)) {
    count_rss(rss, mm_counter(page_folio(migration_page(orig_pte))), 1);
    if (!is_readable_migration_entry(orig_pte) && is_cow_mapping(dst_vma.vm_flags)) {
      pte = migration_pte_with_kind(orig_pte, SWP_MIGRATION_READ);
      set_pte_at(src_mm, addr, src_pte, pte);
    }
  } else if (is_pte_marker(orig_pte)) {
    const marker = pte_marker_get(orig_pte) & (PTE_MARKER_GUARD | PTE_MARKER_POISONED);
    if (marker !== 0) {
      set_pte_at(dst_mm, addr, dst_pte, make_pte_marker(marker));
    }
    return 0;
  }
  set_pte_at(dst_mm, addr, dst_pte, pte);
  return 0;
}

/** mm/memory.c: copy_present_page() v6.18: a page that may be pinned is copied at once. 0 or -EAGAIN. */
function copy_present_page(
  dst_vma: vm_area_struct,
  dst_pte: pte_ptr,
  addr: number,
  rss: rss_vec,
  prealloc: folio | null,
  page: page,
): number {
  if (prealloc === null) {
    return -EAGAIN;
  }
  prealloc.content = page.content;
  folio_set(prealloc, PG_uptodate);
  folio_add_new_anon_rmap(prealloc, dst_vma, addr, RMAP_EXCLUSIVE);
  folio_add_lru_vma(prealloc, dst_vma);
  count_rss(rss, MM_ANONPAGES, 1);
  const pte = maybe_mkwrite(pte_mkdirty(mk_pte(prealloc, dst_vma.vm_page_prot)), dst_vma);
  set_pte_at(dst_vma.vm_mm as mm_struct, addr, dst_pte, pte);
  return 0;
}

/** mm/memory.c: __copy_present_ptes() v6.18, one entry. */
function __copy_present_ptes(
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
  dst_pte: pte_ptr,
  src_pte: pte_ptr,
  orig: pte_t,
  addr: number,
): void {
  let pte = orig;
  if (is_cow_mapping(src_vma.vm_flags) && pte_write(pte)) {
    ptep_set_wrprotect(src_vma.vm_mm as mm_struct, addr, src_pte);
    pte = pte_wrprotect(pte);
  }
  if ((src_vma.vm_flags & VM_SHARED) !== 0) {
    pte = pte_mkclean(pte);
  }
  pte = pte_mkold(pte);
  set_pte_at(dst_vma.vm_mm as mm_struct, addr, dst_pte, pte);
}

/**
 * mm/memory.c: copy_present_ptes() v6.18, one entry. Returns 1, or -EAGAIN when a page must be allocated
 * first. Preconditions: both ptls.
 */
function* copy_present_ptes(
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
  dst_pte: pte_ptr,
  src_pte: pte_ptr,
  pte: pte_t,
  addr: number,
  rss: rss_vec,
  prealloc: folio | null,
): K<number> {
  const page = vm_normal_page(src_vma, addr, pte);
  if (page === null) {
    __copy_present_ptes(dst_vma, src_vma, dst_pte, src_pte, pte, addr);
    return 1;
  }
  const folio = page_folio(page);
  folio_get(folio);
  if (folio_test_anon(folio)) {
    if (folio_try_dup_anon_rmap_pte(folio, page, dst_vma, src_vma) !== 0) {
      folio_put(folio);
      const err = copy_present_page(dst_vma, dst_pte, addr, rss, prealloc, page);
      return err !== 0 ? err : 2;
    }
    count_rss(rss, MM_ANONPAGES, 1);
    VM_WARN_ON_FOLIO(PageAnonExclusive(page), folio, 'PageAnonExclusive(page)');
  } else {
    folio_dup_file_rmap_pte(page);
    count_rss(rss, mm_counter_file(folio), 1);
  }
  __copy_present_ptes(dst_vma, src_vma, dst_pte, src_pte, pte, addr);
  return 1;
}

/** mm/memory.c: copy_pte_range() v6.18. 0 or -ENOMEM. */
function* copy_pte_range(
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
  dst_pmd: pte_ptr,
  src_pmd: pte_ptr,
  start: number,
  end: number,
): K<number> {
  const dst_mm = dst_vma.vm_mm as mm_struct;
  const src_mm = src_vma.vm_mm as mm_struct;
  let addr = start;
  let prealloc: folio | null = null;
  while (addr !== end) {
    const rss: rss_vec = [0, 0, 0, 0];
    const orig_dst_pte = yield* pte_alloc_map_lock(dst_mm, dst_pmd, addr);
    if (orig_dst_pte === 0) {
      return -ENOMEM;
    }
    const orig_src_pte = pte_offset_map(src_pmd, addr);
    if (orig_src_pte === 0) {
      pte_unmap_unlock(orig_dst_pte);
      return 0;
    }
    yield* spin_lock(ptlock_ptr(orig_src_pte));
    let dst_pte = orig_dst_pte;
    let src_pte = orig_src_pte;
    let ret = 0;
    do {
      const nr = none_run(src_pte, (end - addr) / PAGE_SIZE);
      addr = addr + nr * PAGE_SIZE;
      src_pte = src_pte + nr;
      dst_pte = dst_pte + nr;
      if (addr === end) {
        break;
      }
      const ptent = ptep_get(src_pte);
      if (pte_present(ptent)) {
        ret = yield* copy_present_ptes(
          dst_vma,
          src_vma,
          dst_pte,
          src_pte,
          ptent,
          addr,
          rss,
          prealloc,
        );
        if (ret === -EAGAIN) {
          break;
        }
        if (ret === 2) {
          // The page allocated beforehand is in use.
          prealloc = null;
        } else if (prealloc !== null) {
          folio_put(prealloc);
          prealloc = null;
        }
      } else {
        ret = copy_nonpresent_pte(dst_mm, src_mm, dst_pte, src_pte, dst_vma, addr, rss);
        if (ret === -EIO) {
          break;
        }
      }
      addr = addr + PAGE_SIZE;
      src_pte = src_pte + 1;
      dst_pte = dst_pte + 1;
    } while (addr !== end);
    spin_unlock(ptlock_ptr(orig_src_pte));
    add_mm_rss_vec(dst_mm, rss);
    pte_unmap_unlock(orig_dst_pte);
    if (ret === -EIO) {
      return -ENOMEM;
    }
    if (ret === -EAGAIN) {
      prealloc = yield* alloc_pages(GFP_HIGHUSER_MOVABLE, 0);
      if (prealloc === null) {
        return -ENOMEM;
      }
    }
  }
  if (prealloc !== null) {
    folio_put(prealloc);
  }
  return 0;
}

/** mm/memory.c: vma_needs_copy() v6.18: page tables that a fault can fill again are not copied. */
function vma_needs_copy(dst_vma: vm_area_struct, src_vma: vm_area_struct): boolean {
  if (has('maybe_guard')) {
    // 6.18.44: guard regions exist nowhere else, so they are copied even without an anon_vma.
    return (dst_vma.vm_flags & VM_COPY_ON_FORK) !== 0 || src_vma.anon_vma !== null;
  }
  return (src_vma.vm_flags & (VM_PFNMAP | VM_MIXEDMAP)) !== 0 || src_vma.anon_vma !== null;
}

/**
 * mm/memory.c: copy_page_range() v6.18: copies the page tables of a VMA for fork. 0 or -ENOMEM.
 * Preconditions: both mmap_locks held for write, src_vma write-locked.
 */
export function* copy_page_range(dst_vma: vm_area_struct, src_vma: vm_area_struct): K<number> {
  if (!vma_needs_copy(dst_vma, src_vma)) {
    return 0;
  }
  const dst_mm = dst_vma.vm_mm as mm_struct;
  const src_mm = src_vma.vm_mm as mm_struct;
  const end = src_vma.vm_end;
  const is_cow = is_cow_mapping(src_vma.vm_flags);
  if (is_cow) {
    vma_assert_write_locked(src_vma);
    // GUP without locks sees an odd count and goes the slow way while entries lose their write bit.
    src_mm.write_protect_seq = src_mm.write_protect_seq + 1;
  }
  let ret = 0;
  let addr = src_vma.vm_start;
  while (addr !== end) {
    const src_pgd = pgd_offset(src_mm, addr);
    if (pgd_none(pgdp_get(src_pgd))) {
      addr = pgd_addr_end(addr, end);
      continue;
    }
    // Upper tables of the child are made before it is known that there is something to copy.
    const dst_pud = yield* pud_alloc(dst_mm, pgd_offset(dst_mm, addr), addr);
    if (dst_pud === 0) {
      ret = -ENOMEM;
      break;
    }
    const src_pud = pud_offset(src_pgd, addr);
    if (pud_none(pudp_get(src_pud))) {
      addr = pud_addr_end(addr, end);
      continue;
    }
    const dst_pmd = yield* pmd_alloc(dst_mm, dst_pud, addr);
    if (dst_pmd === 0) {
      ret = -ENOMEM;
      break;
    }
    const src_pmd = pmd_offset(src_pud, addr);
    const next = pmd_addr_end(addr, end);
    if (pmd_is_huge(pmdp_get(src_pmd))) {
      ret = yield* copy_huge_pmd(dst_mm, src_mm, dst_pmd, src_pmd, addr, dst_vma, src_vma);
      if (ret === -ENOMEM) {
        break;
      }
      if (ret === 0) {
        addr = next;
        continue;
      }
    }
    if (pmd_none(pmdp_get(src_pmd))) {
      ret = 0;
      addr = next;
      continue;
    }
    ret = yield* copy_pte_range(dst_vma, src_vma, dst_pmd, src_pmd, addr, next);
    if (ret !== 0) {
      break;
    }
    addr = next;
  }
  if (is_cow) {
    src_mm.write_protect_seq = src_mm.write_protect_seq + 1;
  }
  return ret;
}
