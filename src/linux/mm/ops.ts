/**
 * The memory-manager record: what the rest of the kernel and the system calls ask of a kernel's VMA engine,
 * fault path, reclaim and migration. A preset names one; mm/modern.ts is v6.18's, mm/classic/ has the one
 * of the kernels with a VMA list and struct page. Fidelity: custom (Linux has one memory manager a kernel).
 */
import type { K } from '../../sim/wait.ts';
import type { address_space, file, folio, inode, mm_struct, vm_area_struct } from '../mm_types.ts';

import type { swap_info_struct } from './swap_types.ts';

/** How a write fault finds out that a private page has no other user. */
export type reuse_rule =
  /** A page flag says so (5.18, 5.19). */
  | 'anon_exclusive'
  /** Map count and swap count together are one. */
  | 'swap_count';

/** What execve() (fs/exec.ts) asks of a memory manager. 0 or a negative errno where nothing else is said. */
export interface exec_ops {
  /** The temporary stack of a new address space, one page at its upper end. The VMA or a negative errno. */
  create_init_stack_vma(mm: mm_struct): K<vm_area_struct | number>;
  /** Undoes these two; absent where the end of the address space does. */
  readonly discard?: (vma: vm_area_struct) => void;
  /** Makes the page of that stack which takes the arguments. */
  get_arg_page(mm: mm_struct, vma: vm_area_struct): K<number>;
  /** The temporary stack becomes the stack: flags, place, room to grow. current->mm is the new address space. */
  setup_arg_pages(vma: vm_area_struct, stack_top: number): K<number>;
  /** Maps a part of the program's file: the address or a negative errno. */
  map_image(
    file: file | null,
    addr: number,
    len: number,
    prot: number,
    flags: number,
    pgoff: number,
  ): K<number>;
}

/** mlock(2) and its relatives. 0 or a negative errno. */
export interface mlock_ops {
  mlock(start: number, len: number): K<number>;
  mlock2(start: number, len: number, flags: number): K<number>;
  munlock(start: number, len: number): K<number>;
  mlockall(flags: number): K<number>;
  munlockall(): K<number>;
}

/** What scanning the LRU lists (vmscan_lru.ts) does with pages; absent: as v6.18 (vmscan.ts). */
export interface page_reclaim_ops {
  /** Reclaims isolated pages, the last of the list first. Those that stay are isolated still. */
  shrink_page_list(pages: readonly folio[]): K<{
    readonly nr_reclaimed: number;
    readonly nr_unqueued_dirty: number;
    readonly nr_pageout: number;
    readonly kept: folio[];
  }>;
  /** How many mappings have used the page, and the vm_flags of those. */
  page_referenced(page: folio): K<{ readonly count: number; readonly vm_flags: number }>;
}

/** How a device keeps a page of a program (user_pin.ts), before pin_user_pages() (5.6). */
export interface device_pin_ops {
  /** Puts the page at `start` into `pages`, with a reference. 1 or a negative errno. */
  pin(mm: mm_struct, start: number, flags: number, pages: folio[]): K<number>;
  unpin(page: folio, dirty: boolean): K;
  /** What a pin adds to the reference count. */
  readonly references: number;
}

export interface mm_ops {
  readonly name: string;
  readonly reuse: reuse_rule;
  /** System calls: the result, or a negative errno. */
  mmap(addr: number, len: number, prot: number, flags: number, fd: number, off: number): K<number>;
  munmap(addr: number, len: number): K<number>;
  /** `pkey` is -1 for mprotect(). */
  mprotect(addr: number, len: number, prot: number, pkey: number): K<number>;
  mremap(
    addr: number,
    old_len: number,
    new_len: number,
    flags: number,
    new_addr: number,
  ): K<number>;
  brk(brk: number): K<number>;
  madvise(mm: mm_struct, start: number, len: number, behavior: number): K<number>;
  /** Absent in a memory manager whose `missing` names execve. */
  readonly exec?: exec_ops;
  /** Absent in a memory manager whose `missing` names mlock. */
  readonly mlock?: mlock_ops;
  /** Where v6.18's does not do: msync(2). */
  msync?(start: number, len: number, flags: number): K<number>;
  /** Where v6.18's does not do: a file becomes shorter, its pages from `holebegin` on go out of page tables, then out of the cache. */
  invalidate_mmap_range?(mapping: address_space, holebegin: number): K;
  /** Where v6.18's does not do: a file has become shorter, its pages have left the page cache and go out of page tables. */
  vmtruncate?(inode: inode, newsize: number): K;
  /** A user access that the page tables do not allow: 0 to try again, or -EFAULT after a signal. */
  do_user_addr_fault(mm: mm_struct, error_code: number, address: number): K<number>;
  /** A new mm for execve(), or the first one: what the scheme needs for it. 0 or -ENOMEM. Absent: nothing. */
  readonly mm_alloc?: (mm: mm_struct) => number;
  /** Fills the child's address space at fork. 0 or a negative errno. */
  dup_mmap(mm: mm_struct, oldmm: mm_struct): K<number>;
  /** The part of it that copies page tables, where the classic memory manager's is not right. */
  copy_page_range?(dst_vma: vm_area_struct, src_vma: vm_area_struct): K<number>;
  /** The last user of the address space has gone. */
  exit_mmap(mm: mm_struct): K;
  /** What an allocation does that finds too little memory free. NULL: it fails. */
  alloc_pages_slowpath(gfp: number, order: number): K<folio | null>;
  readonly page_reclaim?: page_reclaim_ops;
  /** Where v6.18's does not do: swapoff(2). */
  swapoff?(): K<number>;
  /** Absent: pin_user_pages(). */
  readonly device_pins?: device_pin_ops;
  /** Where v6.18's does not do: kswapd, once around its loop; it sets kswapd_awake of the node. Pages freed. */
  kswapd?(): K<number>;
  /** swapoff: brings every page of the area back. 0, -ENOMEM or -EINTR. Absent: as v6.18. */
  try_to_unuse?(si: swap_info_struct): K<number>;
  /** Aimed work of kernel tasks on the page that a task maps at an address. */
  reclaimAt(task: number, address: number): K<number>;
  referencedAt(task: number, address: number): K<number>;
  migrateAt(task: number, address: number): K<number>;
  /**
   * Operations of scenarios that this kernel does not have, each with the reason; a scenario that uses one is
   * refused by name.
   */
  readonly missing: Readonly<Record<string, string>>;
}
