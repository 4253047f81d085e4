/**
 * mm/rmap.c v3.7 to v6.1: anon_vma_chain objects in an interval tree of each anon_vma, under the lock of the root.
 *
 * What the kernels of this form do differently is asked for by feature:
 *   interval_tree    (3.7) without it the links are on a list in the order of their making, as in 3.6
 *   chain_limit      (Lespinasse, posted 2012) a child whose chain would grow too long shares its parent's anon_vma
 *   root_only        (the same with a limit of 0) all VMAs of a family are in the tree of its root
 *   degree_reuse     (3.19) fork takes over an ancestor's anon_vma that has no VMA and one child
 *   two_counters     (6.0) children and VMAs are counted apart: an anon_vma is taken over by one VMA only
 *
 * degree of 3.19 (children, its own root link, and VMAs) is kept in the word num_children.
 *
 * Lock tree: mmap_sem, root->rwsem, page_table_lock. Fidelity: dup.
 */
import { read_heap } from '../../../sim/cpu.ts';
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { lockdep_assert_held } from '../../kernel/locking/lockdep.ts';
import { might_sleep } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import { BUG_ON, VM_BUG_ON_VMA, VM_WARN_ON, WARN_ON_ONCE } from '../../lib/bug.ts';
import {
  INIT_LIST_HEAD,
  list_add,
  list_add_tail,
  list_del,
  list_empty,
  list_entries,
} from '../../lib/list.ts';
import { rb_empty_root } from '../../lib/rbtree.ts';
import {
  type anon_vma,
  type anon_vma_chain,
  anon_vma_chain_cachep,
  type mm_struct,
  type page,
  type vm_area_struct,
} from '../../mm_types.ts';
import { find_mergeable_anon_vma } from '../classic/vma_merge.ts';
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
import { anon_vma_alloc, anon_vma_merge, get_anon_vma } from './anon_vma_life.ts';
import {
  anon_vma_lock,
  anon_vma_unlock,
  assertRootLocked,
  lockForWalk,
  lockRoot,
  page_get_anon_vma,
  page_lock_anon_vma,
  put_anon_vma,
  unlockAfterWalk,
  unlockRoot,
} from './anon_vma_tree_life.ts';
import type { anon_rmap_ops, rmap_walk_control } from './ops.ts';
import { visitVmas } from './visit_vmas.ts';
import { vma_address } from './vma_address.ts';

const avc_of_same_vma = anon_vma_chain_cachep.container('same_vma');
const avc_of_same_anon_vma = anon_vma_chain_cachep.container('same_anon_vma');

/** Daniel Forrest ran Lespinasse's patch with this for months; the first posting had 1. */
const CHAIN_LIMIT = 5;

/** Links of a VMA, newest first: a snapshot, for loops that delete. */
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

// ---------------------------------------------------------------- the tree, or the list

function insertLink(avc: anon_vma_chain, anon_vma: anon_vma): void {
  if (has('interval_tree')) {
    anon_vma_interval_tree_insert(avc, anon_vma.rb_root);
    return;
  }
  if (read_heap(anon_vma.head) === 0) {
    INIT_LIST_HEAD(anon_vma.head);
  }
  list_add_tail(avc.same_anon_vma, anon_vma.head);
}

function removeLink(avc: anon_vma_chain, anon_vma: anon_vma): void {
  if (has('interval_tree')) {
    anon_vma_interval_tree_remove(avc, anon_vma.rb_root);
  } else {
    list_del(avc.same_anon_vma);
  }
}

function hasNoLinks(anon_vma: anon_vma): boolean {
  return has('interval_tree') ? rb_empty_root(anon_vma.rb_root) : list_empty(anon_vma.head);
}

/** anon_vma_chain_link() v3.7. Preconditions: the root of `anon_vma` is locked for write. */
function anon_vma_chain_link(vma: vm_area_struct, avc: anon_vma_chain, anon_vma: anon_vma): void {
  assertRootLocked(anon_vma);
  avc.vma = vma;
  avc.anon_vma = anon_vma;
  list_add(avc.same_vma, vma.anon_vma_chain);
  insertLink(avc, anon_vma);
  trace_avc_link({ vma, anon_vma, avc });
}

/**
 * mm/mmap.c: anon_vma_interval_tree_pre_update_vma() v3.7: the keys of a link are read through its VMA, so that none
 * may be in a tree while the bounds change. Preconditions: mmap_sem and the root for write.
 */
function anon_vma_interval_tree_pre_update_vma(vma: vm_area_struct): void {
  if (!has('interval_tree')) {
    return;
  }
  for (const avc of chain_entries(vma)) {
    anon_vma_interval_tree_remove(avc, avc.anon_vma.rb_root);
  }
}

