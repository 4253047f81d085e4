/**
 * mm/rmap.c, include/linux/rmap.h v6.18: what happens to a folio when a page-table entry for it is added,
 * shared or removed, and the walks over all its mappings. The anonymous walk itself belongs to the
 * mechanism (mm/rmap/anon_vma_chain.ts).
 *
 * Lock tree: folio lock, mapping->i_mmap_rwsem or anon_vma.root->rwsem, ptl. Fidelity: dup for small
 * folios; large ones, KSM, hugetlb, device memory and TLB batching are left out.
 */
import type { K } from '../../sim/wait.ts';
import { EBUSY } from '../errno.ts';
import { down_read_trylock } from '../kernel/locking/rwsem.ts';
import { anon_rmap } from '../kernel.ts';
import {
  BUG_ON,
  VM_BUG_ON_FOLIO,
  VM_BUG_ON_VMA,
  VM_WARN_ON_FOLIO,
  WARN_ON_ONCE,
} from '../lib/bug.ts';
import type { address_space, folio, mm_struct, page, vm_area_struct } from '../mm_types.ts';
import {
  trace_page_add_rmap,
  trace_page_dup,
  trace_page_move_rmap,
  trace_page_remove_rmap,
  trace_set_migration_pte,
  trace_walk_begin,
  trace_walk_end,
  trace_walk_visit,
} from './events.ts';
import { folio_trylock, folio_unlock } from './folio_lock.ts';
import { vma_interval_tree_iter_first, vma_interval_tree_iter_next } from './interval_tree.ts';
import {
  linear_page_index,
  MMF_HAS_PINNED,
  MMF_UNSTABLE,
  mm_flags_test,
  VM_DROPPABLE,
  VM_LOCKED,
  VM_RAND_READ,
  VM_SEQ_READ,
  VM_SHARED,
  vma_is_temporary_stack,
} from './mm.ts';
import {
  dec_mm_counter,
  inc_mm_counter,
  MM_ANONPAGES,
  MM_SWAPENTS,
  mm_counter_file,
} from './mm_counter.ts';
import { folio_nr_pages, folio_ref_count } from './page_alloc.ts';
import {
  folio_vma_walk,
  page_vma_mapped_walk as next_mapping,
  PVMW_SYNC,
  type page_vma_mapped_walk,
  page_vma_mapped_walk_done,
} from './page_vma_mapped.ts';
import {
  anon_mapping,
  ClearPageAnonExclusive,
  folio_anon_vma,
  folio_set,
  folio_test_anon,
  folio_test_dirty,
  folio_test_ksm,
  folio_test_locked,
  folio_test_swapbacked,
  folio_test_swapcache,
  mapping_pointer,
  PageAnonExclusive,
  PG_swapbacked,
  SetPageAnonExclusive,
} from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import {
  make_migration_pte,
  pte_dirty,
  pte_mkclean,
  pte_page,
  pte_swp_mkexclusive,
  pte_write,
  pte_wrprotect,
  pte_young,
  ptep_clear_flush,
  ptep_get,
  ptep_get_and_clear,
  ptep_test_and_clear_young,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  set_pte_at,
  swp_entry_to_pte,
} from './pgtable.ts';
import { folio_lock_anon_vma_read, folio_mapped } from './rmap/anon_vma_life.ts';
import type { rmap_walk_control } from './rmap/ops.ts';
import { vma_address } from './rmap/vma_address.ts';
import { folio_put, mlock_vma_folio, munlock_vma_folio } from './swap.ts';
import { swap_duplicate, swap_free } from './swapfile.ts';
import { i_mmap_lock_read, i_mmap_unlock_read } from './vma_link.ts';

/** rmap_t: the mapping is exclusive to its mm. */
export const RMAP_NONE = 0;
export const RMAP_EXCLUSIVE = 1;

