/**
 * mm/rmap.c v3.0 to v3.6: the lists of anon_vma_list.ts under a mutex in the root, and a reference count: one for a list
 * that is not empty, one for each outside user, and on a root one for each child.
 *
 * Walks may sleep now. A page finds its anon_vma by trying the root's mutex in an RCU read section and waits with a
 * reference if it is taken; anon_vma_free() waits for whoever got it by trying. Read at 3.4; 3.0 and 3.6 have the same
 * steps but for moveto_tail (3.3).
 *
 * Lock tree: page lock -> i_mmap_mutex -> anon_vma.root->mutex -> page_table_lock, ptls. Fidelity: dup.
 */
import { read_heap } from '../../../sim/cpu.ts';
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { lockdep_assert_held } from '../../kernel/locking/lockdep.ts';
import {
  mutex_is_locked,
  mutex_lock,
  mutex_trylock,
  mutex_unlock,
} from '../../kernel/locking/mutex.ts';
import { might_sleep } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { rcu_read_lock, rcu_read_unlock } from '../../kernel/rcu.ts';
import { has } from '../../kernel.ts';
import { VM_BUG_ON, VM_BUG_ON_VMA, WARN_ON_ONCE } from '../../lib/bug.ts';
import {
  INIT_LIST_HEAD,
  list_add,
  list_add_tail,
  list_del,
  list_empty,
  list_entries,
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
import { chain_entries } from './anon_vma_list.ts';
import type { anon_rmap_ops, rmap_walk_control } from './ops.ts';
import { visitVmas } from './visit_vmas.ts';

const avc_of_same_anon_vma = anon_vma_chain_cachep.container('same_anon_vma');

/** include/linux/rmap.h: anon_vma_lock() v3.0. */
function* anon_vma_lock(anon_vma: anon_vma): K {
  const root = anon_vma.root;
  yield* mutex_lock(root.mutex);
  trace_lock_root({ anon_vma, root, mode: 'write' });
}

/** include/linux/rmap.h: anon_vma_unlock() v3.0. */
function anon_vma_unlock(anon_vma: anon_vma): void {
  mutex_unlock(anon_vma.root.mutex);
}

/** mm/rmap.c: anon_vma_alloc() v3.0. The list was initialised when the slot was made. */
function anon_vma_alloc(): anon_vma | null {
  if (should_failslab()) {
    return null;
  }
  const anon_vma = anon_vma_cachep.alloc();
  if (read_heap(anon_vma.head) === 0) {
    INIT_LIST_HEAD(anon_vma.head);
  }
  anon_vma.refcount = 1;
  anon_vma.root = anon_vma;
  trace_anon_vma_alloc({ anon_vma });
  return anon_vma;
}

/**
 * mm/rmap.c: anon_vma_free() v3.0. Who got the mutex by trying, without a reference, is waited for: it will see that the
 * page is not mapped any more and go.
 */
function* anon_vma_free(anon_vma: anon_vma): K {
  VM_BUG_ON(anon_vma.refcount !== 0, 'atomic_read(&anon_vma->refcount)');
  if (mutex_is_locked(anon_vma.root.mutex)) {
    yield* anon_vma_lock(anon_vma);
    anon_vma_unlock(anon_vma);
  }
  trace_anon_vma_free({ anon_vma });
  anon_vma_cachep.free(anon_vma);
}

/** include/linux/rmap.h: get_anon_vma() v3.0. */
function get_anon_vma(anon_vma: anon_vma): void {
  anon_vma.refcount = anon_vma.refcount + 1;
}

/** atomic_inc_not_zero(&anon_vma->refcount). */
function inc_not_zero(anon_vma: anon_vma): boolean {
  if (anon_vma.refcount === 0) {
    return false;
  }
  anon_vma.refcount = anon_vma.refcount + 1;
  return true;
}

/** atomic_dec_and_test(&anon_vma->refcount). */
function dec_and_test(anon_vma: anon_vma): boolean {
  anon_vma.refcount = anon_vma.refcount - 1;
  return anon_vma.refcount === 0;
}

/**
 * mm/rmap.c: __put_anon_vma() v3.0: a child that goes gives up its root. The root may be freed first: then the child's
 * anon_vma_free() looks at a lock in freed memory (mended in 3.16, feature free_child_first).
 */
function* __put_anon_vma(anon_vma: anon_vma): K {
  const root = anon_vma.root;
  if (has('free_child_first')) {
    yield* anon_vma_free(anon_vma);
    if (root !== anon_vma && dec_and_test(root)) {
      yield* anon_vma_free(root);
    }
    return;
  }
  if (root !== anon_vma && dec_and_test(root)) {
    yield* anon_vma_free(root);
  }
  yield* anon_vma_free(anon_vma);
}

/** include/linux/rmap.h: put_anon_vma() v3.0. */
function* put_anon_vma(anon_vma: anon_vma): K {
  if (dec_and_test(anon_vma)) {
    yield* __put_anon_vma(anon_vma);
  }
}

/** mm/rmap.c: anon_vma_chain_alloc() v3.0. */
function anon_vma_chain_alloc(): anon_vma_chain | null {
  return should_failslab() ? null : anon_vma_chain_cachep.alloc();
}

/** mm/rmap.c: anon_vma_chain_free() v3.0. */
function anon_vma_chain_free(avc: anon_vma_chain): void {
  anon_vma_chain_cachep.free(avc);
}

/**
 * mm/rmap.c: anon_vma_chain_link() v3.0: newest first on the VMA's list; last on the anon_vma's, so that a walk in
 * progress does not miss what it has to find. Preconditions: the root's mutex.
 */
function anon_vma_chain_link(vma: vm_area_struct, avc: anon_vma_chain, anon_vma: anon_vma): void {
  avc.vma = vma;
  avc.anon_vma = anon_vma;
  list_add(avc.same_vma, vma.anon_vma_chain);
  list_add_tail(avc.same_anon_vma, anon_vma.head);
  trace_avc_link({ vma, anon_vma, avc });
}

/** mm/rmap.c: anon_vma_prepare() v3.0. 0 or -ENOMEM. Preconditions: mmap_sem held, for read at least. */
function* anon_vma_prepare(vma: vm_area_struct): K<number> {
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
  }
  yield* anon_vma_lock(anon_vma);
  // Against threads that fault the same VMA.
  yield* spin_lock(mm.page_table_lock);
  if (vma.anon_vma === null) {
    vma.anon_vma = anon_vma;
    anon_vma_chain_link(vma, avc, anon_vma);
    trace_anon_vma_prepare({ vma, anon_vma, reused });
    allocated = null;
    avc = null;
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

/** mm/rmap.c: lock_anon_vma_root() v3.0: all of a chain have one root, whose mutex is taken at the first link. */
function* lock_anon_vma_root(held: anon_vma | null, anon_vma: anon_vma): K<anon_vma> {
  const new_root = anon_vma.root;
  if (new_root === held) {
    return held;
  }
  WARN_ON_ONCE(held !== null, 'root');
  if (held !== null) {
    mutex_unlock(held.mutex);
  }
  yield* mutex_lock(new_root.mutex);
  trace_lock_root({ anon_vma, root: new_root, mode: 'write' });
  return new_root;
}

/** mm/rmap.c: unlock_anon_vma_root() v3.0. */
function unlock_anon_vma_root(root: anon_vma | null): void {
  if (root !== null) {
    mutex_unlock(root.mutex);
  }
}

/**
 * mm/rmap.c: anon_vma_clone() v3.0: oldest first. 0 or -ENOMEM. Preconditions: mmap_sem held for write. Links are
 * allocated with the mutex held and without sleeping; when that fails it is given up for an allocation that may sleep,
 * and a walk then finds `dst` on some lists only.
 */
function* anon_vma_clone(dst: vm_area_struct, src: vm_area_struct): K<number> {
  let root: anon_vma | null = null;
  let links = 0;
  for (const pavc of chain_entries(src).reverse()) {
    let avc = anon_vma_chain_alloc();
    if (avc === null) {
      unlock_anon_vma_root(root);
      root = null;
      avc = anon_vma_chain_alloc();
      if (avc === null) {
        yield* unlink_anon_vmas(dst);
        return -ENOMEM;
      }
    }
    const anon_vma = pavc.anon_vma;
    root = yield* lock_anon_vma_root(root, anon_vma);
    anon_vma_chain_link(dst, avc, anon_vma);
    links = links + 1;
  }
  unlock_anon_vma_root(root);
  trace_anon_vma_clone({ dst, src, links });
  return 0;
}

/**
 * mm/rmap.c: anon_vma_moveto_tail() v3.3: puts `dst` behind everything on all of its lists, so that a walk meets the source
 * of a move before its destination. Preconditions: mmap_sem held for write: nobody else orders the VMAs of this mm.
 */
function* anon_vma_moveto_tail(dst: vm_area_struct): K {
  let root: anon_vma | null = null;
  for (const pavc of chain_entries(dst).reverse()) {
    const anon_vma = pavc.anon_vma;
    VM_BUG_ON_VMA(pavc.vma !== dst, dst, 'pavc->vma != dst');
    root = yield* lock_anon_vma_root(root, anon_vma);
    list_del(pavc.same_anon_vma);
    list_add_tail(pavc.same_anon_vma, anon_vma.head);
  }
  unlock_anon_vma_root(root);
}

/** mm/rmap.c: anon_vma_fork() v3.0. 0 or -ENOMEM. Preconditions: both mmap_sems held for write. */
function* anon_vma_fork(vma: vm_area_struct, pvma: vm_area_struct): K<number> {
  const parent = pvma.anon_vma;
  if (parent === null) {
    return 0;
  }
  if ((yield* anon_vma_clone(vma, pvma)) !== 0) {
    return -ENOMEM;
  }
  const anon_vma = anon_vma_alloc();
  if (anon_vma === null) {
    yield* unlink_anon_vmas(vma);
    return -ENOMEM;
  }
  const avc = anon_vma_chain_alloc();
  if (avc === null) {
    yield* put_anon_vma(anon_vma);
    yield* unlink_anon_vmas(vma);
    return -ENOMEM;
  }
  // Before the first lock of the new one; the root must outlive it.
  anon_vma.root = parent.root;
  get_anon_vma(anon_vma.root);
  vma.anon_vma = anon_vma;
  yield* anon_vma_lock(anon_vma);
  anon_vma_chain_link(vma, avc, anon_vma);
  anon_vma_unlock(anon_vma);
  trace_anon_vma_fork({ vma, pvma, anon_vma });
  return 0;
}

/**
 * mm/rmap.c: unlink_anon_vmas() v3.0: newest to oldest, twice. The first pass takes the VMA off all lists under one hold of
 * the mutex and keeps the links of anon_vmas whose list that emptied; the second gives those up, which may need the mutex.
 */
function* unlink_anon_vmas(vma: vm_area_struct): K {
  let root: anon_vma | null = null;
  for (const avc of chain_entries(vma)) {
    const anon_vma = avc.anon_vma;
    root = yield* lock_anon_vma_root(root, anon_vma);
    list_del(avc.same_anon_vma);
    trace_avc_unlink({ vma, anon_vma, avc });
    if (list_empty(anon_vma.head)) {
      continue;
    }
    list_del(avc.same_vma);
    anon_vma_chain_free(avc);
  }
  unlock_anon_vma_root(root);
  for (const avc of chain_entries(vma)) {
    yield* put_anon_vma(avc.anon_vma);
    list_del(avc.same_vma);
    anon_vma_chain_free(avc);
  }
}

/** include/linux/rmap.h: anon_vma_merge() v3.0. */
function* anon_vma_merge(vma: vm_area_struct, next: vm_area_struct): K {
  VM_BUG_ON_VMA(vma.anon_vma !== next.anon_vma, vma, 'vma->anon_vma != next->anon_vma');
  trace_anon_vma_merge({ vma, next });
  yield* unlink_anon_vmas(next);
}

/** The anon_vma that a mapped page names at this moment, or null. Preconditions: an RCU read section. */
function mappedAnonVma(page: page): anon_vma | null {
  const anon_mapping = page.mapping;
  if ((anon_mapping & FOLIO_MAPPING_FLAGS) !== FOLIO_MAPPING_ANON || page._mapcount < 0) {
    return null;
  }
  return mapping_pointer(anon_mapping) as anon_vma;
}

/**
 * The reference that page_get_anon_vma() and the slow path of page_lock_anon_vma() take. Leaves the RCU read section
 * that it is called in. Only a page that is still mapped after the count was taken proves that the object is the right
 * one; if it is not, the count is given back, until 3.16 (put_outside_rcu) inside the RCU section, although that may sleep.
 */
function* countedStillMapped(page: page, anon_vma: anon_vma): K<anon_vma | null> {
  if (!inc_not_zero(anon_vma)) {
    rcu_read_unlock();
    return null;
  }
  if (page._mapcount >= 0) {
    rcu_read_unlock();
    return anon_vma;
  }
  if (has('put_outside_rcu')) {
    rcu_read_unlock();
    yield* put_anon_vma(anon_vma);
  } else {
    yield* put_anon_vma(anon_vma);
    rcu_read_unlock();
  }
  return null;
}

/** mm/rmap.c: page_get_anon_vma() v3.0: the page's anon_vma with a reference, or null. */
function* page_get_anon_vma(page: page): K<anon_vma | null> {
  rcu_read_lock();
  const anon_vma = mappedAnonVma(page);
  if (anon_vma === null) {
    rcu_read_unlock();
    return null;
  }
  return yield* countedStillMapped(page, anon_vma);
}

/**
 * mm/rmap.c: page_lock_anon_vma() v3.0: the page's anon_vma with its root locked, or null. The fast path takes no
 * reference: while the mutex is held, anon_vma_free() waits.
 */
function* page_lock_anon_vma(page: page): K<anon_vma | null> {
  rcu_read_lock();
  const anon_vma = mappedAnonVma(page);
  if (anon_vma === null) {
    rcu_read_unlock();
    return null;
  }
  const root_anon_vma = anon_vma.root;
  if (mutex_trylock(root_anon_vma.mutex)) {
    if (page._mapcount < 0) {
      mutex_unlock(root_anon_vma.mutex);
      rcu_read_unlock();
      return null;
    }
    rcu_read_unlock();
    trace_lock_root({ anon_vma, root: root_anon_vma, mode: 'write' });
    return anon_vma;
  }
  if ((yield* countedStillMapped(page, anon_vma)) === null) {
    return null;
  }
  yield* anon_vma_lock(anon_vma);
  if (dec_and_test(anon_vma)) {
    // Ours was the last reference: put_anon_vma() would wait for the mutex that we hold.
    anon_vma_unlock(anon_vma);
    yield* __put_anon_vma(anon_vma);
    return null;
  }
  return anon_vma;
}

/** The lock and the loop of page_referenced_anon(), try_to_unmap_anon() and rmap_walk_anon() v3.0. */
function* walkUnderMutex(page: folio, rwc: rmap_walk_control, locked: boolean): K {
  let anon_vma: anon_vma | null;
  if (!locked && rwc.by_lookup === true) {
    anon_vma = yield* page_lock_anon_vma(page);
  } else {
    anon_vma = folio_anon_vma(page);
    if (anon_vma !== null && !locked) {
      yield* anon_vma_lock(anon_vma);
    }
  }
  if (anon_vma === null) {
    return;
  }
  const vmas = list_entries(anon_vma.head).map((link) => avc_of_same_anon_vma(link).vma);
  yield* visitVmas(page, rwc, anon_vma, vmas);
  if (!locked) {
    anon_vma_unlock(anon_vma);
  }
}

/** The mechanism of 3.0 to 3.6 as a preset names it. */
export const anon_vma_mutex_ops: anon_rmap_ops = {
  name: 'anon_vma_chain on lists, a mutex in the root',
  shape: 'avc_list',
  anon_vma_prepare,
  anon_vma_clone,
  anon_vma_fork,
  anon_vma_merge,
  unlink_anon_vmas,
  anon_vma_lock,
  anon_vma_unlock,
  shared_anon_vma: (vma) => (vma.anon_vma === null ? null : vma.anon_vma.root),
  anon_vma_moveto_tail,
  rmap_walk_anon: walkUnderMutex,
  sleeps: true,
  pins: { pinAnonVma: page_get_anon_vma, unpinAnonVma: put_anon_vma },
};
