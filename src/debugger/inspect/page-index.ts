/**
 * One look at all of memory: the frames in use, the entries that map each, the swap slots that entries
 * name, the list each folio is on. By brute force over the page tables, so that it is true whatever the
 * counters say. Made once a stop; rows (page-rows.ts) are made of it for what a pane shows.
 */
import { pglist_data_cachep } from '../../linux/mm/mmzone_types.ts';
import { PG_buddy, PG_head } from '../../linux/mm/page-flags.ts';
import { mem_map, type mm_struct } from '../../linux/mm_types.ts';
import { ROOT_PAGE } from '../../linux/roots.ts';
import { cpu, FRAME_WORDS } from '../../sim/cpu.ts';
import { allMms, objectAt, word } from './objects.ts';
import { isPresent, nonPresentKind, USER_END, visitLeaves } from './page-walk.ts';

/** Words of a frame that the first look reads without a handle. */
const [FLAGS, REFCOUNT, MAPCOUNT, MAPPING] = ['flags', '_refcount', '_mapcount', 'mapping'].map(
  (name) => mem_map.fields.filter((field) => field.kind !== 'f').findIndex((f) => f.name === name),
) as [number, number, number, number];

/** More entries than this are not looked at: a screen of a machine that large shows its first part. */
const MAX_ENTRIES = 200_000;

export interface MappedAt {
  readonly mm: mm_struct;
  readonly address: number;
  readonly pte: number;
  /** 512 of a huge entry. */
  readonly pages: number;
}

export interface SlotUse {
  readonly entry: number;
  readonly at: MappedAt[];
}

/** What stands in a row: a folio, some pages of a large one, a frame just freed, a swap slot. */
export interface RowId {
  readonly kind: 'folio' | 'part' | 'freed' | 'slot';
  /** First frame, or the swap entry. */
  readonly at: number;
  readonly pages: number;
}

export interface PageIndex {
  readonly rows: readonly RowId[];
  /** Present entries by first frame, migration entries by the frame they stand for. */
  readonly present: ReadonlyMap<number, readonly MappedAt[]>;
  readonly migration: ReadonlyMap<number, readonly MappedAt[]>;
  readonly slots: ReadonlyMap<number, SlotUse>;
  /** Name of the list a folio is on. */
  readonly lists: ReadonlyMap<number, string>;
  /** References that per-CPU batches hold. */
  readonly batches: ReadonlyMap<number, number>;
  readonly facts: PageFacts;
  readonly frames: number;
  readonly used: number;
  /** Whether every entry of every address space was looked at. */
  readonly complete: boolean;
}

/** Four words of each frame, for telling what changed: flags, refcount, mapcount, mapping. */
export type PageFacts = ReadonlyMap<number, readonly [number, number, number, number]>;

const LRU_NAMES = [
  'inactive_anon',
  'active_anon',
  'inactive_file',
  'active_file',
  'unevictable',
] as const;

/** Order of a large folio, which its first tail page keeps; 0 of a small one. */
export function folioOrder(pfn: number): number {
  if (((cpu.frame[pfn * FRAME_WORDS + FLAGS] ?? 0) & PG_head) === 0) return 0;
  const order = mem_map.at(pfn + 1).index;
  return order > 0 && order <= 10 ? order : 0;
}

/** The words of the frames in use. */
export function takePageFacts(): PageFacts {
  const facts = new Map<number, readonly [number, number, number, number]>();
  const { frame } = cpu;
  for (let pfn = 0, at = 0; at < frame.length; pfn++, at += FRAME_WORDS) {
    const flags = frame[at + FLAGS] ?? 0;
    const refs = frame[at + REFCOUNT] ?? 0;
    const mapcount = frame[at + MAPCOUNT] ?? 0;
    const mapping = frame[at + MAPPING] ?? 0;
    if (refs === 0 && mapcount === -1 && (flags & ~PG_buddy) === 0 && mapping === 0) continue;
    facts.set(pfn, [flags, refs, mapcount, mapping]);
  }
  return facts;
}

