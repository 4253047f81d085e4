/**
 * Expressions of `print`, `expect`, `display`, conditions and watchpoints, evaluated on the machine as
 * it is at the current step. Nothing is written and no kernel function runs.
 *
 * Names are looked up in this order: fields of the event at hand, variables of the scenario, actors,
 * constants, locals of the kernel function at hand. `step()` is the current step.
 */
import { PAGE_FLAG_NAMES } from '../linux/mm/page-flags.ts';
import type { BinaryOperator, Expr } from '../scenario/ast.ts';
import { exactAnd, exactOr } from '../scenario/constants.ts';
import { cpu, type Locals, SPACE_PTE } from '../sim/cpu.ts';
import type { LoggedEvent } from '../sim/event.ts';
import type { Machine } from '../sim/machine.ts';
import type { Obj } from '../sim/struct.ts';
import { ExpressionError, unknownName } from './expression-error.ts';
import {
  LOCK_FIELDS,
  lockField,
  objectField,
  objectFields,
  PAGE_FIELDS,
  type Place,
  PTE_FIELDS,
  pageField,
  placeOfField,
  placeOfPageField,
  pteField,
  TASK_FIELDS,
  taskField,
} from './expression-fields.ts';
import { FUNCTIONS, functionNames } from './expression-functions.ts';
import {
  areEqual,
  booleanValue,
  formatValue,
  isTrue,
  kindOf,
  listValue,
  NULL_VALUE,
  numberOf,
  numberValue,
  objectValue,
  pageValue,
  textValue,
  type Value,
} from './expression-value.ts';
import { VM_FLAG_VALUES } from './inspect/flags.ts';
import { isSame, looking } from './inspect/objects.ts';
import type { WalkIndex } from './inspect/walks.ts';

export { ExpressionError, formatValue, functionNames, isTrue, numberOf, type Place, type Value };

/** What an expression may speak of. */
export interface Scope {
  readonly machine: Machine;
  readonly walks: WalkIndex;
  readonly variables: ReadonlyMap<string, number>;
  /** Task number of each actor. */
  readonly actors: ReadonlyMap<string, number>;
  /** Its fields are names. */
  readonly event?: LoggedEvent;
  /** Parameters and locals of the kernel function at hand; may throw where the frame is half gone. */
  readonly locals?: Locals | null;
}

/** The value of an expression at the current step. Throws ExpressionError. */
export function evaluate(expr: Expr, scope: Scope): Value {
  return looking(scope.machine, () => valueIn(expr, scope));
}

function valueIn(expr: Expr, scope: Scope): Value {
  switch (expr.kind) {
    case 'number':
    case 'constant':
      return expr.kind === 'constant' && expr.name === 'NULL'
        ? NULL_VALUE
        : numberValue(expr.value);
    case 'string':
      return textValue(expr.value);
    case 'fd':
      return numberValue(expr.fd);
    case 'name':
      return nameValue(expr.name, expr, scope);
    case 'field':
      return fieldValue(valueIn(expr.object, scope), expr.field, expr, scope);
    case 'index':
      return itemValue(valueIn(expr.object, scope), valueIn(expr.index, scope), expr);
    case 'call':
      return callValue(expr, scope);
    case 'unary': {
      const operand = valueIn(expr.operand, scope);
      if (expr.operator === '!') return booleanValue(!isTrue(operand));
      return numberValue(0 - needNumber(operand, expr.operand));
    }
    case 'binary':
      return binaryValue(expr, scope);
    case 'array':
      return listValue(expr.items.map((item) => valueIn(item, scope)));
    default:
      throw new ExpressionError('this has no value in an expression', expr.span);
  }
}

// ---------------------------------------------------------------- names

const CONSTANTS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ['true', booleanValue(true)],
  ['false', booleanValue(false)],
  ['null', NULL_VALUE],
  ['PAGE_SIZE', numberValue(4096)],
  ...[...VM_FLAG_VALUES].map(([name, bit]): [string, Value] => [name, numberValue(bit)]),
  ...PAGE_FLAG_NAMES.map((name, bit): [string, Value] => [`PG_${name}`, numberValue(2 ** bit)]),
]);

