/**
 * mm/mmap.c v2.6.34: mmap(2), munmap(2), brk(2), stack growth, and the address space as a whole: dup_mmap() of
 * kernel/fork.c and exit_mmap(). One mmap_sem, held for write from the first check to the last page freed.
 *
 * Lock tree: mmap_sem of the parent -> mmap_sem of the child -> i_mmap_lock -> anon_vma lock -> ptl.
 * Fidelity: dup, with the zapping of page tables and the search for free addresses of v6.18 (mm/memory.ts,
 * mm/unmapped_area.ts).
 */
import type { K } from '../../../sim/wait.ts';
import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { EACCES, EBADF, EINVAL, ENODEV, ENOMEM, EOVERFLOW, EPERM } from '../../errno.ts';
import { fget } from '../../fs/file.ts';
import { fput, get_file } from '../../fs/file_table.ts';
import { current_mm } from '../../kernel/current.ts';
import { lockdep_assert_held } from '../../kernel/locking/lockdep.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { anon_rmap, has, memory_manager } from '../../kernel.ts';
import type { file, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_adjust, trace_vma_expand, trace_vma_map, trace_vma_unmap } from '../events.ts';
import { vma_interval_tree_insert_after } from '../interval_tree.ts';
import { free_pgtables } from '../memory.ts';
import { unmap_vmas } from '../memory_zap.ts';
import {
  calc_vm_flag_bits,
  calc_vm_prot_bits,
  FMODE_READ,
  FMODE_WRITE,
  is_shared_maywrite,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_STACK,
  MAP_SYNC,
  MAP_TYPE,
  mmap_min_addr,
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
  VM_NORESERVE,
  VM_SHARED,
  VM_WIPEONFORK,
  vma_pages,
} from '../mm.ts';
import { tlb_finish_mmu, tlb_gather_mmu } from '../mmu_gather.ts';
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
import {
  i_mmap_lock_write,
  i_mmap_unlock_write,
  mapping_allow_writable,
  vma_mapping,
} from '../vma_link.ts';
import { mmapFile } from '../vma_map.ts';
import { vma_set_page_prot } from '../vma_prot.ts';
import { accountable_mapping } from '../vma_rules.ts';
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
import { make_pages_present, mlock_vma_pages_range, munlock_vma_pages_range } from './mlock.ts';
import { __split_vma, nextOf, retreeGrown, vma_link, vma_merge } from './vma_adjust.ts';
import { expandForBrk, expandForMmap } from './vma_expand.ts';

// ---------------------------------------------------------------- unmapping

/** mm/mmap.c: remove_vma() v2.6.34. */
function remove_vma(vma: vm_area_struct): void {
  trace_vma_unmap({ vma, start: vma.vm_start, end: vma.vm_end });
  if (vma.vm_file !== null) {
    fput(vma.vm_file);
  }
  vm_area_free(vma);
}

/** mm/mmap.c: unmap_region() v2.6.34: empties and frees the page tables of VMAs that are out of the mm. */
function* unmap_region(
  mm: mm_struct,
  vmas: readonly vm_area_struct[],
  prev: vm_area_struct | null,
  start: number,
  end: number,
): K {
  const next = nextOf(mm, prev);
  lru_add_drain();
  const tlb = tlb_gather_mmu(mm);
  yield* unmap_vmas(tlb, vmas, start, end);
  for (const vma of vmas) {
    if ((vma.vm_flags & VM_ACCOUNT) !== 0) {
      vm_unacct_memory(vma_pages(vma));
    }
  }
  const floor = prev === null ? 0 : prev.vm_end;
  const ceiling = next === null ? 0 : next.vm_start;
  yield* free_pgtables(tlb, vmas, floor, ceiling, false);
  yield* tlb_finish_mmu(tlb);
}

