/**
 * mm/truncate.c v6.18: a file gets shorter or a hole: its pages leave every page table, then the page cache.
 *
 * Lock tree: mapping->invalidate_lock (the caller), then i_mmap_rwsem and ptls, then folio locks.
 * Fidelity: dup (unmapping before and after the removal), custom (batches, parts of pages first).
 */
import type { K } from '../../sim/wait.ts';
import { EEXIST } from '../errno.ts';
import { memory_manager } from '../kernel.ts';
import type { address_space, inode } from '../mm_types.ts';
import { folio_lock, folio_unlock, folio_wait_writeback } from './folio_lock.ts';
import { folio_mapped } from './large_folio.ts';
import { FS_DISK, PAGE_SIZE } from './mm.ts';
import {
  __filemap_remove_folio,
  filemap_get_folio,
  folio_mapping,
  MAX_FILE_PAGES,
  nextOnDisk,
  page_cache_next_entry,
  page_cache_swap_entry,
  readDisk,
  shmem_mapping,
  writeDisk,
} from './page_cache.ts';
import { store_content } from './page_content.ts';
import { folio_cancel_dirty, folio_mark_dirty } from './page-writeback.ts';
import { shmem_free_swap, shmem_swapin_folio } from './shmem_swap.ts';
import { folio_put } from './swap.ts';
import { unmap_mapping_folio, unmap_mapping_range } from './unmap_mapping.ts';

/**
 * mm/truncate.c: truncate_inode_pages_range() v6.18: removes the pages of [lstart, lend] (bytes, inclusive;
 * -1 = end) from the page cache and zeroes the parts of pages at its ends.
 */
export function* truncate_inode_pages_range(
  mapping: address_space,
  lstart: number,
  lend: number,
): K {
  if (mapping.nrpages === 0 && !shmem_mapping(mapping)) {
    return;
  }
  const start = Math.ceil(lstart / PAGE_SIZE);
  const end = lend === -1 ? MAX_FILE_PAGES : Math.floor((lend + 1) / PAGE_SIZE);
  const partial = lstart % PAGE_SIZE;
  const head = Math.floor(lstart / PAGE_SIZE);
  if (partial !== 0) {
    const to =
      lend !== -1 && Math.floor(lend / PAGE_SIZE) === head ? lend + 1 : (head + 1) * PAGE_SIZE;
    yield* zeroPartOfPage(mapping, head, partial, to - lstart);
  }
  if (lend !== -1 && (lend + 1) % PAGE_SIZE !== 0) {
    const tail = Math.floor((lend + 1) / PAGE_SIZE);
    if (tail !== head || partial === 0) {
      yield* zeroPartOfPage(mapping, tail, 0, (lend + 1) % PAGE_SIZE);
    }
  }
  let index = page_cache_next_entry(mapping, start, end - 1);
  while (index >= 0) {
    const swap = page_cache_swap_entry(mapping, index);
    if (swap !== 0) {
      shmem_free_swap(mapping, index, swap);
    }
    const folio = filemap_get_folio(mapping, index);
    if (folio !== null) {
      yield* folio_lock(folio);
      if (folio_mapping(folio) === mapping) {
        yield* folio_wait_writeback(folio);
        if (folio_mapped(folio)) {
          // truncate_cleanup_folio(): mapped again since the file was unmapped.
          yield* unmap_mapping_folio(mapping, folio);
        }
        folio_cancel_dirty(folio);
        __filemap_remove_folio(folio);
        folio_put(folio);
      }
      folio_unlock(folio);
      folio_put(folio);
    }
    index = page_cache_next_entry(mapping, index, end - 1);
  }
}

