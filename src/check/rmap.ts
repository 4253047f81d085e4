/** RMAP1 to RMAP4 and LIFE1: can every mapping of an anonymous page be found, are chains and counters right. */
import { anon_rmap, has } from '../linux/kernel.ts';
import {
  type address_space,
  type anon_vma,
  anon_vma_cachep,
  type anon_vma_chain,
  anon_vma_chain_cachep,
  type mm_struct,
  vm_area_cachep,
  type vm_area_struct,
} from '../linux/mm_types.ts';
import { describeObject, isLive, type Obj } from '../sim/struct.ts';
import { hasAnonVma } from './early-rmap.ts';
import type { FindingKind } from './kinds.ts';
import type { HeldLocks } from './locks.ts';
import { type Entry, frameText, type Picture, place, vmaText } from './picture.ts';
import {
  Broken,
  isAnon,
  isFile,
  listEntries,
  mappingObject,
  PAGE,
  type RawPage,
  rawPage,
  treeNodes,
} from './raw.ts';
import { judgeFamilies } from './rmap-families.ts';
import { judgeList, judgeListCounts } from './rmap-lists.ts';
import { vmasOfFile } from './share-lists.ts';
import type { Verdicts } from './verdict.ts';

const avcOfNode = anon_vma_chain_cachep.container('rb');
const avcOfLink = anon_vma_chain_cachep.container('same_vma');
const avcOfEntry = anon_vma_chain_cachep.container('same_anon_vma');

/** What links VMAs and anon_vmas are on lists, not in trees. */
const onLists = (): boolean => anon_rmap().shape !== 'avc_tree';
/** The VMAs themselves are on the list of their one anon_vma: there are no links. */
const ofFamily = (): boolean => anon_rmap().shape === 'vma_list';

/** Whether somebody may be changing what this anon_vma leads to: the lock that counts is held. */
function isLocked(anon_vma: anon_vma, held: HeldLocks | null): boolean {
  if (held === null) return false;
  const { root } = anon_vma;
  if (root === undefined) return false;
  const locks = [anon_vma.lock, root.lock, root.mutex, root.rwsem];
  return locks.some((lock) => held.any.has(lock));
}
const vmaOfEntry = vm_area_cachep.container('anon_vma_chain');

/** Trees and chains as they are, each read once. */
export class Chains {
  readonly #trees = new Map<anon_vma, readonly anon_vma_chain[]>();
  readonly #links = new Map<anon_vma, ReadonlySet<anon_vma_chain>>();
  readonly #members = new Map<anon_vma, ReadonlySet<vm_area_struct>>();
  readonly #chains = new Map<vm_area_struct, readonly anon_vma_chain[]>();
  readonly #shared = new Map<address_space, ReadonlySet<vm_area_struct>>();
  readonly verdicts: Verdicts = [];

  #broken(what: Obj, error: unknown): void {
    if (!(error instanceof Broken)) throw error;
    this.say('anon-vma-linkage', error.message, [describeObject(what)]);
  }

  say(kind: FindingKind, text: string, evidence: readonly string[]): void {
    this.verdicts.push({ kind, text, evidence });
  }

  /** Links in the tree of an anon_vma, in order. */
  tree(anon_vma: anon_vma): readonly anon_vma_chain[] {
    let links = this.#trees.get(anon_vma);
    if (links === undefined) {
      links = [];
      if (ofFamily()) {
        this.#members.set(anon_vma, new Set(this.family(anon_vma)));
        this.#trees.set(anon_vma, links);
        return links;
      }
      try {
        links = onLists()
          ? listEntries(anon_vma.head).map(avcOfEntry)
          : treeNodes(anon_vma.rb_root).map((node) => avcOfNode(node.at));
      } catch (error) {
        this.#broken(anon_vma, error);
      }
      this.#trees.set(anon_vma, links);
      this.#members.set(anon_vma, new Set(links.map((avc) => avc.vma)));
    }
    return links;
  }

  /** Whether a link is in the tree of an anon_vma. */
  holds(anon_vma: anon_vma, avc: anon_vma_chain): boolean {
    let links = this.#links.get(anon_vma);
    if (links === undefined) {
      links = new Set(this.tree(anon_vma));
      this.#links.set(anon_vma, links);
    }
    return links.has(avc);
  }

  /** VMAs on the list of an anon_vma that has no links, each as often as it is there. */
  family(anon_vma: anon_vma): readonly vm_area_struct[] {
    try {
      return listEntries(anon_vma.head).map(vmaOfEntry);
    } catch (error) {
      this.#broken(anon_vma, error);
      return [];
    }
  }

  /** VMAs in the tree or on the list of an anon_vma. */
  members(anon_vma: anon_vma): ReadonlySet<vm_area_struct> {
    this.tree(anon_vma);
    return this.#members.get(anon_vma) as ReadonlySet<vm_area_struct>;
  }

  /** Links of a VMA, newest first. */
  chain(vma: vm_area_struct): readonly anon_vma_chain[] {
    let links = this.#chains.get(vma);
    if (links === undefined && (ofFamily() || !hasAnonVma())) return [];
    if (links === undefined) {
      links = [];
      try {
        links = listEntries(vma.anon_vma_chain).map(avcOfLink);
      } catch (error) {
        this.#broken(vma, error);
      }
      this.#chains.set(vma, links);
    }
    return links;
  }

  /** VMAs in the i_mmap tree of a file. */
  shared(mapping: address_space): ReadonlySet<vm_area_struct> {
    let vmas = this.#shared.get(mapping);
    if (vmas === undefined) {
      vmas = new Set();
      try {
        vmas = new Set(vmasOfFile(mapping));
      } catch (error) {
        this.#broken(mapping, error);
      }
      this.#shared.set(mapping, vmas);
    }
    return vmas;
  }
}

