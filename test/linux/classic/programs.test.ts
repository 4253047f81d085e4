/** System calls of whole programs on kernels before 6.18: execve, mlock, files; judged after each. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { mmOfTask, vmaAt, vmasOf } from '../../../src/linux/describe.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import { PG_mlocked } from '../../../src/linux/mm/page-flags.ts';
import { lookupPte, pte_pfn, ptep_get } from '../../../src/linux/mm/pgtable.ts';
import { mem_map, type mm_struct, type page } from '../../../src/linux/mm_types.ts';
import { ENDLESS } from '../../../src/sim/cpu.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { call, operation, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const ANON = 0x32;
const GROWSDOWN = 0x100;
const kernels = [
  'v2.6.33',
  'v2.6.34',
  'v2.6.34-mel',
  'v2.6.36',
  'v3.0',
  'v3.6',
  'v3.7',
  'v3.18',
  'v5.19',
  'v6.1',
];

function lacks(kernel: string, name: string): boolean {
  return selectKernel(kernel).mm.missing[name] !== undefined;
}

/** The page that a task maps at an address. */
function pageOf(machine: Machine, task: number, address: number): page {
  machine.activate();
  const mm = mmOfTask(machine, task);
  const entry = mm === null ? 0 : ptep_get(lookupPte(mm, address));
  return mem_map.at(pte_pfn(entry));
}

interface World {
  readonly machine: Machine;
  readonly a: number;
  readonly kthread: number;
  run(task: number, name: string, ...args: unknown[]): number;
}

function world(kernel: string): World {
  const machine = bootMachine({
    kernel: selectKernel(kernel),
    memoryPages: 512,
    swapPages: 64,
  });
  const a = spawnInit(machine, 'A');
  const kthread = spawnKernelThread(machine, 'K');
  const run = (task: number, name: string, ...args: unknown[]): number => {
    const result = call(machine, task, name, args);
    expect(machine.findings(), name).toEqual([]);
    expect(judge(machine, 'operation-end'), name).toEqual([]);
    return result;
  };
  return { machine, a, kthread, run };
}

