/**
 * mm/msync.c v6.18: msync(2). Lock tree: mmap_lock (read); the folio lock, i_mmap_rwsem and ptls after it
 * was dropped. Fidelity: dup; what the file system does for vfs_fsync_range() is custom.
 */
import type { K } from '../../sim/wait.ts';
import { EBUSY, EINVAL, ENOMEM } from '../errno.ts';
import { fput, get_file } from '../fs/file_table.ts';
import { current_mm } from '../kernel/current.ts';
import type { address_space, file, folio, inode } from '../mm_types.ts';
import { folio_lock, folio_unlock, folio_wait_writeback } from './folio_lock.ts';
import { FS_DISK, offset_in_page, PAGE_ALIGN, PAGE_SIZE, VM_LOCKED, VM_SHARED } from './mm.ts';
import { mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { filemap_get_folio, folio_mapping, page_cache_next, writeDisk } from './page_cache.ts';
import { folio_clear_dirty_for_io, folio_mark_dirty } from './page-writeback.ts';
import { folio_mkclean } from './rmap.ts';
import { folio_put } from './swap.ts';
import { find_vma } from './vma_tree.ts';

const MS_ASYNC = 1;
const MS_INVALIDATE = 2;
const MS_SYNC = 4;

/**
 * What write_cache_pages() and the file system do for one folio. Preconditions: folio locked.
 *
 * The mappings are made read-only before the dirty bit goes: a write that comes later faults, waits for
 * the folio lock and marks the folio dirty again.
 */
export function* writeDirtyFolio(inode: inode, folio: folio): K {
  if ((yield* folio_mkclean(folio)) > 0) {
    folio_mark_dirty(folio);
  }
  if (folio_clear_dirty_for_io(folio)) {
    writeDisk(inode, folio.index, folio.content);
  }
}

/** vfs_fsync_range(): the dirty pages [first, last] of a file go to disk; tmpfs has none. */
function* writeFileRange(file: file, first: number, last: number): K<number> {
  const inode = file.f_inode as inode;
  const mapping = file.f_mapping as address_space;
  if (inode.i_kind !== FS_DISK) {
    return 0;
  }
  let index = page_cache_next(mapping, first, last);
  while (index >= 0) {
    const folio = filemap_get_folio(mapping, index);
    if (folio !== null) {
      yield* folio_lock(folio);
      if (folio_mapping(folio) === mapping) {
        yield* folio_wait_writeback(folio);
        yield* writeDirtyFolio(inode, folio);
      }
      folio_unlock(folio);
      folio_put(folio);
    }
    index = page_cache_next(mapping, index + 1, last);
  }
  return 0;
}

/** mm/msync.c: msync(2) v6.18. 0 or a negative errno; holes are passed over and reported at the end. */
export function* sys_msync(addr: number, length: number, flags: number): K<number> {
  const mm = current_mm();
  let start = addr;
  if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) !== 0 || offset_in_page(start) !== 0) {
    return -EINVAL;
  }
  if ((flags & MS_ASYNC) !== 0 && (flags & MS_SYNC) !== 0) {
    return -EINVAL;
  }
  const len = PAGE_ALIGN(length);
  const end = start + len;
  // Linux: end < start, a length that wraps around.
  if (len < 0 || end >= 2 ** 64) {
    return -ENOMEM;
  }
  if (end === start) {
    return 0;
  }
  let unmapped_error = 0;
  yield* mmap_read_lock(mm);
  let vma = find_vma(mm, start);
  for (;;) {
    if (vma === null) {
      mmap_read_unlock(mm);
      return -ENOMEM;
    }
    if (start < vma.vm_start) {
      if (flags === MS_ASYNC) {
        mmap_read_unlock(mm);
        return -ENOMEM;
      }
      start = vma.vm_start;
      if (start >= end) {
        mmap_read_unlock(mm);
        return -ENOMEM;
      }
      unmapped_error = -ENOMEM;
    }
    if ((flags & MS_INVALIDATE) !== 0 && (vma.vm_flags & VM_LOCKED) !== 0) {
      mmap_read_unlock(mm);
      return -EBUSY;
    }
    const file = vma.vm_file;
    const first = vma.vm_pgoff + (start - vma.vm_start) / PAGE_SIZE;
    const last = first + (Math.min(end, vma.vm_end) - start) / PAGE_SIZE - 1;
    start = vma.vm_end;
    if ((flags & MS_SYNC) !== 0 && file !== null && (vma.vm_flags & VM_SHARED) !== 0) {
      // Writing sleeps: the file is held, the lock is not, and the VMAs are looked up anew.
      get_file(file);
      mmap_read_unlock(mm);
      const error = yield* writeFileRange(file, first, last);
      fput(file);
      if (error !== 0 || start >= end) {
        return error !== 0 ? error : unmapped_error;
      }
      yield* mmap_read_lock(mm);
      vma = find_vma(mm, start);
    } else {
      if (start >= end) {
        mmap_read_unlock(mm);
        return unmapped_error;
      }
      vma = find_vma(mm, start);
    }
  }
}
