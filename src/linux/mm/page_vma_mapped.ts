/**
 * mm/page_vma_mapped.c v6.18: does this VMA map the folio at this address? Looks at the page tables
 * without locks first and takes the ptl of a table only where an entry may match.
 *
 * Fidelity: dup. A huge mapping, or its migration entry, is found with pvmw.pte 0. Also counts what a walk finds:
 * rmap:walk_hit for each entry, rmap:walk_miss for a visit that found none.
 */
import type { spinlock_t } from '../../sim/struct.ts';
import type { K } from '../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import type { folio, mm_struct, vm_area_struct } from '../mm_types.ts';
import { trace_walk_hit, trace_walk_miss } from './events.ts';
import { folio_nr_pages } from './large_folio.ts';
import { PAGE_SIZE, PMD_SIZE, PUD_SIZE } from './mm.ts';
import {
  HPAGE_PMD_NR,
  is_migration_entry,
  is_swap_pte,
  migration_pfn,
  PGDIR_SIZE,
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_is_huge,
  pmd_lock,
  pmd_offset,
  pmd_present,
  pmd_trans_huge,
  pmdp_get,
  pte_none,
  pte_offset_map,
  pte_offset_map_lock,
  pte_pfn,
  pte_present,
  type pte_ptr,
  pte_unmap,
  pteOffsetMapRcu,
  ptep_get,
  pteTableIsStill,
  ptlock_ptr,
  pud_none,
  pud_offset,
  pudp_get,
} from './pgtable.ts';
import { is_pmd_migration_entry, thp_vma_suitable_order } from './pgtable_huge.ts';
import type { rmap_walk_control } from './rmap/ops.ts';

/** Take the ptl even where the entry does not look like a match: a zap in progress is waited for. */
export const PVMW_SYNC = 1;
/** Look for migration entries instead of mappings. */
export const PVMW_MIGRATION = 2;
/** The walk went on to another page table. */
export const PVMW_PGTABLE_CROSSED = 4;

/** struct page_vma_mapped_walk. */
export interface page_vma_mapped_walk {
  readonly folio: folio;
  readonly pfn: number;
  readonly nr_pages: number;
  readonly pgoff: number;
  readonly vma: vm_area_struct;
  /** Whom to tell about hits. */
  readonly rwc: rmap_walk_control | null;
  address: number;
  pmd: pte_ptr;
  /** The entry found, 0 if none; its table is locked by `ptl`. */
  pte: pte_ptr;
  ptl: spinlock_t | null;
  flags: number;
  /** Entries found so far. */
  found: number;
}

/** DEFINE_FOLIO_VMA_WALK(). `pfn` differs from the folio's own where migration looks for the source. */
export function folio_vma_walk(
  folio: folio,
  vma: vm_area_struct,
  address: number,
  flags: number,
  rwc: rmap_walk_control | null,
  pfn: number = folio.pfn,
): page_vma_mapped_walk {
  return {
    folio,
    pfn,
    nr_pages: folio_nr_pages(folio),
    pgoff: folio.index,
    vma,
    rwc,
    address,
    pmd: 0,
    pte: 0,
    ptl: null,
    flags,
    found: 0,
  };
}

/** page_vma_mapped_walk_done(). */
export function page_vma_mapped_walk_done(pvmw: page_vma_mapped_walk): void {
  if (pvmw.ptl !== null) {
    spin_unlock(pvmw.ptl);
    pvmw.ptl = null;
  } else if (pvmw.pte !== 0) {
    pvmw.pte = pte_unmap();
  }
}

/** page_vma_mapped_walk_restart(): the huge entry just found is a table now. */
export function page_vma_mapped_walk_restart(pvmw: page_vma_mapped_walk): void {
  page_vma_mapped_walk_done(pvmw);
  pvmw.pmd = 0;
  pvmw.pte = 0;
}

function not_found(pvmw: page_vma_mapped_walk): boolean {
  page_vma_mapped_walk_done(pvmw);
  if (pvmw.found === 0) {
    trace_walk_miss({ page: pvmw.folio, vma: pvmw.vma, address: pvmw.address });
  }
  return false;
}

