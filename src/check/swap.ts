/** MIG1, MIG2, SWAP3: what migration and swap entries promise. */
import { NODE_DATA } from '../linux/mm/node.ts';
import type { swap_info_struct } from '../linux/mm/swap_types.ts';
import { type inode, inode_cachep } from '../linux/mm_types.ts';
import { cpu } from '../sim/cpu.ts';
import { liveObjects } from '../sim/struct.ts';
import { PTRS_PER_TABLE } from '../sim/table.ts';
import { frameText, type Picture, place } from './picture.ts';
import { entryFrame, folioPages, headOf, inSwapCache, LOCKED, rawPage } from './raw.ts';
import type { Verdicts } from './verdict.ts';

const HAS_CACHE = 0x4000_0000;

/** MIG1: true at any step. A frame that is not locked and named by nobody's migration in progress is the bug. */
export function judgeMigrationLocks(picture: Picture, verdicts: Verdicts): void {
  for (const entry of picture.migration) {
    const pfn = entryFrame(entry.value);
    if ((rawPage(pfn).flags & LOCKED) !== 0) continue;
    verdicts.push({
      kind: 'migration-page-unlocked',
      text: `a migration entry names ${frameText(pfn)}, which is not locked`,
      evidence: [place(entry)],
    });
  }
}

/** MIG2: with nothing in flight. */
export function judgeMigrationLeft(picture: Picture, verdicts: Verdicts): void {
  for (const entry of picture.migration) {
    verdicts.push({
      kind: 'stale-migration-entry',
      text: `a migration entry to ${frameText(entryFrame(entry.value))} was left behind`,
      evidence: [place(entry)],
    });
  }
}

/** Entries from this value on in the page cache of tmpfs name a swap slot. */
const SWAPPED = 0x8000_0000;

/** Slots that the page cache of a file names. */
function swappedPages(inode: inode): number[] {
  const slots: number[] = [];
  const scan = (table: number, level: number): void => {
    for (let i = 0; i < PTRS_PER_TABLE; i++) {
      const value = cpu.pte[table * PTRS_PER_TABLE + i] as number;
      if (value === 0) continue;
      if (level > 1) scan(value, level - 1);
      else if (value >= SWAPPED) slots.push(value - SWAPPED);
    }
  };
  const root = inode.i_mapping?.i_pages ?? 0;
  if (root !== 0) scan(root, 3);
  return slots;
}

/** SWAP3: with nothing in flight. */
export function judgeSwap(picture: Picture, verdicts: Verdicts): void {
  const area = NODE_DATA().swap_info as swap_info_struct | null;
  if (area === null) return;
  const expected = new Map<number, number>();
  for (const entry of picture.swap) {
    const slot = entryFrame(entry.value);
    expected.set(slot, (expected.get(slot) ?? 0) + 1);
  }
  for (const inode of liveObjects(inode_cachep)) {
    const slots = swappedPages(inode);
    for (const slot of slots) expected.set(slot, (expected.get(slot) ?? 0) + 1);
    if (slots.length === inode.swapped) continue;
    verdicts.push({
      kind: 'swap-count-wrong',
      text: `a file counts ${inode.swapped} pages in swap, its page cache has ${slots.length}`,
      evidence: [],
    });
  }
  for (const pfn of picture.used) {
    const page = rawPage(pfn);
    if (!inSwapCache(page) || headOf(pfn) !== pfn) continue;
    for (let slot = page.private; slot < page.private + folioPages(pfn); slot++) {
      expected.set(slot, (expected.get(slot) ?? 0) | HAS_CACHE);
    }
  }
  let inUse = 0;
  const directory = area.swap_map * PTRS_PER_TABLE;
  for (let i = 0; i < PTRS_PER_TABLE; i++) {
    const table = cpu.pte[directory + i] as number;
    if (table === 0) continue;
    for (let j = 0; j < PTRS_PER_TABLE; j++) {
      const stored = cpu.pte[table * PTRS_PER_TABLE + j] as number;
      const slot = i * PTRS_PER_TABLE + j;
      const counted = expected.get(slot) ?? 0;
      expected.delete(slot);
      if (stored !== 0) inUse++;
      if (stored !== counted) say(slot, stored, counted);
    }
  }
  for (const [slot, counted] of expected) say(slot, 0, counted);
  if (inUse !== area.inuse_pages) {
    verdicts.push({
      kind: 'swap-count-wrong',
      text: `inuse_pages is ${area.inuse_pages}, slots in use: ${inUse}`,
      evidence: [],
    });
  }

  function say(slot: number, stored: number, counted: number): void {
    const text = (n: number): string => `${n % HAS_CACHE}${n >= HAS_CACHE ? ' + cache' : ''}`;
    verdicts.push({
      kind: 'swap-count-wrong',
      text: `slot ${slot}: count is ${text(stored)}, users: ${text(counted)}`,
      evidence: picture.swap.filter((e) => entryFrame(e.value) === slot).map(place),
    });
  }
}
