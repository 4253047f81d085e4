/**
 * kernel/exit.c v6.18: the end of tasks and processes.
 *
 * Lock tree: tasklist_lock. exit_mm() takes mmap_lock for read for the moment in which the task lets go
 * of the address space; mmput() then tears it down if this was the last user.
 *
 * Fidelity: dup in the kernel's order. Nobody waits for children: every parent ignores SIGCHLD, so a
 * process is released at once when its last thread exits. A thread told to die (SIGKILL by exit_group() or
 * execve()) dies on its way out of the kernel; one that is in user space has no code to run it, so
 * the killer takes it through do_exit() itself (reapIdleThreads()).
 */

import { reportFinding } from '../../sim/finding.ts';
import { activeMachine } from '../../sim/machine.ts';
import { currentTask, taskBlock } from '../../sim/task.ts';
import type { K } from '../../sim/wait.ts';
import { exit_files } from '../fs/file.ts';
import { task_work_run } from '../fs/fput.ts';
import { BUG_ON } from '../lib/bug.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mm/mmap_lock.ts';
import type { signal_struct, task_struct } from '../mm_types.ts';
import { processGlobals } from '../roots.ts';
import { current } from './current.ts';
import { trace_sched_process_exit } from './events.ts';
import { mm_release, task_lock, task_unlock } from './fork.ts';
import { spin_lock, spin_unlock } from './locking/spinlock.ts';
import { mmdrop, mmgrab } from './mm_count.ts';
import { mmput } from './mm_users.ts';
import { call_rcu } from './rcu.ts';
import { EXIT_DEAD, EXIT_ZOMBIE, PF_EXITING, SIGNAL_GROUP_EXIT } from './sched.ts';
import { delayed_put_task_struct } from './task_types.ts';

/** Every task_struct that a task of the machine has, by number. */
export function allTasks(): task_struct[] {
  const tasks: task_struct[] = [];
  const count = activeMachine().taskCount();
  for (let id = 1; id <= count; id++) {
    const context = taskBlock(id).context as task_struct | null;
    if (context !== null) {
      tasks.push(context);
    }
  }
  return tasks;
}

/** for_other_threads(): the threads of the process that have not been released, but `tsk`. */
export function other_threads(tsk: task_struct): task_struct[] {
  return allTasks().filter(
    (t) => t !== tsk && t.signal === tsk.signal && t.exit_state !== EXIT_DEAD,
  );
}

/** kernel/exit.c: put_task_struct_rcu_user() v6.18. */
function put_task_struct_rcu_user(task: task_struct): void {
  task.rcu_users = task.rcu_users - 1;
  if (task.rcu_users === 0) {
    call_rcu(task, delayed_put_task_struct);
  }
}

/** kernel/exit.c: exit_mm() v6.18. */
function* exit_mm(tsk: task_struct): K {
  yield* mm_release(tsk);
  const mm = tsk.mm;
  if (mm === null) {
    return;
  }
  yield* mmap_read_lock(mm);
  // The struct must survive the last user while this task still runs on its page tables.
  mmgrab(mm);
  BUG_ON(mm !== tsk.active_mm, 'mm != current->active_mm');
  yield* task_lock(tsk);
  tsk.mm = null;
  task_unlock(tsk);
  mmap_read_unlock(mm);
  yield* mmput(mm);
}

/** kernel/exit.c: forget_original_parent() v6.18: children go to another thread, or to init (null here). */
function forget_original_parent(father: task_struct): void {
  const reaper = other_threads(father).find((t) => (t.flags & PF_EXITING) === 0) ?? null;
  for (const task of allTasks()) {
    if (task.real_parent === father) {
      task.real_parent = reaper;
    }
  }
}

/** thread_group_empty() of a leader: its other threads have all been released. */
function thread_group_empty(leader: task_struct): boolean {
  return (leader.signal as signal_struct).nr_threads === 1;
}

/** kernel/exit.c: release_task() v6.18. Preconditions: `p` is EXIT_DEAD; no locks held. */
export function* release_task(p: task_struct): K {
  const tasklist_lock = processGlobals().tasklist_lock;
  let task: task_struct | null = p;
  while (task !== null) {
    yield* spin_lock(tasklist_lock);
    const signal = task.signal as signal_struct;
    signal.nr_threads = signal.nr_threads - 1;
    const leader: task_struct | null = task.group_leader;
    let zap_leader = false;
    // The last other thread takes a leader along that has been a zombie for a while.
    if (leader !== null && leader !== task && leader.exit_state === EXIT_ZOMBIE) {
      if (thread_group_empty(leader)) {
        leader.exit_state = EXIT_DEAD;
        zap_leader = true;
      }
    }
    spin_unlock(tasklist_lock);
    put_task_struct_rcu_user(task);
    task = zap_leader ? leader : null;
  }
}

