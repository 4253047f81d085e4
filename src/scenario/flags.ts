/** Values that need no running machine: numbers, constants and what is computed from them. */
import type { Expr } from './ast.ts';
import { exactAnd, exactOr } from './constants.ts';

/**
 * The value of numbers and constants joined by `|`, `&`, `+`, `-`, `*`, exact up to 2^53; undefined
 * when the expression has names or anything else that only a run knows.
 */
export function flagsValue(expr: Expr): number | undefined {
  switch (expr.kind) {
    case 'number':
    case 'constant':
      return expr.value;
    case 'fd':
      return expr.fd;
    case 'unary': {
      const value = flagsValue(expr.operand);
      if (value === undefined) return undefined;
      return expr.operator === '-' ? 0 - value : Number(value === 0);
    }
    case 'binary': {
      const left = flagsValue(expr.left);
      const right = flagsValue(expr.right);
      if (left === undefined || right === undefined) return undefined;
      return combine(expr.operator, left, right);
    }
    default:
      return undefined;
  }
}

function combine(operator: string, left: number, right: number): number | undefined {
  switch (operator) {
    case '|':
      return left >= 0 && right >= 0 ? exactOr(left, right) : undefined;
    case '&':
      return left >= 0 && right >= 0 ? exactAnd(left, right) : undefined;
    case '+':
      return safe(left + right);
    case '-':
      return safe(left - right);
    case '*':
      return safe(left * right);
    default:
      return undefined;
  }
}

function safe(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined;
}
