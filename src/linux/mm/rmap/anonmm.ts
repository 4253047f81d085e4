/**
 * mm/rmap.c at 70b671f80e (22 May 2004, between 2.6.6 and 2.6.7-rc1): Hugh Dickins's anonmm. A private page is at one
 * virtual address in the mms forked from one execve(): the page names a member of that family and the address,
 * and a walk tries the address in each of them. Nothing is kept for a VMA or an entry.
 *
 * PG_anon is bit 0 of page->mapping; page->index is a byte address.
 *
 * Lock tree: page lock -> PG_maplock -> lock of the family's head -> try of page_table_lock (reclaim);
 * page_table_lock -> PG_maplock -> lock of the head (all else). Fidelity: dup; the WARN_ON() of a walk that did not find
 * all entries, although it got every lock, is left out.
 */
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import { BUG_ON } from '../../lib/bug.ts';
import { INIT_LIST_HEAD, list_add_tail, list_del, list_empty, list_next } from '../../lib/list.ts';
import type { mm_struct, page, vm_area_struct } from '../../mm_types.ts';
import { page_map_lock, page_map_unlock } from '../early26/page_lock.ts';
import { trace_page_add_rmap } from '../events.ts';
import { should_failslab } from '../failslab.ts';
import { PAGE_ALIGN_DOWN } from '../mm.ts';
import {
  FOLIO_MAPPING_ANON,
  folio_set,
  folio_test_anon,
  mapping_pointer,
  PG_swapbacked,
} from '../page-flags.ts';
import type { pte_ptr } from '../pgtable.ts';
import {
  type early_rmap_ops,
  no_anon_vma,
  type rmap_spare,
  rmapNoPrepare,
  rmapNothing,
  rmapNothingNow,
  SWAP_AGAIN,
  SWAP_FAIL,
} from './early_ops.ts';
import { type anonmm, anonmm_cachep } from './early_types.ts';
import {
  beginWalk,
  endWalk,
  mapcount_of,
  page_add_file_rmap,
  page_dup_rmap,
  page_referenced_one,
  pageReferenced,
  removeMapping,
  rss_of,
  try_to_unmap_one,
  tryToUnmap,
} from './objrmap.ts';
import type { anon_rmap_ops } from './ops.ts';

const anonmm_of_list = anonmm_cachep.container('list');

const mapping_of = (anonmm: anonmm): number => ((anonmm.addr >>> 4) << 2) | FOLIO_MAPPING_ANON;
const anonmm_of = (page: page): anonmm => mapping_pointer(page.mapping) as anonmm;

// ---------------------------------------------------------------- address spaces

/** mm/rmap.c: exec_rmap(): a new family, of one. 0 or -ENOMEM. */
function exec_rmap(mm: mm_struct): number {
  if (should_failslab()) {
    return -ENOMEM;
  }
  const anonmm = anonmm_cachep.alloc();
  // One for the mm, one for being the head.
  anonmm.count = 2;
  anonmm.mm = mm;
  anonmm.head = anonmm;
  INIT_LIST_HEAD(anonmm.list);
  mm.anonmm = anonmm;
  return 0;
}

/** mm/rmap.c: dup_rmap(), before the child has VMAs: its rss of 0 keeps walks away from it. 0 or -ENOMEM. */
function* dup_rmap(mm: mm_struct, oldmm: mm_struct): K<number> {
  const anonhd = (oldmm.anonmm as anonmm).head;
  if (should_failslab()) {
    return -ENOMEM;
  }
  const anonmm = anonmm_cachep.alloc();
  BUG_ON(rss_of(mm) !== 0, 'mm->rss');
  anonmm.count = 1;
  anonmm.mm = mm;
  anonmm.head = anonhd;
  yield* spin_lock(anonhd.lock);
  anonhd.count = anonhd.count + 1;
  list_add_tail(anonmm.list, anonhd.list);
  spin_unlock(anonhd.lock);
  mm.anonmm = anonmm;
  return 0;
}

/** atomic_dec_and_test(&anonmm->count). */
function dec_and_test(anonmm: anonmm): boolean {
  anonmm.count = anonmm.count - 1;
  return anonmm.count === 0;
}

