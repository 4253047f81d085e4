/**
 * mm/rmap.c v6.18: the walks that take a folio out of all page tables: try_to_unmap() for reclaim, try_to_migrate()
 * for migration and folio splitting.
 *
 * Lock tree: folio lock, mapping->i_mmap_rwsem or anon_vma.root->rwsem, ptl. Fidelity: dup; hugetlb, device memory and TLB batching are left out.
 */

import type { K } from '../../sim/wait.ts';
import { VM_BUG_ON_FOLIO, VM_WARN_ON_FOLIO, WARN_ON_ONCE } from '../lib/bug.ts';
import { type folio, mem_map, type mm_struct, type vm_area_struct } from '../mm_types.ts';
import { trace_set_migration_pte } from './events.ts';
import { unmap_huge_pmd_locked } from './huge_pmd_advice.ts';
import {
  folio_mapcount,
  folio_mapped,
  folio_nr_pages,
  folio_test_pmd_mappable,
} from './large_folio.ts';
import { PAGE_SIZE, VM_DROPPABLE, VM_LOCKED, vma_is_temporary_stack } from './mm.ts';
import {
  add_mm_counter,
  dec_mm_counter,
  inc_mm_counter,
  MM_ANONPAGES,
  MM_SWAPENTS,
  mm_counter_file,
} from './mm_counter.ts';
import { mmlistAdd } from './mmlist.ts';
import { folio_ref_count } from './page_alloc.ts';
import {
  folio_vma_walk,
  page_vma_mapped_walk as next_mapping,
  PVMW_PGTABLE_CROSSED,
  PVMW_SYNC,
  type page_vma_mapped_walk,
  page_vma_mapped_walk_done,
  page_vma_mapped_walk_restart,
} from './page_vma_mapped.ts';
import {
  folio_set,
  folio_test_anon,
  folio_test_dirty,
  folio_test_ksm,
  folio_test_large,
  folio_test_swapbacked,
  folio_test_swapcache,
  PageAnonExclusive,
  PG_swapbacked,
} from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import {
  make_migration_pte,
  pmd_addr_end,
  pmdp_get,
  pte_dirty,
  pte_mkdirty,
  pte_mkyoung,
  pte_page,
  pte_pfn,
  type pte_ptr,
  pte_swp_mkexclusive,
  type pte_t,
  pte_write,
  pte_young,
  ptep_clear_flush,
  ptep_get,
  ptep_get_and_clear,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  set_pte_at,
  swp_entry_to_pte,
} from './pgtable.ts';
import { set_pmd_migration_entry } from './pmd_migration.ts';
import { FPB_RESPECT_WRITE, folio_pte_batch_flags, set_ptes } from './pte_batch.ts';
import { folio_lock_anon_vma_read } from './rmap/anon_vma_life.ts';
import type { rmap_walk_control } from './rmap/ops.ts';
import {
  folio_remove_rmap_pte,
  folio_remove_rmap_ptes,
  folio_try_share_anon_rmap_pte,
  rmap_walk,
  rmap_walk_locked,
} from './rmap.ts';
import { split_huge_pmd_locked } from './split_huge_pmd.ts';
import { folio_put, folio_put_refs, mlock_drain_local, mlock_vma_folio } from './swap.ts';
import { page_swap_entry, swap_duplicate, swap_free } from './swapfile.ts';

/** enum ttu_flags. */
export const TTU_SPLIT_HUGE_PMD = 0x4;
export const TTU_IGNORE_MLOCK = 0x8;
export const TTU_SYNC = 0x10;
export const TTU_BATCH_FLUSH = 0x40;
export const TTU_RMAP_LOCKED = 0x80;

const folio_not_mapped = (folio: folio): boolean => !folio_mapped(folio);

// ---- try_to_unmap()

/** mm/rmap.c: folio_unmap_pte_batch() v6.18: entries to unmap at once: more than one only of a lazily freed large folio. */
function folio_unmap_pte_batch(folio: folio, pvmw: page_vma_mapped_walk): number {
  if (!folio_test_large(folio) || !folio_test_anon(folio) || folio_test_swapbacked(folio)) {
    return 1;
  }
  const end_addr = pmd_addr_end(pvmw.address, pvmw.vma.vm_end);
  const max_nr = (end_addr - pvmw.address) / PAGE_SIZE;
  // A batch that has to be put back gets its first entry's write bit.
  return folio_pte_batch_flags(folio, pvmw.pte, max_nr, FPB_RESPECT_WRITE);
}

/** get_and_clear_ptes(): the first entry, dirty and young if any was. Preconditions: ptl. */
function get_and_clear_ptes(mm: mm_struct, address: number, pte: pte_ptr, nr: number): pte_t {
  let first = ptep_get_and_clear(mm, address, pte);
  for (let i = 1; i < nr; i++) {
    const next = ptep_get_and_clear(mm, address + i * PAGE_SIZE, pte + i);
    first = pte_dirty(next) ? pte_mkdirty(first) : first;
    first = pte_young(next) ? pte_mkyoung(first) : first;
  }
  return first;
}

