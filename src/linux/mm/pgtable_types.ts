/**
 * include/linux/mm_types.h: struct ptdesc, and asm-generic/tlb.h: struct mmu_gather, v6.18.
 *
 * A page table is a table of the pool (sim/table.ts), not a page frame, so it needs a descriptor of its
 * own for its lock. Fidelity: custom (page-table pages take no physical memory).
 */
import { type Obj, type Ptr, type spinlock_t, struct, type words } from '../../sim/struct.ts';
import type { mm_struct } from '../mm_types.ts';

/** struct ptdesc: one page table below the top level. */
export interface ptdesc extends Obj {
  /** The split page-table lock: protects the entries of this table. */
  ptl: spinlock_t;
  pt_mm: Ptr<mm_struct>;
  /** Table number in the pool. */
  table: number;
  /** 1 = PTE table, 2 = PMD table, 3 = PUD table. */
  level: number;
  /** Next table waiting in an mmu_gather or deposited. */
  pt_next: Ptr<ptdesc>;
  /** PTE tables deposited for the huge PMDs of this PMD table, newest first; protected by ptl. */
  pmd_huge_pte: Ptr<ptdesc>;
}

export const ptdesc_cachep = struct<ptdesc>('ptdesc', {
  ptl: 'spinlock',
  pt_mm: 'p',
  table: 'n',
  level: 'n',
  pt_next: 'p',
  pmd_huge_pte: 'p',
});

/** MMU_GATHER_BUNDLE: pages that fit the gather itself. */
export const MMU_GATHER_BUNDLE = 8;
/** MAX_GATHER_BATCH: pages of one further batch. */
export const MAX_GATHER_BATCH = 506;

/** struct mmu_gather_batch: pages to free once nobody can reach them through a stale TLB entry. */
export interface mmu_gather_batch extends Obj {
  next: Ptr<mmu_gather_batch>;
  nr: number;
  /** pfn * 2 + 1 when the rmap of a dirty file page is removed only after the flush. */
  encoded_pages: words;
}

export const mmu_gather_batch_cachep = struct<mmu_gather_batch>('mmu_gather_batch', {
  next: 'p',
  nr: 'n',
  encoded_pages: ['words', MAX_GATHER_BATCH],
});

/** struct mmu_gather: what an unmapping takes out and frees after the TLB flush. */
export interface mmu_gather extends Obj {
  mm: Ptr<mm_struct>;
  /** Page tables to free, newest first. */
  tables: Ptr<ptdesc>;
  fullmm: number;
  /** A dirty file page of the current table has its rmap removal pending. */
  delayed_rmap: number;
  /** Lowest and highest address cleared since the last flush. */
  start: number;
  end: number;
  batch_count: number;
  /** Pages of the local bundle. */
  nr: number;
  bundle: words;
  /** First further batch, and the one being filled. */
  next: Ptr<mmu_gather_batch>;
  active: Ptr<mmu_gather_batch>;
}

export const mmu_gather_cachep = struct<mmu_gather>('mmu_gather', {
  mm: 'p',
  tables: 'p',
  fullmm: 'n',
  delayed_rmap: 'n',
  start: 'n',
  end: 'n',
  batch_count: 'n',
  nr: 'n',
  bundle: ['words', MMU_GATHER_BUNDLE],
  next: 'p',
  active: 'p',
});
