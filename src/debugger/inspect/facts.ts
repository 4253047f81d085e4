/** The few values of an object that its view shows, as plain numbers: cheap to take and to compare. */
import {
  type anon_vma,
  mem_map,
  type mm_struct,
  type vm_area_struct,
} from '../../linux/mm_types.ts';
import { alive, avcsIn, avcsOf } from './objects.ts';
import { countPages } from './page-walk.ts';

/** Names of the values of vmaFacts(), which are fields of VmaView. */
export const VMA_FACTS = [
  'start',
  'end',
  'vmFlags',
  'pgoff',
  'file',
  'anonVma',
  'avcs',
  'present',
  'swapped',
] as const;

export function vmaFacts(mm: mm_struct, vma: vm_area_struct): readonly number[] {
  let avcs = 0;
  for (const _ of avcsOf(vma)) avcs++;
  const { present, swapped } = countPages(mm, vma.vm_start, vma.vm_end);
  return [
    vma.vm_start,
    vma.vm_end,
    vma.vm_flags,
    vma.vm_pgoff,
    vma.vm_file?.addr ?? 0,
    vma.anon_vma?.addr ?? 0,
    avcs,
    present,
    swapped,
  ];
}

/** Names of the values of anonVmaFacts(), which are fields of AnonVmaNodeView. */
export const ANON_VMA_FACTS = ['refcount', 'numChildren', 'numActiveVmas', 'vmas'] as const;

export function anonVmaFacts(av: anon_vma): readonly number[] {
  // Not only how many links but which: their addresses, folded.
  let links = 0;
  for (const avc of avcsIn(av)) links = (links * 31 + avc.addr) % 0x1_0000_0000;
  return [av.refcount, av.num_children, av.num_active_vmas, links];
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

/** Members of the family of `av`, found by its root among `all`. */
export function familyOf(av: anon_vma, all: readonly anon_vma[]): readonly anon_vma[] {
  const root = rootOf(av);
  return all.filter((each) => rootOf(each) === root);
}

/** Root of an anon_vma; of a half made one itself. */
export function rootOf(av: anon_vma): anon_vma {
  const root: anon_vma | null | undefined = av.root;
  return alive(root) ? root : av;
}
