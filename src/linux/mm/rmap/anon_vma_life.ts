/**
 * mm/rmap.c and include/linux/rmap.h v6.18: the anon_vma as an object: allocation, reference count,
 * the lock of its root, and how a page finds and locks its anon_vma without holding anything.
 *
 * Lock tree: anon_vma.root->rwsem, inside the folio lock and mapping->i_mmap_rwsem, outside
 * page_table_lock and the ptls. Fidelity: dup.
 */
import type { K } from '../../../sim/wait.ts';
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
import { anon_rmap } from '../../kernel.ts';
import { VM_BUG_ON, VM_BUG_ON_VMA } from '../../lib/bug.ts';
import { type anon_vma, anon_vma_cachep, type folio, type vm_area_struct } from '../../mm_types.ts';
import {
  trace_anon_vma_alloc,
  trace_anon_vma_free,
  trace_anon_vma_merge,
  trace_lock_root,
} from '../events.ts';
import { should_failslab } from '../failslab.ts';
import { folio_mapped } from '../large_folio.ts';
import { FOLIO_MAPPING_ANON, FOLIO_MAPPING_FLAGS, mapping_pointer } from '../page-flags.ts';
import type { rmap_walk_control } from './ops.ts';

/** anon_vma_lock_write(). */
export function* anon_vma_lock_write(anon_vma: anon_vma): K {
  yield* down_write(anon_vma.root.rwsem);
  trace_lock_root({ anon_vma, root: anon_vma.root, mode: 'write' });
}

/** anon_vma_unlock_write(). */
export function anon_vma_unlock_write(anon_vma: anon_vma): void {
  up_write(anon_vma.root.rwsem);
}

/** anon_vma_lock_read(). */
export function* anon_vma_lock_read(anon_vma: anon_vma): K {
  yield* down_read(anon_vma.root.rwsem);
  trace_lock_root({ anon_vma, root: anon_vma.root, mode: 'read' });
}

/** anon_vma_trylock_read(). */
export function anon_vma_trylock_read(anon_vma: anon_vma): boolean {
  if (!down_read_trylock(anon_vma.root.rwsem)) {
    return false;
  }
  trace_lock_root({ anon_vma, root: anon_vma.root, mode: 'read' });
  return true;
}

/** anon_vma_unlock_read(). */
export function anon_vma_unlock_read(anon_vma: anon_vma): void {
  up_read(anon_vma.root.rwsem);
}

/** get_anon_vma(). */
export function get_anon_vma(anon_vma: anon_vma): void {
  anon_vma.refcount = anon_vma.refcount + 1;
}

/** atomic_inc_not_zero(&anon_vma->refcount). */
export function get_anon_vma_not_zero(anon_vma: anon_vma): boolean {
  if (anon_vma.refcount === 0) {
    return false;
  }
  anon_vma.refcount = anon_vma.refcount + 1;
  return true;
}

/** atomic_dec_and_test(&anon_vma->refcount). */
export function anon_vma_dec_and_test(anon_vma: anon_vma): boolean {
  anon_vma.refcount = anon_vma.refcount - 1;
  return anon_vma.refcount === 0;
}

/** mm/rmap.c: anon_vma_alloc() v6.18. NULL when memory is short. */
export function anon_vma_alloc(): anon_vma | null {
  if (should_failslab()) {
    return null;
  }
  const anon_vma = anon_vma_cachep.alloc();
  anon_vma.refcount = 1;
  anon_vma.num_children = 0;
  anon_vma.num_active_vmas = 0;
  anon_vma.parent = anon_vma;
  // Its own root until fork makes it a child.
  anon_vma.root = anon_vma;
  trace_anon_vma_alloc({ anon_vma });
  return anon_vma;
}

/**
 * mm/rmap.c: anon_vma_free() v6.18. Preconditions: refcount is 0, the caller may sleep.
 *
 * folio_lock_anon_vma_read() may have got the lock by trylock just before the last reference went: then
 * the memory must not be reused before that reader has looked at folio_mapped() and gone, so a locked
 * root is locked once more before the object is freed.
 */
export function* anon_vma_free(anon_vma: anon_vma): K {
  VM_BUG_ON(anon_vma.refcount !== 0, 'atomic_read(&anon_vma->refcount)');
  might_sleep('anon_vma_free()');
  if (rwsem_is_locked(anon_vma.root.rwsem)) {
    yield* anon_vma_lock_write(anon_vma);
    anon_vma_unlock_write(anon_vma);
  }
  trace_anon_vma_free({ anon_vma });
  anon_vma_cachep.free(anon_vma);
}

