/**
 * mm/rmap.c and include/linux/rmap.h v3.7 to v6.1: the anon_vma as an object: allocation, reference count, the lock
 * of its root, and how a page finds its anon_vma without holding anything.
 *
 * rmap_rwsem (3.8): the lock of the root is a semaphore that walks take for read; before, it was a mutex.
 * free_child_first and put_outside_rcu (by 3.18) mend two faults of the reference count.
 *
 * Lock tree: page lock -> i_mmap lock -> anon_vma.root->rwsem (mutex) -> page_table_lock, ptls. Fidelity: dup.
 */
import type { K } from '../../../sim/wait.ts';
import { lockdep_assert_held_write } from '../../kernel/locking/lockdep.ts';
import {
  mutex_is_locked,
  mutex_lock,
  mutex_trylock,
  mutex_unlock,
} from '../../kernel/locking/mutex.ts';
import {
  down_read,
  down_read_trylock,
  down_write,
  might_sleep,
  rwsem_is_locked,
  up_read,
  up_write,
} from '../../kernel/locking/rwsem.ts';
import { rcu_read_lock, rcu_read_unlock } from '../../kernel/rcu.ts';
import { has } from '../../kernel.ts';
import { VM_BUG_ON } from '../../lib/bug.ts';
import { type anon_vma, anon_vma_cachep, type page } from '../../mm_types.ts';
import { trace_anon_vma_free, trace_lock_root } from '../events.ts';
import { folio_mapped } from '../large_folio.ts';
import { FOLIO_MAPPING_ANON, FOLIO_MAPPING_FLAGS, mapping_pointer } from '../page-flags.ts';
import { anon_vma_dec_and_test, get_anon_vma_not_zero } from './anon_vma_life.ts';
import type { rmap_walk_control } from './ops.ts';

/** down_write(&root->rwsem) v3.8; mutex_lock(&root->mutex) v3.7. */
export function* lockRoot(root: anon_vma): K {
  if (has('rmap_rwsem')) {
    yield* down_write(root.rwsem);
  } else {
    yield* mutex_lock(root.mutex);
  }
}

/** up_write(&root->rwsem) v3.8; mutex_unlock(&root->mutex) v3.7. */
export function unlockRoot(root: anon_vma): void {
  if (has('rmap_rwsem')) {
    up_write(root.rwsem);
  } else {
    mutex_unlock(root.mutex);
  }
}

/** anon_vma_lock_write() v3.8; anon_vma_lock() v3.7. */
export function* anon_vma_lock(anon_vma: anon_vma): K {
  const root = anon_vma.root;
  yield* lockRoot(root);
  trace_lock_root({ anon_vma, root, mode: 'write' });
}

/** anon_vma_unlock_write() v3.8; anon_vma_unlock() v3.7. */
export function anon_vma_unlock(anon_vma: anon_vma): void {
  unlockRoot(anon_vma.root);
}

/** The caller may change the trees of the family. */
export function assertRootLocked(anon_vma: anon_vma): void {
  const { root } = anon_vma;
  lockdep_assert_held_write(has('rmap_rwsem') ? root.rwsem : root.mutex, 'the lock of the root');
}

/** anon_vma_lock_read() v3.8; anon_vma_lock() v3.7. */
export function* lockForWalk(anon_vma: anon_vma): K {
  const root = anon_vma.root;
  if (has('rmap_rwsem')) {
    yield* down_read(root.rwsem);
    trace_lock_root({ anon_vma, root, mode: 'read' });
  } else {
    yield* mutex_lock(root.mutex);
    trace_lock_root({ anon_vma, root, mode: 'write' });
  }
}

function tryForWalk(root: anon_vma): boolean {
  return has('rmap_rwsem') ? down_read_trylock(root.rwsem) : mutex_trylock(root.mutex);
}

function unlockWalked(root: anon_vma): void {
  if (has('rmap_rwsem')) {
    up_read(root.rwsem);
  } else {
    mutex_unlock(root.mutex);
  }
}

function isRootLocked(root: anon_vma): boolean {
  return has('rmap_rwsem') ? rwsem_is_locked(root.rwsem) : mutex_is_locked(root.mutex);
}

/** anon_vma_unlock_read() v3.8; anon_vma_unlock() v3.7. */
export function unlockAfterWalk(anon_vma: anon_vma): void {
  unlockWalked(anon_vma.root);
}

/**
 * mm/rmap.c: anon_vma_free() v3.7. Preconditions: refcount is 0. A lookup may have got the lock of the root just
 * before the last reference went: it is waited for, because it relies on the object for as long as it holds it.
 */
