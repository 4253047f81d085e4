/** Syntax tree to text. Reading the text again gives the same tree, spans aside. */
import { unreachable } from '../base/assert.ts';
import type {
  Actor,
  Command,
  Expr,
  HeaderLine,
  Line,
  Operation,
  RaceStatement,
  Result,
  Scenario,
  Statement,
} from './ast.ts';
import { precedenceOf } from './expr.ts';

/** The whole scenario, in the house layout; ends with a line feed unless it is empty. */
export function printScenario(scenario: Scenario): string {
  const lines = [
    ...scenario.header.lines.map(printHeaderLine),
    ...scenario.statements.map(printStatement),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function printHeaderLine(line: HeaderLine): string {
  switch (line.kind) {
    case 'blank':
      return '';
    case 'comment':
      return `#${line.text}`;
    case 'title':
    case 'about':
      return headerText(line.kind, line.text, line);
    case 'kernels':
      return headerText('kernels', joinWords(line.kernels), line);
    case 'config':
      return headerText(
        'config',
        line.entries.map((entry) => `${entry.key}=${entry.text}`).join(' '),
        line,
      );
    case 'param':
      return headerText(
        'param',
        line.entries.map((entry) => `${entry.name}=${entry.text}`).join(' '),
        line,
      );
    case 'verdict': {
      const colon = line.kernels.length > 0 ? `${joinWords(line.kernels)}: ` : '';
      return headerText('verdict', colon + joinWords(line.findings), line);
    }
    default:
      return unreachable(line);
  }
}

function headerText(word: string, rest: string, line: Line): string {
  return withComment(`${word.padEnd(9)}${rest}`, line);
}

function joinWords(words: readonly { readonly text: string }[]): string {
  return words.map((word) => word.text).join(' ');
}

/** One statement; a race and a `commands` block take several lines. No line feed at the end. */
function printStatement(statement: Statement): string {
  switch (statement.kind) {
    case 'race': {
      const body = statement.body.map((inner) => indent(printRaceStatement(inner)));
      return [withComment('race {', statement), ...body, '}'].join('\n');
    }
    case 'expect': {
      const kernels = statement.kernels === undefined ? '' : `${joinWords(statement.kernels)}: `;
      return withComment(`expect ${kernels}${printExpr(statement.expr)}`, statement);
    }
    case 'print':
      return withComment(`print ${printExpr(statement.expr)}`, statement);
    case 'command':
      return printCommand(statement);
    default:
      return printRaceStatement(statement);
  }
}

function printRaceStatement(statement: RaceStatement): string {
  switch (statement.kind) {
    case 'operation':
      return withComment(printOperation(statement), statement);
    case 'schedule':
      return withComment(`schedule ${statement.word}`, statement);
    case 'skipped':
      return withComment(statement.text, statement);
    case 'comment':
      return `#${statement.text}`;
    case 'blank':
      return '';
    default:
      return unreachable(statement);
  }
}

function indent(line: string): string {
  return line === '' ? '' : `  ${line}`;
}

function withComment(text: string, line: Line): string {
  return line.comment === undefined ? text : `${text} #${line.comment}`;
}

function printCommand(command: Command): string {
  const text = command.rest === '' ? command.word : `${command.word} ${command.rest}`;
  const first = withComment(text, command);
  if (command.body === undefined) return first;
  return [first, ...command.body.map((line) => indent(line.text)), 'end'].join('\n');
}

/** An operation without its comment. */
export function printOperation(operation: Operation): string {
  const bind = operation.bind ? `${operation.bind.text} = ` : '';
  const call = `${operation.callee}(${operation.args.map(printExpr).join(', ')})`;
  const result = operation.expectedResult ? ` = ${printResult(operation.expectedResult)}` : '';
  return printActor(operation.actor) + bind + call + result;
}

function printActor(actor: Actor): string {
  switch (actor.kind) {
    case 'first':
      return '';
    case 'task':
    case 'kthread':
      return `${actor.name}: `;
    case 'pid':
      return `[pid ${actor.pid}] `;
    default:
      return unreachable(actor);
  }
}

function printResult(result: Result): string {
  switch (result.kind) {
    case 'value':
      return printExpr(result.value);
    case 'errno':
      return `-1 ${result.name}`;
    case 'signal':
      return result.name;
    case 'none':
      return '?';
    default:
      return unreachable(result);
  }
}

/** Tighter than every operator: what stands before `.field` and `[index]`, or after `!` and `-`. */
const unaryBinds = 8;
const postfixBinds = 9;

/** An expression, with no more parentheses than it needs. */
export function printExpr(expr: Expr): string {
  switch (expr.kind) {
    case 'number':
    case 'opaque':
      return expr.text;
    case 'constant':
    case 'name':
      return expr.name;
    case 'string':
      return printString(expr.value) + (expr.truncated ? '...' : '');
    case 'call':
      return `${expr.callee}(${expr.args.map(printExpr).join(', ')})`;
    case 'field':
      return `${printAtLeast(expr.object, postfixBinds)}.${expr.field}`;
    case 'index':
      return `${printAtLeast(expr.object, postfixBinds)}[${printExpr(expr.index)}]`;
    case 'unary':
      return expr.operator + printAtLeast(expr.operand, unaryBinds);
    case 'binary': {
      const binds = precedenceOf(expr.operator);
      // Comparisons do not chain, so one inside another needs its parentheses on either side.
      const left = printAtLeast(expr.left, binds === 3 ? binds + 1 : binds);
      const right = printAtLeast(expr.right, binds + 1);
      const space = expr.operator === '|' ? '' : ' ';
      return `${left}${space}${expr.operator}${space}${right}`;
    }
    case 'fd':
      return `${expr.fd === -100 ? 'AT_FDCWD' : expr.fd}<${expr.path}>`;
    case 'labelled':
      return `${expr.label}=${printExpr(expr.value)}`;
    case 'struct': {
      const struct = `{${expr.members.map(printExpr).join(', ')}}`;
      return expr.after ? `${struct} => ${printExpr(expr.after)}` : struct;
    }
    case 'array':
      return `[${expr.items.map(printExpr).join(', ')}]`;
    default:
      return unreachable(expr);
  }
}

function printAtLeast(expr: Expr, binds: number): string {
  const own =
    expr.kind === 'binary'
      ? precedenceOf(expr.operator)
      : expr.kind === 'unary'
        ? unaryBinds
        : postfixBinds;
  return own < binds ? `(${printExpr(expr)})` : printExpr(expr);
}

const namedEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\t': '\\t',
  '\r': '\\r',
};

function printString(value: string): string {
  let text = '"';
  for (const unit of value) {
    const code = unit.charCodeAt(0);
    if (Object.hasOwn(namedEscapes, unit)) text += namedEscapes[unit];
    else if (code < 0x20 || code === 0x7f || code === 0x85 || code === 0xa0) {
      text += `\\x${code.toString(16).padStart(2, '0')}`;
    } else text += unit;
  }
  return `${text}"`;
}