function is_found(pvmw: page_vma_mapped_walk): boolean {
  pvmw.found = pvmw.found + 1;
  const rwc = pvmw.rwc;
  if (rwc !== null) {
    rwc.hits = (rwc.hits ?? 0) + 1;
  }
  trace_walk_hit({ page: pvmw.folio, vma: pvmw.vma, address: pvmw.address });
  return true;
}

/**
 * map_pte(): maps the table at pvmw->address; false leaves pvmw.pte 0 (no table) or set, in an RCU read section (go to
 * the next entry).
 */
function* map_pte(pvmw: page_vma_mapped_walk): K<boolean> {
  const mm = pvmw.vma.vm_mm as mm_struct;
  if ((pvmw.flags & PVMW_SYNC) !== 0) {
    pvmw.pte = yield* pte_offset_map_lock(mm, pvmw.pmd, pvmw.address);
    if (pvmw.pte === 0) {
      return false;
    }
    pvmw.ptl = ptlock_ptr(pvmw.pte);
    return true;
  }
  for (;;) {
    const pmdval = pmdp_get(pvmw.pmd);
    pvmw.pte = pteOffsetMapRcu(pvmw.pmd, pvmw.address);
    if (pvmw.pte === 0) {
      return false;
    }
    const ptent = ptep_get(pvmw.pte);
    if ((pvmw.flags & PVMW_MIGRATION) !== 0) {
      if (!is_swap_pte(ptent)) {
        return false;
      }
    } else if (!pte_present(ptent)) {
      return false;
    }
    const ptl = ptlock_ptr(pvmw.pte);
    yield* spin_lock(ptl);
    if (pteTableIsStill(pvmw.pmd, pmdval)) {
      pvmw.ptl = ptl;
      return true;
    }
    spin_unlock(ptl);
  }
}

/** Under the ptl now, which keeps the table: ends the read section. Whether it is still the table of the PMD entry. */
function isTableOf(pvmw: page_vma_mapped_walk): boolean {
  pte_unmap();
  return pte_offset_map(pvmw.pmd, pvmw.address) === pvmw.pte;
}

/** check_pte(): under the lock: does the entry belong to the folio? */
function check_pte(pvmw: page_vma_mapped_walk): boolean {
  const ptent = ptep_get(pvmw.pte);
  let pfn: number;
  if ((pvmw.flags & PVMW_MIGRATION) !== 0) {
    if (!is_migration_entry(ptent)) {
      return false;
    }
    pfn = migration_pfn(ptent);
  } else {
    if (!pte_present(ptent)) {
      return false;
    }
    pfn = pte_pfn(ptent);
  }
  return pfn >= pvmw.pfn && pfn < pvmw.pfn + pvmw.nr_pages;
}

/** check_pmd(): do the frames from `pfn` overlap those looked for? */
const check_pmd = (pvmw: page_vma_mapped_walk, pfn: number): boolean =>
  pfn < pvmw.pfn + pvmw.nr_pages && pfn + HPAGE_PMD_NR > pvmw.pfn;

/**
 * The PMD entry looks huge, or like the migration entry of a huge page: under its lock it is the folio's, another's (or
 * not what is looked for, or gone), or a table by now.
 */
function* map_huge_pmd(pvmw: page_vma_mapped_walk): K<'found' | 'other' | 'table'> {
  pvmw.ptl = yield* pmd_lock(pvmw.pmd);
  const pmde = pmdp_get(pvmw.pmd);
  const migration = (pvmw.flags & PVMW_MIGRATION) !== 0;
  if (!pmd_present(pmde)) {
    const found = migration && is_pmd_migration_entry(pmde) && check_pmd(pvmw, migration_pfn(pmde));
    return found ? 'found' : 'other';
  }
  if (pmd_trans_huge(pmde)) {
    return !migration && check_pmd(pvmw, pte_pfn(pmde)) ? 'found' : 'other';
  }
  page_vma_mapped_walk_done(pvmw);
  return 'table';
}

