import type { PageView } from '../../debugger/view.ts';
import type { Glyphs } from '../glyphs.ts';
import { address, count, sized, widest } from './columns.ts';
import { block, type Row, row, type Sheet, sheet, span } from './row.ts';
import { fieldValue } from './source.ts';

/** One struct page, and every mapping of it with the way the rmap reaches it. */
export function pageSheet(view: PageView | null, glyphs: Glyphs): Sheet {
  if (!view) {
    return sheet([block([row([span(' open a page to see who maps it', 'hint')])])], {
      subtitle: 'nothing selected',
    });
  }
  const nameWidth = widest(
    view.fields.map((field) => field.name),
    6,
    16,
  );
  const fields = view.fields.map((field) =>
    row(
      [
        span(` ${sized(field.name, nameWidth)}`, 'label'),
        span(field.changed ? ' ~ ' : '   ', 'changed'),
        fieldValue(field),
      ],
      field.ref,
    ),
  );
  const lost = view.mappings.filter((mapping) => mapping.via === '').length;
  const items = itemRows(view);
  const blocks = [block(fields, 'field'), block(mappingRows(view, glyphs), 'mapping')];
  return sheet(items.length === 0 ? blocks : [...blocks, block(items, 'item')], {
    subtitle: `${view.ref.label}, ${count(view.mappings.length, 'mapping')}${
      lost > 0 ? `, ${lost} not reachable` : ''
    }`,
  });
}

/** What ksmd merged into the page: a walk takes these from top to bottom. */
function itemRows({ items }: PageView): Row[] {
  if (items.length === 0) return [];
  const processes = items.map(({ process }) => process || 'gone');
  const processWidth = widest(processes, 4, 10);
  return [
    row([span(`   ${sized('of', processWidth)} ${sized('merged at', 12)} looked for by`, 'label')]),
    ...items.map((item) =>
      row(
        [
          span(
            `   ${sized(item.process || 'gone', processWidth)}`,
            item.process ? 'process' : 'dim',
          ),
          span(` ${address(item.address)} `, 'address'),
          span(item.anonVma?.label ?? '?', 'ref', item.anonVma),
          span(item.stale ? '  stale' : '', 'dim'),
        ],
        item.ref,
      ),
    ),
  ];
}

function mappingRows(view: PageView, glyphs: Glyphs): Row[] {
  if (view.mappings.length === 0) return [row([span(' mapped nowhere', 'dim')])];
  const processWidth = widest(
    view.mappings.map((mapping) => mapping.process),
    4,
    10,
  );
  return [
    row([span(`   ${sized('by', processWidth)} ${sized('mapped at', 12)} found via`, 'label')]),
    ...view.mappings.map((mapping) =>
      row(
        [
          // A mapping no walk would find is the bug this program exists to show.
          mapping.via === '' ? span(` ${glyphs.miss} `, 'error') : span(` ${glyphs.hit} `, 'hit'),
          span(sized(mapping.process, processWidth), 'process'),
          span(` ${address(mapping.address)} `, 'address'),
          mapping.via === ''
            ? span('no walk finds it', 'error')
            : span(mapping.via, 'ref', mapping.vma),
          span(`  ${mapping.pte}`, 'dim'),
        ],
        mapping.vma,
      ),
    ),
  ];
}
