/** Recorded micro-scenarios about pages: population, fork, files and shared memory. */
import { describe, expect, test } from 'vitest';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_STACK,
  PAGE_SIZE,
  VM_NOHUGEPAGE,
} from '../../../src/linux/mm/mm.ts';
import {
  folio_anon_vma,
  folio_test_lru,
  PageAnonExclusive,
} from '../../../src/linux/mm/page-flags.ts';
import { mem_map, type page } from '../../../src/linux/mm_types.ts';
import { call } from '../driver.ts';
import { brokenInvariants } from './invariants.ts';
import { NONE, R, RW, World } from './world.ts';

/** Runs one recorded scenario and checks what must hold after any. */
function golden(id: string, run: (w: World) => void): void {
  test(id, () => {
    const w = new World();
    run(w);
    expect([...w.problems(), ...brokenInvariants(w.m)]).toEqual([]);
  });
}

function pageAt(w: World, at: number): page {
  const pfn = w.pfn(at);
  if (pfn === null) throw new Error(`page ${at} is not present`);
  return mem_map.at(pfn);
}

const openFile = (w: World, path: string, pages: number): number =>
  call(w.m, w.task, 'open', [path, 2], { size: pages * PAGE_SIZE, kind: 'file' });

function mapFile(
  w: World,
  at: number,
  pages: number,
  fd: number,
  from = 0,
  flags = MAP_PRIVATE,
): void {
  const length = pages * PAGE_SIZE;
  const all = flags | MAP_FIXED;
  expect(w.call('mmap', w.at(at), length, RW, all, fd, from * PAGE_SIZE)).toBe(w.at(at));
}

/** Start, end and page offset of each VMA, in pages. */
const ranges = (w: World): number[][] =>
  w
    .list()
    .map((vma) => [
      (vma.vm_start - w.at(0)) / PAGE_SIZE,
      (vma.vm_end - w.at(0)) / PAGE_SIZE,
      vma.vm_pgoff,
    ]);

describe('new mappings', () => {
  golden('N11 MAP_POPULATE writes to what is writable', (w) => {
    w.map(0, 2, RW, MAP_POPULATE);
    expect(w.vmas()).toBe('[0,2) A');
    for (const at of [0, 1]) {
      expect(PageAnonExclusive(pageAt(w, at))).toBe(true);
      expect(folio_test_lru(pageAt(w, at))).toBe(true);
    }
  });
  golden('N11 MAP_POPULATE reads what is read-only', (w) => {
    w.map(0, 2, R, MAP_POPULATE);
    expect(w.vmas()).toBe('[0,2)r');
    expect([w.pfn(0), w.pfn(1)]).toEqual([0, 0]);
  });
  golden('N11 MAP_POPULATE leaves alone what is not accessible', (w) => {
    w.map(0, 2, NONE, MAP_POPULATE);
    expect(w.vmas()).toBe('[0,2)-');
    expect(w.present(2)).toEqual([]);
  });
  golden('N12 a stack has no huge pages', (w) => {
    w.map(0, 2, RW, MAP_STACK);
    w.map(2, 2);
    expect(w.vma(0).vm_flags & VM_NOHUGEPAGE).toBe(VM_NOHUGEPAGE);
    expect(w.vmas()).toBe('[0,2) [2,4)');
  });
});

describe('fork', () => {
  golden('F1 pages are shared until somebody writes', (w) => {
    w.map(0, 4);
    w.write(0, 1);
    expect(w.vmas()).toBe('[0,4) A');
    const [old, shared] = [pageAt(w, 0), pageAt(w, 1)];
    const child = w.fork();
    expect(child.vmas()).toBe('[0,4) B');
    expect(child.chain(0)).toBe('BA');
    expect([w.counts(0), child.counts(0)]).toEqual([
      [2, 1, 2],
      [0, 1, 1],
    ]);
    expect([child.pfn(0), child.pfn(1)]).toEqual([old.pfn, shared.pfn]);
    for (const each of [old, shared]) {
      expect([each._mapcount + 1, PageAnonExclusive(each)]).toEqual([2, false]);
    }

    child.write(2);
    expect(folio_anon_vma(pageAt(child, 2))).toBe(child.vma(0).anon_vma);
    child.write(0);
    expect(folio_anon_vma(pageAt(child, 0))).toBe(child.vma(0).anon_vma);
    expect([old._mapcount + 1, PageAnonExclusive(old)]).toEqual([1, false]);
    w.write(0);
    expect([w.pfn(0), PageAnonExclusive(old)]).toEqual([old.pfn, true]);

    // The child still shares this one, so that it is the parent who gets a copy.
    w.write(1);
    expect(w.pfn(1)).not.toBe(shared.pfn);
    expect(folio_anon_vma(pageAt(w, 1))).toBe(w.vma(0).anon_vma);
    expect(child.pfn(1)).toBe(shared.pfn);
    expect(child.problems()).toEqual([]);
  });
});

