/**
 * mm/memory.c v2.6.0, v2.6.7: taking the pages of a hole in a file out of all page tables: invalidate_mmap_range(), later
 * unmap_mapping_range(). A fault that has found such a page already sees that truncate_count has changed.
 *
 * Lock tree: i_shared_sem or i_mmap_lock -> page_table_lock -> bit lock of a page. Fidelity: dup; no nonlinear
 * mappings.
 */
import type { K } from '../../../sim/wait.ts';
import type { address_space } from '../../mm_types.ts';
import { PAGE_SIZE, ULONG_MAX, vma_pages } from '../mm.ts';
import { i_mmap_lock_write, i_mmap_unlock_write } from '../vma_link.ts';
import { nextFileVma, startFileWalk } from './file_vmas.ts';
import { inc_truncate_count } from './truncate_count.ts';
import { zap_page_range } from './zap.ts';

/** mm/memory.c: invalidate_mmap_range() v2.6.0 from a byte on to the end: private copies go, too. */
export function* invalidate_mmap_range(mapping: address_space, holebegin: number): K {
  const hba = Math.floor(holebegin / PAGE_SIZE);
  yield* i_mmap_lock_write(mapping);
  inc_truncate_count(mapping);
  const walk = startFileWalk(mapping, hba, ULONG_MAX);
  let vma = nextFileVma(walk, null);
  while (vma !== null) {
    const vba = vma.vm_pgoff;
    const vea = vba + vma_pages(vma) - 1;
    const zba = Math.max(hba, vba);
    const start = (zba - vba) * PAGE_SIZE + vma.vm_start;
    yield* zap_page_range(vma, start, (vea - zba + 1) * PAGE_SIZE);
    vma = nextFileVma(walk, vma);
  }
  i_mmap_unlock_write(mapping);
}
