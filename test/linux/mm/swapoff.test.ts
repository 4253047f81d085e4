/** swapoff, and tmpfs pages in swap: contents survive, counts and slots add up, who shares keeps sharing. */
import { expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { mmOfTask } from '../../../src/linux/describe.ts';
import { EINVAL } from '../../../src/linux/errno.ts';
import { MADV_PAGEOUT, MADV_WILLNEED } from '../../../src/linux/mm/mm.ts';
import { PageAnonExclusive } from '../../../src/linux/mm/page-flags.ts';
import {
  lookupPte,
  pte_is_swap_entry,
  pte_none,
  pte_page,
  pte_to_swp_entry,
  pte_write,
  pte_young,
  ptep_get,
} from '../../../src/linux/mm/pgtable.ts';
import { swap_cache_lookup, swap_info } from '../../../src/linux/mm/swapfile.ts';
import { type inode, inode_cachep } from '../../../src/linux/mm_types.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { liveObjects } from '../../../src/sim/struct.ts';
import { bootTest, call, findings, settle, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const P = 0x10_0000_0000;
const at = (page: number): number => P + page * PAGE;
const PRIVATE = 0x32;
const SHARED = 0x31;

class World {
  readonly m: Machine;
  readonly p: number;
  readonly kernel: number;
  constructor(swapOnDisk = false) {
    this.m = bootTest({ swapOnDisk });
    this.p = spawnInit(this.m, 'P', { mmapBase: P + 64 * PAGE });
    this.kernel = spawnKernelThread(this.m, 'kernel');
  }
  do(name: string, args: readonly unknown[], task = this.p): number {
    return call(this.m, task, name, args);
  }
  map(flags: number): void {
    this.do('mmap', [P, 8 * PAGE, 3, flags, -1, 0]);
  }
  pageout(page: number, n = 1): void {
    settle(this.m);
    expect(this.do('madvise', [at(page), n * PAGE, MADV_PAGEOUT])).toBe(0);
  }
  swapoff(): number {
    return this.do('swapoff', [], this.kernel);
  }
  pte(page: number, task = this.p): number {
    this.m.activate();
    const mm = mmOfTask(this.m, task);
    const ptr = mm === null ? 0 : lookupPte(mm, at(page));
    return ptr === 0 ? 0 : ptep_get(ptr);
  }
  inUse(): number {
    this.m.activate();
    return swap_info()?.inuse_pages ?? -1;
  }
  swapped(): number {
    this.m.activate();
    return [...liveObjects(inode_cachep)].reduce((n, inode: inode) => n + inode.swapped, 0);
  }
  check(): void {
    settle(this.m);
    expect(findings(this.m)).toEqual([]);
    expect(judge(this.m, 'operation-end')).toEqual([]);
  }
}

test('swapoff maps private pages again, read-only and old, exclusive ones exclusively', () => {
  const w = new World();
  w.map(PRIVATE);
  for (const page of [0, 1]) w.do('store', [at(page), page + 5]);
  w.pageout(0, 2);
  expect(w.inUse()).toBe(2);
  expect(w.swapoff()).toBe(0);
  expect(w.inUse()).toBe(-1);
  for (const page of [0, 1]) {
    const pte = w.pte(page);
    expect([pte_write(pte), pte_young(pte)]).toEqual([false, false]);
    expect(PageAnonExclusive(pte_page(pte))).toBe(true);
    expect(w.do('load', [at(page)])).toBe(page + 5);
  }
  w.check();
});

test('a page that fork shares in swap comes back as one page, in every address space', () => {
  const w = new World();
  w.map(PRIVATE);
  w.do('store', [P, 9]);
  w.pageout(0);
  w.do('fork', []);
  const child = w.m.taskCount();
  expect(pte_is_swap_entry(w.pte(0, child))).toBe(true);
  expect(w.swapoff()).toBe(0);
  const page = pte_page(w.pte(0));
  expect(pte_page(w.pte(0, child))).toBe(page);
  expect([page._mapcount, PageAnonExclusive(page)]).toEqual([1, false]);
  w.do('store', [P, 10], child);
  expect([w.do('load', [P]), w.do('load', [P], child)]).toEqual([9, 10]);
  w.check();
});

test('a second swapoff finds no area, and without one nothing is swapped out', () => {
  const w = new World();
  w.map(PRIVATE);
  w.do('store', [P, 9]);
  expect(w.swapoff()).toBe(0);
  expect(w.swapoff()).toBe(-EINVAL);
  w.pageout(0);
  expect(w.do('load', [P])).toBe(9);
  expect(pte_is_swap_entry(w.pte(0))).toBe(false);
  w.check();
});

test('MADV_PAGEOUT swaps dirty tmpfs pages out; the page tables forget them, the file does not', () => {
  const w = new World();
  w.map(SHARED);
  for (const page of [0, 1, 2]) w.do('store', [at(page), page + 1]);
  w.pageout(0, 3);
  expect([w.inUse(), w.swapped()]).toEqual([3, 3]);
  expect(pte_none(w.pte(0))).toBe(true);
  w.check();
  w.do('fork', []);
  const child = w.m.taskCount();
  expect(w.do('load', [P], child)).toBe(1);
  // Its slot is free as soon as the page is in the page cache again.
  expect([w.inUse(), w.swapped()]).toEqual([2, 2]);
  w.do('store', [P, 77], child);
  expect(w.do('load', [P])).toBe(77);
  w.check();
});

test('a tmpfs page that nobody has written is dropped, and read as zeros again', () => {
  const w = new World();
  w.map(SHARED);
  w.do('load', [P]);
  w.pageout(0);
  expect([w.inUse(), w.swapped()]).toEqual([0, 0]);
  expect(w.do('load', [P])).toBe(0);
  w.check();
});

test('swapoff brings tmpfs pages back into the page cache', () => {
  const w = new World();
  w.map(SHARED);
  for (const page of [0, 1, 2]) w.do('store', [at(page), page + 1]);
  w.pageout(0, 3);
  expect(w.swapoff()).toBe(0);
  expect(w.swapped()).toBe(0);
  for (const page of [0, 1, 2]) expect(w.do('load', [at(page)])).toBe(page + 1);
  w.check();
});

test('MADV_WILLNEED reads tmpfs pages into the swap cache only', () => {
  const w = new World();
  w.map(SHARED);
  w.do('store', [P, 3]);
  w.pageout(0);
  expect(w.do('madvise', [P, PAGE, MADV_WILLNEED])).toBe(0);
  expect([w.inUse(), w.swapped()]).toEqual([1, 1]);
  w.check();
  expect(w.do('load', [P])).toBe(3);
  expect([w.inUse(), w.swapped()]).toEqual([0, 0]);
  w.check();
});

test('truncating, punching and the end of the file free the slots of its pages', () => {
  const w = new World();
  const fd = w.do('memfd_create', ['m', 0]);
  w.do('ftruncate', [fd, 8 * PAGE]);
  w.do('mmap', [P, 8 * PAGE, 3, 0x11, fd, 0]);
  for (let page = 0; page < 8; page++) w.do('store', [at(page), page + 1, PAGE]);
  w.pageout(0, 8);
  expect(w.inUse()).toBe(8);
  w.do('ftruncate', [fd, 5 * PAGE + 100]);
  // Page 5 came back to lose its tail.
  expect([w.inUse(), w.swapped()]).toEqual([5, 5]);
  w.do('punch', [fd, PAGE, 2 * PAGE]);
  expect(w.inUse()).toBe(3);
  w.check();
  expect([w.do('load', [at(5)]), w.do('load', [at(5) + 100])]).toEqual([6, 0]);
  expect([w.do('load', [at(1)]), w.do('load', [at(3)])]).toEqual([0, 4]);
  w.do('munmap', [P, 8 * PAGE]);
  w.do('close', [fd]);
  settle(w.m);
  expect(w.inUse()).toBe(0);
  w.check();
});

test('on a disk a page waits for its write in the swap cache, but zeros are never written', () => {
  const w = new World(true);
  w.map(PRIVATE);
  w.do('store', [at(0), 7]);
  w.do('store', [at(1), 7]);
  w.do('store', [at(1), 0]);
  w.pageout(0, 2);
  const cached = [0, 1].map((page) => swap_cache_lookup(pte_to_swp_entry(w.pte(page))) !== null);
  expect(cached).toEqual([true, false]);
  expect([w.do('load', [at(0)]), w.do('load', [at(1)])]).toEqual([7, 0]);
  w.check();
});
