/**
 * mm/ksm.c v6.18: what the rest of memory management asks of a KSM page: who maps it, where its stable node goes when
 * it migrates, whether it can be mapped again when it comes back from swap.
 *
 * Lock tree: folio lock, anon_vma.root->rwsem. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { VM_BUG_ON_FOLIO } from '../lib/bug.ts';
import { list_entries } from '../lib/list.ts';
import type { anon_vma, folio } from '../mm_types.ts';
import { trace_walk_begin, trace_walk_end, trace_walk_visit } from './events.ts';
import {
  anon_vma_interval_tree_iter_first,
  anon_vma_interval_tree_iter_next,
} from './interval_tree.ts';
import { ksm_rmap_item_cachep, type ksm_stable_node } from './ksm_types.ts';
import { ULONG_MAX } from './mm.ts';
import {
  FOLIO_MAPPING_KSM,
  folio_test_ksm,
  folio_test_locked,
  mapping_pointer,
} from './page-flags.ts';
import {
  anon_vma_lock_read,
  anon_vma_trylock_read,
  anon_vma_unlock_read,
} from './rmap/anon_vma_life.ts';
import type { rmap_walk_control } from './rmap/ops.ts';

const itemOfLink = ksm_rmap_item_cachep.container('hlist');

/** folio_stable_node(): null also while a folio that becomes a KSM page has no node yet. */
export function folio_stable_node(folio: folio): ksm_stable_node | null {
  return folio_test_ksm(folio) ? (mapping_pointer(folio.mapping) as ksm_stable_node | null) : null;
}

/** The word that folio->mapping holds for a page of the node. */
export function stable_node_mapping(stable_node: ksm_stable_node | null): number {
  return ((stable_node === null ? 0 : stable_node.addr >>> 4) << 2) | FOLIO_MAPPING_KSM;
}

/** folio_set_stable_node(). */
export function folio_set_stable_node(folio: folio, stable_node: ksm_stable_node | null): void {
  folio.mapping = stable_node_mapping(stable_node);
}

/** The walk over the items once: false if it must end. `forks`: VMAs of other mms, else of the item's own. */
function* walkItems(
  folio: folio,
  rwc: rmap_walk_control,
  forks: boolean,
  count: { visits: number },
): K<boolean> {
  const stable_node = folio_stable_node(folio);
  if (stable_node === null) {
    return false;
  }
  for (const link of list_entries(stable_node.hlist)) {
    const rmap_item = itemOfLink(link);
    const anon_vma = rmap_item.anon_vma as anon_vma;
    if (!anon_vma_trylock_read(anon_vma)) {
      if (rwc.try_lock === true) {
        rwc.contended = true;
        return false;
      }
      yield* anon_vma_lock_read(anon_vma);
    }
    const address = rmap_item.address;
    let avc = anon_vma_interval_tree_iter_first(anon_vma.rb_root, 0, ULONG_MAX);
    while (avc !== null) {
      const vma = avc.vma;
      const covers = address >= vma.vm_start && address < vma.vm_end;
      const theirs = rmap_item.mm !== vma.vm_mm;
      if (covers && theirs === forks && !(rwc.invalid_vma?.(vma) === true)) {
        count.visits = count.visits + 1;
        trace_walk_visit({ page: folio, vma, anon_vma, address });
        const go_on = yield* rwc.rmap_one(folio, vma, address, rwc);
        if (!go_on || rwc.done?.(folio) === true) {
          anon_vma_unlock_read(anon_vma);
          return false;
        }
      }
      avc = anon_vma_interval_tree_iter_next(avc, 0, ULONG_MAX);
    }
    anon_vma_unlock_read(anon_vma);
  }
  return true;
}

/**
 * mm/ksm.c: rmap_walk_ksm() v6.18: for each item of the page every VMA of its anon_vma that covers its address, whatever
 * its offset: first in the mm of the item, and only then in others, which fork may have made since ksmd
 * came by. Preconditions: folio locked, which keeps its items.
 */
export function* rmap_walk_ksm(folio: folio, rwc: rmap_walk_control): K {
  VM_BUG_ON_FOLIO(!folio_test_ksm(folio), folio, '!folio_test_ksm(folio)');
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  if (folio_stable_node(folio) === null) {
    return;
  }
  const count = { visits: 0 };
  trace_walk_begin({ page: folio, anon_vma: null, index: 0, purpose: rwc.name });
  let whole = yield* walkItems(folio, rwc, false, count);
  if (whole) {
    whole = yield* walkItems(folio, rwc, true, count);
  }
  trace_walk_end({
    page: folio,
    visits: count.visits,
    hits: rwc.hits ?? 0,
    stopped: whole ? 0 : 1,
  });
}

/**
 * mm/ksm.c: folio_migrate_ksm() v6.18: the stable node follows the page: its frame first, so that ksm_get_folio() sees
 * that it changed before it finds the old page without mapping. Preconditions: both locked.
 */
export function folio_migrate_ksm(newfolio: folio, folio: folio): void {
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio, '!folio_test_locked(folio)');
  VM_BUG_ON_FOLIO(!folio_test_locked(newfolio), newfolio, '!folio_test_locked(newfolio)');
  VM_BUG_ON_FOLIO(
    newfolio.mapping !== folio.mapping,
    newfolio,
    'newfolio->mapping != folio->mapping',
  );
  const stable_node = folio_stable_node(folio);
  if (stable_node !== null) {
    VM_BUG_ON_FOLIO(stable_node.kpfn !== folio.pfn, folio, 'stable_node->kpfn != folio_pfn(folio)');
    stable_node.kpfn = newfolio.pfn;
    folio_set_stable_node(folio, null);
  }
}
