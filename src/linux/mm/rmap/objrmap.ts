/**
 * mm/rmap.c of May 2004 to v2.6.8: what the schemes without pte_chain share: a map count under PG_maplock, Dave
 * McCracken's walk over the VMAs of a file, and the visits of one mm of a walk. Every lock that is taken against
 * the order of faults is only tried.
 *
 * Lock tree: page lock -> PG_maplock -> try of i_shared_sem (i_mmap_lock), or the scheme's lock -> try of
 * page_table_lock. Fidelity: dup; no nonlinear mappings; i_shared_sem is i_mmap_rwsem.
 */
import type { K } from '../../../sim/wait.ts';
import { down_write_trylock, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_trylock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import { BUG_ON } from '../../lib/bug.ts';
import type { address_space, anon_vma, mm_struct, page, vm_area_struct } from '../../mm_types.ts';
import { nextFileVma, startFileWalk } from '../early26/file_vmas.ts';
import { page_map_lock, page_map_unlock } from '../early26/page_lock.ts';
import { findPte } from '../early26/pgtable.ts';
import {
  trace_page_add_rmap,
  trace_page_dup,
  trace_page_remove_rmap,
  trace_walk_begin,
  trace_walk_end,
  trace_walk_hit,
  trace_walk_miss,
  trace_walk_visit,
} from '../events.ts';
import { VM_LOCKED, VM_MAYSHARE } from '../mm.ts';
import { dec_mm_counter, inc_mm_counter, MM_SWAPENTS, mm_counter } from '../mm_counter.ts';
import { mmlistAdd } from '../mmlist.ts';
import {
  folio_test_anon,
  folio_test_clear,
  folio_test_locked,
  folio_test_swapcache,
  mapping_pointer,
  PG_referenced,
} from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  pte_dirty,
  pte_mkold,
  pte_pfn,
  pte_present,
  type pte_ptr,
  pte_young,
  ptep_get,
  ptep_get_and_clear,
  set_pte_at,
  swp_entry_to_pte,
} from '../pgtable.ts';
import { folio_put } from '../swap.ts';
import { swap_duplicate } from '../swapfile.ts';
import { vmaTreeAtOrAfter } from '../vma_tree.ts';
import { type rmap_spare, SWAP_AGAIN, SWAP_FAIL, SWAP_SUCCESS } from './early_ops.ts';
import { vma_address } from './vma_address.ts';

/** page->mapcount. */
export const mapcount_of = (page: page): number => page._mapcount + 1;

/** mm->rss. */
export const rss_of = (mm: mm_struct): number => mm.rss_anon + mm.rss_file + mm.rss_shmem;

/** One walk: what it has still to find, and what it found. */
export interface object_walk {
  readonly page: page;
  /** Mappings not found yet. */
  left: number;
  visits: number;
  hits: number;
  /** Whose list is walked, if an anon_vma's. */
  readonly anon_vma: anon_vma | null;
}

export function beginAnonWalk(page: page, anon_vma: anon_vma | null, purpose: string): object_walk {
  trace_walk_begin({ page, anon_vma, index: page.index, purpose });
  return { page, left: mapcount_of(page), visits: 0, hits: 0, anon_vma };
}

export function beginWalk(page: page, purpose: string): object_walk {
  return beginAnonWalk(page, null, purpose);
}

export function endWalk(walk: object_walk): void {
  const { page, visits, hits } = walk;
  trace_walk_end({ page, visits, hits, stopped: walk.left > 0 ? 1 : 0 });
}

/** The entry of `mm` at `address`, if it maps the page: what both visitors begin with. 0: it does not. Preconditions: ptl. */
function entryOf(
  walk: object_walk,
  mm: mm_struct,
  vma: vm_area_struct | null,
  address: number,
): pte_ptr {
  const { page } = walk;
  const pte = findPte(mm, address);
  const entry = pte === 0 ? 0 : ptep_get(pte);
  if (pte !== 0 && pte_present(entry) && pte_pfn(entry) === page.pfn) {
    walk.hits = walk.hits + 1;
    trace_walk_hit({ page, vma, address });
    return pte;
  }
  trace_walk_miss({ page, vma, address });
  return 0;
}

