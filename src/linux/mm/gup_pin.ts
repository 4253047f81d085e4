/**
 * mm/gup.c v6.18: pins: references of 1024 that tell fork, reclaim and migration to leave a page where it is.
 * Lock tree: mmap_lock for read, folio lock, ptl. Fidelity: dup; the walk without locks is one
 * step and takes one page.
 */

import type { K } from '../../sim/wait.ts';
import { EFAULT } from '../errno.ts';
import { current_mm } from '../kernel/current.ts';
import { VM_WARN_ON_FOLIO } from '../lib/bug.ts';
import { type address_space, type folio, mem_map, type mm_struct, type page } from '../mm_types.ts';
import { folio_lock, folio_unlock } from './folio_lock.ts';
import { __get_user_pages_locked, type locked_flag } from './gup.ts';
import {
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_REMOTE,
  FOLL_TOUCH,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
  gup_must_unshare,
  mm_set_has_pinned_flag,
  try_grab_folio,
} from './gup_ref.ts';
import { folio_add_pincount, folio_has_pincount } from './large_folio.ts';
import { PAGE_SIZE, TASK_SIZE } from './mm.ts';
import { folio_ref_count, is_zero_pfn, page_folio } from './page_alloc.ts';
import { shmem_mapping } from './page_cache.ts';
import {
  FOLIO_MAPPING_ANON,
  FOLIO_MAPPING_FLAGS,
  folio_set,
  folio_test_anon,
  folio_test_dirty,
  mapping_pointer,
  PageAnonExclusive,
  PG_referenced,
} from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import {
  HPAGE_PMD_NR,
  mm_find_pmd,
  pmd_present,
  pmd_trans_huge,
  pmdp_get,
  pte_offset,
  pte_page,
  pte_present,
  pte_protnone,
  pte_special,
  type pte_t,
  pte_write,
  ptep_get,
} from './pgtable.ts';
import { GUP_PIN_COUNTING_BIAS } from './rmap.ts';
import { folio_put_refs } from './swap.ts';

/** mm/gup.c: gup_put_folio() v6.18, one reference. */
function* gup_put_folio(folio: folio, flags: number): K {
  let refs = 1;
  if ((flags & FOLL_PIN) !== 0) {
    if (is_zero_pfn(folio.pfn)) {
      return;
    }
    if (folio_has_pincount(folio)) {
      folio_add_pincount(folio, -refs);
    } else {
      refs = refs * GUP_PIN_COUNTING_BIAS;
    }
  }
  folio_put_refs(folio, refs);
}

/** mm/gup.c: sanity_check_pinned_pages() v6.18: a pinned anonymous page stays exclusive until it is freed. */
function sanity_check_pinned_page(page: page): void {
  const folio = page_folio(page);
  if (is_zero_pfn(page.pfn) || !folio_test_anon(folio)) {
    return;
  }
  // A page of a huge one may be mapped by itself or by the huge entry, whose flag is that of the head.
  VM_WARN_ON_FOLIO(
    !PageAnonExclusive(folio) && !PageAnonExclusive(page),
    folio,
    '!PageAnonExclusive(&folio->page) && !PageAnonExclusive(page)',
  );
}

/** mm/gup.c: unpin_user_page() v6.18. */
export function* unpin_user_page(page: page): K {
  sanity_check_pinned_page(page);
  yield* gup_put_folio(page_folio(page), FOLL_PIN);
}

/** mm/gup.c: unpin_user_pages_dirty_lock() v6.18, one page: `make_dirty` if the device has written to it. */
export function* unpin_user_page_dirty_lock(page: page, make_dirty: boolean): K {
  if (!make_dirty) {
    yield* unpin_user_page(page);
    return;
  }
  sanity_check_pinned_page(page);
  const folio = page_folio(page);
  if (!folio_test_dirty(folio)) {
    yield* folio_lock(folio);
    folio_mark_dirty(folio);
    folio_unlock(folio);
  }
  yield* gup_put_folio(folio, FOLL_PIN);
}

/** mm/gup.c: gup_fast_folio_allowed() v6.18. The caller holds a reference. */
function gup_fast_folio_allowed(folio: folio, flags: number): boolean {
  const longterm_write = FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE;
  if (folio.mapping === 0) {
    return false;
  }
  if ((folio.mapping & FOLIO_MAPPING_FLAGS) !== 0) {
    return (folio.mapping & FOLIO_MAPPING_ANON) !== 0;
  }
  if ((flags & longterm_write) !== longterm_write) {
    return true;
  }
  return shmem_mapping(mapping_pointer(folio.mapping) as address_space);
}

