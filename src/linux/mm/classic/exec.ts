/**
 * fs/exec.c v2.6.34, the half that works on the new stack (mm_ops.exec). The stack begins as one page at the top of the
 * new address space and is moved down when its place is known. Page tables move under their ptls only, and vma_adjust()
 * gives the VMA both ranges with the old vm_pgoff first: a walk in between looks for every page at its new address.
 *
 * Lock tree: mmap_sem of the new address space -> (vma_adjust(), move_page_tables()). Fidelity: dup, with two things more: the
 * arguments are one page, and mmap_sem is held for it, although nobody else knows the address space.
 */
import type { K } from '../../../sim/wait.ts';
import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { EFAULT, ENOMEM } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_read, down_write, up_read, up_write } from '../../kernel/locking/rwsem.ts';
import { has } from '../../kernel.ts';
import { BUG_ON } from '../../lib/bug.ts';
import type { file, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { free_pgd_range } from '../memory.ts';
import {
  PAGE_SIZE,
  STACK_TOP_MAX,
  VM_EXEC,
  VM_STACK_FLAGS,
  VM_STACK_INCOMPLETE_SETUP,
} from '../mm.ts';
import { tlb_finish_mmu, tlb_gather_mmu } from '../mmu_gather.ts';
import type { exec_ops } from '../ops.ts';
import { lru_add_drain } from '../swap.ts';
import { RLIMIT_STACK, security_vm_enough_memory_mm } from '../util.ts';
import { FAULT_FLAG_WRITE, VM_FAULT_ERROR } from '../vm_fault.ts';
import { vm_area_alloc, vm_area_free } from '../vma_init.ts';
import { find_vma, vmaTreeNext } from '../vma_tree.ts';
import { handle_mm_fault } from './memory.ts';
import { do_mmap_pgoff, expand_downwards, prevOf } from './mmap.ts';
import { mprotect_fixup } from './mprotect.ts';
import { move_page_tables } from './mremap.ts';
import { vma_adjust, vma_link } from './vma_adjust.ts';

/** EXTRA_STACK_VM_PAGES: what the stack may use at once. */
const STACK_EXPAND = 131072;

/** What tells the stack of an unfinished execve() from others (2.6.35). */
const temporary = (): number => (has('skip_temporary_stack') ? VM_STACK_INCOMPLETE_SETUP : 0);

/** mm/mmap.c: insert_vm_struct() v2.6.34 of an anonymous VMA. 0 or -ENOMEM. Preconditions: mmap_sem held for write. */
function* insert_vm_struct(mm: mm_struct, vma: vm_area_struct): K<number> {
  vma.vm_pgoff = vma.vm_start / PAGE_SIZE;
  const next = find_vma(mm, vma.vm_start);
  if (next !== null && next.vm_start < vma.vm_end) {
    return -ENOMEM;
  }
  if (security_vm_enough_memory_mm(mm, (vma.vm_end - vma.vm_start) / PAGE_SIZE) !== 0) {
    return -ENOMEM;
  }
  yield* vma_link(mm, vma);
  return 0;
}

/** fs/exec.c: __bprm_mm_init() v2.6.34. The VMA or a negative errno. */
function* create_init_stack_vma(mm: mm_struct): K<vm_area_struct | number> {
  const vma = vm_area_alloc(mm);
  if (vma === null) {
    return -ENOMEM;
  }
  yield* down_write(mm.mmap_lock);
  vma.vm_end = STACK_TOP_MAX;
  vma.vm_start = STACK_TOP_MAX - PAGE_SIZE;
  vma.vm_flags = VM_STACK_FLAGS | temporary();
  vma.vm_page_prot = vm_get_page_prot(vma.vm_flags);
  const err = yield* insert_vm_struct(mm, vma);
  if (err !== 0) {
    up_write(mm.mmap_lock);
    vm_area_free(vma);
    return err;
  }
  mm.stack_vm = 1;
  mm.total_vm = 1;
  up_write(mm.mmap_lock);
  return vma;
}

/** fs/exec.c: get_arg_page() v2.6.34: the page at the end of the stack, by get_user_pages(). 0 or -ENOMEM. */
function* get_arg_page(mm: mm_struct, vma: vm_area_struct): K<number> {
  yield* down_read(mm.mmap_lock);
  const fault = yield* handle_mm_fault(mm, vma, vma.vm_end - PAGE_SIZE, FAULT_FLAG_WRITE);
  up_read(mm.mmap_lock);
  return (fault & VM_FAULT_ERROR) === 0 ? 0 : -ENOMEM;
}

/**
 * fs/exec.c: shift_arg_pages() v2.6.34: moves the stack down by `shift`. 0, -EFAULT or -ENOMEM; after a failure the process
 * is killed. Preconditions: mmap_sem held for write. A page of which migration holds the entries in this moment is lost
 * unless migration leaves temporary stacks alone (2.6.35).
 */
function* shift_arg_pages(vma: vm_area_struct, shift: number): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const old_start = vma.vm_start;
  const old_end = vma.vm_end;
  const length = old_end - old_start;
  const new_start = old_start - shift;
  const new_end = old_end - shift;
  BUG_ON(new_start > new_end, 'new_start > new_end');
  // Nothing may be mapped between where it is and where it goes.
  if (find_vma(mm, new_start) !== vma) {
    return -EFAULT;
  }
  if ((yield* vma_adjust(vma, new_start, old_end, vma.vm_pgoff, null)) !== 0) {
    return -ENOMEM;
  }
  if ((yield* move_page_tables(vma, old_start, new_start, length, false)) !== length) {
    return -ENOMEM;
  }
  lru_add_drain();
  const tlb = tlb_gather_mmu(mm);
  const next = vmaTreeNext(vma);
  // Where the ranges overlap only the part above the new stack is empty.
  const from = new_end > old_start ? new_end : old_start;
  free_pgd_range(tlb, from, old_end, new_end, next === null ? 0 : next.vm_start);
  yield* tlb_finish_mmu(tlb);
  yield* vma_adjust(vma, new_start, new_end, vma.vm_pgoff, null);
  return 0;
}

