/**
 * mm/rmap.c v3.19..v6.18: anonymous reverse mapping by anon_vma_chain, with the counters of v6.1
 * (num_children, num_active_vmas).
 *
 * A VMA is linked to every anon_vma whose pages it may map: its own (where its new pages go) and, since
 * fork, those of its ancestors. Each anon_vma keeps its links in an interval tree by page offset.
 *
 * Lock tree: mmap_lock, root->rwsem, page_table_lock. Fidelity: dup.
 */
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { lockdep_assert_held, lockdep_assert_held_write } from '../../kernel/locking/lockdep.ts';
import { down_write, might_sleep, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { VM_BUG_ON_FOLIO, VM_BUG_ON_VMA, VM_WARN_ON, WARN_ON_ONCE } from '../../lib/bug.ts';
import { list_add, list_del, list_entries } from '../../lib/list.ts';
import { rb_empty_root } from '../../lib/rbtree.ts';
import {
  type anon_vma,
  type anon_vma_chain,
  anon_vma_chain_cachep,
  type folio,
  type mm_struct,
  type vm_area_struct,
} from '../../mm_types.ts';
import {
  trace_anon_vma_clone,
  trace_anon_vma_fork,
  trace_anon_vma_prepare,
  trace_anon_vma_reuse,
  trace_avc_link,
  trace_avc_unlink,
  trace_lock_root,
  trace_walk_begin,
  trace_walk_end,
  trace_walk_visit,
} from '../events.ts';
import { should_failslab } from '../failslab.ts';
import {
  anon_vma_interval_tree_insert,
  anon_vma_interval_tree_iter_first,
  anon_vma_interval_tree_iter_next,
  anon_vma_interval_tree_remove,
} from '../interval_tree.ts';
import { folio_nr_pages } from '../large_folio.ts';
import { folio_anon_vma } from '../page-flags.ts';
import { find_mergeable_anon_vma } from '../vma_rules.ts';
import {
  anon_vma_alloc,
  anon_vma_lock_read,
  anon_vma_lock_write,
  anon_vma_merge,
  anon_vma_trylock_read,
  anon_vma_unlock_read,
  anon_vma_unlock_write,
  get_anon_vma,
  put_anon_vma,
} from './anon_vma_life.ts';
import type { anon_rmap_ops, rmap_walk_control } from './ops.ts';
import { vma_address } from './vma_address.ts';

const avc_of_same_vma = anon_vma_chain_cachep.container('same_vma');

/** The chain of a VMA, newest link first: a snapshot, for loops that delete. */
function chain_entries(vma: vm_area_struct): anon_vma_chain[] {
  return list_entries(vma.anon_vma_chain).map(avc_of_same_vma);
}

/** anon_vma_chain_alloc(). */
function anon_vma_chain_alloc(): anon_vma_chain | null {
  return should_failslab() ? null : anon_vma_chain_cachep.alloc();
}

/** anon_vma_chain_free(). */
function anon_vma_chain_free(avc: anon_vma_chain): void {
  anon_vma_chain_cachep.free(avc);
}

/** anon_vma_chain_link(). Preconditions: the root of `anon_vma` is locked for write. */
function anon_vma_chain_link(vma: vm_area_struct, avc: anon_vma_chain, anon_vma: anon_vma): void {
  lockdep_assert_held_write(anon_vma.root.rwsem, 'anon_vma->root->rwsem');
  avc.vma = vma;
  avc.anon_vma = anon_vma;
  list_add(avc.same_vma, vma.anon_vma_chain);
  anon_vma_interval_tree_insert(avc, anon_vma.rb_root);
  trace_avc_link({ vma, anon_vma, avc });
}

/**
 * mm/rmap.c: __anon_vma_prepare() v6.18: gives `vma` an anon_vma, a neighbour's if one fits.
 * Preconditions: mmap_lock held (for read is enough). 0 or -ENOMEM.
 *
 * Two threads that fault in the same VMA race here: page_table_lock decides, the loser frees what it made.
 */
export function* __anon_vma_prepare(vma: vm_area_struct): K<number> {
  const mm = vma.vm_mm as mm_struct;
  lockdep_assert_held(mm.mmap_lock, 'mmap_lock');
  might_sleep('__anon_vma_prepare()');
  let avc = anon_vma_chain_alloc();
  if (avc === null) {
    return -ENOMEM;
  }
  let anon_vma = find_mergeable_anon_vma(vma);
  let allocated: anon_vma | null = null;
  if (anon_vma === null) {
    anon_vma = anon_vma_alloc();
    if (anon_vma === null) {
      anon_vma_chain_free(avc);
      return -ENOMEM;
    }
    // A root counts itself, so that num_children < 2 never holds for one with a child: it is never reused.
    anon_vma.num_children = anon_vma.num_children + 1;
    allocated = anon_vma;
  }
  const reused = allocated === null ? 1 : 0;
  yield* anon_vma_lock_write(anon_vma);
  yield* spin_lock(mm.page_table_lock);
  if (vma.anon_vma === null) {
    vma.anon_vma = anon_vma;
    anon_vma_chain_link(vma, avc, anon_vma);
    anon_vma.num_active_vmas = anon_vma.num_active_vmas + 1;
    allocated = null;
    avc = null;
    trace_anon_vma_prepare({ vma, anon_vma, reused });
  }
  spin_unlock(mm.page_table_lock);
  anon_vma_unlock_write(anon_vma);
  if (allocated !== null) {
    yield* put_anon_vma(allocated);
  }
  if (avc !== null) {
    anon_vma_chain_free(avc);
  }
  return 0;
}

/** include/linux/rmap.h: anon_vma_prepare() v6.18. */
export function* anon_vma_prepare(vma: vm_area_struct): K<number> {
  if (vma.anon_vma !== null) {
    return 0;
  }
  return yield* __anon_vma_prepare(vma);
}

/**
 * mm/rmap.c: lock_anon_vma_root() v6.18: all anon_vmas of a chain have one root, which is locked once for
 * a whole loop; another root in the middle is a bug that the kernel survives.
 */
function* lock_anon_vma_root(root: anon_vma | null, anon_vma: anon_vma): K<anon_vma> {
  const new_root = anon_vma.root;
  if (new_root !== root) {
    if (root !== null) {
      WARN_ON_ONCE(true, 'root');
      up_write(root.rwsem);
    }
    yield* down_write(new_root.rwsem);
    trace_lock_root({ anon_vma, root: new_root, mode: 'write' });
  }
  return new_root;
}

function unlock_anon_vma_root(root: anon_vma | null): void {
  if (root !== null) {
    up_write(root.rwsem);
  }
}

/**
 * mm/rmap.c: anon_vma_clone() v6.18: links `dst` to every anon_vma of `src`, oldest first, so that both
 * chains end in the same order. 0 or -ENOMEM (then `dst` has no link and no anon_vma).
 * Preconditions: mmap_lock of src held for write.
 *
 * fork calls with dst->anon_vma NULL: then the oldest anon_vma without a VMA of its own and with fewer
 * than two children is taken over, which keeps a chain of forks from growing without end. All other
 * callers have set dst->anon_vma and get an exact copy.
 */
export function* anon_vma_clone(dst: vm_area_struct, src: vm_area_struct): K<number> {
  let root: anon_vma | null = null;
  let links = 0;
  for (const pavc of chain_entries(src).reverse()) {
    let avc = anon_vma_chain_alloc();
    if (avc === null) {
      // The first try may not sleep, because the root is locked; the second one may.
      unlock_anon_vma_root(root);
      root = null;
      avc = anon_vma_chain_alloc();
      if (avc === null) {
        // Otherwise unlink_anon_vmas() would count a VMA down that was never counted up.
        dst.anon_vma = null;
        yield* unlink_anon_vmas(dst);
        return -ENOMEM;
      }
    }
    const anon_vma = pavc.anon_vma;
    root = yield* lock_anon_vma_root(root, anon_vma);
    anon_vma_chain_link(dst, avc, anon_vma);
    links = links + 1;
    if (
      dst.anon_vma === null &&
      src.anon_vma !== null &&
      anon_vma.num_children < 2 &&
      anon_vma.num_active_vmas === 0
    ) {
      dst.anon_vma = anon_vma;
      trace_anon_vma_reuse({ vma: dst, anon_vma });
    }
  }
  const owner = dst.anon_vma;
  if (owner !== null) {
    owner.num_active_vmas = owner.num_active_vmas + 1;
  }
  unlock_anon_vma_root(root);
  trace_anon_vma_clone({ dst, src, links });
  return 0;
}

/**
 * mm/rmap.c: anon_vma_fork() v6.18: attaches the child's `vma` to the anon_vmas of `pvma`, and to one of
 * its own unless an old one could be reused. 0 or -ENOMEM.
 * Preconditions: mmap_lock of the parent held for write.
 */
export function* anon_vma_fork(vma: vm_area_struct, pvma: vm_area_struct): K<number> {
  const parent = pvma.anon_vma;
  if (parent === null) {
    return 0;
  }
  // The pointer came over with the copy of the VMA; it tells anon_vma_clone() that this is a fork.
  vma.anon_vma = null;
  const error = yield* anon_vma_clone(vma, pvma);
  if (error !== 0) {
    return error;
  }
  if (vma.anon_vma !== null) {
    trace_anon_vma_fork({ vma, pvma, anon_vma: vma.anon_vma });
    return 0;
  }
  const anon_vma = anon_vma_alloc();
  if (anon_vma === null) {
    yield* unlink_anon_vmas(vma);
    return -ENOMEM;
  }
  anon_vma.num_active_vmas = anon_vma.num_active_vmas + 1;
  const avc = anon_vma_chain_alloc();
  if (avc === null) {
    yield* put_anon_vma(anon_vma);
    yield* unlink_anon_vmas(vma);
    return -ENOMEM;
  }
  anon_vma.root = parent.root;
  anon_vma.parent = parent;
  // The lock lives in the root, which must outlast this anon_vma.
  get_anon_vma(anon_vma.root);
  vma.anon_vma = anon_vma;
  yield* anon_vma_lock_write(anon_vma);
  anon_vma_chain_link(vma, avc, anon_vma);
  parent.num_children = parent.num_children + 1;
  anon_vma_unlock_write(anon_vma);
  trace_anon_vma_fork({ vma, pvma, anon_vma });
  return 0;
}

/**
 * mm/rmap.c: unlink_anon_vmas() v6.18: takes `vma` out of all trees and drops what becomes empty.
 * Preconditions: mmap_lock held for write, or the VMA is out of reach.
 *
 * An anon_vma whose tree has become empty stays on the list for the second loop: freeing one may take the
 * root lock, which the first loop holds.
 */
export function* unlink_anon_vmas(vma: vm_area_struct): K {
  let root: anon_vma | null = null;
  for (const avc of chain_entries(vma)) {
    const anon_vma = avc.anon_vma;
    root = yield* lock_anon_vma_root(root, anon_vma);
    anon_vma_interval_tree_remove(avc, anon_vma.rb_root);
    trace_avc_unlink({ vma, anon_vma, avc });
    if (rb_empty_root(anon_vma.rb_root)) {
      const parent = anon_vma.parent as anon_vma;
      parent.num_children = parent.num_children - 1;
      continue;
    }
    list_del(avc.same_vma);
    anon_vma_chain_free(avc);
  }
  const owner = vma.anon_vma;
  if (owner !== null) {
    owner.num_active_vmas = owner.num_active_vmas - 1;
    // The VMA may live on (mremap with DONTUNMAP): its next fault prepares anew.
    vma.anon_vma = null;
  }
  unlock_anon_vma_root(root);
  for (const avc of chain_entries(vma)) {
    const anon_vma = avc.anon_vma;
    VM_WARN_ON(anon_vma.num_children !== 0, 'anon_vma->num_children');
    VM_WARN_ON(anon_vma.num_active_vmas !== 0, 'anon_vma->num_active_vmas');
    yield* put_anon_vma(anon_vma);
    list_del(avc.same_vma);
    anon_vma_chain_free(avc);
  }
}

/** mm/rmap.c: rmap_walk_anon_lock() v6.18. */
function* rmap_walk_anon_lock(folio: folio, rwc: rmap_walk_control): K<anon_vma | null> {
  if (rwc.anon_lock !== undefined) {
    return yield* rwc.anon_lock(folio, rwc);
  }
  // remove_migration_ptes() comes here: its folio is not mapped, a reference keeps the anon_vma.
  const anon_vma = folio_anon_vma(folio);
  if (anon_vma === null) {
    return null;
  }
  if (anon_vma_trylock_read(anon_vma)) {
    return anon_vma;
  }
  if (rwc.try_lock === true) {
    rwc.contended = true;
    return null;
  }
  yield* anon_vma_lock_read(anon_vma);
  return anon_vma;
}

/**
 * mm/rmap.c: rmap_walk_anon() v6.18: visits the VMAs of the folio's anon_vma whose page offsets include
 * the folio's, in tree order. Preconditions: `locked` says that the caller holds the rmap lock.
 */
export function* rmap_walk_anon(folio: folio, rwc: rmap_walk_control, locked: boolean): K {
  let anon_vma: anon_vma | null;
  if (locked) {
    anon_vma = folio_anon_vma(folio);
    VM_BUG_ON_FOLIO(anon_vma === null, folio, '!anon_vma');
  } else {
    anon_vma = yield* rmap_walk_anon_lock(folio, rwc);
  }
  if (anon_vma === null) {
    return;
  }
  const pgoff_start = folio.index;
  const pgoff_end = pgoff_start + folio_nr_pages(folio) - 1;
  let visits = 0;
  let stopped = 0;
  trace_walk_begin({ page: folio, anon_vma, index: pgoff_start, purpose: rwc.name });
  let avc = anon_vma_interval_tree_iter_first(anon_vma.rb_root, pgoff_start, pgoff_end);
  while (avc !== null) {
    const vma = avc.vma;
    const address = vma_address(vma, pgoff_start, folio_nr_pages(folio));
    VM_BUG_ON_VMA(address < 0, vma, 'address == -EFAULT');
    if (rwc.invalid_vma === undefined || !rwc.invalid_vma(vma)) {
      visits = visits + 1;
      trace_walk_visit({ page: folio, vma, anon_vma, address });
      if (!(yield* rwc.rmap_one(folio, vma, address, rwc))) {
        stopped = 1;
        break;
      }
      if (rwc.done?.(folio) === true) {
        stopped = 1;
        break;
      }
    }
    avc = anon_vma_interval_tree_iter_next(avc, pgoff_start, pgoff_end);
  }
  trace_walk_end({ page: folio, visits, hits: rwc.hits ?? 0, stopped });
  if (!locked) {
    anon_vma_unlock_read(anon_vma);
  }
}

/** The mechanism of v3.19 to v6.18 as a preset names it. */
export const anon_vma_chain_ops: anon_rmap_ops = {
  name: 'anon_vma_chain',
  shape: 'avc_tree',
  anon_vma_merge,
  anon_vma_prepare,
  anon_vma_clone,
  anon_vma_fork,
  unlink_anon_vmas,
  anon_vma_lock: anon_vma_lock_write,
  anon_vma_unlock: anon_vma_unlock_write,
  shared_anon_vma: (vma) => (vma.anon_vma === null ? null : vma.anon_vma.root),
  rmap_walk_anon,
  sleeps: true,
};
