/**
 * kernel/locking/lockdep.c: the held-lock stack of each task, and the lock events.
 *
 * Only the bookkeeping is here (what is held, in which mode, in which order); judges and views read
 * it. Fidelity: custom; no order of classes is learnt or judged.
 */
import { read_heap, write_heap } from '../../../sim/cpu.ts';
import { reportFinding } from '../../../sim/finding.ts';
import { currentTask, MAX_HELD, type sim_task } from '../../../sim/task.ts';

export const READ = 0;
export const WRITE = 1;

/** Pushes a lock that the running task has just acquired. */
export function lock_acquire(lock: number, mode: number): void {
  const task = currentTask();
  const n = task.held_count;
  if (n >= MAX_HELD) {
    reportFinding('lock-depth', `more than ${MAX_HELD} locks held`);
    return;
  }
  write_heap(task.held + n * 2, lock);
  write_heap(task.held + n * 2 + 1, mode);
  task.held_count = n + 1;
}

/** Removes the newest entry of `lock`; a lock that the task does not hold is a finding. */
export function lock_release(lock: number, mode: number): void {
  const task = currentTask();
  const n = task.held_count;
  for (let i = n - 1; i >= 0; i--) {
    if (read_heap(task.held + i * 2) !== lock || read_heap(task.held + i * 2 + 1) !== mode) {
      continue;
    }
    for (let j = i; j < n - 1; j++) {
      write_heap(task.held + j * 2, read_heap(task.held + j * 2 + 2));
      write_heap(task.held + j * 2 + 1, read_heap(task.held + j * 2 + 3));
    }
    task.held_count = n - 1;
    return;
  }
  reportFinding('bad-unlock', 'a task releases a lock that it does not hold in that mode');
}

/** Locks held by a task, oldest first. */
export function held_locks(task: sim_task): { lock: number; mode: number }[] {
  const held: { lock: number; mode: number }[] = [];
  for (let i = 0; i < task.held_count; i++) {
    held.push({ lock: read_heap(task.held + i * 2), mode: read_heap(task.held + i * 2 + 1) });
  }
  return held;
}

/** Whether the running task holds `lock` (for write, if asked). */
export function lock_is_held(lock: number, write = false): boolean {
  return held_locks(currentTask()).some((h) => h.lock === lock && (!write || h.mode === WRITE));
}

/** lockdep_assert_held(): a finding when the running task does not hold `lock`. */
export function lockdep_assert_held(lock: number, what: string): void {
  if (!lock_is_held(lock)) {
    reportFinding('lock-not-held', `${what} must be held here`);
  }
}

/** lockdep_assert_held_write(). */
export function lockdep_assert_held_write(lock: number, what: string): void {
  if (!lock_is_held(lock, true)) {
    reportFinding('lock-not-held', `${what} must be held for write here`);
  }
}
