/**
 * arch/x86/include/asm/pgtable.h, mm/pgtable-generic.c v6.18: PMD entries that map a huge page. The value is that of
 * a PTE with _PAGE_PSE; the huge zero page has _PAGE_SPECIAL too. A PMD that pmdp_invalidate() took the access
 * from keeps _PAGE_PSE and its frame. Fidelity: dup (decisions), custom (encoding: mm/pgtable.ts).
 */
import type { spinlock_t } from '../../sim/struct.ts';
import type { K } from '../../sim/wait.ts';
import { spin_unlock } from '../kernel/locking/spinlock.ts';
import { VM_BUG_ON } from '../lib/bug.ts';
import type { folio, mm_struct, vm_area_struct } from '../mm_types.ts';
import { trace_pte_clear, trace_pte_set } from './events.ts';
import { should_failslab } from './failslab.ts';
import { PAGE_SIZE, PMD_SIZE, vma_is_anonymous } from './mm.ts';
import { NODE_DATA } from './node.ts';
import {
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_PSE,
  HPAGE_PMD_NR,
  is_swap_pmd,
  page_ptdesc,
  pagetable_alloc_pte,
  pagetable_free,
  pfn_pte,
  pmd_is_huge,
  pmd_lock,
  pmd_to_swp_entry,
  pmd_trans_huge,
  pmdp_get,
  pte_modify,
  type pte_ptr,
  pte_special,
  type pte_t,
  set_pmd_at,
  table_entry,
  table_of,
} from './pgtable.ts';
import type { ptdesc } from './pgtable_types.ts';

/** HPAGE_PMD_MASK. */
export const huge_base = (address: number): number => address - (address % PMD_SIZE);

/** include/linux/huge_mm.h: thp_vma_suitable_order() v6.18 for order 9: the block lies in the VMA, page offset aligned. */
export function thp_vma_suitable_order(vma: vm_area_struct, addr: number): boolean {
  if (!vma_is_anonymous(vma) && (vma.vm_start / PAGE_SIZE - vma.vm_pgoff) % HPAGE_PMD_NR !== 0) {
    return false;
  }
  const haddr = huge_base(addr);
  return haddr >= vma.vm_start && haddr + PMD_SIZE <= vma.vm_end;
}

/** folio_mk_pmd(). */
export function folio_mk_pmd(folio: folio, prot: number): pte_t {
  return pfn_pte(folio.pfn, prot | _PAGE_PSE);
}

/** pmd_modify(): a new protection, same frame and history. */
export const pmd_modify = (pmd: pte_t, newprot: number): pte_t =>
  (pte_modify(pmd, newprot) | _PAGE_PSE) >>> 0;

/** is_huge_zero_pmd(). */
export function is_huge_zero_pmd(pmd: pte_t): boolean {
  return pmd_trans_huge(pmd) && pte_special(pmd) && pmd >>> 8 === NODE_DATA().huge_zero_folio - 1;
}

/** is_pmd_migration_entry(): no other entry without a page is ever in a PMD. */
export const is_pmd_migration_entry = is_swap_pmd;

/** An entry for the event log, where migration entries of both levels look alike. */
const logged = (pmd: pte_t): pte_t => (is_pmd_migration_entry(pmd) ? pmd_to_swp_entry(pmd) : pmd);

/** set_pmd_at() of a huge entry, or of its migration entry. Preconditions: PMD lock. */
export function set_huge_pmd(mm: mm_struct, haddr: number, pmd: pte_ptr, value: pte_t): void {
  const old = pmdp_get(pmd);
  set_pmd_at(pmd, value);
  trace_pte_set({ mm, address: haddr, pte: logged(value), old: logged(old) });
}

/** pmdp_huge_get_and_clear(), pmdp_huge_clear_flush(). */
export function pmdp_huge_get_and_clear(mm: mm_struct, haddr: number, pmd: pte_ptr): pte_t {
  const old = pmdp_get(pmd);
  set_pmd_at(pmd, 0);
  trace_pte_clear({ mm, address: haddr, old: logged(old) });
  return old;
}

/** pmdp_invalidate(): nobody can access it any more, but it is still a huge entry. Returns the old one. */
export function pmdp_invalidate(vma: vm_area_struct, haddr: number, pmd: pte_ptr): pte_t {
  const old = pmdp_get(pmd);
  set_huge_pmd(vma.vm_mm as mm_struct, haddr, pmd, (old & ~(_PAGE_PRESENT | _PAGE_PROTNONE)) >>> 0);
  return old;
}

/**
 * pmd_trans_huge_lock(), __pmd_trans_huge_lock(): the lock, if under it the entry is huge or the migration entry of a huge
 * page; else null.
 */
export function* pmd_trans_huge_lock(pmd: pte_ptr): K<spinlock_t | null> {
  const ptl = yield* pmd_lock(pmd);
  if (pmd_is_huge(pmdp_get(pmd))) {
    return ptl;
  }
  spin_unlock(ptl);
  return null;
}

/** pte_alloc_one(): a PTE table that is in no upper entry yet. NULL when memory is short. */
export const pte_alloc_one = (mm: mm_struct): ptdesc | null =>
  should_failslab() ? null : pagetable_alloc_pte(mm);
/** pte_free(). */
export const pte_free = (pgtable: ptdesc): void => pagetable_free(pgtable);

/** mm_inc_nr_ptes(). */
export function mm_inc_nr_ptes(mm: mm_struct): void {
  mm.pgtables_bytes = mm.pgtables_bytes + PAGE_SIZE;
}
/** mm_dec_nr_ptes(). */
export function mm_dec_nr_ptes(mm: mm_struct): void {
  mm.pgtables_bytes = mm.pgtables_bytes - PAGE_SIZE;
}

/** pgtable_trans_huge_deposit(): a huge PMD keeps the table that splitting it will need. Preconditions: PMD lock. */
export function pgtable_trans_huge_deposit(pmd: pte_ptr, pgtable: ptdesc): void {
  const owner = page_ptdesc(table_of(pmd));
  pgtable.pt_next = owner.pmd_huge_pte;
  owner.pmd_huge_pte = pgtable;
}

/** pgtable_trans_huge_withdraw(). Preconditions: PMD lock; something is deposited. */
export function pgtable_trans_huge_withdraw(pmd: pte_ptr): ptdesc {
  const owner = page_ptdesc(table_of(pmd));
  const pgtable = owner.pmd_huge_pte;
  VM_BUG_ON(pgtable === null, '!pmd_huge_pte(mm, pmdp)');
  owner.pmd_huge_pte = (pgtable as ptdesc).pt_next;
  (pgtable as ptdesc).pt_next = null;
  return pgtable as ptdesc;
}

/** pmd_populate(): the entry points to a table. */
export function pmd_populate(pmd: pte_ptr, pgtable: ptdesc): void {
  set_pmd_at(pmd, table_entry(pgtable));
}