function push<K>(map: Map<K, MappedAt[]>, key: K, value: MappedAt): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** Reads it all. `before` are the words of the previous stop: frames in use then and not now are freed. */
export function pageIndex(before: PageFacts | null): PageIndex {
  const present = new Map<number, MappedAt[]>();
  const migration = new Map<number, MappedAt[]>();
  const slots = new Map<number, SlotUse>();
  let entries = 0;
  let complete = true;
  for (const mm of allMms()) {
    if (entries > MAX_ENTRIES) {
      complete = false;
      break;
    }
    visitLeaves(mm, 0, USER_END, (address, pte, pages) => {
      entries++;
      const at: MappedAt = { mm, address, pte, pages };
      const upper = pte >>> 8;
      if (isPresent(pte)) push(present, upper, at);
      else if (nonPresentKind(pte) === 'migration') push(migration, upper, at);
      else if (nonPresentKind(pte) === 'swap') {
        const entry = ((pte >>> 5) & 3) * 0x100_0000 + upper;
        const known = slots.get(entry);
        if (known === undefined) slots.set(entry, { entry, at: [at] });
        else known.at.push(at);
      }
    });
  }
  const facts = takePageFacts();
  const rows: RowId[] = [];
  const seen = new Set<number>();
  for (const pfn of facts.keys()) {
    if (seen.has(pfn)) continue;
    const pages = 2 ** folioOrder(pfn);
    for (let tail = pfn + 1; tail < pfn + pages; tail++) seen.add(tail);
    rows.push({ kind: 'folio', at: pfn, pages });
    if (pages > 1) rows.push(...partsOf(pfn, pages));
  }
  for (const pfn of before?.keys() ?? []) {
    if (!facts.has(pfn) && !seen.has(pfn)) rows.push({ kind: 'freed', at: pfn, pages: 1 });
  }
  rows.sort((a, b) => a.at - b.at || (a.kind === 'folio' ? -1 : b.kind === 'folio' ? 1 : 0));
  for (const entry of [...slots.keys()].sort((a, b) => a - b)) {
    rows.push({ kind: 'slot', at: entry, pages: 1 });
  }
  return {
    rows,
    present,
    migration,
    slots,
    ...readLists(),
    facts,
    frames: cpu.frame_index.length,
    used: facts.size,
    complete,
  };
}

/** Runs of pages with one map count, when the pages of a large folio differ in it. */
function partsOf(head: number, pages: number): RowId[] {
  const parts: RowId[] = [];
  const countOf = (pfn: number): number => cpu.frame[pfn * FRAME_WORDS + MAPCOUNT] ?? -1;
  for (let first = head; first < head + pages; ) {
    const count = countOf(first);
    let end = first + 1;
    while (end < head + pages && countOf(end) === count) end++;
    parts.push({ kind: 'part', at: first, pages: end - first });
    first = end;
  }
  return parts.length > 1 ? parts : [];
}

/** The lists as their links are, and the batches. */
function readLists(): Pick<PageIndex, 'lists' | 'batches'> {
  const lists = new Map<number, string>();
  const batches = new Map<number, number>();
  const node = objectAt(pglist_data_cachep, word(ROOT_PAGE) * 16);
  if (node === null) return { lists, batches };
  for (const [list, name] of LRU_NAMES.entries()) {
    let next = word(node.lists + list * 3);
    // A damaged list can be a ring.
    while (next > 0 && !lists.has(next - 1)) {
      lists.set(next - 1, name);
      next = mem_map.at(next - 1).lru_next;
    }
  }
  for (let i = 0; i < node.lru_add_nr; i++) {
    const pfn = word(node.lru_add + i);
    batches.set(pfn, (batches.get(pfn) ?? 0) + 1);
  }
  return { lists, batches };
}
