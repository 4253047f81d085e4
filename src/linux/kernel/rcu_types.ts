/** What RCU callbacks run, and what waiters for a grace period wait for. */
import { assert } from '../../base/assert.ts';
import { activeMachine } from '../../sim/machine.ts';
import type { Obj } from '../../sim/struct.ts';
import { taskBlock } from '../../sim/task.ts';
import { waitCondition } from '../../sim/wait.ts';
import type { task_struct } from '../mm_types.ts';

/** A function that call_rcu() may be given: by number, because a callback in flight is heap data. */
export interface rcu_func {
  readonly id: number;
  readonly name: string;
  readonly run: (object: Obj) => void;
}

const functions: rcu_func[] = [];

/** Declares an RCU callback. Called at module scope of files without kernel functions. */
export function rcuFunction(name: string, run: (object: Obj) => void): rcu_func {
  const func = { id: functions.length, name, run };
  functions.push(func);
  return func;
}

export function rcuFunctionById(id: number): rcu_func {
  const func = functions[id];
  assert(func !== undefined, `no RCU callback ${id}`);
  return func;
}

/** Whether some task entered an RCU read section before grace period `gp_seq` began and is still inside. */
export function rcuHasOldReader(gp_seq: number): boolean {
  const count = activeMachine().taskCount();
  for (let id = 1; id <= count; id++) {
    const block = taskBlock(id);
    // A reader without a task_struct has just died in the section: it holds nothing up.
    if (block.rcu_depth > 0 && block.context !== null) {
      if ((block.context as task_struct).rcu_gp_seq < gp_seq) {
        return true;
      }
    }
  }
  return false;
}

/** `arg` is the number of the grace period. */
export const rcu_gp_over = waitCondition(
  'RCU grace period',
  (_task, _at, arg) => !rcuHasOldReader(arg),
);
