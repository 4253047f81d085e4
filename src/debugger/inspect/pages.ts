/** What a page frame says of itself: its folio, its offset, the object that its mapping word names. */
import {
  type address_space,
  address_space_cachep,
  type anon_vma,
  mem_map,
  type page,
} from '../../linux/mm_types.ts';
import { cpu } from '../../sim/cpu.ts';
import type { Obj } from '../../sim/struct.ts';
import { alive, isAnchor } from './objects.ts';

const ANON = 1;
const KSM = 3;
const FLAGS = 3;

/** Head page of the folio that contains a page. */
export function headOf(page: page): page {
  return page.compound_head ?? page;
}

/** Page offset of one page: the folio's index plus the place in the folio. */
export function indexOf(page: page): number {
  const head = headOf(page);
  return head.index + page.pfn - head.pfn;
}

export type PageKind = 'anon' | 'ksm' | 'file' | 'none';

export function kindOfPage(page: page): PageKind {
  const { mapping } = headOf(page);
  if (mapping === 0) return 'none';
  if ((mapping & FLAGS) === KSM) return 'ksm';
  return (mapping & ANON) !== 0 ? 'anon' : 'file';
}

/** The object that the mapping word points to, live or freed. */
export function mappingObject(page: page): Obj | null {
  const { mapping } = headOf(page);
  return mapping === 0 ? null : ((cpu.handles[mapping >>> 2] ?? null) as Obj | null);
}

/** anon_vma of an anonymous page, or null. It may be freed: the word outlives the object. */
export function anonVmaOfPage(pfn: number): anon_vma | null {
  const page = mem_map.at(pfn);
  if (kindOfPage(page) !== 'anon') return null;
  const object = mappingObject(page);
  return object !== null && isAnchor(object) ? object : null;
}

/** Page cache of a file page, or null. */
export function addressSpaceOfPage(pfn: number): address_space | null {
  const page = mem_map.at(pfn);
  if (kindOfPage(page) !== 'file') return null;
  const object = mappingObject(page);
  return object !== null && address_space_cachep.isInstance(object) && alive(object)
    ? object
    : null;
}
