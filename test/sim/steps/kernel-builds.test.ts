import { expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import * as kernels from '../../../src/linux/kernels.ts';
import { cpu, ENDLESS } from '../../../src/sim/cpu.ts';
import { eventTypeAt } from '../../../src/sim/event.ts';
import { fastKernel } from '../../support/fast-kernel.ts';
import { RandomProgram } from '../../support/random-program.ts';

/** Vitest runs the kernel many times slower than the bundle; `npm run bench` does 20,000. */
const OPERATIONS = 3000;

function run(kernel: ReturnType<typeof kernels.selectKernel>, recording: boolean, most: number) {
  const machine = bootMachine({
    kernel,
    memoryPages: 1024,
    swapPages: 128,
    recording,
    historyEntries: 1 << 16,
  });
  const program = new RandomProgram(machine, 99, { uninterrupted: true });
  const prng = new Prng(1);
  const fuel = most === 0 ? () => ENDLESS : () => prng.below(most);
  for (let i = 0; i < OPERATIONS; i++) program.step(fuel);
  expect(machine.findings()).toEqual([]);
  expect(judge(machine, 'operation-end')).toEqual([]);
  const types: Record<number, number> = {};
  for (let i = 0; i < cpu.event_count; i++) {
    types[eventTypeAt(i)] = (types[eventTypeAt(i)] ?? 0) + 1;
  }
  return { results: program.results, hash: machine.hash(), types };
}

test('all builds of the kernel end random operations of many processes in the same state, with the same results and events', () => {
  const fast = run(fastKernel('v6.18'), false, 0);
  const step = run(kernels.selectKernel('v6.18'), false, 0);
  const watched = run(kernels.selectKernel('v6.18'), true, 50);
  expect(fast.results.length).toBeGreaterThanOrEqual(OPERATIONS);
  expect(step).toEqual(fast);
  expect(watched).toEqual(fast);
});
