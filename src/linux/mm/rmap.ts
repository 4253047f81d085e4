/**
 * mm/rmap.c, include/linux/rmap.h v6.18: what happens to a folio when a page-table entry for it is added,
 * shared or removed, and the walks over all its mappings. The anonymous walk itself belongs to the
 * mechanism (mm/rmap/anon_vma_chain.ts).
 *
 * Lock tree: folio lock, mapping->i_mmap_rwsem or anon_vma.root->rwsem, ptl. Fidelity: dup;
 * hugetlb and device memory are left out. What unmaps a folio everywhere is mm/rmap_unmap.ts.
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
import {
  type address_space,
  type folio,
  mem_map,
  type mm_struct,
  type page,
  type vm_area_struct,
} from '../mm_types.ts';
import { deferred_split_folio, folio_test_partially_mapped } from './deferred_split.ts';
import {
  trace_page_add_rmap,
  trace_page_dup,
  trace_page_move_rmap,
  trace_page_remove_rmap,
  trace_walk_begin,
  trace_walk_end,
  trace_walk_visit,
} from './events.ts';
import { folio_trylock, folio_unlock } from './folio_lock.ts';
import { vma_interval_tree_iter_first, vma_interval_tree_iter_next } from './interval_tree.ts';
import { rmap_walk_ksm } from './ksm_page.ts';
import {
  add_large_rmap_pmd,
  add_large_rmap_ptes,
  folio_entire_mapcount,
  folio_has_pincount,
  folio_mapcount,
  folio_mapped,
  folio_maybe_mapped_shared,
  folio_nr_pages,
  folio_pincount,
  folio_test_pmd_mappable,
  remove_large_rmap_pmd,
  remove_large_rmap_ptes,
  set_first_pmd_mapping,
} from './large_folio.ts';
import {
  linear_page_index,
  MMF_HAS_PINNED,
  MMF_UNSTABLE,
  mm_flags_test,
  PAGE_SIZE,
  VM_DROPPABLE,
  VM_LOCKED,
  VM_RAND_READ,
  VM_SEQ_READ,
  VM_SHARED,
} from './mm.ts';
import { folio_ref_count } from './page_alloc.ts';
import {
  folio_vma_walk,
  page_vma_mapped_walk as next_mapping,
  PVMW_PGTABLE_CROSSED,
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
  folio_test_ksm,
  folio_test_large,
  folio_test_locked,
  folio_test_swapbacked,
  mapping_pointer,
  PageAnonExclusive,
  PG_swapbacked,
  SetPageAnonExclusive,
} from './page-flags.ts';
import {
  pte_dirty,
  pte_mkclean,
  pte_write,
  pte_wrprotect,
  ptep_clear_flush,
  ptep_get,
  ptep_test_and_clear_young,
  set_pte_at,
} from './pgtable.ts';
import { folio_lock_anon_vma_read } from './rmap/anon_vma_life.ts';
import type { rmap_walk_control } from './rmap/ops.ts';
import { vma_address } from './rmap/vma_address.ts';
import { mlock_vma_folio, munlock_vma_folio } from './swap.ts';
import { i_mmap_lock_read, i_mmap_unlock_read } from './vma_link.ts';

/** rmap_t: the mapping is exclusive to its mm. */
export const RMAP_NONE = 0;
export const RMAP_EXCLUSIVE = 1;

/** GUP_PIN_COUNTING_BIAS: a pin counts as that many references. */
export const GUP_PIN_COUNTING_BIAS = 1024;

/** folio_maybe_dma_pinned(): of a small folio pins cannot be told from very many references. */
export const folio_maybe_dma_pinned = (folio: folio): boolean =>
  folio_has_pincount(folio)
    ? folio_pincount(folio) > 0
    : folio_ref_count(folio) >= GUP_PIN_COUNTING_BIAS;

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
function __page_check_anon_rmap(
  folio: folio,
  page: page,
  vma: vm_area_struct,
  address: number,
): void {
  VM_BUG_ON_FOLIO(
    folio_anon_vma(folio)?.root !== vma.anon_vma?.root,
    folio,
    'folio_anon_vma(folio)->root != vma->anon_vma->root',
  );
  VM_BUG_ON_FOLIO(
    folio.index + (page.pfn - folio.pfn) !== linear_page_index(vma, address),
    folio,
    'page_pgoff(folio, page) != linear_page_index(vma, address)',
  );
}

