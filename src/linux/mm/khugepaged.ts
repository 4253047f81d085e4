/**
 * mm/khugepaged.c v6.18: which blocks of 512 small pages become a huge page: those that madvise(MADV_COLLAPSE) names, and
 * those that khugepaged finds. The collapse itself is mm/khugepaged_collapse.ts, the daemon
 * mm/khugepaged_scan.ts.
 *
 * Lock tree: mmap_lock (read) for the scan -> PTE lock. Fidelity: dup for anonymous memory; file mappings are refused.
 */

import { taskBlock } from '../../sim/task.ts';
import type { K } from '../../sim/wait.ts';
import { EAGAIN, EBUSY, EINVAL, ENOENT, ENOMEM, ESRCH } from '../errno.ts';
import { mmget_not_zero, mmput } from '../kernel/mm_users.ts';
import { BUG_ON } from '../lib/bug.ts';
import type { mm_struct, task_struct, vm_area_struct } from '../mm_types.ts';
import {
  collapse_huge_page,
  find_pmd_or_thp_or_none,
  hugepage_vma_revalidate,
  is_referenced,
  khugepaged_max_ptes_none,
  khugepaged_max_ptes_shared,
  khugepaged_max_ptes_swap,
  none_or_zero,
  type scan_result,
} from './khugepaged_collapse.ts';
import { collapse_allowed, type collapse_control, KHUGEPAGED } from './khugepaged_mm.ts';
import { folio_maybe_mapped_shared } from './large_folio.ts';
import { folio_expected_ref_count } from './migrate.ts';
import { PMD_SIZE } from './mm.ts';
import { mmap_assert_locked, mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { folio_ref_count, page_folio } from './page_alloc.ts';
import { folio_test_anon, folio_test_locked, folio_test_lru } from './page-flags.ts';
import {
  HPAGE_PMD_NR,
  is_swap_pte,
  mm_find_pmd,
  pte_offset_map_lock,
  pte_page,
  type pte_ptr,
  pte_special,
  type pte_t,
  pte_unmap_unlock,
  ptep_get,
} from './pgtable.ts';
import { huge_base } from './pgtable_huge.ts';
import { lru_add_drain } from './swap.ts';
/** What a scan came to, and whether mmap_lock is still held for read. */
export interface scan_end {
  readonly result: scan_result;
  readonly mmap_locked: boolean;
}

/** One entry of hpage_collapse_scan_pmd() that is not empty and not swapped out. */
function scanEntry(pteval: pte_t): scan_result {
  if (pte_special(pteval)) {
    return 'PAGE_NULL';
  }
  const folio = page_folio(pte_page(pteval));
  if (!folio_test_anon(folio)) {
    return 'PAGE_ANON';
  }
  if (!folio_test_lru(folio)) {
    return 'PAGE_LRU';
  }
  if (folio_test_locked(folio)) {
    return 'PAGE_LOCK';
  }
  return folio_expected_ref_count(folio) === folio_ref_count(folio) ? 'SUCCEED' : 'PAGE_COUNT';
}

/** What the scan of a table has counted so far. */
interface scan_counts {
  unmapped: number;
  none: number;
  shared: number;
  referenced: number;
}

/** One entry of hpage_collapse_scan_pmd(). */
function countEntry(pteval: pte_t, counts: scan_counts, cc: collapse_control): scan_result {
  const { is_khugepaged } = cc;
  if (is_swap_pte(pteval)) {
    counts.unmapped++;
    const many = is_khugepaged && counts.unmapped > khugepaged_max_ptes_swap;
    return many ? 'EXCEED_SWAP_PTE' : 'SUCCEED';
  }
  if (none_or_zero(pteval)) {
    counts.none++;
    const many = is_khugepaged && counts.none > khugepaged_max_ptes_none;
    return many ? 'EXCEED_NONE_PTE' : 'SUCCEED';
  }
  if (!pte_special(pteval)) {
    const folio = page_folio(pte_page(pteval));
    if (folio_test_anon(folio) && folio_maybe_mapped_shared(folio)) {
      counts.shared++;
      if (is_khugepaged && counts.shared > khugepaged_max_ptes_shared) {
        return 'EXCEED_SHARED_PTE';
      }
    }
  }
  const result = scanEntry(pteval);
  if (result === 'SUCCEED' && is_referenced(pteval, page_folio(pte_page(pteval)))) {
    counts.referenced++;
  }
  return result;
}

/** The loop of hpage_collapse_scan_pmd(), one atomic step. Preconditions: PTE lock. */
function scanTable(pte: pte_ptr, cc: collapse_control): { result: scan_result; unmapped: number } {
  const counts: scan_counts = { unmapped: 0, none: 0, shared: 0, referenced: 0 };
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const result = countEntry(ptep_get(pte + i), counts, cc);
    if (result !== 'SUCCEED') {
      return { result, unmapped: counts.unmapped };
    }
  }
  const { unmapped, referenced } = counts;
  const unused = referenced === 0 || (unmapped > 0 && referenced < HPAGE_PMD_NR / 2);
  return { result: cc.is_khugepaged && unused ? 'LACK_REFERENCED_PAGE' : 'SUCCEED', unmapped };
}

