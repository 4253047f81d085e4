/**
 * Words of one line. Nothing here fails: text that is no word becomes a `bad` token that carries its
 * complaint, so that a line nobody looks into (a skipped call) is never an error.
 */
import { constantValue } from './constants.ts';
import { type Span, spanInLine } from './source.ts';

export type Token =
  | { readonly kind: 'number'; readonly text: string; readonly value: number; readonly span: Span }
  | { readonly kind: 'name'; readonly text: string; readonly span: Span }
  | {
      readonly kind: 'string';
      readonly text: string;
      readonly value: string;
      readonly truncated: boolean;
      readonly span: Span;
    }
  | {
      readonly kind: 'fd';
      readonly text: string;
      readonly fd: number;
      readonly path: string;
      readonly span: Span;
    }
  | { readonly kind: 'op'; readonly text: string; readonly span: Span }
  | {
      readonly kind: 'bad';
      readonly text: string;
      readonly message: string;
      readonly expected?: string;
      readonly hint?: string;
      readonly span: Span;
    }
  | { readonly kind: 'end'; readonly text: ''; readonly span: Span };

/** A piece of one physical line: offsets into the text, `lineOffset` where the line starts. */
export interface Segment {
  readonly line: number;
  readonly lineOffset: number;
  readonly start: number;
  readonly end: number;
}

const operators = ['...', '..', '=>', '==', '!=', '<=', '>=', '||', '&&'];

/** Words of the segments, ended by one `end` token. Linear in their length. */
export function tokenize(text: string, segments: readonly Segment[]): Token[] {
  const tokens: Token[] = [];
  for (const segment of segments) tokenizeSegment(text, segment, tokens);
  const last = segments[segments.length - 1];
  const end = last ?? { line: 1, lineOffset: 0, start: 0, end: 0 };
  const previous = tokens[tokens.length - 1];
  const at = previous && previous.span.line === end.line ? spanEnd(previous.span) : end.end;
  tokens.push({ kind: 'end', text: '', span: spanInLine(end.line, end.lineOffset, at, at) });
  return tokens;
}

function spanEnd(span: Span): number {
  return span.offset + span.length;
}

function tokenizeSegment(text: string, segment: Segment, tokens: Token[]): void {
  const { line, lineOffset, end } = segment;
  const spanOf = (from: number, to: number) => spanInLine(line, lineOffset, from, to);
  let at = segment.start;
  while (at < end) {
    const code = text.charCodeAt(at);
    if (isSpace(code)) {
      at++;
    } else if (isDigit(code)) {
      at = pushNumber(text, at, end, spanOf, tokens);
    } else if (isNameStart(code)) {
      at = pushName(text, at, nameEnd(text, at, end), end, spanOf, tokens);
    } else if (code === 0x22) {
      at = pushString(text, at, end, spanOf, tokens);
    } else if (code === 0x2f && text.charCodeAt(at + 1) === 0x2a) {
      at = afterRemark(text, at, end, spanOf, tokens);
    } else {
      const operator = operators.find((known) => text.startsWith(known, at)) ?? charAt(text, at);
      const to = Math.min(end, at + operator.length);
      tokens.push({ kind: 'op', text: text.slice(at, to), span: spanOf(at, to) });
      at = to;
    }
  }
}

type SpanOf = (from: number, to: number) => Span;

/** Digits, `0x…`, leading-0 octal, with a size suffix; or strace's `3</path>`. */
function pushNumber(
  text: string,
  at: number,
  end: number,
  spanOf: SpanOf,
  tokens: Token[],
): number {
  let to = at + 1;
  while (to < end && isNamePart(text.charCodeAt(to))) to++;
  const word = text.slice(at, to);
  const span = spanOf(at, to);
  const number = readNumber(word);
  if (typeof number !== 'number') {
    tokens.push({ kind: 'bad', text: word, span, ...number });
    return to;
  }
  const close = decorationEnd(text, to, end);
  if (close > 0) {
    const path = text.slice(to + 1, close);
    const whole = text.slice(at, close + 1);
    tokens.push({ kind: 'fd', text: whole, fd: number, path, span: spanOf(at, close + 1) });
    return close + 1;
  }
  tokens.push({ kind: 'number', text: word, value: number, span });
  return to;
}

