/**
 * fs/exec.c v6.18, the half that works on the new stack: its arguments, its flags and its place (mm_ops.exec).
 *
 * Lock tree: mmap_lock of the new address space. Fidelity: dup; arguments are one page.
 */
import type { K } from '../../sim/wait.ts';
import { EFAULT, EINTR, ENOMEM } from '../errno.ts';
import { current_mm } from '../kernel/current.ts';
import { handle_mm_fault } from '../mm/memory_fault.ts';
import { PAGE_SIZE, VM_EXEC, VM_STACK_FLAGS, VM_STACK_INCOMPLETE_SETUP } from '../mm/mm.ts';
import { vm_mmap_pgoff } from '../mm/mmap.ts';
import {
  mmap_read_lock,
  mmap_read_unlock,
  mmap_write_lock_killable,
  mmap_write_unlock,
} from '../mm/mmap_lock.ts';
import { mprotect_fixup } from '../mm/mprotect.ts';
import type { exec_ops } from '../mm/ops.ts';
import { expand_stack_locked } from '../mm/stack_growth.ts';
import { RLIMIT_STACK } from '../mm/util.ts';
import { FAULT_FLAG_REMOTE, FAULT_FLAG_WRITE, VM_FAULT_ERROR } from '../mm/vm_fault.ts';
import { create_init_stack_vma, relocate_vma_down } from '../mm/vma_exec.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';

/** fs/exec.c: get_arg_page() v6.18: the page at the end of the new stack. 0 or -ENOMEM. */
export function* get_arg_page(mm: mm_struct, vma: vm_area_struct): K<number> {
  yield* mmap_read_lock(mm);
  const fault = yield* handle_mm_fault(
    vma,
    vma.vm_end - PAGE_SIZE,
    FAULT_FLAG_WRITE | FAULT_FLAG_REMOTE,
  );
  mmap_read_unlock(mm);
  return (fault & VM_FAULT_ERROR) === 0 ? 0 : -ENOMEM;
}

/**
 * fs/exec.c: setup_arg_pages() v6.18: the temporary stack becomes the stack: right flags, right place, and
 * room to grow. Preconditions: current->mm is the new address space.
 */
function* setup_arg_pages(vma: vm_area_struct, stack_top: number): K<number> {
  const mm = current_mm();
  const stack_shift = vma.vm_end - stack_top;
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  // EXSTACK_DISABLE_X: today's programs say so.
  const vm_flags = (VM_STACK_FLAGS & ~VM_EXEC) | mm.def_flags | VM_STACK_INCOMPLETE_SETUP;
  let ret = yield* mprotect_fixup(null, vma, vma.vm_start, vma.vm_end, vm_flags);
  if (ret === 0 && stack_shift !== 0) {
    ret = yield* relocate_vma_down(vma, stack_shift);
  }
  if (ret === 0) {
    // From here on migration finds the pages of this VMA.
    vma.vm_flags = vma.vm_flags & ~VM_STACK_INCOMPLETE_SETUP;
    const stack_expand = Math.min(RLIMIT_STACK, vma.vm_end - vma.vm_start + 131072);
    mm.start_stack = vma.vm_end - 8;
    ret = yield* expand_stack_locked(vma, vma.vm_end - stack_expand);
    if (ret !== 0) {
      ret = -EFAULT;
    }
  }
  mmap_write_unlock(mm);
  return ret;
}

/** What execve() of v6.18 asks of the memory manager. */
export const modern_exec: exec_ops = {
  create_init_stack_vma,
  get_arg_page,
  setup_arg_pages,
  map_image: vm_mmap_pgoff,
};
