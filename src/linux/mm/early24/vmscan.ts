/**
 * mm/vmscan.c v2.4.0: the lists of pages (refill_inactive_scan(), page_launder(), reclaim_page()), and the aimed work of
 * scenarios. What is asked of one page there, this kernel can only do to all pages at once: reclaim of a page
 * is swap_out() again and again until the scan has come by all of its entries, and who looks for the entries of
 * a page looks at every entry that there is.
 *
 * Lock tree: page_table_lock; page lock (tried) -> pagecache_lock -> pagemap_lru_lock.
 * Fidelity: dup of what the lists do to one page; custom: the order in which the lists are worked, and the aim.
 */
import { read_heap } from '../../../sim/cpu.ts';
import { taskBlock } from '../../../sim/task.ts';
import type { K } from '../../../sim/wait.ts';
import { EBUSY, ENOENT, ESRCH } from '../../errno.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { mmget, mmput } from '../../kernel/mm_users.ts';
import {
  mem_map,
  type mm_struct,
  type page,
  type task_struct,
  type vm_area_struct,
} from '../../mm_types.ts';
import { trace_swap_out, trace_walk_begin, trace_walk_end } from '../events.ts';
import { folio_trylock, folio_unlock } from '../folio_lock.ts';
import { PAGE_SIZE } from '../mm.ts';
import { LRU_ACTIVE_ANON, LRU_ACTIVE_FILE } from '../mmzone_types.ts';
import { NODE_DATA } from '../node.ts';
import { folio_try_get } from '../page_alloc.ts';
import { __filemap_remove_folio, folio_mapping } from '../page_cache.ts';
import {
  folio_clear,
  folio_test_active,
  folio_test_clear,
  folio_test_dirty,
  folio_test_swapcache,
  folio_test_writeback,
  PG_dirty,
  PG_referenced,
} from '../page-flags.ts';
import {
  pte_offset,
  pte_page,
  pte_present,
  type pte_ptr,
  ptep_get,
  ptep_test_and_clear_young,
} from '../pgtable.ts';
import { folio_put, lru_add_drain } from '../swap.ts';
import { lruvec_add_folio, lruvec_del_folio } from '../swap_lru.ts';
import { swap_cache_del_folio, writeSwapDevice } from '../swapfile.ts';
import { vmaTreeRange } from '../vma_tree.ts';
import { early24Globals } from './globals.ts';
import { mm_rss, PageReserved } from './mapped.ts';
import {
  __lru_cache_del,
  age_page_down_ageonly,
  age_page_up_nolock,
  deactivate_page_nolock,
  page_age,
} from './page_age.ts';
import { type scan, scanFor, swap_out, swappableMms, visit } from './swap_out.ts';
import { pteAt, tableAt, usedFrom } from './zap.ts';

// ---------------------------------------------------------------- the active list

/** Pages of a list, from its tail, as it is now. */
export function pagesFromTail(lru: number): page[] {
  const pages: page[] = [];
  for (let link = read_heap(NODE_DATA().lists + lru * 3 + 1); link !== 0; ) {
    const page = mem_map.at(link - 1);
    pages.push(page);
    link = page.lru_prev;
  }
  return pages;
}

/** One page of refill_inactive_scan() v2.4.0. Atomic. Preconditions: pagemap_lru_lock. */
function agePage(page: page): void {
  if (folio_test_clear(page, PG_referenced)) {
    age_page_up_nolock(page);
  } else {
    age_page_down_ageonly(page);
    if (page_age(page) === 0 && page._refcount <= 1) {
      deactivate_page_nolock(page);
    }
  }
  if (folio_test_active(page)) {
    // To the other end of the list.
    lruvec_del_folio(page);
    lruvec_add_folio(page);
  }
}

/**
 * mm/vmscan.c: refill_inactive_scan() v2.4.0: pages of the active list grow older, all of them at priority 0. True: one was
 * found that is not needed there; with `oneshot` it is the last one looked at.
 */
export function* refill_inactive_scan(priority: number, oneshot: boolean): K<boolean> {
  const { pagemap_lru_lock } = early24Globals();
  let ret = false;
  yield* spin_lock(pagemap_lru_lock);
  const pages = [...pagesFromTail(LRU_ACTIVE_FILE), ...pagesFromTail(LRU_ACTIVE_ANON)];
  for (const page of pages.slice(0, Math.floor(pages.length / 2 ** priority))) {
    agePage(page);
    if (!folio_test_active(page)) {
      ret = true;
      if (oneshot) {
        break;
      }
    }
  }
  spin_unlock(pagemap_lru_lock);
  return ret;
}

// ---------------------------------------------------------------- a page that nothing maps any more

/** page_launder() v2.4.0 of one page of the swap cache: writes it if it is dirty. Preconditions: page lock. */
function launder(page: page): void {
  if (folio_test_dirty(page)) {
    folio_clear(page, PG_dirty);
    writeSwapDevice(page);
    trace_swap_out({ page, entry: page.private });
  }
}

/** What reclaim_page() asks of a page: nobody but its cache, and the caller here, has it. */
const isFreeable = (page: page): boolean => page._refcount === 2 && !folio_test_writeback(page);

/** The end of reclaim_page() v2.4.0: out of its cache and its list. Atomic: pagecache_lock and pagemap_lru_lock. */
function removeFromCaches(page: page): boolean {
  if (!isFreeable(page) || folio_test_dirty(page)) {
    return false;
  }
  __lru_cache_del(page);
  if (folio_test_swapcache(page)) {
    swap_cache_del_folio(page);
  } else {
    __filemap_remove_folio(page);
    folio_put(page);
  }
  return true;
}

