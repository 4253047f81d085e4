/**
 * Scenario text to syntax tree. Line based: a mistake costs its own line and reading goes on, so one
 * run reports many mistakes.
 */
import type {
  Blank,
  Command,
  Comment,
  HeaderLine,
  Operation,
  RaceStatement,
  Scenario,
  Schedule,
  SkippedCall,
  Statement,
  Word,
} from './ast.ts';
import { headerOf } from './ast.ts';
import { calls } from './calls.ts';
import { callError, taskErrors } from './check.ts';
import { commandWords, isCommandWord } from './command-words.ts';
import { Cursor } from './cursor.ts';
import { maxErrors, ScenarioError } from './errors.ts';
import { readExpr } from './expr.ts';
import { headerWords, isHeaderWord, type KnownNames, readHeaderLine } from './header.ts';
import { isDigit, shorten, tokenize } from './lex.ts';
import { isCall, isHeaderLine, type LineStart, lineStart, readWord } from './line-start.ts';
import { isEmptyLine, type LogicalLine, lineSpan, lineText, logicalLines } from './lines.ts';
import { readOperation } from './operation.ts';
import { type Repeat, type Unwritten, type UnwrittenRace, writeOut } from './repeat.ts';
import { type SourceText, type Span, spanInLine } from './source.ts';
import { readPrefix } from './strace-line.ts';
import { didYouMean, nearestName } from './suggest.ts';
import { isSystemCall } from './syscalls.ts';

export interface ParseOptions extends KnownNames {
  /** The text's name in errors. */
  readonly file?: string;
  /** Parameters that shall have another value than the header says. */
  readonly params?: ReadonlyMap<string, number>;
}

export interface ParseResult {
  /** What could be read; complete when there are no errors. */
  readonly scenario: Scenario;
  /** In the order of their lines, at most `maxErrors`. */
  readonly errors: readonly ScenarioError[];
}

/** Reads a whole script. Never throws on any text. */
export function parseScenario(text: string, options: ParseOptions = {}): ParseResult {
  const source = { file: options.file ?? '<scenario>', text };
  const reader = new ScriptReader(source, options);
  for (const line of logicalLines(text)) {
    if (reader.errors.length >= maxErrors) break;
    reader.add(line);
  }
  return reader.finish();
}

/**
 * One statement, as typed at the debugger prompt; undefined for an empty line. Races and `commands`
 * blocks, which take several lines, may be given with line feeds. Throws ScenarioError.
 */
export function parseStatement(text: string, file = '<prompt>'): Statement | undefined {
  const source = { file, text };
  const reader = new ScriptReader(source, {});
  for (const line of logicalLines(text)) reader.add(line);
  const { statements, errors, lastLine } = reader.finishStatement();
  if (errors[0]) throw errors[0];
  const [first, second] = writeOut(source, statements, new Map()).filter(
    ({ kind }) => kind !== 'blank' && kind !== 'comment',
  );
  if (second) {
    const message = 'more than one statement';
    throw new ScenarioError(source, second.span, { message, expected: 'one statement' });
  }
  if (!first && lastLine) {
    const message = 'a header line, not a statement';
    throw new ScenarioError(source, lastLine, { message, expected: statementForms });
  }
  return first;
}

const statementForms = 'a call, race, repeat, expect, print or a debugger command';
const raceForms = 'an operation, schedule WORD, repeat or }';

interface OpenRace {
  readonly span: Span;
  readonly comment?: string;
  readonly body: (RaceStatement | Repeat)[];
  /** The first line that cannot stand in a race was told: the brace is missing, not each line wrong. */
  told: boolean;
}

/** A `repeat` whose brace is not closed yet. */
interface OpenRepeat extends Omit<Repeat, 'body'> {
  readonly body: Unwritten[];
  /** It stands in the race that is open. */
  readonly inRace: boolean;
}

interface OpenBlock {
  readonly command: Command;
  readonly body: Word[];
}

