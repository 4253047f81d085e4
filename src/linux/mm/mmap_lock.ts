/**
 * include/linux/mmap_lock.h, mm/mmap_lock.c v6.18, CONFIG_PER_VMA_LOCK: mmap_lock and the per-VMA locks.
 *
 * Lock tree: mmap_lock -> vma_start_write(). There is no call that ends a VMA write lock:
 * vma->vm_lock_seq == mm->mm_lock_seq means write-locked, and mmap_write_unlock() or a downgrade moves
 * mm_lock_seq on, which releases all of them at once. Readers are counted in vm_refcnt: 0 detached,
 * 1 attached, +1 per reader, +VMA_LOCK_OFFSET while a writer enters.
 *
 * Fidelity: dup, except that vma_writer_wait is a condition on vm_refcnt instead of a wake-up, that no
 * signal interrupts the killable forms, and that vma_start_read() does not pin the other mm before it
 * drops a reference to a VMA that moved there (nothing of that mm is touched afterwards).
 */

import { block, type K } from '../../sim/wait.ts';
import { EAGAIN } from '../errno.ts';
import { trace_lock_acquired, trace_lock_release } from '../kernel/locking/events.ts';
import {
  lock_acquire,
  lock_release,
  lockdep_assert_held,
  lockdep_assert_held_write,
  READ,
} from '../kernel/locking/lockdep.ts';
import {
  down_read,
  down_read_trylock,
  down_write,
  downgrade_write,
  up_read,
  up_write,
} from '../kernel/locking/rwsem.ts';
import { rcu_read_lock, rcu_read_lock_held, rcu_read_unlock } from '../kernel/rcu.ts';
import { has } from '../kernel.ts';
import { VM_BUG_ON_VMA, WARN_ON_ONCE } from '../lib/bug.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import {
  UINT_MAX,
  VMA_LOCK_OFFSET,
  VMA_REF_LIMIT,
  vma_lock_word,
  vma_readers_gone,
} from './mmap_lock_types.ts';
import { vmaTreeWalk } from './vma_tree.ts';

// ---------------------------------------------------------------- mmap_lock

export function mmap_assert_locked(mm: mm_struct): void {
  lockdep_assert_held(mm.mmap_lock, 'mmap_lock');
}

export function mmap_assert_write_locked(mm: mm_struct): void {
  lockdep_assert_held_write(mm.mmap_lock, 'mmap_lock');
}

/** include/linux/mmap_lock.h: mmap_write_lock() v6.18. */
export function* mmap_write_lock(mm: mm_struct): K {
  yield* down_write(mm.mmap_lock);
  mm.mm_lock_seq = mm.mm_lock_seq + 1;
}

/** include/linux/mmap_lock.h: mmap_write_lock_nested() v6.18: the second mm of a fork. */
export function* mmap_write_lock_nested(mm: mm_struct): K {
  yield* down_write(mm.mmap_lock);
  mm.mm_lock_seq = mm.mm_lock_seq + 1;
}

/** include/linux/mmap_lock.h: mmap_write_lock_killable() v6.18. 0, or -EINTR in Linux. */
export function* mmap_write_lock_killable(mm: mm_struct): K<number> {
  yield* mmap_write_lock(mm);
  return 0;
}

/** include/linux/mmap_lock.h: vma_end_write_all() v6.18: releases every VMA write lock of the mm. */
export function vma_end_write_all(mm: mm_struct): void {
  mmap_assert_write_locked(mm);
  mm.mm_lock_seq = mm.mm_lock_seq + 1;
}

export function mmap_write_unlock(mm: mm_struct): void {
  vma_end_write_all(mm);
  up_write(mm.mmap_lock);
}

/** include/linux/mmap_lock.h: mmap_write_downgrade() v6.18: VMA write locks end, mmap_lock stays for read. */
export function mmap_write_downgrade(mm: mm_struct): void {
  vma_end_write_all(mm);
  downgrade_write(mm.mmap_lock);
}

/** include/linux/mmap_lock.h: mmap_read_lock() v6.18. */
export function* mmap_read_lock(mm: mm_struct): K {
  yield* down_read(mm.mmap_lock);
}

/** include/linux/mmap_lock.h: mmap_read_lock_killable() v6.18. 0, or -EINTR in Linux. */
export function* mmap_read_lock_killable(mm: mm_struct): K<number> {
  yield* down_read(mm.mmap_lock);
  return 0;
}

