/** Physical lines joined where `\` continues one, with the comment cut off. */
import { isSpace, type Segment } from './lex.ts';
import { type Span, spanInLine } from './source.ts';

export interface LogicalLine {
  /** One piece per physical line, without comment and `\`; blanks at the ends are cut. */
  readonly segments: readonly Segment[];
  readonly comment?: { readonly text: string; readonly span: Span };
}

/** The text of a line's pieces, joined by single blanks. */
export function lineText(text: string, line: LogicalLine): string {
  const pieces = line.segments.map((segment) => text.slice(segment.start, segment.end));
  return pieces.filter((piece) => piece !== '').join(' ');
}

/** From the first to the last word of the line. */
export function lineSpan(line: LogicalLine): Span {
  const used = line.segments.filter((segment) => segment.end > segment.start);
  const first = used[0] ?? line.segments[0];
  if (first === undefined) return { offset: 0, length: 0, line: 1, column: 1 };
  const last = used[used.length - 1] ?? first;
  const span = spanInLine(first.line, first.lineOffset, first.start, first.end);
  return { ...span, length: last.end - first.start };
}

export function isEmptyLine(line: LogicalLine): boolean {
  return line.segments.every((segment) => segment.start >= segment.end);
}

/** Every logical line of the text, in order. Linear. */
export function* logicalLines(text: string): Generator<LogicalLine> {
  let segments: Segment[] = [];
  let number = 0;
  let lineOffset = 0;
  while (lineOffset <= text.length) {
    number++;
    const newline = text.indexOf('\n', lineOffset);
    const next = newline < 0 ? text.length + 1 : newline + 1;
    let end = newline < 0 ? text.length : newline;
    // Blanks at the end cannot be seen, so they do not keep a `\` from continuing the line.
    while (end > lineOffset && isSpace(text.charCodeAt(end - 1))) end--;
    if (newline < 0 && end === lineOffset && segments.length === 0) return;
    const hash = commentStart(text, lineOffset, end);
    const continues = hash < 0 && end > lineOffset && text.charCodeAt(end - 1) === 0x5c;
    const contentEnd = continues ? beforeMarks(text, lineOffset, end) : hash < 0 ? end : hash;
    segments.push(trimmed(text, number, lineOffset, contentEnd));
    if (!continues || newline < 0) {
      yield hash < 0
        ? { segments }
        : {
            segments,
            comment: {
              text: text.slice(hash + 1, end),
              span: spanInLine(number, lineOffset, hash, end),
            },
          };
      segments = [];
    }
    lineOffset = next;
  }
}

/** Several `\` at the end are one mark: no line's text ends with one, so every text can be printed. */
function beforeMarks(text: string, start: number, lineEnd: number): number {
  let end = lineEnd;
  while (end > start && (text[end - 1] === '\\' || isSpace(text.charCodeAt(end - 1)))) end--;
  return end;
}

function trimmed(text: string, line: number, lineOffset: number, lineEnd: number): Segment {
  let start = lineOffset;
  let end = lineEnd;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  return { line, lineOffset, start, end };
}

/**
 * Where a comment starts: a `#` at the line's start or after a blank, outside of double quotes. When
 * the quotes do not match, they are ordinary text. -1 without a comment.
 */
function commentStart(text: string, start: number, end: number): number {
  let inQuotes = false;
  let firstHash = -1;
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x5c && inQuotes) i++;
    else if (code === 0x22) inQuotes = !inQuotes;
    else if (code === 0x23 && (i === start || isSpace(text.charCodeAt(i - 1)))) {
      if (!inQuotes) return i;
      if (firstHash < 0) firstHash = i;
    }
  }
  return inQuotes ? firstHash : -1;
}