/** mm/khugepaged.c: hpage_collapse_scan_pmd() v6.18. Preconditions: mmap_lock held for read. */
export function* hpage_collapse_scan_pmd(
  mm: mm_struct,
  start_addr: number,
  cc: collapse_control,
): K<scan_end> {
  const state = find_pmd_or_thp_or_none(mm, start_addr);
  if (state !== 'SUCCEED') {
    return { result: state, mmap_locked: true };
  }
  const pte = yield* pte_offset_map_lock(mm, mm_find_pmd(mm, start_addr), start_addr);
  if (pte === 0) {
    return { result: 'PMD_NULL', mmap_locked: true };
  }
  const { result, unmapped } = scanTable(pte, cc);
  pte_unmap_unlock(pte);
  if (result !== 'SUCCEED') {
    return { result, mmap_locked: true };
  }
  return { result: yield* collapse_huge_page(mm, start_addr, unmapped, cc), mmap_locked: false };
}

/** mm/khugepaged.c: madvise_collapse_errno() v6.18. */
function madvise_collapse_errno(result: scan_result): number {
  switch (result) {
    case 'ALLOC_HUGE_PAGE_FAIL':
      return -ENOMEM;
    case 'EXCEED_NONE_PTE':
      return -EBUSY;
    case 'PAGE_COUNT':
    case 'PAGE_LOCK':
    case 'PAGE_LRU':
    case 'DEL_PAGE_LRU':
      return -EAGAIN;
    default:
      return -EINVAL;
  }
}

/** Results after which madvise_collapse() goes on with the next block. */
const GO_ON: readonly scan_result[] = [
  'PMD_NULL',
  'PTE_NON_PRESENT',
  'LACK_REFERENCED_PAGE',
  'PAGE_NULL',
  'PAGE_COUNT',
  'PAGE_LOCK',
  'PAGE_LRU',
  'DEL_PAGE_LRU',
];

const FORCED: collapse_control = { is_khugepaged: false };

/** What madvise_collapse() returns. With lock_dropped the VMA may be gone. */
interface collapse_end {
  readonly error: number;
  readonly lock_dropped: boolean;
}

/** mm/khugepaged.c: madvise_collapse() v6.18. Preconditions: mmap_lock held for read, and it is again at the end. */
export function* madvise_collapse(
  first_vma: vm_area_struct,
  start: number,
  end: number,
): K<collapse_end> {
  const mm = first_vma.vm_mm as mm_struct;
  BUG_ON(first_vma.vm_start > start, 'vma->vm_start > start');
  BUG_ON(first_vma.vm_end < end, 'vma->vm_end < end');
  if (!collapse_allowed(first_vma, first_vma.vm_flags, FORCED)) {
    return { error: -EINVAL, lock_dropped: false };
  }
  lru_add_drain();
  const hstart = huge_base(start + PMD_SIZE - 1);
  let hend = huge_base(end);
  let thps = 0;
  let last_fail: scan_result = 'FAIL';
  let mmap_locked = true;
  let lock_dropped = false;
  for (let addr = hstart; addr < hend; addr += PMD_SIZE) {
    if (!mmap_locked) {
      yield* mmap_read_lock(mm);
      mmap_locked = true;
      const valid = hugepage_vma_revalidate(mm, addr, false, FORCED);
      if (valid.result !== 'SUCCEED') {
        last_fail = valid.result;
        break;
      }
      hend = Math.min(hend, huge_base((valid.vma as vm_area_struct).vm_end));
    }
    mmap_assert_locked(mm);
    const scan = yield* hpage_collapse_scan_pmd(mm, addr, FORCED);
    mmap_locked = scan.mmap_locked;
    lock_dropped = lock_dropped || !mmap_locked;
    if (scan.result === 'SUCCEED' || scan.result === 'PMD_MAPPED') {
      thps++;
      continue;
    }
    last_fail = scan.result;
    if (!GO_ON.includes(scan.result)) {
      break;
    }
  }
  if (!mmap_locked) {
    yield* mmap_read_lock(mm);
  }
  mmap_assert_locked(mm);
  const all = thps === (hend - hstart) / PMD_SIZE;
  return { error: all ? 0 : madvise_collapse_errno(last_fail), lock_dropped };
}

/**
 * What khugepaged does to one block: collapses the one around `address` of task number `task`. 0, or a negative errno as
 * MADV_COLLAPSE would have it for the same reason; -ENOENT: nothing is mapped there.
 */
export function* collapseAt(task: number, address: number): K<number> {
  const mm = (taskBlock(task).context as task_struct | null)?.mm ?? null;
  if (mm === null || !mmget_not_zero(mm)) {
    return -ESRCH;
  }
  lru_add_drain();
  yield* mmap_read_lock(mm);
  const addr = huge_base(address);
  const valid = hugepage_vma_revalidate(mm, addr, true, KHUGEPAGED);
  let scan: scan_end = { result: valid.result, mmap_locked: true };
  if (valid.result === 'SUCCEED') {
    scan = yield* hpage_collapse_scan_pmd(mm, addr, KHUGEPAGED);
  }
  if (scan.mmap_locked) {
    mmap_read_unlock(mm);
  }
  yield* mmput(mm);
  if (scan.result === 'SUCCEED' || scan.result === 'PMD_MAPPED') {
    return 0;
  }
  return scan.result === 'VMA_NULL' ? -ENOENT : madvise_collapse_errno(scan.result);
}
