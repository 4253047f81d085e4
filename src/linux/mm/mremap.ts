/**
 * mm/mremap.c v6.18: mremap(2): resizing a mapping in place, moving it, or moving several (6.17).
 *
 * Lock tree: mmap_lock (write) -> vma_start_write() -> i_mmap_rwsem -> anon_vma root -> ptl. Fidelity: dup;
 * without hugetlb and userfaultfd.
 */
import type { K } from '../../sim/wait.ts';
import { EAGAIN, EFAULT, EINTR, EINVAL, ENOMEM, EPERM } from '../errno.ts';
import { current_mm } from '../kernel/current.ts';
import { anon_rmap } from '../kernel.ts';
import { VM_BUG_ON, VM_WARN_ON_ONCE } from '../lib/bug.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mm_populate } from './gup.ts';
import { ksm_madvise } from './ksm_unmerge.ts';
import {
  FS_DEV_ZERO,
  MADV_UNMERGEABLE,
  MAP_FIXED,
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  TASK_SIZE,
  VM_ACCOUNT,
  VM_DONTEXPAND,
  VM_LOCKED,
  VM_LOCKED_MASK,
  VM_MAYSHARE,
  VM_PFNMAP,
  VM_SHARED,
} from './mm.ts';
import { mmap_write_lock_killable, mmap_write_unlock, vma_start_write } from './mmap_lock.ts';
import { move_page_tables } from './move_page_tables.ts';
import { get_unmapped_area } from './unmapped_area.ts';
import {
  may_expand_vm,
  mlock_future_ok,
  security_vm_enough_memory_mm,
  sysctl_max_map_count,
  vm_acct_memory,
  vm_stat_account,
  vm_unacct_memory,
} from './util.ts';
import { copy_vma, vma_may_split, vma_merge_extend } from './vma.ts';
import { do_munmap, do_vmi_munmap, vma_is_sealed } from './vma_munmap.ts';
import {
  find_vma_intersection,
  vma_lookup,
  vmaTreeAtOrAfter,
  vmaTreeBefore,
  vmaTreeFind,
} from './vma_tree.ts';

/** enum mremap_type. */
type mremap_type = 'invalid' | 'no_resize' | 'shrink' | 'expand';

/** struct vma_remap_struct: one mremap() and how far it got. */
interface vma_remap_struct {
  addr: number;
  old_len: number;
  new_len: number;
  readonly flags: number;
  new_addr: number;
  vma: vm_area_struct | null;
  delta: number;
  /** The mapping is locked and grows: its new part is faulted in at the end. */
  populate_expand: boolean;
  remap_type: mremap_type;
  mmap_locked: boolean;
  charged: number;
}

/** The VMA that vrm->vma is known to be. */
const vmaOf = (vrm: vma_remap_struct): vm_area_struct => vrm.vma as vm_area_struct;

/** mm/mremap.c: vrm_remap_type() v6.18. */
function vrm_remap_type(vrm: vma_remap_struct): mremap_type {
  if (vrm.delta === 0) {
    return 'no_resize';
  }
  return vrm.old_len > vrm.new_len ? 'shrink' : 'expand';
}

/** mm/mremap.c: vrm_overlaps() v6.18. */
function vrm_overlaps(vrm: vma_remap_struct): boolean {
  const end_old = vrm.addr + vrm.old_len;
  const end_new = vrm.new_addr + vrm.new_len;
  return end_old > vrm.new_addr && end_new > vrm.addr;
}

