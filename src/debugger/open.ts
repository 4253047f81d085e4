/** From a scenario's text to a session. */

import { judge } from '../check/judges.ts';
import { bootMachine, DEFAULT_BRK, spawnInit, spawnKernelThread } from '../linux/boot.ts';
import { kernelNames, selectKernel } from '../linux/kernels.ts';
import { DEFAULT_MAX_MAP_COUNT } from '../linux/mm/mm.ts';
import type { Scenario } from '../scenario/ast.ts';
import type { ScenarioError } from '../scenario/errors.ts';
import { loadScenario } from '../scenario/load.ts';
import { ScenarioRun } from '../scenario/run.ts';
import { scenarioHash } from '../scenario/schedule-of.ts';
import type { TouchPolicy } from '../scenario/trace-run.ts';
import { eventLog } from '../sim/event.ts';
import type { Machine, Operation } from '../sim/machine.ts';
import { plannedChoices, refuseMismatch, type Schedule, ScheduleError } from '../sim/schedule.ts';
import { type ComparedRun, compareKernels, kernelsToCompare } from './compare.ts';
import { Session } from './session.ts';
import type { SessionFiles } from './session-options.ts';

export interface OpenOptions {
  readonly file: string;
  /** Preset; default: the first of the scenario's `kernels`, else v6.18. */
  readonly kernel?: string;
  readonly patch?: readonly string[];
  readonly without?: readonly string[];
  readonly seed?: number;
  readonly schedule?: Schedule;
  readonly touch?: TouchPolicy;
  readonly stopOnFinding?: boolean;
  readonly files?: SessionFiles;
  /**
   * Nobody will look back: a recorded program longer than LONG keeps neither history nor events, and
   * its session only goes forward.
   */
  readonly forwardOnly?: boolean;
  /** When the judges look at a script: after each operation (default), or after the last one. */
  readonly judge?: 'each' | 'end';
  /** Values of the scenario's parameters that differ from its header. Throws ParamError for one it has not. */
  readonly params?: ReadonlyMap<string, number>;
}

/** A parameter that the scenario does not have: a mistake of the user's. */
export class ParamError extends Error {
  override readonly name = 'ParamError';
}

function refuseUnknownParams(scenario: Scenario, params: ReadonlyMap<string, number>): void {
  const known = scenario.header.params.map(({ name }) => name);
  for (const name of params.keys()) {
    if (known.includes(name)) continue;
    const there = known.length === 0 ? 'it has no param line' : `it has ${known.join(', ')}`;
    throw new ParamError(`the scenario has no parameter ${name}; ${there}`);
  }
}

/** A scenario that could not be read: every error found, in order of line. */
export interface OpenFailure {
  readonly errors: readonly ScenarioError[];
}

const DEFAULT_KERNEL = 'v6.18';
const PAGE = 4096;
/** Physical memory of a script's machine, and of a recorded program's: bytes. */
const SCRIPT_MEMORY = 64 * 1024 * 1024;
const TRACE_MEMORY = 256 * 1024 * 1024;
const DEFAULT_SWAP = 16 * 1024 * 1024;

function configNumber(scenario: Scenario, key: string, otherwise: number): number {
  const entry = scenario.header.config.find((c) => c.key === key);
  return typeof entry?.value === 'number' ? entry.value : otherwise;
}

/** `config touch=`; the header has checked the word. */
function configTouch(scenario: Scenario): TouchPolicy | undefined {
  return scenario.header.config.find((c) => c.key === 'touch')?.value as TouchPolicy | undefined;
}

/** Keys that the language knows and this machine does not follow: said, not passed over. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'cpus',
  'thp',
  'ksm',
  'overcommit',
  'memlock',
  'arena_start',
  'preempt',
]);

/**
 * Operations of a recorded program that are all judged. The judges look at everything, so a long log
 * is judged ever more seldom: after n operations, one in n / MANY (rounded down to a power of two).
 */
const MANY = 4096;

/** Operations of a recorded program whose history is kept in any case. */
const LONG = 20_000;

/** Operations whose text is kept where there is no history, for messages. */
const RECENT = 64;
const forgotten: Operation = { name: 'forgotten', args: [], text: '', line: 0 };

/** Whether the judges look after operation number `n`, from 1, of a recorded program. */
function isJudged(n: number): boolean {
  const every = 2 ** Math.max(0, Math.floor(Math.log2(n / MANY)));
  return n % every === 0;
}

