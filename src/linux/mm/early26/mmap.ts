/**
 * mm/mmap.c v2.6.0 to v2.6.7: mmap(2), munmap(2), brk(2), stack growth, and the address space as a whole: dup_mmap() of
 * kernel/fork.c and exit_mmap().
 *
 * Lock tree: mmap_sem -> i_shared_sem -> page_table_lock (child's -> parent's) -> bit lock of a page.
 * Fidelity: dup, with the search for free addresses of v6.18 (mm/unmapped_area.ts); page tables that are no longer
 * needed are freed by the table, not by whole top-level entries; nothing is faulted in for MAP_LOCKED.
 */
import type { K } from '../../../sim/wait.ts';
import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { EACCES, EBADF, EINVAL, ENODEV, ENOMEM, EPERM } from '../../errno.ts';
import { fget } from '../../fs/file.ts';
import { fput, get_file } from '../../fs/file_table.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import type { file, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_adjust, trace_vma_expand, trace_vma_map, trace_vma_unmap } from '../events.ts';
import { free_pgd_range } from '../memory.ts';
import {
  calc_vm_flag_bits,
  calc_vm_prot_bits,
  FMODE_READ,
  FMODE_WRITE,
  MAP_ANONYMOUS,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_STACK,
  MAP_SYNC,
  MAP_TYPE,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_ALIGN_DOWN,
  PAGE_SIZE,
  PROT_WRITE,
  pages_of,
  TASK_SIZE,
  ULONG_MAX,
  VM_ACCOUNT,
  VM_DATA_FLAGS_TSK_EXEC,
  VM_DONTCOPY,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_SHARED,
  VM_WRITE,
  vma_pages,
} from '../mm.ts';
import { tlb_finish_mmu, tlb_gather_mmu } from '../mmu_gather.ts';
import type { mmu_gather } from '../pgtable_types.ts';
import { shmem_zero_setup } from '../shmem.ts';
import { lru_add_drain } from '../swap.ts';
import { can_mmap_file, get_unmapped_area } from '../unmapped_area.ts';
import {
  can_do_mlock,
  may_expand_vm,
  RLIMIT_DATA,
  RLIMIT_STACK,
  security_vm_enough_memory_mm,
  sysctl_max_map_count,
  vm_stat_account,
  vm_unacct_memory,
} from '../util.ts';
import { vm_area_alloc, vm_area_dup, vm_area_free } from '../vma_init.ts';
import { i_mmap_lock_write, i_mmap_unlock_write, vma_mapping } from '../vma_link.ts';
import { mmapFile } from '../vma_map.ts';
import {
  find_vma,
  vmaTreeBefore,
  vmaTreeClear,
  vmaTreeFind,
  vmaTreeNext,
  vmaTreePrev,
  vmaTreeRange,
  vmaTreeStore,
} from '../vma_tree.ts';
import { copy_page_range } from './copy_page_range.ts';
import { linkForked, unlink_file_vma } from './file_vmas.ts';
import { hooks } from './hooks.ts';
import { lockVma, unlockVma } from './vma.ts';
import type { anon_vma_cache } from './vma_aa.ts';
import { linkVma, mergeNew, splitVma } from './vma_change.ts';
import { vmaAfter } from './vma_place.ts';
import { unaccount, unmap_vmas } from './zap.ts';

/** vm_stat_account() of the time: total_vm only, but the parts are kept too. */
const account = (mm: mm_struct, flags: number, pages: number): void =>
  vm_stat_account(mm, flags, pages);

// ---------------------------------------------------------------- unmapping

