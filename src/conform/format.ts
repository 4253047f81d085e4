/**
 * The state of a machine as the recording format `rmap-oracle-1` tells it, expanded: one entry per page
 * and per page-table entry, numbers as numbers. And the way there and back: runs, hexadecimal texts.
 */
import {
  type Fields,
  inputNumber,
  listField,
  numberField,
  objectOf,
  RecordingError,
  textField,
} from './json.ts';

export interface VmaState {
  readonly id: number;
  readonly start: number;
  readonly end: number;
  /** The two-letter codes of smaps' VmFlags. */
  readonly flags: string;
  readonly pgoff: number;
  readonly file: string | null;
  readonly anonVma: number | null;
  /** anon_vmas of the chain, newest link first. */
  readonly chain: readonly number[];
}

/** A page is a number, or `f0:3` in the page cache. */
export type PageName = number | string;

export interface PteState {
  /** p anonymous, P huge, f page cache, z and Z zero page, s swapped out, m marker. */
  readonly kind: string;
  readonly ref: PageName | null;
  /** w writable, d dirty, n PROT_NONE, x exclusive swap entry. */
  readonly bits: string;
}

export interface ProcessState {
  readonly locked: number;
  readonly vmas: readonly VmaState[];
  readonly ptes: ReadonlyMap<number, PteState>;
}

/** Process slot (null: of no process that is looked at) and VMA. */
export type TreeEntry = readonly [slot: number | null, vma: number | null];

export interface AnonVmaState {
  readonly root: number | null;
  readonly parent: number | null;
  readonly refcount: number;
  readonly numChildren: number;
  readonly numActiveVmas: number;
  readonly tree: readonly TreeEntry[];
}

/** KSM: process, address, anon_vma. */
export type RmapItem = readonly [slot: number | null, address: number, anonVma: number | null];

export interface PageState {
  /** anon, ksm or file. */
  readonly kind: string;
  readonly anonVma: number | null;
  readonly index: number | null;
  readonly mapcount: number;
  /** Null where the format leaves it out: page cache, swap cache. */
  readonly refcount: number | null;
  readonly flags: string;
  readonly byte: number;
  /** Part of a large folio: its head, and on the head entire and total map count. */
  readonly head: PageName | null;
  readonly entire: number | null;
  readonly largeMapcount: number | null;
  readonly items: readonly RmapItem[];
}

export interface State {
  readonly procs: ReadonlyMap<number, ProcessState>;
  readonly avs: ReadonlyMap<number, AnonVmaState>;
  readonly files: ReadonlyMap<string, readonly TreeEntry[]>;
  readonly pages: ReadonlyMap<PageName, PageState>;
}

const PAGE = 4096;

/** Process 0 exists and has nothing. */
export const emptyState: State = {
  procs: new Map([[0, { locked: 0, vmas: [], ptes: new Map() }]]),
  avs: new Map(),
  files: new Map(),
  pages: new Map(),
};

/** The n-th page from `name` on. */
function pageName(name: PageName, n: number): PageName {
  if (typeof name === 'number') return name + n;
  const colon = name.lastIndexOf(':');
  return `${name.slice(0, colon)}:${Number(name.slice(colon + 1)) + n}`;
}

// ---------------------------------------------------------------- reading

function nameOf(value: unknown): PageName {
  return typeof value === 'string' ? value : inputNumber(value, 'the name of a page');
}

const orNull = (value: unknown, what: string): number | null =>
  value === null || value === undefined ? null : inputNumber(value, what);

function readVma(value: unknown): VmaState {
  const vma = objectOf(value, 'a VMA');
  return {
    id: numberField(vma, 'id'),
    start: numberField(vma, 's'),
    end: numberField(vma, 'e'),
    flags: textField(vma, 'f'),
    pgoff: numberField(vma, 'off'),
    file: vma.file === undefined ? null : textField(vma, 'file'),
    anonVma: orNull(vma.av, 'av'),
    chain: listField(vma, 'avc').map((av) => inputNumber(av, 'avc')),
  };
}

/** Kinds whose runs are of entries that name one page after the other. */
const counted = /^[pfs]$/;
/** Kinds of one entry for 512 pages. */
const huge = /^[PFZ]$/;

