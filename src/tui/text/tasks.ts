import type { TaskView } from '../../debugger/view.ts';
import type { Glyphs } from '../glyphs.ts';
import { count, sized, widest } from './columns.ts';
import {
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

const STATE_ROLES: Record<TaskView['state'], Role> = {
  running: 'running',
  runnable: 'text',
  blocked: 'blocked',
  idle: 'idle',
  dead: 'dead',
  oops: 'error',
};

/** Who runs, who waits for what, who holds what; and the backtrace of the task looked at. */
export function tasksSheet(tasks: readonly TaskView[], glyphs: Glyphs): Sheet {
  const nameWidth = widest(
    tasks.map((task) => task.name),
    4,
    16,
  );
  const blocks = tasks.map((task) => {
    const key = refKey(task.ref);
    return {
      ...block(taskRows(task, nameWidth, glyphs)),
      key: (index: number) => (index === 0 ? key : `${key}/${index}`),
    };
  });
  let home = 0;
  for (const [index, task] of tasks.entries()) {
    if (task.selected) break;
    home += blocks[index]?.length ?? 0;
  }
  const blocked = tasks.filter((task) => task.state === 'blocked').length;
  return sheet(blocks, {
    home: tasks.some((task) => task.selected) ? home : -1,
    subtitle: count(tasks.length, 'task') + (blocked > 0 ? `, ${blocked} blocked` : ''),
  });
}

function taskRows(task: TaskView, nameWidth: number, glyphs: Glyphs): Row[] {
  const spans: Span[] = [
    task.selected ? span(`${glyphs.current} `, 'current') : span('  '),
    span(sized(task.name, nameWidth), 'process', task.ref),
    span(` ${sized(task.state, 8)} `, STATE_ROLES[task.state]),
    span(task.operation === '' ? '-' : task.operation, task.operation === '' ? 'dim' : 'text'),
  ];
  const rows = [row(spans, task.ref)];
  if (task.waitsFor !== '') {
    rows.push(row([span('    waits  ', 'label'), span(task.waitsFor, 'blocked')], task.ref));
  }
  for (const held of task.held) {
    rows.push(
      row(
        [
          span('    holds  ', 'label'),
          held.mode === 'write' ? span('W ', 'write') : span('R ', 'read'),
          span(held.cls, 'text', held.lock),
        ],
        held.lock,
      ),
    );
  }
  if (task.selected) {
    for (const frame of task.frames) {
      rows.push({
        spans: [
          span(`    #${sized(String(frame.depth), 3)}`, 'label'),
          span(frame.fn, 'function'),
          span(`  ${frame.file}:${frame.line}`, 'dim'),
        ],
        command: `frame ${frame.depth}`,
      });
    }
  }
  return rows;
}
