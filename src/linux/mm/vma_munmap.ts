/**
 * mm/vma.c v6.18: taking mappings away. First the VMAs of the range are gathered: split at the ends,
 * write-locked and detached, so that no fault can find them; then the tree is cleared (the point of no
 * return); then, with mmap_lock downgraded if the caller wants that, page tables are zapped, the
 * reverse map is unlinked, tables and VMAs are freed.
 *
 * Lock tree: mmap_lock (write, downgraded to read) -> vma_start_write() -> i_mmap_rwsem / anon_vma root ->
 * ptl. Fidelity: dup; the side tree of detached VMAs (mt_detach) is a list local to the operation.
 */
import type { K } from '../../sim/wait.ts';
import { EINTR, EINVAL, ENOMEM, EPERM } from '../errno.ts';
import { fput } from '../fs/file_table.ts';
import { current_mm } from '../kernel/current.ts';
import { might_sleep } from '../kernel/locking/rwsem.ts';
import { VM_WARN_ON } from '../lib/bug.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { trace_vma_unmap } from './events.ts';
import { free_pgtables } from './memory.ts';
import { unmap_vmas } from './memory_zap.ts';
import {
  is_data_mapping,
  is_exec_mapping,
  is_stack_mapping,
  offset_in_page,
  PAGE_ALIGN,
  TASK_SIZE,
  VM_ACCOUNT,
  VM_LOCKED,
  VM_SEALED,
  vma_pages,
} from './mm.ts';
import {
  mmap_read_unlock,
  mmap_write_downgrade,
  mmap_write_lock_killable,
  mmap_write_unlock,
  vma_mark_attached,
  vma_mark_detached,
  vma_start_write,
} from './mmap_lock.ts';
import { tlb_finish_mmu, tlb_gather_mmu } from './mmu_gather.ts';
import { sysctl_max_map_count, vm_unacct_memory } from './util.ts';
import { __split_vma } from './vma.ts';
import { vm_area_free } from './vma_init.ts';
import { vmaTreeBefore, vmaTreeClear, vmaTreeFind, vmaTreeNext } from './vma_tree.ts';

/** FIRST_USER_ADDRESS, USER_PGTABLES_CEILING: 0 means "no limit" to free_pgtables(). */
export const FIRST_USER_ADDRESS = 0;
export const USER_PGTABLES_CEILING = 0;

/** struct vma_munmap_struct (mm/vma.h v6.18) with its side tree. Local to one operation. */
export interface vma_munmap_struct {
  /** First VMA that intersects the range; null: nothing to do. */
  readonly vma: vm_area_struct | null;
  readonly start: number;
  readonly end: number;
  /** mt_detach: the VMAs taken out, in address order. */
  readonly detached: vm_area_struct[];
  prev: vm_area_struct | null;
  next: vm_area_struct | null;
  /** Drop mmap_lock when done. */
  readonly unlock: boolean;
  /** Page tables may be freed between these. */
  unmap_start: number;
  unmap_end: number;
  nr_pages: number;
  locked_vm: number;
  nr_accounted: number;
  exec_vm: number;
  stack_vm: number;
  data_vm: number;
  /** The page tables are still there. */
  clear_ptes: boolean;
}

/** mm/vma.c: init_vma_munmap() v6.18. */
export function init_vma_munmap(
  vma: vm_area_struct | null,
  start: number,
  end: number,
  unlock: boolean,
): vma_munmap_struct {
  return {
    vma,
    start: vma === null ? 0 : start,
    end: vma === null ? 0 : end,
    detached: [],
    prev: null,
    next: null,
    unlock,
    unmap_start: FIRST_USER_ADDRESS,
    unmap_end: USER_PGTABLES_CEILING,
    nr_pages: 0,
    locked_vm: 0,
    nr_accounted: 0,
    exec_vm: 0,
    stack_vm: 0,
    data_vm: 0,
    clear_ptes: false,
  };
}

/** mm/vma.h: vma_is_sealed() v6.18. */
export function vma_is_sealed(vma: vm_area_struct): boolean {
  return (vma.vm_flags & VM_SEALED) !== 0;
}

