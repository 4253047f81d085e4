/**
 * mm/huge_memory.c v6.18: the huge zero page: 512 frames of zeros that every mm may map read-only. Each mm that ever
 * mapped it holds one reference until it exits, the cache holds one more; only memory pressure frees it.
 * Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { type folio, mem_map, type mm_struct } from '../mm_types.ts';
import { alloc_pages } from './alloc_pages.ts';
import { __GFP_ZERO, GFP_TRANSHUGE } from './gfp.ts';
import { HPAGE_PMD_ORDER } from './large_folio.ts';
import { MMF_HUGE_ZERO_FOLIO, mm_flags_set, mm_flags_test } from './mm.ts';
import { NODE_DATA } from './node.ts';
import { folio_put } from './swap.ts';

/**
 * folio_alloc(GFP_TRANSHUGE, HPAGE_PMD_ORDER), zeroed, as a fault in a VMA with MADV_HUGEPAGE, a collapse and the huge
 * zero page ask for it. NULL: there are no 512 frames in a row, and neither compaction nor a round of reclaim made any.
 */
export function* folio_alloc_huge(): K<folio | null> {
  return yield* alloc_pages(GFP_TRANSHUGE | __GFP_ZERO, HPAGE_PMD_ORDER);
}

/** atomic_inc_not_zero(&huge_zero_refcount). */
function huge_zero_inc_not_zero(): boolean {
  const node = NODE_DATA();
  if (node.huge_zero_refcount === 0) {
    return false;
  }
  node.huge_zero_refcount = node.huge_zero_refcount + 1;
  return true;
}

/** cmpxchg(&huge_zero_folio, NULL, zero_folio), and the count with the cache's own reference. */
function install_huge_zero_folio(zero_folio: folio): boolean {
  const node = NODE_DATA();
  if (node.huge_zero_folio !== 0) {
    return false;
  }
  node.huge_zero_folio = zero_folio.pfn + 1;
  node.huge_zero_refcount = 2;
  return true;
}

/** mm/huge_memory.c: get_huge_zero_folio() v6.18. */
function* get_huge_zero_folio(): K<boolean> {
  for (;;) {
    if (huge_zero_inc_not_zero()) {
      return true;
    }
    const zero_folio = yield* folio_alloc_huge();
    if (zero_folio === null) {
      return false;
    }
    if (install_huge_zero_folio(zero_folio)) {
      return true;
    }
    // Another one was faster.
    folio_put(zero_folio);
  }
}

/** mm/huge_memory.c: put_huge_zero_folio() v6.18: the last reference is the cache's own. */
function put_huge_zero_folio(): void {
  const node = NODE_DATA();
  node.huge_zero_refcount = node.huge_zero_refcount - 1;
}

/** mm_flags_test_and_set(MMF_HUGE_ZERO_FOLIO, mm). */
function test_and_set_huge_zero(mm: mm_struct): boolean {
  const was = mm_flags_test(MMF_HUGE_ZERO_FOLIO, mm);
  mm_flags_set(MMF_HUGE_ZERO_FOLIO, mm);
  return was;
}

/** mm/huge_memory.c: mm_get_huge_zero_folio() v6.18: NULL when there is no memory for it. */
export function* mm_get_huge_zero_folio(mm: mm_struct): K<folio | null> {
  if (!mm_flags_test(MMF_HUGE_ZERO_FOLIO, mm)) {
    if (!(yield* get_huge_zero_folio())) {
      return null;
    }
    // Another thread of the mm may have been here meanwhile: one reference a mm.
    if (test_and_set_huge_zero(mm)) {
      put_huge_zero_folio();
    }
  }
  return mem_map.at(NODE_DATA().huge_zero_folio - 1);
}

/** mm/huge_memory.c: mm_put_huge_zero_folio() v6.18: the mm has no users any more. */
export function mm_put_huge_zero_folio(mm: mm_struct): void {
  if (mm_flags_test(MMF_HUGE_ZERO_FOLIO, mm)) {
    put_huge_zero_folio();
  }
}
