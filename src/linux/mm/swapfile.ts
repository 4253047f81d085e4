/**
 * mm/swapfile.c v6.18: swap slots and their counts. One area. Every function is one atomic step: the
 * cluster lock is not modelled. Fidelity: custom (slot search: next free one; no clusters, no discard),
 * dup (meaning of the counts, which calls take and drop them).
 *
 * A slot's count in swap_map: number of page-table entries that name it, plus SWAP_HAS_CACHE while a
 * folio of the swap cache stands for it. It is free when the word is 0.
 */
import { read_pte, write_pte } from '../../sim/cpu.ts';
import { allocTable, freeTable, PTRS_PER_TABLE } from '../../sim/table.ts';
import { EINVAL, ENOENT, ENOMEM } from '../errno.ts';
import { VM_BUG_ON_FOLIO, WARN_ON_ONCE } from '../lib/bug.ts';
import { type folio, mem_map, type page } from '../mm_types.ts';
import { folio_nr_pages } from './large_folio.ts';
import { NODE_DATA } from './node.ts';
import { folio_get, folio_ref_sub } from './page_alloc.ts';
import {
  folio_clear,
  folio_set,
  folio_test_locked,
  folio_test_swapcache,
  folio_test_uptodate,
  folio_test_writeback,
  PG_dirty,
  PG_swapcache,
} from './page-flags.ts';
import { swp_entry, type swp_entry_t, swp_offset } from './swap_entry.ts';
import { swap_info_cachep, type swap_info_struct } from './swap_types.ts';

export const SWAP_HAS_CACHE = 0x4000_0000;
/** Slots may be handed out. */
export const SWP_WRITEOK = 1 << 1;
const SWAP_MAP_MAX = 0x3fff_ffff;

/** The swap area, or null without swap. */
export function swap_info(): swap_info_struct | null {
  return NODE_DATA().swap_info as swap_info_struct | null;
}

/** Boot: an area of `pages` slots, on a ramdisk or a disk. Slot 0 is the header and never used. */
export function enableSwap(pages: number, disk: boolean): void {
  const si = swap_info_cachep.alloc();
  si.max = pages + 1;
  si.disk = disk ? 1 : 0;
  si.pages = pages;
  si.cluster_next = 1;
  si.flags = SWP_WRITEOK;
  si.swap_map = allocTable();
  si.swap_cache = allocTable();
  si.contents = allocTable();
  NODE_DATA().swap_info = si;
}

/** Word of a slot in one of the directories, made if need be; 0 when it does not exist and `make` is false. */
function slot_word(directory: number, offset: number, make: boolean): number {
  const at = directory * PTRS_PER_TABLE + Math.floor(offset / PTRS_PER_TABLE);
  let table = read_pte(at);
  if (table === 0) {
    if (!make) {
      return 0;
    }
    table = allocTable();
    write_pte(at, table);
  }
  return table * PTRS_PER_TABLE + (offset % PTRS_PER_TABLE);
}

function read_slot(directory: number, entry: swp_entry_t): number {
  const word = slot_word(directory, swp_offset(entry), false);
  return word === 0 ? 0 : read_pte(word);
}

function write_slot(directory: number, entry: swp_entry_t, value: number): void {
  write_pte(slot_word(directory, swp_offset(entry), true), value);
}

/** The area of an entry; a stale entry without an area is a kernel warning. */
function entry_info(): swap_info_struct | null {
  const si = swap_info();
  WARN_ON_ONCE(si === null, '!si');
  return si;
}

/** swap_count(): page-table entries that name the slot. */
export function swap_count(entry: swp_entry_t): number {
  const si = swap_info();
  return si === null ? 0 : read_slot(si.swap_map, entry) & ~SWAP_HAS_CACHE;
}

/** swap_entry_swapped() v6.18: some entry names the slot, whether or not it is cached. */
export const swap_entry_swapped = (entry: swp_entry_t): boolean => swap_count(entry) > 0;

/** get_nr_swap_pages(). */
export function get_nr_swap_pages(): number {
  const si = swap_info();
  return si === null || (si.flags & SWP_WRITEOK) === 0 ? 0 : si.pages - si.inuse_pages;
}

/** vm_swap_full(): less than half of the swap space is free. */
export function vm_swap_full(): boolean {
  const si = swap_info();
  const writable = si !== null && (si.flags & SWP_WRITEOK) !== 0;
  return writable && get_nr_swap_pages() * 2 < si.pages;
}

/** Whether `nr` slots from an offset are all free. */
function range_free(si: swap_info_struct, offset: number, nr: number): boolean {
  for (let i = 0; i < nr; i++) {
    if (read_slot(si.swap_map, swp_entry(0, offset + i)) !== 0) {
      return false;
    }
  }
  return true;
}

