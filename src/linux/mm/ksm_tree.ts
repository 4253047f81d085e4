/**
 * mm/ksm.c v6.18: the stable and the unstable tree, and how an item leaves them.
 *
 * Lock tree: ksm_thread_mutex holds both trees still (an exiting mm only waits for ksmd, through mmap_lock);
 * folio lock, for the items of a stable node. Fidelity: dup for one NUMA node (migrate_nodes is never used
 * then); custom: there is no time, so that the nodes of a chain are pruned only where a search meets them.
 */
import type { K } from '../../sim/wait.ts';
import { EBUSY } from '../errno.ts';
import { BUG_ON, VM_BUG_ON } from '../lib/bug.ts';
import {
  INIT_LIST_HEAD,
  list_add,
  list_del,
  list_empty,
  list_entries,
  list_is_singular,
  list_next,
} from '../lib/list.ts';
import {
  rb_erase,
  rb_insert,
  rb_left,
  rb_replace_node,
  rb_right,
  rb_root_node,
} from '../lib/rbtree.ts';
import { type anon_vma, type folio, mem_map, type mm_struct, type page } from '../mm_types.ts';
import { trace_ksm_remove_ksm_page, trace_ksm_remove_rmap_item } from './events.ts';
import { should_failslab } from './failslab.ts';
import { folio_lock, folio_trylock, folio_unlock } from './folio_lock.ts';
import { ksmGlobals } from './ksm_globals.ts';
import { folio_set_stable_node, folio_stable_node, stable_node_mapping } from './ksm_page.ts';
import {
  type ksm_globals,
  type ksm_rmap_item,
  ksm_rmap_item_cachep,
  type ksm_stable_node,
  ksm_stable_node_cachep,
  STABLE_FLAG,
  STABLE_NODE_CHAIN,
  UNSTABLE_FLAG,
} from './ksm_types.ts';
import { folio_mapped } from './large_folio.ts';
import { folio_get, folio_try_get, page_folio } from './page_alloc.ts';
import { compare_content } from './page_content.ts';
import { put_anon_vma } from './rmap/anon_vma_life.ts';
import { folio_put } from './swap.ts';

const nodeOfRb = ksm_stable_node_cachep.container('node');
const nodeOfDup = ksm_stable_node_cachep.container('hlist_dup');
const itemOfLink = ksm_rmap_item_cachep.container('hlist');

// ---- nodes

const is_stable_node_chain = (node: ksm_stable_node): boolean =>
  node.rmap_hlist_len === STABLE_NODE_CHAIN;
const is_stable_node_dup = (node: ksm_stable_node): boolean => node.is_dup === 1;

/** alloc_stable_node(). NULL when memory is short. */
function alloc_stable_node(): ksm_stable_node | null {
  if (should_failslab()) {
    return null;
  }
  const node = ksm_stable_node_cachep.alloc();
  INIT_LIST_HEAD(node.hlist);
  return node;
}

/** free_stable_node(). */
function free_stable_node(node: ksm_stable_node): void {
  VM_BUG_ON(
    node.rmap_hlist_len !== 0 && !is_stable_node_chain(node),
    'stable_node->rmap_hlist_len && !is_stable_node_chain(stable_node)',
  );
  ksm_stable_node_cachep.free(node);
}

/** stable_node_chain_add_dup(). */
function stable_node_chain_add_dup(dup: ksm_stable_node, chain: ksm_stable_node): void {
  const ksm = ksmGlobals();
  VM_BUG_ON(is_stable_node_dup(dup), 'is_stable_node_dup(dup)');
  dup.is_dup = 1;
  VM_BUG_ON(!is_stable_node_chain(chain), '!is_stable_node_chain(chain)');
  list_add(dup.hlist_dup, chain.hlist);
  ksm.ksm_stable_node_dups = ksm.ksm_stable_node_dups + 1;
}

/** stable_node_dup_del(): out of the tree or of its chain. */
function stable_node_dup_del(dup: ksm_stable_node): void {
  const ksm = ksmGlobals();
  VM_BUG_ON(is_stable_node_chain(dup), 'is_stable_node_chain(dup)');
  if (is_stable_node_dup(dup)) {
    list_del(dup.hlist_dup);
    ksm.ksm_stable_node_dups = ksm.ksm_stable_node_dups - 1;
  } else {
    rb_erase(dup.node, ksm.root_stable_tree);
  }
}

/** alloc_stable_node_chain(): a chain takes the place of the node in the tree, which becomes its first. */
function alloc_stable_node_chain(dup: ksm_stable_node): ksm_stable_node | null {
  const ksm = ksmGlobals();
  const chain = alloc_stable_node();
  VM_BUG_ON(is_stable_node_chain(dup), 'is_stable_node_chain(dup)');
  if (chain !== null) {
    chain.rmap_hlist_len = STABLE_NODE_CHAIN;
    ksm.ksm_stable_node_chains = ksm.ksm_stable_node_chains + 1;
    rb_replace_node(dup.node, chain.node, ksm.root_stable_tree);
    stable_node_chain_add_dup(dup, chain);
  }
  return chain;
}

