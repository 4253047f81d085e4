/** Every fault of an expression's meaning is told through this file; faults of its form are ScenarioErrors. */

import type { Span } from '../scenario/source.ts';
import { didYouMean } from '../scenario/suggest.ts';

/** What the user wrote means nothing here. Shown without a stack. */
export class ExpressionError extends Error {
  override readonly name = 'ExpressionError';
  /** Where in the text of the expression. */
  readonly span: Span;
  readonly hint: string | undefined;

  constructor(message: string, span: Span, hint?: string) {
    super(hint === undefined ? message : `${message}; ${hint}`);
    this.span = span;
    this.hint = hint;
  }
}

/** An unknown name, with the nearest known one. */
export function unknownName(
  what: string,
  name: string,
  known: Iterable<string>,
  span: Span,
  where = '',
): ExpressionError {
  const all = [...known];
  const list = all.length > 0 && all.length <= 12 ? `there is ${all.join(', ')}` : undefined;
  return new ExpressionError(`no ${what} ${name}${where}`, span, didYouMean(name, all) ?? list);
}