/** mm/mmap.c: unmap_vma() v2.6.0. Preconditions: its page tables are gone, no spinlock held. */
function* unmap_vma(mm: mm_struct, area: vm_area_struct): K {
  account(mm, area.vm_flags, -vma_pages(area));
  if ((area.vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm - vma_pages(area);
  }
  yield* freeVma(area);
}

/** What exit_mmap() and unmap_vma() do with a VMA in the end: out of its file and its anon_vma, and free. */
function* freeVma(vma: vm_area_struct): K {
  trace_vma_unmap({ vma, start: vma.vm_start, end: vma.vm_end });
  yield* unlink_file_vma(vma);
  yield* hooks().rmap_unlink_vma(vma);
  if (vma.vm_file !== null) {
    fput(vma.vm_file);
  }
  vm_area_free(vma);
}

/** mm/mmap.c: free_pgtables() v2.6.0. Preconditions: ptl. */
function freeTables(
  tlb: mmu_gather,
  vmas: readonly vm_area_struct[],
  floor: number,
  top: number,
): void {
  const first = vmas[0];
  const last = vmas.at(-1);
  if (first !== undefined && last !== undefined) {
    free_pgd_range(tlb, first.vm_start, last.vm_end, floor, top);
  }
}

/** mm/mmap.c: unmap_region() v2.6.0. Preconditions: ptl; the VMAs are out of the mm. */
function* unmap_region(
  mm: mm_struct,
  vmas: readonly vm_area_struct[],
  prev: vm_area_struct | null,
  start: number,
  end: number,
): K {
  const next = vmaAfter(mm, prev);
  lru_add_drain();
  const tlb = tlb_gather_mmu(mm);
  const nr_accounted = yield* unmap_vmas(tlb, vmas, start, end);
  unaccount(nr_accounted);
  freeTables(tlb, vmas, prev?.vm_end ?? 0, next?.vm_start ?? 0);
  yield* tlb_finish_mmu(tlb);
}

/** mm/mmap.c: detach_vmas_to_be_unmapped() v2.6.0. Preconditions: ptl. */
function detach_vmas_to_be_unmapped(mm: mm_struct, vmas: readonly vm_area_struct[]): void {
  for (const vma of vmas) {
    vmaTreeClear(mm, vma.tree_start, vma.tree_end);
    mm.map_count = mm.map_count - 1;
  }
}

/** mm/mmap.c: do_munmap() v2.6.0. 0 or a negative errno. Preconditions: mmap_sem held for write. */
export function* do_munmap(mm: mm_struct, start: number, length: number): K<number> {
  if (offset_in_page(start) !== 0 || start > TASK_SIZE || length > TASK_SIZE - start) {
    return -EINVAL;
  }
  const len = PAGE_ALIGN(length);
  if (len === 0) {
    return -EINVAL;
  }
  const mpnt = find_vma(mm, start);
  if (mpnt === null) {
    return 0;
  }
  let prev = vmaTreePrev(mpnt);
  const end = start + len;
  if (mpnt.vm_start >= end) {
    return 0;
  }
  if (start > mpnt.vm_start) {
    if ((yield* splitVma(mm, mpnt, start, false)) !== 0) {
      return -ENOMEM;
    }
    prev = mpnt;
  }
  const last = find_vma(mm, end);
  if (last !== null && end > last.vm_start) {
    if ((yield* splitVma(mm, last, end, true)) !== 0) {
      return -ENOMEM;
    }
  }
  const vmas = vmaTreeRange(mm, start, end);
  if (has('vma_lock_by_scheme')) {
    detach_vmas_to_be_unmapped(mm, vmas);
    yield* spin_lock(mm.page_table_lock);
  } else {
    yield* spin_lock(mm.page_table_lock);
    detach_vmas_to_be_unmapped(mm, vmas);
  }
  yield* unmap_region(mm, vmas, prev, start, end);
  spin_unlock(mm.page_table_lock);
  // unmap_vma_list()
  for (const vma of vmas) {
    yield* unmap_vma(mm, vma);
  }
  return 0;
}

/** mm/mmap.c: munmap(2) v2.6.0. */
export function* sys_munmap(addr: number, len: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const ret = yield* do_munmap(mm, addr, len);
  up_write(mm.mmap_lock);
  return ret;
}

// ---------------------------------------------------------------- mapping

/** The VMA before a place: find_vma_prepare(). */
export const prevOf = (mm: mm_struct, addr: number): vm_area_struct | null =>
  vmaTreeBefore(mm, addr);

/** munmap_back: what is mapped in [addr, addr + len) goes. 0 or -ENOMEM. */
export function* unmapBack(mm: mm_struct, addr: number, len: number): K<number> {
  const vma = vmaTreeFind(mm, addr, addr + len);
  if (vma !== null && (yield* do_munmap(mm, addr, len)) !== 0) {
    return -ENOMEM;
  }
  return 0;
}

/** The switch over MAP_TYPE of do_mmap_pgoff(): new vm_flags, or a negative errno. */
function mapping_flags(file: file | null, prot: number, flags: number, vm_flags: number): number {
  const type = flags & MAP_TYPE;
  if (type !== MAP_SHARED && type !== MAP_PRIVATE) {
    return -EINVAL;
  }
  if (file === null) {
    return type === MAP_SHARED ? vm_flags | VM_SHARED | VM_MAYSHARE : vm_flags;
  }
  let new_flags = vm_flags;
  if (type === MAP_SHARED) {
    if ((prot & PROT_WRITE) !== 0 && (file.f_mode & FMODE_WRITE) === 0) {
      return -EACCES;
    }
    new_flags |= VM_SHARED | VM_MAYSHARE;
    if ((file.f_mode & FMODE_WRITE) === 0) {
      new_flags &= ~(VM_MAYWRITE | VM_SHARED);
    }
  }
  return (file.f_mode & FMODE_READ) === 0 ? -EACCES : new_flags;
}

/** The VMA of do_mmap_pgoff(), not linked yet, or a negative errno. */
function makeVma(
  mm: mm_struct,
  file: file | null,
  addr: number,
  len: number,
  vm_flags: number,
  pgoff: number,
): vm_area_struct | number {
  const vma = vm_area_alloc(mm);
  if (vma === null) {
    return -ENOMEM;
  }
  vma.vm_start = addr;
  vma.vm_end = addr + len;
  vma.vm_flags = vm_flags;
  vma.vm_page_prot = vm_get_page_prot(vm_flags);
  vma.vm_pgoff = pgoff;
  let error = 0;
  if (file !== null) {
    if ((vm_flags & VM_GROWSDOWN) !== 0) {
      vm_area_free(vma);
      return -EINVAL;
    }
    vma.vm_file = get_file(file);
    error = mmapFile(file, vma);
    if (error !== 0) {
      vma.vm_file = null;
      fput(file);
    }
  } else if ((vm_flags & VM_SHARED) !== 0) {
    error = shmem_zero_setup(vma);
  }
  if (error !== 0) {
    vm_area_free(vma);
    return error;
  }
  // What a shared object has promised is its own affair.
  if ((vm_flags & (VM_SHARED | VM_ACCOUNT)) === (VM_SHARED | VM_ACCOUNT)) {
    vma.vm_flags = vma.vm_flags & ~VM_ACCOUNT;
  }
  return vma;
}

/** Gives up a VMA that vma_merge() made unnecessary. */
function dropVma(vma: vm_area_struct): void {
  if (vma.vm_file !== null) {
    fput(vma.vm_file);
  }
  vm_area_free(vma);
}

/** The end of do_mmap_pgoff(), from the first look at what is mapped there. The address or a negative errno. */
function* mapRegion(
  mm: mm_struct,
  file: file | null,
  addr: number,
  len: number,
  flags: number,
  flags_of_vma: number,
  pgoff: number,
): K<number> {
  let vm_flags = flags_of_vma;
  let charged = 0;
  if ((yield* unmapBack(mm, addr, len)) !== 0) {
    return -ENOMEM;
  }
  if (!may_expand_vm(mm, vm_flags, len / PAGE_SIZE)) {
    return -ENOMEM;
  }
  if ((flags & MAP_NORESERVE) === 0) {
    if ((vm_flags & VM_SHARED) !== 0) {
      vm_flags |= VM_ACCOUNT;
    } else if ((vm_flags & VM_WRITE) !== 0) {
      charged = len / PAGE_SIZE;
      if (security_vm_enough_memory_mm(mm, charged) !== 0) {
        return -ENOMEM;
      }
      vm_flags |= VM_ACCOUNT;
    }
  }
  const prev = prevOf(mm, addr);
  const end = addr + len;
  const cache: anon_vma_cache = { anon_vma: null };
  let merged: vm_area_struct | null = null;
  if (file === null && (vm_flags & VM_SHARED) === 0) {
    merged = yield* mergeNew(mm, prev, addr, end, vm_flags, null, pgoff, cache);
  }
  if (merged === null) {
    const vma = makeVma(mm, file, addr, len, vm_flags, pgoff);
    if (typeof vma === 'number') {
      if (charged > 0) {
        vm_unacct_memory(charged);
      }
      return vma;
    }
    if (file !== null) {
      merged = yield* mergeNew(mm, prev, addr, end, vma.vm_flags, file, pgoff, cache);
    }
    if (merged === null) {
      vma.anon_vma = cache.anon_vma;
      yield* linkVma(mm, vma);
      trace_vma_map({ vma, start: addr, end, flags: vm_flags });
    } else {
      dropVma(vma);
    }
  }
  account(mm, vm_flags, len / PAGE_SIZE);
  if ((vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + len / PAGE_SIZE;
  }
  return addr;
}

/** mm/mmap.c: do_mmap_pgoff() v2.6.0. The address or a negative errno. Preconditions: mmap_sem held for write. */
export function* do_mmap_pgoff(
  file: file | null,
  hint: number,
  length: number,
  prot: number,
  flags: number,
  file_pgoff: number,
): K<number> {
  const mm = current_mm();
  if (file !== null && !can_mmap_file(file)) {
    return -ENODEV;
  }
  if (length === 0) {
    return hint;
  }
  const len = PAGE_ALIGN(length);
  if (len === 0 || len > TASK_SIZE) {
    return -EINVAL;
  }
  if (file_pgoff + len / PAGE_SIZE >= 2 ** 64) {
    return -EINVAL;
  }
  if (mm.map_count > sysctl_max_map_count()) {
    return -ENOMEM;
  }
  const addr = get_unmapped_area(file, hint, len, file_pgoff, flags);
  if (addr < 0) {
    return addr;
  }
  const vm_flags =
    calc_vm_prot_bits(prot) |
    calc_vm_flag_bits(flags & ~(MAP_STACK | MAP_SYNC)) |
    mm.def_flags |
    VM_MAYREAD |
    VM_MAYWRITE |
    VM_MAYEXEC;
  if ((flags & MAP_LOCKED) !== 0 && !can_do_mlock()) {
    return -EPERM;
  }
  const new_flags = mapping_flags(file, prot, flags, vm_flags);
  if (new_flags < 0) {
    return new_flags;
  }
  let pgoff = file_pgoff;
  if (file === null && has('anon_pgoff')) {
    pgoff = (flags & MAP_TYPE) === MAP_SHARED ? 0 : addr / PAGE_SIZE;
  }
  return yield* mapRegion(mm, file, addr, len, flags, new_flags, pgoff);
}

/** arch/x86_64/kernel/sys_x86_64.c: mmap(2) v2.6.0. */
export function* sys_mmap(
  addr: number,
  len: number,
  prot: number,
  flags: number,
  fd: number,
  off: number,
): K<number> {
  const mm = current_mm();
  if (offset_in_page(off) !== 0) {
    return -EINVAL;
  }
  let file: file | null = null;
  if ((flags & MAP_ANONYMOUS) === 0) {
    file = fget(fd);
    if (file === null) {
      return -EBADF;
    }
  }
  yield* down_write(mm.mmap_lock);
  const ret = yield* do_mmap_pgoff(file, addr, len, prot, flags | 0, pages_of(off));
  up_write(mm.mmap_lock);
  if (file !== null) {
    fput(file);
  }
  return ret;
}

/** mm/mmap.c: do_brk() v2.6.0. `addr` or a negative errno. Preconditions: mmap_sem held for write. */
export function* do_brk(addr: number, length: number): K<number> {
  const mm = current_mm();
  const len = PAGE_ALIGN(length);
  if (len === 0) {
    return addr;
  }
  if (addr + len > TASK_SIZE) {
    return -EINVAL;
  }
  const flags = VM_DATA_FLAGS_TSK_EXEC | VM_ACCOUNT | mm.def_flags;
  if ((yield* unmapBack(mm, addr, len)) !== 0) {
    return -ENOMEM;
  }
  if (!may_expand_vm(mm, flags, len / PAGE_SIZE) || mm.map_count > sysctl_max_map_count()) {
    return -ENOMEM;
  }
  if (security_vm_enough_memory_mm(mm, len / PAGE_SIZE) !== 0) {
    return -ENOMEM;
  }
  const pgoff = has('anon_pgoff') ? addr / PAGE_SIZE : 0;
  const prev = prevOf(mm, addr);
  const cache: anon_vma_cache = { anon_vma: null };
  const merged = yield* mergeNew(mm, prev, addr, addr + len, flags, null, pgoff, cache);
  if (merged === null) {
    const vma = makeVma(mm, null, addr, len, flags, pgoff);
    if (typeof vma === 'number') {
      vm_unacct_memory(len / PAGE_SIZE);
      return -ENOMEM;
    }
    vma.anon_vma = cache.anon_vma;
    yield* linkVma(mm, vma);
    trace_vma_map({ vma, start: addr, end: addr + len, flags });
  }
  account(mm, flags, len / PAGE_SIZE);
  return addr;
}

/** The body of brk(2) with mmap_sem held: the break is in mm->brk afterwards. */
function* set_brk(mm: mm_struct, brk: number): K {
  if (brk < mm.start_brk || brk - mm.start_brk > RLIMIT_DATA) {
    return;
  }
  const newbrk = PAGE_ALIGN(brk);
  const oldbrk = PAGE_ALIGN(mm.brk);
  if (oldbrk === newbrk) {
    mm.brk = brk;
    return;
  }
  if (brk <= mm.brk) {
    if ((yield* do_munmap(mm, newbrk, oldbrk - newbrk)) === 0) {
      mm.brk = brk;
    }
    return;
  }
  if (vmaTreeFind(mm, oldbrk, newbrk + PAGE_SIZE) !== null) {
    return;
  }
  if ((yield* do_brk(oldbrk, newbrk - oldbrk)) === oldbrk) {
    mm.brk = brk;
  }
}

/** mm/mmap.c: brk(2) v2.6.0: the break as it is afterwards. */
export function* sys_brk(brk: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  yield* set_brk(mm, brk);
  const retval = mm.brk;
  up_write(mm.mmap_lock);
  return retval;
}

// ---------------------------------------------------------------- stacks

/**
 * mm/mmap.c: expand_stack() v2.6.0. 0 or a negative errno. Preconditions: mmap_sem held FOR READ. Whoever waited for the
 * lock while another thread grew the stack further computes a growth below zero, which unsigned is so large
 * that no memory is enough for it.
 */
export function* growStack(vma: vm_area_struct, addr: number): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const address = PAGE_ALIGN_DOWN(addr);
  if (has('vma_lock_by_scheme')) {
    // Without an anon_vma there would be no lock.
    const prepared = yield* hooks().rmap_prepare(vma, false, false);
    if (typeof prepared === 'number') {
      return prepared;
    }
  }
  yield* lockVma(vma);
  const pages = (vma.vm_start - address) / PAGE_SIZE;
  const grow = pages < 0 ? 2 ** 52 + pages : pages;
  const size = vma.vm_end - address;
  if (
    size > RLIMIT_STACK ||
    !may_expand_vm(mm, vma.vm_flags, grow) ||
    security_vm_enough_memory_mm(mm, grow) !== 0
  ) {
    unlockVma(vma);
    return -ENOMEM;
  }
  vma.vm_start = address;
  vma.vm_pgoff = vma.vm_pgoff - grow;
  vmaTreeStore(mm, vma);
  trace_vma_adjust({ vma, start: address, end: vma.vm_end, pgoff: vma.vm_pgoff });
  account(mm, vma.vm_flags, grow);
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + grow;
  }
  unlockVma(vma);
  trace_vma_expand({ vma, start: address, end: vma.vm_end });
  return 0;
}

