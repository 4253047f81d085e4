/** System calls of 2.4.0 beside those that random programs make. Judged after each. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { mmOfTask, vmasOf } from '../../../src/linux/describe.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { type Args, call, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const RW = 3;
const FIXED_ANON = 0x32;
const FIXED_SHARED = 0x11;
const FIXED_PRIVATE = 0x12;
const RDWR_CREAT = 0x42;
const EFAULT = 14;
const MS_SYNC = 4;

interface World {
  readonly m: Machine;
  readonly a: number;
  readonly kernel: number;
  /** Runs a call and judges what it leaves. */
  readonly run: (
    task: number,
    name: string,
    args?: Args,
    options?: Record<string, unknown>,
  ) => number;
}

function boot(kernel: string): World {
  const defects = ['merge_ignores_pgoff', 'unlock_rereads'];
  const m = bootMachine({
    kernel: selectKernel(kernel, [], defects),
    memoryPages: 1024,
    swapPages: 128,
  });
  return {
    m,
    a: spawnInit(m, 'A'),
    kernel: spawnKernelThread(m, 'kswapd'),
    run: (task, name, args = [], options = undefined) => {
      const result = call(m, task, name, args, options);
      expect(m.findings(), name).toEqual([]);
      expect(judge(m, 'operation-end'), name).toEqual([]);
      return result;
    },
  };
}

const vmas = (m: Machine, task: number): number => {
  const mm = mmOfTask(m, task);
  return mm === null ? 0 : vmasOf(mm).length;
};

