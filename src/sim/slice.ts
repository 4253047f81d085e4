/** What history is made of, and what a task looks like at one moment of it. */
import type { Locals } from './cpu.ts';

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