/** mm/mmap.c: anon_vma_interval_tree_post_update_vma() v3.7: back in, behind relatives with the same offset. */
function anon_vma_interval_tree_post_update_vma(vma: vm_area_struct): void {
  if (!has('interval_tree')) {
    return;
  }
  for (const avc of chain_entries(vma)) {
    anon_vma_interval_tree_insert(avc, avc.anon_vma.rb_root);
  }
}

// ---------------------------------------------------------------- who uses an anon_vma (3.19)

/** One more VMA has its new pages there. Preconditions: the root locked for write, or nobody else knows it. */
function addUser(anon_vma: anon_vma): void {
  if (has('two_counters')) {
    anon_vma.num_active_vmas = anon_vma.num_active_vmas + 1;
  } else if (has('degree_reuse')) {
    anon_vma.num_children = anon_vma.num_children + 1;
  }
}

function dropUser(anon_vma: anon_vma): void {
  if (has('two_counters')) {
    anon_vma.num_active_vmas = anon_vma.num_active_vmas - 1;
  } else if (has('degree_reuse')) {
    anon_vma.num_children = anon_vma.num_children - 1;
  }
}

const counts = (): boolean => has('two_counters') || has('degree_reuse');

/**
 * The test of anon_vma_clone() v3.19 for an anon_vma that fork may take over. That a degree below two means one child
 * and no VMA is not so: an anon_vma that was left by its only VMA, and was taken over, has one VMA and no child,
 * and is taken over again (CVE-2022-42703). With two_counters v6.0.
 */
function isReusable(anon_vma: anon_vma, src: vm_area_struct): boolean {
  if (!has('degree_reuse')) {
    return false;
  }
  if (has('two_counters')) {
    return src.anon_vma !== null && anon_vma.num_children < 2 && anon_vma.num_active_vmas === 0;
  }
  return anon_vma !== src.anon_vma && anon_vma.num_children < 2;
}

// ---------------------------------------------------------------- linking

/**
 * mm/rmap.c: anon_vma_prepare() v3.7: gives `vma` an anon_vma, a neighbour's if one fits. 0 or -ENOMEM.
 * Preconditions: mmap_sem held, for read at least; page_table_lock decides between threads that fault the same VMA.
 */
export function* anon_vma_prepare(vma: vm_area_struct): K<number> {
  might_sleep('anon_vma_prepare()');
  if (vma.anon_vma !== null) {
    return 0;
  }
  const mm = vma.vm_mm as mm_struct;
  lockdep_assert_held(mm.mmap_lock, 'mmap_sem');
  let avc = anon_vma_chain_alloc();
  if (avc === null) {
    return -ENOMEM;
  }
  let anon_vma = find_mergeable_anon_vma(vma);
  let allocated: anon_vma | null = null;
  const reused = anon_vma !== null ? 1 : 0;
  if (anon_vma === null) {
    anon_vma = anon_vma_alloc();
    if (anon_vma === null) {
      anon_vma_chain_free(avc);
      return -ENOMEM;
    }
    if (counts()) {
      // A root is its own child: with one real child it is past the limit of reuse.
      anon_vma.num_children = 1;
    }
    allocated = anon_vma;
  }
  yield* anon_vma_lock(anon_vma);
  yield* spin_lock(mm.page_table_lock);
  if (vma.anon_vma === null) {
    vma.anon_vma = anon_vma;
    anon_vma_chain_link(vma, avc, anon_vma);
    addUser(anon_vma);
    allocated = null;
    avc = null;
    trace_anon_vma_prepare({ vma, anon_vma, reused });
  }
  spin_unlock(mm.page_table_lock);
  anon_vma_unlock(anon_vma);
  if (allocated !== null) {
    yield* put_anon_vma(allocated);
  }
  if (avc !== null) {
    anon_vma_chain_free(avc);
  }
  return 0;
}

/** mm/rmap.c: lock_anon_vma_root() v3.7: the anon_vmas of a chain have one root, locked once for a loop. */
function* lock_anon_vma_root(root: anon_vma | null, anon_vma: anon_vma): K<anon_vma> {
  const new_root = anon_vma.root;
  if (new_root !== root) {
    if (root !== null) {
      WARN_ON_ONCE(true, 'root');
      unlockRoot(root);
    }
    yield* lockRoot(new_root);
    trace_lock_root({ anon_vma, root: new_root, mode: 'write' });
  }
  return new_root;
}

function unlock_anon_vma_root(root: anon_vma | null): void {
  if (root !== null) {
    unlockRoot(root);
  }
}