/** mm/mremap.c: vrm_implies_new_addr() v6.18. */
function vrm_implies_new_addr(vrm: vma_remap_struct): boolean {
  return (vrm.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0;
}

/** mm/mremap.c: vrm_set_new_addr() v6.18. 0 or a negative errno. */
function vrm_set_new_addr(vrm: vma_remap_struct): number {
  const vma = vmaOf(vrm);
  const pgoff = vma.vm_pgoff + (vrm.addr - vma.vm_start) / PAGE_SIZE;
  const hint = vrm_implies_new_addr(vrm) ? vrm.new_addr : 0;
  let map_flags = 0;
  if ((vrm.flags & MREMAP_FIXED) !== 0) {
    map_flags |= MAP_FIXED;
  }
  if ((vma.vm_flags & VM_MAYSHARE) !== 0) {
    map_flags |= MAP_SHARED;
  }
  const res = get_unmapped_area(vma.vm_file, hint, vrm.new_len, pgoff, map_flags);
  if (res < 0) {
    return res;
  }
  vrm.new_addr = res;
  return 0;
}

/** mm/mremap.c: vrm_calc_charge() v6.18: false if the memory cannot be promised. */
function vrm_calc_charge(vrm: vma_remap_struct): boolean {
  if ((vmaOf(vrm).vm_flags & VM_ACCOUNT) === 0) {
    return true;
  }
  // With DONTUNMAP the old mapping stays accounted, so that the new one counts in full.
  const bytes = (vrm.flags & MREMAP_DONTUNMAP) !== 0 ? vrm.new_len : vrm.delta;
  if (security_vm_enough_memory_mm(current_mm(), bytes / PAGE_SIZE) !== 0) {
    return false;
  }
  vrm.charged = bytes / PAGE_SIZE;
  return true;
}

/** mm/mremap.c: vrm_uncharge() v6.18. */
function vrm_uncharge(vrm: vma_remap_struct): void {
  if ((vmaOf(vrm).vm_flags & VM_ACCOUNT) === 0) {
    return;
  }
  vm_unacct_memory(vrm.charged);
  vrm.charged = 0;
}

/** mm/mremap.c: vrm_stat_account() v6.18. */
function vrm_stat_account(vrm: vma_remap_struct, bytes: number): void {
  const mm = current_mm();
  const vma = vmaOf(vrm);
  vm_stat_account(mm, vma.vm_flags, bytes / PAGE_SIZE);
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + bytes / PAGE_SIZE;
  }
}

/**
 * mm/mremap.c: prep_move_vma() v6.18. 0 or a negative errno. KSM pages of the range become private again, as their
 * items name the old address; the VMA's flags stay, so that ksmd merges them again where they went.
 */
function* prep_move_vma(vrm: vma_remap_struct): K<number> {
  const vma = vmaOf(vrm);
  // do_munmap() may later split the source into three.
  if (current_mm().map_count >= sysctl_max_map_count() - 3) {
    return -ENOMEM;
  }
  if (vma.vm_start !== vrm.addr || vma.vm_end !== vrm.addr + vrm.old_len) {
    const err = vma_may_split(vma);
    if (err !== 0) {
      return err;
    }
  }
  const dummy = { vm_flags: vma.vm_flags };
  return yield* ksm_madvise(vma, vrm.addr, vrm.addr + vrm.old_len, MADV_UNMERGEABLE, dummy);
}

/** vm_flags_set() and vm_flags_clear(): write-lock the VMA first. */
function* changeFlags(vma: vm_area_struct, set: number, clear: number): K {
  yield* vma_start_write(vma);
  vma.vm_flags = (vma.vm_flags & ~clear) | set;
}

/**
 * mm/mremap.c: unmap_source_vma() v6.18: the copy becomes a move. The pages were charged once and stay so:
 * VM_ACCOUNT is off during the unmapping, and on again for what is left of the source.
 */
