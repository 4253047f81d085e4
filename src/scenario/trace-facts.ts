/** What a recorded program tells besides its operations. */
import type { Clock } from './strace-line.ts';

export interface TraceFacts {
  /** Every file that an operation maps or resizes, and the others that were open. */
  readonly files: readonly TraceFile[];
  /** The tasks in order of appearance; the first is the traced program. */
  readonly tasks: readonly TraceTask[];
  /** Calls that concern neither memory nor processes nor descriptors: name to count. */
  readonly skipped: ReadonlyMap<string, number>;
  /** Calls read only to know what a descriptor is: name to count. */
  readonly followed: ReadonlyMap<string, number>;
  /** What the stamps count from; absent in a log without stamps. */
  readonly clock?: Clock;
  /** What was left out or guessed, in the order found; at most `maxNotes`. */
  readonly notes: readonly TraceNote[];
  /** Lines that are no part of an strace log, such as the program's own output. */
  readonly unreadLines: number;
}

export interface TraceFile {
  /** Absolute where the trace tells; `memfd:NAME`; '' when it was open before the trace began. */
  readonly path: string;
  readonly kind: 'file' | 'memory' | 'other';
  /** Bytes, as last seen. */
  readonly size?: number;
}

export interface TraceTask {
  /** A thread id; 0 for a program whose id the log never prints. */
  readonly pid: number;
  /** The process it belongs to: the id of the process's first thread. */
  readonly process: number;
  /** Who made it; absent for those that ran before the trace began. */
  readonly parent?: number;
}

export interface TraceNote {
  /** From 1; 0 when no line is to blame. */
  readonly line: number;
  readonly message: string;
}

/** More of the same kind says nothing new. */
export const maxNotes = 50;