/** mm/vma.c: remove_vma() v6.18: the end of a detached VMA. (No vm_ops here has a close() with an effect.) */
export function remove_vma(vma: vm_area_struct): void {
  might_sleep('remove_vma()');
  trace_vma_unmap({ vma, start: vma.vm_start, end: vma.vm_end });
  if (vma.vm_file !== null) {
    fput(vma.vm_file);
  }
  vm_area_free(vma);
}

/** mm/vma.c: reattach_vmas() v6.18: an unmapping is given up before the tree was changed. */
function reattach_vmas(vms: vma_munmap_struct): void {
  for (const vma of vms.detached) {
    vma_mark_attached(vma);
  }
  vms.detached.length = 0;
}

/** Adds a VMA to the sums that leave the mm's statistics with it. */
function count_vma(vms: vma_munmap_struct, vma: vm_area_struct): void {
  const nrpages = vma_pages(vma);
  vms.nr_pages += nrpages;
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    vms.locked_vm += nrpages;
  }
  if ((vma.vm_flags & VM_ACCOUNT) !== 0) {
    vms.nr_accounted += nrpages;
  }
  if (is_exec_mapping(vma.vm_flags)) {
    vms.exec_vm += nrpages;
  } else if (is_stack_mapping(vma.vm_flags)) {
    vms.stack_vm += nrpages;
  } else if (is_data_mapping(vma.vm_flags)) {
    vms.data_vm += nrpages;
  }
}

/**
 * mm/vma.c: vms_gather_munmap_vmas() v6.18. 0 or a negative errno; on failure the VMAs are attached again
 * but splits stay. Preconditions: mmap_lock held for write; vms->vma is not null.
 */
export function* vms_gather_munmap_vmas(vms: vma_munmap_struct): K<number> {
  const first = vms.vma as vm_area_struct;
  const mm = first.vm_mm as mm_struct;
  if (vms.start > first.vm_start) {
    // Only a hole in the middle of one VMA makes the final count larger.
    if (vms.end < first.vm_end && mm.map_count >= sysctl_max_map_count()) {
      return -ENOMEM;
    }
    if (vma_is_sealed(first)) {
      return -EPERM;
    }
    const error = yield* __split_vma(first, vms.start, true);
    if (error !== 0) {
      return error;
    }
  }
  vms.prev = vmaTreeBefore(mm, vms.start);
  if (vms.prev !== null) {
    vms.unmap_start = vms.prev.vm_end;
  }
  let vma = vmaTreeFind(mm, vms.start, vms.end);
  while (vma !== null && vma.vm_start < vms.end) {
    if (vma_is_sealed(vma)) {
      reattach_vmas(vms);
      return -EPERM;
    }
    if (vma.vm_end > vms.end) {
      const error = yield* __split_vma(vma, vms.end, false);
      if (error !== 0) {
        reattach_vmas(vms);
        return error;
      }
    }
    yield* vma_start_write(vma);
    vms.detached.push(vma);
    // Still in the tree, but nobody can read-lock it any more.
    yield* vma_mark_detached(vma);
    count_vma(vms, vma);
    vma = vmaTreeNext(vma);
  }
  vms.next = vma;
  if (vms.next !== null) {
    vms.unmap_end = vms.next.vm_start;
  }
  vms.clear_ptes = true;
  return 0;
}

/**
 * mm/vma.c: vms_clear_ptes() v6.18. `mm_wr_locked` is false when mmap_lock was downgraded: the VMAs are
 * isolated, so that freeing their tables needs no write lock.
 */
export function* vms_clear_ptes(vms: vma_munmap_struct, mm_wr_locked: boolean): K {
  if (!vms.clear_ptes) {
    return;
  }
  const mm = (vms.vma as vm_area_struct).vm_mm as mm_struct;
  const tlb = tlb_gather_mmu(mm);
  yield* unmap_vmas(tlb, vms.detached, vms.start, vms.end);
  yield* free_pgtables(tlb, vms.detached, vms.unmap_start, vms.unmap_end, mm_wr_locked);
  yield* tlb_finish_mmu(tlb);
  vms.clear_ptes = false;
}

/**
 * mm/vma.c: vms_clean_up_area() v6.18: MAP_FIXED over old mappings empties their page tables before the new
 * mapping is made.
 */
export function* vms_clean_up_area(vms: vma_munmap_struct): K {
  if (vms.nr_pages === 0) {
    return;
  }
  yield* vms_clear_ptes(vms, true);
}

