/**
 * arch/x86_64/mm/fault.c v2.6.0: a page fault of a user access: mmap_sem for read from the lookup of the VMA to the end.
 * Fidelity: dup; the stack pointer is not known, so that a stack grows for any access below it.
 */
import type { K } from '../../../sim/wait.ts';
import { EFAULT, ENOMEM } from '../../errno.ts';
import { current } from '../../kernel/current.ts';
import { trace_signal_deliver } from '../../kernel/events.ts';
import { down_read, up_read } from '../../kernel/locking/rwsem.ts';
import type { mm_struct } from '../../mm_types.ts';
import { trace_page_fault_user } from '../events.ts';
import { VM_EXEC, VM_GROWSDOWN, VM_READ, VM_WRITE } from '../mm.ts';
import { FAULT_FLAG_WRITE, VM_FAULT_ERROR, VM_FAULT_OOM } from '../vm_fault.ts';
import { find_vma } from '../vma_tree.ts';
import { handle_mm_fault } from './memory.ts';
import { growStack } from './mmap.ts';

const PF_PROT = 1;
const PF_WRITE = 2;

const SIGBUS = 7;
const SIGSEGV = 11;
const SEGV_MAPERR = 1;
const SEGV_ACCERR = 2;
const BUS_ADRERR = 2;

function signal(sig: number, code: number, address: number): number {
  trace_signal_deliver({ sig, code, address });
  return -EFAULT;
}

/** The switch at good_area: what the VMA does not allow. */
function isRefused(error_code: number, vm_flags: number): boolean {
  if ((error_code & PF_WRITE) !== 0) {
    return (vm_flags & VM_WRITE) === 0;
  }
  return (error_code & PF_PROT) !== 0 || (vm_flags & (VM_READ | VM_EXEC)) === 0;
}

/**
 * arch/x86_64/mm/fault.c: do_page_fault() v2.6.0. 0 to let the access try again, -EFAULT after a signal, -ENOMEM when
 * it is hopeless.
 */
export function* do_page_fault(mm: mm_struct, error_code: number, address: number): K<number> {
  trace_page_fault_user({ address, error_code });
  yield* down_read(mm.mmap_lock);
  const vma = find_vma(mm, address);
  if (vma === null) {
    up_read(mm.mmap_lock);
    return signal(SIGSEGV, SEGV_MAPERR, address);
  }
  if (vma.vm_start > address) {
    const grows = (vma.vm_flags & VM_GROWSDOWN) !== 0;
    if (!grows || (yield* growStack(vma, address)) !== 0) {
      up_read(mm.mmap_lock);
      return signal(SIGSEGV, SEGV_MAPERR, address);
    }
  }
  if (isRefused(error_code, vma.vm_flags)) {
    up_read(mm.mmap_lock);
    return signal(SIGSEGV, SEGV_ACCERR, address);
  }
  const flags = (error_code & PF_WRITE) === 0 ? 0 : FAULT_FLAG_WRITE;
  const fault = yield* handle_mm_fault(mm, vma, address, flags);
  up_read(mm.mmap_lock);
  if ((fault & VM_FAULT_ERROR) === 0) {
    return 0;
  }
  if ((fault & VM_FAULT_OOM) !== 0) {
    // VM: killing process.
    current().sigkill = 1;
    return -ENOMEM;
  }
  return signal(SIGBUS, BUS_ADRERR, address);
}
