/**
 * mm/mprotect.c v6.18: mprotect(2): new access bits for the VMAs of a range, then for their page tables.
 *
 * Lock tree: mmap_lock (write) -> vma_start_write() -> (merge or split: i_mmap_rwsem, anon_vma root) -> ptl.
 * Fidelity: dup; without NUMA hinting, userfaultfd, protection keys, MDWE and huge PUDs.
 */
import type { K } from '../../sim/wait.ts';
import { EACCES, EAGAIN, EINTR, EINVAL, ENOMEM, EPERM } from '../errno.ts';
import { current_mm } from '../kernel/current.ts';
import { WARN_ON_ONCE } from '../lib/bug.ts';
import type { mm_struct, page, vm_area_struct } from '../mm_types.ts';
import { populate_vma_page_range } from './gup.ts';
import { change_huge_pmd } from './huge_memory.ts';
import { vm_normal_page } from './memory.ts';
import {
  calc_vm_prot_bits,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  PMD_SIZE,
  PROT_EXEC,
  PROT_GROWSDOWN,
  PROT_GROWSUP,
  PROT_READ,
  PROT_SEM,
  PROT_WRITE,
  VM_ACCESS_FLAGS,
  VM_ACCOUNT,
  VM_GROWSDOWN,
  VM_HUGETLB,
  VM_LOCKED,
  VM_NORESERVE,
  VM_SHARED,
  VM_STICKY,
  VM_WRITE,
  vma_is_anonymous,
} from './mm.ts';
import { mmap_write_lock_killable, mmap_write_unlock, vma_start_write } from './mmap_lock.ts';
import { page_folio } from './page_alloc.ts';
import { folio_test_anon, folio_test_large, PageAnonExclusive } from './page-flags.ts';
import {
  HPAGE_PMD_NR,
  is_swap_pte,
  is_writable_migration_entry,
  migration_page,
  migration_pte_with_kind,
  pgd_addr_end,
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_addr_end,
  pmd_is_huge,
  pmd_none,
  pmd_offset,
  pmdp_get,
  pte_dirty,
  pte_mkwrite,
  pte_modify,
  pte_offset_map_lock,
  pte_present,
  pte_protnone,
  type pte_ptr,
  type pte_t,
  pte_unmap_unlock,
  pte_write,
  ptep_get,
  pud_addr_end,
  pud_none,
  pud_offset,
  pudp_get,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_READ_EXCLUSIVE,
  set_pte_at,
} from './pgtable.ts';
import { mm_pkey_is_allocated } from './pkeys.ts';
import {
  FPB_RESPECT_WRITE,
  folio_pte_batch_flags,
  modify_prot_start_ptes,
  pte_advance_pfn,
} from './pte_batch.ts';
import { __split_huge_pmd } from './split_huge_pmd.ts';
import {
  may_expand_vm,
  security_vm_enough_memory_mm,
  vm_stat_account,
  vm_unacct_memory,
} from './util.ts';
import { vma_modify_flags } from './vma.ts';
import { vma_is_sealed } from './vma_munmap.ts';
import { vma_set_page_prot, vma_wants_writenotify } from './vma_prot.ts';
import { vmaTreeFind, vmaTreeNext, vmaTreePrev } from './vma_tree.ts';

/** MM_CP_TRY_CHANGE_WRITABLE: an entry that needs no write fault may become writable at once. */
export const MM_CP_TRY_CHANGE_WRITABLE = 1;

/** mm/mprotect.c: maybe_change_pte_writable() v6.18. */
function maybe_change_pte_writable(vma: vm_area_struct, pte: pte_t): boolean {
  if (WARN_ON_ONCE((vma.vm_flags & VM_WRITE) === 0, '!(vma->vm_flags & VM_WRITE)')) {
    return false;
  }
  return !pte_protnone(pte);
}

/**
 * mm/mprotect.c: can_change_pte_writable() v6.18. Private: only an exclusive anonymous page, for which the write
 * fault would do the same without asking. Shared: only a dirty entry, whose file system knows already.
 */