/** free_stable_node_chain(). */
function free_stable_node_chain(chain: ksm_stable_node): void {
  const ksm = ksmGlobals();
  rb_erase(chain.node, ksm.root_stable_tree);
  free_stable_node(chain);
  ksm.ksm_stable_node_chains = ksm.ksm_stable_node_chains - 1;
}

/** is_page_sharing_candidate(), with the offset of __is_page_sharing_candidate(). */
export function is_page_sharing_candidate(stable_node: ksm_stable_node, offset = 0): boolean {
  VM_BUG_ON(stable_node.rmap_hlist_len < 0, 'stable_node->rmap_hlist_len < 0');
  // Without a mapping left the page is about to be freed.
  return (
    stable_node.rmap_hlist_len > 0 &&
    stable_node.rmap_hlist_len + offset < ksmGlobals().ksm_max_page_sharing
  );
}

/** An item leaves the counts of a node: it was the last one, or one of several. */
function uncount_item(last: boolean, mm: mm_struct): void {
  const ksm = ksmGlobals();
  if (last) {
    ksm.ksm_pages_shared = ksm.ksm_pages_shared - 1;
  } else {
    ksm.ksm_pages_sharing = ksm.ksm_pages_sharing - 1;
  }
  mm.ksm_merging_pages = mm.ksm_merging_pages - 1;
}

/** mm/ksm.c: remove_node_from_stable_tree() v6.18: the page of the node is gone. */
function* remove_node_from_stable_tree(stable_node: ksm_stable_node): K {
  BUG_ON(stable_node.rmap_hlist_len < 0, 'stable_node->rmap_hlist_len < 0');
  for (const link of list_entries(stable_node.hlist)) {
    const rmap_item = itemOfLink(link);
    const mm = rmap_item.mm as mm_struct;
    const last = list_next(link) === stable_node.hlist;
    uncount_item(last, mm);
    if (!last) {
      trace_ksm_remove_rmap_item({ pfn: stable_node.kpfn, rmap_item, mm });
    }
    VM_BUG_ON(stable_node.rmap_hlist_len <= 0, 'stable_node->rmap_hlist_len <= 0');
    stable_node.rmap_hlist_len = stable_node.rmap_hlist_len - 1;
    yield* put_anon_vma(rmap_item.anon_vma as anon_vma);
    rmap_item.flags = 0;
  }
  trace_ksm_remove_ksm_page({ pfn: stable_node.kpfn });
  stable_node_dup_del(stable_node);
  free_stable_node(stable_node);
}

/** How ksm_get_folio() treats the folio lock. */
export type ksm_get_folio_flags = 'nolock' | 'lock' | 'trylock';

/**
 * mm/ksm.c: ksm_get_folio() v6.18: the page of a stable node with a reference, if it still is that page; if it
 * is gone, the node is removed and the result is null; -EBUSY if only trylock was allowed.
 *
 * The node has no reference to the page. A page that is freed loses its mapping, one that migrates gives the
 * node the new frame before it loses its own mapping: so a mismatch means gone only if kpfn stayed the same.
 * A frozen reference count is never met: whoever freezes the count of a KSM page does so within one step.
 */
export function* ksm_get_folio(
  stable_node: ksm_stable_node,
  flags: ksm_get_folio_flags,
): K<folio | number | null> {
  const expected_mapping = stable_node_mapping(stable_node);
  for (;;) {
    const kpfn = stable_node.kpfn;
    const folio = mem_map.at(kpfn);
    if (folio.mapping === expected_mapping && folio_try_get(folio)) {
      if (folio.mapping !== expected_mapping) {
        folio_put(folio);
      } else if (flags === 'nolock') {
        return folio;
      } else {
        if (flags === 'trylock') {
          if (!folio_trylock(folio)) {
            folio_put(folio);
            return -EBUSY;
          }
        } else {
          yield* folio_lock(folio);
        }
        if (folio.mapping === expected_mapping) {
          return folio;
        }
        folio_unlock(folio);
        folio_put(folio);
      }
    }
    if (stable_node.kpfn === kpfn) {
      yield* remove_node_from_stable_tree(stable_node);
      return null;
    }
  }
}

/**
 * mm/ksm.c: remove_rmap_item_from_tree() v6.18. The unstable tree is emptied by forgetting its root: only an
 * item of the current scan still has to be taken out.
 */
