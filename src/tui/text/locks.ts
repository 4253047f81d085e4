import type { LocksView, LockView } from '../../debugger/view.ts';
import type { Glyphs } from '../glyphs.ts';
import { count, sized, widest } from './columns.ts';
import { block, type Row, row, type Sheet, type Span, sheet, span } from './row.ts';

/** What is held and waited for now; the kernel's documented lock tree; the order seen so far. */
export function locksSheet(view: LocksView, glyphs: Glyphs): Sheet {
  const waiting = view.locks.filter((lock) => lock.waiters.length > 0).length;
  const classWidth = widest(
    view.locks.map((lock) => lock.cls),
    12,
    30,
  );
  const now =
    view.locks.length === 0
      ? [row([span(' none held', 'dim')])]
      : view.locks.map((lock) => lockRow(lock, classWidth, glyphs));
  const tree = view.tree.map(({ depth, cls, holders }) =>
    row([
      span(` ${'  '.repeat(depth)}`),
      span(cls, holders === '' ? 'dim' : 'text'),
      span(holders === '' ? '' : `  ${holders}`, 'write'),
    ]),
  );
  const order = view.order.map(({ from, to, count: times }) =>
    row([
      span(` ${from} `, 'text'),
      span(glyphs.arrow, 'dim'),
      span(` ${to}`, 'text'),
      span(`  x${times}`, 'dim'),
    ]),
  );
  return sheet(
    [
      block(now),
      block(section('documented order', tree), 'tree'),
      block(section('taken while held, so far', order), 'order'),
    ],
    {
      subtitle: `${view.locks.length} in use${waiting > 0 ? `, ${count(waiting, 'queue')}` : ''}`,
    },
  );
}

function section(title: string, rows: readonly Row[]): readonly Row[] {
  return rows.length === 0 ? [] : [row([span(` ${title}`, 'label')]), ...rows];
}

function lockRow(lock: LockView, classWidth: number, glyphs: Glyphs): Row {
  const spans: Span[] = [
    span(` ${sized(lock.cls, classWidth)} `, 'text', lock.ref),
    span(sized(lock.kind, 9), 'dim'),
  ];
  for (const { task, mode } of lock.holders) {
    spans.push(mode === 'write' ? span('W:', 'write') : span('R:', 'read'), span(`${task} `));
  }
  for (const { task, mode } of lock.waiters) {
    spans.push(
      span(`${glyphs.moreLeft} `, 'blocked'),
      span(`${mode === 'write' ? 'W' : 'R'}:${task} waits `, 'blocked'),
    );
  }
  return row(spans, lock.ref);
}