// ---------------------------------------------------------------- the address space

/** One VMA of dup_mmap(): 0 or -ENOMEM. `late` takes the VMA where find_vma() must not see it yet (v2.6.0). */
function* dupVma(
  mm: mm_struct,
  oldmm: mm_struct,
  mpnt: vm_area_struct,
  late: vm_area_struct[],
): K<number> {
  let charge = 0;
  if ((mpnt.vm_flags & VM_ACCOUNT) !== 0) {
    charge = vma_pages(mpnt);
    if (security_vm_enough_memory_mm(oldmm, charge) !== 0) {
      return -ENOMEM;
    }
  }
  const tmp = vm_area_dup(mpnt);
  if (tmp === null) {
    if (charge > 0) {
      vm_unacct_memory(charge);
    }
    return -ENOMEM;
  }
  tmp.vm_flags = tmp.vm_flags & ~VM_LOCKED;
  tmp.vm_mm = mm;
  yield* hooks().rmap_fork_vma(tmp, mpnt);
  const mapping = vma_mapping(tmp);
  if (mapping !== null) {
    get_file(tmp.vm_file as file);
    yield* i_mmap_lock_write(mapping);
    linkForked(tmp, mpnt, mapping);
    i_mmap_unlock_write(mapping);
  }
  yield* spin_lock(mm.page_table_lock);
  if (has('fork_builds_tree_last')) {
    late.push(tmp);
  } else {
    vmaTreeStore(mm, tmp);
  }
  mm.map_count = mm.map_count + 1;
  const retval = yield* copy_page_range(mm, oldmm, tmp, has('pte_chain_lists'));
  spin_unlock(mm.page_table_lock);
  return retval;
}

