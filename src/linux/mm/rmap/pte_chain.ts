/**
 * mm/rmap.c v2.6.0 (2.5.55 to 2.6.6): Rik van Riel's pte_chains. Each page, anonymous or of a file, lists the
 * page-table entries that map it; one entry alone is in struct page itself (PG_direct). A table's struct page tells
 * the mm and the address of an entry.
 *
 * The union page->pte is the word of _mapcount: -1 for NULL, else an entry (PG_direct) or the address of the
 * first pte_chain. Anonymous pages have no mapping; here bit 0 of it marks them, as in later kernels.
 *
 * Lock tree: page lock -> PG_chainlock -> trylock of page_table_lock (reclaim); page_table_lock -> PG_chainlock
 * (all else). Fidelity: dup; no nonlinear mappings.
 */
import { cpu, read_heap, write_heap } from '../../../sim/cpu.ts';
import { GRANULE } from '../../../sim/struct.ts';
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { spin_trylock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON } from '../../lib/bug.ts';
import type { page, vm_area_struct } from '../../mm_types.ts';
import { processGlobals } from '../../roots.ts';
import { pte_chain_lock, pte_chain_unlock } from '../early26/page_lock.ts';
import { ptep_to_address, ptep_to_mm } from '../early26/pgtable.ts';
import {
  trace_page_add_rmap,
  trace_page_remove_rmap,
  trace_walk_begin,
  trace_walk_end,
  trace_walk_hit,
  trace_walk_visit,
} from '../events.ts';
import { should_failslab } from '../failslab.ts';
import { VM_LOCKED } from '../mm.ts';
import { dec_mm_counter, inc_mm_counter, MM_SWAPENTS, mm_counter } from '../mm_counter.ts';
import { mmlistAdd } from '../mmlist.ts';
import {
  FOLIO_MAPPING_ANON,
  folio_clear,
  folio_set,
  folio_test,
  folio_test_clear,
  folio_test_locked,
  folio_test_swapcache,
  PG_direct,
  PG_referenced,
  PG_swapbacked,
} from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  pte_dirty,
  pte_mkold,
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
  SWAP_SUCCESS,
} from './early_ops.ts';
import { NRPTE, type pte_chain, pte_chain_cachep } from './early_types.ts';
import type { anon_rmap_ops } from './ops.ts';

/** NULL of the union page->pte. */
const NONE = -1;

/** include/linux/mm.h: page_mapped() v2.6.0. */
export const page_mapped = (page: page): boolean => page._mapcount !== NONE;
const PageDirect = (page: page): boolean => folio_test(page, PG_direct);

// ---------------------------------------------------------------- pte_chain objects

function chain_at(address: number): pte_chain | null {
  return address === 0 ? null : (cpu.handles[address / GRANULE] as pte_chain);
}

/** mm/rmap.c: pte_chain_idx() v2.6.0. */
const pte_chain_idx = (pte_chain: pte_chain): number => pte_chain.next_and_idx % (NRPTE + 1);

/** mm/rmap.c: pte_chain_next() v2.6.0. */
function pte_chain_next(pte_chain: pte_chain): pte_chain | null {
  return chain_at(pte_chain.next_and_idx - pte_chain_idx(pte_chain));
}

/** mm/rmap.c: pte_chain_encode() v2.6.0. */
const pte_chain_encode = (next: pte_chain | null, idx: number): number => (next?.addr ?? 0) + idx;

/** page->pte.chain. */
const firstChain = (page: page): pte_chain | null =>
  page._mapcount === NONE ? null : chain_at(page._mapcount);

const setChain = (page: page, chain: pte_chain | null): void => {
  page._mapcount = chain === null ? NONE : chain.addr;
};

/** Entries of the page, in the order in which try_to_unmap() and page_remove_rmap() visit them. */
export function pteChainEntries(page: page): pte_ptr[] {
  if (PageDirect(page)) {
    return [page._mapcount];
  }
  const found: pte_ptr[] = [];
  for (let pc = firstChain(page); pc !== null; pc = pte_chain_next(pc)) {
    for (let i = pte_chain_idx(pc); i < NRPTE; i++) {
      found.push(read_heap(pc.ptes + i));
    }
  }
  return found;
}