describe.each(kernels)('%s', (kernel) => {
  test('execve() gives a child a new image, heap and stack, and the parent keeps its own', () => {
    const w = world(kernel);
    w.run(w.a, 'mmap', AT, 4 * PAGE, 3, ANON, -1, 0);
    w.run(w.a, 'store', AT, 7);
    w.run(w.a, 'fork');
    const b = w.machine.taskCount();
    w.run(b, 'store', AT, 8);
    expect(w.run(b, 'execve', '/bin/prog')).toBe(0);
    const mm = mmOfTask(w.machine, b);
    expect(mm).not.toBeNull();
    if (mm === null) return;
    expect(vmaAt(mm, AT)).toBeNull();
    const stack = [...vmasOf(mm)].find((vma) => (vma.vm_flags & GROWSDOWN) !== 0);
    expect(stack?.anon_vma ?? null).not.toBeNull();
    // The page of the arguments came along with the stack.
    const top = stack?.vm_end ?? 0;
    w.run(w.kthread, 'settle');
    expect(w.run(w.kthread, 'migrate', b, top - PAGE)).toBe(0);
    w.run(b, 'store', top - 40 * PAGE, 1);
    expect(w.run(w.a, 'load', AT)).toBe(7);
    w.run(b, 'exit_group', 0);
  });

  test('a file is mapped, written, synced, cut and grown', () => {
    const w = world(kernel);
    const fd = w.run(w.a, 'open', '/tmp/file', 0x42);
    expect(w.run(w.a, 'ftruncate', fd, 4 * PAGE)).toBe(0);
    w.run(w.a, 'mmap', AT, 4 * PAGE, 3, 0x11, fd, 0);
    w.run(w.a, 'mmap', AT + 8 * PAGE, 4 * PAGE, 3, 0x12, fd, 0);
    w.run(w.a, 'store', AT + 2 * PAGE, 5);
    w.run(w.a, 'store', AT + 10 * PAGE, 6);
    expect(w.run(w.a, 'msync', AT, 4 * PAGE, 4)).toBe(0);
    expect(w.run(w.a, 'ftruncate', fd, 2 * PAGE)).toBe(0);
    // Beyond the end of the file: the private copy has gone, too.
    expect(call(w.machine, w.a, 'load', [AT + 2 * PAGE])).toBe(-14);
    expect(call(w.machine, w.a, 'load', [AT + 10 * PAGE])).toBe(-14);
    expect(w.run(w.a, 'fallocate', fd, 0, 0, 4 * PAGE)).toBe(0);
    expect(w.run(w.a, 'load', AT + 2 * PAGE)).toBe(0);
  });

  test('a device keeps a page, and before 5.19 loses sight of it when its program forks and writes', () => {
    const w = world(kernel);
    w.run(w.a, 'mmap', AT, 2 * PAGE, 3, ANON, -1, 0);
    w.run(w.a, 'store', AT, 1);
    expect(w.run(w.kthread, 'pin', w.a, AT, 1)).toBe(1);
    w.run(w.kthread, 'settle');
    // Neither moved nor swapped out.
    expect(w.run(w.kthread, 'migrate', w.a, AT)).toBeLessThan(0);
    for (let i = 0; i < 3; i++) call(w.machine, w.kthread, 'reclaim', [w.a, AT]);
    w.run(w.kthread, 'device_store', w.a, AT, 5);
    expect(w.run(w.a, 'load', AT)).toBe(5);
    w.run(w.a, 'fork');
    const b = w.machine.taskCount();
    w.run(w.a, 'store', AT + 8, 6);
    w.run(w.kthread, 'device_store', w.a, AT, 7);
    const kept = selectKernel(kernel).mm.reuse === 'anon_exclusive';
    expect(w.run(w.a, 'load', AT)).toBe(kept ? 7 : 5);
    expect(w.run(b, 'load', AT)).toBe(kept ? 5 : 7);
    expect(w.run(w.kthread, 'unpin', w.a, AT)).toBe(0);
  });

  test('swapoff brings every page back to everybody who has it', () => {
    const w = world(kernel);
    w.run(w.a, 'mmap', AT, 4 * PAGE, 3, ANON, -1, 0);
    for (let i = 0; i < 4; i++) w.run(w.a, 'store', AT + i * PAGE, 10 + i);
    w.run(w.a, 'fork');
    const b = w.machine.taskCount();
    w.run(b, 'store', AT, 20);
    w.run(w.kthread, 'settle');
    for (const task of [w.a, b]) {
      for (let i = 0; i < 8; i++) {
        call(w.machine, w.kthread, 'reclaim', [task, AT + (i % 4) * PAGE]);
      }
    }
    w.run(b, 'fork');
    const c = w.machine.taskCount();
    w.run(w.a, 'store', AT + PAGE, 30);
    expect(w.run(w.kthread, 'swapoff')).toBe(0);
    const seen = (task: number): number[] =>
      [0, 1, 2, 3].map((i) => w.run(task, 'load', AT + i * PAGE));
    expect(seen(w.a)).toEqual([10, 30, 12, 13]);
    expect(seen(b)).toEqual([20, 11, 12, 13]);
    expect(seen(c)).toEqual([20, 11, 12, 13]);
  });

  test('more than there is: clean pages go, then others to swap, then the largest process', () => {
    const machine = bootMachine({
      kernel: selectKernel(kernel),
      memoryPages: 1024,
      swapPages: 128,
      recording: false,
    });
    const a = spawnInit(machine, 'A');
    const hungry = machine.taskCount() + 1;
    call(machine, a, 'mmap', [AT, 40 * PAGE, 3, ANON, -1, 0]);
    call(machine, a, 'store', [AT, 42, 40 * PAGE]);
    call(machine, a, 'fork');
    call(machine, hungry, 'mmap', [AT + 64 * PAGE, 2000 * PAGE, 3, ANON | 0x4000, -1, 0]);
    // The page tables and what is kept free leave less than 1024 pages: 128 go to swap.
    call(machine, hungry, 'store', [AT + 64 * PAGE, 1, 900 * PAGE]);
    expect(judge(machine, 'operation-end')).toEqual([]);
    machine.begin(hungry, operation('store', [AT + 64 * PAGE, 2, 2000 * PAGE]));
    machine.run(hungry, ENDLESS, null);
    expect(machine.block(hungry).dead).toBe(1);
    expect(judge(machine, 'operation-end')).toEqual([]);
    expect(call(machine, a, 'load', [AT + 39 * PAGE])).toBe(42);
  });
});