export function can_change_pte_writable(vma: vm_area_struct, addr: number, pte: pte_t): boolean {
  if (!maybe_change_pte_writable(vma, pte)) {
    return false;
  }
  if ((vma.vm_flags & VM_SHARED) !== 0) {
    return pte_dirty(pte);
  }
  const page = vm_normal_page(vma, addr, pte);
  return page !== null && folio_test_anon(page_folio(page)) && PageAnonExclusive(page);
}

/** mm/mprotect.c: mprotect_folio_pte_batch() v6.18. */
function mprotect_folio_pte_batch(page: page | null, ptep: pte_ptr, max_nr_ptes: number): number {
  if (page === null || !folio_test_large(page_folio(page))) {
    return 1;
  }
  return folio_pte_batch_flags(page_folio(page), ptep, max_nr_ptes, FPB_RESPECT_WRITE);
}

/**
 * The new entries of a batch: prot_commit_flush_ptes(), set_write_prot_commit_flush_ptes(). Accessed and dirty bits of one
 * become those of all. Preconditions: ptl.
 */
function commitBatch(
  vma: vm_area_struct,
  addr: number,
  ptep: pte_ptr,
  newprot: number,
  cp_flags: number,
  nr_ptes: number,
): void {
  const ptent = pte_modify(modify_prot_start_ptes(ptep, nr_ptes), newprot);
  const try_write = (cp_flags & MM_CP_TRY_CHANGE_WRITABLE) !== 0 && !pte_write(ptent);
  for (let i = 0; i < nr_ptes; i++) {
    const at = addr + i * PAGE_SIZE;
    let pte = pte_advance_pfn(ptent, i);
    if (try_write && can_change_pte_writable(vma, at, pte)) {
      pte = pte_mkwrite(pte);
    }
    if (pte !== ptep_get(ptep + i)) {
      set_pte_at(vma.vm_mm as mm_struct, at, ptep + i, pte);
    }
  }
}

/** A migration entry, after which nobody may write without a fault; whether he may is for the fault to find out. */
function changedMigrationEntry(oldpte: pte_t): pte_t {
  const anon = folio_test_anon(page_folio(migration_page(oldpte)));
  return migration_pte_with_kind(oldpte, anon ? SWP_MIGRATION_READ_EXCLUSIVE : SWP_MIGRATION_READ);
}

/** mm/mprotect.c: change_pte_range() v6.18. Entries changed, or -EAGAIN when the table has gone. */
function* change_pte_range(
  vma: vm_area_struct,
  pmd: pte_ptr,
  start: number,
  end: number,
  newprot: number,
  cp_flags: number,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const first = yield* pte_offset_map_lock(mm, pmd, start);
  if (first === 0) {
    return -EAGAIN;
  }
  let pages = 0;
  let pte = first;
  let addr = start;
  while (addr < end) {
    const oldpte = ptep_get(pte);
    let nr_ptes = 1;
    if (pte_present(oldpte)) {
      const page = vm_normal_page(vma, addr, oldpte);
      nr_ptes = mprotect_folio_pte_batch(page, pte, (end - addr) / PAGE_SIZE);
      commitBatch(vma, addr, pte, newprot, cp_flags, nr_ptes);
      pages = pages + nr_ptes;
    } else if (is_swap_pte(oldpte) && is_writable_migration_entry(oldpte)) {
      set_pte_at(mm, addr, pte, changedMigrationEntry(oldpte));
      pages = pages + 1;
    }
    addr = addr + nr_ptes * PAGE_SIZE;
    pte = pte + nr_ptes;
  }
  pte_unmap_unlock(first);
  return pages;
}

