/**
 * The anon-rmap operations record: what a scheme of anonymous reverse mapping must provide to the
 * rest of the memory manager. One file of mm/rmap/ per mechanism; a kernel preset names one.
 */
import type { K } from '../../../sim/wait.ts';
import type { anon_vma, folio, vm_area_struct } from '../../mm_types.ts';
import type { early_rmap_ops } from './early_ops.ts';

/** struct rmap_walk_control (include/linux/rmap.h v6.18). */
export interface rmap_walk_control {
  /** Shown as the purpose of the walk: name of rmap_one. */
  readonly name: string;
  /** Whatever rmap_one needs and reports. */
  readonly arg?: unknown;
  /** Do not wait for a contended rmap lock. */
  readonly try_lock?: boolean;
  /** Set by the walk when try_lock failed. */
  contended?: boolean;
  /** Page-table entries found, counted by page_vma_mapped_walk(). */
  hits?: number;
  /** Handles one VMA at the address where the folio should be; false stops the walk. */
  readonly rmap_one: (
    folio: folio,
    vma: vm_area_struct,
    address: number,
    rwc: rmap_walk_control,
  ) => K<boolean>;
  /** True when nothing is left to find. */
  readonly done?: (folio: folio) => boolean;
  /** How to lock the anon_vma; without it, whatever folio->mapping says is locked. */
  readonly anon_lock?: (folio: folio, rwc: rmap_walk_control | null) => K<anon_vma | null>;
  /**
   * The page is mapped and nothing keeps its anon_vma: find and lock it as the kernel's page_lock_anon_vma()
   * does. For schemes whose walks do not bring their own anon_lock.
   */
  readonly by_lookup?: boolean;
  /** VMAs to skip. */
  readonly invalid_vma?: (vma: vm_area_struct) => boolean;
}

/** What a scheme's objects look like: which judge and which reader of views knows them. */
export type anon_rmap_shape =
  /** anon_vma_chain objects in interval trees (3.7 on). */
  | 'avc_tree'
  /** anon_vma_chain objects on lists (2.6.34 to 3.6). */
  | 'avc_list'
  /** The VMAs themselves on the list of their one anon_vma (2.6.7 to 2.6.33). */
  | 'vma_list'
  /** An anonmm each address space, in families by execve() (2.6.7-rc1 for a morning). */
  | 'anonmm'
  /** Page-table entries themselves, listed by page (2.5.27 to 2.6.6). */
  | 'pte_chain'
  /** Pages on an address_space of private VMAs (2.3.99, never merged). */
  | 'anon_area'
  /** No reverse map: reclaim scans address spaces (to 2.5.26). */
  | 'none';

/**
 * Where a VMA is on the list of one anon_vma, vma_adjust() and vma_link() change that list themselves, in the
 * same critical section as the bounds. Preconditions of both: the lock of the anon_vma.
 */
export interface under_lock_ops {
  /** Puts `vma` on the list of vma->anon_vma, if it has one. */
  __anon_vma_link(vma: vm_area_struct): void;
  /** `vma` has swallowed `next`, which leaves the list. */
  __anon_vma_merge(vma: vm_area_struct, next: vm_area_struct): void;
}

/** A count that keeps the anon_vma of a page over its migration (2.6.35). */
export interface pin_ops {
  /** Null if nothing maps the page. */
  pinAnonVma(page: folio): K<anon_vma | null>;
  unpinAnonVma(anon_vma: anon_vma): K;
}

export interface anon_rmap_ops {
  readonly name: string;
  readonly shape: anon_rmap_shape;
  /** Makes sure that `vma` can own anonymous pages. 0 or -ENOMEM. */
  anon_vma_prepare(vma: vm_area_struct): K<number>;
  /** Links `dst` to everything `src` is linked to. 0 or -ENOMEM. */
  anon_vma_clone(dst: vm_area_struct, src: vm_area_struct): K<number>;
  /** Attaches the child's `vma` when `pvma` is forked. 0 or -ENOMEM. */
  anon_vma_fork(vma: vm_area_struct, pvma: vm_area_struct): K<number>;
  unlink_anon_vmas(vma: vm_area_struct): K;
  /** The VMA `next` was swallowed by `vma`, which has the same links. */
  anon_vma_merge(vma: vm_area_struct, next: vm_area_struct): K;
  /** Instead of clone, fork's link and merge, where they are done under the lock that bounds change under. */
  readonly under_lock?: under_lock_ops;
  /** Keeps out walks that begin at `anon_vma` (for write, where readers share): its own lock, or its root's. */
  anon_vma_lock(anon_vma: anon_vma): K;
  anon_vma_unlock(anon_vma: anon_vma): void;
  /** The anon_vma that all sharers of a page of this VMA can find; null without anon_vma. */
  shared_anon_vma(vma: vm_area_struct): anon_vma | null;
  /** Puts `vma` behind all others on its lists: walks meet the source of a move first (3.3 to 3.6). */
  anon_vma_moveto_tail?(vma: vm_area_struct): K;
  /** Visits every VMA that may map the anonymous `folio`, in the scheme's order. */
  rmap_walk_anon(folio: folio, rwc: rmap_walk_control, locked: boolean): K;
  /** That lock may sleep (3.0): nobody takes it in an RCU read section. */
  readonly sleeps?: boolean;
  /** Takes a VMA out of trees that are ordered by its bounds, and back in. Preconditions: the lock above. */
  pre_update_vma?(vma: vm_area_struct): void;
  post_update_vma?(vma: vm_area_struct): void;
  readonly pins?: pin_ops;
  /** What num_children counts: child anon_vmas (6.0), or VMAs too (the degree of 3.19); nothing before. */
  readonly counters?: 'children' | 'degree' | 'none';
  /** What the memory managers before 2.6.9 ask besides (mm/early24/, mm/early26/). */
  readonly early?: early_rmap_ops;
}