/**
 * mm/rmap.c: anon_vma_clone() v3.7: links `dst` to every anon_vma of `src`, oldest first, so that both chains have one
 * order. 0 or -ENOMEM. Preconditions: mmap_sem of src held for write.
 *
 * With degree_reuse (3.19) a `dst` without anon_vma is a child's: the oldest anon_vma that may be reused becomes its
 * own. Splits, moves and vma_adjust() have set it before, and one more VMA is counted.
 */
export function* anon_vma_clone(dst: vm_area_struct, src: vm_area_struct): K<number> {
  let root: anon_vma | null = null;
  let links = 0;
  const entries = chain_entries(src);
  for (const pavc of has('clone_in_order') ? entries.reverse() : entries) {
    let avc = anon_vma_chain_alloc();
    if (avc === null) {
      // The first try may not sleep, because the root is locked; the second one may.
      unlock_anon_vma_root(root);
      root = null;
      avc = anon_vma_chain_alloc();
      if (avc === null) {
        if (counts()) {
          // Otherwise unlink_anon_vmas() would count a VMA down that was never counted up.
          dst.anon_vma = null;
        }
        yield* unlink_anon_vmas(dst);
        return -ENOMEM;
      }
    }
    const anon_vma = pavc.anon_vma;
    root = yield* lock_anon_vma_root(root, anon_vma);
    anon_vma_chain_link(dst, avc, anon_vma);
    links = links + 1;
    if (dst.anon_vma === null && isReusable(anon_vma, src)) {
      dst.anon_vma = anon_vma;
      trace_anon_vma_reuse({ vma: dst, anon_vma });
    }
  }
  const owner = dst.anon_vma;
  if (owner !== null) {
    addUser(owner);
  }
  unlock_anon_vma_root(root);
  trace_anon_vma_clone({ dst, src, links });
  return 0;
}

/** Whether a child with so many links gets no anon_vma of its own. */
function sharesParents(vma: vm_area_struct): boolean {
  if (has('root_only')) {
    return true;
  }
  return has('chain_limit') && chain_entries(vma).length > CHAIN_LIMIT;
}

/**
 * mm/rmap.c: anon_vma_fork() v3.7: links the child's `vma` to all anon_vmas of `pvma` and, unless one of them is reused
 * or shared, to one of its own. 0 or -ENOMEM. Preconditions: both mmap_sems held for write.
 */
export function* anon_vma_fork(vma: vm_area_struct, pvma: vm_area_struct): K<number> {
  const parent = pvma.anon_vma;
  if (parent === null) {
    return 0;
  }
  if (counts()) {
    // The pointer came over with the copy of the VMA; without it anon_vma_clone() looks for one to reuse.
    vma.anon_vma = null;
  }
  if ((yield* anon_vma_clone(vma, pvma)) !== 0) {
    return -ENOMEM;
  }
  const found = vma.anon_vma;
  if (found !== null && (counts() || sharesParents(vma))) {
    trace_anon_vma_fork({ vma, pvma, anon_vma: found });
    return 0;
  }
  const anon_vma = anon_vma_alloc();
  if (anon_vma === null) {
    yield* unlink_anon_vmas(vma);
    return -ENOMEM;
  }
  addUser(anon_vma);
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
  yield* anon_vma_lock(anon_vma);
  anon_vma_chain_link(vma, avc, anon_vma);
  if (counts()) {
    parent.num_children = parent.num_children + 1;
  }
  anon_vma_unlock(anon_vma);
  trace_anon_vma_fork({ vma, pvma, anon_vma });
  return 0;
}

/**
 * mm/rmap.c: unlink_anon_vmas() v3.7: takes `vma` out of all trees and drops what becomes empty, in a second loop,
 * because freeing may take the lock that the first loop holds. Preconditions: mmap_sem held for write, or the VMA is
 * out of reach. vma->anon_vma is left as it is, but for unlink_clears (by 5.19).
 */
export function* unlink_anon_vmas(vma: vm_area_struct): K {
  let root: anon_vma | null = null;
  for (const avc of chain_entries(vma)) {
    const anon_vma = avc.anon_vma;
    root = yield* lock_anon_vma_root(root, anon_vma);
    removeLink(avc, anon_vma);
    trace_avc_unlink({ vma, anon_vma, avc });
    if (hasNoLinks(anon_vma)) {
      const parent = anon_vma.parent;
      if (counts() && parent !== null) {
        parent.num_children = parent.num_children - 1;
      }
      continue;
    }
    list_del(avc.same_vma);
    anon_vma_chain_free(avc);
  }
  const owner = vma.anon_vma;
  if (owner !== null) {
    dropUser(owner);
    if (has('unlink_clears')) {
      vma.anon_vma = null;
    }
  }
  unlock_anon_vma_root(root);
  for (const avc of chain_entries(vma)) {
    const anon_vma = avc.anon_vma;
    if (has('two_counters')) {
      VM_WARN_ON(anon_vma.num_children !== 0, 'anon_vma->num_children');
      VM_WARN_ON(anon_vma.num_active_vmas !== 0, 'anon_vma->num_active_vmas');
    } else if (has('degree_reuse')) {
      BUG_ON(anon_vma.num_children !== 0, 'anon_vma->degree');
    }
    yield* put_anon_vma(anon_vma);
    list_del(avc.same_vma);
    anon_vma_chain_free(avc);
  }
}

