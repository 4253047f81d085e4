/** Rows of the Pages view: made from the index (page-index.ts) for the window that is asked for. */

import { pglist_data_cachep } from '../../linux/mm/mmzone_types.ts';
import { is_zero_pfn } from '../../linux/mm/page_alloc.ts';
import { shmem_mapping } from '../../linux/mm/page_cache.ts';
import { mapcountOf } from '../../linux/mm/rmap/mapcount.ts';
import { swap_info_cachep } from '../../linux/mm/swap_types.ts';
import { address_space_cachep, mem_map, type mm_struct, type page } from '../../linux/mm_types.ts';
import { ROOT_PAGE } from '../../linux/roots.ts';
import type { Machine } from '../../sim/machine.ts';
import { describeObject } from '../../sim/struct.ts';
import type { PageRowView, PagesView } from '../view.ts';
import type { Changes } from './changes.ts';
import { pageFlagNames } from './flags.ts';
import { itemCount } from './ksm-items.ts';
import { largeCounts } from './large-folios.ts';
import { alive, looking, objectAt, processOf, shapeNow, word } from './objects.ts';
import {
  folioOrder,
  type MappedAt,
  type PageFacts,
  type PageIndex,
  pageIndex,
  type RowId,
} from './page-index.ts';
import { anonVmaOfPage, headOf, indexOf, kindOfPage, mappingObject } from './pages.ts';
import { objectRef, pageRef } from './refs.ts';
import type { Selection } from './selection.ts';

/** GUP_PIN_COUNTING_BIAS: what one pin adds to the reference count of a small folio. */
const PIN = 1024;

type Kind = PageRowView['kind'];

/** The pages of a machine as a list, kept between two stops. */
export class PageList {
  readonly #machine: Machine;
  readonly #changes: Changes;
  #index: PageIndex | null = null;
  #step = -1;
  #counts: PagesView['counts'] | null = null;
  readonly #kept = new Map<string, readonly RowId[]>();

  constructor(machine: Machine, changes: Changes) {
    this.#machine = machine;
    this.#changes = changes;
  }

  /** Memory may be another: look again. */
  forget(): void {
    this.#index = null;
    this.#counts = null;
    this.#kept.clear();
  }

  view(selection: Selection, first: number, count: number, filter: string): PagesView {
    return looking(this.#machine, () => {
      const index = this.#look();
      const ids = this.#filtered(index, filter);
      const before = this.#changes.frames();
      const head = selection.page < 0 ? -1 : headOf(mem_map.at(selection.page)).pfn;
      this.#counts ??= memoryCounts(index);
      return {
        total: ids.length,
        first,
        rows: ids.slice(first, first + count).map((id) => rowView(index, id, before)),
        selected: ids.findIndex((id) => id.kind !== 'slot' && id.at === head),
        counts: this.#counts,
        complete: index.complete,
      };
    });
  }

  rowOf(key: string, filter: string): number {
    return looking(this.#machine, () =>
      this.#filtered(this.#look(), filter).findIndex((id) => keyOf(id) === key),
    );
  }

  #look(): PageIndex {
    if (this.#index === null || this.#step !== this.#machine.step) {
      this.forget();
      this.#index = pageIndex(this.#changes.frames());
      this.#step = this.#machine.step;
    }
    return this.#index;
  }

  #filtered(index: PageIndex, filter: string): readonly RowId[] {
    const words = filter.split(/\s+/).filter((each) => each !== '');
    if (words.length === 0) return index.rows;
    const known = this.#kept.get(words.join(' '));
    if (known !== undefined) return known;
    const before = this.#changes.frames();
    const kept = index.rows.filter((id) => matches(rowView(index, id, before), words));
    this.#kept.set(words.join(' '), kept);
    return kept;
  }
}

/** Whether every word holds for a row, and no word after `~`. */
export function matches(row: PageRowView, words: readonly string[]): boolean {
  return words.every((each) => {
    const not = each.startsWith('~') || each.startsWith('!');
    return holds(row, not ? each.slice(1) : each) !== not;
  });
}

/** A word names a process, a frame, or begins one of the words that describe the row. */
function holds(row: PageRowView, wanted: string): boolean {
  if (wanted === '') return true;
  if (row.by.some(({ process }) => process === wanted)) return true;
  if (row.at.toString(16) === wanted) return true;
  if (wanted.length < 2) return false;
  const lower = wanted.toLowerCase();
  return (
    wordsOf(row).some((each) => each.startsWith(lower)) ||
    row.mappingText.toLowerCase().includes(lower)
  );
}

function wordsOf(row: PageRowView): readonly string[] {
  const words: string[] = [row.kind, row.lru, ...row.flags];
  for (const note of row.notes) words.push(...note.split(' '));
  if (row.shared) words.push('shared');
  if (row.entries > 0) words.push('mapped');
  if (row.pages > 1) words.push('large');
  if (row.isNew) words.push('new');
  if (row.changed.length > 0) words.push('changed');
  return words.filter((each) => each !== '');
}

function keyOf(id: RowId): string {
  return `${id.kind === 'freed' ? 'folio' : id.kind}:${id.at}`;
}

