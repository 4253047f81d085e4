/**
 * mm/mremap.c v2.6.0, and with feature mremap_links_first (2.6.6) of the kernels after it: mremap(2), a page at a
 * time. v2.6.0 moves the pages first and only then links the VMA that they are in.
 *
 * Lock tree: mmap_sem (write) -> (i_shared_sem, from 2.6.6 ->) page_table_lock -> bit lock of a page.
 * Fidelity: dup; page tables are never short; pages for mlock are not faulted in.
 */
import type { K } from '../../../sim/wait.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM } from '../../errno.ts';
import { get_file } from '../../fs/file_table.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, down_write_trylock, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import type { address_space, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_expand } from '../events.ts';
import { vm_normal_page } from '../memory.ts';
import {
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  TASK_SIZE,
  VM_ACCOUNT,
  VM_DONTEXPAND,
  VM_LOCKED,
  VM_MAYSHARE,
} from '../mm.ts';
import { folio_test_anon } from '../page-flags.ts';
import {
  pte_none,
  pte_present,
  type pte_ptr,
  ptep_get,
  ptep_get_and_clear,
  set_pte_at,
} from '../pgtable.ts';
import type { rmap_spare } from '../rmap/early_ops.ts';
import { get_unmapped_area } from '../unmapped_area.ts';
import {
  may_expand_vm,
  security_vm_enough_memory_mm,
  sysctl_max_map_count,
  vm_stat_account,
  vm_unacct_memory,
} from '../util.ts';
import { vm_area_alloc, vm_area_dup, vm_area_free } from '../vma_init.ts';
import { vma_mapping } from '../vma_link.ts';
import { find_vma, vmaTreeNext } from '../vma_tree.ts';
import { liftFile, putFile } from './file_vmas.ts';
import { hooks } from './hooks.ts';
import { make_page_exclusive } from './memory.ts';
import { do_munmap, prevOf } from './mmap.ts';
import { allocPmd, findPte, pte_alloc_map } from './pgtable.ts';
import { absorbVma, can_vma_merge, isPlainAnon, lockVma, unlockVma, vma_merge } from './vma.ts';
import { type copied_vma, copy_vma, vma_adjust } from './vma_adjust.ts';
import { linkVma } from './vma_change.ts';
import { lockShared, placeAgain, unlockShared } from './vma_place.ts';
import { zap_page_range } from './zap.ts';

/**
 * The entry of the destination. For a new table both locks must be dropped, and taken again in their order.
 * Preconditions: ptl, and the lock of `mapping`.
 */
function* destination(mm: mm_struct, mapping: address_space | null, new_addr: number): K<pte_ptr> {
  const found = findPte(mm, new_addr);
  if (found !== 0) {
    return found;
  }
  unlockShared(mapping);
  const pmd = yield* allocPmd(mm, new_addr);
  const dst = yield* pte_alloc_map(mm, pmd, new_addr);
  if (mapping !== null && !down_write_trylock(mapping.i_mmap_rwsem)) {
    spin_unlock(mm.page_table_lock);
    yield* lockShared(mapping);
    yield* spin_lock(mm.page_table_lock);
  }
  return dst;
}

/**
 * mm/mremap.c: move_one_page() v2.6.0, v2.6.7. 0, -ENOMEM, or -EAGAIN: the page must be copied first (anonmm). Between
 * the two hooks nothing maps the page, as far as its reverse map knows; its reference keeps it.
 */
function* move_one_page(vma: vm_area_struct, old_addr: number, new_addr: number): K<number> {
  const mm = vma.vm_mm as mm_struct;
  let spare: rmap_spare = null;
  let error = 0;
  if (has('pte_chain_lists')) {
    const prepared = yield* hooks().rmap_prepare(vma, true, false);
    if (typeof prepared === 'number') {
      return -ENOMEM;
    }
    spare = prepared;
  }
  const mapping = has('vma_adjust') ? vma_mapping(vma) : null;
  yield* lockShared(mapping);
  yield* spin_lock(mm.page_table_lock);
  let src = findPte(mm, old_addr);
  if (src !== 0 && !pte_none(ptep_get(src))) {
    const dst = yield* destination(mm, mapping, new_addr);
    // The lock may have been dropped: reclaim may have taken the page.
    src = findPte(mm, old_addr);
    const entry = src === 0 ? 0 : ptep_get(src);
    const page = pte_present(entry) ? vm_normal_page(vma, old_addr, entry) : null;
    const moves =
      page === null || !folio_test_anon(page) || (yield* hooks().rmap_can_move(page, new_addr));
    if (!moves) {
      error = -EAGAIN;
    } else if (has('pte_chain_lists')) {
      if (page !== null) {
        yield* hooks().rmap_remove(page, vma, old_addr, src);
      }
      const pte = ptep_get_and_clear(mm, old_addr, src);
      set_pte_at(mm, new_addr, dst, pte);
      if (page !== null) {
        spare = yield* hooks().rmap_add_file(page, vma, new_addr, dst, spare);
      }
    } else {
      const pte = ptep_get_and_clear(mm, old_addr, src);
      set_pte_at(mm, new_addr, dst, pte);
    }
  }
  spin_unlock(mm.page_table_lock);
  unlockShared(mapping);
  hooks().rmap_unprepare(spare);
  return error;
}

