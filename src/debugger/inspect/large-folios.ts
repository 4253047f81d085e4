/**
 * Counters of a large folio. They lie in the words that its tail pages do not need: the first tail has the
 * count of all mappings (`mapping`), of mappings of the whole folio (`lru_next`) and the order (`index`).
 */
import { mem_map } from '../../linux/mm_types.ts';

/** folio_large_mapcount(), folio_entire_mapcount(): both start at -1. */
export function largeCounts(head: number): { readonly large: number; readonly entire: number } {
  const first = mem_map.at(head + 1);
  return { large: first.mapping + 1, entire: first.lru_next + 1 };
}
