/**
 * `npm run bench`: the numbers that the engine must reach, each beside its goal. Best of several runs
 * after a warm-up; ratios are of one run. Repeat a row with `npm run bench -- NAME`.
 */
import { cpus } from 'node:os';
import { Prng } from '../../src/base/prng.ts';
import * as kernels from '../../src/linux/kernels.ts';
import { cpu, ENDLESS, SPACE_HEAP } from '../../src/sim/cpu.ts';
import { eventLog, tracepoint } from '../../src/sim/event.ts';
import type { Machine } from '../../src/sim/machine.ts';
import { miniMachine, operation as miniOperation } from '../sim/mini-machine.ts';
import { fastKernel } from '../support/fast-kernel.ts';
import { growth } from './growth.ts';
import { profiles } from './profiles.ts';
import { boot, interleaved, process as makeProcess, runAll, systemCallMix } from './workload.ts';

const PAGE = 4096;
const only = globalThis.process.argv.slice(2);

function print(name: string, measured: string, goal: string): void {
  console.log(`${name.padEnd(58)} ${measured.padStart(30)}   ${goal}`);
}

function wanted(name: string): boolean {
  return only.length === 0 || only.some((word) => name.includes(word));
}

/** Milliseconds of the fastest of `runs`. */
function best(runs: number, prepare: () => () => void): number {
  let fastest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    const run = prepare();
    const start = performance.now();
    run();
    fastest = Math.min(fastest, performance.now() - start);
  }
  return fastest;
}

function percentiles(times: number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (p: number): string => {
    const ms = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] as number;
    return ms < 0.1 ? `${(ms * 1000).toFixed(1)} us` : `${ms.toFixed(2)} ms`;
  };
  return `${at(0.5)} / ${at(0.99)} / ${at(1)}`;
}

const stepKernel = kernels.selectKernel('v6.18');
const quickKernel = fastKernel('v6.18');
const mix = systemCallMix(1, 20_000);

interface Speed {
  readonly stepsPerSecond: number;
  readonly operationsPerSecond: number;
  readonly stepsPerOperation: number;
}

function speed(
  kernel: typeof stepKernel,
  recording: boolean,
  fuel: number,
  events: boolean,
): Speed {
  let steps = 0;
  const ms = best(5, () => {
    const machine = boot(kernel, { recording, historyEntries: 1 << 20 });
    const task = makeProcess(machine, 'A');
    const before = machine.step;
    return () => {
      eventLog.on = events;
      runAll(machine, task, mix, fuel);
      eventLog.on = true;
      steps = machine.step - before;
    };
  });
  return {
    stepsPerSecond: (steps / ms) * 1000,
    operationsPerSecond: (mix.length / ms) * 1000,
    stepsPerOperation: steps / mix.length,
  };
}

const millions = (n: number): string => `${(n / 1e6).toFixed(1)} M steps/s`;
const thousands = (n: number): string => `${(n / 1e3).toFixed(0)} k ops/s`;

/** Mean depth of the call chain at a step: what a return to the driver costs grows with it. */
function meanDepth(): number {
  const machine = boot(stepKernel, { recording: true });
  runAll(machine, makeProcess(machine, 'A'), mix.slice(0, 2000), ENDLESS);
  let sum = 0;
  let marks = 0;
  machine.findMarkBack((_task, _site, depth) => {
    sum += depth;
    marks++;
    return false;
  });
  return sum / marks;
}

/** Steps per second when the small kernel of test/sim returns to the driver at each step. */
function watchedSmall(): number {
  let steps = 0;
  const ms = best(5, () => {
    const machine = miniMachine({ historyEntries: 1 << 20 });
    const task = machine.spawn('A');
    const block = machine.block(task);
    return () => {
      for (let i = 0; i < 400; i++) {
        for (const name of ['add', 'walk', 'bump', 'remove']) {
          machine.begin(task, miniOperation(name, name === 'bump' ? 400 : 4));
          while (block.op !== 0) machine.run(task, 0, null);
        }
      }
      steps = machine.step;
    };
  });
  return (steps / ms) * 1000;
}