/** mm/rmap.c: page_referenced_one() at 6bccf794bf, v2.6.7: 1 if the entry was young. */
export function* page_referenced_one(
  walk: object_walk,
  mm: mm_struct,
  vma: vm_area_struct | null,
  address: number,
): K<number> {
  let referenced = 0;
  walk.visits = walk.visits + 1;
  const shown = vma ?? vmaTreeAtOrAfter(mm, address);
  trace_walk_visit({ page: walk.page, vma: shown, anon_vma: walk.anon_vma, address });
  if (!spin_trylock(mm.page_table_lock)) {
    return 0;
  }
  const pte = entryOf(walk, mm, shown, address);
  if (pte !== 0) {
    const entry = ptep_get(pte);
    if (pte_young(entry)) {
      set_pte_at(mm, address, pte, pte_mkold(entry));
      referenced = 1;
    }
    walk.left = walk.left - 1;
  }
  spin_unlock(mm.page_table_lock);
  return referenced;
}

/**
 * mm/rmap.c: try_to_unmap_one() at 70b671f80e, v2.6.7. SWAP_*. Without `vma` (anonmm) it is looked up under the lock
 * that was only tried: VMAs must not change outside it.
 */
export function* try_to_unmap_one(
  walk: object_walk,
  mm: mm_struct,
  given: vm_area_struct | null,
  address: number,
): K<number> {
  const { page } = walk;
  walk.visits = walk.visits + 1;
  if (!spin_trylock(mm.page_table_lock)) {
    trace_walk_visit({ page, vma: given, anon_vma: walk.anon_vma, address });
    return SWAP_AGAIN;
  }
  const vma = given ?? vmaTreeAtOrAfter(mm, address);
  trace_walk_visit({ page, vma, anon_vma: walk.anon_vma, address });
  const pte = entryOf(walk, mm, vma, address);
  if (pte === 0) {
    spin_unlock(mm.page_table_lock);
    return SWAP_AGAIN;
  }
  walk.left = walk.left - 1;
  if (vma === null) {
    spin_unlock(mm.page_table_lock);
    return SWAP_AGAIN;
  }
  const entry = ptep_get(pte);
  const used = pte_young(entry) && !has('unmap_ignores_young');
  if ((vma.vm_flags & VM_LOCKED) !== 0 || used) {
    if ((vma.vm_flags & VM_LOCKED) === 0) {
      set_pte_at(mm, address, pte, pte_mkold(entry));
    }
    spin_unlock(mm.page_table_lock);
    return SWAP_FAIL;
  }
  // A device may write to a page that it holds a reference of: it must stay where it is.
  if (has('unmap_checks_pin') && folio_test_swapcache(page)) {
    if (page._refcount !== mapcount_of(page) + 2) {
      spin_unlock(mm.page_table_lock);
      return SWAP_FAIL;
    }
  }
  const pteval = ptep_get_and_clear(mm, address, pte);
  if (pte_dirty(pteval)) {
    folio_mark_dirty(page);
  }
  if (folio_test_anon(page)) {
    BUG_ON(!folio_test_swapcache(page), '!PageSwapCache(page)');
    const swap = page.private;
    swap_duplicate(swap);
    set_pte_at(mm, address, pte, swp_entry_to_pte(swap));
    inc_mm_counter(mm, MM_SWAPENTS);
    mmlistAdd(mm);
  }
  dec_mm_counter(mm, mm_counter(page));
  page._mapcount = page._mapcount - 1;
  folio_put(page);
  spin_unlock(mm.page_table_lock);
  return SWAP_AGAIN;
}

// ---------------------------------------------------------------- pages of files

/** VMAs of the file that map the page's offset. */
function* visitFile(walk: object_walk, mapping: address_space, unmaps: boolean): K<number> {
  const { page } = walk;
  const { index } = page;
  let referenced = 0;
  const files = startFileWalk(mapping, index, index);
  let vma = nextFileVma(files, null);
  while (vma !== null) {
    const mm = vma.vm_mm as mm_struct;
    const address = vma_address(vma, index, 1);
    if (!unmaps && (vma.vm_flags & (VM_LOCKED | VM_MAYSHARE)) === (VM_LOCKED | VM_MAYSHARE)) {
      return referenced + 1;
    }
    if (address >= 0 && rss_of(mm) > 0) {
      if (unmaps) {
        const ret = yield* try_to_unmap_one(walk, mm, vma, address);
        if (ret === SWAP_FAIL) {
          return SWAP_FAIL;
        }
      } else {
        const young: number = yield* page_referenced_one(walk, mm, vma, address);
        referenced = referenced + young;
      }
      if (unmaps ? mapcount_of(page) === 0 : walk.left === 0) {
        break;
      }
    }
    vma = nextFileVma(files, vma);
  }
  return unmaps ? SWAP_AGAIN : referenced;
}