/** A cluster of which all `size` slots are free, with SWAP_HAS_CACHE set, or 0: what a large folio needs. */
function scan_clusters(si: swap_info_struct, size: number): swp_entry_t {
  // Slot 0 is the header: the first cluster is never free as a whole.
  const clusters = Math.floor(si.max / size) - 1;
  const from = Math.floor(si.cluster_next / size);
  for (let i = 0; i < clusters; i++) {
    const offset = size * (1 + ((from + i) % clusters));
    if (!range_free(si, offset, size)) {
      continue;
    }
    for (let slot = offset; slot < offset + size; slot++) {
      write_slot(si.swap_map, swp_entry(0, slot), SWAP_HAS_CACHE);
    }
    si.inuse_pages = si.inuse_pages + size;
    return swp_entry(0, offset);
  }
  return 0;
}

/** `size` free slots in a row with SWAP_HAS_CACHE set, or 0. */
function scan_swap_map(si: swap_info_struct, size: number): swp_entry_t {
  if ((si.flags & SWP_WRITEOK) === 0) {
    return 0;
  }
  if (size > 1) {
    return scan_clusters(si, size);
  }
  for (let i = 0; i < si.pages; i++) {
    const offset = 1 + ((si.cluster_next - 1 + i) % si.pages);
    const entry = swp_entry(0, offset);
    if (read_slot(si.swap_map, entry) === 0) {
      write_slot(si.swap_map, entry, SWAP_HAS_CACHE);
      si.inuse_pages = si.inuse_pages + 1;
      si.cluster_next = offset + 1 > si.pages ? 1 : offset + 1;
      return entry;
    }
  }
  return 0;
}

function set_count(si: swap_info_struct, entry: swp_entry_t, value: number): void {
  write_slot(si.swap_map, entry, value);
  if (value === 0) {
    si.inuse_pages = si.inuse_pages - 1;
  }
}

/** mm/swap_state.c: swap_cache_add_folio() v6.18. Preconditions: folio locked, SWAP_HAS_CACHE set. */
export function swap_cache_add_folio(folio: folio, entry: swp_entry_t): void {
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  VM_BUG_ON_FOLIO(folio_test_swapcache(folio), folio, 'folio_test_swapcache(folio)');
  const si = entry_info();
  if (si === null) {
    return;
  }
  const nr_pages = folio_nr_pages(folio);
  for (let i = 0; i < nr_pages; i++) {
    write_slot(si.swap_cache, entry + i, folio.pfn + 1);
  }
  folio_get(folio, nr_pages);
  folio_set(folio, PG_swapcache);
  folio.private = entry;
}

/** mm/swap_state.c: swap_cache_del_folio() v6.18. Preconditions: folio locked and in the swap cache. */
export function swap_cache_del_folio(folio: folio): void {
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  VM_BUG_ON_FOLIO(!folio_test_swapcache(folio), folio, '!folio_test_swapcache(folio)');
  VM_BUG_ON_FOLIO(folio_test_writeback(folio), folio, 'folio_test_writeback(folio)');
  const si = entry_info();
  if (si === null) {
    return;
  }
  const entry = folio.private;
  __swap_cache_del_folio(folio, entry);
  put_swap_folio(folio, entry);
  folio_ref_sub(folio, folio_nr_pages(folio));
}

/**
 * mm/swap_state.c: __swap_cache_del_folio() as reclaim calls it: the folio's references are frozen, so
 * none is dropped here.
 */
export function __swap_cache_del_folio(folio: folio, entry: swp_entry_t): void {
  const si = entry_info();
  if (si === null) {
    return;
  }
  const nr_pages = folio_nr_pages(folio);
  for (let i = 0; i < nr_pages; i++) {
    write_slot(si.swap_cache, entry + i, 0);
  }
  folio.private = 0;
  folio_clear(folio, PG_swapcache);
}

/**
 * mm/swap_state.c: __swap_cache_replace_folio() v6.18: migration puts `new_folio` in the place of the old one, a split
 * puts each page in its part of the place.
 */
export function __swap_cache_replace_folio(new_folio: folio): void {
  const si = entry_info();
  if (si === null) {
    return;
  }
  const nr_pages = folio_nr_pages(new_folio);
  for (let i = 0; i < nr_pages; i++) {
    write_slot(si.swap_cache, new_folio.private + i, new_folio.pfn + 1);
  }
}

/** The folio of the swap cache that stands for `entry`, or null; no reference is taken. */
export function swap_cache_lookup(entry: swp_entry_t): folio | null {
  const si = swap_info();
  const pfn = si === null ? 0 : read_slot(si.swap_cache, entry);
  return pfn === 0 ? null : mem_map.at(pfn - 1);
}

/** put_swap_folio(): the swap cache lets go of the folio's slots. */
export function put_swap_folio(folio: folio, entry: swp_entry_t): void {
  const si = entry_info();
  const nr_pages = folio_nr_pages(folio);
  for (let i = 0; si !== null && i < nr_pages; i++) {
    set_count(si, entry + i, read_slot(si.swap_map, entry + i) & ~SWAP_HAS_CACHE);
  }
}

