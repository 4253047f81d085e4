/** Evaluates the arguments of operations: numbers, flags, variables, texts. Reads no machine state. */

import type { Expr } from './ast.ts';
import { exactAnd, exactOr } from './constants.ts';
import { ScenarioError } from './errors.ts';
import type { SourceText } from './source.ts';
import { didYouMean } from './suggest.ts';

/** What an operation gets: numbers, texts, and arrays of them; null for what a trace did not tell. */
export type ArgumentValue = number | string | null | readonly ArgumentValue[];

/** Names an argument may use. */
export interface Names {
  readonly variables: ReadonlyMap<string, number>;
  /** Task number of each actor. */
  readonly actors: ReadonlyMap<string, number>;
}

function numeric(value: ArgumentValue, expr: Expr, source: SourceText): number {
  if (typeof value === 'number') return value;
  throw new ScenarioError(source, expr.span, {
    message: 'not a number',
    expected: 'a number, a constant or a variable',
  });
}

/** Value of one argument. Throws ScenarioError for an unknown name. */
export function evaluateArgument(expr: Expr, names: Names, source: SourceText): ArgumentValue {
  const number = (part: Expr): number =>
    numeric(evaluateArgument(part, names, source), part, source);
  switch (expr.kind) {
    case 'number':
    case 'constant':
      return expr.value;
    case 'string':
      return expr.value;
    case 'fd':
      return expr.fd;
    case 'labelled':
      return evaluateArgument(expr.value, names, source);
    case 'name': {
      const value = names.variables.get(expr.name) ?? names.actors.get(expr.name);
      if (value !== undefined) return value;
      const known = [...names.variables.keys(), ...names.actors.keys()];
      throw new ScenarioError(source, expr.span, {
        message: `unknown name ${expr.name}`,
        expected: known.length === 0 ? 'a variable bound by an earlier line' : known.join(', '),
        hint: didYouMean(expr.name, known),
      });
    }
    case 'unary':
      return expr.operator === '-' ? -number(expr.operand) : number(expr.operand) === 0 ? 1 : 0;
    case 'binary': {
      const left = number(expr.left);
      const right = number(expr.right);
      switch (expr.operator) {
        case '+':
          return left + right;
        case '-':
          return left - right;
        case '*':
          return left * right;
        case '/':
          return Math.floor(left / right);
        case '|':
          return exactOr(left, right);
        case '&':
          return exactAnd(left, right);
        default:
          throw new ScenarioError(source, expr.span, {
            message: `${expr.operator} in an argument`,
            expected: 'arithmetic or flags joined with |',
          });
      }
    }
    case 'array':
      return expr.items.map((item) => evaluateArgument(item, names, source));
    case 'struct':
      return expr.members.map((member) => evaluateArgument(member, names, source));
    case 'opaque':
      return null;
    default:
      throw new ScenarioError(source, expr.span, {
        message: 'not something an operation can take',
        expected: 'a number, flags, a variable, an actor or a "text"',
      });
  }
}
