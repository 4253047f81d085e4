/** v3.7 to v6.1: anon_vma_chain in interval trees, on the classic memory manager. */
import type { feature, lock_tree_node } from '../kernel.ts';
import { exclusive_mm } from '../mm/classic/exclusive.ts';
import { mm_3_7, mm_3_18, mm_3_19 } from '../mm/classic/later.ts';
import { anon_vma_tree_ops } from '../mm/rmap/anon_vma_tree.ts';
import { mended_in_2_6_34 } from './avc_list.ts';
import type { preset } from './preset.ts';

export const avc_tree_features = {
  interval_tree: 'links are in an interval tree by page offset, not on a list (3.7)',
  adjust_always_locks:
    'vma_adjust() locks the root whenever a VMA whose bounds change has an anon_vma (3.7)',
  need_rmap_locks:
    'mremap() keeps walks out if they could come to the new place before the old one (3.7)',
  rmap_rwsem: 'walks take the lock of the root for read (3.8)',
  grow_locks_page_table: 'a growing stack moves its start under page_table_lock (3.8)',
  fault_around: 'a read fault of a file maps the pages around it that are there (3.15)',
  free_child_first: 'the last reference to an anon_vma frees it before its root (by 3.18)',
  put_outside_rcu: 'a lookup that came too late drops its reference outside of RCU (by 3.18)',
  chain_limit:
    'a child whose chain has more than 5 links gets no anon_vma of its own (posted 2012)',
  root_only: 'no child gets an anon_vma of its own: a family is in the tree of its root',
  degree_reuse: 'fork takes over an anon_vma with fewer than two users (3.19)',
  import_before_clone: 'vma_adjust() sets the anon_vma of the importer before it clones (3.19)',
  case8_keeps_next: 'vma_merge() case 8 removes the area and grows the next VMA (by 4.9)',
  import_from_second: 'case 6 over an unfaulted VMA imports from the one behind it (by 5.19)',
  madv_wipeonfork: 'madvise() knows MADV_WIPEONFORK and MADV_KEEPONFORK (4.14)',
  madv_pages: 'madvise() knows MADV_FREE, COLD, PAGEOUT, DONTNEED_LOCKED (4.5 to 5.18)',
  unlink_clears: 'unlink_anon_vmas() resets vma->anon_vma (by 5.19)',
  two_counters: 'children and VMAs of an anon_vma are counted apart (6.0, CVE-2022-42703)',
  mprotect_writable:
    'mprotect() makes entries writable that a write fault would only allow (by 6.1)',
  mremap_merges: 'a mapping that grows in place merges with the next one (by 6.1)',
  mmap_expands:
    'mmap() and brk() expand a VMA, the next one first, and do not ask vma_merge() (6.1)',
  case6_at_once: 'vma_adjust() removes both VMAs of case 6 in one go (6.1)',
} as const;

/**
 * mm/rmap.c v3.7 to v6.1: the lock order at the head of the file, what this simulation has of it; i_mmap_mutex is
 * i_mmap_rwsem here. As in the other eras, the locks of tasks are not in Linux's list.
 */
const lock_tree_3_7: readonly lock_tree_node[] = [
  { depth: 0, cls: 'inode.i_rwsem' },
  { depth: 1, cls: 'mm_struct.mmap_lock' },
  { depth: 2, cls: 'address_space.invalidate_lock' },
  { depth: 4, cls: 'address_space.i_mmap_rwsem' },
  { depth: 5, cls: 'anon_vma.rwsem' },
  { depth: 6, cls: 'mm_struct.page_table_lock' },
  { depth: 6, cls: 'ptdesc.ptl' },
  { depth: 7, cls: 'process_globals.tasklist_lock' },
  { depth: 8, cls: 'signal_struct.siglock' },
  { depth: 9, cls: 'task_struct.alloc_lock' },
];

const mutex_tree: readonly lock_tree_node[] = lock_tree_3_7.map(({ depth, cls }) => ({
  depth,
  cls: cls === 'anon_vma.rwsem' ? 'anon_vma.mutex' : cls,
}));

