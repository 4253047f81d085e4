/**
 * mm/memory.c v2.4.0: clearing and copying ranges of page tables. One page_table_lock an mm; who adds entries holds
 * mmap_sem, and the lock is there against swap_out(), which only takes entries away.
 *
 * Lock tree: i_shared_lock -> page_table_lock -> pagecache_lock -> pagemap_lru_lock. Fidelity: dup, on four levels of tables.
 */
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON } from '../../lib/bug.ts';
import type { address_space, inode, mm_struct, page, vm_area_struct } from '../../mm_types.ts';
import { is_cow_mapping, PAGE_SIZE, VM_SHARED } from '../mm.ts';
import { folio_get } from '../page_alloc.ts';
import { folio_set, folio_test_anon, folio_test_swapcache, PG_dirty } from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  mm_find_pmd,
  pgd_addr_end,
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_addr_end,
  pmd_alloc,
  pmd_none,
  pmd_offset,
  pmdp_get,
  pte_alloc,
  pte_dirty,
  pte_mkclean,
  pte_mkold,
  pte_none,
  pte_offset,
  pte_page,
  pte_present,
  type pte_ptr,
  type pte_t,
  pte_to_swp_entry,
  ptep_get,
  ptep_get_and_clear,
  ptep_set_wrprotect,
  pud_addr_end,
  pud_alloc,
  pud_none,
  pud_offset,
  pudp_get,
  set_pte_at,
} from '../pgtable.ts';
import { swap_duplicate, swap_free } from '../swapfile.ts';
import { PageReserved, rssDec, rssInc, swapEntryDec, swapEntryInc } from './mapped.ts';
import { i_mmap, i_mmap_shared, vm_next_share } from './share_lists.ts';
import { free_page_and_swap_cache } from './swap_state.ts';

/** pgd to pmd of an address, made where missing; 0: no memory. pmd_alloc() and pte_alloc() v2.4.0. */
export function* allocTables(mm: mm_struct, address: number): K<pte_ptr> {
  const pud = yield* pud_alloc(mm, pgd_offset(mm, address), address);
  if (pud === 0) {
    return 0;
  }
  const pmd = yield* pmd_alloc(mm, pud, address);
  if (pmd === 0 || (yield* pte_alloc(mm, pmd))) {
    return 0;
  }
  return pmd;
}

/** The pmd of a table at `address`, or 0 with the address where the next one may be. */
export function tableAt(
  mm: mm_struct,
  address: number,
  end: number,
): { readonly pmd: pte_ptr; readonly next: number } {
  const pgd = pgd_offset(mm, address);
  if (pgd_none(pgdp_get(pgd))) {
    return { pmd: 0, next: pgd_addr_end(address, end) };
  }
  const pud = pud_offset(pgd, address);
  if (pud_none(pudp_get(pud))) {
    return { pmd: 0, next: pud_addr_end(address, end) };
  }
  const pmd = pmd_offset(pud, address);
  return { pmd: pmd_none(pmdp_get(pmd)) ? 0 : pmd, next: pmd_addr_end(address, end) };
}

/** The first address from `start` whose entry is not none, or `end`. */
export function usedFrom(pmd: pte_ptr, start: number, end: number): number {
  let address = start;
  while (address < end && pte_none(ptep_get(pte_offset(pmd, address)))) {
    address += PAGE_SIZE;
  }
  return address;
}

// ---------------------------------------------------------------- fork

/**
 * ptep_set_wrprotect() of an entry that may have become a swap entry: on i386 the bit is one of the swap area's number,
 * which is 0 in the first area.
 */
function wrprotect(mm: mm_struct, address: number, ptep: pte_ptr): void {
  if (pte_present(ptep_get(ptep))) {
    ptep_set_wrprotect(mm, address, ptep);
  }
}

/**
 * The inside of copy_page_range() v2.4.0 for one entry (copy_one_pte). No lock keeps swap_out() from the parent's entry
 * between the reads and writes of this function.
 */
function* copyOnePte(
  dst: mm_struct,
  src: mm_struct,
  vma: vm_area_struct,
  address: number,
  src_pte: pte_ptr,
  dst_pte: pte_ptr,
): K {
  let pte = ptep_get(src_pte);
  if (pte_none(pte)) {
    return;
  }
  if (!pte_present(pte)) {
    swap_duplicate(pte_to_swp_entry(pte));
    copiedSwap(dst, address, dst_pte, pte);
    return;
  }
  const ptepage = pte_page(pte);
  if (PageReserved(ptepage)) {
    set_pte_at(dst, address, dst_pte, pte);
    return;
  }
  if (is_cow_mapping(vma.vm_flags)) {
    wrprotect(src, address, src_pte);
    pte = ptep_get(src_pte);
  }
  if ((vma.vm_flags & VM_SHARED) !== 0) {
    pte = pte_mkclean(pte);
  }
  pte = pte_mkold(pte);
  folio_get(ptepage);
  copiedPage(dst, address, dst_pte, pte, ptepage);
}

function copiedSwap(dst: mm_struct, address: number, dst_pte: pte_ptr, pte: pte_t): void {
  set_pte_at(dst, address, dst_pte, pte);
  swapEntryInc(dst);
}

function copiedPage(
  dst: mm_struct,
  address: number,
  dst_pte: pte_ptr,
  pte: pte_t,
  page: page,
): void {
  set_pte_at(dst, address, dst_pte, pte);
  rssInc(dst, page);
}