/** kernel/fork.c: dup_mmap() v2.6.0, with dup_rmap() before it (anonmm). 0 or -ENOMEM. */
export function* dup_mmap(mm: mm_struct, oldmm: mm_struct): K<number> {
  let retval = yield* hooks().rmap_fork_mm(mm, oldmm);
  if (retval !== 0) {
    return retval;
  }
  const late: vm_area_struct[] = [];
  yield* down_write(oldmm.mmap_lock);
  let mpnt = vmaAfter(oldmm, null);
  while (mpnt !== null) {
    if ((mpnt.vm_flags & VM_DONTCOPY) !== 0) {
      account(mm, mpnt.vm_flags, -vma_pages(mpnt));
    } else {
      retval = yield* dupVma(mm, oldmm, mpnt, late);
      if (retval !== 0) {
        break;
      }
    }
    mpnt = vmaTreeNext(mpnt);
  }
  // build_mmap_rb(): only now does reclaim find them.
  for (const vma of late) {
    vmaTreeStore(mm, vma);
  }
  up_write(oldmm.mmap_lock);
  return retval;
}

/** mm/mmap.c: exit_mmap() v2.6.0, with exit_rmap() after it (anonmm). Nobody else uses the mm: no mmap_sem. */
export function* exit_mmap(mm: mm_struct): K {
  const vmas = vmaTreeRange(mm);
  lru_add_drain();
  yield* spin_lock(mm.page_table_lock);
  const tlb = tlb_gather_mmu(mm, true);
  const nr_accounted = yield* unmap_vmas(tlb, vmas, 0, ULONG_MAX);
  unaccount(nr_accounted);
  // clear_page_tables()
  freeTables(tlb, vmas, 0, 0);
  yield* tlb_finish_mmu(tlb);
  detach_vmas_to_be_unmapped(mm, vmas);
  spin_unlock(mm.page_table_lock);
  for (const vma of vmas) {
    yield* freeVma(vma);
  }
  yield* hooks().rmap_exit_mm(mm);
}
