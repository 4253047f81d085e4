/**
 * mm/madvise.c v6.18: madvise(2).
 *
 * Lock tree: by advice mmap_lock (write) -> vma_start_write(), mmap_lock (read), or the read lock of the one
 * VMA concerned. Fidelity: dup for the walk, the errors, the advice that changes VMA flags, DONTNEED,
 * the advice about single pages and guard regions, and COLLAPSE (mm/khugepaged.ts).
 */

import type { K } from '../../sim/wait.ts';
import { EACCES, EAGAIN, EINTR, EINVAL, ENOMEM, EPERM, ERESTARTNOINTR } from '../errno.ts';
import { fput, get_file } from '../fs/file_table.ts';
import { punchHole } from '../fs/open.ts';
import { current_mm } from '../kernel/current.ts';
import { anon_rmap, has } from '../kernel.ts';
import type { address_space, mm_struct, vm_area_struct } from '../mm_types.ts';
import { readAhead } from './filemap.ts';
import { guard_install_range, guard_remove_range } from './guard.ts';
import { madvise_populate } from './gup.ts';
import { madvise_collapse } from './khugepaged.ts';
import { khugepaged_enter_vma } from './khugepaged_mm.ts';
import { ksm_madvise } from './ksm_unmerge.ts';
import { advisePageRange } from './madvise_walk.ts';
import { zap_page_range_single, zap_page_range_single_batched } from './memory_zap.ts';
import {
  is_shared_maywrite,
  linear_page_index,
  MADV_COLD,
  MADV_COLLAPSE,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MADV_HUGEPAGE,
  MADV_KEEPONFORK,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_SEQUENTIAL,
  MADV_UNMERGEABLE,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_DROPPABLE,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_IO,
  VM_LOCKED,
  VM_MAYBE_GUARD,
  VM_NOHUGEPAGE,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEQ_READ,
  VM_SHARED,
  VM_SPECIAL,
  VM_STICKY,
  VM_WIPEONFORK,
  VM_WRITE,
  vma_is_anonymous,
} from './mm.ts';
import {
  lock_vma_under_rcu,
  mmap_read_lock,
  mmap_read_unlock,
  mmap_write_lock_killable,
  mmap_write_unlock,
  vma_end_read,
  vma_start_write,
} from './mmap_lock.ts';
import { tlb_finish_mmu, tlb_gather_mmu } from './mmu_gather.ts';
import { page_cache_next_swap, page_cache_swap_entry, shmem_mapping } from './page_cache.ts';
import type { mmu_gather } from './pgtable_types.ts';
import { folio_put, lru_add_drain } from './swap.ts';
import { swapinPage } from './swap_state.ts';
import { vma_modify_flags } from './vma.ts';
import { vma_is_sealed } from './vma_munmap.ts';
import { find_vma, find_vma_prev } from './vma_tree.ts';

type madvise_lock_mode = 'none' | 'mmap_read' | 'mmap_write' | 'vma_read';

/** struct madvise_behavior: one madvise() and where it is. */
export interface madvise_behavior {
  readonly mm: mm_struct;
  readonly behavior: number;
  tlb: mmu_gather | null;
  lock_mode: madvise_lock_mode;
  start: number;
  end: number;
  prev: vm_area_struct | null;
  vma: vm_area_struct | null;
  /** The advice dropped mmap_lock for a while: no VMA from before may be used. */
  lock_dropped: boolean;
}

/** MAX_MADVISE_GUARD_RETRIES. */
const GUARD_RETRIES = 3;

const vmaOf = (m: madvise_behavior): vm_area_struct => m.vma as vm_area_struct;

/** mm/madvise.c: madvise_update_vma() v6.18. 0 or a negative errno. Preconditions: mmap_lock held for write. */
function* madvise_update_vma(new_flags: number, m: madvise_behavior): K<number> {
  const vma = vmaOf(m);
  if (new_flags === vma.vm_flags) {
    return 0;
  }
  const modified = yield* vma_modify_flags(m.prev, vma, m.start, m.end, new_flags);
  if (typeof modified === 'number') {
    return modified;
  }
  m.vma = modified;
  yield* vma_start_write(modified);
  modified.vm_flags = new_flags | (modified.vm_flags & VM_STICKY);
  return 0;
}

