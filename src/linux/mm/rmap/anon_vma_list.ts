/**
 * mm/rmap.c and include/linux/rmap.h of 2.6.34 to 2.6.36: anon_vma_chain objects on lists. A forked VMA has
 * an anon_vma of its own for the pages it will create and stays linked to all of its ancestors'.
 *
 * What differs between the kernels of this form is asked for by feature: root_lock (the lock that counts is
 * the oldest anon_vma's; 2.6.36), prepare_at_tail (2.6.36). An anon_vma dies when its list is empty and
 * nobody holds a count; in a kernel with root_lock each child holds a count of its root.
 *
 * Lock tree: page lock -> i_mmap_lock -> anon_vma.lock (own or root's) -> page_table_lock, ptls.
 * Fidelity: dup. The 2.6.34 text was read at 2.6.34-rc7 (rmap.c is unchanged in 2.6.34 but for
 * __page_set_anon_rmap(), which is in mm/classic/rmap.ts).
 */
import { read_heap } from '../../../sim/cpu.ts';
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { lockdep_assert_held } from '../../kernel/locking/lockdep.ts';
import { might_sleep } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { rcu_read_lock, rcu_read_unlock } from '../../kernel/rcu.ts';
import { has } from '../../kernel.ts';
import { VM_BUG_ON_VMA } from '../../lib/bug.ts';
import {
  INIT_LIST_HEAD,
  list_add,
  list_add_tail,
  list_del,
  list_empty,
  list_entries,
  list_prev,
} from '../../lib/list.ts';
import {
  type anon_vma,
  anon_vma_cachep,
  type anon_vma_chain,
  anon_vma_chain_cachep,
  type folio,
  type mm_struct,
  type page,
  type vm_area_struct,
} from '../../mm_types.ts';
import { find_mergeable_anon_vma } from '../classic/vma_merge.ts';
import {
  trace_anon_vma_alloc,
  trace_anon_vma_clone,
  trace_anon_vma_fork,
  trace_anon_vma_free,
  trace_anon_vma_merge,
  trace_anon_vma_prepare,
  trace_avc_link,
  trace_avc_unlink,
  trace_lock_root,
} from '../events.ts';
import { should_failslab } from '../failslab.ts';
import {
  FOLIO_MAPPING_ANON,
  FOLIO_MAPPING_FLAGS,
  folio_anon_vma,
  mapping_pointer,
} from '../page-flags.ts';
import type { anon_rmap_ops, rmap_walk_control } from './ops.ts';
import { walkFromRoot } from './root_walk.ts';
import { visitVmas } from './visit_vmas.ts';

const avc_of_same_vma = anon_vma_chain_cachep.container('same_vma');
const avc_of_same_anon_vma = anon_vma_chain_cachep.container('same_anon_vma');

/** Links of a VMA, newest first: list_for_each_entry_safe() over vma->anon_vma_chain. */
export function chain_entries(vma: vm_area_struct): anon_vma_chain[] {
  return list_entries(vma.anon_vma_chain).map(avc_of_same_vma);
}

/** The anon_vma whose lock stands for this one: itself, or the root with feature root_lock. */
function lock_holder(anon_vma: anon_vma): anon_vma {
  return has('root_lock') ? anon_vma.root : anon_vma;
}

/** spin_lock(&anon_vma->lock), v2.6.34; anon_vma_lock(), v2.6.36. */
export function* anon_vma_lock(anon_vma: anon_vma): K {
  const holder = lock_holder(anon_vma);
  yield* spin_lock(holder.lock);
  trace_lock_root({ anon_vma, root: holder, mode: 'write' });
}

/** spin_unlock(&anon_vma->lock), v2.6.34; anon_vma_unlock(), v2.6.36. */
export function anon_vma_unlock(anon_vma: anon_vma): void {
  spin_unlock(lock_holder(anon_vma).lock);
}

/**
 * mm/rmap.c: anon_vma_alloc() v2.6.34. The constructor ran once for the slot: a recycled anon_vma has an
 * empty list and a lock that somebody may still be spinning on.
 */
function anon_vma_alloc(): anon_vma | null {
  if (should_failslab()) {
    return null;
  }
  const anon_vma = anon_vma_cachep.alloc();
  if (read_heap(anon_vma.head) === 0) {
    INIT_LIST_HEAD(anon_vma.head);
  }
  trace_anon_vma_alloc({ anon_vma });
  return anon_vma;
}

