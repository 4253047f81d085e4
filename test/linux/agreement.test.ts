/**
 * One program, every kernel: random programs without races give the same memory contents and the same
 * sharing, entry by entry, whatever the design of the reverse mapping.
 */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { judge } from '../../src/check/judges.ts';
import { takePicture } from '../../src/check/picture.ts';
import { bootMachine, spawnInit, spawnKernelThread } from '../../src/linux/boot.ts';
import { mmOfTask, taskIsAlive } from '../../src/linux/describe.ts';
import { kernelNames, selectKernel } from '../../src/linux/kernels.ts';
import type { Machine } from '../../src/sim/machine.ts';
import { call } from './driver.ts';

const PROGRAMS = 200;
const OPERATIONS = 24;
const PAGE = 4096;
const ARENA = 0x10_0000_0000;
const PAGES = 10;
const RW = 3;
const FIXED_PRIVATE_ANON = 0x32;
const MREMAP_FIXED_MAYMOVE = 3;
const MADV_DONTNEED = 4;

/**
 * Kernels whose documented defects need no race are run without those (a defect that can be taken away)
 * or left out: their own tests show the defects.
 */
const withouts: Readonly<Record<string, readonly string[]>> = {
  'v2.3.99-anon': ['merge_ignores_pgoff', 'unlock_rereads'],
};
/** The defect cannot be taken away, but has a later mend. */
const patches: Readonly<Record<string, readonly string[]>> = { 'v2.6.7': ['links_importer'] };
/**
 * mprotect() of v2.6.5-aa lets a VMA without anon_vma take over pages that have one, and mends nothing
 * later: what a program sees is right, the reverse map is not.
 */
const importerHole: ReadonlySet<string> = new Set([
  'anon-page-without-anon-vma',
  'rmap-unreachable',
]);
const defects: Readonly<Record<string, ReadonlySet<string>>> = { 'v2.6.5-aa': importerHole };
const leftOut: ReadonlySet<string> = new Set(['v2.6.34-rc3']);

/** Moving shared pages copies them, by design (mm/mremap.c 2.6.6 with anonmm). */
const copiesOnMremap: ReadonlySet<string> = new Set(['v2.6.6-anonmm']);

interface Step {
  /** Which process, by the order of their births; modulo those alive. */
  readonly who: number;
  readonly name: string;
  readonly args: readonly number[];
}

/** Calls that every kernel since 2.4.0 has, with the same meaning. */
function program(seed: number, moves: boolean): Step[] {
  const prng = new Prng(seed);
  const steps: Step[] = [];
  for (let i = 0; i < OPERATIONS; i++) {
    const who = prng.below(8);
    const at = ARENA + prng.below(PAGES) * PAGE;
    const length = (1 + prng.below(3)) * PAGE;
    const dice = prng.below(100);
    const add = (name: string, ...args: number[]) => steps.push({ who, name, args });
    if (i === 0) add('mmap', ARENA, PAGES * PAGE, RW, FIXED_PRIVATE_ANON, -1, 0);
    else if (dice < 38) add('store', at, 1 + prng.below(200));
    else if (dice < 48) add('load', at);
    else if (dice < 60) add('fork');
    else if (dice < 68) add('mmap', at, length, RW, FIXED_PRIVATE_ANON, -1, 0);
    else if (dice < 74) add('munmap', at, length);
    else if (dice < 84) add('mprotect', at, length, prng.pick([1, RW]));
    else if (dice < 88) add('madvise', at, length, MADV_DONTNEED);
    else if (dice < 92) add('exit_group', 0);
    else if (moves)
      add('mremap', at, PAGE, PAGE, MREMAP_FIXED_MAYMOVE, ARENA + prng.below(PAGES) * PAGE);
    else add('reclaim', at);
  }
  return steps;
}

interface Outcome {
  /** Of each operation: whether it failed. */
  readonly failed: readonly boolean[];
  /** By process and page of the arena: a letter a frame, in order of appearance; `.` where nothing is mapped. */
  readonly sharing: readonly string[];
  /** What each process reads from each page; -1 where it may not. */
  readonly contents: readonly number[][];
}

/**
 * Calls whose failure leaves different traces by design: an old mremap() unmaps the target before it looks
 * at the source, mprotect() over a hole has changed what is before it.
 */
const MUST_SUCCEED: ReadonlySet<string> = new Set(['mremap', 'mprotect', 'madvise']);

