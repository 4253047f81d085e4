/**
 * arch/x86/mm/fault.c v2.6.34: a page fault of a user access: mmap_sem for read from the lookup of the VMA to the end.
 * Fidelity: dup; the stack pointer is not known, so that a stack grows for any access below it.
 */
import type { K } from '../../../sim/wait.ts';
import { EFAULT, ENOMEM } from '../../errno.ts';
import { trace_signal_deliver } from '../../kernel/events.ts';
import { down_read, up_read } from '../../kernel/locking/rwsem.ts';
import { has } from '../../kernel.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_page_fault_user } from '../events.ts';
import { VM_GROWSDOWN, VM_WRITE, vma_is_accessible } from '../mm.ts';
import { NODE_DATA } from '../node.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_WRITE,
  VM_FAULT_ERROR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
} from '../vm_fault.ts';
import { find_vma } from '../vma_tree.ts';
import { nr_free_pages } from '../watermark.ts';
import { handle_mm_fault } from './memory.ts';
import { expand_downwards } from './mmap.ts';

const PF_PROT = 1;
const PF_WRITE = 2;

const SIGBUS = 7;
const SIGSEGV = 11;
const SEGV_MAPERR = 1;
const SEGV_ACCERR = 2;
const BUS_ADRERR = 2;

/** force_sig_info_fault(). */
function signal(sig: number, code: number, address: number): number {
  trace_signal_deliver({ sig, code, address });
  return -EFAULT;
}

/** arch/x86/mm/fault.c: access_error() v2.6.34. */
function access_error(error_code: number, write: boolean, vma: vm_area_struct): boolean {
  if (write) {
    return (vma.vm_flags & VM_WRITE) === 0;
  }
  return (error_code & PF_PROT) !== 0 || !vma_is_accessible(vma);
}

/** The VMA of a faulting address, its stack grown down to it: null if there is none. Preconditions: mmap_sem for read. */
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

/**
 * arch/x86/mm/fault.c: do_page_fault() v2.6.34. 0 to let the access try again, -EFAULT after a signal, -ENOMEM when
 * it is hopeless. With fault_retry (2.6.37) the handler may drop mmap_sem to wait for a page, once; then all that was
 * looked up is looked up again.
 */
export function* do_page_fault(mm: mm_struct, error_code: number, address: number): K<number> {
  trace_page_fault_user({ address, error_code });
  const write = (error_code & PF_WRITE) !== 0;
  let flags = write ? FAULT_FLAG_WRITE : 0;
  if (has('fault_retry')) {
    flags |= FAULT_FLAG_ALLOW_RETRY;
  }
  for (;;) {
    yield* down_read(mm.mmap_lock);
    const vma = yield* findVma(mm, address);
    if (vma === null) {
      up_read(mm.mmap_lock);
      return signal(SIGSEGV, SEGV_MAPERR, address);
    }
    if (access_error(error_code, write, vma)) {
      up_read(mm.mmap_lock);
      return signal(SIGSEGV, SEGV_ACCERR, address);
    }
    const fault = yield* handle_mm_fault(mm, vma, address, flags);
    if ((fault & VM_FAULT_RETRY) !== 0) {
      flags &= ~FAULT_FLAG_ALLOW_RETRY;
      continue;
    }
    up_read(mm.mmap_lock);
    if ((fault & VM_FAULT_ERROR) === 0) {
      return 0;
    }
    if ((fault & VM_FAULT_OOM) !== 0) {
      // pagefault_out_of_memory(): the instruction runs again; hopeless if there is nobody left to kill.
      return nr_free_pages() <= NODE_DATA().watermark_min ? -ENOMEM : 0;
    }
    return signal(SIGBUS, BUS_ADRERR, address);
  }
}
