/**
 * Through what a page of a kernel before anon_vma leads to a mapping: its pte_chain (2.6.0), or the family of address spaces
 * that it names (anonmm). Like all views these believe nothing that they read.
 */
import { folio_test, PG_direct } from '../../linux/mm/page-flags.ts';
import { lookupPte } from '../../linux/mm/pgtable.ts';
import {
  type anonmm,
  anonmm_cachep,
  NRPTE,
  type pte_chain,
  pte_chain_cachep,
} from '../../linux/mm/rmap/early_types.ts';
import { mem_map, type mm_struct, type page } from '../../linux/mm_types.ts';
import { cpu } from '../../sim/cpu.ts';
import { GRANULE, type Obj } from '../../sim/struct.ts';
import { alive, listEntries, word } from './objects.ts';
import { mappingObject } from './pages.ts';
import { objectName } from './refs.ts';

const NONE = -1;
const MANY = 100_000;
const memberOfLink = anonmm_cachep.container('list');

interface Place {
  readonly mm: mm_struct;
  readonly address: number;
}

/** 'PG_direct', or the pte_chain whose slot has the entry; empty when none has. */
export function viaPteChain(pfn: number, { mm, address }: Place): string {
  const page = mem_map.at(pfn);
  const entry = lookupPte(mm, address);
  if (page._mapcount === NONE) return '';
  if (folio_test(page, PG_direct)) return page._mapcount === entry ? 'PG_direct' : '';
  let at = page._mapcount;
  for (let left = MANY; left > 0 && at > 0; left--) {
    const object = (cpu.handles[at / GRANULE] ?? null) as Obj | null;
    if (object === null || !pte_chain_cachep.isInstance(object) || !alive(object)) return '';
    const chain = object as pte_chain;
    for (let i = 0; i < NRPTE; i++) {
      if (word(chain.ptes + i) === entry) return objectName(chain);
    }
    at = chain.next_and_idx - (chain.next_and_idx % (NRPTE + 1));
  }
  return '';
}

/** What a page leads to (page.pte of 2.5.27 to 2.6.6): nothing, the one entry itself, or a pte_chain. */
export function chainOf(page: page): Obj | 'PG_direct' | null {
  if (page._mapcount === NONE) return null;
  if (folio_test(page, PG_direct)) return 'PG_direct';
  return (cpu.handles[page._mapcount / GRANULE] ?? null) as Obj | null;
}

/** The anonmm of the address space, if it is in the family that the page names, and the page is where it says. */
export function viaAnonmm(pfn: number, { mm, address }: Place): string {
  const page = mem_map.at(pfn);
  const named = mappingObject(page);
  if (page.index !== address || named === null || !anonmm_cachep.isInstance(named)) return '';
  const head = alive(named) ? (named as anonmm).head : null;
  if (!alive(head)) return '';
  for (const member of [head, ...[...listEntries(head.list)].map(memberOfLink)]) {
    if (alive(member) && member.mm === mm) return objectName(member);
  }
  return '';
}
