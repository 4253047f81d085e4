/**
 * mm/vma.c and mm/mmap_lock.c v6.18: VMAs that grow downwards.
 *
 * Lock tree: mmap_lock (write) -> vma_start_write() -> anon_vma root rwsem. Fidelity: dup (no VM_GROWSUP).
 */
import { read_heap } from '../../sim/cpu.ts';
import type { K } from '../../sim/wait.ts';
import { EFAULT, ENOMEM, EPERM } from '../errno.ts';
import { down_write_trylock, up_read } from '../kernel/locking/rwsem.ts';
import { anon_rmap } from '../kernel.ts';
import type { anon_vma, mm_struct, vm_area_struct } from '../mm_types.ts';
import { trace_vma_adjust, trace_vma_expand } from './events.ts';
import {
  mmap_min_addr,
  PAGE_ALIGN_DOWN,
  PAGE_SIZE,
  stack_guard_gap,
  VM_GROWSDOWN,
  VM_LOCKED,
  vma_is_accessible,
} from './mm.ts';
import {
  mmap_assert_write_locked,
  mmap_read_lock,
  mmap_read_unlock,
  mmap_write_downgrade,
  mmap_write_lock_killable,
  mmap_write_unlock,
  vma_start_write,
} from './mmap_lock.ts';
import { anon_vma_lock_write, anon_vma_unlock_write } from './rmap/anon_vma_life.ts';
import {
  may_expand_vm,
  mlock_future_ok,
  RLIMIT_STACK,
  security_vm_enough_memory_mm,
  vm_stat_account,
} from './util.ts';
import {
  anon_vma_interval_tree_post_update_vma,
  anon_vma_interval_tree_pre_update_vma,
} from './vma.ts';
import { find_vma, vmaTreePrealloc, vmaTreePrev, vmaTreeStore } from './vma_tree.ts';

/** mm/vma.c: acct_stack_growth() v6.18. 0 or a negative errno; charges on success. */
function acct_stack_growth(vma: vm_area_struct, size: number, grow: number): number {
  const mm = vma.vm_mm as mm_struct;
  if (!may_expand_vm(mm, vma.vm_flags, grow)) {
    return -ENOMEM;
  }
  if (size > RLIMIT_STACK) {
    return -ENOMEM;
  }
  if (!mlock_future_ok(mm, vma.vm_flags, grow * PAGE_SIZE)) {
    return -ENOMEM;
  }
  return security_vm_enough_memory_mm(mm, grow) === 0 ? 0 : -ENOMEM;
}

/** mm/vma.c: expand_downwards() v6.18. 0 or a negative errno. Preconditions: mmap_lock held for write. */
export function* expand_downwards(vma: vm_area_struct, addr: number): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const address = PAGE_ALIGN_DOWN(addr);
  let error = 0;
  if ((vma.vm_flags & VM_GROWSDOWN) === 0) {
    return -EFAULT;
  }
  mmap_assert_write_locked(mm);
  if (address < mmap_min_addr) {
    return -EPERM;
  }
  const prev = vmaTreePrev(vma);
  if (prev !== null && (prev.vm_flags & VM_GROWSDOWN) === 0 && vma_is_accessible(prev)) {
    // A mapping without access is a guard page of the user's own; nothing is asked of its distance.
    if (address - prev.vm_end < stack_guard_gap) {
      return -ENOMEM;
    }
  }
  if (vmaTreePrealloc() !== 0) {
    return -ENOMEM;
  }
  if ((yield* anon_rmap().anon_vma_prepare(vma)) !== 0) {
    return -ENOMEM;
  }
  yield* vma_start_write(vma);
  yield* anon_vma_lock_write(vma.anon_vma as anon_vma);
  // Somebody else may have expanded it while we waited for mmap_lock.
  if (address < vma.vm_start) {
    const size = vma.vm_end - address;
    const grow = (vma.vm_start - address) / PAGE_SIZE;
    error = -ENOMEM;
    if (grow <= vma.vm_pgoff) {
      error = acct_stack_growth(vma, size, grow);
      if (error === 0) {
        if ((vma.vm_flags & VM_LOCKED) !== 0) {
          mm.locked_vm = mm.locked_vm + grow;
        }
        vm_stat_account(mm, vma.vm_flags, grow);
        anon_vma_interval_tree_pre_update_vma(vma);
        vma.vm_start = address;
        vma.vm_pgoff = vma.vm_pgoff - grow;
        trace_vma_adjust({ vma, start: address, end: vma.vm_end, pgoff: vma.vm_pgoff });
        vmaTreeStore(mm, vma);
        anon_vma_interval_tree_post_update_vma(vma);
        trace_vma_expand({ vma, start: address, end: vma.vm_end });
      }
    }
  }
  anon_vma_unlock_write(vma.anon_vma as anon_vma);
  return error;
}

