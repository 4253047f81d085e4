/**
 * include/linux/rmap-locking.h v2.6.0, rmap.h v2.6.7: the bit spinlock of a page: PG_chainlock over its
 * pte_chains, later PG_maplock over its map count.
 *
 * Lock tree: page lock -> this -> (anonmm or anon_vma lock ->) trylock of page_table_lock in reclaim;
 * page_table_lock -> this everywhere else. A page flag: lockdep does not see it. Fidelity: dup.
 */
import { currentTask } from '../../../sim/task.ts';
import { block, type K } from '../../../sim/wait.ts';
import { VM_BUG_ON_FOLIO } from '../../lib/bug.ts';
import type { page } from '../../mm_types.ts';
import { PG_maplock } from '../page-flags.ts';
import { page_map_unlocked } from '../wait_conditions.ts';

/** bit_spin_lock(). @atomic */
function* takeBit(page: page): K {
  yield* block(page_map_unlocked, page.pfn, 0);
  page.flags = page.flags | PG_maplock;
  const task = currentTask();
  task.atomic_depth = task.atomic_depth + 1;
}

function dropBit(page: page): void {
  VM_BUG_ON_FOLIO((page.flags & PG_maplock) === 0, page, '!PageMapLock(page)');
  page.flags = page.flags & ~PG_maplock;
  const task = currentTask();
  task.atomic_depth = task.atomic_depth - 1;
}

/** include/linux/rmap-locking.h: pte_chain_lock() v2.6.0. @atomic */
export function* pte_chain_lock(page: page): K {
  yield* takeBit(page);
}
export function pte_chain_unlock(page: page): void {
  dropBit(page);
}

/** include/linux/rmap.h: page_map_lock() v2.6.7. @atomic */
export function* page_map_lock(page: page): K {
  yield* takeBit(page);
}
export function page_map_unlock(page: page): void {
  dropBit(page);
}