/** enum ttu_flags. */
export const TTU_IGNORE_MLOCK = 0x8;
export const TTU_SYNC = 0x10;
export const TTU_BATCH_FLUSH = 0x40;
export const TTU_RMAP_LOCKED = 0x80;

/** GUP_PIN_COUNTING_BIAS: a pin counts as that many references. */
export const GUP_PIN_COUNTING_BIAS = 1024;

/** folio_mapcount(): page-table entries that map the small folio. */
export const folio_mapcount = (folio: folio): number => folio._mapcount + 1;
/** folio_maybe_mapped_shared(). */
export const folio_maybe_mapped_shared = (folio: folio): boolean => folio_mapcount(folio) > 1;
/** folio_maybe_dma_pinned(): cannot be told from very many references. */
export const folio_maybe_dma_pinned = (folio: folio): boolean =>
  folio_ref_count(folio) >= GUP_PIN_COUNTING_BIAS;

/** folio_needs_cow_for_dma(): fork must copy at once. The caller has made write_protect_seq odd. */
export function folio_needs_cow_for_dma(vma: vm_area_struct, folio: folio): boolean {
  const mm = vma.vm_mm as mm_struct;
  WARN_ON_ONCE(mm.write_protect_seq % 2 === 0, '!(raw_read_seqcount(&mm->write_protect_seq) & 1)');
  return mm_flags_test(MMF_HAS_PINNED, mm) && folio_maybe_dma_pinned(folio);
}

// ---- entries added and removed; each is atomic, its caller holds the ptl of the entry

/** __folio_set_anon(): a folio that is not exclusive belongs to the oldest anon_vma, where all sharers find it. */
function __folio_set_anon(
  folio: folio,
  vma: vm_area_struct,
  address: number,
  exclusive: boolean,
): void {
  const owner = vma.anon_vma;
  if (owner === null) {
    BUG_ON(true, '!anon_vma');
    return;
  }
  const anon_vma = exclusive ? owner : owner.root;
  folio.mapping = anon_mapping(anon_vma);
  folio.index = linear_page_index(vma, address);
}

/** __page_check_anon_rmap(): root and index of the folio fit the VMA. */
function __page_check_anon_rmap(folio: folio, vma: vm_area_struct, address: number): void {
  VM_BUG_ON_FOLIO(
    folio_anon_vma(folio)?.root !== vma.anon_vma?.root,
    folio,
    'folio_anon_vma(folio)->root != vma->anon_vma->root',
  );
  VM_BUG_ON_FOLIO(
    folio.index !== linear_page_index(vma, address),
    folio,
    'page_pgoff(folio, page) != linear_page_index(vma, address)',
  );
}

/** mm/rmap.c: folio_add_anon_rmap_pte() v6.18. Preconditions: ptl; folio locked unless KSM. */
export function folio_add_anon_rmap_pte(
  folio: folio,
  page: page,
  vma: vm_area_struct,
  address: number,
  flags: number,
): void {
  VM_WARN_ON_FOLIO(!folio_test_anon(folio), folio, '!folio_test_anon(folio)');
  page._mapcount = page._mapcount + 1;
  if (!folio_test_ksm(folio)) {
    __page_check_anon_rmap(folio, vma, address);
  }
  if ((flags & RMAP_EXCLUSIVE) !== 0) {
    SetPageAnonExclusive(page);
  }
  VM_WARN_ON_FOLIO(
    PageAnonExclusive(page) && page._mapcount > 0,
    folio,
    'PageAnonExclusive(page) && atomic_read(&folio->_mapcount) > 0',
  );
  trace_page_add_rmap({
    page,
    vma,
    address,
    mapcount: page._mapcount + 1,
    exclusive: PageAnonExclusive(page) ? 1 : 0,
  });
  mlock_vma_folio(folio, vma);
}

/**
 * mm/rmap.c: folio_add_new_anon_rmap() v6.18: the first mapping of a new anonymous folio.
 * Preconditions: ptl; folio locked unless exclusive.
 */