/** mm/madvise.c: madvise_dontneed_free_valid_vma() v6.18. */
function madvise_dontneed_free_valid_vma(m: madvise_behavior): boolean {
  const locked = m.behavior === MADV_DONTNEED_LOCKED ? 0 : VM_LOCKED;
  return (vmaOf(m).vm_flags & (VM_PFNMAP | locked)) === 0;
}

/** mm/madvise.c: madvise_free_single_vma() v6.18. Anonymous memory only. Preconditions: VMA or mmap_lock for read. */
function* madvise_free_single_vma(m: madvise_behavior): K<number> {
  const vma = vmaOf(m);
  if (!vma_is_anonymous(vma)) {
    return -EINVAL;
  }
  const start = Math.max(vma.vm_start, m.start);
  if (start >= vma.vm_end) {
    return -EINVAL;
  }
  const end = Math.min(vma.vm_end, m.end);
  if (end <= vma.vm_start) {
    return -EINVAL;
  }
  // Only a folio on a list can be moved to another one.
  lru_add_drain();
  yield* advisePageRange(vma, start, end, 'free');
  return 0;
}

/** mm/madvise.c: madvise_dontneed_free() v6.18. Nothing drops the lock here (that was for userfaultfd). */
function* madvise_dontneed_free(m: madvise_behavior): K<number> {
  const vma = vmaOf(m);
  if (!madvise_dontneed_free_valid_vma(m)) {
    return -EINVAL;
  }
  if (m.start === m.end) {
    return 0;
  }
  if (m.behavior === MADV_FREE) {
    return yield* madvise_free_single_vma(m);
  }
  // Private copies go too; guard markers stay.
  const details = { even_cows: true, drop_markers: false, reclaim_pt: has('pt_reclaim') };
  yield* zap_page_range_single_batched(m.tlb as mmu_gather, vma, m.start, m.end - m.start, details);
  return 0;
}

/**
 * mm/madvise.c: madvise_remove() v6.18: punches a hole into the mapped file. mmap_lock is dropped meanwhile,
 * because the file system takes locks of its own; the VMA may be gone afterwards.
 */
function* madvise_remove(m: madvise_behavior): K<number> {
  const vma = vmaOf(m);
  m.lock_dropped = true;
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    return -EINVAL;
  }
  const file = vma.vm_file;
  if (file === null || file.f_mapping === null) {
    return -EINVAL;
  }
  if (!is_shared_maywrite(vma.vm_flags)) {
    return -EACCES;
  }
  const offset = m.start - vma.vm_start + vma.vm_pgoff * PAGE_SIZE;
  const length = m.end - m.start;
  get_file(file);
  mmap_read_unlock(m.mm);
  const error = yield* punchHole(file, offset, length);
  fput(file);
  yield* mmap_read_lock(m.mm);
  return error;
}

/** mm/madvise.c: can_madv_lru_vma() v6.18. */
function can_madv_lru_vma(vma: vm_area_struct): boolean {
  return (vma.vm_flags & (VM_LOCKED | VM_PFNMAP | VM_HUGETLB)) === 0;
}

/** mm/madvise.c: madvise_cold() v6.18. 0 or -EINVAL. Preconditions: mmap_lock held for read. */
function* madvise_cold(m: madvise_behavior): K<number> {
  const vma = vmaOf(m);
  if (!can_madv_lru_vma(vma)) {
    return -EINVAL;
  }
  lru_add_drain();
  yield* advisePageRange(vma, m.start, m.end, 'cold');
  return 0;
}

/**
 * mm/madvise.c: madvise_pageout() v6.18. 0 or -EINVAL. The caller may write every file it maps
 * (can_do_file_pageout()). Preconditions: mmap_lock held for read.
 */
