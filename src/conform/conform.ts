/** Runs recordings on the simulated kernel and says how far each goes as it did on the real one. */
import { Comparer, compareOperation, type Difference, type Level } from './compare.ts';
import { printState, type State } from './format.ts';
import type { Fields } from './json.ts';
import type { RecordedOperation, Recording, Result } from './program.ts';
import { KernelFailed, Replay, Unsupported } from './replay.ts';

/** Why a run does not reach the end of its recording. */
export type Stop =
  | { readonly kind: 'different'; readonly difference: Difference }
  | { readonly kind: 'unsupported' | 'failed'; readonly text: string };

export interface Outcome {
  /** Operations that did what was recorded, from the first on. */
  readonly equal: number;
  /** At operation number `equal`; null: the run conforms to its end. */
  readonly stop: Stop | null;
}

export interface Conformance {
  readonly operations: number;
  readonly core: Outcome;
  readonly full: Outcome;
}

/** What one operation came to. */
export type Step =
  | { readonly result: Result; readonly state: State }
  | Extract<Stop, { readonly text: string }>;

/** Runs a program, operation by operation; the first that cannot be run is the last. */
export function* runProgram(recording: Recording): Generator<readonly [RecordedOperation, Step]> {
  const replay = new Replay(recording.header);
  for (const operation of recording.operations) {
    let step: Step;
    try {
      const result = replay.run(operation.op);
      step = { result, state: replay.state() };
    } catch (error) {
      if (error instanceof Unsupported) step = { kind: 'unsupported', text: error.message };
      else if (error instanceof KernelFailed) step = { kind: 'failed', text: error.message };
      else throw error;
    }
    yield [operation, step];
    if ('kind' in step) return;
  }
}

/** Runs a recording as far as it conforms at either level. */
export function conform(recording: Recording): Conformance {
  const levels: readonly Level[] = ['core', 'full'];
  const comparers = new Map(levels.map((level) => [level, new Comparer(level)]));
  const outcomes = new Map<Level, Outcome>();
  let count = 0;
  for (const [operation, step] of runProgram(recording)) {
    for (const [level, comparer] of comparers) {
      if ('kind' in step) {
        outcomes.set(level, { equal: count, stop: step });
        continue;
      }
      const difference = compareOperation(comparer, operation, { op: operation.op, ...step });
      if (difference === null) continue;
      outcomes.set(level, { equal: count, stop: { kind: 'different', difference } });
      comparers.delete(level);
    }
    if (comparers.size === 0) break;
    count++;
  }
  const whole: Outcome = { equal: recording.operations.length, stop: null };
  return {
    operations: recording.operations.length,
    core: outcomes.get('core') ?? whole,
    full: outcomes.get('full') ?? whole,
  };
}

/** A line of a recording for what an operation came to here. */
export function printStep(
  { index, op }: RecordedOperation,
  { result, state }: { readonly result: Result; readonly state: State },
): Fields {
  return { t: 'op', i: index, op, res: result, state: printState(state) };
}

/** `op 12 {"op":"store",…}` and what is wrong there, in lines. */
export function describeStop({ operations }: Recording, { equal, stop }: Outcome): string[] {
  if (stop === null) return [];
  const where = `operation ${equal} ${JSON.stringify(operations[equal]?.op)}`;
  if (stop.kind !== 'different') return [where, `  ${stop.kind}: ${stop.text}`];
  const { group, path, expected, got } = stop.difference;
  const told = (value: unknown): string => JSON.stringify(value) ?? 'nothing';
  return [
    where,
    `  [${group}] ${path}`,
    `    recorded: ${told(expected)}`,
    `    here:     ${told(got)}`,
  ];
}
