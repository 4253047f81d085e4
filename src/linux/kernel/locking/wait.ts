/** What tasks wait for in the locks: conditions on lock words. Layouts are in the lock files' heads. */
import { read_heap } from '../../../sim/cpu.ts';
import { waitCondition } from '../../../sim/wait.ts';

export const spin_free = waitCondition('spinlock', (_task, at) => read_heap(at) === 0);
export const mutex_free = waitCondition('mutex', (_task, at) => read_heap(at) === 0);
/** A writer may take a free rwsem whoever queues (optimistic spinning steals it in Linux too). */
export const rwsem_writable = waitCondition('rwsem write', (_task, at) => read_heap(at) === 0);
/** A new reader also queues behind a waiting writer, so that writers are not starved. */
export const rwsem_readable_fair = waitCondition(
  'rwsem read',
  (_task, at) => read_heap(at) >= 0 && read_heap(at + 2) === 0,
);
