/**
 * What an operation costs as its address space grows, or the file, or what is in memory: each is O(log n) in
 * Linux, so the last column may not be much more than the first. Every operation comes with the one that takes it back, so that the
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
const FILE = 9;
const FILE_PAGES = 1024;
export const sizes: readonly number[] = [10, 100, 1000, 10_000, 100_000];

const map = (at: number, pages: number, prot = 3): Operation =>
  operation('mmap', at, pages * PAGE, prot, 0x32, -1, 0);

interface Row {
  readonly name: string;
  /** Two operations that are timed, in a space whose middle VMA is at `at`. */
  readonly pair: (at: number, task: number, top: number) => readonly [Operation, Operation];
}

const MADV_DONTNEED = 4;
const MADV_RANDOM = 1;
const MADV_PAGEOUT = 21;
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
    name: 'mmap anywhere, munmap',
    // Where it lands: the highest hole, next to what is there already.
    pair: (_at, _task, top) => [
      operation('mmap', 0, PAGE, 1, 0x22, -1, 0),
      operation('munmap', top - PAGE, PAGE),
    ],
  },
  {
    name: 'mlock: split, munlock',
    pair: (at) => [operation('mlock', at + PAGE, PAGE), operation('munlock', at + PAGE, PAGE)],
  },
  {
    name: 'guard install, remove',
    pair: (at) => [operation('madvise', at, PAGE, 102), operation('madvise', at, PAGE, 103)],
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

/** In n mappings of one file. */
const ofFile: readonly Row[] = [
  {
    name: 'mmap of a file, munmap',
    pair: (at) => [
      operation('mmap', at + 3 * PAGE, PAGE, 1, 0x11, FILE, 8 * PAGE),
      operation('munmap', at + 3 * PAGE, PAGE),
    ],
  },
  {
    name: 'fault of a file, DONTNEED',
    pair: (at) => [operation('load', at), operation('madvise', at, PAGE, MADV_DONTNEED)],
  },
  {
    name: 'split, merge in one file',
    pair: (at) => [operation('mprotect', at, PAGE, 0), operation('mprotect', at, PAGE, 1)],
  },
];

/** With n pages in memory. */
const resident: readonly Row[] = [
  {
    name: 'DONTNEED, fault',
    pair: (at) => [operation('madvise', at, PAGE, MADV_DONTNEED), operation('store', at, 7)],
  },
  {
    name: 'swap out, swap in',
    pair: (at) => [operation('madvise', at, PAGE, MADV_PAGEOUT), operation('load', at)],
  },
  {
    name: 'migrate, migrate',
    pair: (at, task) => [operation('migrate', task, at), operation('migrate', task, at)],
  },
  {
    name: 'munmap of a page, mmap',
    pair: (at) => [operation('munmap', at, PAGE), map(at, 1)],
  },
  {
    name: 'punch a hole, read again',
    pair: () => [operation('punch', FILE, 8 * PAGE, PAGE), operation('load', FAR + 8 * PAGE)],
  },
];

interface Space {
  readonly machine: Machine;
  readonly task: number;
  readonly middle: number;
  /** Where the highest mapping begins. */
  readonly top: number;
}

function bare(system: kernel, memoryPages: number): { machine: Machine; task: number } {
  const options = { recording: false, memoryPages, swapPages: 1024, maxMapCount: 1 << 20 };
  const machine = boot(system, options);
  return { machine, task: makeProcess(machine, 'A') };
}

/** The next mapping without an address ends where this one begins. */
function topOf(machine: Machine, task: number): number {
  runAll(machine, task, [operation('mmap', 0, PAGE, 1, 0x22, -1, 0)], ENDLESS);
  const at = machine.block(task).result;
  runAll(machine, task, [operation('munmap', at, PAGE)], ENDLESS);
  return at + PAGE;
}

function spaceApart(system: kernel, n: number): Space {
  const { machine, task } = bare(system, 8192);
  const list = Array.from({ length: n }, (_, i) => map(BASE + i * STRIDE, 3));
  runAll(machine, task, list, ENDLESS);
  const middle = BASE + Math.floor(n / 2) * STRIDE;
  return { machine, task, middle, top: topOf(machine, task) };
}

function spaceSplit(system: kernel, n: number): Space {
  const { machine, task } = bare(system, 8192);
  const middle = BASE + Math.floor(n / 4) * 4 * PAGE;
  const splits = Array.from({ length: Math.floor(n / 2) }, (_, i) =>
    operation('mprotect', BASE + (2 * i + 1) * 2 * PAGE, 2 * PAGE, 1),
  );
  runAll(machine, task, [map(BASE, 2 * n), operation('store', middle, 7), ...splits], ENDLESS);
  return { machine, task, middle, top: topOf(machine, task) };
}

function openFile(machine: Machine, task: number): void {
  const options = { kind: 'file', size: FILE_PAGES * PAGE, fd: FILE };
  runAll(machine, task, [{ ...operation('open', '/f', 2), options }], ENDLESS);
}

function spaceFile(system: kernel, n: number): Space {
  const { machine, task } = bare(system, 8192);
  openFile(machine, task);
  const list = Array.from({ length: n }, (_, i) =>
    operation('mmap', BASE + i * STRIDE, 3 * PAGE, 1, 0x11, FILE, (i % 64) * PAGE),
  );
  runAll(machine, task, list, ENDLESS);
  const middle = BASE + Math.floor(n / 2) * STRIDE;
  return { machine, task, middle, top: topOf(machine, task) };
}

function spaceResident(system: kernel, n: number): Space {
  const { machine, task } = bare(system, n + 8192);
  openFile(machine, task);
  const mappings = [
    map(BASE, n),
    operation('store', BASE, 7, n * PAGE),
    operation('mmap', FAR, FILE_PAGES * PAGE, 1, 0x11, FILE, 0),
  ];
  runAll(machine, task, mappings, ENDLESS);
  const middle = BASE + Math.floor(n / 2) * PAGE;
  return { machine, task, middle, top: topOf(machine, task) };
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

/** Prints microseconds of each operation, a column for each number of VMAs or pages. */
export function growth(system: kernel): void {
  eventLog.on = false;
  const cell = (text: string): string => text.padStart(14);
  console.log(
    `${'us, VMAs (last: pages):'.padEnd(30)}${sizes.map((n) => cell(String(n))).join('')}`,
  );
  const tables = [
    { rows: apart, make: spaceApart },
    { rows: split, make: spaceSplit },
    { rows: ofFile, make: spaceFile },
    { rows: resident, make: spaceResident },
  ];
  for (const { rows, make } of tables) {
    const columns = sizes.map((n) => {
      const space = make(system, n);
      return rows.map(({ pair }) => timed(space, pair(space.middle, space.task, space.top)));
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