/** kernel/exit.c: exit_notify() v6.18. */
function* exit_notify(tsk: task_struct): K {
  const tasklist_lock = processGlobals().tasklist_lock;
  yield* spin_lock(tasklist_lock);
  forget_original_parent(tsk);
  tsk.exit_state = EXIT_ZOMBIE;
  // The parent ignores SIGCHLD: a lone leader, and every other thread, is released at once.
  const autoreap = tsk.group_leader === tsk ? thread_group_empty(tsk) : true;
  if (autoreap) {
    tsk.exit_state = EXIT_DEAD;
  }
  spin_unlock(tasklist_lock);
  if (autoreap) {
    yield* release_task(tsk);
  }
}

/** debug_check_no_locks_held(): a finding when a task dies with a lock. */
function debug_check_no_locks_held(tsk: task_struct): void {
  const held = taskBlock(tsk.sim_id).held_count;
  if (held > 0 && tsk === current()) {
    reportFinding('lock-leak', `a task exits with ${held} locks held`);
  }
}

/** finish_task_switch() after the last schedule() of a dead task: nobody schedules it any more. */
export function putDeadTask(tsk: task_struct): void {
  put_task_struct_rcu_user(tsk);
}

/** finish_task_switch(): the page tables that a dead task still ran on go. */
function* dropActiveMm(tsk: task_struct): K {
  const active_mm = tsk.active_mm;
  tsk.active_mm = null;
  if (active_mm !== null) {
    yield* mmdrop(active_mm);
  }
}

/**
 * kernel/exit.c: do_exit() v6.18 for `tsk`: the running task, or a thread that is in user space. The task
 * ends with putDeadTask(), when it executes nothing any more.
 */
export function* do_exit(tsk: task_struct, code: number): K<number> {
  const signal = tsk.signal as signal_struct;
  tsk.flags = tsk.flags | PF_EXITING;
  signal.live = signal.live - 1;
  tsk.exit_code = code;
  trace_sched_process_exit({ pid: tsk.pid, exit_code: code });
  yield* exit_mm(tsk);
  yield* exit_files(tsk);
  yield* task_work_run();
  yield* exit_notify(tsk);
  debug_check_no_locks_held(tsk);
  yield* dropActiveMm(tsk);
  return 0;
}

/** kernel/signal.c: zap_other_threads() v6.18. Preconditions: siglock held. Returns how many there are. */
export function zap_other_threads(tsk: task_struct): number {
  const others = other_threads(tsk).filter((t) => t.exit_state === 0);
  for (const thread of others) {
    thread.sigkill = 1;
  }
  return others.length;
}

/**
 * Finds a thread with a pending SIGKILL that is in user space and makes sure, in the same step, that no
 * operation of its own begins any more: from here on only the caller ends it. `itself`: `tsk` may be that one.
 */
export function claimIdleThread(tsk: task_struct, itself = false): task_struct | null {
  for (const thread of itself ? [...other_threads(tsk), tsk] : other_threads(tsk)) {
    const block = taskBlock(thread.sim_id);
    if (thread.sigkill === 1 && block.op === 0 && block.dead === 0) {
      block.dead = 1;
      return thread;
    }
  }
  return null;
}

/** Takes threads with a pending SIGKILL that are in user space through do_exit(). */
export function* reapIdleThreads(tsk: task_struct, code: number): K {
  let thread = claimIdleThread(tsk);
  while (thread !== null) {
    yield* do_exit(thread, code);
    putDeadTask(thread);
    thread = claimIdleThread(tsk);
  }
}

/** kernel/exit.c: do_group_exit() v6.18. */
export function* do_group_exit(exit_code: number): K<number> {
  const tsk = current();
  const sig = tsk.signal as signal_struct;
  let code = exit_code;
  yield* spin_lock(sig.siglock);
  if ((sig.flags & SIGNAL_GROUP_EXIT) !== 0) {
    code = sig.group_exit_code;
  } else if (sig.group_exec_task !== null) {
    code = 0;
  } else {
    sig.group_exit_code = exit_code;
    sig.flags = SIGNAL_GROUP_EXIT;
    zap_other_threads(tsk);
  }
  spin_unlock(sig.siglock);
  yield* reapIdleThreads(tsk, code);
  return yield* do_exit(tsk, code);
}

/** lockdep_sys_exit() and the RCU and preemption checks of the way back to user space. */
export function checkReturnToUser(): void {
  const block = currentTask();
  if (block.held_count > 0) {
    reportFinding('lock-leak', `a task returns to user space with ${block.held_count} locks held`);
  }
  if (block.rcu_depth !== 0 || block.atomic_depth !== 0) {
    reportFinding('lock-leak', 'a task returns to user space inside an atomic or RCU section');
  }
}
