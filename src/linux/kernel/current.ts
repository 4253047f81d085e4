/** arch/x86/include/asm/current.h: the running task's task_struct. Kernel tasks have one too (PF_KTHREAD). */
import { assert } from '../../base/assert.ts';
import { currentTask } from '../../sim/task.ts';
import { type mm_struct, type task_struct, task_struct_cachep } from '../mm_types.ts';

/** `current`. */
export function current(): task_struct {
  const context = currentTask().context;
  assert(
    context !== null && task_struct_cachep.isInstance(context),
    'the running task has no task_struct',
  );
  return context;
}

/** `current->mm` of a task that is known to have one. */
export function current_mm(): mm_struct {
  const mm = current().mm;
  assert(mm !== null, 'the running task has no address space');
  return mm;
}