// ---------------------------------------------------------------- v2.6.0: pages first

/** mm/mremap.c: move_page_tables() v2.6.0: from the last page down. 0 or -1 with everything moved back. */
function* moveDown(
  vma: vm_area_struct,
  new_addr: number,
  old_addr: number,
  len: number,
): K<number> {
  let offset = len;
  while (offset > 0) {
    offset = offset - PAGE_SIZE;
    const error = yield* move_one_page(vma, old_addr + offset, new_addr + offset);
    if (error !== 0) {
      for (offset = offset + PAGE_SIZE; offset < len; offset = offset + PAGE_SIZE) {
        yield* move_one_page(vma, new_addr + offset, old_addr + offset);
      }
      yield* zap_page_range(vma, new_addr, len);
      return -1;
    }
  }
  return 0;
}

/** What mremap() extends to hold the destination, and the source, which may have become part of it. */
interface target {
  readonly vma: vm_area_struct;
  readonly new_vma: vm_area_struct | null;
}

/** The first half of move_vma() v2.6.0: a private anonymous neighbour of the destination takes it in. */
function* extendNeighbour(vma: vm_area_struct, new_addr: number, new_len: number): K<target> {
  const mm = vma.vm_mm as mm_struct;
  const prev = prevOf(mm, new_addr);
  const next = find_vma(mm, new_addr);
  if (!isPlainAnon(vma) || has('mremap_no_merge')) {
    return { vma, new_vma: null };
  }
  if (prev !== null && prev.vm_end === new_addr && can_vma_merge(prev, vma.vm_flags)) {
    yield* lockVma(prev);
    prev.vm_end = new_addr + new_len;
    placeAgain(mm, prev);
    unlockVma(prev);
    if (next !== null && prev.vm_end === next.vm_start && can_vma_merge(next, prev.vm_flags)) {
      const swallowed = vma === next;
      yield* absorbVma(mm, prev, next);
      return { vma: swallowed ? prev : vma, new_vma: prev };
    }
    return { vma, new_vma: prev };
  }
  if (next !== null && next.vm_start === new_addr + new_len && can_vma_merge(next, vma.vm_flags)) {
    yield* lockVma(next);
    next.vm_start = new_addr;
    placeAgain(mm, next);
    unlockVma(next);
    return { vma, new_vma: next };
  }
  return { vma, new_vma: null };
}

/** mm/mremap.c: move_vma() v2.6.0: the new address or -ENOMEM. Preconditions: mmap_sem held for write. */
function* movePagesFirst(
  source: vm_area_struct,
  addr: number,
  old_len: number,
  new_len: number,
  new_addr: number,
): K<number> {
  const mm = source.vm_mm as mm_struct;
  const extended = yield* extendNeighbour(source, new_addr, new_len);
  const { vma } = extended;
  let fresh: vm_area_struct | null = null;
  if (extended.new_vma === null) {
    fresh = vm_area_alloc(mm);
    if (fresh === null) {
      return -ENOMEM;
    }
  }
  if ((yield* moveDown(vma, new_addr, addr, old_len)) !== 0) {
    if (fresh !== null) {
      vm_area_free(fresh);
    }
    return -ENOMEM;
  }
  const vm_locked = (vma.vm_flags & VM_LOCKED) !== 0;
  const { vm_flags } = vma;
  if (fresh !== null) {
    fresh.vm_flags = vm_flags;
    fresh.vm_page_prot = vma.vm_page_prot;
    fresh.vm_ops = vma.vm_ops;
    fresh.vm_file = vma.vm_file;
    fresh.vm_private_data = vma.vm_private_data;
    fresh.anon_vma = vma.anon_vma;
    fresh.vm_start = new_addr;
    fresh.vm_end = new_addr + new_len;
    fresh.vm_pgoff = vma.vm_pgoff + (addr - vma.vm_start) / PAGE_SIZE;
    if (fresh.vm_file !== null) {
      get_file(fresh.vm_file);
    }
    // insert_vm_struct(): up to here reclaim found these pages in no VMA.
    yield* linkVma(mm, fresh);
  }
  yield* unmapSource(mm, vma, addr, old_len, false);
  vm_stat_account(mm, vm_flags, new_len / PAGE_SIZE);
  if (vm_locked) {
    mm.locked_vm = mm.locked_vm + new_len / PAGE_SIZE;
  }
  return new_addr;
}

