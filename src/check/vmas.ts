/** VMA1, VMA2, PTE2, PTE3: the VMAs of an mm among themselves and against its page tables. */
import { VM_EXEC, VM_READ, VM_WRITE } from '../linux/mm/mm.ts';
import { type mm_struct, vm_area_cachep, type vm_area_struct } from '../linux/mm_types.ts';
import { isLive } from '../sim/struct.ts';
import { hasAnonVma } from './early-rmap.ts';
import { type Entry, frameText, type Picture, place, type Space, vmaText } from './picture.ts';
import {
  entryFrame,
  folioPages,
  headOf,
  isAnon,
  isKsm,
  PAGE,
  PRESENT,
  rawPage,
  SWAPBACKED,
  WRITE,
} from './raw.ts';
import type { Verdicts } from './verdict.ts';

const vmaOfNode = vm_area_cachep.container('vm_rb');

/** What a node of the tree says is the largest gap below it. */
function gapBelow(node: number): number {
  return node === 0 ? 0 : vmaOfNode(node).rb_subtree_gap;
}

/** VMA1 of one mm: sorted, disjoint, and tree, counters and gaps agree. */
function judgeSpace(space: Space, verdicts: Verdicts): void {
  const { mm } = space;
  // Texts are made for what is wrong, not for each of thousands of VMAs.
  const say = (text: string, vma: vm_area_struct | null): void => {
    const evidence = vma === null ? [] : [vmaText(vma)];
    verdicts.push({ kind: 'vma-tree', text: `mm ${mm.mm_id}: ${text}`, evidence });
  };
  if (space.broken !== '') {
    say(space.broken, null);
    return;
  }
  let end = 0;
  let pages = 0;
  for (const [n, vma] of space.vmas.entries()) {
    if (!isLive(vma)) say('the tree holds a freed VMA', vma);
    if (vma.vm_mm !== mm) say('the tree holds a VMA of another mm', vma);
    if (vma.vm_start >= vma.vm_end) say('an empty VMA', vma);
    if (vma.vm_start % PAGE !== 0 || vma.vm_end % PAGE !== 0) say('a VMA is not page aligned', vma);
    if (vma.vm_start < end) say('VMAs overlap or are out of order', vma);
    if (vma.tree_start !== vma.vm_start || vma.tree_end !== vma.vm_end) {
      say('the tree has another range for a VMA', vma);
    }
    const gap = vma.vm_start - end;
    if (vma.tree_gap !== gap) say(`the gap below a VMA is ${gap}, not ${vma.tree_gap}`, vma);
    const node = space.nodes[n];
    const below = Math.max(gapBelow(node?.left ?? 0), gapBelow(node?.right ?? 0));
    if (vma.rb_subtree_gap !== Math.max(gap, below)) {
      say(`rb_subtree_gap is ${vma.rb_subtree_gap}, not ${Math.max(gap, below)}`, vma);
    }
    end = vma.vm_end;
    pages += (vma.vm_end - vma.vm_start) / PAGE;
  }
  if (mm.map_count !== space.vmas.length) {
    say(`map_count is ${mm.map_count}, the tree has ${space.vmas.length}`, null);
  }
  if (mm.total_vm !== pages) say(`total_vm is ${mm.total_vm}, the VMAs have ${pages} pages`, null);
}

/** VMA1 of every mm, with nothing in flight. */
export function judgeVmas(picture: Picture, verdicts: Verdicts): void {
  for (const space of picture.spaces) judgeSpace(space, verdicts);
}

