/**
 * Reverse-map walks, reconstructed from their events: walk_begin, visits, hits and misses, the locks
 * taken between, walk_end; per task, so that concurrent and nested walks come apart.
 *
 * The index holds all walks of the log; a view cuts it at the current event count, so that it is right
 * at any past step and scrubbing costs nothing.
 */

import { vm_area_cachep } from '../../linux/mm_types.ts';
import { cpu } from '../../sim/cpu.ts';
import type { EventType } from '../../sim/event.ts';
import type { Machine, Slice } from '../../sim/machine.ts';
import { textOf } from '../../sim/text.ts';
import type { VisitView, WalkView } from '../view.ts';
import { EventReader, eventWord, fieldWord, type IndexedEvent } from './event-reader.ts';
import { isSame, looking, objectAt } from './objects.ts';
import { pageRef, pastRef, processOfVma } from './refs.ts';

/** An object as an event names it. */
export interface Past {
  readonly addr: number;
  readonly serial: number;
}

export interface VisitRecord {
  /** Event number of the visit. */
  readonly event: number;
  readonly step: number;
  readonly vma: Past;
  readonly anonVma: Past;
  readonly address: number;
  /** Event numbers of the entries found. */
  readonly hits: number[];
  /** Event number of the miss, or -1. */
  miss: number;
  /** Event number and step of what ended the visit: the next visit or the end of the walk; -1 before. */
  end: number;
  endStep: number;
}

export interface WalkRecord {
  readonly id: number;
  readonly task: number;
  readonly begin: number;
  readonly beginStep: number;
  readonly pfn: number;
  readonly anonVma: Past;
  /** Page offset that the walk looks for. */
  readonly pgoff: number;
  readonly purpose: string;
  readonly visits: VisitRecord[];
  /** Event numbers of the locks that the task took meanwhile. */
  readonly locks: number[];
  /** Event number of the end, or -1. */
  end: number;
  endStep: number;
}

const LAST_WALKS = 200;

export class WalkIndex {
  readonly machine: Machine;
  readonly #reader: EventReader;
  #walks: WalkRecord[] = [];
  /** Open walks of each task, outermost first. */
  #open = new Map<number, WalkRecord[]>();

  constructor(machine: Machine) {
    this.machine = machine;
    this.#reader = new EventReader(machine);
  }

  /** The log was rewritten from some point on (machine.truncate()): read it again when asked next. */
  forget(): void {
    this.#reader.forget();
  }

  /** Every walk that began before the current event count, oldest first. */
  walks(): readonly WalkRecord[] {
    this.#reader.update(
      () => {
        this.#walks = [];
        this.#open = new Map();
      },
      (type, event) => this.#read(type, event),
    );
    const count = cpu.event_count;
    let low = 0;
    let high = this.#walks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#walks[middle] as WalkRecord).begin < count) low = middle + 1;
      else high = middle;
    }
    return low === this.#walks.length ? this.#walks : this.#walks.slice(0, low);
  }

  /** The walk in progress: the innermost of `task`, else the one that began last; null when none is. */
  current(task: number): WalkRecord | null {
    const walks = this.walks();
    const count = cpu.event_count;
    let latest: WalkRecord | null = null;
    // Open walks are few and recent: at most one or two for each task.
    for (let i = walks.length - 1; i >= 0 && i >= walks.length - 4096; i--) {
      const walk = walks[i] as WalkRecord;
      if (walk.end >= 0 && walk.end < count) continue;
      if (walk.task === task) return walk;
      latest ??= walk;
    }
    return latest;
  }

  /** The newest finished walk of a page, or null. */
  lastOf(pfn: number): WalkRecord | null {
    const count = cpu.event_count;
    const ended = (walk: WalkRecord): boolean =>
      walk.pfn === pfn && walk.end >= 0 && walk.end < count;
    return this.walks().findLast(ended) ?? null;
  }

  /** The newest walks, oldest first; the last one may be in progress. */
  views(limit = LAST_WALKS): readonly WalkView[] {
    return looking(this.machine, () => {
      const walks = this.walks();
      return walks
        .slice(Math.max(0, walks.length - limit))
        .map((walk) => walkView(this.machine, walk));
    });
  }

  #read(type: EventType, event: IndexedEvent): void {
    if (type.name === 'lock:acquire') {
      for (const walk of this.#open.get(event.task) ?? []) walk.locks.push(event.index);
      return;
    }
    if (!type.name.startsWith('rmap:walk_')) return;
    const open = this.#open.get(event.task) ?? [];
    const walk = open.at(-1);
    const { index, step } = event;
    const at = (field: string): number => event.start + fieldWord(type, field);
    if (type.name === 'rmap:walk_begin') {
      const begun = this.#begin(event, at);
      this.#walks.push(begun);
      open.push(begun);
      this.#open.set(event.task, open);
    } else if (walk === undefined) {
      // page_vma_mapped_walk() outside of a reverse-map walk.
      return;
    } else if (type.name === 'rmap:walk_visit') {
      endVisit(walk, event);
      walk.visits.push({
        event: index,
        step,
        vma: past(at('vma')),
        anonVma: past(at('anon_vma')),
        address: eventWord(at('address')),
        hits: [],
        miss: -1,
        end: -1,
        endStep: -1,
      });
    } else if (type.name === 'rmap:walk_hit') {
      walk.visits.at(-1)?.hits.push(index);
    } else if (type.name === 'rmap:walk_miss') {
      const visit = walk.visits.at(-1);
      if (visit !== undefined) visit.miss = index;
    } else if (type.name === 'rmap:walk_end') {
      endVisit(walk, event);
      walk.end = index;
      walk.endStep = step;
      open.pop();
    }
  }

  #begin({ index, task, step }: IndexedEvent, at: (field: string) => number): WalkRecord {
    return {
      id: this.#walks.length + 1,
      task,
      begin: index,
      beginStep: step,
      pfn: eventWord(at('page')),
      anonVma: past(at('anon_vma')),
      pgoff: eventWord(at('index')),
      purpose: textOf(eventWord(at('purpose'))),
      visits: [],
      locks: [],
      end: -1,
      endStep: -1,
    };
  }
}

