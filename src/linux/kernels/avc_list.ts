/** v2.6.34 to v3.6: anon_vma_chain on a list of each anon_vma. */
import type { lock_tree_node } from '../kernel.ts';
import { classic_mm } from '../mm/classic/engine.ts';
import { anon_vma_list_ops } from '../mm/rmap/anon_vma_list.ts';
import type { preset } from './preset.ts';

export const avc_list_features = {
  reuse_singular:
    'anon_vma_prepare() shares the anon_vma of a neighbour only if that has no other (2.6.34-rc4)',
  root_lock: 'the lock of the oldest anon_vma stands for the whole family (2.6.36)',
  adjust_locks:
    'vma_adjust() locks the anon_vma for splits, imports and moved starts (to 2.6.33, and from 2.6.36)',
  prepare_at_tail: 'anon_vma_prepare() links at the tail of the list (2.6.36)',
  keep_anchor: 'page_add_anon_rmap() leaves a page under the anon_vma it has (2.6.36)',
  lookup_recheck: 'page_lock_anon_vma() looks at the map count again under the lock (2.6.36)',
  fork_sets_mm_first: 'fork sets vm_mm before it links the VMA (2.6.36)',
  split_unlinks: 'a split that fails takes its anon_vma links back (2.6.36)',
  link_without_lock: 'vma_link() does not lock the anon_vma (2.6.36)',
  pin_anon_vma: "migration holds a count of the page's anon_vma (2.6.35)",
  skip_temporary_stack: 'migration leaves the stack of an unfinished execve() alone (2.6.35)',
} as const;

/**
 * mm/rmap.c v2.6.34 and v2.6.36: the lock order at the head of the file; i_mmap_lock is i_mmap_rwsem here. As
 * above, the locks of tasks are not in Linux's list.
 */
const lock_tree_2_6_34: readonly lock_tree_node[] = [
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

export const avc_list_kernels: Readonly<Record<string, preset>> = {
  'v2.6.34': {
    title: 'anon_vma_chain, first release: a lock in each anon_vma',
    features: ['reuse_singular'],
    anon_rmap: anon_vma_list_ops,
    mm: classic_mm,
    words: { mmap_lock: 'mmap_sem', folio: 'page' },
    object_bytes: { anon_vma: 24, anon_vma_chain: 48, vm_area_struct: 176, page: 56 },
    lock_tree: lock_tree_2_6_34,
  },
  'v2.6.36': {
    title: 'anon_vma_chain with the lock in the root',
    features: [
      'reuse_singular',
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
    ],
    anon_rmap: anon_vma_list_ops,
    mm: classic_mm,
    words: { mmap_lock: 'mmap_sem', folio: 'page' },
    object_bytes: { anon_vma: 32, anon_vma_chain: 48, vm_area_struct: 176, page: 56 },
    lock_tree: lock_tree_2_6_34,
  },
};
