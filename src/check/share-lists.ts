/** The lists of VMAs that an address_space has before 2.6.7, and the tree of 2.6.7, read word by word. */
import { has } from '../linux/kernel.ts';
import { type address_space, vm_area_cachep, type vm_area_struct } from '../linux/mm_types.ts';
import { cpu } from '../sim/cpu.ts';
import { Broken, listEntries, PAGE, treeNodes } from './raw.ts';

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
function sharedLists(mapping: address_space): vm_area_struct[] {
  const lists = mapping.i_mmap_lists;
  return [lists, lists + 1].flatMap((head) => pprevList(head, (vma) => vma.shared_rb));
}

const vmaOfShared = vm_area_cachep.container('shared_rb');

/** VMAs on the two list_heads of a file in 2.6.0; heads of a new file are all zero. */
function fileLists(mapping: address_space): vm_area_struct[] {
  return [mapping.i_mmap as number, mapping.i_mmap_lists as number]
    .filter((head) => cpu.heap[head] !== 0)
    .flatMap(listEntries)
    .map(vmaOfShared);
}

/** Words of a node of a prio_tree. */
const RIGHT = 1;
const PARENT = 2;
const HEAD = 3;

const lastOf = (vma: vm_area_struct): number =>
  vma.vm_pgoff + (vma.vm_end - vma.vm_start) / PAGE - 1;

/** VMAs with the same page offsets as that of a node: the first one that it leads to, and those on its list. */
function vmSet(node: number): number[] {
  const head = cpu.heap[node + HEAD] as number;
  if (head === 0) return [];
  if (cpu.heap[head + HEAD] !== node) throw new Broken('the first of a vm_set has another node');
  return [head, ...listEntries(head)];
}

/** VMAs in the prio_tree of a file; checks parents, the order of heap indexes, and that those of a set are equal. */
function prioTree(mapping: address_space): vm_area_struct[] {
  const found: vm_area_struct[] = [];
  const down = (node: number, parent: number, most: number): void => {
    if (cpu.heap[node + PARENT] !== parent) throw new Broken('a tree node has another parent');
    const vma = vmaOfShared(node);
    const last = lastOf(vma);
    if (last > most) throw new Broken('a tree node ends after its parent');
    if (found.push(vma) > MANY) throw new Broken('a tree does not end');
    for (const same of vmSet(node).map(vmaOfShared)) {
      if (same.vm_pgoff !== vma.vm_pgoff || lastOf(same) !== last) {
        throw new Broken('VMAs of one vm_set map different pages');
      }
      found.push(same);
    }
    for (const side of [0, RIGHT]) {
      const child = cpu.heap[node + side] as number;
      if (child !== node) down(child, node, last);
    }
  };
  const root = cpu.heap[mapping.i_mmap] as number;
  if (root !== 0) down(root, root, Number.POSITIVE_INFINITY);
  return found;
}

/** VMAs of a file, whatever the running kernel keeps them in. */
export function vmasOfFile(mapping: address_space): vm_area_struct[] {
  if (has('i_mmap_lists')) return sharedLists(mapping);
  if (has('file_vma_lists')) return fileLists(mapping);
  if (has('file_prio_tree')) return prioTree(mapping);
  return treeNodes(mapping.i_mmap).map(({ at }) => vmaOfShared(at));
}
