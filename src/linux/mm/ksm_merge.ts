/**
 * mm/ksm.c v6.18: making two pages one: write-protect, compare, replace; what is done to one page of a scan.
 *
 * Lock tree: mmap_lock of the mm whose entry changes, for read; folio lock of the page that is replaced, by
 * trylock; ptl. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { EFAULT } from '../errno.ts';
import { BUG_ON, VM_BUG_ON_FOLIO, WARN_ON_ONCE } from '../lib/bug.ts';
import { list_add, list_next } from '../lib/list.ts';
import { rb_insert } from '../lib/rbtree.ts';
import type { anon_vma, folio, mm_struct, page, vm_area_struct } from '../mm_types.ts';
import { trace_ksm_merge_one_page, trace_ksm_merge_with_ksm_page } from './events.ts';
import { folio_lock, folio_trylock, folio_unlock } from './folio_lock.ts';
import { split_huge_page } from './folio_split.ts';
import { ksm_map_zero_page, ksmGlobals } from './ksm_globals.ts';
import { folio_set_stable_node, folio_stable_node } from './ksm_page.ts';
import {
  is_page_sharing_candidate,
  nodeAtPlace,
  remove_rmap_item_from_tree,
  stable_tree_insert,
  stable_tree_search,
  type tree_place,
} from './ksm_tree.ts';
import {
  type ksm_rmap_item,
  ksm_rmap_item_cachep,
  type ksm_stable_node,
  SEQNR_MASK,
  STABLE_FLAG,
  UNSTABLE_FLAG,
} from './ksm_types.ts';
import { break_cow, find_mergeable_vma } from './ksm_unmerge.ts';
import { folio_mapcount, folio_mapped } from './large_folio.ts';
import { dec_mm_counter, MM_ANONPAGES } from './mm_counter.ts';
import { mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { folio_get, folio_ref_count, is_zero_pfn, page_folio, ZERO_PAGE } from './page_alloc.ts';
import { compare_content, hash_content, ZERO_CONTENT } from './page_content.ts';
import {
  folio_vma_walk,
  page_vma_mapped_walk,
  page_vma_mapped_walk_done,
} from './page_vma_mapped.ts';
import {
  folio_test_anon,
  folio_test_dirty,
  folio_test_large,
  folio_test_swapcache,
  PageAnonExclusive,
} from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import { folio_walk_end, folio_walk_start } from './pagewalk.ts';
import {
  mk_pte,
  mm_find_pmd,
  pfn_pte,
  pmd_present,
  pmd_trans_huge,
  pmdp_get,
  pte_dirty,
  pte_mkclean,
  pte_mkdirty,
  pte_mkspecial,
  pte_offset_map_lock,
  pte_same,
  type pte_t,
  pte_unmap_unlock,
  pte_write,
  pte_wrprotect,
  ptep_clear_flush,
  ptep_get,
  set_pte_at,
} from './pgtable.ts';
import { get_anon_vma } from './rmap/anon_vma_life.ts';
import { page_address_in_vma } from './rmap/vma_address.ts';
import {
  folio_add_anon_rmap_pte,
  folio_remove_rmap_pte,
  folio_try_share_anon_rmap_pte,
  RMAP_NONE,
} from './rmap.ts';
import { folio_mark_accessed, folio_put } from './swap.ts';
import { folio_free_swap } from './swapfile.ts';

/** Of a page of zeros. */
const zero_checksum = hash_content(ZERO_CONTENT);

const itemOfNode = ksm_rmap_item_cachep.container('node');

