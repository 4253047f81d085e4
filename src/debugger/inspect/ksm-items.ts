/** What KSM remembers of a page: the items of its stable node, in the order in which rmap_walk_ksm() takes them. */
import { ksm_rmap_item_cachep, type ksm_stable_node } from '../../linux/mm/ksm_types.ts';
import { mem_map } from '../../linux/mm_types.ts';
import type { PageView } from '../view.ts';
import type { Mapping } from './mappings.ts';
import { alive, listEntries, processOf } from './objects.ts';
import { kindOfPage, mappingObject } from './pages.ts';
import { objectRef } from './refs.ts';

const itemOfLink = ksm_rmap_item_cachep.container('hlist');

/** How many addresses ksmd has merged into the page; 0 of any other page. */
export function itemCount(pfn: number): number {
  const node = nodeOf(pfn);
  return node === null ? 0 : [...listEntries(node.hlist)].length;
}

function nodeOf(pfn: number): ksm_stable_node | null {
  const page = mem_map.at(pfn);
  if (kindOfPage(page) !== 'ksm') return null;
  const node = mappingObject(page) as ksm_stable_node | null;
  return alive(node) ? node : null;
}

/** The items of a KSM page, given its mappings: an item whose address maps something else now is stale. */
export function itemsOf(pfn: number, mappings: readonly Mapping[]): PageView['items'] {
  const node = nodeOf(pfn);
  if (node === null) return [];
  return [...listEntries(node.hlist)]
    .map(itemOfLink)
    .filter((item) => alive(item))
    .map((item) => ({
      ref: objectRef(item),
      process: item.mm === null || item.mm.mm_users === 0 ? '' : processOf(item.mm),
      address: item.address,
      anonVma: item.anon_vma === null ? null : objectRef(item.anon_vma),
      stale: !mappings.some(({ mm, address }) => mm === item.mm && address === item.address),
    }));
}
