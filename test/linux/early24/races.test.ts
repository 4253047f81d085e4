/**
 * The kernels before 2.4.1 with several tasks in the kernel at once, statement by statement. Judged at each step as
 * far as that goes, and in full at rest.
 */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import { begin, call, spawnInit, spawnKernelThread } from '../driver.ts';
import { interleaveByChance } from './interleave.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const PAGES = 12;
const kernels = ['v2.4.0', 'v2.3.99-anon'];
/** Without the defects of the anon layer that need no race. */
const defects = ['merge_ignores_pgoff', 'unlock_rereads'];

type Call = readonly [name: string, ...args: number[]];

function processCall(prng: Prng): Call {
  const at = AT + prng.below(PAGES) * PAGE;
  const length = (1 + prng.below(4)) * PAGE;
  switch (prng.below(9)) {
    case 0:
      return ['mmap', at, length, 3, 0x32, -1, 0];
    case 1:
      return ['munmap', at, length];
    case 2:
      return ['mprotect', at, length, prng.pick([0, 1, 3, 3])];
    case 3:
      return ['mremap', at, PAGE, PAGE, 3, AT + prng.below(PAGES) * PAGE];
    case 4:
      return ['madvise', at, length, 4];
    case 5:
      return ['load', at];
    default:
      return ['store', at, prng.below(256)];
  }
}

describe.each(kernels)('%s', (kernel) => {
  test.each([1, 2, 3, 4])('is right whatever runs at the same time, seed %i', (seed) => {
    const machine = bootMachine({
      kernel: selectKernel(kernel, [], defects),
      memoryPages: 512,
      swapPages: 64,
    });
    const prng = new Prng(seed);
    const a = spawnInit(machine, 'A');
    const kswapd = spawnKernelThread(machine, 'kswapd');
    call(machine, a, 'mmap', [AT, PAGES * PAGE, 3, 0x32, -1, 0]);
    call(machine, a, 'store', [AT, 1, PAGES * PAGE]);
    call(machine, a, 'fork');
    const b = machine.taskCount();
    call(machine, a, 'thread');
    const thread = machine.taskCount();
    for (let round = 0; round < 120; round++) {
      const texts: string[] = [];
      for (const task of [a, b, thread]) {
        const [name, ...args] = processCall(prng);
        texts.push(name);
        begin(machine, task, name, args);
      }
      const target = prng.pick([a, b]);
      // The anon layer's reclaim takes locks the other way round than munmap(): golden.test.ts.
      if (kernel === 'v2.4.0')
        begin(machine, kswapd, prng.pick(['reclaim', 'reclaim', 'referenced']), [
          target,
          AT + prng.below(PAGES) * PAGE,
        ]);
      const where = `${round}: ${texts.join(', ')}`;
      expect(interleaveByChance(machine, prng, 12), where).toBe('done');
      expect(machine.findings(), where).toEqual([]);
      expect(judge(machine, 'operation-end'), where).toEqual([]);
    }
  });
});
