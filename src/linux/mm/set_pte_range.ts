/** mm/memory.c: set_pte_range() and its checks v6.18; apart, because the page cache and the fault need it. */
import { BUG_ON } from '../lib/bug.ts';
import type { folio, mm_struct, page, vm_area_struct } from '../mm_types.ts';
import { MMF_UNSTABLE, mm_flags_test, VM_SHARED, VM_WRITE } from './mm.ts';
import { folio_test_dirty } from './page-flags.ts';
import {
  mk_pte,
  pte_mkdirty,
  pte_mkwrite,
  pte_mkyoung,
  pte_none,
  pte_same,
  type pte_t,
  pte_write,
  ptep_get,
  set_pte_at,
} from './pgtable.ts';
import { folio_add_file_rmap_pte, folio_add_new_anon_rmap, RMAP_EXCLUSIVE } from './rmap.ts';
import { folio_add_lru_vma } from './swap.ts';
import {
  FAULT_FLAG_ORIG_PTE_VALID,
  FAULT_FLAG_WRITE,
  VM_FAULT_SIGBUS,
  type vm_fault,
} from './vm_fault.ts';

/** maybe_mkwrite(): writable if the VMA is. */
export function maybe_mkwrite(pte: pte_t, vma: vm_area_struct): pte_t {
  return (vma.vm_flags & VM_WRITE) !== 0 ? pte_mkwrite(pte) : pte;
}

/** check_stable_address_space(): the OOM reaper has not begun to tear the mm down. */
export function check_stable_address_space(mm: mm_struct): number {
  return mm_flags_test(MMF_UNSTABLE, mm) ? VM_FAULT_SIGBUS : 0;
}

/** vmf_pte_changed(): under the ptl: somebody else has filled or changed the entry. */
export function vmf_pte_changed(vmf: vm_fault): boolean {
  if ((vmf.flags & FAULT_FLAG_ORIG_PTE_VALID) !== 0) {
    return !pte_same(ptep_get(vmf.pte), vmf.orig_pte);
  }
  return !pte_none(ptep_get(vmf.pte));
}

/** set_pte_range() of one page: maps it where the fault is, or near it (fault-around). Preconditions: ptl. */
export function set_pte_range(vmf: vm_fault, folio: folio, page: page, addr: number): void {
  const vma = vmf.vma;
  const write = (vmf.flags & FAULT_FLAG_WRITE) !== 0;
  let entry = pte_mkyoung(mk_pte(page, vma.vm_page_prot));
  if (write) {
    entry = maybe_mkwrite(pte_mkdirty(entry), vma);
  } else if (pte_write(entry) && folio_test_dirty(folio)) {
    entry = pte_mkdirty(entry);
  }
  if (write && (vma.vm_flags & VM_SHARED) === 0) {
    BUG_ON(vma.anon_vma === null, '!vma->anon_vma');
    folio_add_new_anon_rmap(folio, vma, addr, RMAP_EXCLUSIVE);
    folio_add_lru_vma(folio, vma);
  } else {
    folio_add_file_rmap_pte(folio, page, vma, addr);
  }
  set_pte_at(vma.vm_mm as mm_struct, addr, vmf.pte, entry);
}
