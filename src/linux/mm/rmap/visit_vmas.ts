/**
 * mm/rmap.c v2.6.7 to v3.6: the loop that page_referenced_anon(), try_to_unmap_anon() and rmap_walk_anon() share,
 * whatever list the VMAs were on. Fidelity: dup of the loop; the kernels write it three times.
 */
import type { K } from '../../../sim/wait.ts';
import type { anon_vma, folio, vm_area_struct } from '../../mm_types.ts';
import { trace_walk_begin, trace_walk_end, trace_walk_visit } from '../events.ts';
import type { rmap_walk_control } from './ops.ts';
import { vma_address } from './vma_address.ts';

/**
 * Handles every VMA of `vmas` in which the page's index lies. Preconditions: the lock that keeps the list; a
 * VMA that changes its bounds without it gives any mixture of old and new addresses.
 */
export function* visitVmas(
  page: folio,
  rwc: rmap_walk_control,
  anon_vma: anon_vma,
  vmas: readonly vm_area_struct[],
): K {
  const index = page.index;
  let visits = 0;
  let stopped = 0;
  trace_walk_begin({ page, anon_vma, index, purpose: rwc.name });
  for (const vma of vmas) {
    const address = vma_address(vma, index, 1);
    if (address < 0) {
      continue;
    }
    if (rwc.invalid_vma?.(vma) === true) {
      continue;
    }
    visits = visits + 1;
    trace_walk_visit({ page, vma, anon_vma, address });
    if (!(yield* rwc.rmap_one(page, vma, address, rwc))) {
      stopped = 1;
      break;
    }
    if (rwc.done?.(page) === true) {
      stopped = 1;
      break;
    }
  }
  trace_walk_end({ page, visits, hits: rwc.hits ?? 0, stopped });
}
