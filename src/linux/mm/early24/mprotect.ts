/**
 * mm/mprotect.c v2.4.0. Lock tree: mmap_sem -> i_shared_lock -> page_table_lock. Fidelity: dup.
 */
import type { K } from '../../../sim/wait.ts';
import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { EACCES, EFAULT, EINVAL } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import {
  calc_vm_prot_bits,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  VM_EXEC,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_READ,
  VM_WRITE,
} from '../mm.ts';
import {
  pte_modify,
  pte_offset,
  pte_present,
  type pte_ptr,
  ptep_get,
  ptep_get_and_clear,
  set_pte_at,
} from '../pgtable.ts';
import { lockForMerge, merge_segments, unlockAfterMerge } from './merge_segments.ts';
import { fixup } from './split.ts';
import { find_vma, vm_next } from './vma_list.ts';
import { tableAt, usedFrom } from './zap.ts';

/** mm/mprotect.c: change_pte_range() v2.4.0. Preconditions: page_table_lock. */
function* change_pte_range(
  mm: mm_struct,
  pmd: pte_ptr,
  start: number,
  end: number,
  newprot: number,
): K {
  for (
    let address = usedFrom(pmd, start, end);
    address < end;
    address = usedFrom(pmd, address + PAGE_SIZE, end)
  ) {
    const ptep = pte_offset(pmd, address);
    if (pte_present(ptep_get(ptep))) {
      // In two steps, so that the processor cannot set the dirty bit of an entry that is about to be overwritten.
      const entry = ptep_get_and_clear(mm, address, ptep);
      set_pte_at(mm, address, ptep, pte_modify(entry, newprot));
    }
  }
}

/** mm/mprotect.c: change_protection() v2.4.0. Preconditions: mmap_sem. */
function* change_protection(mm: mm_struct, start: number, end: number, newprot: number): K {
  yield* spin_lock(mm.page_table_lock);
  let address = start;
  while (address < end) {
    const { pmd, next } = tableAt(mm, address, end);
    if (pmd !== 0) {
      yield* change_pte_range(mm, pmd, address, next, newprot);
    }
    address = next;
  }
  spin_unlock(mm.page_table_lock);
}

/** mm/mprotect.c: mprotect_fixup() v2.4.0. 0 or -ENOMEM. Preconditions: mmap_sem. */
function* mprotect_fixup(
  vma: vm_area_struct,
  start: number,
  end: number,
  newflags: number,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  if (newflags === vma.vm_flags) {
    return 0;
  }
  const error = yield* fixup(vma, start, end, { newflags, needs_file: false });
  if (error !== 0) {
    return error;
  }
  yield* change_protection(mm, start, end, vm_get_page_prot(newflags));
  return 0;
}

const may = [
  [VM_READ, VM_MAYREAD],
  [VM_WRITE, VM_MAYWRITE],
  [VM_EXEC, VM_MAYEXEC],
] as const;

/** Each access has the bit that allows it. */
const isAllowed = (flags: number): boolean =>
  may.every(([access, allowed]) => (flags & access) === 0 || (flags & allowed) !== 0);

/** The loop of mprotect(2): what was done before an error stays done. */
function* protectRange(mm: mm_struct, start: number, end: number, prot: number): K<number> {
  let vma = find_vma(mm, start);
  if (vma === null || vma.vm_start > start) {
    return -EFAULT;
  }
  let nstart = start;
  for (;;) {
    const others = vma.vm_flags & ~(VM_READ | VM_WRITE | VM_EXEC);
    const newflags = calc_vm_prot_bits(prot) | others;
    if (!isAllowed(newflags)) {
      return -EACCES;
    }
    if (vma.vm_end >= end) {
      return yield* mprotect_fixup(vma, nstart, end, newflags);
    }
    const tmp: number = vma.vm_end;
    const next: vm_area_struct | null = vm_next(vma);
    const error = yield* mprotect_fixup(vma, nstart, tmp, newflags);
    if (error !== 0) {
      return error;
    }
    nstart = tmp;
    vma = next;
    if (vma === null || vma.vm_start !== nstart) {
      return -EFAULT;
    }
  }
}

/** The end of mprotect(2) in 2.3.99-pre6: neighbours that are alike now become one, whatever the result is. */
function* mergeRange(mm: mm_struct, start: number, end: number): K {
  const vma = find_vma(mm, start);
  if (vma === null) {
    return;
  }
  const locks = yield* lockForMerge(vma);
  yield* spin_lock(mm.page_table_lock);
  yield* merge_segments(mm, start, end);
  spin_unlock(mm.page_table_lock);
  unlockAfterMerge(vma, locks);
}

/** mm/mprotect.c: mprotect(2) v2.4.0. */
export function* sys_mprotect(start: number, length: number, prot: number): K<number> {
  const mm = current_mm();
  if (offset_in_page(start) !== 0) {
    return -EINVAL;
  }
  const len = PAGE_ALIGN(length);
  const end = start + len;
  if (end >= 2 ** 64 || (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) !== 0) {
    return -EINVAL;
  }
  if (len === 0) {
    return 0;
  }
  yield* down_write(mm.mmap_lock);
  const error = yield* protectRange(mm, start, end, prot);
  if (has('merge_segments')) {
    yield* mergeRange(mm, start, end);
  }
  up_write(mm.mmap_lock);
  return error;
}
