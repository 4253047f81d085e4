/** Which lock was taken while which was held: the order edges of all tasks, from the lock events. */
import { cpu } from '../../sim/cpu.ts';
import type { EventType } from '../../sim/event.ts';
import type { Machine } from '../../sim/machine.ts';
import { textOf } from '../../sim/text.ts';
import type { LocksView } from '../view.ts';
import { EventReader, eventWord, type IndexedEvent } from './event-reader.ts';
import { lockClass } from './lock-names.ts';
import { looking } from './objects.ts';
import { countBefore } from './walks.ts';

interface Edge {
  readonly from: string;
  readonly to: string;
  /** Events that took `to`, in order. */
  readonly events: number[];
}

export class LockIndex {
  readonly machine: Machine;
  readonly #reader: EventReader;
  #edges = new Map<string, Edge>();
  /** Locks held by each task at the end of what was read, oldest first. */
  #held = new Map<number, number[]>();
  /** A word belongs to the same struct and field as long as history is not rewritten. */
  #classes = new Map<number, string>();

  constructor(machine: Machine) {
    this.machine = machine;
    this.#reader = new EventReader(machine);
  }

  /** The log was rewritten from some point on (machine.truncate()): read it again when asked next. */
  forget(): void {
    this.#reader.forget();
  }

  /** Edges up to the current event count, in order of first appearance. */
  order(): LocksView['order'] {
    return looking(this.machine, () => {
      this.#reader.update(
        () => {
          this.#edges = new Map();
          this.#held = new Map();
          this.#classes = new Map();
        },
        (type, event) => this.#read(type, event),
      );
      const order: { from: string; to: string; count: number }[] = [];
      for (const { from, to, events } of this.#edges.values()) {
        const count = countBefore(events, cpu.event_count);
        if (count > 0) order.push({ from, to, count });
      }
      return order;
    });
  }

  #classOf(lock: number): string {
    let cls = this.#classes.get(lock);
    if (cls === undefined) {
      cls = lockClass(lock);
      this.#classes.set(lock, cls);
    }
    return cls;
  }

  #read({ name }: EventType, { index, task, start }: IndexedEvent): void {
    if (name !== 'lock:acquire' && name !== 'lock:release') return;
    const lock = eventWord(start);
    const held = this.#held.get(task) ?? [];
    this.#held.set(task, held);
    if (name === 'lock:release') {
      // A downgraded lock stays held.
      if (textOf(eventWord(start + 1)) === 'downgrade') return;
      const at = held.lastIndexOf(lock);
      if (at >= 0) held.splice(at, 1);
      return;
    }
    const to = this.#classOf(lock);
    for (const cls of new Set(held.map((each) => this.#classOf(each)))) {
      const key = `${cls}>${to}`;
      const edge = this.#edges.get(key);
      if (edge === undefined) this.#edges.set(key, { from: cls, to, events: [index] });
      else edge.events.push(index);
    }
    held.push(lock);
  }
}
