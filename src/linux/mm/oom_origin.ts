/**
 * include/linux/oom.h v6.18: a task that does something which needs all the memory there is (swapoff, un-merging KSM
 * pages) is the first to be killed for it. Fidelity: dup.
 */
import { current } from '../kernel/current.ts';
import type { signal_struct } from '../mm_types.ts';

/** set_current_oom_origin(): its signal_struct; null: a kernel thread, which nobody kills. */
export function set_current_oom_origin(): signal_struct | null {
  const signal = current().signal as signal_struct | null;
  if (signal !== null) {
    signal.oom_flag_origin = 1;
  }
  return signal;
}

/** clear_current_oom_origin(). */
export function clear_current_oom_origin(signal: signal_struct | null): void {
  if (signal !== null) {
    signal.oom_flag_origin = 0;
  }
}