function running(): void {
  print('watched, small kernel (depth 1 to 3)', millions(watchedSmall()), '>= 5 M');
  const watched = speed(stepKernel, true, 0, true);
  print(
    `watched: back to the driver at each step (mean depth ${meanDepth().toFixed(1)})`,
    millions(watched.stepsPerSecond),
    '>= 5 M',
  );
  const toBreak = speed(stepKernel, true, ENDLESS, true);
  print('run to breakpoint: journal, frames, locals', millions(toBreak.stepsPerSecond), '>= 10 M');
  const loud = speed(stepKernel, false, ENDLESS, true);
  print('unwatched, step build, events on', thousands(loud.operationsPerSecond), '');
  const bulk = speed(stepKernel, false, ENDLESS, false);
  const perStep = `${bulk.stepsPerOperation.toFixed(0)} steps/op, ${(1e9 / bulk.stepsPerSecond).toFixed(0)} ns/step`;
  print(
    `unwatched bulk, step build (${perStep})`,
    thousands(bulk.operationsPerSecond),
    '>= 400 k at 35 steps/op',
  );
  const quick = speed(quickKernel, false, ENDLESS, false);
  print(
    'unwatched bulk, fast build',
    thousands(quick.operationsPerSecond),
    '>= 800 k at 35 steps/op',
  );
  const ratio = (a: Speed, b: Speed): string =>
    (a.operationsPerSecond / b.operationsPerSecond).toFixed(2);
  print('ratio fast / step build', ratio(quick, bulk), '1.7');
  print('ratio unwatched / with journal', ratio(loud, toBreak), '1.3');
  print('ratio run / step by step', ratio(toBreak, watched), '2.3');
}

function equality(): void {
  const hashes = [
    { kernel: quickKernel, recording: false, fuel: ENDLESS },
    { kernel: stepKernel, recording: false, fuel: ENDLESS },
    { kernel: stepKernel, recording: true, fuel: 7 },
  ].map(({ kernel, recording, fuel }) => {
    const machine = boot(kernel, { recording, historyEntries: 1 << 16 });
    runAll(machine, makeProcess(machine, 'A'), mix, fuel);
    return machine.hash();
  });
  const same = hashes.every((hash) => hash === hashes[0]);
  print(`builds after ${mix.length} operations`, same ? 'equal' : `DIFFERENT ${hashes}`, 'equal');
}

function timeTravel(): void {
  const machine = interleaved(stepKernel, 1_000_000, 1 << 23);
  const prng = new Prng(3);
  const end = machine.endStep;
  const first = machine.firstStep;
  const tasks = machine.taskCount();
  const somewhere = (): number => first + 1 + prng.below(end - first - 2);
  const timed = (runs: number, prepare: () => void, run: () => void): string => {
    const times: number[] = [];
    for (let i = 0; i < runs; i++) {
      prepare();
      const start = performance.now();
      run();
      if (i >= runs / 10) times.push(performance.now() - start);
    }
    return percentiles(times);
  };
  const seek = () => machine.seek(somewhere());
  const frames = () => {
    for (let id = 1; id <= tasks; id++) machine.frames(id);
  };
  const back = () => machine.seek(machine.step - 1);
  const size = `${(end / 1e6).toFixed(1)} M steps, ${machine.slices.length} slices`;
  print(`history of ${size}: p50 / p99 / max`, '', '');
  print('  reverse step, state', timed(3000, seek, back), 'p99 <= 1 ms');
  print('  frames of all tasks', timed(3000, seek, frames), 'p99 <= 1 ms');
  print(
    '  reverse step, able to run on',
    timed(1500, seek, () => {
      back();
      machine.revive();
    }),
    'p99 <= 8 ms',
  );
  print(
    '  jump anywhere',
    timed(500, () => {}, seek),
    'p99 <= 16 ms',
  );
  machine.seek(end);
  const words = Array.from({ length: 300 }, () => 17 * 16 + prng.below(4000));
  let n = 0;
  print(
    '  last write of a word',
    timed(
      300,
      () => {},
      () => {
        machine.lastWrite(SPACE_HEAP, words[n++ % words.length] as number);
      },
    ),
    'p99 <= 16 ms',
  );
  const bytes = cpu.journal_count * 12 + cpu.step_index.byteLength;
  print('  history', `${(bytes / end).toFixed(1)} B/step`, '<= 24 B/step');
  print('  journal entries', `${(cpu.journal_count / end).toFixed(2)} per step`, '');
  let wrong = 0;
  machine.seek(end);
  const hash = machine.hash();
  for (let i = 0; i < 100; i++) {
    seek();
    machine.revive();
    for (let left = 50; left > 0 && machine.replay(1 + prng.below(500)); left--);
    machine.seek(end);
    if (machine.hash() !== hash) wrong++;
  }
  print('  wrong after seek, rebuild and running on', `${wrong} of 100`, '0');
}