function nameValue(name: string, expr: Expr, scope: Scope): Value {
  const { event, variables, actors, machine } = scope;
  const field = event?.type.fields.findIndex((each) => each.name === name) ?? -1;
  if (event !== undefined && field >= 0) return eventValue(event, field);
  const variable = variables.get(name);
  if (variable !== undefined) return numberValue(variable);
  const task = actors.get(name);
  if (task !== undefined) return { kind: 'task', task, name };
  const constant = CONSTANTS.get(name);
  if (constant !== undefined) return constant;
  const local = localValue(name, scope);
  if (local !== null) return local;
  const thread = machine.names.indexOf(name, 1);
  if (thread >= 1 && thread <= machine.taskCount()) return { kind: 'task', task: thread, name };
  throw unknownName('name', name, namesIn(scope), expr.span);
}

/** A local of the kernel function at hand; null for none, and for what is no kernel value. */
function localValue(name: string, { locals }: Scope): Value | null {
  if (locals === null || locals === undefined) return null;
  let all: Readonly<Record<string, unknown>>;
  try {
    all = locals();
  } catch {
    return null;
  }
  if (!Object.hasOwn(all, name)) return null;
  const value = all[name];
  if (value === null) return NULL_VALUE;
  if (typeof value === 'number') return numberValue(value);
  if (typeof value === 'boolean') return booleanValue(value);
  if (typeof value === 'string') return textValue(value);
  if (typeof value !== 'object') return null;
  if ('pfn' in value) return pageValue(value.pfn as number);
  return 'addr' in value ? objectValue(value as Obj) : null;
}

/** Names that a scope knows, the likely ones first. */
export function namesIn(scope: Scope): readonly string[] {
  return [
    ...(scope.event?.type.fields.map((field) => field.name) ?? []),
    ...scope.variables.keys(),
    ...scope.actors.keys(),
    ...CONSTANTS.keys(),
  ];
}

function eventValue(event: LoggedEvent, index: number): Value {
  const value = event.values[index] ?? null;
  if (value === null) return NULL_VALUE;
  if (typeof value === 'string') return textValue(value);
  if (typeof value === 'number') return numberValue(value, event.type.fields[index]?.name);
  if ('pfn' in value) return pageValue(value.pfn);
  const object = (cpu.handles[value.addr / 16] ?? null) as Obj | null;
  return object === null ? NULL_VALUE : { kind: 'object', object, serial: value.serial };
}

// ---------------------------------------------------------------- fields and items

function fieldValue(of: Value, field: string, expr: Expr, scope: Scope): Value {
  const { machine } = scope;
  const unknown = (what: string, known: Iterable<string>): never => {
    throw unknownName(`field of ${what} named`, field, known, expr.span);
  };
  switch (of.kind) {
    case 'null':
      throw new ExpressionError(`NULL has no field ${field}`, expr.span);
    case 'object': {
      if (!isSame(of.object, of.serial)) {
        throw new ExpressionError(`${formatValue(of)}: it has no fields now`, expr.span);
      }
      return objectField(machine, of.object, field) ?? unknown(kindOf(of), objectFields(of.object));
    }
    case 'page':
      return pageField(of.pfn, field) ?? unknown('a page', PAGE_FIELDS);
    case 'pte':
      return pteField(of, field) ?? unknown('a page-table entry', PTE_FIELDS);
    case 'task':
      return taskField(machine, of.task, field) ?? unknown(of.name, TASK_FIELDS);
    case 'lock':
      return lockField(machine, of.lock, field) ?? unknown('a lock', LOCK_FIELDS);
    case 'record': {
      const value = of.fields.get(field);
      return value === undefined ? unknown('this', of.fields.keys()) : numberValue(value);
    }
    case 'list':
      if (field === 'length' || field === 'len') return numberValue(of.items.length);
      return unknown('a list', ['length']);
    default:
      throw new ExpressionError(`${kindOf(of)} has no fields`, expr.span);
  }
}