// ---------------------------------------------------------------- walks

/**
 * rmap_walk_anon_lock() v3.14 and its forerunners: walks for reclaim find and lock the anon_vma of a mapped page; the
 * one that removes migration entries finds nothing mapped, and relies on the count that its caller holds.
 */
function* lockAnonVma(page: page, rwc: rmap_walk_control): K<anon_vma | null> {
  if (rwc.by_lookup === true || rwc.anon_lock !== undefined) {
    return yield* page_lock_anon_vma(page, rwc);
  }
  const anon_vma = folio_anon_vma(page);
  if (anon_vma !== null) {
    yield* lockForWalk(anon_vma);
  }
  return anon_vma;
}

/**
 * mm/rmap.c: rmap_walk_anon() v3.14: the VMAs of the page's anon_vma whose offsets include the page's, in tree order.
 * page_referenced_anon(), try_to_unmap_anon() and rmap_walk_anon() v3.7 have one such loop each.
 */
export function* rmap_walk_anon(page: page, rwc: rmap_walk_control, locked: boolean): K {
  const anon_vma = locked ? folio_anon_vma(page) : yield* lockAnonVma(page, rwc);
  if (anon_vma === null) {
    return;
  }
  if (has('interval_tree')) {
    yield* visitTree(page, rwc, anon_vma);
  } else {
    const links = list_entries(anon_vma.head).map(avc_of_same_anon_vma);
    yield* visitVmas(
      page,
      rwc,
      anon_vma,
      links.map((avc) => avc.vma),
    );
  }
  if (!locked) {
    unlockAfterWalk(anon_vma);
  }
}

/** Preconditions: the root is locked. */
function* visitTree(page: page, rwc: rmap_walk_control, anon_vma: anon_vma): K {
  const pgoff_start = page.index;
  const pages = folio_nr_pages(page);
  const pgoff_end = pgoff_start + pages - 1;
  let visits = 0;
  let stopped = 0;
  trace_walk_begin({ page, anon_vma, index: pgoff_start, purpose: rwc.name });
  let avc = anon_vma_interval_tree_iter_first(anon_vma.rb_root, pgoff_start, pgoff_end);
  while (avc !== null) {
    const vma = avc.vma;
    const address = vma_address(vma, pgoff_start, pages);
    VM_BUG_ON_VMA(address < 0, vma, 'address == -EFAULT');
    if (rwc.invalid_vma?.(vma) !== true) {
      visits = visits + 1;
      trace_walk_visit({ page, vma, anon_vma, address });
      if (!(yield* rwc.rmap_one(page, vma, address, rwc))) {
        stopped = 1;
        break;
      }
      if (rwc.done?.(page) === true) {
        stopped = 1;
        break;
      }
    }
    avc = anon_vma_interval_tree_iter_next(avc, pgoff_start, pgoff_end);
  }
  trace_walk_end({ page, visits, hits: rwc.hits ?? 0, stopped });
}

/** Where a page goes that others may share; without anchor_oldest (as before 2.6.34-rc4) to the VMA's own. */
function shared_anon_vma(vma: vm_area_struct): anon_vma | null {
  const own = vma.anon_vma;
  return own === null || !has('anchor_oldest') ? own : own.root;
}

/** The mechanism of 3.7 to 6.1 as a preset names it. */
export const anon_vma_tree_ops: anon_rmap_ops = {
  name: 'anon_vma_chain in interval trees',
  get shape() {
    return has('interval_tree') ? 'avc_tree' : 'avc_list';
  },
  get counters() {
    if (has('two_counters')) {
      return 'children';
    }
    return has('degree_reuse') ? 'degree' : 'none';
  },
  anon_vma_prepare,
  anon_vma_clone,
  anon_vma_fork,
  anon_vma_merge,
  unlink_anon_vmas,
  anon_vma_lock,
  anon_vma_unlock,
  shared_anon_vma,
  rmap_walk_anon,
  sleeps: true,
  pre_update_vma: anon_vma_interval_tree_pre_update_vma,
  post_update_vma: anon_vma_interval_tree_post_update_vma,
  pins: { pinAnonVma: page_get_anon_vma, unpinAnonVma: put_anon_vma },
};