/** truncate_inode_partial_folio(): zeroes part of a page that stays. */
function* zeroPartOfPage(mapping: address_space, index: number, offset: number, length: number): K {
  let folio = filemap_get_folio(mapping, index);
  const swap = folio === null ? page_cache_swap_entry(mapping, index) : 0;
  if (swap !== 0) {
    // shmem_get_partial_folio(): what stays of a page in swap has to come back.
    const back = yield* shmem_swapin_folio(mapping, index, swap);
    if (back.error === -EEXIST) {
      yield* zeroPartOfPage(mapping, index, offset, length);
      return;
    }
    folio = back.folio;
    if (folio !== null) {
      folio_unlock(folio);
    }
  }
  if (folio === null) {
    return;
  }
  yield* folio_lock(folio);
  if (folio_mapping(folio) === mapping) {
    yield* folio_wait_writeback(folio);
    if (shmem_mapping(mapping)) {
      folio_mark_dirty(folio);
    }
    folio.content = store_content(folio.content, offset, length, 0);
  }
  folio_unlock(folio);
  folio_put(folio);
}

/** mm/truncate.c: truncate_inode_pages() v6.18. */
export function* truncate_inode_pages(mapping: address_space, lstart: number): K {
  yield* truncate_inode_pages_range(mapping, lstart, -1);
}

/**
 * mm/truncate.c: truncate_pagecache() v6.18. The entries are cleared before the pages go, so that many of
 * them go at once, and again afterwards: a private copy may have been made in between. Memory managers with a vmtruncate() do
 * it the other way round, those with an invalidate_mmap_range() once.
 */
export function* truncate_pagecache(inode: inode, newsize: number): K {
  const mapping = inode.i_mapping as address_space;
  const era = memory_manager();
  if (era.vmtruncate !== undefined) {
    yield* truncate_inode_pages(mapping, newsize);
    yield* era.vmtruncate(inode, newsize);
    return;
  }
  const holebegin = Math.ceil(newsize / PAGE_SIZE) * PAGE_SIZE;
  if (era.invalidate_mmap_range !== undefined) {
    yield* era.invalidate_mmap_range(mapping, holebegin);
    yield* truncate_inode_pages(mapping, newsize);
    return;
  }
  yield* unmap_mapping_range(mapping, holebegin, 0, true);
  yield* truncate_inode_pages(mapping, newsize);
  yield* unmap_mapping_range(mapping, holebegin, 0, true);
}

/**
 * What the file system does to the disk when it frees blocks: bytes [from, to) read as zeros from now on.
 * Atomic: it follows the removal of the pages, under locks of the file system.
 */
function zeroDisk(inode: inode, from: number, to: number): void {
  if (inode.i_kind !== FS_DISK) {
    return;
  }
  const last = Math.ceil(to / PAGE_SIZE) - 1;
  let index = nextOnDisk(inode, Math.floor(from / PAGE_SIZE), last);
  while (index >= 0) {
    const start = Math.max(from, index * PAGE_SIZE);
    const length = Math.min(to, (index + 1) * PAGE_SIZE) - start;
    const content = readDisk(inode, index);
    writeDisk(inode, index, store_content(content, start % PAGE_SIZE, length, 0));
    index = nextOnDisk(inode, index + 1, last);
  }
}

/** mm/truncate.c: truncate_setsize() v6.18. Preconditions: inode and invalidate_lock as the caller needs. */
export function* truncate_setsize(inode: inode, newsize: number): K {
  const oldsize = inode.i_size;
  inode.i_size = newsize;
  if (newsize < oldsize) {
    yield* truncate_pagecache(inode, newsize);
    zeroDisk(inode, newsize, Math.ceil(oldsize / PAGE_SIZE) * PAGE_SIZE);
  }
}

/** mm/truncate.c: truncate_pagecache_range() v6.18: a hole [lstart, lend]; private copies stay. */
export function* truncate_pagecache_range(inode: inode, lstart: number, lend: number): K {
  const mapping = inode.i_mapping as address_space;
  const unmap_start = Math.ceil(lstart / PAGE_SIZE) * PAGE_SIZE;
  const unmap_end = Math.floor((lend + 1) / PAGE_SIZE) * PAGE_SIZE;
  if (unmap_end > unmap_start) {
    yield* unmap_mapping_range(mapping, unmap_start, unmap_end - unmap_start, false);
  }
  yield* truncate_inode_pages_range(mapping, lstart, lend);
  zeroDisk(inode, lstart, Math.min(lend + 1, Math.ceil(inode.i_size / PAGE_SIZE) * PAGE_SIZE));
}