function readPtes(runs: readonly unknown[]): Map<number, PteState> {
  const ptes = new Map<number, PteState>();
  for (const run of runs) {
    if (!Array.isArray(run)) throw new RecordingError('a run of page-table entries is not a list');
    const at = inputNumber(run[0], 'the address of a page-table entry');
    const kind = String(run[2]);
    const ref = run[3] === null ? null : nameOf(run[3]);
    const n = huge.test(kind) ? 1 : inputNumber(run[1], 'the length of a run');
    const bits = String(run[4] ?? '');
    for (let i = 0; i < n; i++) {
      const here = ref !== null && counted.test(kind) ? pageName(ref, i) : ref;
      ptes.set(at + i * PAGE, { kind, ref: here, bits });
    }
  }
  return ptes;
}

function readProcess(value: unknown): ProcessState {
  const process = objectOf(value, 'a process');
  return {
    locked: numberField(process, 'locked'),
    vmas: listField(process, 'vmas').map(readVma),
    ptes: readPtes(listField(process, 'ptes')),
  };
}

function readTree(value: unknown): TreeEntry[] {
  return listField(objectOf(value, 'a tree'), 'tree').map((entry) => {
    const [slot, vma] = Array.isArray(entry) ? entry : [];
    return [orNull(slot, 'a slot in a tree'), orNull(vma, 'a VMA in a tree')];
  });
}

function readAnonVma(value: unknown): AnonVmaState {
  const av = objectOf(value, 'an anon_vma');
  return {
    root: orNull(av.root, 'root'),
    parent: orNull(av.par, 'par'),
    refcount: numberField(av, 'rc'),
    numChildren: numberField(av, 'nc'),
    numActiveVmas: numberField(av, 'na'),
    tree: readTree(av),
  };
}

function readItem(value: unknown): RmapItem {
  const [slot, address, av] = Array.isArray(value) ? value : [];
  return [orNull(slot, 'rm'), inputNumber(address, 'rm'), orNull(av, 'rm')];
}

function readPage(page: Fields): PageState {
  return {
    kind: textField(page, 'k'),
    anonVma: orNull(page.av, 'av'),
    index: orNull(page.ix, 'ix'),
    mapcount: numberField(page, 'mc'),
    refcount: orNull(page.rc, 'rc'),
    flags: page.fl === undefined ? '' : textField(page, 'fl'),
    byte: numberField(page, 'b'),
    head: page.h === undefined ? null : nameOf(page.h),
    entire: orNull(page.em, 'em'),
    largeMapcount: orNull(page.lm, 'lm'),
    items: listField(page, 'rm').map(readItem),
  };
}

function putPages(pages: Map<PageName, PageState>, runs: readonly unknown[]): void {
  for (const value of runs) {
    const run = objectOf(value, 'a run of pages');
    const first = nameOf(run.id);
    const page = readPage(run);
    const n = run.n === undefined ? 1 : numberField(run, 'n');
    for (let i = 0; i < n; i++) {
      const index = page.index === null ? null : page.index + i;
      pages.set(pageName(first, i), i === 0 ? page : { ...page, index });
    }
  }
}

/** `before` with the entries of a section replaced; null removes one. */
function changed<K, V>(
  before: ReadonlyMap<K, V>,
  section: unknown,
  key: (name: string) => K,
  read: (value: unknown) => V,
): ReadonlyMap<K, V> {
  if (section === undefined) return before;
  const after = new Map(before);
  for (const [name, value] of Object.entries(objectOf(section, 'a section of the state'))) {
    if (value === null) after.delete(key(name));
    else after.set(key(name), read(value));
  }
  return after;
}

/** The state `before` changed by what a line tells (`d`). */
export function applyDelta(before: State, delta: Fields): State {
  const number = (name: string): number => inputNumber(name, 'the name of an entry');
  const gone = listField(delta, 'pages_gone');
  const runs = listField(delta, 'pages');
  const pages = gone.length + runs.length === 0 ? before.pages : new Map(before.pages);
  if (pages instanceof Map) {
    for (const name of gone) pages.delete(nameOf(name));
    putPages(pages, runs);
  }
  return {
    procs: changed(before.procs, delta.procs, number, readProcess),
    avs: changed(before.avs, delta.avs, number, readAnonVma),
    files: changed(before.files, delta.files, String, readTree),
    pages,
  };
}

