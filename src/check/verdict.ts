import type { FindingKind } from './kinds.ts';

/** What a judge has found wrong. */
export interface Verdict {
  readonly kind: FindingKind;
  /** One line. */
  readonly text: string;
  /** The objects and numbers it rests on. */
  readonly evidence: readonly string[];
}

export type Verdicts = Verdict[];