function pushName(
  text: string,
  at: number,
  to: number,
  end: number,
  spanOf: SpanOf,
  tokens: Token[],
): number {
  const name = text.slice(at, to);
  const close = name === 'AT_FDCWD' ? decorationEnd(text, to, end) : 0;
  if (close > 0) {
    const fd = constantValue(name) ?? 0;
    const path = text.slice(to + 1, close);
    const span = spanOf(at, close + 1);
    tokens.push({ kind: 'fd', text: text.slice(at, close + 1), fd, path, span });
    return close + 1;
  }
  tokens.push({ kind: 'name', text: name, span: spanOf(at, to) });
  return to;
}

/**
 * Where the `>` of strace's `<path>` or `<pipe:[7]>` decoration at `at` stands, or 0. A comparison is
 * not taken for one: a decoration touches its number and starts with `/` or `word:[`.
 */
function decorationEnd(text: string, at: number, end: number): number {
  if (text.charCodeAt(at) !== 0x3c || at + 1 >= end) return 0;
  if (text.charCodeAt(at + 1) !== 0x2f) {
    let colon = at + 1;
    while (colon < end && (isNamePart(text.charCodeAt(colon)) || text[colon] === '-')) colon++;
    if (text[colon] !== ':' || text[colon + 1] !== '[') return 0;
    const close = text.indexOf(']>', colon);
    return close < 0 || close + 1 >= end ? 0 : close + 1;
  }
  let depth = 0;
  for (let i = at; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x3c) depth++;
    else if (code === 0x3e && --depth === 0) return i;
  }
  return 0;
}

/** A `"…"` string with C escapes, or the complaint that it does not end. */
function pushString(
  text: string,
  at: number,
  end: number,
  spanOf: SpanOf,
  tokens: Token[],
): number {
  const parts: string[] = [];
  let plain = at + 1;
  let i = at + 1;
  while (i < end) {
    const code = text.charCodeAt(i);
    if (code === 0x22) {
      parts.push(text.slice(plain, i));
      const truncated = text.startsWith('...', i + 1) && i + 4 <= end;
      const to = truncated ? i + 4 : i + 1;
      const span = spanOf(at, to);
      const value = parts.length === 1 ? (parts[0] ?? '') : parts.join('');
      tokens.push({ kind: 'string', text: text.slice(at, to), value, truncated, span });
      return to;
    }
    if (code === 0x5c && i + 1 < end) {
      parts.push(text.slice(plain, i));
      const read = readEscape(text, i + 1, end);
      parts.push(read.value);
      i = read.next;
      plain = i;
    } else {
      i++;
    }
  }
  tokens.push({
    kind: 'bad',
    text: text.slice(at, end),
    message: 'a string that does not end',
    expected: 'a closing "',
    span: spanOf(at, end),
  });
  return end;
}

const plainEscapes: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  v: '\v',
  f: '\f',
  a: '\x07',
  b: '\b',
  e: '\x1b',
};

/** The escape whose letter stands at `at`: `n`, `x41`, octal `101`; any other letter is itself. */
function readEscape(text: string, at: number, end: number): { value: string; next: number } {
  const letter = charAt(text, at);
  if (letter === 'x' && isHexDigit(text.charCodeAt(at + 1)) && at + 1 < end) {
    const two = at + 2 < end && isHexDigit(text.charCodeAt(at + 2));
    const digits = text.slice(at + 1, two ? at + 3 : at + 2);
    return { value: String.fromCharCode(Number.parseInt(digits, 16)), next: two ? at + 3 : at + 2 };
  }
  if (letter >= '0' && letter <= '7') {
    let to = at + 1;
    while (to < end && to < at + 3 && text.charAt(to) >= '0' && text.charAt(to) <= '7') to++;
    const code = Number.parseInt(text.slice(at, to), 8) & 0xff;
    return { value: String.fromCharCode(code), next: to };
  }
  return { value: plainEscapes[letter] ?? letter, next: at + letter.length };
}

