/**
 * mm/swapfile.c v6.18: swapoff: every page of the area comes back into memory, then the area is gone.
 *
 * Lock tree: mmap_lock for read, folio lock, ptl. Fidelity: dup; one area, mmlist_lock and swap_lock are
 * held for one step each, so that they are not modelled; a signal cannot end it but SIGKILL.
 */

import type { K } from '../../sim/wait.ts';
import { EINTR, EINVAL, ENOMEM } from '../errno.ts';
import { current } from '../kernel/current.ts';
import { mmget_not_zero, mmput } from '../kernel/mm_users.ts';
import { synchronize_rcu } from '../kernel/rcu.ts';
import { memory_manager } from '../kernel.ts';
import { VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import { list_is_head, list_next } from '../lib/list.ts';
import {
  type folio,
  mem_map,
  mm_cachep,
  type mm_struct,
  type vm_area_struct,
} from '../mm_types.ts';
import { processGlobals } from '../roots.ts';
import { trace_swapoff } from './events.ts';
import { folio_lock, folio_unlock, folio_wait_writeback } from './folio_lock.ts';
import { ksm_might_need_to_copy } from './ksm_copy.ts';
import { folio_nr_pages } from './large_folio.ts';
import { dec_mm_counter, inc_mm_counter, MM_ANONPAGES, MM_SWAPENTS } from './mm_counter.ts';
import { mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { drain_mmlist } from './mmlist.ts';
import { clear_current_oom_origin, set_current_oom_origin } from './oom_origin.ts';
import { folio_get } from './page_alloc.ts';
import { folio_test_anon, folio_test_uptodate, folio_test_writeback } from './page-flags.ts';
import {
  make_pte_marker,
  mk_pte,
  PTE_MARKER_POISONED,
  pgd_addr_end,
  pgd_none,
  pgd_offset,
  pgdp_get,
  pmd_addr_end,
  pmd_offset,
  pte_is_swap_entry,
  pte_mkold,
  pte_offset_map_lock,
  type pte_ptr,
  pte_same,
  pte_swp_clear_exclusive,
  pte_swp_exclusive,
  pte_to_swp_entry,
  pte_unmap,
  pte_unmap_unlock,
  pteOffsetMapRcu,
  ptep_get,
  pud_addr_end,
  pud_none,
  pud_offset,
  pudp_get,
  set_pte_at,
  swp_entry_to_pte,
} from './pgtable.ts';
import {
  folio_add_anon_rmap_pte,
  folio_add_new_anon_rmap,
  RMAP_EXCLUSIVE,
  RMAP_NONE,
} from './rmap.ts';
import { check_stable_address_space } from './set_pte_range.ts';
import { shmem_unuse } from './shmem_swap.ts';
import { folio_add_lru_vma, folio_put } from './swap.ts';
import { swp_entry, type swp_entry_t, swp_offset } from './swap_entry.ts';
import { folio_matches_swap_entry, swap_cache_get_folio, swapinPage } from './swap_state.ts';
import type { swap_info_struct } from './swap_types.ts';
import {
  folio_free_swap,
  releaseSwapArea,
  SWP_WRITEOK,
  swap_free,
  swap_info,
  swap_map_at,
} from './swapfile.ts';
import { security_vm_enough_memory_mm, vm_unacct_memory } from './util.ts';
import { vmaTreeFind } from './vma_tree.ts';

const mmOfList = mm_cachep.container('mmlist');

/** mm/swapfile.c: pte_same_as_swp() v6.18. */
const pte_same_as_swp = (pte: number, swp_pte: number): boolean =>
  pte_same(pte_swp_clear_exclusive(pte), swp_pte);

/**
 * The part of unuse_pte() under the ptl: the entry maps the folio again, read-only and old: whether it may
 * be written is left to the next write fault.
 */
function mapUnusedPage(
  vma: vm_area_struct,
  addr: number,
  pte: pte_ptr,
  entry: swp_entry_t,
  folio: folio,
  swapcache: folio,
): number {
  const mm = vma.vm_mm as mm_struct;
  const old_pte = ptep_get(pte);
  dec_mm_counter(mm, MM_SWAPENTS);
  if (!folio_test_uptodate(folio)) {
    set_pte_at(mm, addr, pte, make_pte_marker(PTE_MARKER_POISONED));
    swap_free(entry);
    return 0;
  }
  inc_mm_counter(mm, MM_ANONPAGES);
  folio_get(folio);
  // folio_file_page(): the copy that KSM made is another, single page.
  const idx = folio === swapcache ? swp_offset(entry) % folio_nr_pages(folio) : 0;
  const page = mem_map.at(folio.pfn + idx);
  if (folio === swapcache) {
    VM_BUG_ON_FOLIO(folio_test_writeback(folio), folio, 'folio_test_writeback(folio)');
    const rmap_flags = pte_swp_exclusive(old_pte) ? RMAP_EXCLUSIVE : RMAP_NONE;
    if (folio_test_anon(folio)) {
      folio_add_anon_rmap_pte(folio, page, vma, addr, rmap_flags);
    } else {
      folio_add_new_anon_rmap(folio, vma, addr, rmap_flags);
    }
  } else {
    folio_add_new_anon_rmap(folio, vma, addr, RMAP_EXCLUSIVE);
    folio_add_lru_vma(folio, vma);
  }
  set_pte_at(mm, addr, pte, pte_mkold(mk_pte(page, vma.vm_page_prot)));
  swap_free(entry);
  return 1;
}

/**
 * mm/swapfile.c: unuse_pte() v6.18: 1 mapped, 0 nothing to do, or -ENOMEM. Preconditions: the folio locked and
 * not being written.
 */
function* unuse_pte(
  vma: vm_area_struct,
  pmd: pte_ptr,
  addr: number,
  entry: swp_entry_t,
  swapcache: folio,
): K<number> {
  // Somebody took it out of the swap cache before we had the lock: try_to_unuse() comes back if need be.
  if (!folio_matches_swap_entry(swapcache, entry)) {
    return 0;
  }
  const folio = yield* ksm_might_need_to_copy(swapcache, vma, addr);
  if (folio === null) {
    return -ENOMEM;
  }
  let ret = 0;
  const pte = yield* pte_offset_map_lock(vma.vm_mm as mm_struct, pmd, addr);
  if (pte !== 0) {
    if (pte_same_as_swp(ptep_get(pte), swp_entry_to_pte(entry))) {
      ret = mapUnusedPage(vma, addr, pte, entry, folio, swapcache);
    }
    pte_unmap_unlock(pte);
  }
  if (folio !== swapcache) {
    folio_unlock(folio);
    folio_put(folio);
  }
  return ret;
}

/** mm/swapfile.c: unuse_pte_range() v6.18: 0 or -ENOMEM. */
function* unuse_pte_range(
  vma: vm_area_struct,
  pmd: pte_ptr,
  start: number,
  end: number,
): K<number> {
  for (let addr = start; addr !== end; addr = addr + 4096) {
    const pte = pteOffsetMapRcu(pmd, addr);
    if (pte === 0) {
      break;
    }
    const ptent = ptep_get(pte);
    pte_unmap();
    if (!pte_is_swap_entry(ptent)) {
      continue;
    }
    const entry = pte_to_swp_entry(ptent);
    const folio = swap_cache_get_folio(entry) ?? (yield* swapinPage(entry));
    if (folio === null) {
      if (swap_map_at(entry) === 0) {
        continue;
      }
      return -ENOMEM;
    }
    yield* folio_lock(folio);
    yield* folio_wait_writeback(folio);
    const ret = yield* unuse_pte(vma, pmd, addr, entry, folio);
    if (ret < 0) {
      folio_unlock(folio);
      folio_put(folio);
      return ret;
    }
    folio_free_swap(folio);
    folio_unlock(folio);
    folio_put(folio);
  }
  return 0;
}

/** mm/swapfile.c: unuse_pmd_range() v6.18. */
function* unuse_pmd_range(
  vma: vm_area_struct,
  pud: pte_ptr,
  start: number,
  end: number,
): K<number> {
  let addr = start;
  while (addr !== end) {
    const next = pmd_addr_end(addr, end);
    const ret = yield* unuse_pte_range(vma, pmd_offset(pud, addr), addr, next);
    if (ret !== 0) {
      return ret;
    }
    addr = next;
  }
  return 0;
}

/** mm/swapfile.c: unuse_pud_range() v6.18. */
function* unuse_pud_range(
  vma: vm_area_struct,
  pgd: pte_ptr,
  start: number,
  end: number,
): K<number> {
  let addr = start;
  while (addr !== end) {
    const pud = pud_offset(pgd, addr);
    const next = pud_addr_end(addr, end);
    if (!pud_none(pudp_get(pud))) {
      const ret = yield* unuse_pmd_range(vma, pud, addr, next);
      if (ret !== 0) {
        return ret;
      }
    }
    addr = next;
  }
  return 0;
}

/** mm/swapfile.c: unuse_vma() v6.18. */
function* unuse_vma(vma: vm_area_struct): K<number> {
  let addr = vma.vm_start;
  const end = vma.vm_end;
  while (addr !== end) {
    const pgd = pgd_offset(vma.vm_mm as mm_struct, addr);
    const next = pgd_addr_end(addr, end);
    if (!pgd_none(pgdp_get(pgd))) {
      const ret = yield* unuse_pud_range(vma, pgd, addr, next);
      if (ret !== 0) {
        return ret;
      }
    }
    addr = next;
  }
  return 0;
}

/** mm/swapfile.c: unuse_mm() v6.18: 0 or -ENOMEM. Preconditions: a reference to the mm. */
function* unuse_mm(mm: mm_struct): K<number> {
  let ret = 0;
  yield* mmap_read_lock(mm);
  if (check_stable_address_space(mm) === 0) {
    let vma = vmaTreeFind(mm, 0, Number.MAX_SAFE_INTEGER);
    while (vma !== null && ret === 0) {
      // A file's pages have swap entries only as private copies.
      if (vma.anon_vma !== null) {
        ret = yield* unuse_vma(vma);
      }
      vma = vmaTreeFind(mm, vma.vm_end, Number.MAX_SAFE_INTEGER);
    }
  }
  mmap_read_unlock(mm);
  return ret;
}

/**
 * The next address space after `at` on the list of those that may have swap entries, with a reference. One
 * step, under mmlist_lock in Linux.
 */
function nextSwappedMm(at: number): mm_struct | null {
  const head = processGlobals().mmlist;
  for (let p = list_next(at); !list_is_head(p, head); p = list_next(p)) {
    const mm = mmOfList(p);
    if (mmget_not_zero(mm)) {
      return mm;
    }
  }
  return null;
}

/** mm/swapfile.c: find_next_to_unuse() v6.18: the next slot in use, 0 = none. */
function find_next_to_unuse(si: swap_info_struct, prev: number): number {
  for (let i = prev + 1; i < si.max; i++) {
    if (swap_map_at(swp_entry(0, i)) !== 0) {
      return i;
    }
  }
  return 0;
}

/** mm/swapfile.c: try_to_unuse() v6.18: 0 when no slot is in use any more, -ENOMEM or -EINTR. */
function* try_to_unuse(si: swap_info_struct): K<number> {
  while (si.inuse_pages > 0) {
    const shmem = yield* shmem_unuse();
    if (shmem < 0) {
      return shmem;
    }
    let prev_mm: mm_struct | null = null;
    while (si.inuse_pages > 0 && current().sigkill === 0) {
      const mm = nextSwappedMm(prev_mm === null ? processGlobals().mmlist : prev_mm.mmlist);
      if (prev_mm !== null) {
        yield* mmput(prev_mm);
      }
      prev_mm = mm;
      if (mm === null) {
        break;
      }
      const ret = yield* unuse_mm(mm);
      if (ret !== 0) {
        yield* mmput(mm);
        return ret;
      }
    }
    if (prev_mm !== null) {
      yield* mmput(prev_mm);
    }
    let i = 0;
    while (si.inuse_pages > 0 && current().sigkill === 0) {
      i = find_next_to_unuse(si, i);
      if (i === 0) {
        break;
      }
      const folio = swap_cache_get_folio(swp_entry(0, i));
      if (folio === null) {
        continue;
      }
      yield* folio_lock(folio);
      yield* folio_wait_writeback(folio);
      folio_free_swap(folio);
      folio_unlock(folio);
      folio_put(folio);
    }
    // An exiting mm lets go of its slots at its own pace, a folio may be on its way out again: once more.
    if (si.inuse_pages > 0 && current().sigkill === 1) {
      return -EINTR;
    }
  }
  return 0;
}

/** mm/swapfile.c: swapoff(2) v6.18 of the one area: 0, -EINVAL if there is none, -ENOMEM, -EINTR. */
export function* swapoff(): K<number> {
  const si = swap_info();
  if (si === null || (si.flags & SWP_WRITEOK) === 0) {
    return -EINVAL;
  }
  const mm = current().mm;
  if (mm !== null && security_vm_enough_memory_mm(mm, si.pages) !== 0) {
    return -ENOMEM;
  }
  if (mm !== null) {
    vm_unacct_memory(si.pages);
  }
  // From here on no slot is handed out: what comes in stays in.
  si.flags = si.flags & ~SWP_WRITEOK;
  const origin = set_current_oom_origin();
  const err = yield* (memory_manager().try_to_unuse ?? try_to_unuse)(si);
  clear_current_oom_origin(origin);
  if (err !== 0) {
    si.flags = si.flags | SWP_WRITEOK;
    trace_swapoff({ result: err });
    return err;
  }
  // Whoever found an entry just before it went may still be looking at the area.
  yield* synchronize_rcu();
  drain_mmlist();
  releaseSwapArea(si);
  trace_swapoff({ result: 0 });
  return 0;
}
