/**
 * include/linux/mm_types.h, rmap.h v6.18: the fields of struct folio that only large folios have. As in
 * Linux they lie in the words that tail pages do not need:
 *
 *   1st tail  mapping _large_mapcount, private _nr_pages_mapped, lru_next _entire_mapcount, lru_prev _pincount,
 *             index order
 *   2nd tail  mapping, private _mm_id[0..1]; lru_next, lru_prev _mm_id_mapcount[0..1]; index: mapped shared
 *   3rd tail  lru_next, lru_prev _deferred_list (pfn + 1 of the head page), private 1 while on the list
 *
 * Map counts start at -1, as in Linux. Every function is one atomic step: folio_lock_large_mapcount() is a bit
 * spinlock that nobody can be seen to wait for. Fidelity: dup (names, rules), custom (which word).
 */
import { VM_WARN_ON_FOLIO } from '../lib/bug.ts';
import {
  type folio,
  mem_map,
  type mm_struct,
  type page,
  type vm_area_struct,
} from '../mm_types.ts';
import { PG_head } from './page-flags.ts';

/** ENTIRELY_MAPPED: what a PMD mapping adds to _nr_pages_mapped. */
export const ENTIRELY_MAPPED = 0x80_0000;
/** HPAGE_PMD_ORDER. */
export const HPAGE_PMD_ORDER = 9;

/** MM_ID_DUMMY: a free slot. */
const MM_ID_DUMMY = 0;

const tail = (folio: folio, n: number): page => mem_map.at(folio.pfn + n);

const is_large = (folio: folio): boolean => (folio.flags & PG_head) !== 0;

/** folio_order(). */
export function folio_order(folio: folio): number {
  return is_large(folio) ? tail(folio, 1).index : 0;
}
/** folio_nr_pages(). */
export function folio_nr_pages(folio: folio): number {
  return 1 << folio_order(folio);
}
/** folio_test_pmd_mappable(). */
export function folio_test_pmd_mappable(folio: folio): boolean {
  return folio_order(folio) >= HPAGE_PMD_ORDER;
}

/** prep_compound_head(): a large folio that nobody maps. Preconditions: tails point to the head. */
export function prep_compound_head(folio: folio, order: number): void {
  folio.flags = folio.flags | PG_head;
  const first = tail(folio, 1);
  first.index = order;
  first.mapping = -1;
  first.private = 0;
  first.lru_next = -1;
  first.lru_prev = 0;
  if (order > 1) {
    const second = tail(folio, 2);
    second.mapping = MM_ID_DUMMY;
    second.private = MM_ID_DUMMY;
    second.lru_next = -1;
    second.lru_prev = -1;
    second.index = 0;
    const third = tail(folio, 3);
    third.lru_next = 0;
    third.lru_prev = 0;
    third.private = 0;
  }
}

/** folio_entire_mapcount(). */
export const folio_entire_mapcount = (folio: folio): number => tail(folio, 1).lru_next + 1;
/** folio_large_mapcount(): PTE mappings of all pages, and PMD mappings. */
export const folio_large_mapcount = (folio: folio): number => tail(folio, 1).mapping + 1;
/** _nr_pages_mapped. */
export const folio_nr_pages_mapped = (folio: folio): number => tail(folio, 1).private;

/** folio_has_pincount(). */
export const folio_has_pincount = is_large;
/** _pincount: pins of a large folio, each of which is one reference. */
export const folio_pincount = (folio: folio): number => tail(folio, 1).lru_prev;
/** Adds to _pincount. */
export function folio_add_pincount(folio: folio, nr: number): void {
  tail(folio, 1).lru_prev = tail(folio, 1).lru_prev + nr;
}

/** folio_mapcount(). */
export function folio_mapcount(folio: folio): number {
  return is_large(folio) ? folio_large_mapcount(folio) : folio._mapcount + 1;
}
/** folio_mapped(). */
export const folio_mapped = (folio: folio): boolean => folio_mapcount(folio) >= 1;

/** folio_maybe_mapped_shared(): false: certainly by one mm alone. */
export function folio_maybe_mapped_shared(folio: folio): boolean {
  const mapcount = folio_mapcount(folio);
  if (mapcount <= 1 || !is_large(folio)) {
    return mapcount > 1;
  }
  return folio_ids_shared(folio);
}

/** FOLIO_MM_IDS_SHARED_BIT. */
export const folio_ids_shared = (folio: folio): boolean => tail(folio, 2).index !== 0;

/** folio_set_large_mapcount(): the first mappings of a new folio. */
export function folio_set_large_mapcount(
  folio: folio,
  mapcount: number,
  vma: vm_area_struct,
): void {
  tail(folio, 1).mapping = mapcount - 1;
  const ids = tail(folio, 2);
  ids.lru_next = mapcount - 1;
  ids.mapping = (vma.vm_mm as mm_struct).mm_id;
}

