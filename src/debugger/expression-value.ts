/** Values of expressions: what they are, how they compare and how they print. */
import type { mm_struct } from '../linux/mm_types.ts';
import { describeObject, isLive, type Obj, serialOf } from '../sim/struct.ts';
import { pteBits, pteText } from './inspect/flags.ts';
import { hex, lockRef, objectRef, pageRef } from './inspect/refs.ts';
import { showNumber } from './inspect/values.ts';

/** A page-table entry: where it is and what it holds. */
export interface PteValue {
  readonly kind: 'pte';
  readonly mm: mm_struct;
  readonly address: number;
  /** Word of the page-table pool, -1 when a level above is missing. */
  readonly at: number;
  readonly value: number;
}

export type Value =
  | { readonly kind: 'null' }
  /** `name`: the field it came from, which says how to print it. */
  | { readonly kind: 'number'; readonly value: number; readonly name?: string }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'text'; readonly value: string }
  /** A struct; `serial` tells whether the slot still holds it. */
  | { readonly kind: 'object'; readonly object: Obj; readonly serial: number }
  | { readonly kind: 'page'; readonly pfn: number }
  | PteValue
  /** An actor of the scenario: a task of the machine. */
  | { readonly kind: 'task'; readonly task: number; readonly name: string }
  | { readonly kind: 'lock'; readonly lock: number; readonly mode?: string }
  | { readonly kind: 'list'; readonly items: readonly Value[] }
  /** Named results with a main one: walk_cost() is its number of visits. */
  | {
      readonly kind: 'record';
      readonly value: number;
      readonly fields: ReadonlyMap<string, number>;
    };

export const NULL_VALUE: Value = { kind: 'null' };

export function numberValue(value: number, name?: string): Value {
  return name === undefined ? { kind: 'number', value } : { kind: 'number', value, name };
}

export function booleanValue(value: boolean): Value {
  return { kind: 'boolean', value };
}

export function textValue(value: string): Value {
  return { kind: 'text', value };
}

export function objectValue(object: Obj | null | undefined): Value {
  return object === null || object === undefined
    ? NULL_VALUE
    : { kind: 'object', object, serial: serialOf(object) };
}

export function pageValue(pfn: number): Value {
  return pfn < 0 ? NULL_VALUE : { kind: 'page', pfn };
}

export function listValue(items: readonly Value[]): Value {
  return { kind: 'list', items };
}

/** As C has it: zero, NULL, an empty list and an empty text are false. */
export function isTrue(value: Value): boolean {
  switch (value.kind) {
    case 'null':
      return false;
    case 'number':
    case 'record':
    case 'pte':
      return value.value !== 0;
    case 'boolean':
      return value.value;
    case 'text':
      return value.value !== '';
    case 'list':
      return value.items.length > 0;
    default:
      return true;
  }
}

/** The number that a value stands for: a list is its length, a record its main number; null if none. */
export function numberOf(value: Value): number | null {
  switch (value.kind) {
    case 'null':
      return 0;
    case 'number':
    case 'record':
    case 'pte':
      return value.value;
    case 'boolean':
      return value.value ? 1 : 0;
    case 'list':
      return value.items.length;
    default:
      return null;
  }
}

/** Whether two values are the same thing; null when they cannot be compared. */
export function areEqual(a: Value, b: Value): boolean | null {
  if (a.kind === 'null' || b.kind === 'null') {
    const other = a.kind === 'null' ? b : a;
    const number = numberOf(other);
    if (other.kind === 'number' || other.kind === 'null') return number === 0;
    return false;
  }
  if (a.kind === 'object' && b.kind === 'object') {
    return a.object === b.object && a.serial === b.serial;
  }
  if (a.kind === 'page' && b.kind === 'page') return a.pfn === b.pfn;
  if (a.kind === 'lock' && b.kind === 'lock') return a.lock === b.lock;
  if (a.kind === 'task' && b.kind === 'task') return a.task === b.task;
  const left = nameOf(a);
  const right = nameOf(b);
  if (left !== null && right !== null) return left === right;
  const x = numberOf(a);
  const y = numberOf(b);
  return x === null || y === null ? null : x === y;
}

function nameOf(value: Value): string | null {
  if (value.kind === 'text') return value.value;
  return value.kind === 'task' ? value.name : null;
}

/** What a value is, for error messages. */
export function kindOf(value: Value): string {
  switch (value.kind) {
    case 'object':
      return describeObject(value.object);
    case 'pte':
      return 'a page-table entry';
    case 'null':
      return 'NULL';
    default:
      return `a ${value.kind}`;
  }
}

const MAX_LISTED = 20;

export function formatValue(value: Value): string {
  switch (value.kind) {
    case 'null':
      return 'NULL';
    case 'number':
      return showNumber(value.name ?? '', value.value);
    case 'boolean':
      return String(value.value);
    case 'text':
      return value.value;
    case 'object': {
      const { object, serial } = value;
      if (serialOf(object) !== serial) return `object #${serial}, gone`;
      const label = objectRef(object)?.label ?? describeObject(object);
      return isLive(object) ? label : `${label} (freed)`;
    }
    case 'page':
      return pageRef(value.pfn).label;
    case 'pte':
      return value.value === 0 ? 'none' : `${pteText(value.value)} ${pteBits(value.value)}`;
    case 'task':
      return value.name;
    case 'lock':
      return `${lockRef(value.lock).label}${value.mode === undefined ? '' : ` (${value.mode})`}`;
    case 'list': {
      const shown = value.items.slice(0, MAX_LISTED).map(formatValue);
      const rest = value.items.length - shown.length;
      return `${value.items.length} [${shown.join(', ')}${rest > 0 ? `, +${rest}` : ''}]`;
    }
    case 'record': {
      const fields = [...value.fields].map(([name, number]) => `${name}=${number}`);
      return `${value.value} {${fields.join(' ')}}`;
    }
  }
}

/** `0x7f…`: for error messages about addresses. */
export function addressText(address: number): string {
  return `0x${hex(address)}`;
}
