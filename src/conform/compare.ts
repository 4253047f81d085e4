/**
 * Whether two runs of one program did the same. Numbers that only name objects may differ: there must be
 * a one-to-one renaming that holds from the operation where an object appears to the one where it goes.
 *
 * Level `core`: results, VMAs, chains, the anon_vma graph, page tables, pages and identities. `full`
 * adds locked pages, reference counts, the orders of trees, the other bits and flags, which VMA object
 * survives a split or merge, KSM items and the counts of large folios.
 */
import type {
  AnonVmaState,
  PageName,
  PageState,
  PteState,
  State,
  TreeEntry,
  VmaState,
} from './format.ts';
import type { Fields } from './json.ts';
import type { Result } from './program.ts';

export type Level = 'core' | 'full';

export interface Difference {
  /** What kind of fact: `res`, `vma`, `pte`. */
  readonly group: string;
  /** `process 0 vma 0x1000400000.av`. */
  readonly path: string;
  readonly expected: unknown;
  readonly got: unknown;
}

/** Ends a comparison; never leaves this file. */
class Differs extends Error {
  readonly difference: Difference;

  constructor(group: string, path: string, expected: unknown, got: unknown) {
    super(path);
    this.difference = { group, path, expected, got };
  }
}

/** Partial one-to-one map from expected to got names. */
class Renaming<T> {
  readonly #forth = new Map<T, T>();
  readonly #back = new Map<T, T>();

  /** False if one of the two is already paired with another. */
  tie(a: T | null, b: T | null): boolean {
    if (a === null || b === null) return a === b;
    if (this.#forth.has(a) || this.#back.has(b)) {
      return this.#forth.get(a) === b && this.#back.get(b) === a;
    }
    this.#forth.set(a, b);
    this.#back.set(b, a);
    return true;
  }

  of(a: T): T | undefined {
    return this.#forth.get(a);
  }

  /** Forgets pairs that are gone on both sides. */
  keep(expected: ReadonlySet<T>, got: ReadonlySet<T>): void {
    for (const [a, b] of [...this.#forth]) {
      if (expected.has(a) || got.has(b)) continue;
      this.#forth.delete(a);
      this.#back.delete(b);
    }
  }

  tell(a: T | null): string {
    return a !== null && this.#forth.has(a)
      ? `${a} (so far paired with ${this.#forth.get(a)})`
      : `${a} (new)`;
  }

  tellBack(b: T | null): string {
    return b !== null && this.#back.has(b)
      ? `${b} (so far paired with ${this.#back.get(b)})`
      : `${b} (new)`;
  }
}

const hex = (address: number): string => `0x${address.toString(16)}`;
const HUGE_PAGES = 512;

function vmaIds(state: State): Set<number> {
  const ids = new Set<number>();
  for (const { vmas } of state.procs.values()) for (const { id } of vmas) ids.add(id);
  return ids;
}

function numberedPages(state: State): Set<number> {
  return new Set([...state.pages.keys()].filter((name) => typeof name === 'number'));
}

function swapEntries(state: State): Set<number> {
  const entries = new Set<number>();
  for (const { ptes } of state.procs.values()) {
    for (const { kind, ref } of ptes.values()) {
      if (kind === 's' && typeof ref === 'number') entries.add(ref);
    }
  }
  return entries;
}

function words(text: string): Set<string> {
  return new Set(text.split(' ').filter((word) => word !== ''));
}

function sameWords(a: Iterable<string>, b: Iterable<string>): boolean {
  return [...a].sort().join(' ') === [...b].sort().join(' ');
}

/** File and page index of `f0:3`. */
function fileOf(name: PageName | null): [file: string, index: string] {
  const text = String(name);
  const colon = text.lastIndexOf(':');
  return [text.slice(0, colon), text.slice(colon + 1)];
}

/** Files that have a name of their own; others are renamed. */
const named = new Set(['f0', 'm0']);

const resultFields = ['err', 'sig', 'code', 'at', 'ret', 'vals', 'n', 'child'] as const;

function normal(value: unknown): unknown {
  if (typeof value !== 'string' || value.trim() === '') return value ?? null;
  const number = Number(value);
  return Number.isNaN(number) ? value : number;
}

/** Compares two runs operation by operation: it remembers which names belong together. */
export class Comparer {
  readonly #full: boolean;
  readonly #vmas = new Renaming<number>();
  readonly #avs = new Renaming<number>();
  readonly #pages = new Renaming<number>();
  readonly #swaps = new Renaming<number>();
  readonly #files = new Renaming<string>();
  /** Between two operations a VMA object may become another at level core. */
  #vmasNow = new Renaming<number>();
  /** Files and VMAs met in this state. */
  #fileNames = new Map<string, string>();
  #vmaIds = new Map<number, number>();

