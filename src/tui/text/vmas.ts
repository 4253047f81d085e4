import type { MmView, VmaView } from '../../debugger/view.ts';
import type { Glyphs } from '../glyphs.ts';
import { address, count, pages, sized, sizedLeft } from './columns.ts';
import { type Block, type Row, refKey, row, type Sheet, type Span, sheet, span } from './row.ts';

/** Column names by view field and by the kernel field a session may report. */
const CHANGED_BY: Record<string, readonly string[]> = {
  start: ['start', 'vm_start'],
  end: ['end', 'vm_end'],
  perms: ['perms', 'vm_page_prot', 'vm_flags', 'flags'],
  pgoff: ['pgoff', 'vm_pgoff'],
  anonVma: ['anonVma', 'anon_vma'],
  avcs: ['avcs', 'anon_vma_chain'],
  present: ['present', 'rss'],
  swapped: ['swapped', 'swap'],
  vmFlags: ['vmFlags', 'vm_flags', 'flags'],
  file: ['file', 'vm_file'],
};

/** Every address space: picture of letters for all, table of VMAs for the one looked at. */
export function vmasSheet(mms: readonly MmView[], glyphs: Glyphs): Sheet {
  const chosen = mms.find((mm) => mm.selected) ?? mms[0];
  const blocks = mms.map((mm) => mmBlock(mm, mm === chosen, glyphs));
  return sheet(blocks, {
    subtitle: chosen
      ? `${chosen.process}, ${count(chosen.mapCount, 'vma')} of ${count(mms.length, 'mm')}`
      : 'no address space',
  });
}

const TABLE_HEAD: Row = row([
  span('   start        end           size  perm anon_vma avc rss+sw  pgoff     flags', 'label'),
]);

/** Rows of one mm: its head, its picture, and for the chosen one the head and rows of the table. */
function mmBlock(mm: MmView, isChosen: boolean, glyphs: Glyphs): Block {
  const top = [mmHead(mm, isChosen, glyphs), ...pictureRows(mm)];
  if (isChosen) top.push(TABLE_HEAD);
  const key = refKey(mm.ref);
  return {
    length: top.length + (isChosen ? mm.vmas.length : 0),
    row: (index) => {
      const vma = mm.vmas[index - top.length];
      return top[index] ?? (vma ? vmaRow(vma) : { spans: [] });
    },
    key: (index) => {
      const vma = mm.vmas[index - top.length];
      if (index === 0) return key;
      return index < top.length || !vma ? `${key}/${index}` : refKey(vma.ref);
    },
  };
}

function mmHead(mm: MmView, isChosen: boolean, glyphs: Glyphs): Row {
  return row(
    [
      isChosen ? span(`${glyphs.current} `, 'current') : span('  '),
      span(sized(mm.process, 10), 'process'),
      span(`${count(mm.mapCount, 'vma')}, ${count(mm.totalPages, 'page')}`, 'dim'),
    ],
    mm.ref,
  );
}

function pictureRows(mm: MmView): Row[] {
  return mm.picture.map((line, index) =>
    row([span('   '), span(line, index === 0 && mm.picture.length > 1 ? 'dim' : 'text')], mm.ref),
  );
}

function vmaRow(vma: VmaView): Row {
  // The blank before a value becomes `~` when the value changed since the last stop.
  const changed = (field: string): boolean =>
    (CHANGED_BY[field] ?? []).some((name) => vma.changed.includes(name));
  const cell = (field: string, text: string, plain: Span['role']): Span[] =>
    changed(field) ? [span('~', 'changed'), span(text, 'changed')] : [span(' '), span(text, plain)];
  const size = vma.end - vma.start;
  const rss = `${vma.present}+${vma.swapped}`;
  const rssChanged = changed('present') || changed('swapped');
  const spans: Span[] = [
    vma.isNew ? span('+', 'added') : span(' '),
    span(vma.letter, vma.isNew ? 'added' : 'process', vma.ref),
    ...cell('start', address(vma.start), 'address'),
    ...cell('end', address(vma.end), 'address'),
    span(` ${sizedLeft(pages(size), 6)} `, 'text'),
    ...cell('perms', sized(vma.perms, 4), 'text'),
    changed('anonVma') ? span('~', 'changed') : span(' '),
    vma.anonVma
      ? span(sized(shortName(vma.anonVma), 8), changed('anonVma') ? 'changed' : 'ref', vma.anonVma)
      : span(sized('-', 8), changed('anonVma') ? 'changed' : 'dim'),
    ...cell('avcs', sizedLeft(String(vma.avcs), 3), 'text'),
    span(rssChanged ? '~' : ' ', rssChanged ? 'changed' : 'text'),
    span(sized(rss, 7), rssChanged ? 'changed' : 'text'),
    ...cell('pgoff', sized(vma.pgoff.toString(16), 9), 'dim'),
    ...cell('vmFlags', vma.vmFlags, 'dim'),
  ];
  if (vma.file !== '') spans.push(...cell('file', vma.file, 'text'));
  return row(spans, vma.ref);
}

/** An object in a narrow column: the serial says which; kinds without serials keep their label. */
export function shortName(ref: { readonly serial: number; readonly label: string }): string {
  return ref.serial > 0 ? `#${ref.serial}` : ref.label;
}
