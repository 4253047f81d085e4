/** v6.18: anon_vma_chain with folios, per-VMA locks and the merge rules of 6.16 and later. */
import type { lock_tree_node } from '../kernel.ts';
import { modern_mm } from '../mm/modern.ts';
import { anon_vma_chain_ops } from '../mm/rmap/anon_vma_chain.ts';
import type { preset } from './preset.ts';

export const modern_features = {
  maybe_guard: 'VM_MAYBE_GUARD and sticky VMA flags (6.18.44, 6.19)',
  copied_from:
    "mremap() of a faulted VMA clones its chain into an unfaulted neighbour, a fork child's is refused (6.18.y)",
  swapin_writable: 'a page that nobody shares is swapped in writable, also for a read (after 6.1)',
  per_vma_lock: 'faults under the lock of one VMA, without mmap_lock (6.4)',
  pt_reclaim: 'MADV_DONTNEED of a whole page table frees it (CONFIG_PT_RECLAIM, 6.14)',
} as const;

/**
 * mm/rmap.c v6.18: the lock order at the head of the file, outermost first, by lockdep class as
 * ownerOf() names it. Not in Linux's list: the locks of tasks, which nest inside mmap_lock at most. The
 * folio lock is a page flag and has no class.
 */
const lock_tree_6_18: readonly lock_tree_node[] = [
  { depth: 0, cls: 'inode.i_rwsem' },
  { depth: 0, cls: 'ksm_globals.ksm_thread_mutex' },
  { depth: 1, cls: 'mm_struct.mmap_lock' },
  { depth: 2, cls: 'address_space.invalidate_lock' },
  { depth: 3, cls: 'vm_area_struct.vm_refcnt' },
  { depth: 4, cls: 'address_space.i_mmap_rwsem' },
  { depth: 5, cls: 'anon_vma.rwsem' },
  { depth: 6, cls: 'mm_struct.page_table_lock' },
  { depth: 6, cls: 'ptdesc.ptl' },
  { depth: 7, cls: 'ksm_globals.ksm_mmlist_lock' },
  { depth: 7, cls: 'process_globals.tasklist_lock' },
  { depth: 8, cls: 'signal_struct.siglock' },
  { depth: 9, cls: 'task_struct.alloc_lock' },
];

export const modern_kernels: Readonly<Record<string, preset>> = {
  'v6.18': {
    title: 'anon_vma_chain with folios and per-VMA locks (6.18.44)',
    features: ['maybe_guard', 'copied_from', 'swapin_writable', 'per_vma_lock', 'pt_reclaim'],
    anon_rmap: anon_vma_chain_ops,
    mm: modern_mm,
    words: { mmap_lock: 'mmap_lock', folio: 'folio' },
    object_bytes: { anon_vma: 104, anon_vma_chain: 64, vm_area_struct: 192, page: 64 },
    lock_tree: lock_tree_6_18,
  },
};