export function folio_add_new_anon_rmap(
  folio: folio,
  vma: vm_area_struct,
  address: number,
  flags: number,
): void {
  const exclusive = (flags & RMAP_EXCLUSIVE) !== 0;
  VM_WARN_ON_FOLIO(
    !exclusive && !folio_test_locked(folio),
    folio,
    '!exclusive && !folio_test_locked(folio)',
  );
  if (!folio_test_swapbacked(folio) && (vma.vm_flags & VM_DROPPABLE) === 0) {
    folio_set(folio, PG_swapbacked);
  }
  __folio_set_anon(folio, vma, address, exclusive);
  folio._mapcount = 0;
  if (exclusive) {
    SetPageAnonExclusive(folio);
  }
  VM_WARN_ON_FOLIO(
    address < vma.vm_start || address >= vma.vm_end,
    folio,
    'address < vma->vm_start || address + (nr << PAGE_SHIFT) > vma->vm_end',
  );
  trace_page_add_rmap({ page: folio, vma, address, mapcount: 1, exclusive: exclusive ? 1 : 0 });
}

/** mm/rmap.c: folio_add_file_rmap_pte() v6.18. `address` is only for the event. */
export function folio_add_file_rmap_pte(
  folio: folio,
  page: page,
  vma: vm_area_struct,
  address: number,
): void {
  VM_WARN_ON_FOLIO(folio_test_anon(folio), folio, 'folio_test_anon(folio)');
  page._mapcount = page._mapcount + 1;
  trace_page_add_rmap({ page, vma, address, mapcount: page._mapcount + 1, exclusive: 0 });
  mlock_vma_folio(folio, vma);
}

/** include/linux/rmap.h: folio_dup_file_rmap_pte() v6.18: fork maps a page-cache page again. */
export function folio_dup_file_rmap_pte(page: page): void {
  page._mapcount = page._mapcount + 1;
  trace_page_dup({ page, mapcount: page._mapcount + 1 });
}

/**
 * include/linux/rmap.h: folio_try_dup_anon_rmap_pte() v6.18: fork shares an anonymous page, which ceases
 * to be exclusive; then neither entry may be writable. -EBUSY if the page may be pinned.
 * Preconditions: ptl, write_protect_seq odd.
 */
export function folio_try_dup_anon_rmap_pte(
  folio: folio,
  page: page,
  src_vma: vm_area_struct,
): number {
  VM_WARN_ON_FOLIO(!folio_test_anon(folio), folio, '!folio_test_anon(folio)');
  if (folio_needs_cow_for_dma(src_vma, folio) && PageAnonExclusive(page)) {
    return -EBUSY;
  }
  if (PageAnonExclusive(page)) {
    ClearPageAnonExclusive(page);
  }
  page._mapcount = page._mapcount + 1;
  trace_page_dup({ page, mapcount: page._mapcount + 1 });
  return 0;
}

/**
 * include/linux/rmap.h: folio_try_share_anon_rmap_pte() v6.18: an exclusive page becomes possibly shared.
 * -EBUSY if it may be pinned. Preconditions: the entry was cleared.
 */
export function folio_try_share_anon_rmap_pte(folio: folio, page: page): number {
  VM_WARN_ON_FOLIO(!PageAnonExclusive(page), folio, '!PageAnonExclusive(page)');
  if (folio_maybe_dma_pinned(folio)) {
    return -EBUSY;
  }
  ClearPageAnonExclusive(page);
  return 0;
}

/**
 * mm/rmap.c: folio_move_anon_rmap() v6.18: the only user of a folio takes it into its own anon_vma.
 * Preconditions: folio locked.
 */
export function folio_move_anon_rmap(folio: folio, vma: vm_area_struct): void {
  const anon_vma = vma.anon_vma;
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  if (anon_vma === null) {
    VM_BUG_ON_VMA(true, vma, '!anon_vma');
    return;
  }
  // One store: a walker without the folio lock never sees the pointer without its anon bit.
  folio.mapping = anon_mapping(anon_vma);
  trace_page_move_rmap({ page: folio, anon_vma });
}

