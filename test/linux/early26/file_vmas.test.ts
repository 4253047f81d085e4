/** What a file's VMAs are kept in before 2.6.9: two lists, or a tree; and what the order on the lists does to fork(). */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { vmasOfFile } from '../../../src/check/share-lists.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { mmOfTask, vmasOf } from '../../../src/linux/describe.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import {
  liftFile,
  nextFileVma,
  putFile,
  startFileWalk,
} from '../../../src/linux/mm/early26/file_vmas.ts';
import { vma_last_pgoff } from '../../../src/linux/mm/interval_tree.ts';
import type { address_space, vm_area_struct } from '../../../src/linux/mm_types.ts';
import { ENDLESS } from '../../../src/sim/cpu.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { begin, call, spawnInit } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const EFAULT = 14;
const SHARED = 0x11;
const PRIVATE = 0x12;

interface World {
  readonly m: Machine;
  readonly a: number;
  readonly fd: number;
}

function boot(kernel: string): World {
  const m = bootMachine({ kernel: selectKernel(kernel), memoryPages: 1024, swapPages: 16 });
  const a = spawnInit(m, 'A');
  return { m, a, fd: call(m, a, 'open', ['/tmp/f', 0x42], { size: 64 * PAGE }) };
}

function fileVmas(m: Machine, task: number): vm_area_struct[] {
  const mm = mmOfTask(m, task);
  return mm === null ? [] : vmasOf(mm).filter((vma) => vma.vm_file !== null);
}

const mappingOf = (vma: vm_area_struct | undefined): address_space =>
  vma?.vm_file?.f_mapping as address_space;

function walk(mapping: address_space, first: number, last: number): vm_area_struct[] {
  const found: vm_area_struct[] = [];
  const files = startFileWalk(mapping, first, last);
  for (let vma = nextFileVma(files, null); vma !== null; vma = nextFileVma(files, vma)) {
    found.push(vma);
  }
  return found;
}

/** Numbers that look random. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return Math.floor(state / 65536) % below;
  };
}

describe.each(['v2.6.0', 'v2.6.5-aa', 'v2.6.6-anonmm', 'v2.6.7'])('%s', (kernel) => {
  test('finds the VMAs of every range, through mmap, munmap and fork', () => {
    for (let seed = 1; seed <= 8; seed++) {
      const { m, a, fd } = boot(kernel);
      const next = numbers(seed);
      call(m, a, 'mmap', [AT - 64 * PAGE, PAGE, 1, SHARED, fd, 0]);
      for (let i = 0; i < 60; i++) {
        const at = AT + next(40) * PAGE;
        const size = (1 + next(6)) * PAGE;
        // Few different page offsets: most nodes have company.
        const offset = next(4) === 0 ? next(58) * PAGE : next(3) * 8 * PAGE;
        if (next(4) === 0) call(m, a, 'munmap', [at, size]);
        else call(m, a, 'mmap', [at, size, 1, next(2) === 0 ? SHARED : PRIVATE, fd, offset]);
        if (i === 30) call(m, a, 'fork');
        const tasks = i < 30 ? [a] : [a, m.taskCount()];
        const all = tasks.flatMap((task) => fileVmas(m, task));
        const mapping = mappingOf(all[0]);
        m.activate();
        expect(new Set(vmasOfFile(mapping))).toEqual(new Set(all));
        for (const [first, last] of [
          [0, Number.MAX_SAFE_INTEGER],
          [8, 8],
          [next(60), 63],
        ] as const) {
          const hits = all.filter((v) => v.vm_pgoff <= last && vma_last_pgoff(v) >= first);
          const found = walk(mapping, first, last);
          expect(found).toHaveLength(hits.length);
          expect(new Set(found)).toEqual(new Set(hits));
        }
      }
    }
  });
});

test('2.6.7: VMAs with the same offsets are one node, and take its place in turn', () => {
  const { m, a, fd } = boot('v2.6.7');
  for (let i = 0; i < 4; i++)
    call(m, a, 'mmap', [AT + 8 * i * PAGE, PAGE, 1, SHARED, fd, 5 * PAGE]);
  const [v0, v1, v2, v3] = fileVmas(m, a) as [
    vm_area_struct,
    vm_area_struct,
    vm_area_struct,
    vm_area_struct,
  ];
  const mapping = mappingOf(v0);
  m.activate();
  expect(walk(mapping, 5, 5)).toEqual([v0, v1, v2, v3]);
  liftFile(v0);
  expect(walk(mapping, 5, 5)).toEqual([v1, v2, v3]);
  putFile(v0);
  expect(walk(mapping, 5, 5)).toEqual([v1, v2, v3, v0]);
  liftFile(v2);
  expect(walk(mapping, 5, 5)).toEqual([v1, v3, v0]);
});

test.each([
  ['v2.6.0', ['child', 'parent']],
  ['v2.6.5-aa', ['child', 'parent']],
  ['v2.6.6-anonmm', ['parent', 'child']],
  ['v2.6.7', ['parent', 'child']],
])('%s: truncation meets %j', (kernel, order) => {
  const { m, a, fd } = boot(kernel);
  call(m, a, 'mmap', [AT, PAGE, 1, SHARED, fd, 0]);
  call(m, a, 'fork');
  const mm = mmOfTask(m, a);
  const mapping = mappingOf(fileVmas(m, a)[0]);
  m.activate();
  const met = walk(mapping, 0, 0).map((vma) => (vma.vm_mm === mm ? 'parent' : 'child'));
  expect(met).toEqual(order);
});

/**
 * A forks while T shortens the file, T going on at each of its steps from when the child's VMA is on the list. How often the child
 * can read beyond the end of the file afterwards, and the kinds of findings.
 */
