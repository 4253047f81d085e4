/** v2.6.34 to v3.6: anon_vma_chain on a list of each anon_vma. */
import type { feature, lock_tree_node } from '../kernel.ts';
import { classic_mm, classic_mm_2_6 } from '../mm/classic/engine.ts';
import { anon_vma_list_ops } from '../mm/rmap/anon_vma_list.ts';
import { anon_vma_mutex_ops } from '../mm/rmap/anon_vma_mutex.ts';
import type { preset } from './preset.ts';

export const avc_list_features = {
  clone_in_order: 'anon_vma_clone() keeps the order of the links, oldest last (2.6.34-rc4)',
  clone_exporter: 'vma_adjust() gives a growing VMA the links of the one that shrinks (2.6.34-rc4)',
  anchor_oldest:
    'a page that others may share is put under the oldest anon_vma of the VMA (2.6.34-rc4, rc5)',
  fork_unlinks: 'a fork that fails takes its anon_vma links back (2.6.34-rc4)',
  prepare_frees_link:
    'anon_vma_prepare() frees the link it did not need, whatever it raced for (2.6.34-rc6)',
  reuse_singular:
    'anon_vma_prepare() shares the anon_vma of a neighbour only if that has no other (2.6.34-rc4)',
  root_lock: 'the lock of the oldest anon_vma stands for the whole family (2.6.36)',
  adjust_locks:
    'vma_adjust() locks the anon_vma for splits, imports and moved starts (to 2.6.33, and from 2.6.36)',
  prepare_at_tail: 'anon_vma_prepare() links at the tail of the list (2.6.36)',
  keep_anchor: 'page_add_anon_rmap() leaves a page under the anon_vma it has (2.6.36)',
  lookup_recheck: 'page_lock_anon_vma() looks at the map count again under the lock (2.6.36)',
  fork_sets_mm_first: 'fork sets vm_mm before it links the VMA (to 2.6.33, and from 2.6.36)',
  split_unlinks: 'a split that fails takes its anon_vma links back (2.6.36)',
  link_without_lock: 'vma_link() does not lock the anon_vma (2.6.36)',
  pin_anon_vma: "migration holds a count of the page's anon_vma (2.6.35)",
  walk_from_root:
    "the migration walk begins at the oldest anon_vma and locks each VMA's own inside (Gorman's patch, May 2010)",
  split_without_lock: 'vma_adjust() takes no anon_vma lock to split off the upper part (3.0)',
  add_rmap_anywhere:
    'page_add_anon_rmap() does not assert that the address lies inside of the VMA (3.0)',
  moveto_tail: 'mremap() puts a merged destination behind its source on the anon_vma lists (3.3)',
  cow_munlocks_after:
    'a copy on write in a locked VMA looks after it whether others have the old page locked, not before the copy counts (2.6.38)',
  mlock_populates_later: 'mlock() makes pages present after mmap_sem was dropped (2.6.38)',
  unuse_any_vma:
    'swapoff looks for a page in all VMAs, not only in those with its own anon_vma (2.6.34)',
  ksm_copies:
    'swapping in copies a page that is under an anon_vma of another, as with CONFIG_KSM (no preset has it)',
  skip_temporary_stack: 'migration leaves the stack of an unfinished execve() alone (2.6.35)',
  fault_retry: 'a swap-in waits for a locked page without mmap_sem, and faults again (2.6.37)',
  merge_singular: 'a forked VMA takes in no unfaulted neighbours (3.0)',
  restore_under_ptl: 'removal of migration entries looks at none without its ptl (3.1)',
  madv_dontdump: 'madvise() knows MADV_DONTDUMP and MADV_DODUMP (3.4)',
} as const;

/**
 * mm/rmap.c v2.6.34 and v2.6.36: the lock order at the head of the file; i_mmap_lock is i_mmap_rwsem here. As in
 * the other eras, the locks of tasks are not in Linux's list.
 */
const lock_tree_2_6_34: readonly lock_tree_node[] = [
  { depth: 0, cls: 'inode.i_rwsem' },
  { depth: 1, cls: 'mm_struct.mmap_lock' },
  { depth: 2, cls: 'address_space.invalidate_lock' },
  { depth: 4, cls: 'address_space.i_mmap_rwsem' },
  { depth: 5, cls: 'anon_vma.lock' },
  { depth: 6, cls: 'mm_struct.page_table_lock' },
  { depth: 6, cls: 'ptdesc.ptl' },
  { depth: 7, cls: 'process_globals.tasklist_lock' },
  { depth: 8, cls: 'signal_struct.siglock' },
  { depth: 9, cls: 'task_struct.alloc_lock' },
];

