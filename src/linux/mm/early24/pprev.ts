/**
 * Singly linked lists of VMAs in which each member knows the word that points to it (`pprev`), as the share lists of files
 * and of anon areas are. A word holds the granule of a VMA, 0 for none. Each function is atomic.
 */
import { cpu, read_heap, write_heap } from '../../../sim/cpu.ts';
import { GRANULE } from '../../../sim/struct.ts';
import type { vm_area_struct } from '../../mm_types.ts';

const PPREV = 1;

/** The VMA that a word points to, or null. */
export const vmaIn = (word: number): vm_area_struct | null =>
  (cpu.handles[read_heap(word)] as vm_area_struct | null | undefined) ?? null;

const granuleOf = (vma: vm_area_struct | null): number => (vma === null ? 0 : vma.addr / GRANULE);

/** Where a VMA has its two links of the list in question. */
export type links_of = (vma: vm_area_struct) => number;

/** Links of file lists and of anon areas. */
export const share_links: links_of = (vma) => vma.shared_rb;
export const anon_links: links_of = (vma) => vma.anon_vma_chain;

/** Puts `vma` where the word at `at` points, before what is there. */
export function pprevInsert(vma: vm_area_struct, at: number, links: links_of): void {
  const next = vmaIn(at);
  write_heap(links(vma), granuleOf(next));
  if (next !== null) {
    write_heap(links(next) + PPREV, links(vma));
  }
  write_heap(at, granuleOf(vma));
  write_heap(links(vma) + PPREV, at);
}

/** Takes `vma` off its list. Its own links stay as they are. */
export function pprevRemove(vma: vm_area_struct, links: links_of): void {
  const next = vmaIn(links(vma));
  const pprev = read_heap(links(vma) + PPREV);
  if (next !== null) {
    write_heap(links(next) + PPREV, pprev);
  }
  write_heap(pprev, granuleOf(next));
}