/**
 * What page_launder() and then reclaim_page() v2.4.0 do to one page: true if it is free when the caller's reference
 * goes. Pages of files that are dirty are left to whoever writes files.
 */
export function* launderAndReclaim(page: page): K<boolean> {
  const { pagecache_lock, pagemap_lru_lock } = early24Globals();
  const cached = folio_test_swapcache(page) || folio_mapping(page) !== null;
  if (page_age(page) > 0 || !cached || !isFreeable(page) || !folio_trylock(page)) {
    return false;
  }
  if (folio_test_swapcache(page)) {
    launder(page);
  }
  yield* spin_lock(pagecache_lock);
  yield* spin_lock(pagemap_lru_lock);
  const free = removeFromCaches(page);
  spin_unlock(pagemap_lru_lock);
  spin_unlock(pagecache_lock);
  folio_unlock(page);
  return free;
}

// ---------------------------------------------------------------- aimed work

/**
 * The page that a task maps at an address, or a negative errno. No reference is taken: the page would not look
 * unused to the code that asks for its count.
 */
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
  return page;
}

/** Each halving of the greatest age, and one more to be sure. */
const ROUNDS = 8;

/** Turns of swap_out() in which every address space has been gone through. */
function turnsOfARound(): number {
  let turns = 1;
  for (const mm of swappableMms()) {
    turns += 2 + Math.ceil(mm_rss(mm) / 8);
  }
  return turns;
}

/** Whether nobody maps the page. */
const isUnmapped = (page: page): boolean => page._mapcount < 0;

/** The scan until `page` is out of all page tables, is found in use, or has survived it. */
function* scanUntilUnmapped(page: page, at: scan): K {
  for (let round = 0; round < ROUNDS; round = round + 1) {
    for (let turn = turnsOfARound(); turn > 0; turn = turn - 1) {
      yield* swap_out(at);
      if (isUnmapped(page) || at.young) {
        return;
      }
    }
    yield* refill_inactive_scan(0, false);
  }
}

/**
 * Reclaims the page that task number `task` maps at `address`, by the only means there is: do_try_to_free_pages() until
 * it is the page's turn. Other pages go on the way. 1 freed, 0 kept, or a negative errno.
 */
export function* reclaimAt(task: number, address: number): K<number> {
  const page = pageAt(task, address);
  if (typeof page === 'number') {
    return page;
  }
  lru_add_drain();
  const at = scanFor(page);
  trace_walk_begin({ page, anon_vma: null, index: address, purpose: 'swap_out' });
  yield* scanUntilUnmapped(page, at);
  trace_walk_end({ page, visits: at.visits, hits: at.hits, stopped: 1 });
  if (isUnmapped(page) && page_age(page) > 0) {
    yield* refill_inactive_scan(0, false);
  }
  if (!isUnmapped(page) || !folio_try_get(page)) {
    return 0;
  }
  const free = yield* launderAndReclaim(page);
  folio_put(page);
  return free ? 1 : 0;
}

/** One entry of scanYoung(): 1 if it maps the page and was used. Atomic. Preconditions: page_table_lock. */
function lookAt(vma: vm_area_struct, address: number, ptep: pte_ptr, at: scan): number {
  const pte = ptep_get(ptep);
  if (!pte_present(pte) || PageReserved(pte_page(pte))) {
    return 0;
  }
  visit(at, vma, address, pte_page(pte));
  if (pte_page(pte) !== at.page) {
    return 0;
  }
  return ptep_test_and_clear_young(vma, address, ptep) ? 1 : 0;
}

/** Every entry of one address space. Entries that were used and map the page. Preconditions: page_table_lock. */
function* scanSpace(mm: mm_struct, at: scan): K<number> {
  let referenced = 0;
  for (const vma of vmaTreeRange(mm)) {
    let address = vma.vm_start;
    while (address < vma.vm_end) {
      const { pmd, next } = tableAt(mm, address, vma.vm_end);
      if (pmd !== 0) {
        for (
          address = usedFrom(pmd, address, next);
          address < next;
          address = usedFrom(pmd, address + PAGE_SIZE, next)
        ) {
          referenced += lookAt(vma, address, pte_offset(pmd, address), at);
        }
      }
      address = next;
    }
  }
  return referenced;
}

/**
 * Who uses the page that task number `task` maps at `address`: the number of entries with the young bit, which is
 * cleared. This kernel never asks: swap_out() clears young bits one by one as it comes by, and what it found is
 * in the page's age. The question takes a scan of everything, each address space under its page_table_lock.
 */
export function* referencedAt(task: number, address: number): K<number> {
  const page = pageAt(task, address);
  if (typeof page === 'number') {
    return page;
  }
  const at = scanFor(page);
  let referenced = 0;
  trace_walk_begin({ page, anon_vma: null, index: address, purpose: 'scan' });
  for (const mm of swappableMms()) {
    mmget(mm);
    yield* spin_lock(mm.page_table_lock);
    referenced += yield* scanSpace(mm, at);
    spin_unlock(mm.page_table_lock);
    yield* mmput(mm);
  }
  trace_walk_end({ page, visits: at.visits, hits: at.hits, stopped: 0 });
  return referenced;
}