/** mm/rmap.c: __pte_chain_free() v2.6.0: it becomes the spare of the CPU. */
function __pte_chain_free(pte_chain: pte_chain): void {
  const globals = processGlobals();
  if (pte_chain.next_and_idx !== 0) {
    pte_chain.next_and_idx = 0;
  }
  const spare = globals.local_pte_chain as pte_chain | null;
  if (spare !== null) {
    pte_chain_cachep.free(spare);
  }
  globals.local_pte_chain = pte_chain;
}

/** include/linux/rmap-locking.h: pte_chain_free() v2.6.0. */
export function pte_chain_free(spare: rmap_spare): void {
  if (spare !== null) {
    __pte_chain_free(spare as pte_chain);
  }
}

/** mm/rmap.c: pte_chain_alloc() v2.6.0: the spare of the CPU, or a new one. Null: no memory. Atomic: get_cpu_var(). */
export function pte_chain_alloc(): pte_chain | null {
  const globals = processGlobals();
  const spare = globals.local_pte_chain as pte_chain | null;
  if (spare !== null) {
    globals.local_pte_chain = null;
    return spare;
  }
  return should_failslab() ? null : pte_chain_cachep.alloc();
}

// ---------------------------------------------------------------- an entry more or less

/**
 * mm/rmap.c: page_add_rmap() v2.6.0. What is left of `pte_chain`. Preconditions: ptl of the entry's mm; a
 * pte_chain if the page is mapped already.
 */
function* page_add_rmap(page: page, ptep: pte_ptr, pte_chain: pte_chain | null): K<rmap_spare> {
  yield* pte_chain_lock(page);
  if (page._mapcount === NONE) {
    page._mapcount = ptep;
    folio_set(page, PG_direct);
    pte_chain_unlock(page);
    return pte_chain;
  }
  if (PageDirect(page)) {
    // One entry becomes two.
    const chain = pte_chain as pte_chain;
    folio_clear(page, PG_direct);
    write_heap(chain.ptes + NRPTE - 1, page._mapcount);
    write_heap(chain.ptes + NRPTE - 2, ptep);
    chain.next_and_idx = pte_chain_encode(null, NRPTE - 2);
    setChain(page, chain);
    pte_chain_unlock(page);
    return null;
  }
  const head = firstChain(page) as pte_chain;
  if (read_heap(head.ptes) !== 0) {
    // It is full.
    const chain = pte_chain as pte_chain;
    chain.next_and_idx = pte_chain_encode(head, NRPTE - 1);
    setChain(page, chain);
    write_heap(chain.ptes + NRPTE - 1, ptep);
    pte_chain_unlock(page);
    return null;
  }
  write_heap(head.ptes + pte_chain_idx(head) - 1, ptep);
  head.next_and_idx = head.next_and_idx - 1;
  pte_chain_unlock(page);
  return pte_chain;
}

/** Takes slot `i` of `pc` out: the first entry of the first chain takes its place. */
function emptySlot(page: page, start: pte_chain, pc: pte_chain, i: number): void {
  const victim = pte_chain_idx(start);
  write_heap(pc.ptes + i, read_heap(start.ptes + victim));
  write_heap(start.ptes + victim, 0);
  if (victim === NRPTE - 1) {
    setChain(page, pte_chain_next(start));
    __pte_chain_free(start);
  } else {
    start.next_and_idx = start.next_and_idx + 1;
  }
}

/** mm/rmap.c: page_remove_rmap() v2.6.0. Preconditions: ptl of the entry's mm. */
function* page_remove_rmap(page: page, ptep: pte_ptr): K {
  yield* pte_chain_lock(page);
  if (PageDirect(page)) {
    if (page._mapcount === ptep) {
      page._mapcount = NONE;
      folio_clear(page, PG_direct);
    }
    pte_chain_unlock(page);
    return;
  }
  const start = firstChain(page);
  let pc = start;
  while (pc !== null && start !== null) {
    for (let i = pte_chain_idx(pc); i < NRPTE; i = i + 1) {
      if (read_heap(pc.ptes + i) === ptep) {
        emptySlot(page, start, pc, i);
        pte_chain_unlock(page);
        return;
      }
    }
    pc = pte_chain_next(pc);
  }
  pte_chain_unlock(page);
}

// ---------------------------------------------------------------- reclaim

