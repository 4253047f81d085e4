/** REF5 and LIFE2: every object of the memory manager's slabs is reachable from a task, with nothing in flight. */
import { ptdesc_cachep } from '../linux/mm/pgtable_types.ts';
import {
  type anon_vma,
  anon_vma_cachep,
  anon_vma_chain_cachep,
  mm_cachep,
  type mm_struct,
  vm_area_cachep,
} from '../linux/mm_types.ts';
import { processGlobals } from '../linux/roots.ts';
import { type Cache, describeObject, liveObjects, type Obj, structOf } from '../sim/struct.ts';
import type { Picture } from './picture.ts';
import { PAGE } from './raw.ts';
import type { Chains } from './rmap.ts';
import type { Verdicts } from './verdict.ts';

/** Compares numbers, which is cheap, and looks for the culprits only when they differ. */
function compare<T extends Obj>(
  cache: Cache<T>,
  reachable: () => ReadonlySet<Obj>,
  count: number,
  verdicts: Verdicts,
): void {
  if (cache.live() === count) return;
  const known = reachable();
  const lost = [...liveObjects(cache)].filter((object) => !known.has(object));
  verdicts.push({
    kind: 'leaked-object',
    text: `${cache.info.name}: ${cache.live()} allocated, ${count} in use`,
    evidence: lost.slice(0, 8).map(describeObject),
  });
}

/** Page tables that are freed after a grace period. */
function tablesInRcu(): number {
  let count = 0;
  for (let head = processGlobals().rcu_head; head !== null; head = head.next) {
    if (head.object !== null && structOf(head.object) === ptdesc_cachep.info) count++;
  }
  return count;
}

/** `kept`: address spaces that somebody else refers to. */
export function judgeLeaks(
  picture: Picture,
  chains: Chains,
  family: ReadonlySet<anon_vma>,
  kept: readonly mm_struct[],
  verdicts: Verdicts,
): void {
  const vmas = picture.spaces.flatMap((space) => space.vmas);
  const links = vmas.reduce((n, vma) => n + chains.chain(vma).length, 0);
  const tables = picture.spaces.reduce((n, space) => n + space.tables, 0);
  const mms = new Set([...picture.spaces.map((space) => space.mm), ...kept]);
  compare(mm_cachep, () => mms, mms.size, verdicts);
  compare(vm_area_cachep, () => new Set(vmas), vmas.length, verdicts);
  const allLinks = () => new Set(vmas.flatMap((vma) => chains.chain(vma)));
  compare(anon_vma_chain_cachep, allLinks, links, verdicts);
  compare(anon_vma_cachep, () => family, family.size, verdicts);
  compare(ptdesc_cachep, () => new Set(), tables + tablesInRcu(), verdicts);
  for (const space of picture.spaces) {
    if (space.mm.pgtables_bytes === space.tables * PAGE) continue;
    verdicts.push({
      kind: 'leaked-object',
      text: `mm ${space.mm.mm_id}: pgtables_bytes is ${space.mm.pgtables_bytes}, it has ${space.tables} page tables`,
      evidence: [],
    });
  }
}
