/**
 * mm/objrmap.c of 2.6.5-aa: anon_vma as Andrea Arcangeli wrote it. What differs from 2.6.7, which took most of it over:
 * anon_vma_prepare() relies on mmap_sem, which faults hold for read, and never looks at neighbours; a walk visits
 * every VMA; try_to_unmap() does not look again whether an entry was used.
 *
 * Lock tree: page lock -> PG_maplock -> anon_vma lock -> try of page_table_lock. Fidelity: dup; anon_vma_t,
 * anon_vma_lock and anon_vma_head have the names of 2.6.7; walks over files are those of 2.6.7.
 */
import type { K } from '../../../sim/wait.ts';
import { ENOMEM } from '../../errno.ts';
import { might_sleep } from '../../kernel/locking/rwsem.ts';
import { BUG_ON } from '../../lib/bug.ts';
import { list_add, list_empty, list_entries } from '../../lib/list.ts';
import {
  type anon_vma,
  type mm_struct,
  type page,
  vm_area_cachep,
  type vm_area_struct,
} from '../../mm_types.ts';
import { trace_anon_vma_link, trace_anon_vma_prepare } from '../events.ts';
import { folio_anon_vma, folio_test_swapcache } from '../page-flags.ts';
import {
  anon_vma_alloc,
  anon_vma_maplock_ops,
  clear_page_anon,
  lockAnonVma,
  maplock_hooks,
  unlockAnonVma,
} from './anon_vma_maplock.ts';
import { type early_rmap_ops, type rmap_spare, SWAP_AGAIN, SWAP_FAIL } from './early_ops.ts';
import {
  beginAnonWalk,
  endWalk,
  mapcount_of,
  page_referenced_one,
  pageReferenced,
  try_to_unmap_one,
  tryToUnmap,
} from './objrmap.ts';
import type { anon_rmap_ops } from './ops.ts';
import { vma_address } from './vma_address.ts';

const vma_of_node = vm_area_cachep.container('anon_vma_chain');

/**
 * mm/objrmap.c: anon_vma_prepare() of -aa. 0 or -ENOMEM. Preconditions: mmap_sem, for read only: two threads that fault
 * the same VMA can both find it without an anon_vma.
 */
function* anon_vma_prepare(vma: vm_area_struct): K<number> {
  might_sleep('anon_vma_prepare()');
  if (vma.anon_vma !== null) {
    return 0;
  }
  const anon_vma = anon_vma_alloc();
  if (anon_vma === null) {
    return -ENOMEM;
  }
  vma.anon_vma = anon_vma;
  list_add(vma.anon_vma_chain, anon_vma.head);
  trace_anon_vma_link({ vma, anon_vma });
  trace_anon_vma_prepare({ vma, anon_vma, reused: 0 });
  return 0;
}

/** mm/objrmap.c: page_referenced_anon() of -aa. Preconditions: PG_maplock. */
function* page_referenced_anon(page: page): K<number> {
  const anon_vma = folio_anon_vma(page) as anon_vma;
  let referenced = 0;
  yield* lockAnonVma(anon_vma);
  BUG_ON(list_empty(anon_vma.head), 'list_empty(&anon_vma->anon_vma_head)');
  const walk = beginAnonWalk(page, anon_vma, 'page_referenced');
  for (const link of list_entries(anon_vma.head)) {
    const vma = vma_of_node(link);
    const address = vma_address(vma, page.index, 1);
    if (address >= 0) {
      const young = yield* page_referenced_one(walk, vma.vm_mm as mm_struct, vma, address);
      referenced = referenced + young;
    }
  }
  endWalk(walk);
  unlockAnonVma(anon_vma);
  return referenced;
}

/** mm/objrmap.c: try_to_unmap_anon() of -aa. SWAP_AGAIN or SWAP_FAIL. Preconditions: page lock, PG_maplock. */
function* try_to_unmap_anon(page: page): K<number> {
  if (!folio_test_swapcache(page)) {
    return SWAP_AGAIN;
  }
  const anon_vma = folio_anon_vma(page) as anon_vma;
  let ret = SWAP_AGAIN;
  yield* lockAnonVma(anon_vma);
  BUG_ON(list_empty(anon_vma.head), 'list_empty(&anon_vma->anon_vma_head)');
  const walk = beginAnonWalk(page, anon_vma, 'try_to_unmap');
  for (const link of list_entries(anon_vma.head)) {
    const vma = vma_of_node(link);
    const address = vma_address(vma, page.index, 1);
    if (address >= 0) {
      ret = yield* try_to_unmap_one(walk, vma.vm_mm as mm_struct, vma, address);
      if (ret === SWAP_FAIL || mapcount_of(page) === 0) {
        break;
      }
    }
  }
  endWalk(walk);
  unlockAnonVma(anon_vma);
  return ret;
}

function* page_referenced(page: page): K<number> {
  return yield* pageReferenced(page, page_referenced_anon);
}

function* try_to_unmap(page: page): K<number> {
  return yield* tryToUnmap(page, try_to_unmap_anon, clear_page_anon);
}

function* rmap_prepare(vma: vm_area_struct, file: boolean): K<rmap_spare | number> {
  if (file) {
    return null;
  }
  const error = yield* anon_vma_prepare(vma);
  return error === 0 ? null : error;
}

const hooks: early_rmap_ops = { ...maplock_hooks, rmap_prepare, page_referenced, try_to_unmap };

/** The mechanism of 2.6.5-aa as a preset names it. */
export const anon_vma_aa_ops: anon_rmap_ops = {
  ...anon_vma_maplock_ops,
  name: 'anon_vma, -aa',
  anon_vma_prepare,
  early: hooks,
};
