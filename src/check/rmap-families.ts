/** RMAP2 and RMAP4 where the VMAs themselves are on the list of one anon_vma (2.6.7 to 2.6.33), for check/rmap.ts. */
import type { anon_vma } from '../linux/mm_types.ts';
import { describeObject, isLive } from '../sim/struct.ts';
import { type Picture, vmaText } from './picture.ts';
import type { Chains } from './rmap.ts';

/** A VMA has an anon_vma if and only if it is on exactly that list, once; an anon_vma lives while its list has a member. */
export function judgeFamilies(
  picture: Picture,
  chains: Chains,
  families: ReadonlySet<anon_vma>,
): void {
  for (const { vmas } of picture.spaces) {
    for (const vma of vmas) {
      const { anon_vma } = vma;
      if (anon_vma === null) continue;
      const evidence = [vmaText(vma), describeObject(anon_vma)];
      if (!isLive(anon_vma)) {
        chains.say('anon-vma-linkage', "a VMA's anon_vma was freed", evidence);
        continue;
      }
      const times = chains.family(anon_vma).filter((member) => member === vma).length;
      if (times !== 1) {
        const text = `a VMA is ${times} times on the list of its anon_vma`;
        chains.say('anon-vma-linkage', text, evidence);
      }
    }
  }
  for (const anon_vma of families) {
    for (const vma of chains.family(anon_vma)) {
      const evidence = [describeObject(anon_vma), describeObject(vma)];
      if (!isLive(vma)) {
        chains.say('anon-vma-linkage', 'a list holds a freed VMA', evidence);
      } else if (vma.anon_vma !== anon_vma) {
        chains.say('anon-vma-linkage', 'a VMA is on the list of another anon_vma', evidence);
      }
    }
  }
}
