/**
 * mm/migrate.c v2.6.34: moving a page to another frame. Only RCU keeps the anon_vma of an unmapped page, which is
 * too little (with pin_anon_vma, 2.6.35, a count does).
 *
 * Lock tree: lock of the source -> lock of the target -> anon_vma lock or i_mmap_lock -> ptl.
 * Fidelity: dup for one page; buffers, KSM, memcg are left out.
 */
import type { K } from '../../../sim/wait.ts';
import { EAGAIN, ENOMEM } from '../../errno.ts';
import { spin_lock } from '../../kernel/locking/spinlock.ts';
import { rcu_read_lock, rcu_read_unlock } from '../../kernel/rcu.ts';
import { anon_rmap, has } from '../../kernel.ts';
import { BUG_ON } from '../../lib/bug.ts';
import type { anon_vma, mm_struct, page, vm_area_struct } from '../../mm_types.ts';
import { alloc_pages } from '../alloc_pages.ts';
import {
  trace_migrate_begin,
  trace_migrate_end,
  trace_remove_migration_pte,
  trace_walk_hit,
} from '../events.ts';
import { folio_lock, folio_trylock, folio_unlock, folio_wait_writeback } from '../folio_lock.ts';
import { GFP_HIGHUSER_MOVABLE } from '../gfp.ts';
import { isolateAt } from '../migrate.ts';
import { folio_get, folio_ref_count, folio_ref_freeze, folio_ref_unfreeze } from '../page_alloc.ts';
import { folio_mapping, page_cache_replace } from '../page_cache.ts';
import {
  folio_clear,
  folio_set,
  folio_test_anon,
  folio_test_clear,
  folio_test_swapbacked,
  folio_test_swapcache,
  folio_test_writeback,
  PG_active,
  PG_dirty,
  PG_mlocked,
  PG_referenced,
  PG_swapbacked,
  PG_swapcache,
  PG_unevictable,
  PG_uptodate,
} from '../page-flags.ts';
import {
  is_migration_entry,
  is_swap_pte,
  is_writable_migration_entry,
  lookupPte,
  migration_page,
  mk_pte,
  pte_mkold,
  pte_mkwrite,
  pte_unmap_unlock,
  ptep_get,
  ptlock_ptr,
  set_pte_at,
} from '../pgtable.ts';
import type { rmap_walk_control } from '../rmap/ops.ts';
import { folio_put, folio_putback_lru } from '../swap.ts';
import { __swap_cache_replace_folio } from '../swapfile.ts';
import {
  page_add_anon_rmap,
  page_add_file_rmap,
  page_mapped,
  rmap_walk,
  TTU_IGNORE_ACCESS,
  TTU_IGNORE_MLOCK,
  TTU_MIGRATION,
  try_to_unmap,
} from './rmap.ts';

/**
 * mm/migrate.c: remove_migration_pte() v2.6.34. `page` is the target; rwc.arg the one that entries name. The first
 * look is without the ptl: an entry that mremap() holds in its hand at this moment is not seen (until 3.1).
 */
function* remove_migration_pte(
  page: page,
  vma: vm_area_struct,
  addr: number,
  rwc: rmap_walk_control,
): K<boolean> {
  const mm = vma.vm_mm as mm_struct;
  const ptep = lookupPte(mm, addr);
  if (ptep === 0 || (!has('restore_under_ptl') && !is_swap_pte(ptep_get(ptep)))) {
    return true;
  }
  yield* spin_lock(ptlock_ptr(ptep));
  const entry = ptep_get(ptep);
  if (!is_migration_entry(entry) || migration_page(entry) !== rwc.arg) {
    pte_unmap_unlock(ptep);
    return true;
  }
  rwc.hits = (rwc.hits ?? 0) + 1;
  trace_walk_hit({ page, vma, address: addr });
  folio_get(page);
  let pte = pte_mkold(mk_pte(page, vma.vm_page_prot));
  if (is_writable_migration_entry(entry)) {
    pte = pte_mkwrite(pte);
  }
  set_pte_at(mm, addr, ptep, pte);
  trace_remove_migration_pte({ address: addr, pte, order: 0 });
  if (folio_test_anon(page)) {
    yield* page_add_anon_rmap(page, vma, addr);
  } else {
    page_add_file_rmap(page, vma, addr);
  }
  pte_unmap_unlock(ptep);
  return true;
}

/** mm/migrate.c: remove_migration_ptes() v2.6.34. Preconditions: both pages locked. */
function* remove_migration_ptes(old: page, page: page): K {
  yield* rmap_walk(page, {
    name: 'remove_migration_ptes',
    rmap_one: remove_migration_pte,
    arg: old,
  });
}

/**
 * mm/migrate.c: migrate_page_move_mapping() v2.6.34: the target takes the place in the cache. 0 or -EAGAIN. Atomic:
 * Linux holds tree_lock.
 */