describe.each(kernels.filter((kernel) => !lacks(kernel, 'mlock')))('mlock on %s', (kernel) => {
  test.skipIf(lacks(kernel, 'mlock'))(
    'locked pages stay, until the last VMA that locks them goes',
    () => {
      const w = world(kernel);
      w.run(w.a, 'mmap', AT, 8 * PAGE, 3, ANON, -1, 0);
      w.run(w.a, 'store', AT, 1);
      expect(w.run(w.a, 'mlock', AT, 4 * PAGE)).toBe(0);
      w.run(w.kthread, 'settle');
      const pageAt = (i: number): page => pageOf(w.machine, w.a, AT + i * PAGE);
      // mlock() makes all of them present.
      for (let i = 0; i < 4; i++) expect(pageAt(i).flags & PG_mlocked).not.toBe(0);
      for (let i = 0; i < 2; i++) expect(w.run(w.kthread, 'reclaim', w.a, AT)).not.toBe(1);
      w.run(w.a, 'fork');
      const b = w.machine.taskCount();
      // The child has nothing locked; its copy is its own.
      w.run(b, 'store', AT, 2);
      w.run(w.a, 'store', AT + PAGE, 3);
      w.run(w.a, 'mmap', AT + 16 * PAGE, 2 * PAGE, 3, ANON | 0x2000, -1, 0);
      w.run(w.a, 'mremap', AT + 16 * PAGE, 2 * PAGE, 4 * PAGE, 1, 0);
      w.run(w.a, 'munlock', AT + 2 * PAGE, PAGE);
      w.run(w.kthread, 'settle');
      expect(pageAt(2).flags & PG_mlocked).toBe(0);
      expect(pageAt(3).flags & PG_mlocked).not.toBe(0);
      // A page that moves to another frame stays locked.
      const before = pageAt(3);
      expect(w.run(w.kthread, 'migrate', w.a, AT + 3 * PAGE)).toBe(0);
      w.run(w.kthread, 'settle');
      expect(pageAt(3)).not.toBe(before);
      expect(pageAt(3).flags & PG_mlocked).not.toBe(0);
      // A locked stack that grows is locked where it grew.
      const stack = AT + 8192 * PAGE;
      w.run(w.a, 'mmap', stack, PAGE, 3, ANON | GROWSDOWN, -1, 0);
      expect(w.run(w.a, 'mlock', stack, PAGE)).toBe(0);
      const mm = mmOfTask(w.machine, w.a) as mm_struct;
      const locked = mm.locked_vm;
      w.run(w.a, 'store', stack - PAGE, 1);
      expect(mm.locked_vm).toBe(locked + 1);
      expect(w.run(w.a, 'mlockall', 1)).toBe(0);
      w.run(w.a, 'munmap', AT, 2 * PAGE);
      expect(w.run(w.a, 'munlockall')).toBe(0);
      w.run(w.kthread, 'settle');
      expect(pageAt(3).flags & PG_mlocked).toBe(0);
      expect(w.run(w.a, 'mlockall', 3)).toBe(0);
      w.run(w.a, 'exit_group', 0);
      w.run(b, 'exit_group', 0);
    },
  );

  test('is right in a random program that locks, forks, copies, unmaps and reclaims', () => {
    const w = world(kernel);
    const prng = new Prng(7);
    const tasks = [w.a];
    const place = (): number => AT + prng.below(12) * PAGE;
    const length = (): number => (1 + prng.below(4)) * PAGE;
    for (let i = 0; i < 250; i++) {
      const task = prng.pick(tasks);
      const dice = prng.below(20);
      if (dice < 4) w.run(task, 'store', place(), i % 100);
      else if (dice < 7) w.run(task, 'mmap', place(), length(), 3, ANON, -1, 0);
      else if (dice < 9) w.run(task, 'mlock', place(), length());
      else if (dice < 11) w.run(task, 'munlock', place(), length());
      else if (dice < 12) w.run(task, prng.pick(['mlockall', 'munlockall']), 1);
      else if (dice < 13) w.run(task, 'munmap', place(), length());
      else if (dice < 14) w.run(task, 'mprotect', place(), length(), prng.pick([1, 3]));
      else if (dice < 15) w.run(task, 'mremap', place(), PAGE, 2 * PAGE, 1, 0);
      else if (dice < 17) w.run(w.kthread, 'reclaim', task, place());
      else if (dice < 18) w.run(w.kthread, 'migrate', task, place());
      else if (dice < 19 && tasks.length < 4) {
        w.run(task, 'fork');
        tasks.push(w.machine.taskCount());
      } else if (task !== w.a && prng.below(3) === 0) {
        w.run(task, 'exit_group', 0);
        tasks.splice(tasks.indexOf(task), 1);
      } else w.run(w.kthread, 'settle');
    }
  });
});
