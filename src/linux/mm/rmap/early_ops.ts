/**
 * The hooks of a scheme that the memory managers before 2.6.9 call: where a page-table entry comes or goes,
 * where an mm or a VMA is made, moved or ends, and what reclaim asks of a page. Later kernels need none of
 * them: their pages count themselves, and their record is anon_rmap_ops alone. mm/early24/ and mm/early26/
 * call them; mm/rmap/ has a file for each scheme. Fidelity: custom (each kernel calls its functions by name).
 *
 * In every hook "ptl" is mm->page_table_lock of the entry's mm: it protects all page tables of the mm.
 */
import type { Obj } from '../../../sim/struct.ts';
import type { K } from '../../../sim/wait.ts';
import type { anon_vma, mm_struct, page, vm_area_struct } from '../../mm_types.ts';
import type { pte_ptr } from '../pgtable.ts';

/** What was set aside for an entry to come (a pte_chain), or null: nothing is needed. */
export type rmap_spare = Obj | null;

/** Results of try_to_unmap(): every entry is gone; an entry was missed, try later; the page must stay. */
export const SWAP_SUCCESS = 0;
export const SWAP_AGAIN = 1;
export const SWAP_FAIL = 2;

export interface early_rmap_ops {
  // ---- a new entry

  /**
   * Before an entry for a private page, or with `file` one of a file, is made. Sleeps unless `atomic`: with a
   * spinlock held. What rmap_add() may use up, or -ENOMEM. pte_chain_alloc(), get_anon(), anon_vma_prepare().
   */
  rmap_prepare(vma: vm_area_struct, file: boolean, atomic: boolean): K<rmap_spare | number>;
  /** What rmap_add() left over: pte_chain_free(). */
  rmap_unprepare(spare: rmap_spare): void;
  /**
   * A private page with its content, not yet mapped, nobody else knows it. No spinlock held. For schemes that
   * put the page on an object before there is an entry: anon_page_insert().
   */
  rmap_new_page(page: page, vma: vm_area_struct, address: number): K;
  /** Undoes rmap_new_page(): another thread mapped something there; the caller's reference goes too. anon_page_kill(). */
  rmap_kill_page(page: page): K;
  /** An entry of `vma` at `address` has just been made to map a private page. ptl. What is left of `spare`. */
  rmap_add(
    page: page,
    vma: vm_area_struct,
    address: number,
    ptep: pte_ptr,
    spare: rmap_spare,
  ): K<rmap_spare>;
  /** The same of a page of a file, which the file finds already. ptl. */
  rmap_add_file(
    page: page,
    vma: vm_area_struct,
    address: number,
    ptep: pte_ptr,
    spare: rmap_spare,
  ): K<rmap_spare>;
  /** Fork has copied an entry: `ptep` is the child's, `vma` too. ptl of both. */
  rmap_dup(
    page: page,
    vma: vm_area_struct,
    address: number,
    ptep: pte_ptr,
    spare: rmap_spare,
  ): K<rmap_spare>;

  // ---- an entry less

  /** The entry that maps `page` was cleared, or is about to be. ptl. */
  rmap_remove(page: page, vma: vm_area_struct, address: number, ptep: pte_ptr): K;

  // ---- an entry moves (mremap)

  /** May the entry of `page` move to `new_addr`? False: it must be copied first (anonmm). ptl. */
  rmap_can_move(page: page, new_addr: number): K<boolean>;
  /** The page may have been moved while it was in swap: it must be copied now (anonmm). ptl. */
  rmap_moved(page: page, address: number): boolean;

  // ---- address spaces

  /** A new mm for execve(), or the first one. 0 or -ENOMEM. exec_rmap(). */
  rmap_exec_mm(mm: mm_struct): number;
  /** fork: before anything of `oldmm` is copied. 0 or -ENOMEM. dup_rmap(). */
  rmap_fork_mm(mm: mm_struct, oldmm: mm_struct): K<number>;
  /** After exit_mmap(). exit_rmap(). */
  rmap_exit_mm(mm: mm_struct): K;

  // ---- VMAs; mmap_sem for write

  /**
   * Whether two neighbours may become one as far as the scheme goes; `b` null: a mapping yet to be made, for pages
   * that belong to `anon_vma` (null: none yet).
   */
  rmap_mergeable(a: vm_area_struct, b: vm_area_struct | null, anon_vma: anon_vma | null): boolean;
  /** `vma` is a copy of `pvma` for the child, not linked anywhere yet. anon_dup(), anon_vma_link(). */
  rmap_fork_vma(vma: vm_area_struct, pvma: vm_area_struct): K;
  /**
   * `copy` is linked: the other half of a split of `vma`, the target of a move, or (`copy` === `vma`) a VMA that has
   * been made with what it needs. Preconditions: rmap_lock_vma(vma).
   */
  rmap_copy_vma(copy: vm_area_struct, vma: vm_area_struct): void;
  /** `vma` has swallowed `next`. Preconditions: rmap_lock_vma() of one of them. */
  rmap_absorb_vma(vma: vm_area_struct, next: vm_area_struct): void;
  /** The VMA goes; its entries are gone. anon_put(), anon_vma_unlink(). */
  rmap_unlink_vma(vma: vm_area_struct): K;
  /** Keeps walks away while the bounds of a VMA change. A scheme whose walks need no bounds does nothing. */
  rmap_lock_vma(vma: vm_area_struct): K;
  rmap_unlock_vma(vma: vm_area_struct): void;

  // ---- reclaim; null: a scheme without a reverse map (virtual scan)

  /** The lock of one page that reclaim holds over both walks: PG_chainlock, PG_maplock. */
  rmap_lock_page(page: page): K;
  rmap_unlock_page(page: page): void;
  /** How many entries have used the page; their young bits are cleared. Preconditions: rmap_lock_page(). */
  page_referenced(page: page): K<number>;
  /** SWAP_*. Preconditions: page lock, rmap_lock_page(), the page is in the swap cache or of a file. */
  try_to_unmap(page: page): K<number>;
}

// What a scheme does not need, ready-made.

/** rmap_prepare(): nothing. */
export function* rmapNoPrepare(): K<rmap_spare | number> {
  return null;
}
/** A hook that has nothing to do. */
export function* rmapNothing(): K {}
export function rmapNothingNow(): void {}
/** rmap_exec_mm(): nothing. */
export function rmapNoErrorNow(): number {
  return 0;
}
/** A hook that cannot fail. */
export function* rmapNoError(): K<number> {
  return 0;
}
/** rmap_can_move(): the entry moves, whoever else maps the page. */
export function* rmapMoves(): K<boolean> {
  return true;
}

/** What a scheme without anon_vma answers to whoever asks in the words of later kernels. */
export const no_anon_vma = {
  anon_vma_prepare: rmapNoError,
  anon_vma_clone: rmapNoError,
  anon_vma_fork: rmapNoError,
  unlink_anon_vmas: rmapNothing,
  anon_vma_merge: rmapNothing,
  rmap_walk_anon: rmapNothing,
  anon_vma_lock: rmapNothing,
  anon_vma_unlock: rmapNothingNow,
  shared_anon_vma: (): null => null,
} as const;
