/**
 * What the kernels with anon_vmas on lists are known for: the structures that programs make of them, what walks cost,
 * and the defects of the release candidates of 2.6.34, each by taking its mend away.
 */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { mmOfTask, vmaAt } from '../../../src/linux/describe.ts';
import type { feature } from '../../../src/linux/kernel.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import { anon_vma_cachep, anon_vma_chain_cachep } from '../../../src/linux/mm_types.ts';
import { cpu } from '../../../src/sim/cpu.ts';
import { eventAt } from '../../../src/sim/event.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { call, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const ANON = 0x32;

interface World {
  readonly machine: Machine;
  readonly kthread: number;
  readonly p0: number;
  run(task: number, name: string, ...args: unknown[]): number;
  fork(task: number): number;
  /** What judges and assertions have said so far, by kind. */
  said(): string[];
}

function world(kernel: string, without: readonly feature[] = [], pages = 4): World {
  const machine = bootMachine({
    kernel: selectKernel(kernel, [], without),
    memoryPages: 512,
    swapPages: 64,
  });
  const p0 = spawnInit(machine, 'P0');
  const kthread = spawnKernelThread(machine, 'K');
  const run = (task: number, name: string, ...args: unknown[]): number =>
    call(machine, task, name, args);
  run(p0, 'mmap', AT, pages * PAGE, 3, ANON, -1, 0);
  return {
    machine,
    kthread,
    p0,
    run,
    fork: (task) => {
      run(task, 'fork');
      return machine.taskCount();
    },
    said: () => [
      ...machine.findings().map((each) => each.kind),
      ...judge(machine, 'operation-end').map((each) => each.kind),
    ],
  };
}

/** Swaps out page `at` of every process: the page stays in the swap cache as long as somebody has the entry. */
function swapOut(w: World, task: number, at: number): void {
  for (let i = 0; i < 2; i++) w.run(w.kthread, 'settle');
  for (let i = 0; i < 3; i++) w.run(w.kthread, 'reclaim', task, AT + at * PAGE);
}

describe('the release candidates of 2.6.34', () => {
  /** P0 writes, the page goes to swap, the child maps it first, then the parent (ea90002b0fa7). */
  function firstMapping(w: World): void {
    w.run(w.p0, 'store', AT, 1);
    const p1 = w.fork(w.p0);
    swapOut(w, w.p0, 0);
    w.run(p1, 'load', AT);
    w.run(w.p0, 'load', AT);
  }

  /** A grandchild maps it first: the order of its links decides (646d87b481da). */
  function reversedLinks(w: World): void {
    w.run(w.p0, 'store', AT, 1);
    const p1 = w.fork(w.p0);
    const p2 = w.fork(p1);
    swapOut(w, w.p0, 0);
    w.run(p2, 'load', AT);
    w.run(w.p0, 'load', AT);
  }

  /** The upper half of an unfaulted VMA is written, then both become one again (287d97ac0321). */
  function bareImporter(w: World): void {
    w.run(w.p0, 'mprotect', AT + PAGE, 3 * PAGE, 1);
    w.run(w.p0, 'mprotect', AT + PAGE, 3 * PAGE, 7);
    w.run(w.p0, 'store', AT + PAGE, 1);
    w.run(w.p0, 'mprotect', AT + PAGE, 3 * PAGE, 3);
  }

  /** A child's VMA next to an inherited one shares its anon_vma; then they merge, the bare one surviving (d0e9fe1758f2). */
  function sharedByNeighbours(w: World): void {
    w.run(w.p0, 'mprotect', AT + 2 * PAGE, 2 * PAGE, 7);
    w.run(w.p0, 'store', AT + 2 * PAGE, 1);
    const p1 = w.fork(w.p0);
    w.run(p1, 'store', AT + PAGE, 2);
    w.run(p1, 'mprotect', AT + 2 * PAGE, 2 * PAGE, 3);
  }

  const stories: readonly (readonly [feature, (w: World) => void])[] = [
    ['anchor_oldest', firstMapping],
    ['clone_in_order', reversedLinks],
    ['clone_exporter', bareImporter],
    ['reuse_singular', sharedByNeighbours],
  ];
  const named = stories.map(([mend, play]) => ({ mend, play }));

  test.each(named)('without $mend 2.6.34 loses a page', ({ mend, play }) => {
    const mended = world('v2.6.34');
    play(mended);
    expect(mended.said()).toEqual([]);
    const broken = world('v2.6.34', [mend]);
    play(broken);
    expect(broken.said().length).toBeGreaterThan(0);
  });

  test('rc3 has all of them', () => {
    for (const play of [firstMapping, bareImporter, sharedByNeighbours]) {
      const w = world('v2.6.34-rc3');
      play(w);
      expect(w.said().length).toBeGreaterThan(0);
    }
  });
});

