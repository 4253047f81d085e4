/**
 * mm/mprotect.c v2.6.0 to v2.6.7: mprotect(2). Up to v2.6.6 only private anonymous VMAs merge: each with the one before
 * it, and in the end with the one after the range; in -aa those of files, too; then vma_merge() decides. Lock tree: mmap_sem (write) -> page_table_lock. Fidelity: dup.
 */
import type { K } from '../../../sim/wait.ts';
import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { EACCES, EINVAL, ENOMEM } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_merge } from '../events.ts';
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
  VM_SHARED,
  VM_WRITE,
} from '../mm.ts';
import {
  pgd_addr_end,
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_addr_end,
  pmd_none,
  pmd_offset,
  pmdp_get,
  pte_modify,
  pte_offset,
  pte_present,
  type pte_ptr,
  ptep_get,
  pud_addr_end,
  pud_none,
  pud_offset,
  pudp_get,
  set_pte_at,
} from '../pgtable.ts';
import { security_vm_enough_memory_mm, vm_stat_account, vm_unacct_memory } from '../util.ts';
import { find_vma, vmaTreeNext, vmaTreePrev } from '../vma_tree.ts';
import { absorbVma, can_vma_merge, isPlainAnon, lockVma, unlockVma } from './vma.ts';
import { mprotect_attempt_merge_aa, mprotect_attempt_merge_final } from './vma_aa.ts';
import { vma_merge } from './vma_adjust.ts';
import { splitVma } from './vma_change.ts';
import { placeAgain } from './vma_place.ts';

/** mm/mprotect.c: change_pte_range() v2.6.0. Preconditions: ptl. */
function* change_pte_range(
  mm: mm_struct,
  pmd: pte_ptr,
  start: number,
  end: number,
  newprot: number,
): K {
  let pte = pte_offset(pmd, start);
  for (let addr = start; addr < end; addr = addr + PAGE_SIZE) {
    const entry = ptep_get(pte);
    if (pte_present(entry)) {
      const modified = pte_modify(entry, newprot);
      if (modified !== entry) {
        set_pte_at(mm, addr, pte, modified);
      }
    }
    pte = pte + 1;
  }
}

/** mm/mprotect.c: change_protection() v2.6.0. Preconditions: mmap_sem held for write. */
export function* change_protection(
  vma: vm_area_struct,
  start: number,
  end: number,
  newprot: number,
): K {
  const mm = vma.vm_mm as mm_struct;
  let addr = start;
  yield* spin_lock(mm.page_table_lock);
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
      yield* change_pte_range(mm, pmd, addr, next, newprot);
    }
    addr = next;
  }
  spin_unlock(mm.page_table_lock);
}

/** mm/mprotect.c: mprotect_attempt_merge() v2.6.0: the start of `vma`, or all of it, goes to the VMA before it. */
function* mprotect_attempt_merge(
  vma: vm_area_struct,
  prev: vm_area_struct | null,
  end: number,
  newflags: number,
): K<boolean> {
  const mm = vma.vm_mm as mm_struct;
  if (prev === null || prev.vm_end !== vma.vm_start) {
    return false;
  }
  if (!can_vma_merge(prev, newflags) || !isPlainAnon(vma)) {
    return false;
  }
  if (end === vma.vm_end) {
    yield* absorbVma(mm, prev, vma);
    return true;
  }
  const start = vma.vm_start;
  yield* lockVma(prev);
  prev.vm_end = end;
  vma.vm_start = end;
  placeAgain(mm, prev, vma);
  unlockVma(prev);
  trace_vma_merge({ vma: prev, start, end, removed: 0 });
  return true;
}

/** New flags of a VMA: under page_table_lock, where that protects VMAs. */
function* setProtection(vma: vm_area_struct, newflags: number, newprot: number): K {
  const mm = vma.vm_mm as mm_struct;
  const locked = !has('vma_lock_by_scheme');
  if (locked) {
    yield* spin_lock(mm.page_table_lock);
  }
  vma.vm_flags = newflags;
  vma.vm_page_prot = newprot;
  if (locked) {
    spin_unlock(mm.page_table_lock);
  }
}

