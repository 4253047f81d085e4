import type { PageTablesView } from '../../debugger/view.ts';
import type { Glyphs } from '../glyphs.ts';
import { address, sized } from './columns.ts';
import { block, type Role, type Row, row, type Sheet, sheet, span } from './row.ts';

type Entry = PageTablesView['entries'][number];

const KIND_ROLES: Record<Entry['kind'], Role> = {
  none: 'dim',
  page: 'text',
  zero: 'dim',
  file: 'text',
  huge: 'text',
  swap: 'blocked',
  migration: 'write',
  marker: 'write',
  protnone: 'read',
  table: 'text',
};

/** The radix walk to the selected address, and the entries around it. */
export function pageTablesSheet(view: PageTablesView | null, glyphs: Glyphs): Sheet {
  if (!view) {
    return sheet([block([row([span(' open a vma, a pte or a page to see its tables', 'hint')])])], {
      subtitle: 'nothing selected',
    });
  }
  const path = block(
    view.levels.map((level, depth) =>
      row([
        span(` ${'   '.repeat(Math.max(0, depth - 1))}`, 'border'),
        span(depth === 0 ? '' : glyphs.branchLast, 'border'),
        span(`${level.name}`, 'label'),
        span(`[${level.index.toString(16).padStart(3, '0')}] `, 'address'),
        span(level.entry, level.present ? 'text' : 'dim'),
        level.present ? span('') : span('  not present', 'miss'),
      ]),
    ),
    'level',
  );
  const entries = block(
    [row([]), ...view.entries.map((entry) => entryRow(entry, glyphs))],
    'entry',
  );
  const selected = view.entries.findIndex((entry) => entry.selected);
  return sheet(
    [
      path,
      {
        ...entries,
        key: (index) => `entry ${view.entries[index - 1]?.address ?? index}`,
      },
    ],
    {
      home: selected < 0 ? -1 : path.length + 1 + selected,
      subtitle: `${view.process} ${address(view.address)}${view.vma ? `, ${view.vma.label}` : ''}`,
    },
  );
}

function entryRow(entry: Entry, glyphs: Glyphs): Row {
  const role = KIND_ROLES[entry.kind];
  return row(
    [
      entry.selected ? span(` ${glyphs.current} `, 'current') : span('   '),
      span(entry.index.toString(16).padStart(3, '0'), 'label'),
      span(` ${address(entry.address)} `, 'address'),
      entry.changed ? span('~', 'changed') : span(' '),
      span(sized(entry.kind, 10), entry.changed ? 'changed' : role),
      span(`${entry.text}`, entry.changed ? 'changed' : role, entry.page),
      span(entry.bits === '' ? '' : `  ${entry.bits}`, 'dim'),
      span(entry.note === '' ? '' : `  ${entry.note}`, 'text'),
    ],
    entry.page,
  );
}
