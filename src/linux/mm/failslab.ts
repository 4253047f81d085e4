/**
 * mm/failslab.c: which small allocations fail. A kernel allocation of the simulator never fails by
 * itself; whether one does is a choice of the explorer or of `fail_next_alloc()`. Fidelity: custom.
 */
import { choose } from '../../sim/choice.ts';

/** should_failslab(): true when the allocation that follows must return NULL. */
export function should_failslab(): boolean {
  return choose('fail_alloc', 2) === 1;
}
