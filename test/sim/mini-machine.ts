/** Machines that run the small kernel, and random histories on them. */
import { Prng } from '../../src/base/prng.ts';
import { ENDLESS } from '../../src/sim/cpu.ts';
import { Machine, type MachineConfig, type Operation } from '../../src/sim/machine.ts';
import type { K } from '../../src/sim/wait.ts';
import * as mini from './kernel/mini.ts';
import { type pool, pool_cache, the_pool } from './kernel/structs.ts';

export function operation(name: string, argument: number | string = 0): Operation {
  return { name, args: [argument], text: `${name}(${argument})`, line: 0 };
}

export function miniMachine(
  options: Partial<MachineConfig> = {},
  start: (operation: Operation) => K<number> = mini.start,
): Machine {
  const kernel: { pool: pool | null } = { pool: null };
  return new Machine({
    frames: 64,
    start,
    boot: () => {
      kernel.pool = pool_cache.alloc();
    },
    kernel,
    ...options,
  });
}

/** Runs one operation of an idle task to its end; returns its result. */
export function call(machine: Machine, task: number, name: string, argument: number | string = 0) {
  machine.begin(task, operation(name, argument));
  machine.run(task, ENDLESS, null);
  return machine.block(task).result;
}

const names = ['add', 'remove', 'walk', 'bump', 'map', 'retag'] as const;

function randomOperation(prng: Prng, machine: Machine): Operation {
  if (prng.below(40) === 0 && machine.taskCount() < 9) {
    return operation('make_task', `child${machine.taskCount()}`);
  }
  // Walks must not grow without bound: an operation in flight holds history.
  const name = the_pool().count > 25 ? 'remove' : prng.pick(names);
  const size = name === 'walk' ? prng.below(4) : name === 'map' ? prng.below(20) : prng.below(6);
  return operation(name, size);
}

/**
 * What a driver adds to a history: one random slice, first giving an idle task something to do. With
 * `each`, the slice is made of single steps and `each` is called at every mark.
 */
export function randomSlice(
  machine: Machine,
  prng: Prng,
  longest: number,
  each: (() => void) | null = null,
): void {
  const task = 1 + prng.below(machine.taskCount());
  if (machine.block(task).op === 0) {
    machine.begin(task, randomOperation(prng, machine));
  }
  const fuel = prng.below(longest);
  if (!machine.enabled(task)) return;
  if (each === null) {
    machine.run(task, fuel, null);
    return;
  }
  for (let left = fuel; left >= 0; left--) {
    if (machine.run(task, 0, null) !== 'fuel') break;
    each();
  }
}

/** Four tasks, random slices of 1 to 60 steps, until `steps` have been executed. */
export function randomHistory(
  seed: number,
  steps: number,
  options: Partial<MachineConfig> = {},
  each: ((machine: Machine) => void) | null = null,
): Machine {
  const machine = miniMachine(options);
  const prng = new Prng(seed);
  machine.setChooser((_kind, count, nth) => (nth * 7 + seed) % count);
  for (let i = 1; i <= 4; i++) machine.spawn(`task${i}`);
  while (machine.step < steps) {
    randomSlice(machine, prng, 60, each === null ? null : () => each(machine));
  }
  return machine;
}

/** The open frames of every task, as text. */
export function allFrames(machine: Machine): string {
  const lines: string[] = [];
  for (let id = 1; id <= machine.taskCount(); id++) {
    lines.push(
      `${id}: ${machine
        .frames(id)
        .map((f) => `${f.depth}@${f.site}`)
        .join(' ')}`,
    );
  }
  return lines.join('\n');
}
