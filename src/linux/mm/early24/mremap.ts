/**
 * mm/mremap.c v2.4.0: page-table entries move one by one, last page first, before the new VMA exists. No page knows where
 * it is mapped, so nothing else has to be told.
 *
 * Lock tree: mmap_sem -> i_shared_lock -> page_table_lock. Fidelity: dup.
 */
import type { K } from '../../../sim/wait.ts';
import { EFAULT, EINVAL, ENOMEM } from '../../errno.ts';
import { get_file } from '../../fs/file_table.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import type { mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_expand, trace_vma_map } from '../events.ts';
import {
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  TASK_SIZE,
  VM_DONTEXPAND,
} from '../mm.ts';
import {
  pte_none,
  pte_offset,
  type pte_ptr,
  ptep_get,
  ptep_get_and_clear,
  set_pte_at,
} from '../pgtable.ts';
import { anon_dup, vm_anon } from '../rmap/anon_area.ts';
import { vm_area_dup, vm_area_free } from '../vma_init.ts';
import {
  accountNew,
  do_munmap,
  get_unmapped_area,
  insert_vm_struct,
  isPrivateWritable,
  setEnd,
  vm_enough_memory,
} from './mmap.ts';
import { find_vma, vm_next } from './vma_list.ts';
import { allocTables, pteAt, zap_page_range } from './zap.ts';

/** mm/mremap.c: get_one_pte() v2.4.0: the entry if there is something in it, or 0. Read without a lock. */
function get_one_pte(mm: mm_struct, addr: number): pte_ptr {
  const ptep = pteAt(mm, addr);
  return ptep === 0 || pte_none(ptep_get(ptep)) ? 0 : ptep;
}

/** mm/mremap.c: alloc_one_pte() v2.4.0. 0: no memory. */
function* alloc_one_pte(mm: mm_struct, addr: number): K<pte_ptr> {
  const pmd = yield* allocTables(mm, addr);
  return pmd === 0 ? 0 : pte_offset(pmd, addr);
}

/** mm/mremap.c: copy_one_pte() v2.4.0. 0, or 1 when there is no table to move to. */
function* moveOnePte(
  mm: mm_struct,
  old_addr: number,
  src: pte_ptr,
  new_addr: number,
  to: pte_ptr,
): K<number> {
  let error = 0;
  yield* spin_lock(mm.page_table_lock);
  if (!pte_none(ptep_get(src))) {
    const pte = ptep_get_and_clear(mm, old_addr, src);
    if (to === 0) {
      error = 1;
      set_pte_at(mm, old_addr, src, pte);
    } else {
      set_pte_at(mm, new_addr, to, pte);
    }
  }
  spin_unlock(mm.page_table_lock);
  return error;
}

/** mm/mremap.c: move_one_page() v2.4.0. */
function* move_one_page(mm: mm_struct, old_addr: number, new_addr: number): K<number> {
  const src = get_one_pte(mm, old_addr);
  if (src === 0) {
    return 0;
  }
  const dst = yield* alloc_one_pte(mm, new_addr);
  return yield* moveOnePte(mm, old_addr, src, new_addr, dst);
}

/** mm/mremap.c: move_page_tables() v2.4.0. 0, or -1 with everything where it was. Preconditions: mmap_sem. */
function* move_page_tables(
  mm: mm_struct,
  new_addr: number,
  old_addr: number,
  len: number,
): K<number> {
  let offset = len;
  while (offset > 0) {
    offset = offset - PAGE_SIZE;
    if ((yield* move_one_page(mm, old_addr + offset, new_addr + offset)) !== 0) {
      for (offset = offset + PAGE_SIZE; offset < len; offset = offset + PAGE_SIZE) {
        yield* move_one_page(mm, new_addr + offset, old_addr + offset);
      }
      yield* zap_page_range(mm, new_addr, len);
      return -1;
    }
  }
  return 0;
}

/** The insertion of move_vma(): with anon_layer the new VMA has the pages of the old one's area. */
function* insertMoved(mm: mm_struct, vma: vm_area_struct, new_vma: vm_area_struct): K {
  if (has('anon_layer') && vm_anon(vma) !== null) {
    yield* anon_dup(vma, new_vma);
  }
  yield* insert_vm_struct(mm, new_vma);
}

