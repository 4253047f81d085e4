/** The kernels before 2.4.1 on a machine that is too small. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { RandomProgram } from '../../support/random-program.ts';
import { call, spawnInit } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;

function boot(kernel: string, memoryPages: number, swapPages: number): Machine {
  const defects = ['merge_ignores_pgoff', 'unlock_rereads'];
  return bootMachine({ kernel: selectKernel(kernel, [], defects), memoryPages, swapPages });
}

describe.each(['v2.4.0', 'v2.3.99-anon'])('%s', (kernel) => {
  test('finds room in swap for more memory than there is, and gives it back as it was', () => {
    const m = boot(kernel, 320, 400);
    const a = spawnInit(m, 'A');
    call(m, a, 'mmap', [AT, 400 * PAGE, 3, 0x32, -1, 0]);
    for (let i = 0; i < 400; i++) expect(call(m, a, 'store', [AT + i * PAGE, i % 256])).toBe(0);
    expect(m.findings()).toEqual([]);
    expect(judge(m, 'operation-end')).toEqual([]);
    for (let i = 0; i < 400; i += 7) expect(call(m, a, 'load', [AT + i * PAGE])).toBe(i % 256);
    expect(judge(m, 'operation-end')).toEqual([]);
  });

  test.each([1, 4])('is right after every operation of random program %i', (seed) => {
    const m = boot(kernel, 320, seed % 4 === 0 ? 0 : 150);
    const options = { arenaPages: 300, pressure: true, advice: [3, 4, 8] };
    const program = new RandomProgram(m, seed, options);
    for (let i = 0; i < 40 && program.alive.length > 0; i++) {
      const text = program.step();
      expect(m.findings(), text).toEqual([]);
      expect(judge(m, 'operation-end'), `${i} ${text}`).toEqual([]);
    }
  });
});
