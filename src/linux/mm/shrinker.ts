/**
 * mm/shrinker.c v6.18: what else than pages of the LRU lists reclaim can free. Fidelity: dup for the two shrinkers of
 * transparent huge pages; caches of the slab allocator are not limited here.
 */
import type { K } from '../../sim/wait.ts';
import { mem_map } from '../mm_types.ts';
import { deferred_split_count, deferred_split_scan } from './deferred_split_scan.ts';
import { NODE_DATA } from './node.ts';
import { HPAGE_PMD_NR } from './pgtable.ts';
import { folio_put } from './swap.ts';

/** SHRINK_BATCH, DEFAULT_SEEKS. */
const SHRINK_BATCH = 128;
const DEFAULT_SEEKS = 2;
/** scan_objects() has nothing left to do. */
const SHRINK_STOP = -1;

/** mm/huge_memory.c: shrink_huge_zero_folio_count() v6.18: nobody has it mapped any more. */
function shrink_huge_zero_folio_count(): number {
  return NODE_DATA().huge_zero_refcount === 1 ? HPAGE_PMD_NR : 0;
}

/** mm/huge_memory.c: shrink_huge_zero_folio_scan() v6.18. */
function shrink_huge_zero_folio_scan(): number {
  const node = NODE_DATA();
  if (node.huge_zero_refcount !== 1) {
    return 0;
  }
  node.huge_zero_refcount = 0;
  const zero_folio = mem_map.at(node.huge_zero_folio - 1);
  node.huge_zero_folio = 0;
  folio_put(zero_folio);
  return HPAGE_PMD_NR;
}

/** How much of `freeable` objects do_shrink_slab() scans: `nr` was left over from before. */
function scanGoal(
  freeable: number,
  nr: number,
  priority: number,
): { delta: number; total: number } {
  const delta = Math.floor(((freeable >> priority) * 4) / DEFAULT_SEEKS);
  return { delta, total: Math.min((nr >> priority) + delta, 2 * freeable) };
}

/** What is left over for the next time. */
function leftOver(nr: number, delta: number, scanned: number, freeable: number): number {
  return Math.min(Math.max(nr + delta - scanned, 0), 2 * freeable);
}

/** mm/shrinker.c: do_shrink_slab() v6.18 for the queue of deferred splits. Objects freed. */
function* shrinkSplitQueue(priority: number): K<number> {
  const node = NODE_DATA();
  const freeable = deferred_split_count();
  if (freeable === 0) {
    return 0;
  }
  const nr = node.split_nr_deferred;
  const { delta, total } = scanGoal(freeable, nr, priority);
  let total_scan = total;
  let scanned = 0;
  let freed = 0;
  while (total_scan >= SHRINK_BATCH || total_scan >= freeable) {
    const nr_to_scan = Math.min(SHRINK_BATCH, total_scan);
    const ret = yield* deferred_split_scan(nr_to_scan);
    if (ret === SHRINK_STOP) {
      break;
    }
    freed = freed + ret;
    total_scan = total_scan - nr_to_scan;
    scanned = scanned + nr_to_scan;
  }
  node.split_nr_deferred = leftOver(nr, delta, scanned, freeable);
  return freed;
}

/** The same for the huge zero page, which is one object in any case. */
function shrinkHugeZero(priority: number): number {
  const node = NODE_DATA();
  const freeable = shrink_huge_zero_folio_count();
  if (freeable === 0) {
    return 0;
  }
  const nr = node.huge_zero_nr_deferred;
  const { delta, total } = scanGoal(freeable, nr, priority);
  let total_scan = total;
  let scanned = 0;
  let freed = 0;
  while (total_scan >= SHRINK_BATCH || total_scan >= freeable) {
    const nr_to_scan = Math.min(SHRINK_BATCH, total_scan);
    freed += shrink_huge_zero_folio_scan();
    total_scan -= nr_to_scan;
    scanned += nr_to_scan;
  }
  node.huge_zero_nr_deferred = leftOver(nr, delta, scanned, freeable);
  return freed;
}

/** mm/shrinker.c: shrink_slab() v6.18. Objects freed. */
export function* shrink_slab(priority: number): K<number> {
  const split = yield* shrinkSplitQueue(priority);
  return split + shrinkHugeZero(priority);
}