/** mm/ksm.c: get_mergeable_page() v6.18: what an item of the unstable tree maps now, with a reference, or null. */
function* get_mergeable_page(rmap_item: ksm_rmap_item): K<page | null> {
  const mm = rmap_item.mm as mm_struct;
  const addr = rmap_item.address;
  let found: page | null = null;
  yield* mmap_read_lock(mm);
  const vma = find_mergeable_vma(mm, addr);
  if (vma !== null) {
    const fw = yield* folio_walk_start(vma, addr, 0);
    if (fw !== null) {
      if (folio_test_anon(fw.folio)) {
        folio_get(fw.folio);
        found = fw.page;
      }
      folio_walk_end(fw);
    }
  }
  mmap_read_unlock(mm);
  return found;
}

// ---- merging

/**
 * mm/ksm.c: write_protect_page() v6.18: the entry that maps the folio, clean and read-only; null if it cannot be
 * made so. Preconditions: mmap_lock, folio locked.
 *
 * The entry is cleared before the counts are compared: a reference that is not a mapping's may belong to I/O
 * in progress, which would write to the page; new ones cannot be taken through a cleared entry.
 */
function* write_protect_page(vma: vm_area_struct, folio: folio): K<pte_t | null> {
  const mm = vma.vm_mm as mm_struct;
  if (WARN_ON_ONCE(folio_test_large(folio), 'folio_test_large(folio)')) {
    return null;
  }
  const address = page_address_in_vma(folio, vma);
  if (address < 0) {
    return null;
  }
  const pvmw = folio_vma_walk(folio, vma, address, 0, null);
  if (!(yield* page_vma_mapped_walk(pvmw))) {
    return null;
  }
  let entry = ptep_get(pvmw.pte);
  const anon_exclusive = PageAnonExclusive(folio);
  if (pte_write(entry) || pte_dirty(entry) || anon_exclusive) {
    const swapped = folio_test_swapcache(folio) ? 1 : 0;
    entry = ptep_clear_flush(vma, pvmw.address, pvmw.pte);
    if (folio_mapcount(folio) + 1 + swapped !== folio_ref_count(folio)) {
      set_pte_at(mm, pvmw.address, pvmw.pte, entry);
      page_vma_mapped_walk_done(pvmw);
      return null;
    }
    if (anon_exclusive && folio_try_share_anon_rmap_pte(folio, folio) !== 0) {
      set_pte_at(mm, pvmw.address, pvmw.pte, entry);
      page_vma_mapped_walk_done(pvmw);
      return null;
    }
    if (pte_dirty(entry)) {
      folio_mark_dirty(folio);
    }
    entry = pte_mkclean(entry);
    if (pte_write(entry)) {
      entry = pte_wrprotect(entry);
    }
    set_pte_at(mm, pvmw.address, pvmw.pte, entry);
  }
  page_vma_mapped_walk_done(pvmw);
  return entry;
}

/**
 * mm/ksm.c: replace_page() v6.18: maps `kfolio` instead of `folio`, if the entry is still `orig_pte`. 0 or -EFAULT.
 * Preconditions: mmap_lock, folio locked, both with the same content.
 */
function* replace_page(
  vma: vm_area_struct,
  folio: folio,
  kfolio: folio,
  orig_pte: pte_t,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const addr = page_address_in_vma(folio, vma);
  if (addr < 0) {
    return -EFAULT;
  }
  const pmd = mm_find_pmd(mm, addr);
  if (pmd === 0 || !pmd_present(pmdp_get(pmd)) || pmd_trans_huge(pmdp_get(pmd))) {
    return -EFAULT;
  }
  const ptep = yield* pte_offset_map_lock(mm, pmd, addr);
  if (ptep === 0) {
    return -EFAULT;
  }
  if (!pte_same(ptep_get(ptep), orig_pte)) {
    pte_unmap_unlock(ptep);
    return -EFAULT;
  }
  VM_BUG_ON_FOLIO(PageAnonExclusive(folio), folio, 'PageAnonExclusive(page)');
  VM_BUG_ON_FOLIO(
    folio_test_anon(kfolio) && PageAnonExclusive(kfolio),
    kfolio,
    'folio_test_anon(kfolio) && PageAnonExclusive(kpage)',
  );
  let newpte: pte_t;
  if (!is_zero_pfn(kfolio.pfn)) {
    folio_get(kfolio);
    folio_add_anon_rmap_pte(kfolio, kfolio, vma, addr, RMAP_NONE);
    newpte = mk_pte(kfolio, vma.vm_page_prot);
  } else {
    // The dirty bit tells it from a zero page that a read fault mapped.
    newpte = pte_mkdirty(pte_mkspecial(pfn_pte(kfolio.pfn, vma.vm_page_prot)));
    ksm_map_zero_page(mm);
    dec_mm_counter(mm, MM_ANONPAGES);
  }
  ptep_clear_flush(vma, addr, ptep);
  set_pte_at(mm, addr, ptep, newpte);
  folio_remove_rmap_pte(folio, folio, vma);
  if (!folio_mapped(folio)) {
    folio_free_swap(folio);
  }
  folio_put(folio);
  pte_unmap_unlock(ptep);
  return 0;
}

