/**
 * mm/mremap.c v5.19 and v6.1: mremap(2) with MREMAP_DONTUNMAP (5.7): the entries move, the old mapping stays. Promises of
 * memory are made in move_vma(), where it is known how much is new. With mremap_merges (by 6.1) a mapping that grows in
 * place may meet and swallow the next one.
 *
 * Lock tree: mmap_lock (write) -> i_mmap_rwsem -> anon_vma root -> ptl of the source -> ptl of the destination.
 * Fidelity: dup; page tables move as in v6.18 (mm/move_page_tables.ts), which may also begin with a whole table;
 * munmap() does not downgrade mmap_lock; nothing is faulted in for mlock.
 */
import type { K } from '../../../sim/wait.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { anon_rmap, has } from '../../kernel.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_expand } from '../events.ts';
import {
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
  vma_has_close,
} from '../mm.ts';
import { move_page_tables } from '../move_page_tables.ts';
import { get_unmapped_area } from '../unmapped_area.ts';
import {
  may_expand_vm,
  mlock_future_ok,
  security_vm_enough_memory_mm,
  sysctl_max_map_count,
  vm_acct_memory,
  vm_stat_account,
  vm_unacct_memory,
} from '../util.ts';
import { find_vma, vmaTreeNext } from '../vma_tree.ts';
import { do_munmap, prevOf } from './mmap.ts';
import { vma_expandable } from './mremap.ts';
import { copy_vma, vma_adjust, vma_merge } from './vma_adjust.ts';

/** Moves the page tables of [from, from + len): bytes moved. */
function* movePages(
  old: vm_area_struct,
  from: number,
  new_vma: vm_area_struct,
  to: number,
  len: number,
  need_rmap_locks: boolean,
): K<number> {
  return yield* move_page_tables({
    old,
    new: new_vma,
    old_addr: from,
    new_addr: to,
    len_in: len,
    need_rmap_locks: need_rmap_locks && has('need_rmap_locks'),
  });
}

/** The end of move_vma() that unmaps the old range, with the promise for it kept or given back. */
function* unmapOld(
  mm: mm_struct,
  vma: vm_area_struct,
  old_addr: number,
  old_len: number,
  concealed: boolean,
): K {
  let excess = 0;
  let split = false;
  if (concealed) {
    // The promise has moved with the pages: unmapping must not take it back.
    vma.vm_flags = vma.vm_flags & ~VM_ACCOUNT;
    excess = vma.vm_end - vma.vm_start - old_len;
    split = old_addr > vma.vm_start && old_addr + old_len < vma.vm_end;
  }
  if ((yield* do_munmap(mm, old_addr, old_len)) < 0) {
    if (concealed) {
      vm_acct_memory(old_len / PAGE_SIZE);
    }
    excess = 0;
  }
  if (excess !== 0) {
    vma.vm_flags = vma.vm_flags | VM_ACCOUNT;
    const rest = split ? vmaTreeNext(vma) : null;
    if (rest !== null) {
      rest.vm_flags = rest.vm_flags | VM_ACCOUNT;
    }
  }
}

