/**
 * mm/rmap.c v2.6.34: struct page and its mappings: counting them, and the leaf visitors of the three walks
 * (page_referenced, try_to_unmap, rmap_walk). The anonymous walk itself belongs to the scheme of mm/rmap/.
 *
 * Lock tree: page lock -> i_mmap_lock or anon_vma lock -> ptl. Fidelity: dup; no KSM, memcg, nonlinear
 * mappings, swap token; i_mmap_lock is i_mmap_rwsem.
 */
import type { K } from '../../../sim/wait.ts';
import { down_read, down_read_trylock, up_read } from '../../kernel/locking/rwsem.ts';
import { spin_lock } from '../../kernel/locking/spinlock.ts';
import { anon_rmap, has } from '../../kernel.ts';
import { BUG_ON, VM_BUG_ON_FOLIO } from '../../lib/bug.ts';
import type { address_space, mm_struct, page, vm_area_struct } from '../../mm_types.ts';
import {
  trace_page_add_rmap,
  trace_page_dup,
  trace_page_move_rmap,
  trace_page_remove_rmap,
  trace_set_migration_pte,
  trace_walk_begin,
  trace_walk_end,
  trace_walk_hit,
  trace_walk_miss,
  trace_walk_visit,
} from '../events.ts';
import { folio_trylock, folio_unlock } from '../folio_lock.ts';
import { vma_interval_tree_iter_first, vma_interval_tree_iter_next } from '../interval_tree.ts';
import { linear_page_index, VM_LOCKED, VM_SEQ_READ, vma_is_temporary_stack } from '../mm.ts';
import {
  dec_mm_counter,
  inc_mm_counter,
  MM_ANONPAGES,
  MM_SWAPENTS,
  mm_counter_file,
} from '../mm_counter.ts';
import { mmlistAdd } from '../mmlist.ts';
import {
  anon_mapping,
  folio_set,
  folio_test_anon,
  folio_test_locked,
  folio_test_swapcache,
  mapping_pointer,
  PG_swapbacked,
} from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  lookupPte,
  make_migration_pte,
  pte_dirty,
  pte_pfn,
  pte_present,
  type pte_ptr,
  pte_unmap_unlock,
  pte_write,
  ptep_clear_flush,
  ptep_get,
  ptep_test_and_clear_young,
  ptlock_ptr,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_WRITE,
  set_pte_at,
  swp_entry_to_pte,
} from '../pgtable.ts';
import type { rmap_walk_control } from '../rmap/ops.ts';
import { vma_address } from '../rmap/vma_address.ts';
import { folio_put } from '../swap.ts';
import { swap_duplicate } from '../swapfile.ts';
import { mlock_vma_page } from './mlock_page.ts';

/** enum ttu_flags v2.6.34. */
export const TTU_UNMAP = 0;
export const TTU_MIGRATION = 1;
const TTU_MUNLOCK = 2;
const TTU_ACTION_MASK = 0xff;
export const TTU_IGNORE_MLOCK = 1 << 8;
export const TTU_IGNORE_ACCESS = 1 << 9;

/** Results of a leaf visitor. */
const SWAP_AGAIN = 1;
export const SWAP_FAIL = 2;
export const SWAP_MLOCK = 3;

/** page_mapcount(). */
export const page_mapcount = (page: page): number => page._mapcount + 1;
/** page_mapped(). */
export const page_mapped = (page: page): boolean => page._mapcount >= 0;

// ---------------------------------------------------------------- one mapping more or less

/**
 * mm/rmap.c: __page_set_anon_rmap() v2.6.34: a page that others may share goes to the oldest anon_vma, whatever
 * it had before. With keep_anchor v2.6.36: a page that has one keeps it.
 */
function __page_set_anon_rmap(
  page: page,
  vma: vm_area_struct,
  address: number,
  exclusive: boolean,
): void {
  const own = exclusive ? vma.anon_vma : anon_rmap().shared_anon_vma(vma);
  if (own === null) {
    BUG_ON(true, '!anon_vma');
    return;
  }
  if (has('keep_anchor') && folio_test_anon(page)) {
    return;
  }
  page.mapping = anon_mapping(own);
  page.index = linear_page_index(vma, address);
}