function rowView(index: PageIndex, id: RowId, before: PageFacts | null): PageRowView {
  return id.kind === 'slot' ? slotRow(index, id) : frameRow(index, id, before);
}

const NO_CHANGE: readonly string[] = [];

function slotRow(index: PageIndex, id: RowId): PageRowView {
  const at = index.slots.get(id.at)?.at ?? [];
  const by = processesOf(at);
  return {
    key: keyOf(id),
    ref: null,
    at: id.at,
    pages: 1,
    part: false,
    kind: 'swap',
    mapcount: 0,
    entries: at.length,
    refcount: 0,
    extraRefs: 0,
    lru: '',
    mapping: null,
    mappingText: '',
    index: 0,
    flags: [],
    notes: [`${at.length} swap ${at.length === 1 ? 'entry' : 'entries'}`],
    by,
    shared: by.length > 1,
    isNew: false,
    changed: NO_CHANGE,
  };
}

function frameRow(index: PageIndex, id: RowId, before: PageFacts | null): PageRowView {
  const page = mem_map.at(id.at);
  const head = headOf(page);
  const part = id.kind === 'part';
  const mapped = entriesIn(index.present, id);
  const moving = entriesIn(index.migration, id);
  const by = processesOf([...mapped, ...moving]);
  const kind = kindOf(id, head);
  const large = !part && id.pages > 1;
  const mapcount = large ? largeCounts(id.at).large : mapcountOf(page);
  const extraRefs =
    part || id.kind === 'freed' ? 0 : extraReferences(index, head, id.pages, mapcount);
  const object = part || kind === 'kernel' || kind === 'zero' ? null : mappingObject(page);
  const mapping = object === null ? null : objectRef(object);
  return {
    key: keyOf(id),
    ref: pageRef(id.at),
    at: id.at,
    pages: id.pages,
    part,
    kind,
    mapcount,
    entries: mapped.length,
    refcount: part ? 0 : head._refcount,
    extraRefs,
    lru: part ? '' : (index.lists.get(id.at) ?? (index.batches.has(id.at) ? 'batch' : '')),
    mapping,
    mappingText: object === null ? '' : (mapping?.label ?? describeObject(object)),
    index: object === null ? 0 : indexOf(page),
    flags: part ? partFlags(id) : flagsOf(page),
    notes: notesOf(id, head, moving.length, extraRefs),
    by,
    shared: by.length > 1,
    ...changesOf(id, before),
  };
}

function kindOf(id: RowId, head: page): Kind {
  if (id.kind === 'freed') return 'free';
  if (is_zero_pfn(head.pfn)) return 'zero';
  const kind = kindOfPage(head);
  if (kind === 'none') return 'kernel';
  if (kind !== 'file') return kind;
  const space = mappingObject(head);
  const isShmem =
    space !== null && alive(space) && address_space_cachep.isInstance(space) && alive(space.host);
  return isShmem && shmem_mapping(space) ? 'shmem' : 'file';
}

function flagsOf(page: page): readonly string[] {
  return pageFlagNames(page.flags)
    .split(' ')
    .filter((name) => name !== '');
}

/** Of all flags only this one belongs to single pages. */
function partFlags(id: RowId): readonly string[] {
  let count = 0;
  for (let pfn = id.at; pfn < id.at + id.pages; pfn++) {
    if (flagsOf(mem_map.at(pfn)).includes('anon_exclusive')) count++;
  }
  return count === 0 ? [] : count === id.pages ? ['anon_exclusive'] : [`anon_exclusive*${count}`];
}

/** Entries whose first frame is in the row: a huge one belongs to the folio, not to a part of it. */
function entriesIn(map: ReadonlyMap<number, readonly MappedAt[]>, id: RowId): MappedAt[] {
  const found: MappedAt[] = [];
  for (let pfn = id.at; pfn < id.at + id.pages; pfn++) found.push(...(map.get(pfn) ?? []));
  return found;
}

function processesOf(entries: readonly MappedAt[]): PageRowView['by'] {
  const counts = new Map<mm_struct, number>();
  for (const { mm } of entries) counts.set(mm, (counts.get(mm) ?? 0) + 1);
  return [...counts].map(([mm, count]) => ({ process: processOf(mm), entries: count }));
}

function inSwapCache(head: page): boolean {
  const flags = flagsOf(head);
  return flags.includes('swapcache') && flags.includes('swapbacked');
}

/** 2.3.99-anon: the area that the page is on holds a reference. */
function ofAnonArea(head: page): boolean {
  return shapeNow() === 'anon_area' && anonVmaOfPage(head.pfn) !== null;
}

function extraReferences(index: PageIndex, head: page, pages: number, mapcount: number): number {
  const cached = kindOfPage(head) === 'file' || inSwapCache(head) ? pages : 0;
  const batch = index.batches.get(head.pfn) ?? 0;
  const reserved = is_zero_pfn(head.pfn) ? head._refcount : 0;
  const area = ofAnonArea(head) ? 1 : 0;
  return head._refcount - mapcount - cached - batch - reserved - area;
}

