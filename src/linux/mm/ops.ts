/**
 * The memory-manager record: what the rest of the kernel and the system calls ask of a kernel's VMA engine,
 * fault path, reclaim and migration. A preset names one; mm/modern.ts is v6.18's, mm/classic/ has the one
 * of the kernels with a VMA list and struct page. Fidelity: custom (Linux has one memory manager a kernel).
 */
import type { K } from '../../sim/wait.ts';
import type { folio, mm_struct, vm_area_struct } from '../mm_types.ts';

/** How a write fault finds out that a private page has no other user. */
export type reuse_rule =
  /** A page flag says so (5.18, 5.19). */
  | 'anon_exclusive'
  /** Map count and swap count together are one. */
  | 'swap_count';

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