/** The program without the calls that fail on v6.18 and are not to be compared. */
function comparable(seed: number, moves: boolean): Step[] {
  const steps = program(seed, moves);
  const bad = new Set<Step>();
  run('v6.18', seed, steps, (step, result) => {
    if (result < 0 && MUST_SUCCEED.has(step.name)) bad.add(step);
  });
  return steps.filter((step) => !bad.has(step));
}

function run(
  kernel: string,
  seed: number,
  steps: readonly Step[],
  done: (step: Step, result: number) => void = () => {},
): Outcome {
  const machine = bootMachine({
    kernel: selectKernel(kernel, patches[kernel] ?? [], withouts[kernel] ?? []),
    memoryPages: 512,
    swapPages: 64,
    recording: false,
  });
  const processes = [spawnInit(machine, 'A')];
  const thread = spawnKernelThread(machine, 'kswapd');
  const failed: boolean[] = [];
  for (const step of steps) {
    const { who, name, args } = step;
    const alive = processes.filter((task) => taskIsAlive(machine, task));
    const task = alive[who % alive.length];
    if (task === undefined || (name === 'exit_group' && alive.length === 1)) continue;
    if (name === 'fork' && alive.length > 5) continue;
    const aimed = name === 'reclaim';
    const result = aimed
      ? call(machine, thread, name, [task, ...args])
      : call(machine, task, name, args);
    done(step, result);
    // Reclaim is the kernel's own business: whether it succeeds is no property of the program.
    if (!aimed) failed.push(result < 0);
    if (name === 'fork') processes.push(machine.taskCount());
  }
  const alive = processes.filter((task) => taskIsAlive(machine, task));
  const sharing = sharingOf(machine, alive);
  const contents = alive.map((task) =>
    Array.from({ length: PAGES }, (_, i) => {
      if (!taskIsAlive(machine, task)) return -1;
      return Math.max(-1, call(machine, task, 'load', [ARENA + i * PAGE]));
    }),
  );
  expect(machine.findings(), `${kernel} ${seed}`).toEqual([]);
  const judged = judge(machine, 'operation-end').filter(({ kind }) => !defects[kernel]?.has(kind));
  expect(judged, `${kernel} ${seed}`).toEqual([]);
  return { failed, sharing, contents };
}

function sharingOf(machine: Machine, tasks: readonly number[]): string[] {
  const names = new Map<number, string>();
  const frames = new Map<string, number>();
  for (const [pfn, entries] of takePicture(machine).present) {
    for (const { mm, address } of entries) frames.set(`${mm.addr} ${address}`, pfn);
  }
  return tasks.map((task) => {
    const mm = mmOfTask(machine, task);
    let row = '';
    for (let i = 0; i < PAGES; i++) {
      const pfn = frames.get(`${mm?.addr} ${ARENA + i * PAGE}`);
      if (pfn !== undefined && !names.has(pfn))
        names.set(pfn, String.fromCharCode(97 + names.size));
      row += pfn === undefined ? '.' : names.get(pfn);
    }
    return row;
  });
}

const seeds = Array.from({ length: PROGRAMS }, (_, i) => i + 1);
const kernels = kernelNames().filter((name) => name !== 'v6.18' && !leftOut.has(name));

describe('agrees with v6.18 on what a program sees', () => {
  const programs = new Map(seeds.map((seed) => [seed, comparable(seed, seed % 2 === 0)] as const));
  const stepsOf = (seed: number): readonly Step[] => programs.get(seed) ?? [];
  const truth = new Map(seeds.map((seed) => [seed, run('v6.18', seed, stepsOf(seed))] as const));

  test('and programs share, unshare and end', () => {
    const all = [...truth.values()];
    // Two processes have the same frame in most of them; every program has some contents left.
    const shares = all.filter(({ sharing }) => /([a-zA-Z]).*,.*\1/.test(sharing.join(','))).length;
    expect(shares).toBeGreaterThan(PROGRAMS / 4);
    expect(
      all.filter(({ contents }) => contents.flat().some((byte) => byte > 0)).length,
    ).toBeGreaterThan(PROGRAMS * 0.8);
  });

  test.each(kernels)('%s', (kernel) => {
    for (const seed of seeds) {
      const moves = seed % 2 === 0;
      const seen = run(kernel, seed, stepsOf(seed));
      const wanted = truth.get(seed);
      expect({ seed, ...seen, sharing: [] }).toEqual({ seed, ...wanted, sharing: [] });
      // What was swapped out comes back in when it is read: compared where nothing is reclaimed.
      if (moves && !copiesOnMremap.has(kernel)) {
        expect({ seed, sharing: seen.sharing }).toEqual({ seed, sharing: wanted?.sharing });
      }
    }
  });
});