/** mm/rmap.c: page_add_anon_rmap() v2.6.34; `exclusive` is do_page_add_anon_rmap() v2.6.36. Preconditions: ptl, page lock. @atomic */
export function* page_add_anon_rmap(
  page: page,
  vma: vm_area_struct,
  address: number,
  exclusive = false,
): K {
  page._mapcount = page._mapcount + 1;
  VM_BUG_ON_FOLIO(!folio_test_locked(page), page, '!PageLocked(page)');
  if (!has('add_rmap_anywhere')) {
    VM_BUG_ON_FOLIO(
      address < vma.vm_start || address >= vma.vm_end,
      page,
      'address < vma->vm_start || address >= vma->vm_end',
    );
  }
  if (page._mapcount === 0) {
    __page_set_anon_rmap(page, vma, address, exclusive);
  } else {
    VM_BUG_ON_FOLIO(
      page.index !== linear_page_index(vma, address),
      page,
      'page->index != linear_page_index(vma, address)',
    );
  }
  const mapcount = page_mapcount(page);
  trace_page_add_rmap({ page, vma, address, mapcount, exclusive: exclusive ? 1 : 0 });
}

/** mm/rmap.c: page_add_new_anon_rmap() v2.6.34, without the LRU. Preconditions: ptl; nobody else knows the page. */
export function page_add_new_anon_rmap(page: page, vma: vm_area_struct, address: number): void {
  VM_BUG_ON_FOLIO(
    address < vma.vm_start || address >= vma.vm_end,
    page,
    'address < vma->vm_start || address >= vma->vm_end',
  );
  folio_set(page, PG_swapbacked);
  page._mapcount = 0;
  __page_set_anon_rmap(page, vma, address, true);
  trace_page_add_rmap({ page, vma, address, mapcount: 1, exclusive: 1 });
}

/** mm/rmap.c: page_add_file_rmap() v2.6.34. `vma` and `address` are for the event. */
export function page_add_file_rmap(page: page, vma: vm_area_struct, address: number): void {
  page._mapcount = page._mapcount + 1;
  trace_page_add_rmap({ page, vma, address, mapcount: page_mapcount(page), exclusive: 0 });
}

/** include/linux/rmap.h: page_dup_rmap() v2.6.34. @atomic */
export function* page_dup_rmap(page: page): K {
  page._mapcount = page._mapcount + 1;
  trace_page_dup({ page, mapcount: page_mapcount(page) });
}

/** mm/rmap.c: page_remove_rmap() v2.6.34. `vma` is for the event. @atomic */
export function* page_remove_rmap(page: page, vma: vm_area_struct): K {
  VM_BUG_ON_FOLIO(page._mapcount < 0, page, 'atomic_read(&page->_mapcount) < 0');
  page._mapcount = page._mapcount - 1;
  trace_page_remove_rmap({ page, vma, mapcount: page_mapcount(page) });
}

/** mm/rmap.c: page_move_anon_rmap() v2.6.34: the only user takes the page to its own anon_vma. Preconditions: page lock. */
export function page_move_anon_rmap(page: page, vma: vm_area_struct, address: number): void {
  VM_BUG_ON_FOLIO(!folio_test_locked(page), page, '!PageLocked(page)');
  VM_BUG_ON_FOLIO(
    page.index !== linear_page_index(vma, address),
    page,
    'page->index != linear_page_index(vma, address)',
  );
  const own = vma.anon_vma;
  if (own === null) {
    BUG_ON(true, '!anon_vma');
    return;
  }
  page.mapping = anon_mapping(own);
  trace_page_move_rmap({ page, anon_vma: own });
}

// ---------------------------------------------------------------- leaf visitors

/**
 * mm/rmap.c: page_check_address() v2.6.34 with sync = 0: the entry that maps `page` at `address`, its table
 * locked; 0 if there is none. The first look is without the lock.
 */
function* page_check_address(
  page: page,
  vma: vm_area_struct,
  address: number,
  rwc: rmap_walk_control,
): K<pte_ptr> {
  const pte = lookupPte(vma.vm_mm as mm_struct, address);
  if (pte !== 0 && pte_present(ptep_get(pte))) {
    yield* spin_lock(ptlock_ptr(pte));
    const entry = ptep_get(pte);
    if (pte_present(entry) && pte_pfn(entry) === page.pfn) {
      rwc.hits = (rwc.hits ?? 0) + 1;
      trace_walk_hit({ page, vma, address });
      return pte;
    }
    pte_unmap_unlock(pte);
  }
  trace_walk_miss({ page, vma, address });
  return 0;
}

interface references {
  mapcount: number;
  referenced: number;
  vm_flags: number;
}

