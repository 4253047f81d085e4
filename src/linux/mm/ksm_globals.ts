/** mm/ksm.c v6.18: its variables. Fidelity: dup. */
import { INIT_LIST_HEAD } from '../lib/list.ts';
import type { mm_struct } from '../mm_types.ts';
import { hasRoot, ROOT_KSM, rootAt, setRoot } from '../roots.ts';
import { type ksm_globals, ksm_globals_cachep, ksm_mm_slot_cachep } from './ksm_types.ts';

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

/** ksm_test_exit(): ksmd must not touch the page tables of an mm whose last user has gone. */
export const ksm_test_exit = (mm: mm_struct): boolean => mm.mm_users === 0;
