/**
 * mm/truncate.c v6.18: a file becomes shorter, gets a hole, or goes away.
 *
 * Lock tree: folio lock -> i_mmap_rwsem (read) -> ptl; inode.i_rwsem and invalidate_lock around it are
 * not taken: no two truncations of one file race in the simulator's operations, and faults check the size
 * under the folio lock. Fidelity: dup of mm/truncate.c for one folio at a time (Linux: batches of 31);
 * shmem's own truncation (shmem_undo_range()) goes the same way here.
 */
import type { K } from '../../sim/wait.ts';
import type { address_space, folio, inode } from '../mm_types.ts';
import { folio_lock, folio_trylock, folio_unlock, folio_wait_writeback } from './folio_lock.ts';
import { PAGE_ALIGN, PAGE_ALIGN_DOWN, PAGE_SIZE, ULONG_MAX } from './mm.ts';
import { folio_get } from './page_alloc.ts';
import { __filemap_remove_folio, page_cache_lookup, page_cache_next } from './page_cache.ts';
import { store_content } from './page_content.ts';
import { folio_cancel_dirty } from './page-writeback.ts';
import { folio_mapped } from './rmap/anon_vma_life.ts';
import { folio_put } from './swap.ts';
import { unmap_mapping_folio, unmap_mapping_range } from './unmap_mapping.ts';

/** mm/truncate.c: truncate_cleanup_folio() v6.18. Preconditions: folio locked. */
function* truncate_cleanup_folio(mapping: address_space, folio: folio): K {
  if (folio_mapped(folio)) {
    yield* unmap_mapping_folio(mapping, folio);
  }
  folio_cancel_dirty(folio);
}

/** mm/truncate.c: truncate_inode_folio() v6.18. Preconditions: folio locked. */
function* truncate_inode_folio(mapping: address_space, folio: folio): K {
  if (folio.mapping === 0 || page_cache_lookup(mapping, folio.index) !== folio) {
    // Somebody else truncated it while we waited for its lock.
    return;
  }
  yield* truncate_cleanup_folio(mapping, folio);
  __filemap_remove_folio(folio);
  // The page cache's reference.
  folio_put(folio);
}

/** mm/truncate.c: truncate_inode_partial_folio() v6.18 of a small folio: its part of [lstart, lend] becomes zero. */
function* truncate_inode_partial_folio(
  mapping: address_space,
  index: number,
  lstart: number,
  lend: number,
): K {
  const folio = page_cache_lookup(mapping, index);
  if (folio === null) {
    return;
  }
  folio_get(folio);
  yield* folio_lock(folio);
  yield* folio_wait_writeback(folio);
  const pos = index * PAGE_SIZE;
  const from = Math.max(lstart, pos) - pos;
  const to = Math.min(lend + 1, pos + PAGE_SIZE) - pos;
  folio.content = store_content(folio.content, from, to - from, 0);
  folio_unlock(folio);
  folio_put(folio);
}

/**
 * mm/truncate.c: truncate_inode_pages_range() v6.18: removes the page cache of bytes [lstart, lend]
 * (ULONG_MAX: to the end), and zeroes what of the first and the last page lies inside.
 */
export function* truncate_inode_pages_range(
  mapping: address_space,
  lstart: number,
  lend: number,
): K {
  const start = Math.ceil(lstart / PAGE_SIZE);
  // Exclusive, and inclusive in `last`.
  const end = lend === ULONG_MAX ? ULONG_MAX : Math.floor((lend + 1) / PAGE_SIZE);
  const last = end - 1;
  // First what can be had without waiting.
  let index = page_cache_next(mapping, start, last);
  while (index >= 0) {
    const folio = page_cache_lookup(mapping, index);
    if (folio !== null && folio_trylock(folio)) {
      folio_get(folio);
      yield* truncate_inode_folio(mapping, folio);
      folio_unlock(folio);
      folio_put(folio);
    }
    index = page_cache_next(mapping, index + 1, last);
  }
  const first_partial = Math.floor(lstart / PAGE_SIZE);
  const last_partial = lend === ULONG_MAX ? -1 : Math.floor(lend / PAGE_SIZE);
  if (first_partial < start) {
    yield* truncate_inode_partial_folio(mapping, first_partial, lstart, lend);
  }
  if (last_partial >= end && last_partial !== first_partial) {
    yield* truncate_inode_partial_folio(mapping, last_partial, lstart, lend);
  }
  // Then the rest, and what was added meanwhile.
  index = page_cache_next(mapping, start, last);
  while (index >= 0) {
    const folio = page_cache_lookup(mapping, index);
    if (folio !== null) {
      folio_get(folio);
      yield* folio_lock(folio);
      yield* folio_wait_writeback(folio);
      yield* truncate_inode_folio(mapping, folio);
      folio_unlock(folio);
      folio_put(folio);
    }
    index = page_cache_next(mapping, start, last);
  }
}

/** mm/truncate.c: truncate_inode_pages() v6.18. */
export function* truncate_inode_pages(mapping: address_space, lstart: number): K {
  yield* truncate_inode_pages_range(mapping, lstart, ULONG_MAX);
}

/**
 * mm/truncate.c: truncate_pagecache() v6.18. Unmapped twice: the first time saves work, and a private page
 * copied between that and the end of the truncation is caught by the second.
 */
export function* truncate_pagecache(inode: inode, newsize: number): K {
  const mapping = inode.i_mapping as address_space;
  const holebegin = PAGE_ALIGN(newsize);
  yield* unmap_mapping_range(mapping, holebegin, 0, true);
  yield* truncate_inode_pages(mapping, newsize);
  yield* unmap_mapping_range(mapping, holebegin, 0, true);
}

/** mm/truncate.c: truncate_setsize() v6.18. */
export function* truncate_setsize(inode: inode, newsize: number): K {
  inode.i_size = newsize;
  yield* truncate_pagecache(inode, newsize);
}

/** mm/truncate.c: truncate_pagecache_range() v6.18: a hole is punched; private copies stay. */
export function* truncate_pagecache_range(inode: inode, lstart: number, lend: number): K {
  const mapping = inode.i_mapping as address_space;
  const unmap_start = PAGE_ALIGN(lstart);
  const unmap_end = PAGE_ALIGN_DOWN(1 + lend) - 1;
  if (unmap_end > unmap_start) {
    yield* unmap_mapping_range(mapping, unmap_start, 1 + unmap_end - unmap_start, false);
  }
  yield* truncate_inode_pages_range(mapping, lstart, lend);
}
