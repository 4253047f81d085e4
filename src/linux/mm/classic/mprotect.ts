/**
 * mm/mprotect.c v2.6.34: mprotect(2). Lock tree: mmap_sem (write) -> (merge or split: i_mmap_lock) -> ptl.
 * Fidelity: dup; no huge pages.
 */
import type { K } from '../../../sim/wait.ts';
import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { EACCES, EINVAL, ENOMEM } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { has, memory_manager } from '../../kernel.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { vm_normal_page } from '../memory.ts';
import {
  calc_vm_prot_bits,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
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
  VM_NORESERVE,
  VM_SHARED,
  VM_WRITE,
} from '../mm.ts';
import { folio_test_anon, PageAnonExclusive } from '../page-flags.ts';
import {
  is_writable_migration_entry,
  migration_page,
  migration_pte_with_kind,
  pgd_addr_end,
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_addr_end,
  pmd_none,
  pmd_offset,
  pmdp_get,
  pte_dirty,
  pte_mkwrite,
  pte_modify,
  pte_none,
  pte_offset_map_lock,
  pte_present,
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
} from '../pgtable.ts';
import { security_vm_enough_memory_mm, vm_stat_account, vm_unacct_memory } from '../util.ts';
import { vma_wants_writenotify } from '../vma_prot.ts';
import { find_vma, vmaTreeNext, vmaTreePrev } from '../vma_tree.ts';
import { __split_vma, vma_merge } from './vma_adjust.ts';

/**
 * What an entry of a page frame becomes. `dirty_accountable`: a dirty page needs no first-write notice; with
 * mprotect_writable (by 6.1), where it is can_change_pte_writable(), also for a page that nobody shares.
 */
function changedPresent(
  vma: vm_area_struct,
  addr: number,
  oldpte: pte_t,
  dirty_accountable: boolean,
): pte_t {
  const ptent = pte_modify(oldpte, vma.vm_page_prot);
  if (!pte_dirty(ptent)) {
    return ptent;
  }
  const asks = has('mprotect_writable') && (vma.vm_flags & (VM_SHARED | VM_WRITE)) === VM_WRITE;
  if (asks && !pte_write(ptent)) {
    const page = vm_normal_page(vma, addr, ptent);
    const alone = page !== null && folio_test_anon(page) && PageAnonExclusive(page);
    return alone ? pte_mkwrite(ptent) : ptent;
  }
  return dirty_accountable ? pte_mkwrite(ptent) : ptent;
}

/** What a migration entry that allows writing becomes: whether it may be written later is for the fault to find out. */
function changedMigration(oldpte: pte_t): pte_t {
  const exclusive = memory_manager().reuse === 'anon_exclusive';
  const anon = exclusive && folio_test_anon(migration_page(oldpte));
  return migration_pte_with_kind(oldpte, anon ? SWP_MIGRATION_READ_EXCLUSIVE : SWP_MIGRATION_READ);
}

/** mm/mprotect.c: change_pte_range() v2.6.34, v5.19 and v6.1. */
function* change_pte_range(
  vma: vm_area_struct,
  pmd: pte_ptr,
  start: number,
  end: number,
  dirty_accountable: boolean,
): K {
  const mm = vma.vm_mm as mm_struct;
  const first = yield* pte_offset_map_lock(mm, pmd, start);
  let pte = first;
  for (let addr = start; addr < end; addr = addr + PAGE_SIZE) {
    const oldpte = ptep_get(pte);
    if (pte_present(oldpte)) {
      const ptent = changedPresent(vma, addr, oldpte, dirty_accountable);
      if (ptent !== oldpte) {
        set_pte_at(mm, addr, pte, ptent);
      }
    } else if (!pte_none(oldpte) && is_writable_migration_entry(oldpte)) {
      set_pte_at(mm, addr, pte, changedMigration(oldpte));
    }
    pte = pte + 1;
  }
  pte_unmap_unlock(first);
}

/** mm/mprotect.c: change_protection() v2.6.34, down to change_pmd_range(). Preconditions: mmap_sem held for write. */
function* change_protection(
  vma: vm_area_struct,
  start: number,
  end: number,
  dirty_accountable: boolean,
): K {
  const mm = vma.vm_mm as mm_struct;
  let addr = start;
  while (addr < end) {
    const pgd = pgd_offset(mm, addr);
    if (pgd_none(pgdp_get(pgd))) {
      addr = pgd_addr_end(addr, end);
      continue;
    }
    const pud = pud_offset(pgd, addr);
    if (pud_none(pudp_get(pud))) {
      addr = pud_addr_end(addr, end);
      continue;
    }
    const pmd = pmd_offset(pud, addr);
    const next = pmd_addr_end(addr, end);
    if (!pmd_none(pmdp_get(pmd))) {
      yield* change_pte_range(vma, pmd, addr, next, dirty_accountable);
    }
    addr = next;
  }
}

