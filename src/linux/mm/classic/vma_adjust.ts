/**
 * mm/mmap.c v2.6.34 and v2.6.36: how VMAs change: vma_adjust(), the eight cases of vma_merge(), splitting and
 * linking.
 *
 * The order of the writes in vma_adjust() and the locks around them are what old races were about: 2.6.34
 * writes vm_start, vm_end and vm_pgoff under mmap_sem only (no feature), with adjust_locks_root (2.6.36)
 * under the root's lock when the VMA is split, imports pages or moves its start.
 *
 * Lock tree: mmap_sem (write) -> i_mmap_lock -> anon_vma lock. Fidelity: dup; the list and rbtree of VMAs are
 * mm/vma_tree.ts, i_mmap_lock is i_mmap_rwsem, prio_tree is the interval tree; no mempolicy, no nonlinear.
 */
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { fput, get_file } from '../../fs/file_table.ts';
import { lockdep_assert_held_write } from '../../kernel/locking/lockdep.ts';
import { anon_rmap, has } from '../../kernel.ts';
import type { address_space, anon_vma, file, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_adjust, trace_vma_merge, trace_vma_split } from '../events.ts';
import { vma_interval_tree_insert, vma_interval_tree_remove } from '../interval_tree.ts';
import { PAGE_SIZE, VM_SPECIAL } from '../mm.ts';
import { vm_area_dup, vm_area_free } from '../vma_init.ts';
import {
  __remove_shared_vm_struct,
  __vma_link_file,
  i_mmap_lock_write,
  i_mmap_unlock_write,
  vma_mapping,
} from '../vma_link.ts';
import { vmaTreeClear, vmaTreeFirst, vmaTreeNext, vmaTreeStore } from '../vma_tree.ts';
import { can_vma_merge_after, can_vma_merge_before, is_mergeable_anon_vma } from './vma_merge.ts';

/** mm->mmap, vma->vm_next: the VMA after `prev`, the first one for null. */
export function nextOf(mm: mm_struct, prev: vm_area_struct | null): vm_area_struct | null {
  return prev === null ? vmaTreeFirst(mm) : vmaTreeNext(prev);
}

/** Tells the stand-in for list and rbtree the range that VMAs have now. Lookups read vm_start and vm_end in Linux. */
function retree(mm: mm_struct, ...vmas: readonly vm_area_struct[]): void {
  for (const vma of vmas) {
    vmaTreeClear(mm, vma.tree_start, vma.tree_end);
  }
  for (const vma of vmas) {
    vmaTreeStore(mm, vma);
  }
}

/** Stack growth writes vm_start under mmap_sem for read: a lookup sees it at once. */
export const retreeGrown = (mm: mm_struct, vma: vm_area_struct): void => vmaTreeStore(mm, vma);

/**
 * Whose lock vma_adjust() takes, or null: the VMA's own anon_vma, if the VMA is split, takes over pages or moves
 * its start; where VMAs are on the list themselves (to 2.6.33), else that of the neighbour it takes pages from.
 */
function adjust_lock(
  vma: vm_area_struct,
  next: vm_area_struct | null,
  start: number,
  importer: vm_area_struct | null,
  insert: vm_area_struct | null,
): anon_vma | null {
  if (!has('adjust_locks')) {
    return null;
  }
  // The upper half of a split changes vm_end only; 3.0 takes no lock for that.
  const split = insert !== null && !has('split_without_lock');
  if (vma.anon_vma !== null && (split || importer !== null || start !== vma.vm_start)) {
    return vma.anon_vma;
  }
  const imports = importer !== null && anon_rmap().under_lock !== undefined;
  return imports && next !== null ? next.anon_vma : null;
}

/** What a new range of a VMA means for the one after it. */
interface adjustment {
  end: number;
  /** VMAs after `vma` that it swallows: 0, 1, 2. 3: the next one swallows `vma` instead. */
  remove_next: number;
  /** Pages by which the boundary to the next VMA moves. */
  adjust_next: number;
  exporter: vm_area_struct | null;
  importer: vm_area_struct | null;
}

function classify(
  vma: vm_area_struct,
  next: vm_area_struct,
  end: number,
  expand: vm_area_struct | null,
): adjustment {
  if (end >= next.vm_end) {
    if (expand === next && has('case8_keeps_next')) {
      return { end, remove_next: 3, adjust_next: 0, exporter: vma, importer: next };
    }
    const two = end > next.vm_end;
    // An unfaulted VMA in the middle has nothing to give, the one behind it may.
    const second = two && next.anon_vma === null && has('import_from_second');
    return {
      end: two && has('case6_at_once') ? end : next.vm_end,
      remove_next: two ? 2 : 1,
      adjust_next: 0,
      exporter: second ? vmaTreeNext(next) : next,
      importer: vma,
    };
  }
  if (end > next.vm_start) {
    const pages = (end - next.vm_start) / PAGE_SIZE;
    return { end, remove_next: 0, adjust_next: pages, exporter: next, importer: vma };
  }
  if (end < vma.vm_end) {
    const pages = -(vma.vm_end - end) / PAGE_SIZE;
    return { end, remove_next: 0, adjust_next: pages, exporter: vma, importer: next };
  }
  return { end, remove_next: 0, adjust_next: 0, exporter: null, importer: null };
}

