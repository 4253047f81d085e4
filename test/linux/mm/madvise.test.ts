/** Advice about single pages, and mlock: what they leave in entries, folios and counts. */
import { expect, test } from 'vitest';
import { mmOfTask, vmaAt } from '../../../src/linux/describe.ts';
import { MADV_COLD, MADV_FREE, MADV_PAGEOUT, MADV_WILLNEED } from '../../../src/linux/mm/mm.ts';
import {
  folio_test_active,
  folio_test_dirty,
  folio_test_lru,
  folio_test_mlocked,
  folio_test_swapbacked,
  folio_test_unevictable,
} from '../../../src/linux/mm/page-flags.ts';
import {
  lookupPte,
  pte_dirty,
  pte_is_swap_entry,
  pte_none,
  pte_page,
  pte_present,
  pte_to_swp_entry,
  pte_write,
  pte_young,
  ptep_get,
} from '../../../src/linux/mm/pgtable.ts';
import { swap_cache_lookup, swap_count, swap_info } from '../../../src/linux/mm/swapfile.ts';
import type { page } from '../../../src/linux/mm_types.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { bootTest, call, findings, settle, spawnInit, spawnKernelThread } from '../driver.ts';
import { brokenInvariants } from './invariants.ts';

const PAGE = 4096;
const P = 0x10_0000_0000;
const at = (page: number): number => P + page * PAGE;
const RW = 3;
const PRIVATE = 0x32;
const SHARED_FIXED = 0x11;

class World {
  readonly m: Machine = bootTest();
  readonly p = spawnInit(this.m, 'P', { mmapBase: P + 64 * PAGE });
  map(page: number, n: number): void {
    call(this.m, this.p, 'mmap', [at(page), n * PAGE, RW, PRIVATE, -1, 0]);
  }
  store(page: number, value: number, task = this.p): void {
    call(this.m, task, 'store', [at(page), value]);
  }
  load(page: number, task = this.p): number {
    return call(this.m, task, 'load', [at(page)]);
  }
  call(name: string, args: number[]): number {
    return call(this.m, this.p, name, args);
  }
  advise(page: number, n: number, advice: number): number {
    return call(this.m, this.p, 'madvise', [at(page), n * PAGE, advice]);
  }
  /** Reclaims the page, looking twice if it was used since. */
  reclaim(page: number): number {
    const kswapd = spawnKernelThread(this.m, 'kswapd');
    const first = call(this.m, kswapd, 'reclaim', [this.p, at(page)]);
    return first === 1 ? 1 : call(this.m, kswapd, 'reclaim', [this.p, at(page)]);
  }
  pte(page: number, task = this.p): number {
    this.m.activate();
    const mm = mmOfTask(this.m, task);
    const ptr = mm === null ? 0 : lookupPte(mm, at(page));
    return ptr === 0 ? 0 : ptep_get(ptr);
  }
  page(page: number): page {
    const pte = this.pte(page);
    expect(pte_present(pte)).toBe(true);
    return pte_page(pte);
  }
  check(): void {
    expect(findings(this.m)).toEqual([]);
    expect(brokenInvariants(this.m)).toEqual([]);
  }
}

test('MADV_FREE makes entry and folio clean; reclaim then drops the page without swap', () => {
  const w = new World();
  w.map(0, 2);
  w.store(0, 1);
  w.store(1, 2);
  const folio = w.page(0);
  expect(w.advise(0, 1, MADV_FREE)).toBe(0);
  const pte = w.pte(0);
  expect([pte_write(pte), pte_dirty(pte), pte_young(pte)]).toEqual([true, false, false]);
  expect([folio_test_swapbacked(folio), folio_test_dirty(folio), folio_test_active(folio)]).toEqual(
    [false, false, false],
  );
  expect(pte_dirty(w.pte(1))).toBe(true);
  expect(w.load(0)).toBe(1);
  w.advise(0, 1, MADV_FREE);
  expect(w.reclaim(0)).toBe(1);
  expect(pte_none(w.pte(0))).toBe(true);
  expect(swap_info()?.inuse_pages).toBe(0);
  expect(w.load(0)).toBe(0);
  w.check();
});

test('a store after MADV_FREE keeps the page: reclaim finds its entry dirty', () => {
  const w = new World();
  w.map(0, 1);
  w.store(0, 1);
  const folio = w.page(0);
  w.advise(0, 1, MADV_FREE);
  w.store(0, 7);
  expect(w.reclaim(0)).toBe(0);
  expect(w.page(0)).toBe(folio);
  expect(folio_test_swapbacked(folio)).toBe(true);
  expect(w.load(0)).toBe(7);
  w.check();
});

test('MADV_FREE clears swap entries and frees their slots', () => {
  const w = new World();
  w.map(0, 1);
  w.store(0, 1);
  expect(w.reclaim(0)).toBe(1);
  expect(pte_is_swap_entry(w.pte(0))).toBe(true);
  expect(swap_info()?.inuse_pages).toBe(1);
  w.advise(0, 1, MADV_FREE);
  expect(pte_none(w.pte(0))).toBe(true);
  expect(swap_info()?.inuse_pages).toBe(0);
  expect(w.load(0)).toBe(0);
  w.check();
});

const locked = (folio: page): readonly unknown[] => [
  folio_test_mlocked(folio),
  folio_test_unevictable(folio),
  folio_test_lru(folio),
  folio._refcount,
];

