/**
 * mm/huge_memory.c v6.18: reclaim works off the queue of folios that may be split.
 *
 * Lock tree: folio lock (trylock), then what a split takes (mm/folio_split.ts). Fidelity: dup, but that a folio stays on
 * the queue while it is worked on: Linux has it on a list of its own, which another reclaimer does not see.
 */
import type { K } from '../../sim/wait.ts';
import type { folio } from '../mm_types.ts';
import {
  __folio_unqueue_deferred_split,
  deferred_split_folio,
  first_deferred_folio,
  folio_deferred,
  folio_test_partially_mapped,
  next_deferred_folio,
} from './deferred_split.ts';
import { folio_trylock, folio_unlock } from './folio_lock.ts';
import { split_folio } from './folio_split.ts';
import { NODE_DATA } from './node.ts';
import { folio_try_get } from './page_alloc.ts';
import { folio_test_swapcache } from './page-flags.ts';
import { folio_put } from './swap.ts';

/** mm/huge_memory.c: deferred_split_count() v6.18. */
export const deferred_split_count = (): number => NODE_DATA().split_queue_len;

/** The longest queued folios, at most `nr`, each with a reference; those that are being freed leave the queue. Atomic. */
function takeQueued(nr: number): folio[] {
  const list: folio[] = [];
  let folio = first_deferred_folio();
  for (let left = nr; left > 0 && folio !== null; left--) {
    const next = next_deferred_folio(folio);
    if (folio_try_get(folio)) {
      list.push(folio);
    } else {
      __folio_unqueue_deferred_split(folio);
    }
    folio = next;
  }
  return list;
}

/**
 * Splits one folio, if a part of it is unmapped: with khugepaged_max_ptes_none as it is after boot thp_underused() says no
 * of any other.
 */
function* splitQueued(folio: folio): K<boolean> {
  if (!folio_test_partially_mapped(folio) || !folio_trylock(folio)) {
    return false;
  }
  const ret = yield* split_folio(folio);
  folio_unlock(folio);
  return ret === 0;
}

/** Back to the end of the queue, marked still, or off it. Atomic: split_queue_lock. */
function requeue(folio: folio): void {
  if (!folio_deferred(folio)) {
    return;
  }
  const partially_mapped = folio_test_partially_mapped(folio);
  if (partially_mapped && folio_test_swapcache(folio)) {
    // deferred_split_folio() would not take it now.
    return;
  }
  __folio_unqueue_deferred_split(folio);
  if (partially_mapped) {
    deferred_split_folio(folio, true);
  }
}

/** mm/huge_memory.c: deferred_split_scan() v6.18. Folios split; -1 (SHRINK_STOP): none, and the queue is empty. */
export function* deferred_split_scan(nr_to_scan: number): K<number> {
  const list = takeQueued(nr_to_scan);
  let split = 0;
  for (const folio of list) {
    if (yield* splitQueued(folio)) {
      split = split + 1;
    } else {
      requeue(folio);
    }
    folio_put(folio);
  }
  return split === 0 && first_deferred_folio() === null ? -1 : split;
}
