/**
 * Suspension. A kernel function is a generator of type K; it parks at step points that the build
 * inserts, and here, where a task must wait until some condition on memory holds.
 *
 * A blocked attempt is not a step: the task writes what it waits for into its control block and is
 * not enabled until the condition holds; when it is resumed the condition is true, and nothing runs
 * between that check and the next step point, so what the caller does next is atomic with it.
 */
import { assert, InternalError } from '../base/assert.ts';
import { cpu } from './cpu.ts';
import { currentTask } from './task.ts';

/** A simulated kernel function returning T. Erased to a plain function in the fast build. */
export type K<T = void> = Generator<void, T, void>;

export interface WaitCondition {
  readonly id: number;
  /** Shown as what a blocked task waits for: `rwsem read`. */
  readonly name: string;
  /** Whether task number `task` may go on; reads memory, writes nothing. */
  readonly ready: (task: number, at: number, arg: number) => boolean;
}

const conditions: (WaitCondition | undefined)[] = [undefined];

/** Defines a kind of waiting. Called at module scope, so that ids do not depend on the run. */
export function waitCondition(name: string, ready: WaitCondition['ready']): WaitCondition {
  const condition = { id: conditions.length, name, ready };
  conditions.push(condition);
  return condition;
}

export function conditionById(id: number): WaitCondition {
  const condition = conditions[id];
  assert(condition !== undefined, `no wait condition ${id}`);
  return condition;
}

/** The fast build runs one operation at a time, so nothing it waits for can ever happen. */
export function contended(): never {
  throw new InternalError(
    'the fast build met a contended lock: only one operation may be in flight',
  );
}

/** Parks the running task until `condition` holds for (`at`, `arg`). */
export function* block(condition: WaitCondition, at: number, arg: number): K {
  const task = currentTask();
  while (!condition.ready(cpu.task, at, arg)) {
    task.wait_kind = condition.id;
    task.wait_at = at;
    task.wait_arg = arg;
    task.wait_depth = cpu.depth;
    yield;
  }
  if (task.wait_kind !== 0) {
    task.wait_kind = 0;
    task.wait_at = 0;
    task.wait_arg = 0;
    task.wait_depth = 0;
  }
}
