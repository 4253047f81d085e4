/**
 * include/linux/spinlock.h. Words: [owner task id or 0, unused].
 *
 * Holding a spinlock forbids sleeping: `atomic_depth` of the task counts them, and a sleeping lock
 * taken meanwhile is a finding. Fidelity: custom (no queue; any waiter may get the lock).
 */
import { cpu, read_heap, write_heap } from '../../../sim/cpu.ts';
import type { spinlock_t } from '../../../sim/struct.ts';
import { currentTask } from '../../../sim/task.ts';
import { block, type K } from '../../../sim/wait.ts';
import { trace_lock_acquired, trace_lock_contended, trace_lock_release } from './events.ts';
import { lock_acquire, lock_release, WRITE } from './lockdep.ts';
import { spin_free } from './wait.ts';

function take(lock: spinlock_t): void {
  const task = currentTask();
  write_heap(lock, cpu.task);
  task.atomic_depth = task.atomic_depth + 1;
  lock_acquire(lock, WRITE);
  trace_lock_acquired({ lock, mode: 'spin' });
}

/** spin_lock(). @atomic */
export function* spin_lock(lock: spinlock_t): K {
  if (read_heap(lock) !== 0) {
    trace_lock_contended({ lock, mode: 'spin' });
    yield* block(spin_free, lock, 0);
  }
  take(lock);
}

/** Takes the lock if nobody holds it. */
export function spin_trylock(lock: spinlock_t): boolean {
  if (read_heap(lock) !== 0) {
    return false;
  }
  take(lock);
  return true;
}

export function spin_unlock(lock: spinlock_t): void {
  const task = currentTask();
  lock_release(lock, WRITE);
  write_heap(lock, 0);
  task.atomic_depth = task.atomic_depth - 1;
  trace_lock_release({ lock, mode: 'spin' });
}