function memory(): void {
  const machine = boot(stepKernel, { recording: false, memoryPages: 60_000 });
  const task = makeProcess(machine, 'A');
  const gc = (globalThis as { gc?: () => void }).gc;
  const used = (): number => {
    gc?.();
    return globalThis.process.memoryUsage().heapUsed;
  };
  const words = (): number => (cpu.heap[0] as number) * 16 * 8;
  const vmas = 20_000;
  const heap = words();
  const handles = used();
  eventLog.on = false;
  for (let i = 0; i < vmas; i++) {
    const at = 0x20_0000_0000 + i * 4 * PAGE;
    runAll(
      machine,
      task,
      [{ name: 'mmap', args: [at, PAGE, 3, 0x32, -1, 0], text: '', line: 0 }],
      ENDLESS,
    );
  }
  const perVma = (words() - heap) / vmas;
  machine.operations.length = 0;
  const perHandle = gc === undefined ? '' : ` + ${((used() - handles) / vmas).toFixed(0)} handle`;
  print('bytes per VMA', `${perVma.toFixed(0)}${perHandle}`, '<= 200');
  const tables = cpu.heap[4] as number;
  const pages = 40_000;
  const all = {
    name: 'mmap',
    args: [0x30_0000_0000, pages * PAGE, 3, 0x32, -1, 0],
    text: '',
    line: 0,
  };
  const touch = { name: 'store', args: [0x30_0000_0000, 1, pages * PAGE], text: '', line: 0 };
  runAll(machine, task, [all, touch], ENDLESS);
  eventLog.on = true;
  const perPte = (((cpu.heap[4] as number) - tables) * 2048) / pages;
  print('bytes per PTE', perPte.toFixed(1), '<= 8');
  const columns = cpu.frame.byteLength + cpu.frame_index.byteLength;
  print('bytes per struct page (columns)', (columns / cpu.frame_index.length).toFixed(0), '<= 40');
}

const trace_bench = tracepoint(
  'bench:event',
  { a: 'n', b: 'n', c: 'n', d: 'n', e: 'n' },
  'five numbers, for the benchmark',
);

function tracepoints(): void {
  const machine: Machine = boot(stepKernel, { recording: false });
  machine.activate();
  const loops = 2_000_000;
  const loop = (on: boolean) =>
    best(5, () => () => {
      cpu.event_count = 0;
      eventLog.on = on;
      for (let i = 0; i < loops; i++) trace_bench({ a: i, b: 2, c: 3, d: 4, e: 5 });
      eventLog.on = true;
    });
  const empty = best(5, () => () => {
    let sum = 0;
    for (let i = 0; i < loops; i++) sum += i;
    if (sum < 0) console.log(sum);
  });
  const ns = (ms: number): string => `${(((ms - empty) * 1e6) / loops).toFixed(1)} ns`;
  print('tracepoint off', ns(loop(false)), '<= 0.5 ns');
  print('tracepoint recorded, five numbers', ns(loop(true)), '<= 5 ns');
}

const { version, arch } = globalThis.process;
console.log(`Node ${version} ${arch}, ${cpus().length} x ${cpus()[0]?.model.trim() ?? '?'}\n`);
print('what', 'measured', 'goal');
const rows: Readonly<Record<string, () => void>> = {
  running,
  equality,
  timeTravel,
  memory,
  tracepoints,
  profiles: () => profiles(stepKernel, quickKernel),
  growth: () => growth(stepKernel),
};
for (const [name, row] of Object.entries(rows)) if (wanted(name)) row();