/**
 * mm/rmap.c: folio_remove_rmap_pte() v6.18. Mapping and index stay until the page is freed: a racing
 * folio_add_anon_rmap_pte() counts up after us, but relies on what is there already.
 */
export function folio_remove_rmap_pte(folio: folio, page: page, vma: vm_area_struct): void {
  VM_BUG_ON_FOLIO(page._mapcount < 0, folio, 'atomic_read(&page->_mapcount) < 0');
  page._mapcount = page._mapcount - 1;
  trace_page_remove_rmap({ page, vma, mapcount: page._mapcount + 1 });
  munlock_vma_folio(folio, vma);
}

// ---- walks

/**
 * mm/rmap.c: rmap_walk_file() and __rmap_walk_file() v6.18: visits the VMAs that map the page offset of a
 * page-cache folio. Preconditions: folio locked, so that its mapping cannot be truncated under us.
 */
export function* rmap_walk_file(folio: folio, rwc: rmap_walk_control, locked: boolean): K {
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  if (folio.mapping === 0) {
    return;
  }
  const mapping = mapping_pointer(folio.mapping) as address_space;
  if (!locked && !down_read_trylock(mapping.i_mmap_rwsem)) {
    if (rwc.try_lock === true) {
      rwc.contended = true;
      return;
    }
    yield* i_mmap_lock_read(mapping);
  }
  const nr_pages = folio_nr_pages(folio);
  const pgoff_start = folio.index;
  const pgoff_end = pgoff_start + nr_pages - 1;
  let visits = 0;
  let stopped = 0;
  trace_walk_begin({ page: folio, anon_vma: null, index: pgoff_start, purpose: rwc.name });
  let vma = vma_interval_tree_iter_first(mapping.i_mmap, pgoff_start, pgoff_end);
  while (vma !== null) {
    const address = vma_address(vma, pgoff_start, nr_pages);
    VM_BUG_ON_VMA(address < 0, vma, 'address == -EFAULT');
    if (rwc.invalid_vma === undefined || !rwc.invalid_vma(vma)) {
      visits = visits + 1;
      trace_walk_visit({ page: folio, vma, anon_vma: null, address });
      if (!(yield* rwc.rmap_one(folio, vma, address, rwc))) {
        stopped = 1;
        break;
      }
      if (rwc.done?.(folio) === true) {
        stopped = 1;
        break;
      }
    }
    vma = vma_interval_tree_iter_next(vma, pgoff_start, pgoff_end);
  }
  trace_walk_end({ page: folio, visits, hits: rwc.hits ?? 0, stopped });
  if (!locked) {
    i_mmap_unlock_read(mapping);
  }
}

/** mm/rmap.c: rmap_walk() v6.18. */
export function* rmap_walk(folio: folio, rwc: rmap_walk_control): K {
  if (folio_test_anon(folio)) {
    yield* anon_rmap().rmap_walk_anon(folio, rwc, false);
  } else {
    yield* rmap_walk_file(folio, rwc, false);
  }
}

/** mm/rmap.c: rmap_walk_locked() v6.18: the caller holds the rmap lock. */
export function* rmap_walk_locked(folio: folio, rwc: rmap_walk_control): K {
  if (folio_test_anon(folio)) {
    yield* anon_rmap().rmap_walk_anon(folio, rwc, true);
  } else {
    yield* rmap_walk_file(folio, rwc, true);
  }
}

const folio_not_mapped = (folio: folio): boolean => !folio_mapped(folio);

// ---- folio_referenced()

interface folio_referenced_arg {
  mapcount: number;
  referenced: number;
  vm_flags: number;
}

