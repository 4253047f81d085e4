/**
 * Random programs on v6.18. What must hold: no oops and no finding; the brute-force judges accept the
 * state after every operation; every load sees the byte that a plain
 * model of memory predicts; all objects and page frames are back once the processes have exited. Then the
 * same with operations of several processes interleaved statement by statement.
 */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { judge } from '../../src/check/judges.ts';
import { mmOfTask, taskIsAlive, vmaAt, vmasOf } from '../../src/linux/describe.ts';
import { NODE_DATA } from '../../src/linux/mm/node.ts';
import { PG_swapcache } from '../../src/linux/mm/page-flags.ts';
import { mem_map } from '../../src/linux/mm_types.ts';
import { ENDLESS } from '../../src/sim/cpu.ts';
import type { Machine } from '../../src/sim/machine.ts';
import {
  begin,
  bootTest,
  call,
  findings,
  liveObjectCounts,
  settle,
  spawnInit,
  spawnKernelThread,
} from './driver.ts';

const PAGE = 4096;
const MEMORY_PAGES = 2048;
const ARENA = 0x10_0000_0000;
const ARENA_PAGES = 40;
const BRK = 0x20_0000_0000;

const PROT = [0, 1, 3, 3, 3, 3, 3, 3, 7];
const PRIVATE_ANON = 0x22;
const SHARED_ANON = 0x21;
const FIXED = 0x10;
const ADVICE = [0, 1, 2, 4, 4, 4, 10, 11, 14, 15, 16, 17, 18, 19];
const DONTNEED = 4;
const EINVAL = 22;

interface Cell {
  value: number;
  /** Shared memory: fork hands on the same cell. */
  readonly shared: boolean;
  /** A call failed half-way: nobody knows what is there. */
  tainted: boolean;
}

/** What a process sees, by page number. A page without a cell holds zero. */
type Memory = Map<number, Cell>;

interface Program {
  readonly m: Machine;
  readonly prng: Prng;
  readonly memories: Map<number, Memory>;
  readonly log: string[];
}

function memoryOf(program: Program, task: number): Memory {
  const memory = program.memories.get(task);
  if (memory === undefined) throw new Error(`no memory of task ${task}`);
  return memory;
}

function somePage(program: Program): number {
  return ARENA + program.prng.below(ARENA_PAGES) * PAGE;
}

/** A page of some VMA of the process, most of the time. */
function mappedPage(program: Program, task: number): number {
  const { m, prng } = program;
  const mm = mmOfTask(m, task);
  const vmas = mm === null ? [] : vmasOf(mm);
  if (vmas.length === 0 || prng.below(8) === 0) return somePage(program);
  const vma = prng.pick(vmas);
  return vma.vm_start + prng.below((vma.vm_end - vma.vm_start) / PAGE) * PAGE;
}

/** A range inside the VMA of `addr`, most of the time. */
function mappedLength(program: Program, task: number, addr: number): number {
  const mm = mmOfTask(program.m, task);
  const vma = mm === null ? null : vmaAt(mm, addr);
  if (vma === null || program.prng.below(5) === 0) return someLength(program);
  return (1 + program.prng.below((vma.vm_end - addr) / PAGE)) * PAGE;
}

function someLength(program: Program): number {
  return (1 + program.prng.below(program.prng.below(4) === 0 ? 14 : 5)) * PAGE;
}

function pagesOf(from: number, length: number): number[] {
  const pages: number[] = [];
  for (let at = from; at < from + length; at += PAGE) pages.push(at / PAGE);
  return pages;
}

/** One call, with what it does to the model. Returns the call's result. */
function run(program: Program, task: number, name: string, args: number[]): number {
  const { m, log } = program;
  const line = `${task}: ${name}(${args.map((n) => (n > 4095 ? `0x${n.toString(16)}` : n)).join(', ')})`;
  log.push(line);
  const result = call(m, task, name, args);
  const verdicts = judge(m, 'operation-end').map((v) => `${v.kind}: ${v.text}`);
  if (verdicts.length > 0) throw new Error(`${name}: ${verdicts.join('\n')}`);
  log[log.length - 1] = `${line} = ${result > 4095 ? `0x${result.toString(16)}` : result}`;
  return result;
}

