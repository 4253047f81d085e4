/** Random operations on huge pages, whole and in parts, for random programs. */
import type { Prng } from '../../src/base/prng.ts';

const PAGE = 4096;
/** Pages of a huge page, and its bytes. */
const BLOCK = 512;
const BYTES = BLOCK * PAGE;
const FIXED_PRIVATE_ANON = 0x32;
const MADV_HUGEPAGE = 14;
const MADV_NOHUGEPAGE = 15;
const MADV_COLLAPSE = 25;
/** DONTNEED, FREE, COLD, PAGEOUT, DONTFORK, DOFORK, MERGEABLE. */
const advice = [4, 4, 8, 20, 21, 21, 10, 11, 12];
const protections = [0, 1, 3, 3, 3, 3];

/** Operations of a kernel task, for a process. */
export const AIMED: readonly string[] = [
  'collapse',
  'split',
  'reclaim',
  'khugepaged_scan',
  'migrate',
];

const blockOf = (prng: Prng, arena: number, pages: number): number =>
  arena + prng.below(pages / BLOCK) * BYTES;

/** One of a few pages of some block. */
export function pageOfBlock(prng: Prng, arena: number, pages: number): number {
  return blockOf(prng, arena, pages) + prng.pick([0, 0, 0, 1, 2, 255, 256, 511]) * PAGE;
}

/** What to do next. */
export function hugeOperation(
  prng: Prng,
  task: number,
  arena: number,
  pages: number,
): { readonly word: string; readonly args: readonly unknown[] } {
  const of = (word: string, ...args: unknown[]) => ({ word, args });
  const block = blockOf(prng, arena, pages);
  const page = pageOfBlock(prng, arena, pages);
  const part = PAGE * (1 + prng.below(BLOCK));
  const length = prng.pick([part, PAGE, BYTES]);
  const dice = prng.below(38);
  if (dice < 3) {
    return of('mmap', block, BYTES * (1 + prng.below(2)), 3, FIXED_PRIVATE_ANON, -1, 0);
  }
  if (dice < 8) return of('madvise', arena, pages * PAGE, MADV_HUGEPAGE);
  if (dice < 9) return of('madvise', block, BYTES, MADV_NOHUGEPAGE);
  if (dice < 11) return of('madvise', block, BYTES, MADV_COLLAPSE);
  if (dice < 15) return of('store', page, prng.below(8) * 3, prng.pick([1, PAGE * 8, part]));
  if (dice < 17) return of('munmap', page, length);
  if (dice < 19) return of('mprotect', page, length, prng.pick(protections));
  if (dice < 20) return of('mremap', block, BYTES, BYTES, 3, blockOf(prng, arena, pages));
  if (dice < 21) return of('mremap', page, part, part, 3, pageOfBlock(prng, arena, pages));
  if (dice < 23) return of('madvise', prng.pick([page, block]), length, prng.pick(advice));
  if (dice < 24) return of(prng.pick(['mlock', 'munlock']), page, length);
  if (dice < 26) return of('collapse', task, page);
  if (dice < 28) return of('split', task, page);
  if (dice < 30) return of(prng.pick(['reclaim', 'migrate']), task, page);
  if (dice < 31) return prng.below(2) === 0 ? of('khugepaged_scan') : of('fork');
  return dice < 33 ? of('load', page) : of('store', page, prng.below(8) * 3);
}
