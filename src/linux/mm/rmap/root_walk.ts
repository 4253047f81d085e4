/**
 * mm/rmap.c with Mel Gorman's patch of May 2010 ("mm,migration: Prevent rmap_walk_[anon|ksm] seeing the wrong VMA
 * information"), posted against 2.6.34-rc7 and never merged: rmap_walk() begins at the oldest anon_vma, holds its
 * lock over the whole walk, and takes the lock of each VMA's own anon_vma inside, which is the one vma_adjust() takes.
 *
 * Nothing points to the root: it is found through the list of the page's anon_vma. Lock tree: root's anon_vma.lock ->
 * anon_vma.lock of a VMA -> ptl; the root's lock orders all who nest. Fidelity: dup; no KSM.
 */
import type { K } from '../../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { list_empty, list_entries, list_next, list_prev } from '../../lib/list.ts';
import { type anon_vma, anon_vma_chain_cachep, type folio, type page } from '../../mm_types.ts';
import { trace_lock_root, trace_walk_begin, trace_walk_end, trace_walk_visit } from '../events.ts';
import { folio_anon_vma } from '../page-flags.ts';
import type { rmap_walk_control } from './ops.ts';
import { vma_address } from './vma_address.ts';

const avc_of_same_vma = anon_vma_chain_cachep.container('same_vma');
const avc_of_same_anon_vma = anon_vma_chain_cachep.container('same_anon_vma');

/**
 * anon_vma_lock_root() of the patch: the locked root, or null if nothing is on the list. Preconditions: an RCU read
 * section. Between the two locks nothing but that keeps the root: it can only go when every VMA of the list has gone.
 */
function* anon_vma_lock_root(anon_vma: anon_vma): K<anon_vma | null> {
  yield* spin_lock(anon_vma.lock);
  if (list_empty(anon_vma.head)) {
    spin_unlock(anon_vma.lock);
    return null;
  }
  // The chain of another mm, without its mmap_sem: only the last link is looked at, which stays while we hold the lock.
  const avc = avc_of_same_anon_vma(list_next(anon_vma.head));
  const root = avc_of_same_vma(list_prev(avc.vma.anon_vma_chain)).anon_vma;
  if (root !== anon_vma) {
    spin_unlock(anon_vma.lock);
    yield* spin_lock(root.lock);
  }
  trace_lock_root({ anon_vma, root, mode: 'write' });
  return root;
}

/** page_anon_vma_lock_root() of the patch. */
function* page_anon_vma_lock_root(page: page): K<anon_vma | null> {
  const anon_vma = folio_anon_vma(page);
  return anon_vma === null ? null : yield* anon_vma_lock_root(anon_vma);
}

/** anon_vma_lock_nested() of the patch: gives up the lock of the VMA before, takes that of this one unless it is the root's. */
function* anon_vma_lock_nested(
  prev: anon_vma | null,
  next: anon_vma | null,
  root: anon_vma,
): K<anon_vma | null> {
  if (prev !== null) {
    spin_unlock(prev.lock);
  }
  if (next === null || next === root) {
    return null;
  }
  yield* spin_lock(next.lock);
  trace_lock_root({ anon_vma: next, root, mode: 'nested' });
  return next;
}

/**
 * rmap_walk_anon() of the patch: every VMA of the whole family, whatever the page. Preconditions: page lock, an RCU
 * read section or a count on the page's anon_vma.
 */
export function* walkFromRoot(page: folio, rwc: rmap_walk_control): K {
  const root = yield* page_anon_vma_lock_root(page);
  if (root === null) {
    return;
  }
  const index = page.index;
  let visits = 0;
  let stopped = 0;
  let nested: anon_vma | null = null;
  trace_walk_begin({ page, anon_vma: root, index, purpose: rwc.name });
  for (const link of list_entries(root.head)) {
    const vma = avc_of_same_anon_vma(link).vma;
    nested = yield* anon_vma_lock_nested(nested, vma.anon_vma, root);
    const address = vma_address(vma, index, 1);
    if (address < 0) {
      continue;
    }
    visits = visits + 1;
    trace_walk_visit({ page, vma, anon_vma: root, address });
    if (!(yield* rwc.rmap_one(page, vma, address, rwc))) {
      stopped = 1;
      break;
    }
  }
  trace_walk_end({ page, visits, hits: rwc.hits ?? 0, stopped });
  if (nested !== null) {
    spin_unlock(nested.lock);
  }
  spin_unlock(root.lock);
}
