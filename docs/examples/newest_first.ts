/**
 * An example: a scheme of anonymous reverse mapping of your own, and the kernel that runs on it.
 *
 * The question: a family of VMAs shares one anon_vma, as in 2.6.33, and a forking server pays for it, since
 * a page that only the newest child has is looked for in everybody's VMA, oldest first. What if the list were
 * walked from the newest on? (For the newest child: one visit. For the eldest: all of them.)
 *
 * Objects: those of 2.6.33, one anon_vma with a list of VMAs, linked through vma->anon_vma_chain. Different are
 * the end at which a VMA joins, and so the order of every walk. Lock tree: as in 2.6.33.
 */

import { anon_vma_kernels } from '../../src/linux/kernels/anon_vma.ts';
import type { preset } from '../../src/linux/kernels/preset.ts';
import { list_add, list_del, list_entries } from '../../src/linux/lib/list.ts';
import { trace_anon_vma_link, trace_anon_vma_merge } from '../../src/linux/mm/events.ts';
import { folio_anon_vma } from '../../src/linux/mm/page-flags.ts';
import {
  anon_vma_lock,
  anon_vma_ops,
  anon_vma_unlock,
  page_lock_anon_vma,
  page_unlock_anon_vma,
} from '../../src/linux/mm/rmap/anon_vma.ts';
import type { anon_rmap_ops, rmap_walk_control } from '../../src/linux/mm/rmap/ops.ts';
import { visitVmas } from '../../src/linux/mm/rmap/visit_vmas.ts';
import {
  type anon_vma,
  type folio,
  vm_area_cachep,
  type vm_area_struct,
} from '../../src/linux/mm_types.ts';
import type { K } from '../../src/sim/wait.ts';

const vma_of_node = vm_area_cachep.container('anon_vma_chain');

/** Custom. Joins the list of vma->anon_vma in front. Preconditions: the lock of the anon_vma. */
function linkInFront(vma: vm_area_struct): void {
  const anon_vma = vma.anon_vma;
  if (anon_vma !== null) {
    list_add(vma.anon_vma_chain, anon_vma.head);
    trace_anon_vma_link({ vma, anon_vma });
  }
}

/** Custom. `next` was swallowed by `vma` and leaves. Preconditions: the lock of the anon_vma. */
function leaveMerged(vma: vm_area_struct, next: vm_area_struct): void {
  list_del(next.anon_vma_chain);
  trace_anon_vma_merge({ vma, next });
}

/** Custom. A forked VMA joins its parent's family. 0: it needs no memory. */
function* forkInFront(vma: vm_area_struct): K<number> {
  const anon_vma = vma.anon_vma;
  if (anon_vma !== null) {
    yield* anon_vma_lock(anon_vma);
    linkInFront(vma);
    anon_vma_unlock(anon_vma);
  }
  return 0;
}

/** VMAs of a family, newest first. */
function newestFirst(anon_vma: anon_vma): vm_area_struct[] {
  return list_entries(anon_vma.head).map(vma_of_node);
}

/** Custom. Locks the family unless the caller has (`locked`), and visits it. */
function* walkNewestFirst(page: folio, rwc: rmap_walk_control, locked: boolean): K {
  if (rwc.by_lookup === true && !locked) {
    // Nothing keeps the anon_vma of a page that is only mapped: it is looked up under RCU.
    const found = yield* page_lock_anon_vma(page);
    if (found !== null) {
      yield* visitVmas(page, rwc, found, newestFirst(found));
      page_unlock_anon_vma(found);
    }
    return;
  }
  const anon_vma = folio_anon_vma(page);
  if (anon_vma === null) {
    return;
  }
  if (!locked) {
    yield* anon_vma_lock(anon_vma);
  }
  yield* visitVmas(page, rwc, anon_vma, newestFirst(anon_vma));
  if (!locked) {
    anon_vma_unlock(anon_vma);
  }
}

/** The mechanism. What it does not name it takes over: prepare, unlink, locks. */
export const newest_first_ops: anon_rmap_ops = {
  ...anon_vma_ops,
  name: 'anon_vma, newest first',
  anon_vma_fork: forkInFront,
  under_lock: { __anon_vma_link: linkInFront, __anon_vma_merge: leaveMerged },
  rmap_walk_anon: walkNewestFirst,
};

/** The kernel: 2.6.33 with another mechanism. */
export const newest_first: preset = {
  ...(anon_vma_kernels['v2.6.33'] as preset),
  title: 'v2.6.33 with the family list walked from the newest on',
  anon_rmap: newest_first_ops,
};