/**
 * mm/ksm.c: try_to_merge_one_page() v6.18: maps `kfolio` instead of `page`, or with null makes `page` a KSM page that
 * has no stable node yet. 0 or -EFAULT. Preconditions: mmap_lock for read.
 */
function* try_to_merge_one_page(vma: vm_area_struct, page: page, kfolio: folio | null): K<number> {
  let folio = page_folio(page);
  let err = -EFAULT;
  if (page === kfolio) {
    return 0;
  }
  if (!folio_test_anon(folio)) {
    return err;
  }
  // A stable swap-cache flag is needed; who else has the page locked is not waited for.
  if (!folio_trylock(folio)) {
    return err;
  }
  if (folio_test_large(folio)) {
    if ((yield* split_huge_page(page)) !== 0) {
      folio_unlock(folio);
      return err;
    }
    folio = page_folio(page);
  }
  const orig_pte = yield* write_protect_page(vma, folio);
  if (orig_pte !== null) {
    if (kfolio === null) {
      folio_set_stable_node(folio, null);
      folio_mark_accessed(folio);
      // All its entries are clean now: reclaim must not take it for empty.
      if (!folio_test_dirty(folio)) {
        folio_mark_dirty(folio);
      }
      err = 0;
    } else if (compare_content(folio.content, kfolio.content) === 0) {
      err = yield* replace_page(vma, folio, kfolio, orig_pte);
    }
  }
  folio_unlock(folio);
  return err;
}

/**
 * mm/ksm.c: try_to_merge_with_zero_page() v6.18: with use_zero_pages, what looks like a page of zeros is replaced by the
 * zero page. 0 also when the VMA is no candidate any more; -EFAULT: nothing was done.
 */
function* try_to_merge_with_zero_page(rmap_item: ksm_rmap_item, page: page): K<number> {
  const mm = rmap_item.mm as mm_struct;
  let err = -EFAULT;
  if (ksmGlobals().ksm_use_zero_pages !== 0 && rmap_item.oldchecksum === zero_checksum) {
    yield* mmap_read_lock(mm);
    const vma = find_mergeable_vma(mm, rmap_item.address);
    if (vma !== null) {
      err = yield* try_to_merge_one_page(vma, page, ZERO_PAGE());
      trace_ksm_merge_one_page({ pfn: ZERO_PAGE().pfn, rmap_item, mm, err });
    } else {
      err = 0;
    }
    mmap_read_unlock(mm);
  }
  return err;
}

