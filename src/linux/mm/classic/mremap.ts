/**
 * mm/mremap.c v2.6.34: mremap(2). Page tables move under their ptls only: a walk that meets the destination before
 * the source may miss a page.
 *
 * Lock tree: mmap_sem (write) -> i_mmap_lock -> ptl of the source -> ptl of the destination. Fidelity: dup; no
 * huge pages.
 */
import type { K } from '../../../sim/wait.ts';
import { EFAULT, EINVAL, ENOMEM } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { anon_rmap, has } from '../../kernel.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_expand } from '../events.ts';
import {
  MAP_FIXED,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  PMD_SIZE,
  TASK_SIZE,
  VM_ACCOUNT,
  VM_DONTEXPAND,
  VM_LOCKED,
  VM_MAYSHARE,
  VM_PFNMAP,
} from '../mm.ts';
import {
  mm_find_pmd,
  pgd_offset,
  pmd_alloc,
  pmd_none,
  pmdp_get,
  pte_alloc,
  pte_none,
  pte_offset_map,
  pte_offset_map_lock,
  type pte_ptr,
  pte_unmap_unlock,
  ptep_clear_flush,
  ptep_get,
  ptlock_ptr,
  pud_alloc,
  set_pte_at,
} from '../pgtable.ts';
import { get_unmapped_area } from '../unmapped_area.ts';
import {
  may_expand_vm,
  security_vm_enough_memory_mm,
  sysctl_max_map_count,
  vm_stat_account,
  vm_unacct_memory,
} from '../util.ts';
import { i_mmap_lock_write, i_mmap_unlock_write, vma_mapping } from '../vma_link.ts';
import { find_vma, vmaTreeNext } from '../vma_tree.ts';
import { mlock_vma_pages_range } from './mlock.ts';
import { do_munmap, prevOf } from './mmap.ts';
import { copy_vma, vma_adjust } from './vma_adjust.ts';

/** LATENCY_LIMIT: bytes moved under one hold of the locks. */
const LATENCY_LIMIT = 64 * PAGE_SIZE;

/** mm/mremap.c: get_old_pmd() v2.6.34. 0: no table there. */
function get_old_pmd(mm: mm_struct, addr: number): pte_ptr {
  const pmd = mm_find_pmd(mm, addr);
  return pmd === 0 || pmd_none(pmdp_get(pmd)) ? 0 : pmd;
}

/** mm/mremap.c: alloc_new_pmd() v2.6.34. 0: no memory. */
function* alloc_new_pmd(mm: mm_struct, addr: number): K<pte_ptr> {
  const pud = yield* pud_alloc(mm, pgd_offset(mm, addr), addr);
  if (pud === 0) {
    return 0;
  }
  const pmd = yield* pmd_alloc(mm, pud, addr);
  if (pmd === 0) {
    return 0;
  }
  return (yield* pte_alloc(mm, pmd)) ? 0 : pmd;
}

/**
 * mm/mremap.c: move_ptes() v2.6.34. With need_rmap_locks (3.7) walks are kept out only if they could come to the
 * new place first; else whatever they do not find at the old one is still to come.
 */
function* move_ptes(
  vma: vm_area_struct,
  old_pmd: pte_ptr,
  old_start: number,
  old_end: number,
  new_pmd: pte_ptr,
  new_start: number,
  need_rmap_locks: boolean,
): K {
  const mm = vma.vm_mm as mm_struct;
  const mapping = has('need_rmap_locks') && !need_rmap_locks ? null : vma_mapping(vma);
  const anon_vma = has('need_rmap_locks') && need_rmap_locks ? vma.anon_vma : null;
  if (mapping !== null) {
    yield* i_mmap_lock_write(mapping);
  }
  if (anon_vma !== null) {
    yield* anon_rmap().anon_vma_lock(anon_vma);
  }
  const old_pte = yield* pte_offset_map_lock(mm, old_pmd, old_start);
  const new_pte = pte_offset_map(new_pmd, new_start);
  const new_ptl = ptlock_ptr(new_pte);
  const nested = new_ptl !== ptlock_ptr(old_pte);
  if (nested) {
    yield* spin_lock(new_ptl);
  }
  for (let addr = old_start; addr < old_end; addr = addr + PAGE_SIZE) {
    const at = (addr - old_start) / PAGE_SIZE;
    if (pte_none(ptep_get(old_pte + at))) {
      continue;
    }
    const pte = ptep_clear_flush(vma, addr, old_pte + at);
    // Here the page has no entry at all: a look without the ptl misses it on both sides.
    set_pte_at(mm, new_start + at * PAGE_SIZE, new_pte + at, pte);
  }
  if (nested) {
    spin_unlock(new_ptl);
  }
  pte_unmap_unlock(old_pte);
  if (anon_vma !== null) {
    anon_rmap().anon_vma_unlock(anon_vma);
  }
  if (mapping !== null) {
    i_mmap_unlock_write(mapping);
  }
}

const next_pmd = (addr: number): number => addr - (addr % PMD_SIZE) + PMD_SIZE;

