/** Old kernels run whole programs: judged after every operation, and with the memory contents of v6.18. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { commonWorkload } from '../../support/common-workload.ts';
import { RandomProgram } from '../../support/random-program.ts';

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

describe.each(kernels)('%s %j', (kernel, patches) => {
  test('gives a program the memory that v6.18 gives it', () => {
    expect(commonWorkload(boot(kernel, patches))).toEqual(commonWorkload(boot('v6.18')));
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
