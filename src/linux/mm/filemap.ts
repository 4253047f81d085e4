/**
 * mm/filemap.c v6.18: faults on page-cache pages and fault-around.
 *
 * Lock tree: mmap_lock or VMA lock, mapping->invalidate_lock, folio lock, ptl. Fidelity: dup, except that
 * reading from the disk takes no time: nobody drops mmap_lock for it, and readahead fills a window of 32
 * pages around the fault at once.
 */

import type { K } from '../../sim/wait.ts';
import { down_read, up_read } from '../kernel/locking/rwsem.ts';
import { rcu_read_lock, rcu_read_unlock } from '../kernel/rcu.ts';
import { VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import type { address_space, folio, inode, mm_struct } from '../mm_types.ts';
import { alloc_pages } from './alloc_pages.ts';
import { folio_lock_or_retry } from './fault_lock.ts';
import { folio_lock, folio_trylock, folio_unlock } from './folio_lock.ts';
import { GFP_HIGHUSER_MOVABLE } from './gfp.ts';
import { PAGE_SIZE, VM_RAND_READ } from './mm.ts';
import { add_mm_counter, mm_counter_file } from './mm_counter.ts';
import { folio_ref_sub, folio_try_get, page_folio } from './page_alloc.ts';
import {
  file_pages,
  filemap_get_folio,
  folio_mapping,
  page_cache_lookup,
  page_cache_next,
  readDisk,
  readPage,
} from './page_cache.ts';
import {
  folio_set,
  folio_test_locked,
  folio_test_readahead,
  folio_test_uptodate,
  PG_uptodate,
} from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import {
  __pte_alloc,
  pmd_none,
  pmdp_get,
  pte_none,
  pte_offset_map_lock,
  pte_unmap_unlock,
  ptep_get,
} from './pgtable.ts';
import { set_pte_range } from './set_pte_range.ts';
import { folio_put } from './swap.ts';
import {
  VM_FAULT_LOCKED,
  VM_FAULT_MAJOR,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type vm_fault,
} from './vm_fault.ts';

/** Pages of the readahead window (file->f_ra.ra_pages). */
const RA_PAGES = 32;

/** do_sync_mmap_readahead(): the pages around a miss; they are uptodate at once. */
function readAround(vmf: vm_fault, mapping: address_space): void {
  if ((vmf.vma.vm_flags & VM_RAND_READ) !== 0) {
    return;
  }
  const inode = mapping.host as inode;
  const start = Math.max(0, vmf.pgoff - RA_PAGES / 2);
  const end = Math.min(start + RA_PAGES, file_pages(inode));
  for (let index = start; index < end; index++) {
    if (page_cache_lookup(mapping, index) === null) {
      const folio = readPage(mapping, index);
      if (folio === null) {
        return;
      }
      folio_put(folio);
    }
  }
}

/**
 * force_page_cache_readahead() as MADV_WILLNEED calls it through vfs_fadvise(): pages of the range that are not in
 * the cache yet are read, up to the end of the file; they are uptodate at once.
 */
export function* readAhead(mapping: address_space, first: number, nr_pages: number): K {
  // page_cache_ra_unbounded(): truncation and hole punching wait until the new pages are in.
  yield* down_read(mapping.invalidate_lock);
  const end = Math.min(first + nr_pages, file_pages(mapping.host as inode));
  for (let index = first; index < end; index += 1) {
    if (page_cache_lookup(mapping, index) === null) {
      const folio = readPage(mapping, index);
      if (folio === null) {
        break;
      }
      folio_put(folio);
    }
  }
  up_read(mapping.invalidate_lock);
}

/** A frame that was allocated for page `index`: read, or given back if somebody else read the page meanwhile. Atomic. */
function addOrGet(mapping: address_space, index: number, fresh: folio): folio | null {
  const folio = filemap_get_folio(mapping, index);
  if (folio === null) {
    return readPage(mapping, index, fresh);
  }
  folio_put(fresh);
  return folio;
}

/** __filemap_get_folio() with FGP_CREAT, and the read: the folio with a reference; null when memory is short. */
function* getOrReadFolio(mapping: address_space, index: number): K<folio | null> {
  const folio = filemap_get_folio(mapping, index);
  if (folio !== null) {
    return folio;
  }
  const fresh = yield* alloc_pages(GFP_HIGHUSER_MOVABLE, 0);
  return fresh === null ? null : addOrGet(mapping, index, fresh);
}

/**
 * mm/filemap.c: filemap_fault() v6.18: finds or reads the page of the fault and returns it locked with a
 * reference in vmf.page. Preconditions: mmap_lock or the VMA lock held for read.
 */
export function* filemap_fault(vmf: vm_fault): K<number> {
  const mapping = vmf.vma.vm_file?.f_mapping as address_space;
  const inode = mapping.host as inode;
  const index = vmf.pgoff;
  let ret = 0;
  let mapping_locked = false;
  if (index >= file_pages(inode)) {
    return VM_FAULT_SIGBUS;
  }
  let folio = filemap_get_folio(mapping, index);
  if (folio === null) {
    ret = VM_FAULT_MAJOR;
    readAround(vmf, mapping);
  } else if (!folio_test_uptodate(folio)) {
    yield* down_read(mapping.invalidate_lock);
    mapping_locked = true;
  }
  for (;;) {
    if (folio === null) {
      // Truncation and hole punching hold invalidate_lock: no page may appear behind their back.
      if (!mapping_locked) {
        yield* down_read(mapping.invalidate_lock);
        mapping_locked = true;
      }
      folio = yield* getOrReadFolio(mapping, index);
      if (folio === null) {
        up_read(mapping.invalidate_lock);
        return VM_FAULT_OOM;
      }
    }
    const locked: number = yield* folio_lock_or_retry(folio, vmf);
    if ((locked & VM_FAULT_RETRY) !== 0) {
      folio_put(folio);
      if (mapping_locked) {
        up_read(mapping.invalidate_lock);
      }
      return ret | VM_FAULT_RETRY;
    }
    if (folio_mapping(folio) !== mapping) {
      // Truncated while we waited for the lock.
      folio_unlock(folio);
      folio_put(folio);
      folio = null;
      continue;
    }
    if (!folio_test_uptodate(folio)) {
      if (!mapping_locked) {
        folio_unlock(folio);
        folio_put(folio);
        folio = null;
        continue;
      }
      // filemap_read_folio().
      folio.content = readDisk(inode, index);
      folio_set(folio, PG_uptodate);
    }
    break;
  }
  if (mapping_locked) {
    up_read(mapping.invalidate_lock);
  }
  if (index >= file_pages(inode)) {
    folio_unlock(folio);
    folio_put(folio);
    return VM_FAULT_SIGBUS;
  }
  vmf.page = folio;
  return ret | VM_FAULT_LOCKED;
}

/**
 * mm/filemap.c: next_uptodate_folio() v6.18: the next folio in [index, end_pgoff] that can be mapped
 * without waiting, locked and with a reference; null if there is none. Atomic.
 */
function next_uptodate_folio(
  mapping: address_space,
  index: number,
  end_pgoff: number,
): folio | null {
  let at = page_cache_next(mapping, index, end_pgoff);
  while (at >= 0) {
    const folio = page_cache_lookup(mapping, at) as folio;
    if (folio_try_get(folio)) {
      if (
        !folio_test_locked(folio) &&
        folio_test_uptodate(folio) &&
        !folio_test_readahead(folio) &&
        folio_trylock(folio)
      ) {
        if (at < file_pages(mapping.host as inode)) {
          return folio;
        }
        folio_unlock(folio);
      }
      folio_put(folio);
    }
    at = page_cache_next(mapping, at + 1, end_pgoff);
  }
  return null;
}

/**
 * mm/filemap.c: filemap_map_pages() v6.18: maps the page-cache pages of [start_pgoff, end_pgoff] that are
 * ready and whose entries are none. VM_FAULT_NOPAGE if the faulting one was among them.
 */
export function* filemap_map_pages(
  vmf: vm_fault,
  start_pgoff: number,
  last_pgoff: number,
): K<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm as mm_struct;
  const mapping = vma.vm_file?.f_mapping as address_space;
  // Pages beyond the end of the file stay unmapped: touching them is SIGBUS.
  const end_pgoff = Math.min(last_pgoff, file_pages(mapping.host as inode) - 1);
  let ret = 0;
  rcu_read_lock();
  let folio = next_uptodate_folio(mapping, start_pgoff, end_pgoff);
  if (folio === null) {
    rcu_read_unlock();
    return ret;
  }
  if (pmd_none(pmdp_get(vmf.pmd))) {
    // filemap_map_pmd() installs the table that the fault allocated beforehand.
    yield* __pte_alloc(mm, vmf.pmd);
  }
  const addr = vma.vm_start + (start_pgoff - vma.vm_pgoff) * PAGE_SIZE;
  const first_pte = yield* pte_offset_map_lock(mm, vmf.pmd, addr);
  if (first_pte === 0) {
    folio_unlock(folio);
    folio_put(folio);
    rcu_read_unlock();
    return ret;
  }
  const folio_type = mm_counter_file(folio);
  let rss = 0;
  while (folio !== null) {
    const offset: number = folio.index - start_pgoff;
    const next_pgoff: number = folio.index + 1;
    vmf.pte = first_pte + offset;
    // filemap_map_order0_folio().
    if (pte_none(ptep_get(vmf.pte))) {
      if (vmf.address === addr + offset * PAGE_SIZE) {
        ret = VM_FAULT_NOPAGE;
      }
      set_pte_range(vmf, folio, folio, addr + offset * PAGE_SIZE);
      rss = rss + 1;
    } else {
      folio_ref_sub(folio, 1);
    }
    folio_unlock(folio);
    folio = next_uptodate_folio(mapping, next_pgoff, end_pgoff);
  }
  add_mm_counter(mm, folio_type, rss);
  pte_unmap_unlock(first_pte);
  vmf.pte = 0;
  rcu_read_unlock();
  return ret;
}

/**
 * mm/filemap.c: filemap_page_mkwrite() v6.18: a shared mapping is about to write: the folio is locked and
 * marked dirty. VM_FAULT_NOPAGE if it was truncated.
 */
export function* filemap_page_mkwrite(vmf: vm_fault): K<number> {
  const mapping = vmf.vma.vm_file?.f_mapping as address_space;
  if (vmf.page === null) {
    return VM_FAULT_NOPAGE;
  }
  const folio = page_folio(vmf.page);
  VM_BUG_ON_FOLIO(folio._refcount === 0, folio, '!folio_ref_count(folio)');
  yield* folio_lock(folio);
  if (folio_mapping(folio) !== mapping) {
    folio_unlock(folio);
    return VM_FAULT_NOPAGE;
  }
  folio_mark_dirty(folio);
  return VM_FAULT_LOCKED;
}
