/**
 * mm/huge_memory.c v6.18: the migration entry of a huge page that one PMD entry maps: made and resolved by migration,
 * met by fork and mprotect. The table deposited for the PMD stays, and the pages stay counted as resident.
 *
 * Lock tree: folio lock (migration), rmap lock or mmap_lock, PMD lock. Fidelity: dup for anonymous memory.
 */
import { EBUSY } from '../errno.ts';
import { VM_BUG_ON } from '../lib/bug.ts';
import type { mm_struct, page } from '../mm_types.ts';
import { trace_remove_migration_pmd, trace_set_migration_pmd } from './events.ts';
import { add_mm_counter, MM_ANONPAGES } from './mm_counter.ts';
import { folio_get, page_folio } from './page_alloc.ts';
import type { page_vma_mapped_walk } from './page_vma_mapped.ts';
import { folio_test_anon, folio_test_dirty, PageAnonExclusive } from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import {
  HPAGE_PMD_NR,
  is_migration_entry_dirty,
  is_migration_entry_young,
  is_readable_migration_entry,
  is_writable_migration_entry,
  make_migration_pte,
  migration_page,
  migration_pte_with_kind,
  pmd_to_swp_entry,
  pmdp_get,
  pte_dirty,
  pte_mkdirty,
  pte_mkold,
  pte_mkwrite,
  type pte_ptr,
  pte_write,
  pte_young,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  swp_entry_to_pmd,
} from './pgtable.ts';
import {
  folio_mk_pmd,
  huge_base,
  mm_inc_nr_ptes,
  pgtable_trans_huge_deposit,
  pmdp_invalidate,
  set_huge_pmd,
} from './pgtable_huge.ts';
import type { ptdesc } from './pgtable_types.ts';
import {
  folio_add_anon_rmap_pmd,
  folio_remove_rmap_pmd,
  folio_try_share_anon_rmap_pmd,
  RMAP_EXCLUSIVE,
  RMAP_NONE,
} from './rmap.ts';
import { folio_put } from './swap.ts';

/**
 * mm/huge_memory.c: set_pmd_migration_entry() v6.18: the huge mapping that a walk has found becomes a migration entry. 0,
 * or -EBUSY: the folio may be pinned, nothing changed. Preconditions: PMD lock, folio locked and referenced.
 */
export function set_pmd_migration_entry(pvmw: page_vma_mapped_walk, page: page): number {
  const { vma, address, pmd } = pvmw;
  const folio = page_folio(page);
  const mm = vma.vm_mm as mm_struct;
  // First nobody can write to it any more; then whether somebody has pinned it is known for good.
  const pmdval = pmdp_invalidate(vma, address, pmd);
  const anon_exclusive = folio_test_anon(folio) && PageAnonExclusive(page);
  if (anon_exclusive && folio_try_share_anon_rmap_pmd(folio, page) !== 0) {
    set_huge_pmd(mm, address, pmd, pmdval);
    return -EBUSY;
  }
  if (pte_dirty(pmdval)) {
    folio_mark_dirty(folio);
  }
  let kind = SWP_MIGRATION_READ;
  if (pte_write(pmdval)) {
    kind = SWP_MIGRATION_WRITE;
  } else if (anon_exclusive) {
    kind = SWP_MIGRATION_READ_EXCLUSIVE;
  }
  const entry = make_migration_pte(page.pfn, kind, pte_young(pmdval), pte_dirty(pmdval));
  set_huge_pmd(mm, address, pmd, swp_entry_to_pmd(entry));
  folio_remove_rmap_pmd(folio, page, vma);
  folio_put(folio);
  trace_set_migration_pmd({ address, pmd: entry });
  return 0;
}

/**
 * mm/huge_memory.c: remove_migration_pmd() v6.18: the migration entry that a walk has found maps `page`, the head of the
 * target. Preconditions: PMD lock, both folios locked.
 */
export function remove_migration_pmd(pvmw: page_vma_mapped_walk, page: page): void {
  const { vma, address, pmd } = pvmw;
  const folio = page_folio(page);
  const haddr = huge_base(address);
  const entry = pmd_to_swp_entry(pmdp_get(pmd));
  folio_get(folio);
  let pmde = folio_mk_pmd(folio, vma.vm_page_prot);
  if (is_writable_migration_entry(entry)) {
    pmde = pte_mkwrite(pmde);
  }
  if (!is_migration_entry_young(entry)) {
    pmde = pte_mkold(pmde);
  }
  if (folio_test_dirty(folio) && is_migration_entry_dirty(entry)) {
    pmde = pte_mkdirty(pmde);
  }
  const flags = is_readable_migration_entry(entry) ? RMAP_NONE : RMAP_EXCLUSIVE;
  folio_add_anon_rmap_pmd(folio, page, vma, haddr, flags);
  VM_BUG_ON(
    pte_write(pmde) && folio_test_anon(folio) && !PageAnonExclusive(page),
    'pmd_write(pmde) && folio_test_anon(folio) && !PageAnonExclusive(new)',
  );
  set_huge_pmd(vma.vm_mm as mm_struct, haddr, pmd, pmde);
  trace_remove_migration_pmd({ address, pmd: pmde });
}

/**
 * The part of mm/huge_memory.c: copy_huge_pmd() v6.18 for a folio that is being migrated: parent and child get it back
 * read-only and shared. Preconditions: both PMD locks; `pgtable` is for the child.
 */
export function copyMigrationPmd(
  dst_mm: mm_struct,
  src_mm: mm_struct,
  dst_pmd: pte_ptr,
  src_pmd: pte_ptr,
  addr: number,
  pgtable: ptdesc,
): void {
  const entry = pmd_to_swp_entry(pmdp_get(src_pmd));
  const pmd = swp_entry_to_pmd(migration_pte_with_kind(entry, SWP_MIGRATION_READ));
  if (!is_readable_migration_entry(entry)) {
    set_huge_pmd(src_mm, addr, src_pmd, pmd);
  }
  add_mm_counter(dst_mm, MM_ANONPAGES, HPAGE_PMD_NR);
  mm_inc_nr_ptes(dst_mm);
  pgtable_trans_huge_deposit(dst_pmd, pgtable);
  set_huge_pmd(dst_mm, addr, dst_pmd, pmd);
}

/**
 * The part of mm/huge_memory.c: change_huge_pmd() v6.18 for a folio that is being migrated: what was writable comes back
 * read-only, whatever the new protection. Preconditions: PMD lock.
 */
export function changeMigrationPmd(mm: mm_struct, addr: number, pmd: pte_ptr): void {
  const entry = pmd_to_swp_entry(pmdp_get(pmd));
  if (is_writable_migration_entry(entry)) {
    const anon = folio_test_anon(page_folio(migration_page(entry)));
    const kind = anon ? SWP_MIGRATION_READ_EXCLUSIVE : SWP_MIGRATION_READ;
    set_huge_pmd(mm, addr, pmd, swp_entry_to_pmd(migration_pte_with_kind(entry, kind)));
  }
}
