/** mm/ksm.c v6.18: KSM pages that come back from swap. Fidelity: dup. */
import type { K } from '../../sim/wait.ts';
import type { folio, vm_area_struct } from '../mm_types.ts';
import { alloc_pages } from './alloc_pages.ts';
import { GFP_HIGHUSER_MOVABLE } from './gfp.ts';
import { ksmGlobals } from './ksm_globals.ts';
import { folio_stable_node } from './ksm_page.ts';
import { KSM_RUN_UNMERGE } from './ksm_types.ts';
import { linear_page_index } from './mm.ts';
import {
  folio_anon_vma,
  folio_set,
  folio_test_ksm,
  folio_test_large,
  folio_test_uptodate,
  PG_dirty,
  PG_locked,
  PG_uptodate,
} from './page-flags.ts';

/**
 * mm/ksm.c: ksm_might_need_to_copy() v6.18: the folio that a swap entry of this VMA stands for. One that was a KSM page
 * before it was swapped out may have been read in for another anon_vma or offset: then a private copy is
 * mapped, locked. NULL when memory is short.
 */
export function* ksm_might_need_to_copy(
  folio: folio,
  vma: vm_area_struct,
  addr: number,
): K<folio | null> {
  const anon_vma = folio_anon_vma(folio);
  if (folio_test_large(folio)) {
    return folio;
  }
  if (folio_test_ksm(folio)) {
    // Not while everything is being un-merged: what comes in now must not be shared again.
    const unmerge = (ksmGlobals().ksm_run & KSM_RUN_UNMERGE) !== 0;
    if (folio_stable_node(folio) !== null && !unmerge) {
      return folio;
    }
  } else if (anon_vma === null) {
    return folio;
  } else if (folio.index === linear_page_index(vma, addr) && anon_vma.root === vma.anon_vma?.root) {
    return folio;
  }
  if (!folio_test_uptodate(folio)) {
    return folio;
  }
  const new_folio = yield* alloc_pages(GFP_HIGHUSER_MOVABLE, 0);
  if (new_folio === null) {
    return null;
  }
  new_folio.content = folio.content;
  folio_set(new_folio, PG_dirty | PG_uptodate | PG_locked);
  return new_folio;
}
