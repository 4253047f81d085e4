/**
 * The kernels before 2.4.1 with several tasks in the kernel at once, statement by statement. Judged at each step as
 * far as that goes, and in full at rest.
 */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { begin, call, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const PAGES = 12;
const kernels = ['v2.4.0'];

type Call = readonly [name: string, ...args: number[]];

/** Runs the tasks that are in an operation, some statements of one at a time, until none is. */
function interleave(machine: Machine, prng: Prng): void {
  for (let turns = 0; turns < 100_000; turns++) {
    const ready: number[] = [];
    let busy = false;
    for (let id = 1; id <= machine.taskCount(); id++) {
      if (machine.block(id).op === 0) continue;
      busy = true;
      if (machine.enabled(id)) ready.push(id);
    }
    if (!busy) return;
    if (ready.length === 0) throw new Error('deadlock');
    machine.run(prng.pick(ready), 1 + prng.below(12), null);
  }
  throw new Error('the tasks do not end');
}

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
    const machine = bootMachine({ kernel: selectKernel(kernel), memoryPages: 512, swapPages: 64 });
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
      begin(machine, kswapd, prng.pick(['reclaim', 'reclaim', 'referenced']), [
        target,
        AT + prng.below(PAGES) * PAGE,
      ]);
      interleave(machine, prng);
      const where = `${round}: ${texts.join(', ')}`;
      expect(machine.findings(), where).toEqual([]);
      expect(judge(machine, 'operation-end'), where).toEqual([]);
    }
  });
});