/** mm/mmap_lock.c: mmap_upgrade_trylock() v6.18: the only reader becomes the writer, in one exchange. */
function mmap_upgrade_trylock(mm: mm_struct): boolean {
  if (read_heap(mm.mmap_lock) !== 1) {
    return false;
  }
  up_read(mm.mmap_lock);
  down_write_trylock(mm.mmap_lock);
  mm.mm_lock_seq = mm.mm_lock_seq + 1;
  return true;
}

/** mm/mmap_lock.c: upgrade_mmap_lock_carefully() v6.18: gives the lock up and takes it for write. */
function* upgrade_mmap_lock_carefully(mm: mm_struct): K<boolean> {
  mmap_read_unlock(mm);
  return (yield* mmap_write_lock_killable(mm)) === 0;
}

/** mm/mmap.c: expand_stack_locked() v6.18. */
export function* expand_stack_locked(vma: vm_area_struct, address: number): K<number> {
  return yield* expand_downwards(vma, address);
}

/**
 * mm/mmap_lock.c: lock_mm_and_find_vma() v6.18: mmap_lock for read and the VMA of a faulting address, a
 * stack grown down to it if need be. null: no such VMA, and mmap_lock is not held.
 */
export function* lock_mm_and_find_vma(mm: mm_struct, addr: number): K<vm_area_struct | null> {
  yield* mmap_read_lock(mm);
  let vma = find_vma(mm, addr);
  if (vma !== null && vma.vm_start <= addr) {
    return vma;
  }
  if (vma === null || (vma.vm_flags & VM_GROWSDOWN) === 0) {
    mmap_read_unlock(mm);
    return null;
  }
  if (!mmap_upgrade_trylock(mm)) {
    if (!(yield* upgrade_mmap_lock_carefully(mm))) {
      return null;
    }
    // While we waited the VMA may have gone, or another fault may have grown it.
    vma = find_vma(mm, addr);
    if (vma !== null && vma.vm_start <= addr) {
      mmap_write_downgrade(mm);
      return vma;
    }
    if (vma === null || (vma.vm_flags & VM_GROWSDOWN) === 0) {
      mmap_write_unlock(mm);
      return null;
    }
  }
  if ((yield* expand_stack_locked(vma, addr)) !== 0) {
    mmap_write_unlock(mm);
    return null;
  }
  mmap_write_downgrade(mm);
  return vma;
}

/**
 * mm/mmap.c: expand_stack() v6.18: for callers that hold mmap_lock for read and want it held afterwards.
 * null: mmap_lock was dropped.
 */
export function* expand_stack(mm: mm_struct, addr: number): K<vm_area_struct | null> {
  mmap_read_unlock(mm);
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return null;
  }
  const vma = find_vma(mm, addr);
  if (vma !== null && vma.vm_start <= addr) {
    mmap_write_downgrade(mm);
    return vma;
  }
  if (vma === null || (yield* expand_downwards(vma, addr)) !== 0) {
    mmap_write_unlock(mm);
    return null;
  }
  mmap_write_downgrade(mm);
  return vma;
}
