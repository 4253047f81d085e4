/** RMAP5, RMAP6, COW1, REF3 of large folios: their counts and flags, counted again from the page tables. */
import { VM_MAYSHARE } from '../linux/mm/mm.ts';
import { NODE_DATA } from '../linux/mm/node.ts';
import { type Entry, frameText, type Picture, place } from './picture.ts';
import {
  EXCLUSIVE,
  entireMapcount,
  inSwapCache,
  largeMapcount,
  pagesMapped,
  rawPage,
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

/** Exclusive means one mapping, writable and private means exclusive. */
function judgePage(
  pfn: number,
  head: number,
  small: readonly Entry[],
  huge: readonly Entry[],
  verdicts: Verdicts,
): void {
  const exclusive = (rawPage(pfn).flags & EXCLUSIVE) !== 0;
  const alone = small.length + huge.length === 1;
  if (exclusive && !alone) {
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

/** One large folio, with nothing in flight. `batch`: references of LRU batches. */
export function judgeLargeFolio(
  picture: Picture,
  head: number,
  batch: number,
  verdicts: Verdicts,
): void {
  const page = rawPage(head);
  const huge = picture.huge.get(head) ?? none;
  const node = NODE_DATA();
  if (node.huge_zero_folio === head + 1) {
    if (page.refcount !== 1) {
      const text = `the huge zero page has refcount ${page.refcount}, it is 1 for ever`;
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
    judgePage(pfn, head, small, huge, verdicts);
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
  const references = ptes + huge.length + batch + (inSwapCache(page) ? PAGES : 0);
  if (page.refcount === references) return;
  verdicts.push({
    kind: references === 0 ? 'leaked-page' : 'refcount-wrong',
    text: `${frameText(head)}: refcount is ${page.refcount}, references that exist: ${references}`,
    evidence: [`${ptes} small and ${huge.length} huge mappings, ${batch} LRU batch`],
  });
}
