/** RMAP5, RMAP6, COW1, REF3 of large folios: their counts and flags, counted again from the page tables. */
import { VM_MAYSHARE } from '../linux/mm/mm.ts';
import { NODE_DATA } from '../linux/mm/node.ts';
import { type Entry, frameText, type Picture, place } from './picture.ts';
import {
  EXCLUSIVE,
  entireMapcount,
  folioPages,
  headOf,
  inSwapCache,
  isAnon,
  isLarge,
  largeMapcount,
  mappingOwners,
  PARTIALLY_MAPPED,
  pagesMapped,
  pinCount,
  rawPage,
  splitQueueLink,
  WRITE,
} from './raw.ts';
import type { Verdicts } from './verdict.ts';

const PAGES = 512;
/** What one or more huge entries add to _nr_pages_mapped. */
const ENTIRELY = 0x80_0000;

const none: readonly Entry[] = [];

function wrong(verdicts: Verdicts, head: number, what: string, is: number, should: number): void {
  if (is === should) return;
  verdicts.push({
    kind: 'mapcount-wrong',
    text: `${frameText(head)}: ${what} is ${is}, page tables give ${should}`,
    evidence: [],
  });
}

/** Exclusive means one mapping at most, writable and private means exclusive. */
function judgePage(
  pfn: number,
  head: number,
  small: readonly Entry[],
  huge: readonly Entry[],
  swapUsers: number,
  verdicts: Verdicts,
): void {
  const exclusive = (rawPage(pfn).flags & EXCLUSIVE) !== 0;
  const users = small.length + huge.length + swapUsers;
  const alone = users === 1;
  // The flag of a page that was unmapped stays until the folio is freed.
  if (exclusive && users > 1) {
    verdicts.push({
      kind: 'exclusive-wrong',
      text: `${frameText(pfn)} is marked exclusive but shared`,
      evidence: [...small, ...huge].slice(0, 8).map(place),
    });
  }
  // Of a huge entry the flag is that of the head.
  for (const entry of pfn === head ? [...small, ...huge] : small) {
    const isPrivate = entry.vma === null || (entry.vma.vm_flags & VM_MAYSHARE) === 0;
    if ((entry.value & WRITE) === 0 || !isPrivate || (alone && exclusive)) continue;
    verdicts.push({
      kind: 'cow-shared-writable',
      text: `${frameText(pfn)} is writable in ${place(entry)} but not exclusive`,
      evidence: [...small, ...huge].slice(0, 8).map(place),
    });
  }
}

/** GUP1: a pinned page stays its process's own. Of a huge entry the flag is that of the head. */
function judgePinned(pfn: number, head: number, verdicts: Verdicts): void {
  const exclusive = (rawPage(pfn).flags | rawPage(head).flags) & EXCLUSIVE;
  if (exclusive !== 0 || !isAnon(rawPage(head))) return;
  verdicts.push({
    kind: 'pinned-not-exclusive',
    text: `${frameText(pfn)} is pinned by a device but not exclusive`,
    evidence: [],
  });
}

/**
 * What the folio remembers of its mms is never more than there is: that is what lets a process take pages as its own.
 * It may be less, for a slot can have come later than the first mappings of its mm.
 */
function judgeOwners(picture: Picture, head: number, verdicts: Verdicts): void {
  const mappings = new Map<number, number>();
  const count = ({ mm }: Entry): void => {
    mappings.set(mm.mm_id, (mappings.get(mm.mm_id) ?? 0) + 1);
  };
  (picture.huge.get(head) ?? none).forEach(count);
  for (let pfn = head; pfn < head + PAGES; pfn++) (picture.present.get(pfn) ?? none).forEach(count);
  const { slots, shared } = mappingOwners(head);
  for (const slot of slots) {
    if (slot.id === 0) continue;
    const there = mappings.get(slot.id) ?? 0;
    if (slot.mappings > there) {
      wrong(verdicts, head, `_mm_id_mapcount of mm ${slot.id}`, slot.mappings, there);
    }
  }
  if (!shared && mappings.size > 1) {
    verdicts.push({
      kind: 'mapcount-wrong',
      text: `${frameText(head)} counts as mapped by one mm, ${mappings.size} map it`,
      evidence: [],
    });
  }
}

