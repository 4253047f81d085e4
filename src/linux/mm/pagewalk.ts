/**
 * mm/pagewalk.c v6.18: from an address to the folio mapped there.
 *
 * Lock tree: mmap_lock (caller); PMD lock or PTE lock, held from the start of a walk that found something to its end.
 * World: no huge PUDs. Fidelity: dup for folio_walk_start(); general walks are not here.
 */
import type { spinlock_t } from '../../sim/struct.ts';
import type { K } from '../../sim/wait.ts';
import { spin_unlock } from '../kernel/locking/spinlock.ts';
import { WARN_ON_ONCE } from '../lib/bug.ts';
import {
  type folio,
  mem_map,
  type mm_struct,
  type page,
  type vm_area_struct,
} from '../mm_types.ts';
import { vm_normal_page } from './memory.ts';
import { mmap_assert_locked } from './mmap_lock.ts';
import { is_zero_pfn, page_folio, ZERO_PAGE } from './page_alloc.ts';
import {
  is_migration_entry,
  migration_page,
  mm_find_pmd,
  pmd_is_huge,
  pmd_lock,
  pmd_none,
  pmd_to_swp_entry,
  pmd_trans_huge,
  pmdp_get,
  pte_index,
  pte_offset_map_lock,
  pte_page,
  pte_pfn,
  pte_present,
  type pte_ptr,
  type pte_t,
  ptep_get,
  ptlock_ptr,
} from './pgtable.ts';
import { is_huge_zero_pmd, is_pmd_migration_entry } from './pgtable_huge.ts';

/** Migration entries count as what they stand for; they expose no page. */
export const FW_MIGRATION = 1;
/** The zero page counts as well; it is not exposed either. */
export const FW_ZEROPAGE = 2;

/** struct folio_walk, and the folio that folio_walk_start() returns. */
export interface folio_walk {
  readonly folio: folio;
  /** What the address maps; null for a migration entry and the zero page. */
  readonly page: page | null;
  /** The entry; of a huge page it is the PMD. */
  readonly pte: pte_t;
  readonly ptl: spinlock_t;
}

/** vm_normal_page_pmd(): the first page of a huge entry; null for the huge zero page. */
export const vm_normal_page_pmd = vm_normal_page;

/** The page of a huge mapping that `addr` falls into. */
export const pageInHugePmd = (head: page, addr: number): page =>
  mem_map.at(head.pfn + pte_index(addr));

/** The part of folio_walk_start() below a PMD that is no leaf: ends with the PTE lock held if something is found. */
function* walkPte(
  vma: vm_area_struct,
  pmdp: pte_ptr,
  addr: number,
  flags: number,
): K<folio_walk | null> {
  const ptep = yield* pte_offset_map_lock(vma.vm_mm as mm_struct, pmdp, addr);
  if (ptep === 0) {
    return null;
  }
  const ptl = ptlock_ptr(ptep);
  const pte = ptep_get(ptep);
  if (pte_present(pte)) {
    const page = vm_normal_page(vma, addr, pte);
    if (page !== null) {
      return { folio: page_folio(page), page, pte, ptl };
    }
    if ((flags & FW_ZEROPAGE) !== 0 && is_zero_pfn(pte_pfn(pte))) {
      return { folio: ZERO_PAGE(), page: null, pte, ptl };
    }
  } else if ((flags & FW_MIGRATION) !== 0 && is_migration_entry(pte)) {
    return { folio: page_folio(migration_page(pte)), page: null, pte, ptl };
  }
  spin_unlock(ptl);
  return null;
}

/**
 * mm/pagewalk.c: folio_walk_start() v6.18: the folio mapped at `addr`, with the lock of its entry, or null.
 * It cannot be unmapped before folio_walk_end(), nor is it safe to use after that without a reference.
 * Preconditions: mmap_lock, `addr` inside the VMA.
 */
export function* folio_walk_start(
  vma: vm_area_struct,
  addr: number,
  flags: number,
): K<folio_walk | null> {
  mmap_assert_locked(vma.vm_mm as mm_struct);
  if (WARN_ON_ONCE(addr < vma.vm_start || addr >= vma.vm_end, 'addr outside of the VMA')) {
    return null;
  }
  const pmdp = mm_find_pmd(vma.vm_mm as mm_struct, addr);
  if (pmdp === 0 || pmd_none(pmdp_get(pmdp))) {
    return null;
  }
  if (pmd_is_huge(pmdp_get(pmdp))) {
    const ptl = yield* pmd_lock(pmdp);
    const pmd = pmdp_get(pmdp);
    if (pmd_trans_huge(pmd)) {
      const head = vm_normal_page_pmd(vma, addr, pmd);
      if (head !== null) {
        return { folio: page_folio(head), page: pageInHugePmd(head, addr), pte: pmd, ptl };
      }
      if ((flags & FW_ZEROPAGE) !== 0 && is_huge_zero_pmd(pmd)) {
        return { folio: pte_page(pmd), page: null, pte: pmd, ptl };
      }
    } else if ((flags & FW_MIGRATION) !== 0 && is_pmd_migration_entry(pmd)) {
      const entry = pmd_to_swp_entry(pmd);
      return { folio: page_folio(migration_page(entry)), page: null, pte: entry, ptl };
    }
    spin_unlock(ptl);
    if (pmd_none(pmd) || pmd_is_huge(pmd)) {
      return null;
    }
    // It was split before we had the lock.
  }
  return yield* walkPte(vma, pmdp, addr, flags);
}

/** include/linux/pagewalk.h: folio_walk_end() v6.18. */
export function folio_walk_end(fw: folio_walk): void {
  spin_unlock(fw.ptl);
}
