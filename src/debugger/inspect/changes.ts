/**
 * What changed since the previous stop. The session calls remember() when it leaves a stop; until it
 * leaves the next one, builders compare what they show with that. Only what the selection shows is
 * remembered: the VMAs of one address space, the anon_vmas, one page, one stretch of page table.
 */
import type { mm_struct } from '../../linux/mm_types.ts';
import { cpu } from '../../sim/cpu.ts';
import type { Machine } from '../../sim/machine.ts';
import { serialOf } from '../../sim/struct.ts';
import type { VmaView } from '../view.ts';
import { anonVmaFacts, pageFacts, sameFacts, VMA_FACTS, type VmaRow, vmaRows } from './facts.ts';
import { allAnonVmas, anchors, looking } from './objects.ts';
import { type PageFacts, takePageFacts } from './page-index.ts';
import { levelsOf } from './page-walk.ts';
import { lookedAtMm, type Selection } from './selection.ts';
import { localTexts } from './source.ts';

/** More anon_vmas than a screen could ever show are not compared. */
const MAX_ANON_VMAS = 2000;

/** What was true at one stop. */
interface Snapshot {
  readonly mm: number;
  readonly vmas: ReadonlyMap<number, readonly number[]>;
  readonly anonVmas: ReadonlyMap<number, readonly number[]>;
  readonly page: number;
  readonly pageFacts: ReadonlyMap<string, number>;
  /** First word of the last table reached, and its entries. */
  readonly table: number;
  readonly entries: Uint32Array;
  readonly locals: ReadonlyMap<string, string>;
  readonly frames: PageFacts | null;
}

/** Memory of a larger machine is not compared frame by frame. */
const MAX_FRAMES = 1 << 17;

export class Changes {
  readonly #machine: Machine;
  #before: Snapshot | null = null;
  #made = new Map<number, { readonly facts: readonly number[]; readonly view: VmaView }>();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Takes the picture that the next stop is compared with. */
  remember(selection: Selection): void {
    const locals = localTexts(this.#machine, selection);
    this.#before = looking(this.#machine, () => this.#take(selection, locals));
  }

  /** The view of a VMA made before, if every value that it shows is still the same. */
  madeBefore(row: VmaRow, letter: string): VmaView | null {
    const made = this.#made.get(row.serial);
    if (made === undefined || made.view.letter !== letter || made.view.isNew) return null;
    if (made.view.ref.id !== row.vma.addr) return null;
    return made.view.changed.length === 0 && sameFacts(made.facts, row.facts) ? made.view : null;
  }

  /** Keeps the views just made of an address space, for madeBefore(). */
  keep(rows: readonly VmaRow[], views: readonly VmaView[]): void {
    this.#made = new Map();
    for (const [i, { serial, facts }] of rows.entries()) {
      this.#made.set(serial, { facts, view: views[i] as VmaView });
    }
  }

  /** Forgets it: nothing counts as changed. */
  forget(): void {
    this.#before = null;
  }

  #take(selection: Selection, locals: ReadonlyMap<string, string>): Snapshot {
    const mm = lookedAtMm(this.#machine, selection);
    const vmas = new Map<number, readonly number[]>();
    if (mm !== null) for (const { serial, facts } of vmaRows(mm)) vmas.set(serial, facts);
    const anonVmas = new Map<number, readonly number[]>();
    if (anchors().live() <= MAX_ANON_VMAS) {
      for (const av of allAnonVmas()) anonVmas.set(serialOf(av), anonVmaFacts(av));
    }
    const table = tableLookedAt(mm, selection.address);
    return {
      mm: mm === null ? 0 : serialOf(mm),
      vmas,
      anonVmas,
      page: selection.page,
      pageFacts: selection.page < 0 ? new Map() : pageFacts(selection.page),
      table,
      entries: table < 0 ? new Uint32Array(0) : cpu.pte.slice(table, table + 512),
      locals,
      frames: this.#machine.config.frames > MAX_FRAMES ? null : takePageFacts(),
    };
  }

  /** Words of the frames in use at the previous stop, or null. */
  frames(): PageFacts | null {
    return this.#before?.frames ?? null;
  }

  /** Whether a VMA has changed, or is new in this address space. */
  differs(mm: mm_struct, serial: number, facts: readonly number[]): boolean {
    const before = this.#before;
    if (before === null || before.mm !== serialOf(mm)) return false;
    const known = before.vmas.get(serial);
    return known === undefined || !sameFacts(known, facts);
  }

  /** Names of VMA_FACTS that differ, and whether the VMA is new in this address space. */
  vma(
    mm: mm_struct,
    serial: number,
    facts: readonly number[],
  ): { readonly isNew: boolean; readonly changed: readonly string[] } {
    const before = this.#before;
    if (before === null || before.mm !== serialOf(mm)) return UNCHANGED;
    const known = before.vmas.get(serial);
    if (known === undefined) return { isNew: true, changed: [] };
    if (sameFacts(known, facts)) return UNCHANGED;
    const changed = [...new Set(VMA_FACTS.filter((_name, i) => facts[i] !== known[i]))] as string[];
    if (changed.includes('vmFlags')) changed.push('perms');
    return { isNew: false, changed };
  }

  /** Names among `names` whose facts differ. */
  anonVma(serial: number, facts: readonly number[], names: readonly string[]): readonly string[] {
    const known = this.#before?.anonVmas.get(serial);
    if (known === undefined) return [];
    return names.filter((_name, i) => facts[i] !== known[i]);
  }

  /** Whether a field of the page differs; false when another page was looked at. */
  page(pfn: number, name: string, value: number): boolean {
    const before = this.#before;
    if (before === null || before.page !== pfn) return false;
    const known = before.pageFacts.get(name);
    return known !== undefined && known !== value;
  }

  /** Whether an entry of a page table differs; `at` is its word in the pool. */
  entry(at: number, value: number): boolean {
    const before = this.#before;
    if (before === null || before.table < 0) return false;
    const known = before.entries[at - before.table];
    return known !== undefined && known !== value;
  }

  /** Whether a local of the same frame had another value. */
  local(key: string, value: string): boolean {
    const known = this.#before?.locals.get(key);
    return known !== undefined && known !== value;
  }
}

const UNCHANGED = { isNew: false, changed: [] } as const;

/** First word of the last page table that translating the selected address reaches, or -1. */
function tableLookedAt(mm: mm_struct | null, address: number): number {
  if (mm === null || address < 0) return -1;
  const last = levelsOf(mm, address).at(-1);
  return last === undefined ? -1 : last.at - (last.at % 512);
}