/** mm/ksm.c: try_to_merge_with_ksm_page() v6.18. With null the page becomes the KSM page. 0 or -EFAULT. */
function* try_to_merge_with_ksm_page(
  rmap_item: ksm_rmap_item,
  page: page,
  kfolio: folio | null,
): K<number> {
  const mm = rmap_item.mm as mm_struct;
  let err = -EFAULT;
  yield* mmap_read_lock(mm);
  const vma = find_mergeable_vma(mm, rmap_item.address);
  if (vma !== null) {
    err = yield* try_to_merge_one_page(vma, page, kfolio);
    if (err === 0) {
      yield* remove_rmap_item_from_tree(rmap_item);
      // Referenced while mmap_lock still keeps the VMA linked to it.
      const anon_vma = vma.anon_vma as anon_vma;
      rmap_item.anon_vma = anon_vma;
      get_anon_vma(anon_vma);
    }
  }
  mmap_read_unlock(mm);
  trace_ksm_merge_with_ksm_page({
    ksm_page: kfolio,
    pfn: (kfolio ?? page).pfn,
    rmap_item,
    mm,
    err,
  });
  return err;
}

/** mm/ksm.c: try_to_merge_two_pages() v6.18: `page` becomes a KSM page and takes the place of the other, or neither. */
function* try_to_merge_two_pages(
  rmap_item: ksm_rmap_item,
  page: page,
  tree_rmap_item: ksm_rmap_item,
  tree_page: page,
): K<folio | null> {
  let err = yield* try_to_merge_with_ksm_page(rmap_item, page, null);
  if (err === 0) {
    err = yield* try_to_merge_with_ksm_page(tree_rmap_item, tree_page, page_folio(page));
    if (err !== 0) {
      yield* break_cow(rmap_item);
    }
  }
  return err === 0 ? page_folio(page) : null;
}

// ---- one page of a scan

/** What unstable_tree_search_insert() found: an item and its page, with a reference. */
interface unstable_match {
  readonly rmap_item: ksm_rmap_item;
  readonly page: page;
}

/**
 * mm/ksm.c: unstable_tree_search_insert() v6.18: an item whose page has the same content now; else `rmap_item` enters
 * the tree (null). Pages of the tree can be written to, so that it may be out of order.
 */
function* unstable_tree_search_insert(
  rmap_item: ksm_rmap_item,
  page: page,
): K<unstable_match | null> {
  const ksm = ksmGlobals();
  const root = ksm.root_unstable_tree;
  const place: tree_place = { parent: 0, left: false };
  for (;;) {
    const at = nodeAtPlace(root, place);
    if (at === 0) {
      break;
    }
    const tree_rmap_item = itemOfNode(at);
    const tree_page = yield* get_mergeable_page(tree_rmap_item);
    if (tree_page === null) {
      return null;
    }
    if (tree_page === page) {
      // Shared by fork: merging it with itself gains nothing.
      folio_put(page_folio(tree_page));
      return null;
    }
    const ret = compare_content(page.content, tree_page.content);
    if (ret === 0) {
      return { rmap_item: tree_rmap_item, page: tree_page };
    }
    place.parent = at;
    place.left = ret < 0;
    folio_put(page_folio(tree_page));
  }
  // In Linux the tree node overlays `head`.
  rmap_item.head = null;
  rmap_item.flags = UNSTABLE_FLAG | (ksm.scan_seqnr & SEQNR_MASK);
  rb_insert(rmap_item.node, place.parent, place.left, root);
  ksm.ksm_pages_unshared = ksm.ksm_pages_unshared + 1;
  return null;
}

/** mm/ksm.c: stable_tree_append() v6.18. Preconditions: the page of the node is locked. */
function stable_tree_append(
  rmap_item: ksm_rmap_item,
  stable_node: ksm_stable_node,
  max_page_sharing_bypass: boolean,
): void {
  const ksm = ksmGlobals();
  const mm = rmap_item.mm as mm_struct;
  BUG_ON(stable_node.rmap_hlist_len < 0, 'stable_node->rmap_hlist_len < 0');
  stable_node.rmap_hlist_len = stable_node.rmap_hlist_len + 1;
  if (!max_page_sharing_bypass) {
    WARN_ON_ONCE(
      stable_node.rmap_hlist_len > ksm.ksm_max_page_sharing,
      'stable_node->rmap_hlist_len > ksm_max_page_sharing',
    );
  }
  rmap_item.head = stable_node;
  rmap_item.flags = rmap_item.flags | STABLE_FLAG;
  list_add(rmap_item.hlist, stable_node.hlist);
  if (list_next(rmap_item.hlist) === stable_node.hlist) {
    ksm.ksm_pages_shared = ksm.ksm_pages_shared + 1;
  } else {
    ksm.ksm_pages_sharing = ksm.ksm_pages_sharing + 1;
  }
  mm.ksm_merging_pages = mm.ksm_merging_pages + 1;
}