/** mm/mremap.c: move_page_tables() v2.6.34: bytes moved. Preconditions: mmap_sem held for write. */
export function* move_page_tables(
  vma: vm_area_struct,
  old_start: number,
  new_start: number,
  len: number,
  need_rmap_locks: boolean,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const old_end = old_start + len;
  let old_addr = old_start;
  let new_addr = new_start;
  while (old_addr < old_end) {
    let extent = Math.min(next_pmd(old_addr), old_end) - old_addr;
    const old_pmd = get_old_pmd(mm, old_addr);
    if (old_pmd !== 0) {
      const new_pmd = yield* alloc_new_pmd(mm, new_addr);
      if (new_pmd === 0) {
        break;
      }
      extent = Math.min(extent, next_pmd(new_addr) - new_addr, LATENCY_LIMIT);
      const end = old_addr + extent;
      yield* move_ptes(vma, old_pmd, old_addr, end, new_pmd, new_addr, need_rmap_locks);
    }
    old_addr = old_addr + extent;
    new_addr = new_addr + extent;
  }
  return old_addr - old_start;
}

/** mm/mremap.c: move_vma() v2.6.34: the new address or -ENOMEM. Preconditions: mmap_sem held for write. */
function* move_vma(
  source: vm_area_struct,
  from: number,
  from_len: number,
  new_len: number,
  to: number,
): K<number> {
  const mm = source.vm_mm as mm_struct;
  const vm_flags = source.vm_flags;
  if (mm.map_count >= sysctl_max_map_count() - 3) {
    return -ENOMEM;
  }
  const new_pgoff = source.vm_pgoff + (from - source.vm_start) / PAGE_SIZE;
  const copied = yield* copy_vma(source, to, new_len, new_pgoff, prevOf(mm, to));
  if (copied === null) {
    return -ENOMEM;
  }
  let vma = copied.vma;
  let old_addr = from;
  let old_len = from_len;
  let new_addr = to;
  const moved_len = yield* move_page_tables(vma, from, to, from_len, copied.need_rmap_locks);
  if (moved_len < from_len) {
    // Out of page tables: back with what was moved, and the new mapping goes instead of the old one.
    const queue = anon_rmap().anon_vma_moveto_tail;
    if (has('moveto_tail') && queue !== undefined) {
      yield* queue(vma);
    }
    yield* move_page_tables(copied.new_vma, to, from, moved_len, true);
    vma = copied.new_vma;
    old_len = new_len;
    old_addr = to;
    new_addr = -ENOMEM;
  }
  let excess = 0;
  let split = false;
  if ((vm_flags & VM_ACCOUNT) !== 0) {
    // The promise has moved with the pages: unmapping must not take it back.
    vma.vm_flags = vma.vm_flags & ~VM_ACCOUNT;
    excess = vma.vm_end - vma.vm_start - old_len;
    split = old_addr > vma.vm_start && old_addr + old_len < vma.vm_end;
  }
  vm_stat_account(mm, vma.vm_flags, new_len / PAGE_SIZE);
  if ((yield* do_munmap(mm, old_addr, old_len)) < 0) {
    vm_unacct_memory(excess / PAGE_SIZE);
    excess = 0;
  }
  if (excess !== 0) {
    vma.vm_flags = vma.vm_flags | VM_ACCOUNT;
    const rest = split ? vmaTreeNext(vma) : null;
    if (rest !== null) {
      rest.vm_flags = rest.vm_flags | VM_ACCOUNT;
    }
  }
  if ((vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + new_len / PAGE_SIZE;
    if (new_len > from_len && new_addr === to) {
      yield* mlock_vma_pages_range(copied.new_vma, to + from_len, to + new_len);
    }
  }
  return new_addr;
}

/** The VMA and what was promised for its growth. */
interface resized {
  readonly vma: vm_area_struct;
  readonly charged: number;
}

/** mm/mremap.c: vma_to_resize() v2.6.34. The VMA or a negative errno. */
function vma_to_resize(addr: number, old_len: number, new_len: number): resized | number {
  const mm = current_mm();
  const vma = find_vma(mm, addr);
  if (vma === null || vma.vm_start > addr) {
    return -EFAULT;
  }
  if (old_len > vma.vm_end - addr) {
    return -EFAULT;
  }
  if ((vma.vm_flags & (VM_DONTEXPAND | VM_PFNMAP)) !== 0 && new_len > old_len) {
    return -EFAULT;
  }
  const pages = (new_len - old_len) / PAGE_SIZE;
  if (!may_expand_vm(mm, vma.vm_flags, pages)) {
    return -ENOMEM;
  }
  let charged = 0;
  if ((vma.vm_flags & VM_ACCOUNT) !== 0) {
    charged = pages;
    if (security_vm_enough_memory_mm(mm, charged) !== 0) {
      return -EFAULT;
    }
  }
  return { vma, charged };
}

const share_flag = (vma: vm_area_struct): number =>
  (vma.vm_flags & VM_MAYSHARE) !== 0 ? MAP_SHARED : 0;

const pgoff_of = (vma: vm_area_struct, addr: number): number =>
  vma.vm_pgoff + (addr - vma.vm_start) / PAGE_SIZE;

/** mm/mremap.c: mremap_to() v2.6.34: what was at the destination is unmapped first, whatever happens then. */
function* mremap_to(addr: number, length: number, new_addr: number, new_len: number): K<number> {
  const mm = current_mm();
  let old_len = length;
  if (offset_in_page(new_addr) !== 0) {
    return -EINVAL;
  }
  if (new_len > TASK_SIZE || new_addr > TASK_SIZE - new_len) {
    return -EINVAL;
  }
  const overlaps =
    (new_addr <= addr && new_addr + new_len > addr) ||
    (addr <= new_addr && addr + old_len > new_addr);
  if (overlaps) {
    return -EINVAL;
  }
  let ret = yield* do_munmap(mm, new_addr, new_len);
  if (ret !== 0) {
    return ret;
  }
  if (old_len >= new_len) {
    ret = yield* do_munmap(mm, addr + new_len, old_len - new_len);
    if (ret !== 0 && old_len !== new_len) {
      return ret;
    }
    old_len = new_len;
  }
  const found = vma_to_resize(addr, old_len, new_len);
  if (typeof found === 'number') {
    return found;
  }
  const { vma, charged } = found;
  const flags = MAP_FIXED | share_flag(vma);
  ret = get_unmapped_area(vma.vm_file, new_addr, new_len, pgoff_of(vma, addr), flags);
  if (ret >= 0) {
    ret = yield* move_vma(vma, addr, old_len, new_len, new_addr);
  }
  if (ret < 0) {
    vm_unacct_memory(charged);
  }
  return ret;
}

/** mm/mremap.c: vma_expandable() v2.6.34. */
export function vma_expandable(vma: vm_area_struct, delta: number): boolean {
  const end = vma.vm_end + delta;
  const next = vmaTreeNext(vma);
  if (next !== null && next.vm_start < end) {
    return false;
  }
  return get_unmapped_area(null, vma.vm_start, end - vma.vm_start, 0, MAP_FIXED) >= 0;
}

/** The part of do_mremap() that makes a mapping larger. The address or a negative errno. */
function* growMapping(addr: number, old_len: number, new_len: number, flags: number): K<number> {
  const found = vma_to_resize(addr, old_len, new_len);
  if (typeof found === 'number') {
    return found;
  }
  const { vma, charged } = found;
  const mm = vma.vm_mm as mm_struct;
  let ret = -ENOMEM;
  if (old_len === vma.vm_end - addr && vma_expandable(vma, new_len - old_len)) {
    if ((yield* vma_adjust(vma, vma.vm_start, addr + new_len, vma.vm_pgoff, null)) === 0) {
      vm_stat_account(mm, vma.vm_flags, (new_len - old_len) / PAGE_SIZE);
      if ((vma.vm_flags & VM_LOCKED) !== 0) {
        mm.locked_vm = mm.locked_vm + (new_len - old_len) / PAGE_SIZE;
        yield* mlock_vma_pages_range(vma, addr + old_len, addr + new_len);
      }
      trace_vma_expand({ vma, start: vma.vm_start, end: vma.vm_end });
      ret = addr;
    }
  } else if ((flags & MREMAP_MAYMOVE) !== 0) {
    const pgoff = pgoff_of(vma, addr);
    ret = get_unmapped_area(vma.vm_file, 0, new_len, pgoff, share_flag(vma));
    if (ret >= 0) {
      ret = yield* move_vma(vma, addr, old_len, new_len, ret);
    }
  }
  if (ret < 0) {
    vm_unacct_memory(charged);
  }
  return ret;
}

/** mm/mremap.c: do_mremap() v2.6.34. Preconditions: mmap_sem held for write. */
function* do_mremap(
  addr: number,
  old_length: number,
  new_length: number,
  flags: number,
  new_addr: number,
): K<number> {
  if ((flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE)) !== 0 || offset_in_page(addr) !== 0) {
    return -EINVAL;
  }
  const old_len = PAGE_ALIGN(old_length);
  const new_len = PAGE_ALIGN(new_length);
  if (new_len === 0) {
    return -EINVAL;
  }
  if ((flags & MREMAP_FIXED) !== 0) {
    if ((flags & MREMAP_MAYMOVE) === 0) {
      return -EINVAL;
    }
    return yield* mremap_to(addr, old_len, new_addr, new_len);
  }
  if (old_len >= new_len) {
    // A shrink, or nothing at all: whether anything is mapped there is not asked.
    const ret = yield* do_munmap(current_mm(), addr + new_len, old_len - new_len);
    return ret !== 0 && old_len !== new_len ? ret : addr;
  }
  return yield* growMapping(addr, old_len, new_len, flags);
}

/** mm/mremap.c: mremap(2) v2.6.34. */
export function* sys_mremap(
  addr: number,
  old_len: number,
  new_len: number,
  flags: number,
  new_addr: number,
): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const ret = yield* do_mremap(addr, old_len, new_len, flags, new_addr);
  up_write(mm.mmap_lock);
  return ret;
}
