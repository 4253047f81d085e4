/**
 * arch/x86/mm/fault.c v5.19: a page fault of a user access under mmap_lock for read, which the handler may drop to
 * wait for a page; then the fault begins again. Fidelity: dup; the stack pointer is not known, so that a stack
 * grows for any access below it.
 */
import type { K } from '../../../sim/wait.ts';
import { EFAULT, EINTR, ENOMEM } from '../../errno.ts';
import { current } from '../../kernel/current.ts';
import { trace_signal_deliver } from '../../kernel/events.ts';
import { down_read, up_read } from '../../kernel/locking/rwsem.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_page_fault_user } from '../events.ts';
import { handle_mm_fault } from '../memory_fault.ts';
import { VM_GROWSDOWN, VM_WRITE, vma_is_accessible } from '../mm.ts';
import { NODE_DATA } from '../node.ts';
import {
  FAULT_FLAG_DEFAULT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_USER,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
} from '../vm_fault.ts';
import { find_vma } from '../vma_tree.ts';
import { nr_free_pages } from '../watermark.ts';
import { expand_downwards } from './mmap.ts';

const PF_PROT = 1;
const PF_WRITE = 2;

const SIGBUS = 7;
const SIGSEGV = 11;
const SEGV_MAPERR = 1;
const SEGV_ACCERR = 2;
const BUS_ADRERR = 2;

/** force_sig_fault(). */
function signal(sig: number, code: number, address: number): number {
  trace_signal_deliver({ sig, code, address });
  return -EFAULT;
}

/** arch/x86/mm/fault.c: access_error() v5.19. */
function access_error(error_code: number, vma: vm_area_struct): boolean {
  if ((error_code & PF_WRITE) !== 0) {
    return (vma.vm_flags & VM_WRITE) === 0;
  }
  return (error_code & PF_PROT) !== 0 || !vma_is_accessible(vma);
}

/** The end of do_user_addr_fault(). */
function fault_result(fault: number, address: number): number {
  if ((fault & VM_FAULT_ERROR) === 0) {
    return 0;
  }
  if ((fault & VM_FAULT_OOM) !== 0) {
    // pagefault_out_of_memory(): the instruction runs again; hopeless if there is nobody left to kill.
    return nr_free_pages() <= NODE_DATA().watermark_min ? -ENOMEM : 0;
  }
  return signal(SIGBUS, BUS_ADRERR, address);
}

/** The VMA of a faulting address, its stack grown down to it: null if there is none. Preconditions: mmap_lock for read. */
function* findVma(mm: mm_struct, address: number): K<vm_area_struct | null> {
  const vma = find_vma(mm, address);
  if (vma === null || vma.vm_start <= address) {
    return vma;
  }
  if ((vma.vm_flags & VM_GROWSDOWN) === 0) {
    return null;
  }
  return (yield* expand_downwards(vma, address)) === 0 ? vma : null;
}

/** arch/x86/mm/fault.c: do_user_addr_fault() v5.19. 0 to let the access try again, or a negative errno. */
export function* do_user_addr_fault(mm: mm_struct, error_code: number, address: number): K<number> {
  trace_page_fault_user({ address, error_code });
  let flags = FAULT_FLAG_DEFAULT | FAULT_FLAG_USER;
  if ((error_code & PF_WRITE) !== 0) {
    flags |= FAULT_FLAG_WRITE;
  }
  for (;;) {
    yield* down_read(mm.mmap_lock);
    const vma = yield* findVma(mm, address);
    if (vma === null) {
      up_read(mm.mmap_lock);
      return signal(SIGSEGV, SEGV_MAPERR, address);
    }
    if (access_error(error_code, vma)) {
      up_read(mm.mmap_lock);
      return signal(SIGSEGV, SEGV_ACCERR, address);
    }
    const fault = yield* handle_mm_fault(vma, address, flags);
    if ((fault & VM_FAULT_COMPLETED) !== 0) {
      return 0;
    }
    if ((fault & VM_FAULT_RETRY) !== 0) {
      if (current().sigkill === 1) {
        return -EINTR;
      }
      flags |= FAULT_FLAG_TRIED;
      continue;
    }
    up_read(mm.mmap_lock);
    return fault_result(fault, address);
  }
}
