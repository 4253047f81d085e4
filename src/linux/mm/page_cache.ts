/**
 * mm/filemap.c v6.18: the page cache as an index: find, add, delete, and what the disk holds. One atomic
 * step each: the i_pages lock is not modelled. The index is three levels of pool tables (512 entries).
 * Fidelity: custom (index instead of the XArray, no shadow entries), dup (references and flags).
 */
import { read_pte, write_pte } from '../../sim/cpu.ts';
import { allocTable, freeTable, PTRS_PER_TABLE } from '../../sim/table.ts';
import { VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import { type address_space, type folio, type inode, mem_map } from '../mm_types.ts';
import { FS_DISK, PAGE_SIZE } from './mm.ts';
import { folio_alloc, folio_get, folio_ref_sub, folio_try_get } from './page_alloc.ts';
import { fill_content, ZERO_CONTENT } from './page_content.ts';
import {
  folio_set,
  folio_test_locked,
  mapping_pointer,
  PG_locked,
  PG_swapbacked,
  PG_uptodate,
} from './page-flags.ts';
import { folio_add_lru } from './swap.ts';
import type { swp_entry_t } from './swap_entry.ts';

/** xa_is_value(): an entry of this value or more is a swap entry, that of a tmpfs page in swap. */
const XA_VALUE = 0x8000_0000;

/** Largest page offset of the index, exclusive. */
export const MAX_FILE_PAGES = 512 * 512 * 512;

/** What one entry of the root table covers. */
const MIDDLE_SPAN = PTRS_PER_TABLE * PTRS_PER_TABLE;

/** Word of an entry below the root table, made if need be; 0 if it does not exist and `make` is false. */
function index_word(root: number, index: number, make: boolean): number {
  let table = root;
  for (const span of [MIDDLE_SPAN, PTRS_PER_TABLE]) {
    const at = table * PTRS_PER_TABLE + (Math.floor(index / span) % PTRS_PER_TABLE);
    table = read_pte(at);
    if (table === 0) {
      if (!make) {
        return 0;
      }
      table = allocTable();
      write_pte(at, table);
    }
  }
  return table * PTRS_PER_TABLE + (index % PTRS_PER_TABLE);
}

/** What an index of three levels holds at `index`; 0 = nothing. */
function index_load(root: number, index: number): number {
  if (root === 0 || index >= MAX_FILE_PAGES) {
    return 0;
  }
  const word = index_word(root, index, false);
  return word === 0 ? 0 : read_pte(word);
}

/** First entry (of swapped pages only, if `values`) at or after `index`, at most `last`: its index, or -1. */
function index_next(root: number, index: number, last: number, values: boolean): number {
  const end = Math.min(last, MAX_FILE_PAGES - 1);
  let at = index;
  while (root !== 0 && at <= end) {
    const middle = read_pte(root * PTRS_PER_TABLE + Math.floor(at / MIDDLE_SPAN));
    if (middle === 0) {
      at = at - (at % MIDDLE_SPAN) + MIDDLE_SPAN;
      continue;
    }
    const leaf = read_pte(
      middle * PTRS_PER_TABLE + (Math.floor(at / PTRS_PER_TABLE) % PTRS_PER_TABLE),
    );
    if (leaf === 0) {
      at = at - (at % PTRS_PER_TABLE) + PTRS_PER_TABLE;
      continue;
    }
    const entry = read_pte(leaf * PTRS_PER_TABLE + (at % PTRS_PER_TABLE));
    if (entry !== 0 && (!values || entry >= XA_VALUE)) {
      return at;
    }
    at += 1;
  }
  return -1;
}

/** Gives the tables of an index back. */
function index_free(root: number): void {
  if (root === 0) {
    return;
  }
  for (let i = 0; i < PTRS_PER_TABLE; i++) {
    const middle = read_pte(root * PTRS_PER_TABLE + i);
    if (middle !== 0) {
      for (let j = 0; j < PTRS_PER_TABLE; j++) {
        const leaf = read_pte(middle * PTRS_PER_TABLE + j);
        if (leaf !== 0) {
          freeTable(leaf);
        }
      }
      freeTable(middle);
    }
  }
  freeTable(root);
}

/** The address_space of a page-cache folio; null for anonymous or removed folios. */
export function folio_mapping(folio: folio): address_space | null {
  return (folio.mapping & 3) !== 0
    ? null
    : (mapping_pointer(folio.mapping) as address_space | null);
}

/** The word that folio->mapping holds for a folio of `mapping`. */
export function file_mapping_word(mapping: address_space): number {
  return (mapping.addr >>> 4) << 2;
}

/** shmem_mapping(). */
export function shmem_mapping(mapping: address_space): boolean {
  const kind = mapping.host?.i_kind ?? FS_DISK;
  return kind !== FS_DISK;
}

/** Pages that the file's size covers. */
export function file_pages(inode: inode): number {
  return Math.ceil(inode.i_size / PAGE_SIZE);
}

/** filemap_get_entry() without a reference: the folio at `index`, or null. */
export function page_cache_lookup(mapping: address_space, index: number): folio | null {
  const pfn = index_load(mapping.i_pages, index);
  return pfn === 0 || pfn >= XA_VALUE ? null : mem_map.at(pfn - 1);
}

/** radix_to_swp_entry() of what stands at `index`: the swap entry of a tmpfs page, or 0. */
export function page_cache_swap_entry(mapping: address_space, index: number): swp_entry_t {
  const entry = index_load(mapping.i_pages, index);
  return entry >= XA_VALUE ? entry - XA_VALUE : 0;
}

/** Index of the first swapped page of a tmpfs file at or after `index`, or -1. */
export function page_cache_next_swap(mapping: address_space, index: number): number {
  return index_next(mapping.i_pages, index, MAX_FILE_PAGES - 1, true);
}

/** Index of the first entry, page or swap entry, in [index, last], or -1. */
export function page_cache_next_entry(mapping: address_space, index: number, last: number): number {
  return index_next(mapping.i_pages, index, last, false);
}

/**
 * mm/shmem.c: shmem_delete_from_page_cache() v6.18: the swap entry takes the place of the folio. Preconditions:
 * folio locked. One step, under the i_pages lock.
 */
export function shmem_delete_from_page_cache(
  folio: folio,
  mapping: address_space,
  swap: swp_entry_t,
): void {
  write_pte(index_word(mapping.i_pages, folio.index, true), XA_VALUE + swap);
  folio.mapping = 0;
  mapping.nrpages = mapping.nrpages - 1;
  folio_ref_sub(folio, 1);
}

/**
 * mm/shmem.c: shmem_add_to_page_cache() v6.18 of a folio that comes back from swap: it takes the place of its
 * swap entry; false (-EEXIST) if that has gone. Preconditions: folio locked. One step, under the i_pages lock.
 */
export function shmem_add_to_page_cache(
  folio: folio,
  mapping: address_space,
  index: number,
  expected: swp_entry_t,
): boolean {
  if (page_cache_swap_entry(mapping, index) !== expected) {
    return false;
  }
  folio_get(folio);
  folio.mapping = file_mapping_word(mapping);
  folio.index = index;
  write_pte(index_word(mapping.i_pages, index, true), folio.pfn + 1);
  mapping.nrpages = mapping.nrpages + 1;
  return true;
}

/** The i_pages part of shmem_free_swap(): the entry goes if it is still `swap`. */
export function shmemClearSwap(mapping: address_space, index: number, swap: swp_entry_t): boolean {
  if (page_cache_swap_entry(mapping, index) !== swap) {
    return false;
  }
  write_pte(index_word(mapping.i_pages, index, true), 0);
  return true;
}

/** Index of the first page-cache folio in [index, last], or -1. */
export function page_cache_next(mapping: address_space, index: number, last: number): number {
  let at = index_next(mapping.i_pages, index, last, false);
  while (at >= 0 && page_cache_swap_entry(mapping, at) !== 0) {
    at = index_next(mapping.i_pages, at + 1, last, false);
  }
  return at;
}

/** filemap_get_folio(): the folio at `index` with a reference, or NULL. */
export function filemap_get_folio(mapping: address_space, index: number): folio | null {
  const folio = page_cache_lookup(mapping, index);
  return folio !== null && folio_try_get(folio) ? folio : null;
}

/**
 * filemap_add_folio(): puts a new folio into the page cache, locked, and into the LRU batch. False if
 * another folio is there already.
 */
export function filemap_add_folio(mapping: address_space, folio: folio, index: number): boolean {
  if (index_load(mapping.i_pages, index) !== 0) {
    return false;
  }
  if (mapping.i_pages === 0) {
    mapping.i_pages = allocTable();
  }
  folio_set(folio, PG_locked);
  folio_get(folio);
  folio.mapping = file_mapping_word(mapping);
  folio.index = index;
  write_pte(index_word(mapping.i_pages, index, true), folio.pfn + 1);
  mapping.nrpages = mapping.nrpages + 1;
  folio_add_lru(folio);
  return true;
}

/** filemap_remove_folio() without the final put: the folio leaves the page cache. Preconditions: locked. */
export function __filemap_remove_folio(folio: folio): void {
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  const mapping = folio_mapping(folio);
  if (mapping === null) {
    return;
  }
  write_pte(index_word(mapping.i_pages, folio.index, true), 0);
  folio.mapping = 0;
  mapping.nrpages = mapping.nrpages - 1;
}

/** Migration: `new_folio` takes the place of the old one, whose mapping and index it already has. */
export function page_cache_replace(mapping: address_space, new_folio: folio): void {
  write_pte(index_word(mapping.i_pages, new_folio.index, true), new_folio.pfn + 1);
}

/** Frees the index of an address_space that holds no page any more (clear_inode()). */
export function freePageIndex(inode: inode): void {
  const mapping = inode.i_mapping;
  if (mapping !== null) {
    index_free(mapping.i_pages);
    mapping.i_pages = 0;
  }
  index_free(inode.i_blocks);
  inode.i_blocks = 0;
}

/** What the disk holds in page `index` of a file. */
export function readDisk(inode: inode, index: number): number {
  const written = index_load(inode.i_blocks, index);
  if (written !== 0) {
    return written - 1;
  }
  return inode.i_fill === 1 ? fill_content((7 * index + 1) % 256) : ZERO_CONTENT;
}

/** First page in [index, last] that the disk holds anything of, or -1. */
export function nextOnDisk(inode: inode, index: number, last: number): number {
  const all = inode.i_fill === 1 && index <= last;
  return all ? index : index_next(inode.i_blocks, index, last, false);
}

/** Writes a page back to the disk. */
export function writeDisk(inode: inode, index: number, content: number): void {
  if (inode.i_blocks === 0) {
    inode.i_blocks = allocTable();
  }
  write_pte(index_word(inode.i_blocks, index, true), content + 1);
}

/**
 * Reads page `index` of a file into the page cache if it is not there: the folio is uptodate and
 * unlocked at once. `folio` is the frame for it. Null when memory is short.
 */
export function readPage(
  mapping: address_space,
  index: number,
  folio: folio | null = folio_alloc(0),
): folio | null {
  const inode = mapping.host as inode;
  if (folio === null) {
    return null;
  }
  folio.content = readDisk(inode, index);
  folio_set(folio, PG_uptodate | (shmem_mapping(mapping) ? PG_swapbacked : 0));
  filemap_add_folio(mapping, folio, index);
  folio.flags = folio.flags & ~PG_locked;
  return folio;
}
