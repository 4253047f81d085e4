/** vm.max_map_count on every path that looks at it (mm-modern 3), mkclean, fail_next_alloc. */
import { expect, test } from 'vitest';
import { mmOfTask } from '../../../src/linux/describe.ts';
import { ENOMEM } from '../../../src/linux/errno.ts';
import { lookupPte, pte_dirty, pte_write, ptep_get } from '../../../src/linux/mm/pgtable.ts';
import { bootTest, call, findings, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const P = 0x10_0000_0000;
const LIMIT = 20;
const FIXED = 0x32;

/** A process with `count` VMAs of three pages, a hole of one page between each two. */
function crowded(count: number) {
  const m = bootTest({ maxMapCount: LIMIT });
  const p = spawnInit(m, 'P');
  const at = (n: number): number => P + n * 4 * PAGE;
  for (let n = 0; n < count; n++) {
    expect(call(m, p, 'mmap', [at(n), 3 * PAGE, 3, FIXED, -1, 0])).toBe(at(n));
  }
  const run = (name: string, ...args: number[]): number => call(m, p, name, args);
  return { at, run };
}

test('a split fails at the limit, a new mapping only above it', () => {
  const { at, run } = crowded(LIMIT);
  expect(run('mprotect', at(0), PAGE, 1)).toBe(-ENOMEM);
  expect(run('munmap', at(0) + PAGE, PAGE)).toBe(-ENOMEM);
  expect(run('munmap', at(0), PAGE)).toBe(0);
  expect(run('mmap', at(LIMIT), PAGE, 3, FIXED, -1, 0)).toBe(at(LIMIT));
  expect(run('mmap', at(LIMIT + 1), PAGE, 3, FIXED, -1, 0)).toBe(-ENOMEM);
  const heap = run('brk', 0);
  expect(run('brk', heap + PAGE)).toBe(heap);
});

test('mremap that moves wants room for what it may split', () => {
  // MREMAP_MAYMOVE | MREMAP_FIXED: map_count + 2 must be below the limit less 3.
  const full = crowded(LIMIT - 5);
  expect(full.run('mremap', full.at(0), 3 * PAGE, 3 * PAGE, 3, full.at(40))).toBe(-ENOMEM);
  const room = crowded(LIMIT - 6);
  expect(room.run('mremap', room.at(0), 3 * PAGE, 3 * PAGE, 3, room.at(40))).toBe(room.at(40));
});

test('mkclean write-protects and cleans the shared mapping of a file page', () => {
  const m = bootTest();
  const p = spawnInit(m, 'P');
  const fd = call(m, p, 'open', ['/tmp/f', 2], { size: 4 * PAGE });
  call(m, p, 'mmap', [P, PAGE, 3, 0x11, fd, 0]);
  call(m, p, 'store', [P, 1]);
  const pte = (): number => {
    const mm = mmOfTask(m, p);
    return mm === null ? 0 : ptep_get(lookupPte(mm, P));
  };
  expect([pte_write(pte()), pte_dirty(pte())]).toEqual([true, true]);
  const kernel = spawnKernelThread(m, 'kernel');
  expect(call(m, kernel, 'mkclean', [p, P])).toBe(1);
  expect([pte_write(pte()), pte_dirty(pte())]).toEqual([false, false]);
  expect(call(m, kernel, 'mkclean', [p, P])).toBe(0);
  call(m, p, 'store', [P, 2]);
  expect(pte_write(pte())).toBe(true);
  expect(findings(m)).toEqual([]);
});

test('fail_next_alloc makes that allocation fail and no other', () => {
  const m = bootTest();
  const p = spawnInit(m, 'P');
  call(m, p, 'fail_next_alloc', []);
  expect(call(m, p, 'mmap', [P, PAGE, 3, FIXED, -1, 0])).toBe(-ENOMEM);
  expect(call(m, p, 'mmap', [P, PAGE, 3, FIXED, -1, 0])).toBe(P);
});
