/**
 * mm/mmap.c v2.4.0: mmap(2), munmap(2), brk(2) and stack growth. Two mappings beside each other stay two: merge_segments()
 * had been taken out, and only brk() extends. With merge_segments it is the mm/mmap.c of 2.3.99-pre6, and with anon_layer
 * what was written upon that.
 *
 * Lock tree: mmap_sem -> i_shared_lock -> page_table_lock, which keeps the list of VMAs for swap_out().
 * Fidelity: dup; custom: no VM_DENYWRITE; page tables are freed as mm/memory.ts frees them.
 */
import { read_heap } from '../../../sim/cpu.ts';
import type { K } from '../../../sim/wait.ts';
import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { EACCES, EBADF, EINVAL, ENODEV, ENOMEM } from '../../errno.ts';
import { fget } from '../../fs/file.ts';
import { fput, get_file } from '../../fs/file_table.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import { list_add } from '../../lib/list.ts';
import type { file, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { processGlobals } from '../../roots.ts';
import { trace_vma_expand, trace_vma_map, trace_vma_split, trace_vma_unmap } from '../events.ts';
import { free_pgd_range } from '../memory.ts';
import {
  calc_vm_prot_bits,
  FMODE_READ,
  FMODE_WRITE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_GROWSDOWN,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_TYPE,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_ALIGN_DOWN,
  PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  TASK_SIZE,
  ULONG_MAX,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_OPS_NONE,
  VM_SHARED,
  VM_WRITE,
} from '../mm.ts';
import { tlb_finish_mmu, tlb_gather_mmu } from '../mmu_gather.ts';
import { NR_LRU_LISTS } from '../mmzone_types.ts';
import { NODE_DATA } from '../node.ts';
import { __anon_dup, anon_put, anon_trim, vm_anon } from '../rmap/anon_area.ts';
import { shmem_zero_setup } from '../shmem.ts';
import { get_nr_swap_pages } from '../swapfile.ts';
import { can_mmap_file } from '../unmapped_area.ts';
import { RLIMIT_STACK, sysctl_max_map_count } from '../util.ts';
import { vm_area_alloc, vm_area_free } from '../vma_init.ts';
import { mmapFile } from '../vma_map.ts';
import { vmaTreeBefore, vmaTreeClear, vmaTreeFind, vmaTreeStore } from '../vma_tree.ts';
import { nr_free_pages } from '../watermark.ts';
import { make_pages_present } from './memory.ts';
import { lockForMerge, merge_segments, unlockAfterMerge } from './merge_segments.ts';
import {
  linkShare,
  lock_vma_mappings,
  remove_shared_vm_struct,
  unlock_vma_mappings,
} from './share_lists.ts';
import { find_vma, find_vma_prev, killCache, listInsert, listRemove, vm_next } from './vma_list.ts';
import { zap_page_range } from './zap.ts';

// ---------------------------------------------------------------- the mm's VMAs

/** The kernel's first process and exec_mmap() v2.4.0: a new mm comes onto init_mm.mmlist. */
export function listMm(mm: mm_struct): number {
  list_add(mm.mmlist, processGlobals().mmlist);
  return 0;
}

/** vma->vm_end = end, with what the tree has of it. Atomic. */
export function setEnd(vma: vm_area_struct, end: number): void {
  vma.vm_end = end;
  vmaTreeStore(vma.vm_mm as mm_struct, vma);
}

/** vma->vm_start = start downwards, with what the tree has of it. Atomic. */
function setStart(vma: vm_area_struct, start: number): void {
  vma.vm_start = start;
  vmaTreeStore(vma.vm_mm as mm_struct, vma);
}

/** mm/mmap.c: __insert_vm_struct() v2.4.0. Atomic. Preconditions: page_table_lock; i_shared_lock of a file. */
export function __insert_vm_struct(mm: mm_struct, vmp: vm_area_struct): void {
  listInsert(mm, vmp);
  vmaTreeStore(mm, vmp);
  linkShare(vmp);
}

/**
 * mm/mmap.c: insert_vm_struct() v2.4.0. With merge_segments the new VMA is merged in the same critical section, and may be
 * gone after it. Preconditions: mmap_sem.
 */
export function* insert_vm_struct(mm: mm_struct, vmp: vm_area_struct): K {
  const { vm_start, vm_end } = vmp;
  const locks = yield* lockForMerge(vmp);
  yield* spin_lock(mm.page_table_lock);
  __insert_vm_struct(mm, vmp);
  if (has('merge_segments')) {
    yield* merge_segments(mm, vm_start, vm_end);
  }
  spin_unlock(mm.page_table_lock);
  unlockAfterMerge(vmp, locks);
}

/** Pages of the page cache and the swap cache. */
function page_cache_size(): number {
  let pages = 0;
  for (let lru = 0; lru < NR_LRU_LISTS; lru++) {
    pages += read_heap(NODE_DATA().lists + lru * 3 + 2);
  }
  return pages;
}

/**
 * mm/mmap.c: vm_enough_memory() v2.4.0 with sysctl_overcommit_memory 0: what is free or could be. Nothing is
 * promised, so that two who ask are told the same.
 */
export function vm_enough_memory(pages: number): boolean {
  return nr_free_pages() + page_cache_size() + get_nr_swap_pages() > pages;
}

/** Private and writable: what vm_enough_memory() is asked about. */
export const isPrivateWritable = (vm_flags: number): boolean =>
  (vm_flags & (VM_SHARED | VM_WRITE)) === VM_WRITE;

// ---------------------------------------------------------------- unmapping

/** The VMA is in no list any more. */
export function freeVma(vma: vm_area_struct): void {
  trace_vma_unmap({ vma, start: vma.vm_start, end: vma.vm_end });
  if (vma.vm_file !== null) {
    fput(vma.vm_file);
  }
  vm_area_free(vma);
}

/** With anon_layer: `vma` is another part of `old`. Preconditions: lock_vma_mappings(old). */
export function dupAnon(old: vm_area_struct, vma: vm_area_struct): void {
  if (has('anon_layer') && vm_anon(old) !== null) {
    __anon_dup(old, vma);
  }
}

/** The VMA behind a hole: what unmap_fixup() writes into the one that do_munmap() had allocated. */
function tailOf(area: vm_area_struct, mpnt: vm_area_struct, end: number): void {
  mpnt.vm_mm = area.vm_mm;
  mpnt.vm_start = end;
  mpnt.vm_end = area.vm_end;
  mpnt.vm_page_prot = area.vm_page_prot;
  mpnt.vm_flags = area.vm_flags;
  mpnt.vm_ops = area.vm_ops;
  mpnt.vm_pgoff = area.vm_pgoff + (end - area.vm_start) / PAGE_SIZE;
  mpnt.vm_file = area.vm_file;
  mpnt.vm_private_data = area.vm_private_data;
}

/**
 * mm/mmap.c: unmap_fixup() v2.4.0: [addr, addr + len) of `area`, which is on no list, is empty: what is left of it goes
 * back. Returns `extra` if it was not used.
 */
function* unmap_fixup(
  mm: mm_struct,
  area: vm_area_struct,
  addr: number,
  len: number,
  extra: vm_area_struct | null,
): K<vm_area_struct | null> {
  const end = addr + len;
  mm.total_vm = mm.total_vm - len / PAGE_SIZE;
  if ((area.vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm - len / PAGE_SIZE;
  }
  if (addr === area.vm_start && end === area.vm_end) {
    if (has('anon_layer') && vm_anon(area) !== null) {
      yield* anon_put(area);
    }
    freeVma(area);
    return extra;
  }
  let mpnt: vm_area_struct | null = null;
  if (end === area.vm_end) {
    area.vm_end = addr;
  } else if (addr === area.vm_start) {
    area.vm_pgoff = area.vm_pgoff + (end - area.vm_start) / PAGE_SIZE;
    area.vm_start = end;
  } else {
    mpnt = extra as vm_area_struct;
    tailOf(area, mpnt, end);
    if (mpnt.vm_file !== null) {
      get_file(mpnt.vm_file);
    }
    area.vm_end = addr;
    trace_vma_split({ vma: area, new_vma: mpnt, addr: end });
  }
  yield* lock_vma_mappings(area);
  yield* spin_lock(mm.page_table_lock);
  if (mpnt !== null) {
    __insert_vm_struct(mm, mpnt);
    dupAnon(area, mpnt);
  }
  __insert_vm_struct(mm, area);
  if (has('anon_layer')) {
    // With i_shared_lock and page_table_lock held.
    yield* anon_trim(area);
  }
  spin_unlock(mm.page_table_lock);
  unlock_vma_mappings(area);
  return mpnt === null ? extra : null;
}

/** mm/mmap.c: free_pgtables() v2.4.0: the tables of a range that no VMA beside it uses. */
function* free_pgtables(mm: mm_struct, start: number, end: number): K {
  const floor = vmaTreeBefore(mm, start)?.vm_end ?? 0;
  const ceiling = vmaTreeFind(mm, end, ULONG_MAX)?.vm_start ?? 0;
  const tlb = tlb_gather_mmu(mm);
  free_pgd_range(tlb, start, end, floor, ceiling);
  yield* tlb_finish_mmu(tlb);
}

/** The loop of do_munmap() that takes VMAs off the list: the last one is first on `free`. Atomic. Preconditions: page_table_lock. */
function detach(
  mm: mm_struct,
  prev: vm_area_struct | null,
  first: vm_area_struct,
  end: number,
): vm_area_struct[] {
  const free: vm_area_struct[] = [];
  let mpnt: vm_area_struct | null = first;
  while (mpnt !== null && mpnt.vm_start < end) {
    const next: vm_area_struct | null = vm_next(mpnt);
    listRemove(mm, prev, mpnt);
    vmaTreeClear(mm, mpnt.tree_start, mpnt.tree_end);
    free.unshift(mpnt);
    mpnt = next;
  }
  killCache(mm);
  return free;
}

/** mm/mmap.c: do_munmap() v2.4.0. 0 or a negative errno. Preconditions: mmap_sem. */
export function* do_munmap(mm: mm_struct, addr: number, length: number): K<number> {
  if (offset_in_page(addr) !== 0 || addr > TASK_SIZE || length > TASK_SIZE - addr) {
    return -EINVAL;
  }
  const len = PAGE_ALIGN(length);
  if (len === 0) {
    return -EINVAL;
  }
  const { vma: first, prev } = find_vma_prev(mm, addr);
  const last = addr + len;
  if (first === null || first.vm_start >= last) {
    return 0;
  }
  const hole = first.vm_start < addr && first.vm_end > last;
  if (hole && mm.map_count >= sysctl_max_map_count()) {
    return -ENOMEM;
  }
  // For the piece behind a hole: the last chance for an error.
  let extra = vm_area_alloc(mm);
  if (extra === null) {
    return -ENOMEM;
  }
  yield* spin_lock(mm.page_table_lock);
  const free = detach(mm, prev, first, last);
  spin_unlock(mm.page_table_lock);
  for (const mpnt of free) {
    const st = Math.max(addr, mpnt.vm_start);
    const size = Math.min(last, mpnt.vm_end) - st;
    yield* remove_shared_vm_struct(mpnt);
    mm.map_count = mm.map_count - 1;
    yield* zap_page_range(mm, st, size);
    extra = yield* unmap_fixup(mm, mpnt, st, size, extra);
  }
  if (extra !== null) {
    vm_area_free(extra);
  }
  yield* free_pgtables(mm, addr, last);
  return 0;
}

/** mm/mmap.c: munmap(2) v2.4.0. */
export function* sys_munmap(addr: number, len: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const ret = yield* do_munmap(mm, addr, len);
  up_write(mm.mmap_lock);
  return ret;
}

// ---------------------------------------------------------------- mapping

/** mm/mmap.c: get_unmapped_area() v2.4.0: the first gap from `addr` or TASK_UNMAPPED_BASE upwards; 0: none. */
export function get_unmapped_area(mm: mm_struct, hint: number, len: number): number {
  if (len > TASK_SIZE) {
    return 0;
  }
  let addr = PAGE_ALIGN(hint === 0 ? mm.mmap_legacy_base : hint);
  let vmm = find_vma(mm, addr);
  for (;;) {
    if (TASK_SIZE - len < addr) {
      return 0;
    }
    if (vmm === null || addr + len <= vmm.vm_start) {
      return addr;
    }
    addr = vmm.vm_end;
    vmm = vm_next(vmm);
  }
}

/** What do_mmap_pgoff() asks before it looks for a place. 0 or a negative errno. */
function checkFile(file: file, prot: number, flags: number): number {
  switch (flags & MAP_TYPE) {
    case MAP_SHARED:
      if ((prot & PROT_WRITE) !== 0 && (file.f_mode & FMODE_WRITE) === 0) {
        return -EACCES;
      }
      break;
    case MAP_PRIVATE:
      break;
    default:
      return -EINVAL;
  }
  return (file.f_mode & FMODE_READ) === 0 ? -EACCES : 0;
}

/** vm_flags() v2.4.0 and what do_mmap_pgoff() adds. */
function newFlags(mm: mm_struct, file: file | null, prot: number, flags: number): number {
  const access = calc_vm_prot_bits(prot & (PROT_READ | PROT_WRITE | PROT_EXEC));
  const grows = (flags & MAP_GROWSDOWN) === 0 ? 0 : VM_GROWSDOWN;
  let vm_flags = access | grows | mm.def_flags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
  if ((flags & MAP_SHARED) !== 0) {
    vm_flags |= VM_SHARED | VM_MAYSHARE;
    if (file !== null && (file.f_mode & FMODE_WRITE) === 0) {
      vm_flags &= ~(VM_MAYWRITE | VM_SHARED);
    }
  }
  return vm_flags;
}

/** The part of do_mmap_pgoff() with the new VMA: 0, or a negative errno after which the caller frees it. */
function* setUpVma(
  mm: mm_struct,
  vma: vm_area_struct,
  file: file | null,
  flags: number,
): K<number> {
  const len = vma.vm_end - vma.vm_start;
  // What was there is gone, whatever happens next.
  if ((yield* do_munmap(mm, vma.vm_start, len)) !== 0) {
    return -ENOMEM;
  }
  const asks = isPrivateWritable(vma.vm_flags) && (flags & MAP_NORESERVE) === 0;
  if (asks && !vm_enough_memory(len / PAGE_SIZE)) {
    return -ENOMEM;
  }
  if (file !== null) {
    vma.vm_file = get_file(file);
    const error = mmapFile(file, vma);
    if (error !== 0) {
      vma.vm_file = null;
      fput(file);
    }
    return error;
  }
  return (flags & MAP_SHARED) !== 0 ? shmem_zero_setup(vma) : 0;
}

/** mm->total_vm and, of locked memory, its pages. */
export function* accountNew(mm: mm_struct, addr: number, len: number, vm_flags: number): K {
  mm.total_vm = mm.total_vm + len / PAGE_SIZE;
  if ((vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + len / PAGE_SIZE;
    yield* make_pages_present(mm, addr, addr + len);
  }
}

/** mm/mmap.c: do_mmap_pgoff() v2.4.0: the address or a negative errno. Preconditions: mmap_sem. */
export function* do_mmap_pgoff(
  file: file | null,
  hint: number,
  length: number,
  prot: number,
  flags: number,
  pgoff: number,
): K<number> {
  const mm = current_mm();
  if (file !== null && !can_mmap_file(file)) {
    return -ENODEV;
  }
  const len = PAGE_ALIGN(length);
  if (len === 0) {
    // Nothing asked, nothing refused.
    return hint;
  }
  if (len > TASK_SIZE || hint > TASK_SIZE - len || pgoff + len / PAGE_SIZE >= 2 ** 64) {
    return -EINVAL;
  }
  if (mm.map_count > sysctl_max_map_count()) {
    return -ENOMEM;
  }
  const refused = file === null ? 0 : checkFile(file, prot, flags);
  if (refused !== 0) {
    return refused;
  }
  let addr = hint;
  if ((flags & MAP_FIXED) !== 0) {
    if (offset_in_page(addr) !== 0) {
      return -EINVAL;
    }
  } else {
    addr = get_unmapped_area(mm, addr, len);
    if (addr === 0) {
      return -ENOMEM;
    }
  }
  const vma = vm_area_alloc(mm);
  if (vma === null) {
    return -ENOMEM;
  }
  vma.vm_start = addr;
  vma.vm_end = addr + len;
  vma.vm_flags = newFlags(mm, file, prot, flags);
  vma.vm_page_prot = vm_get_page_prot(vma.vm_flags);
  vma.vm_ops = VM_OPS_NONE;
  vma.vm_pgoff = pgoff;
  const error = yield* setUpVma(mm, vma, file, flags);
  if (error !== 0) {
    vm_area_free(vma);
    return error;
  }
  const { vm_flags } = vma;
  trace_vma_map({ vma, start: addr, end: addr + len, flags: vm_flags });
  yield* insert_vm_struct(mm, vma);
  yield* accountNew(mm, addr, len, vm_flags);
  return addr;
}

/** arch/i386/kernel/sys_i386.c: old_mmap() and do_mmap2() v2.4.0. */
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
  const error = yield* do_mmap_pgoff(file, addr, len, prot, flags | 0, off / PAGE_SIZE);
  up_write(mm.mmap_lock);
  if (file !== null) {
    fput(file);
  }
  return error;
}

/** mm/mmap.c: do_brk() v2.4.0: `addr` or a negative errno. Preconditions: mmap_sem. */
export function* do_brk(addr: number, length: number): K<number> {
  const mm = current_mm();
  const len = PAGE_ALIGN(length);
  if (len === 0) {
    return addr;
  }
  const retval = yield* do_munmap(mm, addr, len);
  if (retval !== 0) {
    return retval;
  }
  if (mm.map_count > sysctl_max_map_count() || !vm_enough_memory(len / PAGE_SIZE)) {
    return -ENOMEM;
  }
  const flags = newFlags(mm, null, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE);
  const before = has('merge_segments') ? null : find_vma(mm, addr - 1);
  if (before !== null && before.vm_end === addr && before.vm_file === null) {
    if (before.vm_flags === flags) {
      // No lock against swap_out(): it sees the VMA as it was, or longer and empty there.
      setEnd(before, addr + len);
      trace_vma_expand({ vma: before, start: before.vm_start, end: before.vm_end });
      yield* accountNew(mm, addr, len, flags);
      return addr;
    }
  }
  const vma = vm_area_alloc(mm);
  if (vma === null) {
    return -ENOMEM;
  }
  vma.vm_start = addr;
  vma.vm_end = addr + len;
  vma.vm_flags = flags;
  vma.vm_page_prot = vm_get_page_prot(flags);
  trace_vma_map({ vma, start: addr, end: addr + len, flags });
  yield* insert_vm_struct(mm, vma);
  yield* accountNew(mm, addr, len, flags);
  return addr;
}

/** The body of brk(2) with mmap_sem held: the break is in mm->brk afterwards. */
function* setBrk(mm: mm_struct, brk: number): K {
  if (brk < mm.start_brk) {
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
  if (!vm_enough_memory((newbrk - oldbrk) / PAGE_SIZE)) {
    return;
  }
  if ((yield* do_brk(oldbrk, newbrk - oldbrk)) === oldbrk) {
    mm.brk = brk;
  }
}

/** mm/mmap.c: brk(2) v2.4.0: the break as it is afterwards. end_code is where the heap begins here. */
export function* sys_brk(brk: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  yield* setBrk(mm, brk);
  const retval = mm.brk;
  up_write(mm.mmap_lock);
  return retval;
}

/**
 * include/linux/mm.h: expand_stack() v2.4.0. 0 or -ENOMEM. Preconditions: mmap_sem, and nothing against swap_out(), which
 * does not look at vm_pgoff.
 */
export function* expand_stack(vma: vm_area_struct, addr: number): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const address = PAGE_ALIGN_DOWN(addr);
  const grow = (vma.vm_start - address) / PAGE_SIZE;
  if (vma.vm_end - address > RLIMIT_STACK) {
    return -ENOMEM;
  }
  setStart(vma, address);
  vma.vm_pgoff = vma.vm_pgoff - grow;
  mm.total_vm = mm.total_vm + grow;
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + grow;
  }
  trace_vma_expand({ vma, start: vma.vm_start, end: vma.vm_end });
  return 0;
}