/** mm/rmap.c: __put_anon_vma() v6.18: the last reference is gone; a child also gives up its root's. */
export function* __put_anon_vma(anon_vma: anon_vma): K {
  const root = anon_vma.root;
  yield* anon_vma_free(anon_vma);
  if (root !== anon_vma && anon_vma_dec_and_test(root)) {
    yield* anon_vma_free(root);
  }
}

/** include/linux/rmap.h: put_anon_vma() v6.18. */
export function* put_anon_vma(anon_vma: anon_vma): K {
  if (anon_vma_dec_and_test(anon_vma)) {
    yield* __put_anon_vma(anon_vma);
  }
}

/** include/linux/rmap.h: anon_vma_merge() v6.18: `next` was swallowed by `vma`, which has the same chain. */
export function* anon_vma_merge(vma: vm_area_struct, next: vm_area_struct): K {
  VM_BUG_ON_VMA(vma.anon_vma !== next.anon_vma, vma, 'vma->anon_vma != next->anon_vma');
  trace_anon_vma_merge({ vma, next });
  yield* anon_rmap().unlink_anon_vmas(next);
}

/**
 * mm/rmap.c: folio_get_anon_vma() v6.18: a reference to the folio's anon_vma, or NULL. Nothing keeps the
 * folio mapped, so the anon_vma found may be freed and reused at any step: the slab keeps its type, the
 * count is only taken if it is not zero, and a folio still mapped afterwards proves that it is the right one.
 */
export function* folio_get_anon_vma(folio: folio): K<anon_vma | null> {
  let anon_vma: anon_vma | null = null;
  rcu_read_lock();
  const anon_mapping = folio.mapping;
  if ((anon_mapping & FOLIO_MAPPING_FLAGS) !== FOLIO_MAPPING_ANON) {
    rcu_read_unlock();
    return null;
  }
  if (!folio_mapped(folio)) {
    rcu_read_unlock();
    return null;
  }
  anon_vma = mapping_pointer(anon_mapping) as anon_vma;
  if (!get_anon_vma_not_zero(anon_vma)) {
    rcu_read_unlock();
    return null;
  }
  if (!folio_mapped(folio)) {
    rcu_read_unlock();
    yield* put_anon_vma(anon_vma);
    return null;
  }
  rcu_read_unlock();
  return anon_vma;
}

/**
 * mm/rmap.c: folio_lock_anon_vma_read() v6.18: the folio's anon_vma with its root locked for read, no
 * reference taken; NULL if the folio is not anonymous or no longer mapped, or if `rwc` only tries.
 *
 * The fast path trusts that a mapped folio keeps its VMA linked and that anon_vma_free() waits for a
 * locked root. The slow path needs a reference across the sleep.
 */
export function* folio_lock_anon_vma_read(
  folio: folio,
  rwc: rmap_walk_control | null,
): K<anon_vma | null> {
  for (;;) {
    rcu_read_lock();
    const anon_mapping = folio.mapping;
    if ((anon_mapping & FOLIO_MAPPING_FLAGS) !== FOLIO_MAPPING_ANON) {
      rcu_read_unlock();
      return null;
    }
    if (!folio_mapped(folio)) {
      rcu_read_unlock();
      return null;
    }
    const anon_vma = mapping_pointer(anon_mapping) as anon_vma;
    const root_anon_vma = anon_vma.root;
    if (down_read_trylock(root_anon_vma.rwsem)) {
      // folio_move_anon_rmap() needs the folio lock, which the caller may not hold.
      if (folio.mapping !== anon_mapping) {
        up_read(root_anon_vma.rwsem);
        rcu_read_unlock();
        continue;
      }
      // Still mapped: then it is the folio's anon_vma and cannot go while its root is locked.
      if (!folio_mapped(folio)) {
        up_read(root_anon_vma.rwsem);
        rcu_read_unlock();
        return null;
      }
      rcu_read_unlock();
      trace_lock_root({ anon_vma, root: root_anon_vma, mode: 'read' });
      return anon_vma;
    }
    if (rwc?.try_lock === true) {
      rwc.contended = true;
      rcu_read_unlock();
      return null;
    }
    if (!get_anon_vma_not_zero(anon_vma)) {
      rcu_read_unlock();
      return null;
    }
    if (!folio_mapped(folio)) {
      rcu_read_unlock();
      yield* put_anon_vma(anon_vma);
      return null;
    }
    rcu_read_unlock();
    yield* anon_vma_lock_read(anon_vma);
    if (folio.mapping !== anon_mapping) {
      anon_vma_unlock_read(anon_vma);
      yield* put_anon_vma(anon_vma);
      continue;
    }
    if (anon_vma_dec_and_test(anon_vma)) {
      // Ours was the last reference: put_anon_vma() would wait for the lock that we hold.
      anon_vma_unlock_read(anon_vma);
      yield* __put_anon_vma(anon_vma);
      return null;
    }
    return anon_vma;
  }
}
