/**
 * What schemes without anon_vma promise. pte_chain (2.6.0): a page lists exactly the entries that map it, in
 * the shape that its list has. anonmm: every mm that maps a page is in the family that the page names, at
 * the address that the page names.
 */
import { anon_rmap } from '../linux/kernel.ts';
import { page_ptdesc } from '../linux/mm/pgtable.ts';
import {
  type anonmm,
  anonmm_cachep,
  NRPTE,
  type pte_chain,
  pte_chain_cachep,
} from '../linux/mm/rmap/early_types.ts';
import type { mm_struct } from '../linux/mm_types.ts';
import { processGlobals } from '../linux/roots.ts';
import { cpu, FRAME_WORDS } from '../sim/cpu.ts';
import { describeObject, GRANULE, isLive, liveObjects, type Obj } from '../sim/struct.ts';
import { PTRS_PER_TABLE } from '../sim/table.ts';
import { judgeAnonAreas } from './anon-areas.ts';
import type { HeldLocks } from './locks.ts';
import { type Entry, frameText, type Picture, place } from './picture.ts';
import {
  Broken,
  framesInUse,
  isAnon,
  listEntries,
  mappingObject,
  PAGE,
  type RawPage,
  rawPage,
} from './raw.ts';
import type { Verdicts } from './verdict.ts';

const DIRECT = 1 << 22;
const MAPLOCK = 1 << 23;
const UNION = 2;
const NULL_UNION = -1;

const isAnonmm = (object: unknown): object is anonmm =>
  object !== undefined && object !== null && anonmm_cachep.isInstance(object as Obj);

const anonmmOfLink = anonmm_cachep.container('list');

/** Whether anonymous pages of this kernel belong to anon_vma objects. */
export function hasAnonVma(): boolean {
  const { shape } = anon_rmap();
  return shape === 'avc_tree' || shape === 'avc_list' || shape === 'vma_list';
}

/** Mappings that the frame itself tells, from 0. */
export function mappingsOf(page: RawPage): number {
  return anon_rmap().shape === 'pte_chain' ? chainOf(page).entries.length : page.mapcount;
}

interface ChainPicture {
  /** Words of the page-table pool, in the order of a walk. */
  readonly entries: readonly number[];
  readonly chains: readonly pte_chain[];
  /** What is wrong with the shape, or empty. */
  readonly broken: string;
}

function chainAt(address: number): pte_chain | null {
  const object = cpu.handles[address / GRANULE];
  if (object === undefined || object === null) return null;
  return pte_chain_cachep.isInstance(object as Obj) && isLive(object as Obj)
    ? (object as pte_chain)
    : null;
}

/** The list of one page, slot by slot. */
function chainOf(page: RawPage): ChainPicture {
  const union = cpu.frame[page.pfn * FRAME_WORDS + UNION] as number;
  const entries: number[] = [];
  const chains: pte_chain[] = [];
  if (union === NULL_UNION) {
    const broken = (page.flags & DIRECT) !== 0 ? 'PG_direct without an entry' : '';
    return { entries, chains, broken };
  }
  if ((page.flags & DIRECT) !== 0) return { entries: [union], chains, broken: '' };
  let broken = '';
  for (let at = union; at !== 0 && broken === ''; ) {
    const chain = chainAt(at);
    if (chain === null || chains.includes(chain)) {
      broken = 'the list leads to what is no pte_chain, or back';
      break;
    }
    const first = chain.next_and_idx % (NRPTE + 1);
    if (chains.length > 0 && first !== 0) broken = 'a pte_chain after the first has free slots';
    if (first >= NRPTE) broken = 'an empty pte_chain';
    for (let i = 0; i < NRPTE; i++) {
      const slot = cpu.heap[chain.ptes + i] as number;
      if ((slot === 0) !== i < first) broken = 'used and free slots of a pte_chain are mixed';
      if (slot !== 0) entries.push(slot);
    }
    chains.push(chain);
    at = chain.next_and_idx - first;
  }
  return { entries, chains, broken };
}

const wordOf = (entry: Entry): number =>
  entry.table * PTRS_PER_TABLE + (Math.floor(entry.address / PAGE) % PTRS_PER_TABLE);

/** What ptep_to_mm() and ptep_to_address() of an entry would say. */
function judgePlace(entry: Entry, verdicts: Verdicts): void {
  const pt = page_ptdesc(entry.table);
  const first = cpu.heap[pt.ptl + 1] as number;
  const address = first + (wordOf(entry) % PTRS_PER_TABLE) * PAGE;
  if (pt.pt_mm === entry.mm && address === entry.address) return;
  verdicts.push({
    kind: 'pte-chain-wrong',
    text: `the page table of ${place(entry)} says that it is at ${address.toString(16)}`,
    evidence: [describeObject(pt)],
  });
}

