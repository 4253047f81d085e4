/**
 * mm/vmscan.c of the anon layer's tree (30 April 2000): reclaim goes from a page to its mapping and through all VMAs of that,
 * file or anon area alike. check_pgtable_references(), zap_clean_mappings() and swap_it_out() are one loop with
 * three bodies; it visits every VMA, because nothing says how many entries there are to find.
 *
 * Lock tree: pagemap_lru_lock (the first two) -> i_shared_lock -> page_table_lock, which anon_trim() takes the other way round.
 * Fidelity: dup after the author's description of the loops; custom: walkMapping(), the loop they share, empty
 * levels of page tables are passed over instead of followed, a write to swap is over at once.
 */
import { taskBlock } from '../../../sim/task.ts';
import type { K } from '../../../sim/wait.ts';
import { EBUSY, ENOENT, ESRCH } from '../../errno.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import type {
  address_space,
  mm_struct,
  page,
  task_struct,
  vm_area_struct,
} from '../../mm_types.ts';
import {
  trace_swap_out,
  trace_walk_begin,
  trace_walk_end,
  trace_walk_hit,
  trace_walk_miss,
  trace_walk_visit,
} from '../events.ts';
import { folio_trylock, folio_unlock } from '../folio_lock.ts';
import { PAGE_SIZE, VM_LOCKED } from '../mm.ts';
import { folio_get } from '../page_alloc.ts';
import { __filemap_remove_folio } from '../page_cache.ts';
import {
  folio_clear,
  folio_test_anon,
  folio_test_dirty,
  folio_test_swapcache,
  mapping_pointer,
  PG_dirty,
} from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  pte_dirty,
  pte_page,
  pte_present,
  type pte_ptr,
  ptep_get,
  ptep_get_and_clear,
  ptep_test_and_clear_young,
  set_pte_at,
  swp_entry_to_pte,
} from '../pgtable.ts';
import {
  anon_try_to_free_page,
  area_of,
  firstOfArea,
  vm_anon_next_share,
} from '../rmap/anon_area.ts';
import { folio_put, lru_add_drain } from '../swap.ts';
import { swap_duplicate, writeSwapDevice } from '../swapfile.ts';
import type { anon_area } from './early24_types.ts';
import { early24Globals } from './globals.ts';
import { PageReserved, rssDec, swapEntryInc } from './mapped.ts';
import { i_mmap, vm_next_share } from './share_lists.ts';
import { addToSwapCacheWithSlot } from './swap_state.ts';
import { pteAt } from './zap.ts';

/** What a walk found, and its bodies changed. */
interface found {
  mapped: boolean;
  dirty: boolean;
  referenced: number;
  visits: number;
  hits: number;
  /** The walk ended because there is something to write. */
  wrote: boolean;
}

type purpose = 'check_pgtable_references' | 'zap_clean_mappings' | 'swap_it_out';

/** Where a page's VMAs are listed: its area or its file; null: nowhere. */
function ownerOf(page: page): { area: anon_area | null; mapping: address_space | null } {
  if (folio_test_anon(page)) {
    return { area: area_of(page), mapping: null };
  }
  const mapping = page.mapping === 0 ? null : (mapping_pointer(page.mapping) as address_space);
  return { area: null, mapping };
}

/**
 * Where `vma` would have the page, or -1. As posted (anon_mail_formula) only the upper end is tested: an offset below the VMA's
 * own comes out as an address below its start.
 */
export function addressInVma(vma: vm_area_struct, index: number): number {
  if (vma.vm_pgoff > index && !has('anon_mail_formula')) {
    return -1;
  }
  const address = vma.vm_start + (index - vma.vm_pgoff) * PAGE_SIZE;
  return address >= vma.vm_end || address < 0 ? -1 : address;
}

/** One entry less; the caller has cleared it. */
function dropMapping(mm: mm_struct, page: page): void {
  rssDec(mm, page);
  folio_put(page);
}