const lock_tree_3_0: readonly lock_tree_node[] = lock_tree_2_6_34.map(({ depth, cls }) => ({
  depth,
  cls: cls === 'anon_vma.lock' ? 'anon_vma.mutex' : cls,
}));

/** What the release candidates of 2.6.34 mended ("the case of the overly anonymous anon_vma"). */
export const mended_in_2_6_34: readonly feature[] = [
  'reuse_singular',
  'clone_in_order',
  'clone_exporter',
  'anchor_oldest',
  'fork_unlinks',
  'prepare_frees_link',
  'unuse_any_vma',
];

const since_2_6_36: readonly feature[] = [
  ...mended_in_2_6_34,
  'root_lock',
  'adjust_locks',
  'prepare_at_tail',
  'keep_anchor',
  'lookup_recheck',
  'fork_sets_mm_first',
  'split_unlinks',
  'link_without_lock',
  'pin_anon_vma',
  'skip_temporary_stack',
];

const since_3_0: readonly feature[] = [
  'cow_munlocks_after',
  'mlock_populates_later',
  ...since_2_6_36,
  'fault_retry',
  'merge_singular',
  'split_without_lock',
  'add_rmap_anywhere',
];

const words = { mmap_lock: 'mmap_sem', folio: 'page', i_mmap: 'i_mmap_lock' } as const;
const bytes_2_6_34 = { anon_vma: 32, anon_vma_chain: 48, vm_area_struct: 176, page: 56 };
const bytes_2_6_36 = { anon_vma: 48, anon_vma_chain: 48, vm_area_struct: 184, page: 56 };
const bytes_3_0 = { anon_vma: 72, anon_vma_chain: 48, vm_area_struct: 176, page: 56 };

export const avc_list_kernels: Readonly<Record<string, preset>> = {
  'v2.6.34-rc3': {
    title: 'anon_vma_chain as first merged, with the "overly anonymous anon_vma"',
    features: [],
    anon_rmap: anon_vma_list_ops,
    mm: classic_mm_2_6,
    words,
    object_bytes: bytes_2_6_34,
    lock_tree: lock_tree_2_6_34,
  },
  'v2.6.34': {
    title: 'anon_vma_chain, first release: a lock in each anon_vma',
    features: mended_in_2_6_34,
    anon_rmap: anon_vma_list_ops,
    mm: classic_mm_2_6,
    words,
    object_bytes: bytes_2_6_34,
    lock_tree: lock_tree_2_6_34,
  },
  'v2.6.34-mel': {
    title: "Mel Gorman's patch of May 2010: migration walks from the root, with nested locks",
    features: [
      ...mended_in_2_6_34,
      'adjust_locks',
      'walk_from_root',
      'pin_anon_vma',
      'skip_temporary_stack',
    ],
    anon_rmap: anon_vma_list_ops,
    mm: classic_mm_2_6,
    words,
    object_bytes: bytes_2_6_34,
    lock_tree: lock_tree_2_6_34,
  },
  'v2.6.36': {
    title: 'anon_vma_chain with the lock in the root',
    features: since_2_6_36,
    anon_rmap: anon_vma_list_ops,
    mm: classic_mm_2_6,
    words,
    object_bytes: bytes_2_6_36,
    lock_tree: lock_tree_2_6_34,
  },
  'v3.0': {
    title: 'anon_vma_chain on lists: a mutex in the root, reference counts',
    features: since_3_0,
    anon_rmap: anon_vma_mutex_ops,
    mm: classic_mm,
    words: { ...words, i_mmap: 'i_mmap_mutex' },
    object_bytes: bytes_3_0,
    lock_tree: lock_tree_3_0,
  },
  'v3.6': {
    title: 'anon_vma_chain on lists, the last: mremap() keeps source before destination',
    features: [...since_3_0, 'restore_under_ptl', 'moveto_tail', 'madv_dontdump'],
    anon_rmap: anon_vma_mutex_ops,
    mm: classic_mm,
    words: { ...words, i_mmap: 'i_mmap_mutex' },
    object_bytes: { ...bytes_3_0, page: 64 },
    lock_tree: lock_tree_3_0,
  },
};