/** mm/mremap.c: move_vma() v5.19: the new address or a negative errno. Preconditions: mmap_lock held for write. */
function* move_vma(
  source: vm_area_struct,
  from: number,
  from_len: number,
  new_len: number,
  to: number,
  flags: number,
): K<number> {
  const mm = source.vm_mm as mm_struct;
  const vm_flags = source.vm_flags;
  const stays = (flags & MREMAP_DONTUNMAP) !== 0;
  if (mm.map_count >= sysctl_max_map_count() - 3) {
    return -ENOMEM;
  }
  const to_account = (stays ? new_len : new_len - from_len) / PAGE_SIZE;
  const accounted = (vm_flags & VM_ACCOUNT) !== 0;
  if (accounted && security_vm_enough_memory_mm(mm, to_account) !== 0) {
    return -ENOMEM;
  }
  const new_pgoff = source.vm_pgoff + (from - source.vm_start) / PAGE_SIZE;
  const copied = yield* copy_vma(source, to, new_len, new_pgoff, prevOf(mm, to));
  if (copied === null) {
    if (accounted) {
      vm_unacct_memory(to_account);
    }
    return -ENOMEM;
  }
  const { new_vma, need_rmap_locks } = copied;
  let vma = copied.vma;
  let old_addr = from;
  let old_len = from_len;
  let result = to;
  const moved_len = yield* movePages(vma, from, new_vma, to, from_len, need_rmap_locks);
  if (moved_len < from_len) {
    // Out of page tables: back with what was moved, and the new mapping goes instead of the old one.
    yield* movePages(new_vma, to, vma, from, moved_len, true);
    vma = new_vma;
    old_len = new_len;
    old_addr = to;
    result = -ENOMEM;
  }
  vm_stat_account(mm, vma.vm_flags, new_len / PAGE_SIZE);
  if (result >= 0 && stays) {
    vma.vm_flags = vma.vm_flags & ~VM_LOCKED_MASK;
    if (new_vma !== vma && vma.vm_start === old_addr && vma.vm_end === old_addr + old_len) {
      // Nothing of it can be mapped here any more; a fault begins anew.
      yield* anon_rmap().unlink_anon_vmas(vma);
    }
    return result;
  }
  yield* unmapOld(mm, vma, old_addr, old_len, accounted && !stays);
  if ((vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + new_len / PAGE_SIZE;
  }
  return result;
}

/** mm/mremap.c: vma_to_resize() v5.19. The VMA or a negative errno. */
function vma_to_resize(
  addr: number,
  old_len: number,
  new_len: number,
  flags: number,
): vm_area_struct | number {
  const mm = current_mm();
  const vma = find_vma(mm, addr);
  if (vma === null || vma.vm_start > addr) {
    return -EFAULT;
  }
  // Of length 0: a second mapping of the same memory, which private memory cannot have.
  if (old_len === 0 && (vma.vm_flags & (VM_SHARED | VM_MAYSHARE)) === 0) {
    return -EINVAL;
  }
  const fixed = (vma.vm_flags & (VM_DONTEXPAND | VM_PFNMAP)) !== 0;
  if ((flags & MREMAP_DONTUNMAP) !== 0 && fixed) {
    return -EINVAL;
  }
  if (old_len > vma.vm_end - addr) {
    return -EFAULT;
  }
  if (new_len === old_len) {
    return vma;
  }
  if (fixed) {
    return -EFAULT;
  }
  if (!mlock_future_ok(mm, vma.vm_flags, new_len - old_len)) {
    return -EAGAIN;
  }
  return may_expand_vm(mm, vma.vm_flags, (new_len - old_len) / PAGE_SIZE) ? vma : -ENOMEM;
}

const pgoff_of = (vma: vm_area_struct, addr: number): number =>
  vma.vm_pgoff + (addr - vma.vm_start) / PAGE_SIZE;

/** mm/mremap.c: mremap_to() v5.19: what was at a fixed destination is unmapped first, whatever happens then. */
function* mremap_to(
  addr: number,
  length: number,
  wanted: number,
  new_len: number,
  flags: number,
): K<number> {
  const mm = current_mm();
  let old_len = length;
  if (offset_in_page(wanted) !== 0 || new_len > TASK_SIZE || wanted > TASK_SIZE - new_len) {
    return -EINVAL;
  }
  if (addr + old_len > wanted && wanted + new_len > addr) {
    return -EINVAL;
  }
  // move_vma() would refuse it after the destination is gone.
  if (mm.map_count + 2 >= sysctl_max_map_count() - 3) {
    return -ENOMEM;
  }
  const is_fixed = (flags & MREMAP_FIXED) !== 0;
  if (is_fixed) {
    const ret = yield* do_munmap(mm, wanted, new_len);
    if (ret !== 0) {
      return ret;
    }
  }
  if (old_len > new_len) {
    const ret = yield* do_munmap(mm, addr + new_len, old_len - new_len);
    if (ret !== 0) {
      return ret;
    }
    old_len = new_len;
  }
  const vma = vma_to_resize(addr, old_len, new_len, flags);
  if (typeof vma === 'number') {
    return vma;
  }
  const stays = (flags & MREMAP_DONTUNMAP) !== 0;
  if (stays && !may_expand_vm(mm, vma.vm_flags, old_len / PAGE_SIZE)) {
    return -ENOMEM;
  }
  const shared = (vma.vm_flags & VM_MAYSHARE) !== 0 ? MAP_SHARED : 0;
  const map_flags = (is_fixed ? MAP_FIXED : 0) | shared;
  const found = get_unmapped_area(vma.vm_file, wanted, new_len, pgoff_of(vma, addr), map_flags);
  if (found < 0) {
    return found;
  }
  return yield* move_vma(vma, addr, old_len, new_len, is_fixed ? wanted : found, flags);
}

/** The part of mremap(2) that makes a VMA larger where it is: the address or -ENOMEM. */
function* growInPlace(
  area: vm_area_struct,
  addr: number,
  old_len: number,
  new_len: number,
): K<number> {
  const mm = area.vm_mm as mm_struct;
  const pages = (new_len - old_len) / PAGE_SIZE;
  const accounted = (area.vm_flags & VM_ACCOUNT) !== 0;
  if (accounted && security_vm_enough_memory_mm(mm, pages) !== 0) {
    return -ENOMEM;
  }
  let vma: vm_area_struct | null = area;
  if (has('mremap_merges') && !vma_has_close(area)) {
    const { vm_flags, anon_vma, vm_file } = area;
    const start = addr + old_len;
    const pgoff = pgoff_of(area, start);
    const end = addr + new_len;
    vma = yield* vma_merge(mm, area, start, end, vm_flags, anon_vma, vm_file, pgoff);
  } else if ((yield* vma_adjust(area, area.vm_start, addr + new_len, area.vm_pgoff, null)) !== 0) {
    vma = null;
  }
  if (vma === null) {
    if (accounted) {
      vm_unacct_memory(pages);
    }
    return -ENOMEM;
  }
  vm_stat_account(mm, vma.vm_flags, pages);
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + pages;
  }
  trace_vma_expand({ vma, start: vma.vm_start, end: vma.vm_end });
  return addr;
}

