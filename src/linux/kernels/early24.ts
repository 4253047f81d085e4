/** 2.4.0, which has no reverse map, and the anon layer that might have been its. */
import type { lock_tree_node } from '../kernel.ts';
import { anon_layer_mm, early24_mm } from '../mm/early24/engine.ts';
import { anon_area_ops } from '../mm/rmap/anon_area_ops.ts';
import { virtual_scan_ops } from '../mm/rmap/virtual_scan.ts';
import type { preset } from './preset.ts';

export const early24_features = {
  i_mmap_lists: 'the VMAs of a file are on two lists under i_shared_lock (2.3, 2.4)',
  one_i_mmap: 'the VMAs of a file are on one list, private and shared (2.3)',
  merge_segments: 'neighbouring mappings with equal flags become one (2.3; taken out before 2.4.0)',
  reuse_leaves_swap_cache: 'a write fault that reuses a page takes it out of the swap cache (2.3)',
  anon_layer: 'private pages and their VMAs hang off an anon area (posted April 2000)',
  merge_ignores_pgoff:
    'merge_segments() compares offsets of files only: pages with an index get lost (anon layer)',
  unlock_rereads:
    'after a merge, what is unlocked is asked of a VMA that may have been freed (anon layer)',
  shared_faults:
    'faults hold mmap_sem shared (2.4.3), which get_anon() of the anon layer was not made for',
  inactive_counts_itself:
    'free_inactive_pages() counts its own reference and frees nothing (anon layer, if read right)',
  anon_mail_formula:
    'the address of a page in a VMA is tested against its upper end only (anon layer as posted)',
  anon_mail_add:
    'a swapped-in page is put on the area again by each of its sharers (anon layer as posted)',
} as const;

/**
 * The order of 2.4.0, from its code: mm/filemap.c's list names the page cache's locks only. mmap_sem is a plain semaphore;
 * the locks of tasks are not in any list.
 */
const lock_tree_2_4_0: readonly lock_tree_node[] = [
  { depth: 0, cls: 'inode.i_rwsem' },
  { depth: 1, cls: 'mm_struct.mmap_lock' },
  { depth: 2, cls: 'address_space.invalidate_lock' },
  { depth: 3, cls: 'address_space.i_shared_lock' },
  { depth: 4, cls: 'mm_struct.page_table_lock' },
  { depth: 5, cls: 'early24_globals.pagecache_lock' },
  { depth: 6, cls: 'early24_globals.pagemap_lru_lock' },
  { depth: 6, cls: 'early24_globals.mmlist_lock' },
  { depth: 7, cls: 'process_globals.tasklist_lock' },
  { depth: 8, cls: 'signal_struct.siglock' },
  { depth: 9, cls: 'task_struct.alloc_lock' },
];

/** The order that the anon layer's own code follows when VMAs change; its reclaim breaks it. */
const lock_tree_anon_layer: readonly lock_tree_node[] = [
  { depth: 0, cls: 'inode.i_rwsem' },
  { depth: 1, cls: 'mm_struct.mmap_lock' },
  { depth: 2, cls: 'address_space.invalidate_lock' },
  { depth: 3, cls: 'anon_area.i_shared_lock' },
  { depth: 4, cls: 'address_space.i_shared_lock' },
  { depth: 5, cls: 'mm_struct.page_table_lock' },
  { depth: 6, cls: 'early24_globals.pagecache_lock' },
  { depth: 7, cls: 'early24_globals.pagemap_lru_lock' },
  { depth: 7, cls: 'early24_globals.mmlist_lock' },
  { depth: 8, cls: 'process_globals.tasklist_lock' },
  { depth: 9, cls: 'signal_struct.siglock' },
  { depth: 10, cls: 'task_struct.alloc_lock' },
];

export const early24_kernels: Readonly<Record<string, preset>> = {
  'v2.3.99-anon': {
    title: "David Miller's anon layer, as given up on 30 April 2000",
    features: [
      'i_mmap_lists',
      'one_i_mmap',
      'merge_segments',
      'reuse_leaves_swap_cache',
      'anon_layer',
      'merge_ignores_pgoff',
      'unlock_rereads',
    ],
    anon_rmap: anon_area_ops,
    mm: anon_layer_mm,
    words: { mmap_lock: 'mmap_sem', folio: 'page' },
    object_bytes: { anon_area: 64, vm_area_struct: 152, page: 144 },
    lock_tree: lock_tree_anon_layer,
  },
  'v2.4.0': {
    title: 'no reverse map: reclaim scans address spaces',
    features: ['i_mmap_lists'],
    anon_rmap: virtual_scan_ops,
    mm: early24_mm,
    words: { mmap_lock: 'mmap_sem', folio: 'page' },
    object_bytes: { vm_area_struct: 128, page: 136 },
    lock_tree: lock_tree_2_4_0,
  },
};