function doMmap(program: Program, task: number): void {
  const { prng } = program;
  const length = someLength(program);
  const shared = prng.below(5) === 0;
  const fixed = prng.below(3) > 0;
  const addr = somePage(program);
  const flags = (shared ? SHARED_ANON : PRIVATE_ANON) | (fixed ? FIXED : 0);
  const result = run(program, task, 'mmap', [addr, length, prng.pick(PROT), flags, -1, 0]);
  if (result < 0) return;
  const memory = memoryOf(program, task);
  for (const page of pagesOf(result, length)) {
    if (shared) memory.set(page, { value: 0, shared, tainted: false });
    else memory.delete(page);
  }
}

function doMunmap(program: Program, task: number): void {
  const addr = mappedPage(program, task);
  const length = (1 + program.prng.below(3)) * PAGE;
  if (run(program, task, 'munmap', [addr, length]) === 0) {
    for (const page of pagesOf(addr, length)) memoryOf(program, task).delete(page);
  }
}

function doMremap(program: Program, task: number): void {
  const { prng } = program;
  const addr = mappedPage(program, task);
  const oldLength = mappedLength(program, task, addr);
  const newLength = prng.below(2) === 0 ? oldLength : someLength(program);
  const kind = prng.below(4);
  const target = somePage(program);
  const flags = kind === 0 ? 0 : kind === 1 ? 1 : kind === 2 ? 3 : newLength === oldLength ? 7 : 3;
  // A move of equal length takes VMA by VMA: what lies at the destination of a hole stays.
  const mm = mmOfTask(program.m, task);
  const holes = new Set<number>();
  if ((flags & 2) !== 0 && oldLength === newLength && mm !== null) {
    for (const [i, page] of pagesOf(addr, oldLength).entries()) {
      if (vmaAt(mm, page * PAGE) === null) holes.add(target / PAGE + i);
    }
  }
  const result = run(program, task, 'mremap', [addr, oldLength, newLength, flags, target]);
  const memory = memoryOf(program, task);
  const from = pagesOf(addr, oldLength);
  if (result === -EINVAL) return;
  if (result < 0) {
    // A fixed move may fail after it has unmapped its destination, or after some of its pieces.
    if ((flags & 2) !== 0) taint(memory, [...from, ...pagesOf(target, newLength)]);
    return;
  }
  const cells = from.map((page) => memory.get(page));
  const to = pagesOf(result, newLength);
  const emptied =
    result === addr ? pagesOf(addr, Math.max(oldLength, newLength)) : [...to, ...from];
  for (const page of emptied) {
    if (!holes.has(page)) memory.delete(page);
  }
  for (const [i, page] of to.entries()) {
    const cell = cells[i];
    if (cell !== undefined) memory.set(page, cell);
  }
  if ((flags & 4) !== 0) {
    // Shared pages stay where they were; private ones read as zero there.
    for (const [i, page] of from.entries()) {
      const cell = cells[i];
      if (cell?.shared === true) memory.set(page, cell);
    }
  }
  // Pages that shared memory grows by may be mapped elsewhere already.
  if (cells.some((cell) => cell?.shared === true)) taint(memory, to.slice(from.length));
}

/** Forgets everything that a process sees. */
function forget(memory: Memory): void {
  taint(memory, pagesOf(ARENA, ARENA_PAGES * PAGE));
  taint(memory, pagesOf(BRK, 16 * PAGE));
}

/** Forgets what is in some pages, whoever shares them. */
function taint(memory: Memory, pages: readonly number[]): void {
  for (const page of pages) {
    const cell = memory.get(page);
    if (cell === undefined) memory.set(page, { value: 0, shared: true, tainted: true });
    else cell.tainted = true;
  }
}