function* unmap_source_vma(vrm: vma_remap_struct): K {
  const mm = current_mm();
  const vma = vmaOf(vrm);
  const addr = vrm.addr;
  const end = addr + vrm.old_len;
  const vm_start = vma.vm_start;
  const vm_end = vma.vm_end;
  const accountable = (vma.vm_flags & VM_ACCOUNT) !== 0 && (vrm.flags & MREMAP_DONTUNMAP) === 0;
  if (accountable) {
    yield* changeFlags(vma, 0, VM_ACCOUNT);
  }
  const err = yield* do_vmi_munmap(mm, addr, vrm.old_len, false);
  vrm.vma = null;
  if (err !== 0) {
    // No memory to split it: get at least the accounts right.
    vm_acct_memory(vrm.old_len / PAGE_SIZE);
    return;
  }
  if (accountable) {
    if (vm_start < addr) {
      yield* changeFlags(vmaTreeBefore(mm, addr) as vm_area_struct, VM_ACCOUNT, 0);
    }
    if (vm_end > end) {
      yield* changeFlags(vmaTreeAtOrAfter(mm, addr) as vm_area_struct, VM_ACCOUNT, 0);
    }
  }
}

/** What copy_vma_and_data() gives back. */
interface copy_result {
  readonly err: number;
  readonly new_vma: vm_area_struct | null;
}

/** mm/mremap.c: copy_vma_and_data() v6.18. On failure vrm describes the new VMA, which is then unmapped. */
function* copy_vma_and_data(vrm: vma_remap_struct): K<copy_result> {
  const source = vmaOf(vrm);
  const new_pgoff = source.vm_pgoff + (vrm.addr - source.vm_start) / PAGE_SIZE;
  const copied = yield* copy_vma(source, vrm.new_addr, vrm.new_len, new_pgoff);
  if (copied === null) {
    vrm_uncharge(vrm);
    return { err: -ENOMEM, new_vma: null };
  }
  const new_vma = copied.new_vma;
  vrm.vma = copied.vma;
  const moved_len = yield* move_page_tables({
    old: copied.vma,
    new: new_vma,
    old_addr: vrm.addr,
    new_addr: vrm.new_addr,
    len_in: vrm.old_len,
    need_rmap_locks: copied.need_rmap_locks,
  });
  if (moved_len < vrm.old_len) {
    // Back again: the old tables are still there, so that this cannot fail.
    yield* move_page_tables({
      old: new_vma,
      new: copied.vma,
      old_addr: vrm.new_addr,
      new_addr: vrm.addr,
      len_in: moved_len,
      need_rmap_locks: true,
    });
    vrm.vma = new_vma;
    vrm.old_len = vrm.new_len;
    vrm.addr = vrm.new_addr;
    return { err: -ENOMEM, new_vma };
  }
  return { err: 0, new_vma };
}

/** mm/mremap.c: dontunmap_complete() v6.18: a source that was moved whole has no pages to be found any more. */
function* dontunmap_complete(vrm: vma_remap_struct, new_vma: vm_area_struct): K {
  const vma = vmaOf(vrm);
  const start = vrm.addr;
  const end = vrm.addr + vrm.old_len;
  yield* changeFlags(vma, 0, VM_LOCKED_MASK);
  if (new_vma !== vma && start === vma.vm_start && end === vma.vm_end) {
    yield* anon_rmap().unlink_anon_vmas(vma);
  }
}

/** mm/mremap.c: move_vma() v6.18: the new address, or a negative errno. */
function* move_vma(vrm: vma_remap_struct): K<number> {
  const refused = yield* prep_move_vma(vrm);
  if (refused !== 0) {
    return refused;
  }
  if (!vrm_calc_charge(vrm)) {
    return -ENOMEM;
  }
  // No fault may fill a page of the source while its tables move.
  yield* vma_start_write(vmaOf(vrm));
  const copy = yield* copy_vma_and_data(vrm);
  if (copy.new_vma === null) {
    return copy.err;
  }
  vrm_stat_account(vrm, vrm.new_len);
  if (copy.err === 0 && (vrm.flags & MREMAP_DONTUNMAP) !== 0) {
    yield* dontunmap_complete(vrm, copy.new_vma);
  } else {
    yield* unmap_source_vma(vrm);
  }
  return copy.err !== 0 ? copy.err : vrm.new_addr;
}

