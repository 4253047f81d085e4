/**
 * Parameters and `repeat` blocks. Both are gone once a script is read: a block is written out, its
 * variable and the parameters replaced by numbers, so that the driver sees nothing but statements.
 */
import type {
  Command,
  Expr,
  Line,
  Operation,
  Race,
  RaceStatement,
  Result,
  Statement,
  Word,
} from './ast.ts';
import { Cursor } from './cursor.ts';
import { ScenarioError } from './errors.ts';
import { readExpr } from './expr.ts';
import { tokenize } from './lex.ts';
import type { SourceText, Span } from './source.ts';
import { didYouMean } from './suggest.ts';

/** `repeat NAME = FROM..TO { … }`: the body once for each number, none when TO is below FROM. */
export interface Repeat extends Line {
  readonly kind: 'repeat';
  readonly name: Word;
  readonly from: Expr;
  readonly to: Expr;
  readonly body: readonly Unwritten[];
}

/** A race whose body may have blocks in it. */
export interface UnwrittenRace extends Omit<Race, 'body'> {
  readonly body: readonly (RaceStatement | Repeat)[];
}

/** A statement as read, before blocks are written out. */
export type Unwritten = Plain | UnwrittenRace | Repeat;

/** What is one line, in a race or outside. */
type Plain = Exclude<Statement | RaceStatement, Race>;

/** Numbers by name: parameters and the variables of the blocks around. */
export type Numbers = ReadonlyMap<string, number>;

/** More statements than this are a mistake in a bound, not a scenario. */
const MAX_STATEMENTS = 1_000_000;

/** Writes all blocks out. Throws ScenarioError for a name or number that cannot be. */
export function writeOut(
  source: SourceText,
  statements: readonly Unwritten[],
  params: Numbers,
): Statement[] {
  const writer = new Writer(source);
  const out: Statement[] = [];
  writer.statements(statements, params, (statement) => out.push(statement));
  return out;
}

class Writer {
  readonly #source: SourceText;
  #written = 0;

  constructor(source: SourceText) {
    this.#source = source;
  }

  statements(body: readonly Unwritten[], numbers: Numbers, emit: (s: Statement) => void): void {
    for (const statement of body) {
      if (statement.kind === 'repeat') {
        this.#repeat(statement, numbers, (inner) => this.statements(statement.body, inner, emit));
      } else if (statement.kind === 'race') {
        const raceBody: RaceStatement[] = [];
        this.#raceBody(statement.body, numbers, raceBody);
        emit({ ...statement, body: raceBody });
      } else {
        this.#count(statement.span);
        // The reader refuses a schedule outside of a race.
        emit(this.#line(statement, numbers) as Statement);
      }
    }
  }

  #raceBody(body: UnwrittenRace['body'], numbers: Numbers, out: RaceStatement[]): void {
    for (const statement of body) {
      if (statement.kind === 'repeat') {
        // The reader lets nothing into such a block that may not stand in a race.
        const inner = statement.body as UnwrittenRace['body'];
        this.#repeat(statement, numbers, (more) => this.#raceBody(inner, more, out));
      } else {
        this.#count(statement.span);
        out.push(this.#line(statement, numbers) as RaceStatement);
      }
    }
  }

  #repeat(block: Repeat, numbers: Numbers, each: (numbers: Numbers) => void): void {
    const { name } = block;
    if (numbers.has(name.text)) {
      throw this.#error(name.span, `${name.text} has a meaning already`, 'another name');
    }
    const from = this.#number(block.from, numbers);
    const to = this.#number(block.to, numbers);
    for (let i = from; i <= to; i++) {
      this.#count(block.span);
      each(new Map(numbers).set(name.text, i));
    }
  }

  #count(span: Span): void {
    this.#written++;
    if (this.#written <= MAX_STATEMENTS) return;
    const most = `at most ${MAX_STATEMENTS} statements in a scenario`;
    throw this.#error(span, 'this block becomes too long', most);
  }

  #line(statement: Plain, numbers: Numbers): Plain {
    if (numbers.size === 0 && !this.#hasBrace(statement.span)) return statement;
    switch (statement.kind) {
      case 'operation':
        return this.#operation(statement, numbers);
      case 'expect':
      case 'print':
        return { ...statement, expr: this.#expr(statement.expr, numbers) };
      case 'command':
        return this.#command(statement, numbers);
      default:
        return statement;
    }
  }

  /** Most lines of most scripts have nothing to fill in. */
  #hasBrace({ offset, length }: Span): boolean {
    return this.#source.text.slice(offset, offset + length).includes('{');
  }