function doBrk(program: Program, task: number): void {
  const mm = mmOfTask(program.m, task);
  const before = mm?.brk ?? 0;
  const wanted = BRK + program.prng.below(12) * PAGE + program.prng.below(2) * 100;
  const result = run(program, task, 'brk', [wanted]);
  const from = Math.ceil(Math.min(before, result) / PAGE) * PAGE;
  const to = Math.ceil(Math.max(before, result) / PAGE) * PAGE;
  for (const page of pagesOf(from, to - from)) memoryOf(program, task).delete(page);
}

function doMadvise(program: Program, task: number): void {
  const advice = program.prng.pick(ADVICE);
  const addr = mappedPage(program, task);
  const length = mappedLength(program, task, addr);
  // WIPEONFORK and DONTFORK change what fork does: known by asking the VMA at fork time.
  const result = run(program, task, 'madvise', [addr, length, advice]);
  if (advice !== DONTNEED) return;
  const memory = memoryOf(program, task);
  for (const page of pagesOf(addr, length)) {
    const cell = memory.get(page);
    if (cell === undefined || cell.shared) continue;
    if (result === 0) memory.delete(page);
    else cell.tainted = true;
  }
}

const VM_DONTCOPY = 0x20000;
const VM_WIPEONFORK = 0x2000000;

function doFork(program: Program, task: number): void {
  if (program.memories.size > 6) return;
  const child = run(program, task, 'fork', []);
  if (child < 0) return;
  const memory: Memory = new Map();
  const mm = mmOfTask(program.m, task);
  for (const [page, cell] of memoryOf(program, task)) {
    const vma = mm === null ? null : vmaAt(mm, page * PAGE);
    if (vma === null || (vma.vm_flags & VM_DONTCOPY) !== 0) continue;
    if ((vma.vm_flags & VM_WIPEONFORK) !== 0) continue;
    memory.set(page, cell.shared ? cell : { ...cell });
  }
  program.memories.set(child, memory);
}

function doStore(program: Program, task: number): void {
  const addr = mappedPage(program, task);
  const value = 1 + program.prng.below(250);
  if (run(program, task, 'store', [addr, value]) < 0) return;
  const memory = memoryOf(program, task);
  const cell = memory.get(addr / PAGE);
  if (cell === undefined) memory.set(addr / PAGE, { value, shared: false, tainted: false });
  else cell.value = value;
}

function doLoad(program: Program, task: number): void {
  const addr = mappedPage(program, task);
  const result = run(program, task, 'load', [addr]);
  const cell = memoryOf(program, task).get(addr / PAGE);
  if (result < 0 || cell?.tainted === true) return;
  if (result !== (cell?.value ?? 0)) {
    throw new Error(`load of ${addr.toString(16)} gave ${result}, not ${cell?.value ?? 0}`);
  }
}

function doExit(program: Program, task: number): void {
  if (program.memories.size < 3) return;
  run(program, task, 'exit', [0]);
  program.memories.delete(task);
}

function doProtect(program: Program, task: number): void {
  const prot = program.prng.pick(PROT);
  const addr = mappedPage(program, task);
  run(program, task, 'mprotect', [addr, mappedLength(program, task, addr), prot]);
}

/** Work of a kernel task on a page of the process: nobody's memory changes. */
function doKernelWork(program: Program, task: number): void {
  const { m, prng } = program;
  const name = prng.pick(['reclaim', 'migrate', 'referenced']);
  const kswapd = spawnKernelThread(m, 'kswapd');
  const stored = [...memoryOf(program, task).keys()];
  if (stored.length === 0) return;
  const addr = prng.pick(stored) * PAGE;
  run(program, kswapd, name, [task, addr]);
  // The first time the page was found referenced.
  if (name === 'reclaim') run(program, kswapd, name, [task, addr]);
}

type Step = (program: Program, task: number) => void;

const steps: readonly (readonly [weight: number, step: Step])[] = [
  [14, doMmap],
  [5, doMunmap],
  [10, doProtect],
  [9, doMremap],
  [5, doBrk],
  [7, doMadvise],
  [5, doFork],
  [3, doExit],
  [26, doStore],
  [13, doLoad],
  [12, doKernelWork],
];