/** mm/mremap.c: shrink_vma() v6.18. 0 or a negative errno; may drop mmap_lock. */
function* shrink_vma(vrm: vma_remap_struct, drop_lock: boolean): K<number> {
  const mm = current_mm();
  VM_BUG_ON(vrm.remap_type !== 'shrink', 'vrm->remap_type != MREMAP_SHRINK');
  const res = yield* do_vmi_munmap(mm, vrm.addr + vrm.new_len, vrm.delta, drop_lock);
  vrm.vma = null;
  if (res !== 0) {
    return res;
  }
  if (drop_lock) {
    vrm.mmap_locked = false;
    return 0;
  }
  vrm.vma = vma_lookup(mm, vrm.addr);
  return vrm.vma === null ? -EFAULT : 0;
}

/** mm/mremap.c: mremap_to() v6.18: to a given address, or with MREMAP_DONTUNMAP. */
function* mremap_to(vrm: vma_remap_struct): K<number> {
  const mm = current_mm();
  if ((vrm.flags & MREMAP_FIXED) !== 0) {
    const err = yield* do_munmap(mm, vrm.new_addr, vrm.new_len);
    vrm.vma = null;
    if (err !== 0) {
      return err;
    }
    // The destination may have been a part of the source's VMA.
    vrm.vma = vma_lookup(mm, vrm.addr);
    if (vrm.vma === null) {
      return -EFAULT;
    }
  }
  if (vrm.remap_type === 'shrink') {
    const err = yield* shrink_vma(vrm, false);
    if (err !== 0) {
      return err;
    }
    vrm.old_len = vrm.new_len;
  }
  if ((vrm.flags & MREMAP_DONTUNMAP) !== 0) {
    if (!may_expand_vm(mm, vmaOf(vrm).vm_flags, vrm.old_len / PAGE_SIZE)) {
      return -ENOMEM;
    }
  }
  const err = vrm_set_new_addr(vrm);
  if (err !== 0) {
    return err;
  }
  return yield* move_vma(vrm);
}

/** mm/mremap.c: vma_expandable() v6.18. */
function vma_expandable(vma: vm_area_struct, delta: number): boolean {
  const end = vma.vm_end + delta;
  if (find_vma_intersection(vma.vm_mm as mm_struct, vma.vm_end, end) !== null) {
    return false;
  }
  return get_unmapped_area(null, vma.vm_start, end - vma.vm_start, 0, MAP_FIXED) >= 0;
}

/** mm/mremap.c: vrm_can_expand_in_place() v6.18. */
function vrm_can_expand_in_place(vrm: vma_remap_struct): boolean {
  const vma = vmaOf(vrm);
  return vma.vm_end - vrm.addr === vrm.old_len && vma_expandable(vma, vrm.delta);
}

/** mm/mremap.c: expand_vma_in_place() v6.18. 0 or -ENOMEM. */
function* expand_vma_in_place(vrm: vma_remap_struct): K<number> {
  if (!vrm_calc_charge(vrm)) {
    return -ENOMEM;
  }
  const vma = yield* vma_merge_extend(vmaOf(vrm), vrm.delta);
  if (vma === null) {
    vrm_uncharge(vrm);
    return -ENOMEM;
  }
  vrm.vma = vma;
  vrm_stat_account(vrm, vrm.delta);
  return 0;
}

/** mm/mremap.c: expand_vma() v6.18: in place if that is possible, elsewhere if that is allowed. */
function* expand_vma(vrm: vma_remap_struct): K<number> {
  if (vrm_can_expand_in_place(vrm)) {
    const err = yield* expand_vma_in_place(vrm);
    return err !== 0 ? err : vrm.addr;
  }
  if ((vrm.flags & MREMAP_MAYMOVE) === 0) {
    return -ENOMEM;
  }
  const err = vrm_set_new_addr(vrm);
  if (err !== 0) {
    return err;
  }
  return yield* move_vma(vrm);
}