/** The VMAs that `vma` replaces leave the tree, and the tree of their file. Preconditions: locks of vma_adjust(). */
function unlinkSwallowed(
  mm: mm_struct,
  vma: vm_area_struct,
  swallowed: readonly vm_area_struct[],
  mapping: address_space | null,
): void {
  for (const next of swallowed) {
    vmaTreeClear(mm, next.tree_start, next.tree_end);
  }
  retree(mm, vma);
  if (mapping !== null) {
    for (const next of swallowed) {
      __remove_shared_vm_struct(next, mapping);
    }
  }
}

/**
 * Whose links and whose anon_vma the VMA that grows gets. Without clone_exporter, until 2.6.34-rc3, the links of `vma`,
 * whichever way pages move: a `vma` that grows itself copies its own, none, and is left with an anon_vma that does not
 * know it.
 */
function exporterOf(
  vma: vm_area_struct,
  next: vm_area_struct,
  change: adjustment,
): { readonly links: vm_area_struct; readonly anon_vma: anon_vma } | null {
  if (has('clone_exporter')) {
    const from = change.exporter;
    const anon_vma = from === null ? null : from.anon_vma;
    return from === null || anon_vma === null ? null : { links: from, anon_vma };
  }
  const anon_vma = vma.anon_vma ?? next.anon_vma;
  return anon_vma === null ? null : { links: vma, anon_vma };
}

/**
 * mm/mmap.c: vma_adjust() v2.6.34: gives `vma` a new range and offset, and what that takes from or leaves to
 * the next VMA; `insert` is the other half of a split. 0, or -ENOMEM with nothing changed.
 * Preconditions: mmap_sem held for write. With case8_keeps_next __vma_adjust() v4.9, where `expand` is the VMA that
 * vma_merge() wants to survive; with case6_at_once v6.1.
 */