/** The VMA that holds the range after mprotect_fixup(), or a negative errno. */
type fixed = vm_area_struct | number;

/** mm/mprotect.c: mprotect_fixup() v2.6.34. Preconditions: mmap_sem held for write. */
export function* mprotect_fixup(
  area: vm_area_struct,
  prev: vm_area_struct | null,
  start: number,
  end: number,
  flags: number,
): K<fixed> {
  const mm = area.vm_mm as mm_struct;
  const oldflags = area.vm_flags;
  const nrpages = (end - start) / PAGE_SIZE;
  let newflags = flags;
  let charged = 0;
  let vma = area;
  if (newflags === oldflags) {
    return vma;
  }
  if ((newflags & VM_WRITE) !== 0) {
    // A private mapping that becomes writable is accounted for from now on.
    const never = VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE;
    if ((oldflags & never) === 0) {
      charged = nrpages;
      if (security_vm_enough_memory_mm(mm, charged) !== 0) {
        return -ENOMEM;
      }
      newflags |= VM_ACCOUNT;
    }
  }
  const pgoff = vma.vm_pgoff + (start - vma.vm_start) / PAGE_SIZE;
  const { anon_vma, vm_file } = vma;
  const merged = yield* vma_merge(mm, prev, start, end, newflags, anon_vma, vm_file, pgoff);
  if (merged !== null) {
    vma = merged;
  } else {
    let error = 0;
    if (start !== vma.vm_start) {
      error = yield* __split_vma(vma, start, true);
    }
    if (error === 0 && end !== vma.vm_end) {
      error = yield* __split_vma(vma, end, false);
    }
    if (error !== 0) {
      vm_unacct_memory(charged);
      return error;
    }
  }
  vma.vm_flags = newflags;
  vma.vm_page_prot = vm_get_page_prot(newflags);
  const dirty_accountable = vma_wants_writenotify(vma);
  if (dirty_accountable) {
    vma.vm_page_prot = vm_get_page_prot(newflags & ~VM_SHARED);
  }
  yield* change_protection(vma, start, end, dirty_accountable);
  vm_stat_account(mm, oldflags, -nrpages);
  vm_stat_account(mm, newflags, nrpages);
  return vma;
}

/** The loop of mprotect(2) over the VMAs of [start, end). 0 or a negative errno. */
function* fixupRange(first: vm_area_struct, start: number, end: number, prot: number): K<number> {
  let vma: vm_area_struct | null = first;
  let prev = start > first.vm_start ? first : vmaTreePrev(first);
  let nstart = start;
  while (vma !== null) {
    const newflags = calc_vm_prot_bits(prot) | (vma.vm_flags & ~VM_ACCESS_FLAGS);
    // VM_MAY* are four bits above VM_*.
    if ((newflags & ~(newflags >> 4) & VM_ACCESS_FLAGS) !== 0) {
      return -EACCES;
    }
    const tmp = Math.min(vma.vm_end, end);
    const result: fixed = yield* mprotect_fixup(vma, prev, nstart, tmp, newflags);
    if (typeof result === 'number') {
      return result;
    }
    prev = result;
    nstart = Math.max(tmp, result.vm_end);
    if (nstart >= end) {
      return 0;
    }
    vma = vmaTreeNext(result);
    if (vma === null || vma.vm_start !== nstart) {
      return -ENOMEM;
    }
  }
  return -ENOMEM;
}

/** mm/mprotect.c: mprotect(2) v2.6.34. No memory keys: any `pkey` is the key of mprotect(). */
export function* sys_mprotect(
  addr: number,
  length: number,
  protection: number,
  pkey: number,
): K<number> {
  const mm = current_mm();
  const grows = protection & (PROT_GROWSDOWN | PROT_GROWSUP);
  const prot = protection & ~(PROT_GROWSDOWN | PROT_GROWSUP);
  if (pkey !== -1 || grows === (PROT_GROWSDOWN | PROT_GROWSUP) || offset_in_page(addr) !== 0) {
    return -EINVAL;
  }
  if (length === 0) {
    return 0;
  }
  const end = addr + PAGE_ALIGN(length);
  if (end <= addr || end >= 2 ** 64) {
    return -ENOMEM;
  }
  if ((prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM)) !== 0) {
    return -EINVAL;
  }
  yield* down_write(mm.mmap_lock);
  let error = -ENOMEM;
  let start = addr;
  const vma = find_vma(mm, start);
  if (vma !== null) {
    if (grows === PROT_GROWSDOWN && vma.vm_start < end) {
      start = vma.vm_start;
      error = (vma.vm_flags & VM_GROWSDOWN) === 0 ? -EINVAL : 0;
    } else if (vma.vm_start <= start) {
      error = grows === PROT_GROWSUP ? -EINVAL : 0;
    }
    if (error === 0) {
      error = yield* fixupRange(vma, start, end, prot);
    }
  }
  up_write(mm.mmap_lock);
  return error;
}