/** mm/rmap.c: folio_referenced_one() v6.18. */
function* folio_referenced_one(
  folio: folio,
  vma: vm_area_struct,
  address: number,
  rwc: rmap_walk_control,
): K<boolean> {
  const pra = rwc.arg as folio_referenced_arg;
  const pvmw = folio_vma_walk(folio, vma, address, 0, rwc);
  let referenced = 0;
  while (yield* next_mapping(pvmw)) {
    if ((vma.vm_flags & VM_LOCKED) !== 0) {
      pra.mapcount = pra.mapcount - 1;
      // An mlock that was missed, because the folio was off the LRU then, is made up for here.
      mlock_vma_folio(folio, vma);
      page_vma_mapped_walk_done(pvmw);
      pra.vm_flags = pra.vm_flags | VM_LOCKED;
      return false;
    }
    const mm = vma.vm_mm as mm_struct;
    if (
      (mm.mm_users === 0 || mm_flags_test(MMF_UNSTABLE, mm)) &&
      folio_test_anon(folio) &&
      folio_test_swapbacked(folio) &&
      !folio_maybe_mapped_shared(folio)
    ) {
      // Its only user is exiting and about to free it: swapping it out would be wasted work.
      pra.referenced = -1;
      page_vma_mapped_walk_done(pvmw);
      return false;
    }
    if (ptep_test_and_clear_young(vma, pvmw.address, pvmw.pte)) {
      referenced = referenced + 1;
    }
    pra.mapcount = pra.mapcount - 1;
  }
  if (referenced > 0) {
    pra.referenced = pra.referenced + 1;
    pra.vm_flags = pra.vm_flags | (vma.vm_flags & ~VM_LOCKED);
  }
  return pra.mapcount !== 0;
}

/** mm/rmap.c: invalid_folio_referenced_vma() v6.18: vma_has_recency(): sequential and random readers do not count. */
function invalid_folio_referenced_vma(vma: vm_area_struct): boolean {
  return (vma.vm_flags & (VM_SEQ_READ | VM_RAND_READ)) !== 0;
}

/** What folio_referenced() returns beside the count. */
export interface folio_references {
  /** Mappings that used the folio since the last look; -1 when the rmap lock was contended. */
  readonly count: number;
  /** vm_flags of those mappings. */
  readonly vm_flags: number;
}

/** mm/rmap.c: folio_referenced() v6.18: reads and clears the accessed bits of all mappings. */
export function* folio_referenced(folio: folio, is_locked: boolean): K<folio_references> {
  const pra: folio_referenced_arg = {
    mapcount: folio_mapcount(folio),
    referenced: 0,
    vm_flags: 0,
  };
  const rwc: rmap_walk_control = {
    name: 'folio_referenced',
    rmap_one: folio_referenced_one,
    arg: pra,
    anon_lock: folio_lock_anon_vma_read,
    try_lock: true,
    invalid_vma: invalid_folio_referenced_vma,
  };
  if (pra.mapcount === 0) {
    return { count: 0, vm_flags: 0 };
  }
  if (folio.mapping === 0) {
    return { count: 0, vm_flags: 0 };
  }
  let we_locked = false;
  if (!is_locked && (!folio_test_anon(folio) || folio_test_ksm(folio))) {
    we_locked = folio_trylock(folio);
    if (!we_locked) {
      return { count: 1, vm_flags: 0 };
    }
  }
  yield* rmap_walk(folio, rwc);
  if (we_locked) {
    folio_unlock(folio);
  }
  return { count: rwc.contended === true ? -1 : pra.referenced, vm_flags: pra.vm_flags };
}

// ---- folio_mkclean()