/** THP1: the queue holds each folio once that says so, and every folio of which only a part is mapped. */
export function judgeSplitQueue(picture: Picture, verdicts: Verdicts): void {
  const node = NODE_DATA();
  const wrong = (text: string) => verdicts.push({ kind: 'split-queue-wrong', text, evidence: [] });
  const queue = new Set<number>();
  let previous = 0;
  let link = node.split_queue_head;
  while (link !== 0) {
    const head = link - 1;
    if (queue.has(head)) {
      wrong('the split queue does not end');
      return;
    }
    queue.add(head);
    const { queued, next, prev } = splitQueueLink(head);
    if (headOf(head) !== head || folioPages(head) <= 2 || !isAnon(rawPage(head))) {
      wrong(`${frameText(head)} is on the split queue and no large anonymous folio`);
    }
    if (!queued || prev !== previous) wrong(`${frameText(head)} has another place in the queue`);
    previous = link;
    link = next;
  }
  if (node.split_queue_tail !== previous) wrong('the end of the split queue is wrong');
  if (node.split_queue_len !== queue.size) {
    wrong(`the split queue counts ${node.split_queue_len} folios and has ${queue.size}`);
  }
  for (const pfn of picture.used) {
    if (!isLarge(pfn) || headOf(pfn) !== pfn) continue;
    const { flags } = rawPage(pfn);
    const { queued } = splitQueueLink(pfn);
    if (queued !== queue.has(pfn)) wrong(`${frameText(pfn)} says wrongly that it is queued`);
    if ((flags & PARTIALLY_MAPPED) !== 0 && !queued) {
      wrong(`${frameText(pfn)} is marked as mapped in part, and not queued`);
    }
  }
}

/** One large folio, with nothing in flight. `batch`: references of LRU batches; `pins`: pins of devices, by frame;
 * `swapUsers`: entries that name a slot. */
export function judgeLargeFolio(
  picture: Picture,
  head: number,
  batch: number,
  pins: ReadonlyMap<number, number>,
  swapUsers: ReadonlyMap<number, number>,
  verdicts: Verdicts,
): void {
  let pinned = 0;
  for (let pfn = head; pfn < head + PAGES; pfn++) pinned += pins.get(pfn) ?? 0;
  wrong(verdicts, head, '_pincount', pinCount(head), pinned);
  const page = rawPage(head);
  const huge = picture.huge.get(head) ?? none;
  const node = NODE_DATA();
  if (node.huge_zero_folio === head + 1) {
    if (page.refcount !== 1 + pinned) {
      const text = `the huge zero page has refcount ${page.refcount}, not 1 and one of each of ${pinned} pins`;
      verdicts.push({ kind: 'refcount-wrong', text, evidence: [] });
    }
    return;
  }
  let ptes = 0;
  let mapped = 0;
  for (let pfn = head; pfn < head + PAGES; pfn++) {
    const small = picture.present.get(pfn) ?? none;
    ptes += small.length;
    if (small.length > 0) mapped++;
    wrong(verdicts, pfn, '_mapcount', rawPage(pfn).mapcount, small.length);
    const slot = inSwapCache(page) ? page.private + (pfn - head) : -1;
    judgePage(pfn, head, small, huge, swapUsers.get(slot) ?? 0, verdicts);
    if ((pins.get(pfn) ?? 0) > 0) judgePinned(pfn, head, verdicts);
  }
  wrong(verdicts, head, '_entire_mapcount', entireMapcount(head), huge.length);
  wrong(verdicts, head, '_large_mapcount', largeMapcount(head), ptes + huge.length);
  wrong(
    verdicts,
    head,
    '_nr_pages_mapped',
    pagesMapped(head),
    mapped + (huge.length > 0 ? ENTIRELY : 0),
  );
  judgeOwners(picture, head, verdicts);
  const references = ptes + huge.length + batch + pinned + (inSwapCache(page) ? PAGES : 0);
  if (page.refcount === references) return;
  verdicts.push({
    kind: references === 0 ? 'leaked-page' : 'refcount-wrong',
    text: `${frameText(head)}: refcount is ${page.refcount}, references that exist: ${references}`,
    evidence: [
      `${ptes} small and ${huge.length} huge mappings, ${batch} LRU batch, ${pinned} pins`,
    ],
  });
}