/** fs/exec.c: setup_arg_pages() v2.6.34. Preconditions: current->mm is the new address space. */
function* setup_arg_pages(vma: vm_area_struct, stack_top: number): K<number> {
  const mm = current_mm();
  const stack_shift = vma.vm_end - stack_top;
  yield* down_write(mm.mmap_lock);
  // EXSTACK_DISABLE_X: programs with that note were there long before.
  const vm_flags = (VM_STACK_FLAGS & ~VM_EXEC) | mm.def_flags | temporary();
  const fixed = yield* mprotect_fixup(
    vma,
    prevOf(mm, vma.vm_start),
    vma.vm_start,
    vma.vm_end,
    vm_flags,
  );
  let ret = typeof fixed === 'number' ? fixed : 0;
  if (ret === 0 && stack_shift !== 0) {
    ret = yield* shift_arg_pages(vma, stack_shift);
  }
  if (ret === 0) {
    vma.vm_flags = vma.vm_flags & ~temporary();
    const size = Math.min(RLIMIT_STACK, vma.vm_end - vma.vm_start + STACK_EXPAND);
    mm.start_stack = vma.vm_end - 8;
    ret = (yield* expand_downwards(vma, vma.vm_end - size)) === 0 ? 0 : -EFAULT;
  }
  up_write(mm.mmap_lock);
  return ret;
}

/** fs/binfmt_elf.c: elf_map() v2.6.34: do_mmap() under mmap_sem. */
function* map_image(
  file: file | null,
  addr: number,
  len: number,
  prot: number,
  flags: number,
  pgoff: number,
): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const ret = yield* do_mmap_pgoff(file, addr, len, prot, flags, pgoff);
  up_write(mm.mmap_lock);
  return ret;
}

/** What execve() of 2.6.34 asks of the memory manager. */
export const classic_exec: exec_ops = {
  create_init_stack_vma,
  get_arg_page,
  setup_arg_pages,
  map_image,
};
