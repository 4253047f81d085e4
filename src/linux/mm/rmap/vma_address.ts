/** mm/internal.h v6.18: where a page offset lies in a VMA. Fidelity: dup. */
import { EFAULT } from '../../errno.ts';
import type { vm_area_struct } from '../../mm_types.ts';
import { PAGE_SIZE } from '../mm.ts';

/**
 * vma_address(): the address at which `vma` maps the first of `nr_pages` page offsets that falls into it,
 * or -EFAULT. A large folio may begin before the VMA: then the VMA's start.
 */
export function vma_address(vma: vm_area_struct, pgoff: number, nr_pages: number): number {
  if (pgoff >= vma.vm_pgoff) {
    const address = vma.vm_start + (pgoff - vma.vm_pgoff) * PAGE_SIZE;
    return address >= vma.vm_start && address < vma.vm_end ? address : -EFAULT;
  }
  return pgoff + nr_pages - 1 >= vma.vm_pgoff ? vma.vm_start : -EFAULT;
}
