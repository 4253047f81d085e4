/**
 * mm/mmap.c, arch/x86/kernel/sys_x86_64.c v6.18: mmap(2) and brk(2), and the address space as a whole:
 * dup_mmap() for fork, exit_mmap() for its end.
 *
 * Lock tree: mmap_lock of the parent -> mmap_lock of the child -> vma_start_write() -> i_mmap_rwsem ->
 * anon_vma root -> ptl. Fidelity: dup; hugetlb, memory keys, LSM, MDWE and userfaultfd are left out.
 */

import type { K } from '../../sim/wait.ts';
import {
  EACCES,
  EAGAIN,
  EBADF,
  EEXIST,
  EINTR,
  EINVAL,
  ENODEV,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
} from '../errno.ts';
import { fget } from '../fs/file.ts';
import { fput, get_file } from '../fs/file_table.ts';
import { current, current_mm } from '../kernel/current.ts';
import { anon_rmap } from '../kernel.ts';
import { BUG_ON } from '../lib/bug.ts';
import { rb_init_root } from '../lib/rbtree.ts';
import type { file, mm_struct, vm_area_struct } from '../mm_types.ts';
import { mm_populate } from './gup.ts';
import { vma_interval_tree_insert_after } from './interval_tree.ts';
import { khugepaged_fork } from './khugepaged_mm.ts';
import { ksm_fork } from './ksm.ts';
import { copy_page_range, free_pgtables } from './memory.ts';
import { unmap_vmas } from './memory_zap.ts';
import {
  calc_vm_flag_bits,
  calc_vm_prot_bits,
  FMODE_READ,
  FMODE_WRITE,
  is_shared_maywrite,
  LEGACY_MAP_MASK,
  MAP_ANONYMOUS,
  MAP_DROPPABLE,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_TYPE,
  MMF_OOM_SKIP,
  MMF_UNSTABLE,
  mm_flags_set,
  mmap_min_addr,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_ALIGN_DOWN,
  PAGE_SIZE,
  PROT_WRITE,
  pages_of,
  stack_guard_gap,
  ULONG_MAX,
  VM_ACCOUNT,
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_DROPPABLE,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_LOCKED_MASK,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NORESERVE,
  VM_SHARED,
  VM_WIPEONFORK,
  vm_start_gap,
  vma_pages,
} from './mm.ts';
import {
  mmap_assert_write_locked,
  mmap_read_lock,
  mmap_read_unlock,
  mmap_write_lock,
  mmap_write_lock_killable,
  mmap_write_lock_nested,
  mmap_write_unlock,
  vma_mark_attached,
  vma_mark_detached,
  vma_start_write,
} from './mmap_lock.ts';
import { tlb_finish_mmu, tlb_gather_mmu_fullmm } from './mmu_gather.ts';
import { __get_unmapped_area, can_mmap_file } from './unmapped_area.ts';
import {
  can_do_mlock,
  mlock_future_ok,
  RLIMIT_DATA,
  security_vm_enough_memory_mm,
  sysctl_max_map_count,
  vm_stat_account,
  vm_unacct_memory,
} from './util.ts';
import { vm_area_dup, vm_area_free } from './vma_init.ts';
import {
  i_mmap_lock_write,
  i_mmap_unlock_write,
  mapping_allow_writable,
  vma_mapping,
} from './vma_link.ts';
import { do_brk_flags, mmap_region } from './vma_map.ts';
import {
  do_vmi_align_munmap,
  FIRST_USER_ADDRESS,
  remove_vma,
  USER_PGTABLES_CEILING,
} from './vma_munmap.ts';
import {
  find_vma_intersection,
  vmaTreeBefore,
  vmaTreeFind,
  vmaTreeFirst,
  vmaTreeNext,
  vmaTreeRange,
  vmaTreeStore,
} from './vma_tree.ts';

/** mm/mmap.c: round_hint_to_min() v6.18. */
function round_hint_to_min(hint: number): number {
  const addr = PAGE_ALIGN_DOWN(hint);
  return addr !== 0 && addr < mmap_min_addr ? PAGE_ALIGN(mmap_min_addr) : addr;
}

