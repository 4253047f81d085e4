/**
 * The random programs of each profile on the simulated kernel, beside what a real one takes for the very
 * same programs. A time of either is that of the calls alone: no parsing of the program, no RCU callbacks
 * and LRU batches after a call, no boot. Best is the mean over the operations of the fastest run of each.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { parseRecording, type Recording } from '../../src/conform/program.ts';
import { Replay } from '../../src/conform/replay.ts';
import type { kernel } from '../../src/linux/kernel.ts';
import { ENDLESS } from '../../src/sim/cpu.ts';
import { eventLog } from '../../src/sim/event.ts';
import type { Operation } from '../../src/sim/machine.ts';
import { programPath, readTimes, type Time } from './programs.ts';

const RUNS = 15;

/** One operation of a program: the calls on the machine that it consists of. */
interface Timed {
  readonly name: string;
  readonly profile: string;
  readonly calls: readonly { readonly task: number; readonly operation: Operation }[];
  /** What follows it without being timed. */
  readonly after: readonly { readonly task: number; readonly operation: Operation }[];
}

interface Program {
  readonly recording: Recording;
  readonly operations: readonly Timed[];
}

/** Translates a program into calls, by running it once. */
function prepare(name: string): Program {
  const recording = parseRecording(gunzipSync(readFileSync(programPath(name))).toString('utf8'));
  let calls: { task: number; operation: Operation }[] = [];
  const replay = new Replay(recording.header, {
    onCall: (task, operation) => calls.push({ task, operation }),
  });
  const operations = recording.operations.map(({ op }): Timed => {
    calls = [];
    replay.run(op);
    const settles = (call: { operation: Operation }): boolean => call.operation.name === 'settle';
    return {
      name: String(op.op),
      profile: recording.header.profile,
      calls: calls.filter((call) => !settles(call)),
      after: calls.filter(settles),
    };
  });
  // The real kernel waits for writeback there, untimed.
  return { recording, operations: operations.filter(({ name: word }) => word !== 'settle') };
}

/** Milliseconds of each operation of a program, run once. */
function runOnce(program: Program, system: kernel, events: boolean): number[] {
  const { machine } = new Replay(program.recording.header, { kernel: system });
  eventLog.on = events;
  const times = program.operations.map(({ calls, after }) => {
    const start = performance.now();
    for (const { task, operation } of calls) {
      machine.begin(task, operation);
      machine.run(task, ENDLESS, null);
    }
    const spent = performance.now() - start;
    for (const { task, operation } of after) {
      machine.begin(task, operation);
      machine.run(task, ENDLESS, null);
    }
    return spent;
  });
  eventLog.on = true;
  return times;
}

interface Sums {
  readonly profiles: Map<string, Time>;
  readonly operations: Map<string, Time>;
}

function add(sums: Map<string, Time>, key: string, mean: number, best: number): void {
  const { count, ...old } = sums.get(key) ?? { count: 0, mean: 0, best: 0 };
  sums.set(key, { count: count + 1, mean: old.mean + mean, best: old.best + best });
}

/** Nanoseconds by profile and by operation. */
function measure(programs: readonly Program[], system: kernel, events: boolean): Sums {
  const sums: Sums = { profiles: new Map(), operations: new Map() };
  for (const program of programs) {
    const runs = Array.from({ length: RUNS }, () => runOnce(program, system, events));
    for (const [i, { name, profile }] of program.operations.entries()) {
      const times = runs.map((run) => (run[i] as number) * 1e6);
      const mean = times.reduce((a, b) => a + b, 0) / RUNS;
      const best = Math.min(...times);
      add(sums.operations, name, mean, best);
      if (name !== 'exit' && name !== 'ksm') add(sums.profiles, profile, mean, best);
    }
  }
  return sums;
}

const rate = (ns: number, count: number): string => `${((count / ns) * 1e6).toFixed(0)} k`;

/** Prints a row for each profile and for each kind of operation. */
export function profiles(step: kernel, fast: kernel): void {
  const real = readTimes();
  const programs = real.programs.map(prepare);
  // The first programs would otherwise be those that the code is compiled in.
  for (const program of programs) {
    runOnce(program, step, true);
    runOnce(program, fast, false);
  }
  const stepped = measure(programs, step, true);
  const quick = measure(programs, fast, false);
  const cell = (text: string): string => text.padStart(13);
  const head = ['step, ops/s', 'fast, ops/s', 'Linux, ops/s', 'step slower', 'fast slower'];
  const tables = [
    ['profile', real.profiles, stepped.profiles, quick.profiles],
    ['operation', real.operations, stepped.operations, quick.operations],
  ] as const;
  console.log(
    `\nLinux is ${real.kernel} on ${real.cpu}, best of ${real.runs} runs; ours of ${RUNS}`,
  );
  for (const [title, linux, ofStep, ofFast] of tables) {
    console.log(`${title.padEnd(14)}${head.map(cell).join('')}`);
    for (const [name, time] of Object.entries(linux)) {
      const a = ofStep.get(name);
      const b = ofFast.get(name);
      if (a === undefined || b === undefined) continue;
      const times = (t: Time): string => (t.best / t.count / time.best).toFixed(1);
      const rates = [rate(a.best, a.count), rate(b.best, b.count), rate(time.best, 1)];
      console.log(`${name.padEnd(14)}${[...rates, times(a), times(b)].map(cell).join('')}`);
    }
  }
}
