/**
 * mm/vmscan.c v2.4.0: swap_out(), the virtual scan. Nothing leads from a page to the entries that map it, so reclaim
 * goes through address spaces: the one with the most left of its round, from where it stopped the last time, entry by entry,
 * and takes entries of pages that nobody used for a while. A page is free when the scan has come by every
 * address space that maps it, each time by chance.
 *
 * Lock tree: mmlist_lock (dropped) ; page_table_lock -> page lock (tried) -> pagecache_lock -> pagemap_lru_lock.
 * Fidelity: dup. A pass of the scan for the sake of one page shows as a walk: each entry it looks at is a visit.
 */
import type { K } from '../../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { mmget, mmput } from '../../kernel/mm_users.ts';
import { list_entries } from '../../lib/list.ts';
import { mm_cachep, type mm_struct, type page, type vm_area_struct } from '../../mm_types.ts';
import { processGlobals } from '../../roots.ts';
import { trace_walk_hit, trace_walk_miss, trace_walk_visit } from '../events.ts';
import { folio_trylock, folio_unlock } from '../folio_lock.ts';
import { PAGE_SIZE, VM_LOCKED } from '../mm.ts';
import {
  folio_set,
  folio_test_active,
  folio_test_anon,
  folio_test_swapcache,
  PG_dirty,
} from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  pte_dirty,
  pte_offset,
  pte_page,
  pte_present,
  type pte_ptr,
  type pte_t,
  ptep_get,
  ptep_get_and_clear,
  ptep_test_and_clear_young,
  set_pte_at,
  swp_entry_to_pte,
} from '../pgtable.ts';
import { folio_put } from '../swap.ts';
import { swap_duplicate } from '../swapfile.ts';
import { early24Globals } from './globals.ts';
import { mm_rss, PageReserved, rssDec, swapEntryInc } from './mapped.ts';
import { age_page_down_ageonly, age_page_up, deactivate_page, page_age } from './page_age.ts';
import { addToSwapCacheWithSlot } from './swap_state.ts';
import { find_vma, vm_next } from './vma_list.ts';
import { tableAt, usedFrom } from './zap.ts';

/** Whom a scan is made for, and what it came to. */
export interface scan {
  /** The page that an aimed reclaim wants, or null. */
  readonly page: page | null;
  visits: number;
  hits: number;
  /** The wanted page was found in use. */
  young: boolean;
}

export const scanFor = (page: page | null): scan => ({ page, visits: 0, hits: 0, young: false });

const mmOfList = mm_cachep.container('mmlist');

/** One entry has been looked at. */
export function visit(at: scan, vma: vm_area_struct, address: number, found: page): void {
  if (at.page === null) {
    return;
  }
  at.visits = at.visits + 1;
  trace_walk_visit({ page: at.page, vma, anon_vma: null, address });
  if (found === at.page) {
    at.hits = at.hits + 1;
    trace_walk_hit({ page: at.page, vma, address });
  } else {
    trace_walk_miss({ page: at.page, vma, address });
  }
}

/** mm->swap_cnt--. */
function countDown(mm: mm_struct): void {
  mm.swap_cnt = mm.swap_cnt - 1;
}

/** The label drop_pte of try_to_swap_out(): one mapping less. Preconditions: page_table_lock, page lock; it is dropped. */
function* dropPte(mm: mm_struct, page: page): K {
  folio_unlock(page);
  rssDec(mm, page);
  yield* deactivate_page(page);
  folio_put(page);
}

/** The label set_swap_pte of try_to_swap_out(). */
function* setSwapPte(mm: mm_struct, address: number, page_table: pte_ptr, page: page): K {
  const entry = page.private;
  swap_duplicate(entry);
  set_pte_at(mm, address, page_table, swp_entry_to_pte(entry));
  swapEntryInc(mm);
  yield* dropPte(mm, page);
}

/**
 * The part of try_to_swap_out() v2.4.0 that takes the entry away. Preconditions: page_table_lock, page lock; the
 * latter is dropped.
 */
function* takeEntry(mm: mm_struct, address: number, page_table: pte_ptr, page: page): K {
  // Read and cleared in one, so that the processor's dirty bit is not lost.
  const pte: pte_t = ptep_get_and_clear(mm, address, page_table);
  if (folio_test_swapcache(page)) {
    if (pte_dirty(pte)) {
      folio_set(page, PG_dirty);
    }
    yield* setSwapPte(mm, address, page_table, page);
    return;
  }
  if (!pte_dirty(pte)) {
    // The zero-filled or the file's page comes back by another fault.
    yield* dropPte(mm, page);
    return;
  }
  if (!folio_test_anon(page)) {
    folio_mark_dirty(page);
    yield* dropPte(mm, page);
    return;
  }
  if (!(yield* addToSwapCacheWithSlot(page))) {
    set_pte_at(mm, address, page_table, pte);
    folio_unlock(page);
    return;
  }
  folio_set(page, PG_dirty);
  yield* setSwapPte(mm, address, page_table, page);
}

/**
 * mm/vmscan.c: try_to_swap_out() v2.4.0: one entry. 1: this address space has had its round. Preconditions:
 * page_table_lock.
 */
