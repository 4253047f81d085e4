/** Task control blocks: what of a task must rewind lives in the heap, the rest in machine.ts. */
import { cpu } from './cpu.ts';
import { type Obj, type Ptr, struct, type words } from './struct.ts';

/** Locks a task can hold at once (Linux: MAX_LOCK_DEPTH 48). */
export const MAX_HELD = 48;

export interface sim_task extends Obj {
  /** Number of the task, from 1. */
  id: number;
  /** Operation in flight: its number in the machine's list + 1, or 0. */
  op: number;
  /** What the last finished operation returned. */
  result: number;
  /** Wait condition id, or 0. */
  wait_kind: number;
  wait_at: number;
  wait_arg: number;
  /** Depth of the frame that waits. */
  wait_depth: number;
  /** 1 after the task died of an oops or was told to exit. */
  dead: number;
  /** The kernel's own struct of the task (task_struct). */
  context: Ptr<Obj>;
  /** Nesting of RCU read sections, and of sections that must not sleep. */
  rcu_depth: number;
  atomic_depth: number;
  held_count: number;
  /** Pairs (lock address, mode: 0 read, 1 write), oldest first. */
  held: words;
}

const sim_task_cache = struct<sim_task>('sim_task', {
  id: 'n',
  op: 'n',
  result: 'n',
  wait_kind: 'n',
  wait_at: 'n',
  wait_arg: 'n',
  wait_depth: 'n',
  dead: 'n',
  context: 'p',
  rcu_depth: 'n',
  atomic_depth: 'n',
  held_count: 'n',
  held: ['words', MAX_HELD * 2],
});

/** Control blocks of the active machine by task id. Set by machine.ts. */
export const taskBlocks: { byId: readonly (sim_task | undefined)[] } = { byId: [] };

export function allocTaskBlock(): sim_task {
  return sim_task_cache.alloc();
}

/** Control block of the running task. Only inside a kernel function. */
export function currentTask(): sim_task {
  return taskBlocks.byId[cpu.task] as sim_task;
}

export function taskBlock(id: number): sim_task {
  return taskBlocks.byId[id] as sim_task;
}