const v3_7: readonly feature[] = [
  'cow_munlocks_after',
  'mlock_populates_later',
  ...mended_in_2_6_34,
  'add_rmap_anywhere',
  'root_lock',
  'keep_anchor',
  'fork_sets_mm_first',
  'split_unlinks',
  'link_without_lock',
  'pin_anon_vma',
  'skip_temporary_stack',
  'fault_retry',
  'merge_singular',
  'madv_dontdump',
  'restore_under_ptl',
  'interval_tree',
  'adjust_always_locks',
  'need_rmap_locks',
];
const v3_18: readonly feature[] = [
  ...v3_7,
  'rmap_rwsem',
  'grow_locks_page_table',
  'fault_around',
  'free_child_first',
  'put_outside_rcu',
];
const v3_19: readonly feature[] = [...v3_18, 'degree_reuse', 'import_before_clone'];
const v5_19: readonly feature[] = [
  ...v3_19,
  'case8_keeps_next',
  'import_from_second',
  'unlink_clears',
  'madv_wipeonfork',
  'madv_pages',
];
const v6_1: readonly feature[] = [
  ...v5_19,
  'two_counters',
  'mprotect_writable',
  'mremap_merges',
  'mmap_expands',
  'case6_at_once',
];

const common = { anon_rmap: anon_vma_tree_ops, lock_tree: lock_tree_3_7 } as const;
const sem = { mmap_lock: 'mmap_sem', folio: 'page' } as const;
const file_mutex = { ...sem, i_mmap: 'i_mmap_mutex' } as const;
const lock = { mmap_lock: 'mmap_lock', folio: 'page' } as const;

export const avc_tree_kernels: Readonly<Record<string, preset>> = {
  'v3.7': {
    ...common,
    mm: mm_3_7,
    lock_tree: mutex_tree,
    title: 'anon_vma_chain in interval trees, a mutex in the root',
    features: v3_7,
    words: file_mutex,
    object_bytes: { anon_vma: 64, anon_vma_chain: 64, vm_area_struct: 176, page: 64 },
  },
  'v3.7-limit': {
    ...common,
    mm: mm_3_7,
    lock_tree: mutex_tree,
    title: 'v3.7 with chains of at most six links (Lespinasse, not merged)',
    features: [...v3_7, 'chain_limit'],
    words: file_mutex,
    object_bytes: { anon_vma: 64, anon_vma_chain: 64, vm_area_struct: 176, page: 64 },
  },
  'v3.18': {
    ...common,
    mm: mm_3_18,
    title: 'anon_vma_chain in interval trees, a semaphore in the root',
    features: v3_18,
    words: file_mutex,
    object_bytes: { anon_vma: 72, anon_vma_chain: 64, vm_area_struct: 184, page: 64 },
  },
  'root-only': {
    ...common,
    mm: mm_3_18,
    title: "v3.18 with every VMA in its root's tree (an argument, not a kernel)",
    features: [...v3_18, 'root_only'],
    words: file_mutex,
    object_bytes: { anon_vma: 72, anon_vma_chain: 64, vm_area_struct: 184, page: 64 },
  },
  'v3.19': {
    ...common,
    mm: mm_3_19,
    title: 'anon_vmas of the dead are reused by degree',
    features: v3_19,
    words: sem,
    object_bytes: { anon_vma: 80, anon_vma_chain: 64, vm_area_struct: 184, page: 64 },
  },
  'v5.19': {
    ...common,
    mm: exclusive_mm,
    title: 'anon_vmas of the dead are reused by degree, one of them twice (CVE-2022-42703)',
    features: v5_19,
    words: lock,
    object_bytes: { anon_vma: 88, anon_vma_chain: 64, vm_area_struct: 200, page: 64 },
  },
  'v6.1': {
    ...common,
    mm: exclusive_mm,
    title: 'children and VMAs of an anon_vma counted apart',
    features: v6_1,
    words: lock,
    object_bytes: { anon_vma: 104, anon_vma_chain: 64, vm_area_struct: 152, page: 64 },
  },
};