/**
 * The end of cmp_and_merge_page(): both pages become one, which gets a stable node, or none of it. `folio` is what the
 * page belonged to when it was looked at first.
 *
 * Of two pages of one large folio each has a reference, one more than splitting it allows, so that the merge fails:
 * without that of the match it is split, and a later pass merges the pages.
 */
function* mergeUnstable(
  rmap_item: ksm_rmap_item,
  page: page,
  match: unstable_match,
  folio: folio,
): K {
  const kfolio = yield* try_to_merge_two_pages(rmap_item, page, match.rmap_item, match.page);
  const split = folio_test_large(page_folio(page)) && page_folio(page) === page_folio(match.page);
  folio_put(page_folio(match.page));
  if (kfolio === null) {
    if (split && folio_trylock(folio)) {
      yield* split_huge_page(page);
      folio_unlock(page_folio(page));
    }
    return;
  }
  yield* folio_lock(kfolio);
  const stable_node = yield* stable_tree_insert(kfolio);
  if (stable_node !== null) {
    stable_tree_append(match.rmap_item, stable_node, false);
    stable_tree_append(rmap_item, stable_node, false);
  }
  folio_unlock(kfolio);
  if (stable_node === null) {
    yield* break_cow(match.rmap_item);
    yield* break_cow(rmap_item);
  }
}

/**
 * mm/ksm.c: cmp_and_merge_page() v6.18: one page of a scan: into the stable tree if its content is there, else, if it
 * has not changed since the last scan, merged with or added to the unstable tree.
 */
export function* cmp_and_merge_page(page: page, rmap_item: ksm_rmap_item): K {
  const folio = page_folio(page);
  const stable_node = folio_stable_node(folio);
  let max_page_sharing_bypass = false;
  if (stable_node !== null) {
    if (rmap_item.head === stable_node) {
      return;
    }
    // What fork has shared already may go over the limit.
    if (!is_page_sharing_candidate(stable_node)) {
      max_page_sharing_bypass = true;
    }
  } else {
    yield* remove_rmap_item_from_tree(rmap_item);
    const checksum = hash_content(page.content);
    if (rmap_item.oldchecksum !== checksum) {
      rmap_item.oldchecksum = checksum;
      return;
    }
    if ((yield* try_to_merge_with_zero_page(rmap_item, page)) === 0) {
      return;
    }
  }
  const kfolio = yield* stable_tree_search(page);
  if (kfolio === folio && rmap_item.head === stable_node) {
    folio_put(folio);
    return;
  }
  yield* remove_rmap_item_from_tree(rmap_item);
  if (typeof kfolio === 'number') {
    return;
  }
  if (kfolio !== null) {
    const err = yield* try_to_merge_with_ksm_page(rmap_item, page, kfolio);
    if (err === 0) {
      yield* folio_lock(kfolio);
      const node = folio_stable_node(kfolio) as ksm_stable_node;
      stable_tree_append(rmap_item, node, max_page_sharing_bypass);
      folio_unlock(kfolio);
    }
    folio_put(kfolio);
    return;
  }
  const match = yield* unstable_tree_search_insert(rmap_item, page);
  if (match !== null) {
    yield* mergeUnstable(rmap_item, page, match, folio);
  }
}