/** mm/gup.c: gup_fast_pmd_leaf() v6.18, one page: the page, pinned, or null. */
function gup_fast_pmd_leaf(orig: pte_t, addr: number, flags: number): page | null {
  // pmd_access_permitted()
  if (pte_protnone(orig) || ((flags & FOLL_WRITE) !== 0 && !pte_write(orig)) || pte_special(orig)) {
    return null;
  }
  const folio = page_folio(pte_page(orig));
  if (folio_ref_count(folio) === 0 || !gup_fast_folio_allowed(folio, flags)) {
    return null;
  }
  if (!pte_write(orig) && gup_must_unshare(null, flags, folio)) {
    return null;
  }
  try_grab_folio(folio, flags);
  folio_set(folio, PG_referenced);
  return mem_map.at(pte_page(orig).pfn + (Math.floor(addr / PAGE_SIZE) % HPAGE_PMD_NR));
}

/**
 * mm/gup.c: gup_fast_pte_range() v6.18 and the levels above it, one page: the page, pinned, or null. One
 * step: interrupts are off in Linux, which keeps page tables from being freed; an entry that changes
 * between the look and the grab makes Linux undo the grab.
 */
function gup_fast_pte_range(mm: mm_struct, addr: number, flags: number): page | null {
  const pmd = mm_find_pmd(mm, addr);
  if (pmd === 0 || !pmd_present(pmdp_get(pmd))) {
    return null;
  }
  if (pmd_trans_huge(pmdp_get(pmd))) {
    return gup_fast_pmd_leaf(pmdp_get(pmd), addr, flags);
  }
  const pte = ptep_get(pte_offset(pmd, addr));
  if (!pte_present(pte) || pte_protnone(pte)) {
    return null;
  }
  if (((flags & FOLL_WRITE) !== 0 && !pte_write(pte)) || pte_special(pte)) {
    return null;
  }
  const page = pte_page(pte);
  const folio = page_folio(page);
  if (folio_ref_count(folio) === 0 || !gup_fast_folio_allowed(folio, flags)) {
    return null;
  }
  if (!pte_write(pte) && gup_must_unshare(null, flags, page)) {
    return null;
  }
  try_grab_folio(folio, flags);
  folio_set(folio, PG_referenced);
  return page;
}

/**
 * mm/gup.c: gup_fast() v6.18, one page, without mmap_lock: the page, pinned, or null. fork write-protects
 * entries while write_protect_seq is odd: a pin taken meanwhile could be of a page that it just shared.
 */
function* gup_fast(start: number, gup_flags: number): K<page | null> {
  const mm = current_mm();
  const seq = mm.write_protect_seq;
  if ((gup_flags & FOLL_PIN) !== 0 && seq % 2 === 1) {
    return null;
  }
  const page = gup_fast_pte_range(mm, start, gup_flags);
  if (page !== null && (gup_flags & FOLL_PIN) !== 0) {
    if (mm.write_protect_seq !== seq) {
      yield* gup_put_folio(page_folio(page), FOLL_PIN);
      return null;
    }
    sanity_check_pinned_page(page);
  }
  return page;
}

/**
 * mm/gup.c: gup_fast_fallback() v6.18 of pin_user_pages_fast(), one page, which is put into `pages`: 1, or a
 * negative errno.
 */
function* gup_fast_fallback(from: number, gup_flags: number, pages: page[]): K<number> {
  const mm = current_mm();
  if ((gup_flags & FOLL_PIN) !== 0) {
    mm_set_has_pinned_flag(mm);
  }
  const start = from - (from % PAGE_SIZE);
  if (start + PAGE_SIZE > TASK_SIZE) {
    return -EFAULT;
  }
  const page = yield* gup_fast(start, gup_flags);
  if (page !== null) {
    pages.push(page);
    return 1;
  }
  const lock: locked_flag = { locked: false };
  const flags = gup_flags | FOLL_TOUCH | FOLL_UNLOCKABLE;
  return yield* __gup_longterm_locked(mm, start, 1, pages, lock, flags);
}

/**
 * mm/gup.c: __gup_longterm_locked() v6.18. Every page may be pinned for long where it is: there is neither
 * a movable zone nor CMA (check_and_migrate_movable_pages() finds nothing to move).
 */
function* __gup_longterm_locked(
  mm: mm_struct,
  start: number,
  nr_pages: number,
  pages: page[],
  lock: locked_flag,
  gup_flags: number,
): K<number> {
  return yield* __get_user_pages_locked(mm, start, nr_pages, pages, lock, gup_flags);
}

/** mm/gup.c: pin_user_pages_fast() v6.18, one page of the current mm. 1 or a negative errno. */
export function* pin_user_pages_fast(start: number, gup_flags: number, pages: page[]): K<number> {
  return yield* gup_fast_fallback(start, gup_flags | FOLL_PIN, pages);
}

/**
 * mm/gup.c: pin_user_pages_remote() v6.18: pages pinned, or a negative errno. Preconditions: mmap_lock held for
 * read; it is not dropped.
 */
export function* pin_user_pages_remote(
  mm: mm_struct,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: page[],
): K<number> {
  const lock: locked_flag = { locked: true };
  const flags = gup_flags | FOLL_PIN | FOLL_TOUCH | FOLL_REMOTE;
  return yield* __gup_longterm_locked(mm, start, nr_pages, pages, lock, flags);
}
