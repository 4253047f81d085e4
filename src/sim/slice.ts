/** What history is made of, and what a task looks like at one moment of it. */
import { type Locals, MAX_DEPTH } from './cpu.ts';
import type { K } from './wait.ts';

export type SliceEnd = 'fuel' | 'blocked' | 'done' | 'oops';

export interface Slice {
  readonly task: number;
  readonly operation: number;
  /** The operation began with this slice. */
  readonly starts: boolean;
  readonly step: number;
  readonly journal: number;
  endStep: number;
  endJournal: number;
  end: SliceEnd;
  /** Whatever the driver needs to go on from the start of this slice. */
  readonly driver: unknown;
}

export interface Frame {
  readonly depth: number;
  readonly site: number;
  readonly locals: Locals | null;
}

/** The part of a task that is derived: rebuilt, never rewound. */
export interface Thread {
  generator: K<number> | null;
  frames: Int32Array;
  locals: (Locals | null)[];
  depth: number;
}

export function newThread(): Thread {
  return { generator: null, frames: new Int32Array(MAX_DEPTH), locals: [], depth: 0 };
}
