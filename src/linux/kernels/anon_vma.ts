/** v2.6.5-aa to v2.6.33: one anon_vma for a whole family of forked and split VMAs. */
import type { lock_tree_node } from '../kernel.ts';
import { classic_mm_2_6 } from '../mm/classic/engine.ts';
import { early26_mm } from '../mm/early26/engine.ts';
import { anon_vma_ops } from '../mm/rmap/anon_vma.ts';
import { anon_vma_aa_ops } from '../mm/rmap/anon_vma_aa.ts';
import { anon_vma_maplock_ops } from '../mm/rmap/anon_vma_maplock.ts';
import type { preset } from './preset.ts';

/** mm/rmap.c v2.6.33: the lock order at the head of the file, as of 2.6.34 (kernels/avc_list.ts). */
const lock_tree_2_6_33: readonly lock_tree_node[] = [
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

/** mm/rmap.c and mm/mmap.c v2.6.7; reclaim only tries page_table_lock and i_mmap_lock. PG_maplock has no class. */
const lock_tree_2_6_7: readonly lock_tree_node[] = [
  { depth: 0, cls: 'inode.i_rwsem' },
  { depth: 1, cls: 'mm_struct.mmap_lock' },
  { depth: 2, cls: 'address_space.i_mmap_rwsem' },
  { depth: 3, cls: 'mm_struct.page_table_lock' },
  { depth: 4, cls: 'anon_vma.lock' },
  { depth: 7, cls: 'process_globals.tasklist_lock' },
  { depth: 8, cls: 'signal_struct.siglock' },
  { depth: 9, cls: 'task_struct.alloc_lock' },
];

export const anon_vma_kernels: Readonly<Record<string, preset>> = {
  'v2.6.5-aa': {
    title: 'anon_vma as Andrea Arcangeli wrote it, with mprotect() merging mappings of files',
    features: [
      'file_vma_lists',
      'maybe_mkwrite',
      'anon_pgoff',
      'vma_lock_by_scheme',
      'mprotect_merges_files',
      'mremap_no_merge',
      'unmap_ignores_young',
    ],
    anon_rmap: anon_vma_aa_ops,
    mm: early26_mm,
    words: { mmap_lock: 'mmap_sem', folio: 'page', i_mmap: 'i_shared_sem' },
    object_bytes: { anon_vma: 24, vm_area_struct: 152, page: 72 },
    lock_tree: lock_tree_2_6_7,
  },
  'v2.6.7': {
    title: 'anon_vma as merged: PG_anon, map count under PG_maplock',
    features: [
      'file_prio_tree',
      'mremap_links_first',
      'maybe_mkwrite',
      'swapin_copies',
      'unmap_checks_pin',
      'vma_adjust',
      'anon_pgoff',
      'vma_lock_by_scheme',
    ],
    anon_rmap: anon_vma_maplock_ops,
    mm: early26_mm,
    words: { mmap_lock: 'mmap_sem', folio: 'page', i_mmap: 'i_mmap_lock' },
    object_bytes: { anon_vma: 24, vm_area_struct: 176, page: 56 },
    lock_tree: lock_tree_2_6_7,
  },
  'v2.6.33': {
    title: 'anon_vma: one list of VMAs a family',
    features: ['adjust_locks', 'fork_sets_mm_first'],
    anon_rmap: anon_vma_ops,
    mm: classic_mm_2_6,
    words: { mmap_lock: 'mmap_sem', folio: 'page', i_mmap: 'i_mmap_lock' },
    object_bytes: { anon_vma: 32, vm_area_struct: 176, page: 56 },
    lock_tree: lock_tree_2_6_33,
  },
};