/**
 * mm/rmap.c: try_to_unmap_one() v6.18: replaces the entries of one VMA by swap entries (anonymous) or
 * clears them (page cache). False stops the walk: the folio stays mapped.
 */
function* try_to_unmap_one(
  folio: folio,
  vma: vm_area_struct,
  address: number,
  rwc: rmap_walk_control,
): K<boolean> {
  const mm = vma.vm_mm as mm_struct;
  const flags = rwc.arg as number;
  const pvmw = folio_vma_walk(folio, vma, address, 0, rwc);
  if ((flags & TTU_SYNC) !== 0) {
    // A zap that has cleared the entry but not yet dropped the map count is waited for at the ptl.
    pvmw.flags = PVMW_SYNC;
  }
  let ret = true;
  let ptes = 0;
  while (yield* next_mapping(pvmw)) {
    if ((flags & TTU_IGNORE_MLOCK) === 0 && (vma.vm_flags & VM_LOCKED) !== 0) {
      ptes = ptes + 1;
      ret = false;
      // Only a folio that is mapped as a whole is mlocked, under the lock of all its entries.
      if (pvmw.pte !== 0 && ptes !== pvmw.nr_pages) {
        continue;
      }
      if ((pvmw.flags & PVMW_PGTABLE_CROSSED) === 0) {
        mlock_vma_folio(folio, vma);
      }
      page_vma_mapped_walk_done(pvmw);
      break;
    }
    if (pvmw.pte === 0) {
      if (folio_test_anon(folio) && !folio_test_swapbacked(folio)) {
        ret = unmap_huge_pmd_locked(vma, pvmw.address, pvmw.pmd, folio);
        page_vma_mapped_walk_done(pvmw);
        break;
      }
      // A huge mapping is split and looked at again.
      VM_BUG_ON_FOLIO((flags & TTU_SPLIT_HUGE_PMD) === 0, folio, '!pvmw.pte');
      yield* split_huge_pmd_locked(vma, pvmw.address, pvmw.pmd, false);
      page_vma_mapped_walk_restart(pvmw);
      continue;
    }
    const subpage = pte_page(ptep_get(pvmw.pte));
    const anon_exclusive = folio_test_anon(folio) && PageAnonExclusive(subpage);
    const nr_pages = folio_unmap_pte_batch(folio, pvmw);
    // From here until the entry is rewritten the address has none: a fault waits at the ptl.
    const pteval = get_and_clear_ptes(mm, pvmw.address, pvmw.pte, nr_pages);
    if (pte_dirty(pteval)) {
      folio_mark_dirty(folio);
    }
    if (folio_test_anon(folio)) {
      if (folio_test_swapbacked(folio) !== folio_test_swapcache(folio)) {
        WARN_ON_ONCE(true, 'folio_test_swapbacked(folio) != folio_test_swapcache(folio)');
        page_vma_mapped_walk_done(pvmw);
        return false;
      }
      if (!folio_test_swapbacked(folio)) {
        // MADV_FREE: dropped without a copy, unless somebody has used it since. The counts are read first:
        // a user marks the folio dirty before it drops its reference, so that one of the two is seen.
        const ref_count = folio_ref_count(folio);
        const map_count = folio_mapcount(folio);
        if (folio_test_dirty(folio) && (vma.vm_flags & VM_DROPPABLE) === 0) {
          set_ptes(mm, pvmw.address, pvmw.pte, pteval, nr_pages);
          folio_set(folio, PG_swapbacked);
          page_vma_mapped_walk_done(pvmw);
          return false;
        }
        if (ref_count !== 1 + map_count) {
          set_ptes(mm, pvmw.address, pvmw.pte, pteval, nr_pages);
          page_vma_mapped_walk_done(pvmw);
          return false;
        }
        add_mm_counter(mm, MM_ANONPAGES, -nr_pages);
      } else {
        const entry = page_swap_entry(folio, subpage);
        if (swap_duplicate(entry) < 0) {
          set_pte_at(mm, pvmw.address, pvmw.pte, pteval);
          page_vma_mapped_walk_done(pvmw);
          return false;
        }
        if (anon_exclusive && folio_try_share_anon_rmap_pte(folio, subpage) !== 0) {
          swap_free(entry);
          set_pte_at(mm, pvmw.address, pvmw.pte, pteval);
          page_vma_mapped_walk_done(pvmw);
          return false;
        }
        mmlistAdd(mm);
        dec_mm_counter(mm, MM_ANONPAGES);
        inc_mm_counter(mm, MM_SWAPENTS);
        let swp_pte = swp_entry_to_pte(entry);
        if (anon_exclusive) {
          swp_pte = pte_swp_mkexclusive(swp_pte);
        }
        set_pte_at(mm, pvmw.address, pvmw.pte, swp_pte);
      }
    } else {
      dec_mm_counter(mm, mm_counter_file(folio));
    }
    folio_remove_rmap_ptes(folio, subpage, nr_pages, vma);
    if ((vma.vm_flags & VM_LOCKED) !== 0) {
      mlock_drain_local();
    }
    folio_put_refs(folio, nr_pages);
    if (folio_nr_pages(folio) === nr_pages) {
      // All of the folio that this VMA can map is unmapped.
      page_vma_mapped_walk_done(pvmw);
      break;
    }
  }
  return ret;
}