function addressOf(page: RawPage, vma: vm_area_struct): number {
  return vma.vm_start + (page.index - vma.vm_pgoff) * PAGE;
}

function evidenceOf(page: RawPage, entry: Entry, owner: Obj | null): string[] {
  const evidence = [`${frameText(page.pfn)} index ${page.index.toString(16)}`, place(entry)];
  if (owner !== null) evidence.push(describeObject(owner));
  if (entry.vma !== null) evidence.push(vmaText(entry.vma));
  return evidence;
}

/** RMAP1 of one entry of an anonymous page: mapping, VMA, membership, address. */
function judgeAnonEntry(chains: Chains, page: RawPage, entry: Entry): void {
  const anon_vma = mappingObject(page) as anon_vma;
  if (!anon_vma_cachep.isInstance(anon_vma) || !isLive(anon_vma)) {
    const evidence = evidenceOf(page, entry, null);
    chains.say('anon-vma-freed', 'page->mapping of a mapped page is no live anon_vma', evidence);
    return;
  }
  const { vma } = entry;
  // Without a VMA it is pte-outside-vma.
  if (vma === null) return;
  if (!chains.members(anon_vma).has(vma)) {
    const evidence = evidenceOf(page, entry, anon_vma);
    chains.say('rmap-unreachable', "the VMA is not in the tree of the page's anon_vma", evidence);
  } else if (addressOf(page, vma) !== entry.address) {
    const computed = addressOf(page, vma).toString(16);
    const evidence = evidenceOf(page, entry, anon_vma);
    chains.say('rmap-unreachable', `a walk would look at ${computed}`, evidence);
  }
}

function judgeFileEntry(chains: Chains, page: RawPage, entry: Entry): void {
  const { vma } = entry;
  if (vma === null || page.mapping === 0 || (page.mapping & 3) !== 0) return;
  const mapping = mappingObject(page) as address_space;
  if (!chains.shared(mapping).has(vma)) {
    const evidence = evidenceOf(page, entry, mapping);
    chains.say(
      'file-rmap-unreachable',
      "the VMA is not in the i_mmap tree of the page's file",
      evidence,
    );
  } else if (addressOf(page, vma) !== entry.address) {
    const computed = addressOf(page, vma).toString(16);
    const evidence = evidenceOf(page, entry, mapping);
    chains.say('file-rmap-unreachable', `a walk would look at ${computed}`, evidence);
  }
}

/**
 * RMAP1 for every present entry. `held` names the locks under which the kernel may be changing what is
 * judged; null when nothing is in flight.
 */