/**
 * folio_alloc_swap() with CONFIG_THP_SWAP: slots for a locked, uptodate folio, which enters the swap cache: one cluster
 * for a huge one. 0 or -ENOMEM.
 */
export function folio_alloc_swap(folio: folio): number {
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  VM_BUG_ON_FOLIO(!folio_test_uptodate(folio), folio, '!folio_test_uptodate(folio)');
  const si = swap_info();
  const entry = si === null ? 0 : scan_swap_map(si, folio_nr_pages(folio));
  if (entry === 0) {
    return -ENOMEM;
  }
  swap_cache_add_folio(folio, entry);
  return 0;
}

/** si->swap_map of a slot: users and SWAP_HAS_CACHE; 0: free, or there is no area. */
export function swap_map_at(entry: swp_entry_t): number {
  const si = swap_info();
  return si === null ? 0 : read_slot(si.swap_map, entry);
}

/** swap_shmem_alloc(): the page cache of a tmpfs file names the slot, and nobody else ever does. */
export function swap_shmem_alloc(entry: swp_entry_t): void {
  const si = entry_info();
  if (si !== null) {
    write_slot(si.swap_map, entry, read_slot(si.swap_map, entry) + 1);
  }
}

/** The end of swapoff: gives the tables of an area back that nobody uses. */
export function releaseSwapArea(si: swap_info_struct): void {
  NODE_DATA().swap_info = null;
  for (const directory of [si.swap_map, si.swap_cache, si.contents]) {
    for (let i = 0; i < PTRS_PER_TABLE; i++) {
      const table = read_pte(directory * PTRS_PER_TABLE + i);
      if (table !== 0) {
        freeTable(table);
      }
    }
    freeTable(directory);
  }
  swap_info_cachep.free(si);
}

/** swapcache_prepare(): reserves the cache of a slot in use; false if somebody has it or the slot is free. */
export function swapcache_prepare(entry: swp_entry_t): boolean {
  const si = entry_info();
  const count = si === null ? 0 : read_slot(si.swap_map, entry);
  if (si === null || count === 0 || (count & SWAP_HAS_CACHE) !== 0) {
    return false;
  }
  write_slot(si.swap_map, entry, count | SWAP_HAS_CACHE);
  return true;
}

/** swap_duplicate(): one more page-table entry names the slot. 0, -ENOENT or -EINVAL. */
export function swap_duplicate(entry: swp_entry_t): number {
  const si = entry_info();
  if (si === null) {
    return -EINVAL;
  }
  const count = read_slot(si.swap_map, entry);
  if (count === 0) {
    return -ENOENT;
  }
  if ((count & ~SWAP_HAS_CACHE) >= SWAP_MAP_MAX) {
    return -EINVAL;
  }
  write_slot(si.swap_map, entry, count + 1);
  return 0;
}

/** swap_free(): a page-table entry no longer names the slot. */
export function swap_free(entry: swp_entry_t): void {
  const si = entry_info();
  if (si === null) {
    return;
  }
  const count = read_slot(si.swap_map, entry);
  if (WARN_ON_ONCE((count & ~SWAP_HAS_CACHE) === 0, 'swap_free(): slot has no user')) {
    return;
  }
  set_count(si, entry, count - 1);
}

/** swap_free_nr(): `nr` page-table entries no longer name slots in a row. */
export function swap_free_nr(entry: swp_entry_t, nr: number): void {
  for (let i = 0; i < nr; i++) {
    swap_free(entry + i);
  }
}

/** page_swap_entry(): the slot of one page of a folio in the swap cache. */
export const page_swap_entry = (folio: folio, page: page): swp_entry_t =>
  folio.private + (page.pfn - folio.pfn);

/** folio_swapped(): some page-table entry still names one of the folio's slots. */
export function folio_swapped(folio: folio): boolean {
  const nr_pages = folio_nr_pages(folio);
  for (let i = 0; i < nr_pages; i++) {
    if (swap_count(folio.private + i) > 0) {
      return true;
    }
  }
  return false;
}

/**
 * folio_free_swap(): takes a locked folio out of the swap cache if no page-table entry names its slot.
 * Returns true if it did.
 */
export function folio_free_swap(folio: folio): boolean {
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  if (!folio_test_swapcache(folio) || folio_test_writeback(folio) || folio_swapped(folio)) {
    return false;
  }
  swap_cache_del_folio(folio);
  folio_set(folio, PG_dirty);
  return true;
}

// ---- the device: a write or read is done at once

/** Writes all pages of a folio of the swap cache. */
export function writeSwapDevice(folio: folio): void {
  const si = swap_info();
  const nr_pages = folio_nr_pages(folio);
  for (let i = 0; si !== null && i < nr_pages; i++) {
    write_slot(si.contents, folio.private + i, mem_map.at(folio.pfn + i).content);
  }
}

export function readSwapDevice(entry: swp_entry_t): number {
  const si = swap_info();
  return si === null ? 0 : read_slot(si.contents, entry);
}
