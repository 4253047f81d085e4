/** kernel/sched/completion.c v6.18. Fidelity: custom (a flag; no wait queue, no counting). */
import { block, type K } from '../../../sim/wait.ts';
import type { completion } from '../../mm_types.ts';
import { current } from '../current.ts';
import { might_sleep } from '../locking/rwsem.ts';
import { completion_done } from '../task_types.ts';

/** complete(). */
export function complete(x: completion): void {
  x.done = 1;
}

/** wait_for_completion_state(TASK_KILLABLE): true if a SIGKILL ended the wait. @atomic */
export function* wait_for_completion_killable(x: completion): K<boolean> {
  might_sleep('wait_for_completion()');
  yield* block(completion_done, x.addr, 0);
  return x.done === 0 && current().sigkill === 1;
}
