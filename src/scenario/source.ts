/** One text the user gave us, and where in it something stands. */
export interface SourceText {
  /** As the user named it; `<prompt>` for a line typed at the debugger. */
  readonly file: string;
  readonly text: string;
}

/**
 * A stretch of a source text. `offset` and `length` count UTF-16 units; `line` and `column` (of the
 * first unit) count from 1. A stretch may cross lines where `\` continues one.
 */
export interface Span {
  readonly offset: number;
  readonly length: number;
  readonly line: number;
  readonly column: number;
}

/** The smallest span that covers both; `from` must not start after `to`. */
export function spanFromTo(from: Span, to: Span): Span {
  return {
    offset: from.offset,
    length: to.offset + to.length - from.offset,
    line: from.line,
    column: from.column,
  };
}

/** A span inside one physical line that starts at `lineOffset` and has number `line`. */
export function spanInLine(line: number, lineOffset: number, start: number, end: number): Span {
  return { offset: start, length: Math.max(0, end - start), line, column: start - lineOffset + 1 };
}

/** The physical line that contains `offset`, without its line ending. */
export function lineTextAt(text: string, offset: number): string {
  const at = Math.min(Math.max(0, offset), text.length);
  const start = at === 0 ? 0 : text.lastIndexOf('\n', at - 1) + 1;
  const newline = text.indexOf('\n', at);
  const end = newline < 0 ? text.length : newline;
  return text.slice(start, end > start && text[end - 1] === '\r' ? end - 1 : end);
}