/** mm/vma.c: vms_complete_munmap_vmas() v6.18. Preconditions: the tree has no entry of the VMAs. */
export function* vms_complete_munmap_vmas(vms: vma_munmap_struct): K {
  const mm = current_mm();
  mm.map_count = mm.map_count - vms.detached.length;
  mm.locked_vm = mm.locked_vm - vms.locked_vm;
  if (vms.unlock) {
    // Faults elsewhere in the mm go on while page tables are torn down.
    mmap_write_downgrade(mm);
  }
  if (vms.nr_pages === 0) {
    return;
  }
  yield* vms_clear_ptes(vms, !vms.unlock);
  mm.total_vm = mm.total_vm - vms.nr_pages;
  VM_WARN_ON(vms.exec_vm > mm.exec_vm, 'vms->exec_vm > mm->exec_vm');
  VM_WARN_ON(vms.stack_vm > mm.stack_vm, 'vms->stack_vm > mm->stack_vm');
  VM_WARN_ON(vms.data_vm > mm.data_vm, 'vms->data_vm > mm->data_vm');
  mm.exec_vm = mm.exec_vm - vms.exec_vm;
  mm.stack_vm = mm.stack_vm - vms.stack_vm;
  mm.data_vm = mm.data_vm - vms.data_vm;
  for (const vma of vms.detached) {
    remove_vma(vma);
  }
  vm_unacct_memory(vms.nr_accounted);
  if (vms.unlock) {
    mmap_read_unlock(mm);
  }
}

/**
 * mm/vma.c: vms_abort_munmap_vmas() v6.18: a MAP_FIXED that failed. Once the page tables are gone the old
 * mapping cannot come back: a hole is left.
 */
export function* vms_abort_munmap_vmas(vms: vma_munmap_struct): K {
  if (vms.nr_pages === 0) {
    return;
  }
  if (vms.clear_ptes) {
    reattach_vmas(vms);
    return;
  }
  vmaTreeClear((vms.vma as vm_area_struct).vm_mm as mm_struct, vms.start, vms.end);
  yield* vms_complete_munmap_vmas(vms);
}

/**
 * mm/vma.c: do_vmi_align_munmap() v6.18. 0 (mmap_lock dropped if `unlock`) or a negative errno (still held).
 * Preconditions: mmap_lock held for write; `vma` is the first that intersects [start, end).
 */
export function* do_vmi_align_munmap(
  vma: vm_area_struct,
  mm: mm_struct,
  start: number,
  end: number,
  unlock: boolean,
): K<number> {
  const vms = init_vma_munmap(vma, start, end, unlock);
  const error = yield* vms_gather_munmap_vmas(vms);
  if (error !== 0) {
    return error;
  }
  vmaTreeClear(mm, start, end);
  yield* vms_complete_munmap_vmas(vms);
  return 0;
}

/** mm/vma.c: do_vmi_munmap() v6.18. Preconditions: mmap_lock held for write. */
export function* do_vmi_munmap(
  mm: mm_struct,
  start: number,
  len: number,
  unlock: boolean,
): K<number> {
  if (offset_in_page(start) !== 0 || start > TASK_SIZE || len > TASK_SIZE - start) {
    return -EINVAL;
  }
  const end = start + PAGE_ALIGN(len);
  if (end === start) {
    return -EINVAL;
  }
  const vma = vmaTreeFind(mm, start, end);
  if (vma === null) {
    if (unlock) {
      mmap_write_unlock(mm);
    }
    return 0;
  }
  return yield* do_vmi_align_munmap(vma, mm, start, end, unlock);
}

/** mm/mmap.c: do_munmap() v6.18. Preconditions: mmap_lock held for write, and it stays held. */
export function* do_munmap(mm: mm_struct, start: number, len: number): K<number> {
  return yield* do_vmi_munmap(mm, start, len, false);
}

/** mm/vma.c: __vm_munmap() v6.18. */
export function* __vm_munmap(start: number, len: number, unlock: boolean): K<number> {
  const mm = current_mm();
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  const ret = yield* do_vmi_munmap(mm, start, len, unlock);
  if (ret !== 0 || !unlock) {
    mmap_write_unlock(mm);
  }
  return ret;
}

/** mm/mmap.c: munmap(2) v6.18. */
export function* sys_munmap(addr: number, len: number): K<number> {
  return yield* __vm_munmap(addr, len, true);
}