/** mm/mmap.c: do_munmap() v2.6.34. 0 or a negative errno. Preconditions: mmap_sem held for write. */
export function* do_munmap(mm: mm_struct, start: number, length: number): K<number> {
  if (offset_in_page(start) !== 0 || start > TASK_SIZE || length > TASK_SIZE - start) {
    return -EINVAL;
  }
  const len = PAGE_ALIGN(length);
  if (len === 0) {
    return -EINVAL;
  }
  const first = find_vma(mm, start);
  if (first === null) {
    return 0;
  }
  let prev = vmaTreePrev(first);
  const end = start + len;
  if (first.vm_start >= end) {
    return 0;
  }
  if (start > first.vm_start) {
    // Only a hole in the middle of one VMA makes the final count larger.
    if (end < first.vm_end && mm.map_count >= sysctl_max_map_count()) {
      return -ENOMEM;
    }
    const error = yield* __split_vma(first, start, false);
    if (error !== 0) {
      return error;
    }
    prev = first;
  }
  const last = find_vma(mm, end);
  if (last !== null && end > last.vm_start) {
    const error = yield* __split_vma(last, end, true);
    if (error !== 0) {
      return error;
    }
  }
  const vmas = vmaTreeRange(mm, start, end);
  for (const vma of vmas) {
    if ((vma.vm_flags & VM_LOCKED) !== 0) {
      mm.locked_vm = mm.locked_vm - vma_pages(vma);
      yield* munlock_vma_pages_range(vma, vma.vm_start, vma.vm_end);
    }
  }
  // detach_vmas_to_be_unmapped()
  for (const vma of vmas) {
    vmaTreeClear(mm, vma.tree_start, vma.tree_end);
    mm.map_count = mm.map_count - 1;
  }
  yield* unmap_region(mm, vmas, prev, start, end);
  // remove_vma_list()
  for (const vma of vmas) {
    vm_stat_account(mm, vma.vm_flags, -vma_pages(vma));
    remove_vma(vma);
  }
  return 0;
}

/** mm/mmap.c: munmap(2) v2.6.34. */
export function* sys_munmap(addr: number, len: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const ret = yield* do_munmap(mm, addr, len);
  up_write(mm.mmap_lock);
  return ret;
}

// ---------------------------------------------------------------- mapping

/** The VMA before the place of a new one: find_vma_prepare(). */
export const prevOf = (mm: mm_struct, addr: number): vm_area_struct | null =>
  vmaTreeBefore(mm, addr);

/** Unmaps what is in [addr, addr + len). 0 or -ENOMEM. */
function* unmapOld(mm: mm_struct, addr: number, len: number): K<number> {
  const vma = vmaTreeFind(mm, addr, addr + len);
  if (vma !== null && (yield* do_munmap(mm, addr, len)) !== 0) {
    return -ENOMEM;
  }
  return 0;
}

/** The part of mmap_region() that makes a VMA. The VMA or a negative errno. */
function* newVma(
  mm: mm_struct,
  file: file | null,
  addr: number,
  len: number,
  vm_flags: number,
  pgoff: number,
): K<vm_area_struct | number> {
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
  vma_set_page_prot(vma);
  yield* vma_link(mm, vma);
  trace_vma_map({ vma, start: addr, end: addr + len, flags: vm_flags });
  return vma;
}