/** pte_chain: every frame; pages whose lists may be changing (`held`: a page_table_lock of theirs) are left out. */
function judgePteChains(picture: Picture, held: HeldLocks | null, verdicts: Verdicts): void {
  const used = new Set<pte_chain>();
  for (const pfn of framesInUse()) {
    const page = rawPage(pfn);
    const present = picture.present.get(pfn) ?? [];
    if (held !== null) {
      if ((page.flags & MAPLOCK) !== 0) continue;
      if (present.some((entry) => held.any.has(entry.mm.page_table_lock))) continue;
      if (held.any.size > 0 && present.length === 0) continue;
    }
    const { entries, chains, broken } = chainOf(page);
    for (const chain of chains) used.add(chain);
    const say = (text: string, entry?: Entry) =>
      verdicts.push({
        kind: entry === undefined ? 'pte-chain-wrong' : 'rmap-unreachable',
        text: `${frameText(pfn)}: ${text}`,
        evidence: entry === undefined ? chains.map(describeObject) : [place(entry)],
      });
    if (broken !== '') say(broken);
    const listed = new Set(entries);
    if (listed.size !== entries.length) say('an entry is listed twice');
    for (const entry of present) {
      if (!listed.delete(wordOf(entry))) say('an entry that maps it is not on its list', entry);
      judgePlace(entry, verdicts);
    }
    // A child in the making is no task's yet: its page tables are in no picture.
    if (held === null && listed.size > 0) say(`${listed.size} entries of its list do not map it`);
  }
  if (held !== null) return;
  const spare = processGlobals().local_pte_chain;
  const expected = used.size + (spare === null ? 0 : 1);
  if (pte_chain_cachep.live() === expected) return;
  verdicts.push({
    kind: 'leaked-object',
    text: `pte_chain: ${pte_chain_cachep.live()} allocated, ${expected} in use`,
    evidence: [...liveObjects(pte_chain_cachep)]
      .filter((chain) => chain !== spare && !used.has(chain))
      .slice(0, 8)
      .map(describeObject),
  });
}

/** Members of the family of `head`, itself included. */
function familyOf(head: anonmm, verdicts: Verdicts): anonmm[] {
  try {
    return [head, ...listEntries(head.list).map((at) => anonmmOfLink(at))];
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    verdicts.push({ kind: 'anonmm-wrong', text: error.message, evidence: [describeObject(head)] });
    return [head];
  }
}

/** anonmm: each present entry of an anonymous page is found from the page. */
function judgeFamilies(picture: Picture, held: HeldLocks | null, verdicts: Verdicts): void {
  for (const [pfn, entries] of picture.present) {
    const page = rawPage(pfn);
    if (!isAnon(page)) continue;
    if (held !== null && (page.flags & MAPLOCK) !== 0) continue;
    const own = mappingObject(page);
    if (!isAnonmm(own) || !isLive(own)) {
      const text = `${frameText(pfn)} is mapped and belongs to no live anonmm`;
      verdicts.push({ kind: 'anon-vma-freed', text, evidence: entries.map(place) });
      continue;
    }
    if (held?.any.has(own.head.lock) === true) continue;
    const members = new Set(familyOf(own.head, verdicts).map((member) => member.mm));
    for (const entry of entries) {
      if (held?.any.has(entry.mm.page_table_lock) === true) continue;
      if (members.has(entry.mm) && page.index === entry.address) continue;
      verdicts.push({
        kind: 'rmap-unreachable',
        text: members.has(entry.mm)
          ? `a walk would look at ${page.index.toString(16)}`
          : "the mm is not in the family of the page's anonmm",
        evidence: [frameText(pfn), place(entry), describeObject(own)],
      });
    }
  }
}

/** anonmm: the counts, counted again, and who is on which list. With nothing in flight. */
function judgeAnonmmCounts(picture: Picture, verdicts: Verdicts): void {
  const counted = new Map<anonmm, number>();
  const add = (member: anonmm) => counted.set(member, (counted.get(member) ?? 0) + 1);
  const say = (text: string, member: anonmm) =>
    verdicts.push({ kind: 'anonmm-wrong', text, evidence: [describeObject(member)] });
  for (const member of liveObjects(anonmm_cachep)) {
    if (member.mm !== null) add(member);
    add(member.head);
    if (member.head !== member && !familyOf(member.head, verdicts).includes(member)) {
      say('not on the list of its head', member);
    }
    if (member.mm !== null && (member.mm as mm_struct).anonmm !== member) {
      say('its mm has another anonmm', member);
    }
  }
  for (const pfn of picture.present.keys()) {
    const own = mappingObject(rawPage(pfn));
    if (isAnon(rawPage(pfn)) && isAnonmm(own)) add(own);
  }
  for (const member of liveObjects(anonmm_cachep)) {
    const expected = counted.get(member) ?? 0;
    if (member.count !== expected) say(`count is ${member.count}, counted ${expected}`, member);
    const alone = member.head === member ? expected <= 1 : expected === 0;
    if (alone) say('nobody needs it and it was not freed', member);
  }
}

/** The schemes without anon_vma; `held` as for judgeReachable(). */
export function judgeEarlyRmap(picture: Picture, held: HeldLocks | null, verdicts: Verdicts): void {
  const { shape, early } = anon_rmap();
  if (shape === 'anon_area') judgeAnonAreas(picture, held, verdicts);
  if (early === undefined) return;
  if (shape === 'pte_chain') judgePteChains(picture, held, verdicts);
  if (shape === 'anonmm') {
    judgeFamilies(picture, held, verdicts);
    if (held === null) judgeAnonmmCounts(picture, verdicts);
  }
  if (held !== null) return;
  for (const pfn of framesInUse()) {
    if ((rawPage(pfn).flags & MAPLOCK) === 0) continue;
    const text = `${frameText(pfn)} is locked by nobody's PG_maplock`;
    verdicts.push({ kind: 'held-at-end', text, evidence: [] });
  }
}
