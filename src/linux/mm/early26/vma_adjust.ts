/**
 * mm/mmap.c v2.6.7: vma_merge(), vma_adjust(), split_vma(), vma_link(), copy_vma(): as in the kernels after it, but a VMA
 * that takes over pages of another does not get its anon_vma (feature links_importer: 2.6.8), and any change of
 * bounds takes the lock. page_table_lock has no part in it: walks are handed their VMAs.
 *
 * Lock tree: mmap_sem (write) -> i_mmap_lock -> anon_vma.lock. Fidelity: dup; VMA list and rbtree are the tree of
 * v6.18; the prio_tree is its interval tree and i_mmap_lock is i_mmap_rwsem; no mempolicy.
 */
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { fput, get_file } from '../../fs/file_table.ts';
import { lockdep_assert_held_write } from '../../kernel/locking/lockdep.ts';
import { anon_rmap, has } from '../../kernel.ts';
import type { anon_vma, file, mm_struct, vm_area_struct } from '../../mm_types.ts';
import {
  can_vma_merge_after,
  can_vma_merge_before,
  is_mergeable_anon_vma,
} from '../classic/vma_merge.ts';
import { trace_vma_merge, trace_vma_split } from '../events.ts';
import { PAGE_SIZE, VM_DONTCOPY, VM_DONTEXPAND, VM_IO } from '../mm.ts';
import { sysctl_max_map_count } from '../util.ts';
import { vm_area_dup, vm_area_free } from '../vma_init.ts';
import { vma_mapping } from '../vma_link.ts';
import { vmaTreeNext, vmaTreeStore } from '../vma_tree.ts';
import { __remove_shared_vm_struct, __vma_link_file, liftFile, putFile } from './file_vmas.ts';
import { hooks } from './hooks.ts';
import { __vma_unlink, lockShared, placeAgain, unlockShared, vmaAfter } from './vma_place.ts';

/** mm/mmap.c: VM_SPECIAL v2.6.7; nothing is VM_RESERVED here. */
const VM_SPECIAL_2_6_7 = VM_IO | VM_DONTCOPY | VM_DONTEXPAND;

/** What a new range of a VMA means for the one after it. */
interface adjustment {
  readonly end: number;
  /** VMAs after `vma` that it swallows: 0, 1, 2. */
  readonly remove_next: number;
  /** Pages by which the boundary to the next VMA moves. */
  readonly adjust_next: number;
  /** The VMA that pages come to, when the boundary moves. */
  readonly importer: vm_area_struct | null;
}

function classify(vma: vm_area_struct, next: vm_area_struct, end: number): adjustment | null {
  if (end >= next.vm_end) {
    const remove_next = end > next.vm_end ? 2 : 1;
    return { end: next.vm_end, remove_next, adjust_next: 0, importer: null };
  }
  if (end > next.vm_start) {
    const adjust_next = (end - next.vm_start) / PAGE_SIZE;
    return { end, remove_next: 0, adjust_next, importer: vma };
  }
  if (end < vma.vm_end) {
    const adjust_next = -(vma.vm_end - end) / PAGE_SIZE;
    return { end, remove_next: 0, adjust_next, importer: next };
  }
  return null;
}

/**
 * mm/mmap.c: vma_adjust() v2.6.7: gives `vma` a new range and offset, and what that takes from or leaves to the next
 * VMA; `insert` is the other half of a split. Cannot fail. Preconditions: mmap_sem held for write.
 */
export function* vma_adjust(
  vma: vm_area_struct,
  start: number,
  new_end: number,
  pgoff: number,
  insert: vm_area_struct | null,
): K {
  const mm = vma.vm_mm as mm_struct;
  lockdep_assert_held_write(mm.mmap_lock, 'mmap_sem');
  for (;;) {
    const next = vmaTreeNext(vma);
    let change: adjustment = { end: new_end, remove_next: 0, adjust_next: 0, importer: null };
    let anon_vma: anon_vma | null = null;
    if (next !== null && insert === null) {
      const found = classify(vma, next, new_end);
      if (found !== null) {
        change = found;
        anon_vma = next.anon_vma;
      }
    }
    const { end, remove_next, adjust_next, importer } = change;
    const mapping = vma_mapping(vma);
    yield* lockShared(mapping);
    if (insert !== null && mapping !== null) {
      __vma_link_file(insert, mapping);
    }
    if (vma.anon_vma !== null) {
      anon_vma = vma.anon_vma;
    }
    if (anon_vma !== null) {
      yield* anon_rmap().anon_vma_lock(anon_vma);
      // Without this the pages that come with the range belong to an anon_vma that does not know their VMA.
      if (has('links_importer') && importer !== null && importer.anon_vma === null) {
        importer.anon_vma = anon_vma;
        hooks().rmap_copy_vma(importer, vma);
      }
    }
    liftFile(vma);
    if (next !== null && adjust_next !== 0) {
      liftFile(next);
    }
    vma.vm_start = start;
    vma.vm_end = end;
    vma.vm_pgoff = pgoff;
    if (next !== null && adjust_next !== 0) {
      next.vm_start = next.vm_start + adjust_next * PAGE_SIZE;
      next.vm_pgoff = next.vm_pgoff + adjust_next;
      putFile(next);
    }
    putFile(vma);
    if (next !== null && remove_next !== 0) {
      __vma_unlink(mm, next);
      placeAgain(mm, vma);
      if (mapping !== null) {
        __remove_shared_vm_struct(next, mapping);
      }
      if (next.anon_vma !== null) {
        hooks().rmap_absorb_vma(vma, next);
      }
    } else if (insert !== null) {
      placeAgain(mm, vma);
      vmaTreeStore(mm, insert);
      hooks().rmap_copy_vma(insert, vma);
      mm.map_count = mm.map_count + 1;
    } else if (next !== null && adjust_next !== 0) {
      placeAgain(mm, vma, next);
    } else {
      placeAgain(mm, vma);
    }
    if (anon_vma !== null) {
      anon_rmap().anon_vma_unlock(anon_vma);
    }
    unlockShared(mapping);
    if (next === null || remove_next === 0) {
      return;
    }
    if (next.vm_file !== null) {
      fput(next.vm_file);
    }
    mm.map_count = mm.map_count - 1;
    vm_area_free(next);
    if (remove_next === 1) {
      return;
    }
    // Case 6 of vma_merge(): the one after that goes too, in another round.
  }
}