function* madvise_pageout(m: madvise_behavior): K<number> {
  const vma = vmaOf(m);
  if (!can_madv_lru_vma(vma)) {
    return -EINVAL;
  }
  lru_add_drain();
  yield* advisePageRange(vma, m.start, m.end, 'pageout');
  return 0;
}

/** mm/madvise.c: shmem_swapin_range() v6.18: tmpfs pages in swap are read into the swap cache. */
function* shmem_swapin_range(
  mapping: address_space,
  vma: vm_area_struct,
  start: number,
  end: number,
): K {
  const end_index = linear_page_index(vma, end) - 1;
  let index = page_cache_next_swap(mapping, linear_page_index(vma, start));
  while (index >= 0 && index <= end_index) {
    const folio = yield* swapinPage(page_cache_swap_entry(mapping, index));
    if (folio !== null) {
      folio_put(folio);
    }
    index = page_cache_next_swap(mapping, index + 1);
  }
}

/**
 * mm/madvise.c: madvise_willneed() v6.18. mmap_lock is dropped while a file is read: the VMA may be gone
 * afterwards.
 */
function* madvise_willneed(m: madvise_behavior): K<number> {
  const vma = vmaOf(m);
  const file = vma.vm_file;
  if (file === null) {
    yield* advisePageRange(vma, m.start, m.end, 'willneed');
    lru_add_drain();
    return 0;
  }
  const mapping = file.f_mapping;
  if (mapping === null || shmem_mapping(mapping)) {
    if (mapping !== null) {
      yield* shmem_swapin_range(mapping, vma, m.start, m.end);
    }
    lru_add_drain();
    return 0;
  }
  m.lock_dropped = true;
  get_file(file);
  const first = (m.start - vma.vm_start) / PAGE_SIZE + vma.vm_pgoff;
  const nr_pages = (m.end - m.start) / PAGE_SIZE;
  mmap_read_unlock(m.mm);
  yield* readAhead(mapping, first, nr_pages);
  fput(file);
  yield* mmap_read_lock(m.mm);
  return 0;
}

/** mm/madvise.c: is_valid_guard_vma() v6.18. */
function is_valid_guard_vma(vma: vm_area_struct, allow_locked: boolean): boolean {
  const disallowed = VM_SPECIAL | VM_HUGETLB | (allow_locked ? 0 : VM_LOCKED);
  return (vma.vm_flags & disallowed) === 0;
}

/** mm/madvise.c: madvise_guard_install() v6.18. Preconditions: mmap_lock held for read. */
function* madvise_guard_install(m: madvise_behavior): K<number> {
  const vma = vmaOf(m);
  if (!is_valid_guard_vma(vma, false)) {
    return -EINVAL;
  }
  if (has('maybe_guard')) {
    // 6.18.44: an atomic bit operation under the read lock; whoever must see it holds the write lock.
    vma.vm_flags = vma.vm_flags | VM_MAYBE_GUARD;
  }
  if (!has('maybe_guard') || vma_is_anonymous(vma)) {
    // Page tables that fork must copy: before the flag existed only an anon_vma could say so.
    const err = yield* anon_rmap().anon_vma_prepare(vma);
    if (err !== 0) {
      return err;
    }
  }
  for (let i = 0; i < GUARD_RETRIES; i += 1) {
    const err = yield* guard_install_range(vma, m.start, m.end);
    if (err <= 0) {
      return err;
    }
    // Something is mapped there: zap it and try again, racing with faults.
    yield* zap_page_range_single(vma, m.start, m.end - m.start, null);
  }
  return -ERESTARTNOINTR;
}

/** mm/madvise.c: madvise_guard_remove() v6.18. Preconditions: mmap_lock held for read. */
function* madvise_guard_remove(m: madvise_behavior): K<number> {
  const vma = vmaOf(m);
  if (!is_valid_guard_vma(vma, true)) {
    return -EINVAL;
  }
  yield* guard_remove_range(vma, m.start, m.end);
  return 0;
}

