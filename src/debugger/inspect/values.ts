/** Values of kernel locals and fields as text, with a Ref where they name an object. */
import { describeObject, isLive, type Obj, structOf } from '../../sim/struct.ts';
import type { Ref } from '../view.ts';
import { vmFlagNames } from './flags.ts';
import { hex, valueRef } from './refs.ts';

export interface ShownValue {
  readonly text: string;
  readonly ref: Ref | null;
}

/** Numbers from here on are more likely addresses than counts. */
const ADDRESS_LIKE = 4096;

/** Names of locals and fields that hold vm_flags. */
const FLAG_NAMES = /^(vm_flags|vma_flags|def_flags|newflags|oldflags|charged_flags)$/;

/** `name` tells what a bare number means: flags, page offsets, counts. */
export function showValue(name: string, value: unknown): ShownValue {
  switch (typeof value) {
    case 'number':
      return plain(showNumber(name, value));
    case 'boolean':
    case 'bigint':
      return plain(String(value));
    case 'string':
      return plain(JSON.stringify(value));
    case 'undefined':
      return plain('<not set>');
    case 'function':
      return plain(value.name === '' ? 'function' : value.name);
    case 'object':
      return value === null ? plain('NULL') : showObject(value);
    default:
      return plain('?');
  }
}

function plain(text: string): ShownValue {
  return { text, ref: null };
}

export function showNumber(name: string, value: number): string {
  if (FLAG_NAMES.test(name)) return vmFlagNames(value);
  if (!Number.isInteger(value)) return String(value);
  if (/pgoff|^index$/.test(name)) return `0x${hex(value)}`;
  return value >= ADDRESS_LIKE ? `0x${hex(value)}` : String(value);
}

function showObject(value: object): ShownValue {
  if (Array.isArray(value)) return plain(`[${value.length}]`);
  const isHandle = 'pfn' in value || ('addr' in value && structOf(value as Obj) !== null);
  if (!isHandle) return plain(showRecord(value as Readonly<Record<string, unknown>>));
  const ref = valueRef(value);
  if ('pfn' in value) return { text: ref?.label ?? 'page', ref };
  const object = value as Obj;
  const freed = isLive(object) ? '' : ' (freed)';
  return { text: `${ref?.label ?? describeObject(object)}${freed}`, ref };
}

/** Fields of a plain parameter block such as a merge request: the first few, each short. */
function showRecord(record: Readonly<Record<string, unknown>>): string {
  const parts: string[] = [];
  for (const [name, field] of Object.entries(record)) {
    if (typeof field === 'function') continue;
    if (parts.length === 8) {
      parts.push('…');
      break;
    }
    const nested =
      typeof field === 'object' && field !== null && !('addr' in field || 'pfn' in field);
    parts.push(`${name}=${nested ? '{…}' : showValue(name, field).text}`);
  }
  return `{${parts.join(' ')}}`;
}