/**
 * mm/mmap.c: vma_merge() v2.6.7: makes [addr, end) part of a neighbour, or of both. The VMA that holds it now, or
 * null. `anon_vma` is that of the pages in the range. Preconditions: mmap_sem held for write.
 */
export function* vma_merge(
  mm: mm_struct,
  prev: vm_area_struct | null,
  addr: number,
  end: number,
  vm_flags: number,
  anon_vma: anon_vma | null,
  file: file | null,
  pgoff: number,
): K<vm_area_struct | null> {
  const pglen = (end - addr) / PAGE_SIZE;
  if ((vm_flags & VM_SPECIAL_2_6_7) !== 0) {
    return null;
  }
  let next = vmaAfter(mm, prev);
  const area = next;
  const before = mm.map_count;
  if (next !== null && next.vm_end === end) {
    // Cases 6, 7 and 8.
    next = vmaTreeNext(next);
  }
  const joins_next =
    next !== null &&
    end === next.vm_start &&
    can_vma_merge_before(next, vm_flags, anon_vma, file, pgoff + pglen);
  if (
    prev !== null &&
    prev.vm_end === addr &&
    can_vma_merge_after(prev, vm_flags, anon_vma, file, pgoff)
  ) {
    // Cases 1 and 6 join both sides; 2, 5 and 7 only the one before.
    const both = next !== null && joins_next && is_mergeable_anon_vma(prev.anon_vma, next.anon_vma);
    const new_end = next !== null && both ? next.vm_end : end;
    yield* vma_adjust(prev, prev.vm_start, new_end, prev.vm_pgoff, null);
    trace_vma_merge({ vma: prev, start: addr, end, removed: before - mm.map_count });
    return prev;
  }
  if (next === null || !joins_next || area === null) {
    return null;
  }
  if (prev !== null && addr < prev.vm_end) {
    // Case 4: the boundary between the two moves down.
    yield* vma_adjust(prev, prev.vm_start, addr, prev.vm_pgoff, null);
  } else {
    // Case 3, and 8, where the area swallows the next one and takes over its flags later.
    yield* vma_adjust(area, addr, next.vm_end, next.vm_pgoff - pglen, null);
  }
  trace_vma_merge({ vma: area, start: addr, end, removed: before - mm.map_count });
  return area;
}

/** mm/mmap.c: split_vma() v2.6.7. 0 or -ENOMEM. Preconditions: mmap_sem held for write. */
export function* split_vma(
  mm: mm_struct,
  vma: vm_area_struct,
  addr: number,
  new_below: boolean,
): K<number> {
  if (mm.map_count >= sysctl_max_map_count()) {
    return -ENOMEM;
  }
  const new_vma = vm_area_dup(vma);
  if (new_vma === null) {
    return -ENOMEM;
  }
  if (new_below) {
    new_vma.vm_end = addr;
  } else {
    new_vma.vm_start = addr;
    new_vma.vm_pgoff = new_vma.vm_pgoff + (addr - vma.vm_start) / PAGE_SIZE;
  }
  if (new_vma.vm_file !== null) {
    get_file(new_vma.vm_file);
  }
  if (new_below) {
    const pgoff = vma.vm_pgoff + (addr - new_vma.vm_start) / PAGE_SIZE;
    yield* vma_adjust(vma, addr, vma.vm_end, pgoff, new_vma);
  } else {
    yield* vma_adjust(vma, vma.vm_start, addr, vma.vm_pgoff, new_vma);
  }
  trace_vma_split({ vma, new_vma, addr });
  return 0;
}

/** mm/mmap.c: vma_link() v2.6.7. Preconditions: mmap_sem held for write. */
export function* vma_link(mm: mm_struct, vma: vm_area_struct): K {
  const mapping = vma_mapping(vma);
  yield* lockShared(mapping);
  yield* hooks().rmap_lock_vma(vma);
  vmaTreeStore(mm, vma);
  hooks().rmap_copy_vma(vma, vma);
  if (mapping !== null) {
    __vma_link_file(vma, mapping);
  }
  hooks().rmap_unlock_vma(vma);
  unlockShared(mapping);
  mm.map_count = mm.map_count + 1;
}

/** What mremap() moves to, and its source, which may have become part of it. */
export interface copied_vma {
  readonly vma: vm_area_struct;
  readonly new_vma: vm_area_struct;
}

/** mm/mmap.c: copy_vma() v2.6.7, or null. Preconditions: mmap_sem held for write. Pages keep their index. */
export function* copy_vma(
  vma: vm_area_struct,
  prev: vm_area_struct | null,
  addr: number,
  len: number,
  old_pgoff: number,
): K<copied_vma | null> {
  const mm = vma.vm_mm as mm_struct;
  const { vm_start, vm_flags, vm_file, anon_vma } = vma;
  const untouched = vm_file === null && anon_vma === null;
  const pgoff = untouched ? addr / PAGE_SIZE : old_pgoff;
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
  yield* vma_link(mm, new_vma);
  return { vma, new_vma };
}