/** What __folio_add_anon_rmap() warns about: an exclusive page has one mapping. */
function check_exclusive(folio: folio, page: page): void {
  VM_WARN_ON_FOLIO(
    PageAnonExclusive(page) &&
      (page._mapcount > 0 || (folio_test_large(folio) && folio_entire_mapcount(folio) > 1)),
    folio,
    'PageAnonExclusive(page) && atomic_read(&folio->_mapcount) > 0',
  );
}

/**
 * mm/rmap.c: folio_add_anon_rmap_ptes() v6.18 for `nr` pages of one folio from `page`.
 * Preconditions: ptl; folio locked unless KSM.
 */
export function folio_add_anon_rmap_ptes(
  folio: folio,
  page: page,
  nr: number,
  vma: vm_area_struct,
  address: number,
  flags: number,
): void {
  VM_WARN_ON_FOLIO(!folio_test_anon(folio), folio, '!folio_test_anon(folio)');
  if (folio_test_large(folio)) {
    add_large_rmap_ptes(folio, page, nr, vma);
  } else {
    page._mapcount = page._mapcount + 1;
  }
  if (!folio_test_ksm(folio)) {
    __page_check_anon_rmap(folio, page, vma, address);
  }
  for (let i = 0; i < nr; i++) {
    const each = mem_map.at(page.pfn + i);
    if ((flags & RMAP_EXCLUSIVE) !== 0) {
      SetPageAnonExclusive(each);
    }
    check_exclusive(folio, each);
  }
  trace_page_add_rmap({
    page,
    vma,
    address,
    mapcount: page._mapcount + 1,
    exclusive: PageAnonExclusive(page) ? 1 : 0,
  });
  // Part of a folio may be split off by reclaim and leave the mlocked VMA.
  if (folio_nr_pages(folio) === nr) {
    mlock_vma_folio(folio, vma);
  }
}

/** mm/rmap.c: folio_add_anon_rmap_pte() v6.18. Preconditions: ptl; folio locked unless KSM. */
export function folio_add_anon_rmap_pte(
  folio: folio,
  page: page,
  vma: vm_area_struct,
  address: number,
  flags: number,
): void {
  folio_add_anon_rmap_ptes(folio, page, 1, vma, address, flags);
}