describe.each(['v2.4.0', 'v2.3.99-anon'])('%s', (kernel) => {
  test('keeps the pages of a locked VMA, and lets go of them after munlock()', () => {
    const { m, a, kernel: kswapd, run } = boot(kernel);
    run(a, 'mmap', [AT, 8 * PAGE, RW, FIXED_ANON, -1, 0]);
    expect(run(a, 'mlock', [AT + 2 * PAGE, 2 * PAGE])).toBe(0);
    expect(vmas(m, a)).toBe(3);
    expect(mmOfTask(m, a)?.locked_vm).toBe(2);
    for (let i = 0; i < 4; i++) {
      expect(run(kswapd, 'reclaim', [a, AT + 2 * PAGE])).toBe(0);
    }
    run(a, 'fork');
    expect(mmOfTask(m, m.taskCount())?.locked_vm).toBe(0);
    run(m.taskCount(), 'exit_group', [0]);
    expect(run(a, 'munlock', [AT, 8 * PAGE])).toBe(0);
    expect(mmOfTask(m, a)?.locked_vm).toBe(0);
    const results = [1, 2, 3].map(() => run(kswapd, 'reclaim', [a, AT + 2 * PAGE]));
    expect(results).toContain(1);
    expect(run(a, 'mlockall', [3])).toBe(0);
    run(a, 'mmap', [AT + 32 * PAGE, PAGE, RW, FIXED_ANON, -1, 0]);
    expect(mmOfTask(m, a)?.locked_vm).toBe(9);
    expect(run(a, 'munlockall')).toBe(0);
    expect(run(a, 'mlock', [AT + 100 * PAGE, PAGE])).toBe(-12);
  });

  test('takes the pages of a shortened file out of every page table', () => {
    const { m, a, run } = boot(kernel);
    const fd = run(a, 'open', ['/tmp/file', RDWR_CREAT], { size: 8 * PAGE });
    run(a, 'mmap', [AT, 8 * PAGE, RW, FIXED_SHARED, fd, 0]);
    run(a, 'mmap', [AT + 16 * PAGE, 4 * PAGE, RW, FIXED_PRIVATE, fd, 4 * PAGE]);
    run(a, 'store', [AT, 5, 8 * PAGE]);
    run(a, 'store', [AT + 17 * PAGE, 6]);
    run(a, 'fork');
    const b = m.taskCount();
    run(b, 'load', [AT + 6 * PAGE]);
    expect(run(a, 'ftruncate', [fd, 5 * PAGE])).toBe(0);
    expect(run(a, 'load', [AT + 4 * PAGE])).toBe(5);
    // Private copies beyond the end go as well.
    for (const task of [a, b]) {
      for (const at of [AT + 6 * PAGE, AT + 17 * PAGE]) {
        expect(run(task, 'load', [at])).toBe(-EFAULT);
      }
    }
    expect(run(b, 'load', [AT + 16 * PAGE])).toBe(5);
  });

  test('writes with msync() what the caller has made dirty', () => {
    const { a, run } = boot(kernel);
    const fd = run(a, 'open', ['/tmp/file', RDWR_CREAT], { size: 8 * PAGE });
    run(a, 'mmap', [AT, 4 * PAGE, RW, FIXED_SHARED, fd, 0]);
    run(a, 'store', [AT + PAGE, 9]);
    expect(run(a, 'msync', [AT, 4 * PAGE, MS_SYNC])).toBe(0);
    expect(run(a, 'msync', [AT, 8 * PAGE, MS_SYNC])).toBe(-EFAULT);
    run(a, 'munmap', [AT, 4 * PAGE]);
    run(a, 'mmap', [AT, 4 * PAGE, RW, FIXED_SHARED, fd, 0]);
    expect(run(a, 'load', [AT + PAGE])).toBe(9);
  });

  test('brings everything back from swap, to every address space that names it', () => {
    const { m, a, kernel: kswapd, run } = boot(kernel);
    const { missing } = (m.config.kernel as ReturnType<typeof selectKernel>).mm;
    expect(missing.swapoff === undefined).toBe(kernel === 'v2.4.0');
    if (missing.swapoff !== undefined) return;
    run(a, 'mmap', [AT, 8 * PAGE, RW, FIXED_ANON, -1, 0]);
    for (let i = 0; i < 8; i++) run(a, 'store', [AT + i * PAGE, i]);
    run(a, 'fork');
    const b = m.taskCount();
    for (let i = 0; i < 3; i++) run(kswapd, 'reclaim', [a, AT + 3 * PAGE]);
    expect(mmOfTask(m, b)?.rss_swap).toBeGreaterThan(0);
    expect(run(kswapd, 'swapoff')).toBe(0);
    for (const task of [a, b]) {
      expect(mmOfTask(m, task)?.rss_swap).toBe(0);
      for (let i = 0; i < 8; i++) expect(run(task, 'load', [AT + i * PAGE])).toBe(i);
    }
    expect(run(kswapd, 'swapoff')).toBe(-22);
  });

  test('runs a program in a new address space, with threads and vfork', () => {
    const { m, a, run } = boot(kernel);
    run(a, 'mmap', [AT, 4 * PAGE, RW, FIXED_ANON, -1, 0]);
    run(a, 'store', [AT, 1, 4 * PAGE]);
    run(a, 'fork');
    const b = m.taskCount();
    run(b, 'thread');
    expect(run(b, 'execve', ['/bin/b'])).toBe(0);
    expect(vmas(m, b)).toBe(4);
    const mm = mmOfTask(m, b);
    const stack = mm === null ? undefined : vmasOf(mm).at(-1);
    expect(run(b, 'store', [(stack?.vm_start ?? 0) - 8 * PAGE, 3])).toBe(0);
    expect(run(a, 'load', [AT])).toBe(1);
    run(b, 'fork');
    run(m.taskCount(), 'exit_group', [0]);
    run(b, 'exit_group', [0]);
    run(a, 'execve', ['/bin/a'], { image: false });
    run(a, 'exit_group', [0]);
  });

  test('gives everything back when memory runs out in a call', () => {
    for (let nth = 1; nth < 40; nth++) {
      const { m, a, kernel: kswapd, run } = boot(kernel);
      run(a, 'mmap', [AT, 4 * PAGE, RW, FIXED_ANON, -1, 0]);
      run(a, 'store', [AT, 1, 2 * PAGE]);
      for (const [name, ...args] of [
        ['mprotect', AT + PAGE, PAGE, 1],
        ['fork'],
        ['store', AT, 2],
        ['mremap', AT, PAGE, PAGE, 3, AT + 64 * PAGE],
        ['execve', '/bin/a'],
      ] as [string, ...unknown[]][]) {
        run(a, 'fail_next_alloc', [nth]);
        call(m, a, name, args);
        call(m, kswapd, 'settle');
        expect(m.findings(), `${nth} ${name}`).toEqual([]);
        expect(judge(m, 'operation-end'), `${nth} ${name}`).toEqual([]);
        if (m.block(a).dead !== 0) break;
      }
    }
  });
});

describe('the list and the AVL tree of VMAs', () => {
  test.each(['v2.4.0', 'v2.3.99-anon'])('of %s agree whatever is mapped and unmapped', (kernel) => {
    const { m, a, run } = boot(kernel);
    const prng = new Prng(7);
    let most = 0;
    for (let i = 0; i < 300; i++) {
      const at = AT + prng.below(160) * PAGE;
      const length = (1 + prng.below(3)) * PAGE;
      const dice = prng.below(10);
      // More is mapped than unmapped, until there are many.
      if (dice < 5) run(a, 'mmap', [at, length, prng.pick([1, 3]), FIXED_ANON, -1, 0]);
      else if (dice < 7) run(a, 'munmap', [at, length * (i > 200 ? 8 : 1)]);
      else if (dice < 9) run(a, 'mprotect', [at, length, prng.pick([1, 3])]);
      else run(a, 'mremap', [at, PAGE, PAGE, 3, AT + (200 + prng.below(40)) * PAGE]);
      most = Math.max(most, vmas(m, a));
    }
    // Beyond 32 there is a tree.
    expect(most).toBeGreaterThan(40);
    run(a, 'fork');
    run(m.taskCount(), 'munmap', [AT + 40 * PAGE, 80 * PAGE]);
    run(a, 'munmap', [AT, 240 * PAGE]);
    expect(vmas(m, a)).toBe(0);
  });
});