function notesOf(id: RowId, head: page, moving: number, extra: number): readonly string[] {
  const notes: string[] = [];
  if (id.kind === 'part') return notes;
  if (id.kind === 'freed') return ['freed'];
  if (folioOrder(id.at) > 0) notes.push(`entire ${largeCounts(id.at).entire}`);
  const items = itemCount(id.at);
  if (items > 0) notes.push(`items ${items}`);
  if (moving > 0) notes.push(`${moving} migrating`);
  if (inSwapCache(head)) notes.push(`swap slot ${head.private % 0x100_0000}`);
  const isLarge = folioOrder(id.at) > 0;
  const pins = isLarge ? largeCounts(id.at).pins : Math.floor(extra / PIN);
  if (pins > 0) notes.push(`pins ${pins}`);
  const others = extra - Math.max(0, pins) * (isLarge ? 1 : PIN);
  if (others > 0) notes.push(`${others} more ref${others === 1 ? '' : 's'}`);
  if (others < 0) notes.push(`${-others} too few refs`);
  return notes;
}

const FACT_NAMES = ['flags', 'refcount', 'mapcount', 'mapping'] as const;

function changesOf(id: RowId, before: PageFacts | null): Pick<PageRowView, 'isNew' | 'changed'> {
  if (before === null || id.kind === 'freed') return { isNew: false, changed: NO_CHANGE };
  const known = before.get(id.at);
  if (known === undefined) return { isNew: id.kind === 'folio', changed: NO_CHANGE };
  const page = mem_map.at(id.at);
  const now = [page.flags, page._refcount, page._mapcount, page.mapping];
  // The mapping word is the same when the object is; its value is never shown.
  const changed = FACT_NAMES.filter((_name, i) => known[i] !== now[i]);
  return { isNew: false, changed };
}

/** Pages by the names of /proc/meminfo, counted frame by frame. */
function memoryCounts(index: PageIndex): PagesView['counts'] {
  const sums = new Map<string, number>();
  const add = (name: string, pages: number): void => {
    sums.set(name, (sums.get(name) ?? 0) + pages);
  };
  let used = 0;
  for (const id of index.rows) {
    if (id.kind !== 'folio') continue;
    used += id.pages;
    const page = mem_map.at(id.at);
    const kind = kindOf(id, page);
    const flags = flagsOf(page);
    const entries = entriesIn(index.present, id);
    const mapped = entries.length > 0 ? mappedPages(id, entries) : 0;
    if (kind === 'anon' || kind === 'ksm') add('AnonPages', mapped);
    if (entries.some((each) => each.pages > 1) && kind === 'anon') add('AnonHuge', id.pages);
    if (kind === 'ksm') add('KsmShared', 1);
    if (kind === 'ksm') add('KsmSharing', Math.max(0, entries.length - 1));
    if (kind === 'file' || kind === 'shmem') {
      add('Cached', id.pages);
      add('Mapped', mapped);
    }
    if (kind === 'shmem') add('Shmem', id.pages);
    if (inSwapCache(page)) add('SwapCached', id.pages);
    for (const [flag, name] of FLAG_COUNTS) if (flags.includes(flag)) add(name, id.pages);
    const list = index.lists.get(id.at);
    if (list !== undefined) add(LIST_COUNTS[list] ?? list, id.pages);
  }
  const node = objectAt(pglist_data_cachep, word(ROOT_PAGE) * 16);
  const area = node?.swap_info;
  const counts = [
    { name: 'MemTotal', pages: index.frames },
    { name: 'MemFree', pages: index.frames - used },
  ];
  for (const name of COUNT_ORDER) {
    const pages = sums.get(name) ?? 0;
    if (pages > 0) counts.push({ name, pages });
  }
  if (alive(area) && swap_info_cachep.isInstance(area)) {
    counts.push({ name: 'SwapTotal', pages: area.pages });
    counts.push({ name: 'SwapFree', pages: area.pages - area.inuse_pages });
  }
  return counts;
}

function mappedPages(id: RowId, entries: readonly MappedAt[]): number {
  if (id.pages === 1 || entries.some((each) => each.pages > 1)) return id.pages;
  return new Set(entries.map((each) => each.pte >>> 8)).size;
}

const FLAG_COUNTS = [
  ['dirty', 'Dirty'],
  ['writeback', 'Writeback'],
  ['mlocked', 'Mlocked'],
] as const;

const LIST_COUNTS: Readonly<Record<string, string>> = {
  active_anon: 'Active(anon)',
  inactive_anon: 'Inactive(anon)',
  active_file: 'Active(file)',
  inactive_file: 'Inactive(file)',
  unevictable: 'Unevictable',
};

const COUNT_ORDER = [
  'Cached',
  'SwapCached',
  'Active(anon)',
  'Inactive(anon)',
  'Active(file)',
  'Inactive(file)',
  'Unevictable',
  'Mlocked',
  'Dirty',
  'Writeback',
  'AnonPages',
  'AnonHuge',
  'Mapped',
  'Shmem',
  'KsmShared',
  'KsmSharing',
] as const;