/** anon_vmas and links alive, without those of the program's own image. */
function counts(): { avs: number; avcs: number } {
  return { avs: anon_vma_cachep.live(), avcs: anon_vma_chain_cachep.live() };
}

const chained = ['v2.6.34', 'v2.6.34-mel', 'v2.6.36', 'v3.0', 'v3.6'];

describe.each(chained)('objects of %s', (kernel) => {
  test('a chain of ten forks makes 11 anon_vmas and 66 links', () => {
    const w = world(kernel);
    const before = counts();
    w.run(w.p0, 'store', AT, 1);
    let task = w.p0;
    for (let i = 0; i < 10; i++) task = w.fork(task);
    const after = counts();
    expect(after.avs - before.avs).toBe(11);
    expect(after.avcs - before.avcs).toBe(66);
  });

  test('ten children of one parent make 11 anon_vmas and 21 links', () => {
    const w = world(kernel);
    const before = counts();
    w.run(w.p0, 'store', AT, 1);
    for (let i = 0; i < 10; i++) w.fork(w.p0);
    const after = counts();
    expect(after.avs - before.avs).toBe(11);
    expect(after.avcs - before.avcs).toBe(21);
  });

  test('thirty generations whose parents exit keep 31 anon_vmas', () => {
    const w = world(kernel);
    w.run(w.p0, 'store', AT, 1);
    let task = w.p0;
    for (let i = 0; i < 30; i++) {
      const child = w.fork(task);
      w.run(task, 'exit_group', 0);
      task = child;
    }
    expect(counts()).toEqual({ avs: 31, avcs: 31 });
    w.run(task, 'exit_group', 0);
    w.run(w.kthread, 'settle');
    expect(counts()).toEqual({ avs: 0, avcs: 0 });
  });

  test('pieces of a split VMA merge again in the parent and not in the child', () => {
    const w = world(kernel);
    w.run(w.p0, 'store', AT, 1);
    w.run(w.p0, 'mprotect', AT + PAGE, PAGE, 1);
    const p1 = w.fork(w.p0);
    for (const task of [w.p0, p1]) w.run(task, 'mprotect', AT + PAGE, PAGE, 3);
    const pieces = (task: number): number => {
      const mm = mmOfTask(w.machine, task);
      if (mm === null) return -1;
      return new Set([0, 1, 2, 3].map((i) => vmaAt(mm, AT + i * PAGE))).size;
    };
    expect(pieces(w.p0)).toBe(1);
    expect(pieces(p1)).toBe(3);
    expect(w.said()).toEqual([]);
  });
});

describe('one family object', () => {
  test('2.6.33 has one anon_vma for ten generations, and none left after their exit', () => {
    const w = world('v2.6.33');
    w.run(w.p0, 'store', AT, 1);
    const tasks = [w.p0];
    for (let i = 0; i < 10; i++) tasks.push(w.fork(tasks.at(-1) as number));
    expect(counts()).toEqual({ avs: 1, avcs: 0 });
    for (const task of tasks) w.run(task, 'exit_group', 0);
    w.run(w.kthread, 'settle');
    expect(counts()).toEqual({ avs: 0, avcs: 0 });
  });
});

/** VMAs visited and locks taken by the walk that puts a migrated page back. */
function restore(w: World, task: number): { visits: number; nested: number } {
  const from = cpu.event_count;
  w.run(w.kthread, 'settle');
  w.run(w.kthread, 'migrate', task, AT);
  let visits = 0;
  let nested = 0;
  let inside = false;
  for (let i = from; i < cpu.event_count; i++) {
    const { type, values } = eventAt(i);
    if (type.name === 'rmap:walk_begin') inside = values.includes('remove_migration_ptes');
    if (inside && type.name === 'rmap:walk_visit') visits++;
    if (type.name === 'rmap:lock_root' && values.includes('nested')) nested++;
  }
  return { visits, nested };
}

describe('migration of a page private to one of four children', () => {
  test.each([
    ['v2.6.33', 5, 0],
    ['v2.6.34', 1, 0],
    ['v2.6.34-mel', 5, 4],
    ['v2.6.36', 1, 0],
    ['v3.0', 1, 0],
    ['v3.6', 1, 0],
  ])('%s visits %i VMAs with %i nested locks', (kernel, visits, nested) => {
    const w = world(kernel);
    w.run(w.p0, 'store', AT, 1);
    const children = [1, 2, 3, 4].map(() => w.fork(w.p0));
    const child = children[1] as number;
    w.run(child, 'store', AT, 2);
    expect(restore(w, child)).toEqual({ visits, nested });
    expect(w.run(child, 'load', AT)).toBe(2);
    expect(w.said()).toEqual([]);
  });
});
