/**
 * mm/msync.c v2.6.0: msync(2): dirty bits of the caller's own entries go to the pages, which are written if it is to
 * wait. Entries of other address spaces stay dirty.
 *
 * Lock tree: mmap_sem (read) -> page_table_lock; mmap_sem -> page lock. Fidelity: dup; a write to the disk is over at
 * once, and inode->i_sem is not modelled.
 */
import type { K } from '../../../sim/wait.ts';
import { EBUSY, EINVAL, ENOMEM } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_read, up_read } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import type { address_space, inode, mm_struct, page, vm_area_struct } from '../../mm_types.ts';
import { folio_lock, folio_unlock } from '../folio_lock.ts';
import { FS_DISK, offset_in_page, PAGE_ALIGN, PAGE_SIZE, VM_LOCKED, VM_SHARED } from '../mm.ts';
import {
  filemap_get_folio,
  folio_mapping,
  MAX_FILE_PAGES,
  page_cache_next,
  writeDisk,
} from '../page_cache.ts';
import { folio_clear_dirty_for_io, folio_mark_dirty } from '../page-writeback.ts';
import {
  pte_dirty,
  pte_mkclean,
  pte_page,
  pte_present,
  pte_special,
  ptep_get,
  set_pte_at,
} from '../pgtable.ts';
import { folio_put } from '../swap.ts';
import { find_vma, vmaTreeNext } from '../vma_tree.ts';
import { findPte } from './pgtable.ts';

const MS_ASYNC = 1;
const MS_INVALIDATE = 2;
const MS_SYNC = 4;

/** mm/msync.c: filemap_sync() v2.6.0, down to filemap_sync_pte(). */
function* filemap_sync(mm: mm_struct, start: number, end: number): K {
  yield* spin_lock(mm.page_table_lock);
  for (let address = start; address < end; address = address + PAGE_SIZE) {
    const ptep = findPte(mm, address);
    const pte = ptep === 0 ? 0 : ptep_get(ptep);
    if (pte_present(pte) && !pte_special(pte) && pte_dirty(pte)) {
      set_pte_at(mm, address, ptep, pte_mkclean(pte));
      folio_mark_dirty(pte_page(pte));
    }
  }
  spin_unlock(mm.page_table_lock);
}

/** What writepage() of the file system does. */
function writePage(inode: inode, page: page): void {
  if (folio_clear_dirty_for_io(page)) {
    writeDisk(inode, page.index, page.content);
  }
}

/** mm/filemap.c: filemap_fdatawrite() v2.6.0: every dirty page of the file is written. */
function* filemap_fdatawrite(inode: inode): K {
  const mapping = inode.i_mapping as address_space;
  let index = page_cache_next(mapping, 0, MAX_FILE_PAGES - 1);
  while (index >= 0) {
    const page = filemap_get_folio(mapping, index);
    if (page !== null) {
      yield* folio_lock(page);
      if (folio_mapping(page) === mapping) {
        writePage(inode, page);
      }
      folio_unlock(page);
      folio_put(page);
    }
    index = page_cache_next(mapping, index + 1, MAX_FILE_PAGES - 1);
  }
}

/** mm/msync.c: msync_interval() v2.6.0. */
function* msync_interval(
  vma: vm_area_struct,
  start: number,
  end: number,
  flags: number,
): K<number> {
  if ((flags & MS_INVALIDATE) !== 0 && (vma.vm_flags & VM_LOCKED) !== 0) {
    return -EBUSY;
  }
  const inode = vma.vm_file?.f_inode ?? null;
  if (inode === null || (vma.vm_flags & VM_SHARED) === 0) {
    return 0;
  }
  yield* filemap_sync(vma.vm_mm as mm_struct, start, end);
  if ((flags & MS_SYNC) !== 0 && inode.i_kind === FS_DISK) {
    yield* filemap_fdatawrite(inode);
  }
  return 0;
}

/** The loop of msync(2). Holes are reported in the end, after the rest was done. */
function* syncRange(mm: mm_struct, from: number, end: number, flags: number): K<number> {
  let unmapped_error = 0;
  let start = from;
  let vma = find_vma(mm, start);
  for (;;) {
    if (vma === null) {
      return -ENOMEM;
    }
    if (start < vma.vm_start) {
      unmapped_error = -ENOMEM;
      start = vma.vm_start;
    }
    if (end <= vma.vm_end) {
      const error: number = start < end ? yield* msync_interval(vma, start, end, flags) : 0;
      return error === 0 ? unmapped_error : error;
    }
    const error: number = yield* msync_interval(vma, start, vma.vm_end, flags);
    if (error !== 0) {
      return error;
    }
    start = vma.vm_end;
    vma = vmaTreeNext(vma);
  }
}

/** Wrong arguments of msync(2): -EINVAL, else 0. */
function msyncError(start: number, flags: number): number {
  const known = (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) === 0;
  const both = (flags & MS_ASYNC) !== 0 && (flags & MS_SYNC) !== 0;
  return known && !both && offset_in_page(start) === 0 ? 0 : -EINVAL;
}

/** mm/msync.c: msync(2) v2.6.0. */
export function* sys_msync(start: number, length: number, flags: number): K<number> {
  const mm = current_mm();
  yield* down_read(mm.mmap_lock);
  let error = msyncError(start, flags);
  const end = start + PAGE_ALIGN(length);
  if (error === 0 && end >= 2 ** 64) {
    error = -ENOMEM;
  }
  if (error === 0 && end > start) {
    error = yield* syncRange(mm, start, end, flags);
  }
  up_read(mm.mmap_lock);
  return error;
}