export function* remove_rmap_item_from_tree(rmap_item: ksm_rmap_item): K {
  const ksm = ksmGlobals();
  if ((rmap_item.flags & STABLE_FLAG) !== 0) {
    const stable_node = rmap_item.head as ksm_stable_node;
    const folio = yield* ksm_get_folio(stable_node, 'lock');
    if (folio === null || typeof folio === 'number') {
      return;
    }
    list_del(rmap_item.hlist);
    folio_unlock(folio);
    folio_put(folio);
    uncount_item(list_empty(stable_node.hlist), rmap_item.mm as mm_struct);
    VM_BUG_ON(stable_node.rmap_hlist_len <= 0, 'stable_node->rmap_hlist_len <= 0');
    stable_node.rmap_hlist_len = stable_node.rmap_hlist_len - 1;
    yield* put_anon_vma(rmap_item.anon_vma as anon_vma);
    rmap_item.head = null;
    rmap_item.flags = 0;
  } else if ((rmap_item.flags & UNSTABLE_FLAG) !== 0) {
    const age = (ksm.scan_seqnr - rmap_item.flags) & 0xff;
    BUG_ON(age > 1, 'age > 1');
    if (age === 0) {
      rb_erase(rmap_item.node, ksm.root_unstable_tree);
    }
    ksm.ksm_pages_unshared = ksm.ksm_pages_unshared - 1;
    rmap_item.flags = 0;
  }
}

// ---- un-merging everything

/** mm/ksm.c: remove_stable_node() v6.18. 0, or -EBUSY if the page is still mapped. */
function* remove_stable_node(stable_node: ksm_stable_node): K<number> {
  const folio = yield* ksm_get_folio(stable_node, 'lock');
  if (folio === null || typeof folio === 'number') {
    return 0;
  }
  let err = -EBUSY;
  if (!folio_mapped(folio)) {
    // In the swap cache, or about to be freed: the node may go before the page does.
    folio_set_stable_node(folio, null);
    yield* remove_node_from_stable_tree(stable_node);
    err = 0;
  }
  folio_unlock(folio);
  folio_put(folio);
  return err;
}

/** mm/ksm.c: remove_stable_node_chain() v6.18: true if something is left. */
function* remove_stable_node_chain(stable_node: ksm_stable_node): K<boolean> {
  if (!is_stable_node_chain(stable_node)) {
    VM_BUG_ON(is_stable_node_dup(stable_node), 'is_stable_node_dup(stable_node)');
    return (yield* remove_stable_node(stable_node)) !== 0;
  }
  for (const link of list_entries(stable_node.hlist)) {
    const dup = nodeOfDup(link);
    VM_BUG_ON(!is_stable_node_dup(dup), '!is_stable_node_dup(dup)');
    if ((yield* remove_stable_node(dup)) !== 0) {
      return true;
    }
  }
  BUG_ON(!list_empty(stable_node.hlist), '!hlist_empty(&stable_node->hlist)');
  free_stable_node_chain(stable_node);
  return false;
}

/** mm/ksm.c: remove_all_stable_nodes() v6.18. 0, or -EBUSY: the first node that cannot go ends it. */
export function* remove_all_stable_nodes(): K<number> {
  const ksm = ksmGlobals();
  for (;;) {
    const root = rb_root_node(ksm.root_stable_tree);
    if (root === 0) {
      return 0;
    }
    if (yield* remove_stable_node_chain(nodeOfRb(root))) {
      return -EBUSY;
    }
  }
}

// ---- the stable tree

/** A place in a tree where a node is or may be hung: struct rb_node ** with its parent. */
export interface tree_place {
  parent: number;
  left: boolean;
}

/** The node at a place, 0 if none. */
export function nodeAtPlace(root: ksm_globals['root_stable_tree'], place: tree_place): number {
  if (place.parent === 0) {
    return rb_root_node(root);
  }
  return place.left ? rb_left(place.parent) : rb_right(place.parent);
}

/** What a step of a search looked at: the node in the tree, which one of its pages, and that page. */
interface tree_step {
  readonly stable_node: ksm_stable_node;
  readonly dup: ksm_stable_node;
  readonly folio: folio;
}

/**
 * mm/ksm.c: stable_node_dup() v6.18: of the pages of a chain the first that can be shared further, else the first
 * there is. A chain of one page collapses into it, an empty one is freed (null).
 */
