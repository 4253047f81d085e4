/** VMA1 of 2.3 and 2.4: the list of VMAs, and the AVL tree that there is beside a long one, against all VMAs. */
import { mm_cachep, type mm_struct, type vm_area_struct } from '../linux/mm_types.ts';
import { cpu } from '../sim/cpu.ts';
import type { Picture } from './picture.ts';
import type { Verdicts } from './verdict.ts';

const offset = (name: string): number =>
  mm_cachep.info.fields.find((field) => field.name === name)?.offset ?? 0;
const FIRST = offset('mm_lock_seq');
const ROOT = offset('write_protect_seq');
const NEXT = 2;
const LEFT = 3;
const RIGHT = 4;

const at = (word: number): vm_area_struct | null =>
  (cpu.handles[cpu.heap[word] as number] as vm_area_struct | null | undefined) ?? null;

/** VMAs of a subtree in order, and its height; heights that are wrong are said. */
function inOrder(
  node: vm_area_struct | null,
  out: vm_area_struct[],
  wrong: (text: string) => void,
): number {
  if (node === null || out.length > 1_000_000) return 0;
  const left = inOrder(at(node.shared_rb + LEFT), out, wrong);
  out.push(node);
  const right = inOrder(at(node.shared_rb + RIGHT), out, wrong);
  const height = 1 + Math.max(left, right);
  if (node.vm_lock_seq !== height) wrong('vm_avl_height is wrong');
  if (Math.abs(left - right) > 1) wrong('the AVL tree is not balanced');
  return height;
}

function judgeSpace(mm: mm_struct, vmas: readonly vm_area_struct[], verdicts: Verdicts): void {
  const wrong = (text: string): void => {
    verdicts.push({ kind: 'vma-tree', text: `mm ${mm.mm_id}: ${text}`, evidence: [] });
  };
  const same = (found: readonly vm_area_struct[]): boolean =>
    found.length === vmas.length && found.every((vma, i) => vma === vmas[i]);
  const list: vm_area_struct[] = [];
  for (let vma = at(mm.addr + FIRST); vma !== null && list.length <= vmas.length; ) {
    list.push(vma);
    vma = at(vma.shared_rb + NEXT);
  }
  if (!same(list)) wrong('the list has other VMAs than there are, or in another order');
  const root = at(mm.addr + ROOT);
  if (root === null) {
    if (vmas.length > 32) wrong('many VMAs and no AVL tree');
    return;
  }
  const tree: vm_area_struct[] = [];
  inOrder(root, tree, wrong);
  if (!same(tree)) wrong('the AVL tree has other VMAs than there are, or in another order');
}

/** With nothing in flight. */
export function judgeVmaLists(picture: Picture, verdicts: Verdicts): void {
  for (const { mm, vmas } of picture.spaces) {
    if (mm.mm_users > 0) judgeSpace(mm, vmas, verdicts);
  }
}
