/** Tracepoints of tasks and RCU. */
import { tracepoint } from '../../sim/event.ts';

export const trace_task_newtask = tracepoint(
  'task:task_newtask',
  { pid: 'n', comm: 'str', clone_flags: 'x' },
  'a task was created',
);
export const trace_sched_process_exec = tracepoint(
  'sched:sched_process_exec',
  { pid: 'n', filename: 'str' },
  'a task replaced its address space',
);
export const trace_sched_process_exit = tracepoint(
  'sched:sched_process_exit',
  { pid: 'n', exit_code: 'n' },
  'a task exits',
);
export const trace_signal_deliver = tracepoint(
  'signal:signal_deliver',
  { sig: 'n', code: 'n', address: 'x' },
  'a fault could not be handled',
);
export const trace_rcu_callback = tracepoint(
  'rcu:rcu_callback',
  { pending: 'n' },
  'call_rcu() queued a callback',
);
export const trace_rcu_grace_period = tracepoint(
  'rcu:rcu_grace_period',
  { done: 'n' },
  'a grace period ended and its callbacks ran',
);