/** The end of both move_vma(): the old place goes, its promise of memory has moved with the pages. */
function* unmapSource(
  mm: mm_struct,
  vma: vm_area_struct,
  addr: number,
  len: number,
  checked: boolean,
): K {
  let excess = 0;
  let split = false;
  if ((vma.vm_flags & VM_ACCOUNT) !== 0) {
    vma.vm_flags = vma.vm_flags & ~VM_ACCOUNT;
    excess = vma.vm_end - vma.vm_start - len;
    split = addr > vma.vm_start && addr + len < vma.vm_end;
  }
  if ((yield* do_munmap(mm, addr, len)) < 0 && checked) {
    vm_unacct_memory(excess / PAGE_SIZE);
    excess = 0;
  }
  if (excess > 0) {
    vma.vm_flags = vma.vm_flags | VM_ACCOUNT;
    const rest = split ? vmaTreeNext(vma) : null;
    if (rest !== null) {
      rest.vm_flags = rest.vm_flags | VM_ACCOUNT;
    }
  }
}

// ---------------------------------------------------------------- from 2.6.6: the VMA first

/** mm/mmap.c: copy_vma() v2.6.6 (from 70b671f80e on it merges). The source may have become part of the result. */
function* copyVma(
  vma: vm_area_struct,
  addr: number,
  len: number,
  pgoff: number,
): K<copied_vma | null> {
  const mm = vma.vm_mm as mm_struct;
  const { vm_start, vm_flags, vm_file, anon_vma } = vma;
  const prev = prevOf(mm, addr);
  if (has('vma_adjust')) {
    return yield* copy_vma(vma, prev, addr, len, pgoff);
  }
  const merged = yield* vma_merge(mm, prev, addr, addr + len, vm_flags, anon_vma, vm_file, pgoff);
  if (merged !== null) {
    const swallowed = vm_start >= merged.vm_start && vm_start < merged.vm_end;
    return { vma: swallowed ? merged : vma, new_vma: merged };
  }
  const new_vma = vm_area_dup(vma);
  if (new_vma === null) {
    return null;
  }
  new_vma.vm_start = addr;
  new_vma.vm_end = addr + len;
  new_vma.vm_pgoff = pgoff;
  if (new_vma.vm_file !== null) {
    get_file(new_vma.vm_file);
  }
  yield* linkVma(mm, new_vma);
  return { vma, new_vma };
}

/** mm/mremap.c: move_page_tables() v2.6.6, at 70b671f80e with copies: the length that was moved. */
function* moveUp(vma: vm_area_struct, new_addr: number, old_addr: number, len: number): K<number> {
  for (let offset = 0; offset < len; ) {
    let ret = yield* move_one_page(vma, old_addr + offset, new_addr + offset);
    if (ret === -EAGAIN) {
      // The page has one address for all its mms: the others keep it, this one takes a copy.
      ret = yield* make_page_exclusive(vma, old_addr + offset);
    } else if (ret === 0) {
      offset = offset + PAGE_SIZE;
    }
    if (ret !== 0) {
      return offset;
    }
  }
  return len;
}

