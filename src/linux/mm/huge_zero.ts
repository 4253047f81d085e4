/**
 * mm/huge_memory.c v6.18: the huge zero page: 512 frames of zeros that every mm may map read-only. Each mm that ever
 * mapped it holds one reference until it exits, the cache holds one more; only memory pressure frees it.
 * Each function is one atomic step. Fidelity: dup.
 */
import { type folio, mem_map, type mm_struct } from '../mm_types.ts';
import { HPAGE_PMD_ORDER } from './large_folio.ts';
import { MMF_HUGE_ZERO_FOLIO, mm_flags_set, mm_flags_test } from './mm.ts';
import { NODE_DATA } from './node.ts';
import { folio_alloc } from './page_alloc.ts';

/** vma_alloc_folio(GFP_TRANSHUGE, HPAGE_PMD_ORDER), zeroed. NULL: no 512 frames in a row. */
export const folio_alloc_huge = (): folio | null => folio_alloc(HPAGE_PMD_ORDER, true);

/** mm/huge_memory.c: get_huge_zero_folio() v6.18. */
function get_huge_zero_folio(): boolean {
  const node = NODE_DATA();
  if (node.huge_zero_refcount > 0) {
    node.huge_zero_refcount = node.huge_zero_refcount + 1;
    return true;
  }
  const zero_folio = folio_alloc_huge();
  if (zero_folio === null) {
    return false;
  }
  node.huge_zero_folio = zero_folio.pfn + 1;
  node.huge_zero_refcount = 2;
  return true;
}

/** mm/huge_memory.c: mm_get_huge_zero_folio() v6.18: NULL when there is no memory for it. */
export function mm_get_huge_zero_folio(mm: mm_struct): folio | null {
  if (!mm_flags_test(MMF_HUGE_ZERO_FOLIO, mm)) {
    if (!get_huge_zero_folio()) {
      return null;
    }
    mm_flags_set(MMF_HUGE_ZERO_FOLIO, mm);
  }
  return mem_map.at(NODE_DATA().huge_zero_folio - 1);
}

/** mm/huge_memory.c: mm_put_huge_zero_folio() v6.18: the mm has no users any more. */
export function mm_put_huge_zero_folio(mm: mm_struct): void {
  if (mm_flags_test(MMF_HUGE_ZERO_FOLIO, mm)) {
    const node = NODE_DATA();
    node.huge_zero_refcount = node.huge_zero_refcount - 1;
  }
}