/** An entry of a page in the swap cache becomes a swap entry. Atomic. Preconditions: page_table_lock. */
function toSwapEntry(mm: mm_struct, address: number, ptep: pte_ptr, page: page): void {
  swap_duplicate(page.private);
  ptep_get_and_clear(mm, address, ptep);
  set_pte_at(mm, address, ptep, swp_entry_to_pte(page.private));
  swapEntryInc(mm);
  dropMapping(mm, page);
}

/** The body of check_pgtable_references(). Atomic. Preconditions: page_table_lock. */
function checkEntry(vma: vm_area_struct, address: number, ptep: pte_ptr, state: found): void {
  state.mapped = true;
  if (pte_dirty(ptep_get(ptep))) {
    state.dirty = true;
  }
  if (ptep_test_and_clear_young(vma, address, ptep)) {
    state.referenced = state.referenced + 1;
  }
}

/** The body of zap_clean_mappings(): what needs no writing. Atomic. Preconditions: page_table_lock. */
function zapClean(mm: mm_struct, address: number, ptep: pte_ptr, page: page): void {
  if (folio_test_swapcache(page)) {
    toSwapEntry(mm, address, ptep, page);
  } else if (!pte_dirty(ptep_get(ptep))) {
    ptep_get_and_clear(mm, address, ptep);
    dropMapping(mm, page);
  }
}

/** swap_out_pte(): true: the page has been written and the walk is over. Preconditions: page lock, page_table_lock. */
function* swapOutPte(mm: mm_struct, address: number, ptep: pte_ptr, page: page): K<boolean> {
  const pte = ptep_get(ptep);
  if (folio_test_swapcache(page) || !pte_dirty(pte)) {
    zapClean(mm, address, ptep, page);
    return false;
  }
  if (!folio_test_anon(page)) {
    ptep_get_and_clear(mm, address, ptep);
    folio_mark_dirty(page);
    dropMapping(mm, page);
    return true;
  }
  if (!(yield* addToSwapCacheWithSlot(page))) {
    return false;
  }
  toSwapEntry(mm, address, ptep, page);
  return true;
}

/** The loop's body for one VMA, at the address where it would have the page. True ends the walk. */
function* visitVma(
  vma: vm_area_struct,
  address: number,
  page: page,
  what: purpose,
  state: found,
): K<boolean> {
  const mm = vma.vm_mm as mm_struct;
  state.visits = state.visits + 1;
  yield* spin_lock(mm.page_table_lock);
  const ptep = pteAt(mm, address);
  const pte = ptep === 0 ? 0 : ptep_get(ptep);
  let done = false;
  if (!pte_present(pte) || pte_page(pte) !== page) {
    trace_walk_miss({ page, vma, address });
  } else {
    state.hits = state.hits + 1;
    trace_walk_hit({ page, vma, address });
    if (what === 'check_pgtable_references') {
      checkEntry(vma, address, ptep, state);
    } else if (what === 'zap_clean_mappings') {
      zapClean(mm, address, ptep, page);
    } else {
      done = yield* swapOutPte(mm, address, ptep, page);
    }
  }
  spin_unlock(mm.page_table_lock);
  return done;
}

/** The three loops in one. */
function* walkMapping(page: page, what: purpose): K<found> {
  const state: found = {
    mapped: false,
    dirty: false,
    referenced: 0,
    visits: 0,
    hits: 0,
    wrote: false,
  };
  const { area, mapping } = ownerOf(page);
  const owner = area ?? mapping;
  if (owner === null) {
    return state;
  }
  yield* spin_lock(owner.i_shared_lock);
  trace_walk_begin({ page, anon_vma: area, index: page.index, purpose: what });
  let vma = area === null ? i_mmap(mapping as address_space) : firstOfArea(area);
  while (vma !== null && !state.wrote) {
    const address = (vma.vm_flags & VM_LOCKED) !== 0 ? -1 : addressInVma(vma, page.index);
    if (address >= 0) {
      trace_walk_visit({ page, vma, anon_vma: area, address });
      state.wrote = yield* visitVma(vma, address, page, what, state);
    }
    vma = area === null ? vm_next_share(vma) : vm_anon_next_share(vma);
  }
  trace_walk_end({ page, visits: state.visits, hits: state.hits, stopped: state.wrote ? 1 : 0 });
  spin_unlock(owner.i_shared_lock);
  return state;
}

