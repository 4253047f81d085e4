/**
 * mm/shmem.c v6.18: tmpfs, memfd and MAP_SHARED|MAP_ANONYMOUS: files that live in the page cache only.
 *
 * Lock tree: mmap_lock or VMA lock, folio lock. Fidelity: dup for faults (pages in swap:
 * shmem_swap.ts) and hole punching; custom for the rest.
 */

import { block, type K } from '../../sim/wait.ts';
import { EEXIST, ENOMEM } from '../errno.ts';
import { fput } from '../fs/file_table.ts';
import { alloc_inode } from '../fs/inode.ts';
import { current_mm } from '../kernel/current.ts';
import {
  type address_space,
  type file,
  filp_cachep,
  type inode,
  type vm_area_struct,
} from '../mm_types.ts';
import { alloc_pages } from './alloc_pages.ts';
import { should_failslab } from './failslab.ts';
import { maybe_unlock_mmap_for_io } from './fault_lock.ts';
import { folio_lock, folio_unlock } from './folio_lock.ts';
import { __GFP_ZERO, GFP_HIGHUSER_MOVABLE } from './gfp.ts';
import {
  FMODE_READ,
  FMODE_WRITE,
  FS_TMPFS,
  PAGE_ALIGN,
  PAGE_SIZE,
  pages_of,
  VM_NORESERVE,
  VM_OPS_SHMEM_ANON,
} from './mm.ts';
import {
  __filemap_remove_folio,
  file_pages,
  filemap_add_folio,
  filemap_get_folio,
  folio_mapping,
  page_cache_swap_entry,
} from './page_cache.ts';
import { folio_set, PG_swapbacked, PG_uptodate } from './page-flags.ts';
import { shmem_swapin_folio } from './shmem_swap.ts';
import { folio_put } from './swap.ts';
import { truncate_inode_pages_range } from './truncate.ts';
import { unmap_mapping_range } from './unmap_mapping.ts';
import { security_vm_enough_memory_mm, vm_unacct_memory } from './util.ts';
import {
  VM_FAULT_LOCKED,
  VM_FAULT_MAJOR,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type vm_fault,
} from './vm_fault.ts';
import { shmem_falloc_done } from './wait_conditions.ts';

/**
 * mm/shmem.c: shmem_falloc_wait() v6.18: a fault in a hole that is being punched waits for its end, lest the two
 * go on for ever. 0: it is elsewhere. i_lock is not there: looking and lining up are one step.
 */
function* shmem_falloc_wait(vmf: vm_fault, inode: inode): K<number> {
  if (vmf.pgoff < inode.falloc_start || vmf.pgoff >= inode.falloc_next) {
    return 0;
  }
  const fpin = maybe_unlock_mmap_for_io(vmf, null);
  yield* block(shmem_falloc_done, inode.addr, 0);
  if (fpin !== null) {
    fput(fpin);
    return VM_FAULT_RETRY;
  }
  return VM_FAULT_NOPAGE;
}

/**
 * mm/shmem.c: shmem_fallocate() with FALLOC_FL_PUNCH_HOLE, v6.18. Preconditions: i_rwsem held for write. Whole
 * pages of the hole leave the page tables; of what they were copied to nothing is taken away.
 */
export function* shmemPunchHole(inode: inode, offset: number, len: number): K {
  const mapping = inode.i_mapping as address_space;
  const unmap_start = Math.ceil(offset / PAGE_SIZE) * PAGE_SIZE;
  const unmap_end = Math.floor((offset + len) / PAGE_SIZE) * PAGE_SIZE;
  inode.falloc_start = unmap_start / PAGE_SIZE;
  inode.falloc_next = unmap_end / PAGE_SIZE;
  if (unmap_end > unmap_start) {
    yield* unmap_mapping_range(mapping, unmap_start, unmap_end - unmap_start, false);
  }
  yield* truncate_inode_pages_range(mapping, offset, offset + len - 1);
  inode.falloc_next = 0;
}

/**
 * mm/shmem.c: shmem_get_folio_gfp() with SGP_CACHE, as shmem_fault() calls it, v6.18: the page, locked; a
 * hole is filled with zeros even for a read. Negative errno stands for VM_FAULT results of vmf_error().
 */