function judgeEntry(entry: Entry, pfn: number, verdicts: Verdicts): void {
  const { vma } = entry;
  const evidence = (): string[] => [frameText(pfn), `entry ${entry.value.toString(16)}`];
  if (vma === null) {
    const text = `${place(entry)} is in no VMA`;
    verdicts.push({ kind: 'pte-outside-vma', text, evidence: evidence() });
    return;
  }
  if ((entry.value & PRESENT) !== 0) {
    const writable = (entry.value & WRITE) !== 0 && (vma.vm_flags & VM_WRITE) === 0;
    if (writable || (vma.vm_flags & (VM_READ | VM_WRITE | VM_EXEC)) === 0) {
      verdicts.push({
        kind: 'pte-permission',
        text: `${place(entry)} allows more than its VMA`,
        evidence: [...evidence(), vmaText(vma), `vm_flags ${vma.vm_flags.toString(16)}`],
      });
    }
  }
  if (!hasAnonVma()) return;
  if (vma.anon_vma === null && (isAnon(rawPage(pfn)) || isKsm(rawPage(pfn)))) {
    verdicts.push({
      kind: 'anon-page-without-anon-vma',
      text: `${place(entry)} maps an anonymous page of a VMA without anon_vma`,
      evidence: [...evidence(), vmaText(vma)],
    });
  }
}

/** PTE2 of a huge entry: all of its block lies in the VMA, and it maps a folio from its beginning. */
function judgeHugeEntry(entry: Entry, pfn: number, verdicts: Verdicts): void {
  const end = entry.address + entry.pages * PAGE;
  if (entry.vma !== null && entry.vma.vm_end < end) {
    verdicts.push({
      kind: 'pte-outside-vma',
      text: `the huge entry of ${place(entry)} reaches beyond its VMA`,
      evidence: [frameText(pfn), vmaText(entry.vma)],
    });
  }
  if (headOf(pfn) !== pfn || folioPages(pfn) !== entry.pages) {
    verdicts.push({
      kind: 'mapcount-wrong',
      text: `the huge entry of ${place(entry)} maps no huge page`,
      evidence: [frameText(pfn), `entry ${entry.value.toString(16)}`],
    });
  }
}

/** PTE2, PTE3, VMA2, and the resident set counters; `skip` names address spaces that are being changed. */
export function judgeEntries(
  picture: Picture,
  skip: (mm: mm_struct) => boolean,
  verdicts: Verdicts,
): void {
  for (const [pfn, entries] of picture.present) {
    for (const entry of entries) if (!skip(entry.mm)) judgeEntry(entry, pfn, verdicts);
  }
  for (const [pfn, entries] of picture.huge) {
    for (const entry of entries) {
      if (skip(entry.mm)) continue;
      judgeEntry(entry, pfn, verdicts);
      judgeHugeEntry(entry, pfn, verdicts);
    }
  }
  for (const entry of [...picture.swap, ...picture.migration]) {
    if (entry.vma === null && !skip(entry.mm)) {
      const evidence = [`entry ${entry.value.toString(16)}`];
      verdicts.push({ kind: 'pte-outside-vma', text: `${place(entry)} is in no VMA`, evidence });
    }
  }
}

/** Resident set counters, with nothing in flight. */
export function judgeRss(picture: Picture, verdicts: Verdicts): void {
  const counted = new Map<mm_struct, { anon: number; file: number; shmem: number; swap: number }>();
  for (const { mm } of picture.spaces) counted.set(mm, { anon: 0, file: 0, shmem: 0, swap: 0 });
  const of = (mm: mm_struct) => counted.get(mm) ?? { anon: 0, file: 0, shmem: 0, swap: 0 };
  const countPage = (entry: Entry): void => {
    const page = rawPage(entryFrame(entry.value));
    const rss = of(entry.mm);
    if (isAnon(page) || isKsm(page)) rss.anon += entry.pages;
    else if ((page.flags & SWAPBACKED) !== 0) rss.shmem += entry.pages;
    else rss.file += entry.pages;
  };
  for (const entries of picture.present.values()) entries.forEach(countPage);
  for (const entries of picture.huge.values()) entries.forEach(countPage);
  picture.migration.forEach(countPage);
  for (const entry of picture.swap) of(entry.mm).swap++;
  for (const [mm, rss] of counted) {
    const stored = { anon: mm.rss_anon, file: mm.rss_file, shmem: mm.rss_shmem, swap: mm.rss_swap };
    for (const which of ['anon', 'file', 'shmem', 'swap'] as const) {
      if (stored[which] === rss[which]) continue;
      verdicts.push({
        kind: 'rss-wrong',
        text: `mm ${mm.mm_id}: rss_${which} is ${stored[which]}, page tables have ${rss[which]}`,
        evidence: [],
      });
    }
  }
}
