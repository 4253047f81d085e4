/**
 * include/linux/mm_inline.h v6.18: the LRU lists. One atomic step each: lru_lock is not modelled.
 * Fidelity: custom (list representation), dup (which list a folio belongs to).
 */
import { read_heap, write_heap } from '../../sim/cpu.ts';
import { VM_WARN_ON_FOLIO } from '../lib/bug.ts';
import { type folio, mem_map, type page } from '../mm_types.ts';
import { trace_lru_add, trace_lru_del } from './events.ts';
import { folio_nr_pages } from './large_folio.ts';
import {
  LRU_ACTIVE_ANON,
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  LRU_UNEVICTABLE,
} from './mmzone_types.ts';
import { NODE_DATA } from './node.ts';
import {
  folio_set,
  folio_test_active,
  folio_test_lru,
  folio_test_swapbacked,
  folio_test_unevictable,
  PG_lru,
} from './page-flags.ts';

const page_at = (link: number): page => mem_map.at(link - 1);

/** folio_is_file_lru(): not swap-backed; lazily freed anonymous folios count as file. */
export const folio_is_file_lru = (folio: folio): boolean => !folio_test_swapbacked(folio);

/** folio_lru_list(). */
export function folio_lru_list(folio: folio): number {
  if (folio_test_unevictable(folio)) {
    return LRU_UNEVICTABLE;
  }
  if (folio_is_file_lru(folio)) {
    return folio_test_active(folio) ? LRU_ACTIVE_FILE : LRU_INACTIVE_FILE;
  }
  return folio_test_active(folio) ? LRU_ACTIVE_ANON : LRU_INACTIVE_ANON;
}

/** lruvec_add_folio(): at the head, where the newest are. */
export function lruvec_add_folio(folio: folio): void {
  const lru = folio_lru_list(folio);
  const list = NODE_DATA().lists + lru * 3;
  if (lru !== LRU_UNEVICTABLE) {
    // An unevictable folio is on no list: its link word counts the mlocked VMAs (mlock_count).
    const head = read_heap(list);
    folio.lru_prev = 0;
    folio.lru_next = head;
    if (head === 0) {
      write_heap(list + 1, folio.pfn + 1);
    } else {
      page_at(head).lru_prev = folio.pfn + 1;
    }
    write_heap(list, folio.pfn + 1);
  }
  write_heap(list + 2, read_heap(list + 2) + folio_nr_pages(folio));
  trace_lru_add({ page: folio });
}

/** lruvec_del_folio(). */
export function lruvec_del_folio(folio: folio): void {
  const lru = folio_lru_list(folio);
  const list = NODE_DATA().lists + lru * 3;
  if (lru !== LRU_UNEVICTABLE) {
    if (folio.lru_prev === 0) {
      write_heap(list, folio.lru_next);
    } else {
      page_at(folio.lru_prev).lru_next = folio.lru_next;
    }
    if (folio.lru_next === 0) {
      write_heap(list + 1, folio.lru_prev);
    } else {
      page_at(folio.lru_next).lru_prev = folio.lru_prev;
    }
    folio.lru_next = 0;
    folio.lru_prev = 0;
  }
  write_heap(list + 2, read_heap(list + 2) - folio_nr_pages(folio));
  trace_lru_del({ page: folio });
}

/**
 * The part of lru_add_split_folio() for a folio on its LRU list: a page of it goes right before the head page, on the
 * newer side. The list counts pages, so that its length stays.
 */
export function lruvecAddSplit(folio: folio, new_folio: folio): void {
  VM_WARN_ON_FOLIO(!folio_test_lru(folio), folio, '!folio_test_lru(folio)');
  if (folio_test_unevictable(folio)) {
    // mlock_count
    new_folio.lru_next = 0;
  } else {
    new_folio.lru_next = folio.pfn + 1;
    new_folio.lru_prev = folio.lru_prev;
    if (folio.lru_prev === 0) {
      write_heap(NODE_DATA().lists + folio_lru_list(folio) * 3, new_folio.pfn + 1);
    } else {
      page_at(folio.lru_prev).lru_next = new_folio.pfn + 1;
    }
    folio.lru_prev = new_folio.pfn + 1;
  }
  folio_set(new_folio, PG_lru);
}
