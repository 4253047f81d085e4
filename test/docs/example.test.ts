/** The example of docs/GENERATIONS.md: a scheme of one's own is built, right, and does what it is made for. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { newest_first } from '../../docs/examples/newest_first.ts';
import { judge } from '../../src/check/judges.ts';
import { costsOf } from '../../src/debugger/inspect/costs.ts';
import { WalkIndex } from '../../src/debugger/inspect/walks.ts';
import { bootMachine, spawnInit, spawnKernelThread } from '../../src/linux/boot.ts';
import type { kernel } from '../../src/linux/kernel.ts';
import { kernelOf, selectKernel } from '../../src/linux/kernels.ts';
import type { Machine } from '../../src/sim/machine.ts';
import { call } from '../linux/driver.ts';
import { commonWorkload } from '../support/common-workload.ts';
import { RandomProgram } from '../support/random-program.ts';

const CHILDREN = 6;
const PAGE = 0x10_0000_0000;

function boot(chosen: kernel): Machine {
  return bootMachine({ kernel: chosen, memoryPages: 1024, swapPages: 128 });
}

/** VMAs visited for the page of child number `nth` of a forking server, from 1. */
function visits(chosen: kernel, nth: number): number {
  const machine = boot(chosen);
  const parent = spawnInit(machine, 'A');
  const thread = spawnKernelThread(machine, 'kswapd');
  call(machine, parent, 'mmap', [PAGE, 4096, 3, 0x32, -1, 0]);
  call(machine, parent, 'store', [PAGE, 1]);
  const children: number[] = [];
  for (let i = 0; i < CHILDREN; i++) {
    call(machine, parent, 'fork');
    const child = machine.taskCount();
    children.push(child);
    call(machine, child, 'store', [PAGE, 2 + i]);
  }
  call(machine, thread, 'referenced', [children[nth - 1], PAGE]);
  expect(judge(machine, 'operation-end')).toEqual([]);
  return costsOf(machine, new WalkIndex(machine)).walks.visits.max;
}

describe('a scheme of your own', () => {
  const own = kernelOf('newest-first', newest_first);

  test('is short', () => {
    const text = readFileSync('docs/examples/newest_first.ts', 'utf8');
    expect(text.split('\n').length).toBeLessThan(150);
  });

  test('gives a program the memory that v6.18 gives it', () => {
    expect(commonWorkload(boot(own))).toEqual(commonWorkload(boot(selectKernel('v6.18'))));
  });

  test.each([1, 2, 3])('is right after every operation of random program %i', (seed) => {
    const machine = boot(own);
    const program = new RandomProgram(machine, seed);
    for (let i = 0; i < 400; i++) {
      const text = program.step();
      expect(machine.findings(), text).toEqual([]);
      expect(judge(machine, 'operation-end'), `${i} ${text}`).toEqual([]);
    }
  });

  test('finds the newest child at once and the eldest last; 2.6.33 the other way round', () => {
    const old = selectKernel('v2.6.33');
    expect([visits(own, CHILDREN), visits(own, 1)]).toEqual([1, CHILDREN]);
    expect([visits(old, CHILDREN), visits(old, 1)]).toEqual([CHILDREN + 1, 2]);
  });
});