/** populate_inactive_list() for one page: its users, asked under the lock of the lists. */
function* askUsers(page: page): K<found> {
  const { pagemap_lru_lock } = early24Globals();
  yield* spin_lock(pagemap_lru_lock);
  const state = yield* walkMapping(page, 'check_pgtable_references');
  spin_unlock(pagemap_lru_lock);
  return state;
}

/** free_inactive_pages() for the clean mappings of one page. */
function* zapUsers(page: page): K {
  const { pagemap_lru_lock } = early24Globals();
  yield* spin_lock(pagemap_lru_lock);
  yield* walkMapping(page, 'zap_clean_mappings');
  spin_unlock(pagemap_lru_lock);
}

/** The write that swap_it_out() begins when it has given the page a slot. */
function writeOut(page: page): void {
  folio_clear(page, PG_dirty);
  writeSwapDevice(page);
  trace_swap_out({ page, entry: page.private });
}

/** rinse_cycle() for one page: until a pass has nothing left to write. Preconditions: page lock. */
function* rinse(page: page): K {
  let again = true;
  while (again) {
    const state = yield* walkMapping(page, 'swap_it_out');
    again = state.wrote;
    if (again && folio_test_swapcache(page)) {
      writeOut(page);
    }
  }
}

/** The end of free_inactive_pages(): true: nobody has the page but the caller. Preconditions: page lock. */
function* freePage(page: page): K<boolean> {
  const most = folio_test_swapcache(page) ? 2 : 1;
  if (has('inactive_counts_itself') && page._refcount > most) {
    return false;
  }
  if (folio_test_anon(page)) {
    return yield* anon_try_to_free_page(page);
  }
  if (page._refcount !== 2 || folio_test_dirty(page)) {
    return false;
  }
  __filemap_remove_folio(page);
  folio_put(page);
  return true;
}

/** The page that a task maps at an address, with a reference, or a negative errno. */
function pageAt(task: number, address: number): page | number {
  const mm = (taskBlock(task).context as task_struct | null)?.mm ?? null;
  if (mm === null) {
    return -ESRCH;
  }
  const ptep = pteAt(mm, address);
  const pte = ptep === 0 ? 0 : ptep_get(ptep);
  if (!pte_present(pte)) {
    return -ENOENT;
  }
  const page = pte_page(pte);
  if (PageReserved(page)) {
    return -EBUSY;
  }
  folio_get(page);
  return page;
}

/** One page on its way through the lists. True: nobody has it but the caller. Preconditions: a reference of the caller's. */
export function* reclaimPage(page: page): K<boolean> {
  if (!folio_trylock(page)) {
    return false;
  }
  let free = false;
  const users = yield* askUsers(page);
  if (users.referenced === 0) {
    yield* zapUsers(page);
    yield* rinse(page);
    free = yield* freePage(page);
  }
  folio_unlock(page);
  return free;
}

/** Reclaims the page that task number `task` maps at `address`. 1 freed, 0 kept, or a negative errno. */
export function* areaReclaimAt(task: number, address: number): K<number> {
  const page = pageAt(task, address);
  if (typeof page === 'number') {
    return page;
  }
  lru_add_drain();
  const free = yield* reclaimPage(page);
  folio_put(page);
  return free ? 1 : 0;
}

/** check_pgtable_references() of that page: how many entries were used; their young bits are cleared. */
export function* areaReferencedAt(task: number, address: number): K<number> {
  const page = pageAt(task, address);
  if (typeof page === 'number') {
    return page;
  }
  const users = yield* askUsers(page);
  folio_put(page);
  return users.referenced;
}