/** mm/mprotect.c: change_pmd_range() v6.18. */
function* change_pmd_range(
  vma: vm_area_struct,
  pud: pte_ptr,
  start: number,
  end: number,
  newprot: number,
  cp_flags: number,
): K<number> {
  let pages = 0;
  let addr = start;
  while (addr < end) {
    const next = pmd_addr_end(addr, end);
    const pmd = pmd_offset(pud, addr);
    if (pmd_is_huge(pmdp_get(pmd))) {
      if (next - addr === PMD_SIZE) {
        const writable = (cp_flags & MM_CP_TRY_CHANGE_WRITABLE) !== 0;
        const changed = yield* change_huge_pmd(vma, pmd, addr, newprot, writable);
        if (changed !== 0) {
          pages = pages + (changed === HPAGE_PMD_NR ? HPAGE_PMD_NR : 0);
          addr = next;
          continue;
        }
      } else {
        yield* __split_huge_pmd(vma, pmd, addr, false);
      }
    }
    if (!pmd_none(pmdp_get(pmd))) {
      const ret = yield* change_pte_range(vma, pmd, addr, next, newprot, cp_flags);
      if (ret < 0) {
        continue;
      }
      pages = pages + ret;
    }
    addr = next;
  }
  return pages;
}

/**
 * mm/mprotect.c: change_protection() v6.18: applies vma->vm_page_prot to the page tables of [start, end). Returns
 * the number of pages. Preconditions: mmap_lock held for write, the VMA write-locked.
 */
export function* change_protection(
  vma: vm_area_struct,
  start: number,
  end: number,
  cp_flags: number,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const newprot = vma.vm_page_prot;
  let pages = 0;
  let addr = start;
  while (addr < end) {
    const pgd = pgd_offset(mm, addr);
    if (pgd_none(pgdp_get(pgd))) {
      addr = pgd_addr_end(addr, end);
      continue;
    }
    const next = pud_addr_end(addr, end);
    const pud = pud_offset(pgd, addr);
    if (!pud_none(pudp_get(pud))) {
      pages = pages + (yield* change_pmd_range(vma, pud, addr, next, newprot, cp_flags));
    }
    addr = next;
  }
  return pages;
}

/** mm/internal.h: vma_wants_manual_pte_write_upgrade() v6.18. */
function vma_wants_manual_pte_write_upgrade(vma: vm_area_struct): boolean {
  if ((vma.vm_flags & VM_SHARED) !== 0) {
    return vma_wants_writenotify(vma);
  }
  return (vma.vm_flags & VM_WRITE) !== 0;
}

/** The VMA before the one a loop works on; updated as VMAs merge and split (pprev in Linux). */
export interface vma_cursor {
  prev: vm_area_struct | null;
}

/**
 * mm/mprotect.c: mprotect_fixup() v6.18: gives [start, end) of `vma` the flags `flags`. 0 or a negative errno.
 * Preconditions: mmap_lock held for write.
 */
export function* mprotect_fixup(
  pprev: vma_cursor | null,
  vma: vm_area_struct,
  start: number,
  end: number,
  flags: number,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const oldflags = vma.vm_flags;
  const nrpages = (end - start) / PAGE_SIZE;
  let newflags = flags;
  let mm_cp_flags = 0;
  let charged = 0;
  if (vma_is_sealed(vma)) {
    return -EPERM;
  }
  if (newflags === oldflags) {
    if (pprev !== null) {
      pprev.prev = vma;
    }
    return 0;
  }
  if ((newflags & VM_WRITE) !== 0) {
    if (!may_expand_vm(mm, newflags, nrpages) && may_expand_vm(mm, oldflags, nrpages)) {
      return -ENOMEM;
    }
    const never = VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE;
    if ((oldflags & never) === 0) {
      charged = nrpages;
      if (security_vm_enough_memory_mm(mm, charged) !== 0) {
        return -ENOMEM;
      }
      newflags |= VM_ACCOUNT;
    }
  } else if ((oldflags & VM_ACCOUNT) !== 0 && vma_is_anonymous(vma) && vma.anon_vma === null) {
    // Never written and no longer writable: nothing is promised any more.
    newflags &= ~VM_ACCOUNT;
  }
  const prev = pprev === null ? null : pprev.prev;
  const modified = yield* vma_modify_flags(prev, vma, start, end, newflags);
  if (typeof modified === 'number') {
    vm_unacct_memory(charged);
    return modified;
  }
  if (pprev !== null) {
    pprev.prev = modified;
  }
  newflags |= modified.vm_flags & VM_STICKY;
  yield* vma_start_write(modified);
  modified.vm_flags = newflags;
  if (vma_wants_manual_pte_write_upgrade(modified)) {
    mm_cp_flags |= MM_CP_TRY_CHANGE_WRITABLE;
  }
  vma_set_page_prot(modified);
  yield* change_protection(modified, start, end, mm_cp_flags);
  if ((oldflags & VM_ACCOUNT) !== 0 && (newflags & VM_ACCOUNT) === 0) {
    vm_unacct_memory(nrpages);
  }
  // A locked private mapping that becomes writable is copied now, so that no access faults later.
  const locked = (oldflags & (VM_WRITE | VM_SHARED | VM_LOCKED)) === VM_LOCKED;
  if (locked && (newflags & VM_WRITE) !== 0) {
    yield* populate_vma_page_range(modified, start, end, null);
  }
  vm_stat_account(mm, oldflags, -nrpages);
  vm_stat_account(mm, newflags, nrpages);
  return 0;
}

