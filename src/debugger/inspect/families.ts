/**
 * Families of anon_vmas as the running kernel has them: who is whose parent, which counters and which lock there are.
 * Kernels of before 6.0 keep no parent in the object; there the chain of a VMA tells.
 */
import type { anon_area } from '../../linux/mm/early24/early24_types.ts';
import type { anon_vma, vm_area_struct } from '../../linux/mm_types.ts';
import type { AnonVmaColumn } from '../view.ts';
import { alive, anonVmasOf, kernelNow, shapeNow, vmasIn } from './objects.ts';

/** What a walk of `av` would visit first, whose chain knows all ancestors of `av`. */
function firstVma(av: anon_vma): vm_area_struct | null {
  for (const vma of vmasIn(av)) return vma;
  return null;
}

/** The anon_vma that fork made this one from, or null for a root. */
export function parentOf(av: anon_vma): anon_vma | null {
  const { parent } = av;
  if (alive(parent)) return parent === av ? null : parent;
  const vma = firstVma(av);
  if (vma === null) return null;
  let passed = false;
  for (const each of anonVmasOf(vma)) {
    if (passed) return each;
    passed = each === av;
  }
  return null;
}

/** Root of an anon_vma; of a half made one itself. */
export function rootOf(av: anon_vma): anon_vma {
  const root: anon_vma | null | undefined = av.root;
  if (alive(root) && (root !== av || kernelNow().features?.has('root_lock') !== false)) return root;
  const vma = firstVma(av);
  let oldest: anon_vma = av;
  if (vma !== null) for (const each of anonVmasOf(vma)) oldest = each;
  return oldest;
}

/** References of an anon_vma; VMAs of an anon_area. */
export function usersOf(av: anon_vma): number {
  return shapeNow() === 'anon_area' ? (av as unknown as anon_area).count : av.refcount;
}

/** Counters that an anon_vma has in this kernel. */
export function anonVmaColumns(): readonly AnonVmaColumn[] {
  const shape = shapeNow();
  if (shape === 'anon_area') return [{ field: 'refcount', title: 'count' }];
  const { counters, sleeps } = kernelNow().anon_rmap ?? {};
  if (shape === 'avc_list') {
    return [{ field: 'refcount', title: sleeps === true ? 'ref' : 'ext' }];
  }
  if (shape !== 'avc_tree') return [];
  const ref: AnonVmaColumn = { field: 'refcount', title: 'ref' };
  switch (counters ?? 'children') {
    case 'none':
      return [ref];
    case 'degree':
      return [ref, { field: 'numChildren', title: 'degree' }];
    case 'children':
      return [
        ref,
        { field: 'numChildren', title: 'child' },
        { field: 'numActiveVmas', title: 'act' },
      ];
  }
}

/** Lock words in an anon_vma: one of them is used, depending on the kernel. */
export function locksIn(av: anon_vma): readonly number[] {
  if (shapeNow() === 'anon_area') return [(av as unknown as anon_area).i_shared_lock];
  return [av.rwsem, av.lock, av.mutex];
}
