/**
 * mm/vma_exec.c v6.18: the stack of execve(). Lock tree: mmap_lock -> vma_start_write -> anon_vma root.
 * Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { vm_get_page_prot } from '../arch/x86/mm/pgprot.ts';
import { EFAULT, EINTR, ENOMEM } from '../errno.ts';
import { BUG_ON } from '../lib/bug.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { ksm_execve, ksm_exit } from './ksm.ts';
import { free_pgd_range } from './memory.ts';
import {
  PAGE_SIZE,
  STACK_TOP_MAX,
  VM_SOFTDIRTY,
  VM_STACK_FLAGS,
  VM_STACK_INCOMPLETE_SETUP,
  vma_set_anonymous,
} from './mm.ts';
import { mmap_write_lock_killable, mmap_write_unlock } from './mmap_lock.ts';
import { tlb_finish_mmu, tlb_gather_mmu } from './mmu_gather.ts';
import { move_page_tables } from './move_page_tables.ts';
import { vma_expand, vma_shrink } from './vma.ts';
import { vm_area_alloc, vm_area_free } from './vma_init.ts';
import { insert_vm_struct } from './vma_map.ts';
import { USER_PGTABLES_CEILING } from './vma_munmap.ts';
import { VMG_STATE } from './vma_rules.ts';
import { find_vma, vmaTreeNext } from './vma_tree.ts';

/**
 * mm/vma_exec.c: relocate_vma_down() v6.18: moves the stack of an unfinished execve() down by `shift`.
 * Page tables move without the rmap locks: a walk that runs meanwhile may find the VMA and not the
 * entry, which migration avoids by skipping vma_is_temporary_stack(). Preconditions: mmap_lock held
 * for write; nothing else maps the mm. 0, -EFAULT or -ENOMEM; after a failure the process is killed.
 */
export function* relocate_vma_down(vma: vm_area_struct, shift: number): K<number> {
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
  const vmg = VMG_STATE(mm, new_start, old_end, 0, vma.vm_pgoff);
  vmg.target = vma;
  if ((yield* vma_expand(vmg)) !== 0) {
    return -ENOMEM;
  }
  const moved = yield* move_page_tables({
    old: vma,
    new: vma,
    old_addr: old_start,
    new_addr: new_start,
    len_in: length,
    for_stack: true,
    need_rmap_locks: false,
  });
  if (moved !== length) {
    return -ENOMEM;
  }
  const tlb = tlb_gather_mmu(mm);
  const next = vmaTreeNext(vma);
  const ceiling = next === null ? USER_PGTABLES_CEILING : next.vm_start;
  // Where the ranges overlap only the part above the new stack is empty.
  free_pgd_range(tlb, new_end > old_start ? new_end : old_start, old_end, new_end, ceiling);
  yield* tlb_finish_mmu(tlb);
  return yield* vma_shrink(vma, new_start, new_end, vma.vm_pgoff);
}

/**
 * mm/vma_exec.c: create_init_stack_vma() v6.18: one page at the top of a new address space, marked as a
 * temporary stack. The VMA, or a negative errno.
 */
export function* create_init_stack_vma(mm: mm_struct): K<vm_area_struct | number> {
  const vma = vm_area_alloc(mm);
  if (vma === null) {
    return -ENOMEM;
  }
  vma_set_anonymous(vma);
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    vm_area_free(vma);
    return -EINTR;
  }
  // Under the lock: ksmd would take an mm without a mergeable VMA off its list at once.
  let err = yield* ksm_execve(mm);
  if (err !== 0) {
    mmap_write_unlock(mm);
    vm_area_free(vma);
    return err;
  }
  vma.vm_end = STACK_TOP_MAX;
  vma.vm_start = STACK_TOP_MAX - PAGE_SIZE;
  vma.vm_flags = VM_SOFTDIRTY | VM_STACK_FLAGS | VM_STACK_INCOMPLETE_SETUP;
  vma.vm_page_prot = vm_get_page_prot(vma.vm_flags);
  err = yield* insert_vm_struct(mm, vma);
  if (err !== 0) {
    yield* ksm_exit(mm);
    mmap_write_unlock(mm);
    vm_area_free(vma);
    return err;
  }
  mm.stack_vm = 1;
  mm.total_vm = 1;
  mmap_write_unlock(mm);
  return vma;
}