/** mm/madvise.c: is_discard() v6.18. */
function is_discard(behavior: number): boolean {
  switch (behavior) {
    case MADV_FREE:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_REMOVE:
    case MADV_DONTFORK:
    case MADV_WIPEONFORK:
    case MADV_GUARD_INSTALL:
      return true;
    default:
      return false;
  }
}

/** mm/madvise.c: can_madvise_modify() v6.18: a sealed anonymous VMA that is not writable keeps its data. */
function can_madvise_modify(vma: vm_area_struct, behavior: number): boolean {
  if (!vma_is_sealed(vma) || !is_discard(behavior) || !vma_is_anonymous(vma)) {
    return true;
  }
  return (vma.vm_flags & VM_WRITE) !== 0;
}

/** What the advice makes of the VMA's flags; a negative errno (as `error`) if it does not apply. */
function advisedFlags(vma: vm_area_struct, behavior: number): { error: number; flags: number } {
  const flags = vma.vm_flags;
  const refuse = { error: -EINVAL, flags };
  const set = (new_flags: number): { error: number; flags: number } => ({
    error: 0,
    flags: new_flags | 0,
  });
  switch (behavior) {
    case MADV_NORMAL:
      return set(flags & ~(VM_RAND_READ | VM_SEQ_READ));
    case MADV_SEQUENTIAL:
      return set((flags & ~VM_RAND_READ) | VM_SEQ_READ);
    case MADV_RANDOM:
      return set((flags & ~VM_SEQ_READ) | VM_RAND_READ);
    case MADV_DONTFORK:
      return set(flags | VM_DONTCOPY);
    case MADV_DOFORK:
      return (flags & VM_IO) !== 0 ? refuse : set(flags & ~VM_DONTCOPY);
    case MADV_WIPEONFORK:
      if (vma.vm_file !== null || (flags & VM_SHARED) !== 0) {
        return refuse;
      }
      return set(flags | VM_WIPEONFORK);
    case MADV_KEEPONFORK:
      return (flags & VM_DROPPABLE) !== 0 ? refuse : set(flags & ~VM_WIPEONFORK);
    case MADV_DONTDUMP:
      return set(flags | VM_DONTDUMP);
    case MADV_DODUMP:
      return (flags & (VM_SPECIAL | VM_DROPPABLE)) !== 0 ? refuse : set(flags & ~VM_DONTDUMP);
    case MADV_HUGEPAGE:
      return set((flags & ~VM_NOHUGEPAGE) | VM_HUGEPAGE);
    case MADV_NOHUGEPAGE:
      return set((flags & ~VM_HUGEPAGE) | VM_NOHUGEPAGE);
    default:
      return refuse;
  }
}

/** advisedFlags(), with what KSM and khugepaged do beside: un-merge pages, put the mm on their lists. */
function* adviseFlags(
  vma: vm_area_struct,
  m: madvise_behavior,
): K<{ error: number; flags: number }> {
  if (m.behavior !== MADV_MERGEABLE && m.behavior !== MADV_UNMERGEABLE) {
    const advised = advisedFlags(vma, m.behavior);
    if (m.behavior === MADV_HUGEPAGE) {
      // hugepage_madvise(): khugepaged need not wait for the next fault.
      yield* khugepaged_enter_vma(vma, advised.flags);
    }
    return advised;
  }
  const advised = { vm_flags: vma.vm_flags };
  const error = yield* ksm_madvise(vma, m.start, m.end, m.behavior, advised);
  return { error, flags: advised.vm_flags };
}

