/** Old kernels run whole programs: judged after every operation, and with the memory contents of v6.18. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { commonWorkload } from '../../support/common-workload.ts';
import { RandomProgram } from '../../support/random-program.ts';

const kernels = [
  'v2.6.33',
  'v2.6.34',
  'v2.6.34-mel',
  'v2.6.36',
  'v3.0',
  'v3.6',
  'v3.7',
  'v3.7-limit',
  'v3.18',
  'root-only',
  'v3.19',
  'v5.19',
  'v6.1',
];

function boot(kernel: string): Machine {
  return bootMachine({ kernel: selectKernel(kernel), memoryPages: 1024, swapPages: 128 });
}

describe.each(kernels)('%s', (kernel) => {
  test('gives a program the memory that v6.18 gives it', () => {
    expect(commonWorkload(boot(kernel))).toEqual(commonWorkload(boot('v6.18')));
  });

  test.each([1, 2, 3])('is right after every operation of random program %i', (seed) => {
    const machine = boot(kernel);
    const program = new RandomProgram(machine, seed);
    for (let i = 0; i < 400; i++) {
      const text = program.step();
      expect(machine.findings(), text).toEqual([]);
      expect(judge(machine, 'operation-end'), `${i} ${text}`).toEqual([]);
    }
    expect(machine.taskCount()).toBeGreaterThan(5);
  });
});
