/** The event log as rows: aligned, filtered, only as many as are looked at. */
import { cpu } from '../../sim/cpu.ts';
import { type EventFieldKind, eventAt, type LoggedEvent } from '../../sim/event.ts';
import type { Machine } from '../../sim/machine.ts';
import type { EventsView, EventView, Ref } from '../view.ts';
import { EventReader, type IndexedEvent } from './event-reader.ts';
import { lockClass } from './lock-names.ts';
import { looking } from './objects.ts';
import { hex, pageRef, pastRef } from './refs.ts';
import { countBefore } from './walks.ts';

/** One field of an event: its text and, where it names an object, the Ref of it. */
export interface EventFieldText {
  readonly name: string;
  readonly value: string;
  readonly ref: Ref | null;
}

/** Kind of Ref for an object field, by the name that the events use. */
function kindOfField(name: string): Ref['kind'] {
  if (/anon_vma|root/.test(name)) return 'anon_vma';
  if (name === 'avc') return 'avc';
  return name === 'mm' ? 'mm' : 'vma';
}

export function eventFields(machine: Machine, event: LoggedEvent): readonly EventFieldText[] {
  return looking(machine, () =>
    event.type.fields.map(({ name, kind }, i) => ({
      name,
      ...fieldText(event.type.name, name, kind, event.values[i] ?? null),
    })),
  );
}

function fieldText(
  event: string,
  name: string,
  kind: EventFieldKind,
  value: LoggedEvent['values'][number],
): { readonly value: string; readonly ref: Ref | null } {
  if (value === null) return { value: 'NULL', ref: null };
  if (typeof value === 'string') return { value, ref: null };
  if (typeof value === 'object') {
    const ref =
      'pfn' in value ? pageRef(value.pfn) : pastRef(kindOfField(name), value.addr, value.serial);
    return { value: ref.label, ref };
  }
  if (event.startsWith('lock:') && name === 'lock') return { value: lockClass(value), ref: null };
  return { value: kind === 'x' ? `0x${hex(value)}` : String(value), ref: null };
}

/** Event number `index` as a row. */
function eventView(machine: Machine, index: number): EventView {
  const event = eventAt(index);
  return {
    index,
    step: event.step,
    task: machine.names[event.task] ?? '',
    name: event.type.name,
    fields: eventFields(machine, event).map(({ name, value }) => ({ name, value })),
  };
}

/**
 * A filter is words that must all hold: a glob over event names (`rmap:*`, `walk_*`), `task=NAME`, or
 * any of these with `!` before it.
 */
function compileFilter(machine: Machine, filter: string): (name: string, task: number) => boolean {
  const tests = filter
    .trim()
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => {
      const negated = word.startsWith('!');
      const text = negated ? word.slice(1) : word;
      const task = /^task=(.*)$/.exec(text)?.[1];
      const pattern = globOf(text);
      const holds = (name: string, id: number): boolean =>
        task === undefined ? pattern.test(name) : machine.names[id] === task;
      return (name: string, id: number): boolean => holds(name, id) !== negated;
    });
  return (name, task) => tests.every((test) => test(name, task));
}

/** Without a wildcard, a word may stand anywhere in the name. */
function globOf(text: string): RegExp {
  const escaped = text.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  if (!/[*?]/.test(text)) return new RegExp(escaped);
  const glob = escaped.replaceAll('*', '.*').replaceAll('?', '.');
  return new RegExp(text.includes(':') ? `^${glob}$` : `^([^:]*:)?${glob}$`);
}

/** The events that pass one filter, found once. */
export class EventFilter {
  readonly machine: Machine;
  readonly #reader: EventReader;
  #filter = '';
  #matches: number[] = [];
  #test: (name: string, task: number) => boolean = () => true;

  constructor(machine: Machine) {
    this.machine = machine;
    this.#reader = new EventReader(machine);
  }

  /** The log was rewritten from some point on (machine.truncate()): read it again when asked next. */
  forget(): void {
    this.#reader.forget();
  }

  /** Numbers of the matching events; those from the current event count on are to be ignored. */
  matches(filter: string): readonly number[] {
    if (filter !== this.#filter) {
      this.#filter = filter;
      this.#test = compileFilter(this.machine, filter);
      this.#reader.forget();
    }
    this.#reader.update(
      () => {
        this.#matches = [];
      },
      ({ name }, { index, task }: IndexedEvent) => {
        if (this.#test(name, task)) this.#matches.push(index);
      },
    );
    return this.#matches;
  }
}

/**
 * Rows `first` to `first + count` of the events that pass `filter`; `total` is how many pass, up to
 * the current step. `index` kept from call to call makes filtering incremental.
 */
export function eventsView(
  machine: Machine,
  first: number,
  count: number,
  filter: string,
  index: EventFilter = new EventFilter(machine),
): EventsView {
  return looking(machine, () => {
    const filtered = filter.trim() === '' ? null : index.matches(filter);
    const total = filtered === null ? cpu.event_count : countBefore(filtered, cpu.event_count);
    const rows: EventView[] = [];
    for (let i = Math.max(0, first); i < Math.min(total, first + count); i++) {
      rows.push(eventView(machine, filtered?.[i] ?? i));
    }
    return { total, first: Math.max(0, first), rows };
  });
}
