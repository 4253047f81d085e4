/** How one address is translated, level by level, and its neighbours in the last table reached. */
import { mapcountOf } from '../../linux/mm/rmap/mapcount.ts';
import { mem_map, mm_cachep } from '../../linux/mm_types.ts';
import { cpu } from '../../sim/cpu.ts';
import type { Machine } from '../../sim/machine.ts';
import type { PageTablesView } from '../view.ts';
import type { Changes } from './changes.ts';
import { pteBits, pteText } from './flags.ts';
import { largeCounts } from './large-folios.ts';
import { looking, processOf, vmaAt } from './objects.ts';
import { folioOrder } from './page-index.ts';
import {
  asPte,
  isPmdMigration,
  isPresent,
  type Level,
  levelsOf,
  nonPresentKind,
} from './page-walk.ts';
import { headOf, kindOfPage } from './pages.ts';
import { pageRef, resolveAs, vmaRef } from './refs.ts';
import { lookedAtMm, type Selection } from './selection.ts';

/** Bytes that one entry spans, by the level's name. */
const SPAN = { PGD: 2 ** 39, PUD: 2 ** 30, PMD: 2 ** 21, PTE: 4096 } as const;
/** Entries shown on each side of the selected one. */
const AROUND = 16;

type Entry = PageTablesView['entries'][number];

/** The translation of the selected address; null when no address is selected. */
export function pageTablesView(
  machine: Machine,
  selection: Selection,
  changes: Changes,
  around = AROUND,
): PageTablesView | null {
  return looking(machine, () => {
    const { address } = selection;
    if (address < 0) return null;
    const mm =
      selection.mm === null
        ? lookedAtMm(machine, selection)
        : resolveAs(machine, selection.mm, mm_cachep);
    if (mm === null) return null;
    const levels = levelsOf(mm, address);
    const vma = vmaAt(mm, address);
    const last = levels.at(-1);
    return {
      process: processOf(mm),
      address,
      vma: vma === null ? null : vmaRef(vma),
      levels: levels.map(levelView),
      entries: last === undefined ? [] : entriesAround(last, address, changes, around),
    };
  });
}

function levelView(level: Level): PageTablesView['levels'][number] {
  const { name, index, value } = level;
  const leaf = name === 'PTE' || isHuge(level) || isPmdMigration(name, value);
  const pte = asPte(name, value);
  const entry =
    value === 0 ? 'none' : leaf ? `${pteText(pte)} ${pteBits(pte)}` : `table ${value >>> 8}`;
  return { name, index, entry, present: isPresent(value) };
}

function isHuge({ name, value }: { readonly name: string; readonly value: number }): boolean {
  return name === 'PMD' && (value & (1 << 6)) !== 0;
}

function entriesAround(
  last: Level,
  address: number,
  changes: Changes,
  around: number,
): readonly Entry[] {
  const span = SPAN[last.name];
  const table = last.at - last.index;
  const base = Math.floor(address / span) * span - last.index * span;
  const entries: Entry[] = [];
  const from = Math.max(0, last.index - around);
  const to = Math.min(511, last.index + around);
  for (let index = from; index <= to; index++) {
    const value = cpu.pte[table + index] ?? 0;
    entries.push({
      index,
      address: base + index * span,
      ...decoded(last.name, value),
      selected: index === last.index,
      changed: changes.entry(table + index, value),
    });
  }
  return entries;
}

function decoded(
  name: Level['name'],
  value: number,
): Pick<Entry, 'kind' | 'bits' | 'text' | 'page' | 'note'> {
  const kind = kindOfEntry(name, value);
  if (kind === 'table')
    return { kind, bits: '', text: `table ${value >>> 8}`, page: null, note: '' };
  const pte = asPte(name, value);
  const bits = pteBits(pte);
  const names = isPresent(value) || kind === 'migration';
  const note = names && kind !== 'zero' ? countsOf(value >>> 8) : '';
  return {
    kind,
    bits,
    text: kind === 'none' ? '' : pteText(pte),
    page: names ? pageRef(value >>> 8) : null,
    note,
  };
}

/** The counters of the page that an entry names: `anon map 2 ref 3`. */
function countsOf(pfn: number): string {
  const page = mem_map.at(pfn);
  const head = headOf(page);
  const isLarge = folioOrder(head.pfn) > 0;
  const map = isLarge ? largeCounts(head.pfn).large : mapcountOf(page);
  const large = isLarge ? ` of ${2 ** folioOrder(head.pfn)}` : '';
  return `${kindOfPage(page)}${large} map ${map} ref ${head._refcount}`;
}

/** What sort of entry a value is, at the level `name`. */
function kindOfEntry(name: Level['name'], value: number): Entry['kind'] {
  if (value === 0) return 'none';
  if (isPmdMigration(name, value)) return 'migration';
  if (name !== 'PTE') return isHuge({ name, value }) ? 'huge' : 'table';
  if (!isPresent(value)) return nonPresentKind(value);
  if ((value & 1) === 0) return 'protnone';
  if ((value & (1 << 5)) !== 0) return 'zero';
  return kindOfPage(mem_map.at(value >>> 8)) === 'file' ? 'file' : 'page';
}
