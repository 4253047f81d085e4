/** 2.4.0, which has no reverse map. */
import type { lock_tree_node } from '../kernel.ts';
import { early24_mm } from '../mm/early24/engine.ts';
import { virtual_scan_ops } from '../mm/rmap/virtual_scan.ts';
import type { preset } from './preset.ts';

export const early24_features = {
  i_mmap_lists: 'the VMAs of a file are on two lists under i_shared_lock (2.3, 2.4)',
  merge_segments: 'neighbouring mappings with equal flags become one (2.3; taken out before 2.4.0)',
} as const;

/**
 * The order of 2.4.0, from its code: mm/filemap.c's list names the page cache's locks only. mmap_sem is a plain semaphore;
 * the locks of tasks are not in any list.
 */
const lock_tree_2_4_0: readonly lock_tree_node[] = [
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

export const early24_kernels: Readonly<Record<string, preset>> = {
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