/** Entries of the page as page_referenced() visits them: chain by chain, each from its last slot down. */
function entriesFromLast(page: page): pte_ptr[] {
  if (PageDirect(page)) {
    return [page._mapcount];
  }
  const found: pte_ptr[] = [];
  for (let pc = firstChain(page); pc !== null; pc = pte_chain_next(pc)) {
    for (let i = NRPTE - 1; i >= pte_chain_idx(pc); i--) {
      found.push(read_heap(pc.ptes + i));
    }
  }
  return found;
}

/** ptep_test_and_clear_young() of an entry that nothing but the chain protects. */
function testAndClearYoung(ptep: pte_ptr): boolean {
  const pte = ptep_get(ptep);
  if (!pte_young(pte)) {
    return false;
  }
  set_pte_at(ptep_to_mm(ptep), ptep_to_address(ptep), ptep, pte_mkold(pte));
  return true;
}

/**
 * mm/rmap.c: page_referenced() v2.6.0. Preconditions: PG_chainlock, which keeps the entries' tables: to leave,
 * an entry must be taken off the chain. No page_table_lock.
 */
function* page_referenced(page: page): K<number> {
  let referenced = 0;
  if (folio_test_clear(page, PG_referenced)) {
    referenced = referenced + 1;
  }
  const entries = entriesFromLast(page);
  trace_walk_begin({ page, anon_vma: null, index: page.index, purpose: 'page_referenced' });
  for (const ptep of entries) {
    const address = ptep_to_address(ptep);
    const vma = vmaTreeAtOrAfter(ptep_to_mm(ptep), address);
    trace_walk_visit({ page, vma, anon_vma: null, address });
    trace_walk_hit({ page, vma, address });
    if (testAndClearYoung(ptep)) {
      referenced = referenced + 1;
    }
  }
  trace_walk_end({ page, visits: entries.length, hits: entries.length, stopped: 0 });
  const chain = PageDirect(page) ? null : firstChain(page);
  if (chain !== null && entries.length === 1) {
    page._mapcount = read_heap(chain.ptes + NRPTE - 1);
    folio_set(page, PG_direct);
    write_heap(chain.ptes + NRPTE - 1, 0);
    __pte_chain_free(chain);
  }
  return referenced;
}

/** mm/rmap.c: try_to_unmap_one() v2.6.0. SWAP_*. Preconditions: page lock, PG_chainlock. */
function* try_to_unmap_one(page: page, ptep: pte_ptr): K<number> {
  const address = ptep_to_address(ptep);
  const mm = ptep_to_mm(ptep);
  // The order of locks is the wrong one: only a try.
  if (!spin_trylock(mm.page_table_lock)) {
    trace_walk_visit({ page, vma: null, anon_vma: null, address });
    return SWAP_AGAIN;
  }
  // find_vma(), which is why VMAs change under page_table_lock.
  const vma = vmaTreeAtOrAfter(mm, address);
  trace_walk_visit({ page, vma, anon_vma: null, address });
  // Under mremap() a page may be in no VMA.
  if (vma === null || (vma.vm_flags & VM_LOCKED) !== 0) {
    spin_unlock(mm.page_table_lock);
    return SWAP_FAIL;
  }
  trace_walk_hit({ page, vma, address });
  const pte = ptep_get_and_clear(mm, address, ptep);
  if (folio_test_swapcache(page)) {
    const entry = page.private;
    swap_duplicate(entry);
    set_pte_at(mm, address, ptep, swp_entry_to_pte(entry));
    inc_mm_counter(mm, MM_SWAPENTS);
    mmlistAdd(mm);
  }
  if (pte_dirty(pte)) {
    folio_mark_dirty(page);
  }
  dec_mm_counter(mm, mm_counter(page));
  folio_put(page);
  spin_unlock(mm.page_table_lock);
  return SWAP_SUCCESS;
}

/**
 * The loop of try_to_unmap() over chains: an entry that is gone leaves its slot to the first one of the first
 * chain, which has been visited. SWAP_*.
 */
