/**
 * A pin by one thread while another forks, at every step of either. What mm/gup.c and copy_present_page()
 * promise: the page that the device has is the parent's as long as it is pinned, and never the child's.
 */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { mmOfTask } from '../../../src/linux/describe.ts';
import { lookupPte, pte_page, pte_present, ptep_get } from '../../../src/linux/mm/pgtable.ts';
import { pinnedPageAt } from '../../../src/linux/mm/user_pin.ts';
import type { page } from '../../../src/linux/mm_types.ts';
import { ENDLESS } from '../../../src/sim/cpu.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import {
  begin,
  bootTest,
  call,
  findings,
  settle,
  spawnInit,
  spawnKernelThread,
} from '../driver.ts';

const PAGE = 4096;
const P = 0x10_0000_0000;
const WRITE = 1;
const LONGTERM = 0x100;

function pageAt(m: Machine, task: number): page | null {
  const mm = mmOfTask(m, task);
  const ptr = mm === null ? 0 : lookupPte(mm, P);
  const pte = ptr === 0 ? 0 : ptep_get(ptr);
  return pte_present(pte) ? pte_page(pte) : null;
}

function runAll(m: Machine, tasks: readonly number[]): void {
  while (tasks.some((task) => m.block(task).op !== 0)) {
    const next = tasks.find((task) => m.block(task).op !== 0 && m.enabled(task));
    if (next === undefined) throw new Error('deadlock');
    m.run(next, ENDLESS, null);
  }
}

/**
 * The pin or the fork runs `steps`, then the other as far as it can, then both to their ends. Whether the first
 * was over before the other began.
 */
function race(pinFirst: boolean, steps: number, flags: number): boolean {
  const m = bootTest({ memoryPages: 512, swapPages: 16 });
  const p = spawnInit(m, 'P', { mmapBase: P + 64 * PAGE });
  call(m, p, 'mmap', [P, 2 * PAGE, 3, 0x32, -1, 0]);
  call(m, p, 'store', [P, 1]);
  settle(m);
  const thread = call(m, p, 'thread');
  const device = spawnKernelThread(m, 'kernel');
  begin(m, p, 'fork');
  begin(m, thread, 'pin', [p, P, flags]);
  const [first, second] = pinFirst ? [thread, p] : [p, thread];
  const isOver = m.run(first, steps, null) === 'done';
  runAll(m, [second, first]);
  const child = m.block(p).result;
  expect(child).toBeGreaterThan(0);
  expect(m.block(thread).result).toBe(1);
  m.activate();
  const pinned = pinnedPageAt(p, P);
  expect(pageAt(m, p)).toBe(pinned);
  expect(pageAt(m, child)).not.toBe(pinned);
  // The same seen with the eyes of the three.
  call(m, p, 'store', [P, 5]);
  expect(call(m, device, 'device_load', [p, P])).toBe(5);
  expect(call(m, child, 'load', [P])).toBe(1);
  call(m, child, 'store', [P, 6]);
  expect(call(m, device, 'device_load', [p, P])).toBe(5);
  expect(call(m, p, 'load', [P])).toBe(5);
  settle(m);
  expect(findings(m)).toEqual([]);
  expect(judge(m, 'operation-end')).toEqual([]);
  return isOver;
}

describe.each([
  ['for writing', WRITE],
  ['for reading', 0],
  ['for reading for long', LONGTERM],
])('a pin %s', (_name, flags) => {
  test.each([
    ['fork', false],
    ['pin', true],
  ])('beside a fork: the page stays with the parent wherever the %s is interrupted', (_first, pinFirst) => {
    for (let steps = 1; ; steps++) {
      if (race(pinFirst, steps, flags)) {
        expect(steps).toBeGreaterThan(3);
        break;
      }
    }
  });
});