/** The loop of do_mprotect_pkey() over the VMAs of [start, end). 0 or a negative errno. */
function* mprotectRange(
  first: vm_area_struct,
  start: number,
  end: number,
  prot: number,
): K<number> {
  const cursor: vma_cursor = { prev: start > first.vm_start ? first : vmaTreePrev(first) };
  let vma: vm_area_struct | null = first;
  let nstart = start;
  let tmp = first.vm_start;
  while (vma !== null && vma.vm_start < end) {
    if (vma.vm_start !== tmp) {
      return -ENOMEM;
    }
    const newflags = calc_vm_prot_bits(prot) | (vma.vm_flags & ~VM_ACCESS_FLAGS);
    // VM_MAY* are four bits above VM_*.
    if ((newflags & ~(newflags >> 4) & VM_ACCESS_FLAGS) !== 0) {
      return -EACCES;
    }
    tmp = Math.min(vma.vm_end, end);
    const error = yield* mprotect_fixup(cursor, vma, nstart, tmp, newflags);
    if (error !== 0) {
      return error;
    }
    // A merge may have reached past the end of the range.
    const reached = cursor.prev as vm_area_struct;
    tmp = reached.vm_end;
    nstart = tmp;
    vma = vmaTreeNext(reached);
  }
  return tmp < end ? -ENOMEM : 0;
}

/** mm/mprotect.c: do_mprotect_pkey() v6.18. 0 or a negative errno; VMAs before the one that failed stay changed. */
export function* do_mprotect_pkey(
  addr: number,
  length: number,
  protection: number,
  pkey: number,
): K<number> {
  const mm = current_mm();
  const grows = protection & (PROT_GROWSDOWN | PROT_GROWSUP);
  const prot = protection & ~(PROT_GROWSDOWN | PROT_GROWSUP);
  let start = addr;
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP)) {
    return -EINVAL;
  }
  if (offset_in_page(start) !== 0) {
    return -EINVAL;
  }
  if (length === 0) {
    return 0;
  }
  const end = start + PAGE_ALIGN(length);
  if (end <= start || end >= 2 ** 64) {
    return -ENOMEM;
  }
  if ((prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM)) !== 0) {
    return -EINVAL;
  }
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  let error = -ENOMEM;
  const vma = vmaTreeFind(mm, start, end);
  if (pkey !== -1 && !mm_pkey_is_allocated(mm, pkey)) {
    error = -EINVAL;
  } else if (vma === null) {
    error = -ENOMEM;
  } else if (grows === PROT_GROWSDOWN) {
    start = vma.vm_start;
    error = (vma.vm_flags & VM_GROWSDOWN) === 0 ? -EINVAL : 0;
  } else if (vma.vm_start > start) {
    error = -ENOMEM;
  } else {
    error = grows === PROT_GROWSUP ? -EINVAL : 0;
  }
  if (error === 0 && vma !== null) {
    error = yield* mprotectRange(vma, start, end, prot);
  }
  mmap_write_unlock(mm);
  return error;
}

/** mm/mprotect.c: mprotect(2) v6.18. */
export function* sys_mprotect(start: number, len: number, prot: number): K<number> {
  return yield* do_mprotect_pkey(start, len, prot, -1);
}