/** mm/rmap.c: anon_vma_free() v2.6.34. */
function* anon_vma_free(anon_vma: anon_vma): K {
  trace_anon_vma_free({ anon_vma });
  anon_vma_cachep.free(anon_vma);
}

/** mm/rmap.c: anon_vma_chain_alloc() v2.6.34. */
function anon_vma_chain_alloc(): anon_vma_chain | null {
  return should_failslab() ? null : anon_vma_chain_cachep.alloc();
}

/** mm/rmap.c: anon_vma_chain_free() v2.6.34. */
function anon_vma_chain_free(avc: anon_vma_chain): void {
  anon_vma_chain_cachep.free(avc);
}

/** include/linux/rmap.h: get_anon_vma() v2.6.36: a count that keeps an anon_vma whose list is empty. */
export function get_anon_vma(anon_vma: anon_vma): void {
  anon_vma.refcount = anon_vma.refcount + 1;
}

/** atomic_dec_and_lock(&anon_vma->external_refcount, lock): true, with the lock held, if it was the last count. */
function* dec_and_lock(anon_vma: anon_vma): K<boolean> {
  if (anon_vma.refcount > 1) {
    anon_vma.refcount = anon_vma.refcount - 1;
    return false;
  }
  yield* anon_vma_lock(anon_vma);
  anon_vma.refcount = anon_vma.refcount - 1;
  if (anon_vma.refcount !== 0) {
    anon_vma_unlock(anon_vma);
    return false;
  }
  return true;
}

/**
 * mm/rmap.c: drop_anon_vma() v2.6.36: gives a count back. The last one frees the anon_vma if its list is
 * empty too, and then perhaps its root, whose count it held.
 */
export function* drop_anon_vma(anon_vma: anon_vma): K {
  if (!(yield* dec_and_lock(anon_vma))) {
    return;
  }
  const empty = list_empty(anon_vma.head);
  const root = lock_holder(anon_vma);
  let root_empty = false;
  let last_root_user = false;
  if (empty && anon_vma !== root) {
    root.refcount = root.refcount - 1;
    last_root_user = root.refcount === 0;
    root_empty = list_empty(root.head);
  }
  spin_unlock(root.lock);
  if (empty) {
    yield* anon_vma_free(anon_vma);
    if (root_empty && last_root_user) {
      yield* anon_vma_free(root);
    }
  }
}

/**
 * mm/rmap.c: anon_vma_prepare() v2.6.34. 0 or -ENOMEM. Preconditions: mmap_sem held, for read at least;
 * page_table_lock keeps out threads that fault the same VMA.
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
    allocated = anon_vma;
    // Itself the root, before anybody can lock it.
    anon_vma.root = anon_vma;
    anon_vma.refcount = 0;
  }
  // Even a new one: a stale page_lock_anon_vma() may hold the lock of the recycled object.
  yield* anon_vma_lock(anon_vma);
  yield* spin_lock(mm.page_table_lock);
  if (vma.anon_vma === null) {
    vma.anon_vma = anon_vma;
    avc.anon_vma = anon_vma;
    avc.vma = vma;
    list_add(avc.same_vma, vma.anon_vma_chain);
    if (has('prepare_at_tail')) {
      list_add_tail(avc.same_anon_vma, anon_vma.head);
    } else {
      list_add(avc.same_anon_vma, anon_vma.head);
    }
    trace_avc_link({ vma, anon_vma, avc });
    allocated = null;
    avc = null;
    trace_anon_vma_prepare({ vma, anon_vma, reused });
  }
  spin_unlock(mm.page_table_lock);
  anon_vma_unlock(anon_vma);
  const lost_fresh = allocated !== null;
  if (allocated !== null) {
    yield* anon_vma_free(allocated);
  }
  // Until 2.6.34-rc6 a thread that lost the race with a neighbour's anon_vma in its hand forgot the link.
  if (avc !== null && (lost_fresh || has('prepare_frees_link'))) {
    anon_vma_chain_free(avc);
  }
  return 0;
}

/** mm/rmap.c: anon_vma_chain_link() v2.6.34: newest first on the VMA's list, last on the anon_vma's. */
function* anon_vma_chain_link(vma: vm_area_struct, avc: anon_vma_chain, anon_vma: anon_vma): K {
  avc.vma = vma;
  avc.anon_vma = anon_vma;
  list_add(avc.same_vma, vma.anon_vma_chain);
  yield* anon_vma_lock(anon_vma);
  list_add_tail(avc.same_anon_vma, anon_vma.head);
  trace_avc_link({ vma, anon_vma, avc });
  anon_vma_unlock(anon_vma);
}

