/** The kernels before 2.4.1 run whole programs: judged after every operation, with the memory contents of v6.18. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { commonWorkload } from '../../support/common-workload.ts';
import { RandomProgram } from '../../support/random-program.ts';

const kernels = ['v2.4.0', 'v2.3.99-anon'];
/** Without the defects of the anon layer that need no race: golden.test.ts has them. */
const defects = ['merge_ignores_pgoff', 'unlock_rereads'];
/** MADV_DONTNEED and MADV_WILLNEED; other advice on a part of anonymous memory is an oops in 2.4.0. */
const advice = [3, 4, 4, 8];

function boot(kernel: string): Machine {
  return bootMachine({
    kernel: selectKernel(kernel, [], defects),
    memoryPages: 1024,
    swapPages: 128,
  });
}

describe.each(kernels)('%s', (kernel) => {
  test('gives a program the memory that v6.18 gives it', () => {
    expect(commonWorkload(boot(kernel))).toEqual(commonWorkload(boot('v6.18')));
  });

  test.each([1, 2, 3])('is right after every operation of random program %i', (seed) => {
    const machine = boot(kernel);
    const program = new RandomProgram(machine, seed, { advice });
    for (let i = 0; i < 400; i++) {
      const text = program.step();
      expect(machine.findings(), text).toEqual([]);
      expect(judge(machine, 'operation-end'), `${i} ${text}`).toEqual([]);
    }
    expect(machine.taskCount()).toBeGreaterThan(5);
  });
});