function* stable_node_dup(chain: ksm_stable_node): K<tree_step | null> {
  const ksm = ksmGlobals();
  let stable_node = chain;
  let found: ksm_stable_node | null = null;
  let tree_folio: folio | null = null;
  for (const link of list_entries(chain.hlist)) {
    const dup = nodeOfDup(link);
    const folio = yield* ksm_get_folio(dup, 'nolock');
    if (folio === null || typeof folio === 'number') {
      continue;
    }
    if (
      found === null ||
      tree_folio === null ||
      (is_page_sharing_candidate(dup) &&
        (!is_page_sharing_candidate(found) || dup.rmap_hlist_len > found.rmap_hlist_len))
    ) {
      if (tree_folio !== null) {
        folio_put(tree_folio);
      }
      found = dup;
      tree_folio = folio;
      if (is_page_sharing_candidate(found)) {
        break;
      }
      continue;
    }
    folio_put(folio);
  }
  if (found === null || tree_folio === null) {
    free_stable_node_chain(chain);
    return null;
  }
  if (list_is_singular(chain.hlist)) {
    rb_replace_node(chain.node, found.node, ksm.root_stable_tree);
    found.is_dup = 0;
    free_stable_node(chain);
    ksm.ksm_stable_node_chains = ksm.ksm_stable_node_chains - 1;
    ksm.ksm_stable_node_dups = ksm.ksm_stable_node_dups - 1;
    stable_node = found;
  } else if (list_next(chain.hlist) !== found.hlist_dup && is_page_sharing_candidate(found, 1)) {
    // First in the chain, so that the next search finds it at once.
    list_del(found.hlist_dup);
    list_add(found.hlist_dup, chain.hlist);
  }
  return { stable_node, dup: found, folio: tree_folio };
}

/** mm/ksm.c: chain() and chain_prune() v6.18: one step of a search. null: the tree has changed, begin again. */
function* chain(stable_node: ksm_stable_node): K<tree_step | null> {
  if (is_stable_node_chain(stable_node)) {
    return yield* stable_node_dup(stable_node);
  }
  const folio = yield* ksm_get_folio(stable_node, 'nolock');
  if (folio === null || typeof folio === 'number') {
    return null;
  }
  return { stable_node, dup: stable_node, folio };
}

/**
 * mm/ksm.c: stable_tree_search() v6.18: the KSM page with the content of `page`, with a reference; null if there
 * is none that can be shared further; -EBUSY if it is locked.
 */
export function* stable_tree_search(page: page): K<folio | number | null> {
  const folio = page_folio(page);
  const root = ksmGlobals().root_stable_tree;
  if (folio_stable_node(folio) !== null) {
    // A KSM page that fork shared: it needs no search, only an item of its own.
    folio_get(folio);
    return folio;
  }
  let place: tree_place = { parent: 0, left: false };
  for (;;) {
    const at = nodeAtPlace(root, place);
    if (at === 0) {
      return null;
    }
    const met = yield* chain(nodeOfRb(at));
    if (met === null) {
      place = { parent: 0, left: false };
      continue;
    }
    const ret = compare_content(page.content, met.folio.content);
    folio_put(met.folio);
    // A collapsed chain has made room for its only node.
    const parent = nodeAtPlace(root, place);
    if (ret !== 0) {
      place = { parent, left: ret < 0 };
      continue;
    }
    if (!is_page_sharing_candidate(met.dup)) {
      return null;
    }
    // Locked once, so that a migration in progress notices the reference.
    const tree_folio = yield* ksm_get_folio(met.dup, 'trylock');
    if (tree_folio === null) {
      place = { parent: 0, left: false };
      continue;
    }
    if (typeof tree_folio === 'number') {
      return -EBUSY;
    }
    folio_unlock(tree_folio);
    return tree_folio;
  }
}

/** mm/ksm.c: stable_tree_insert() v6.18: a node for a new KSM page. NULL when memory is short. Preconditions: locked. */
export function* stable_tree_insert(kfolio: folio): K<ksm_stable_node | null> {
  const root = ksmGlobals().root_stable_tree;
  let place: tree_place = { parent: 0, left: false };
  let same: ksm_stable_node | null = null;
  for (;;) {
    const at = nodeAtPlace(root, place);
    if (at === 0) {
      break;
    }
    const met = yield* chain(nodeOfRb(at));
    if (met === null) {
      place = { parent: 0, left: false };
      continue;
    }
    const ret = compare_content(kfolio.content, met.folio.content);
    folio_put(met.folio);
    const parent = nodeAtPlace(root, place);
    if (ret === 0) {
      same = met.stable_node;
      break;
    }
    place = { parent, left: ret < 0 };
  }
  const made = alloc_stable_node();
  if (made === null) {
    return null;
  }
  made.kpfn = kfolio.pfn;
  if (same === null) {
    rb_insert(made.node, place.parent, place.left, root);
  } else {
    let into: ksm_stable_node | null = same;
    if (!is_stable_node_chain(same)) {
      into = alloc_stable_node_chain(same);
      if (into === null) {
        free_stable_node(made);
        return null;
      }
    }
    stable_node_chain_add_dup(made, into);
  }
  folio_set_stable_node(kfolio, made);
  return made;
}
