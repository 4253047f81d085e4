/**
 * mm/gup.c v6.18: huge PMDs looked up for the kernel, and pinned. A large folio counts its pins in _pincount, so that
 * many references are not taken for pins. Lock tree: PMD lock. Fidelity: dup.
 */

import type { K } from '../../sim/wait.ts';
import { EMLINK } from '../errno.ts';
import { spin_unlock } from '../kernel/locking/spinlock.ts';
import { VM_WARN_ON_FOLIO } from '../lib/bug.ts';
import type { page, vm_area_struct } from '../mm_types.ts';
import { mem_map } from '../mm_types.ts';
import {
  can_follow_write_common,
  FOLL_PIN,
  FOLL_TOUCH,
  FOLL_WRITE,
  gup_must_unshare,
  try_grab_folio,
} from './gup_ref.ts';
import { touch_pmd } from './huge_memory.ts';
import { linear_page_index, PAGE_SIZE } from './mm.ts';
import { page_folio } from './page_alloc.ts';
import { folio_test_anon, PageAnonExclusive } from './page-flags.ts';
import {
  HPAGE_PMD_NR,
  pmd_lock,
  pmd_present,
  pmd_trans_huge,
  pmdp_get,
  pte_page,
  pte_protnone,
  type pte_ptr,
  pte_write,
} from './pgtable.ts';

/** mm/gup.c: follow_huge_pmd() v6.18: the page, 0 for NULL, or a negative errno. Preconditions: PMD lock, entry huge. */
function follow_huge_pmd(
  vma: vm_area_struct,
  addr: number,
  pmd: pte_ptr,
  flags: number,
): page | number {
  const pmdval = pmdp_get(pmd);
  const head = pte_page(pmdval);
  const write = (flags & FOLL_WRITE) !== 0;
  // can_follow_write_pmd()
  if (write && !pte_write(pmdval) && !can_follow_write_common(head, vma, flags)) {
    return 0;
  }
  if (pte_protnone(pmdval)) {
    return 0;
  }
  if (!pte_write(pmdval) && gup_must_unshare(vma, flags, head)) {
    return -EMLINK;
  }
  const folio = page_folio(head);
  VM_WARN_ON_FOLIO(
    (flags & FOLL_PIN) !== 0 && folio_test_anon(folio) && !PageAnonExclusive(head),
    folio,
    '(flags & FOLL_PIN) && PageAnon(page) && !PageAnonExclusive(page)',
  );
  const ret = try_grab_folio(folio, flags);
  if (ret !== 0) {
    return ret;
  }
  if ((flags & FOLL_TOUCH) !== 0) {
    touch_pmd(vma, addr, pmd, write);
  }
  return mem_map.at(head.pfn + (Math.floor(addr / PAGE_SIZE) % HPAGE_PMD_NR));
}

/**
 * The part of mm/gup.c: follow_pmd_mask() v6.18 for an entry that looks huge: what follow_huge_pmd() says, or null when
 * under the lock it is a table. Preconditions: mmap_lock.
 */
export function* followPmdLeaf(
  vma: vm_area_struct,
  address: number,
  pmd: pte_ptr,
  flags: number,
): K<page | number | null> {
  if (pte_protnone(pmdp_get(pmd))) {
    return 0;
  }
  const ptl = yield* pmd_lock(pmd);
  if (!pmd_present(pmdp_get(pmd))) {
    spin_unlock(ptl);
    return 0;
  }
  if (!pmd_trans_huge(pmdp_get(pmd))) {
    spin_unlock(ptl);
    return null;
  }
  const page = follow_huge_pmd(vma, address, pmd, flags);
  spin_unlock(ptl);
  return page;
}

/** page_mask of follow_pmd_mask(): pages from an address to the end of its huge page. */
export const pages_to_huge_end = (vma: vm_area_struct, address: number): number =>
  HPAGE_PMD_NR - (linear_page_index(vma, address) % HPAGE_PMD_NR);
