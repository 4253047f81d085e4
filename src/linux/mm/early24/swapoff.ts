/**
 * mm/swapfile.c v2.4.0: swapoff(2). Nothing leads from a slot to the entries that name it: for each slot every entry of every
 * address space is looked at.
 *
 * Lock tree: mmlist_lock (dropped) ; page_table_lock. Fidelity: dup; custom: address spaces are taken from init_mm.mmlist instead of
 * the list of tasks, tmpfs pages come back as mm/shmem_swap.ts brings them.
 */
import type { K } from '../../../sim/wait.ts';
import { EINVAL, ENOMEM } from '../../errno.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { mmget, mmput } from '../../kernel/mm_users.ts';
import { list_entries } from '../../lib/list.ts';
import { mm_cachep, type mm_struct, type page, type vm_area_struct } from '../../mm_types.ts';
import { processGlobals } from '../../roots.ts';
import { trace_swapoff } from '../events.ts';
import { folio_lock, folio_unlock } from '../folio_lock.ts';
import { PAGE_SIZE } from '../mm.ts';
import { folio_get } from '../page_alloc.ts';
import { folio_test_swapcache } from '../page-flags.ts';
import {
  mk_pte,
  pte_is_swap_entry,
  pte_mkdirty,
  pte_mkyoung,
  pte_offset,
  pte_page,
  pte_present,
  type pte_ptr,
  pte_to_swp_entry,
  ptep_get,
  set_pte_at,
} from '../pgtable.ts';
import { folio_put } from '../swap.ts';
import { swp_entry, type swp_entry_t } from '../swap_entry.ts';
import type { swap_info_struct } from '../swap_types.ts';
import {
  releaseSwapArea,
  SWP_WRITEOK,
  swap_count,
  swap_free,
  swap_info,
  swap_map_at,
} from '../swapfile.ts';
import { vmaTreeRange } from '../vma_tree.ts';
import { rssInc, swapEntryDec } from './mapped.ts';
import { delete_from_swap_cache_nolock, read_swap_cache_async } from './swap_state.ts';
import { tableAt, usedFrom } from './zap.ts';

const mmOfList = mm_cachep.container('mmlist');

/** mm/swapfile.c: unuse_pte() v2.4.0. Atomic. Preconditions: page_table_lock. */
function unuse_pte(
  vma: vm_area_struct,
  address: number,
  dir: pte_ptr,
  entry: swp_entry_t,
  page: page,
): void {
  const mm = vma.vm_mm as mm_struct;
  const pte = ptep_get(dir);
  if (pte_present(pte)) {
    if (pte_page(pte) === page) {
      // What is in swap goes: the entry is what keeps the contents.
      set_pte_at(mm, address, dir, pte_mkdirty(pte));
    }
    return;
  }
  if (!pte_is_swap_entry(pte) || pte_to_swp_entry(pte) !== entry) {
    return;
  }
  set_pte_at(mm, address, dir, pte_mkyoung(pte_mkdirty(mk_pte(page, vma.vm_page_prot))));
  swap_free(entry);
  folio_get(page);
  swapEntryDec(mm);
  rssInc(mm, page);
}

/** mm/swapfile.c: unuse_vma() v2.4.0. Preconditions: page_table_lock. */
function* unuse_vma(vma: vm_area_struct, entry: swp_entry_t, page: page): K {
  const mm = vma.vm_mm as mm_struct;
  let address = vma.vm_start;
  while (address < vma.vm_end) {
    const { pmd, next } = tableAt(mm, address, vma.vm_end);
    if (pmd !== 0) {
      for (
        address = usedFrom(pmd, address, next);
        address < next;
        address = usedFrom(pmd, address + PAGE_SIZE, next)
      ) {
        unuse_pte(vma, address, pte_offset(pmd, address), entry, page);
      }
    }
    address = next;
  }
}

/** mm/swapfile.c: unuse_process() v2.4.0. */
function* unuse_process(mm: mm_struct, entry: swp_entry_t, page: page): K {
  yield* spin_lock(mm.page_table_lock);
  for (const vma of vmaTreeRange(mm)) {
    yield* unuse_vma(vma, entry, page);
  }
  spin_unlock(mm.page_table_lock);
}

/** The address spaces that there are, each with a user more. Atomic. */
function allSpaces(): mm_struct[] {
  const mms = list_entries(processGlobals().mmlist)
    .map(mmOfList)
    .filter((mm) => mm.mm_users > 0);
  for (const mm of mms) {
    mmget(mm);
  }
  return mms;
}

/** mm/swapfile.c: try_to_unuse() v2.4.0 for one slot. 0 or -ENOMEM. */
function* unuseSlot(entry: swp_entry_t): K<number> {
  const page = yield* read_swap_cache_async(entry);
  if (page === null) {
    return swap_map_at(entry) === 0 ? 0 : -ENOMEM;
  }
  yield* folio_lock(page);
  if (folio_test_swapcache(page)) {
    yield* delete_from_swap_cache_nolock(page);
  }
  folio_unlock(page);
  for (const mm of allSpaces()) {
    yield* unuse_process(mm, entry, page);
    yield* mmput(mm);
  }
  folio_put(page);
  while (swap_count(entry) > 0) {
    // "Undead swap entry": of a child that is being made, or of a bug. Whoever has it will read another's page.
    swap_free(entry);
  }
  return 0;
}

/** The first slot in use from `offset` on that page tables name, or 0. */
function nextSlot(si: swap_info_struct): swp_entry_t {
  for (let offset = 1; offset < si.max; offset++) {
    const entry = swp_entry(0, offset);
    if (swap_map_at(entry) !== 0) {
      return entry;
    }
  }
  return 0;
}

/** mm/swapfile.c: swapoff(2) v2.4.0 of the one area. 0 or a negative errno. */
export function* sys_swapoff(): K<number> {
  const si = swap_info();
  if (si === null || (si.flags & SWP_WRITEOK) === 0) {
    return -EINVAL;
  }
  si.flags = si.flags & ~SWP_WRITEOK;
  for (let entry = nextSlot(si); entry !== 0; entry = nextSlot(si)) {
    const err = yield* unuseSlot(entry);
    if (err !== 0) {
      si.flags = si.flags | SWP_WRITEOK;
      trace_swapoff({ result: err });
      return err;
    }
  }
  releaseSwapArea(si);
  trace_swapoff({ result: 0 });
  return 0;
}
