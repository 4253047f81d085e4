/** Header lines: title, about, kernels, config, param, verdict. */
import type { ConfigEntry, HeaderLine, Line, ParamEntry, Word } from './ast.ts';
import { type ErrorText, ScenarioError } from './errors.ts';
import { isSpace, readNumber, shorten } from './lex.ts';
import { isEmptyLine, type LogicalLine, lineSpan } from './lines.ts';
import { type SourceText, type Span, spanInLine } from './source.ts';
import { didYouMean } from './suggest.ts';

export const headerWords: readonly string[] = [
  'title',
  'about',
  'kernels',
  'config',
  'param',
  'verdict',
];

/** What a `config` key takes: a count, a size or address in bytes, or one of some words. */
export const configKeys: ReadonlyMap<string, 'count' | 'bytes' | readonly string[]> = new Map<
  string,
  'count' | 'bytes' | readonly string[]
>([
  ['cpus', 'count'],
  ['memory', 'bytes'],
  ['swap', 'bytes'],
  ['seed', 'count'],
  ['thp', ['never', 'madvise', 'always']],
  ['ksm', ['off', 'on']],
  ['overcommit', ['heuristic', 'always', 'never']],
  ['max_map_count', 'count'],
  ['memlock', 'bytes'],
  ['arena_start', 'bytes'],
  ['arena_end', 'bytes'],
  ['brk', 'bytes'],
  ['touch', ['none', 'first', 'writable', 'all']],
  ['preempt', ['none', 'voluntary', 'full']],
]);

/** Names the header may use, where the caller knows them. */
export interface KnownNames {
  readonly kernels?: Iterable<string> | undefined;
  readonly findings?: Iterable<string> | undefined;
}

/** Whether a line whose first word this is belongs to the header. */
export function isHeaderWord(word: string): boolean {
  return headerWords.includes(word);
}

/** One header line; `words` are all its words, the first names the line. Throws ScenarioError. */
export function readHeaderLine(
  source: SourceText,
  line: LogicalLine,
  rest: string,
  known: KnownNames,
): HeaderLine {
  const words = wordsOf(source.text, line);
  const [first, ...values] = words;
  const base: Line = {
    span: lineSpan(line),
    ...(line.comment && !isEmptyLine(line) ? { comment: line.comment.text.trimEnd() } : {}),
  };
  const kind = first?.text ?? '';
  if (values[0] === undefined) {
    const span = first?.span ?? base.span;
    throw headerError(source, span, { message: `empty ${kind}`, expected: usage[kind] });
  }
  switch (kind) {
    case 'title':
    case 'about':
      return { kind, text: rest, ...base };
    case 'kernels':
      for (const [i, word] of values.entries()) {
        checkName(source, word, known.kernels, 'kernel');
        if (values.findIndex((other) => other.text === word.text) < i) {
          throw headerError(source, word.span, { message: `${word.text} is named twice` });
        }
      }
      return { kind, kernels: values, ...base };
    case 'config':
      return { kind, entries: values.map((word) => readEntry(source, word)), ...base };
    case 'param':
      return { kind, entries: values.map((word) => readParam(source, word)), ...base };
    default:
      return { kind: 'verdict', ...readVerdict(source, values, known), ...base };
  }
}

const usage: Readonly<Record<string, string>> = {
  title: 'title TEXT',
  about: 'about TEXT',
  kernels: 'kernels NAME…',
  config: 'config KEY=VALUE…',
  param: 'param NAME=NUMBER…',
  verdict: 'verdict KERNEL…: FINDING…, or verdict KERNEL…: none',
};

function wordsOf(text: string, line: LogicalLine): Word[] {
  const words: Word[] = [];
  for (const segment of line.segments) {
    let at = segment.start;
    while (at < segment.end) {
      while (at < segment.end && isSpace(text.charCodeAt(at))) at++;
      const start = at;
      while (at < segment.end && !isSpace(text.charCodeAt(at))) at++;
      if (at === start) break;
      const span = spanInLine(segment.line, segment.lineOffset, start, at);
      words.push({ text: text.slice(start, at), span });
    }
  }
  return words;
}

