/** Every fault of a scenario's text is told through this file. */
import { lineTextAt, type SourceText, type Span } from './source.ts';

/** What the user wrote cannot be used. Not our bug: printed without a stack, exit code 2. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  /** Of the offending text, in UTF-16 units; 0 where something is missing. */
  readonly length: number;
  /** The physical line the error stands in. */
  readonly text: string;
  readonly expected: string | undefined;
  readonly hint: string | undefined;

  constructor(source: SourceText, span: Span, what: ErrorText) {
    super(what.message);
    this.file = source.file;
    this.line = span.line;
    this.column = span.column;
    this.length = span.length;
    this.text = lineTextAt(source.text, span.offset);
    this.expected = what.expected;
    this.hint = what.hint;
  }
}

export interface ErrorText {
  readonly message: string;
  readonly expected?: string | undefined;
  readonly hint?: string | undefined;
}

/** At most this many errors are reported per text; more of them help nobody. */
export const maxErrors = 20;

/** Longer source lines are shown in part: strace lines can have any length. */
const shownColumns = 160;

/**
 * The error as plain text:
 *
 *     race.mm:3:4: error: no call named mmpa
 *       A: mmpa(NULL, 8p)
 *          ^~~~
 *       expected: a call
 *       hint: did you mean mmap?
 */
export function formatScenarioError(error: ScenarioError): string {
  const start = error.column - 1;
  const from = start < shownColumns - 20 ? 0 : start - 40;
  const cut = error.text.slice(from, from + shownColumns);
  // A tab keeps its width under the caret only when the line above it has the tab too.
  const lead = cut.slice(0, start - from).replace(/[^\t]/g, ' ');
  const run = Math.max(1, Math.min(error.length, cut.length - (start - from)));
  const before = from > 0 ? '…' : '';
  const after = from + shownColumns < error.text.length ? '…' : '';
  const lines = [
    `${error.file}:${error.line}:${error.column}: error: ${error.message}`,
    `  ${before}${cut}${after}`,
    `  ${' '.repeat(before.length)}${lead}^${'~'.repeat(run - 1)}`,
  ];
  if (error.expected !== undefined) lines.push(`  expected: ${error.expected}`);
  if (error.hint !== undefined) lines.push(`  hint: ${error.hint}`);
  return lines.join('\n');
}
