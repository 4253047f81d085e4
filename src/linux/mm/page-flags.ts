/**
 * include/linux/page-flags.h v6.18: bits of page.flags. The numbers are ours; PG_buddy is a page type
 * in Linux. Fidelity: dup (names and meaning), custom (numbers).
 *
 * Every function is one atomic step, as the kernel's atomic bit operations are. PG_anon_exclusive is the
 * only bit of single pages; all others belong to the folio.
 */

import { cpu } from '../../sim/cpu.ts';
import type { anon_vma, folio, page } from '../mm_types.ts';

export const PG_locked = 1 << 0;
export const PG_waiters = 1 << 1;
export const PG_referenced = 1 << 2;
export const PG_uptodate = 1 << 3;
export const PG_dirty = 1 << 4;
export const PG_lru = 1 << 5;
export const PG_active = 1 << 6;
export const PG_workingset = 1 << 7;
export const PG_writeback = 1 << 8;
export const PG_head = 1 << 9;
export const PG_reclaim = 1 << 10;
export const PG_swapbacked = 1 << 11;
export const PG_unevictable = 1 << 12;
export const PG_mlocked = 1 << 13;
export const PG_swapcache = 1 << 14;
export const PG_anon_exclusive = 1 << 15;
export const PG_reserved = 1 << 16;
export const PG_readahead = 1 << 17;
export const PG_buddy = 1 << 18;
export const PG_error = 1 << 19;
export const PG_hwpoison = 1 << 20;
/** Of a large folio: a part of it was unmapped, so that splitting it would free memory. */
export const PG_partially_mapped = 1 << 21;
/** 2.5.27 to 2.6.6: the page has one page-table entry, and knows it. */
export const PG_direct = 1 << 22;
/** PG_chainlock to 2.6.6, PG_maplock to 2.6.8: a bit spinlock over the page's mappings (mm/early26/page_lock.ts). */
export const PG_maplock = 1 << 23;

/** Names of the bits, lowest first, for views. */
export const PAGE_FLAG_NAMES: readonly string[] = [
  'locked',
  'waiters',
  'referenced',
  'uptodate',
  'dirty',
  'lru',
  'active',
  'workingset',
  'writeback',
  'head',
  'reclaim',
  'swapbacked',
  'unevictable',
  'mlocked',
  'swapcache',
  'anon_exclusive',
  'reserved',
  'readahead',
  'buddy',
  'error',
  'hwpoison',
  'partially_mapped',
  'direct',
  'maplock',
];

/** folio->mapping low bits. */
export const FOLIO_MAPPING_ANON = 1;
export const FOLIO_MAPPING_ANON_KSM = 2;
export const FOLIO_MAPPING_KSM = 3;
export const FOLIO_MAPPING_FLAGS = 3;

export function folio_test(folio: folio, bit: number): boolean {
  return (folio.flags & bit) !== 0;
}
export function folio_set(folio: folio, bit: number): void {
  folio.flags = folio.flags | bit;
}
export function folio_clear(folio: folio, bit: number): void {
  folio.flags = folio.flags & ~bit;
}
export function folio_test_set(folio: folio, bit: number): boolean {
  const was = folio.flags & bit;
  folio.flags = folio.flags | bit;
  return was !== 0;
}
export function folio_test_clear(folio: folio, bit: number): boolean {
  const was = folio.flags & bit;
  if (was !== 0) {
    folio.flags = folio.flags & ~bit;
  }
  return was !== 0;
}

export const folio_test_locked = (f: folio): boolean => folio_test(f, PG_locked);
export const folio_test_uptodate = (f: folio): boolean => folio_test(f, PG_uptodate);
export const folio_test_dirty = (f: folio): boolean => folio_test(f, PG_dirty);
export const folio_test_lru = (f: folio): boolean => folio_test(f, PG_lru);
export const folio_test_active = (f: folio): boolean => folio_test(f, PG_active);
export const folio_test_writeback = (f: folio): boolean => folio_test(f, PG_writeback);
export const folio_test_swapbacked = (f: folio): boolean => folio_test(f, PG_swapbacked);
export const folio_test_unevictable = (f: folio): boolean => folio_test(f, PG_unevictable);
export const folio_test_mlocked = (f: folio): boolean => folio_test(f, PG_mlocked);
export const folio_test_referenced = (f: folio): boolean => folio_test(f, PG_referenced);
export const folio_test_workingset = (f: folio): boolean => folio_test(f, PG_workingset);
export const folio_test_readahead = (f: folio): boolean => folio_test(f, PG_readahead);
export const folio_test_large = (f: folio): boolean => folio_test(f, PG_head);
/** PG_swapcache means something only together with PG_swapbacked. */
export const folio_test_swapcache = (f: folio): boolean =>
  (f.flags & (PG_swapcache | PG_swapbacked)) === (PG_swapcache | PG_swapbacked);

export const PageAnonExclusive = (p: page): boolean => (p.flags & PG_anon_exclusive) !== 0;
export function SetPageAnonExclusive(p: page): void {
  p.flags = p.flags | PG_anon_exclusive;
}
export function ClearPageAnonExclusive(p: page): void {
  p.flags = p.flags & ~PG_anon_exclusive;
}

/** folio_test_anon(): anonymous, KSM included. */
export const folio_test_anon = (f: folio): boolean => (f.mapping & FOLIO_MAPPING_ANON) !== 0;
export const folio_test_ksm = (f: folio): boolean =>
  (f.mapping & FOLIO_MAPPING_FLAGS) === FOLIO_MAPPING_KSM;

/** The word that folio->mapping holds for an anonymous folio of `anon_vma`. */
export function anon_mapping(anon_vma: anon_vma): number {
  return ((anon_vma.addr >>> 4) << 2) | FOLIO_MAPPING_ANON;
}

/** The object that a folio->mapping word points to: anon_vma, address_space or stable node; null if 0. */
export function mapping_pointer(mapping: number): unknown {
  return cpu.handles[mapping >>> 2];
}

/** folio_anon_vma() (mm/util.c): the anon_vma of a folio that is anonymous and not KSM, else null. */
export function folio_anon_vma(folio: folio): anon_vma | null {
  const mapping = folio.mapping;
  if ((mapping & FOLIO_MAPPING_FLAGS) !== FOLIO_MAPPING_ANON) {
    return null;
  }
  return mapping_pointer(mapping) as anon_vma;
}
