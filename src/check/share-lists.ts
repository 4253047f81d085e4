/** The lists of VMAs that an address_space has in 2.3 and 2.4, read word by word. */
import type { address_space, vm_area_struct } from '../linux/mm_types.ts';
import { cpu } from '../sim/cpu.ts';
import { Broken } from './raw.ts';

const MANY = 1_000_000;

/** VMAs whose granules are chained from the word at `head` through words of their own; checks the way back. */
export function pprevList(
  head: number,
  linksOf: (vma: vm_area_struct) => number,
): vm_area_struct[] {
  const found: vm_area_struct[] = [];
  let from = head;
  for (;;) {
    const granule = cpu.heap[from] as number;
    if (granule === 0) return found;
    const vma = cpu.handles[granule] as vm_area_struct;
    const links = linksOf(vma);
    if (cpu.heap[links + 1] !== from) {
      throw new Broken('a VMA on a list has another pprev');
    }
    if (found.push(vma) > MANY) throw new Broken('a list does not end');
    from = links;
  }
}

/** VMAs on i_mmap and i_mmap_shared of a file. */
export function sharedLists(mapping: address_space): vm_area_struct[] {
  const lists = mapping.i_mmap_lists;
  return [lists, lists + 1].flatMap((head) => pprevList(head, (vma) => vma.shared_rb));
}
