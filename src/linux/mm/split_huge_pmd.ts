/**
 * mm/huge_memory.c v6.18: from one huge PMD to a table of 512 PTEs; the folio stays one folio. Atomic under the PMD
 * lock. Fidelity: dup for anonymous memory.
 */
import type { K } from '../../sim/wait.ts';
import { spin_unlock } from '../kernel/locking/spinlock.ts';
import { VM_BUG_ON_VMA, VM_WARN_ON_FOLIO } from '../lib/bug.ts';
import type { folio, mm_struct, vm_area_struct } from '../mm_types.ts';
import { trace_thp_split_pmd } from './events.ts';
import { PAGE_SIZE, PMD_SIZE } from './mm.ts';
import { folio_get, page_folio, ZERO_PFN } from './page_alloc.ts';
import { folio_set, folio_test_anon, PageAnonExclusive, PG_dirty } from './page-flags.ts';
import {
  HPAGE_PMD_NR,
  make_migration_pte,
  mk_pte,
  mm_find_pmd,
  PTRS_PER_PTE,
  pfn_pte,
  pmd_is_huge,
  pmd_lock,
  pmd_to_swp_entry,
  pmdp_get,
  pte_dirty,
  pte_mkdirty,
  pte_mkold,
  pte_mkspecial,
  pte_mkwrite,
  pte_mkyoung,
  pte_page,
  type pte_ptr,
  type pte_t,
  pte_write,
  pte_wrprotect,
  pte_young,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  set_pte_at,
} from './pgtable.ts';
import {
  huge_base,
  is_huge_zero_pmd,
  is_pmd_migration_entry,
  pgtable_trans_huge_withdraw,
  pmd_populate,
  pmdp_huge_get_and_clear,
  pmdp_invalidate,
} from './pgtable_huge.ts';
import type { ptdesc } from './pgtable_types.ts';
import {
  folio_add_anon_rmap_ptes,
  folio_remove_rmap_pmd,
  folio_try_share_anon_rmap_pmd,
  RMAP_EXCLUSIVE,
  RMAP_NONE,
} from './rmap.ts';
import { folio_put } from './swap.ts';

// ---- from one huge entry to a table

/** All entries of an empty table at once: set_ptes(). */
function fill_table(
  mm: mm_struct,
  haddr: number,
  pgtable: ptdesc,
  first: pte_t,
  step: number,
): void {
  const pte = pgtable.table * PTRS_PER_PTE;
  for (let i = 0; i < PTRS_PER_PTE; i++) {
    set_pte_at(mm, haddr + i * PAGE_SIZE, pte + i, (first + i * step) >>> 0);
  }
}

/** What one frame more is in an entry. */
const NEXT_PFN = 1 << 8;

/** mm/huge_memory.c: __split_huge_zero_page_pmd() v6.18: 512 entries of the small zero page. */
function __split_huge_zero_page_pmd(vma: vm_area_struct, haddr: number, pmd: pte_ptr): void {
  const mm = vma.vm_mm as mm_struct;
  pmdp_huge_get_and_clear(mm, haddr, pmd);
  const pgtable = pgtable_trans_huge_withdraw(pmd);
  fill_table(mm, haddr, pgtable, pte_mkspecial(pfn_pte(ZERO_PFN, vma.vm_page_prot)), 0);
  pmd_populate(pmd, pgtable);
}

/** The entry of the first page after a split that leaves the folio mapped. */
function splitEntry(vma: vm_area_struct, folio: folio, old_pmd: pte_t): pte_t {
  let entry = mk_pte(folio, vma.vm_page_prot);
  // The bits of the huge entry, whatever the VMA's protection has become meanwhile.
  entry = pte_write(old_pmd) ? pte_mkwrite(entry) : pte_wrprotect(entry);
  entry = pte_young(old_pmd) ? pte_mkyoung(entry) : pte_mkold(entry);
  return pte_dirty(old_pmd) ? pte_mkdirty(entry) : entry;
}

/**
 * The migration entry of a huge page becomes those of its 512 pages; nobody maps them, so that no count changes.
 * Preconditions: PMD lock.
 */
function splitMigrationEntry(vma: vm_area_struct, haddr: number, pmd: pte_ptr): void {
  const pgtable = pgtable_trans_huge_withdraw(pmd);
  const first = pmd_to_swp_entry(pmdp_get(pmd));
  fill_table(vma.vm_mm as mm_struct, haddr, pgtable, first, NEXT_PFN);
  pmd_populate(pmd, pgtable);
}