function pickStep(prng: Prng): Step {
  let at = prng.below(steps.reduce((sum, [weight]) => sum + weight, 0));
  for (const [weight, step] of steps) {
    if (at < weight) return step;
    at -= weight;
  }
  return doLoad;
}

/** Everything that a machine must have back when no process is left. */
function usage(m: Machine): Record<string, number> {
  settle(m);
  return { ...liveObjectCounts(m), frames: NODE_DATA().used_pages - strandedSwapCache() };
}

/**
 * Pages that only the swap cache still knows: read in for a fault whose mapping went meanwhile, and locked
 * at the moment in which its swap entry was freed. Linux, too, leaves them to the next reclaim.
 */
function strandedSwapCache(): number {
  let count = 0;
  for (let pfn = 1; pfn < MEMORY_PAGES; pfn++) {
    const page = mem_map.at(pfn);
    if ((page.flags & PG_swapcache) !== 0 && page._mapcount === -1 && page._refcount === 1) count++;
  }
  return count;
}

/** Half of the arena, so that there is something to work on. */
const START = [ARENA, 20 * PAGE, 3, PRIVATE_ANON | FIXED, -1, 0];

function fresh(recording: boolean): { m: Machine; baseline: Record<string, number> } {
  const m = bootTest({ memoryPages: MEMORY_PAGES, recording });
  const warm = spawnInit(m, 'warm');
  call(m, warm, 'mmap', [0, PAGE, 3, PRIVATE_ANON, -1, 0]);
  call(m, warm, 'exit', [0]);
  spawnKernelThread(m, 'kswapd');
  return { m, baseline: usage(m) };
}

function explain(program: Program, seed: number, error: unknown): Error {
  const text = error instanceof Error ? error.message : String(error);
  const found = findings(program.m).join('\n');
  return new Error(`seed ${seed}: ${text}\n${found}\n${program.log.join('\n')}`);
}

