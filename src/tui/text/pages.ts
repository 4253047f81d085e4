import type { PageRowView, PagesView } from '../../debugger/view.ts';
import { sized, sizedLeft } from './columns.ts';
import { type Role, type Row, row, type Sheet, type Span, sheet, span } from './row.ts';
import { shortName } from './vmas.ts';

/** Memory as crash's `kmem -p` lists it. Rows are fetched as they scroll into view. */
export function pagesSheet(
  view: PagesView,
  filter: string,
  fetch: (index: number) => PageRowView | null,
  locate: (key: string) => number,
): Sheet {
  const length = view.total;
  const keyAt = (index: number): string => {
    const each = fetch(index);
    return each === null ? '' : keyOf(each);
  };
  return sheet(
    [
      {
        length: Math.max(1, length),
        key: keyAt,
        row: (index) => {
          const each = fetch(index);
          if (each !== null) return pageRow(each);
          return row([span(filter === '' ? ' no page is in use' : ' no such page', 'hint')]);
        },
      },
    ],
    {
      head: [...countRows(view), HEAD],
      home: view.selected,
      locate: (key) =>
        locate(key.startsWith('page:') ? key.replace(/^page:(\d+):.*$/, 'folio:$1') : key),
      subtitle:
        filter === ''
          ? `${length} in use${view.complete ? '' : ', not all of a large machine'}`
          : `${length} match`,
    },
  );
}

/** A folio is found by the page that the selection names. */
function keyOf({ key }: PageRowView): string {
  return key;
}

const HEAD: Row = row([
  span(`   ${sized('pfn', 8)} ${sized('kind', 6)}  map   ref ${sized('lru', 6)} `, 'label'),
  span(`${sized('mapped by', 9)} ${sized('object', 7)}notes, flags`, 'label'),
]);

/** What there is first, then what is on which list and in which state. */
const FIRST = ['MemTotal', 'MemFree', 'AnonPages', 'AnonHuge', 'Cached', 'Mapped', 'Shmem'];

function countRows(view: PagesView): Row[] {
  const line = (counts: PagesView['counts']): Row => {
    const spans: Span[] = [span(' ')];
    for (const { name, pages } of counts) spans.push(span(`${name} `, 'dim'), span(`${pages}  `));
    return row(spans);
  };
  const isFirst = ({ name }: { readonly name: string }): boolean => FIRST.includes(name);
  const rest = view.counts.filter((each) => !isFirst(each));
  return [line(view.counts.filter(isFirst)), ...(rest.length === 0 ? [] : [line(rest)])];
}

const KIND_ROLES: Record<PageRowView['kind'], Role> = {
  anon: 'text',
  ksm: 'hit',
  file: 'text',
  shmem: 'text',
  zero: 'dim',
  kernel: 'dim',
  free: 'dead',
  swap: 'blocked',
};

const LIST_NAMES: Readonly<Record<string, string>> = {
  inactive_anon: 'inact',
  active_anon: 'active',
  inactive_file: 'inact',
  active_file: 'active',
  unevictable: 'unevic',
};

/** Flags that every page of a list has say nothing more there. */
const SHOWN_ELSEWHERE: ReadonlySet<string> = new Set(['lru', 'active', 'unevictable', 'head']);

function pageRow(each: PageRowView): Row {
  const mark = markOf(each);
  const changed = (name: string, role: Role): Role =>
    each.changed.includes(name) ? 'changed' : role;
  const cell = (name: string, text: string, role: Role): Span[] => [
    span(each.changed.includes(name) ? '~' : ' ', 'changed'),
    span(text, changed(name, role)),
  ];
  const isFrame = each.ref !== null;
  const spans: Span[] = [
    span(' '),
    mark,
    span(each.part ? '  ' : ' '),
    span(sized(placeOf(each), each.part ? 7 : 8), isFrame ? 'address' : 'blocked', each.ref),
    span(` ${sized(each.kind, 6)}`, KIND_ROLES[each.kind]),
    ...cell('mapcount', sizedLeft(mapText(each), 4), each.shared ? 'read' : 'text'),
    ...cell('refcount', sizedLeft(each.part || !isFrame ? '' : String(each.refcount), 5), 'text'),
    span(` ${sized(LIST_NAMES[each.lru] ?? each.lru, 6)} `, 'dim'),
    span(sized(byText(each), 9), 'process'),
    ...cell('mapping', sized(objectText(each), 7), each.mapping === null ? 'dim' : 'ref'),
  ];
  // The span of the object leads there: `o` chooses it in the row.
  const last = spans.pop();
  if (last) spans.push(span(last.text, last.role, each.mapping));
  if (each.notes.length > 0) spans.push(span(`${each.notes.join(', ')} `, 'write'));
  const flags = each.flags.filter((name) => !SHOWN_ELSEWHERE.has(name));
  spans.push(...cell('flags', flags.join(','), 'dim'));
  return row(spans, each.ref);
}

function markOf(each: PageRowView): Span {
  if (each.isNew) return span('+', 'added');
  if (each.kind === 'free') return span('-', 'dead');
  return each.changed.length > 0 ? span('~', 'changed') : span(' ');
}

function placeOf(each: PageRowView): string {
  if (each.ref === null) return `s:${each.at % 0x100_0000}`;
  const first = each.at.toString(16);
  return each.pages === 1 ? first : `${first}+${each.pages}`;
}

/** The kernel's count; with the entries that there are, when those are not as many. */
function mapText(each: PageRowView): string {
  if (each.ref === null) return String(each.entries);
  return each.mapcount === each.entries
    ? String(each.mapcount)
    : `${each.mapcount}/${each.entries}`;
}

function byText({ by }: PageRowView): string {
  return by
    .map(({ process, entries }) => (entries === 1 ? process : `${process}*${entries}`))
    .join(' ');
}

function objectText(each: PageRowView): string {
  // `anonmm@1c00#19`, which nothing opens, in the width of `#19`.
  if (each.mapping === null) return each.mappingText.replace(/^\w+@[0-9a-f]+(?=#)/, '');
  if (each.kind === 'anon' || each.kind === 'ksm') return shortName(each.mapping);
  return each.mappingText.replace(/^file /, '').replace(/^.*\//, '');
}
