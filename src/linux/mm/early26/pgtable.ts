/**
 * mm/memory.c v2.6.0 to v2.6.7: page tables under one spinlock, mm->page_table_lock. Whoever needs a new table
 * drops the lock to allocate it and looks again.
 *
 * The struct page of a page table holds `mapping` = mm and `index` = the first address it maps, so that an
 * entry tells its place (asm-generic/rmap.h). Here that is the ptdesc of the table: pt_mm, and the second word
 * of its own lock, which these kernels do not have. Fidelity: dup, with four levels for three; allocating a table
 * does not fail.
 */
import { read_heap, write_heap, write_pte } from '../../../sim/cpu.ts';
import type { K } from '../../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import type { mm_struct } from '../../mm_types.ts';
import { PAGE_SIZE, PMD_SIZE } from '../mm.ts';
import {
  mm_find_pmd,
  page_ptdesc,
  pagetable_alloc_pte,
  pagetable_free,
  pgd_offset,
  pmd_none,
  pmd_offset,
  pmdp_get,
  pte_offset,
  type pte_ptr,
  ptep_get,
  pud_offset,
  table_entry,
  table_of,
} from '../pgtable.ts';
import type { ptdesc } from '../pgtable_types.ts';

const PTRS_PER_TABLE = 512;

/** asm-generic/rmap.h: pgtable_add_rmap() v2.6.0. */
function pgtable_add_rmap(pt: ptdesc, address: number): void {
  write_heap(pt.ptl + 1, address - (address % PMD_SIZE));
}

/** asm-generic/rmap.h: ptep_to_mm() v2.6.0. */
export function ptep_to_mm(ptep: pte_ptr): mm_struct {
  return page_ptdesc(table_of(ptep)).pt_mm as mm_struct;
}

/** asm-generic/rmap.h: ptep_to_address() v2.6.0. */
export function ptep_to_address(ptep: pte_ptr): number {
  const first = read_heap(page_ptdesc(table_of(ptep)).ptl + 1);
  return first + (ptep % PTRS_PER_TABLE) * PAGE_SIZE;
}

/** The entry `at` of an upper table points to a lower one afterwards. Preconditions: ptl; it is dropped meanwhile. */
function* populate(mm: mm_struct, at: pte_ptr, address: number, level: number): K {
  if (ptep_get(at) !== 0) {
    return;
  }
  spin_unlock(mm.page_table_lock);
  const pt = pagetable_alloc_pte(mm);
  pt.level = level;
  yield* spin_lock(mm.page_table_lock);
  if (ptep_get(at) !== 0) {
    // Somebody else was faster.
    pagetable_free(pt);
    return;
  }
  pgtable_add_rmap(pt, address);
  mm.pgtables_bytes = mm.pgtables_bytes + PAGE_SIZE;
  write_pte(at, table_entry(pt));
}

/** The PMD entry of `address`, its tables made if need be: pmd_alloc() v2.6.0. Preconditions: ptl; it may be dropped. */
export function* allocPmd(mm: mm_struct, address: number): K<pte_ptr> {
  const pgd = pgd_offset(mm, address);
  yield* populate(mm, pgd, address, 3);
  const pud = pud_offset(pgd, address);
  yield* populate(mm, pud, address, 2);
  return pmd_offset(pud, address);
}

/** mm/memory.c: pte_alloc_map() v2.6.0. Preconditions: ptl; it may be dropped. */
export function* pte_alloc_map(mm: mm_struct, pmd: pte_ptr, address: number): K<pte_ptr> {
  yield* populate(mm, pmd, address, 1);
  return pte_offset(pmd, address);
}

/** The entry of `address` if its tables exist, else 0. Preconditions: ptl. */
export function findPte(mm: mm_struct, address: number): pte_ptr {
  const pmd = mm_find_pmd(mm, address);
  return pmd === 0 || pmd_none(pmdp_get(pmd)) ? 0 : pte_offset(pmd, address);
}
