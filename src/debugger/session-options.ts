/** What a front end gives to open a session. */

import type { ScenarioRun } from '../scenario/run.ts';
import type { Machine } from '../sim/machine.ts';
import type { ComparedRun } from './compare.ts';

/** What makes a session: a machine freshly booted and the driver of its scenario. */
export interface SessionParts {
  readonly machine: Machine;
  readonly run: ScenarioRun;
}

export interface SessionOptions {
  readonly title: string;
  readonly file: string;
  /** Boots a machine and its driver for a kernel; called again by `kernel NAME`. Throws for an unknown name. */
  readonly boot: (kernel: string) => SessionParts;
  readonly kernel: string;
  /** Whether a finding stops a run. */
  readonly stopOnFinding?: boolean;
  /** Whether events are kept; default true. */
  readonly keepsEvents?: boolean;
  /** Runs the scenario on these kernels, or on those of its header; absent: `compare` is refused. */
  readonly compare?: (kernels: readonly string[]) => readonly ComparedRun[];
  /** Files, which only the front end may touch; null or absent: `source` and `screen` are refused. */
  readonly files?: SessionFiles;
}

/** Reads and writes throw an Error with a message for the user. */
export interface SessionFiles {
  read(name: string): string;
  write(name: string, text: string): void;
}
