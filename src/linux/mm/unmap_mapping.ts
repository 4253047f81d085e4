/**
 * mm/memory.c v6.18: unmap_mapping_range() and what belongs to it: takes page-cache pages out of every page
 * table that maps them, by way of the file's interval tree.
 *
 * Lock tree: (folio lock ->) i_mmap_rwsem for read -> ptl. mmap_lock of the address spaces is not held:
 * i_mmap_rwsem keeps their VMAs in the tree and their page tables alive. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import type { address_space, folio, vm_area_struct } from '../mm_types.ts';
import { vma_interval_tree_iter_first, vma_interval_tree_iter_next } from './interval_tree.ts';
import { type zap_details, zap_page_range_single } from './memory_zap.ts';
import { PAGE_SIZE, ULONG_MAX, vma_pages } from './mm.ts';
import { folio_test_locked } from './page-flags.ts';
import { i_mmap_lock_read, i_mmap_unlock_read } from './vma_link.ts';

/** mm/memory.c: unmap_mapping_range_tree() v6.18. Preconditions: i_mmap_rwsem held. */
function* unmap_mapping_range_tree(
  mapping: address_space,
  first_index: number,
  last_index: number,
  details: zap_details,
): K {
  let vma: vm_area_struct | null = vma_interval_tree_iter_first(
    mapping.i_mmap,
    first_index,
    last_index,
  );
  while (vma !== null) {
    const vba = vma.vm_pgoff;
    const zba = Math.max(first_index, vba);
    const zea = Math.min(last_index, vba + vma_pages(vma) - 1);
    const start = (zba - vba) * PAGE_SIZE + vma.vm_start;
    const end = (zea - vba + 1) * PAGE_SIZE + vma.vm_start;
    yield* zap_page_range_single(vma, start, end - start, details);
    vma = vma_interval_tree_iter_next(vma, first_index, last_index);
  }
}

/** mm/memory.c: unmap_mapping_folio() v6.18. Preconditions: folio locked and in the page cache of `mapping`. */
export function* unmap_mapping_folio(mapping: address_space, folio: folio): K {
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  const details: zap_details = { even_cows: false, drop_markers: true, single_folio: folio };
  yield* i_mmap_lock_read(mapping);
  yield* unmap_mapping_range_tree(mapping, folio.index, folio.index, details);
  i_mmap_unlock_read(mapping);
}

/** mm/memory.c: unmap_mapping_pages() v6.18; `nr` 0 = to the end of the file. */
export function* unmap_mapping_pages(
  mapping: address_space,
  start: number,
  nr: number,
  even_cows: boolean,
): K {
  const details: zap_details = { even_cows, drop_markers: false };
  const last_index = nr === 0 ? ULONG_MAX : start + nr - 1;
  yield* i_mmap_lock_read(mapping);
  yield* unmap_mapping_range_tree(mapping, start, last_index, details);
  i_mmap_unlock_read(mapping);
}

/**
 * mm/memory.c: unmap_mapping_range() v6.18: `holelen` 0 = to the end. `even_cows`: private copies go too (the
 * file became shorter); else only the file's own pages (a hole was punched).
 */
export function* unmap_mapping_range(
  mapping: address_space,
  holebegin: number,
  holelen: number,
  even_cows: boolean,
): K {
  const hba = Math.floor(holebegin / PAGE_SIZE);
  const hlen = Math.ceil(holelen / PAGE_SIZE);
  yield* unmap_mapping_pages(mapping, hba, hlen, even_cows);
}
