/**
 * mm/huge_memory.c v6.18: the queue of folios that reclaim may want to split. Every function is one atomic step
 * (split_queue_lock). Fidelity: dup (who is on the queue, in which order), custom (list words).
 *
 * Who splits a folio takes it off with __folio_unqueue_deferred_split(); folio_split.ts and reclaim read the queue
 * with first_deferred_folio() and next_deferred_folio().
 */
import { type folio, mem_map } from '../mm_types.ts';
import { folio_order } from './large_folio.ts';
import { NODE_DATA } from './node.ts';
import {
  folio_clear,
  folio_set,
  folio_test,
  folio_test_large,
  folio_test_swapcache,
  PG_partially_mapped,
} from './page-flags.ts';

const links = (folio: folio): folio => mem_map.at(folio.pfn + 3);
const folio_at = (link: number): folio | null => (link === 0 ? null : mem_map.at(link - 1));

/** folio_test_partially_mapped(). */
export const folio_test_partially_mapped = (folio: folio): boolean =>
  folio_test(folio, PG_partially_mapped);

/** Whether the folio is on the queue: !list_empty(&folio->_deferred_list). */
export function folio_deferred(folio: folio): boolean {
  return folio_test_large(folio) && links(folio).private !== 0;
}

/** The folio that has been queued longest. */
export const first_deferred_folio = (): folio | null => folio_at(NODE_DATA().split_queue_head);
/** The next younger one. */
export const next_deferred_folio = (folio: folio): folio | null => folio_at(links(folio).lru_next);

/**
 * deferred_split_folio() v6.18: every new THP goes on the queue (split_underused_thp), one of which a part was
 * unmapped is marked.
 */
export function deferred_split_folio(folio: folio, partially_mapped: boolean): void {
  if (folio_order(folio) <= 1 || folio_test_swapcache(folio)) {
    return;
  }
  if (partially_mapped) {
    folio_set(folio, PG_partially_mapped);
  }
  const own = links(folio);
  if (own.private !== 0) {
    return;
  }
  const node = NODE_DATA();
  own.private = 1;
  own.lru_next = 0;
  own.lru_prev = node.split_queue_tail;
  const last = folio_at(node.split_queue_tail);
  if (last === null) {
    node.split_queue_head = folio.pfn + 1;
  } else {
    links(last).lru_next = folio.pfn + 1;
  }
  node.split_queue_tail = folio.pfn + 1;
  node.split_queue_len = node.split_queue_len + 1;
}

/** __folio_unqueue_deferred_split() v6.18. True if it was queued. */
export function __folio_unqueue_deferred_split(folio: folio): boolean {
  const own = links(folio);
  if (own.private === 0) {
    return false;
  }
  const node = NODE_DATA();
  node.split_queue_len = node.split_queue_len - 1;
  folio_clear(folio, PG_partially_mapped);
  const before = folio_at(own.lru_prev);
  const after = folio_at(own.lru_next);
  if (before === null) {
    node.split_queue_head = own.lru_next;
  } else {
    links(before).lru_next = own.lru_next;
  }
  if (after === null) {
    node.split_queue_tail = own.lru_prev;
  } else {
    links(after).lru_prev = own.lru_prev;
  }
  own.private = 0;
  own.lru_next = 0;
  own.lru_prev = 0;
  return true;
}

/** folio_unqueue_deferred_split(): the last reference of the folio is gone. */
export function folio_unqueue_deferred_split(folio: folio): void {
  if (folio_order(folio) > 1) {
    __folio_unqueue_deferred_split(folio);
  }
}