function forgetOperations(machine: Machine): void {
  const at = machine.operations.length - RECENT;
  if (at >= 0) machine.operations[at] = forgotten;
}

/** Brute-force truth after an operation: what the judges say becomes findings. */
function report(machine: Machine): void {
  for (const { kind, text, evidence } of judge(machine, 'operation-end')) {
    machine.report(kind, text, evidence);
  }
}

/** Reads a scenario and boots it. Throws KernelError for an unknown kernel or feature,
 * ScheduleError for a schedule of another scenario or kernel. */
export function openSession(text: string, options: OpenOptions): Session | OpenFailure {
  const params = options.params ?? new Map();
  const { scenario, errors } = loadScenario(text, {
    file: options.file,
    params,
    kernels: kernelNames(),
  });
  if (errors.length > 0) return { errors };
  refuseUnknownParams(scenario, params);
  const kernel = options.kernel ?? scenario.header.kernels?.kernels[0]?.text ?? DEFAULT_KERNEL;
  const trace = scenario.origin === 'trace';
  const memory = configNumber(scenario, 'memory', trace ? TRACE_MEMORY : SCRIPT_MEMORY);
  const long = trace && options.forwardOnly === true && scenario.statements.length > LONG;
  eventLog.on = !long;
  const swap = configNumber(scenario, 'swap', DEFAULT_SWAP);
  const seed = options.seed ?? configNumber(scenario, 'seed', 0);
  const layout = {
    brk: configNumber(scenario, 'brk', DEFAULT_BRK),
    ...(scenario.header.config.some((c) => c.key === 'arena_end')
      ? { mmapBase: configNumber(scenario, 'arena_end', 0) }
      : {}),
  };
  // A schedule belongs to one kernel.
  const { schedule: _, ...unscheduled } = options;
  const compare = (kernels: readonly string[]): readonly ComparedRun[] => {
    const asked = kernelsToCompare(
      kernels,
      scenario.header.kernels?.kernels.map((word) => word.text) ?? [],
      kernelNames(),
    );
    const work = compareKernels(
      (name, more, judge) =>
        openSession(text, {
          ...unscheduled,
          kernel: name,
          params: new Map([...params, ...more]),
          judge,
          stopOnFinding: false,
        }),
      asked,
      null,
    );
    for (;;) {
      const { value, done } = work.next();
      if (done === true) return value;
    }
  };
  const session = new Session({
    compare,
    title: scenario.header.title?.text ?? options.file,
    file: options.file,
    kernel,
    keepsEvents: !long,
    ...(options.stopOnFinding === undefined ? {} : { stopOnFinding: options.stopOnFinding }),
    ...(options.files === undefined ? {} : { files: options.files }),
    boot: (name) => {
      if (options.schedule !== undefined) {
        const refusal = refuseMismatch(options.schedule, name, scenarioHash(scenario));
        if (refusal !== null) throw new ScheduleError('mismatch', refusal);
      }
      const machine = bootMachine({
        kernel: selectKernel(name, options.patch ?? [], options.without ?? []),
        memoryPages: Math.floor(memory / PAGE),
        swapPages: Math.floor(swap / PAGE),
        maxMapCount: configNumber(scenario, 'max_map_count', DEFAULT_MAX_MAP_COUNT),
        recording: !long,
      });
      if (options.schedule !== undefined)
        machine.setChooser(plannedChoices(options.schedule.choices));
      const run = new ScenarioRun(scenario, machine, {
        seed,
        ...(options.schedule === undefined ? {} : { schedule: options.schedule }),
        touch: options.touch ?? configTouch(scenario) ?? 'writable',
        spawnFirst: (process) => spawnInit(machine, process, layout),
        spawnKernelThread: (thread) => spawnKernelThread(machine, thread),
        operationDone: (last) => {
          if (long) forgetOperations(machine);
          if (!last && options.judge === 'end') return false;
          if (trace && !last && !isJudged(machine.operations.length)) return false;
          report(machine);
          return true;
        },
      });
      return { machine, run };
    },
  });
  for (const { key, text: value } of scenario.header.config) {
    if (WITHOUT_EFFECT.has(key)) session.print(`config ${key}=${value} has no effect here`, 'hint');
  }
  return session;
}
