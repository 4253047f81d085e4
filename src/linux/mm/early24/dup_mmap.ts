/**
 * Whole address spaces in v2.4.0: dup_mmap() and copy_mm() of kernel/fork.c, exit_mmap() of mm/mmap.c and mmput().
 *
 * Lock tree: mmap_sem of the parent -> i_shared_lock -> page_table_lock; mmlist_lock. Fidelity: dup; page tables are freed as
 * mm/memory.ts frees them.
 */
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { get_file } from '../../fs/file_table.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import { list_add } from '../../lib/list.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { free_pgd_range } from '../memory.ts';
import { TASK_SIZE, ULONG_MAX, VM_DONTCOPY, VM_LOCKED } from '../mm.ts';
import { mmlistRemove } from '../mmlist.ts';
import { tlb_finish_mmu, tlb_gather_mmu } from '../mmu_gather.ts';
import { anon_dup, anon_put, vm_anon } from '../rmap/anon_area.ts';
import { vm_area_dup } from '../vma_init.ts';
import { vmaTreeClear, vmaTreeRange, vmaTreeStore } from '../vma_tree.ts';
import { early24Globals } from './globals.ts';
import { freeVma } from './mmap.ts';
import {
  linkShareAfter,
  lock_vma_mappings,
  remove_shared_vm_struct,
  unlock_vma_mappings,
} from './share_lists.ts';
import { listAppend, listClear, mm_mmap, treeIfMany, vm_next } from './vma_list.ts';
import { copy_page_range, zap_page_range } from './zap.ts';

interface copied_vma {
  readonly tmp: vm_area_struct | null;
  readonly retval: number;
}

/** The child's copy of one VMA, with its pages, behind the `last` one. 0 or -ENOMEM. */
function* dupVma(
  mm: mm_struct,
  oldmm: mm_struct,
  mpnt: vm_area_struct,
  last: vm_area_struct | null,
): K<copied_vma> {
  const tmp = vm_area_dup(mpnt);
  if (tmp === null) {
    return { tmp, retval: -ENOMEM };
  }
  tmp.vm_flags = tmp.vm_flags & ~VM_LOCKED;
  tmp.vm_mm = mm;
  mm.map_count = mm.map_count + 1;
  if (tmp.vm_file !== null) {
    get_file(tmp.vm_file);
    yield* lock_vma_mappings(tmp);
    linkShareAfter(tmp, mpnt);
    unlock_vma_mappings(tmp);
  }
  if (has('anon_layer') && vm_anon(mpnt) !== null) {
    yield* anon_dup(mpnt, tmp);
  }
  const retval = yield* copy_page_range(mm, oldmm, tmp);
  // Linked even after a failure, for exit_mmap() to take it back.
  listAppend(mm, last, tmp);
  vmaTreeStore(mm, tmp);
  return { tmp, retval };
}

/**
 * kernel/fork.c: dup_mmap() v2.4.0, with the locks that copy_mm() takes around it. The child comes onto the list of address
 * spaces last: until then swap_out() does not know it, but it does know the parent.
 */
export function* dup_mmap(mm: mm_struct, oldmm: mm_struct): K<number> {
  let retval = 0;
  yield* down_write(oldmm.mmap_lock);
  mm.locked_vm = 0;
  listClear(mm);
  mm.swap_cnt = 0;
  mm.swap_address = 0;
  let last: vm_area_struct | null = null;
  for (let mpnt = mm_mmap(oldmm); mpnt !== null; mpnt = vm_next(mpnt)) {
    if ((mpnt.vm_flags & VM_DONTCOPY) === 0) {
      const copied: copied_vma = yield* dupVma(mm, oldmm, mpnt, last);
      last = copied.tmp;
      retval = copied.retval;
      if (retval !== 0) {
        break;
      }
    }
  }
  if (retval === 0) {
    treeIfMany(mm);
  }
  up_write(oldmm.mmap_lock);
  const { mmlist_lock } = early24Globals();
  yield* spin_lock(mmlist_lock);
  list_add(mm.mmlist, oldmm.mmlist);
  spin_unlock(mmlist_lock);
  return retval;
}

/** The VMAs of the mm, which has none any more. Atomic. Preconditions: page_table_lock. */
function takeAll(mm: mm_struct): vm_area_struct[] {
  const vmas = vmaTreeRange(mm);
  vmaTreeClear(mm, 0, ULONG_MAX);
  listClear(mm);
  return vmas;
}

/** mm/mmap.c: exit_mmap() v2.4.0, with the removal from the list of address spaces that mmput() makes before it. */
export function* exit_mmap(mm: mm_struct): K {
  const { mmlist_lock } = early24Globals();
  yield* spin_lock(mmlist_lock);
  mmlistRemove(mm);
  spin_unlock(mmlist_lock);
  yield* spin_lock(mm.page_table_lock);
  const vmas = takeAll(mm);
  spin_unlock(mm.page_table_lock);
  mm.total_vm = 0;
  mm.locked_vm = 0;
  for (const mpnt of vmas) {
    mm.map_count = mm.map_count - 1;
    yield* remove_shared_vm_struct(mpnt);
    yield* zap_page_range(mm, mpnt.vm_start, mpnt.vm_end - mpnt.vm_start);
    if (has('anon_layer') && vm_anon(mpnt) !== null) {
      yield* anon_put(mpnt);
    }
    freeVma(mpnt);
  }
  // clear_page_tables()
  const tlb = tlb_gather_mmu(mm);
  free_pgd_range(tlb, 0, TASK_SIZE, 0, 0);
  yield* tlb_finish_mmu(tlb);
}
