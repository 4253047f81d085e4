/**
 * What the simulator counts for kernels without map counts: how often page tables map a page (in _mapcount, for views and
 * expressions; no code of these kernels reads it), and what kind of page mm->rss counts. Both change with
 * the statement that changes the kernel's own mm->rss.
 *
 * Fidelity: custom. mm->rss is the sum of rss_anon, rss_file and rss_shmem.
 */
import type { K } from '../../../sim/wait.ts';
import type { mm_struct, page } from '../../mm_types.ts';
import { alloc_pages } from '../alloc_pages.ts';
import { __GFP_ZERO, GFP_HIGHUSER_MOVABLE } from '../gfp.ts';
import { dec_mm_counter, inc_mm_counter, MM_SWAPENTS, mm_counter } from '../mm_counter.ts';
import { is_zero_pfn } from '../page_alloc.ts';
import {
  FOLIO_MAPPING_ANON,
  folio_set,
  folio_test,
  PG_reserved,
  PG_swapbacked,
  PG_uptodate,
} from '../page-flags.ts';

/** mm->rss. */
export const mm_rss = (mm: mm_struct): number => mm.rss_anon + mm.rss_file + mm.rss_shmem;

/** PageReserved(): the zero page. */
export const PageReserved = (page: page): boolean =>
  is_zero_pfn(page.pfn) || folio_test(page, PG_reserved);

/** mm->rss++: one more entry maps the page. Atomic. */
export function rssInc(mm: mm_struct, page: page): void {
  page._mapcount = page._mapcount + 1;
  inc_mm_counter(mm, mm_counter(page));
}

/** mm->rss--: one entry less maps the page. Atomic. */
export function rssDec(mm: mm_struct, page: page): void {
  page._mapcount = page._mapcount - 1;
  dec_mm_counter(mm, mm_counter(page));
}

/** An entry became a swap entry, or a swap entry went; the kernel does not count them. */
export const swapEntryInc = (mm: mm_struct): void => inc_mm_counter(mm, MM_SWAPENTS);
export const swapEntryDec = (mm: mm_struct): void => dec_mm_counter(mm, MM_SWAPENTS);

/**
 * alloc_page(GFP_HIGHUSER) for private memory. The kernel leaves page->mapping NULL and knows such a page by that; here
 * it has the bit for anonymous pages, with no pointer beside it. May sleep.
 */
export function* allocPrivatePage(zeroed: boolean): K<page | null> {
  const page = yield* alloc_pages(GFP_HIGHUSER_MOVABLE | (zeroed ? __GFP_ZERO : 0), 0);
  if (page !== null) {
    page.mapping = FOLIO_MAPPING_ANON;
    folio_set(page, PG_swapbacked | PG_uptodate);
  }
  return page;
}
