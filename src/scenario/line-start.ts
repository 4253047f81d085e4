/** How a line starts decides what it is. */
import { isCommandWord } from './command-words.ts';
import { isHeaderWord } from './header.ts';
import { isNamePart, isNameStart, isSpace, nameEnd } from './lex.ts';
import type { LogicalLine } from './lines.ts';
import { type Span, spanInLine } from './source.ts';

/** A word at the start of a line, and what follows it. */
export interface LineStart {
  readonly word: string;
  readonly span: Span;
  /** The character right after the word; '' at the end. */
  readonly touching: string;
  /** The next character that is not blank; `==` counts as one. */
  readonly following: string;
}

/** Whether a line that starts so belongs to the header. */
export function isHeaderLine(start: LineStart): boolean {
  return isHeaderWord(start.word) && start.touching !== '(';
}

/** `NAME(`, `NAME: …` or `NAME = …`. `print (a)` and `expect(a)` are no calls. */
export function isCall(start: LineStart): boolean {
  if (start.following === ':' || start.following === '=') return true;
  const takesExpr = start.word === 'expect' || start.word === 'print';
  return start.touching === '(' && !takesExpr;
}

/** The first word of a line; undefined when the line starts with something else. */
export function lineStart(text: string, line: LogicalLine): LineStart | undefined {
  const segment = line.segments.find((candidate) => candidate.end > candidate.start);
  if (segment === undefined || !isNameStart(text.charCodeAt(segment.start))) return undefined;
  let word = readWord(text, segment.start, segment.end);
  // Only command words have hyphens: reverse-step.
  if (text[segment.start + word.length] === '-') {
    const longer = readHyphenated(text, segment.start, segment.end);
    if (isCommandWord(longer)) word = longer;
  }
  const end = segment.start + word.length;
  return {
    word,
    span: spanInLine(segment.line, segment.lineOffset, segment.start, end),
    touching: end < segment.end ? text.charAt(end) : '',
    following: followingCharacter(text, line, end),
  };
}

/** The next character from `at` on that is not blank, also in what continues the line. */
function followingCharacter(text: string, line: LogicalLine, at: number): string {
  for (const segment of line.segments) {
    let next = Math.max(at, segment.start);
    while (next < segment.end && isSpace(text.charCodeAt(next))) next++;
    if (next < segment.end) return text.startsWith('==', next) ? '==' : text.charAt(next);
  }
  return '';
}

/** The name at `start`, or ''. */
export function readWord(text: string, start: number, end: number): string {
  if (start < end && !isNameStart(text.charCodeAt(start))) return '';
  return text.slice(start, nameEnd(text, start, end));
}

function readHyphenated(text: string, start: number, end: number): string {
  let at = start;
  while (at < end && (isNamePart(text.charCodeAt(at)) || text[at] === '-')) at++;
  return text.slice(start, at);
}
