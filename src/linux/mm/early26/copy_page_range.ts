/**
 * mm/memory.c v2.6.0, v2.6.7: copying page tables at fork. Lock tree: page_table_lock of the child -> that of the
 * parent -> bit lock of a page. Fidelity: dup.
 */
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { vm_normal_page } from '../memory.ts';
import { PAGE_SIZE, VM_MAYWRITE, VM_SHARED } from '../mm.ts';
import { inc_mm_counter, MM_SWAPENTS, mm_counter } from '../mm_counter.ts';
import { mmlistAddChild } from '../mmlist.ts';
import { folio_get } from '../page_alloc.ts';
import {
  pgd_addr_end,
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_addr_end,
  pmd_none,
  pmd_offset,
  pmdp_get,
  pte_is_swap_entry,
  pte_mkclean,
  pte_mkold,
  pte_none,
  pte_offset,
  pte_present,
  type pte_ptr,
  pte_to_swp_entry,
  ptep_get,
  ptep_set_wrprotect,
  pud_addr_end,
  pud_none,
  pud_offset,
  pudp_get,
  set_pte_at,
} from '../pgtable.ts';
import type { rmap_spare } from '../rmap/early_ops.ts';
import { swap_duplicate } from '../swapfile.ts';
import { hooks } from './hooks.ts';
import { allocPmd, pte_alloc_map } from './pgtable.ts';

/** The body of the innermost loop of copy_page_range(): one entry. What is left of `spare`. Preconditions: both ptls. */
function* copyEntry(
  vma: vm_area_struct,
  src: mm_struct,
  address: number,
  src_pte: pte_ptr,
  dst_pte: pte_ptr,
  spare: rmap_spare,
): K<rmap_spare> {
  const dst = vma.vm_mm as mm_struct;
  let pte = ptep_get(src_pte);
  if (pte_none(pte)) {
    return spare;
  }
  if (!pte_present(pte)) {
    if (pte_is_swap_entry(pte)) {
      swap_duplicate(pte_to_swp_entry(pte));
      inc_mm_counter(dst, MM_SWAPENTS);
      mmlistAddChild(dst, src);
    }
    set_pte_at(dst, address, dst_pte, pte);
    return spare;
  }
  const page = vm_normal_page(vma, address, pte);
  if (page === null) {
    set_pte_at(dst, address, dst_pte, pte);
    return spare;
  }
  if ((vma.vm_flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE) {
    ptep_set_wrprotect(src, address, src_pte);
    pte = ptep_get(src_pte);
  }
  if ((vma.vm_flags & VM_SHARED) !== 0) {
    pte = pte_mkclean(pte);
  }
  pte = pte_mkold(pte);
  folio_get(page);
  inc_mm_counter(dst, mm_counter(page));
  set_pte_at(dst, address, dst_pte, pte);
  return yield* hooks().rmap_dup(page, vma, address, dst_pte, spare);
}

/** The part of copy_page_range() below one PMD entry. What is left of `spare`, or -ENOMEM. Preconditions: child's ptl. */
function* copyTable(
  vma: vm_area_struct,
  src: mm_struct,
  src_pmd: pte_ptr,
  start: number,
  end: number,
  given: rmap_spare,
): K<rmap_spare | number> {
  const dst = vma.vm_mm as mm_struct;
  let spare: rmap_spare = given;
  const dst_pmd = yield* allocPmd(dst, start);
  const dst_pte = yield* pte_alloc_map(dst, dst_pmd, start);
  yield* spin_lock(src.page_table_lock);
  const src_pte = pte_offset(src_pmd, start);
  for (let address = start; address < end; address = address + PAGE_SIZE) {
    const at = (address - start) / PAGE_SIZE;
    const before = spare;
    spare = yield* copyEntry(vma, src, address, src_pte + at, dst_pte + at, spare);
    if (spare === null && before !== null) {
      // Used up: another one without sleeping, or else with both locks dropped.
      const next = yield* hooks().rmap_prepare(vma, true, true);
      if (typeof next === 'number') {
        spin_unlock(src.page_table_lock);
        spin_unlock(dst.page_table_lock);
        const waited = yield* hooks().rmap_prepare(vma, true, false);
        yield* spin_lock(dst.page_table_lock);
        if (typeof waited === 'number') {
          return waited;
        }
        yield* spin_lock(src.page_table_lock);
        spare = waited;
      } else {
        spare = next;
      }
    }
  }
  spin_unlock(src.page_table_lock);
  return spare;
}

/**
 * mm/memory.c: copy_page_range() v2.6.0. 0 or -ENOMEM. Preconditions: ptl of the child, which may be dropped
 * meanwhile; mmap_sem of the parent held for write. `vma` is the child's.
 */
export function* copy_page_range(
  dst: mm_struct,
  src: mm_struct,
  vma: vm_area_struct,
  needs_spare: boolean,
): K<number> {
  let spare: rmap_spare = null;
  if (needs_spare) {
    const first = yield* hooks().rmap_prepare(vma, true, true);
    if (typeof first === 'number') {
      spin_unlock(dst.page_table_lock);
      const waited = yield* hooks().rmap_prepare(vma, true, false);
      yield* spin_lock(dst.page_table_lock);
      if (typeof waited === 'number') {
        return -ENOMEM;
      }
      spare = waited;
    } else {
      spare = first;
    }
  }
  const end = vma.vm_end;
  let addr = vma.vm_start;
  while (addr < end) {
    const src_pgd = pgd_offset(src, addr);
    if (pgd_none(pgdp_get(src_pgd))) {
      addr = pgd_addr_end(addr, end);
      continue;
    }
    const src_pud = pud_offset(src_pgd, addr);
    if (pud_none(pudp_get(src_pud))) {
      addr = pud_addr_end(addr, end);
      continue;
    }
    const src_pmd = pmd_offset(src_pud, addr);
    const next = pmd_addr_end(addr, end);
    if (!pmd_none(pmdp_get(src_pmd))) {
      const left: rmap_spare | number = yield* copyTable(vma, src, src_pmd, addr, next, spare);
      if (typeof left === 'number') {
        return left;
      }
      spare = left;
    }
    addr = next;
  }
  hooks().rmap_unprepare(spare);
  return 0;
}