/** mm/rmap.c: page_referenced_one() v2.6.34. False stops the walk: every mapping was seen. */
function* page_referenced_one(
  page: page,
  vma: vm_area_struct,
  address: number,
  rwc: rmap_walk_control,
): K<boolean> {
  const refs = rwc.arg as references;
  const pte = yield* page_check_address(page, vma, address, rwc);
  if (pte === 0) {
    return refs.mapcount !== 0;
  }
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    // One locked mapping decides.
    refs.mapcount = 1;
    refs.vm_flags = refs.vm_flags | VM_LOCKED;
  } else if (ptep_test_and_clear_young(vma, address, pte)) {
    // A sequential reader will not come back.
    if ((vma.vm_flags & VM_SEQ_READ) === 0) {
      refs.referenced = refs.referenced + 1;
      refs.vm_flags = refs.vm_flags | vma.vm_flags;
    }
  }
  refs.mapcount = refs.mapcount - 1;
  pte_unmap_unlock(pte);
  return refs.mapcount !== 0;
}

/**
 * The loop that page_referenced_file(), try_to_unmap_file() and rmap_walk_file() v2.6.34 share: the VMAs that
 * map the page's offset of its file. Preconditions: page lock.
 */
function* walkFile(page: page, rwc: rmap_walk_control): K {
  VM_BUG_ON_FOLIO(!folio_test_locked(page), page, '!PageLocked(page)');
  if (page.mapping === 0) {
    return;
  }
  const mapping = mapping_pointer(page.mapping) as address_space;
  const index = page.index;
  let visits = 0;
  let stopped = 0;
  yield* down_read(mapping.i_mmap_rwsem);
  trace_walk_begin({ page, anon_vma: null, index, purpose: rwc.name });
  let vma = vma_interval_tree_iter_first(mapping.i_mmap, index, index);
  while (vma !== null) {
    const address = vma_address(vma, index, 1);
    if (address >= 0) {
      visits = visits + 1;
      trace_walk_visit({ page, vma, anon_vma: null, address });
      if (!(yield* rwc.rmap_one(page, vma, address, rwc))) {
        stopped = 1;
        break;
      }
      if (rwc.done?.(page) === true) {
        stopped = 1;
        break;
      }
    }
    vma = vma_interval_tree_iter_next(vma, index, index);
  }
  trace_walk_end({ page, visits, hits: rwc.hits ?? 0, stopped });
  up_read(mapping.i_mmap_rwsem);
}

function* walkMappings(page: page, rwc: rmap_walk_control): K {
  if (folio_test_anon(page)) {
    yield* anon_rmap().rmap_walk_anon(page, rwc, false);
  } else {
    yield* walkFile(page, rwc);
  }
}

/** mm/rmap.c: page_referenced() v2.6.34. Anonymous pages are looked at without the page lock. */
export function* page_referenced(page: page, is_locked: boolean): K<references> {
  const refs: references = { mapcount: page_mapcount(page), referenced: 0, vm_flags: 0 };
  if (!page_mapped(page) || page.mapping === 0) {
    return refs;
  }
  let we_locked = false;
  if (!is_locked && !folio_test_anon(page)) {
    we_locked = folio_trylock(page);
    if (!we_locked) {
      refs.referenced = 1;
      return refs;
    }
  }
  yield* walkMappings(page, {
    name: 'page_referenced',
    rmap_one: page_referenced_one,
    arg: refs,
    by_lookup: true,
  });
  if (we_locked) {
    folio_unlock(page);
  }
  return refs;
}

interface unmapping {
  readonly flags: number;
  ret: number;
}

/**
 * try_to_unmap_one() at a VM_LOCKED VMA (its label out_mlock): the page is marked, if mmap_sem can be had by trying, which
 * keeps the VMA locked meanwhile; otherwise the walk goes on. False stops it.
 */
function tryMlock(page: page, vma: vm_area_struct, state: unmapping): boolean {
  const mm = vma.vm_mm as mm_struct;
  if (!down_read_trylock(mm.mmap_lock)) {
    return true;
  }
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    mlock_vma_page(page);
    state.ret = SWAP_MLOCK;
  }
  up_read(mm.mmap_lock);
  return state.ret !== SWAP_MLOCK;
}