/** mm/mmap.c: mmap_region() v2.6.34. The address or a negative errno. Preconditions: mmap_sem held for write. */
function* mmap_region(
  file: file | null,
  addr: number,
  len: number,
  flags: number,
  flags_of_vma: number,
  pgoff: number,
): K<number> {
  const mm = current_mm();
  let vm_flags = flags_of_vma;
  let charged = 0;
  // What was there is gone, whatever happens next.
  if ((yield* unmapOld(mm, addr, len)) !== 0) {
    return -ENOMEM;
  }
  if (!may_expand_vm(mm, vm_flags, len / PAGE_SIZE)) {
    return -ENOMEM;
  }
  if ((flags & MAP_NORESERVE) !== 0) {
    vm_flags |= VM_NORESERVE;
  }
  if (accountable_mapping(vm_flags)) {
    charged = len / PAGE_SIZE;
    if (security_vm_enough_memory_mm(mm, charged) !== 0) {
      return -ENOMEM;
    }
    vm_flags |= VM_ACCOUNT;
  }
  const prev = prevOf(mm, addr);
  const end = addr + len;
  let vma: vm_area_struct | number | null = has('mmap_expands')
    ? yield* expandForMmap(mm, prev, addr, end, vm_flags, file, pgoff)
    : yield* vma_merge(mm, prev, addr, end, vm_flags, null, file, pgoff);
  if (vma === null) {
    vma = yield* newVma(mm, file, addr, len, vm_flags, pgoff);
  }
  if (typeof vma === 'number') {
    vm_unacct_memory(charged);
    return vma;
  }
  vm_stat_account(mm, vm_flags, len / PAGE_SIZE);
  if ((vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + len / PAGE_SIZE;
    yield* mlock_vma_pages_range(vma, addr, addr + len);
  } else if ((flags & (MAP_POPULATE | MAP_NONBLOCK)) === MAP_POPULATE) {
    yield* make_pages_present(vma, addr, addr + len);
  }
  return addr;
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
  if ((file.f_mode & FMODE_READ) === 0) {
    return -EACCES;
  }
  return can_mmap_file(file) ? new_flags : -ENODEV;
}

/** mm/mmap.c: do_mmap_pgoff() v2.6.34. Preconditions: mmap_sem held for write. */
export function* do_mmap_pgoff(
  file: file | null,
  hint: number,
  length: number,
  prot: number,
  flags: number,
  file_pgoff: number,
): K<number> {
  const mm = current_mm();
  let addr = hint;
  if (length === 0) {
    return -EINVAL;
  }
  if ((flags & MAP_FIXED) === 0) {
    // round_hint_to_min()
    const rounded = PAGE_ALIGN_DOWN(addr);
    addr = rounded !== 0 && rounded < mmap_min_addr ? PAGE_ALIGN(mmap_min_addr) : rounded;
  }
  const len = PAGE_ALIGN(length);
  if (len === 0) {
    return -ENOMEM;
  }
  if (file_pgoff + len / PAGE_SIZE >= 2 ** 64) {
    return -EOVERFLOW;
  }
  if (mm.map_count > sysctl_max_map_count()) {
    return -ENOMEM;
  }
  addr = get_unmapped_area(file, addr, len, file_pgoff, flags);
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
  if (file === null) {
    pgoff = (flags & MAP_TYPE) === MAP_SHARED ? 0 : addr / PAGE_SIZE;
  }
  return yield* mmap_region(file, addr, len, flags, new_flags, pgoff);
}

/** mm/mmap.c: sys_mmap_pgoff() v2.6.34, behind mmap(2) of arch/x86/kernel/sys_x86_64.c. */
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
  const retval = yield* do_mmap_pgoff(file, addr, len, prot, flags | 0, pages_of(off));
  up_write(mm.mmap_lock);
  if (file !== null) {
    fput(file);
  }
  return retval;
}

