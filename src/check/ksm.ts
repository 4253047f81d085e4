/**
 * KSM1 to KSM3: what ksmd believes, counted again: items and slots, the stable tree, and that items lead to what they
 * stand for. Items of addresses that no longer map their page are allowed: they go at the next pass.
 */
import {
  type ksm_globals,
  type ksm_mm_slot,
  ksm_mm_slot_cachep,
  type ksm_rmap_item,
  ksm_rmap_item_cachep,
  type ksm_stable_node,
  ksm_stable_node_cachep,
  STABLE_FLAG,
  STABLE_NODE_CHAIN,
} from '../linux/mm/ksm_types.ts';
import { compare_content } from '../linux/mm/page_content.ts';
import { mem_map, type mm_struct } from '../linux/mm_types.ts';
import { hasRoot, ROOT_KSM, rootAt } from '../linux/roots.ts';
import { type Cache, describeObject, isLive, type Obj } from '../sim/struct.ts';
import type { FindingKind } from './kinds.ts';
import { frameText, type Picture, place, vmaText } from './picture.ts';
import { Broken, isKsm, listEntries, mappingObject, rawPage, treeNodes } from './raw.ts';
import type { Chains } from './rmap.ts';
import type { Verdicts } from './verdict.ts';

const slotOfNode = ksm_mm_slot_cachep.container('mm_node');
const nodeOfRb = ksm_stable_node_cachep.container('node');
const nodeOfDup = ksm_stable_node_cachep.container('hlist_dup');
const itemOfLink = ksm_rmap_item_cachep.container('hlist');

/** KSM as it is, read once; empty before its first use. */
export interface KsmPicture {
  readonly globals: ksm_globals | null;
  readonly slots: readonly ksm_mm_slot[];
  /** By slot, in the order of its list. */
  readonly items: ReadonlyMap<ksm_mm_slot, readonly ksm_rmap_item[]>;
  /** Nodes with a page, in the order of the tree; those of a chain one after the other. */
  readonly nodes: readonly ksm_stable_node[];
  readonly chains: number;
}

const MANY = 1_000_000;

function itemsOf(slot: ksm_mm_slot): ksm_rmap_item[] {
  const items: ksm_rmap_item[] = [];
  for (let item = slot.rmap_list; item !== null && items.length < MANY; item = item.rmap_list) {
    items.push(item);
  }
  return items;
}

export function takeKsmPicture(verdicts: Verdicts): KsmPicture {
  const none = { globals: null, slots: [], items: new Map(), nodes: [], chains: 0 };
  if (!hasRoot(ROOT_KSM)) return none;
  const globals = rootAt(ROOT_KSM) as ksm_globals;
  try {
    const slots = listEntries((globals.ksm_mm_head as ksm_mm_slot).mm_node).map(slotOfNode);
    let chains = 0;
    const nodes = treeNodes(globals.root_stable_tree).flatMap(({ at }) => {
      const node = nodeOfRb(at);
      if (node.rmap_hlist_len !== STABLE_NODE_CHAIN) return [node];
      chains++;
      return listEntries(node.hlist).map(nodeOfDup);
    });
    return { globals, slots, items: new Map(slots.map((s) => [s, itemsOf(s)])), nodes, chains };
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    verdicts.push({ kind: 'ksm-tree', text: error.message, evidence: [] });
    return none;
  }
}

/** Items on stable nodes, each of which holds a reference to its anon_vma. */
export function stableItems({ items }: KsmPicture): ksm_rmap_item[] {
  return [...items.values()].flat().filter((item) => (item.flags & STABLE_FLAG) !== 0);
}

/** Address spaces that ksmd keeps. */
export function scannedMms({ slots }: KsmPicture): mm_struct[] {
  return slots.flatMap(({ mm }) => mm ?? []);
}

function say(verdicts: Verdicts, kind: FindingKind, text: string, ...about: Obj[]): void {
  verdicts.push({ kind, text, evidence: about.map(describeObject) });
}

/** KSM1: items in order of address, of the slot's mm; the counts of mms and of the whole. */
function judgeItems(ksm: KsmPicture, globals: ksm_globals, verdicts: Verdicts): void {
  let total = 0;
  for (const [slot, items] of ksm.items) {
    const mm = slot.mm as mm_struct;
    if (!isLive(mm)) {
      say(verdicts, 'ksm-item', 'a slot of ksmd has a freed mm', slot);
      continue;
    }
    let before = -1;
    let merging = 0;
    for (const item of items) {
      total++;
      if (!isLive(item) || item.mm !== mm) {
        say(verdicts, 'ksm-item', 'an item is freed or of another mm', slot, item);
        break;
      }
      if (item.address <= before) say(verdicts, 'ksm-item', 'items are out of order', item);
      before = item.address;
      if ((item.flags & STABLE_FLAG) !== 0) merging++;
    }
    for (const [name, stored, counted] of [
      ['ksm_rmap_items', mm.ksm_rmap_items, items.length],
      ['ksm_merging_pages', mm.ksm_merging_pages, merging],
    ] as const) {
      if (stored === counted) continue;
      say(verdicts, 'ksm-item', `${name} of an mm is ${stored}, counted ${counted}`, mm);
    }
  }
  if (globals.ksm_rmap_items !== total) {
    say(verdicts, 'ksm-item', `ksm_rmap_items is ${globals.ksm_rmap_items}, counted ${total}`);
  }
}