export function mmap_read_trylock(mm: mm_struct): boolean {
  return down_read_trylock(mm.mmap_lock);
}

export function mmap_read_unlock(mm: mm_struct): void {
  up_read(mm.mmap_lock);
}

// ---------------------------------------------------------------- the per-VMA lock

/** include/linux/mmap_lock.h: vma_lock_init() v6.18: UINT_MAX never equals a sequence number. */
export function vma_lock_init(vma: vm_area_struct, reset_refcnt: boolean): void {
  if (reset_refcnt) {
    vma.vm_refcnt = 0;
  }
  vma.vm_lock_seq = UINT_MAX;
}

/** include/linux/mmap_lock.h: __is_vma_write_locked() v6.18. Preconditions: mmap_lock held for write. */
function __is_vma_write_locked(vma: vm_area_struct): boolean {
  const mm = vma.vm_mm as mm_struct;
  mmap_assert_write_locked(mm);
  return vma.vm_lock_seq === mm.mm_lock_seq;
}

/** refcount_add_not_zero(&vma->vm_refcnt). */
function refcount_add_not_zero(vma: vm_area_struct, i: number): boolean {
  if (vma.vm_refcnt === 0) {
    return false;
  }
  vma.vm_refcnt = vma.vm_refcnt + i;
  return true;
}

/** refcount_dec_and_test(&vma->vm_refcnt). */
function refcount_dec_and_test(vma: vm_area_struct): boolean {
  vma.vm_refcnt = vma.vm_refcnt - 1;
  return vma.vm_refcnt === 0;
}

/**
 * mm/mmap_lock.c: __vma_enter_locked() v6.18: announces a writer and waits for the readers. False when
 * the VMA is detached: nobody can read-lock it then. Sleeps.
 */
function* __vma_enter_locked(vma: vm_area_struct, detaching: boolean): K<boolean> {
  const tgt_refcnt = detaching ? VMA_LOCK_OFFSET : VMA_LOCK_OFFSET + 1;
  if (!refcount_add_not_zero(vma, VMA_LOCK_OFFSET)) {
    return false;
  }
  // From here on new readers fail; the last one to leave makes this true.
  yield* block(vma_readers_gone, vma_lock_word(vma), tgt_refcnt);
  return true;
}

/** mm/mmap_lock.c: __vma_exit_locked() v6.18. Returns whether the VMA is detached now. */
function __vma_exit_locked(vma: vm_area_struct): boolean {
  vma.vm_refcnt = vma.vm_refcnt - VMA_LOCK_OFFSET;
  return vma.vm_refcnt === 0;
}

/** mm/mmap_lock.c: __vma_start_write() v6.18. Preconditions: mmap_lock held for write. */
function* __vma_start_write(vma: vm_area_struct, mm_lock_seq: number): K {
  const locked = yield* __vma_enter_locked(vma, false);
  // A reader that raised vm_refcnt before and looks at vm_lock_seq after this drops its reference.
  vma.vm_lock_seq = mm_lock_seq;
  if (locked) {
    const detached = __vma_exit_locked(vma);
    WARN_ON_ONCE(detached, 'vma detached while it was write-locked');
  }
}

/**
 * include/linux/mmap_lock.h: vma_start_write() v6.18: keeps faults under the VMA lock out until
 * mmap_lock is dropped or downgraded. Preconditions: mmap_lock held for write.
 */
export function* vma_start_write(vma: vm_area_struct): K {
  if (__is_vma_write_locked(vma)) {
    return;
  }
  yield* __vma_start_write(vma, (vma.vm_mm as mm_struct).mm_lock_seq);
}

/** include/linux/mmap_lock.h: vma_assert_write_locked() v6.18; without CONFIG_PER_VMA_LOCK it is about mmap_lock. */
export function vma_assert_write_locked(vma: vm_area_struct): void {
  if (!has('per_vma_lock')) {
    mmap_assert_write_locked(vma.vm_mm as mm_struct);
    return;
  }
  VM_BUG_ON_VMA(!__is_vma_write_locked(vma), vma, '!__is_vma_write_locked(vma)');
}

export function vma_assert_attached(vma: vm_area_struct): void {
  WARN_ON_ONCE(vma.vm_refcnt === 0, '!vma->vm_refcnt');
}