/** mm/rmap.c: try_to_unmap_one() v2.6.34. False stops the walk: the page stays mapped here. */
function* try_to_unmap_one(
  page: page,
  vma: vm_area_struct,
  address: number,
  rwc: rmap_walk_control,
): K<boolean> {
  const state = rwc.arg as unmapping;
  const migration = (state.flags & TTU_ACTION_MASK) === TTU_MIGRATION;
  const mm = vma.vm_mm as mm_struct;
  const pte = yield* page_check_address(page, vma, address, rwc);
  if (pte === 0) {
    return true;
  }
  if ((state.flags & TTU_IGNORE_MLOCK) === 0) {
    if ((vma.vm_flags & VM_LOCKED) !== 0) {
      pte_unmap_unlock(pte);
      return tryMlock(page, vma, state);
    }
    if ((state.flags & TTU_ACTION_MASK) === TTU_MUNLOCK) {
      pte_unmap_unlock(pte);
      return true;
    }
  }
  if ((state.flags & TTU_IGNORE_ACCESS) === 0) {
    // Used since reclaim looked.
    if (ptep_test_and_clear_young(vma, address, pte)) {
      pte_unmap_unlock(pte);
      state.ret = SWAP_FAIL;
      return false;
    }
  }
  const pteval = ptep_clear_flush(vma, address, pte);
  if (pte_dirty(pteval)) {
    folio_mark_dirty(page);
  }
  const write = pte_write(pteval) ? SWP_MIGRATION_WRITE : SWP_MIGRATION_READ;
  if (folio_test_anon(page)) {
    if (folio_test_swapcache(page)) {
      // Migration too: a page with a slot goes the way of swapping out.
      const entry = page.private;
      if (swap_duplicate(entry) < 0) {
        set_pte_at(mm, address, pte, pteval);
        pte_unmap_unlock(pte);
        state.ret = SWAP_FAIL;
        return false;
      }
      mmlistAdd(mm);
      dec_mm_counter(mm, MM_ANONPAGES);
      inc_mm_counter(mm, MM_SWAPENTS);
      set_pte_at(mm, address, pte, swp_entry_to_pte(entry));
    } else {
      BUG_ON(!migration, 'TTU_ACTION(flags) != TTU_MIGRATION');
      const entry = make_migration_pte(page.pfn, write, false, false);
      set_pte_at(mm, address, pte, entry);
      trace_set_migration_pte({ address, pte: entry, order: 0 });
    }
  } else if (migration) {
    const entry = make_migration_pte(page.pfn, write, false, false);
    set_pte_at(mm, address, pte, entry);
    trace_set_migration_pte({ address, pte: entry, order: 0 });
  } else {
    dec_mm_counter(mm, mm_counter_file(page));
  }
  yield* page_remove_rmap(page, vma);
  folio_put(page);
  pte_unmap_unlock(pte);
  return true;
}

const page_not_mapped = (page: page): boolean => !page_mapped(page);

/**
 * mm/rmap.c: try_to_unmap() v2.6.34. Success shows in page_mapped(). Preconditions: page lock. With
 * skip_temporary_stack (2.6.35) migration leaves the stack of an unfinished execve() alone.
 */
export function* try_to_unmap(page: page, flags: number): K<number> {
  BUG_ON(!folio_test_locked(page), '!PageLocked(page)');
  const state: unmapping = { flags, ret: SWAP_AGAIN };
  const skip = has('skip_temporary_stack') && (flags & TTU_ACTION_MASK) === TTU_MIGRATION;
  yield* walkMappings(page, {
    name: 'try_to_unmap',
    rmap_one: try_to_unmap_one,
    arg: state,
    done: page_not_mapped,
    by_lookup: true,
    ...(skip ? { invalid_vma: vma_is_temporary_stack } : {}),
  });
  return state.ret;
}

/**
 * mm/rmap.c: try_to_munlock() v2.6.34: marks the page again if another VMA has it locked. Preconditions: page lock; the page
 * is off the LRU.
 */
export function* try_to_munlock(page: page): K<number> {
  VM_BUG_ON_FOLIO(!folio_test_locked(page), page, '!PageLocked(page)');
  const state: unmapping = { flags: TTU_MUNLOCK, ret: SWAP_AGAIN };
  yield* walkMappings(page, {
    name: 'try_to_munlock',
    rmap_one: try_to_unmap_one,
    arg: state,
    done: page_not_mapped,
    by_lookup: true,
  });
  return state.ret;
}

/** mm/rmap.c: rmap_walk() v2.6.34. Preconditions: page lock; something keeps the anon_vma. */
export function* rmap_walk(page: page, rwc: rmap_walk_control): K {
  VM_BUG_ON_FOLIO(!folio_test_locked(page), page, '!PageLocked(page)');
  yield* walkMappings(page, rwc);
}
