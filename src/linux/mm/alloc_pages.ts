/**
 * mm/page_alloc.c v6.18: an allocation that may sleep. The slow path is a member of the kernel's record
 * (kernel.ts), because reclaim imports all who allocate. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { running_kernel } from '../kernel.ts';
import type { folio } from '../mm_types.ts';
import { __GFP_ZERO } from './gfp.ts';
import { NODE_DATA } from './node.ts';
import { get_page_from_freelist, should_fail_alloc_page } from './page_alloc.ts';

/**
 * mm/page_alloc.c: __alloc_frozen_pages_noprof() v6.18: a folio of 2^order pages with one reference, or NULL.
 * May sleep. @atomic
 */
export function* alloc_pages(gfp: number, order: number): K<folio | null> {
  if (should_fail_alloc_page()) {
    return null;
  }
  const page = get_page_from_freelist(order, NODE_DATA().watermark_low, (gfp & __GFP_ZERO) !== 0);
  return page ?? (yield* running_kernel().alloc_pages_slowpath(gfp, order));
}
