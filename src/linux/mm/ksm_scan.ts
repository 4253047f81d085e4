/**
 * mm/ksm.c v6.18: the cursor of ksmd: from one address space, VMA and page to the next, and a pass over all.
 *
 * Lock tree: ksm_thread_mutex, mmap_lock for read, ptl; ksm_mmlist_lock inside mmap_lock. Fidelity: dup; a batch is
 * always a whole pass, and there is no advisor.
 */
import type { K } from '../../sim/wait.ts';
import { mutex_lock, mutex_unlock } from '../kernel/locking/mutex.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { mmdrop } from '../kernel/mm_count.ts';
import { list_del, list_empty, list_next } from '../lib/list.ts';
import { rb_init_root } from '../lib/rbtree.ts';
import type { folio, mm_struct, page, vm_area_struct } from '../mm_types.ts';
import { trace_ksm_start_scan, trace_ksm_stop_scan } from './events.ts';
import { should_failslab } from './failslab.ts';
import { ksm_test_exit, ksmGlobals } from './ksm_globals.ts';
import { cmp_and_merge_page } from './ksm_merge.ts';
import { remove_rmap_item_from_tree } from './ksm_tree.ts';
import {
  KSM_RUN_MERGE,
  KSM_RUN_STOP,
  type ksm_globals,
  type ksm_mm_slot,
  ksm_mm_slot_cachep,
  type ksm_rmap_item,
  ksm_rmap_item_cachep,
} from './ksm_types.ts';
import { vm_normal_page } from './memory.ts';
import { MMF_VM_MERGEABLE, mm_flags_clear, PAGE_SIZE, VM_MERGEABLE } from './mm.ts';
import { mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { folio_get, page_folio } from './page_alloc.ts';
import { folio_test_anon, folio_test_ksm } from './page-flags.ts';
import { pageInHugePmd, vm_normal_page_pmd } from './pagewalk.ts';
import {
  mm_find_pmd,
  pmd_addr_end,
  pmd_lock,
  pmd_present,
  pmd_trans_huge,
  pmdp_get,
  pte_offset_map_lock,
  pte_present,
  type pte_ptr,
  pte_unmap_unlock,
  ptep_get,
} from './pgtable.ts';
import { folio_put, lru_add_drain } from './swap.ts';
import { find_vma, vmaTreeNext } from './vma_tree.ts';

/** list_entry() of a slot. */
export const slotOfNode = ksm_mm_slot_cachep.container('mm_node');
const U8_MAX = 255;

// ---- items

/** *rmap_list: the item that the cursor's link leads to. */
function itemAtCursor(ksm: ksm_globals, mm_slot: ksm_mm_slot): ksm_rmap_item | null {
  return ksm.scan_prev === null ? mm_slot.rmap_list : ksm.scan_prev.rmap_list;
}

function setItemAtCursor(ksm: ksm_globals, mm_slot: ksm_mm_slot, item: ksm_rmap_item | null): void {
  if (ksm.scan_prev === null) {
    mm_slot.rmap_list = item;
  } else {
    ksm.scan_prev.rmap_list = item;
  }
}

/** free_rmap_item(). */
function free_rmap_item(rmap_item: ksm_rmap_item): void {
  const ksm = ksmGlobals();
  const mm = rmap_item.mm as mm_struct;
  ksm.ksm_rmap_items = ksm.ksm_rmap_items - 1;
  mm.ksm_rmap_items = mm.ksm_rmap_items - 1;
  rmap_item.mm = null;
  ksm_rmap_item_cachep.free(rmap_item);
}

/** mm/ksm.c: remove_trailing_rmap_items() v6.18: from the cursor's link to the end of the list. */
export function* remove_trailing_rmap_items(mm_slot: ksm_mm_slot): K {
  const ksm = ksmGlobals();
  let rmap_item = itemAtCursor(ksm, mm_slot);
  while (rmap_item !== null) {
    setItemAtCursor(ksm, mm_slot, rmap_item.rmap_list);
    yield* remove_rmap_item_from_tree(rmap_item);
    free_rmap_item(rmap_item);
    rmap_item = itemAtCursor(ksm, mm_slot);
  }
}

/**
 * mm/ksm.c: get_next_rmap_item() v6.18: the item of `addr`, made if need be; the items of addresses passed over, where
 * nothing is mapped any more, go. NULL when memory is short.
 */
function* get_next_rmap_item(mm_slot: ksm_mm_slot, addr: number): K<ksm_rmap_item | null> {
  const ksm = ksmGlobals();
  let rmap_item = itemAtCursor(ksm, mm_slot);
  while (rmap_item !== null) {
    if (rmap_item.address === addr) {
      return rmap_item;
    }
    if (rmap_item.address > addr) {
      break;
    }
    setItemAtCursor(ksm, mm_slot, rmap_item.rmap_list);
    yield* remove_rmap_item_from_tree(rmap_item);
    free_rmap_item(rmap_item);
    rmap_item = itemAtCursor(ksm, mm_slot);
  }
  if (should_failslab()) {
    return null;
  }
  const made = ksm_rmap_item_cachep.alloc();
  const mm = mm_slot.mm as mm_struct;
  ksm.ksm_rmap_items = ksm.ksm_rmap_items + 1;
  made.mm = mm;
  mm.ksm_rmap_items = mm.ksm_rmap_items + 1;
  made.address = addr;
  made.rmap_list = itemAtCursor(ksm, mm_slot);
  setItemAtCursor(ksm, mm_slot, made);
  return made;
}

/** mm/ksm.c: skip_age() v6.18. */
function skip_age(age: number): number {
  if (age <= 3) {
    return 1;
  }
  if (age <= 5) {
    return 2;
  }
  return age <= 8 ? 4 : 8;
}

/** mm/ksm.c: should_skip_rmap_item() v6.18: smart_scan passes over pages that never found a match. */
function* should_skip_rmap_item(folio: folio, rmap_item: ksm_rmap_item): K<boolean> {
  const ksm = ksmGlobals();
  if (ksm.ksm_smart_scan === 0 || folio_test_ksm(folio)) {
    return false;
  }
  const age = rmap_item.age;
  if (age !== U8_MAX) {
    rmap_item.age = age + 1;
  }
  if (age < 3) {
    return false;
  }
  if (rmap_item.remaining_skips === 0) {
    rmap_item.remaining_skips = skip_age(age);
    return false;
  }
  ksm.ksm_pages_skipped = ksm.ksm_pages_skipped + 1;
  rmap_item.remaining_skips = rmap_item.remaining_skips - 1;
  yield* remove_rmap_item_from_tree(rmap_item);
  return true;
}

// ---- pages

/** A mapped anonymous page, with a reference, and its address. */
interface mapped_page {
  readonly page: page;
  readonly addr: number;
}

/** mm/ksm.c: ksm_next_page_pmd_entry() v6.18: the first anonymous page in [start, end) of one table. */
function* ksm_next_page_pmd_entry(
  vma: vm_area_struct,
  pmdp: pte_ptr,
  start: number,
  end: number,
): K<mapped_page | null> {
  const mm = vma.vm_mm as mm_struct;
  if (ksm_test_exit(mm)) {
    return null;
  }
  if (!pmd_present(pmdp_get(pmdp))) {
    return null;
  }
  if (pmd_trans_huge(pmdp_get(pmdp))) {
    const ptl = yield* pmd_lock(pmdp);
    const pmd = pmdp_get(pmdp);
    let page: page | null = null;
    if (pmd_trans_huge(pmd)) {
      const head = vm_normal_page_pmd(vma, start, pmd);
      if (head !== null && folio_test_anon(page_folio(head))) {
        page = pageInHugePmd(head, start);
        folio_get(page_folio(head));
      }
    }
    spin_unlock(ptl);
    if (!pmd_present(pmd) || pmd_trans_huge(pmd)) {
      return page === null ? null : { page, addr: start };
    }
    // It was split before we had the lock.
  }
  const start_ptep = yield* pte_offset_map_lock(mm, pmdp, start);
  if (start_ptep === 0) {
    return null;
  }
  let found: mapped_page | null = null;
  let ptep = start_ptep;
  for (let addr = start; addr < end && found === null; addr += PAGE_SIZE, ptep += 1) {
    const pte = ptep_get(ptep);
    if (!pte_present(pte)) {
      continue;
    }
    const page = vm_normal_page(vma, addr, pte);
    if (page === null) {
      continue;
    }
    const folio = page_folio(page);
    if (!folio_test_anon(folio)) {
      continue;
    }
    folio_get(folio);
    found = { page, addr };
  }
  pte_unmap_unlock(start_ptep);
  return found;
}

/** walk_page_range_vma() for the next anonymous page of the VMA from `start` on. */
function* nextMappedPage(vma: vm_area_struct, start: number): K<mapped_page | null> {
  const mm = vma.vm_mm as mm_struct;
  let addr = start;
  while (addr < vma.vm_end) {
    const next = pmd_addr_end(addr, vma.vm_end);
    const pmdp = mm_find_pmd(mm, addr);
    if (pmdp !== 0) {
      const found = yield* ksm_next_page_pmd_entry(vma, pmdp, addr, next);
      if (found !== null) {
        return found;
      }
    }
    addr = next;
  }
  return null;
}

/** What a scan looks at next; `rmap_item` is null when memory is short, which ends the batch. */
interface scanned_page {
  readonly page: page;
  readonly rmap_item: ksm_rmap_item | null;
}

/** The loop of scan_get_next_rmap_item() over one VMA, from the cursor on. */
function* nextPageOfVma(mm_slot: ksm_mm_slot, vma: vm_area_struct): K<scanned_page | null> {
  const ksm = ksmGlobals();
  const mm = mm_slot.mm as mm_struct;
  if (ksm.scan_address < vma.vm_start) {
    ksm.scan_address = vma.vm_start;
  }
  if (vma.anon_vma === null) {
    ksm.scan_address = vma.vm_end;
  }
  while (ksm.scan_address < vma.vm_end) {
    if (ksm_test_exit(mm)) {
      break;
    }
    const found = yield* nextMappedPage(vma, ksm.scan_address);
    if (found === null) {
      ksm.scan_address = vma.vm_end;
      break;
    }
    ksm.scan_address = found.addr;
    const page = found.page;
    const folio = page_folio(page);
    const rmap_item = yield* get_next_rmap_item(mm_slot, found.addr);
    if (rmap_item === null) {
      folio_put(folio);
      return { page, rmap_item };
    }
    ksm.scan_prev = rmap_item;
    if (yield* should_skip_rmap_item(folio, rmap_item)) {
      folio_put(folio);
      ksm.scan_address = ksm.scan_address + PAGE_SIZE;
      continue;
    }
    ksm.scan_address = ksm.scan_address + PAGE_SIZE;
    return { page, rmap_item };
  }
  return null;
}

/** The rest of the cursor's mm: its next page, or null. Preconditions: mmap_lock for read. */
function* nextPageOfMm(mm_slot: ksm_mm_slot): K<scanned_page | null> {
  const ksm = ksmGlobals();
  const mm = mm_slot.mm as mm_struct;
  if (ksm_test_exit(mm)) {
    return null;
  }
  let vma = find_vma(mm, ksm.scan_address);
  while (vma !== null) {
    if ((vma.vm_flags & VM_MERGEABLE) !== 0) {
      const scanned = yield* nextPageOfVma(mm_slot, vma);
      if (scanned !== null) {
        return scanned;
      }
    }
    vma = vmaTreeNext(vma);
  }
  return null;
}

/** The start of a pass: everything settles, the unstable tree is forgotten. False if the list has become empty. */
function* startPass(ksm: ksm_globals): K<boolean> {
  const head = ksm.ksm_mm_head as ksm_mm_slot;
  trace_ksm_start_scan({ seq: ksm.scan_seqnr, rmap_entries: ksm.ksm_rmap_items });
  // Pages in a per-CPU batch have a reference more than write_protect_page() allows.
  lru_add_drain();
  rb_init_root(ksm.root_unstable_tree);
  yield* spin_lock(ksm.ksm_mmlist_lock);
  const mm_slot = slotOfNode(list_next(head.mm_node));
  ksm.scan_mm_slot = mm_slot;
  spin_unlock(ksm.ksm_mmlist_lock);
  if (mm_slot === head) {
    return false;
  }
  ksm.scan_address = 0;
  ksm.scan_prev = null;
  return true;
}

/**
 * The end of one mm: items behind the last page go, the cursor goes on. An mm that was found without a mergeable VMA,
 * which includes one that is exiting, leaves the list. Preconditions: mmap_lock for read; it is dropped.
 */
function* leaveMm(ksm: ksm_globals, mm_slot: ksm_mm_slot): K {
  const mm = mm_slot.mm as mm_struct;
  if (ksm_test_exit(mm)) {
    ksm.scan_address = 0;
    ksm.scan_prev = null;
  }
  yield* remove_trailing_rmap_items(mm_slot);
  yield* spin_lock(ksm.ksm_mmlist_lock);
  ksm.scan_mm_slot = slotOfNode(list_next(mm_slot.mm_node));
  if (ksm.scan_address === 0) {
    list_del(mm_slot.mm_node);
    spin_unlock(ksm.ksm_mmlist_lock);
    ksm_mm_slot_cachep.free(mm_slot);
    // MMF_VM_MERGE_ANY stays: the process may have had no time to map anything yet.
    mm_flags_clear(MMF_VM_MERGEABLE, mm);
    mmap_read_unlock(mm);
    yield* mmdrop(mm);
  } else {
    // Before the spinlock: once that is free, the mm may go at any moment.
    mmap_read_unlock(mm);
    spin_unlock(ksm.ksm_mmlist_lock);
  }
}

/** mm/ksm.c: scan_get_next_rmap_item() v6.18: the next page of the pass and its item; null at the end of the pass. */
function* scan_get_next_rmap_item(): K<scanned_page | null> {
  const ksm = ksmGlobals();
  const head = ksm.ksm_mm_head as ksm_mm_slot;
  if (list_empty(head.mm_node)) {
    return null;
  }
  if (ksm.scan_mm_slot === head && !(yield* startPass(ksm))) {
    return null;
  }
  for (;;) {
    const mm_slot = ksm.scan_mm_slot as ksm_mm_slot;
    const mm = mm_slot.mm as mm_struct;
    yield* mmap_read_lock(mm);
    const scanned = yield* nextPageOfMm(mm_slot);
    if (scanned !== null) {
      mmap_read_unlock(mm);
      return scanned;
    }
    yield* leaveMm(ksm, mm_slot);
    if (ksm.scan_mm_slot === head) {
      break;
    }
    ksm.scan_address = 0;
    ksm.scan_prev = null;
  }
  trace_ksm_stop_scan({ seq: ksm.scan_seqnr, rmap_entries: ksm.ksm_rmap_items });
  ksm.scan_seqnr = ksm.scan_seqnr + 1;
  return null;
}

/** mm/ksm.c: ksm_do_scan() v6.18, as many pages as there are. */
function* ksm_do_scan(): K {
  const ksm = ksmGlobals();
  for (;;) {
    const scanned = yield* scan_get_next_rmap_item();
    if (scanned === null || scanned.rmap_item === null) {
      return;
    }
    yield* cmp_and_merge_page(scanned.page, scanned.rmap_item);
    // Its folio may be another one now: a large one may have been split.
    folio_put(page_folio(scanned.page));
    ksm.ksm_pages_scanned = ksm.ksm_pages_scanned + 1;
  }
}

/** ksm_scan_thread() between writing 1 and 0 to `run`, for `passes` batches of a whole pass each. 0. */
export function* scanMergeablePages(passes: number): K<number> {
  const ksm = ksmGlobals();
  for (let pass = 0; pass < passes; pass = pass + 1) {
    yield* mutex_lock(ksm.ksm_thread_mutex);
    ksm.ksm_run = KSM_RUN_MERGE;
    yield* ksm_do_scan();
    ksm.ksm_run = KSM_RUN_STOP;
    mutex_unlock(ksm.ksm_thread_mutex);
  }
  return 0;
}