/**
 * mm/memory.c: copy_page_range() v2.4.0. 0 or -ENOMEM. Preconditions: the parent's mmap_sem. No page_table_lock is taken:
 * the child is on no list yet, but the parent's entries may be taken away by swap_out() while they are copied.
 */
export function* copy_page_range(dst: mm_struct, src: mm_struct, vma: vm_area_struct): K<number> {
  const end = vma.vm_end;
  let address = vma.vm_start;
  while (address < end) {
    const { pmd: src_pmd, next } = tableAt(src, address, end);
    if (src_pmd !== 0) {
      const dst_pmd = yield* allocTables(dst, address);
      if (dst_pmd === 0) {
        return -ENOMEM;
      }
      for (
        address = usedFrom(src_pmd, address, next);
        address < next;
        address = usedFrom(src_pmd, address + PAGE_SIZE, next)
      ) {
        const src_pte = pte_offset(src_pmd, address);
        const dst_pte = pte_offset(dst_pmd, address);
        yield* copyOnePte(dst, src, vma, address, src_pte, dst_pte);
      }
    }
    address = next;
  }
  return 0;
}

// ---------------------------------------------------------------- clearing

/** mm/memory.c: free_pte() v2.4.0: what a cleared entry named loses a user. Preconditions: page_table_lock. */
function* free_pte(pte: pte_t): K {
  if (!pte_present(pte)) {
    // The page may stay in the swap cache, with nobody to use it, until reclaim finds it.
    swap_free(pte_to_swp_entry(pte));
    return;
  }
  const page = pte_page(pte);
  if (PageReserved(page)) {
    return;
  }
  // Of the swap cache, too, whose pages have a mapping in 2.4.0; a private page has none otherwise.
  if (pte_dirty(pte) && folio_test_swapcache(page)) {
    folio_set(page, PG_dirty);
  } else if (pte_dirty(pte) && !folio_test_anon(page) && page.mapping !== 0) {
    folio_mark_dirty(page);
  }
  yield* free_page_and_swap_cache(page);
}

/** ptep_get_and_clear(), with the counts that zap_page_range() brings up to date in the end. Atomic. */
function clearCounted(mm: mm_struct, address: number, ptep: pte_ptr): pte_t {
  const pte = ptep_get_and_clear(mm, address, ptep);
  if (pte_present(pte)) {
    const page = pte_page(pte);
    if (!PageReserved(page)) {
      rssDec(mm, page);
    }
  } else if (!pte_none(pte)) {
    swapEntryDec(mm);
  }
  return pte;
}

/** mm/memory.c: zap_pte_range() v2.4.0. Preconditions: page_table_lock. */
function* zap_pte_range(mm: mm_struct, pmd: pte_ptr, start: number, end: number): K {
  for (
    let address = usedFrom(pmd, start, end);
    address < end;
    address = usedFrom(pmd, address + PAGE_SIZE, end)
  ) {
    const pte = clearCounted(mm, address, pte_offset(pmd, address));
    yield* free_pte(pte);
  }
}

/**
 * mm/memory.c: zap_page_range() v2.4.0: empties the page tables of a range, all of it under one hold of
 * page_table_lock.
 */
export function* zap_page_range(mm: mm_struct, from: number, size: number): K {
  const end = from + size;
  BUG_ON(from >= end, 'address >= end');
  yield* spin_lock(mm.page_table_lock);
  let address = from;
  while (address < end) {
    const { pmd, next } = tableAt(mm, address, end);
    if (pmd !== 0) {
      yield* zap_pte_range(mm, pmd, address, next);
    }
    address = next;
  }
  spin_unlock(mm.page_table_lock);
}

// ---------------------------------------------------------------- truncation

/** mm/memory.c: vmtruncate_list() v2.4.0. Preconditions: i_shared_lock. */
function* vmtruncate_list(first: vm_area_struct, pgoff: number): K {
  let mpnt: vm_area_struct | null = first;
  while (mpnt !== null) {
    const mm = mpnt.vm_mm as mm_struct;
    const len = mpnt.vm_end - mpnt.vm_start;
    const diff = (pgoff - mpnt.vm_pgoff) * PAGE_SIZE;
    if (mpnt.vm_pgoff >= pgoff) {
      yield* zap_page_range(mm, mpnt.vm_start, len);
    } else if (diff < len) {
      yield* zap_page_range(mm, mpnt.vm_start + diff, len - diff);
    }
    mpnt = vm_next_share(mpnt);
  }
}

/**
 * The second half of mm/memory.c: vmtruncate() v2.4.0: after the pages have left the page cache, they leave the page tables
 * of every VMA that has them. Private copies go too.
 */
export function* vmtruncateMappings(inode: inode, offset: number): K {
  const mapping = inode.i_mapping as address_space;
  yield* spin_lock(mapping.i_shared_lock);
  const pgoff = Math.ceil(offset / PAGE_SIZE);
  const private_list = i_mmap(mapping);
  if (private_list !== null) {
    yield* vmtruncate_list(private_list, pgoff);
  }
  const shared_list = i_mmap_shared(mapping);
  if (shared_list !== null) {
    yield* vmtruncate_list(shared_list, pgoff);
  }
  spin_unlock(mapping.i_shared_lock);
}

/** The entry of an address, or 0 if its table does not exist. */
export function pteAt(mm: mm_struct, address: number): pte_ptr {
  const pmd = mm_find_pmd(mm, address);
  return pmd === 0 || pmd_none(pmdp_get(pmd)) ? 0 : pte_offset(pmd, address);
}