function itemValue(of: Value, index: Value, expr: Expr): Value {
  if (of.kind !== 'list') throw new ExpressionError(`${kindOf(of)} is no list`, expr.span);
  const at = needNumber(index, expr);
  const item = of.items[at < 0 ? of.items.length + at : at];
  if (item === undefined) {
    throw new ExpressionError(`no item ${at} in a list of ${of.items.length}`, expr.span);
  }
  return item;
}

function callValue(expr: Extract<Expr, { kind: 'call' }>, scope: Scope): Value {
  const spec = Object.hasOwn(FUNCTIONS, expr.callee) ? FUNCTIONS[expr.callee] : undefined;
  if (spec === undefined) throw unknownName('function', expr.callee, functionNames, expr.span);
  if (expr.args.length < spec.least || expr.args.length > spec.most) {
    throw new ExpressionError(`${expr.callee} is used as ${spec.usage}`, expr.span);
  }
  const args = expr.args.map((arg) => valueIn(arg, scope));
  return spec.run({ scope, args, spans: expr.args.map((arg) => arg.span), span: expr.span });
}

// ---------------------------------------------------------------- operators

function needNumber(value: Value, expr: Expr): number {
  const number = numberOf(value);
  if (number === null) throw new ExpressionError(`${kindOf(value)} is no number`, expr.span);
  return number;
}

function binaryValue(expr: Extract<Expr, { kind: 'binary' }>, scope: Scope): Value {
  const left = valueIn(expr.left, scope);
  if (expr.operator === '&&') {
    return booleanValue(isTrue(left) && isTrue(valueIn(expr.right, scope)));
  }
  if (expr.operator === '||') {
    return booleanValue(isTrue(left) || isTrue(valueIn(expr.right, scope)));
  }
  const right = valueIn(expr.right, scope);
  if (expr.operator === '==' || expr.operator === '!=') {
    const equal = areEqual(left, right);
    if (equal === null) {
      const what = `${kindOf(left)} and ${kindOf(right)} cannot be compared`;
      throw new ExpressionError(what, expr.span);
    }
    return booleanValue(equal === (expr.operator === '=='));
  }
  return arithmetic(
    expr.operator,
    needNumber(left, expr.left),
    needNumber(right, expr.right),
    expr,
  );
}

function arithmetic(operator: BinaryOperator, a: number, b: number, expr: Expr): Value {
  switch (operator) {
    case '<':
      return booleanValue(a < b);
    case '<=':
      return booleanValue(a <= b);
    case '>':
      return booleanValue(a > b);
    case '>=':
      return booleanValue(a >= b);
    case '+':
      return numberValue(a + b);
    case '-':
      return numberValue(a - b);
    case '*':
      return numberValue(a * b);
    case '/':
      if (b === 0) throw new ExpressionError('division by zero', expr.span);
      return numberValue(Math.trunc(a / b));
    case '|':
      return numberValue(exactOr(unsigned(a), unsigned(b)));
    case '&':
      return numberValue(exactAnd(unsigned(a), unsigned(b)));
    default:
      throw new ExpressionError(`${operator} has no meaning here`, expr.span);
  }
}

/** Flag words are kept as signed 32-bit numbers. */
function unsigned(value: number): number {
  return value < 0 ? value >>> 0 : value;
}

// ---------------------------------------------------------------- places

/** Where the value of an expression is stored: a field, a page-table entry; null for what is computed. */
export function placeOf(expr: Expr, scope: Scope): Place | null {
  return looking(scope.machine, () => {
    if (expr.kind === 'call' && expr.callee === 'pte') {
      const pte = valueIn(expr, scope);
      return pte.kind === 'pte' && pte.at >= 0 ? { space: SPACE_PTE, location: pte.at } : null;
    }
    if (expr.kind !== 'field') return null;
    const of = valueIn(expr.object, scope);
    if (of.kind === 'page') return placeOfPageField(of.pfn, expr.field);
    if (of.kind === 'object' && isSame(of.object, of.serial)) {
      return placeOfField(of.object, expr.field);
    }
    if (of.kind === 'pte' && of.at >= 0) return { space: SPACE_PTE, location: of.at };
    if (of.kind !== 'task') return null;
    const context = taskField(scope.machine, of.task, 'task_struct');
    return context?.kind === 'object' ? placeOfField(context.object, expr.field) : null;
  });
}
