/** The few values of an object that its view shows, as plain numbers: cheap to take and to compare. */
import {
  type anon_vma,
  mem_map,
  type mm_struct,
  type vm_area_struct,
} from '../../linux/mm_types.ts';
import { serialOf } from '../../sim/struct.ts';
import { usersOf } from './families.ts';
import { alive, shapeNow, vmasIn, vmasOf, word } from './objects.ts';
import { isPresent, nonPresentKind, visitLeaves } from './page-walk.ts';

/** Names of the values of a VmaRow, which are fields of VmaView. */
export const VMA_FACTS = [
  'start',
  'end',
  'vmFlags',
  'pgoff',
  'file',
  'anonVma',
  'anonVma',
  'avcs',
  'present',
  'swapped',
] as const;

export interface VmaRow {
  readonly vma: vm_area_struct;
  readonly serial: number;
  readonly facts: readonly number[];
}

export function sameFacts(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * The VMAs of an address space in order, with their values. Pages are counted in one pass over the page
 * tables: 10,000 VMAs must not cost 10,000 walks from the top.
 */
export function vmaRows(mm: mm_struct): readonly VmaRow[] {
  const vmas = [...vmasOf(mm)];
  const present = new Float64Array(vmas.length);
  const swapped = new Float64Array(vmas.length);
  let i = 0;
  const first = vmas[0]?.vm_start ?? 0;
  const last = vmas.at(-1)?.vm_end ?? 0;
  visitLeaves(mm, first, last, (address, value, pages) => {
    for (; i < vmas.length && (vmas[i] as vm_area_struct).vm_end <= address; i++);
    const vma = vmas[i];
    if (vma === undefined || address + pages * 4096 <= vma.vm_start) return;
    if (isPresent(value)) present[i] = (present[i] as number) + pages;
    else if (nonPresentKind(value) !== 'marker') swapped[i] = (swapped[i] as number) + pages;
  });
  return vmas.map((vma, at) => ({
    vma,
    serial: serialOf(vma),
    facts: [
      vma.vm_start,
      vma.vm_end,
      vma.vm_flags,
      vma.vm_pgoff,
      vma.vm_file?.addr ?? 0,
      vma.anon_vma?.addr ?? 0,
      vma.anon_vma === null || vma.anon_vma === undefined ? 0 : stateOf(vma.anon_vma),
      countLinks(vma),
      present[at] as number,
      swapped[at] as number,
    ],
  }));
}

/** Which anon_vma is in the slot, and whether it was freed under the VMA. */
function stateOf(av: anon_vma): number {
  return alive(av) ? serialOf(av) : -serialOf(av);
}

/** Length of a VMA's chain. */
function countLinks(vma: vm_area_struct): number {
  const shape = shapeNow();
  if (shape !== 'avc_tree' && shape !== 'avc_list') return vma.anon_vma === null ? 0 : 1;
  const head = vma.anon_vma_chain;
  let links = 0;
  for (let at = word(head); at !== head && at > 0 && links < MAX_LINKS; at = word(at)) links++;
  return links;
}

/** A longer chain is a damaged list. */
const MAX_LINKS = 1_000_000;

/** Names of the values of anonVmaFacts(), which are fields of AnonVmaNodeView. */
export const ANON_VMA_FACTS = ['refcount', 'numChildren', 'numActiveVmas', 'vmas'] as const;

export function anonVmaFacts(av: anon_vma): readonly number[] {
  // Not only how many VMAs but which: their addresses, folded.
  let links = 0;
  for (const vma of vmasIn(av)) links = (links * 31 + vma.addr) % 0x1_0000_0000;
  return [usersOf(av), av.num_children ?? 0, av.num_active_vmas ?? 0, links];
}

/** Values of a page frame that can change, by field name. */
export function pageFacts(pfn: number): ReadonlyMap<string, number> {
  const page = mem_map.at(pfn);
  const facts = new Map<string, number>();
  for (const { name } of mem_map.fields) {
    const value = page[name as keyof typeof page];
    facts.set(name, typeof value === 'number' ? value : value === null ? -1 : value.pfn);
  }
  return facts;
}
