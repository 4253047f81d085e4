/**
 * mm/rmap.c v2.6.7: anon_vma as it was merged: one list of VMAs a family, found from page->mapping, which is set while
 * the page is mapped. Map count, mapping and index change under PG_maplock, which reclaim holds over both its walks:
 * it keeps the page mapped, and so the anon_vma alive.
 *
 * PG_anon is bit 0 of page->mapping. The node of a VMA on the list is vma->anon_vma_chain (anon_vma_node then).
 *
 * Lock tree: page lock -> PG_maplock -> anon_vma.lock -> try of page_table_lock (reclaim); page_table_lock -> PG_maplock;
 * i_mmap_lock -> anon_vma.lock (vma_adjust); page_table_lock -> anon_vma.lock (anon_vma_prepare with
 * prepare_locks_adopted, 2.6.8). Fidelity: dup.
 */
import { read_heap, write_heap } from '../../../sim/cpu.ts';
import type { list_head } from '../../../sim/struct.ts';
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { might_sleep } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import { BUG_ON } from '../../lib/bug.ts';
import { INIT_LIST_HEAD, list_add, list_del, list_empty, list_entries } from '../../lib/list.ts';
import {
  type anon_vma,
  anon_vma_cachep,
  type mm_struct,
  type page,
  vm_area_cachep,
  type vm_area_struct,
} from '../../mm_types.ts';
import { find_mergeable_anon_vma } from '../classic/vma_merge.ts';
import { page_map_lock, page_map_unlock } from '../early26/page_lock.ts';
import {
  trace_anon_vma_alloc,
  trace_anon_vma_free,
  trace_anon_vma_link,
  trace_anon_vma_merge,
  trace_anon_vma_prepare,
  trace_anon_vma_unlink,
  trace_lock_root,
  trace_page_add_rmap,
} from '../events.ts';
import { should_failslab } from '../failslab.ts';
import { linear_page_index } from '../mm.ts';
import { anon_mapping, folio_anon_vma, folio_set, PG_swapbacked } from '../page-flags.ts';
import type { pte_ptr } from '../pgtable.ts';
import {
  type early_rmap_ops,
  no_anon_vma,
  type rmap_spare,
  rmapMoves,
  rmapNoError,
  rmapNoErrorNow,
  rmapNothing,
  rmapNothingNow,
  SWAP_AGAIN,
  SWAP_FAIL,
} from './early_ops.ts';
import {
  beginAnonWalk,
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
import { vma_address } from './vma_address.ts';

const vma_of_node = vm_area_cachep.container('anon_vma_chain');

/** spin_lock(&anon_vma->lock). */
export function* lockAnonVma(anon_vma: anon_vma): K {
  yield* spin_lock(anon_vma.lock);
  trace_lock_root({ anon_vma, root: anon_vma, mode: 'write' });
}

/** spin_unlock(&anon_vma->lock). */
export function unlockAnonVma(anon_vma: anon_vma): void {
  spin_unlock(anon_vma.lock);
}

/** include/linux/rmap.h: anon_vma_lock() v2.6.7: nothing without an anon_vma. */
export function* anon_vma_lock(vma: vm_area_struct): K {
  if (vma.anon_vma !== null) {
    yield* lockAnonVma(vma.anon_vma);
  }
}

export function anon_vma_unlock(vma: vm_area_struct): void {
  if (vma.anon_vma !== null) {
    unlockAnonVma(vma.anon_vma);
  }
}

/** include/linux/rmap.h: anon_vma_alloc() v2.6.7. */
export function anon_vma_alloc(): anon_vma | null {
  if (should_failslab()) {
    return null;
  }
  const anon_vma = anon_vma_cachep.alloc();
  if (read_heap(anon_vma.head) === 0) {
    INIT_LIST_HEAD(anon_vma.head);
  }
  // For readers of all kernels' anon_vmas.
  anon_vma.root = anon_vma;
  trace_anon_vma_alloc({ anon_vma });
  return anon_vma;
}

/** include/linux/rmap.h: anon_vma_free() v2.6.7. */
export function anon_vma_free(anon_vma: anon_vma): void {
  trace_anon_vma_free({ anon_vma });
  anon_vma_cachep.free(anon_vma);
}

/** list_add() write by write, where no lock makes it one: whoever changes the list meanwhile breaks it. */
export function* listAddUnlocked(entry: list_head, head: list_head): K {
  const next = read_heap(head);
  write_heap(next + 1, entry);
  write_heap(entry, next);
  write_heap(entry + 1, head);
  write_heap(head, entry);
}

/**
 * mm/rmap.c: anon_vma_prepare() v2.6.7. 0 or -ENOMEM. Preconditions: mmap_sem held, for read at least. An anon_vma
 * adopted from a neighbour is on lists of other mms, too, and its lock is not taken; 2.6.8 takes it.
 */
function* anon_vma_prepare(vma: vm_area_struct): K<number> {
  might_sleep('anon_vma_prepare()');
  if (vma.anon_vma !== null) {
    return 0;
  }
  const mm = vma.vm_mm as mm_struct;
  let anon_vma = find_mergeable_anon_vma(vma);
  let allocated: anon_vma | null = null;
  const reused = anon_vma !== null ? 1 : 0;
  if (anon_vma === null) {
    anon_vma = anon_vma_alloc();
    if (anon_vma === null) {
      return -ENOMEM;
    }
    allocated = anon_vma;
  }
  // Against threads that fault the same VMA.
  yield* spin_lock(mm.page_table_lock);
  if (vma.anon_vma === null) {
    if (allocated !== null) {
      vma.anon_vma = anon_vma;
      list_add(vma.anon_vma_chain, anon_vma.head);
    } else if (has('prepare_locks_adopted')) {
      yield* lockAnonVma(anon_vma);
      vma.anon_vma = anon_vma;
      list_add(vma.anon_vma_chain, anon_vma.head);
      unlockAnonVma(anon_vma);
    } else {
      vma.anon_vma = anon_vma;
      yield* listAddUnlocked(vma.anon_vma_chain, anon_vma.head);
    }
    trace_anon_vma_link({ vma, anon_vma });
    trace_anon_vma_prepare({ vma, anon_vma, reused });
    allocated = null;
  }
  spin_unlock(mm.page_table_lock);
  if (allocated !== null) {
    anon_vma_free(allocated);
  }
  return 0;
}

/** mm/rmap.c: __anon_vma_merge() v2.6.7. Preconditions: the lock of the anon_vma. */
export function __anon_vma_merge(vma: vm_area_struct, next: vm_area_struct): void {
  if (next.anon_vma === null) {
    return;
  }
  if (vma.anon_vma === null) {
    vma.anon_vma = next.anon_vma;
    list_add(vma.anon_vma_chain, next.anon_vma_chain);
  } else {
    BUG_ON(vma.anon_vma !== next.anon_vma, 'vma->anon_vma != next->anon_vma');
  }
  list_del(next.anon_vma_chain);
  trace_anon_vma_merge({ vma, next });
}

/** mm/rmap.c: __anon_vma_link() v2.6.7. Preconditions: the lock of vma->anon_vma, if there is one. */
export function __anon_vma_link(vma: vm_area_struct): void {
  const anon_vma = vma.anon_vma;
  if (anon_vma !== null) {
    list_add(vma.anon_vma_chain, anon_vma.head);
    trace_anon_vma_link({ vma, anon_vma });
  }
}

/** mm/rmap.c: anon_vma_link() v2.6.7: the child's VMA joins the list of its parent's. */
export function* anon_vma_link(vma: vm_area_struct): K {
  const anon_vma = vma.anon_vma;
  if (anon_vma !== null) {
    yield* lockAnonVma(anon_vma);
    list_add(vma.anon_vma_chain, anon_vma.head);
    trace_anon_vma_link({ vma, anon_vma });
    unlockAnonVma(anon_vma);
  }
}

/** mm/rmap.c: anon_vma_unlink() v2.6.7: the last VMA on the list takes the anon_vma with it. */
export function* anon_vma_unlink(vma: vm_area_struct): K {
  const anon_vma = vma.anon_vma;
  if (anon_vma === null) {
    return;
  }
  yield* lockAnonVma(anon_vma);
  list_del(vma.anon_vma_chain);
  trace_anon_vma_unlink({ vma, anon_vma });
  const empty = list_empty(anon_vma.head);
  unlockAnonVma(anon_vma);
  if (empty) {
    anon_vma_free(anon_vma);
  }
}

// ---------------------------------------------------------------- entries

/** mm/rmap.c: clear_page_anon() v2.6.7. Preconditions: PG_maplock; the last mapping is gone. */
export function* clear_page_anon(page: page): K {
  BUG_ON(page.mapping === 0, '!page->mapping');
  page.mapping = 0;
}

/** mm/rmap.c: page_add_anon_rmap() v2.6.7. Preconditions: ptl. */
export function* page_add_anon_rmap(
  page: page,
  vma: vm_area_struct,
  address: number,
  _ptep: pte_ptr,
  spare: rmap_spare,
): K<rmap_spare> {
  const { anon_vma } = vma;
  if (BUG_ON(anon_vma === null, '!anon_vma') || anon_vma === null) {
    return spare;
  }
  const index = linear_page_index(vma, address);
  yield* page_map_lock(page);
  if (mapcount_of(page) === 0) {
    BUG_ON(page.mapping !== 0, 'page->mapping');
    folio_set(page, PG_swapbacked);
    page.index = index;
    page.mapping = anon_mapping(anon_vma);
  } else {
    BUG_ON(page.index !== index, 'page->index != index');
    BUG_ON(page.mapping !== anon_mapping(anon_vma), 'page->mapping != anon_vma');
  }
  page._mapcount = page._mapcount + 1;
  page_map_unlock(page);
  trace_page_add_rmap({ page, vma, address, mapcount: mapcount_of(page), exclusive: 0 });
  return spare;
}

/** mm/rmap.c: page_remove_rmap() v2.6.7. Preconditions: ptl. */
export function* page_remove_rmap(page: page, vma: vm_area_struct): K {
  yield* removeMapping(page, vma, clear_page_anon);
}

// ---------------------------------------------------------------- walks

/** VMAs on the list, newest first: list_for_each_entry(vma, &anon_vma->head, anon_vma_node). */
function listed(anon_vma: anon_vma): vm_area_struct[] {
  return list_entries(anon_vma.head).map(vma_of_node);
}

/** mm/rmap.c: page_referenced_anon() v2.6.7. Preconditions: PG_maplock. */
function* page_referenced_anon(page: page): K<number> {
  const anon_vma = folio_anon_vma(page) as anon_vma;
  let referenced = 0;
  yield* lockAnonVma(anon_vma);
  BUG_ON(list_empty(anon_vma.head), 'list_empty(&anon_vma->head)');
  const walk = beginAnonWalk(page, anon_vma, 'page_referenced');
  for (const vma of listed(anon_vma)) {
    const mm = vma.vm_mm as mm_struct;
    const address = vma_address(vma, page.index, 1);
    if (address >= 0 && rss_of(mm) > 0) {
      const young = yield* page_referenced_one(walk, mm, vma, address);
      referenced = referenced + young;
      if (walk.left === 0) {
        break;
      }
    }
  }
  endWalk(walk);
  unlockAnonVma(anon_vma);
  return referenced;
}

/** mm/rmap.c: try_to_unmap_anon() v2.6.7. SWAP_AGAIN or SWAP_FAIL. Preconditions: page lock, PG_maplock. */
function* try_to_unmap_anon(page: page): K<number> {
  const anon_vma = folio_anon_vma(page) as anon_vma;
  let ret = SWAP_AGAIN;
  yield* lockAnonVma(anon_vma);
  BUG_ON(list_empty(anon_vma.head), 'list_empty(&anon_vma->head)');
  const walk = beginAnonWalk(page, anon_vma, 'try_to_unmap');
  for (const vma of listed(anon_vma)) {
    const mm = vma.vm_mm as mm_struct;
    const address = vma_address(vma, page.index, 1);
    if (address >= 0 && rss_of(mm) > 0) {
      ret = yield* try_to_unmap_one(walk, mm, vma, address);
      if (ret === SWAP_FAIL || mapcount_of(page) === 0) {
        break;
      }
    }
  }
  endWalk(walk);
  unlockAnonVma(anon_vma);
  return ret;
}

/** mm/rmap.c: page_referenced() v2.6.7. Preconditions: PG_maplock. */
export function* page_referenced(page: page): K<number> {
  return yield* pageReferenced(page, page_referenced_anon);
}

/** mm/rmap.c: try_to_unmap() v2.6.7. SWAP_*. Preconditions: page lock, PG_maplock. */
export function* try_to_unmap(page: page): K<number> {
  return yield* tryToUnmap(page, try_to_unmap_anon, clear_page_anon);
}

// ---------------------------------------------------------------- the hooks

function* rmap_prepare(vma: vm_area_struct, file: boolean): K<rmap_spare | number> {
  if (file) {
    return null;
  }
  const error = yield* anon_vma_prepare(vma);
  return error === 0 ? null : error;
}

/** Whether the anon_vmas of two neighbours, and of pages to come, are one or none: is_mergeable_anon_vma() v2.6.7. */
export function rmap_mergeable(
  a: vm_area_struct,
  b: vm_area_struct | null,
  anon_vma: anon_vma | null,
): boolean {
  const known = [a.anon_vma, b?.anon_vma ?? null, anon_vma].filter((each) => each !== null);
  return known.every((each) => each === known[0]);
}

export const maplock_hooks: early_rmap_ops = {
  rmap_prepare,
  rmap_unprepare: rmapNothingNow,
  rmap_new_page: rmapNothing,
  rmap_kill_page: rmapNothing,
  rmap_add: page_add_anon_rmap,
  rmap_add_file: page_add_file_rmap,
  rmap_dup: page_dup_rmap,
  rmap_remove: page_remove_rmap,
  rmap_can_move: rmapMoves,
  rmap_moved: () => false,
  rmap_exec_mm: rmapNoErrorNow,
  rmap_fork_mm: rmapNoError,
  rmap_exit_mm: rmapNothing,
  rmap_mergeable,
  rmap_fork_vma: anon_vma_link,
  rmap_copy_vma: __anon_vma_link,
  rmap_absorb_vma: __anon_vma_merge,
  rmap_unlink_vma: anon_vma_unlink,
  rmap_lock_vma: anon_vma_lock,
  rmap_unlock_vma: anon_vma_unlock,
  rmap_lock_page: page_map_lock,
  rmap_unlock_page: page_map_unlock,
  page_referenced,
  try_to_unmap,
};

/** The mechanism of 2.6.7 as a preset names it. */
export const anon_vma_maplock_ops: anon_rmap_ops = {
  name: 'anon_vma under PG_maplock',
  shape: 'vma_list',
  ...no_anon_vma,
  anon_vma_prepare,
  unlink_anon_vmas: anon_vma_unlink,
  anon_vma_lock: lockAnonVma,
  anon_vma_unlock: unlockAnonVma,
  shared_anon_vma: (vma) => vma.anon_vma,
  early: maplock_hooks,
};