/** mm/mmap.c: file_mmap_ok() v6.18 for regular files: MAX_LFS_FILESIZE is 2^63 - 1. */
function file_mmap_ok(pgoff: number, len: number): boolean {
  return len <= 2 ** 63 && pgoff <= Math.floor((2 ** 63 - len) / PAGE_SIZE);
}

/** What the type of a mapping makes of its flags: new vm_flags, or a negative errno. */
interface mapping_type {
  readonly error: number;
  readonly vm_flags: number;
  readonly pgoff: number;
}

const refuse = (errno: number): mapping_type => ({ error: -errno, vm_flags: 0, pgoff: 0 });

/** The file half of do_mmap()'s switch over MAP_TYPE. */
function file_mapping_type(
  file: file,
  len: number,
  prot: number,
  map_flags: number,
  vm_flags: number,
  pgoff: number,
): mapping_type {
  let flags = map_flags;
  let new_flags = vm_flags;
  if (!file_mmap_ok(pgoff, len)) {
    return refuse(EOVERFLOW);
  }
  const type = flags & MAP_TYPE;
  if (type === MAP_SHARED || type === MAP_SHARED_VALIDATE) {
    if (type === MAP_SHARED) {
      // Unknown flags were always ignored here; MAP_SHARED_VALIDATE refuses them.
      flags &= LEGACY_MAP_MASK;
    }
    if ((flags & ~LEGACY_MAP_MASK) !== 0) {
      return refuse(EOPNOTSUPP);
    }
    if ((prot & PROT_WRITE) !== 0 && (file.f_mode & FMODE_WRITE) === 0) {
      return refuse(EACCES);
    }
    new_flags |= VM_SHARED | VM_MAYSHARE;
    if ((file.f_mode & FMODE_WRITE) === 0) {
      // Can never be written: as good as private, but it still says MAYSHARE.
      new_flags &= ~(VM_MAYWRITE | VM_SHARED);
    }
  } else if (type !== MAP_PRIVATE) {
    return refuse(EINVAL);
  }
  if ((file.f_mode & FMODE_READ) === 0) {
    return refuse(EACCES);
  }
  if (!can_mmap_file(file)) {
    return refuse(ENODEV);
  }
  if ((new_flags & VM_GROWSDOWN) !== 0) {
    return refuse(EINVAL);
  }
  return { error: 0, vm_flags: new_flags, pgoff };
}

/** The anonymous half of do_mmap()'s switch over MAP_TYPE. */
function anon_mapping_type(addr: number, flags: number, vm_flags: number): mapping_type {
  const pgoff = addr / PAGE_SIZE;
  switch (flags & MAP_TYPE) {
    case MAP_SHARED:
      if ((vm_flags & VM_GROWSDOWN) !== 0) {
        return refuse(EINVAL);
      }
      return { error: 0, vm_flags: vm_flags | VM_SHARED | VM_MAYSHARE, pgoff: 0 };
    case MAP_DROPPABLE: {
      if ((flags & (MAP_LOCKED | MAP_HUGETLB)) !== 0 || (vm_flags & VM_GROWSDOWN) !== 0) {
        return refuse(EINVAL);
      }
      // Pages that may vanish are not reserved, not inherited and not dumped.
      const droppable = VM_DROPPABLE | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP;
      return { error: 0, vm_flags: vm_flags | droppable, pgoff };
    }
    case MAP_PRIVATE:
      return { error: 0, vm_flags, pgoff };
    default:
      return refuse(EINVAL);
  }
}

/** Where do_mmap() tells its caller how much to populate. */
export interface populate_request {
  len: number;
}

/**
 * mm/mmap.c: do_mmap() v6.18: the address, or a negative errno. Preconditions: mmap_lock held for write.
 * The order of the checks is what decides between two errors.
 */
