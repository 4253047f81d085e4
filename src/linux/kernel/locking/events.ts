/** The lock tracepoints (include/trace/events/lock.h). `lock` is the address of the lock's first word. */
import { tracepoint } from '../../../sim/event.ts';

const fields = { lock: 'x', mode: 'str' } as const;

export const trace_lock_acquired = tracepoint('lock:acquire', fields, 'a lock was taken');
export const trace_lock_contended = tracepoint(
  'lock:contended',
  fields,
  'a task must wait for a lock',
);
export const trace_lock_release = tracepoint('lock:release', fields, 'a lock was released');