/** mm/madvise.c: madvise_vma_behavior() v6.18: applies the advice to one VMA. */
function* madvise_vma_behavior(m: madvise_behavior): K<number> {
  const vma = vmaOf(m);
  if (!can_madvise_modify(vma, m.behavior)) {
    return -EPERM;
  }
  switch (m.behavior) {
    case MADV_REMOVE:
      return yield* madvise_remove(m);
    case MADV_WILLNEED:
      return yield* madvise_willneed(m);
    case MADV_COLD:
      return yield* madvise_cold(m);
    case MADV_PAGEOUT:
      return yield* madvise_pageout(m);
    case MADV_FREE:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
      return yield* madvise_dontneed_free(m);
    case MADV_COLLAPSE: {
      const end = yield* madvise_collapse(vma, m.start, m.end);
      m.lock_dropped = end.lock_dropped;
      return end.error;
    }
    case MADV_GUARD_INSTALL:
      return yield* madvise_guard_install(m);
    case MADV_GUARD_REMOVE:
      return yield* madvise_guard_remove(m);
    default:
  }
  const advised = yield* adviseFlags(vma, m);
  const error = advised.error === 0 ? yield* madvise_update_vma(advised.flags, m) : advised.error;
  // ENOMEM is for holes in the range; a failed split says "try again".
  return error === -ENOMEM ? -EAGAIN : error;
}

/** mm/madvise.c: try_vma_read_lock() v6.18: the read lock of the only VMA, or mmap_lock for read. */
function* try_vma_read_lock(m: madvise_behavior): K<boolean> {
  const vma = yield* lock_vma_under_rcu(m.mm, m.start);
  if (vma !== null) {
    if (m.end <= vma.vm_end && current_mm() === m.mm) {
      m.vma = vma;
      return true;
    }
    vma_end_read(vma);
  }
  yield* mmap_read_lock(m.mm);
  m.lock_mode = 'mmap_read';
  return false;
}

/**
 * mm/madvise.c: madvise_walk_vmas() v6.18: applies the advice to every VMA of the range; holes give -ENOMEM in
 * the end but do not stop it, an error does.
 */
function* madvise_walk_vmas(m: madvise_behavior): K<number> {
  const last_end = m.end;
  let unmapped_error = 0;
  if (m.lock_mode === 'vma_read' && (yield* try_vma_read_lock(m))) {
    const error = yield* madvise_vma_behavior(m);
    vma_end_read(vmaOf(m));
    return error;
  }
  const found = find_vma_prev(m.mm, m.start);
  let vma = found.vma;
  let prev = vma !== null && m.start > vma.vm_start ? vma : found.prev;
  for (;;) {
    if (vma === null) {
      return -ENOMEM;
    }
    if (m.start < vma.vm_start) {
      unmapped_error = -ENOMEM;
      m.start = vma.vm_start;
      if (m.start >= last_end) {
        break;
      }
    }
    m.end = Math.min(vma.vm_end, last_end);
    m.prev = prev;
    m.vma = vma;
    const error = yield* madvise_vma_behavior(m);
    if (error !== 0) {
      return error;
    }
    // A merge may have made it another VMA, which may reach past the range.
    vma = m.lock_dropped ? null : vmaOf(m);
    prev = vma;
    m.lock_dropped = false;
    if (vma !== null && m.end < vma.vm_end) {
      m.end = vma.vm_end;
    }
    if (m.end >= last_end) {
      break;
    }
    vma = find_vma(m.mm, vma === null ? m.end : vma.vm_end);
    m.start = m.end;
  }
  return unmapped_error;
}

/** mm/madvise.c: get_lock_mode() v6.18. */
function get_lock_mode(behavior: number): madvise_lock_mode {
  switch (behavior) {
    case MADV_REMOVE:
    case MADV_WILLNEED:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
    case MADV_COLLAPSE:
    case MADV_GUARD_INSTALL:
    case MADV_GUARD_REMOVE:
      return 'mmap_read';
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
      return 'vma_read';
    default:
      return 'mmap_write';
  }
}

/** mm/madvise.c: madvise_lock() v6.18. 0 or -EINTR. */
export function* madvise_lock(m: madvise_behavior): K<number> {
  m.lock_mode = get_lock_mode(m.behavior);
  if (m.lock_mode === 'mmap_write') {
    return (yield* mmap_write_lock_killable(m.mm)) === 0 ? 0 : -EINTR;
  }
  if (m.lock_mode === 'mmap_read') {
    yield* mmap_read_lock(m.mm);
  }
  return 0;
}

