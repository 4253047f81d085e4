/**
 * mm/gup.c, mm/internal.h v6.18: the references and pins that a look at user pages takes, and which pages it may have.
 * Each is one atomic step under the lock of the entry. Fidelity: dup.
 */
import { ENOMEM } from '../errno.ts';
import { WARN_ON_ONCE } from '../lib/bug.ts';
import type { folio, mm_struct, page, vm_area_struct } from '../mm_types.ts';
import { folio_add_pincount, folio_has_pincount } from './large_folio.ts';
import {
  is_cow_mapping,
  MMF_HAS_PINNED,
  mm_flags_set,
  mm_flags_test,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_SHARED,
  VM_WRITE,
} from './mm.ts';
import { folio_get, folio_ref_count, is_zero_pfn, page_folio } from './page_alloc.ts';
import { folio_test_anon, PageAnonExclusive } from './page-flags.ts';
import { GUP_PIN_COUNTING_BIAS } from './rmap.ts';

/** include/linux/mm_types.h and mm/internal.h: FOLL_* of v6.18. */
export const FOLL_WRITE = 1 << 0;
export const FOLL_GET = 1 << 1;
export const FOLL_FORCE = 1 << 3;
export const FOLL_HWPOISON = 1 << 6;
export const FOLL_ANON = 1 << 7;
export const FOLL_LONGTERM = 1 << 8;
export const FOLL_TOUCH = 1 << 16;
export const FOLL_TRIED = 1 << 17;
export const FOLL_REMOTE = 1 << 18;
export const FOLL_PIN = 1 << 19;
export const FOLL_UNLOCKABLE = 1 << 21;
export const FOLL_MADV_POPULATE = 1 << 22;

/** mm/gup.c: try_grab_folio() v6.18, one reference: 0 or -ENOMEM. Preconditions: the ptl keeps the folio. */
export function try_grab_folio(folio: folio, flags: number): number {
  if (WARN_ON_ONCE(folio_ref_count(folio) <= 0, 'folio_ref_count(folio) <= 0')) {
    return -ENOMEM;
  }
  if ((flags & FOLL_GET) !== 0) {
    folio_get(folio);
  } else if ((flags & FOLL_PIN) !== 0) {
    // The zero page stays anyway, and is everywhere: a pin would say nothing.
    if (is_zero_pfn(folio.pfn)) {
      return 0;
    }
    if (folio_has_pincount(folio)) {
      folio_get(folio);
      folio_add_pincount(folio, 1);
    } else {
      folio_get(folio, GUP_PIN_COUNTING_BIAS);
    }
  }
  return 0;
}

/** mm/gup.c: mm_set_has_pinned_flag() v6.18: for the rest of the mm's life fork looks for pinned pages. */
export function mm_set_has_pinned_flag(mm: mm_struct): void {
  if (!mm_flags_test(MMF_HAS_PINNED, mm)) {
    mm_flags_set(MMF_HAS_PINNED, mm);
  }
}

/**
 * mm/internal.h: gup_must_unshare() v6.18: whether a page that is not mapped writable has to be made the
 * mm's own first: a pin must see what the process writes later. `vma` is null in the fast walk.
 */
export function gup_must_unshare(vma: vm_area_struct | null, flags: number, page: page): boolean {
  // A write needs a writable entry, which an anonymous page only has when it is exclusive.
  if ((flags & (FOLL_WRITE | FOLL_PIN)) !== FOLL_PIN) {
    return false;
  }
  if (!folio_test_anon(page_folio(page))) {
    if ((flags & FOLL_LONGTERM) === 0) {
      return false;
    }
    return vma === null || is_cow_mapping(vma.vm_flags);
  }
  return !PageAnonExclusive(page);
}

/** mm/gup.c: can_follow_write_common() v6.18: FOLL_FORCE writes to a private page that is not writable. */
export function can_follow_write_common(
  page: page | null,
  vma: vm_area_struct,
  flags: number,
): boolean {
  if ((flags & FOLL_FORCE) === 0) {
    return false;
  }
  if ((vma.vm_flags & (VM_MAYSHARE | VM_SHARED)) !== 0) {
    return false;
  }
  if ((vma.vm_flags & VM_MAYWRITE) === 0) {
    return false;
  }
  if ((vma.vm_flags & VM_WRITE) !== 0) {
    return false;
  }
  return page !== null && folio_test_anon(page_folio(page)) && PageAnonExclusive(page);
}
