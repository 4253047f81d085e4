/**
 * mm/migrate.c v6.18: moving a folio to another frame under the feet of everybody who maps it: the entries
 * become migration entries, the folio is copied, the entries are restored to the new one.
 *
 * Lock tree: folio lock of the source, then of the target; inside them the rmap locks and ptls.
 * Fidelity: dup for one small folio; batching, hugetlb, device memory are left out.
 */

import { taskBlock } from '../../sim/task.ts';
import type { K } from '../../sim/wait.ts';
import { EAGAIN, EBUSY, ENOENT, ENOMEM, ESRCH } from '../errno.ts';
import { VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import type {
  address_space,
  anon_vma,
  folio,
  mm_struct,
  page,
  task_struct,
  vm_area_struct,
} from '../mm_types.ts';
import { mem_map } from '../mm_types.ts';
import { alloc_pages } from './alloc_pages.ts';
import {
  deferred_split_folio,
  folio_deferred,
  folio_test_partially_mapped,
  folio_unqueue_deferred_split,
} from './deferred_split.ts';
import { trace_migrate_begin, trace_migrate_end, trace_remove_migration_pte } from './events.ts';
import { folio_lock, folio_trylock, folio_unlock, folio_wait_writeback } from './folio_lock.ts';
import { GFP_HIGHUSER_MOVABLE, GFP_TRANSHUGE } from './gfp.ts';
import { folio_migrate_ksm } from './ksm_page.ts';
import {
  folio_mapcount,
  folio_mapped,
  folio_nr_pages,
  folio_order,
  folio_test_pmd_mappable,
} from './large_folio.ts';
import { PAGE_SIZE, VM_LOCKED } from './mm.ts';
import { dec_mm_counter, mm_counter } from './mm_counter.ts';
import {
  folio_get,
  folio_ref_count,
  folio_ref_freeze,
  folio_ref_unfreeze,
  folio_try_get,
  page_folio,
  ZERO_PAGE,
  ZERO_PFN,
} from './page_alloc.ts';
import { folio_mapping, page_cache_replace } from './page_cache.ts';
import { compare_content } from './page_content.ts';
import {
  folio_vma_walk,
  PVMW_MIGRATION,
  PVMW_SYNC,
  page_vma_mapped_walk,
  type page_vma_mapped_walk as vma_mapped_walk,
} from './page_vma_mapped.ts';
import {
  folio_clear,
  folio_set,
  folio_test_anon,
  folio_test_clear,
  folio_test_dirty,
  folio_test_ksm,
  folio_test_large,
  folio_test_locked,
  folio_test_mlocked,
  folio_test_readahead,
  folio_test_referenced,
  folio_test_swapbacked,
  folio_test_swapcache,
  folio_test_uptodate,
  folio_test_workingset,
  folio_test_writeback,
  PG_active,
  PG_dirty,
  PG_readahead,
  PG_referenced,
  PG_swapbacked,
  PG_swapcache,
  PG_unevictable,
  PG_uptodate,
  PG_workingset,
} from './page-flags.ts';
import {
  is_migration_entry_dirty,
  is_migration_entry_young,
  is_readable_migration_entry,
  is_writable_migration_entry,
  lookupHugePmd,
  lookupPte,
  migration_pfn,
  mk_pte,
  pfn_pte,
  pte_mkdirty,
  pte_mkold,
  pte_mkspecial,
  pte_mkwrite,
  pte_page,
  pte_present,
  pte_special,
  ptep_get,
  set_pte_at,
} from './pgtable.ts';
import { remove_migration_pmd } from './pmd_migration.ts';
import { folio_get_anon_vma, put_anon_vma } from './rmap/anon_vma_life.ts';
import type { rmap_walk_control } from './rmap/ops.ts';
import {
  folio_add_anon_rmap_pte,
  folio_add_file_rmap_pte,
  RMAP_EXCLUSIVE,
  RMAP_NONE,
  rmap_walk,
  rmap_walk_locked,
} from './rmap.ts';
import { try_to_migrate } from './rmap_unmap.ts';
import {
  folio_add_lru,
  folio_isolate_lru,
  folio_put,
  folio_putback_lru,
  lru_add_drain,
  mlock_drain_local,
} from './swap.ts';
import { __swap_cache_replace_folio } from './swapfile.ts';

/** remove_migration_ptes() flags: the caller holds the rmap lock. */
export const RMP_LOCKED = 1;
/** After a split: pages of zeros give way to the zero page. */
export const RMP_USE_SHARED_ZEROPAGE = 2;

/** NR_MAX_MIGRATE_PAGES_RETRY. */
const NR_MAX_MIGRATE_PAGES_RETRY = 10;

/** struct rmap_walk_arg: the folio that the entries name. */
interface rmap_walk_arg {
  readonly folio: folio;
  readonly map_unused_to_zeropage: boolean;
}

/**
 * mm/migrate.c: try_to_map_unused_to_zeropage() v6.18: a page of a split folio that nobody wrote to. Preconditions: ptl,
 * page locked.
 */
function try_to_map_unused_to_zeropage(pvmw: vma_mapped_walk, page: page): boolean {
  const { vma } = pvmw;
  if (
    page.compound_head !== null ||
    folio_test_large(page) ||
    folio_test_mlocked(page) ||
    (vma.vm_flags & VM_LOCKED) !== 0 ||
    compare_content(page.content, ZERO_PAGE().content) !== 0
  ) {
    return false;
  }
  const mm = vma.vm_mm as mm_struct;
  const newpte = pte_mkspecial(pfn_pte(ZERO_PFN, vma.vm_page_prot));
  set_pte_at(mm, pvmw.address, pvmw.pte, newpte);
  dec_mm_counter(mm, mm_counter(page));
  return true;
}

/** mm/migrate.c: remove_migration_pte() v6.18. `folio` is the target; rwc.arg the folio the entries name. */
function* remove_migration_pte(
  folio: folio,
  vma: vm_area_struct,
  address: number,
  rwc: rmap_walk_control,
): K<boolean> {
  const { folio: old_folio, map_unused_to_zeropage } = rwc.arg as rmap_walk_arg;
  const mm = vma.vm_mm as mm_struct;
  const pvmw = folio_vma_walk(folio, vma, address, PVMW_SYNC | PVMW_MIGRATION, rwc, old_folio.pfn);
  while (yield* page_vma_mapped_walk(pvmw)) {
    if (pvmw.pte === 0) {
      VM_BUG_ON_FOLIO(!folio_test_pmd_mappable(folio), folio, '!folio_test_pmd_mappable(folio)');
      remove_migration_pmd(pvmw, folio);
      continue;
    }
    let rmap_flags = RMAP_NONE;
    const old_pte = ptep_get(pvmw.pte);
    const new_page = mem_map.at(folio.pfn + migration_pfn(old_pte) - old_folio.pfn);
    if (map_unused_to_zeropage && try_to_map_unused_to_zeropage(pvmw, new_page)) {
      continue;
    }
    folio_get(folio);
    let pte = mk_pte(new_page, vma.vm_page_prot);
    if (!is_migration_entry_young(old_pte)) {
      pte = pte_mkold(pte);
    }
    if (folio_test_dirty(folio) && is_migration_entry_dirty(old_pte)) {
      pte = pte_mkdirty(pte);
    }
    if (is_writable_migration_entry(old_pte)) {
      pte = pte_mkwrite(pte);
    }
    if (folio_test_anon(folio) && !is_readable_migration_entry(old_pte)) {
      rmap_flags = RMAP_EXCLUSIVE;
    }
    if (folio_test_anon(folio)) {
      folio_add_anon_rmap_pte(folio, new_page, vma, pvmw.address, rmap_flags);
    } else {
      folio_add_file_rmap_pte(folio, new_page, vma, pvmw.address);
    }
    set_pte_at(mm, pvmw.address, pvmw.pte, pte);
    if ((vma.vm_flags & VM_LOCKED) !== 0) {
      mlock_drain_local();
    }
    trace_remove_migration_pte({ address: pvmw.address, pte, order: folio_order(folio) });
  }
  return true;
}

/**
 * mm/migrate.c: remove_migration_ptes() v6.18: restores all entries that name `src` to `dst`, which has
 * src's mapping and index; dst = src undoes. Preconditions: both locked; a reference on the anon_vma.
 */
export function* remove_migration_ptes(src: folio, dst: folio, flags: number): K {
  const rwc: rmap_walk_control = {
    name: 'remove_migration_ptes',
    rmap_one: remove_migration_pte,
    arg: { folio: src, map_unused_to_zeropage: (flags & RMP_USE_SHARED_ZEROPAGE) !== 0 },
  };
  if ((flags & RMP_LOCKED) !== 0) {
    yield* rmap_walk_locked(dst, rwc);
  } else {
    yield* rmap_walk(dst, rwc);
  }
}

/** folio_expected_ref_count(): references of page tables, page cache and swap cache. */
export function folio_expected_ref_count(folio: folio): number {
  let ref_count = folio_mapcount(folio);
  if (folio_test_swapcache(folio)) {
    ref_count += folio_nr_pages(folio);
  }
  if (!folio_test_anon(folio) && folio.mapping !== 0) {
    ref_count += folio_nr_pages(folio);
  }
  return ref_count;
}

/**
 * mm/migrate.c: __folio_migrate_mapping() v6.18: `newfolio` takes the place of `folio` in the page cache or
 * swap cache. 0 or -EAGAIN. Atomic: Linux holds the i_pages or swap cluster lock and freezes the count.
 */
function __folio_migrate_mapping(
  mapping: address_space | null,
  newfolio: folio,
  folio: folio,
  expected_count: number,
): number {
  const cached = mapping !== null || folio_test_swapcache(folio);
  if (cached && !folio_ref_freeze(folio, expected_count)) {
    return -EAGAIN;
  }
  if (!cached && folio_test_large(folio)) {
    // Frozen meanwhile, so that deferred_split_scan() does not take it.
    if (folio_ref_count(folio) !== expected_count) {
      return -EAGAIN;
    }
    folio_unqueue_deferred_split(folio);
  }
  const nr = folio_nr_pages(folio);
  newfolio.index = folio.index;
  newfolio.mapping = folio.mapping;
  if (folio_test_swapbacked(folio)) {
    folio_set(newfolio, PG_swapbacked);
  }
  if (!cached) {
    return 0;
  }
  folio_unqueue_deferred_split(folio);
  folio_get(newfolio, nr);
  if (folio_test_swapcache(folio)) {
    folio_set(newfolio, PG_swapcache);
    newfolio.private = folio.private;
  }
  if (folio_test_clear(folio, PG_dirty)) {
    folio_set(newfolio, PG_dirty);
  }
  if (folio_test_swapcache(folio)) {
    __swap_cache_replace_folio(newfolio);
  } else if (mapping !== null) {
    page_cache_replace(mapping, newfolio);
  }
  folio_ref_unfreeze(folio, expected_count - nr);
  return 0;
}

/** mm/migrate.c: folio_migrate_flags() v6.18. */
function folio_migrate_flags(newfolio: folio, folio: folio): void {
  if (folio_test_referenced(folio)) {
    folio_set(newfolio, PG_referenced);
  }
  if (folio_test_uptodate(folio)) {
    folio_set(newfolio, PG_uptodate);
  }
  if (folio_test_clear(folio, PG_active)) {
    folio_set(newfolio, PG_active);
  } else if (folio_test_clear(folio, PG_unevictable)) {
    folio_set(newfolio, PG_unevictable);
  }
  if (folio_test_workingset(folio)) {
    folio_set(newfolio, PG_workingset);
  }
  if (folio_test_dirty(folio)) {
    folio_set(newfolio, PG_dirty);
  }
  folio_migrate_ksm(newfolio, folio);
  if (folio_test_swapcache(folio)) {
    folio_clear(folio, PG_swapcache);
  }
  folio.private = 0;
  if (folio_test_readahead(folio)) {
    folio_set(newfolio, PG_readahead);
  }
}

/** folio_mc_copy(): the contents of all pages. */
function folio_copy(dst: folio, src: folio): void {
  const nr = folio_nr_pages(src);
  for (let i = 0; i < nr; i++) {
    mem_map.at(dst.pfn + i).content = mem_map.at(src.pfn + i).content;
  }
}

/** mm/migrate.c: __migrate_folio() v6.18: contents, place in the cache, flags. 0 or -EAGAIN. */
function* migrate_folio(mapping: address_space | null, dst: folio, src: folio): K<number> {
  // Ours, from the isolation.
  const expected_count = folio_expected_ref_count(src) + 1;
  if (folio_ref_count(src) !== expected_count) {
    return -EAGAIN;
  }
  folio_copy(dst, src);
  const rc = __folio_migrate_mapping(mapping, dst, src, expected_count);
  if (rc !== 0) {
    return rc;
  }
  folio_migrate_flags(dst, src);
  return 0;
}

/** mm/migrate.c: move_to_new_folio() v6.18. */
function* move_to_new_folio(dst: folio, src: folio): K<number> {
  VM_BUG_ON_FOLIO(!folio_test_locked(src), src, '!folio_test_locked(src)');
  VM_BUG_ON_FOLIO(!folio_test_locked(dst), dst, '!folio_test_locked(dst)');
  const mapping = folio_mapping(src);
  const rc = yield* migrate_folio(mapping, dst, src);
  if (rc === 0 && !folio_test_anon(src)) {
    // Anonymous folios stay anonymous until they are freed.
    src.mapping = 0;
  }
  return rc;
}

/** What is remembered between unmapping and moving (in dst->private in Linux). */
interface migration {
  readonly dst: folio;
  anon_vma: anon_vma | null;
  was_mapped: boolean;
  was_mlocked: boolean;
}

/** mm/migrate.c: migrate_folio_undo_src() v6.18. */
function* migrate_folio_undo_src(src: folio, state: migration, locked: boolean): K {
  if (state.was_mapped) {
    yield* remove_migration_ptes(src, src, 0);
  }
  if (state.anon_vma !== null) {
    yield* put_anon_vma(state.anon_vma);
  }
  if (locked) {
    folio_unlock(src);
  }
}

/** mm/migrate.c: migrate_folio_undo_dst() v6.18. */
function migrate_folio_undo_dst(dst: folio, locked: boolean): void {
  if (locked) {
    folio_unlock(dst);
  }
  folio_put(dst);
}

/**
 * mm/migrate.c: migrate_folio_unmap() v6.18 with MIGRATE_SYNC: locks source and target and replaces all
 * mappings by migration entries. 0, -EAGAIN or -ENOMEM; on failure everything is as before.
 */
function* migrate_folio_unmap(src: folio, state: migration): K<number> {
  let dst_locked = false;
  if (!folio_trylock(src)) {
    yield* folio_lock(src);
  }
  state.was_mlocked = folio_test_mlocked(src);
  if (folio_test_writeback(src)) {
    yield* folio_wait_writeback(src);
  }
  // When the last mapping goes, nothing else keeps the anon_vma that remove_migration_ptes() walks.
  if (folio_test_anon(src) && !folio_test_ksm(src)) {
    state.anon_vma = yield* folio_get_anon_vma(src);
  }
  if (folio_trylock(state.dst)) {
    dst_locked = true;
    // A swap-cache folio that was just read has no mapping yet.
    if (src.mapping !== 0 && folio_mapped(src)) {
      VM_BUG_ON_FOLIO(
        folio_test_anon(src) && !folio_test_ksm(src) && state.anon_vma === null,
        src,
        'folio_test_anon(src) && !folio_test_ksm(src) && !anon_vma',
      );
      yield* try_to_migrate(src, 0);
      state.was_mapped = true;
    }
    if (!folio_mapped(src)) {
      return 0;
    }
  }
  yield* migrate_folio_undo_src(src, state, true);
  migrate_folio_undo_dst(state.dst, dst_locked);
  return -EAGAIN;
}

/**
 * mm/migrate.c: migrate_folio_move() v6.18: moves the unmapped folio and restores the mappings to the
 * target. -EAGAIN: an unexpected reference; both stay locked and unmapped for another try.
 */
function* migrate_folio_move(src: folio, state: migration): K<number> {
  const dst = state.dst;
  const src_deferred_split = folio_deferred(src);
  const src_partially_mapped = src_deferred_split && folio_test_partially_mapped(src);
  const rc = yield* move_to_new_folio(dst, src);
  if (rc !== 0) {
    return rc;
  }
  // On the LRU first, so that remove_migration_ptes() counts mlocked mappings of the target.
  folio_add_lru(dst);
  if (state.was_mlocked) {
    lru_add_drain();
  }
  if (state.was_mapped) {
    yield* remove_migration_ptes(src, dst, 0);
  }
  if (src_deferred_split) {
    deferred_split_folio(dst, src_partially_mapped);
  }
  folio_unlock(dst);
  folio_put(dst);
  if (state.anon_vma !== null) {
    yield* put_anon_vma(state.anon_vma);
  }
  folio_unlock(src);
  folio_put(src);
  return 0;
}

/**
 * migrate_pages() for one isolated folio, MIGRATE_SYNC: tries up to ten times while somebody holds an
 * unexpected reference. 0 (the source is gone) or a negative errno (the source is still isolated).
 */
export function* tryMigrateFolio(src: folio, freepages: folio[] | null): K<number> {
  let rc = -EAGAIN;
  for (let pass = 0; pass < NR_MAX_MIGRATE_PAGES_RETRY && rc === -EAGAIN; pass = pass + 1) {
    if (folio_ref_count(src) === 1) {
      // Freed under us: only the isolation's reference is left.
      folio_clear(src, PG_active | PG_unevictable);
      folio_put(src);
      return 0;
    }
    const order = folio_order(src);
    const gfp = order > 0 ? GFP_TRANSHUGE : GFP_HIGHUSER_MOVABLE;
    const dst = freepages === null ? yield* alloc_pages(gfp, order) : (freepages.pop() ?? null);
    if (dst === null) {
      rc = -ENOMEM;
      break;
    }
    const state: migration = { dst, anon_vma: null, was_mapped: false, was_mlocked: false };
    trace_migrate_begin({ src, dst });
    rc = yield* migrate_folio_unmap(src, state);
    if (rc === 0) {
      rc = yield* migrate_folio_move(src, state);
      while (rc === -EAGAIN && pass < NR_MAX_MIGRATE_PAGES_RETRY) {
        pass = pass + 1;
        rc = yield* migrate_folio_move(src, state);
      }
      if (rc !== 0) {
        yield* migrate_folio_undo_src(src, state, true);
        migrate_folio_undo_dst(dst, true);
      }
    }
    trace_migrate_end({ src, dst, result: rc });
  }
  return rc === -EAGAIN ? -EBUSY : rc;
}

/** The same, after which a source that is still there is back on its list. */
export function* migrateIsolatedFolio(src: folio, freepages: folio[] | null = null): K<number> {
  const rc = yield* tryMigrateFolio(src, freepages);
  if (rc !== 0) {
    folio_putback_lru(src);
  }
  return rc;
}

/**
 * The folio mapped at `address`, with a reference; null if there is none. One atomic look without locks:
 * reclaim and compaction find folios through the LRU or the memory map, not through an mm.
 */
export function getFolioAt(mm: mm_struct, address: number): folio | null {
  const huge = lookupHugePmd(mm, address);
  const ptr = huge === 0 ? lookupPte(mm, address - (address % PAGE_SIZE)) : huge;
  const pte = ptr === 0 ? 0 : ptep_get(ptr);
  if (!pte_present(pte) || pte_special(pte)) {
    return null;
  }
  const folio = page_folio(pte_page(pte));
  return folio_try_get(folio) ? folio : null;
}

/**
 * Isolates the folio that task number `task` maps at `address`: the folio, or a negative errno. One step:
 * the task, its address space and the mapping may be gone a step later.
 */
export function isolateAt(task: number, address: number): folio | number {
  const mm = (taskBlock(task).context as task_struct | null)?.mm ?? null;
  if (mm === null) {
    return -ESRCH;
  }
  const folio = getFolioAt(mm, address);
  if (folio === null) {
    return -ENOENT;
  }
  lru_add_drain();
  const isolated = folio_isolate_lru(folio);
  folio_put(folio);
  return isolated ? folio : -EBUSY;
}