/** mm/rmap.c: page_referenced_file() v2.6.7: 0 when somebody has the lock, as if nobody had used the page. */
export function* page_referenced_file(page: page): K<number> {
  const mapping = mapping_pointer(page.mapping) as address_space;
  if (!down_write_trylock(mapping.i_mmap_rwsem)) {
    return 0;
  }
  const walk = beginWalk(page, 'page_referenced');
  const referenced = yield* visitFile(walk, mapping, false);
  endWalk(walk);
  up_write(mapping.i_mmap_rwsem);
  return referenced;
}

/** mm/rmap.c: try_to_unmap_file() v2.6.7. SWAP_AGAIN or SWAP_FAIL. */
export function* try_to_unmap_file(page: page): K<number> {
  const mapping = mapping_pointer(page.mapping) as address_space;
  if (!down_write_trylock(mapping.i_mmap_rwsem)) {
    return SWAP_AGAIN;
  }
  const walk = beginWalk(page, 'try_to_unmap');
  const ret = yield* visitFile(walk, mapping, true);
  endWalk(walk);
  up_write(mapping.i_mmap_rwsem);
  return ret;
}

// ---------------------------------------------------------------- entries

/** mm/rmap.c: page_add_file_rmap() v2.6.7. Preconditions: ptl. */
export function* page_add_file_rmap(
  page: page,
  vma: vm_area_struct,
  address: number,
  _ptep: pte_ptr,
  spare: rmap_spare,
): K<rmap_spare> {
  BUG_ON(folio_test_anon(page), 'PageAnon(page)');
  yield* page_map_lock(page);
  page._mapcount = page._mapcount + 1;
  page_map_unlock(page);
  trace_page_add_rmap({ page, vma, address, mapcount: mapcount_of(page), exclusive: 0 });
  return spare;
}

/** include/linux/rmap.h: page_dup_rmap() v2.6.7. Preconditions: ptl of parent and child. */
export function* page_dup_rmap(
  page: page,
  _vma: vm_area_struct,
  _address: number,
  _ptep: pte_ptr,
  spare: rmap_spare,
): K<rmap_spare> {
  yield* page_map_lock(page);
  page._mapcount = page._mapcount + 1;
  page_map_unlock(page);
  trace_page_dup({ page, mapcount: mapcount_of(page) });
  return spare;
}

/** mm/rmap.c: page_remove_rmap() v2.6.7, where `clear` is clear_page_anon(). Preconditions: ptl. */
export function* removeMapping(page: page, vma: vm_area_struct, clear: (page: page) => K): K {
  BUG_ON(mapcount_of(page) === 0, '!page->mapcount');
  yield* page_map_lock(page);
  page._mapcount = page._mapcount - 1;
  if (mapcount_of(page) === 0 && folio_test_anon(page)) {
    yield* clear(page);
  }
  page_map_unlock(page);
  trace_page_remove_rmap({ page, vma, mapcount: mapcount_of(page) });
}

/** mm/rmap.c: page_referenced() v2.6.7, where `anon` is page_referenced_anon(). Preconditions: PG_maplock. */
export function* pageReferenced(page: page, anon: (page: page) => K<number>): K<number> {
  let referenced = 0;
  if (folio_test_clear(page, PG_referenced)) {
    referenced = referenced + 1;
  }
  if (mapcount_of(page) > 0 && page.mapping !== 0) {
    if (folio_test_anon(page)) {
      const young = yield* anon(page);
      referenced = referenced + young;
    } else {
      const young = yield* page_referenced_file(page);
      referenced = referenced + young;
    }
  }
  return referenced;
}

/**
 * mm/rmap.c: try_to_unmap() v2.6.7, where `anon` is try_to_unmap_anon(). SWAP_*. Preconditions: page lock, PG_maplock; the
 * page is mapped.
 */
export function* tryToUnmap(
  page: page,
  anon: (page: page) => K<number>,
  clear: (page: page) => K,
): K<number> {
  BUG_ON(!folio_test_locked(page), '!PageLocked(page)');
  BUG_ON(mapcount_of(page) === 0, '!page->mapcount');
  let ret = folio_test_anon(page) ? yield* anon(page) : yield* try_to_unmap_file(page);
  if (mapcount_of(page) === 0) {
    if (folio_test_anon(page)) {
      yield* clear(page);
    }
    ret = SWAP_SUCCESS;
  }
  return ret;
}
