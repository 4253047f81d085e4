/**
 * kernel/locking/rwsem.c. Words: [count: -1 writer, n readers; owner task id of the writer; writers
 * waiting; unused].
 *
 * A new reader queues behind a waiting writer; a writer may take a free semaphore at any time, as a
 * spinning writer does in Linux. Fidelity: custom (no handoff bit, no FIFO among waiters).
 */
import { cpu, read_heap, write_heap } from '../../../sim/cpu.ts';
import { reportFinding } from '../../../sim/finding.ts';
import type { rw_semaphore } from '../../../sim/struct.ts';
import { currentTask } from '../../../sim/task.ts';
import { block, type K } from '../../../sim/wait.ts';
import { trace_lock_acquired, trace_lock_contended, trace_lock_release } from './events.ts';
import { lock_acquire, lock_release, READ, WRITE } from './lockdep.ts';
import { rwsem_readable_fair, rwsem_writable } from './wait.ts';

const OWNER = 1;
const WAITING_WRITERS = 2;

/** might_sleep(): a sleeping lock inside a spinlock or an RCU read section is a finding. */
export function might_sleep(what: string): void {
  const task = currentTask();
  if (task.atomic_depth > 0 || task.rcu_depth > 0) {
    reportFinding('sleep-in-atomic', `${what} may sleep, but the task is in an atomic section`);
  }
}

function acquire_read(sem: rw_semaphore): void {
  write_heap(sem, read_heap(sem) + 1);
  lock_acquire(sem, READ);
  trace_lock_acquired({ lock: sem, mode: 'read' });
}

function acquire_write(sem: rw_semaphore): void {
  write_heap(sem, -1);
  write_heap(sem + OWNER, cpu.task);
  lock_acquire(sem, WRITE);
  trace_lock_acquired({ lock: sem, mode: 'write' });
}

/** down_read(). @atomic */
export function* down_read(sem: rw_semaphore): K {
  might_sleep('down_read()');
  if (!rwsem_readable_fair.ready(cpu.task, sem, 0)) {
    trace_lock_contended({ lock: sem, mode: 'read' });
    yield* block(rwsem_readable_fair, sem, 0);
  }
  acquire_read(sem);
}

/** down_write(). @atomic */
export function* down_write(sem: rw_semaphore): K {
  might_sleep('down_write()');
  if (read_heap(sem) !== 0) {
    trace_lock_contended({ lock: sem, mode: 'write' });
    write_heap(sem + WAITING_WRITERS, read_heap(sem + WAITING_WRITERS) + 1);
    yield* block(rwsem_writable, sem, 1);
    write_heap(sem + WAITING_WRITERS, read_heap(sem + WAITING_WRITERS) - 1);
  }
  acquire_write(sem);
}

/** down_read_trylock(): fails also when somebody waits (RWSEM_READ_FAILED_MASK has the waiters bit). */
export function down_read_trylock(sem: rw_semaphore): boolean {
  if (!rwsem_readable_fair.ready(cpu.task, sem, 0)) {
    return false;
  }
  acquire_read(sem);
  return true;
}

/** down_write_trylock(): one compare-and-swap from "unlocked, nobody waits". */
export function down_write_trylock(sem: rw_semaphore): boolean {
  if (read_heap(sem) !== 0 || read_heap(sem + WAITING_WRITERS) !== 0) {
    return false;
  }
  acquire_write(sem);
  return true;
}

export function up_read(sem: rw_semaphore): void {
  lock_release(sem, READ);
  write_heap(sem, read_heap(sem) - 1);
  trace_lock_release({ lock: sem, mode: 'read' });
}

export function up_write(sem: rw_semaphore): void {
  lock_release(sem, WRITE);
  write_heap(sem, 0);
  write_heap(sem + OWNER, 0);
  trace_lock_release({ lock: sem, mode: 'write' });
}

/** downgrade_write(): the writer becomes a reader without anybody getting in between. */
export function downgrade_write(sem: rw_semaphore): void {
  lock_release(sem, WRITE);
  write_heap(sem, 1);
  write_heap(sem + OWNER, 0);
  lock_acquire(sem, READ);
  trace_lock_release({ lock: sem, mode: 'downgrade' });
}

export function rwsem_is_locked(sem: rw_semaphore): boolean {
  return read_heap(sem) !== 0;
}