/**
 * mm/rmap.c: exit_rmap(). With count_outside_lock, as first posted, the head's count is read when its lock is no
 * longer held: the last two members can both find that they were the last.
 */
function* exit_rmap(mm: mm_struct): K {
  const anonmm = mm.anonmm as anonmm | null;
  if (anonmm === null) {
    // dup_rmap() had no memory.
    return;
  }
  const anonhd = anonmm.head;
  mm.anonmm = null;
  yield* spin_lock(anonhd.lock);
  anonmm.mm = null;
  if (dec_and_test(anonmm)) {
    BUG_ON(anonmm === anonhd, 'anonmm == anonhd');
    list_del(anonmm.list);
    anonmm_cachep.free(anonmm);
    BUG_ON(dec_and_test(anonhd), 'atomic_dec_and_test(&anonhd->count)');
  }
  let anonhd_count = anonhd.count;
  spin_unlock(anonhd.lock);
  if (has('count_outside_lock')) {
    anonhd_count = anonhd.count;
  }
  if (anonhd_count === 1) {
    BUG_ON(anonhd.mm !== null, 'anonhd->mm');
    BUG_ON(!list_empty(anonhd.list), '!list_empty(&anonhd->list)');
    anonmm_cachep.free(anonhd);
  }
}

/** mm/rmap.c: free_anonmm(): no mm and no page needs it any more. */
function* free_anonmm(anonmm: anonmm): K {
  const anonhd = anonmm.head;
  BUG_ON(anonmm.mm !== null, 'anonmm->mm');
  BUG_ON(anonmm === anonhd, 'anonmm == anonhd');
  yield* spin_lock(anonhd.lock);
  list_del(anonmm.list);
  BUG_ON(dec_and_test(anonhd), 'atomic_dec_and_test(&anonhd->count)');
  spin_unlock(anonhd.lock);
  anonmm_cachep.free(anonmm);
}

/** mm/rmap.c: clear_page_anon(). Preconditions: PG_maplock; the last mapping is gone. */
function* clear_page_anon(page: page): K {
  const anonmm = anonmm_of(page);
  page.mapping = 0;
  if (dec_and_test(anonmm)) {
    yield* free_anonmm(anonmm);
  }
}

// ---------------------------------------------------------------- entries

/** mm/rmap.c: page_add_anon_rmap(). Preconditions: ptl. */
function* page_add_anon_rmap(
  page: page,
  vma: vm_area_struct,
  address: number,
  _ptep: pte_ptr,
  spare: rmap_spare,
): K<rmap_spare> {
  const anonmm = (vma.vm_mm as mm_struct).anonmm as anonmm;
  yield* page_map_lock(page);
  if (mapcount_of(page) === 0) {
    BUG_ON(page.mapping !== 0, 'page->mapping');
    folio_set(page, PG_swapbacked);
    page.index = PAGE_ALIGN_DOWN(address);
    page.mapping = mapping_of(anonmm);
    anonmm.count = anonmm.count + 1;
  }
  page._mapcount = page._mapcount + 1;
  page_map_unlock(page);
  trace_page_add_rmap({ page, vma, address, mapcount: mapcount_of(page), exclusive: 0 });
  return spare;
}

function* rmap_remove(page: page, vma: vm_area_struct): K {
  yield* removeMapping(page, vma, clear_page_anon);
}

/** mm/rmap.c: mremap_move_anon_rmap(): the page's address changes if it is nobody else's. Preconditions: ptl. */
function* mremap_move_anon_rmap(page: page, address: number): K<boolean> {
  let move = false;
  if (mapcount_of(page) === 1) {
    yield* page_map_lock(page);
    // Fork may have shared it meanwhile.
    if (mapcount_of(page) === 1) {
      page.index = PAGE_ALIGN_DOWN(address);
      move = true;
    }
    page_map_unlock(page);
  }
  return move;
}

/** include/linux/rmap.h: mremap_moved_anon_rmap(). */
const mremap_moved_anon_rmap = (page: page, address: number): boolean =>
  folio_test_anon(page) && page.index !== PAGE_ALIGN_DOWN(address);

// ---------------------------------------------------------------- walks

/** The member after `anonmm` on the circular list of its family. */
const nextMember = (anonmm: anonmm): anonmm => anonmm_of_list(list_next(anonmm.list));