function* unmapChains(page: page): K<number> {
  let ret = SWAP_SUCCESS;
  let start = firstChain(page);
  let pc = start;
  while (pc !== null && start !== null) {
    const next_pc = pte_chain_next(pc);
    for (let i = pte_chain_idx(pc); i < NRPTE; i = i + 1) {
      const ptep = read_heap(pc.ptes + i);
      if (ptep === 0) {
        continue;
      }
      const result: number = yield* try_to_unmap_one(page, ptep);
      if (result === SWAP_FAIL) {
        return SWAP_FAIL;
      }
      if (result === SWAP_AGAIN) {
        ret = SWAP_AGAIN;
        continue;
      }
      const freed: boolean = pte_chain_idx(start) === NRPTE - 1;
      emptySlot(page, start, pc, i);
      if (freed) {
        start = firstChain(page);
        if (start === null) {
          return ret;
        }
      }
    }
    pc = next_pc;
  }
  return ret;
}

/**
 * mm/rmap.c: try_to_unmap() v2.6.0. SWAP_*. Preconditions: page lock, PG_chainlock; the page is in the swap
 * cache or of a file.
 */
function* try_to_unmap(page: page): K<number> {
  BUG_ON(!folio_test_locked(page), '!PageLocked(page)');
  trace_walk_begin({ page, anon_vma: null, index: page.index, purpose: 'try_to_unmap' });
  const visits = mapcountOf(page);
  let ret: number;
  if (PageDirect(page)) {
    ret = yield* try_to_unmap_one(page, page._mapcount);
    if (ret === SWAP_SUCCESS) {
      page._mapcount = NONE;
      folio_clear(page, PG_direct);
    }
  } else {
    ret = yield* unmapChains(page);
  }
  const hits = visits - mapcountOf(page);
  trace_walk_end({ page, visits, hits, stopped: ret === SWAP_SUCCESS ? 0 : 1 });
  return ret;
}

// ---------------------------------------------------------------- the hooks

function mapcountOf(page: page): number {
  return pteChainEntries(page).length;
}

function* rmap_prepare(): K<rmap_spare | number> {
  const chain = pte_chain_alloc();
  return chain ?? -ENOMEM;
}

function* rmap_add_file(
  page: page,
  vma: vm_area_struct,
  address: number,
  ptep: pte_ptr,
  spare: rmap_spare,
): K<rmap_spare> {
  const left = yield* page_add_rmap(page, ptep, spare as pte_chain | null);
  trace_page_add_rmap({ page, vma, address, mapcount: mapcountOf(page), exclusive: 0 });
  return left;
}

function* rmap_add(
  page: page,
  vma: vm_area_struct,
  address: number,
  ptep: pte_ptr,
  spare: rmap_spare,
): K<rmap_spare> {
  if (page.mapping === 0) {
    page.mapping = FOLIO_MAPPING_ANON;
    folio_set(page, PG_swapbacked);
  }
  return yield* rmap_add_file(page, vma, address, ptep, spare);
}

function* rmap_remove(page: page, vma: vm_area_struct, _address: number, ptep: pte_ptr): K {
  yield* page_remove_rmap(page, ptep);
  trace_page_remove_rmap({ page, vma, mapcount: mapcountOf(page) });
}

function* rmap_lock_page(page: page): K {
  yield* pte_chain_lock(page);
}

const hooks: early_rmap_ops = {
  rmap_prepare,
  rmap_unprepare: pte_chain_free,
  rmap_new_page: rmapNothing,
  rmap_kill_page: rmapNothing,
  rmap_add,
  rmap_add_file,
  rmap_dup: rmap_add_file,
  rmap_remove,
  rmap_can_move: rmapMoves,
  rmap_moved: () => false,
  rmap_exec_mm: rmapNoErrorNow,
  rmap_fork_mm: rmapNoError,
  rmap_exit_mm: rmapNothing,
  rmap_mergeable: () => true,
  rmap_fork_vma: rmapNothing,
  rmap_copy_vma: rmapNothingNow,
  rmap_absorb_vma: rmapNothingNow,
  rmap_unlink_vma: rmapNothing,
  rmap_lock_vma: rmapNothing,
  rmap_unlock_vma: rmapNothingNow,
  rmap_lock_page,
  rmap_unlock_page: pte_chain_unlock,
  page_referenced,
  try_to_unmap,
};

/** The mechanism of 2.6.0 as a preset names it. */
export const pte_chain_ops: anon_rmap_ops = {
  name: 'pte_chain',
  shape: 'pte_chain',
  ...no_anon_vma,
  early: hooks,
};