/** mm/mmap.c: do_brk() v2.6.34. `addr` or a negative errno. Preconditions: mmap_sem held for write. */
export function* do_brk(addr: number, length: number): K<number> {
  const mm = current_mm();
  const len = PAGE_ALIGN(length);
  if (len === 0) {
    return addr;
  }
  const flags = VM_DATA_FLAGS_TSK_EXEC | VM_ACCOUNT | mm.def_flags;
  const error = get_unmapped_area(null, addr, len, 0, MAP_FIXED);
  if (error < 0) {
    return error;
  }
  if ((yield* unmapOld(mm, addr, len)) !== 0) {
    return -ENOMEM;
  }
  if (!may_expand_vm(mm, flags, len / PAGE_SIZE)) {
    return -ENOMEM;
  }
  if (mm.map_count > sysctl_max_map_count()) {
    return -ENOMEM;
  }
  if (security_vm_enough_memory_mm(mm, len / PAGE_SIZE) !== 0) {
    return -ENOMEM;
  }
  const pgoff = addr / PAGE_SIZE;
  const prev = prevOf(mm, addr);
  const end = addr + len;
  let vma = has('mmap_expands')
    ? yield* expandForBrk(prev, addr, end, flags)
    : yield* vma_merge(mm, prev, addr, end, flags, null, null, pgoff);
  if (vma === null) {
    const made = yield* newVma(mm, null, addr, len, flags, pgoff);
    if (typeof made === 'number') {
      vm_unacct_memory(len / PAGE_SIZE);
      return made;
    }
    vma = made;
  }
  vm_stat_account(mm, flags, len / PAGE_SIZE);
  if ((flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + len / PAGE_SIZE;
    yield* mlock_vma_pages_range(vma, addr, addr + len);
  }
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
  // find_vma_intersection(): one page of air to whatever comes next.
  if (vmaTreeFind(mm, oldbrk, newbrk + PAGE_SIZE) !== null) {
    return;
  }
  if ((yield* do_brk(oldbrk, newbrk - oldbrk)) !== oldbrk) {
    return;
  }
  mm.brk = brk;
}

/** mm/mmap.c: brk(2) v2.6.34: the break as it is afterwards. */
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
 * mm/mmap.c: expand_downwards() v2.6.34. 0 or a negative errno. Preconditions: mmap_sem held FOR READ: the lock of
 * vma->anon_vma is all that keeps two growing faults apart. A walk that starts from another anon_vma of the
 * chain is not kept out: it may see the new vm_start with the old vm_pgoff.
 */
export function* expand_downwards(vma: vm_area_struct, addr: number): K<number> {
  const mm = vma.vm_mm as mm_struct;
  lockdep_assert_held(mm.mmap_lock, 'mmap_sem');
  if ((yield* anon_rmap().anon_vma_prepare(vma)) !== 0) {
    return -ENOMEM;
  }
  const address = PAGE_ALIGN_DOWN(addr);
  if (address < mmap_min_addr) {
    return -EPERM;
  }
  const anon_vma = vma.anon_vma;
  if (anon_vma === null) {
    return -ENOMEM;
  }
  let error = 0;
  yield* anon_rmap().anon_vma_lock(anon_vma);
  if (address < vma.vm_start) {
    const size = vma.vm_end - address;
    const grow = (vma.vm_start - address) / PAGE_SIZE;
    // acct_stack_growth()
    const refused = !may_expand_vm(mm, vma.vm_flags, grow) || size > RLIMIT_STACK;
    error = refused || security_vm_enough_memory_mm(mm, grow) !== 0 ? -ENOMEM : 0;
    if (error === 0) {
      vm_stat_account(mm, vma.vm_flags, grow);
      if ((vma.vm_flags & VM_LOCKED) !== 0) {
        mm.locked_vm = mm.locked_vm + grow;
      }
      // Two stacks of one mm may have different roots, and both change the gaps between VMAs.
      const gaps = has('grow_locks_page_table');
      if (gaps) {
        yield* spin_lock(mm.page_table_lock);
      }
      anon_rmap().pre_update_vma?.(vma);
      vma.vm_start = address;
      vma.vm_pgoff = vma.vm_pgoff - grow;
      anon_rmap().post_update_vma?.(vma);
      trace_vma_adjust({ vma, start: address, end: vma.vm_end, pgoff: vma.vm_pgoff });
      retreeGrown(mm, vma);
      if (gaps) {
        spin_unlock(mm.page_table_lock);
      }
      trace_vma_expand({ vma, start: address, end: vma.vm_end });
    }
  }
  anon_rmap().anon_vma_unlock(anon_vma);
  return error;
}

// ---------------------------------------------------------------- the address space

/** One VMA of dup_mmap(): 0 or -ENOMEM. */
function* dupVma(mm: mm_struct, oldmm: mm_struct, mpnt: vm_area_struct): K<number> {
  let charge = 0;
  if ((mpnt.vm_flags & VM_ACCOUNT) !== 0) {
    charge = vma_pages(mpnt);
    if (security_vm_enough_memory_mm(oldmm, charge) !== 0) {
      return -ENOMEM;
    }
  }
  const tmp = vm_area_dup(mpnt);
  if (tmp === null) {
    vm_unacct_memory(charge);
    return -ENOMEM;
  }
  if (anon_rmap().under_lock !== undefined) {
    // To 2.6.33 the VMA is all the child's before a walk can meet it.
    tmp.vm_flags = tmp.vm_flags & ~VM_LOCKED;
  }
  if (has('fork_sets_mm_first')) {
    tmp.vm_mm = mm;
  }
  const wipe = (tmp.vm_flags & VM_WIPEONFORK) !== 0;
  // Before that a walk that meets the child's VMA looks into the parent's page tables once more.
  if (wipe) {
    tmp.anon_vma = null;
  } else if ((yield* anon_rmap().anon_vma_fork(tmp, mpnt)) !== 0) {
    vm_area_free(tmp);
    vm_unacct_memory(charge);
    return -ENOMEM;
  }
  tmp.vm_flags = tmp.vm_flags & ~VM_LOCKED;
  tmp.vm_mm = mm;
  const mapping = vma_mapping(tmp);
  if (mapping !== null) {
    get_file(tmp.vm_file as file);
    yield* i_mmap_lock_write(mapping);
    if (is_shared_maywrite(tmp.vm_flags)) {
      mapping_allow_writable(mapping);
    }
    vma_interval_tree_insert_after(tmp, mpnt, mapping.i_mmap);
    i_mmap_unlock_write(mapping);
  }
  vmaTreeStore(mm, tmp);
  mm.map_count = mm.map_count + 1;
  if (wipe) {
    return 0;
  }
  return yield* (memory_manager().copy_page_range ?? copy_page_range)(tmp, mpnt);
}

/** kernel/fork.c: dup_mmap() v2.6.34. 0 or -ENOMEM; on failure the child holds what was copied so far. */
export function* dup_mmap(mm: mm_struct, oldmm: mm_struct): K<number> {
  let retval = 0;
  yield* down_write(oldmm.mmap_lock);
  yield* down_write(mm.mmap_lock);
  let mpnt = nextOf(oldmm, null);
  while (mpnt !== null) {
    if ((mpnt.vm_flags & VM_DONTCOPY) !== 0) {
      vm_stat_account(mm, mpnt.vm_flags, -vma_pages(mpnt));
    } else {
      retval = yield* dupVma(mm, oldmm, mpnt);
      if (retval !== 0) {
        break;
      }
    }
    mpnt = vmaTreeNext(mpnt);
  }
  up_write(mm.mmap_lock);
  up_write(oldmm.mmap_lock);
  return retval;
}

/** mm/mmap.c: exit_mmap() v2.6.34. Nobody else uses the mm: no mmap_sem; walks still find its VMAs until they are unlinked. */
export function* exit_mmap(mm: mm_struct): K {
  const vmas = vmaTreeRange(mm);
  if (vmas.length === 0) {
    return;
  }
  for (const vma of vmas) {
    if ((vma.vm_flags & VM_LOCKED) !== 0) {
      yield* munlock_vma_pages_range(vma, vma.vm_start, vma.vm_end);
    }
  }
  lru_add_drain();
  const tlb = tlb_gather_mmu(mm, true);
  yield* unmap_vmas(tlb, vmas, 0, ULONG_MAX);
  for (const vma of vmas) {
    if ((vma.vm_flags & VM_ACCOUNT) !== 0) {
      vm_unacct_memory(vma_pages(vma));
    }
  }
  yield* free_pgtables(tlb, vmas, 0, 0, false);
  yield* tlb_finish_mmu(tlb);
  for (const vma of vmas) {
    vmaTreeClear(mm, vma.tree_start, vma.tree_end);
    mm.map_count = mm.map_count - 1;
    remove_vma(vma);
  }
}