describe('files and shared memory', () => {
  golden('S1 a read maps sixteen cached pages of a file, a write one copy', (w) => {
    const fd = openFile(w, '/f', 30);
    mapFile(w, 40, 30, fd, 0, MAP_SHARED);
    w.call('load', w.at(40), 30 * PAGE_SIZE);
    mapFile(w, 0, 30, fd);
    w.read(3);
    expect(w.present(30)).toEqual([...Array(16).keys()]);
    expect(w.vma(0).anon_vma).toBeNull();
    w.write(3);
    expect([folio_anon_vma(pageAt(w, 3)), pageAt(w, 3).index]).toEqual([w.vma(0).anon_vma, 3]);
    w.write(25);
    expect(w.present(30)).toEqual([...Array(16).keys(), 25]);
    expect(folio_anon_vma(pageAt(w, 25))).toBe(w.vma(0).anon_vma);
  });
  golden('S2 two parts of a file merge if they adjoin and come from one open()', (w) => {
    const fd = openFile(w, '/f', 30);
    mapFile(w, 0, 2, fd, 0);
    mapFile(w, 2, 2, fd, 2);
    expect(ranges(w)).toEqual([[0, 4, 0]]);
    mapFile(w, 4, 2, fd, 5);
    expect(ranges(w)).toEqual([
      [0, 4, 0],
      [4, 6, 5],
    ]);
    mapFile(w, 6, 2, openFile(w, '/f', 30), 7);
    expect(ranges(w)).toEqual([
      [0, 4, 0],
      [4, 6, 5],
      [6, 8, 7],
    ]);
  });
  golden('S3 fork copies no entries of a file, unless there are private pages', (w) => {
    const fd = openFile(w, '/f', 4);
    mapFile(w, 0, 4, fd);
    w.call('load', w.at(0), 4 * PAGE_SIZE);
    expect(w.present(4)).toEqual([0, 1, 2, 3]);
    const first = w.fork();
    expect(first.present(4)).toEqual([]);
    first.call('exit', 0);

    w.write(0);
    expect(w.vma(0).anon_vma).not.toBeNull();
    w.vmas();
    const second = w.fork();
    expect(second.present(4)).toEqual([0, 1, 2, 3]);
    for (const at of [0, 1]) expect(pageAt(w, at)._mapcount + 1).toBe(2);
    second.vmas();
    expect(second.chain(0)).toBe('BA');
    expect(second.problems()).toEqual([]);
  });
  const anywhere = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
  golden('S4 shared memory: its pages are made one by one, and found in groups', (w) => {
    w.call('mmap', w.at(0), 4 * PAGE_SIZE, RW, anywhere, -1, 0);
    w.read(0);
    expect(w.present(4)).toEqual([0]);
    w.write(1);
    expect(w.present(4)).toEqual([0, 1]);
    const child = w.fork();
    expect(child.present(4)).toEqual([]);
    child.read(0);
    expect(child.present(4)).toEqual([0, 1]);
    expect(child.problems()).toEqual([]);
  });
  golden('S5 two shared mappings side by side are two objects', (w) => {
    w.call('mmap', w.at(0), 2 * PAGE_SIZE, RW, anywhere, -1, 0);
    w.call('mmap', w.at(2), 2 * PAGE_SIZE, RW, anywhere, -1, 0);
    expect(ranges(w)).toEqual([
      [0, 2, 0],
      [2, 4, 0],
    ]);
  });
  golden('S6 /dev/zero mapped privately is a file until it is moved', (w) => {
    const fd = w.call('open', '/dev/zero', 2);
    mapFile(w, 0, 4, fd, 0);
    mapFile(w, 4, 4, fd, 4);
    expect(ranges(w)).toEqual([[0, 8, 0]]);
    mapFile(w, 8, 4, fd, 0);
    expect(ranges(w)).toEqual([
      [0, 8, 0],
      [8, 12, 0],
    ]);
    w.move(8, 20, 4);
    expect(ranges(w)).toEqual([
      [0, 8, 0],
      [20, 24, w.at(20) / PAGE_SIZE],
    ]);
  });
});
