/**
 * mm/mlock.c v2.6.34: a page that one VMA less has locked: munlock(), munmap(), and from 2.6.38 on a copy on write. Lock
 * tree: page lock -> anon_vma lock or i_mmap_lock -> ptl, try of mmap_sem. Fidelity: dup.
 */
import type { K } from '../../../sim/wait.ts';
import { BUG_ON } from '../../lib/bug.ts';
import type { page } from '../../mm_types.ts';
import { folio_clear, folio_test_locked, folio_test_mlocked, PG_mlocked } from '../page-flags.ts';
import { folio_isolate_lru, folio_putback_lru } from '../swap.ts';
import { try_to_munlock } from './rmap.ts';

/**
 * mm/mlock.c: munlock_vma_page() v2.6.34. Preconditions: page lock. There is no count: whether another VMA has the page
 * locked is found out by a walk, which takes mmap_sem of each by trying only.
 */
export function* munlock_vma_page(page: page): K {
  BUG_ON(!folio_test_locked(page), '!PageLocked(page)');
  if (!folio_test_mlocked(page)) {
    return;
  }
  folio_clear(page, PG_mlocked);
  if (folio_isolate_lru(page)) {
    yield* try_to_munlock(page);
    folio_putback_lru(page);
  }
}
