/** arch/x86/include/asm/current.h: the running task's task_struct. Kernel tasks have one too (PF_KTHREAD). */
import { currentTask } from '../../sim/task.ts';
import type { mm_struct, task_struct } from '../mm_types.ts';

/** `current`. Only inside a kernel function. */
export function current(): task_struct {
  return currentTask().context as task_struct;
}

/** `current->mm` of a task that is known to have one. */
export function current_mm(): mm_struct {
  return current().mm as mm_struct;
}