/** mm/mprotect.c: mprotect_fixup() v2.6.0; with vma_adjust v2.6.7, where any VMA may merge. The VMA that holds the range now, or a negative errno. */
export function* mprotect_fixup(
  vma: vm_area_struct,
  prev: vm_area_struct | null,
  start: number,
  end: number,
  flags: number,
): K<vm_area_struct | number> {
  const mm = vma.vm_mm as mm_struct;
  const oldflags = vma.vm_flags;
  const nrpages = (end - start) / PAGE_SIZE;
  let newflags = flags;
  let charged = 0;
  if (newflags === oldflags) {
    return vma;
  }
  if ((newflags & VM_WRITE) !== 0 && (oldflags & (VM_ACCOUNT | VM_WRITE | VM_SHARED)) === 0) {
    charged = nrpages;
    if (security_vm_enough_memory_mm(mm, charged) !== 0) {
      return -ENOMEM;
    }
    newflags |= VM_ACCOUNT;
  }
  const newprot = vm_get_page_prot(newflags);
  let target = vma;
  let error = 0;
  let merged: vm_area_struct | null = null;
  if (has('vma_adjust')) {
    const pgoff = vma.vm_pgoff + (start - vma.vm_start) / PAGE_SIZE;
    const { anon_vma, vm_file } = vma;
    merged = yield* vma_merge(mm, prev, start, end, newflags, anon_vma, vm_file, pgoff);
  } else if (start === vma.vm_start) {
    const absorbed = has('mprotect_merges_files')
      ? yield* mprotect_attempt_merge_aa(vma, prev, end, newflags)
      : yield* mprotect_attempt_merge(vma, prev, end, newflags);
    merged = absorbed ? prev : null;
  }
  if (merged === null && start !== vma.vm_start) {
    error = yield* splitVma(mm, vma, start, true);
  }
  if (merged !== null) {
    target = merged;
    if (has('vma_adjust')) {
      // Case 8: the area has swallowed the next VMA, and gets its flags now.
      target.vm_flags = newflags;
      target.vm_page_prot = newprot;
    }
  } else {
    if (error === 0 && end !== vma.vm_end) {
      error = yield* splitVma(mm, vma, end, false);
    }
    if (error !== 0) {
      if (charged > 0) {
        vm_unacct_memory(charged);
      }
      return error;
    }
    yield* setProtection(vma, newflags, newprot);
  }
  vm_stat_account(mm, oldflags, -nrpages);
  vm_stat_account(mm, newflags, nrpages);
  yield* change_protection(target, start, end, newprot);
  return target;
}

/** The end of mprotect(2): what was changed last, and the VMA after it. */
function* mergeFinal(prev: vm_area_struct): K {
  const next = vmaTreeNext(prev);
  if (next === null || prev.vm_end !== next.vm_start || !isPlainAnon(prev)) {
    return;
  }
  if (can_vma_merge(next, prev.vm_flags)) {
    yield* absorbVma(prev.vm_mm as mm_struct, prev, next);
  }
}

/** The loop of mprotect(2) over the VMAs of [start, end). 0 or a negative errno. */
function* fixupRange(first: vm_area_struct, start: number, end: number, prot: number): K<number> {
  let vma: vm_area_struct | null = first;
  // From 2.6.7 on a VMA that begins before the range is its own predecessor.
  const inside = has('vma_adjust') && start > first.vm_start;
  let prev = inside ? first : vmaTreePrev(first);
  let nstart = start;
  while (vma !== null) {
    const newflags = calc_vm_prot_bits(prot) | (vma.vm_flags & ~VM_ACCESS_FLAGS);
    // VM_MAY* are four bits above VM_*.
    if ((newflags & ~(newflags >> 4) & VM_ACCESS_FLAGS) !== 0) {
      return -EACCES;
    }
    const beyond = vma.vm_end > end;
    const last = vma.vm_end === end;
    const tmp = Math.min(vma.vm_end, end);
    let next: vm_area_struct | null = vmaTreeNext(vma);
    const result: vm_area_struct | number = yield* mprotect_fixup(vma, prev, nstart, tmp, newflags);
    if (typeof result === 'number') {
      return result;
    }
    if (beyond) {
      return 0;
    }
    prev = result;
    nstart = tmp;
    if (has('vma_adjust')) {
      // What followed may be part of the result, as far as it goes.
      nstart = Math.max(tmp, result.vm_end);
      if (nstart >= end) {
        return 0;
      }
      next = vmaTreeNext(result);
    } else if (last) {
      if (has('mprotect_merges_files')) {
        yield* mprotect_attempt_merge_final(result);
      } else {
        yield* mergeFinal(result);
      }
      return 0;
    }
    vma = next;
    if (vma === null || vma.vm_start !== nstart) {
      return -ENOMEM;
    }
  }
  return -ENOMEM;
}

/** mm/mprotect.c: mprotect(2) v2.6.0. */
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
  const end = addr + PAGE_ALIGN(length);
  if (end < addr || end >= 2 ** 64) {
    return -EINVAL;
  }
  if ((prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM)) !== 0) {
    return -EINVAL;
  }
  if (end === addr) {
    return 0;
  }
  yield* down_write(mm.mmap_lock);
  let error = -ENOMEM;
  let start = addr;
  const vma = find_vma(mm, start);
  if (vma !== null) {
    if (grows === PROT_GROWSDOWN && vma.vm_start < end) {
      start = vma.vm_start;
      error = (vma.vm_flags & VM_GROWSDOWN) === 0 ? -EINVAL : 0;
    } else if (grows !== PROT_GROWSDOWN && vma.vm_start <= start) {
      error = grows === PROT_GROWSUP ? -EINVAL : 0;
    }
    if (error === 0) {
      error = yield* fixupRange(vma, start, end, prot);
    }
  }
  up_write(mm.mmap_lock);
  return error;
}
