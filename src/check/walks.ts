/**
 * WALK1: each mapping of a page that existed during a whole walk was visited by it. Judged from the event
 * log and the page tables as they are now: a mapping of now is followed back through the pte events to
 * the beginning of the walk, also where mremap carried it from one address to another.
 *
 * Only walks that must find everything are judged, and only if they did not stop by their own rule.
 */
import { cpu } from '../sim/cpu.ts';
import { allEvents, eventAt, eventTaskAt, eventTypeAt, type LoggedEvent } from '../sim/event.ts';
import type { Machine } from '../sim/machine.ts';
import { frameText, type Picture, place } from './picture.ts';
import { entryFrame, entryKind, isKsm, rawPage } from './raw.ts';
import type { Verdicts } from './verdict.ts';

const mustFindAll: ReadonlySet<string> = new Set(['try_to_migrate', 'remove_migration_ptes']);

interface Walk {
  readonly begin: number;
  readonly end: number;
  readonly task: number;
  readonly pfn: number;
  readonly purpose: string;
}

function field(event: LoggedEvent, name: string): LoggedEvent['values'][number] {
  return event.values[event.type.fields.findIndex((f) => f.name === name)] ?? null;
}

/** What event `n` is, without decoding it. */
function typeName(n: number): string {
  return allEvents()[eventTypeAt(n)]?.name ?? '';
}

function addrOf(value: LoggedEvent['values'][number]): number {
  return typeof value === 'object' && value !== null && 'addr' in value ? value.addr : 0;
}

/** Whether the object in an event was freed since; its slot may have been given out again. */
function isGone(value: LoggedEvent['values'][number]): boolean {
  if (typeof value !== 'object' || value === null || !('serial' in value)) return false;
  const isLive = (cpu.heap[value.addr] as number) % 4 === 1;
  return !isLive || cpu.heap[value.addr + 1] !== value.serial;
}

function pfnOf(value: LoggedEvent['values'][number]): number {
  return typeof value === 'object' && value !== null && 'pfn' in value ? value.pfn : -1;
}

/** Whether an entry maps the frame or stands for it during migration. */
function names(value: number, pfn: number): boolean {
  const kind = entryKind(value);
  return value !== 0 && (kind === 'present' || kind === 'migration') && entryFrame(value) === pfn;
}

/** Walks that ended in [from, now) and must have found everything. */
function finishedWalks(from: number): Walk[] {
  const walks: Walk[] = [];
  for (let n = from; n < cpu.event_count; n++) {
    if (typeName(n) !== 'rmap:walk_end' || field(eventAt(n), 'stopped') !== 0) continue;
    const task = eventTaskAt(n);
    for (let b = n - 1, nested = 0; b >= 0; b--) {
      if (eventTaskAt(b) !== task) continue;
      const name = typeName(b);
      if (name === 'rmap:walk_end') nested++;
      if (name !== 'rmap:walk_begin' || nested-- > 0) continue;
      const begin = eventAt(b);
      const purpose = String(field(begin, 'purpose'));
      if (mustFindAll.has(purpose)) {
        walks.push({ begin: b, end: n, task, pfn: pfnOf(field(begin, 'page')), purpose });
      }
      break;
    }
  }
  return walks;
}

/** Follows one mapping of now back to the walk's beginning; false if it was there all the time and not visited. */
function visitedOrNewer(
  walk: Walk,
  mmAddr: number,
  address: number,
  vmaMm: Map<number, number>,
): boolean {
  let mm = mmAddr;
  let at = address;
  for (let n = cpu.event_count - 1; n > walk.begin; n--) {
    const name = typeName(n);
    if (name !== 'pte:set' && name !== 'rmap:walk_visit') continue;
    const event = eventAt(n);
    switch (name) {
      case 'pte:set': {
        if (addrOf(field(event, 'mm')) !== mm || field(event, 'address') !== at) break;
        if (names(field(event, 'old') as number, walk.pfn)) break;
        // Made here: moved from where the same task has just cleared it, or new.
        let source: LoggedEvent | null = null;
        for (let m = n - 1; m > walk.begin && source === null; m--) {
          if (eventTaskAt(m) !== event.task) continue;
          const what = typeName(m);
          if (what === 'pte:set') break;
          if (what !== 'pte:clear') continue;
          const before = eventAt(m);
          if (names(field(before, 'old') as number, walk.pfn)) {
            source = before;
          }
        }
        if (source === null) return true;
        mm = addrOf(field(source, 'mm'));
        at = field(source, 'address') as number;
        n = source.index;
        break;
      }
      case 'rmap:walk_visit': {
        if (n > walk.end || event.task !== walk.task || field(event, 'address') !== at) break;
        // Whose a VMA was that is in no tree any more is not known: the address must do.
        if (isGone(field(event, 'vma'))) return true;
        const owner = vmaMm.get(addrOf(field(event, 'vma')));
        if (owner === undefined || owner === mm) return true;
        break;
      }
    }
  }
  return false;
}

/** Judges the walks that have ended since the last call for this machine, in the history that it has now. */
export function judgeWalks(machine: Machine, picture: Picture, verdicts: Verdicts): void {
  const from = machine.eventsJudged;
  // After going back in time there is nothing new.
  if (from >= cpu.event_count) return;
  machine.eventsJudged = cpu.event_count;
  const mmOfVma = new Map<number, number>();
  for (const { mm, vmas } of picture.spaces) for (const vma of vmas) mmOfVma.set(vma.addr, mm.addr);
  for (const walk of finishedWalks(from)) {
    // A page that fork shared and only a child merges is not found in the parent.
    if (isKsm(rawPage(walk.pfn))) continue;
    const entries = [
      ...(picture.present.get(walk.pfn) ?? []),
      ...(picture.huge.get(walk.pfn) ?? []),
      ...picture.migration.filter((e) => entryFrame(e.value) === walk.pfn),
    ];
    for (const entry of entries) {
      if (visitedOrNewer(walk, entry.mm.addr, entry.address, mmOfVma)) continue;
      verdicts.push({
        kind: 'walk-missed',
        text: `${walk.purpose} of ${frameText(walk.pfn)} did not visit ${place(entry)}`,
        evidence: [`events ${walk.begin} to ${walk.end}`],
      });
    }
  }
}