  #operation(operation: Operation, numbers: Numbers): Operation {
    const { actor, bind, expectedResult } = operation;
    if (bind !== undefined && numbers.has(bind.text)) {
      throw this.#error(bind.span, `${bind.text} is a number here`, 'another name');
    }
    return {
      ...operation,
      ...(actor.kind === 'task'
        ? { actor: { ...actor, name: this.#name(actor.name, actor.span, numbers) } }
        : {}),
      ...(bind === undefined
        ? {}
        : { bind: { ...bind, text: this.#name(bind.text, bind.span, numbers) } }),
      args: operation.args.map((arg) => this.#expr(arg, numbers)),
      ...(expectedResult === undefined
        ? {}
        : { expectedResult: this.#result(expectedResult, numbers) }),
    };
  }

  #result(result: Result, numbers: Numbers): Result {
    return result.kind === 'value'
      ? { ...result, value: this.#expr(result.value, numbers) }
      : result;
  }

  #command(command: Command, numbers: Numbers): Command {
    const text = (line: string): string =>
      line.replaceAll(/\{([A-Za-z_]\w*)\}/g, (whole, name) => String(numbers.get(name) ?? whole));
    const { body } = command;
    return {
      ...command,
      rest: text(command.rest),
      ...(body === undefined
        ? {}
        : { body: body.map((line) => ({ ...line, text: text(line.text) })) }),
    };
  }

  /** `C{i}` with the number in place. */
  #name(name: string, span: Span, numbers: Numbers): string {
    if (!name.includes('{')) return name;
    const lineOffset = span.offset - (span.column - 1);
    return name.replaceAll(/\{([^}]*)\}/g, (_, inner: string, at: number) => {
      const start = span.offset + at + 1;
      const segment = { line: span.line, lineOffset, start, end: start + inner.length };
      const cursor = new Cursor(this.#source, tokenize(this.#source.text, [segment]));
      const expr = readExpr(cursor);
      if (cursor.peek().kind !== 'end') throw cursor.unexpected('}');
      return String(this.#number(expr, numbers));
    });
  }

  #expr(expr: Expr, numbers: Numbers): Expr {
    const go = (inner: Expr): Expr => this.#expr(inner, numbers);
    switch (expr.kind) {
      case 'name': {
        const value = numbers.get(expr.name);
        if (value !== undefined) return numberAt(value, expr.span);
        const name = this.#name(expr.name, expr.span, numbers);
        return name === expr.name ? expr : { ...expr, name };
      }
      case 'string':
        return {
          ...expr,
          value: expr.value.replaceAll(/\{([A-Za-z_]\w*)\}/g, (whole, name) =>
            String(numbers.get(name) ?? whole),
          ),
        };
      case 'call':
        return { ...expr, args: expr.args.map(go) };
      case 'field':
        return { ...expr, object: go(expr.object) };
      case 'index':
        return { ...expr, object: go(expr.object), index: go(expr.index) };
      case 'unary':
        return { ...expr, operand: go(expr.operand) };
      case 'binary':
        return folded(expr, go(expr.left), go(expr.right));
      default:
        return expr;
    }
  }

  /** A whole number known while reading; division rounds down. */
  #number(expr: Expr, numbers: Numbers): number {
    switch (expr.kind) {
      case 'number':
        return expr.value;
      case 'name': {
        const value = numbers.get(expr.name);
        if (value !== undefined) return value;
        const known = [...numbers.keys()];
        throw new ScenarioError(this.#source, expr.span, {
          message: `no parameter or repeat variable named ${expr.name}`,
          ...(known.length === 0 ? {} : { expected: `one of ${known.join(', ')}` }),
          hint: didYouMean(expr.name, known),
        });
      }
      case 'unary':
        if (expr.operator === '-') return -this.#number(expr.operand, numbers);
        break;
      case 'binary': {
        const left = this.#number(expr.left, numbers);
        const right = this.#number(expr.right, numbers);
        if (expr.operator === '+') return left + right;
        if (expr.operator === '-') return left - right;
        if (expr.operator === '*') return left * right;
        if (expr.operator === '/' && right !== 0) return Math.floor(left / right);
        break;
      }
      default:
    }
    throw this.#error(expr.span, 'no number that is known here', 'numbers and parameters, + - * /');
  }

  #error(span: Span, message: string, expected: string): ScenarioError {
    return new ScenarioError(this.#source, span, { message, expected });
  }
}

/** `i * 1p` becomes `3p`: what is shown of an operation is what a user would have written. */
function folded(expr: Extract<Expr, { readonly kind: 'binary' }>, left: Expr, right: Expr): Expr {
  const isWritten = left === expr.left && right === expr.right;
  if (isWritten || left.kind !== 'number' || right.kind !== 'number' || expr.operator !== '*') {
    return { ...expr, left, right };
  }
  const value = left.value * right.value;
  const pages = left.text.endsWith('p') || right.text.endsWith('p');
  return { kind: 'number', value, text: pages ? `${value / 4096}p` : `${value}`, span: expr.span };
}

function numberAt(value: number, span: Span): Expr {
  const size: Expr = {
    kind: 'number',
    value: Math.abs(value),
    text: String(Math.abs(value)),
    span,
  };
  return value < 0 ? { kind: 'unary', operator: '-', operand: size, span } : size;
}
