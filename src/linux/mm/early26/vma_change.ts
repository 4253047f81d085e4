/**
 * The changes of VMAs that the calls of mm/early26/ share, by the kernel's engine: vma_adjust() from 2.6.7, before it the
 * functions of v2.6.0 (mm/early26/vma.ts), in part those of -aa (mm/early26/vma_aa.ts). Fidelity: custom (each kernel has one of the two).
 */
import type { K } from '../../../sim/wait.ts';
import { has } from '../../kernel.ts';
import type { file, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { split_vma, vma_link, vma_merge } from './vma.ts';
import { type anon_vma_cache, vma_merge as mergeShared } from './vma_aa.ts';
import {
  vma_merge as adjustMerge,
  split_vma as adjustSplit,
  vma_link as linkLocked,
} from './vma_adjust.ts';

/** A new mapping becomes part of a neighbour. The VMA, or null; then `cache` has an anon_vma that it should join (-aa). */
export function* mergeNew(
  mm: mm_struct,
  prev: vm_area_struct | null,
  addr: number,
  end: number,
  vm_flags: number,
  file: file | null,
  pgoff: number,
  cache: anon_vma_cache,
): K<vm_area_struct | null> {
  if (has('mprotect_merges_files')) {
    return yield* mergeShared(mm, prev, addr, end, vm_flags, cache, file, pgoff);
  }
  if (has('vma_adjust')) {
    return yield* adjustMerge(mm, prev, addr, end, vm_flags, null, file, pgoff);
  }
  return yield* vma_merge(mm, prev, addr, end, vm_flags, null, file, pgoff);
}

/** 0 or -ENOMEM. */
export function* splitVma(
  mm: mm_struct,
  vma: vm_area_struct,
  addr: number,
  new_below: boolean,
): K<number> {
  if (has('vma_adjust')) {
    return yield* adjustSplit(mm, vma, addr, new_below);
  }
  return yield* split_vma(mm, vma, addr, new_below);
}

/** A VMA that nothing else holds is linked into the mm and its file. */
export function* linkVma(mm: mm_struct, vma: vm_area_struct): K {
  if (has('vma_adjust')) {
    yield* linkLocked(mm, vma);
  } else {
    yield* vma_link(mm, vma);
  }
}
