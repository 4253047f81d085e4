/** RMAP5, RMAP6, COW1, REF3 to REF5, PTE1: the counts and flags of page frames, counted again from the page tables. */
import { memory_manager } from '../linux/kernel.ts';
import { VM_MAYSHARE } from '../linux/mm/mm.ts';
import { NODE_DATA } from '../linux/mm/node.ts';
import { user_pin_cachep } from '../linux/mm/user_pin_types.ts';
import { cpu } from '../sim/cpu.ts';
import { liveObjects } from '../sim/struct.ts';
import { areaOf } from './anon-areas.ts';
import { mappingsOf } from './early-rmap.ts';
import { judgeLargeFolio } from './large-pages.ts';
import { type Entry, frameCount, frameText, type Picture, place } from './picture.ts';
import {
  BUDDY,
  EXCLUSIVE,
  entryFrame,
  headOf,
  inSwapCache,
  isAnon,
  isFile,
  isKsm,
  isLarge,
  type RawPage,
  RESERVED,
  rawPage,
  WRITE,
} from './raw.ts';
import type { Verdicts } from './verdict.ts';

const none: readonly Entry[] = [];

function where(entries: readonly Entry[]): string[] {
  return entries.slice(0, 8).map(place);
}

/** PTE1: an entry, migration entries included, never names a free frame. True at any step. */
export function judgeFreed(picture: Picture, verdicts: Verdicts): void {
  const check = (pfn: number, entries: readonly Entry[]): void => {
    const page = rawPage(pfn);
    if (pfn < frameCount() && page.refcount > 0 && (page.flags & BUDDY) === 0) return;
    verdicts.push({
      kind: 'pte-freed-page',
      text: `${frameText(pfn)} is free but mapped`,
      evidence: where(entries),
    });
  };
  for (const [pfn, entries] of picture.present) check(pfn, entries);
  for (const [pfn, entries] of picture.huge) check(pfn, entries);
  for (const entry of picture.migration) check(entryFrame(entry.value), [entry]);
}

/** References that LRU batches hold, by frame. */
function batchReferences(): Map<number, number> {
  const node = NODE_DATA();
  const held = new Map<number, number>();
  for (let i = 0; i < node.lru_add_nr; i++) {
    const pfn = cpu.heap[node.lru_add + i] as number;
    held.set(pfn, (held.get(pfn) ?? 0) + 1);
  }
  for (let i = 0; i < node.mlock_nr; i++) {
    const pfn = Math.floor((cpu.heap[node.mlock + i] as number) / 4);
    held.set(pfn, (held.get(pfn) ?? 0) + 1);
  }
  return held;
}

/** GUP_PIN_COUNTING_BIAS: references that one pin of a small page counts for; before 5.6 one like any other. */
const pinReferences = (): number => memory_manager().device_pins?.references ?? 1024;

/** Pins that devices hold, by frame. */
function devicePins(): Map<number, number> {
  const pins = new Map<number, number>();
  for (const { pfn } of liveObjects(user_pin_cachep)) pins.set(pfn, (pins.get(pfn) ?? 0) + 1);
  return pins;
}

function judgeCounts(
  page: RawPage,
  entries: readonly Entry[],
  batch: number,
  pins: number,
  verdicts: Verdicts,
): void {
  const { pfn } = page;
  const mappings = mappingsOf(page);
  if (mappings !== entries.length) {
    verdicts.push({
      kind: 'mapcount-wrong',
      text: `${frameText(pfn)}: mapcount is ${mappings}, page tables map it ${entries.length} times`,
      evidence: where(entries),
    });
  }
  const swapCache = inSwapCache(page) ? 1 : 0;
  const pageCache = isFile(page) ? 1 : 0;
  const area = areaOf(page) === null ? 0 : 1;
  const references = entries.length + swapCache + pageCache + area + batch + pins * pinReferences();
  if (page.refcount === references) return;
  const parts = `${entries.length} mappings, ${swapCache} swap cache, ${pageCache + area} page cache or anon area, ${batch} LRU batch, ${pins} pins`;
  verdicts.push({
    kind: references === 0 ? 'leaked-page' : 'refcount-wrong',
    text: `${frameText(pfn)}: refcount is ${page.refcount}, references that exist: ${references}`,
    evidence: [parts, `flags ${page.flags.toString(16)}`, ...where(entries)],
  });
}

/** RMAP6 and COW1 of one page: exclusive means alone, writable and private means exclusive. */
function judgeSharing(
  page: RawPage,
  entries: readonly Entry[],
  swapUsers: number,
  verdicts: Verdicts,
): void {
  const alone = entries.length === 1 && swapUsers === 0;
  const exclusive = (page.flags & EXCLUSIVE) !== 0;
  // Before the flag, a writable private page was one that nobody else had.
  const hasFlag = memory_manager().reuse === 'anon_exclusive';
  const evidence = [...where(entries), `${swapUsers} swap entries`];
  if (exclusive && !alone) {
    verdicts.push({
      kind: 'exclusive-wrong',
      text: `${frameText(page.pfn)} is marked exclusive but shared`,
      evidence,
    });
  }
  for (const entry of entries) {
    const isPrivate = entry.vma === null || (entry.vma.vm_flags & VM_MAYSHARE) === 0;
    if ((entry.value & WRITE) === 0 || !isPrivate || (alone && (exclusive || !hasFlag))) continue;
    verdicts.push({
      kind: 'cow-shared-writable',
      text: `${frameText(page.pfn)} is writable in ${place(entry)} but not exclusive`,
      evidence,
    });
  }
}

/** GUP1: a pinned anonymous page is its process's page and stays so: exclusive, until it is freed. */
function judgePinned(page: RawPage, entries: readonly Entry[], verdicts: Verdicts): void {
  // Before 5.19 nothing tells a pin from other references: what a device has can become another process's.
  if (memory_manager().device_pins !== undefined) return;
  if (!isAnon(page) || (page.flags & EXCLUSIVE) !== 0) return;
  verdicts.push({
    kind: 'pinned-not-exclusive',
    text: `${frameText(page.pfn)} is pinned by a device but not exclusive`,
    evidence: where(entries),
  });
}

/** All frames, with nothing in flight. */
export function judgePages(picture: Picture, verdicts: Verdicts): void {
  const batches = batchReferences();
  const pins = devicePins();
  const swapUsers = new Map<number, number>();
  for (const entry of picture.swap) {
    const slot = entryFrame(entry.value);
    swapUsers.set(slot, (swapUsers.get(slot) ?? 0) + 1);
  }
  for (const pfn of picture.used) {
    const entries = picture.present.get(pfn) ?? none;
    const page = rawPage(pfn);
    if (entries.length === 0 && page.refcount === 0 && page.mapcount === 0) continue;
    if ((page.flags & RESERVED) !== 0) continue;
    if (isLarge(pfn)) {
      if (headOf(pfn) === pfn)
        judgeLargeFolio(picture, pfn, batches.get(pfn) ?? 0, pins, swapUsers, verdicts);
      continue;
    }
    const pinned = pins.get(pfn) ?? 0;
    judgeCounts(page, entries, batches.get(pfn) ?? 0, pinned, verdicts);
    if (pinned > 0) judgePinned(page, entries, verdicts);
    if ((isAnon(page) || isKsm(page)) && entries.length > 0) {
      const users = inSwapCache(page) ? (swapUsers.get(page.private) ?? 0) : 0;
      judgeSharing(page, entries, users, verdicts);
    }
  }
}
