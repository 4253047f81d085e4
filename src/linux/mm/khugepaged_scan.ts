/**
 * mm/khugepaged.c v6.18: the daemon: scans the address spaces on its list, block by block.
 *
 * Lock tree: khugepaged_mm_lock (dropped before), mmap_lock (trylock), then what a collapse takes
 * (mm/khugepaged_collapse.ts). Fidelity: dup for anonymous memory; it runs when the scenario says so and does not sleep
 * when a huge page cannot be had.
 */
import type { K } from '../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { mmdrop } from '../kernel/mm_count.ts';
import { VM_BUG_ON } from '../lib/bug.ts';
import { list_del, list_empty, list_is_last, list_next } from '../lib/list.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { hpage_collapse_scan_pmd } from './khugepaged.ts';
import type { scan_result } from './khugepaged_collapse.ts';
import {
  collapse_allowed,
  hpage_collapse_test_exit,
  KHUGEPAGED,
  khugepagedGlobals,
} from './khugepaged_mm.ts';
import { type khugepaged_mm_slot, khugepaged_mm_slot_cachep } from './khugepaged_types.ts';
import { PMD_SIZE } from './mm.ts';
import { mmap_read_trylock, mmap_read_unlock } from './mmap_lock.ts';
import { HPAGE_PMD_NR } from './pgtable.ts';
import { huge_base } from './pgtable_huge.ts';
import { lru_add_drain } from './swap.ts';
import { find_vma, vmaTreeNext } from './vma_tree.ts';

const slotOfNode = khugepaged_mm_slot_cachep.container('mm_node');

/** khugepaged_pages_to_scan, as it is after boot. */
const khugepaged_pages_to_scan = HPAGE_PMD_NR * 8;

/** Where one call of khugepaged_scan_mm_slot() is. */
interface mm_scan {
  /** Pages looked at, and how many are wanted. */
  progress: number;
  readonly pages: number;
  result: scan_result;
  /** A collapse has dropped it. */
  mmap_locked: boolean;
}

/** The blocks of one VMA, from the cursor on. True: on to the next VMA. Preconditions: mmap_lock held for read. */
function* scanVma(mm: mm_struct, vma: vm_area_struct, scan: mm_scan): K<boolean> {
  const cursor = khugepagedGlobals();
  const hstart = huge_base(vma.vm_start + PMD_SIZE - 1);
  const hend = huge_base(vma.vm_end);
  if (!collapse_allowed(vma, vma.vm_flags, KHUGEPAGED) || cursor.scan_address > hend) {
    scan.progress = scan.progress + 1;
    return true;
  }
  if (cursor.scan_address < hstart) {
    cursor.scan_address = hstart;
  }
  VM_BUG_ON(cursor.scan_address % PMD_SIZE !== 0, 'khugepaged_scan.address & ~HPAGE_PMD_MASK');
  while (cursor.scan_address < hend) {
    if (hpage_collapse_test_exit(mm)) {
      return false;
    }
    const end = yield* hpage_collapse_scan_pmd(mm, cursor.scan_address, KHUGEPAGED);
    scan.result = end.result;
    scan.mmap_locked = end.mmap_locked;
    if (end.result === 'SUCCEED') {
      cursor.khugepaged_pages_collapsed = cursor.khugepaged_pages_collapsed + 1;
    }
    cursor.scan_address = cursor.scan_address + PMD_SIZE;
    scan.progress = scan.progress + HPAGE_PMD_NR;
    // Without the lock the VMA may be gone.
    if (!end.mmap_locked || scan.progress >= scan.pages) {
      return false;
    }
  }
  return true;
}

/** The VMAs of the cursor's mm. True: all of them were scanned. */
function* scanMm(mm: mm_struct, scan: mm_scan): K<boolean> {
  if (!mmap_read_trylock(mm)) {
    // Rather the next mm than to wait.
    return true;
  }
  scan.progress = scan.progress + 1;
  let vma: vm_area_struct | null = null;
  if (!hpage_collapse_test_exit(mm)) {
    vma = find_vma(mm, khugepagedGlobals().scan_address);
    while (vma !== null) {
      if (hpage_collapse_test_exit(mm)) {
        scan.progress = scan.progress + 1;
        break;
      }
      if (!(yield* scanVma(mm, vma, scan))) {
        break;
      }
      vma = vmaTreeNext(vma);
    }
  }
  if (scan.mmap_locked) {
    mmap_read_unlock(mm);
  }
  return vma === null;
}