test('mlock takes pages to the unevictable list, munlock back, whether there before or populated', () => {
  const w = new World();
  w.map(0, 3);
  w.store(0, 1);
  expect(w.call('mlock', [at(0), 2 * PAGE])).toBe(0);
  const [before, populated] = [w.page(0), w.page(1)];
  expect(locked(before)).toEqual([true, true, true, 1]);
  expect(locked(populated)).toEqual([true, true, true, 1]);
  expect(w.reclaim(0)).toBe(0);
  expect(w.page(0)).toBe(before);
  expect(w.call('munlock', [at(0), 2 * PAGE])).toBe(0);
  expect(locked(before)).toEqual([false, false, true, 1]);
  expect(locked(populated)).toEqual([false, false, true, 1]);
  w.check();
});

test('a folio that two processes mlock stays unevictable until both have unlocked it', () => {
  const w = new World();
  w.map(0, 1);
  w.store(0, 1);
  const child = call(w.m, w.p, 'fork');
  const folio = w.page(0);
  // Read-only, so that populating does not unshare it.
  for (const task of [w.p, child]) {
    call(w.m, task, 'mprotect', [at(0), PAGE, 1]);
    call(w.m, task, 'mlock', [at(0), PAGE]);
  }
  expect(locked(folio)).toEqual([true, true, true, 2]);
  call(w.m, child, 'munlock', [at(0), PAGE]);
  expect(folio_test_unevictable(folio)).toBe(true);
  call(w.m, w.p, 'munmap', [at(0), PAGE]);
  // In a batch, which holds a reference.
  expect(folio_test_mlocked(folio)).toBe(true);
  expect(folio._refcount).toBe(2);
  settle(w.m);
  expect([folio_test_mlocked(folio), folio_test_unevictable(folio)]).toEqual([false, false]);
  expect(folio._refcount).toBe(1);
  w.check();
});

test('MADV_PAGEOUT swaps out what only this process maps; MADV_WILLNEED reads it into the swap cache', () => {
  const w = new World();
  w.map(0, 4);
  w.store(0, 1);
  const child = call(w.m, w.p, 'fork');
  w.store(1, 2);
  w.store(2, 3);
  expect(w.advise(0, 4, MADV_PAGEOUT)).toBe(0);
  expect(pte_present(w.pte(0))).toBe(true);
  expect(w.load(0, child)).toBe(1);
  expect(pte_is_swap_entry(w.pte(1))).toBe(true);
  expect(pte_none(w.pte(3))).toBe(true);
  expect(swap_info()?.inuse_pages).toBe(2);
  const entry = pte_to_swp_entry(w.pte(2));
  expect(swap_cache_lookup(entry)).toBeNull();
  expect(w.advise(2, 1, MADV_WILLNEED)).toBe(0);
  expect(pte_is_swap_entry(w.pte(2))).toBe(true);
  expect(swap_count(entry)).toBe(1);
  const cached = swap_cache_lookup(entry);
  expect([cached?._refcount, cached?._mapcount]).toEqual([1, -1]);
  expect(w.load(2)).toBe(3);
  expect(w.page(2)).toBe(cached);
  w.check();
});

test('MADV_PAGEOUT of a lazily freed page that was stored to keeps it; the next one swaps it out', () => {
  const w = new World();
  w.map(0, 1);
  w.store(0, 1);
  w.advise(0, 1, MADV_FREE);
  w.store(0, 2);
  const folio = w.page(0);
  w.advise(0, 1, MADV_PAGEOUT);
  expect(w.page(0)).toBe(folio);
  expect([folio_test_swapbacked(folio), folio_test_dirty(folio)]).toEqual([true, true]);
  w.advise(0, 1, MADV_PAGEOUT);
  expect(pte_is_swap_entry(w.pte(0))).toBe(true);
  expect(w.load(0)).toBe(2);
  w.check();
});

test('MADV_COLD takes the accessed bit and the active state, nothing else', () => {
  const w = new World();
  w.map(0, 1);
  w.store(0, 1);
  const folio = w.page(0);
  w.reclaim(0);
  w.store(0, 1);
  expect(w.advise(0, 1, MADV_COLD)).toBe(0);
  const pte = w.pte(0);
  expect([pte_present(pte), pte_dirty(pte), pte_young(pte)]).toEqual([true, true, false]);
  expect(folio_test_active(w.page(0))).toBe(false);
  expect(folio_test_swapbacked(folio)).toBe(true);
  w.check();
});

test('MADV_WILLNEED reads a file into the page cache without mapping it', () => {
  const w = new World();
  const fd = call(w.m, w.p, 'open', ['/f', 2], { size: 4 * PAGE, kind: 'file' });
  w.call('mmap', [at(0), 8 * PAGE, RW, SHARED_FIXED, fd, PAGE]);
  expect(w.advise(1, 7, MADV_WILLNEED)).toBe(0);
  const mm = mmOfTask(w.m, w.p);
  const vma = mm === null ? null : vmaAt(mm, at(0));
  // Pages 2 and 3 of the file: 1 is before the range, 4 behind the end.
  expect(vma?.vm_file?.f_mapping?.nrpages).toBe(2);
  expect(pte_none(w.pte(1))).toBe(true);
  w.check();
});
