/** Old kernels run whole programs: judged after every operation, and with the memory contents of v6.18. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { RandomProgram } from '../../support/random-program.ts';
import { call, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const RW = 3;
const FIXED_ANON = 0x32;
/** Each with what mends its documented bugs that need no race. */
const kernels: readonly (readonly [string, readonly string[]])[] = [
  ['v2.6.0', []],
  ['v2.6.5-aa', ['extend_links']],
  ['v2.6.6-anonmm', []],
  ['v2.6.7', ['links_importer']],
];

function boot(kernel: string, patches: readonly string[] = []): Machine {
  return bootMachine({ kernel: selectKernel(kernel, patches), memoryPages: 1024, swapPages: 128 });
}

/** A fixed workload of calls that mean the same on every kernel; returns what its processes then read. */
function workload(machine: Machine): number[] {
  const a = spawnInit(machine, 'A');
  const kernel = spawnKernelThread(machine, 'kcompactd');
  const run = (task: number, name: string, ...args: unknown[]) => {
    const result = call(machine, task, name, args);
    expect(machine.findings(), name).toEqual([]);
    expect(judge(machine, 'operation-end'), name).toEqual([]);
    return result;
  };
  run(a, 'mmap', AT, 8 * PAGE, RW, FIXED_ANON, -1, 0);
  for (let i = 0; i < 8; i++) run(a, 'store', AT + i * PAGE, 10 + i);
  run(a, 'fork');
  const b = machine.taskCount();
  run(b, 'store', AT, 20);
  run(a, 'store', AT + PAGE, 21);
  run(a, 'mprotect', AT + 2 * PAGE, PAGE, 1);
  run(kernel, 'referenced', a, AT + 4 * PAGE);
  run(kernel, 'settle');
  for (let i = 0; i < 2; i++) run(kernel, 'reclaim', b, AT + 4 * PAGE);
  run(b, 'fork');
  const c = machine.taskCount();
  run(c, 'store', AT + 4 * PAGE, 30);
  // One VMA: old kernels move no more than that at once.
  run(a, 'mremap', AT, 2 * PAGE, 2 * PAGE, 3, AT + 16 * PAGE);
  run(b, 'munmap', AT + 6 * PAGE, PAGE);
  run(c, 'madvise', AT + 5 * PAGE, PAGE, 4);
  run(a, 'mprotect', AT + 2 * PAGE, PAGE, RW);
  run(a, 'store', AT + 2 * PAGE, 40);
  run(b, 'exit_group', 0);
  const seen: number[] = [];
  for (const task of [a, c]) {
    for (let i = 0; i < 24; i++) seen.push(run(task, 'load', AT + i * PAGE));
  }
  return seen;
}

describe.each(kernels)('%s %j', (kernel, patches) => {
  test('gives a program the memory that v6.18 gives it', () => {
    expect(workload(boot(kernel, patches))).toEqual(workload(boot('v6.18')));
  });

  test.each([1, 2, 3])('is right after every operation of random program %i', (seed) => {
    const machine = boot(kernel, patches);
    const program = new RandomProgram(machine, seed);
    for (let i = 0; i < 400; i++) {
      const text = program.step();
      expect(machine.findings(), text).toEqual([]);
      expect(judge(machine, 'operation-end'), `${i} ${text}`).toEqual([]);
    }
    expect(machine.taskCount()).toBeGreaterThan(5);
  });
});