function migrate_page_move_mapping(newpage: page, page: page): number {
  const mapping = folio_mapping(page);
  const swapcache = folio_test_swapcache(page);
  if (mapping === null && !swapcache) {
    return folio_ref_count(page) === 1 ? 0 : -EAGAIN;
  }
  // The cache's reference and ours.
  if (!folio_ref_freeze(page, 2)) {
    return -EAGAIN;
  }
  folio_get(newpage);
  if (swapcache) {
    folio_set(newpage, PG_swapcache);
    newpage.private = page.private;
    __swap_cache_replace_folio(newpage);
  } else if (mapping !== null) {
    page_cache_replace(mapping, newpage);
  }
  folio_ref_unfreeze(page, 1);
  return 0;
}

/** mm/migrate.c: migrate_page_copy() v2.6.34. */
function migrate_page_copy(newpage: page, page: page): void {
  newpage.content = page.content;
  for (const flag of [PG_referenced, PG_uptodate]) {
    if ((page.flags & flag) !== 0) {
      folio_set(newpage, flag);
    }
  }
  if (folio_test_clear(page, PG_active)) {
    folio_set(newpage, PG_active);
  } else if (folio_test_clear(page, PG_unevictable)) {
    folio_set(newpage, PG_unevictable);
  }
  if (folio_test_clear(page, PG_dirty)) {
    folio_set(newpage, PG_dirty);
  }
  // mlock_migrate_page(): nobody counts who has locked it, so that the flag must go along.
  if (folio_test_clear(page, PG_mlocked)) {
    folio_set(newpage, PG_mlocked);
  }
  folio_clear(page, PG_swapcache);
  page.private = 0;
}

/** mm/migrate.c: move_to_new_page() v2.6.34. 0 or -EAGAIN. */
function* move_to_new_page(newpage: page, page: page, remap: boolean): K<number> {
  BUG_ON(!folio_trylock(newpage), '!trylock_page(newpage)');
  newpage.index = page.index;
  newpage.mapping = page.mapping;
  if (folio_test_swapbacked(page)) {
    folio_set(newpage, PG_swapbacked);
  }
  const rc = migrate_page_move_mapping(newpage, page);
  if (rc === 0) {
    migrate_page_copy(newpage, page);
    if (remap) {
      yield* remove_migration_ptes(page, newpage);
    }
    // 2.6.34 forgets the mapping before. But it does not count migration entries when it zaps them, and later kernels do.
    page.mapping = 0;
  } else {
    newpage.mapping = 0;
  }
  folio_unlock(newpage);
  return rc;
}

/** The middle of unmap_and_move(), with the page locked. 0 or -EAGAIN. */
function* moveLocked(newpage: page, page: page): K<number> {
  let rc = -EAGAIN;
  let pinned: anon_vma | null = null;
  let remap = true;
  const anon = folio_test_anon(page);
  const { pins } = anon_rmap();
  const rcu = anon && anon_rmap().sleeps !== true;
  if (rcu) {
    rcu_read_lock();
  }
  if (anon && pins !== undefined && has('pin_anon_vma')) {
    pinned = yield* pins.pinAnonVma(page);
    if (pinned === null && folio_test_swapcache(page)) {
      // Nothing maps it, nothing must be restored, and its anon_vma may be gone.
      remap = false;
    } else if (pinned === null) {
      if (rcu) {
        rcu_read_unlock();
      }
      return rc;
    }
  }
  if (page.mapping !== 0) {
    yield* try_to_unmap(page, TTU_MIGRATION | TTU_IGNORE_MLOCK | TTU_IGNORE_ACCESS);
  }
  if (!page_mapped(page)) {
    rc = yield* move_to_new_page(newpage, page, remap);
  }
  if (rc !== 0 && remap) {
    yield* remove_migration_ptes(page, page);
  }
  if (pins !== undefined && pinned !== null) {
    yield* pins.unpinAnonVma(pinned);
  }
  if (rcu) {
    rcu_read_unlock();
  }
  return rc;
}

/** mm/migrate.c: unmap_and_move() v2.6.34 with force. 0, -EAGAIN or -ENOMEM. The isolated page is put back or freed. */
function* unmap_and_move(page: page): K<number> {
  const newpage = yield* alloc_pages(GFP_HIGHUSER_MOVABLE, 0);
  if (newpage === null) {
    folio_putback_lru(page);
    return -ENOMEM;
  }
  trace_migrate_begin({ src: page, dst: newpage });
  let rc = 0;
  if (folio_ref_count(page) > 1) {
    if (!folio_trylock(page)) {
      yield* folio_lock(page);
    }
    if (folio_test_writeback(page)) {
      yield* folio_wait_writeback(page);
    }
    rc = yield* moveLocked(newpage, page);
    folio_unlock(page);
  }
  trace_migrate_end({ src: page, dst: newpage, result: rc });
  if (rc === 0) {
    folio_put(page);
  } else {
    folio_putback_lru(page);
  }
  // The target goes to the LRU, or, unused, back to the allocator.
  if (rc === 0 && newpage.mapping !== 0) {
    folio_putback_lru(newpage);
  } else {
    folio_put(newpage);
  }
  return rc;
}

/** What move_pages() or compaction does to the page that task number `task` maps at `address`. 0 or a negative errno. */
export function* migrateAt(task: number, address: number): K<number> {
  const page = isolateAt(task, address);
  if (typeof page === 'number') {
    return page;
  }
  return yield* unmap_and_move(page);
}