export function* shmem_fault(vmf: vm_fault): K<number> {
  const mapping = vmf.vma.vm_file?.f_mapping as address_space;
  const inode = mapping.host as inode;
  const index = vmf.pgoff;
  if (inode.falloc_next !== 0) {
    const ret = yield* shmem_falloc_wait(vmf, inode);
    if (ret !== 0) {
      return ret;
    }
  }
  for (;;) {
    if (index >= file_pages(inode)) {
      return VM_FAULT_SIGBUS;
    }
    const found = filemap_get_folio(mapping, index);
    if (found !== null) {
      yield* folio_lock(found);
      if (folio_mapping(found) !== mapping) {
        // Truncated or replaced while we waited.
        folio_unlock(found);
        folio_put(found);
        continue;
      }
      vmf.page = found;
      return VM_FAULT_LOCKED;
    }
    const swap = page_cache_swap_entry(mapping, index);
    if (swap !== 0) {
      const { error, folio, major } = yield* shmem_swapin_folio(mapping, index, swap);
      if (error === -EEXIST) {
        continue;
      }
      if (folio === null) {
        return error === -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
      }
      vmf.page = folio;
      return major ? VM_FAULT_LOCKED | VM_FAULT_MAJOR : VM_FAULT_LOCKED;
    }
    const folio = yield* alloc_pages(GFP_HIGHUSER_MOVABLE | __GFP_ZERO, 0);
    if (folio === null) {
      return VM_FAULT_OOM;
    }
    folio_set(folio, PG_swapbacked);
    if (!filemap_add_folio(mapping, folio, index)) {
      // Another task filled the hole first (-EEXIST): take its page.
      folio_put(folio);
      continue;
    }
    folio_set(folio, PG_uptodate);
    if (index >= file_pages(inode)) {
      // Truncated since we looked: nobody would take the page away again (-EINVAL).
      __filemap_remove_folio(folio);
      folio_unlock(folio);
      folio_put(folio);
      folio_put(folio);
      return VM_FAULT_SIGBUS;
    }
    vmf.page = folio;
    return VM_FAULT_LOCKED;
  }
}

/** mm/shmem.c: shmem_acct_size() v6.18: charges the size of a file up front. 0 or -ENOMEM. */
function shmem_acct_size(flags: number, size: number): number {
  return (flags & VM_NORESERVE) !== 0
    ? 0
    : security_vm_enough_memory_mm(current_mm(), pages_of(PAGE_ALIGN(size)));
}

/** mm/shmem.c: shmem_unacct_size() v6.18. */
export function shmem_unacct_size(flags: number, size: number): void {
  if ((flags & VM_NORESERVE) === 0) {
    vm_unacct_memory(pages_of(PAGE_ALIGN(size)));
  }
}

/**
 * mm/shmem.c: shmem_kernel_file_setup() v6.18: an unnamed file of `size` bytes with one reference; NULL
 * when memory is short. `flags` are those of the VMA: VM_NORESERVE means that its size is not charged.
 */
export function shmem_kernel_file_setup(name: string, size: number, flags: number): file | null {
  if (shmem_acct_size(flags, size) !== 0) {
    return null;
  }
  if (should_failslab()) {
    shmem_unacct_size(flags, size);
    return null;
  }
  const inode = alloc_inode(name, FS_TMPFS, size);
  inode.shmem_flags = flags & VM_NORESERVE;
  const file = filp_cachep.alloc();
  file.f_inode = inode;
  file.f_mapping = inode.i_mapping;
  file.f_mode = FMODE_READ | FMODE_WRITE;
  file.f_count = 1;
  return file;
}

/**
 * mm/shmem.c: shmem_zero_setup() v6.18: gives a MAP_SHARED|MAP_ANONYMOUS VMA its file. 0 or -ENOMEM.
 * Every mapping gets a file of its own: two of them never merge.
 */
export function shmem_zero_setup(vma: vm_area_struct): number {
  const size = vma.vm_end - vma.vm_start;
  const file = shmem_kernel_file_setup('dev/zero', size, vma.vm_flags);
  if (file === null) {
    return -ENOMEM;
  }
  vma.vm_file = file;
  vma.vm_ops = VM_OPS_SHMEM_ANON;
  return 0;
}
