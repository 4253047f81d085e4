/** Operation lines: `[ACTOR:] [NAME =] call(args) [= RESULT]`, and the same as strace prints it. */
import type { Actor, Expr, Operation, Origin, Result, Word } from './ast.ts';
import { isKernelThread } from './ast.ts';
import { calls } from './calls.ts';
import { childFacts } from './check.ts';
import { constantsWithPrefix } from './constants.ts';
import type { Cursor } from './cursor.ts';
import { errnoByName } from './errno.ts';
import { ScenarioError } from './errors.ts';
import { readArgument, readExpr, readPlain } from './expr.ts';
import { flagsValue } from './flags.ts';
import { type Span, spanFromTo } from './source.ts';
import { didYouMean } from './suggest.ts';

/** What the text before the cursor already told of the operation. */
export interface OperationStart {
  readonly origin: Origin;
  /** strace's owner of the line. */
  readonly actor?: Actor;
  readonly time?: number;
  readonly span: Span;
}

/** The operation at the cursor, up to the end of its line. Throws ScenarioError. */
export function readOperation(cursor: Cursor, start: OperationStart): Operation {
  const actor = start.actor ?? readActor(cursor) ?? { kind: 'first' };
  const bind = readBind(cursor);
  const callee = cursor.peek();
  if (callee.kind !== 'name') throw cursor.unexpected('a call, such as mmap(…)', actorHint(cursor));
  cursor.next();
  if (!cursor.isOp('(')) throw missingParen(cursor, callee.text);
  const args = readArguments(cursor, start.origin === 'trace');
  const expectedResult = readResult(cursor);
  const child = childOf(callee.text, args, expectedResult);
  return {
    kind: 'operation',
    origin: start.origin,
    actor,
    ...(bind ? { bind } : {}),
    callee: callee.text,
    calleeSpan: callee.span,
    args,
    ...(expectedResult ? { expectedResult } : {}),
    ...(start.time === undefined ? {} : { time: start.time }),
    ...(child ? { child } : {}),
    span: spanFromTo(start.span, cursor.previousSpan),
  };
}

function readActor(cursor: Cursor): Actor | undefined {
  const token = cursor.peek();
  if (token.kind !== 'name' || !cursor.isOp(':', 1)) return undefined;
  cursor.next();
  cursor.next();
  const name = token.text;
  return isKernelThread(name)
    ? { kind: 'kthread', name, span: token.span }
    : { kind: 'task', name, span: token.span };
}

function readBind(cursor: Cursor): Word | undefined {
  const token = cursor.peek();
  if (token.kind !== 'name' || !cursor.isOp('=', 1)) return undefined;
  cursor.next();
  cursor.next();
  return { text: token.text, span: token.span };
}

function actorHint(cursor: Cursor): string | undefined {
  return cursor.isOp(':') ? 'one actor before the call: A: fork()' : undefined;
}

function missingParen(cursor: Cursor, name: string): Error {
  const following = cursor.peek();
  if (following.kind === 'name' && cursor.isOp('(', 1)) {
    return cursor.unexpected(`( after ${name}`, `did you mean ${name}: ${following.text}(…)?`);
  }
  const call = calls.has(name) ? name : undefined;
  return cursor.unexpected(`( after ${name}`, call ? `write ${call}(…)` : undefined);
}

/** The arguments in parentheses. */
function readArguments(cursor: Cursor, mayBeHalf: boolean): Expr[] {
  const open = cursor.needOp('(', '( before the arguments');
  const args: Expr[] = [];
  if (cursor.takeOp(')') || (mayBeHalf && cursor.peek().kind === 'end')) return args;
  for (;;) {
    args.push(cursor.lenient ? readAnyArgument(cursor) : readArgument(cursor));
    if (cursor.takeOp(')')) return args;
    // A call of a log that was interrupted for good has no end.
    const isHalf = cursor.isOp(',') && cursor.peek(1).kind === 'end';
    if (mayBeHalf && (isHalf || cursor.peek().kind === 'end')) return args;
    if (!cursor.takeOp(',')) {
      if (cursor.peek().kind !== 'end' && !cursor.isOp('=')) throw cursor.unexpected(', or )');
      throw cursor.error(cursor.previousEnd, {
        message: 'missing )',
        expected: `) to match the ( in column ${open.span.column}`,
      });
    }
  }
}

/** An argument of a recorded call; one that is no expression is kept as text up to its comma. */
function readAnyArgument(cursor: Cursor): Expr {
  const start = cursor.position;
  const first = cursor.peek();
  try {
    const arg = readArgument(cursor);
    if (cursor.isOp(',') || cursor.isOp(')') || cursor.peek().kind === 'end') return arg;
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error;
  }
  cursor.position = start;
  skipToComma(cursor);
  if (cursor.position === start) throw cursor.unexpected('an argument');
  const span = spanFromTo(first.span, cursor.previousSpan);
  const text = cursor.source.text.slice(span.offset, span.offset + span.length);
  // The two halves of an interrupted call have other lines between them.
  return { kind: 'opaque', text: text.includes('\n') ? '...' : text, span };
}

