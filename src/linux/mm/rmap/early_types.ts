/** Objects of the reverse maps before anon_vma: pte_chain (2.5.55 to 2.6.6) and anonmm (22 May 2004). */
import {
  type list_head,
  type Obj,
  type Ptr,
  type spinlock_t,
  struct,
  type words,
} from '../../../sim/struct.ts';
import type { mm_struct } from '../../mm_types.ts';

/** NRPTE: entries of one pte_chain, which fills a cache line of 64 bytes. */
export const NRPTE = 7;

/**
 * struct pte_chain (mm/rmap.c v2.6.0). Only the first one of a page has free slots; they are its leading ones.
 * Protected by PG_chainlock of the page.
 */
export interface pte_chain extends Obj {
  /** Address of the next pte_chain (0: none), plus the index of the first slot in use. */
  next_and_idx: number;
  /** NRPTE pointers to page-table entries; 0: free. */
  ptes: words;
}

export const pte_chain_cachep = struct<pte_chain>('pte_chain', {
  next_and_idx: 'n',
  ptes: ['words', NRPTE],
});

/**
 * struct anonmm (mm/rmap.c at 6bccf794bf): an address space as the pages know it. It outlives its mm while
 * pages point to it.
 */
export interface anonmm extends Obj {
  /** One for the mm, one for each page; the head also one for itself and one for each other member. */
  count: number;
  /** Of the head only: the family's list. */
  lock: spinlock_t;
  /** Null when the mm is gone. */
  mm: Ptr<mm_struct>;
  /** The one of the mm that called execve(). */
  head: anonmm;
  /** The family, the head included: no separate list head. */
  list: list_head;
}

export const anonmm_cachep = struct<anonmm>('anonmm', {
  count: 'n',
  lock: 'spinlock',
  mm: 'p',
  head: 'p',
  list: 'list',
});
