/** What a machine is made from, and what it is given to run: plain data. */
import type { K } from './wait.ts';

/** An operation as data, so that it can be started again after going back in time. */
export interface Operation {
  readonly name: string;
  readonly args: readonly unknown[];
  /** What the driver knows and the arguments do not say: `pid`, `fd`, `size`, `image`. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** As the scenario wrote it. */
  readonly text: string;
  /** Line of the scenario, 0 if none. */
  readonly line: number;
}

export interface MachineConfig {
  /** Page frames of physical memory. */
  readonly frames: number;
  /** Starts the kernel function an operation names. Throws InternalError for an unknown name. */
  readonly start: (operation: Operation) => K<number>;
  /** Builds the initial kernel state; runs once, outside history. */
  readonly boot: () => void;
  /** What the kernel is: read by src/linux, never by sim. */
  readonly kernel: unknown;
  /** Keep a journal (time travel). Off for bulk replay. */
  readonly recording?: boolean;
  /** Journal entries kept, a power of two; older history is dropped. */
  readonly historyEntries?: number;
}
