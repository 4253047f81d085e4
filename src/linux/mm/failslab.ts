/**
 * mm/failslab.c: which small allocations fail. A kernel allocation of the simulator never fails by
 * itself; whether one does is a choice of the schedule or of `fail_next_alloc()`. Fidelity: custom.
 */
import { choose } from '../../sim/choice.ts';
import { NODE_DATA } from './node.ts';

/**
 * Whether the allocation that follows, of a page or a small object, must fail: what `fail_next_alloc()` counts
 * down to, or what the schedule chooses. One step.
 */
export function shouldFailAllocation(): boolean {
  const node = NODE_DATA();
  if (node.fail_nth > 0) {
    node.fail_nth = node.fail_nth - 1;
    if (node.fail_nth === 0) {
      return true;
    }
  }
  return choose('fail_alloc', 2) === 1;
}

/** should_failslab(): true when the allocation that follows must return NULL. */
export function should_failslab(): boolean {
  return shouldFailAllocation();
}

/** The nth allocation from here on fails, 1 is the next; 0 takes it back. */
export function failNextAllocation(nth: number): void {
  NODE_DATA().fail_nth = nth;
}