describe('random programs', () => {
  test('of one process at a time follow a plain model of memory and leave nothing behind', () => {
    for (let seed = 1; seed <= 500; seed++) {
      const { m, baseline } = fresh(false);
      const first = spawnInit(m, 'P', { brk: BRK, mmapBase: ARENA + ARENA_PAGES * PAGE });
      const program: Program = {
        m,
        prng: new Prng(seed),
        memories: new Map([[first, new Map()]]),
        log: [],
      };
      try {
        run(program, first, 'mmap', START);
        for (let i = 0; i < 80; i++) {
          const task = program.prng.pick([...program.memories.keys()]);
          pickStep(program.prng)(program, task);
          expect(findings(m)).toEqual([]);
        }
        for (const task of program.memories.keys()) {
          run(program, task, 'exit', [0]);
          expect(findings(m)).toEqual([]);
        }
        expect(usage(m)).toEqual(baseline);
        expect(findings(m)).toEqual([]);
      } catch (error) {
        throw explain(program, seed, error);
      }
    }
  }, 300_000);

  test('of several processes at once never oops, deadlock or leak', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const { m, baseline } = fresh(true);
      const prng = new Prng(seed);
      const log: string[] = [];
      const tasks: number[] = [
        spawnInit(m, 'P', { brk: BRK, mmapBase: ARENA + ARENA_PAGES * PAGE }),
      ];
      const kswapd = spawnKernelThread(m, 'kswapd');
      const program: Program = { m, prng, memories: new Map(), log };
      try {
        call(m, tasks[0] ?? 0, 'mmap', START);
        let started = 0;
        for (
          let turn = 0;
          turn < 30_000 && (started < 40 || tasks.some((t) => m.block(t).op !== 0));
          turn++
        ) {
          addNewTasks(m, tasks);
          const alive = tasks.filter((t) => taskIsAlive(m, t));
          const idle = alive.filter((t) => m.block(t).op === 0);
          if (idle.length > 0 && started < 40) {
            started++;
            startRandom(program, prng.pick(idle), alive.length);
          }
          if (m.block(kswapd).op === 0 && prng.below(8) === 0 && alive.length > 0) {
            const work = prng.pick(['reclaim', 'migrate', 'referenced']);
            const target = prng.pick(alive);
            const addr = mappedPage(program, target);
            log.push(`kswapd: ${work}(${target}, 0x${addr.toString(16)})`);
            begin(m, kswapd, work, [target, addr]);
          }
          const busy = [...alive, kswapd].filter((t) => m.block(t).op !== 0);
          const runnable = busy.filter((t) => m.enabled(t));
          if (busy.length > 0 && runnable.length === 0) throw new Error('deadlock');
          if (runnable.length > 0) m.run(prng.pick(runnable), prng.below(60), null);
          expect(findings(m)).toEqual([]);
        }
        while (m.block(kswapd).op !== 0) m.run(kswapd, ENDLESS, null);
        addNewTasks(m, tasks);
        for (const task of tasks) {
          if (taskIsAlive(m, task)) call(m, task, 'exit', [0]);
        }
        expect(usage(m)).toEqual(baseline);
        expect(findings(m)).toEqual([]);
      } catch (error) {
        throw explain(program, seed, error);
      }
    }
  }, 300_000);

  test('survive the failure of any allocation', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const { m, baseline } = fresh(false);
      const first = spawnInit(m, 'P', { brk: BRK, mmapBase: ARENA + ARENA_PAGES * PAGE });
      const prng = new Prng(seed);
      const program: Program = { m, prng, memories: new Map([[first, new Map()]]), log: [] };
      try {
        run(program, first, 'mmap', START);
        for (let i = 0; i < 80; i++) {
          const task = prng.pick([...program.memories.keys()]);
          let count = 0;
          const nth = prng.below(12);
          m.setChooser((kind) => (kind === 'fail_alloc' && count++ === nth ? 1 : 0));
          pickStep(prng)(program, task);
          m.setChooser(() => 0);
          // What a call that ran out of memory has done is not in the model.
          if (count > nth) for (const memory of program.memories.values()) forget(memory);
          expect(findings(m)).toEqual([]);
        }
        for (const task of program.memories.keys()) run(program, task, 'exit', [0]);
        expect(usage(m)).toEqual(baseline);
        expect(findings(m)).toEqual([]);
      } catch (error) {
        throw explain(program, seed, error);
      }
    }
  }, 300_000);
});

/** Tasks that forks have made meanwhile. */
function addNewTasks(m: Machine, tasks: number[]): void {
  for (let id = 1; id <= m.taskCount(); id++) {
    if (!tasks.includes(id) && taskIsAlive(m, id) && m.names[id] === 'P') tasks.push(id);
  }
}

/** Begins a random operation without a model: threads and processes race. */
function startRandom(program: Program, task: number, alive: number): void {
  const { m, prng, log } = program;
  const addr = mappedPage(program, task);
  const length = mappedLength(program, task, addr);
  const flags = (prng.below(5) === 0 ? SHARED_ANON : PRIVATE_ANON) | FIXED;
  const calls: readonly (readonly [string, number[]])[] = [
    ['mmap', [addr, length, prng.pick(PROT), flags, -1, 0]],
    ['munmap', [addr, length]],
    ['mprotect', [addr, length, prng.pick(PROT)]],
    ['mremap', [addr, length, length, 3, somePage(program)]],
    ['madvise', [addr, length, DONTNEED]],
    ['store', [addr, 1 + prng.below(200)]],
    ['store', [addr, 1 + prng.below(200)]],
    ['store', [addr, 1 + prng.below(200)]],
    ['load', [addr]],
    ['fork', []],
    ['clone', [0x10f00]],
    ['exit', [0]],
  ];
  let [name, args] = prng.pick(calls);
  if ((name === 'fork' || name === 'clone') && alive > 5) [name, args] = ['store', [addr, 7]];
  if (name === 'exit' && alive < 3) [name, args] = ['load', [addr]];
  log.push(`${task}: ${name}(${args.map((n) => `0x${n.toString(16)}`).join(', ')})`);
  begin(m, task, name, args);
}
