/**
 * mm/mmu_gather.c, include/asm-generic/tlb.h v6.18: pages and page tables that an unmapping has taken out
 * are collected and freed after the TLB flush, so that nobody reuses them while a CPU may still reach them.
 *
 * There is no TLB: a flush only ends the waiting. Page tables are freed at the flush, not after an RCU
 * grace period, because every walker that could hold one is kept out by the rmap locks or the VMA lock.
 * Fidelity: dup (what is freed when, batch sizes), custom (flush, table freeing).
 */
import { read_heap, write_heap } from '../../sim/cpu.ts';
import type { K } from '../../sim/wait.ts';
import { mem_map, type mm_struct, type page, type vm_area_struct } from '../mm_types.ts';
import { should_failslab } from './failslab.ts';
import { page_folio } from './page_alloc.ts';
import { pagetable_free } from './pgtable.ts';
import {
  MAX_GATHER_BATCH,
  MMU_GATHER_BUNDLE,
  type mmu_gather,
  type mmu_gather_batch,
  mmu_gather_batch_cachep,
  mmu_gather_cachep,
  type ptdesc,
} from './pgtable_types.ts';
import { folio_remove_rmap_pte } from './rmap.ts';
import { folio_put } from './swap.ts';
import { free_swap_cache } from './swap_state.ts';

const MAX_GATHER_BATCH_COUNT = Math.floor(10000 / MAX_GATHER_BATCH);

/** tlb_gather_mmu(), with `fullmm` tlb_gather_mmu_fullmm(): the caller's struct on the stack. */
export function tlb_gather_mmu(mm: mm_struct, fullmm = false): mmu_gather {
  const tlb = mmu_gather_cachep.alloc();
  tlb.mm = mm;
  tlb.fullmm = fullmm ? 1 : 0;
  return tlb;
}

/** tlb_gather_mmu_fullmm(): the whole address space goes. */
export function tlb_gather_mmu_fullmm(mm: mm_struct): mmu_gather {
  return tlb_gather_mmu(mm, true);
}

/** tlb_next_batch(). False: the gathered pages must be freed before more fit. */
function tlb_next_batch(tlb: mmu_gather): boolean {
  // Pending rmap removals are looked for in the bundle and one batch only.
  if (tlb.delayed_rmap !== 0 && tlb.active !== null) {
    return false;
  }
  const next = tlb.active === null ? tlb.next : tlb.active.next;
  if (next !== null) {
    tlb.active = next;
    return true;
  }
  if (tlb.batch_count === MAX_GATHER_BATCH_COUNT || should_failslab()) {
    return false;
  }
  const batch = mmu_gather_batch_cachep.alloc();
  tlb.batch_count = tlb.batch_count + 1;
  if (tlb.active === null) {
    tlb.next = batch;
  } else {
    tlb.active.next = batch;
  }
  tlb.active = batch;
  return true;
}

/** __tlb_remove_folio_pages() of one page. True: the gather is full, flush now. */
export function __tlb_remove_folio_pages(
  tlb: mmu_gather,
  page: page,
  delay_rmap: boolean,
): boolean {
  const encoded = page.pfn * 2 + (delay_rmap ? 1 : 0);
  const batch = tlb.active;
  if (batch === null) {
    write_heap(tlb.bundle + tlb.nr, encoded);
    tlb.nr = tlb.nr + 1;
    return tlb.nr >= MMU_GATHER_BUNDLE - 1 && !tlb_next_batch(tlb);
  }
  write_heap(batch.encoded_pages + batch.nr, encoded);
  batch.nr = batch.nr + 1;
  return batch.nr >= MAX_GATHER_BATCH - 1 && !tlb_next_batch(tlb);
}

/** tlb_delay_rmap(): the rmap of a dirty shared page is removed only after the flush. */
export function tlb_delay_rmap(tlb: mmu_gather): boolean {
  tlb.delayed_rmap = 1;
  return true;
}

/** tlb_flush_rmap_batch(). */
function tlb_flush_rmap_batch(pages: number, nr: number, vma: vm_area_struct): void {
  for (let i = 0; i < nr; i++) {
    const encoded = read_heap(pages + i);
    if (encoded % 2 === 1) {
      const page = mem_map.at(Math.floor(encoded / 2));
      folio_remove_rmap_pte(page_folio(page), page, vma);
    }
  }
}

/** tlb_flush_rmaps(): the rmap removals that waited for the flush. Called with the ptl held. */
export function tlb_flush_rmaps(tlb: mmu_gather, vma: vm_area_struct): void {
  if (tlb.delayed_rmap === 0) {
    return;
  }
  tlb_flush_rmap_batch(tlb.bundle, tlb.nr, vma);
  if (tlb.active !== null) {
    tlb_flush_rmap_batch(tlb.active.encoded_pages, tlb.active.nr, vma);
  }
  tlb.delayed_rmap = 0;
}

/** free_pages_and_swap_cache() of one page. */
function free_gathered_page(encoded: number): void {
  const folio = page_folio(mem_map.at(Math.floor(encoded / 2)));
  free_swap_cache(folio);
  folio_put(folio);
}

/** tlb_batch_pages_flush(): drops the references that the page-table entries had. */
function* tlb_batch_pages_flush(tlb: mmu_gather): K {
  const nr = tlb.nr;
  for (let i = 0; i < nr; i = i + 1) {
    free_gathered_page(read_heap(tlb.bundle + i));
  }
  tlb.nr = 0;
  let batch = tlb.next;
  while (batch !== null) {
    for (let i = 0; i < batch.nr; i = i + 1) {
      free_gathered_page(read_heap(batch.encoded_pages + i));
    }
    batch.nr = 0;
    batch = batch.next;
  }
  tlb.active = null;
}

/** tlb_remove_table(): a page table leaves its upper entry and waits for the flush. */
export function tlb_remove_table(tlb: mmu_gather, pt: ptdesc): void {
  pt.pt_next = tlb.tables;
  tlb.tables = pt;
}

/** tlb_table_flush(). */
function tlb_table_flush(tlb: mmu_gather): void {
  let pt = tlb.tables;
  while (pt !== null) {
    const next = pt.pt_next;
    pagetable_free(pt);
    pt = next;
  }
  tlb.tables = null;
}

/** tlb_flush_mmu(): flushes and frees what was gathered so far. */
export function* tlb_flush_mmu(tlb: mmu_gather): K {
  tlb_table_flush(tlb);
  yield* tlb_batch_pages_flush(tlb);
}

/** tlb_finish_mmu(). The struct is gone afterwards. */
export function* tlb_finish_mmu(tlb: mmu_gather): K {
  yield* tlb_flush_mmu(tlb);
  let batch: mmu_gather_batch | null = tlb.next;
  while (batch !== null) {
    const next: mmu_gather_batch | null = batch.next;
    mmu_gather_batch_cachep.free(batch);
    batch = next;
  }
  mmu_gather_cachep.free(tlb);
}