function* try_to_swap_out(
  mm: mm_struct,
  vma: vm_area_struct,
  address: number,
  page_table: pte_ptr,
  at: scan,
): K<number> {
  const pte = ptep_get(page_table);
  if (!pte_present(pte)) {
    return 0;
  }
  const page = pte_page(pte);
  if (PageReserved(page)) {
    return 0;
  }
  if (mm.swap_cnt === 0) {
    return 1;
  }
  countDown(mm);
  visit(at, vma, address, page);
  const onlist = folio_test_active(page);
  if (ptep_test_and_clear_young(vma, address, page_table)) {
    at.young = at.young || page === at.page;
    yield* age_page_up(page);
    return 0;
  }
  if (!onlist) {
    // Nobody else ages a page that is on no list.
    age_page_down_ageonly(page);
  }
  if (page_age(page) > 0 || !folio_trylock(page)) {
    return 0;
  }
  yield* takeEntry(mm, address, page_table, page);
  return 0;
}

/** mm/vmscan.c: swap_out_pmd() v2.4.0. Entries that are none are passed over at once. */
function* swap_out_pmd(
  mm: mm_struct,
  vma: vm_area_struct,
  dir: pte_ptr,
  start: number,
  end: number,
  at: scan,
): K<number> {
  for (
    let address = usedFrom(dir, start, end);
    address < end;
    address = usedFrom(dir, address + PAGE_SIZE, end)
  ) {
    mm.swap_address = address + PAGE_SIZE;
    const result = yield* try_to_swap_out(mm, vma, address, pte_offset(dir, address), at);
    if (result !== 0) {
      return result;
    }
  }
  return 0;
}

/** mm/vmscan.c: swap_out_vma() v2.4.0, with swap_out_pgd(). */
function* swap_out_vma(mm: mm_struct, vma: vm_area_struct, start: number, at: scan): K<number> {
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    return 0;
  }
  let address = start;
  while (address < vma.vm_end) {
    const { pmd, next } = tableAt(mm, address, vma.vm_end);
    const result = pmd === 0 ? 0 : yield* swap_out_pmd(mm, vma, pmd, address, next, at);
    if (result !== 0) {
      return result;
    }
    address = next;
  }
  return 0;
}

/** The VMAs of swap_out_mm() v2.4.0, from the cursor on. Preconditions: page_table_lock. */
function* scanVmas(mm: mm_struct, at: scan): K<number> {
  let address = mm.swap_address;
  let vma = find_vma(mm, address);
  if (vma !== null) {
    address = Math.max(address, vma.vm_start);
  }
  while (vma !== null) {
    const result: number = yield* swap_out_vma(mm, vma, address, at);
    if (result !== 0) {
      return result;
    }
    vma = vm_next(vma);
    address = vma?.vm_start ?? 0;
  }
  // The end of the address space is the end of its round.
  mm.swap_address = 0;
  mm.swap_cnt = 0;
  return 0;
}

/** mm/vmscan.c: swap_out_mm() v2.4.0. mmap_sem is not held: VMAs come and go under page_table_lock. */
export function* swap_out_mm(mm: mm_struct, at: scan): K<number> {
  yield* spin_lock(mm.page_table_lock);
  const result = yield* scanVmas(mm, at);
  spin_unlock(mm.page_table_lock);
  return result;
}

const SWAP_SHIFT = 5;
const SWAP_MIN = 8;

/** init_mm.mmlist: every address space with something in it, in the order of the list. */
export function swappableMms(): mm_struct[] {
  return list_entries(processGlobals().mmlist)
    .map(mmOfList)
    .filter((mm) => mm.mm_users > 0 && mm_rss(mm) > 0);
}

/**
 * The loop of swap_out() v2.4.0 over the list: the address space with the most left; with `assign` each is given
 * a part of its size anew. Atomic. Preconditions: mmlist_lock.
 */
function selectMm(assign: boolean): mm_struct | null {
  let best: mm_struct | null = null;
  let max_cnt = 0;
  for (const mm of swappableMms()) {
    if (assign) {
      mm.swap_cnt = Math.max(Math.floor(mm_rss(mm) / 2 ** SWAP_SHIFT), SWAP_MIN);
    }
    if (mm.swap_cnt > max_cnt) {
      max_cnt = mm.swap_cnt;
      best = mm;
    }
  }
  if (best !== null) {
    // Or it would go with its last user while it is scanned.
    mmget(best);
  }
  return best;
}

/** mm/vmscan.c: swap_out() v2.4.0: a turn of one address space. 1: it stopped because its round was over. */
export function* swap_out(at: scan): K<number> {
  const { mmlist_lock } = early24Globals();
  yield* spin_lock(mmlist_lock);
  let best = selectMm(false);
  spin_unlock(mmlist_lock);
  if (best === null) {
    yield* spin_lock(mmlist_lock);
    best = selectMm(true);
    spin_unlock(mmlist_lock);
  }
  if (best === null) {
    return 0;
  }
  const ret = yield* swap_out_mm(best, at);
  yield* mmput(best);
  return ret;
}