/** The entry of the first page after a split with freeze. */
function frozenEntry(folio: folio, old_pmd: pte_t, anon_exclusive: boolean): pte_t {
  let kind = SWP_MIGRATION_READ;
  if (pte_write(old_pmd)) {
    kind = SWP_MIGRATION_WRITE;
  } else if (anon_exclusive) {
    kind = SWP_MIGRATION_READ_EXCLUSIVE;
  }
  return make_migration_pte(folio.pfn, kind, pte_young(old_pmd), pte_dirty(old_pmd));
}

/**
 * mm/huge_memory.c: __split_huge_pmd_locked() v6.18 for anonymous memory. The folio stays one folio, mapped by 512 PTEs;
 * with `freeze` they are migration entries, unless the folio may be pinned. Preconditions: PMD lock, entry huge or the
 * migration entry of a huge page.
 */
export function* split_huge_pmd_locked(
  vma: vm_area_struct,
  haddr: number,
  pmd: pte_ptr,
  freeze: boolean,
): K {
  const mm = vma.vm_mm as mm_struct;
  VM_BUG_ON_VMA(
    vma.vm_start > haddr || vma.vm_end < haddr + PMD_SIZE,
    vma,
    'vma->vm_start > haddr || vma->vm_end < haddr + HPAGE_PMD_SIZE',
  );
  trace_thp_split_pmd({ vma, address: haddr, freeze: freeze ? 1 : 0 });
  if (is_huge_zero_pmd(pmdp_get(pmd))) {
    __split_huge_zero_page_pmd(vma, haddr, pmd);
    return;
  }
  if (is_pmd_migration_entry(pmdp_get(pmd))) {
    splitMigrationEntry(vma, haddr, pmd);
    return;
  }
  const old_pmd = pmdp_invalidate(vma, haddr, pmd);
  const page = pte_page(old_pmd);
  const folio = page_folio(page);
  if (pte_dirty(old_pmd)) {
    folio_set(folio, PG_dirty);
  }
  VM_WARN_ON_FOLIO(!folio_test_anon(folio), folio, '!folio_test_anon(folio)');
  const anon_exclusive = PageAnonExclusive(page);
  const frozen = freeze && !(anon_exclusive && folio_try_share_anon_rmap_pmd(folio, page) !== 0);
  if (!frozen) {
    folio_get(folio, HPAGE_PMD_NR - 1);
    const rmap_flags = anon_exclusive ? RMAP_EXCLUSIVE : RMAP_NONE;
    folio_add_anon_rmap_ptes(folio, page, HPAGE_PMD_NR, vma, haddr, rmap_flags);
  }
  const pgtable = pgtable_trans_huge_withdraw(pmd);
  const first = frozen
    ? frozenEntry(folio, old_pmd, anon_exclusive)
    : splitEntry(vma, folio, old_pmd);
  fill_table(mm, haddr, pgtable, first, NEXT_PFN);
  folio_remove_rmap_pmd(folio, page, vma);
  if (frozen) {
    folio_put(folio);
  }
  // Only now can a walk find the table.
  pmd_populate(pmd, pgtable);
}

/** mm/huge_memory.c: __split_huge_pmd() v6.18. Nothing happens when the entry is not huge (any more). */
export function* __split_huge_pmd(
  vma: vm_area_struct,
  pmd: pte_ptr,
  address: number,
  freeze: boolean,
): K {
  const ptl = yield* pmd_lock(pmd);
  if (pmd_is_huge(pmdp_get(pmd))) {
    yield* split_huge_pmd_locked(vma, huge_base(address), pmd, freeze);
  }
  spin_unlock(ptl);
}

/** mm/huge_memory.c: split_huge_pmd_address() v6.18. */
export function* split_huge_pmd_address(vma: vm_area_struct, address: number, freeze: boolean): K {
  const pmd = mm_find_pmd(vma.vm_mm as mm_struct, address);
  if (pmd !== 0) {
    yield* __split_huge_pmd(vma, pmd, address, freeze);
  }
}

/** mm/huge_memory.c: split_huge_pmd_if_needed() v6.18: a boundary inside a block that could be huge. */
function* split_huge_pmd_if_needed(vma: vm_area_struct, address: number): K {
  const haddr = huge_base(address);
  if (address !== haddr && vma.vm_start <= haddr && haddr + PMD_SIZE <= vma.vm_end) {
    yield* split_huge_pmd_address(vma, address, false);
  }
}

/**
 * mm/huge_memory.c: vma_adjust_trans_huge() v6.18: before a VMA gets new boundaries: no huge PMD may straddle one.
 * Preconditions: vma_prepare() was called.
 */
export function* vma_adjust_trans_huge(
  vma: vm_area_struct,
  start: number,
  end: number,
  next: vm_area_struct | null,
): K {
  yield* split_huge_pmd_if_needed(vma, start);
  yield* split_huge_pmd_if_needed(vma, end);
  if (next !== null) {
    yield* split_huge_pmd_if_needed(next, end);
  }
}
