/**
 * Expressions. From loose to tight: `||`, `&&`, one comparison, `|`, `&`, `+ -`, `* /`, unary `! -`,
 * then `.field`, `[index]` and `(arguments)`. Unlike C, `a|b == c` compares `a|b`.
 */
import type { BinaryOperator, Expr } from './ast.ts';
import { constantNames, constantsWithPrefix, constantValue, familyPrefixOf } from './constants.ts';
import { Cursor } from './cursor.ts';
import { ScenarioError } from './errors.ts';
import { type Token, tokenize } from './lex.ts';
import { type SourceText, type Span, spanFromTo } from './source.ts';
import { didYouMean } from './suggest.ts';

const precedence: Readonly<Record<BinaryOperator, number>> = {
  '||': 1,
  '&&': 2,
  '==': 3,
  '!=': 3,
  '<': 3,
  '<=': 3,
  '>': 3,
  '>=': 3,
  '|': 4,
  '&': 5,
  '+': 6,
  '-': 6,
  '*': 7,
  '/': 7,
};

const comparison = 3;

/** Beyond these an expression is no longer something a person wrote; recursion stays bounded. */
const maxDepth = 100;
const maxOperators = 500;

/** How tightly an operator binds, from 1; 0 when `text` is no binary operator. */
export function precedenceOf(text: string): number {
  return Object.hasOwn(precedence, text) ? (precedence[text as BinaryOperator] ?? 0) : 0;
}

/**
 * One expression that is all of `text`, as the debugger prompt takes it.
 * Throws ScenarioError.
 */
export function parseExpression(text: string, file = '<expression>'): Expr {
  const source = { file, text };
  const cursor = new Cursor(source, tokenize(text, lineSegments(text)));
  const expr = readExpr(cursor);
  if (cursor.peek().kind !== 'end') throw cursor.unexpected('an operator or the end');
  return expr;
}

function lineSegments(text: string) {
  return [{ line: 1, lineOffset: 0, start: 0, end: text.length }];
}

/** One expression at the cursor. Throws ScenarioError. */
export function readExpr(cursor: Cursor): Expr {
  cursor.depth = 0;
  cursor.operators = 0;
  return readBinary(cursor, 1);
}

/** One argument: an expression, `name=value`, or what only strace prints. Throws ScenarioError. */
export function readArgument(cursor: Cursor): Expr {
  cursor.depth = 0;
  cursor.operators = 0;
  return readMember(cursor);
}

/** One number, name, string or bracketed value, without operators. Throws ScenarioError. */
export function readPlain(cursor: Cursor): Expr {
  cursor.depth = 0;
  cursor.operators = 0;
  return readPrimary(cursor);
}

function readMember(cursor: Cursor): Expr {
  const first = cursor.peek();
  if (first.kind === 'op' && first.text === '...') {
    cursor.next();
    return { kind: 'opaque', text: '...', span: first.span };
  }
  if (first.kind === 'name' && cursor.isOp('=', 1)) {
    deepen(cursor, first.span);
    cursor.next();
    cursor.next();
    const value = readMember(cursor);
    cursor.depth--;
    const span = spanFromTo(first.span, value.span);
    return { kind: 'labelled', label: first.text, value, span };
  }
  return readBinary(cursor, 1);
}

function readBinary(cursor: Cursor, loosest: number): Expr {
  deepen(cursor, cursor.peek().span);
  let left = readUnary(cursor);
  let compared = false;
  for (;;) {
    const token = cursor.peek();
    const binds = token.kind === 'op' ? precedenceOf(token.text) : 0;
    if (binds === 0 || binds < loosest) break;
    if (binds === comparison && compared) {
      throw cursor.error(token.span, {
        message: 'comparisons do not chain',
        expected: 'one comparison',
        hint: 'join two comparisons with &&',
      });
    }
    countOperator(cursor, token.span);
    cursor.next();
    const right = readBinary(cursor, binds + 1);
    compared = binds === comparison;
    const span = spanFromTo(left.span, right.span);
    left = { kind: 'binary', operator: token.text as BinaryOperator, left, right, span };
  }
  cursor.depth--;
  return left;
}

function readUnary(cursor: Cursor): Expr {
  const token = cursor.peek();
  if (token.kind === 'op' && (token.text === '!' || token.text === '-')) {
    deepen(cursor, token.span);
    cursor.next();
    const operand = readUnary(cursor);
    cursor.depth--;
    const span = spanFromTo(token.span, operand.span);
    return { kind: 'unary', operator: token.text, operand, span };
  }
  return readPostfix(cursor);
}

