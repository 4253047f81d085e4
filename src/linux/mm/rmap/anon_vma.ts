/**
 * mm/rmap.c and include/linux/rmap.h v2.6.33: one anon_vma a family. VMAs related by fork or by a split are on the
 * list of one anon_vma, which is a lock and a list head and lives as long as somebody is on the list.
 *
 * There is no link object: the VMA's own node (vma->anon_vma_node, in the words of anon_vma_chain) is on the list, and
 * vma_adjust() and vma_link() change the list in the critical section in which they change the bounds.
 *
 * Lock tree: page lock -> i_mmap_lock -> anon_vma.lock -> page_table_lock, ptls. Fidelity: dup; ksm_refcount is left out.
 */
import { read_heap } from '../../../sim/cpu.ts';
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { lockdep_assert_held } from '../../kernel/locking/lockdep.ts';
import { might_sleep } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { rcu_read_lock, rcu_read_unlock } from '../../kernel/rcu.ts';
import { BUG_ON, VM_BUG_ON_VMA } from '../../lib/bug.ts';
import {
  INIT_LIST_HEAD,
  list_add_tail,
  list_del,
  list_empty,
  list_entries,
} from '../../lib/list.ts';
import {
  type anon_vma,
  anon_vma_cachep,
  type folio,
  type mm_struct,
  type page,
  vm_area_cachep,
  type vm_area_struct,
} from '../../mm_types.ts';
import { find_mergeable_anon_vma } from '../classic/vma_merge.ts';
import {
  trace_anon_vma_alloc,
  trace_anon_vma_free,
  trace_anon_vma_link,
  trace_anon_vma_merge,
  trace_anon_vma_prepare,
  trace_anon_vma_unlink,
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
import { visitVmas } from './visit_vmas.ts';

const vma_of_node = vm_area_cachep.container('anon_vma_chain');

/** spin_lock(&anon_vma->lock). */
export function* anon_vma_lock(anon_vma: anon_vma): K {
  yield* spin_lock(anon_vma.lock);
  trace_lock_root({ anon_vma, root: anon_vma, mode: 'write' });
}

/** spin_unlock(&anon_vma->lock). */
export function anon_vma_unlock(anon_vma: anon_vma): void {
  spin_unlock(anon_vma.lock);
}

/**
 * mm/rmap.c: anon_vma_alloc() v2.6.33. The constructor ran once for the slot: a recycled anon_vma has an empty list
 * and a lock that page_lock_anon_vma() may still be spinning on.
 */
function anon_vma_alloc(): anon_vma | null {
  if (should_failslab()) {
    return null;
  }
  const anon_vma = anon_vma_cachep.alloc();
  if (read_heap(anon_vma.head) === 0) {
    INIT_LIST_HEAD(anon_vma.head);
  }
  // For readers of all kernels' anon_vmas: this scheme knows no families of anon_vmas.
  anon_vma.root = anon_vma;
  trace_anon_vma_alloc({ anon_vma });
  return anon_vma;
}

/** mm/rmap.c: anon_vma_free() v2.6.33. */
function* anon_vma_free(anon_vma: anon_vma): K {
  trace_anon_vma_free({ anon_vma });
  anon_vma_cachep.free(anon_vma);
}

/**
 * mm/rmap.c: anon_vma_prepare() v2.6.33. 0 or -ENOMEM. Preconditions: mmap_sem held, for read at least;
 * page_table_lock keeps out threads that fault the same VMA. The lock of a fresh anon_vma is taken too: somebody may
 * still have found the object it was before.
 */
export function* anon_vma_prepare(vma: vm_area_struct): K<number> {
  might_sleep('anon_vma_prepare()');
  if (vma.anon_vma !== null) {
    return 0;
  }
  const mm = vma.vm_mm as mm_struct;
  lockdep_assert_held(mm.mmap_lock, 'mmap_sem');
  let anon_vma = find_mergeable_anon_vma(vma);
  let allocated: anon_vma | null = null;
  const reused = anon_vma !== null ? 1 : 0;
  if (anon_vma === null) {
    anon_vma = anon_vma_alloc();
    if (anon_vma === null) {
      return -ENOMEM;
    }
    allocated = anon_vma;
  }
  yield* anon_vma_lock(anon_vma);
  yield* spin_lock(mm.page_table_lock);
  if (vma.anon_vma === null) {
    vma.anon_vma = anon_vma;
    list_add_tail(vma.anon_vma_chain, anon_vma.head);
    trace_anon_vma_link({ vma, anon_vma });
    trace_anon_vma_prepare({ vma, anon_vma, reused });
    allocated = null;
  }
  spin_unlock(mm.page_table_lock);
  anon_vma_unlock(anon_vma);
  if (allocated !== null) {
    yield* anon_vma_free(allocated);
  }
  return 0;
}

/** mm/rmap.c: __anon_vma_merge() v2.6.33. Preconditions: the lock of the anon_vma. */
function __anon_vma_merge(vma: vm_area_struct, next: vm_area_struct): void {
  VM_BUG_ON_VMA(vma.anon_vma !== next.anon_vma, vma, 'vma->anon_vma != next->anon_vma');
  list_del(next.anon_vma_chain);
  trace_anon_vma_merge({ vma, next });
}

/** mm/rmap.c: __anon_vma_link() v2.6.33. Preconditions: the lock of vma->anon_vma, if there is one. */
function __anon_vma_link(vma: vm_area_struct): void {
  const anon_vma = vma.anon_vma;
  if (anon_vma !== null) {
    list_add_tail(vma.anon_vma_chain, anon_vma.head);
    trace_anon_vma_link({ vma, anon_vma });
  }
}

/** mm/rmap.c: anon_vma_link() v2.6.33: the child's VMA joins the list of its parent's. It needs no memory. */
export function* anon_vma_link(vma: vm_area_struct): K {
  const anon_vma = vma.anon_vma;
  if (anon_vma !== null) {
    yield* anon_vma_lock(anon_vma);
    list_add_tail(vma.anon_vma_chain, anon_vma.head);
    trace_anon_vma_link({ vma, anon_vma });
    anon_vma_unlock(anon_vma);
  }
}

/** mm/rmap.c: anon_vma_unlink() v2.6.33: the last VMA on the list takes the anon_vma with it. */
export function* anon_vma_unlink(vma: vm_area_struct): K {
  const anon_vma = vma.anon_vma;
  if (anon_vma === null) {
    return;
  }
  yield* anon_vma_lock(anon_vma);
  list_del(vma.anon_vma_chain);
  trace_anon_vma_unlink({ vma, anon_vma });
  const empty = list_empty(anon_vma.head);
  anon_vma_unlock(anon_vma);
  // Nobody can join an empty list: that takes a neighbour, or a parent, on it.
  if (empty) {
    yield* anon_vma_free(anon_vma);
  }
}

/** dup_mmap() links the child's VMA by anon_vma_link(); the name in the record is that of later kernels. */
function* linkForked(vma: vm_area_struct): K<number> {
  yield* anon_vma_link(vma);
  return 0;
}

/** vma_adjust() and vma_link() link by under_lock: nobody clones here. */
function* cloneNothing(): K<number> {
  BUG_ON(true, 'anon_vma_clone() in a kernel without anon_vma_chain');
  return 0;
}

/** vma_adjust() merges by under_lock. */
function* mergeNothing(): K {
  BUG_ON(true, 'anon_vma_merge() in a kernel without anon_vma_chain');
}

/**
 * mm/rmap.c: page_lock_anon_vma() v2.6.33: the locked anon_vma of a mapped page, in an RCU read section; null otherwise.
 * It may have been freed and reused meanwhile: then the walk visits VMAs that do not map the page and finds nothing.
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
  yield* anon_vma_lock(anon_vma);
  return anon_vma;
}

/** mm/rmap.c: page_unlock_anon_vma() v2.6.33. */
export function page_unlock_anon_vma(anon_vma: anon_vma): void {
  anon_vma_unlock(anon_vma);
  rcu_read_unlock();
}

/** VMAs on the list, oldest first: list_for_each_entry(vma, &anon_vma->head, anon_vma_node). */
function listed(anon_vma: anon_vma): vm_area_struct[] {
  return list_entries(anon_vma.head).map(vma_of_node);
}

/**
 * The lock and the loop of page_referenced_anon(), try_to_unmap_anon() and rmap_walk_anon() v2.6.33. The last cannot
 * look whether the page is mapped and relies on its caller's RCU read section.
 */
export function* walkFamily(page: folio, rwc: rmap_walk_control, locked: boolean): K {
  if (rwc.by_lookup === true && !locked) {
    const found = yield* page_lock_anon_vma(page);
    if (found !== null) {
      yield* visitVmas(page, rwc, found, listed(found));
      page_unlock_anon_vma(found);
    }
    return;
  }
  const anon_vma = folio_anon_vma(page);
  if (anon_vma === null) {
    return;
  }
  if (!locked) {
    yield* anon_vma_lock(anon_vma);
  }
  yield* visitVmas(page, rwc, anon_vma, listed(anon_vma));
  if (!locked) {
    anon_vma_unlock(anon_vma);
  }
}

/** The mechanism of 2.6.33 as a preset names it. */
export const anon_vma_ops: anon_rmap_ops = {
  name: 'anon_vma, one a family',
  shape: 'vma_list',
  anon_vma_prepare,
  anon_vma_clone: cloneNothing,
  anon_vma_fork: linkForked,
  anon_vma_merge: mergeNothing,
  unlink_anon_vmas: anon_vma_unlink,
  under_lock: { __anon_vma_link, __anon_vma_merge },
  anon_vma_lock,
  anon_vma_unlock,
  shared_anon_vma: (vma) => vma.anon_vma,
  rmap_walk_anon: walkFamily,
};
