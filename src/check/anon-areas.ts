/**
 * What the anon layer promises (2.3.99-anon): a page is on the list of one area; the area lists each VMA that maps the page,
 * at the address that the page's index gives; VMAs and areas agree; an area lives while it has a VMA.
 */
import { type anon_area, anon_area_cachep } from '../linux/mm/early24/early24_types.ts';
import { list_next_of } from '../linux/mm/early24/page_links.ts';
import { mem_map, type vm_area_struct } from '../linux/mm_types.ts';
import { describeObject, isLive, liveObjects, type Obj } from '../sim/struct.ts';
import type { HeldLocks } from './locks.ts';
import { type Entry, frameText, type Picture, place, vmaText } from './picture.ts';
import { Broken, framesInUse, isAnon, mappingObject, PAGE, type RawPage, rawPage } from './raw.ts';
import { pprevList } from './share-lists.ts';
import type { Verdicts } from './verdict.ts';

const NOBODYS = 1;

/** The area that a page names, or null. */
export function areaOf(page: RawPage): anon_area | null {
  if (!isAnon(page) || page.mapping === NOBODYS) return null;
  const object = mappingObject(page) as Obj | null | undefined;
  if (object === null || object === undefined) return null;
  return anon_area_cachep.isInstance(object) ? object : null;
}

const areaOfVma = (vma: vm_area_struct): anon_area | null =>
  vma.anon_vma as unknown as anon_area | null;

/** VMAs on the list of an area. */
function membersOf(area: anon_area, verdicts: Verdicts): vm_area_struct[] {
  try {
    return pprevList(area.i_mmap, (vma) => vma.anon_vma_chain);
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    const evidence = [describeObject(area)];
    verdicts.push({ kind: 'anon-vma-linkage', text: error.message, evidence });
    return [];
  }
}

/** Every mapping of a page of an area is found from the page. */
function judgeEntry(
  page: RawPage,
  entry: Entry,
  members: ReadonlySet<vm_area_struct>,
  verdicts: Verdicts,
): void {
  const { vma } = entry;
  if (vma === null) return;
  const evidence = [frameText(page.pfn), place(entry), vmaText(vma)];
  const address = vma.vm_start + (page.index - vma.vm_pgoff) * PAGE;
  if (!members.has(vma)) {
    const text = "the VMA is not on the list of the page's anon area";
    verdicts.push({ kind: 'rmap-unreachable', text, evidence });
  } else if (address !== entry.address) {
    const text = `a walk would look at ${address.toString(16)}`;
    verdicts.push({ kind: 'rmap-unreachable', text, evidence });
  }
}

/** Frames on the list of an area. */
function pagesOf(area: anon_area): Set<number> {
  const pages = new Set<number>();
  for (let link = area.pages; link !== 0 && !pages.has(link - 1); ) {
    pages.add(link - 1);
    link = list_next_of(mem_map.at(link - 1));
  }
  return pages;
}

/** Counts and lists of one area, with nothing in flight. */
function judgeArea(
  area: anon_area,
  members: readonly vm_area_struct[],
  owned: ReadonlySet<number>,
  verdicts: Verdicts,
): void {
  const say = (text: string, others: readonly string[] = []): void => {
    const evidence = [describeObject(area), ...others];
    verdicts.push({ kind: 'anon-vma-linkage', text, evidence });
  };
  if (area.count !== members.length) {
    say(`an anon area counts ${area.count} VMAs and lists ${members.length}`);
  }
  for (const vma of members) {
    if (!isLive(vma)) say('an anon area lists a freed VMA');
    else if (areaOfVma(vma) !== area) say('a VMA is on the list of another area', [vmaText(vma)]);
  }
  const pages = pagesOf(area);
  if (pages.size !== area.nrpages) {
    say(`an anon area counts ${area.nrpages} pages and lists ${pages.size}`);
  }
  for (const pfn of owned) if (!pages.has(pfn)) say(`${frameText(pfn)} is not on its area's list`);
  for (const pfn of pages) if (!owned.has(pfn)) say(`${frameText(pfn)} is on a list not its own`);
  if (members.length === 0) {
    const text = 'an anon area without VMAs was not freed';
    verdicts.push({ kind: 'leaked-object', text, evidence: [describeObject(area)] });
  }
}

/** `held` as for judgeReachable(). */
export function judgeAnonAreas(picture: Picture, held: HeldLocks | null, verdicts: Verdicts): void {
  const members = new Map<anon_area, vm_area_struct[]>();
  const listOf = (area: anon_area): vm_area_struct[] => {
    let list = members.get(area);
    if (list === undefined) {
      list = membersOf(area, verdicts);
      members.set(area, list);
    }
    return list;
  };
  for (const [pfn, entries] of picture.present) {
    const page = rawPage(pfn);
    if (!isAnon(page)) continue;
    const area = areaOf(page);
    if (area === null || !isLive(area)) {
      if (held !== null) continue;
      const text = `${frameText(pfn)} is mapped and belongs to no live anon area`;
      verdicts.push({ kind: 'anon-vma-freed', text, evidence: entries.map(place) });
      continue;
    }
    if (held?.any.has(area.i_shared_lock) === true) continue;
    const list = new Set(listOf(area));
    for (const entry of entries) {
      if (held?.any.has(entry.mm.mmap_lock) === true) continue;
      judgeEntry(page, entry, list, verdicts);
    }
  }
  if (held !== null) return;
  const owned = new Map<anon_area, Set<number>>();
  for (const pfn of framesInUse()) {
    const area = areaOf(rawPage(pfn));
    if (area === null) continue;
    const pages = owned.get(area) ?? new Set();
    owned.set(area, pages.add(pfn));
  }
  for (const area of liveObjects(anon_area_cachep)) {
    judgeArea(area, listOf(area), owned.get(area) ?? new Set(), verdicts);
  }
  for (const { vmas } of picture.spaces) {
    for (const vma of vmas) {
      const area = areaOfVma(vma);
      if (area === null || (isLive(area) && listOf(area).includes(vma))) continue;
      const text = 'a VMA is not on the list of its anon area';
      verdicts.push({ kind: 'anon-vma-linkage', text, evidence: [vmaText(vma)] });
    }
  }
}
