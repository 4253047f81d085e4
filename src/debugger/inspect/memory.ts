/** The bytes of a process as lines of text. A page's content is runs of equal bytes (mm/page_content.ts). */
import { content_runs } from '../../linux/mm/page_content.ts';
import { mem_map, type mm_struct } from '../../linux/mm_types.ts';
import { pteText } from './flags.ts';
import { vmaAt } from './objects.ts';
import { leafOf, mappedPage } from './page-walk.ts';

const PAGE = 4096;
const hex = (n: number, width: number): string => n.toString(16).padStart(width, '0');

/** The page of `address` from there on, and the pages after it. */
export function memoryLines(mm: mm_struct, address: number, pages: number): string[] {
  const lines: string[] = [];
  let at = address;
  for (let n = 0; n < pages; n++) {
    const base = at - (at % PAGE);
    lines.push(...pageLines(mm, base, at % PAGE));
    at = base + PAGE;
  }
  return lines;
}

function pageLines(mm: mm_struct, base: number, offset: number): string[] {
  const start = hex(base + offset, 12);
  if (vmaAt(mm, base) === null) return [`${start}  no mapping: a read is a segmentation fault`];
  const pfn = mappedPage(mm, base);
  if (pfn < 0) {
    const leaf = leafOf(mm, base);
    return [`${start}  not present: ${leaf === null ? 'no page table' : pteText(leaf.value)}`];
  }
  return content_runs(mem_map.at(pfn).content)
    .filter(({ end }) => end > offset)
    .map((run) => {
      const first = Math.max(run.start, offset);
      return `${hex(base + first, 12)}-${hex(base + run.end - 1, 12)}  ${hex(run.byte, 2)} x ${run.end - first}  page ${hex(pfn, 1)}`;
    });
}
