/** What a detector, a judge or the kernel's own assertion reports. Findings are data: never thrown past the runner. */
import { cpu } from './cpu.ts';

export interface Finding {
  /** A stable word, usable in `verdict` and `catch`. */
  readonly kind: string;
  readonly text: string;
  readonly evidence: readonly string[];
  readonly step: number;
  /** Task that was running, 0 outside any task. */
  readonly task: number;
  /** Step sites of the task's open frames, outermost first. */
  readonly sites: readonly number[];
}

/** Receives findings of the active machine. */
export const findingSink: { report: (finding: Finding) => void } = { report: () => {} };

/** Reports a finding at the current step of the running task. */
export function reportFinding(kind: string, text: string, evidence: readonly string[] = []): void {
  findingSink.report({
    kind,
    text,
    evidence,
    step: cpu.step,
    task: cpu.task,
    sites: cpu.task === 0 ? [] : Array.from(cpu.frames.subarray(1, cpu.depth + 1)),
  });
}

/** Directories before the file name in the lines of a stack. */
const DIRECTORIES = /(?:file:\/\/)?(?:[\w.@+-]*\/)+(?=[\w.@+-]+(?:\?\w+)?:\d+)/g;

/** Reports what kernel code threw: a dereference of NULL or garbage. Says the same in every installation. */
export function reportOops(error: unknown): void {
  if (!(error instanceof Error)) reportFinding('oops', String(error));
  else reportFinding('oops', error.message, [(error.stack ?? '').replace(DIRECTORIES, '')]);
}
