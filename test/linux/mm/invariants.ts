/** Counters I1 to I9 of the anon_vma bookkeeping, by brute force over all address spaces. */
import { avcsOfAnonVma, avcsOfVma, liveMms, vmasOf } from '../../../src/linux/describe.ts';
import { MMF_UNSTABLE } from '../../../src/linux/mm/mm.ts';
import {
  folio_anon_vma,
  folio_test_anon,
  PageAnonExclusive,
} from '../../../src/linux/mm/page-flags.ts';
import {
  lookupPte,
  pte_page,
  pte_present,
  pte_special,
  pte_write,
  ptep_get,
} from '../../../src/linux/mm/pgtable.ts';
import {
  type anon_vma,
  anon_vma_cachep,
  type page,
  type vm_area_struct,
} from '../../../src/linux/mm_types.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { describeObject, liveObjects } from '../../../src/sim/struct.ts';

const PAGE = 4096;

/** Complaints, empty when all is well. The machine must be at rest (no operation in flight). */
export function brokenInvariants(m: Machine): string[] {
  m.activate();
  const broken: string[] = [];
  const vmas: vm_area_struct[] = [];
  for (const mm of liveMms(m)) {
    if ((mm.flags & MMF_UNSTABLE) === 0) vmas.push(...vmasOf(mm));
  }
  const active = new Map<anon_vma, number>();
  const chains = new Map<anon_vma, string>();
  const links = new Map<anon_vma, number>();
  for (const vma of vmas) {
    const chain = avcsOfVma(vma).map((avc) => avc.anon_vma);
    for (const av of chain) links.set(av, (links.get(av) ?? 0) + 1);
    const name = describeObject(vma);
    if (new Set(chain.map((av) => av.root)).size > 1) broken.push(`I1 ${name}`);
    const own = vma.anon_vma;
    if (own === null) {
      if (chain.length > 0) broken.push(`chain without anon_vma ${name}`);
      continue;
    }
    active.set(own, (active.get(own) ?? 0) + 1);
    if (!chain.includes(own)) broken.push(`I3 ${name}`);
    const text = chain.map(describeObject).join(' ');
    if ((chains.get(own) ?? text) !== text) broken.push(`I2 ${name}`);
    chains.set(own, text);
  }
  const live = [...liveObjects(anon_vma_cachep)];
  for (const av of live) {
    const name = describeObject(av);
    if (av.num_active_vmas !== (active.get(av) ?? 0)) broken.push(`I4 ${name}`);
    const children = live.filter((b) => b.parent === av && avcsOfAnonVma(b).length > 0).length;
    if (av.num_children !== children) broken.push(`I5 ${name} ${av.num_children} ${children}`);
    if (avcsOfAnonVma(av).length !== (links.get(av) ?? 0)) broken.push(`tree of ${name}`);
    const relatives = av.root === av ? live.filter((b) => b.root === av && b !== av).length : 0;
    const own = avcsOfAnonVma(av).length > 0 ? 1 : 0;
    if (av.refcount !== own + relatives) broken.push(`refcount of ${name} ${av.refcount}`);
  }
  const mapped = new Map<page, { count: number; mms: Set<unknown> }>();
  for (const vma of vmas) {
    const mm = vma.vm_mm;
    if (mm === null) continue;
    const chain = avcsOfVma(vma).map((avc) => avc.anon_vma);
    for (let at = vma.vm_start; at < vma.vm_end; at += PAGE) {
      const ptr = lookupPte(mm, at);
      const pte = ptr === 0 ? 0 : ptep_get(ptr);
      if (!pte_present(pte) || pte_special(pte)) continue;
      const page = pte_page(pte);
      const where = `${describeObject(vma)} ${at.toString(16)} pfn ${page.pfn}`;
      const entry = mapped.get(page) ?? { count: 0, mms: new Set() };
      entry.count++;
      entry.mms.add(mm);
      mapped.set(page, entry);
      if (!folio_test_anon(page)) continue;
      const av = folio_anon_vma(page);
      if (av === null || !chain.includes(av)) broken.push(`I6 anon_vma ${where}`);
      if (page.index !== vma.vm_pgoff + (at - vma.vm_start) / PAGE)
        broken.push(`I6 index ${where}`);
      if (pte_write(pte) && !PageAnonExclusive(page)) broken.push(`I8 ${where}`);
    }
  }
  for (const [page, { count, mms }] of mapped) {
    if (page._mapcount + 1 !== count)
      broken.push(`I9 pfn ${page.pfn} ${page._mapcount + 1} ${count}`);
    if (PageAnonExclusive(page) && (count > 1 || mms.size > 1)) broken.push(`I7 pfn ${page.pfn}`);
  }
  return broken;
}