  constructor(level: Level) {
    this.#full = level === 'full';
  }

  /** The first difference between what an operation returned, or null. */
  result(expected: Result, got: Result): Difference | null {
    for (const field of resultFields) {
      const a = normal(expected[field]);
      const b = normal(got[field]);
      // How many pages were written goes without saying when nothing failed.
      const implied = field === 'n' && b === null && !('sig' in expected) && !('err' in expected);
      if (!implied && JSON.stringify(a) !== JSON.stringify(b)) {
        return { group: 'res', path: `result.${field}`, expected, got };
      }
    }
    return null;
  }

  /** The first difference between two states, or null. */
  state(expected: State, got: State): Difference | null {
    try {
      this.#carryOver(expected, got);
      this.#processes(expected, got);
      this.#allPages(expected, got);
      this.#anonVmas(expected, got);
      if (this.#full) this.#fileTrees(expected, got);
      return null;
    } catch (error) {
      if (error instanceof Differs) return error.difference;
      throw error;
    }
  }

  #equal(group: string, path: string, a: unknown, b: unknown): void {
    if (a !== b) throw new Differs(group, path, a, b);
  }

  #carryOver(expected: State, got: State): void {
    const slots = (state: State): number[] => [...state.procs.keys()].sort((a, b) => a - b);
    const a = slots(expected);
    const b = slots(got);
    if (a.join() !== b.join()) throw new Differs('vma', 'processes', a, b);
    if (this.#full) {
      this.#vmas.keep(vmaIds(expected), vmaIds(got));
      this.#vmasNow = this.#vmas;
    } else {
      this.#vmasNow = new Renaming();
    }
    this.#avs.keep(new Set(expected.avs.keys()), new Set(got.avs.keys()));
    this.#pages.keep(numberedPages(expected), numberedPages(got));
    this.#swaps.keep(swapEntries(expected), swapEntries(got));
    this.#files.keep(new Set(expected.files.keys()), new Set(got.files.keys()));
    this.#fileNames = new Map();
    this.#vmaIds = new Map();
  }

  #file(group: string, path: string, a: string | null, b: string | null): void {
    if (a === null || b === null) {
      this.#equal(group, path, a, b);
      return;
    }
    const other = (named.has(a) || named.has(b)) && a !== b;
    if (other || !this.#files.tie(a, b)) throw new Differs('vma', path, a, b);
    this.#fileNames.set(a, b);
  }

  #tieAnonVma(group: string, path: string, a: number | null, b: number | null): void {
    if (this.#avs.tie(a, b)) return;
    throw new Differs(group, path, this.#avs.tell(a), this.#avs.tellBack(b));
  }

  // ---------------------------------------------------------------- processes

  #processes(expected: State, got: State): void {
    for (const slot of [...expected.procs.keys()].sort((a, b) => a - b)) {
      const a = expected.procs.get(slot);
      const b = got.procs.get(slot);
      if (a === undefined || b === undefined) continue;
      const path = `process ${slot}`;
      if (this.#full) this.#equal('locked', `${path}.locked`, a.locked, b.locked);
      this.#ranges(path, a.vmas, b.vmas);
      for (const [i, vma] of a.vmas.entries()) {
        this.#vma(`${path} vma ${hex(vma.start)}`, vma, b.vmas[i] as VmaState);
      }
      this.#ptes(path, a.ptes, b.ptes);
    }
  }

  #ranges(path: string, a: readonly VmaState[], b: readonly VmaState[]): void {
    const text = (vma: VmaState): string => `${hex(vma.start)}-${hex(vma.end)}`;
    const left = a.map(text);
    const right = b.map(text);
    if (left.join() === right.join()) return;
    throw new Differs(
      'vma',
      `${path} VMA ranges`,
      left.filter((range) => !right.includes(range)),
      right.filter((range) => !left.includes(range)),
    );
  }

