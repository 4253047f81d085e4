/**
 * Tracepoints. An event is appended to the machine's log with its step and task and typed fields; it
 * is a journal entry too, so going back in time takes the log back with it.
 */
import { cpu, log_event } from './cpu.ts';
import { type FrameObj, type Obj, serialOf } from './struct.ts';
import { textId, textOf } from './text.ts';

/**
 * Type of an event field: `n` decimal number, `x` address, `obj` pointer to a struct (logged with
 * its serial), `page` page frame, `str` text.
 */
export type EventFieldKind = 'n' | 'x' | 'obj' | 'page' | 'str';

type Value<F extends EventFieldKind> = F extends 'obj'
  ? Obj | null
  : F extends 'page'
    ? FrameObj | null
    : F extends 'str'
      ? string
      : number;

export type EventArgs<F extends Readonly<Record<string, EventFieldKind>>> = {
  readonly [N in keyof F]: Value<F[N]>;
};

export interface EventType {
  readonly id: number;
  /** `system:event`, as in tracefs. */
  readonly name: string;
  readonly doc: string;
  readonly fields: readonly {
    readonly name: string;
    readonly kind: EventFieldKind;
    readonly word: number;
  }[];
  readonly wordCount: number;
}

/** Append-only columns of one machine's events; `cpu.event_count` says how many are current. */
export interface EventLog {
  type: Uint16Array;
  task: Uint16Array;
  step: Float64Array;
  /** First word of the event's fields in `words`. */
  start: Float64Array;
  words: Float64Array;
}

const types: EventType[] = [];

/** The log of the active machine; machine.ts swaps it. */
export const eventLog: { active: EventLog; on: boolean } = { active: newEventLog(0), on: true };

export function newEventLog(capacity: number): EventLog {
  return {
    type: new Uint16Array(capacity),
    task: new Uint16Array(capacity),
    step: new Float64Array(capacity),
    start: new Float64Array(capacity + 1),
    words: new Float64Array(capacity * 4),
  };
}

function grown<A extends Uint16Array | Float64Array>(array: A, length: number): A {
  const copy = new (array.constructor as new (n: number) => A)(length);
  copy.set(array as never);
  return copy;
}

/** Every event type, in order of definition. */
export function allEvents(): readonly EventType[] {
  return types;
}

/** Defines an event; the returned function emits it. `doc` says when it fires. */
export function tracepoint<F extends Readonly<Record<string, EventFieldKind>>>(
  name: `${string}:${string}`,
  table: F,
  doc: string,
): (args: EventArgs<F>) => void {
  const fields: { name: string; kind: EventFieldKind; word: number }[] = [];
  let wordCount = 0;
  for (const [field, kind] of Object.entries(table)) {
    fields.push({ name: field, kind, word: wordCount });
    wordCount += kind === 'obj' ? 2 : 1;
  }
  const type: EventType = { id: types.length, name, doc, fields, wordCount };
  types.push(type);
  return compileEmit(type) as (args: EventArgs<F>) => void;
}

/** Makes room for event number `n` with `count` words. */
function makeRoom(log: EventLog, n: number, count: number): void {
  if (n >= log.type.length) {
    const length = Math.max(1024, log.type.length * 2);
    log.type = grown(log.type, length);
    log.task = grown(log.task, length);
    log.step = grown(log.step, length);
    log.start = grown(log.start, length + 1);
  }
  if ((log.start[n] as number) + count > log.words.length) {
    log.words = grown(log.words, Math.max(4096, log.words.length * 2));
  }
}

/** Assignments that put one field's value into the word array `w` from `at` on. */
function storeField(name: string, kind: EventFieldKind, word: number): string {
  const value = `args[${JSON.stringify(name)}]`;
  switch (kind) {
    case 'obj':
      return `{const o=${value};w[at+${word}]=o===null?0:o.addr;w[at+${word + 1}]=o===null?0:serialOf(o);}`;
    case 'page':
      return `{const p=${value};w[at+${word}]=p===null?-1:p.pfn;}`;
    case 'str':
      return `w[at+${word}]=textId(${value});`;
    default:
      return `w[at+${word}]=${value};`;
  }
}

/** Compiled per event, so that each has its own inline caches (measured: three times as fast as a loop over the fields). */
function compileEmit(type: EventType): (args: never) => void {
  const fields = type.fields.map((f) => storeField(f.name, f.kind, f.word)).join('');
  const body = `
    if(!eventLog.on)return;
    const log=eventLog.active,n=cpu.event_count;
    if(n>=log.type.length||log.start[n]+${type.wordCount}>log.words.length)makeRoom(log,n,${type.wordCount});
    const at=log.start[n],w=log.words;
    log.type[n]=${type.id};log.task[n]=cpu.task;log.step[n]=cpu.step;
    ${fields}
    log.start[n+1]=at+${type.wordCount};
    log_event();
    if(cpu.event_break[${type.id}]===1)cpu.on_break('event',n);`;
  return new Function(
    'eventLog',
    'cpu',
    'makeRoom',
    'serialOf',
    'textId',
    'log_event',
    `return function(args){${body}}`,
  )(eventLog, cpu, makeRoom, serialOf, textId, log_event) as (args: never) => void;
}

/** One logged event, decoded. Objects are named by address and serial: the slot may have been reused. */
export interface LoggedEvent {
  readonly index: number;
  readonly type: EventType;
  readonly step: number;
  readonly task: number;
  /** By field, in order: number, text, `{addr, serial}` or `{pfn}`; null pointers are null. */
  readonly values: readonly (
    | number
    | string
    | null
    | { readonly addr: number; readonly serial: number }
    | { readonly pfn: number }
  )[];
}

/** Event number `index` of the active machine's log, 0 <= index < cpu.event_count. */
export function eventAt(index: number): LoggedEvent {
  const log = eventLog.active;
  const type = types[log.type[index] as number] as EventType;
  const start = log.start[index] as number;
  const values = type.fields.map((field) => {
    const word = log.words[start + field.word] as number;
    switch (field.kind) {
      case 'obj':
        return word === 0
          ? null
          : { addr: word, serial: log.words[start + field.word + 1] as number };
      case 'page':
        return word < 0 ? null : { pfn: word };
      case 'str':
        return textOf(word);
      default:
        return word;
    }
  });
  return { index, type, step: log.step[index] as number, task: log.task[index] as number, values };
}

/** Type id of event `index`, without decoding it. */
export function eventTypeAt(index: number): number {
  return eventLog.active.type[index] as number;
}

export function eventTaskAt(index: number): number {
  return eventLog.active.task[index] as number;
}

export function eventStepAt(index: number): number {
  return eventLog.active.step[index] as number;
}
