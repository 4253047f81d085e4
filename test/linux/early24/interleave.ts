/** Runs what several tasks have begun, in one order or another. */
import type { Prng } from '../../../src/base/prng.ts';
import { ENDLESS } from '../../../src/sim/cpu.ts';
import type { Machine } from '../../../src/sim/machine.ts';

/** Tasks in an operation that can go on; null: nobody is in one any more. */
function runnable(machine: Machine): number[] | null {
  const ready: number[] = [];
  let busy = false;
  for (let id = 1; id <= machine.taskCount(); id++) {
    if (machine.block(id).op === 0 || machine.block(id).dead !== 0) continue;
    busy = true;
    if (machine.enabled(id)) ready.push(id);
  }
  return busy ? ready : null;
}

/** A few statements of one at a time, by chance, until every task is done or nobody can go on. */
export function interleaveByChance(
  machine: Machine,
  prng: Prng,
  most: number,
): 'done' | 'deadlock' {
  for (;;) {
    const ready = runnable(machine);
    if (ready === null) return 'done';
    if (ready.length === 0) return 'deadlock';
    machine.run(prng.pick(ready), 1 + prng.below(most), null);
  }
}

/** Each as far as it goes, the first of `order` that can go on first. */
export function interleave(machine: Machine, order: readonly number[]): 'done' | 'deadlock' {
  for (;;) {
    const ready = runnable(machine);
    if (ready === null) return 'done';
    const next = order.find((id) => ready.includes(id)) ?? ready[0];
    if (next === undefined) return 'deadlock';
    machine.run(next, ENDLESS, null);
  }
}