/**
 * mm/rmap.c: anon_vma_clone() v2.6.34: oldest first, so that `dst` gets the order of `src` (without clone_in_order,
 * until 2.6.34-rc3, newest first: the order is reversed). 0 or -ENOMEM.
 * Preconditions: mmap_sem held for write. A walk that runs meanwhile sees `dst` on some lists only.
 */
export function* anon_vma_clone(dst: vm_area_struct, src: vm_area_struct): K<number> {
  let links = 0;
  const links_of_src = chain_entries(src);
  for (const pavc of has('clone_in_order') ? links_of_src.reverse() : links_of_src) {
    const avc = anon_vma_chain_alloc();
    if (avc === null) {
      yield* unlink_anon_vmas(dst);
      return -ENOMEM;
    }
    yield* anon_vma_chain_link(dst, avc, pavc.anon_vma);
    links = links + 1;
  }
  trace_anon_vma_clone({ dst, src, links });
  return 0;
}

/** The error exit of anon_vma_fork(): until 2.6.34-rc3 the links stay on the lists when the VMA is freed. */
function* unlinkForked(vma: vm_area_struct): K {
  if (has('fork_unlinks')) {
    yield* unlink_anon_vmas(vma);
  }
}

/**
 * mm/rmap.c: anon_vma_fork() v2.6.34. 0 or -ENOMEM. Preconditions: both mmap_sems held for write. Until the
 * last statement vma->anon_vma is the parent's, from the copy of the struct.
 */
export function* anon_vma_fork(vma: vm_area_struct, pvma: vm_area_struct): K<number> {
  const parent = pvma.anon_vma;
  if (parent === null) {
    return 0;
  }
  if ((yield* anon_vma_clone(vma, pvma)) !== 0) {
    return -ENOMEM;
  }
  const anon_vma = anon_vma_alloc();
  if (anon_vma === null) {
    yield* unlinkForked(vma);
    return -ENOMEM;
  }
  const avc = anon_vma_chain_alloc();
  if (avc === null) {
    yield* anon_vma_free(anon_vma);
    yield* unlinkForked(vma);
    return -ENOMEM;
  }
  anon_vma.refcount = 0;
  if (has('root_lock')) {
    // Before the first lock of the new one; the root must outlive it.
    anon_vma.root = parent.root;
    get_anon_vma(anon_vma.root);
    vma.anon_vma = anon_vma;
    yield* anon_vma_chain_link(vma, avc, anon_vma);
  } else {
    anon_vma.root = anon_vma;
    yield* anon_vma_chain_link(vma, avc, anon_vma);
    vma.anon_vma = anon_vma;
  }
  trace_anon_vma_fork({ vma, pvma, anon_vma });
  return 0;
}

/** mm/rmap.c: anon_vma_unlink() v2.6.34. */
function* anon_vma_unlink(avc: anon_vma_chain): K {
  const anon_vma = avc.anon_vma;
  yield* anon_vma_lock(anon_vma);
  list_del(avc.same_anon_vma);
  trace_avc_unlink({ vma: avc.vma, anon_vma, avc });
  const empty = list_empty(anon_vma.head) && anon_vma.refcount === 0;
  anon_vma_unlock(anon_vma);
  if (empty) {
    if (has('root_lock') && anon_vma.root !== anon_vma) {
      yield* drop_anon_vma(anon_vma.root);
    }
    yield* anon_vma_free(anon_vma);
  }
}

/**
 * mm/rmap.c: unlink_anon_vmas() v2.6.34: newest to oldest, so that in each chain the oldest dies last.
 * vma->anon_vma is left as it is.
 */
export function* unlink_anon_vmas(vma: vm_area_struct): K {
  for (const avc of chain_entries(vma)) {
    yield* anon_vma_unlink(avc);
    list_del(avc.same_vma);
    anon_vma_chain_free(avc);
  }
}

/** include/linux/rmap.h: anon_vma_merge() v2.6.34. */
export function* anon_vma_merge(vma: vm_area_struct, next: vm_area_struct): K {
  VM_BUG_ON_VMA(vma.anon_vma !== next.anon_vma, vma, 'vma->anon_vma != next->anon_vma');
  trace_anon_vma_merge({ vma, next });
  yield* unlink_anon_vmas(next);
}

/**
 * mm/rmap.c: page_lock_anon_vma() v2.6.34, and with lookup_recheck v2.6.36: the locked anon_vma of a mapped
 * page, in an RCU read section; null otherwise. Without the second look at the map count the anon_vma may
 * have been freed and reused meanwhile: with a lock of its own that is harmless, the walk finds nothing.
 */