const step_forward = (pvmw: page_vma_mapped_walk, size: number): void => {
  pvmw.address = pvmw.address - (pvmw.address % size) + size;
};

/** vma_address_end(): where the folio ends in the VMA. */
export function vma_address_end(pvmw: page_vma_mapped_walk): number {
  if (pvmw.nr_pages === 1) {
    return pvmw.address + PAGE_SIZE;
  }
  const pgoff = pvmw.pgoff + pvmw.nr_pages;
  const address = pvmw.vma.vm_start + (pgoff - pvmw.vma.vm_pgoff) * PAGE_SIZE;
  return address > pvmw.vma.vm_end ? pvmw.vma.vm_end : address;
}

/**
 * mm/page_vma_mapped.c: page_vma_mapped_walk() v6.18. True: pvmw.pte is an entry of the folio with its
 * table locked; call again for the next one. False: no more, nothing is locked.
 * Preconditions: the rmap lock or something else keeps the VMA linked.
 */
export function* page_vma_mapped_walk(pvmw: page_vma_mapped_walk): K<boolean> {
  const mm = pvmw.vma.vm_mm as mm_struct;
  const end = vma_address_end(pvmw);
  if (pvmw.pmd !== 0 && pvmw.pte === 0) {
    // A huge entry was the only one.
    return not_found(pvmw);
  }
  let look = pvmw.pte === 0;
  for (;;) {
    if (look) {
      if (pvmw.address >= end) {
        return not_found(pvmw);
      }
      const pgd = pgd_offset(mm, pvmw.address);
      if (pgd_none(pgdp_get(pgd))) {
        step_forward(pvmw, PGDIR_SIZE);
        continue;
      }
      const pud = pud_offset(pgd, pvmw.address);
      if (pud_none(pudp_get(pud))) {
        step_forward(pvmw, PUD_SIZE);
        continue;
      }
      pvmw.pmd = pmd_offset(pud, pvmw.address);
      if (pmd_is_huge(pmdp_get(pvmw.pmd))) {
        const huge = yield* map_huge_pmd(pvmw);
        if (huge !== 'table') {
          return huge === 'found' ? is_found(pvmw) : not_found(pvmw);
        }
      } else if (!pmd_present(pmdp_get(pvmw.pmd))) {
        if (
          (pvmw.flags & PVMW_SYNC) !== 0 &&
          thp_vma_suitable_order(pvmw.vma, pvmw.address) &&
          pvmw.nr_pages >= HPAGE_PMD_NR
        ) {
          // A zap that has cleared the entry but not yet dropped the map count is waited for.
          spin_unlock(yield* pmd_lock(pvmw.pmd));
        }
        step_forward(pvmw, PMD_SIZE);
        continue;
      }
      look = false;
      if (yield* map_pte(pvmw)) {
        if (check_pte(pvmw)) {
          return is_found(pvmw);
        }
      } else if (pvmw.pte === 0) {
        look = true;
        continue;
      }
    }
    // The next entry of this table that is not none.
    do {
      pvmw.address = pvmw.address + PAGE_SIZE;
      if (pvmw.address >= end) {
        return not_found(pvmw);
      }
      if (pvmw.address % PMD_SIZE === 0) {
        page_vma_mapped_walk_done(pvmw);
        pvmw.pte = 0;
        pvmw.flags = pvmw.flags | PVMW_PGTABLE_CROSSED;
        look = true;
        break;
      }
      pvmw.pte = pvmw.pte + 1;
    } while (pte_none(ptep_get(pvmw.pte)));
    if (look) {
      continue;
    }
    if (pvmw.ptl === null) {
      const ptl = ptlock_ptr(pvmw.pte);
      yield* spin_lock(ptl);
      pvmw.ptl = ptl;
      if (!isTableOf(pvmw)) {
        page_vma_mapped_walk_done(pvmw);
        pvmw.pte = 0;
        look = true;
        continue;
      }
    }
    if (check_pte(pvmw)) {
      return is_found(pvmw);
    }
  }
}