function forkAgainstTruncate(kernel: string): { beyond: number; kinds: Set<string> } {
  const kinds = new Set<string>();
  let beyond = 0;
  const linked = stepsUntilLinked(kernel);
  for (let more = 0; more < 4; more++) {
    for (let steps = 1; ; steps++) {
      const { m, a, t, fd } = forkers(kernel);
      begin(m, a, 'fork');
      m.run(a, linked + more, null);
      begin(m, t, 'ftruncate', [fd, PAGE]);
      // A task that waits for the lock of the file gets no further.
      const over = m.run(t, steps, null) !== 'fuel' || steps > 1000;
      for (let turn = 0; turn < 4; turn++) {
        for (const task of [a, t]) if (m.enabled(task)) m.run(task, ENDLESS, null);
      }
      const child = m.taskCount();
      if (call(m, child, 'load', [AT + PAGE]) !== -EFAULT) beyond++;
      for (const { kind } of [...m.findings(), ...judge(m, 'operation-end')]) kinds.add(kind);
      if (over) break;
    }
  }
  return { beyond, kinds };
}

function forkers(kernel: string): World & { t: number } {
  const world = boot(kernel);
  const { m, a, fd } = world;
  call(m, a, 'fork');
  const t = m.taskCount();
  call(m, a, 'mmap', [AT, 2 * PAGE, 3, SHARED, fd, 0]);
  call(m, a, 'store', [AT, 1, 2 * PAGE]);
  return { ...world, t };
}

function stepsUntilLinked(kernel: string): number {
  for (let steps = 1; ; steps++) {
    const { m, a } = forkers(kernel);
    begin(m, a, 'fork');
    m.run(a, steps, null);
    m.activate();
    if (vmasOfFile(mappingOf(fileVmas(m, a)[0])).length === 2 || steps > 2000) return steps;
  }
}

test('R-F-1: a child before its parent on the list keeps a page of the file beyond its end', () => {
  // No judge looks for it: the page has left the file by then.
  expect(forkAgainstTruncate('v2.6.0').beyond).toBeGreaterThan(0);
  for (const kernel of ['v2.6.6-anonmm', 'v2.6.7']) {
    expect(forkAgainstTruncate(kernel)).toEqual({ beyond: 0, kinds: new Set() });
  }
});
