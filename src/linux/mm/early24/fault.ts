/**
 * arch/i386/mm/fault.c v2.4.0: a page fault of a user access: mmap_sem, which is a plain semaphore, from the lookup of
 * the VMA to the end; so the faults of threads wait for one another.
 * Fidelity: dup; the stack pointer is not known, so that a stack grows for any access below it.
 */
import type { K } from '../../../sim/wait.ts';
import { EFAULT, ENOMEM } from '../../errno.ts';
import { trace_signal_deliver } from '../../kernel/events.ts';
import { down_read, down_write, up_read, up_write } from '../../kernel/locking/rwsem.ts';
import { has } from '../../kernel.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_page_fault_user } from '../events.ts';
import { VM_EXEC, VM_GROWSDOWN, VM_READ, VM_WRITE } from '../mm.ts';
import { FAULT_OOM, FAULT_SIGBUS, handle_mm_fault } from './memory.ts';
import { expand_stack } from './mmap.ts';
import { find_vma } from './vma_list.ts';

const PF_PROT = 1;
const PF_WRITE = 2;

const SIGBUS = 7;
const SIGSEGV = 11;
const SEGV_MAPERR = 1;
const SEGV_ACCERR = 2;
const BUS_ADRERR = 2;

/** force_sig_info(). */
function signal(sig: number, code: number, address: number): number {
  trace_signal_deliver({ sig, code, address });
  return -EFAULT;
}

/** The switch over the error code in do_page_fault(): the access is not allowed. */
function isForbidden(error_code: number, vma: vm_area_struct): boolean {
  if ((error_code & PF_WRITE) !== 0) {
    return (vma.vm_flags & VM_WRITE) === 0;
  }
  return (error_code & PF_PROT) !== 0 || (vma.vm_flags & (VM_READ | VM_EXEC)) === 0;
}

/** down(&mm->mmap_sem); with shared_faults down_read(), as from 2.4.3 on. */
function* down(mm: mm_struct): K {
  if (has('shared_faults')) {
    yield* down_read(mm.mmap_lock);
  } else {
    yield* down_write(mm.mmap_lock);
  }
}

function up(mm: mm_struct): void {
  if (has('shared_faults')) {
    up_read(mm.mmap_lock);
  } else {
    up_write(mm.mmap_lock);
  }
}

/**
 * arch/i386/mm/fault.c: do_page_fault() v2.4.0. 0 to let the access try again, -EFAULT after a signal, -ENOMEM where
 * Linux kills the task.
 */
export function* do_page_fault(mm: mm_struct, error_code: number, address: number): K<number> {
  trace_page_fault_user({ address, error_code });
  yield* down(mm);
  const vma = find_vma(mm, address);
  if (vma === null) {
    up(mm);
    return signal(SIGSEGV, SEGV_MAPERR, address);
  }
  if (vma.vm_start > address) {
    const grows = (vma.vm_flags & VM_GROWSDOWN) !== 0;
    if (!grows || (yield* expand_stack(vma, address)) !== 0) {
      up(mm);
      return signal(SIGSEGV, SEGV_MAPERR, address);
    }
  }
  if (isForbidden(error_code, vma)) {
    up(mm);
    return signal(SIGSEGV, SEGV_ACCERR, address);
  }
  const fault = yield* handle_mm_fault(mm, vma, address, (error_code & PF_WRITE) !== 0);
  up(mm);
  if (fault === FAULT_OOM) {
    return -ENOMEM;
  }
  return fault === FAULT_SIGBUS ? signal(SIGBUS, BUS_ADRERR, address) : 0;
}
