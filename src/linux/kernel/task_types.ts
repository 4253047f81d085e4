/** What tasks wait for, and the RCU callbacks that free them. No kernel functions here (the build's rule). */
import { cpu } from '../../sim/cpu.ts';
import type { Obj } from '../../sim/struct.ts';
import { taskBlock } from '../../sim/task.ts';
import { waitCondition } from '../../sim/wait.ts';
import {
  type completion,
  signal_cachep,
  type signal_struct,
  type task_struct,
  task_struct_cachep,
} from '../mm_types.ts';
import { rcuFunction } from './rcu_types.ts';
import { EXIT_DEAD } from './sched.ts';

function objectAt(at: number): Obj {
  return cpu.handles[at >>> 4] as Obj;
}

/** TASK_KILLABLE: `at` is the address of a completion; a pending SIGKILL ends the wait too. */
export const completion_done = waitCondition('completion', (task, at) => {
  const completion = objectAt(at) as completion;
  const waiter = taskBlock(task).context as task_struct | null;
  return completion.done !== 0 || waiter?.sigkill === 1;
});

/**
 * execve() in a process with threads: `at` is the address of the signal_struct. Ready when all other
 * threads are gone, but for a leader that is only a zombie.
 */
export const thread_group_alone = waitCondition('other threads to exit', (task, at) => {
  const signal = objectAt(at) as signal_struct;
  const tsk = taskBlock(task).context as task_struct | null;
  if (tsk === null || tsk.sigkill === 1 || signal.nr_threads === 1) {
    return true;
  }
  const leader = tsk.group_leader;
  return signal.nr_threads === 2 && leader !== null && leader !== tsk && leader.exit_state !== 0;
});

/** kernel/fork.c: free_task() and put_signal_struct() v6.18. */
function free_task(tsk: task_struct): void {
  const signal = tsk.signal;
  if (signal !== null) {
    signal.sigcnt = signal.sigcnt - 1;
    if (signal.sigcnt === 0) {
      signal_cachep.free(signal);
    }
  }
  if (tsk.sim_id !== 0) {
    taskBlock(tsk.sim_id).context = null;
  }
  task_struct_cachep.free(tsk);
}

/** include/linux/sched/task.h: put_task_struct() v6.18. */
export function put_task_struct(tsk: task_struct): void {
  tsk.usage = tsk.usage - 1;
  if (tsk.usage === 0) {
    free_task(tsk);
  }
}

/** kernel/exit.c: delayed_put_task_struct() v6.18: who found the task under RCU may still look at it. */
export const delayed_put_task_struct = rcuFunction('delayed_put_task_struct', (object) => {
  put_task_struct(object as task_struct);
});

/** kernel/fork.c: __delayed_free_task() v6.18: a task that was never started. */
export const __delayed_free_task = rcuFunction('__delayed_free_task', (object) => {
  const tsk = object as task_struct;
  tsk.exit_state = EXIT_DEAD;
  free_task(tsk);
});
