/**
 * The address space as two lines: a ruler of page numbers and one letter per page, `*` where a page is
 * present. Gaps and long stretches are shortened, so that what matters fits one line.
 *
 *     7f0000000 7f0000064
 *     a*aa..96..bbbbb<30>bbbbb
 */
import type { mm_struct, vm_area_struct } from '../../linux/mm_types.ts';
import { isPresent, visitLeaves } from './page-walk.ts';
import { hex } from './refs.ts';

const PAGE = 4096;

/** Letters of VMAs in address order: a..z, A..Z, then again. */
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

export function letterOf(index: number): string {
  return LETTERS[index % LETTERS.length] as string;
}

/** Longest VMA drawn page by page; longer ones show their ends and how many pages are left out. */
const MAX_DRAWN = 16;
const EDGE = 5;

/** Pages of one VMA: its letter, or `*` for a page that is present. */
function drawVma(mm: mm_struct, vma: vm_area_struct, letter: string): string {
  const pages = Math.max(1, Math.round((vma.vm_end - vma.vm_start) / PAGE));
  if (pages <= MAX_DRAWN) return drawRange(mm, vma.vm_start, pages, letter);
  const head = drawRange(mm, vma.vm_start, EDGE, letter);
  const tail = drawRange(mm, vma.vm_end - EDGE * PAGE, EDGE, letter);
  return `${head}<${pages - 2 * EDGE}>${tail}`;
}

function drawRange(mm: mm_struct, start: number, pages: number, letter: string): string {
  const cells = new Array<string>(pages).fill(letter);
  visitLeaves(mm, start, start + pages * PAGE, (address, value, size) => {
    if (!isPresent(value)) return;
    const first = Math.max(0, (address - start) / PAGE);
    const last = Math.min(pages, (address - start) / PAGE + size);
    for (let i = first; i < last; i++) cells[i] = '*';
  });
  return cells.join('');
}

/** A hole between two VMAs: a dot per page, or its size in pages. */
function drawGap(pages: number): string {
  return pages <= 8 ? '.'.repeat(pages) : `..${countText(pages)}..`;
}

/** `96`, `12K`, `3G`: how many pages. */
function countText(pages: number): string {
  let count = pages;
  for (const unit of ['', 'K', 'M']) {
    if (count < 10_000) return `${count}${unit}`;
    count = Math.round(count / 1024);
  }
  return `${count}G`;
}

/**
 * Draws VMAs (in address order) in at most `width` columns; what does not fit is told as `+N vmas`.
 * The ruler has the page number of each run of VMAs over its first page.
 */
export function drawSpace(
  mm: mm_struct,
  vmas: Iterable<vm_area_struct>,
  width: number,
  total: number,
): readonly string[] {
  let ruler = '';
  let line = '';
  let drawn = 0;
  let end = -1;
  for (const vma of vmas) {
    const gapPages = end < 0 ? 0 : Math.round((vma.vm_start - end) / PAGE);
    const gap = gapPages <= 0 ? '' : drawGap(gapPages);
    const body = drawVma(mm, vma, letterOf(drawn));
    const rest = total - drawn > 1 ? ` +${total - drawn} vmas`.length : 0;
    if (drawn > 0 && line.length + gap.length + body.length + rest > width) break;
    line += gap;
    const label = hex(Math.floor(vma.vm_start / PAGE));
    const starts = end < 0 || gapPages > 8;
    if (starts && (ruler === '' || ruler.length < line.length)) {
      ruler = ruler.padEnd(line.length) + label;
    }
    line += body;
    end = vma.vm_end;
    drawn++;
  }
  if (drawn < total) line += ` +${total - drawn} vmas`;
  return drawn === 0 ? [] : [ruler.slice(0, Math.max(width, line.length)), line];
}
