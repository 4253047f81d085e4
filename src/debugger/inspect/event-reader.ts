/**
 * Reading the event log forward, once. Indexes over events (walks.ts, lock-index.ts) are extended when
 * the log grows. After going back in time and taking another future the log holds other events at the
 * same numbers: whoever calls machine.truncate() then calls forget() of every index. As a second line of
 * defence an index compares some events with what it read, and starts again when one differs.
 */
import { cpu } from '../../sim/cpu.ts';
import { allEvents, type EventType, eventLog } from '../../sim/event.ts';
import type { Machine } from '../../sim/machine.ts';

export interface IndexedEvent {
  readonly index: number;
  readonly task: number;
  readonly step: number;
  /** First word of its fields in the log. */
  readonly start: number;
}

/** Every event this many apart is remembered, to notice that the log was rewritten. */
const CHECK_EVERY = 64;

export class EventReader {
  readonly #machine: Machine;
  #done = 0;
  /** What identifies event k * CHECK_EVERY, and the last one read. */
  #checks: number[] = [];
  #last = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** The log was rewritten: the next update() starts again. */
  forget(): void {
    this.#last = Number.NaN;
    this.#checks = [];
  }

  /**
   * Makes `read` see every event up to the current step that it has not seen. `restart` is called
   * first if what it saw is no longer what the log holds.
   */
  update(restart: () => void, read: (type: EventType, event: IndexedEvent) => void): void {
    this.#machine.activate();
    const count = cpu.event_count;
    if (!this.#valid(count)) {
      this.#done = 0;
      this.#checks = [];
      restart();
    }
    const log = eventLog.active;
    const types = allEvents();
    for (let index = this.#done; index < count; index++) {
      if (index % CHECK_EVERY === 0) this.#checks.push(fingerprint(index));
      read(types[log.type[index] as number] as EventType, {
        index,
        task: log.task[index] as number,
        step: log.step[index] as number,
        start: log.start[index] as number,
      });
    }
    if (count > this.#done) {
      this.#done = count;
      this.#last = fingerprint(count - 1);
    }
  }

  /** Compares what was read with the log, at the newest remembered event that is current. */
  #valid(count: number): boolean {
    if (this.#done === 0) return true;
    if (count >= this.#done) return fingerprint(this.#done - 1) === this.#last;
    // The log may have been rewritten between two checks: the newest check below `count` must hold.
    const at = Math.floor((count - 1) / CHECK_EVERY);
    return at < 0 ? this.#checks.length > 0 : this.#checks[at] === fingerprint(at * CHECK_EVERY);
  }
}

/** Step, task, type and field words of an event, folded to one number. */
function fingerprint(index: number): number {
  const log = eventLog.active;
  let hash = (log.step[index] as number) * 4099 + (log.type[index] as number);
  hash = (hash * 31 + (log.task[index] as number)) % 0x1f_ffff_ffff;
  const end = log.start[index + 1] as number;
  for (let at = log.start[index] as number; at < end; at++) {
    hash = (hash * 31 + (log.words[at] as number)) % 0x1f_ffff_ffff;
  }
  return hash;
}

/** Which word of an event holds a field; object fields have their serial in the next one. */
export function fieldWord(type: EventType, name: string): number {
  return type.fields.find((field) => field.name === name)?.word ?? 0;
}

/** One word of an event's fields. */
export function eventWord(at: number): number {
  return eventLog.active.words[at] as number;
}