/** mm/madvise.c: madvise_unlock() v6.18. */
export function madvise_unlock(m: madvise_behavior): void {
  if (m.lock_mode === 'mmap_write') {
    mmap_write_unlock(m.mm);
  } else if (m.lock_mode === 'mmap_read') {
    mmap_read_unlock(m.mm);
  }
  m.lock_mode = 'none';
}

/** mm/madvise.c: madvise_behavior_valid() v6.18, without memory failure injection. */
function madvise_behavior_valid(behavior: number): boolean {
  return (
    (behavior >= MADV_NORMAL && behavior <= MADV_DONTNEED) ||
    (behavior >= MADV_FREE && behavior <= MADV_COLLAPSE) ||
    behavior === MADV_GUARD_INSTALL ||
    behavior === MADV_GUARD_REMOVE
  );
}

/** mm/madvise.c: is_valid_madvise() v6.18. */
function is_valid_madvise(start: number, len_in: number, behavior: number): boolean {
  if (!madvise_behavior_valid(behavior) || offset_in_page(start) !== 0) {
    return false;
  }
  const len = PAGE_ALIGN(len_in);
  if (len_in !== 0 && len === 0) {
    return false;
  }
  return start + len < 2 ** 64;
}

/** mm/madvise.c: madvise_should_skip() v6.18: what an invalid or empty request comes to; null: there is work. */
export function madvise_should_skip(
  start: number,
  len_in: number,
  behavior: number,
): number | null {
  if (!is_valid_madvise(start, len_in, behavior)) {
    return -EINVAL;
  }
  return len_in === 0 ? 0 : null;
}

/** One madvise() that has not begun. */
export function newBehavior(mm: mm_struct, behavior: number): madvise_behavior {
  return {
    mm,
    behavior,
    tlb: null,
    lock_mode: 'none',
    start: 0,
    end: 0,
    prev: null,
    vma: null,
    lock_dropped: false,
  };
}

/** mm/madvise.c: madvise_init_tlb() v6.18. */
export function madvise_init_tlb(m: madvise_behavior): void {
  if (get_lock_mode(m.behavior) === 'vma_read') {
    m.tlb = tlb_gather_mmu(m.mm);
  }
}

/** mm/madvise.c: madvise_finish_tlb() v6.18. */
export function* madvise_finish_tlb(m: madvise_behavior): K {
  if (m.tlb !== null) {
    yield* tlb_finish_mmu(m.tlb);
    m.tlb = null;
  }
}

/** mm/madvise.c: madvise_do_behavior() v6.18. Preconditions: madvise_lock() held. */
export function* madvise_do_behavior(
  start: number,
  len_in: number,
  m: madvise_behavior,
): K<number> {
  m.start = start;
  m.end = start + PAGE_ALIGN(len_in);
  m.prev = null;
  m.vma = null;
  m.lock_dropped = false;
  if (m.behavior === MADV_POPULATE_READ || m.behavior === MADV_POPULATE_WRITE) {
    return yield* madvise_populate(m.mm, m.start, m.end, m.behavior === MADV_POPULATE_WRITE);
  }
  return yield* madvise_walk_vmas(m);
}

/** mm/madvise.c: do_madvise() v6.18. 0 or a negative errno. */
export function* do_madvise(
  mm: mm_struct,
  start: number,
  len_in: number,
  behavior: number,
): K<number> {
  const skip = madvise_should_skip(start, len_in, behavior);
  if (skip !== null) {
    return skip;
  }
  const m = newBehavior(mm, behavior);
  if ((yield* madvise_lock(m)) !== 0) {
    return -EINTR;
  }
  madvise_init_tlb(m);
  const error = yield* madvise_do_behavior(start, len_in, m);
  yield* madvise_finish_tlb(m);
  madvise_unlock(m);
  return error;
}