export function* anon_vma_free(anon_vma: anon_vma): K {
  VM_BUG_ON(anon_vma.refcount !== 0, 'atomic_read(&anon_vma->refcount)');
  if (has('put_outside_rcu')) {
    might_sleep('anon_vma_free()');
  }
  if (isRootLocked(anon_vma.root)) {
    yield* anon_vma_lock(anon_vma);
    anon_vma_unlock(anon_vma);
  }
  trace_anon_vma_free({ anon_vma });
  anon_vma_cachep.free(anon_vma);
}

/**
 * mm/rmap.c: __put_anon_vma() v3.7, and with free_child_first v3.18. The other way round anon_vma_free() of the child
 * looks at the lock of a root that was freed.
 */
export function* __put_anon_vma(anon_vma: anon_vma): K {
  const root = anon_vma.root;
  if (has('free_child_first')) {
    yield* anon_vma_free(anon_vma);
    if (root !== anon_vma && anon_vma_dec_and_test(root)) {
      yield* anon_vma_free(root);
    }
    return;
  }
  if (root !== anon_vma && anon_vma_dec_and_test(root)) {
    yield* anon_vma_free(root);
  }
  yield* anon_vma_free(anon_vma);
}

/** include/linux/rmap.h: put_anon_vma() v3.7. */
export function* put_anon_vma(anon_vma: anon_vma): K {
  if (anon_vma_dec_and_test(anon_vma)) {
    yield* __put_anon_vma(anon_vma);
  }
}

/**
 * The reference that page_get_anon_vma() and the slow path of page_lock_anon_vma() take. Leaves the RCU read section
 * that it is called in. While the page is still mapped the anon_vma is the right one; if not, the object may
 * have been freed and be somebody else's, and the reference is given back: in 3.7 inside the RCU section,
 * although that may sleep.
 */
function* getStillMapped(page: page, anon_vma: anon_vma): K<anon_vma | null> {
  if (!get_anon_vma_not_zero(anon_vma)) {
    rcu_read_unlock();
    return null;
  }
  if (folio_mapped(page)) {
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

/** mm/rmap.c: page_get_anon_vma() v3.7: a reference to the anon_vma of a mapped page, or null. */
export function* page_get_anon_vma(page: page): K<anon_vma | null> {
  rcu_read_lock();
  const anon_mapping = page.mapping;
  if ((anon_mapping & FOLIO_MAPPING_FLAGS) !== FOLIO_MAPPING_ANON) {
    rcu_read_unlock();
    return null;
  }
  // In this order: what is mapped after the look at its mapping has not lost its anon_vma by then.
  if (!folio_mapped(page)) {
    rcu_read_unlock();
    return null;
  }
  const anon_vma = mapping_pointer(anon_mapping) as anon_vma;
  return yield* getStillMapped(page, anon_vma);
}

/**
 * mm/rmap.c: page_lock_anon_vma() v3.7, page_lock_anon_vma_read() v3.8, folio_lock_anon_vma_read() v5.19: the anon_vma
 * of a mapped page with its root locked, no reference taken; null if it is not mapped, or if `rwc` only tries.
 */
export function* page_lock_anon_vma(page: page, rwc: rmap_walk_control): K<anon_vma | null> {
  rcu_read_lock();
  const anon_mapping = page.mapping;
  if ((anon_mapping & FOLIO_MAPPING_FLAGS) !== FOLIO_MAPPING_ANON) {
    rcu_read_unlock();
    return null;
  }
  // In this order: what is mapped after the look at its mapping has not lost its anon_vma by then.
  if (!folio_mapped(page)) {
    rcu_read_unlock();
    return null;
  }
  const anon_vma = mapping_pointer(anon_mapping) as anon_vma;
  const root = anon_vma.root;
  if (tryForWalk(root)) {
    // Still mapped: then it is the page's anon_vma, and anon_vma_free() waits for the lock that we hold.
    if (!folio_mapped(page)) {
      unlockWalked(root);
      rcu_read_unlock();
      return null;
    }
    trace_lock_root({ anon_vma, root, mode: has('rmap_rwsem') ? 'read' : 'write' });
    rcu_read_unlock();
    return anon_vma;
  }
  if (rwc.try_lock === true) {
    rwc.contended = true;
    rcu_read_unlock();
    return null;
  }
  const pinned = yield* getStillMapped(page, anon_vma);
  if (pinned === null) {
    return null;
  }
  yield* lockForWalk(anon_vma);
  if (anon_vma_dec_and_test(anon_vma)) {
    // Ours was the last reference: put_anon_vma() would wait for the lock that we hold.
    unlockAfterWalk(anon_vma);
    yield* __put_anon_vma(anon_vma);
    return null;
  }
  return anon_vma;
}
