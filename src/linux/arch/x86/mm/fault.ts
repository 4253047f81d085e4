/**
 * arch/x86/mm/fault.c v6.18: page faults of user accesses, and the accesses themselves: a processor that
 * looks at the page tables each time (there is no TLB).
 *
 * Lock tree: the VMA's read lock, or mmap_lock for read. Fidelity: dup for do_user_addr_fault(); custom for
 * the processor; an access for which there is no memory, and nobody to kill for it, fails with -ENOMEM.
 */
import { write_pte } from '../../../../sim/cpu.ts';
import type { K } from '../../../../sim/wait.ts';
import { EFAULT, EINTR, ENOMEM } from '../../../errno.ts';
import { current, current_mm } from '../../../kernel/current.ts';
import { trace_signal_deliver } from '../../../kernel/events.ts';
import { has, memory_manager } from '../../../kernel.ts';
import { trace_page_fault_user } from '../../../mm/events.ts';
import { handle_mm_fault } from '../../../mm/memory_fault.ts';
import { VM_WRITE, vma_is_accessible } from '../../../mm/mm.ts';
import { lock_vma_under_rcu, mmap_read_unlock, vma_end_read } from '../../../mm/mmap_lock.ts';
import { NODE_DATA } from '../../../mm/node.ts';
import { load_content, store_content } from '../../../mm/page_content.ts';
import {
  lookupHugePmd,
  lookupPte,
  pte_accessible,
  pte_index,
  pte_mkdirty,
  pte_mkyoung,
  pte_pfn,
  pte_write,
  ptep_get,
} from '../../../mm/pgtable.ts';
import { lock_mm_and_find_vma } from '../../../mm/stack_growth.ts';
import {
  FAULT_FLAG_DEFAULT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_USER,
  FAULT_FLAG_VMA_LOCK,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_HWPOISON,
  VM_FAULT_MAJOR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
} from '../../../mm/vm_fault.ts';
import { nr_free_pages } from '../../../mm/watermark.ts';
import { mem_map, type mm_struct, type page, type vm_area_struct } from '../../../mm_types.ts';

/** Bits of the error code that the processor pushes. */
export const X86_PF_PROT = 1;
export const X86_PF_WRITE = 2;
export const X86_PF_USER = 4;

const SIGBUS = 7;
const SIGSEGV = 11;
const SEGV_MAPERR = 1;
const SEGV_ACCERR = 2;
const BUS_ADRERR = 2;

const PAGE_SIZE = 4096;

/** force_sig_fault(): the event; what the signal does to the task is up to whoever made the access. */
function force_sig_fault(sig: number, code: number, address: number): number {
  trace_signal_deliver({ sig, code, address });
  return -EFAULT;
}

/** arch/x86/mm/fault.c: access_error() v6.18. */
function access_error(error_code: number, vma: vm_area_struct): boolean {
  if ((error_code & X86_PF_WRITE) !== 0) {
    return (vma.vm_flags & VM_WRITE) === 0;
  }
  if ((error_code & X86_PF_PROT) !== 0) {
    return true;
  }
  return !vma_is_accessible(vma);
}

/**
 * The end of do_user_addr_fault(): what a failed fault means. 0 = let the access try again. A task that is
 * to die returns to user space no more.
 */
function fault_result(fault: number, address: number): number {
  if (current().sigkill === 1) {
    return -EINTR;
  }
  if ((fault & VM_FAULT_ERROR) === 0) {
    return 0;
  }
  if ((fault & VM_FAULT_OOM) !== 0) {
    // pagefault_out_of_memory(): the instruction runs again; hopeless if there is nobody left to kill.
    return nr_free_pages() <= NODE_DATA().watermark_min ? -ENOMEM : 0;
  }
  if ((fault & (VM_FAULT_SIGBUS | VM_FAULT_HWPOISON)) !== 0) {
    return force_sig_fault(SIGBUS, BUS_ADRERR, address);
  }
  return force_sig_fault(SIGSEGV, SEGV_MAPERR, address);
}

/**
 * arch/x86/mm/fault.c: do_user_addr_fault() v6.18: first under the lock of the one VMA, then, if that did
 * not work out, under mmap_lock. 0, or -EFAULT when a signal was sent.
 */
