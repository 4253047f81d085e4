/** mm/ksm.c, include/linux/ksm.h v6.18: its variables, and zero pages that ksmd mapped. Fidelity: dup. */
import { INIT_LIST_HEAD } from '../lib/list.ts';
import type { mm_struct } from '../mm_types.ts';
import { hasRoot, ROOT_KSM, rootAt, setRoot } from '../roots.ts';
import { type ksm_globals, ksm_globals_cachep, ksm_mm_slot_cachep } from './ksm_types.ts';
import { is_zero_pfn } from './page_alloc.ts';
import { pte_dirty, pte_pfn, type pte_t } from './pgtable.ts';

/** ksm_max_page_sharing, as it is after boot. */
const DEFAULT_MAX_PAGE_SHARING = 256;

/** The variables of mm/ksm.c; made at the first use, as most machines have no mergeable memory. */
export function ksmGlobals(): ksm_globals {
  if (!hasRoot(ROOT_KSM)) {
    const made = ksm_globals_cachep.alloc();
    const head = ksm_mm_slot_cachep.alloc();
    INIT_LIST_HEAD(head.mm_node);
    made.ksm_mm_head = head;
    made.scan_mm_slot = head;
    made.ksm_max_page_sharing = DEFAULT_MAX_PAGE_SHARING;
    setRoot(ROOT_KSM, made);
  }
  return rootAt(ROOT_KSM) as ksm_globals;
}

/** is_ksm_zero_pte(): a dirty entry of the zero page is one that ksmd made. */
export const is_ksm_zero_pte = (pte: pte_t): boolean => is_zero_pfn(pte_pfn(pte)) && pte_dirty(pte);

/** ksm_map_zero_page(). */
export function ksm_map_zero_page(mm: mm_struct): void {
  const ksm = ksmGlobals();
  ksm.ksm_zero_pages = ksm.ksm_zero_pages + 1;
  mm.ksm_zero_pages = mm.ksm_zero_pages + 1;
}

/** ksm_might_unmap_zero_page(): an entry of the zero page is gone. */
export function ksm_might_unmap_zero_page(mm: mm_struct, pte: pte_t): void {
  if (is_ksm_zero_pte(pte)) {
    const ksm = ksmGlobals();
    ksm.ksm_zero_pages = ksm.ksm_zero_pages - 1;
    mm.ksm_zero_pages = mm.ksm_zero_pages - 1;
  }
}

/** ksm_test_exit(): ksmd must not touch the page tables of an mm whose last user has gone. */
export const ksm_test_exit = (mm: mm_struct): boolean => mm.mm_users === 0;