/** mm/rmap.c: page_vma_mkclean_one() v6.18. Returns the entries cleaned. */
function* page_vma_mkclean_one(pvmw: page_vma_mapped_walk): K<number> {
  const vma = pvmw.vma;
  let cleaned = 0;
  while (yield* next_mapping(pvmw)) {
    let entry = ptep_get(pvmw.pte);
    if (!pte_dirty(entry) && !pte_write(entry)) {
      continue;
    }
    entry = ptep_clear_flush(vma, pvmw.address, pvmw.pte);
    set_pte_at(vma.vm_mm as mm_struct, pvmw.address, pvmw.pte, pte_mkclean(pte_wrprotect(entry)));
    cleaned = cleaned + 1;
  }
  return cleaned;
}

/** mm/rmap.c: page_mkclean_one() v6.18. */
function* page_mkclean_one(
  folio: folio,
  vma: vm_area_struct,
  address: number,
  rwc: rmap_walk_control,
): K<boolean> {
  const count = rwc.arg as { cleaned: number };
  const pvmw = folio_vma_walk(folio, vma, address, PVMW_SYNC, rwc);
  const cleaned = yield* page_vma_mkclean_one(pvmw);
  count.cleaned = count.cleaned + cleaned;
  return true;
}

const invalid_mkclean_vma = (vma: vm_area_struct): boolean => (vma.vm_flags & VM_SHARED) === 0;

/**
 * mm/rmap.c: folio_mkclean() v6.18: write-protects and cleans all shared mappings of a page-cache folio
 * before it is written back. Preconditions: folio locked. Returns the entries cleaned.
 */
export function* folio_mkclean(folio: folio): K<number> {
  const arg = { cleaned: 0 };
  const rwc: rmap_walk_control = {
    name: 'folio_mkclean',
    arg,
    rmap_one: page_mkclean_one,
    invalid_vma: invalid_mkclean_vma,
  };
  BUG_ON(!folio_test_locked(folio), '!folio_test_locked(folio)');
  if (!folio_mapped(folio)) {
    return 0;
  }
  if (folio.mapping === 0 || folio_test_anon(folio)) {
    return 0;
  }
  yield* rmap_walk(folio, rwc);
  return arg.cleaned;
}

// ---- try_to_unmap()

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
  while (yield* next_mapping(pvmw)) {
    if ((flags & TTU_IGNORE_MLOCK) === 0 && (vma.vm_flags & VM_LOCKED) !== 0) {
      mlock_vma_folio(folio, vma);
      page_vma_mapped_walk_done(pvmw);
      return false;
    }
    const subpage = pte_page(ptep_get(pvmw.pte));
    const anon_exclusive = folio_test_anon(folio) && PageAnonExclusive(subpage);
    // From here until the entry is rewritten the address has none: a fault waits at the ptl.
    const pteval = ptep_get_and_clear(mm, pvmw.address, pvmw.pte);
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
          set_pte_at(mm, pvmw.address, pvmw.pte, pteval);
          folio_set(folio, PG_swapbacked);
          page_vma_mapped_walk_done(pvmw);
          return false;
        }
        if (ref_count !== 1 + map_count) {
          set_pte_at(mm, pvmw.address, pvmw.pte, pteval);
          page_vma_mapped_walk_done(pvmw);
          return false;
        }
        dec_mm_counter(mm, MM_ANONPAGES);
      } else {
        const entry = folio.private;
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
    folio_remove_rmap_pte(folio, subpage, vma);
    folio_put(folio);
    if (folio_nr_pages(folio) === 1) {
      // All of the folio that this VMA can map is unmapped.
      page_vma_mapped_walk_done(pvmw);
      break;
    }
  }
  return true;
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
    folio_put(folio);
  }
  return true;
}

/**
 * mm/rmap.c: try_to_migrate() v6.18. Preconditions: folio locked, a reference held. The temporary stack of
 * an execve() is skipped on purpose: its page tables move without the rmap locks.
 */
export function* try_to_migrate(folio: folio, flags: number): K {
  if (WARN_ON_ONCE((flags & ~(TTU_RMAP_LOCKED | TTU_SYNC | TTU_BATCH_FLUSH)) !== 0, 'ttu_flags')) {
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
