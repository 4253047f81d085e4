/**
 * mm/mmap.c v2.6.34 to v3.6, the rules of the VMA list kernels: which VMAs may become one, and which may share
 * an anon_vma. Plain functions: they look and change nothing. Fidelity: dup; no mempolicy.
 */
import { has } from '../../kernel.ts';
import { list_is_singular } from '../../lib/list.ts';
import type { anon_vma, file, vm_area_struct } from '../../mm_types.ts';
import { PAGE_SIZE, VM_EXEC, VM_READ, VM_WRITE, vma_has_close } from '../mm.ts';
import { vmaTreeNext, vmaTreePrev } from '../vma_tree.ts';

/** mm/mmap.c: is_mergeable_vma() v2.6.34. */
function is_mergeable_vma(vma: vm_area_struct, file: file | null, vm_flags: number): boolean {
  return vma.vm_flags === vm_flags && vma.vm_file === file && !vma_has_close(vma);
}

/**
 * mm/mmap.c: is_mergeable_anon_vma() v2.6.34 (until 2.6.39). With merge_singular (3.0) a VMA that was forked takes in
 * no unfaulted neighbours, because walks that start from its ancestors would visit a larger VMA.
 */
export function is_mergeable_anon_vma(
  anon_vma1: anon_vma | null,
  anon_vma2: anon_vma | null,
  vma: vm_area_struct | null = null,
): boolean {
  if (has('merge_singular')) {
    const either = anon_vma1 === null || anon_vma2 === null;
    const single = vma === null || list_is_singular(vma.anon_vma_chain);
    return anon_vma1 === anon_vma2 || (either && single);
  }
  return anon_vma1 === null || anon_vma2 === null || anon_vma1 === anon_vma2;
}

/** mm/mmap.c: can_vma_merge_before() v2.6.34. */
export function can_vma_merge_before(
  vma: vm_area_struct,
  vm_flags: number,
  anon_vma: anon_vma | null,
  file: file | null,
  vm_pgoff: number,
): boolean {
  return (
    is_mergeable_vma(vma, file, vm_flags) &&
    is_mergeable_anon_vma(anon_vma, vma.anon_vma, vma) &&
    vma.vm_pgoff === vm_pgoff
  );
}

/** mm/mmap.c: can_vma_merge_after() v2.6.34. */
export function can_vma_merge_after(
  vma: vm_area_struct,
  vm_flags: number,
  anon_vma: anon_vma | null,
  file: file | null,
  vm_pgoff: number,
): boolean {
  return (
    is_mergeable_vma(vma, file, vm_flags) &&
    is_mergeable_anon_vma(anon_vma, vma.anon_vma, vma) &&
    vma.vm_pgoff + (vma.vm_end - vma.vm_start) / PAGE_SIZE === vm_pgoff
  );
}

/** mm/mmap.c: anon_vma_compatible() v2.6.34: `b` follows `a`, and mprotect() alone can have made them differ. */
function anon_vma_compatible(a: vm_area_struct, b: vm_area_struct): boolean {
  return (
    a.vm_end === b.vm_start &&
    a.vm_file === b.vm_file &&
    ((a.vm_flags ^ b.vm_flags) & ~(VM_READ | VM_WRITE | VM_EXEC)) === 0 &&
    b.vm_pgoff === a.vm_pgoff + (b.vm_start - a.vm_start) / PAGE_SIZE
  );
}

/**
 * mm/mmap.c: reusable_anon_vma() v2.6.34: that of a neighbour which has no other. mmap_sem may be held for
 * read only: the neighbour may be getting its anon_vma at this moment, which always ends in a single link.
 */
function reusable_anon_vma(
  old: vm_area_struct,
  a: vm_area_struct,
  b: vm_area_struct,
): anon_vma | null {
  if (!anon_vma_compatible(a, b)) {
    return null;
  }
  const anon_vma = old.anon_vma;
  return anon_vma !== null && list_is_singular(old.anon_vma_chain) ? anon_vma : null;
}

/** What mprotect() can change. */
const VM_PROTECTION = VM_READ | VM_WRITE | VM_EXEC;

/**
 * mm/mmap.c: find_mergeable_anon_vma() v2.6.33 (and until 2.6.34-rc3): that of any neighbour to which `vma` could be
 * merged if mprotect() made their protections the same.
 */
function anyMergeable(
  vma: vm_area_struct,
  next: vm_area_struct | null,
  prev: vm_area_struct | null,
): anon_vma | null {
  const as = (near: vm_area_struct): number =>
    (vma.vm_flags & ~VM_PROTECTION) | (near.vm_flags & VM_PROTECTION);
  const end_pgoff = vma.vm_pgoff + (vma.vm_end - vma.vm_start) / PAGE_SIZE;
  if (
    next !== null &&
    next.anon_vma !== null &&
    vma.vm_end === next.vm_start &&
    can_vma_merge_before(next, as(next), null, vma.vm_file, end_pgoff)
  ) {
    return next.anon_vma;
  }
  if (
    prev !== null &&
    prev.anon_vma !== null &&
    prev.vm_end === vma.vm_start &&
    can_vma_merge_after(prev, as(prev), null, vma.vm_file, vma.vm_pgoff)
  ) {
    return prev.anon_vma;
  }
  return null;
}

/**
 * mm/mmap.c: find_mergeable_anon_vma() v2.6.34 with reuse_singular, v2.6.33 without. Preconditions: mmap_sem held, for
 * read at least.
 */
export function find_mergeable_anon_vma(vma: vm_area_struct): anon_vma | null {
  const next = vmaTreeNext(vma);
  const prev = vmaTreePrev(vma);
  if (!has('reuse_singular')) {
    return anyMergeable(vma, next, prev);
  }
  const anon_vma = next === null ? null : reusable_anon_vma(next, vma, next);
  if (anon_vma !== null) {
    return anon_vma;
  }
  return prev === null ? null : reusable_anon_vma(prev, prev, vma);
}