export function* vma_adjust(
  area: vm_area_struct,
  start: number,
  new_end: number,
  pgoff: number,
  insert: vm_area_struct | null,
  expand: vm_area_struct | null = null,
): K<number> {
  const mm = area.vm_mm as mm_struct;
  lockdep_assert_held_write(mm.mmap_lock, 'mmap_sem');
  const under_lock = anon_rmap().under_lock;
  for (;;) {
    let vma = area;
    let next = vmaTreeNext(vma);
    let change: adjustment = {
      end: new_end,
      remove_next: 0,
      adjust_next: 0,
      exporter: null,
      importer: null,
    };
    if (next !== null && insert === null) {
      change = classify(vma, next, new_end, expand);
      const { importer } = change;
      if (importer !== null && importer.anon_vma === null && under_lock === undefined) {
        // The VMA that grows must be found where the pages it takes over are looked for.
        const exporter = exporterOf(vma, next, change);
        if (exporter !== null) {
          if (has('import_before_clone')) {
            // So that anon_vma_clone() does not take it for a fork, and counts the right one.
            importer.anon_vma = exporter.anon_vma;
          }
          if ((yield* anon_rmap().anon_vma_clone(importer, exporter.links)) !== 0) {
            return -ENOMEM;
          }
          if (!has('import_before_clone')) {
            importer.anon_vma = exporter.anon_vma;
          }
        }
      }
    }
    const { end, remove_next, adjust_next } = change;
    if (next !== null && remove_next === 3) {
      vma = next;
      next = area;
    }
    const swallowed: vm_area_struct[] = [];
    if (next !== null && remove_next !== 0) {
      swallowed.push(next);
      const second = remove_next === 2 && has('case6_at_once') ? vmaTreeNext(next) : null;
      if (second !== null) {
        swallowed.push(second);
      }
    }
    const mapping = vma_mapping(vma);
    if (mapping !== null) {
      yield* i_mmap_lock_write(mapping);
      if (insert !== null) {
        __vma_link_file(insert, mapping);
      }
    }
    const shifted = adjust_next === 0 ? null : next;
    const locked = has('adjust_always_locks')
      ? (vma.anon_vma ?? shifted?.anon_vma ?? null)
      : adjust_lock(vma, next, start, change.importer, insert);
    if (locked !== null) {
      yield* anon_rmap().anon_vma_lock(locked);
      const { importer } = change;
      if (under_lock !== undefined && importer !== null && importer.anon_vma === null) {
        importer.anon_vma = locked;
        under_lock.__anon_vma_link(importer);
      }
      anon_rmap().pre_update_vma?.(vma);
      if (shifted !== null) {
        anon_rmap().pre_update_vma?.(shifted);
      }
    }
    if (mapping !== null) {
      vma_interval_tree_remove(vma, mapping.i_mmap);
      if (adjust_next !== 0) {
        vma_interval_tree_remove(next as vm_area_struct, mapping.i_mmap);
      }
    }
    // A walk without our locks may compute an address from any mixture of old and new values.
    vma.vm_start = start;
    vma.vm_end = end;
    vma.vm_pgoff = pgoff;
    trace_vma_adjust({ vma, start, end, pgoff });
    if (next !== null && adjust_next !== 0) {
      next.vm_start = next.vm_start + adjust_next * PAGE_SIZE;
      next.vm_pgoff = next.vm_pgoff + adjust_next;
      trace_vma_adjust({ vma: next, start: next.vm_start, end: next.vm_end, pgoff: next.vm_pgoff });
    }
    if (mapping !== null) {
      if (adjust_next !== 0) {
        vma_interval_tree_insert(next as vm_area_struct, mapping.i_mmap);
      }
      vma_interval_tree_insert(vma, mapping.i_mmap);
    }
    if (next !== null && remove_next !== 0) {
      unlinkSwallowed(mm, vma, swallowed, mapping);
      if (next.anon_vma !== null) {
        under_lock?.__anon_vma_merge(vma, next);
      }
    } else if (insert !== null) {
      retree(mm, vma);
      vmaTreeStore(mm, insert);
      under_lock?.__anon_vma_link(insert);
      mm.map_count = mm.map_count + 1;
    } else if (next !== null && adjust_next !== 0) {
      retree(mm, vma, next);
    } else {
      retree(mm, vma);
    }
    if (locked !== null) {
      anon_rmap().post_update_vma?.(vma);
      if (shifted !== null) {
        anon_rmap().post_update_vma?.(shifted);
      }
      anon_rmap().anon_vma_unlock(locked);
    }
    if (mapping !== null) {
      i_mmap_unlock_write(mapping);
    }
    for (const gone of swallowed) {
      if (gone.vm_file !== null) {
        fput(gone.vm_file);
      }
      if (gone.anon_vma !== null && under_lock === undefined) {
        yield* anon_rmap().anon_vma_merge(vma, gone);
      }
      mm.map_count = mm.map_count - 1;
      vm_area_free(gone);
    }
    if (remove_next !== 2 || swallowed.length === 2) {
      return 0;
    }
    // Case 6 of vma_merge(): the one after that goes too, in another round.
  }
}

/**
 * mm/mmap.c: vma_merge() v2.6.34: makes [addr, end) part of a neighbour, or of both. The VMA that holds it
 * now, or null. `anon_vma` is that of the pages in the range, null if there are none yet.
 * Preconditions: mmap_sem held for write; for mprotect the range is the start of the VMA after `prev`, or lies in `prev`.
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
  if ((vm_flags & VM_SPECIAL) !== 0) {
    return null;
  }
  let next = nextOf(mm, prev);
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
    const err = yield* vma_adjust(prev, prev.vm_start, new_end, prev.vm_pgoff, null, prev);
    if (err !== 0) {
      return null;
    }
    trace_vma_merge({ vma: prev, start: addr, end, removed: before - mm.map_count });
    return prev;
  }
  if (next !== null && joins_next && area !== null) {
    let err: number;
    if (prev !== null && addr < prev.vm_end) {
      // Case 4: the boundary between the two moves down.
      err = yield* vma_adjust(prev, prev.vm_start, addr, prev.vm_pgoff, null, next);
    } else {
      // Case 3, and 8, where the area swallows the next one and takes over its flags later.
      err = yield* vma_adjust(area, addr, next.vm_end, next.vm_pgoff - pglen, null, next);
    }
    if (err !== 0) {
      return null;
    }
    const res = has('case8_keeps_next') ? next : area;
    trace_vma_merge({ vma: res, start: addr, end, removed: before - mm.map_count });
    return res;
  }
  return null;
}

/**
 * mm/mmap.c: __split_vma() v2.6.34. 0 or -ENOMEM. Preconditions: mmap_sem held for write. When vma_adjust()
 * fails the links of the new VMA stay behind, unless split_unlinks (2.6.36).
 */
