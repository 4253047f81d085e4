/** RMAP2 and RMAP4 where anon_vma_chain objects are on lists (2.6.34 to 3.6), for check/rmap.ts. */
import { anon_rmap, has } from '../linux/kernel.ts';
import type { anon_vma } from '../linux/mm_types.ts';
import { describeObject, isLive } from '../sim/struct.ts';
import type { Chains } from './rmap.ts';

/** The list of one anon_vma: members live and linked back. */
export function judgeList(chains: Chains, anon_vma: anon_vma): void {
  for (const avc of chains.tree(anon_vma)) {
    const evidence = [describeObject(anon_vma), describeObject(avc)];
    if (!isLive(avc) || !isLive(avc.vma)) {
      chains.say('anon-vma-linkage', 'a list holds a freed link or VMA', evidence);
      continue;
    }
    if (avc.anon_vma !== anon_vma) {
      chains.say('anon-vma-linkage', 'a link on a list leads to another anon_vma', evidence);
    }
    if (!chains.chain(avc.vma).includes(avc)) {
      chains.say('anon-vma-linkage', "a link on a list is not on its VMA's list", evidence);
    }
  }
}

/**
 * The one count of a list-era anon_vma: children that hold their root, and from 3.0 on (where the lock sleeps)
 * one for a list that is not empty; at rest nobody migrates.
 */
export function judgeListCounts(chains: Chains, family: ReadonlySet<anon_vma>): void {
  for (const anon_vma of family) {
    let children = 0;
    if (has('root_lock')) {
      for (const other of family) if (other !== anon_vma && other.root === anon_vma) children++;
    }
    const listed = anon_rmap().sleeps === true && chains.tree(anon_vma).length > 0;
    const counted = children + (listed ? 1 : 0);
    if (anon_vma.refcount === counted) continue;
    const text = `the count is ${anon_vma.refcount}, counted ${counted}`;
    chains.say('anon-vma-counter', text, [describeObject(anon_vma)]);
  }
}