export function* do_user_addr_fault(mm: mm_struct, error_code: number, address: number): K<number> {
  let flags = FAULT_FLAG_DEFAULT | FAULT_FLAG_USER;
  trace_page_fault_user({ address, error_code });
  if ((error_code & X86_PF_WRITE) !== 0) {
    flags |= FAULT_FLAG_WRITE;
  }
  if (has('per_vma_lock')) {
    const locked = yield* lock_vma_under_rcu(mm, address);
    if (locked !== null) {
      if (access_error(error_code, locked)) {
        vma_end_read(locked);
        return force_sig_fault(SIGSEGV, SEGV_ACCERR, address);
      }
      const fault = yield* handle_mm_fault(locked, address, flags | FAULT_FLAG_VMA_LOCK);
      if ((fault & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)) === 0) {
        vma_end_read(locked);
      }
      if ((fault & VM_FAULT_RETRY) === 0) {
        return fault_result(fault, address);
      }
      if ((fault & VM_FAULT_MAJOR) !== 0) {
        flags |= FAULT_FLAG_TRIED;
      }
    }
  }
  for (;;) {
    const vma = yield* lock_mm_and_find_vma(mm, address);
    if (vma === null) {
      return force_sig_fault(SIGSEGV, SEGV_MAPERR, address);
    }
    if (access_error(error_code, vma)) {
      mmap_read_unlock(mm);
      return force_sig_fault(SIGSEGV, SEGV_ACCERR, address);
    }
    const fault = yield* handle_mm_fault(vma, address, flags);
    if ((fault & VM_FAULT_COMPLETED) !== 0) {
      return 0;
    }
    if ((fault & VM_FAULT_RETRY) !== 0) {
      // mmap_lock was dropped while waiting; the second try waits with it held.
      flags |= FAULT_FLAG_TRIED;
      continue;
    }
    mmap_read_unlock(mm);
    return fault_result(fault, address);
  }
}

/** What the page tables allow. */
interface access {
  /** The page to access, its accessed (and dirty) bit set; null: a fault. */
  readonly page: page | null;
  /** For a fault: X86_PF_PROT or 0. */
  readonly error_code: number;
}

/** One page-table walk of the processor, which sets the accessed and dirty bits by itself. Atomic. */
function walkAndMark(mm: mm_struct, address: number, write: boolean): access {
  const huge = lookupHugePmd(mm, address);
  const ptr = huge === 0 ? lookupPte(mm, address) : huge;
  const pte = ptr === 0 ? 0 : ptep_get(ptr);
  if (!pte_accessible(pte)) {
    return { page: null, error_code: 0 };
  }
  if (write && !pte_write(pte)) {
    return { page: null, error_code: X86_PF_PROT };
  }
  const marked = write ? pte_mkdirty(pte_mkyoung(pte)) : pte_mkyoung(pte);
  if (marked !== pte) {
    write_pte(ptr, marked);
  }
  const subpage = huge === 0 ? 0 : pte_index(address);
  return { page: mem_map.at(pte_pfn(pte) + subpage), error_code: 0 };
}

/** Reads the byte at `address`, or -EFAULT after a signal. Runs as the current task. */
export function* user_load(address: number): K<number> {
  const mm = current_mm();
  for (;;) {
    const { page, error_code } = walkAndMark(mm, address, false);
    if (page !== null) {
      return load_content(page.content, address % PAGE_SIZE);
    }
    const result = yield* memory_manager().do_user_addr_fault(
      mm,
      error_code | X86_PF_USER,
      address,
    );
    if (result < 0) {
      return result;
    }
  }
}

/** The write of a processor: translation and store are one instruction. */
function storeByte(mm: mm_struct, address: number, byte: number, length: number): access {
  const found = walkAndMark(mm, address, true);
  if (found.page !== null) {
    found.page.content = store_content(found.page.content, address % PAGE_SIZE, length, byte);
  }
  return found;
}

/** Writes `byte` to `length` bytes of one page from `address`. 0, or -EFAULT after a signal. */
export function* user_store(address: number, byte: number, length: number): K<number> {
  const mm = current_mm();
  for (;;) {
    const { page, error_code } = storeByte(mm, address, byte, length);
    if (page !== null) {
      return 0;
    }
    const result = yield* memory_manager().do_user_addr_fault(
      mm,
      error_code | X86_PF_USER | X86_PF_WRITE,
      address,
    );
    if (result < 0) {
      return result;
    }
  }
}
