/**
 * The kernels without a reverse map, to 2.5.26: no page knows who maps it. Nothing is done when VMAs and entries come and go,
 * and the walk that others make along their lists is a scan of every address space (mm/early24/).
 * Fidelity: dup: these hooks have nothing to do.
 */
import type { K } from '../../../sim/wait.ts';
import { BUG } from '../../lib/bug.ts';
import { no_anon_vma } from './early_ops.ts';
import type { anon_rmap_ops } from './ops.ts';

/** There is no walk from a page: nobody may ask for one. */
function* noWalk(): K {
  BUG('a walk from a page in a kernel without a reverse map');
}

export const virtual_scan_ops: anon_rmap_ops = {
  ...no_anon_vma,
  name: 'virtual scan',
  shape: 'none',
  rmap_walk_anon: noWalk,
};