/** KSM2: order by content of the pages that are still there, items linked both ways, counts. */
function judgeNodes(ksm: KsmPicture, globals: ksm_globals, verdicts: Verdicts): void {
  const known = new Set(stableItems(ksm));
  let before: ksm_stable_node | null = null;
  let shared = 0;
  let linked = 0;
  for (const node of ksm.nodes) {
    const items = listEntries(node.hlist).map(itemOfLink);
    linked += items.length;
    if (items.length > 0) shared++;
    if (items.length !== node.rmap_hlist_len) {
      const text = `rmap_hlist_len is ${node.rmap_hlist_len}, counted ${items.length}`;
      say(verdicts, 'ksm-tree', text, node);
    }
    for (const item of items) {
      if (!known.has(item) || item.head !== node) {
        say(
          verdicts,
          'ksm-tree',
          'an item on a stable node is of no slot, or of another node',
          node,
          item,
        );
      }
    }
    const page = rawPage(node.kpfn);
    if (!isKsm(page) || mappingObject(page) !== node) continue;
    const { content } = mem_map.at(node.kpfn);
    if (before !== null) {
      const order = compare_content(mem_map.at(before.kpfn).content, content);
      const same = before.is_dup === 1 && node.is_dup === 1;
      if (order > 0 || (order === 0 && !same)) {
        say(verdicts, 'ksm-tree', 'the stable tree is not in order of content', before, node);
      }
    }
    before = node;
  }
  for (const [name, stored, counted] of [
    ['ksm_pages_shared', globals.ksm_pages_shared, shared],
    ['ksm_pages_sharing', globals.ksm_pages_sharing, linked - shared],
    ['ksm_stable_node_chains', globals.ksm_stable_node_chains, ksm.chains],
    ['items on stable nodes', known.size, linked],
  ] as const) {
    if (stored !== counted) say(verdicts, 'ksm-tree', `${name} is ${stored}, counted ${counted}`);
  }
}

/**
 * KSM3: a mapped KSM page has a stable node of its own or none, and an item of an mm and address leads to its mapping there.
 * More is not promised: where only a child is mergeable, the page that fork shared is found in the child alone.
 */
function judgeMappings(picture: Picture, chains: Chains, verdicts: Verdicts): void {
  for (const [pfn, entries] of picture.present) {
    const page = rawPage(pfn);
    if (!isKsm(page)) continue;
    const node = mappingObject(page) as ksm_stable_node | null;
    // try_to_merge_two_pages() that fails half way leaves one behind where fork had shared the first page:
    // break_cow() takes away the mapping of its own item only.
    if (node === null) continue;
    if (!isLive(node) || node.kpfn !== pfn) {
      const text = `${frameText(pfn)} is a KSM page without a stable node of its own`;
      verdicts.push({ kind: 'ksm-unreachable', text, evidence: entries.slice(0, 8).map(place) });
      continue;
    }
    const items = listEntries(node.hlist).map(itemOfLink);
    for (const entry of entries) {
      const { vma, address, mm } = entry;
      const own = items.filter((item) => item.address === address && item.mm === mm);
      if (own.length === 0) continue;
      const isFound = own.some(
        (item) => item.anon_vma !== null && vma !== null && chains.members(item.anon_vma).has(vma),
      );
      if (isFound) continue;
      verdicts.push({
        kind: 'ksm-unreachable',
        text: `no item of KSM page ${frameText(pfn)} leads to ${place(entry)}`,
        evidence: [describeObject(node), ...(vma === null ? [] : [vmaText(vma)])],
      });
    }
  }
}

function judgeObjects(ksm: KsmPicture, globals: ksm_globals, verdicts: Verdicts): void {
  const count = <T extends Obj>(cache: Cache<T>, counted: number): void => {
    if (cache.live() === counted) return;
    const text = `${cache.info.name}: ${cache.live()} allocated, ${counted} in use`;
    verdicts.push({ kind: 'leaked-object', text, evidence: [] });
  };
  count(ksm_mm_slot_cachep, ksm.slots.length + 1);
  count(
    ksm_rmap_item_cachep,
    [...ksm.items.values()].reduce((n, items) => n + items.length, 0),
  );
  count(ksm_stable_node_cachep, ksm.nodes.length + globals.ksm_stable_node_chains);
}

/** With nothing in flight. */
export function judgeKsm(
  picture: Picture,
  chains: Chains,
  ksm: KsmPicture,
  verdicts: Verdicts,
): void {
  const { globals } = ksm;
  if (globals === null) return;
  try {
    judgeItems(ksm, globals, verdicts);
    judgeNodes(ksm, globals, verdicts);
    judgeMappings(picture, chains, verdicts);
    judgeObjects(ksm, globals, verdicts);
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    say(verdicts, 'ksm-tree', error.message);
  }
}
