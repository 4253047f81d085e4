/** A fixed workload of calls that mean the same on every kernel. */
import { expect } from 'vitest';
import { judge } from '../../src/check/judges.ts';
import type { kernel } from '../../src/linux/kernel.ts';
import type { Machine } from '../../src/sim/machine.ts';
import { call, spawnInit, spawnKernelThread } from '../linux/driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const RW = 3;
const FIXED_ANON = 0x32;

/** Runs it, judged after each operation; what its processes then read. Operations that the kernel lacks are left out. */
export function commonWorkload(machine: Machine): number[] {
  const a = spawnInit(machine, 'A');
  const kernel = spawnKernelThread(machine, 'kcompactd');
  const { missing } = (machine.config.kernel as kernel).mm;
  const run = (task: number, name: string, ...args: unknown[]): number => {
    if (missing[name] !== undefined) return 0;
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
  run(kernel, 'migrate', a, AT + 3 * PAGE);
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