/** The body of mremap(2) with mmap_lock held for write. */
function* remapLocked(
  addr: number,
  old_len: number,
  new_len: number,
  flags: number,
  new_addr: number,
): K<number> {
  const mm = current_mm();
  const first = find_vma(mm, addr);
  if (first === null || first.vm_start > addr) {
    return -EFAULT;
  }
  if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0) {
    return yield* mremap_to(addr, old_len, new_addr, new_len, flags);
  }
  if (old_len >= new_len) {
    const ret = yield* do_munmap(mm, addr + new_len, old_len - new_len);
    return ret < 0 && old_len !== new_len ? ret : addr;
  }
  const vma = vma_to_resize(addr, old_len, new_len, flags);
  if (typeof vma === 'number') {
    return vma;
  }
  if (old_len === vma.vm_end - addr && vma_expandable(vma, new_len - old_len)) {
    return yield* growInPlace(vma, addr, old_len, new_len);
  }
  if ((flags & MREMAP_MAYMOVE) === 0) {
    return -ENOMEM;
  }
  const shared = (vma.vm_flags & VM_MAYSHARE) !== 0 ? MAP_SHARED : 0;
  const to = get_unmapped_area(vma.vm_file, 0, new_len, pgoff_of(vma, addr), shared);
  return to < 0 ? to : yield* move_vma(vma, addr, old_len, new_len, to, flags);
}

/** mm/mremap.c: mremap(2) v5.19. */
export function* sys_mremap(
  addr: number,
  old_length: number,
  new_length: number,
  flags: number,
  new_addr: number,
): K<number> {
  if ((flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) !== 0) {
    return -EINVAL;
  }
  const moves = (flags & MREMAP_MAYMOVE) !== 0;
  if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0 && !moves) {
    return -EINVAL;
  }
  if ((flags & MREMAP_DONTUNMAP) !== 0 && old_length !== new_length) {
    return -EINVAL;
  }
  if (offset_in_page(addr) !== 0) {
    return -EINVAL;
  }
  const old_len = PAGE_ALIGN(old_length);
  const new_len = PAGE_ALIGN(new_length);
  if (new_len === 0) {
    return -EINVAL;
  }
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const ret = yield* remapLocked(addr, old_len, new_len, flags, new_addr);
  up_write(mm.mmap_lock);
  return ret;
}