/** mm/khugepaged.c: collect_mm_slot() v6.18. Preconditions: khugepaged_mm_lock. */
function* collect_mm_slot(slot: khugepaged_mm_slot): K {
  const mm = slot.mm as mm_struct;
  if (hpage_collapse_test_exit(mm)) {
    list_del(slot.mm_node);
    khugepaged_mm_slot_cachep.free(slot);
    yield* mmdrop(mm);
  }
}

/**
 * mm/khugepaged.c: khugepaged_scan_mm_slot() v6.18: goes on with the mm of the cursor, until enough pages were looked at,
 * a collapse has dropped mmap_lock, or the mm is done. Preconditions: khugepaged_mm_lock, which is dropped meanwhile.
 */
function* khugepaged_scan_mm_slot(
  pages: number,
): K<{ readonly progress: number; readonly result: scan_result }> {
  const globals = khugepagedGlobals();
  const head = globals.scan_mm_head as khugepaged_mm_slot;
  VM_BUG_ON(pages === 0, '!pages');
  if (globals.scan_mm_slot === null) {
    globals.scan_address = 0;
    globals.scan_mm_slot = slotOfNode(list_next(head.mm_node));
  }
  const slot = globals.scan_mm_slot;
  spin_unlock(globals.khugepaged_mm_lock);
  const mm = slot.mm as mm_struct;
  const scan: mm_scan = { progress: 0, pages, result: 'FAIL', mmap_locked: true };
  const done = yield* scanMm(mm, scan);
  yield* spin_lock(globals.khugepaged_mm_lock);
  VM_BUG_ON(globals.scan_mm_slot !== slot, 'khugepaged_scan.mm_slot != slot');
  if (hpage_collapse_test_exit(mm) || done) {
    // From here on __khugepaged_exit() frees the slot.
    if (list_is_last(slot.mm_node, head.mm_node)) {
      globals.scan_mm_slot = null;
      globals.khugepaged_full_scans = globals.khugepaged_full_scans + 1;
    } else {
      globals.scan_mm_slot = slotOfNode(list_next(slot.mm_node));
      globals.scan_address = 0;
    }
    yield* collect_mm_slot(slot);
  }
  return { progress: scan.progress, result: scan.result };
}

/** mm/khugepaged.c: khugepaged_do_scan() v6.18: what the daemon does each time it wakes up. */
function* khugepaged_do_scan(): K {
  const globals = khugepagedGlobals();
  const head = globals.scan_mm_head as khugepaged_mm_slot;
  let progress = 0;
  let pass_through_head = 0;
  let wait = true;
  lru_add_drain();
  for (;;) {
    let result: scan_result = 'SUCCEED';
    yield* spin_lock(globals.khugepaged_mm_lock);
    if (globals.scan_mm_slot === null) {
      pass_through_head = pass_through_head + 1;
    }
    if (!list_empty(head.mm_node) && pass_through_head < 2) {
      const scan = yield* khugepaged_scan_mm_slot(khugepaged_pages_to_scan - progress);
      progress = progress + scan.progress;
      result = scan.result;
    } else {
      progress = khugepaged_pages_to_scan;
    }
    spin_unlock(globals.khugepaged_mm_lock);
    if (progress >= khugepaged_pages_to_scan) {
      break;
    }
    if (result === 'ALLOC_HUGE_PAGE_FAIL') {
      // Linux sleeps a minute the first time.
      if (!wait) {
        break;
      }
      wait = false;
    }
  }
}

/** khugepaged wakes up that many times. Number of huge pages made. */
export function* scanHugeMemory(times: number): K<number> {
  const before = khugepagedGlobals().khugepaged_pages_collapsed;
  for (let left = times; left > 0; left = left - 1) {
    yield* khugepaged_do_scan();
  }
  return khugepagedGlobals().khugepaged_pages_collapsed - before;
}
