import type {
  AnonVmaColumn,
  AnonVmaNodeView,
  AnonVmaView,
  VisitMark,
} from '../../debugger/view.ts';
import type { Glyphs } from '../glyphs.ts';
import { count, sized, sizedLeft, widest } from './columns.ts';
import {
  type Block,
  block,
  type Role,
  type Row,
  refKey,
  row,
  type Sheet,
  type Span,
  sheet,
  span,
} from './row.ts';
import { shortName } from './vmas.ts';

/**
 * The anon_vma forest twice: as a tree with the VMAs a walk would visit, in its order, and as the
 * incidence matrix VMA x anon_vma, where a cell is an AVC. The walk in progress is drawn in both.
 */
export function anonVmaSheet(view: AnonVmaView, glyphs: Glyphs): Sheet {
  const nameWidth = widest(
    view.nodes.map((node) => prefix(node, glyphs) + node.ref.label),
    12,
    40,
  );
  const tree: Block = {
    length: view.nodes.length,
    key: (index) => keyOf(view.nodes[index]),
    row: (index) => {
      const node = view.nodes[index];
      return node ? nodeRow(node, view.columns, nameWidth, glyphs) : { spans: [] };
    },
  };
  const matrix = matrixBlock(view, glyphs);
  const walking = view.nodes.some((node) => node.vmas.some((vma) => vma.mark !== 'none'));
  if (view.early.length > 0) {
    const lines = view.early.map(({ depth, text, ref }) =>
      row([span(` ${'   '.repeat(depth)}${text}`, depth === 0 ? 'text' : 'dim', ref)], ref),
    );
    return sheet([block(lines)], {
      subtitle: count(view.early.filter((l) => l.depth === 0).length, 'object'),
    });
  }
  return sheet([tree, matrix], {
    subtitle:
      view.nodes.length === 0
        ? 'none yet'
        : `${count(view.nodes.length, 'object')}, ${count(view.rows.length, 'vma')}`,
    head:
      view.nodes.length === 0
        ? []
        : [row([span(` ${sized('', nameWidth)}${titles(view)}  vmas in walk order`, 'label')])],
    foot: walking ? [legend(glyphs)] : [],
  });
}

function keyOf(node: AnonVmaNodeView | undefined): string {
  return node ? refKey(node.ref) : '';
}

function prefix(node: AnonVmaNodeView, glyphs: Glyphs): string {
  let text = '';
  // `last` covers every level down to the node itself; a root's own level draws no branch.
  const levels = node.last.slice(-node.depth);
  if (node.depth === 0) return text;
  for (const [level, isLast] of levels.entries()) {
    const own = level === levels.length - 1;
    if (own) text += isLast ? glyphs.branchLast : glyphs.branch;
    else text += isLast ? '   ' : glyphs.trunk;
  }
  return text;
}

/** Characters of a counter, with the space before it. */
const columnWidth = (column: AnonVmaColumn): number => Math.max(3, column.title.length) + 1;

function titles(view: AnonVmaView): string {
  return view.columns.map((each) => sizedLeft(each.title, columnWidth(each))).join('');
}

function nodeRow(
  node: AnonVmaNodeView,
  columns: readonly AnonVmaColumn[],
  nameWidth: number,
  glyphs: Glyphs,
): Row {
  const branches = prefix(node, glyphs);
  const changed = (name: string): Role => (node.changed.includes(name) ? 'changed' : 'text');
  const counter = (width: number, value: number, field: string): Span[] => [
    span(
      `${node.changed.includes(field) ? '~' : ' '}${sizedLeft(String(value), width - 1)}`,
      changed(field),
    ),
  ];
  const spans: Span[] = [
    span(` ${branches}`, 'border'),
    span(sized(node.ref.label, nameWidth - branches.length), 'ref', node.ref),
    ...columns.flatMap((each) => counter(columnWidth(each), node[each.field], each.field)),
    span('  '),
  ];
  for (const { vma, process, mark } of node.vmas) {
    spans.push(span(markGlyph(mark, glyphs), markRole(mark)));
    spans.push(span(process, mark === 'none' ? 'text' : markRole(mark), vma));
    spans.push(span(' '));
  }
  if (node.vmas.length === 0) spans.push(span('-', 'dim'));
  if (node.lockedBy !== '') spans.push(span(` locked ${node.lockedBy}`, 'write'));
  return row(spans, node.ref);
}

/** One row a VMA, one column an anon_vma. */
function matrixBlock(view: AnonVmaView, glyphs: Glyphs): Block {
  const names = view.nodes.map((node) => shortName(node.ref));
  const cellWidth = Math.max(4, widest(names, 2, 6) + 1);
  const processWidth = widest(
    view.rows.map((line) => line.process),
    4,
    10,
  );
  const labelWidth = widest(
    view.rows.map((line) => line.vma.label),
    8,
    22,
  );
  const top: Row[] = [
    row([]),
    row([
      span(` ${sized('vma', processWidth + labelWidth + 2)}`, 'label'),
      ...names.map((name, index) =>
        span(sizedLeft(name, cellWidth), 'ref', view.nodes[index]?.ref),
      ),
    ]),
  ];
  if (view.rows.length === 0) top.length = 0;
  return {
    length: top.length + view.rows.length,
    key: (index) => {
      const line = view.rows[index - top.length];
      return index < top.length || !line ? `matrix/${index}` : refKey(line.vma);
    },
    row: (index) => {
      const line = view.rows[index - top.length];
      if (index < top.length || !line) return top[index] ?? { spans: [] };
      const spans: Span[] = [
        span(` ${sized(line.process, processWidth)} `, 'process'),
        span(`${sized(line.vma.label, labelWidth)} `, 'ref', line.vma),
      ];
      // With a thousand anon_vmas nearly every cell is empty: a run of them is one span.
      let empty = '';
      for (const { link, mark } of line.cells) {
        if (link === 'none') {
          empty += `${' '.repeat(cellWidth - 2)}${glyphs.separator} `;
          continue;
        }
        if (empty !== '') spans.push(span(empty, 'border'));
        empty = '';
        const symbol = link === 'own' ? glyphs.own : glyphs.linked;
        spans.push(span(`${' '.repeat(cellWidth - 2)}${symbol}`, link === 'own' ? 'text' : 'dim'));
        spans.push(span(markGlyph(mark, glyphs), markRole(mark)));
      }
      if (empty !== '') spans.push(span(empty, 'border'));
      return row(spans, line.vma);
    },
  };
}

function legend(glyphs: Glyphs): Row {
  return row([
    span(' '),
    span(glyphs.hit, 'hit'),
    span(' hit ', 'dim'),
    span(glyphs.miss, 'miss'),
    span(' miss ', 'dim'),
    span(glyphs.visiting, 'visiting'),
    span(' now ', 'dim'),
    span(glyphs.next, 'next'),
    span(' next   ', 'dim'),
    span(`${glyphs.own} vma's own  ${glyphs.linked} chained`, 'dim'),
  ]);
}

function markGlyph(mark: VisitMark, glyphs: Glyphs): string {
  switch (mark) {
    case 'hit':
      return glyphs.hit;
    case 'miss':
      return glyphs.miss;
    case 'current':
      return glyphs.visiting;
    case 'next':
      return glyphs.next;
    case 'none':
      return ' ';
  }
}

function markRole(mark: VisitMark): Role {
  switch (mark) {
    case 'hit':
      return 'hit';
    case 'miss':
      return 'miss';
    case 'current':
      return 'visiting';
    case 'next':
      return 'next';
    case 'none':
      return 'text';
  }
}