/**
 * mm/rmap.c: page_referenced_anon(): first the mm that the page names, then all others: after a swap-in that is
 * only the first one that had the page back. A page whose mm is gone moves to one that has it.
 * Preconditions: PG_maplock.
 */
function* page_referenced_anon(page: page): K<number> {
  const own = anonmm_of(page);
  const anonhd = own.head;
  const mapcount = mapcount_of(page);
  let new_anonmm: anonmm | null = own;
  let referenced = 0;
  yield* spin_lock(anonhd.lock);
  const walk = beginWalk(page, 'page_referenced');
  const { mm } = own;
  if (mm === null) {
    new_anonmm = null;
  } else if (rss_of(mm) > 0) {
    const young = yield* page_referenced_one(walk, mm, null, page.index);
    referenced = referenced + young;
  }
  let member = nextMember(own);
  while (walk.left > 0 && member !== own) {
    if (member.mm !== null && rss_of(member.mm) > 0) {
      const young: number = yield* page_referenced_one(walk, member.mm, null, page.index);
      referenced = referenced + young;
      if (new_anonmm === null && walk.left < mapcount) {
        new_anonmm = member;
      }
    }
    member = nextMember(member);
  }
  endWalk(walk);
  spin_unlock(anonhd.lock);
  if (walk.left === 0 && new_anonmm !== null && new_anonmm !== own) {
    // PG_maplock keeps the page mapped there, so that its new mm cannot go.
    page.mapping = mapping_of(new_anonmm);
    new_anonmm.count = new_anonmm.count + 1;
    if (dec_and_test(own)) {
      yield* free_anonmm(own);
    }
  }
  return referenced;
}

/** mm/rmap.c: try_to_unmap_anon(). SWAP_AGAIN or SWAP_FAIL. Preconditions: page lock, PG_maplock. */
function* try_to_unmap_anon(page: page): K<number> {
  const own = anonmm_of(page);
  const anonhd = own.head;
  let ret = SWAP_AGAIN;
  yield* spin_lock(anonhd.lock);
  const walk = beginWalk(page, 'try_to_unmap');
  const { mm } = own;
  if (mm !== null && rss_of(mm) > 0) {
    ret = yield* try_to_unmap_one(walk, mm, null, page.index);
  }
  let member = nextMember(own);
  while (ret !== SWAP_FAIL && walk.left > 0 && member !== own) {
    if (member.mm !== null && rss_of(member.mm) > 0) {
      ret = yield* try_to_unmap_one(walk, member.mm, null, page.index);
    }
    member = nextMember(member);
  }
  endWalk(walk);
  spin_unlock(anonhd.lock);
  return ret;
}

function* page_referenced(page: page): K<number> {
  return yield* pageReferenced(page, page_referenced_anon);
}

function* try_to_unmap(page: page): K<number> {
  return yield* tryToUnmap(page, try_to_unmap_anon, clear_page_anon);
}

const hooks: early_rmap_ops = {
  rmap_prepare: rmapNoPrepare,
  rmap_unprepare: rmapNothingNow,
  rmap_new_page: rmapNothing,
  rmap_kill_page: rmapNothing,
  rmap_add: page_add_anon_rmap,
  rmap_add_file: page_add_file_rmap,
  rmap_dup: page_dup_rmap,
  rmap_remove,
  rmap_can_move: mremap_move_anon_rmap,
  rmap_moved: mremap_moved_anon_rmap,
  rmap_exec_mm: exec_rmap,
  rmap_fork_mm: dup_rmap,
  rmap_exit_mm: exit_rmap,
  rmap_mergeable: () => true,
  rmap_fork_vma: rmapNothing,
  rmap_copy_vma: rmapNothingNow,
  rmap_absorb_vma: rmapNothingNow,
  rmap_unlink_vma: rmapNothing,
  rmap_lock_vma: rmapNothing,
  rmap_unlock_vma: rmapNothingNow,
  rmap_lock_page: page_map_lock,
  rmap_unlock_page: page_map_unlock,
  page_referenced,
  try_to_unmap,
};

/** The mechanism of 22 May 2004 as a preset names it. */
export const anonmm_ops: anon_rmap_ops = {
  name: 'anonmm',
  shape: 'anonmm',
  ...no_anon_vma,
  early: hooks,
};