export function judgeReachable(picture: Picture, chains: Chains, held: HeldLocks | null): void {
  const busy = (mm: mm_struct): boolean => held?.any.has(mm.mmap_lock) === true;
  for (const [pfn, entries] of [...picture.present, ...picture.huge]) {
    const page = rawPage(pfn);
    if (isAnon(page)) {
      if (!hasAnonVma()) continue;
      const anon_vma = mappingObject(page) as anon_vma | null | undefined;
      if (anon_vma?.root !== undefined && isLocked(anon_vma, held)) continue;
      for (const entry of entries) if (!busy(entry.mm)) judgeAnonEntry(chains, page, entry);
    } else if (isFile(page)) {
      const mapping = mappingObject(page) as address_space;
      if (held?.any.has(mapping.i_mmap_rwsem) === true) continue;
      if (held?.any.has(mapping.i_shared_lock) === true) continue;
      for (const entry of entries) if (!busy(entry.mm)) judgeFileEntry(chains, page, entry);
    }
  }
}

/** RMAP2: one link per anon_vma, on both sides, of one family, in order of age. */
function judgeChain(chains: Chains, vma: vm_area_struct): void {
  const links = chains.chain(vma);
  const say = (text: string, avc?: anon_vma_chain): void => {
    const evidence = [vmaText(vma)];
    if (avc !== undefined) evidence.push(describeObject(avc), describeObject(avc.anon_vma));
    chains.say('anon-vma-linkage', text, evidence);
  };
  if (vma.anon_vma === null) {
    if (links.length > 0) say('a VMA without anon_vma has a chain');
    return;
  }
  if (links.filter((avc) => avc.anon_vma === vma.anon_vma).length !== 1) {
    say("not exactly one link to the VMA's own anon_vma");
  }
  // Without root_lock an anon_vma knows no relatives.
  const hasRoots = !onLists() || has('root_lock');
  const root = vma.anon_vma.root;
  const seen = new Set<anon_vma>();
  for (const avc of links) {
    if (!isLive(avc) || !isLive(avc.anon_vma)) {
      say('a link, or the anon_vma it leads to, was freed', avc);
      continue;
    }
    if (avc.vma !== vma) say('a link on the list of a VMA belongs to another', avc);
    if (seen.has(avc.anon_vma)) say('two links lead to the same anon_vma', avc);
    seen.add(avc.anon_vma);
    if (hasRoots && avc.anon_vma.root !== root) say('the chain leads to two families', avc);
    if (!chains.holds(avc.anon_vma, avc)) say('a link of the list is not in the tree', avc);
  }
  if (hasRoots && links.at(-1)?.anon_vma !== root) {
    say('the root of the family is not the oldest link');
  }
}

function lastPgoff(vma: vm_area_struct): number {
  return vma.vm_pgoff + (vma.vm_end - vma.vm_start) / PAGE - 1;
}

/** The tree of one anon_vma: members live and linked back, order and augmented maxima right. */
function judgeTree(chains: Chains, anon_vma: anon_vma): void {
  let links: readonly {
    readonly avc: anon_vma_chain;
    readonly left: number;
    readonly right: number;
  }[];
  try {
    links = treeNodes(anon_vma.rb_root).map((n) => ({
      avc: avcOfNode(n.at),
      left: n.left,
      right: n.right,
    }));
  } catch (error) {
    // chains.tree() has said so.
    if (error instanceof Broken) return;
    throw error;
  }
  let before = Number.NEGATIVE_INFINITY;
  for (const { avc, left, right } of links) {
    const say = (text: string, ...more: string[]): void => {
      const evidence = [describeObject(anon_vma), describeObject(avc), ...more];
      chains.say('anon-vma-linkage', text, evidence);
    };
    if (!isLive(avc) || !isLive(avc.vma)) {
      say('a tree holds a freed link or VMA');
      continue;
    }
    if (avc.anon_vma !== anon_vma) say('a link in a tree leads to another anon_vma');
    if (!chains.chain(avc.vma).includes(avc)) say("a link in a tree is not on its VMA's list");
    if (avc.vma.vm_pgoff < before) say('a tree is out of order', vmaText(avc.vma));
    before = avc.vma.vm_pgoff;
    const last = Math.max(
      lastPgoff(avc.vma),
      left === 0 ? 0 : avcOfNode(left).rb_subtree_last,
      right === 0 ? 0 : avcOfNode(right).rb_subtree_last,
    );
    if (avc.rb_subtree_last !== last) {
      say(`rb_subtree_last is ${avc.rb_subtree_last}, not ${last}`, vmaText(avc.vma));
    }
  }
}