class ScriptReader {
  readonly errors: ScenarioError[] = [];
  readonly #source: SourceText;
  readonly #known: KnownNames;
  readonly #header: HeaderLine[] = [];
  readonly #statements: Unwritten[] = [];
  readonly #params: ReadonlyMap<string, number>;
  /** Comments and blanks whose place (header or body) the next line decides. */
  #waiting: (Comment | Blank)[] = [];
  /** Where what may stand only once was seen: `title`, `kernels`, `config KEY`. */
  readonly #firstLineOf = new Map<string, number>();
  #inHeader = true;
  /** Whether the line before this one was of the header. */
  #wasInHeader = true;
  #race: OpenRace | undefined;
  /** Outermost first. */
  readonly #repeats: OpenRepeat[] = [];
  #block: OpenBlock | undefined;

  constructor(source: SourceText, known: ParseOptions) {
    this.#source = source;
    this.#known = known;
    this.#params = known.params ?? new Map();
  }

  add(line: LogicalLine): void {
    try {
      this.#addLine(line);
    } catch (error) {
      if (!(error instanceof ScenarioError)) throw error;
      this.errors.push(error);
    }
  }

  finish(): ParseResult {
    const { statements: unwritten, errors } = this.finishStatement();
    const header = headerOf(this.#header);
    const params = new Map(header.params.map(({ name, value }) => [name, value]));
    const given = new Map(
      [...this.#params].filter(([name, value]) => params.has(name) && params.get(name) !== value),
    );
    for (const [name, value] of given) params.set(name, value);
    let statements: Statement[] = [];
    try {
      statements = writeOut(this.#source, unwritten, params);
    } catch (error) {
      if (!(error instanceof ScenarioError)) throw error;
      errors.push(error);
    }
    const scenario: Scenario = {
      source: this.#source,
      origin: 'script',
      header,
      statements,
      ...(given.size === 0 ? {} : { given }),
    };
    if (errors.length === 0) errors.push(...taskErrors(scenario).slice(0, maxErrors));
    return { scenario, errors };
  }

  finishStatement() {
    this.#placeWaiting();
    if (this.#race) this.#unclosed(this.#race.span, 'race', 'a line with }');
    for (const block of this.#repeats) this.#unclosed(block.span, 'repeat', 'a line with }');
    if (this.#block) this.#unclosed(this.#block.command.span, 'commands', 'a line with end');
    const lastLine = this.#header[this.#header.length - 1]?.span;
    return { statements: this.#statements, errors: this.errors, lastLine };
  }

  #placeWaiting(): void {
    for (const trivia of this.#waiting) this.#body().push(trivia);
    this.#waiting = [];
  }

  /** Where statements outside of a race go. */
  #body(): Unwritten[] {
    return this.#repeats.at(-1)?.body ?? this.#statements;
  }

  /** Where the lines of the open race go. */
  #raceBody(race: OpenRace): Unwritten[] {
    const block = this.#repeats.at(-1);
    return block?.inRace === true ? block.body : (race.body as Unwritten[]);
  }

  #unclosed(span: Span, what: string, expected: string): void {
    if (this.errors.length >= maxErrors) return;
    const message = `this ${what} block is not closed`;
    this.errors.push(new ScenarioError(this.#source, span, { message, expected }));
  }

  #addLine(line: LogicalLine): void {
    if (this.#block) {
      this.#addToBlock(this.#block, line);
    } else if (isEmptyLine(line)) {
      this.#addTrivia(line);
    } else {
      const start = lineStart(this.#source.text, line);
      if (start && isHeaderLine(start)) this.#addHeaderLine(start, line);
      else this.#addStatementLine(start, line);
    }
  }

  #addTrivia(line: LogicalLine): void {
    const span = lineSpan(line);
    const trivia: Comment | Blank = line.comment
      ? { kind: 'comment', text: line.comment.text.trimEnd(), span: line.comment.span }
      : { kind: 'blank', span };
    const place = this.#race ? this.#raceBody(this.#race) : this.#waiting;
    const before = place[place.length - 1] ?? this.#lastPlaced();
    if (trivia.kind === 'blank' && before?.kind === 'blank') return;
    place.push(trivia);
  }

  #lastPlaced(): HeaderLine | Unwritten | undefined {
    if (this.#race) return undefined;
    return this.#statements[this.#statements.length - 1] ?? this.#header[this.#header.length - 1];
  }

  #addHeaderLine(start: LineStart, line: LogicalLine): void {
    if (start.following === ':' || start.following === '=') {
      throw this.#error(start.span, {
        message: `unexpected ${start.following} after ${start.word}`,
        hint: `write ${start.word} and its text, with a blank between`,
      });
    }
    if (!this.#inHeader) {
      throw this.#error(start.span, {
        message: `${start.word} after the first statement`,
        hint: 'header lines stand at the top of the file',
      });
    }
    const rest = lineText(this.#source.text, line).slice(start.word.length).trim();
    const parsed = readHeaderLine(this.#source, line, rest, this.#known);
    this.#checkDuplicates(start, parsed);
    for (const trivia of this.#waiting) this.#header.push(trivia);
    this.#waiting = [];
    this.#header.push(parsed);
  }

  #checkDuplicates(start: LineStart, parsed: HeaderLine): void {
    const isSingle = parsed.kind === 'title' || parsed.kind === 'kernels';
    const earlier = isSingle ? this.#firstLineOf.get(start.word) : undefined;
    if (earlier !== undefined) {
      throw this.#error(start.span, {
        message: `a second ${start.word}`,
        expected: `one ${start.word}`,
        hint: `the first is in line ${earlier}`,
      });
    }
    if (isSingle) this.#firstLineOf.set(start.word, start.span.line);
    if (parsed.kind !== 'config' && parsed.kind !== 'param') return;
    for (const entry of parsed.entries) {
      const key = 'key' in entry ? entry.key : entry.name;
      const first = this.#firstLineOf.get(`${parsed.kind} ${key}`);
      if (first !== undefined) {
        const hint = `the first is in line ${first}`;
        const does = parsed.kind === 'config' ? 'is configured' : 'is given';
        throw this.#error(entry.span, { message: `${key} ${does} twice`, hint });
      }
      this.#firstLineOf.set(`${parsed.kind} ${key}`, entry.span.line);
    }
  }

