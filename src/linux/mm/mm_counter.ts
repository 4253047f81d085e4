/** include/linux/mm.h v6.18: the resident set counters of an mm. Fidelity: dup (no per-CPU parts). */
import type { folio, mm_struct } from '../mm_types.ts';
import { folio_test_anon, folio_test_swapbacked } from './page-flags.ts';

export const MM_FILEPAGES = 0;
export const MM_ANONPAGES = 1;
export const MM_SWAPENTS = 2;
export const MM_SHMEMPAGES = 3;

/** add_mm_counter(). */
export function add_mm_counter(mm: mm_struct, member: number, value: number): void {
  switch (member) {
    case MM_FILEPAGES:
      mm.rss_file = mm.rss_file + value;
      break;
    case MM_ANONPAGES:
      mm.rss_anon = mm.rss_anon + value;
      break;
    case MM_SWAPENTS:
      mm.rss_swap = mm.rss_swap + value;
      break;
    default:
      mm.rss_shmem = mm.rss_shmem + value;
  }
}

export const inc_mm_counter = (mm: mm_struct, member: number): void =>
  add_mm_counter(mm, member, 1);
export const dec_mm_counter = (mm: mm_struct, member: number): void =>
  add_mm_counter(mm, member, -1);

/** mm_counter_file(). */
export function mm_counter_file(folio: folio): number {
  return folio_test_swapbacked(folio) ? MM_SHMEMPAGES : MM_FILEPAGES;
}

/** mm_counter(). */
export function mm_counter(folio: folio): number {
  return folio_test_anon(folio) ? MM_ANONPAGES : mm_counter_file(folio);
}