/** Every anon_vma that some chain leads to or that is `held`, with its parents and roots. */
export function reachableAnonVmas(
  picture: Picture,
  chains: Chains,
  held: readonly anon_vma[],
): Set<anon_vma> {
  const found = new Set<anon_vma>();
  const add = (anon_vma: anon_vma | null): void => {
    for (let at = anon_vma; at !== null && !found.has(at) && isLive(at); ) {
      found.add(at);
      if (onLists()) {
        at = has('root_lock') ? at.root : null;
        continue;
      }
      add(at.root);
      at = at.parent;
    }
  };
  for (const { vmas } of picture.spaces) {
    for (const vma of vmas) {
      if (ofFamily()) add(vma.anon_vma);
      for (const avc of chains.chain(vma)) add(avc.anon_vma);
    }
  }
  for (const anon_vma of held) add(anon_vma);
  return found;
}

/** RMAP4: the counters, counted again. `held`: one reference each. */
function judgeCounters(
  picture: Picture,
  chains: Chains,
  family: ReadonlySet<anon_vma>,
  held: readonly anon_vma[],
): void {
  const active = new Map<anon_vma, number>();
  for (const { vmas } of picture.spaces) {
    for (const { anon_vma } of vmas) {
      if (anon_vma !== null) active.set(anon_vma, (active.get(anon_vma) ?? 0) + 1);
    }
  }
  const children = new Map<anon_vma, number>();
  const references = new Map<anon_vma, number>();
  const count = (map: Map<anon_vma, number>, key: anon_vma | null): void => {
    if (key !== null) map.set(key, (map.get(key) ?? 0) + 1);
  };
  for (const anon_vma of family) {
    // An anon_vma whose tree has emptied is no longer its parent's child, nor its own user.
    if (chains.tree(anon_vma).length > 0) {
      count(children, anon_vma.parent);
      count(references, anon_vma);
    }
    if (anon_vma.root !== anon_vma) count(references, anon_vma.root);
  }
  for (const anon_vma of held) count(references, anon_vma);
  for (const anon_vma of family) {
    const compare = (field: string, stored: number, counted: number): void => {
      if (stored === counted) return;
      chains.say('anon-vma-counter', `${field} is ${stored}, counted ${counted}`, [
        describeObject(anon_vma),
      ]);
    };
    const users = active.get(anon_vma) ?? 0;
    const forked = children.get(anon_vma) ?? 0;
    const { counters } = anon_rmap();
    if (counters === 'degree') {
      compare('degree', anon_vma.num_children, forked + users);
    } else if (counters !== 'none') {
      compare('num_active_vmas', anon_vma.num_active_vmas, users);
      compare('num_children', anon_vma.num_children, forked);
    }
    compare('refcount', anon_vma.refcount, references.get(anon_vma) ?? 0);
  }
}

/** RMAP3: VMAs of one mm that share an anon_vma have the same chain. */
function judgeMergeRule(picture: Picture, chains: Chains): void {
  for (const { vmas } of picture.spaces) {
    const first = new Map<anon_vma, vm_area_struct>();
    for (const vma of vmas) {
      if (vma.anon_vma === null) continue;
      const other = first.get(vma.anon_vma);
      if (other === undefined) {
        first.set(vma.anon_vma, vma);
        continue;
      }
      const mine = new Set(chains.chain(vma).map((avc) => avc.anon_vma));
      const same = chains.chain(other).every((avc) => mine.has(avc.anon_vma));
      if (!same || mine.size !== chains.chain(other).length) {
        chains.say('anon-vma-merge', 'two VMAs with the same anon_vma have different chains', [
          vmaText(other),
          vmaText(vma),
        ]);
      }
    }
  }
}

/** RMAP2, RMAP3, RMAP4: with nothing in flight. */
export function judgeChains(
  picture: Picture,
  chains: Chains,
  family: ReadonlySet<anon_vma>,
  held: readonly anon_vma[],
): void {
  if (!hasAnonVma()) return;
  if (ofFamily()) {
    judgeFamilies(picture, chains, family);
    return;
  }
  for (const { vmas } of picture.spaces) for (const vma of vmas) judgeChain(chains, vma);
  judgeMergeRule(picture, chains);
  if (onLists()) {
    for (const anon_vma of family) judgeList(chains, anon_vma);
    judgeListCounts(chains, family);
    return;
  }
  for (const anon_vma of family) judgeTree(chains, anon_vma);
  judgeCounters(picture, chains, family, held);
}