/** A whole state as a line tells it (`state`). */
export function readState(state: Fields): State {
  const none: State = { procs: new Map(), avs: new Map(), files: new Map(), pages: new Map() };
  return applyDelta(none, state);
}

// ---------------------------------------------------------------- writing

const hex = (value: number): string => `0x${value.toString(16)}`;

function printVma(vma: VmaState): Fields {
  return {
    id: vma.id,
    s: hex(vma.start),
    e: hex(vma.end),
    f: vma.flags,
    off: hex(vma.pgoff),
    ...(vma.file === null ? {} : { file: vma.file }),
    ...(vma.anonVma === null ? {} : { av: vma.anonVma }),
    ...(vma.chain.length === 0 ? {} : { avc: vma.chain }),
  };
}

type PteRun = [address: string, n: number, kind: string, ref: PageName | null, bits: string];

function printPtes(ptes: ReadonlyMap<number, PteState>): PteRun[] {
  const runs: PteRun[] = [];
  let end = -1;
  let next: PageName | null = null;
  for (const [address, { kind, ref, bits }] of ptes) {
    const last = runs.at(-1);
    const goes = last !== undefined && address === end && last[2] === kind && last[4] === bits;
    if (goes && next === ref && !huge.test(kind)) last[1]++;
    else runs.push([hex(address), huge.test(kind) ? 512 : 1, kind, ref, bits]);
    end = address + PAGE;
    next = ref !== null && counted.test(kind) ? pageName(ref, 1) : ref;
  }
  return runs;
}

function printPage(page: PageState): Fields {
  return {
    k: page.kind,
    ...(page.items.length === 0 ? {} : { rm: page.items.map(([s, a, av]) => [s, hex(a), av]) }),
    ...(page.anonVma === null ? {} : { av: page.anonVma }),
    ...(page.index === null ? {} : { ix: hex(page.index) }),
    mc: page.mapcount,
    ...(page.refcount === null ? {} : { rc: page.refcount }),
    ...(page.head === null ? {} : { h: page.head }),
    ...(page.entire === null ? {} : { em: page.entire }),
    ...(page.largeMapcount === null ? {} : { lm: page.largeMapcount }),
    fl: page.flags,
    b: page.byte,
  };
}

/** Whether `page` is what follows n pages after `first` in a run. */
function continues(first: PageState, n: number, page: PageState): boolean {
  const index = first.index === null ? null : first.index + n;
  return JSON.stringify({ ...first, index }) === JSON.stringify(page);
}

function printPages(pages: ReadonlyMap<PageName, PageState>): Fields[] {
  const runs: { id: PageName; n: number; page: PageState }[] = [];
  for (const [name, page] of pages) {
    const last = runs.at(-1);
    if (
      last !== undefined &&
      pageName(last.id, last.n) === name &&
      continues(last.page, last.n, page)
    ) {
      last.n++;
    } else {
      runs.push({ id: name, n: 1, page });
    }
  }
  return runs.map(({ id, n, page }) => ({ id, ...(n === 1 ? {} : { n }), ...printPage(page) }));
}

/** A state as a line of a recording tells it. */
export function printState(state: State): Fields {
  const procs: Record<string, unknown> = {};
  for (const [slot, process] of state.procs) {
    procs[slot] = {
      locked: process.locked,
      vmas: process.vmas.map(printVma),
      ptes: printPtes(process.ptes),
    };
  }
  const avs: Record<string, unknown> = {};
  for (const [id, av] of state.avs) {
    avs[id] = {
      root: av.root,
      par: av.parent,
      rc: av.refcount,
      nc: av.numChildren,
      na: av.numActiveVmas,
      tree: av.tree,
    };
  }
  const files: Record<string, unknown> = {};
  for (const [name, tree] of state.files) files[name] = { tree };
  return { procs, avs, files, pages: printPages(state.pages) };
}