/** strace's remarks in C comments are no words; one without an end is reported. */
function afterRemark(
  text: string,
  at: number,
  end: number,
  spanOf: SpanOf,
  tokens: Token[],
): number {
  for (let i = at + 2; i + 1 < end; i++) {
    if (text.charCodeAt(i) === 0x2a && text.charCodeAt(i + 1) === 0x2f) return i + 2;
  }
  const message = 'a /* remark that does not end';
  tokens.push({ kind: 'bad', text: text.slice(at, end), message, span: spanOf(at, end) });
  return end;
}

const suffixBytes: Readonly<Record<string, number>> = {
  '': 1,
  p: 2 ** 12,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

const numberForms = 'digits or 0x…, then nothing, p (4 KiB pages), K, M, G or T';

/** The value in bytes of `4096`, `0x1000`, `010`, `4p`, `16K`; or what is wrong with it. */
export function readNumber(
  word: string,
): number | { message: string; expected: string; hint?: string } {
  const isHex = word.startsWith('0x') || word.startsWith('0X');
  let to = isHex ? 2 : 0;
  while (to < word.length && (isHex ? isHexDigit : isDigit)(word.charCodeAt(to))) to++;
  const digits = word.slice(isHex ? 2 : 0, to);
  const suffix = word.slice(to);
  const bytes = suffixBytes[suffix];
  if (bytes === undefined || !Object.hasOwn(suffixBytes, suffix)) {
    const message = `bad number ${shorten(word)}: no size is called ${shorten(suffix)}`;
    const near = suffix === 'P' ? 'p' : suffix.charAt(0).toUpperCase();
    const hint = Object.hasOwn(suffixBytes, near) ? `did you mean ${digits}${near}?` : undefined;
    return { message, expected: numberForms, ...(hint && near !== '' ? { hint } : {}) };
  }
  if (digits === '') return { message: `bad number ${word}`, expected: numberForms };
  const isOctal = !isHex && digits.length > 1 && digits.startsWith('0') && suffix === '';
  if (isOctal && /[89]/.test(digits)) {
    const hint = `did you mean ${digits.replace(/^0+/, '')}?`;
    return { message: `bad octal number ${shorten(word)}`, expected: 'digits 0 to 7', hint };
  }
  const value = Number.parseInt(digits, isHex ? 16 : isOctal ? 8 : 10) * bytes;
  if (value > Number.MAX_SAFE_INTEGER) {
    const message = `number ${shorten(word)} is too large`;
    return { message, expected: 'at most 2^53 - 1' };
  }
  return value;
}

/** Text for an error message: the first 24 units. */
export function shorten(text: string): string {
  return text.length <= 24 ? text : `${text.slice(0, 24)}…`;
}

/** The character at `at`, whole even when it takes two units. */
function charAt(text: string, at: number): string {
  return String.fromCodePoint(text.codePointAt(at) ?? 0);
}

/** Blanks, as JavaScript's `trim` sees them: both are used on the same text. */
export function isSpace(code: number): boolean {
  if (code < 0x80) return code === 0x20 || (code >= 0x09 && code <= 0x0d);
  return code === 0xa0 || code === 0xfeff || (code >= 0x1680 && isWideSpace(code));
}

function isWideSpace(code: number): boolean {
  return (
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  );
}

export function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function isHexDigit(code: number): boolean {
  return isDigit(code) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66);
}

export function isNameStart(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || code === 0x5f;
}

export function isNamePart(code: number): boolean {
  return isNameStart(code) || isDigit(code);
}

/** Where the name at `at` ends. Inside `repeat` a name may have numbers to be filled in: `C{i-1}`. */
export function nameEnd(text: string, at: number, end: number): number {
  let to = at;
  for (;;) {
    while (to < end && isNamePart(text.charCodeAt(to))) to++;
    if (to === at || text[to] !== '{') return to;
    let close = to + 1;
    while (close < end && isNumberPart(text.charCodeAt(close))) close++;
    if (close >= end || close === to + 1 || text[close] !== '}') return to;
    to = close + 1;
  }
}

/** What may stand between the braces of a name: numbers, names, + - * / and parentheses. */
function isNumberPart(code: number): boolean {
  return isNamePart(code) || '+-*/()'.includes(String.fromCharCode(code));
}