/** mm/rmap.c: try_to_unmap() v6.18. Preconditions: folio locked. Success shows in folio_mapped(). */
export function* try_to_unmap(folio: folio, flags: number): K {
  const rwc: rmap_walk_control = {
    name: 'try_to_unmap',
    rmap_one: try_to_unmap_one,
    arg: flags,
    done: folio_not_mapped,
    anon_lock: folio_lock_anon_vma_read,
  };
  if ((flags & TTU_RMAP_LOCKED) !== 0) {
    yield* rmap_walk_locked(folio, rwc);
  } else {
    yield* rmap_walk(folio, rwc);
  }
}

// ---- try_to_migrate()

/** mm/rmap.c: try_to_migrate_one() v6.18: replaces the entries of one VMA by migration entries. */
function* try_to_migrate_one(
  folio: folio,
  vma: vm_area_struct,
  address: number,
  rwc: rmap_walk_control,
): K<boolean> {
  const mm = vma.vm_mm as mm_struct;
  const flags = rwc.arg as number;
  const pvmw = folio_vma_walk(folio, vma, address, 0, rwc);
  if ((flags & TTU_SYNC) !== 0) {
    pvmw.flags = PVMW_SYNC;
  }
  while (yield* next_mapping(pvmw)) {
    if (pvmw.pte === 0) {
      if ((flags & TTU_SPLIT_HUGE_PMD) !== 0) {
        yield* split_huge_pmd_locked(vma, pvmw.address, pvmw.pmd, true);
        page_vma_mapped_walk_restart(pvmw);
        continue;
      }
      const head = mem_map.at(pte_pfn(pmdp_get(pvmw.pmd)));
      VM_BUG_ON_FOLIO(!folio_test_pmd_mappable(folio), folio, '!folio_test_pmd_mappable(folio)');
      if (set_pmd_migration_entry(pvmw, head) !== 0) {
        page_vma_mapped_walk_done(pvmw);
        return false;
      }
      continue;
    }
    const subpage = pte_page(ptep_get(pvmw.pte));
    const anon_exclusive = folio_test_anon(folio) && PageAnonExclusive(subpage);
    const pteval = ptep_clear_flush(vma, pvmw.address, pvmw.pte);
    if (pte_dirty(pteval)) {
      folio_mark_dirty(folio);
    }
    const writable = pte_write(pteval);
    VM_WARN_ON_FOLIO(
      writable && folio_test_anon(folio) && !anon_exclusive,
      folio,
      'writable && folio_test_anon(folio) && !anon_exclusive',
    );
    if (anon_exclusive && folio_try_share_anon_rmap_pte(folio, subpage) !== 0) {
      set_pte_at(mm, pvmw.address, pvmw.pte, pteval);
      page_vma_mapped_walk_done(pvmw);
      return false;
    }
    let kind = SWP_MIGRATION_READ;
    if (writable) {
      kind = SWP_MIGRATION_WRITE;
    } else if (anon_exclusive) {
      kind = SWP_MIGRATION_READ_EXCLUSIVE;
    }
    const swp_pte = make_migration_pte(subpage.pfn, kind, pte_young(pteval), pte_dirty(pteval));
    set_pte_at(mm, pvmw.address, pvmw.pte, swp_pte);
    trace_set_migration_pte({ address: pvmw.address, pte: swp_pte, order: 0 });
    folio_remove_rmap_pte(folio, subpage, vma);
    if ((vma.vm_flags & VM_LOCKED) !== 0) {
      mlock_drain_local();
    }
    folio_put(folio);
  }
  return true;
}

/**
 * mm/rmap.c: try_to_migrate() v6.18. Preconditions: folio locked, a reference held. The temporary stack of
 * an execve() is skipped on purpose: its page tables move without the rmap locks.
 */
export function* try_to_migrate(folio: folio, flags: number): K {
  if (
    WARN_ON_ONCE(
      (flags & ~(TTU_RMAP_LOCKED | TTU_SPLIT_HUGE_PMD | TTU_SYNC | TTU_BATCH_FLUSH)) !== 0,
      'ttu_flags',
    )
  ) {
    return;
  }
  const anon = !folio_test_ksm(folio) && folio_test_anon(folio);
  const rwc: rmap_walk_control = {
    name: 'try_to_migrate',
    rmap_one: try_to_migrate_one,
    arg: flags,
    done: folio_not_mapped,
    anon_lock: folio_lock_anon_vma_read,
    ...(anon ? { invalid_vma: vma_is_temporary_stack } : {}),
  };
  if ((flags & TTU_RMAP_LOCKED) !== 0) {
    yield* rmap_walk_locked(folio, rwc);
  } else {
    yield* rmap_walk(folio, rwc);
  }
}
