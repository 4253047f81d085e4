import type { EventView } from '../../debugger/view.ts';
import { sized, sizedLeft } from './columns.ts';
import { type Row, type Sheet, type Span, sheet, span } from './row.ts';

/** The trace, aligned. Rows are fetched as they scroll into view: a trace can have millions. */
export function eventsSheet(
  total: number,
  fetch: (index: number) => EventView | null,
  filter: string,
): Sheet {
  return sheet(
    [
      {
        length: total,
        key: (index) => `${filter}#${index}`,
        row: (index) => {
          const event = fetch(index);
          return event ? eventRow(event) : { spans: [] };
        },
      },
    ],
    {
      home: total - 1,
      // History only grows at its end, so a place names an event as long as the filter stays.
      locate: (key) => {
        const at = key.lastIndexOf('#');
        const index = Number(key.slice(at + 1));
        return key.slice(0, at) === filter && index < total ? index : -1;
      },
      subtitle: filter === '' ? String(total) : `${total} match`,
    },
  );
}

function eventRow(event: EventView): Row {
  const spans: Span[] = [
    span(sizedLeft(String(event.step), 7), 'label'),
    span(` ${sized(event.task, 10)} `, 'text'),
    span(sized(event.name, 20), nameRole(event.name)),
  ];
  for (const field of event.fields) {
    spans.push(span(` ${field.name}=`, 'dim'), span(field.value));
  }
  return { spans, command: `goto ${event.step}` };
}

function nameRole(name: string): Span['role'] {
  if (name.startsWith('finding:')) return 'error';
  if (name === 'rmap:walk_hit') return 'hit';
  if (name === 'rmap:walk_miss') return 'miss';
  if (name === 'lock:contended') return 'blocked';
  return name.startsWith('rmap:') ? 'function' : 'text';
}
