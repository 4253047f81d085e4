/** mm/internal.h, mm/rmap.c v6.18: where a page offset or a folio lies in a VMA. Fidelity: dup. */
import { EFAULT } from '../../errno.ts';
import type { folio, vm_area_struct } from '../../mm_types.ts';
import { PAGE_SIZE } from '../mm.ts';
import { folio_anon_vma, folio_test_anon, mapping_pointer } from '../page-flags.ts';

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

/**
 * mm/rmap.c: page_address_in_vma() v6.18: where `vma` would map the folio, or -EFAULT. A KSM folio has no
 * anon_vma: -EFAULT. Preconditions: a reference to the folio, a lock that keeps the VMA as it is.
 */
export function page_address_in_vma(folio: folio, vma: vm_area_struct): number {
  if (folio_test_anon(folio)) {
    const anon_vma = folio_anon_vma(folio);
    if (vma.anon_vma === null || anon_vma === null || vma.anon_vma.root !== anon_vma.root) {
      return -EFAULT;
    }
  } else if (vma.vm_file === null || vma.vm_file.f_mapping !== mapping_pointer(folio.mapping)) {
    return -EFAULT;
  }
  return vma_address(vma, folio.index, 1);
}