/** To the comma or closing bracket that ends the argument, or to the end of the line. */
function skipToComma(cursor: Cursor): void {
  let depth = 0;
  for (let token = cursor.peek(); token.kind !== 'end'; token = cursor.peek()) {
    if (token.kind === 'op') {
      if (depth === 0 && (token.text === ',' || token.text === ')')) return;
      if ('([{'.includes(token.text)) depth++;
      else if (')]}'.includes(token.text) && depth > 0) depth--;
    }
    cursor.next();
  }
}

/** `= VALUE`, `= -1 ERROR (text)`, `= ERROR`, `= SIGNAL`, `= ?`; then strace's remarks. */
function readResult(cursor: Cursor): Result | undefined {
  const equals = cursor.peek();
  if (!cursor.takeOp('=')) {
    if (cursor.lenient || cursor.peek().kind === 'end') return undefined;
    const hint = cursor.isOp('==') ? 'one = before the expected result' : undefined;
    throw cursor.unexpected('= RESULT or the end of the line', hint);
  }
  const result = readResultValue(cursor, equals.span);
  skipRemarks(cursor);
  if (cursor.peek().kind !== 'end' && !cursor.lenient) {
    throw cursor.unexpected('the end of the line');
  }
  return result;
}

function readResultValue(cursor: Cursor, equals: Span): Result {
  const first = cursor.peek();
  if (cursor.takeOp('?')) {
    if (cursor.peek().kind === 'name') cursor.next();
    return { kind: 'none', span: spanFromTo(equals, cursor.previousSpan) };
  }
  if (first.kind === 'name' && first.text.startsWith('SIG') && !cursor.isOp('(', 1)) {
    cursor.next();
    const known = constantsWithPrefix('SIG');
    if (!known.includes(first.text)) {
      const message = `no signal named ${first.text}`;
      throw cursor.error(first.span, { message, hint: didYouMean(first.text, known) });
    }
    return { kind: 'signal', name: first.text, span: first.span };
  }
  const isMinusOne =
    cursor.isOp('-') && cursor.peek(1).text === '1' && cursor.peek(2).kind === 'name';
  const ahead = isMinusOne ? 2 : cursor.isOp('-') ? 1 : 0;
  const name = cursor.peek(ahead);
  if (name.kind === 'name' && (isMinusOne || looksLikeErrno(name.text))) {
    const errno = errnoByName.get(name.text);
    if (errno === undefined && !cursor.lenient) {
      throw cursor.error(name.span, {
        message: `no error named ${name.text}`,
        expected: 'an errno name such as ENOMEM',
        hint: didYouMean(name.text, errnoByName.keys()),
      });
    }
    for (let i = 0; i <= ahead; i++) cursor.next();
    const span = spanFromTo(first.span, name.span);
    return { kind: 'errno', name: name.text, errno: errno ?? 0, span };
  }
  // -Y prints `= 1234<comm>`, which is no comparison.
  const value = cursor.lenient && !cursor.isOp('-') ? readPlain(cursor) : readExpr(cursor);
  return { kind: 'value', value, span: value.span };
}

function looksLikeErrno(name: string): boolean {
  return errnoByName.has(name) || /^E[A-Z0-9]{2,}$/.test(name);
}

/** strace's `(No such file or directory)`, `(flags O_RDONLY)` and `<0.000012>` say nothing new. */
function skipRemarks(cursor: Cursor): void {
  let depth = 0;
  for (;;) {
    if (cursor.isOp('(')) depth++;
    else if (cursor.isOp(')') && depth > 0) depth--;
    else if (depth === 0 && !(cursor.isOp('<') && isDuration(cursor))) return;
    if (cursor.peek().kind === 'end') return;
    cursor.next();
  }
}

/** Takes all but the last word of `<0.000012>`. */
function isDuration(cursor: Cursor): boolean {
  const parts = [0, 1, 2, 3, 4].map((ahead) => cursor.peek(ahead));
  if (parts[2]?.text !== '.' || parts[4]?.text !== '>') return false;
  for (let i = 0; i < 4; i++) cursor.next();
  return true;
}

/** What a fork-like call made: by its flags, and by its result the new task's id. */
export function childOf(callee: string, args: readonly Expr[], result: Result | undefined) {
  const facts = childFacts(callee, args);
  if (facts === undefined || (result !== undefined && result.kind !== 'value')) return undefined;
  const pid = result && flagsValue(result.value);
  return pid === undefined || pid <= 0 ? facts : { ...facts, pid };
}