/** folio_add_return_large_mapcount(). */
export function folio_add_large_mapcount(folio: folio, diff: number, vma: vm_area_struct): number {
  const { mm_id } = vma.vm_mm as mm_struct;
  const first = tail(folio, 1);
  const ids = tail(folio, 2);
  const value = first.mapping + diff;
  first.mapping = value;
  if (ids.mapping === mm_id) {
    ids.lru_next = ids.lru_next + diff;
  } else if (ids.private === mm_id) {
    ids.lru_prev = ids.lru_prev + diff;
  } else if (ids.mapping === MM_ID_DUMMY) {
    ids.mapping = mm_id;
    ids.lru_next = diff - 1;
    if (value !== diff - 1) {
      ids.index = 1;
    }
  } else if (ids.private === MM_ID_DUMMY) {
    ids.private = mm_id;
    ids.lru_prev = diff - 1;
    // The other slot has mappings too.
    ids.index = 1;
  }
  return value + 1;
}

/** folio_sub_return_large_mapcount(). A slot can underflow: mappings may be older than the slot. */
export function folio_sub_large_mapcount(folio: folio, diff: number, vma: vm_area_struct): number {
  const { mm_id } = vma.vm_mm as mm_struct;
  const first = tail(folio, 1);
  const ids = tail(folio, 2);
  const value = first.mapping - diff;
  first.mapping = value;
  if (ids.mapping === mm_id) {
    ids.lru_next = ids.lru_next - diff;
    if (ids.lru_next >= 0) {
      return value + 1;
    }
    ids.lru_next = -1;
    ids.mapping = MM_ID_DUMMY;
  } else if (ids.private === mm_id) {
    ids.lru_prev = ids.lru_prev - diff;
    if (ids.lru_prev >= 0) {
      return value + 1;
    }
    ids.lru_prev = -1;
    ids.private = MM_ID_DUMMY;
  }
  if (ids.lru_next === value || ids.lru_prev === value) {
    ids.index = 0;
  }
  return value + 1;
}

/** The counts of a new folio that one PMD maps. */
export function set_first_pmd_mapping(folio: folio, vma: vm_area_struct): void {
  const first = tail(folio, 1);
  first.lru_next = 0;
  folio_set_large_mapcount(folio, 1, vma);
  first.private = ENTIRELY_MAPPED;
}

/** __folio_add_rmap() v6.18, PTE level of a large folio. */
export function add_large_rmap_ptes(
  folio: folio,
  page: page,
  nr: number,
  vma: vm_area_struct,
): void {
  let first = 0;
  for (let i = 0; i < nr; i++) {
    const each = mem_map.at(page.pfn + i);
    if (each._mapcount === -1) {
      first++;
    }
    each._mapcount = each._mapcount + 1;
  }
  if (first !== 0) {
    tail(folio, 1).private = tail(folio, 1).private + first;
  }
  folio_add_large_mapcount(folio, nr, vma);
}

/** __folio_add_rmap() and the PMD case of __folio_try_dup_anon_rmap() v6.18. */
export function add_large_rmap_pmd(folio: folio, vma: vm_area_struct): void {
  const first = tail(folio, 1);
  if (first.lru_next === -1) {
    first.private = first.private + ENTIRELY_MAPPED;
  }
  first.lru_next = first.lru_next + 1;
  folio_add_large_mapcount(folio, 1, vma);
}

/** __folio_remove_rmap() v6.18, PTE level of a large folio. True: now partially mapped. */
export function remove_large_rmap_ptes(
  folio: folio,
  page: page,
  nr: number,
  vma: vm_area_struct,
): boolean {
  folio_sub_large_mapcount(folio, nr, vma);
  let last = 0;
  for (let i = 0; i < nr; i++) {
    const each = mem_map.at(page.pfn + i);
    VM_WARN_ON_FOLIO(each._mapcount < 0, folio, 'atomic_read(&page->_mapcount) < 0');
    each._mapcount = each._mapcount - 1;
    if (each._mapcount === -1) {
      last++;
    }
  }
  if (last === 0) {
    return false;
  }
  const first = tail(folio, 1);
  first.private = first.private - last;
  return first.private < ENTIRELY_MAPPED && first.private !== 0;
}

/** __folio_remove_rmap() v6.18, PMD level. True: now partially mapped. */
export function remove_large_rmap_pmd(folio: folio, vma: vm_area_struct): boolean {
  folio_sub_large_mapcount(folio, 1, vma);
  const first = tail(folio, 1);
  first.lru_next = first.lru_next - 1;
  if (first.lru_next !== -1) {
    return false;
  }
  first.private = first.private - ENTIRELY_MAPPED;
  const mapped = first.private;
  const pages = folio_nr_pages(folio);
  const unmapped = pages - mapped;
  return unmapped > 0 && unmapped < pages;
}