/** mm/rmap.c: folio_add_anon_rmap_pmd() v6.18. Preconditions: PMD lock; folio locked. */
export function folio_add_anon_rmap_pmd(
  folio: folio,
  page: page,
  vma: vm_area_struct,
  address: number,
  flags: number,
): void {
  VM_WARN_ON_FOLIO(!folio_test_anon(folio), folio, '!folio_test_anon(folio)');
  add_large_rmap_pmd(folio, vma);
  __page_check_anon_rmap(folio, page, vma, address);
  if ((flags & RMAP_EXCLUSIVE) !== 0) {
    SetPageAnonExclusive(page);
  }
  check_exclusive(folio, page);
  trace_page_add_rmap({
    page,
    vma,
    address,
    mapcount: folio_entire_mapcount(folio),
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
  if (folio_test_pmd_mappable(folio)) {
    set_first_pmd_mapping(folio, vma);
  } else {
    folio._mapcount = 0;
  }
  if (exclusive) {
    SetPageAnonExclusive(folio);
  }
  VM_WARN_ON_FOLIO(
    address < vma.vm_start || address + folio_nr_pages(folio) * PAGE_SIZE > vma.vm_end,
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
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
): number {
  VM_WARN_ON_FOLIO(!folio_test_anon(folio), folio, '!folio_test_anon(folio)');
  if (folio_needs_cow_for_dma(src_vma, folio) && PageAnonExclusive(page)) {
    return -EBUSY;
  }
  if (PageAnonExclusive(page)) {
    ClearPageAnonExclusive(page);
  }
  if (folio_test_large(folio)) {
    add_large_rmap_ptes(folio, page, 1, dst_vma);
  } else {
    page._mapcount = page._mapcount + 1;
  }
  trace_page_dup({ page, mapcount: page._mapcount + 1 });
  return 0;
}

/**
 * include/linux/rmap.h: folio_try_dup_anon_rmap_pmd() v6.18: the PMD form. -EBUSY if the folio may be pinned.
 * Preconditions: PMD lock, write_protect_seq odd.
 */
export function folio_try_dup_anon_rmap_pmd(
  folio: folio,
  page: page,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
): number {
  VM_WARN_ON_FOLIO(!folio_test_anon(folio), folio, '!folio_test_anon(folio)');
  if (PageAnonExclusive(page)) {
    if (folio_needs_cow_for_dma(src_vma, folio)) {
      return -EBUSY;
    }
    ClearPageAnonExclusive(page);
  }
  add_large_rmap_pmd(folio, dst_vma);
  trace_page_dup({ page, mapcount: folio_entire_mapcount(folio) });
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

/** include/linux/rmap.h: folio_try_share_anon_rmap_pmd() v6.18. Preconditions: the PMD entry was invalidated. */
export const folio_try_share_anon_rmap_pmd = folio_try_share_anon_rmap_pte;

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
  folio_remove_rmap_ptes(folio, page, 1, vma);
}

/** A folio of which one part is mapped and another is not waits for reclaim to split it. */
function queue_if_partial(folio: folio, partial: boolean): void {
  if (partial && folio_test_anon(folio) && !folio_test_partially_mapped(folio)) {
    deferred_split_folio(folio, true);
  }
}

/** mm/rmap.c: folio_remove_rmap_ptes() v6.18 for `nr` pages of one folio from `page`. Preconditions: ptl. */
export function folio_remove_rmap_ptes(
  folio: folio,
  page: page,
  nr: number,
  vma: vm_area_struct,
): void {
  VM_BUG_ON_FOLIO(page._mapcount < 0, folio, 'atomic_read(&page->_mapcount) < 0');
  if (folio_test_large(folio)) {
    queue_if_partial(folio, remove_large_rmap_ptes(folio, page, nr, vma));
  } else {
    page._mapcount = page._mapcount - 1;
  }
  trace_page_remove_rmap({ page, vma, mapcount: page._mapcount + 1 });
  munlock_vma_folio(folio, vma);
}

/** mm/rmap.c: folio_remove_rmap_pmd() v6.18. Preconditions: PMD lock. */
export function folio_remove_rmap_pmd(folio: folio, page: page, vma: vm_area_struct): void {
  queue_if_partial(folio, remove_large_rmap_pmd(folio, vma));
  trace_page_remove_rmap({ page, vma, mapcount: folio_entire_mapcount(folio) });
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
  if (folio_test_ksm(folio)) {
    yield* rmap_walk_ksm(folio, rwc);
  } else if (folio_test_anon(folio)) {
    yield* anon_rmap().rmap_walk_anon(folio, rwc, false);
  } else {
    yield* rmap_walk_file(folio, rwc, false);
  }
}

/** mm/rmap.c: rmap_walk_locked() v6.18: the caller holds the rmap lock. */
export function* rmap_walk_locked(folio: folio, rwc: rmap_walk_control): K {
  VM_BUG_ON_FOLIO(folio_test_ksm(folio), folio, 'folio_test_ksm(folio)');
  if (folio_test_anon(folio)) {
    yield* anon_rmap().rmap_walk_anon(folio, rwc, true);
  } else {
    yield* rmap_walk_file(folio, rwc, true);
  }
}

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
  let ptes = 0;
  let referenced = 0;
  while (yield* next_mapping(pvmw)) {
    if ((vma.vm_flags & VM_LOCKED) !== 0) {
      ptes = ptes + 1;
      pra.mapcount = pra.mapcount - 1;
      // Only a folio that is mapped as a whole is mlocked, under the lock of all its entries.
      if (pvmw.pte !== 0 && ptes !== pvmw.nr_pages) {
        continue;
      }
      if ((pvmw.flags & PVMW_PGTABLE_CROSSED) !== 0) {
        continue;
      }
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
    // The accessed bit of a huge mapping is in its PMD.
    const entry = pvmw.pte === 0 ? pvmw.pmd : pvmw.pte;
    if (ptep_test_and_clear_young(vma, pvmw.address, entry)) {
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
