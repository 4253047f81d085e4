/**
 * What only large folios have. Its counters lie in the words that tail pages do not need (linux/mm/large_folio.ts):
 * read here as they are, whatever the kernel thinks of them.
 */
import { mapcountOf } from '../../linux/mm/rmap/mapcount.ts';
import { mem_map, type page } from '../../linux/mm_types.ts';
import { folioOrder } from './page-index.ts';
import { headOf } from './pages.ts';

/** folio_large_mapcount(), folio_entire_mapcount(), both starting at -1; _pincount. */
export function largeCounts(head: number): {
  readonly large: number;
  readonly entire: number;
  readonly pins: number;
} {
  const first = mem_map.at(head + 1);
  return { large: first.mapping + 1, entire: first.lru_next + 1, pins: first.lru_prev };
}

/**
 * How many entries map one page, as the kernel counts: those of its own and, in a huge page, the huge ones
 * (folio_precise_page_mapcount()).
 */
export function pageMapcount(page: page): number {
  const head = headOf(page);
  const huge = folioOrder(head.pfn) > 0 ? largeCounts(head.pfn).entire : 0;
  return mapcountOf(page) + huge;
}

/** Fields of struct folio beyond those of its head page, by their names in Linux. */
export function largeFields(head: number): readonly (readonly [name: string, value: number])[] {
  const [first, second, third] = [1, 2, 3].map((n) => mem_map.at(head + n));
  if (first === undefined || second === undefined || third === undefined) return [];
  return [
    ['_order', first.index],
    ['_large_mapcount', first.mapping],
    ['_nr_pages_mapped', first.private % 0x80_0000],
    ['_entire_mapcount', first.lru_next],
    ['_pincount', first.lru_prev],
    ['_mm_id[0]', second.mapping],
    ['_mm_id[1]', second.private],
    ['_mm_ids_shared', second.index],
    ['_deferred_list', third.private],
  ];
}

/** Words of a tail page that are its own; the others stand for fields of the folio, or for nothing. */
export const TAIL_FIELDS: readonly string[] = ['flags', '_mapcount', 'compound_head', 'content'];
