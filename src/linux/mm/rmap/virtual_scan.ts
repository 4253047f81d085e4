/**
 * The kernels without a reverse map, to 2.5.26: no page knows who maps it. Nothing is done when VMAs and entries come and go,
 * and the walk that others make along their lists is a scan of every address space (mm/early24/).
 * Fidelity: dup: these hooks have nothing to do.
 */
import type { K } from '../../../sim/wait.ts';
import { BUG } from '../../lib/bug.ts';
import type { anon_rmap_ops } from './ops.ts';

/** Nothing to prepare, copy or take back. */
function* nothingToDo(): K {}

function* alwaysPossible(): K<number> {
  return 0;
}

function nothingNow(): void {}

function nobody(): null {
  return null;
}

/** There is no walk from a page: nobody may ask for one. */
function* noWalk(): K {
  BUG('a walk from a page in a kernel without a reverse map');
}

export const virtual_scan_ops: anon_rmap_ops = {
  name: 'virtual scan',
  shape: 'none',
  anon_vma_prepare: alwaysPossible,
  anon_vma_clone: alwaysPossible,
  anon_vma_fork: alwaysPossible,
  unlink_anon_vmas: nothingToDo,
  anon_vma_merge: nothingToDo,
  anon_vma_lock: nothingToDo,
  anon_vma_unlock: nothingNow,
  shared_anon_vma: nobody,
  rmap_walk_anon: noWalk,
};
