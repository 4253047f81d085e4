/**
 * What the benchmarks run: a mix of system calls and faults in the style of recorded programs, made
 * before the clock starts, and the machine to run it on.
 */
import { Prng } from '../../src/base/prng.ts';
import { bootMachine, spawnInit } from '../../src/linux/boot.ts';
import type { kernel } from '../../src/linux/kernel.ts';
import { ENDLESS } from '../../src/sim/cpu.ts';
import type { Machine, Operation } from '../../src/sim/machine.ts';

const PAGE = 4096;
const ARENA = 0x10_0000_0000;

export function operation(name: string, ...args: readonly unknown[]): Operation {
  return { name, args, text: name, line: 0 };
}

/** mmap, munmap, mprotect with splits, first touches, reads and rewrites in an arena of `pages`. */
export function systemCallMix(seed: number, count: number, pages = 256): Operation[] {
  const prng = new Prng(seed);
  const list: Operation[] = [];
  const page = () => ARENA + prng.below(pages) * PAGE;
  for (let i = 0; i < count; i++) {
    const dice = prng.below(100);
    const size = PAGE * (1 + prng.below(8));
    if (dice < 18) list.push(operation('mmap', page(), size, 3, 0x32, -1, 0));
    else if (dice < 28) list.push(operation('munmap', page(), size));
    else if (dice < 40) list.push(operation('mprotect', page(), size, prng.pick([1, 3, 3])));
    else if (dice < 75) list.push(operation('store', page(), 7));
    else list.push(operation('load', page()));
  }
  return list;
}

export function boot(
  kernel: kernel,
  options: {
    recording: boolean;
    historyEntries?: number;
    memoryPages?: number;
    swapPages?: number;
    maxMapCount?: number;
  },
): Machine {
  return bootMachine({ memoryPages: 4096, swapPages: 0, ...options, kernel });
}

/** A process with its arena mapped. */
export function process(machine: Machine, name: string): number {
  const task = spawnInit(machine, name);
  runAll(machine, task, [operation('mmap', ARENA, 256 * PAGE, 3, 0x32, -1, 0)], ENDLESS);
  return task;
}

/** Runs operations one after the other, each in slices of `fuel` + 1 statements. */
export function runAll(
  machine: Machine,
  task: number,
  operations: readonly Operation[],
  fuel: number,
): void {
  const block = machine.block(task);
  for (const operation of operations) {
    machine.begin(task, operation);
    while (block.op !== 0) machine.run(task, fuel, null);
  }
}

/** A history of four tasks in random slices of 1 to 60 steps, until `steps` have been executed. */
export function interleaved(kernel: kernel, steps: number, historyEntries: number): Machine {
  const machine = boot(kernel, { recording: true, historyEntries });
  const prng = new Prng(7);
  const tasks = ['A', 'B', 'C', 'D'].map((name) => process(machine, name));
  const lists = tasks.map((_task, n) => systemCallMix(n + 1, 20_000, 64));
  const at = tasks.map(() => 0);
  while (machine.step < steps) {
    const n = prng.below(tasks.length);
    const task = tasks[n] as number;
    if (machine.block(task).op === 0) {
      const list = lists[n] as Operation[];
      machine.begin(task, list[(at[n] as number) % list.length] as Operation);
      at[n] = (at[n] as number) + 1;
    }
    if (machine.enabled(task)) machine.run(task, prng.below(60), null);
  }
  return machine;
}