function readPostfix(cursor: Cursor): Expr {
  let expr = readPrimary(cursor);
  for (;;) {
    const token = cursor.peek();
    if (token.kind !== 'op') return expr;
    if (token.text === '.') {
      countOperator(cursor, token.span);
      cursor.next();
      const field = cursor.peek();
      if (field.kind !== 'name') throw cursor.unexpected('a field name after the dot');
      cursor.next();
      const span = spanFromTo(expr.span, field.span);
      expr = { kind: 'field', object: expr, field: field.text, span };
    } else if (token.text === '[') {
      countOperator(cursor, token.span);
      cursor.next();
      const index = readBinary(cursor, 1);
      const close = cursor.needOp(']', '] after the index');
      expr = { kind: 'index', object: expr, index, span: spanFromTo(expr.span, close.span) };
    } else if (token.text === '-' && cursor.isOp('>', 1) && touches(token, cursor.peek(1))) {
      const span = spanFromTo(token.span, cursor.peek(1).span);
      const hint = 'write a.b for a->b';
      throw cursor.error(span, { message: 'unexpected ->', expected: 'a dot', hint });
    } else {
      return expr;
    }
  }
}

function touches(a: Token, b: Token): boolean {
  return a.span.offset + a.span.length === b.span.offset;
}

function readPrimary(cursor: Cursor): Expr {
  const token = cursor.peek();
  switch (token.kind) {
    case 'number':
      cursor.next();
      return { kind: 'number', value: token.value, text: token.text, span: token.span };
    case 'string': {
      cursor.next();
      const { value, truncated, span } = token;
      return { kind: 'string', value, truncated, span };
    }
    case 'fd':
      cursor.next();
      return { kind: 'fd', fd: token.fd, path: token.path, span: token.span };
    case 'name':
      cursor.next();
      return cursor.isOp('(') ? readCall(cursor, token) : nameOrConstant(cursor, token);
    case 'op':
      return readBracket(cursor, token);
    case 'bad':
      if (!cursor.lenient) throw cursor.unexpected('an expression');
      cursor.next();
      return { kind: 'opaque', text: token.text, span: token.span };
    case 'end':
      throw cursor.unexpected('an expression');
  }
}

function readBracket(cursor: Cursor, token: Token): Expr {
  if (token.text === '(') {
    cursor.next();
    const inner = readBinary(cursor, 1);
    const close = cursor.needOp(')', ') to match the ( before');
    return { ...inner, span: spanFromTo(token.span, close.span) };
  }
  if (token.text === '{') return readStruct(cursor, token);
  if (token.text === '[') {
    cursor.next();
    const items = readList(cursor, ']');
    const span = spanFromTo(token.span, cursor.previousSpan);
    return { kind: 'array', items, span };
  }
  throw cursor.unexpected('an expression');
}

/** `{a=1, b}` and what it became: `{…} => {…}`. */
function readStruct(cursor: Cursor, open: Token): Expr {
  cursor.next();
  const members = readList(cursor, '}');
  let after: Expr | undefined;
  if (cursor.takeOp('=>')) {
    deepen(cursor, open.span);
    after = readPrimary(cursor);
    cursor.depth--;
  }
  const span = spanFromTo(open.span, cursor.previousSpan);
  return { kind: 'struct', members, ...(after ? { after } : {}), span };
}

function readCall(cursor: Cursor, callee: Token): Expr {
  cursor.next();
  deepen(cursor, callee.span);
  const args = readList(cursor, ')');
  cursor.depth--;
  const span = spanFromTo(callee.span, cursor.previousSpan);
  return { kind: 'call', callee: callee.text, args, span };
}

/** Members up to the closing bracket, which is taken. */
function readList(cursor: Cursor, close: string): Expr[] {
  const items: Expr[] = [];
  if (cursor.takeOp(close)) return items;
  for (;;) {
    items.push(readMember(cursor));
    if (cursor.takeOp(close)) return items;
    // strace separates the members of a bit set by blanks.
    if (cursor.lenient && close === ']' && cursor.peek().kind === 'name') continue;
    cursor.needOp(',', `, or ${close}`);
  }
}

function nameOrConstant(cursor: Cursor, token: Token): Expr {
  const value = constantValue(token.text);
  if (value !== undefined) {
    return { kind: 'constant', name: token.text, value, span: token.span };
  }
  const prefix = familyPrefixOf(token.text);
  if (!cursor.lenient && prefix !== undefined && /^[A-Z0-9_]+$/.test(token.text)) {
    const members = constantsWithPrefix(prefix);
    throw cursor.error(token.span, {
      message: `no constant named ${token.text}`,
      expected: `a ${prefix}* constant`,
      hint: didYouMean(token.text, members) ?? didYouMean(token.text, constantNames()),
    });
  }
  return { kind: 'name', name: token.text, span: token.span };
}

function deepen(cursor: Cursor, span: Span): void {
  if (++cursor.depth > maxDepth) throw tooComplex(cursor.source, span);
}

function countOperator(cursor: Cursor, span: Span): void {
  if (++cursor.operators > maxOperators) throw tooComplex(cursor.source, span);
}

function tooComplex(source: SourceText, span: Span): ScenarioError {
  return new ScenarioError(source, span, {
    message: 'an expression too large to read',
    expected: `at most ${maxOperators} operators, nested at most ${maxDepth} deep`,
  });
}