export function* __split_vma(vma: vm_area_struct, addr: number, new_below: boolean): K<number> {
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
  const chains = anon_rmap().under_lock === undefined;
  if (chains && (yield* anon_rmap().anon_vma_clone(new_vma, vma)) !== 0) {
    vm_area_free(new_vma);
    return -ENOMEM;
  }
  if (new_vma.vm_file !== null) {
    get_file(new_vma.vm_file);
  }
  let err: number;
  if (new_below) {
    const pgoff = vma.vm_pgoff + (addr - new_vma.vm_start) / PAGE_SIZE;
    err = yield* vma_adjust(vma, addr, vma.vm_end, pgoff, new_vma);
  } else {
    err = yield* vma_adjust(vma, vma.vm_start, addr, vma.vm_pgoff, new_vma);
  }
  if (err === 0) {
    trace_vma_split({ vma, new_vma, addr });
    return 0;
  }
  if (new_vma.vm_file !== null) {
    fput(new_vma.vm_file);
  }
  if (has('split_unlinks')) {
    yield* anon_rmap().unlink_anon_vmas(new_vma);
  }
  vm_area_free(new_vma);
  return err;
}

/** mm/mmap.c: vma_link() v2.6.34; with link_without_lock (2.6.36) the anon_vma is not locked. */
export function* vma_link(mm: mm_struct, vma: vm_area_struct): K {
  const mapping = vma_mapping(vma);
  const anon_vma = has('link_without_lock') ? null : vma.anon_vma;
  if (mapping !== null) {
    yield* i_mmap_lock_write(mapping);
  }
  if (anon_vma !== null) {
    yield* anon_rmap().anon_vma_lock(anon_vma);
  }
  vmaTreeStore(mm, vma);
  anon_rmap().under_lock?.__anon_vma_link(vma);
  if (mapping !== null) {
    __vma_link_file(vma, mapping);
  }
  if (anon_vma !== null) {
    anon_rmap().anon_vma_unlock(anon_vma);
  }
  if (mapping !== null) {
    i_mmap_unlock_write(mapping);
  }
  mm.map_count = mm.map_count + 1;
}

/** What copy_vma() gives back. */
export interface copied_vma {
  /** The source, or what swallowed it. */
  readonly vma: vm_area_struct;
  readonly new_vma: vm_area_struct;
  /** A walk may come to the new place before the old one (3.7). */
  readonly need_rmap_locks: boolean;
}

/**
 * mm/mmap.c: copy_vma() v2.6.34: the VMA to which mremap() moves `vma`, or null. Preconditions: mmap_sem held for
 * write. It keeps the page offsets of the pages that move, so that their index still fits.
 */
export function* copy_vma(
  vma: vm_area_struct,
  addr: number,
  len: number,
  old_pgoff: number,
  prev: vm_area_struct | null,
): K<copied_vma | null> {
  const mm = vma.vm_mm as mm_struct;
  const vma_start = vma.vm_start;
  let pgoff = old_pgoff;
  // Nothing faulted in yet: the new place decides, as if it were mapped anew.
  if (vma.vm_file === null && vma.anon_vma === null) {
    pgoff = addr / PAGE_SIZE;
  }
  const merged = yield* vma_merge(
    mm,
    prev,
    addr,
    addr + len,
    vma.vm_flags,
    vma.anon_vma,
    vma.vm_file,
    pgoff,
  );
  if (merged !== null) {
    // The source may have vanished in the merge.
    const swallowed = vma_start >= merged.vm_start && vma_start < merged.vm_end;
    if (!swallowed) {
      // A VMA that was there before may stand before the source on their lists (feature moveto_tail, 3.3).
      const queue = anon_rmap().anon_vma_moveto_tail;
      if (has('moveto_tail') && queue !== undefined) {
        yield* queue(merged);
      }
    }
    const source = swallowed ? merged : vma;
    return { vma: source, new_vma: merged, need_rmap_locks: merged.vm_pgoff <= source.vm_pgoff };
  }
  const new_vma = vm_area_dup(vma);
  if (new_vma === null) {
    return null;
  }
  // Bounds are the key of an interval tree (3.7).
  const keyed = has('interval_tree');
  if (keyed) {
    new_vma.vm_start = addr;
    new_vma.vm_end = addr + len;
    new_vma.vm_pgoff = pgoff;
  }
  const chains = anon_rmap().under_lock === undefined;
  if (chains && (yield* anon_rmap().anon_vma_clone(new_vma, vma)) !== 0) {
    vm_area_free(new_vma);
    return null;
  }
  if (!keyed) {
    new_vma.vm_start = addr;
    new_vma.vm_end = addr + len;
    new_vma.vm_pgoff = pgoff;
  }
  if (new_vma.vm_file !== null) {
    get_file(new_vma.vm_file);
  }
  yield* vma_link(mm, new_vma);
  return { vma, new_vma, need_rmap_locks: false };
}
