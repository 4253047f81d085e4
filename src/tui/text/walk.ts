import type { VisitView, WalkView } from '../../debugger/view.ts';
import type { Glyphs } from '../glyphs.ts';
import { address, count, sized, sizedLeft } from './columns.ts';
import { type Block, type Row, row, type Sheet, type Span, sheet, span } from './row.ts';

/** The newest rmap walk, one row a visit with its running cost; below it the walks before. */
export function walkSheet(walks: readonly WalkView[], glyphs: Glyphs): Sheet {
  const newest = walks.at(-1);
  if (!newest) {
    return sheet([], {
      head: [row([span(' no rmap walk yet', 'hint')])],
      subtitle: '',
    });
  }
  const visits: Block = {
    length: newest.visits.length,
    key: (index) => `${newest.id}/${index}`,
    row: (index) => {
      const visit = newest.visits[index];
      const before = newest.visits[index - 1]?.cost ?? 0;
      return visit ? visitRow(visit, before, glyphs) : { spans: [] };
    },
  };
  const earlier: Block = {
    length: walks.length > 1 ? walks.length : 0,
    key: (index) => `walk ${walks[walks.length - 1 - index]?.id ?? index}`,
    row: (index) => {
      if (index === 0) return row([span(' earlier walks', 'label')]);
      const walk = walks[walks.length - 1 - index];
      return walk ? summaryRow(walk) : { spans: [] };
    },
  };
  const pending = newest.visits.findIndex((visit) => visit.result === 'pending');
  return sheet([visits, earlier], {
    head: headRows(newest, glyphs),
    home: pending >= 0 ? pending : newest.visits.length - 1,
    subtitle: `${newest.purpose} by ${newest.task}, ${newest.endedAt < 0 ? 'in progress' : 'ended'}`,
  });
}

function headRows(walk: WalkView, glyphs: Glyphs): Row[] {
  const from: Span[] = [
    span(' ', 'text'),
    span(walk.page.label, 'ref', walk.page),
    span(` ${glyphs.arrow} `, 'dim'),
    walk.anonVma ? span(walk.anonVma.label, 'ref', walk.anonVma) : span('no anon_vma', 'dim'),
    span(`  steps ${walk.beganAt}..${walk.endedAt < 0 ? '' : walk.endedAt}`, 'dim'),
  ];
  const total = (label: string, value: number, role: Span['role']): Span[] => [
    span(` ${label} `, 'label'),
    span(sized(String(value), 3), role),
  ];
  return [
    row(from, walk.page),
    row([
      ...total('visited', walk.visited, 'text'),
      ...total('hits', walk.hits, 'hit'),
      ...total('wasted', walk.wasted, walk.wasted > 0 ? 'miss' : 'text'),
      ...total('ptes', walk.ptes, 'text'),
      ...total('locks', walk.locksTaken, 'text'),
      ...total('steps', walk.steps, 'text'),
    ]),
    row([span('    # process   ptes   cost     + address      vma', 'label')]),
  ];
}

function visitRow(visit: VisitView, before: number, glyphs: Glyphs): Row {
  const result =
    visit.result === 'hit'
      ? span(` ${glyphs.hit}`, 'hit')
      : visit.result === 'miss'
        ? span(` ${glyphs.miss}`, 'miss')
        : span(` ${glyphs.visiting}`, 'visiting');
  const isPending = visit.result === 'pending';
  const cost = isPending ? '' : String(visit.cost);
  const delta = isPending ? 'now' : `+${visit.cost - before}`;
  return row(
    [
      result,
      span(`${sizedLeft(String(visit.index + 1), 3)} `, 'label'),
      span(sized(visit.process, 8), 'process'),
      span(sizedLeft(isPending ? '' : String(visit.ptes), 5), visit.ptes > 0 ? 'text' : 'dim'),
      span(sizedLeft(cost, 7), 'text'),
      span(sizedLeft(delta, 6), isPending ? 'visiting' : 'dim'),
      span(` ${address(visit.address)} `, 'address'),
      span(visit.vma.label, 'ref', visit.vma),
    ],
    visit.vma,
  );
}

function summaryRow(walk: WalkView): Row {
  return {
    spans: [
      span(sizedLeft(String(walk.id), 6), 'label'),
      span(`  ${sized(walk.purpose, 22)}`, 'function'),
      span(' '),
      span(sized(walk.page.label, 10), 'ref', walk.page),
      span(
        ` ${count(walk.visited, 'visit')}, ${walk.wasted} wasted, ${count(walk.steps, 'step')}`,
        'dim',
      ),
    ],
    command: `goto ${walk.beganAt}`,
  };
}