/** mm/mremap.c: move_vma() v2.6.6: the new address or -ENOMEM. Preconditions: mmap_sem held for write. */
function* moveVmaFirst(
  source: vm_area_struct,
  from: number,
  from_len: number,
  new_len: number,
  to: number,
): K<number> {
  const mm = source.vm_mm as mm_struct;
  if (mm.map_count >= sysctl_max_map_count() - 3) {
    return -ENOMEM;
  }
  const new_pgoff = source.vm_pgoff + (from - source.vm_start) / PAGE_SIZE;
  const copied = yield* copyVma(source, to, new_len, new_pgoff);
  if (copied === null) {
    return -ENOMEM;
  }
  let vma = copied.vma;
  let old_addr = from;
  let old_len = from_len;
  let new_addr = to;
  // Truncation must not clean the destination before the source; from 2.6.7 on move_one_page() sees to that.
  const mapping = has('vma_adjust') ? null : vma_mapping(vma);
  yield* lockShared(mapping);
  const moved_len = yield* moveUp(vma, to, from, from_len);
  if (moved_len < from_len) {
    yield* moveUp(copied.new_vma, from, to, moved_len);
    vma = copied.new_vma;
    old_len = new_len;
    old_addr = to;
    new_addr = -ENOMEM;
  }
  unlockShared(mapping);
  const { vm_flags } = vma;
  yield* unmapSource(mm, vma, old_addr, old_len, true);
  vm_stat_account(mm, vm_flags, new_len / PAGE_SIZE);
  if ((vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + new_len / PAGE_SIZE;
  }
  return new_addr;
}

// ---------------------------------------------------------------- the call

/** The end of a VMA moves up, up to v2.6.6. */
function* growInPlace(vma: vm_area_struct, end: number): K {
  const mapping = vma_mapping(vma);
  const mm = vma.vm_mm as mm_struct;
  yield* lockShared(mapping);
  yield* spin_lock(mm.page_table_lock);
  liftFile(vma);
  vma.vm_end = end;
  placeAgain(mm, vma);
  putFile(vma);
  spin_unlock(mm.page_table_lock);
  unlockShared(mapping);
}

/** The part of do_mremap() that grows a VMA in place, or moves it. The address or a negative errno. */
function* growOrMove(
  vma: vm_area_struct,
  addr: number,
  old_len: number,
  new_len: number,
  flags: number,
  fixed_addr: number,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const fixed = (flags & MREMAP_FIXED) !== 0;
  const in_place =
    old_len === vma.vm_end - addr &&
    !(fixed && addr !== fixed_addr) &&
    (old_len !== new_len || (flags & MREMAP_MAYMOVE) === 0);
  if (in_place) {
    const max_addr = vmaTreeNext(vma)?.vm_start ?? TASK_SIZE;
    if (max_addr - addr >= new_len) {
      const pages = (new_len - old_len) / PAGE_SIZE;
      if (has('vma_adjust')) {
        yield* vma_adjust(vma, vma.vm_start, addr + new_len, vma.vm_pgoff, null);
      } else {
        yield* growInPlace(vma, addr + new_len);
      }
      vm_stat_account(mm, vma.vm_flags, pages);
      if ((vma.vm_flags & VM_LOCKED) !== 0) {
        mm.locked_vm = mm.locked_vm + pages;
      }
      trace_vma_expand({ vma, start: vma.vm_start, end: vma.vm_end });
      return addr;
    }
  }
  if ((flags & MREMAP_MAYMOVE) === 0) {
    return -ENOMEM;
  }
  let new_addr = fixed_addr;
  if (!fixed) {
    const share = (vma.vm_flags & VM_MAYSHARE) !== 0 ? MAP_SHARED : 0;
    new_addr = get_unmapped_area(vma.vm_file, 0, new_len, vma.vm_pgoff, share);
    if (new_addr < 0) {
      return new_addr;
    }
  }
  if (has('mremap_links_first')) {
    return yield* moveVmaFirst(vma, addr, old_len, new_len, new_addr);
  }
  return yield* movePagesFirst(vma, addr, old_len, new_len, new_addr);
}

/** mm/mremap.c: do_mremap() v2.6.0. Preconditions: mmap_sem held for write. */
function* do_mremap(
  addr: number,
  old_length: number,
  new_length: number,
  flags: number,
  new_addr: number,
): K<number> {
  const mm = current_mm();
  // 2.6.4
  const later = has('mremap_links_first') || has('mremap_no_merge');
  if ((flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE)) !== 0 || offset_in_page(addr) !== 0) {
    return -EINVAL;
  }
  let old_len = PAGE_ALIGN(old_length);
  const new_len = PAGE_ALIGN(new_length);
  const fixed = (flags & MREMAP_FIXED) !== 0;
  if (later && new_len === 0) {
    return -EINVAL;
  }
  if (fixed) {
    if (offset_in_page(new_addr) !== 0 || (flags & MREMAP_MAYMOVE) === 0) {
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
    const ret = yield* do_munmap(mm, new_addr, new_len);
    if (ret !== 0 && later) {
      return ret;
    }
  }
  if (old_len >= new_len) {
    const ret = yield* do_munmap(mm, addr + new_len, old_len - new_len);
    if (ret !== 0 && old_len !== new_len && later) {
      return ret;
    }
    if (!fixed || new_addr === addr) {
      return addr;
    }
    old_len = new_len;
  }
  const vma = find_vma(mm, addr);
  if (vma === null || vma.vm_start > addr || old_len > vma.vm_end - addr) {
    return -EFAULT;
  }
  const pages = (new_len - old_len) / PAGE_SIZE;
  if ((vma.vm_flags & VM_DONTEXPAND) !== 0 && pages > 0) {
    return -EFAULT;
  }
  if (!may_expand_vm(mm, vma.vm_flags, pages)) {
    return -ENOMEM;
  }
  let charged = 0;
  if ((vma.vm_flags & VM_ACCOUNT) !== 0) {
    charged = pages;
    if (security_vm_enough_memory_mm(mm, charged) !== 0) {
      return -ENOMEM;
    }
  }
  const ret = yield* growOrMove(vma, addr, old_len, new_len, flags, new_addr);
  if (ret < 0 && charged > 0) {
    vm_unacct_memory(charged);
  }
  return ret;
}

/** mm/mremap.c: mremap(2) v2.6.0. */
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
