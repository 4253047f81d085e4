/**
 * kernel/rcu/tree.c, include/linux/rcupdate.h v6.18: read-copy update.
 *
 * A read section is a depth in the task's control block; the grace-period number at its beginning is
 * in the task_struct. A grace period takes a new number and ends when no task is inside a section
 * that began under an older one: so it waits for exactly the readers that were inside at its start.
 *
 * Fidelity: custom. Linux also waits for readers that begin while the grace period is being
 * propagated, and CONFIG_PREEMPT_RCU's per-CPU machinery is not here; a grace period that ends as early
 * as the definition allows shows every interleaving that the real one can show. Callbacks run when
 * the kernel task `rcu` is given the operation rcu_do_batch.
 */
import type { Obj } from '../../sim/struct.ts';
import { currentTask } from '../../sim/task.ts';
import { block, type K } from '../../sim/wait.ts';
import { type rcu_head, rcu_head_cachep } from '../mm_types.ts';
import { processGlobals } from '../roots.ts';
import { current } from './current.ts';
import { trace_rcu_callback, trace_rcu_grace_period } from './events.ts';
import { might_sleep } from './locking/rwsem.ts';
import { type rcu_func, rcu_gp_over, rcuFunctionById } from './rcu_types.ts';

/** rcu_read_lock(). Never waits. */
export function rcu_read_lock(): void {
  const task = currentTask();
  if (task.rcu_depth === 0) {
    current().rcu_gp_seq = processGlobals().rcu_gp_seq;
  }
  task.rcu_depth = task.rcu_depth + 1;
}

/** rcu_read_unlock(). */
export function rcu_read_unlock(): void {
  const task = currentTask();
  task.rcu_depth = task.rcu_depth - 1;
}

/** rcu_read_lock_held(). */
export function rcu_read_lock_held(): boolean {
  return currentTask().rcu_depth > 0;
}

/** Begins a grace period; returns its number. Readers that enter from now on need not be waited for. */
function begin_grace_period(): number {
  const globals = processGlobals();
  globals.rcu_gp_seq = globals.rcu_gp_seq + 1;
  return globals.rcu_gp_seq;
}

/**
 * kernel/rcu/tree.c: synchronize_rcu() v6.18: waits until every read section that was active at the call
 * has ended. Preconditions: the caller may sleep and is in no read section.
 */
export function* synchronize_rcu(): K {
  might_sleep('synchronize_rcu()');
  const gp_seq = begin_grace_period();
  yield* block(rcu_gp_over, 0, gp_seq);
  trace_rcu_grace_period({ done: 0 });
}

/**
 * kernel/rcu/tree.c: call_rcu() v6.18: `func` is to run on `object` after a grace period. Never waits.
 * Linux embeds the rcu_head in the object; here it is an object of its own.
 */
export function call_rcu(object: Obj, func: rcu_func): void {
  const globals = processGlobals();
  const head = rcu_head_cachep.alloc();
  head.func = func.id;
  head.object = object;
  head.next = null;
  const tail = globals.rcu_tail;
  if (tail === null) {
    globals.rcu_head = head;
  } else {
    tail.next = head;
  }
  globals.rcu_tail = head;
  globals.rcu_pending = globals.rcu_pending + 1;
  trace_rcu_callback({ pending: globals.rcu_pending });
}

/** Takes the callbacks queued so far off the global list. */
function take_callbacks(): rcu_head | null {
  const globals = processGlobals();
  const first = globals.rcu_head;
  globals.rcu_head = null;
  globals.rcu_tail = null;
  return first;
}

/** Runs one callback and frees its head; returns the next one. */
function invoke_callback(head: rcu_head): rcu_head | null {
  const globals = processGlobals();
  const next = head.next;
  const object = head.object;
  const func = rcuFunctionById(head.func);
  rcu_head_cachep.free(head);
  globals.rcu_pending = globals.rcu_pending - 1;
  if (object !== null) {
    func.run(object);
  }
  return next;
}

/**
 * kernel/rcu/tree.c: rcu_do_batch() v6.18, with the grace period before it (rcu_gp_kthread). Callbacks
 * queued after the grace period began wait for the next one. Returns the number of callbacks run.
 */
export function* rcu_do_batch(): K<number> {
  let head = take_callbacks();
  if (head === null) {
    return 0;
  }
  const gp_seq = begin_grace_period();
  yield* block(rcu_gp_over, 0, gp_seq);
  let done = 0;
  while (head !== null) {
    head = invoke_callback(head);
    done = done + 1;
  }
  trace_rcu_grace_period({ done });
  return done;
}

/** Whether callbacks are queued or wait for a grace period: the driver then gives `rcu` a rcu_do_batch. */
export function rcuPending(): number {
  return processGlobals().rcu_pending;
}
