/** LRU1, FREE1: the lists of page frames, walked link by link, against the flags of the frames. True at any step. */
import { LRU_UNEVICTABLE, NR_PAGE_ORDERS } from '../linux/mm/mmzone_types.ts';
import { NODE_DATA } from '../linux/mm/node.ts';
import { cpu } from '../sim/cpu.ts';
import { frameCount, frameText, type Picture } from './picture.ts';
import { BUDDY, folioPages, headOf, rawLink, rawPage, rawRefcount, SWAPBACKED } from './raw.ts';
import type { Verdicts } from './verdict.ts';

const ON_LRU = 1 << 5;
const ACTIVE = 1 << 6;
const UNEVICTABLE = 1 << 12;

/** The list that the flags of a frame ask for. */
function listOf(flags: number): number {
  if ((flags & UNEVICTABLE) !== 0) return LRU_UNEVICTABLE;
  return ((flags & SWAPBACKED) !== 0 ? 0 : 2) + ((flags & ACTIVE) !== 0 ? 1 : 0);
}

/** Frames of a list of three words (first, last, count), as long as its links make sense. */
function walk(words: number, name: string, wrong: (text: string) => void): number[] {
  const frames: number[] = [];
  let previous = 0;
  let link = cpu.heap[words] as number;
  while (link !== 0) {
    if (link > frameCount() || frames.length > frameCount()) {
      wrong(`the ${name} does not end`);
      return frames;
    }
    const { next, prev } = rawLink(link - 1);
    if (prev !== previous) wrong(`${frameText(link - 1)} on the ${name}: its back link is wrong`);
    frames.push(link - 1);
    previous = link;
    link = next;
  }
  if (cpu.heap[words + 1] !== previous) wrong(`the end of the ${name} is wrong`);
  return frames;
}

/** Every evictable folio with PG_lru is on the list of its kind, once; list sizes are right. */
export function judgeLru(picture: Picture, verdicts: Verdicts): void {
  const { lists } = NODE_DATA();
  const wrong = (text: string) => verdicts.push({ kind: 'lru-wrong', text, evidence: [] });
  const listed = new Set<number>();
  for (let lru = 0; lru < LRU_UNEVICTABLE; lru++) {
    const frames = walk(lists + lru * 3, `LRU list ${lru}`, wrong);
    let pages = 0;
    for (const pfn of frames) {
      const { flags } = rawPage(pfn);
      pages += folioPages(pfn);
      listed.add(pfn);
      if (headOf(pfn) !== pfn)
        wrong(`${frameText(pfn)} is on LRU list ${lru}, but part of a folio`);
      if ((flags & ON_LRU) === 0 || listOf(flags) !== lru) {
        wrong(`${frameText(pfn)} is on LRU list ${lru}, its flags ${flags.toString(16)} say other`);
      }
    }
    const counted = cpu.heap[lists + lru * 3 + 2] as number;
    if (counted !== pages) wrong(`LRU list ${lru} counts ${counted} pages and has ${pages}`);
  }
  let unevictable = 0;
  for (const pfn of picture.used) {
    const { flags } = rawPage(pfn);
    // Of a large folio the head is on a list, for all of it.
    if ((flags & ON_LRU) === 0 || headOf(pfn) !== pfn) continue;
    if ((flags & UNEVICTABLE) !== 0) unevictable += folioPages(pfn);
    else if (!listed.has(pfn)) wrong(`${frameText(pfn)} has PG_lru and is on no list`);
  }
  const counted = cpu.heap[lists + LRU_UNEVICTABLE * 3 + 2] as number;
  if (counted !== unevictable)
    wrong(`${counted} unevictable pages counted, there are ${unevictable}`);
}

/** Nobody holds isolated folios when nothing is in flight. */
export function judgeIsolated(verdicts: Verdicts): void {
  const node = NODE_DATA();
  if (node.nr_isolated_anon === 0 && node.nr_isolated_file === 0) return;
  const text = `isolated at rest: ${node.nr_isolated_anon} anonymous, ${node.nr_isolated_file} file pages`;
  verdicts.push({ kind: 'lru-wrong', text, evidence: [] });
}

/** The free lists hold blocks that are free, aligned and apart, and as many pages as are counted free. */
export function judgeFreeLists(picture: Picture, verdicts: Verdicts): void {
  const node = NODE_DATA();
  const wrong = (text: string) => verdicts.push({ kind: 'free-pages-wrong', text, evidence: [] });
  const blocks: { readonly from: number; readonly to: number }[] = [];
  for (let order = 0; order < NR_PAGE_ORDERS; order++) {
    const frames = walk(node.free_area + order * 3, `free list ${order}`, wrong);
    for (const pfn of frames) {
      const page = rawPage(pfn);
      if ((page.flags & BUDDY) === 0 || page.private !== order || pfn % 2 ** order !== 0) {
        wrong(`${frameText(pfn)} is on free list ${order} but no free block of that order`);
      }
      blocks.push({ from: pfn, to: pfn + 2 ** order });
    }
    const counted = cpu.heap[node.free_area + order * 3 + 2] as number;
    if (counted !== frames.length) {
      wrong(`free list ${order} counts ${counted} blocks and has ${frames.length}`);
    }
  }
  // Most frames are free, and this runs after every operation: blocks are compared, not frames.
  blocks.sort((a, b) => a.from - b.from);
  let pages = 0;
  let end = 0;
  let next = 0;
  for (const { from, to } of blocks) {
    if (from < end) wrong(`${frameText(from)} is free twice`);
    pages += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
    while ((picture.used[next] ?? to) < from) next++;
    for (let n = next; (picture.used[n] ?? to) < to; n++) {
      const pfn = picture.used[n] as number;
      if (rawRefcount(pfn) !== 0) wrong(`${frameText(pfn)} is free and referenced`);
    }
  }
  const free = node.spanned_pages - node.used_pages;
  if (free !== pages) wrong(`${free} pages are counted free, the lists have ${pages}`);
  const { watermark_min, watermark_low, watermark_high } = node;
  if (watermark_min > watermark_low || watermark_low > watermark_high) {
    wrong(`watermarks ${watermark_min}, ${watermark_low}, ${watermark_high} are out of order`);
  }
}