/** mm/mremap.c: move_vma() v2.4.0: the new address or -ENOMEM. Preconditions: mmap_sem. */
function* move_vma(
  mm: mm_struct,
  vma: vm_area_struct,
  addr: number,
  old_len: number,
  new_len: number,
  new_addr: number,
): K<number> {
  const new_vma = vm_area_dup(vma);
  if (new_vma === null) {
    return -ENOMEM;
  }
  // Until the new VMA is linked the entries are in none, and truncation and swap_out() do not find them.
  if ((yield* move_page_tables(mm, new_addr, addr, old_len)) !== 0) {
    vm_area_free(new_vma);
    return -ENOMEM;
  }
  new_vma.vm_start = new_addr;
  new_vma.vm_end = new_addr + new_len;
  new_vma.vm_pgoff = vma.vm_pgoff + (addr - vma.vm_start) / PAGE_SIZE;
  if (new_vma.vm_file !== null) {
    get_file(new_vma.vm_file);
  }
  const { vm_flags } = new_vma;
  trace_vma_map({ vma: new_vma, start: new_addr, end: new_addr + new_len, flags: vm_flags });
  yield* insertMoved(mm, vma, new_vma);
  yield* do_munmap(mm, addr, old_len);
  yield* accountNew(mm, new_addr, new_len, vm_flags);
  return new_addr;
}

const overlap = (a: number, a_len: number, b: number, b_len: number): boolean =>
  a < b + b_len && b < a + a_len;

/** The part of do_mremap() that grows or moves. The address or a negative errno. */
function* growOrMove(
  mm: mm_struct,
  addr: number,
  old_len: number,
  new_len: number,
  flags: number,
  to: number,
): K<number> {
  const vma = find_vma(mm, addr);
  if (vma === null || vma.vm_start > addr || old_len > vma.vm_end - addr) {
    return -EFAULT;
  }
  if ((vma.vm_flags & VM_DONTEXPAND) !== 0 && new_len > old_len) {
    return -EFAULT;
  }
  const more = (new_len - old_len) / PAGE_SIZE;
  if (isPrivateWritable(vma.vm_flags) && !vm_enough_memory(more)) {
    return -ENOMEM;
  }
  const fixed = (flags & MREMAP_FIXED) !== 0;
  const may_move = (flags & MREMAP_MAYMOVE) !== 0;
  const in_place = old_len === vma.vm_end - addr && !(fixed && addr !== to);
  if (in_place && (old_len !== new_len || !may_move)) {
    const max_addr = vm_next(vma)?.vm_start ?? TASK_SIZE;
    if (max_addr - addr >= new_len) {
      yield* spin_lock(mm.page_table_lock);
      setEnd(vma, addr + new_len);
      spin_unlock(mm.page_table_lock);
      trace_vma_expand({ vma, start: vma.vm_start, end: vma.vm_end });
      yield* accountNew(mm, addr + old_len, new_len - old_len, vma.vm_flags);
      return addr;
    }
  }
  if (!may_move) {
    return -ENOMEM;
  }
  const new_addr = fixed ? to : get_unmapped_area(mm, 0, new_len);
  if (!fixed && new_addr === 0) {
    return -ENOMEM;
  }
  return yield* move_vma(mm, vma, addr, old_len, new_len, new_addr);
}

/**
 * mm/mremap.c: do_mremap() v2.4.0. A mapping that is moved to a fixed place and made smaller keeps its old length in the
 * checks that follow the cut, which then fail with -EFAULT. Preconditions: mmap_sem.
 */
function* do_mremap(
  mm: mm_struct,
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
  const fixed = (flags & MREMAP_FIXED) !== 0;
  if (fixed) {
    if (offset_in_page(new_addr) !== 0 || (flags & MREMAP_MAYMOVE) === 0) {
      return -EINVAL;
    }
    if (new_len > TASK_SIZE || new_addr > TASK_SIZE - new_len) {
      return -EINVAL;
    }
    if (overlap(new_addr, new_len, addr, 1) || overlap(addr, old_len, new_addr, 1)) {
      return -EINVAL;
    }
    yield* do_munmap(mm, new_addr, new_len);
  }
  if (old_len >= new_len) {
    yield* do_munmap(mm, addr + new_len, old_len - new_len);
    if (!fixed || new_addr === addr) {
      return addr;
    }
  }
  return yield* growOrMove(mm, addr, old_len, new_len, flags, new_addr);
}

/** mm/mremap.c: mremap(2) v2.4.0. */
export function* sys_mremap(
  addr: number,
  old_len: number,
  new_len: number,
  flags: number,
  new_addr: number,
): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const ret = yield* do_mremap(mm, addr, old_len, new_len, flags, new_addr);
  up_write(mm.mmap_lock);
  return ret;
}
