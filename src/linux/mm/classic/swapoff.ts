/**
 * mm/swapfile.c v2.6.34: swapoff, slot by slot: the page of a slot is read once and put into every address space that has an
 * entry for it. A page that has an anon_vma is looked for at one address of each VMA; which VMAs are asked has changed
 * with the kernels (page_address_in_vma()).
 *
 * Lock tree: page lock -> mmap_sem (tried, or taken with the page lock dropped) -> ptl. Fidelity: dup; pages of shmem go first,
 * as in v6.18; a page whose slot is still in use afterwards stays in the swap cache for the next round.
 */
import type { K } from '../../../sim/wait.ts';
import { EFAULT, EINTR, ENOMEM } from '../../errno.ts';
import { current } from '../../kernel/current.ts';
import { down_read, down_read_trylock, up_read } from '../../kernel/locking/rwsem.ts';
import { spin_lock } from '../../kernel/locking/spinlock.ts';
import { mmget_not_zero, mmput } from '../../kernel/mm_users.ts';
import { anon_rmap, has } from '../../kernel.ts';
import { list_is_head, list_next } from '../../lib/list.ts';
import { mm_cachep, type mm_struct, type page, type vm_area_struct } from '../../mm_types.ts';
import { processGlobals } from '../../roots.ts';
import { folio_lock, folio_unlock, folio_wait_writeback } from '../folio_lock.ts';
import { PAGE_SIZE } from '../mm.ts';
import { dec_mm_counter, inc_mm_counter, MM_ANONPAGES, MM_SWAPENTS } from '../mm_counter.ts';
import { folio_get } from '../page_alloc.ts';
import { folio_anon_vma, folio_test_uptodate } from '../page-flags.ts';
import {
  lookupPte,
  mk_pte,
  pte_mkold,
  type pte_ptr,
  pte_same,
  pte_unmap_unlock,
  ptep_get,
  ptlock_ptr,
  set_pte_at,
  swp_entry_to_pte,
} from '../pgtable.ts';
import { vma_address } from '../rmap/vma_address.ts';
import { shmem_unuse } from '../shmem_swap.ts';
import { folio_put } from '../swap.ts';
import { swp_entry, type swp_entry_t } from '../swap_entry.ts';
import { swap_cache_get_folio, swapinPage } from '../swap_state.ts';
import type { swap_info_struct } from '../swap_types.ts';
import { folio_free_swap, swap_free, swap_map_at } from '../swapfile.ts';
import { vmaTreeFirst, vmaTreeNext } from '../vma_tree.ts';
import { page_add_anon_rmap } from './rmap.ts';

const mmOfList = mm_cachep.container('mmlist');

/**
 * mm/rmap.c: page_address_in_vma() of an anonymous page: where `vma` would map it, or -EFAULT. Until 2.6.34-rc7 only a VMA with
 * the page's own anon_vma is asked (right where there is one a family, too few where forks have their own); 2.6.34 asks
 * all (unuse_any_vma), 2.6.36 those of the family (root_lock).
 */
function page_address_in_vma(page: page, vma: vm_area_struct): number {
  const anon_vma = folio_anon_vma(page);
  if (has('root_lock') || anon_rmap().shape === 'avc_tree') {
    if (vma.anon_vma?.root !== anon_vma?.root) {
      return -EFAULT;
    }
  } else if (!has('unuse_any_vma') && vma.anon_vma !== anon_vma) {
    return -EFAULT;
  }
  return vma_address(vma, page.index, 1);
}

/** mm/swapfile.c: unuse_pte() v2.6.34. True: the entry was the slot's and maps the page again. Preconditions: page lock. */
function* unuse_pte(
  vma: vm_area_struct,
  pte: pte_ptr,
  addr: number,
  entry: swp_entry_t,
  page: page,
): K<boolean> {
  const mm = vma.vm_mm as mm_struct;
  yield* spin_lock(ptlock_ptr(pte));
  if (!pte_same(ptep_get(pte), swp_entry_to_pte(entry))) {
    pte_unmap_unlock(pte);
    return false;
  }
  dec_mm_counter(mm, MM_SWAPENTS);
  inc_mm_counter(mm, MM_ANONPAGES);
  folio_get(page);
  set_pte_at(mm, addr, pte, pte_mkold(mk_pte(page, vma.vm_page_prot)));
  yield* page_add_anon_rmap(page, vma, addr);
  swap_free(entry);
  pte_unmap_unlock(pte);
  return true;
}

