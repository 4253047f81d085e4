/**
 * mm/filemap.c v6.18: faults on page-cache pages and fault-around.
 *
 * Lock tree: mmap_lock or VMA lock, mapping->invalidate_lock, folio lock, ptl. Fidelity: dup, except that
 * reading from the disk takes no time, and readahead fills its window with single pages at once and marks
 * none of them for more.
 */

import type { K } from '../../sim/wait.ts';
import { fput } from '../fs/file_table.ts';
import { down_read, up_read } from '../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { rcu_read_lock, rcu_read_unlock } from '../kernel/rcu.ts';
import { VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import type { address_space, file, folio, inode, mm_struct } from '../mm_types.ts';
import { alloc_pages } from './alloc_pages.ts';
import { maybe_unlock_mmap_for_io } from './fault_lock.ts';
import { folio_lock, folio_trylock, folio_unlock } from './folio_lock.ts';
import { GFP_HIGHUSER_MOVABLE } from './gfp.ts';
import { PAGE_SIZE, VM_EXEC, VM_LOCKED, VM_RAND_READ, VM_SEQ_READ, vma_pages } from './mm.ts';
import { add_mm_counter, mm_counter_file } from './mm_counter.ts';
import { folio_ref_sub, folio_try_get, page_folio } from './page_alloc.ts';
import {
  file_pages,
  filemap_add_folio,
  filemap_get_folio,
  folio_mapping,
  page_cache_lookup,
  page_cache_next,
  readDisk,
  readPage,
  shmem_mapping,
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
  pte_unmap,
  pte_unmap_unlock,
  pteOffsetMapRcu,
  ptep_get,
  ptlock_ptr,
} from './pgtable.ts';
import { set_pte_range } from './set_pte_range.ts';
import { folio_put } from './swap.ts';
import {
  FAULT_FLAG_ORIG_PTE_VALID,
  FAULT_FLAG_RETRY_NOWAIT,
  VM_FAULT_LOCKED,
  VM_FAULT_MAJOR,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type vm_fault,
} from './vm_fault.ts';

/** page_cache_ra_order(): the missing pages of [start, end), as far as the file goes; uptodate at once. */
function* readWindow(mapping: address_space, start: number, end: number): K {
  // page_cache_ra_unbounded(): truncation and hole punching wait until the new pages are in.
  yield* down_read(mapping.invalidate_lock);
  const last = Math.min(end, file_pages(mapping.host as inode));
  for (let index = start; index < last; index += 1) {
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

/**
 * mm/filemap.c: do_sync_mmap_readahead() v6.18: reads the pages around a miss, or from it on if the mapping is
 * read in sequence. The lock that the fault came in under is dropped for it: the pinned file, or null if it
 * is still held.
 */
function* do_sync_mmap_readahead(vmf: vm_fault): K<file | null> {
  const vma = vmf.vma;
  const mapping = (vma.vm_file as file).f_mapping as address_space;
  const ra_pages = (mapping.host as inode).i_ra_pages;
  const pgoff = vmf.pgoff;
  const vm_flags = vma.vm_flags;
  if ((vm_flags & (VM_RAND_READ | VM_EXEC)) === VM_RAND_READ || ra_pages === 0) {
    return null;
  }
  let start = Math.max(0, pgoff - Math.floor(ra_pages / 2));
  let end = start + ra_pages;
  if ((vm_flags & VM_SEQ_READ) !== 0) {
    start = pgoff;
    end = start + ra_pages;
  } else if ((vm_flags & VM_EXEC) !== 0) {
    start = pgoff;
    end = Math.min(start + ra_pages, vma.vm_pgoff + vma_pages(vma));
  }
  const fpin = maybe_unlock_mmap_for_io(vmf, null);
  yield* readWindow(mapping, start, end);
  return fpin;
}

/**
 * force_page_cache_readahead() as MADV_WILLNEED calls it through vfs_fadvise(): pages of the range that are not in
 * the cache yet are read, up to the end of the file; they are uptodate at once.
 */
export function* readAhead(mapping: address_space, first: number, nr_pages: number): K {
  yield* readWindow(mapping, first, first + nr_pages);
}

/** A frame that was allocated for page `index` goes in, not read yet; given back if somebody else was faster. Atomic. */
function addOrGet(mapping: address_space, index: number, fresh: folio): folio {
  const folio = filemap_get_folio(mapping, index);
  if (folio !== null) {
    folio_put(fresh);
    return folio;
  }
  filemap_add_folio(mapping, fresh, index);
  // FGP_FOR_MMAP: the caller wants it unlocked.
  folio_unlock(fresh);
  return fresh;
}

/** __filemap_get_folio() with FGP_CREAT: the folio with a reference; null when memory is short. */
function* getOrCreateFolio(mapping: address_space, index: number): K<folio | null> {
  const folio = filemap_get_folio(mapping, index);
  if (folio !== null) {
    return folio;
  }
  const fresh = yield* alloc_pages(GFP_HIGHUSER_MOVABLE, 0);
  return fresh === null ? null : addOrGet(mapping, index, fresh);
}

/** mm/filemap.c: filemap_read_folio() v6.18: the page comes from the disk at once; the read unlocks it. Atomic. */
function filemap_read_folio(inode: inode, folio: folio): void {
  folio.content = readDisk(inode, folio.index);
  folio_set(folio, PG_uptodate);
  folio_unlock(folio);
}

/** What lock_folio_maybe_drop_mmap() found. */
interface folio_lock_result {
  readonly locked: boolean;
  readonly fpin: file | null;
}

/**
 * mm/filemap.c: lock_folio_maybe_drop_mmap() v6.18. Nobody is killed while he waits here, so the way out with
 * neither lock nor pin does not occur.
 */
function* lock_folio_maybe_drop_mmap(
  vmf: vm_fault,
  folio: folio,
  pinned: file | null,
): K<folio_lock_result> {
  if (folio_trylock(folio)) {
    return { locked: true, fpin: pinned };
  }
  if ((vmf.flags & FAULT_FLAG_RETRY_NOWAIT) !== 0) {
    return { locked: false, fpin: pinned };
  }
  const fpin = maybe_unlock_mmap_for_io(vmf, pinned);
  yield* folio_lock(folio);
  return { locked: true, fpin };
}

/**
 * mm/filemap.c: filemap_fault_recheck_pte_none() v6.18: a page that is mlocked may be mapped by now: 0, or
 * VM_FAULT_NOPAGE. For a moment an entry can look empty that is being changed: the ptl tells.
 */
function* filemap_fault_recheck_pte_none(vmf: vm_fault): K<number> {
  if ((vmf.vma.vm_flags & VM_LOCKED) === 0 || (vmf.flags & FAULT_FLAG_ORIG_PTE_VALID) === 0) {
    return 0;
  }
  const ptep = pteOffsetMapRcu(vmf.pmd, vmf.address);
  if (ptep === 0) {
    return VM_FAULT_NOPAGE;
  }
  let ret = 0;
  if (!pte_none(ptep_get(ptep))) {
    ret = VM_FAULT_NOPAGE;
  } else {
    const ptl = ptlock_ptr(ptep);
    yield* spin_lock(ptl);
    if (!pte_none(ptep_get(ptep))) {
      ret = VM_FAULT_NOPAGE;
    }
    spin_unlock(ptl);
  }
  pte_unmap();
  return ret;
}

/** The end of a fault that has dropped its lock, or must not wait: VM_FAULT_RETRY and what it was so far. */
function outRetry(mapping: address_space, locked: boolean, fpin: file | null, ret: number): number {
  if (locked) {
    up_read(mapping.invalidate_lock);
  }
  if (fpin !== null) {
    fput(fpin);
  }
  return ret | VM_FAULT_RETRY;
}

/**
 * mm/filemap.c: filemap_fault() v6.18: finds or reads the page of the fault and returns it locked with a
 * reference in vmf.page. A first try that reads drops the lock it came in under and returns VM_FAULT_RETRY:
 * the second looks around once more and so may map neighbours that were read with the page.
 * Preconditions: mmap_lock or the VMA lock held for read.
 */
export function* filemap_fault(vmf: vm_fault): K<number> {
  const mapping = vmf.vma.vm_file?.f_mapping as address_space;
  const inode = mapping.host as inode;
  const index = vmf.pgoff;
  let ret = 0;
  let mapping_locked = false;
  let fpin: file | null = null;
  if (index >= file_pages(inode)) {
    return VM_FAULT_SIGBUS;
  }
  let folio = filemap_get_folio(mapping, index);
  if (folio === null) {
    ret = yield* filemap_fault_recheck_pte_none(vmf);
    if (ret !== 0) {
      return ret;
    }
    ret = VM_FAULT_MAJOR;
    fpin = yield* do_sync_mmap_readahead(vmf);
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
      folio = yield* getOrCreateFolio(mapping, index);
      if (folio === null) {
        if (fpin !== null) {
          return outRetry(mapping, mapping_locked, fpin, ret);
        }
        up_read(mapping.invalidate_lock);
        return VM_FAULT_OOM;
      }
    }
    const lock: folio_lock_result = yield* lock_folio_maybe_drop_mmap(vmf, folio, fpin);
    fpin = lock.fpin;
    if (!lock.locked) {
      folio_put(folio);
      return outRetry(mapping, mapping_locked, fpin, ret);
    }
    if (folio_mapping(folio) !== mapping) {
      // Truncated while we waited for the lock.
      folio_unlock(folio);
      folio_put(folio);
      folio = null;
      continue;
    }
    if (folio_test_uptodate(folio)) {
      break;
    }
    if (!mapping_locked) {
      folio_unlock(folio);
      folio_put(folio);
      folio = null;
      continue;
    }
    // Not read: nothing is read ahead in this mapping.
    fpin = maybe_unlock_mmap_for_io(vmf, fpin);
    filemap_read_folio(inode, folio);
    folio_put(folio);
    if (fpin !== null) {
      return outRetry(mapping, mapping_locked, fpin, ret);
    }
    folio = null;
  }
  if (fpin !== null) {
    folio_unlock(folio);
    folio_put(folio);
    return outRetry(mapping, mapping_locked, fpin, ret);
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
  const file_end = file_pages(mapping.host as inode) - 1;
  const end_pgoff = Math.min(last_pgoff, file_end);
  let ret = 0;
  rcu_read_lock();
  let folio = next_uptodate_folio(mapping, start_pgoff, end_pgoff);
  if (folio === null) {
    rcu_read_unlock();
    return ret;
  }
  if (file_end > folio.index || shmem_mapping(mapping)) {
    // Not for a folio that ends with the file: where there is no table yet, nothing is mapped around then.
    if (pmd_none(pmdp_get(vmf.pmd))) {
      // filemap_map_pmd() installs the table that the fault allocated beforehand.
      if ((yield* __pte_alloc(mm, vmf.pmd)) !== 0) {
        folio_unlock(folio);
        folio_put(folio);
        rcu_read_unlock();
        return VM_FAULT_OOM;
      }
    }
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
