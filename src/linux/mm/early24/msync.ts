/**
 * mm/filemap.c v2.4.0: msync(2): dirty bits of the caller's own entries go to the pages, which are written if it is to
 * wait. Entries of other address spaces stay dirty: nothing leads to them.
 *
 * Lock tree: mmap_sem -> page_table_lock; mmap_sem -> page lock. Fidelity: dup; a write to the disk is over at once.
 */
import type { K } from '../../../sim/wait.ts';
import { EFAULT, EINVAL } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import type { address_space, inode, mm_struct, page, vm_area_struct } from '../../mm_types.ts';
import { folio_lock, folio_unlock } from '../folio_lock.ts';
import { FS_DISK, offset_in_page, PAGE_ALIGN, PAGE_SIZE, VM_SHARED } from '../mm.ts';
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
  pte_offset,
  pte_page,
  pte_present,
  type pte_ptr,
  ptep_get,
  set_pte_at,
} from '../pgtable.ts';
import { folio_put } from '../swap.ts';
import { find_vma, vm_next } from './vma_list.ts';
import { tableAt, usedFrom } from './zap.ts';

const MS_ASYNC = 1;
const MS_INVALIDATE = 2;
const MS_SYNC = 4;

/** mm/filemap.c: filemap_sync_pte() v2.4.0. Atomic. Preconditions: page_table_lock. */
function filemap_sync_pte(mm: mm_struct, address: number, ptep: pte_ptr): void {
  const pte = ptep_get(ptep);
  if (pte_present(pte) && pte_dirty(pte)) {
    set_pte_at(mm, address, ptep, pte_mkclean(pte));
    folio_mark_dirty(pte_page(pte));
  }
}

/** mm/filemap.c: filemap_sync() v2.4.0. */
function* filemap_sync(mm: mm_struct, start: number, end: number): K {
  yield* spin_lock(mm.page_table_lock);
  let address = start;
  while (address < end) {
    const { pmd, next } = tableAt(mm, address, end);
    if (pmd !== 0) {
      for (
        address = usedFrom(pmd, address, next);
        address < next;
        address = usedFrom(pmd, address + PAGE_SIZE, next)
      ) {
        filemap_sync_pte(mm, address, pte_offset(pmd, address));
      }
    }
    address = next;
  }
  spin_unlock(mm.page_table_lock);
}

/** What writepage() of the file system does. */
function writePage(inode: inode, page: page): void {
  if (folio_clear_dirty_for_io(page)) {
    writeDisk(inode, page.index, page.content);
  }
}

/** mm/filemap.c: filemap_fdatasync() v2.4.0: every dirty page of the file is written. */
function* filemap_fdatasync(inode: inode): K {
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

/** mm/filemap.c: msync_interval() v2.4.0. */
function* msync_interval(
  vma: vm_area_struct,
  start: number,
  end: number,
  flags: number,
): K<number> {
  const inode = vma.vm_file?.f_inode ?? null;
  if (inode === null || (vma.vm_flags & VM_SHARED) === 0) {
    return 0;
  }
  yield* filemap_sync(vma.vm_mm as mm_struct, start, end);
  if ((flags & MS_SYNC) !== 0 && inode.i_kind === FS_DISK) {
    yield* filemap_fdatasync(inode);
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
      return -EFAULT;
    }
    if (start < vma.vm_start) {
      unmapped_error = -EFAULT;
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
    vma = vm_next(vma);
  }
}

/** mm/filemap.c: msync(2) v2.4.0. */
export function* sys_msync(start: number, length: number, flags: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  let error = -EINVAL;
  const end = start + PAGE_ALIGN(length);
  const known = (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) === 0;
  if (offset_in_page(start) === 0 && end < 2 ** 64 && known) {
    error = end === start ? 0 : yield* syncRange(mm, start, end, flags);
  }
  up_write(mm.mmap_lock);
  return error;
}
