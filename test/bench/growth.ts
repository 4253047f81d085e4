/**
 * What an operation costs as its address space grows: each is O(log n) in Linux, so the last column may
 * not be much more than the first. Every operation comes with the one that takes it back, so that the
 * space has the same size all the time.
 */
import { DEFAULT_BRK } from '../../src/linux/boot.ts';
import type { kernel } from '../../src/linux/kernel.ts';
import { ENDLESS } from '../../src/sim/cpu.ts';
import { eventLog } from '../../src/sim/event.ts';
import type { Machine, Operation } from '../../src/sim/machine.ts';
import { boot, process as makeProcess, operation, runAll } from './workload.ts';

const PAGE = 4096;
const BASE = 0x20_0000_0000;
/** Of three pages, with a hole of one page behind it. */
const STRIDE = 4 * PAGE;
const FAR = 0x40_0000_0000;
/** One address space can have 65530 (vm.max_map_count). */
export const sizes: readonly number[] = [10, 100, 1000, 10_000, 65_000];

const map = (at: number, pages: number, prot = 3): Operation =>
  operation('mmap', at, pages * PAGE, prot, 0x32, -1, 0);

interface Row {
  readonly name: string;
  /** Two operations that are timed, in a space whose middle VMA is at `at`. */
  readonly pair: (at: number, task: number) => readonly [Operation, Operation];
}

const MADV_DONTNEED = 4;
const MADV_RANDOM = 1;
const MREMAP_MAYMOVE_FIXED = 3;

/** In a space of separate VMAs. */
const apart: readonly Row[] = [
  {
    name: 'mmap in a hole, munmap',
    pair: (at) => [map(at + 3 * PAGE, 1, 1), operation('munmap', at + 3 * PAGE, PAGE)],
  },
  {
    name: 'munmap of the middle, mmap',
    pair: (at) => [operation('munmap', at + PAGE, PAGE), map(at + PAGE, 1)],
  },
  {
    name: 'mprotect: split, merge',
    pair: (at) => [
      operation('mprotect', at + PAGE, PAGE, 1),
      operation('mprotect', at + PAGE, PAGE, 3),
    ],
  },
  {
    name: 'madvise: split, merge',
    pair: (at) => [
      operation('madvise', at + PAGE, PAGE, MADV_RANDOM),
      operation('madvise', at + PAGE, PAGE, 0),
    ],
  },
  {
    name: 'mremap there, back',
    pair: (at) => [
      operation('mremap', at, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE_FIXED, FAR),
      operation('mremap', FAR, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE_FIXED, at),
    ],
  },
  {
    name: 'fault, madvise DONTNEED',
    pair: (at) => [operation('store', at, 7), operation('madvise', at, PAGE, MADV_DONTNEED)],
  },
  {
    name: 'brk up, down',
    pair: () => [operation('brk', DEFAULT_BRK + PAGE), operation('brk', DEFAULT_BRK)],
  },
  {
    name: 'find (msync), load',
    pair: (at) => [operation('msync', at, PAGE, 1), operation('load', at + PAGE)],
  },
];

/** In one area split into n VMAs of one anon_vma. */
const split: readonly Row[] = [
  {
    name: 'walk, walk',
    pair: (at, task) => [operation('referenced', task, at), operation('referenced', task, at)],
  },
  {
    name: 'split, merge in one anon_vma',
    pair: (at) => [operation('madvise', at, PAGE, MADV_RANDOM), operation('madvise', at, PAGE, 0)],
  },
];

interface Space {
  readonly machine: Machine;
  readonly task: number;
  readonly middle: number;
}

function bare(system: kernel): { machine: Machine; task: number } {
  const machine = boot(system, { recording: false, memoryPages: 8192 });
  return { machine, task: makeProcess(machine, 'A') };
}

function spaceApart(system: kernel, n: number): Space {
  const { machine, task } = bare(system);
  runAll(
    machine,
    task,
    Array.from({ length: n }, (_, i) => map(BASE + i * STRIDE, 3)),
    ENDLESS,
  );
  return { machine, task, middle: BASE + Math.floor(n / 2) * STRIDE };
}

function spaceSplit(system: kernel, n: number): Space {
  const { machine, task } = bare(system);
  const middle = BASE + Math.floor(n / 4) * 4 * PAGE;
  const splits = Array.from({ length: Math.floor(n / 2) }, (_, i) =>
    operation('mprotect', BASE + (2 * i + 1) * 2 * PAGE, 2 * PAGE, 1),
  );
  runAll(machine, task, [map(BASE, 2 * n), operation('store', middle, 7), ...splits], ENDLESS);
  return { machine, task, middle };
}

function succeed({ machine, task }: Space, operation: Operation): void {
  runAll(machine, task, [operation], ENDLESS);
  const { result } = machine.block(task);
  if (result < 0) throw new Error(`${operation.text}(${operation.args.join(', ')}) is ${result}`);
}

/** Microseconds of the first and the second of a pair: each the least mean of several rounds. */
function timed(space: Space, pair: readonly [Operation, Operation]): [number, number] {
  const { machine, task } = space;
  for (const operation of pair) succeed(space, operation);
  const times: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  const count = 100;
  for (let round = 0; round < 8; round++) {
    const sum: [number, number] = [0, 0];
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      runAll(machine, task, [pair[0]], ENDLESS);
      const between = performance.now();
      runAll(machine, task, [pair[1]], ENDLESS);
      sum[0] += between - start;
      sum[1] += performance.now() - between;
    }
    machine.operations.length = 0;
    times[0] = Math.min(times[0], (sum[0] * 1000) / count);
    times[1] = Math.min(times[1], (sum[1] * 1000) / count);
  }
  return times;
}

/** Prints microseconds of each operation, a column for each number of VMAs. */
export function growth(system: kernel): void {
  eventLog.on = false;
  const cell = (text: string): string => text.padStart(14);
  console.log(`${'us, VMAs:'.padEnd(30)}${sizes.map((n) => cell(String(n))).join('')}`);
  const tables = [
    { rows: apart, make: spaceApart },
    { rows: split, make: spaceSplit },
  ];
  for (const { rows, make } of tables) {
    const columns = sizes.map((n) => {
      const space = make(system, n);
      return rows.map(({ pair }) => timed(space, pair(space.middle, space.task)));
    });
    for (const [i, { name }] of rows.entries()) {
      const cells = columns.map((column) => {
        const [forth, back] = column[i] ?? [0, 0];
        return cell(`${forth.toFixed(1)} / ${back.toFixed(1)}`);
      });
      console.log(`${name.padEnd(30)}${cells.join('')}`);
    }
  }
  eventLog.on = true;
}