/** mm/mremap.c: mremap_at() v6.18: neither MREMAP_FIXED nor MREMAP_DONTUNMAP. */
function* mremap_at(vrm: vma_remap_struct): K<number> {
  if (vrm.remap_type === 'no_resize') {
    return vrm.addr;
  }
  if (vrm.remap_type === 'shrink') {
    const res = yield* shrink_vma(vrm, true);
    return res !== 0 ? res : vrm.addr;
  }
  return yield* expand_vma(vrm);
}

/** mm/mremap.c: vrm_will_map_new() v6.18. */
function vrm_will_map_new(vrm: vma_remap_struct): boolean {
  return vrm.remap_type === 'expand' || vrm_implies_new_addr(vrm);
}

/** mm/mremap.c: check_prep_vma() v6.18. 0 or a negative errno. */
function check_prep_vma(vrm: vma_remap_struct): number {
  const vma = vrm.vma;
  const mm = current_mm();
  if (vma === null) {
    return -EFAULT;
  }
  if (vma_is_sealed(vma)) {
    return -EPERM;
  }
  vrm.delta = Math.abs(vrm.old_len - vrm.new_len);
  vrm.remap_type = vrm_remap_type(vrm);
  if (!vrm_implies_new_addr(vrm)) {
    vrm.new_addr = vrm.addr;
  }
  if (!vrm_will_map_new(vrm)) {
    return 0;
  }
  // Length 0 duplicates a shared mapping; a private one would be a new, unrelated mapping.
  if (vrm.old_len === 0 && (vma.vm_flags & (VM_SHARED | VM_MAYSHARE)) === 0) {
    return -EINVAL;
  }
  const fixed_size = VM_DONTEXPAND | VM_PFNMAP;
  if ((vrm.flags & MREMAP_DONTUNMAP) !== 0 && (vma.vm_flags & fixed_size) !== 0) {
    return -EINVAL;
  }
  const old_len = vrm.remap_type === 'shrink' ? vrm.new_len : vrm.old_len;
  if (old_len > vma.vm_end - vrm.addr) {
    return -EFAULT;
  }
  if (vrm.new_len === old_len) {
    return 0;
  }
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    vrm.populate_expand = true;
  }
  if ((vma.vm_flags & fixed_size) !== 0) {
    return -EFAULT;
  }
  if (!mlock_future_ok(mm, vma.vm_flags, vrm.delta)) {
    return -EAGAIN;
  }
  return may_expand_vm(mm, vma.vm_flags, vrm.delta / PAGE_SIZE) ? 0 : -ENOMEM;
}

/** mm/mremap.c: check_mremap_params() v6.18: what can be refused without a lock. */
function check_mremap_params(vrm: vma_remap_struct): number {
  const known = MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
  if ((vrm.flags & ~known) !== 0) {
    return -EINVAL;
  }
  if (offset_in_page(vrm.addr) !== 0) {
    return -EINVAL;
  }
  if (vrm.new_len === 0 || vrm.new_len > TASK_SIZE) {
    return -EINVAL;
  }
  if (!vrm_implies_new_addr(vrm)) {
    return 0;
  }
  if (vrm.new_addr > TASK_SIZE - vrm.new_len || offset_in_page(vrm.new_addr) !== 0) {
    return -EINVAL;
  }
  if ((vrm.flags & MREMAP_MAYMOVE) === 0) {
    return -EINVAL;
  }
  if ((vrm.flags & MREMAP_DONTUNMAP) !== 0 && vrm.old_len !== vrm.new_len) {
    return -EINVAL;
  }
  if (vrm_overlaps(vrm)) {
    return -EINVAL;
  }
  // Both ranges may be split in three before move_vma() gives up for the same reason.
  return current_mm().map_count + 2 >= sysctl_max_map_count() - 3 ? -ENOMEM : 0;
}