function readEntry(source: SourceText, word: Word): ConfigEntry {
  const equals = word.text.indexOf('=');
  const key = equals < 0 ? word.text : word.text.slice(0, equals);
  const wanted = configKeys.get(key);
  if (wanted === undefined) {
    throw headerError(source, partOf(word, 0, key.length), {
      message: `no config key named ${shorten(key)}`,
      expected: `one of ${[...configKeys.keys()].join(', ')}`,
      hint: didYouMean(key, configKeys.keys()),
    });
  }
  const text = equals < 0 ? '' : word.text.slice(equals + 1);
  const span = partOf(word, Math.max(0, equals + 1), word.text.length);
  if (text === '') {
    const what = { message: `${key} has no value`, expected: `${key}=VALUE, without blanks` };
    throw headerError(source, word.span, what);
  }
  if (typeof wanted === 'object') {
    if (wanted.includes(text)) return { key, text, value: text, span: word.span };
    throw headerError(source, span, {
      message: `${key} cannot be ${shorten(text)}`,
      expected: wanted.join(', '),
      hint: didYouMean(text, wanted),
    });
  }
  const value = /^[0-9]/.test(text) ? readNumber(text) : undefined;
  if (typeof value === 'number') return { key, text, value, span: word.span };
  const message = value?.message ?? `${key} cannot be ${shorten(text)}`;
  const expected = wanted === 'count' ? 'a number' : 'a size such as 64M';
  throw headerError(source, span, { message, expected, hint: value?.hint });
}

function readParam(source: SourceText, word: Word): ParamEntry {
  const [, name = '', text = ''] = /^([A-Za-z_]\w*)=(.+)$/.exec(word.text) ?? [];
  const value = /^[0-9]/.test(text) ? readNumber(text) : undefined;
  if (typeof value === 'number') return { name, text, value, span: word.span };
  throw headerError(source, word.span, {
    message: value?.message ?? `${shorten(word.text)} is no parameter`,
    expected: 'param NAME=NUMBER…, without blanks around =',
    hint: value?.hint,
  });
}

function readVerdict(
  source: SourceText,
  values: readonly Word[],
  known: KnownNames,
): { kernels: Word[]; findings: Word[] } {
  const kernels: Word[] = [];
  let findings: Word[] = [];
  let seenColon = false;
  for (const word of values) {
    const colon = seenColon ? -1 : word.text.indexOf(':');
    if (colon < 0) {
      findings.push(word);
      continue;
    }
    seenColon = true;
    kernels.push(...findings);
    if (colon > 0) kernels.push(cutWord(word, 0, colon));
    findings = colon + 1 < word.text.length ? [cutWord(word, colon + 1, word.text.length)] : [];
  }
  const last = values[values.length - 1] as Word;
  if (findings.length === 0) {
    const what = { message: 'a verdict without findings', expected: usage.verdict };
    throw headerError(source, last.span, what);
  }
  if (seenColon && kernels.length === 0) {
    const what = { message: 'a verdict without kernels before the colon', expected: usage.verdict };
    throw headerError(source, values[0]?.span ?? last.span, what);
  }
  for (const word of kernels) checkName(source, word, known.kernels, 'kernel');
  for (const word of findings) {
    if (word.text !== 'none') checkName(source, word, known.findings, 'finding');
    else if (findings.length > 1) {
      const what = { message: 'none stands alone', expected: usage.verdict };
      throw headerError(source, word.span, what);
    }
  }
  return { kernels, findings };
}

function checkName(
  source: SourceText,
  word: Word,
  known: Iterable<string> | undefined,
  what: string,
): void {
  if (known === undefined) return;
  const names = [...known];
  if (names.includes(word.text)) return;
  throw headerError(source, word.span, {
    message: `no ${what} named ${shorten(word.text)}`,
    expected: `one of ${names.slice(0, 30).join(', ')}`,
    hint: didYouMean(word.text, names),
  });
}

function partOf(word: Word, from: number, to: number): Span {
  const { span } = word;
  return { ...span, offset: span.offset + from, column: span.column + from, length: to - from };
}

function cutWord(word: Word, from: number, to: number): Word {
  return { text: word.text.slice(from, to), span: partOf(word, from, to) };
}

function headerError(source: SourceText, span: Span, what: ErrorText): ScenarioError {
  return new ScenarioError(source, span, what);
}