export function* do_mmap(
  file: file | null,
  hint: number,
  length: number,
  prot: number,
  map_flags: number,
  extra_vm_flags: number,
  file_pgoff: number,
  populate: populate_request,
): K<number> {
  const mm = current_mm();
  let flags = map_flags;
  let addr = hint;
  populate.len = 0;
  mmap_assert_write_locked(mm);
  if (length === 0) {
    return -EINVAL;
  }
  if ((flags & MAP_FIXED_NOREPLACE) !== 0) {
    flags |= MAP_FIXED;
  }
  if ((flags & MAP_FIXED) === 0) {
    addr = round_hint_to_min(addr);
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
  const vm_flags =
    extra_vm_flags |
    calc_vm_prot_bits(prot) |
    calc_vm_flag_bits(flags) |
    mm.def_flags |
    VM_MAYREAD |
    VM_MAYWRITE |
    VM_MAYEXEC;
  addr = __get_unmapped_area(file, addr, len, file_pgoff, flags);
  if (addr < 0) {
    return addr;
  }
  if ((flags & MAP_FIXED_NOREPLACE) !== 0) {
    if (find_vma_intersection(mm, addr, addr + len) !== null) {
      return -EEXIST;
    }
  }
  if ((flags & MAP_LOCKED) !== 0 && !can_do_mlock()) {
    return -EPERM;
  }
  if (!mlock_future_ok(mm, vm_flags, len)) {
    return -EAGAIN;
  }
  const type =
    file === null
      ? anon_mapping_type(addr, flags, vm_flags)
      : file_mapping_type(file, len, prot, flags, vm_flags, file_pgoff);
  if (type.error !== 0) {
    return type.error;
  }
  const final_flags = (flags & MAP_NORESERVE) !== 0 ? type.vm_flags | VM_NORESERVE : type.vm_flags;
  addr = yield* mmap_region(file, addr, len, final_flags, type.pgoff);
  if (addr >= 0) {
    if (
      (final_flags & VM_LOCKED) !== 0 ||
      (flags & (MAP_POPULATE | MAP_NONBLOCK)) === MAP_POPULATE
    ) {
      populate.len = len;
    }
  }
  return addr;
}

/** mm/util.c: vm_mmap_pgoff() v6.18. */
export function* vm_mmap_pgoff(
  file: file | null,
  addr: number,
  len: number,
  prot: number,
  flags: number,
  pgoff: number,
): K<number> {
  const mm = current_mm();
  const populate: populate_request = { len: 0 };
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  const ret = yield* do_mmap(file, addr, len, prot, flags, 0, pgoff, populate);
  mmap_write_unlock(mm);
  if (populate.len !== 0) {
    yield* mm_populate(ret, populate.len);
  }
  return ret;
}

/** mm/mmap.c: ksys_mmap_pgoff() v6.18. MAP_HUGETLB has no page sizes here. */
export function* ksys_mmap_pgoff(
  addr: number,
  len: number,
  prot: number,
  flags: number,
  fd: number,
  pgoff: number,
): K<number> {
  let file: file | null = null;
  if ((flags & MAP_ANONYMOUS) === 0) {
    file = fget(fd);
    if (file === null) {
      return -EBADF;
    }
  }
  if ((flags & MAP_HUGETLB) !== 0) {
    if (file !== null) {
      fput(file);
    }
    return -EINVAL;
  }
  const retval = yield* vm_mmap_pgoff(file, addr, len, prot, flags, pgoff);
  if (file !== null) {
    fput(file);
  }
  return retval;
}

/** arch/x86/kernel/sys_x86_64.c: mmap(2) v6.18. */
export function* sys_mmap(
  addr: number,
  len: number,
  prot: number,
  flags: number,
  fd: number,
  off: number,
): K<number> {
  if (offset_in_page(off) !== 0) {
    return -EINVAL;
  }
  return yield* ksys_mmap_pgoff(addr, len, prot, flags | 0, fd, pages_of(off));
}

/** mm/mmap.c: check_brk_limits() v6.18. 0 or a negative errno. */
function check_brk_limits(addr: number, len: number): number {
  const mapped_addr = __get_unmapped_area(null, addr, len, 0, MAP_FIXED);
  if (mapped_addr < 0) {
    return mapped_addr;
  }
  const mm = current_mm();
  return mlock_future_ok(mm, mm.def_flags, len) ? 0 : -EAGAIN;
}

/** mm/mmap.c: brk(2) v6.18: the new break, or the old one if it could not be moved. */
export function* sys_brk(brk: number): K<number> {
  const mm = current_mm();
  let populate = false;
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  const origbrk = mm.brk;
  const newbrk = PAGE_ALIGN(brk);
  const oldbrk = PAGE_ALIGN(mm.brk);
  if (brk < mm.start_brk || brk - mm.start_brk > RLIMIT_DATA) {
    mmap_write_unlock(mm);
    return origbrk;
  }
  if (oldbrk === newbrk) {
    mm.brk = brk;
    mmap_write_unlock(mm);
    return brk;
  }
  if (brk <= mm.brk) {
    const brkvma = vmaTreeFind(mm, newbrk, oldbrk);
    if (brkvma === null || brkvma.vm_start >= oldbrk) {
      mmap_write_unlock(mm);
      return origbrk;
    }
    // Written before: a successful unmapping drops the lock that protects it.
    mm.brk = brk;
    if ((yield* do_vmi_align_munmap(brkvma, mm, newbrk, oldbrk, true)) !== 0) {
      mm.brk = origbrk;
      mmap_write_unlock(mm);
      return origbrk;
    }
    return brk;
  }
  if (check_brk_limits(oldbrk, newbrk - oldbrk) !== 0) {
    mmap_write_unlock(mm);
    return origbrk;
  }
  // One page of air to whatever comes next, and a stack's guard gap besides.
  const next = vmaTreeFind(mm, oldbrk, newbrk + PAGE_SIZE + stack_guard_gap);
  if (next !== null && newbrk + PAGE_SIZE > vm_start_gap(next)) {
    mmap_write_unlock(mm);
    return origbrk;
  }
  let brkvma = vmaTreeBefore(mm, oldbrk);
  if (brkvma !== null && brkvma.vm_end <= mm.start_brk) {
    brkvma = null;
  }
  if ((yield* do_brk_flags(brkvma, oldbrk, newbrk - oldbrk, 0)) < 0) {
    mmap_write_unlock(mm);
    return origbrk;
  }
  mm.brk = brk;
  if ((mm.def_flags & VM_LOCKED) !== 0) {
    populate = true;
  }
  mmap_write_unlock(mm);
  if (populate) {
    yield* mm_populate(oldbrk, newbrk - oldbrk);
  }
  return brk;
}

/**
 * One VMA of dup_mmap(): the child's copy, attached, linked to its file and filled. 0 or a negative errno.
 * Preconditions: both mmap_locks held for write, `mpnt` write-locked.
 */
function* dupVma(mm: mm_struct, oldmm: mm_struct, mpnt: vm_area_struct): K<number> {
  let charge = 0;
  if ((mpnt.vm_flags & VM_ACCOUNT) !== 0) {
    const len = vma_pages(mpnt);
    if (security_vm_enough_memory_mm(oldmm, len) !== 0) {
      return -ENOMEM;
    }
    charge = len;
  }
  const tmp = vm_area_dup(mpnt);
  if (tmp === null) {
    vm_unacct_memory(charge);
    return -ENOMEM;
  }
  tmp.vm_mm = mm;
  if ((tmp.vm_flags & VM_WIPEONFORK) !== 0) {
    // A clean slate: nothing is copied, so that there is nothing to find yet.
    tmp.anon_vma = null;
  } else if ((yield* anon_rmap().anon_vma_fork(tmp, mpnt)) !== 0) {
    vm_area_free(tmp);
    vm_unacct_memory(charge);
    return -ENOMEM;
  }
  // vm_flags_clear(): write-locks the copy, as attaching it demands.
  yield* vma_start_write(tmp);
  tmp.vm_flags = tmp.vm_flags & ~VM_LOCKED_MASK;
  // vma_iter_bulk_store()
  vmaTreeStore(mm, tmp);
  vma_mark_attached(tmp);
  mm.map_count = mm.map_count + 1;
  const mapping = vma_mapping(tmp);
  if (mapping !== null) {
    get_file(tmp.vm_file as file);
    yield* i_mmap_lock_write(mapping);
    if (is_shared_maywrite(tmp.vm_flags)) {
      mapping_allow_writable(mapping);
    }
    // Right after the parent's: walks meet them in the order in which fork copies page tables.
    vma_interval_tree_insert_after(tmp, mpnt, mapping.i_mmap);
    i_mmap_unlock_write(mapping);
  }
  if ((tmp.vm_flags & VM_WIPEONFORK) === 0) {
    return yield* copy_page_range(tmp, mpnt);
  }
  return 0;
}

/**
 * mm/mmap.c: dup_mmap() v6.18: fills the child's `mm` with copies of the VMAs of `oldmm`. 0 or a negative errno;
 * on failure the child holds what was copied so far, for exit_mmap().
 *
 * Linux duplicates the whole tree first and replaces the entries one by one; here they are inserted
 * one by one. Nobody can look into the child's tree before both locks are dropped.
 */
export function* dup_mmap(mm: mm_struct, oldmm: mm_struct): K<number> {
  let retval = 0;
  if ((yield* mmap_write_lock_killable(oldmm)) !== 0) {
    return -EINTR;
  }
  // Not linked in yet, so that taking a second lock of the class cannot deadlock.
  yield* mmap_write_lock_nested(mm);
  mm.total_vm = oldmm.total_vm;
  mm.data_vm = oldmm.data_vm;
  mm.exec_vm = oldmm.exec_vm;
  mm.stack_vm = oldmm.stack_vm;
  let mpnt = vmaTreeFirst(oldmm);
  while (mpnt !== null) {
    yield* vma_start_write(mpnt);
    if ((mpnt.vm_flags & VM_DONTCOPY) !== 0) {
      vm_stat_account(mm, mpnt.vm_flags, -vma_pages(mpnt));
    } else if (current().sigkill === 1) {
      // fatal_signal_pending(): no use in copying on for a task that is being killed.
      retval = -EINTR;
      break;
    } else {
      retval = yield* dupVma(mm, oldmm, mpnt);
      if (retval !== 0) {
        break;
      }
    }
    mpnt = vmaTreeNext(mpnt);
  }
  if (retval === 0) {
    yield* ksm_fork(mm, oldmm);
    yield* khugepaged_fork(mm, oldmm);
  } else {
    mm_flags_set(MMF_OOM_SKIP, mm);
    mm_flags_set(MMF_UNSTABLE, mm);
  }
  mmap_write_unlock(mm);
  // flush_tlb_mm(oldmm): this also ends the write locks of the parent's VMAs.
  mmap_write_unlock(oldmm);
  return retval;
}

/**
 * mm/mmap.c: exit_mmap() v6.18: the last user of the address space is gone. Page tables are emptied under the
 * read lock, so that reclaim of other memory may still look; the reverse map is unlinked under the
 * write lock. Preconditions: mm_users is 0.
 */
export function* exit_mmap(mm: mm_struct): K {
  let nr_accounted = 0;
  yield* mmap_read_lock(mm);
  const vmas = vmaTreeRange(mm);
  if (vmas.length === 0) {
    mmap_read_unlock(mm);
    yield* mmap_write_lock(mm);
    mmap_write_unlock(mm);
    return;
  }
  const tlb = tlb_gather_mmu_fullmm(mm);
  yield* unmap_vmas(tlb, vmas, 0, ULONG_MAX);
  mmap_read_unlock(mm);
  mm_flags_set(MMF_OOM_SKIP, mm);
  // From here to free_pgtables() a walk still finds these VMAs, but no page in them.
  yield* mmap_write_lock(mm);
  yield* free_pgtables(tlb, vmas, FIRST_USER_ADDRESS, USER_PGTABLES_CEILING, true);
  yield* tlb_finish_mmu(tlb);
  let count = 0;
  for (const vma of vmas) {
    if ((vma.vm_flags & VM_ACCOUNT) !== 0) {
      nr_accounted = nr_accounted + vma_pages(vma);
    }
    yield* vma_mark_detached(vma);
    remove_vma(vma);
    count = count + 1;
  }
  BUG_ON(count !== mm.map_count, 'count != mm->map_count');
  // __mt_destroy()
  rb_init_root(mm.mm_rb);
  mmap_write_unlock(mm);
  vm_unacct_memory(nr_accounted);
}