function past(at: number): Past {
  return { addr: eventWord(at), serial: eventWord(at + 1) };
}

function endVisit(walk: WalkRecord, { index, step }: IndexedEvent): void {
  const visit = walk.visits.at(-1);
  if (visit === undefined) return;
  visit.end = index;
  visit.endStep = step;
}

/** How many of the sorted event numbers are before `count`. */
export function countBefore(events: readonly number[], count: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((events[middle] as number) < count) low = middle + 1;
    else high = middle;
  }
  return low;
}

export type VisitResult = VisitView['result'];

/** What a visit has come to, as far as the first `count` events tell. */
export function resultOf(visit: VisitRecord, count: number): VisitResult {
  if (countBefore(visit.hits, count) > 0) return 'hit';
  const missed = visit.miss >= 0 && visit.miss < count;
  const over = visit.end >= 0 && visit.end < count;
  return missed || over ? 'miss' : 'pending';
}

export function walkView(machine: Machine, walk: WalkRecord): WalkView {
  const count = cpu.event_count;
  const over = walk.end >= 0 && walk.end < count;
  const visits: VisitView[] = [];
  let cost = 0;
  let from = walk.beginStep;
  let hits = 0;
  let ptes = 0;
  for (const visit of walk.visits) {
    if (visit.event >= count) break;
    const to = visit.end >= 0 && visit.end < count ? visit.endStep : cpu.step;
    cost += ownSteps(machine, walk.task, from, to);
    from = to;
    const result = resultOf(visit, count);
    const found = countBefore(visit.hits, count);
    if (result === 'hit') hits++;
    ptes += found;
    const vma = objectAt(vm_area_cachep, visit.vma.addr);
    visits.push({
      index: visits.length,
      step: visit.step,
      vma: pastRef('vma', visit.vma.addr, visit.vma.serial),
      process: vma !== null && isSame(vma, visit.vma.serial) ? processOfVma(vma) : '',
      address: visit.address,
      result,
      ptes: found,
      cost,
    });
  }
  const { anonVma } = walk;
  return {
    id: walk.id,
    task: machine.names[walk.task] ?? '',
    purpose: walk.purpose,
    page: pageRef(walk.pfn),
    anonVma: anonVma.addr === 0 ? null : pastRef('anon_vma', anonVma.addr, anonVma.serial),
    beganAt: walk.beginStep,
    endedAt: over ? walk.endStep : -1,
    visits,
    visited: visits.length,
    hits,
    wasted: visits.filter((visit) => visit.result === 'miss').length,
    ptes,
    locksTaken: countBefore(walk.locks, count),
    steps: ownSteps(machine, walk.task, walk.beginStep, over ? walk.endStep : cpu.step),
  };
}

/** Statements that `task` itself executed between two steps; others may have run meanwhile. */
function ownSteps(machine: Machine, task: number, from: number, to: number): number {
  const { slices } = machine;
  if (slices.length === 0) return to - from;
  let low = 0;
  let high = slices.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((slices[middle] as Slice).endStep <= from) low = middle + 1;
    else high = middle;
  }
  let steps = 0;
  for (let i = low; i < slices.length; i++) {
    const slice = slices[i] as Slice;
    if (slice.step >= to) break;
    if (slice.task !== task) continue;
    steps += Math.min(to, slice.endStep) - Math.max(from, slice.step);
  }
  // The slice that is running now is not in the list yet.
  const end = slices.at(-1)?.endStep ?? 0;
  if (cpu.task === task && to > end) steps += to - Math.max(from, end);
  return steps;
}
