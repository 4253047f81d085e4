/** kernel/locking/mutex.c. Words: [owner task id or 0, unused]. Fidelity: custom (no queue, no handoff). */
import { cpu, read_heap, write_heap } from '../../../sim/cpu.ts';
import type { mutex } from '../../../sim/struct.ts';
import { block, type K } from '../../../sim/wait.ts';
import { trace_lock_acquired, trace_lock_contended, trace_lock_release } from './events.ts';
import { lock_acquire, lock_release, WRITE } from './lockdep.ts';
import { might_sleep } from './rwsem.ts';
import { mutex_free } from './wait.ts';

/** mutex_lock(). @atomic */
export function* mutex_lock(lock: mutex): K {
  might_sleep('mutex_lock()');
  if (read_heap(lock) !== 0) {
    trace_lock_contended({ lock, mode: 'mutex' });
    yield* block(mutex_free, lock, 0);
  }
  write_heap(lock, cpu.task);
  lock_acquire(lock, WRITE);
  trace_lock_acquired({ lock, mode: 'mutex' });
}

export function mutex_trylock(lock: mutex): boolean {
  if (read_heap(lock) !== 0) {
    return false;
  }
  write_heap(lock, cpu.task);
  lock_acquire(lock, WRITE);
  trace_lock_acquired({ lock, mode: 'mutex' });
  return true;
}

export function mutex_unlock(lock: mutex): void {
  lock_release(lock, WRITE);
  write_heap(lock, 0);
  trace_lock_release({ lock, mode: 'mutex' });
}

export const mutex_is_locked = (lock: mutex): boolean => read_heap(lock) !== 0;
