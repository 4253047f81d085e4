/** v2.6.0 to v2.6.6: one page_table_lock over all page tables of an mm; pte_chain, and for a morning anonmm. */
import type { lock_tree_node } from '../kernel.ts';
import { early26_mm } from '../mm/early26/engine.ts';
import { anonmm_ops } from '../mm/rmap/anonmm.ts';
import { pte_chain_ops } from '../mm/rmap/pte_chain.ts';
import type { preset } from './preset.ts';

export const early26_features = {
  pte_chain_lists:
    'each page lists the page-table entries that map it, file pages too (2.5.27 to 2.6.6)',
  file_vma_lists: 'the VMAs of a file are on two list_heads (2.5.6 to 2.6.6)',
  fork_links_after:
    "fork() puts the child's VMA behind its parent's on the list of the file: truncation comes to it later (2.6.6)",
  file_prio_tree: 'the VMAs of a file are in a radix priority search tree (2.6.7)',
  fork_builds_tree_last:
    "the child's VMAs cannot be looked up before fork has copied them all (to 2.6.3)",
  mremap_links_first:
    'mremap() links the new VMA before it moves pages, and can be told that a split failed (2.6.6)',
  maybe_mkwrite: 'a write fault makes an entry writable only if the VMA is (2.6.4)',
  swapin_copies: 'a write fault on a swapped-out page makes its copy at once (2.6.7)',
  unmap_checks_pin: 'try_to_unmap() leaves a page that somebody else has a reference of (2.6.7)',
  count_outside_lock:
    "exit_rmap() reads the count of the family's head without its lock: first posting of anonmm, March 2004",
  mprotect_merges_files:
    'mprotect() merges any two VMAs that fit, those of files too, and new VMAs join the anon_vma of a neighbour (-aa, April 2004)',
  mremap_no_merge: 'mremap() makes a VMA of its own at the destination (-aa)',
  unmap_ignores_young:
    'try_to_unmap() does not look whether an entry was used since page_referenced() (-aa)',
  extend_locks:
    'mprotect() moves the start of a VMA under the lock of its anon_vma (-aa, later in April 2004)',
  extend_links:
    'mprotect() links a VMA that takes over pages to their anon_vma (-aa, 17 June 2004)',
  vma_adjust: 'vma_merge() with its eight cases and vma_adjust(), for any mapping (2.6.7)',
  links_importer: 'vma_adjust() links a VMA that takes over pages to their anon_vma (2.6.8)',
  prepare_locks_adopted:
    'anon_vma_prepare() locks an anon_vma that it takes over from a neighbour (2.6.8)',
  anon_pgoff: 'anonymous VMAs have page offsets and merge by them (2.6.7, -aa)',
  vma_lock_by_scheme:
    'VMAs change under the lock of their anon_vma, not under page_table_lock (-aa, 2.6.7)',
} as const;

/** mm/rmap.c v2.6.0, the head of the file; i_shared_sem is i_mmap_rwsem here. PG_chainlock has no class. */
const lock_tree_2_6_0: readonly lock_tree_node[] = [
  { depth: 0, cls: 'inode.i_rwsem' },
  { depth: 1, cls: 'mm_struct.mmap_lock' },
  { depth: 2, cls: 'address_space.i_mmap_rwsem' },
  { depth: 3, cls: 'mm_struct.page_table_lock' },
  { depth: 7, cls: 'process_globals.tasklist_lock' },
  { depth: 8, cls: 'signal_struct.siglock' },
  { depth: 9, cls: 'task_struct.alloc_lock' },
];

/** As above; the family's lock is inside page_table_lock, and reclaim only tries the latter. */
const lock_tree_anonmm: readonly lock_tree_node[] = [
  ...lock_tree_2_6_0.slice(0, 4),
  { depth: 4, cls: 'anonmm.lock' },
  ...lock_tree_2_6_0.slice(4),
];

export const early26_kernels: Readonly<Record<string, preset>> = {
  'v2.6.0': {
    title: 'pte_chain: each page lists the entries that map it',
    features: ['pte_chain_lists', 'file_vma_lists', 'fork_builds_tree_last'],
    anon_rmap: pte_chain_ops,
    mm: early26_mm,
    words: { mmap_lock: 'mmap_sem', folio: 'page', i_mmap: 'i_shared_sem' },
    object_bytes: { pte_chain: 64, vm_area_struct: 128, page: 80 },
    lock_tree: lock_tree_2_6_0,
  },
  'v2.6.6-anonmm': {
    title: 'anonmm: a page is at one address in a family of mms (22 May 2004, in no release)',
    features: [
      'file_vma_lists',
      'fork_links_after',
      'mremap_links_first',
      'maybe_mkwrite',
      'swapin_copies',
    ],
    anon_rmap: anonmm_ops,
    mm: early26_mm,
    words: { mmap_lock: 'mmap_sem', folio: 'page', i_mmap: 'i_shared_sem' },
    object_bytes: { anonmm: 40, vm_area_struct: 128, page: 56 },
    lock_tree: lock_tree_anonmm,
  },
};