/**
 * mm/mremap.c: vma_multi_allowed() v6.18, without userfaultfd: whether the VMA may move together with others. A file's own
 * get_unmapped_area() might not obey MREMAP_FIXED; of those there are here only that of /dev/zero is not known to.
 */
function vma_multi_allowed(vma: vm_area_struct): boolean {
  return vma.vm_file?.f_inode?.i_kind !== FS_DEV_ZERO;
}

/**
 * mm/mremap.c: remap_move() v6.18 (since 6.17): moves every VMA of the range, keeping the distances. Pieces that
 * were moved before an error stay moved.
 */
function* remap_move(vrm: vma_remap_struct): K<number> {
  const mm = current_mm();
  const start = vrm.addr;
  const end = vrm.addr + vrm.old_len;
  const new_addr = vrm.new_addr;
  let target_addr = new_addr;
  let res = -EFAULT;
  let last_end = 0;
  let seen_vma = false;
  let vma = vmaTreeFind(mm, start, end);
  while (vma !== null && vma.vm_start < end) {
    const addr = Math.max(vma.vm_start, start);
    const len = Math.min(end, vma.vm_end) - addr;
    if (!seen_vma && start < vma.vm_start) {
      return -EFAULT;
    }
    const offset = seen_vma ? vma.vm_start - last_end : 0;
    last_end = vma.vm_end;
    vrm.vma = vma;
    vrm.addr = addr;
    vrm.new_addr = target_addr + offset;
    vrm.old_len = len;
    vrm.new_len = len;
    // Only as the single VMA of the range.
    if (!vma_multi_allowed(vma) && (seen_vma || vma.vm_end < end)) {
      return -EFAULT;
    }
    let moved = check_prep_vma(vrm);
    if (moved === 0) {
      moved = yield* mremap_to(vrm);
    }
    if (moved < 0) {
      return moved;
    }
    if (!seen_vma) {
      VM_WARN_ON_ONCE(moved !== new_addr, 'res_vma != new_addr');
      res = moved;
    }
    seen_vma = true;
    target_addr = moved + vrm.new_len;
    vma = vmaTreeFind(mm, last_end, end);
  }
  return res;
}

/** mm/mremap.c: do_mremap() v6.18. */
function* do_mremap(vrm: vma_remap_struct): K<number> {
  const mm = current_mm();
  vrm.old_len = PAGE_ALIGN(vrm.old_len);
  vrm.new_len = PAGE_ALIGN(vrm.new_len);
  const refused = check_mremap_params(vrm);
  if (refused !== 0) {
    return refused;
  }
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  vrm.mmap_locked = true;
  let res: number;
  if ((vrm.flags & MREMAP_FIXED) !== 0 && vrm.old_len === vrm.new_len) {
    res = yield* remap_move(vrm);
  } else {
    vrm.vma = vma_lookup(mm, vrm.addr);
    res = check_prep_vma(vrm);
    if (res === 0) {
      res = vrm_implies_new_addr(vrm) ? yield* mremap_to(vrm) : yield* mremap_at(vrm);
    }
  }
  if (vrm.mmap_locked) {
    mmap_write_unlock(mm);
  }
  if (res >= 0 && vrm.populate_expand) {
    yield* mm_populate(vrm.new_addr + vrm.old_len, vrm.delta);
  }
  return res;
}

/** mm/mremap.c: mremap(2) v6.18: the new address, or a negative errno. */
export function* mremap(
  addr: number,
  old_len: number,
  new_len: number,
  flags: number,
  new_addr: number,
): K<number> {
  const vrm: vma_remap_struct = {
    addr,
    old_len,
    new_len,
    flags,
    new_addr,
    vma: null,
    delta: 0,
    populate_expand: false,
    remap_type: 'invalid',
    mmap_locked: false,
    charged: 0,
  };
  return yield* do_mremap(vrm);
}