/** mm/swapfile.c: unuse_vma() v2.6.34, down to unuse_pte_range(). True: found. */
function* unuse_vma(vma: vm_area_struct, entry: swp_entry_t, page: page): K<boolean> {
  const mm = vma.vm_mm as mm_struct;
  let addr = vma.vm_start;
  let end = vma.vm_end;
  if (folio_anon_vma(page) !== null) {
    addr = page_address_in_vma(page, vma);
    if (addr === -EFAULT) {
      return false;
    }
    end = addr + PAGE_SIZE;
  }
  const wanted = swp_entry_to_pte(entry);
  while (addr < end) {
    // Without the ptl first.
    const pte = lookupPte(mm, addr);
    if (pte !== 0 && pte_same(ptep_get(pte), wanted)) {
      if (yield* unuse_pte(vma, pte, addr, entry, page)) {
        return true;
      }
    }
    addr = addr + PAGE_SIZE;
  }
  return false;
}

/** mm/swapfile.c: unuse_mm() v2.6.34. Preconditions: a reference to the mm; page lock, which may be dropped meanwhile. */
function* unuse_mm(mm: mm_struct, entry: swp_entry_t, page: page): K {
  if (!down_read_trylock(mm.mmap_lock)) {
    // The order is the other way round: whoever holds mmap_sem may wait for the page.
    folio_unlock(page);
    yield* down_read(mm.mmap_lock);
    yield* folio_lock(page);
  }
  let vma = vmaTreeFirst(mm);
  while (vma !== null) {
    if (vma.anon_vma !== null && (yield* unuse_vma(vma, entry, page))) {
      break;
    }
    vma = vmaTreeNext(vma);
  }
  up_read(mm.mmap_lock);
}

/** The next address space on the list, with a reference. One step: mmlist_lock. */
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

/** mm/swapfile.c: find_next_to_unuse() v2.6.34: the next slot in use, from the start again at the end; 0 = none. */
function find_next_to_unuse(si: swap_info_struct, prev: number): number {
  for (let n = 1; n < si.max; n++) {
    const i = 1 + ((prev + n - 1) % (si.max - 1));
    if (swap_map_at(swp_entry(0, i)) !== 0) {
      return i;
    }
  }
  return 0;
}

/** mm/swapfile.c: try_to_unuse() v2.6.34: 0 when no slot is in use any more, -ENOMEM or -EINTR. */
export function* try_to_unuse(si: swap_info_struct): K<number> {
  const shmem = yield* shmem_unuse();
  if (shmem < 0) {
    return shmem;
  }
  let i = 0;
  for (;;) {
    if (current().sigkill === 1) {
      return -EINTR;
    }
    i = find_next_to_unuse(si, i);
    if (i === 0) {
      return 0;
    }
    const entry = swp_entry(0, i);
    const page = swap_cache_get_folio(entry) ?? (yield* swapinPage(entry));
    if (page === null) {
      if (swap_map_at(entry) === 0) {
        continue;
      }
      return -ENOMEM;
    }
    yield* folio_lock(page);
    yield* folio_wait_writeback(page);
    let prev_mm: mm_struct | null = null;
    while (folio_test_uptodate(page)) {
      const mm = nextSwappedMm(prev_mm === null ? processGlobals().mmlist : prev_mm.mmlist);
      if (prev_mm !== null) {
        yield* mmput(prev_mm);
      }
      prev_mm = mm;
      if (mm === null) {
        break;
      }
      yield* unuse_mm(mm, entry, page);
    }
    folio_free_swap(page);
    folio_unlock(page);
    folio_put(page);
  }
}
