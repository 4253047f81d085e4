/**
 * Who maps a page: by brute force over the page tables of all address spaces, so that it is true
 * whatever the reverse map believes; and, separately, what the reverse map believes.
 */
import { ksm_rmap_item_cachep, type ksm_stable_node } from '../../linux/mm/ksm_types.ts';
import {
  type anon_vma,
  mem_map,
  type mm_struct,
  type vm_area_struct,
} from '../../linux/mm_types.ts';
import { viaAnonmm, viaPteChain } from './early-mappings.ts';
import {
  alive,
  allMms,
  listEntries,
  pgoffRange,
  shapeNow,
  vmaAt,
  vmasIn,
  vmasOfFile,
} from './objects.ts';
import { isPresent, nonPresentKind, USER_END, visitLeaves } from './page-walk.ts';
import { addressSpaceOfPage, anonVmaOfPage, indexOf, kindOfPage, mappingObject } from './pages.ts';
import { fileName, objectRef } from './refs.ts';

export interface Mapping {
  readonly mm: mm_struct;
  readonly address: number;
  /** The entry. A migration entry names the page but maps nothing. */
  readonly pte: number;
  readonly present: boolean;
}

/** Every entry that maps page `pfn`, and every migration entry that stands for it; oldest mm first. */
export function mappingsOf(pfn: number): Mapping[] {
  const found: Mapping[] = [];
  for (const mm of allMms()) {
    visitLeaves(mm, 0, USER_END, (address, pte, pages) => {
      const first = pte >>> 8;
      if (pfn < first || pfn >= first + pages) return;
      const present = isPresent(pte);
      if (!present && nonPresentKind(pte) !== 'migration') return;
      found.push({ mm, address: address + (pfn - first) * 4096, pte, present });
    });
  }
  return found;
}

const itemOfLink = ksm_rmap_item_cachep.container('hlist');
const SPECIAL = 1 << 5;

/** The anon_vma or file through which a walk of the page reaches a mapping; empty when none would. */
export function viaOf(pfn: number, mapping: Mapping): string {
  if (mapping.present && (mapping.pte & SPECIAL) !== 0) return 'not tracked (special)';
  // Nothing leads from a page to its mappings: whoever looks for one looks at all there are.
  if (shapeNow() === 'none') return 'scan of all address spaces';
  if (shapeNow() === 'pte_chain') return viaPteChain(pfn, mapping);
  const page = mem_map.at(pfn);
  const index = indexOf(page);
  switch (kindOfPage(page)) {
    case 'anon': {
      if (shapeNow() === 'anonmm') return viaAnonmm(pfn, mapping);
      const av = anonVmaOfPage(pfn);
      if (!alive(av)) return '';
      return visitsAnon(av, index, mapping) ? (objectRef(av)?.label ?? '') : '';
    }
    case 'file': {
      const space = addressSpaceOfPage(pfn);
      if (space === null) return '';
      for (const vma of vmasOfFile(space)) {
        if (reaches(vma, index, mapping)) return `i_mmap ${fileName(space)}`;
      }
      return '';
    }
    case 'ksm':
      return viaItem(pfn, mapping);
    default:
      return '';
  }
}

/** The anon_vma of the KSM item that leads to a mapping: of its own mm, or of one that fork made of it. */
function viaItem(pfn: number, { mm, address }: Mapping): string {
  const node = mappingObject(mem_map.at(pfn)) as ksm_stable_node | null;
  if (!alive(node)) return '';
  for (const link of listEntries(node.hlist)) {
    const item = itemOfLink(link);
    if (!alive(item) || item.address !== address || !alive(item.anon_vma)) continue;
    for (const vma of vmasIn(item.anon_vma)) {
      if (vma.vm_mm !== mm || address < vma.vm_start || address >= vma.vm_end) continue;
      return `ksm ${objectRef(item.anon_vma)?.label ?? ''}`;
    }
  }
  return '';
}

function visitsAnon(av: anon_vma, index: number, mapping: Mapping): boolean {
  for (const vma of vmasIn(av)) if (reaches(vma, index, mapping)) return true;
  return false;
}

/** Whether a visit of `vma` for page offset `index` looks at exactly this entry. */
function reaches(vma: vm_area_struct, index: number, { mm, address }: Mapping): boolean {
  const [first, last] = pgoffRange(vma);
  return (
    vma.vm_mm === mm &&
    index >= first &&
    index <= last &&
    vma.vm_start + (index - first) * 4096 === address
  );
}

/** The VMA that contains a mapping, or null when the tree has none there. */
export function vmaOfMapping(mapping: Mapping): vm_area_struct | null {
  return vmaAt(mapping.mm, mapping.address);
}