  #vma(path: string, a: VmaState, b: VmaState): void {
    if (!sameWords(words(a.flags), words(b.flags))) {
      throw new Differs('vma', `${path}.f`, a.flags, b.flags);
    }
    if (a.pgoff !== b.pgoff) throw new Differs('vma', `${path}.off`, hex(a.pgoff), hex(b.pgoff));
    this.#file('vma', `${path}.file`, a.file, b.file);
    this.#vmaIds.set(a.id, b.id);
    if (!this.#vmasNow.tie(a.id, b.id) && this.#full) {
      const vmas = this.#vmasNow;
      throw new Differs('vmaid', `${path} identity`, vmas.tell(a.id), vmas.tellBack(b.id));
    }
    this.#tieAnonVma('av', `${path}.av`, a.anonVma, b.anonVma);
    const sameChain =
      a.chain.length === b.chain.length &&
      a.chain.every((av, i) => this.#avs.tie(av, b.chain[i] as number));
    if (!sameChain) throw new Differs('av', `${path}.avc`, a.chain, b.chain);
  }

  #ptes(process: string, a: ReadonlyMap<number, PteState>, b: ReadonlyMap<number, PteState>): void {
    const addresses = [...new Set([...a.keys(), ...b.keys()])].sort((x, y) => x - y);
    for (const address of addresses) {
      const path = `${process} pte ${hex(address)}`;
      const left = a.get(address);
      const right = b.get(address);
      if (left === undefined || right === undefined || left.kind !== right.kind) {
        throw new Differs('pte', path, left ?? null, right ?? null);
      }
      this.#entry(path, left, right);
      for (const bit of this.#full ? 'wdnx' : 'wn') {
        if (left.bits.includes(bit) !== right.bits.includes(bit)) {
          throw new Differs(bit, `${path} bit ${bit}`, left.bits, right.bits);
        }
      }
    }
  }

  /** What two entries of one kind refer to. */
  #entry(path: string, a: PteState, b: PteState): void {
    if (a.kind === 'p' || a.kind === 'P') {
      const count = a.kind === 'P' ? HUGE_PAGES : 1;
      for (let i = 0; i < count; i++) {
        const page = (a.ref as number) + i;
        const other = (b.ref as number) + i;
        if (this.#pages.tie(page, other)) continue;
        const pages = this.#pages;
        throw new Differs('pageid', `${path} page`, pages.tell(page), pages.tellBack(other));
      }
    } else if (a.kind === 'f' || a.kind === 'F') {
      const [file, index] = fileOf(a.ref);
      const [otherFile, otherIndex] = fileOf(b.ref);
      if (index !== otherIndex) throw new Differs('pte', path, a.ref, b.ref);
      this.#file('vma', path, file, otherFile);
    } else if (a.kind === 's') {
      if (!this.#swaps.tie(a.ref as number, b.ref as number)) {
        throw new Differs('pte', `${path} swap entry`, a.ref, b.ref);
      }
    } else if (a.kind === 'm') {
      this.#equal('pte', `${path} marker`, a.ref, b.ref);
    }
  }

  // ---------------------------------------------------------------- pages

  #allPages(expected: State, got: State): void {
    for (const [name, page] of expected.pages) {
      let other: PageName | undefined;
      if (typeof name === 'number') {
        other = this.#pages.of(name);
      } else {
        const [file, index] = fileOf(name);
        other = `${this.#fileNames.get(file) ?? file}:${index}`;
      }
      const found = other === undefined ? undefined : got.pages.get(other);
      if (found === undefined) throw new Differs('page', `page ${name}`, page, null);
      this.#page(`page ${name}`, page, found);
    }
  }

  #page(path: string, a: PageState, b: PageState): void {
    this.#equal('page', `${path}.k`, a.kind, b.kind);
    if (a.kind === 'anon') {
      this.#tieAnonVma('page', `${path}.av`, a.anonVma, b.anonVma);
      this.#equal('page', `${path}.ix`, a.index, b.index);
    }
    this.#equal('mc', `${path}.mc`, a.mapcount, b.mapcount);
    if (this.#full && a.refcount !== null) {
      this.#equal('rc', `${path}.rc`, a.refcount, b.refcount);
    }
    this.#equal('b', `${path}.b`, a.byte, b.byte);
    const left = words(a.flags);
    const right = words(b.flags);
    if (left.delete('excl') !== right.delete('excl')) {
      throw new Differs('excl', `${path}.fl`, a.flags, b.flags);
    }
    if (!this.#full) return;
    if (!sameWords(left, right)) throw new Differs('fl', `${path}.fl`, a.flags, b.flags);
    const head = typeof a.head === 'number' ? this.#pages.of(a.head) : a.head;
    if (a.head !== b.head && head !== b.head) {
      throw new Differs('thp', `${path}.h`, a.head, b.head);
    }
    this.#equal('thp', `${path}.em`, a.entire, b.entire);
    this.#equal('thp', `${path}.lm`, a.largeMapcount, b.largeMapcount);
    if (a.kind === 'ksm') this.#items(path, a, b);
  }

  #items(path: string, a: PageState, b: PageState): void {
    const same =
      a.items.length === b.items.length &&
      a.items.every(([slot, address, av], i) => {
        const [otherSlot, otherAddress, otherAv] = b.items[i] as (typeof b.items)[0];
        return slot === otherSlot && address === otherAddress && this.#avs.tie(av, otherAv);
      });
    if (!same) throw new Differs('ksm', `${path}.rm`, a.items, b.items);
  }

  // ---------------------------------------------------------------- anon_vmas and files

  #anonVmas(expected: State, got: State): void {
    for (const [id, av] of expected.avs) {
      const otherId = this.#avs.of(id);
      // Reached through nothing that was compared.
      if (otherId === undefined) continue;
      const other = got.avs.get(otherId);
      if (other === undefined) throw new Differs('avg', `anon_vma ${id}`, av, null);
      this.#anonVma(`anon_vma ${id}`, av, other);
    }
    this.#equal('avg', 'number of anon_vmas', expected.avs.size, got.avs.size);
  }

  #anonVma(path: string, a: AnonVmaState, b: AnonVmaState): void {
    this.#tieAnonVma('avg', `${path}.root`, a.root, b.root);
    this.#tieAnonVma('avg', `${path}.par`, a.parent, b.parent);
    this.#equal('avg', `${path}.nc`, a.numChildren, b.numChildren);
    this.#equal('avg', `${path}.na`, a.numActiveVmas, b.numActiveVmas);
    if (!this.#full) return;
    this.#equal('avrc', `${path}.rc`, a.refcount, b.refcount);
    this.#tree('tree', path, a.tree, b.tree);
  }

  #fileTrees(expected: State, got: State): void {
    for (const [name, tree] of expected.files) {
      const other = got.files.get(this.#fileNames.get(name) ?? name);
      if (other === undefined) throw new Differs('ftree', `file ${name}`, tree, null);
      this.#tree('ftree', `file ${name}`, tree, other);
    }
  }

  #tree(group: string, path: string, a: readonly TreeEntry[], b: readonly TreeEntry[]): void {
    const vma = (id: number | null): number | null =>
      id === null ? null : (this.#vmaIds.get(id) ?? null);
    const same =
      a.length === b.length &&
      a.every(([slot, id], i) => {
        const [otherSlot, otherId] = b[i] as TreeEntry;
        return slot === otherSlot && vma(id) === otherId;
      });
    if (same) return;
    const back = new Map([...this.#vmaIds].map(([x, y]) => [y, x]));
    const translated = b.map(([slot, id]) => [
      slot,
      id === null ? null : (back.get(id) ?? `?${id}`),
    ]);
    throw new Differs(group, `${path}.tree`, a, translated);
  }
}

/** One operation of a run, as far as it is known. */
export interface RunOperation {
  readonly op: Fields;
  readonly result: Result | null;
  readonly state: State | null;
}

/** Compares one operation of two runs. */
export function compareOperation(
  comparer: Comparer,
  expected: RunOperation,
  got: RunOperation,
): Difference | null {
  if (expected.result !== null && got.result !== null) {
    const difference = comparer.result(expected.result, got.result);
    if (difference !== null) return difference;
  }
  if (expected.state === null || got.state === null) return null;
  return comparer.state(expected.state, got.state);
}