export function* page_lock_anon_vma(page: page): K<anon_vma | null> {
  rcu_read_lock();
  const anon_mapping = page.mapping;
  if ((anon_mapping & FOLIO_MAPPING_FLAGS) !== FOLIO_MAPPING_ANON) {
    rcu_read_unlock();
    return null;
  }
  if (page._mapcount < 0) {
    rcu_read_unlock();
    return null;
  }
  const anon_vma = mapping_pointer(anon_mapping) as anon_vma;
  const holder = lock_holder(anon_vma);
  yield* spin_lock(holder.lock);
  if (has('lookup_recheck') && page._mapcount < 0) {
    // Reused under us: unlock what was locked, not what it would lock now.
    spin_unlock(holder.lock);
    rcu_read_unlock();
    return null;
  }
  trace_lock_root({ anon_vma, root: holder, mode: 'write' });
  return anon_vma;
}

/** mm/rmap.c: page_unlock_anon_vma() v2.6.34. */
export function page_unlock_anon_vma(anon_vma: anon_vma): void {
  anon_vma_unlock(anon_vma);
  rcu_read_unlock();
}

/** The pin of unmap_and_move() v2.6.35: read and counted, which hopes that nobody frees it in between. */
function* pinAnonVma(page: page): K<anon_vma | null> {
  if (page._mapcount < 0) {
    return null;
  }
  const anon_vma = folio_anon_vma(page);
  if (anon_vma !== null) {
    get_anon_vma(anon_vma);
  }
  return anon_vma;
}

/**
 * The loop that page_referenced_anon(), try_to_unmap_anon() and rmap_walk_anon() v2.6.34 share: every VMA
 * on the list of the page's anon_vma in which the page's index lies. The first two find the anon_vma by
 * page_lock_anon_vma(); the last must do without (nothing maps the page) and relies on its caller.
 */
export function* walkAnonList(page: folio, rwc: rmap_walk_control, locked: boolean): K {
  let anon_vma: anon_vma | null;
  if (locked) {
    anon_vma = folio_anon_vma(page);
  } else if (rwc.by_lookup === true) {
    anon_vma = yield* page_lock_anon_vma(page);
  } else {
    anon_vma = folio_anon_vma(page);
    if (anon_vma !== null) {
      yield* anon_vma_lock(anon_vma);
    }
  }
  if (anon_vma === null) {
    return;
  }
  const vmas = list_entries(anon_vma.head).map((link) => avc_of_same_anon_vma(link).vma);
  yield* visitVmas(page, rwc, anon_vma, vmas);
  if (locked) {
    return;
  }
  if (rwc.by_lookup === true) {
    page_unlock_anon_vma(anon_vma);
  } else {
    anon_vma_unlock(anon_vma);
  }
}

/**
 * Where every sharer of a page finds it: the anon_vma of the last link of the VMA, the oldest one; with root_lock its
 * root. Without anchor_oldest, until 2.6.34-rc3, the VMA's own, which only its descendants can find: the "overly
 * anonymous anon_vma".
 */
function shared_anon_vma(vma: vm_area_struct): anon_vma | null {
  const own = vma.anon_vma;
  if (own === null || !has('anchor_oldest')) {
    return own;
  }
  return has('root_lock') ? own.root : avc_of_same_vma(list_prev(vma.anon_vma_chain)).anon_vma;
}

/** The one walk that may not miss: remove_migration_ptes(). Others begin at the page's own anon_vma in all kernels. */
function* rmapWalkAnon(page: folio, rwc: rmap_walk_control, locked: boolean): K {
  if (has('walk_from_root') && rwc.by_lookup !== true && !locked) {
    yield* walkFromRoot(page, rwc);
  } else {
    yield* walkAnonList(page, rwc, locked);
  }
}

/** The mechanism of 2.6.34 to 2.6.36 as a preset names it. */
export const anon_vma_list_ops: anon_rmap_ops = {
  name: 'anon_vma_chain on lists',
  shape: 'avc_list',
  anon_vma_prepare,
  anon_vma_clone,
  anon_vma_fork,
  anon_vma_merge,
  unlink_anon_vmas,
  anon_vma_lock,
  anon_vma_unlock,
  shared_anon_vma,
  rmap_walk_anon: rmapWalkAnon,
  pins: { pinAnonVma, unpinAnonVma: drop_anon_vma },
};
