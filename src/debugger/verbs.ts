/**
 * Stepping. A verb says when a run that it began is over; the session does the running. Forward verbs
 * are asked after each statement (`every` = 1) or after each slice; reverse verbs name the step to go to.
 */
import type { Machine } from '../sim/machine.ts';

export interface Verb {
  readonly name: string;
  /** Statements between two questions: 1, or many for `continue`. */
  readonly every: number;
  /** Whether the run is over here. */
  readonly done: () => boolean;
  /** Task that alone may run while this verb is in progress, or 0. */
  readonly only: number;
  /** Nothing stops it on the way: no breakpoint, watchpoint or finding. */
  readonly silent?: boolean;
  /** It is over before the first step of this statement, by its number in the scenario. */
  readonly statement?: number;
  /** What to say when it came to its own end; empty for nothing. */
  readonly report?: () => string;
}

interface Place {
  readonly task: number;
  readonly depth: number;
}

function here(machine: Machine): Place {
  const mark = machine.lastMark();
  return { task: mark?.task ?? 0, depth: mark?.depth ?? 0 };
}

/** Runs until `count` more statements have been reached, of `task` only when it is inside the kernel. */
export function stepVerb(machine: Machine, count: number, only: number): Verb {
  const target = machine.step + count;
  return { name: 'step', every: 1, done: () => machine.step >= target, only };
}

/** Runs until the next statement of the same frame or an outer one (or until the operation is over). */
export function nextVerb(machine: Machine, count: number, only: number): Verb {
  const from = here(machine);
  let left = count;
  let step = machine.step;
  return {
    name: 'next',
    every: 1,
    only,
    done: () => {
      if (machine.step === step) return false;
      step = machine.step;
      const now = here(machine);
      if (now.task === from.task && now.depth > from.depth) return false;
      if (now.task !== from.task && machine.block(from.task || now.task).op !== 0) return false;
      left--;
      return left <= 0;
    },
  };
}

/** Runs until the selected frame has returned. */
export function finishVerb(
  machine: Machine,
  depth: number,
  only: number,
  returned: () => string,
): Verb {
  const from = here(machine);
  const op = from.task === 0 ? 0 : machine.block(from.task).op;
  return {
    name: 'finish',
    every: 1,
    only,
    done: () => {
      const now = here(machine);
      if (now.task === from.task && now.depth < depth) return true;
      return from.task === 0 || machine.block(from.task).op !== op;
    },
    report: () => returned(),
  };
}

export function continueVerb(): Verb {
  return { name: 'continue', every: Number.MAX_SAFE_INTEGER, done: () => false, only: 0 };
}

/** Runs, past everything else, up to the statement with this number. */
export function statementVerb(statement: number): Verb {
  return {
    name: 'statement',
    every: Number.MAX_SAFE_INTEGER,
    done: () => false,
    only: 0,
    silent: true,
    statement,
  };
}

/** Runs to a step ahead. */
export function gotoVerb(machine: Machine, step: number): Verb {
  return { name: 'goto', every: step - machine.step, done: () => machine.step >= step, only: 0 };
}

/** Step to go back to for reverse-step: `count` statements earlier. */
export function reverseStepTarget(machine: Machine, count: number): number {
  return Math.max(machine.firstStep, machine.step - count);
}

/** The `count`-th earlier statement of the same task in this frame or an outer one; -1 if there is none. */
export function reverseNextTarget(machine: Machine, count: number): number {
  const from = here(machine);
  let left = count;
  let first = true;
  return machine.findMarkBack((task, _site, depth) => {
    if (first) {
      first = false;
      return false;
    }
    if (task !== from.task || depth > from.depth) return false;
    left--;
    return left <= 0;
  });
}

/** The call that made the current frame; -1 if it is the outermost. */
export function reverseFinishTarget(machine: Machine, depth: number): number {
  const from = here(machine);
  return machine.findMarkBack((task, _site, d) => task === from.task && d < depth);
}