  #addStatementLine(start: LineStart | undefined, line: LogicalLine): void {
    // Even a wrong statement ends the header: the lines after it are judged as a body.
    this.#wasInHeader = this.#inHeader;
    this.#inHeader = false;
    this.#placeWaiting();
    const race = this.#race;
    const block = this.#repeats.at(-1);
    const isBrace = start === undefined && lineText(this.#source.text, line) === '}';
    if (isBrace && block !== undefined && (race === undefined || block.inRace)) {
      this.#closeRepeat(block, line);
    } else if (isBrace && race !== undefined) {
      this.#closeRace(race, line);
    } else if (race) {
      const statement = this.#readInRace(race, start, line);
      if (statement) this.#raceBody(race).push(statement);
    } else {
      const statement = this.#readStatement(start, line);
      if (statement) this.#body().push(statement);
    }
  }

  /** A statement, or undefined when the line opened a block. */
  #readStatement(start: LineStart | undefined, line: LogicalLine): Statement | undefined {
    if (start === undefined || isCall(start)) return this.#readCall(line);
    switch (start.word) {
      case 'race':
        this.#openRace(line);
        return undefined;
      case 'repeat':
        this.#openRepeat(line, false);
        return undefined;
      case 'expect':
      case 'print':
        return this.#readExprStatement(start.word, line);
      case 'schedule':
        throw this.#error(start.span, {
          message: 'schedule outside of a race',
          hint: 'a schedule orders the lines of one race: write it inside the braces',
        });
      default:
        if (isCommandWord(start.word)) return this.#readCommand(start, line);
        throw this.#unknown(start, line, statementForms, statementWords);
    }
  }

  /** A statement inside a race, or undefined when the line opened a block. */
  #readInRace(
    race: OpenRace,
    start: LineStart | undefined,
    line: LogicalLine,
  ): RaceStatement | undefined {
    if (start === undefined || isCall(start)) return this.#readCall(line);
    if (start.word === 'schedule') return this.#readSchedule(line);
    if (start.word === 'repeat') {
      this.#openRepeat(line, true);
      return undefined;
    }
    const isStatement = statementWords.includes(start.word);
    if (isStatement && start.word !== 'race') {
      if (race.told) return blankAt(start.span);
      race.told = true;
      throw this.#error(start.span, {
        message: `${start.word} inside a race`,
        expected: raceForms,
        hint: `close the race with } before this line, or move ${start.word} out of it`,
      });
    }
    if (start.word === 'race') {
      const hint = `the race of line ${race.span.line} is still open`;
      throw this.#error(start.span, { message: 'a race inside a race', expected: raceForms, hint });
    }
    throw this.#unknown(start, line, raceForms, ['schedule', 'repeat', ...calls.keys()]);
  }

  #readCall(line: LogicalLine): Operation | SkippedCall {
    const { text } = this.#source;
    const span = lineSpan(line);
    const comment = commentOf(line);
    const first = line.segments.find((segment) => segment.end > segment.start);
    const code = text.charCodeAt(span.offset);
    const isTraced = isDigit(code) || text.startsWith('[pid', span.offset);
    let segments = line.segments;
    let actor: Operation['actor'] | undefined;
    if (isTraced && first) {
      const prefix = readPrefix(text, first.start, first.end);
      const ownerSpan = spanInLine(first.line, first.lineOffset, first.start, prefix.at);
      segments = line.segments.map((segment) =>
        segment === first ? { ...first, start: prefix.at } : segment,
      );
      // A stamp orders nothing between a script's lines, so it is not kept.
      if (prefix.pid !== undefined) actor = { kind: 'pid', pid: prefix.pid, span: ownerSpan };
      const mark = text.slice(prefix.at, prefix.at + 4);
      if (mark === '+++ ' || mark === '--- ') {
        return {
          kind: 'skipped',
          callee: mark.trim(),
          text: lineText(text, line),
          span,
          ...comment,
        };
      }
      if (
        mark.startsWith('<...') ||
        text.startsWith('<unfinished ...>', span.offset + span.length - 16)
      ) {
        throw this.#error(span, {
          message: 'half a call of an strace log',
          hint: 'interrupted calls are joined in a log of their own, not between other statements',
        });
      }
    }
    const skipped = this.#skippedCall(line, segments, actor !== undefined);
    if (skipped) return { ...skipped, ...comment };
    const cursor = new Cursor(this.#source, tokenize(text, segments), actor !== undefined);
    const start = { origin: 'script' as const, span, ...(actor ? { actor } : {}) };
    const operation = readOperation(cursor, start);
    const error = callError(this.#source, operation);
    if (error) throw error;
    return { ...operation, ...comment };
  }

  /** A recorded call that concerns neither memory nor processes: it has an owner or a result. */
  #skippedCall(
    line: LogicalLine,
    segments: LogicalLine['segments'],
    hasOwner: boolean,
  ): SkippedCall | undefined {
    const first = segments.find((segment) => segment.end > segment.start);
    if (first === undefined) return undefined;
    const word = readWord(this.#source.text, first.start, first.end);
    if (this.#source.text[first.start + word.length] !== '(') return undefined;
    if (calls.has(word) || !isSystemCall(word)) return undefined;
    const text = lineText(this.#source.text, line);
    const hasResult = text.includes(') = ') || text.includes(')  ');
    if (!hasOwner && !hasResult) return undefined;
    return { kind: 'skipped', callee: word, text, span: lineSpan(line) };
  }

  #readExprStatement(kind: 'expect' | 'print', line: LogicalLine): Statement {
    const { kernels, rest } =
      kind === 'expect' ? this.#onKernels(line) : { kernels: [], rest: line };
    const cursor = this.#cursor(rest);
    if (kernels.length === 0) cursor.next();
    const expr = readExpr(cursor);
    if (cursor.peek().kind !== 'end') {
      const hint = cursor.isOp('=') ? 'comparison is written ==' : undefined;
      throw cursor.unexpected('an operator or the end of the line', hint);
    }
    const where = kernels.length === 0 ? {} : { kernels };
    return { kind, expr, ...where, span: lineSpan(line), ...commentOf(line) };
  }

  /** `expect KERNEL…:` and what follows it; without names the line as it is. */
  #onKernels(line: LogicalLine): { kernels: readonly Word[]; rest: LogicalLine } {
    const [first, ...others] = line.segments;
    const text = first === undefined ? '' : this.#source.text.slice(first.start, first.end);
    const match = /^expect\s+([\w.-]+(?:\s+[\w.-]+)*)\s*:(?=\s)/.exec(text);
    if (first === undefined || match === null) return { kernels: [], rest: line };
    const about = this.#header.find((each) => each.kind === 'kernels');
    const known = about?.kind === 'kernels' ? about.kernels.map((word) => word.text) : [];
    const kernels = [...(match[1] ?? '').matchAll(/\S+/g)].map((word) => {
      const start = first.start + match[0].indexOf(match[1] ?? '') + word.index;
      const span = spanInLine(first.line, first.lineOffset, start, start + word[0].length);
      if (known.includes(word[0])) return { text: word[0], span };
      throw this.#error(span, {
        message: `${shorten(word[0])} is not in the kernels line`,
        expected:
          known.length === 0 ? 'a kernels line in the header' : `one of ${known.join(', ')}`,
        hint: didYouMean(word[0], known),
      });
    });
    const rest = { ...first, start: first.start + match[0].length };
    return { kernels, rest: { ...line, segments: [rest, ...others] } };
  }

  #readSchedule(line: LogicalLine): Schedule {
    const text = lineText(this.#source.text, line);
    const word = text.slice('schedule'.length).trim();
    const span = lineSpan(line);
    if (word === '' || /\s/.test(word)) {
      const message = word === '' ? 'schedule without a word' : 'schedule takes one word';
      throw this.#error(span, { message, expected: 'schedule WORD' });
    }
    const other = this.#race?.body.find((statement) => statement.kind === 'schedule');
    if (other) {
      const hint = `the first is in line ${other.span.line}`;
      throw this.#error(span, { message: 'a second schedule in this race', hint });
    }
    return { kind: 'schedule', word, span, ...commentOf(line) };
  }

  #openRace(line: LogicalLine): void {
    // Opened even when the line goes on wrongly: the lines after it are in the race.
    this.#race = { span: lineSpan(line), ...commentOf(line), body: [], told: false };
    const cursor = this.#cursor(line);
    cursor.next();
    cursor.needOp('{', '{ after race');
    if (cursor.peek().kind !== 'end') {
      throw cursor.unexpected('the end of the line', 'each operation has a line of its own');
    }
  }

  #closeRace(race: OpenRace, line: LogicalLine): void {
    const { offset, line: number, column } = race.span;
    const end = lineSpan(line);
    const length = end.offset + end.length - offset;
    const span = { offset, length, line: number, column };
    const comment = race.comment === undefined ? {} : { comment: race.comment };
    const statement: UnwrittenRace = { kind: 'race', body: race.body, span, ...comment };
    this.#race = undefined;
    this.#body().push(statement);
    if (line.comment) {
      const { text, span: at } = line.comment;
      this.#body().push({ kind: 'comment', text: text.trimEnd(), span: at });
    }
  }

  /** `repeat NAME = FROM..TO {`. */
  #openRepeat(line: LogicalLine, inRace: boolean): void {
    const cursor = this.#cursor(line);
    cursor.next();
    const name = cursor.peek();
    if (name.kind !== 'name') throw cursor.unexpected('a name, as in repeat i = 1..10 {');
    cursor.next();
    cursor.needOp('=', '= and two numbers, as in repeat i = 1..10 {');
    const from = readExpr(cursor);
    cursor.needOp('..', '.. and the last number');
    const to = readExpr(cursor);
    cursor.needOp('{', '{ after the last number');
    if (cursor.peek().kind !== 'end') throw cursor.unexpected('the end of the line');
    this.#repeats.push({
      kind: 'repeat',
      name: { text: name.text, span: name.span },
      from,
      to,
      body: [],
      inRace,
      span: lineSpan(line),
      ...commentOf(line),
    });
  }

  #closeRepeat(block: OpenRepeat, line: LogicalLine): void {
    this.#repeats.pop();
    const { offset } = block.span;
    const end = lineSpan(line);
    const span = { ...block.span, length: end.offset + end.length - offset };
    // Said once in the text, comments are not said again for each number.
    const body = block.body.filter(({ kind }) => kind !== 'comment' && kind !== 'blank');
    const repeat: Repeat = { ...block, body, span };
    if (block.inRace && this.#race !== undefined) this.#raceBody(this.#race).push(repeat);
    else this.#body().push(repeat);
  }

  #readCommand(start: LineStart, line: LogicalLine): Command | undefined {
    const rest = lineText(this.#source.text, line).slice(start.word.length).trim();
    const span = lineSpan(line);
    const command: Command = { kind: 'command', word: start.word, rest, span, ...commentOf(line) };
    if (start.word !== 'commands') return command;
    this.#block = { command, body: [] };
    return undefined;
  }

  #addToBlock(block: OpenBlock, line: LogicalLine): void {
    const text = lineText(this.#source.text, line);
    if (text === '') return;
    if (text !== 'end') {
      block.body.push({ text, span: lineSpan(line) });
      return;
    }
    this.#block = undefined;
    this.#body().push({ ...block.command, body: block.body });
  }

  #unknown(
    start: LineStart,
    line: LogicalLine,
    expected: string,
    words: readonly string[],
  ): ScenarioError {
    const following = lineText(this.#source.text, line).slice(start.word.length).trim();
    const call = readWord(following, 0, following.length);
    const isCallNext = call !== '' && following[call.length] === '(';
    const near = nearestName(start.word, words);
    // A mistyped header word does not end the header.
    if (near !== undefined && isHeaderWord(near)) this.#inHeader = this.#wasInHeader;
    const guess = isCallNext ? `${start.word}: ${call}(…)` : near;
    return this.#error(start.span, {
      message: `unexpected ${shorten(start.word)}`,
      expected: this.#wasInHeader ? `a header line, ${expected}` : expected,
      hint: guess === undefined ? undefined : `did you mean ${guess}?`,
    });
  }

  #cursor(line: LogicalLine): Cursor {
    return new Cursor(this.#source, tokenize(this.#source.text, line.segments));
  }

  #error(
    span: Span,
    what: { message: string; expected?: string | undefined; hint?: string | undefined },
  ): ScenarioError {
    return new ScenarioError(this.#source, span, what);
  }
}

const statementWords: readonly string[] = [
  'race',
  'repeat',
  'expect',
  'print',
  ...headerWords,
  ...commandWords,
];

function blankAt(span: Span): Blank {
  return { kind: 'blank', span };
}

function commentOf(line: LogicalLine): { comment?: string } {
  return line.comment ? { comment: line.comment.text.trimEnd() } : {};
}