export function vma_assert_detached(vma: vm_area_struct): void {
  WARN_ON_ONCE(vma.vm_refcnt !== 0, 'vma->vm_refcnt');
}

/** include/linux/mmap_lock.h: vma_mark_attached() v6.18. Preconditions: write-locked and detached. */
export function vma_mark_attached(vma: vm_area_struct): void {
  vma_assert_write_locked(vma);
  vma_assert_detached(vma);
  vma.vm_refcnt = 1;
}

/**
 * mm/mmap_lock.c: vma_mark_detached() v6.18: from here on the VMA cannot be read-locked. Preconditions:
 * write-locked and attached. Waits only for readers that raised the count before they saw the writer.
 */
export function* vma_mark_detached(vma: vm_area_struct): K {
  vma_assert_write_locked(vma);
  vma_assert_attached(vma);
  if (!refcount_dec_and_test(vma)) {
    if (yield* __vma_enter_locked(vma, true)) {
      const detached = __vma_exit_locked(vma);
      WARN_ON_ONCE(!detached, 'vma still attached');
    }
  }
}

/** include/linux/mmap_lock.h: vma_refcount_put() v6.18. */
function vma_refcount_put(vma: vm_area_struct): void {
  const word = vma_lock_word(vma);
  lock_release(word, READ);
  trace_lock_release({ lock: word, mode: 'read' });
  vma.vm_refcnt = vma.vm_refcnt - 1;
}

export function vma_end_read(vma: vm_area_struct): void {
  vma_refcount_put(vma);
}

/** __refcount_inc_not_zero_limited_acquire(): one more reader. Returns the old count if it was refused, else -1. */
function raise_refcount(vma: vm_area_struct): number {
  const old = vma.vm_refcnt;
  if (old === 0 || old >= VMA_REF_LIMIT) {
    return old;
  }
  vma.vm_refcnt = old + 1;
  const word = vma_lock_word(vma);
  lock_acquire(word, READ);
  trace_lock_acquired({ lock: word, mode: 'read' });
  return -1;
}

/**
 * mm/mmap_lock.c: vma_start_read() v6.18: tries to read-lock a VMA that may be changed, detached or
 * reused for another mm at any moment. Returns the VMA, null (use mmap_lock), or -EAGAIN (detached: look
 * it up again). Preconditions: in an RCU read section, WHICH IT LEAVES WHEN IT FAILS.
 */
function* vma_start_read(mm: mm_struct, vma: vm_area_struct): K<vm_area_struct | null | number> {
  WARN_ON_ONCE(!rcu_read_lock_held(), 'no rcu lock held');
  // A cheap first look; the one that counts comes after the reference is held.
  if (vma.vm_lock_seq === mm.mm_lock_seq) {
    rcu_read_unlock();
    return null;
  }
  const oldcnt = raise_refcount(vma);
  if (oldcnt !== -1) {
    rcu_read_unlock();
    return oldcnt === 0 ? -EAGAIN : null;
  }
  // The slot may have been freed and attached to another mm since the tree was walked.
  if (vma.vm_mm !== mm) {
    rcu_read_unlock();
    vma_refcount_put(vma);
    return null;
  }
  // A writer that started meanwhile has set vm_lock_seq, or waits in __vma_enter_locked() for us.
  if (vma.vm_lock_seq === mm.mm_lock_seq) {
    vma_refcount_put(vma);
    rcu_read_unlock();
    return null;
  }
  return vma;
}

/**
 * mm/mmap_lock.c: lock_vma_under_rcu() v6.18: the VMA of `address`, read-locked, without mmap_lock. null:
 * not found or about to change; the caller takes mmap_lock.
 */
export function* lock_vma_under_rcu(mm: mm_struct, address: number): K<vm_area_struct | null> {
  for (;;) {
    rcu_read_lock();
    const found = vmaTreeWalk(mm, address);
    if (found === null) {
      rcu_read_unlock();
      return null;
    }
    const vma = yield* vma_start_read(mm, found);
    if (vma === null) {
      return null;
    }
    if (typeof vma === 'number') {
      // Detached after the walk found it: another VMA may have taken its place.
      continue;
    }
    rcu_read_unlock();
    // It may have been freed, reused in this same mm and be another range now.
    if (address < vma.vm_start || address >= vma.vm_end) {
      vma_end_read(vma);
      return null;
    }
    return vma;
  }
}
