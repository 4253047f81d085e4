import { describe, expect, test } from 'vitest';
import {
  MADV_DOFORK,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_NORMAL,
  MADV_SEQUENTIAL,
  MADV_WIPEONFORK,
  MAP_NORESERVE,
  MLOCK_ONFAULT,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
} from '../../../src/linux/mm/mm.ts';
import { NONE, R, RW, RWX, World } from './world.ts';

const NR = MAP_NORESERVE;
const EFAULT = -14;
const ENOMEM = -12;
const EPERM = -1;

/** Runs one recorded scenario and checks what must hold after any. */
function golden(id: string, run: (w: World) => void): void {
  test(id, () => {
    const w = new World();
    run(w);
    expect(w.problems()).toEqual([]);
  });
}

describe('new mappings and faults', () => {
  golden('N1 a mapping after a faulted one extends it', (w) => {
    w.map(0, 2);
    w.write(0);
    w.map(2, 2);
    expect(w.vmas()).toBe('[0,4) A');
    expect(w.counts(0)).toEqual([1, 1, 1]);
  });
  golden('N2 a mapping before a faulted one extends it downwards', (w) => {
    w.map(2, 2);
    w.write(2);
    w.map(0, 2);
    expect(w.vmas()).toBe('[0,4) A');
  });
  golden('N3 between two different anon_vmas the left one wins', (w) => {
    w.map(0, 2);
    w.map(4, 2);
    w.write(0, 4);
    w.map(2, 2);
    expect(w.vmas()).toBe('[0,4) A [4,6) B');
  });
  golden('N4 an unfaulted left side takes the right one’s anon_vma', (w) => {
    w.map(0, 2);
    w.map(4, 2);
    w.write(4);
    w.map(2, 2);
    expect(w.vmas()).toBe('[0,6) A');
    expect(w.counts(0)).toEqual([1, 1, 1]);
  });
  golden('N5 a hole in a faulted VMA is filled again', (w) => {
    w.map(0, 6);
    w.write(0, 5);
    w.unmap(2, 2);
    expect(w.vmas()).toBe('[0,2) A [4,6) A');
    expect(w.counts(0)).toEqual([1, 2, 1]);
    w.map(2, 2);
    expect(w.vmas()).toBe('[0,6) A');
    expect(w.counts(0)).toEqual([1, 1, 1]);
  });
  golden('N6 MAP_FIXED over the middle drops its pages and ends as one VMA', (w) => {
    w.map(0, 6);
    w.write(0, 2, 5);
    w.map(2, 2);
    expect(w.vmas()).toBe('[0,6) A');
    expect(w.present(6)).toEqual([0, 5]);
  });
  golden('N7 neighbours that differ in protection share an anon_vma', (w) => {
    w.map(0, 2);
    w.map(2, 2, RWX);
    w.write(0, 2);
    expect(w.vmas()).toBe('[0,2) A [2,4)rwx A');
    expect(w.counts(0)).toEqual([1, 2, 1]);
    w.protect(2, 2, RW);
    expect(w.vmas()).toBe('[0,4) A');
    expect(w.counts(0)).toEqual([1, 1, 1]);
  });
  golden('N8 neighbours that differ in another flag do not', (w) => {
    w.map(0, 2);
    w.map(2, 2, RW, NR);
    w.write(0, 2);
    expect(w.vmas(true)).toBe('[0,2)ac A [2,4) B');
  });
  golden('N9 a middle VMA takes the anon_vma of the next', (w) => {
    w.map(0, 2);
    w.map(4, 2);
    w.write(0, 4);
    w.map(2, 2, RWX);
    w.write(2);
    expect(w.vmas()).toBe('[0,2) A [2,4)rwx B [4,6) B');
    expect(w.counts(4)).toEqual([1, 2, 1]);
  });
  golden('N10 a read maps the zero page without an anon_vma', (w) => {
    w.map(0, 3);
    w.read(0);
    expect(w.vmas()).toBe('[0,3)');
    expect(w.pfn(0)).toBe(0);
    w.write(0);
    expect(w.vmas()).toBe('[0,3) A');
    expect(w.pfn(0)).not.toBe(0);
  });
});

describe('mprotect and madvise', () => {
  golden('P1 a changed page splits the VMA in three, and back', (w) => {
    w.map(0, 5);
    w.write(0);
    w.protect(1, 1, R);
    expect(w.vmas()).toBe('[0,1) A [1,2)r A [2,5) A');
    expect(w.counts(0)).toEqual([1, 3, 1]);
    w.protect(1, 1, RW);
    expect(w.vmas()).toBe('[0,5) A');
    expect(w.counts(0)).toEqual([1, 1, 1]);
  });
  golden('P2 VM_ACCOUNT of an unfaulted VMA goes with its write permission', (w) => {
    w.map(0, 3, R);
    w.map(3, 3);
    w.protect(3, 3, R);
    expect(w.vmas(true)).toBe('[0,6)r');
  });
  golden('P2 VM_ACCOUNT of a faulted VMA stays and keeps it apart', (w) => {
    w.map(0, 3, R);
    w.map(3, 3);
    w.write(3);
    w.protect(3, 3, R);
    expect(w.vmas(true)).toBe('[0,3)r [3,6)rac A');
  });
  golden('P3 the borders of a read-only window move page by page', (w) => {
    w.map(0, 9);
    w.write(0, 4, 8);
    w.protect(3, 3, R);
    expect(w.vmas()).toBe('[0,3) A [3,6)r A [6,9) A');
    w.protect(3, 1, RW);
    expect(w.vmas()).toBe('[0,4) A [4,6)r A [6,9) A');
    w.protect(5, 1, RW);
    expect(w.vmas()).toBe('[0,4) A [4,5)r A [5,9) A');
    w.protect(4, 1, RW);
    expect(w.vmas()).toBe('[0,9) A');
  });
  golden('P4 a middle between two anon_vmas goes left', (w) => {
    w.map(0, 2, RW, NR);
    w.map(3, 2, RW, NR);
    w.write(0, 3);
    w.map(2, 1, R, NR);
    w.protect(2, 1, RW);
    expect(w.vmas()).toBe('[0,3) A [3,5) B');
  });
  golden('P5 a faulted middle gives its anon_vma to both sides', (w) => {
    w.map(0, 9, RW, NR);
    w.protect(0, 3, R);
    w.protect(6, 3, R);
    w.write(3);
    w.protect(3, 3, R);
    expect(w.vmas()).toBe('[0,9)r A');
    expect(w.counts(0)).toEqual([1, 1, 1]);
  });
  golden('P6 a faulted left side swallows an unfaulted middle and right', (w) => {
    w.map(0, 3, RW, NR);
    w.write(0);
    w.map(3, 3, R, NR);
    w.map(6, 3, RW, NR);
    w.protect(3, 3, RW);
    expect(w.vmas()).toBe('[0,9) A');
  });
  golden('P7 advice that sets flags splits, and merges when it is taken back', (w) => {
    w.map(0, 6);
    w.advise(2, 2, MADV_SEQUENTIAL);
    expect(w.vmas()).toBe('[0,2) [2,4) [4,6)');
    w.advise(2, 2, MADV_NORMAL);
    expect(w.vmas()).toBe('[0,6)');
    w.advise(2, 2, MADV_DONTFORK);
    expect(w.vmas()).toBe('[0,2) [2,4) [4,6)');
    w.advise(2, 2, MADV_DOFORK);
    expect(w.vmas()).toBe('[0,6)');
  });
  golden('P8 mlock() splits by flags and munlock() merges', (w) => {
    w.map(0, 6);
    expect(w.lock(2, 2)).toBe(0);
    expect(w.vmas()).toBe('[0,2) [2,4)lo A [4,6)');
    expect(w.mm().locked_vm).toBe(2);
    expect(w.unlock(0, 6)).toBe(0);
    expect(w.vmas()).toBe('[0,6) A');
    w.lock(2, 2, MLOCK_ONFAULT);
    w.lock(2, 1);
    expect(w.vmas()).toBe('[0,2) A [2,3)lo A [3,4)lo A [4,6) A');
    w.unlock(0, 6);
    expect(w.vmas()).toBe('[0,6) A');
    expect(w.mm().locked_vm).toBe(0);
  });
  golden('P9 mlock() over a hole locks what lies before it', (w) => {
    w.map(0, 2);
    w.map(3, 2);
    expect(w.lock(0, 5)).toBe(ENOMEM);
    expect(w.vmas()).toBe('[0,2)lo [3,5)');
  });
  golden('P10 a sealed VMA stops mprotect() where it is and munmap() at once', (w) => {
    w.map(0, 6);
    w.call('mseal', w.at(2), 2 * 4096, 0);
    expect(w.protect(0, 6, R)).toBe(EPERM);
    expect(w.vmas()).toBe('[0,2)r [2,4) [4,6)');
    expect(w.unmap(0, 6)).toBe(EPERM);
    expect(w.vmas()).toBe('[0,2)r [2,4) [4,6)');
  });
  golden('P11 a refused munmap() leaves its split behind', (w) => {
    w.map(0, 4);
    w.map(4, 2, R);
    w.call('mseal', w.at(4), 2 * 4096, 0);
    expect(w.unmap(2, 4)).toBe(EPERM);
    expect(w.vmas()).toBe('[0,2) [2,4) [4,6)r');
  });
  golden('P12 MADV_DONTNEED drops the pages and keeps the anon_vma', (w) => {
    w.map(0, 2);
    w.write(0);
    expect(w.advise(0, 2, MADV_DONTNEED)).toBe(0);
    expect(w.vmas()).toBe('[0,2) A');
    expect(w.present(2)).toEqual([]);
    w.write(0);
    w.advise(0, 2, MADV_WIPEONFORK);
    const child = w.fork();
    expect(child.vmas()).toBe('[0,2)');
    child.read(0);
    expect(child.pfn(0)).toBe(0);
    child.write(0);
    expect(child.vmas()).toBe('[0,2) B');
    expect(child.counts(0)).toEqual([1, 1, 1]);
  });
  golden('P13 PROT_NONE keeps the frame', (w) => {
    w.map(0, 2);
    w.write(0);
    const pfn = w.pfn(0);
    w.protect(0, 1, NONE);
    expect(w.vmas()).toBe('[0,1)- A [1,2) A');
    expect(w.pfn(0)).toBe(pfn);
    w.protect(0, 1, RW);
    expect(w.vmas()).toBe('[0,2) A');
    expect(w.pfn(0)).toBe(pfn);
  });
  golden('mprotect over a hole changes what lies before it and fails', (w) => {
    w.map(0, 2);
    w.map(4, 2);
    expect(w.protect(0, 6, R)).toBe(ENOMEM);
    expect(w.vmas()).toBe('[0,2)r [4,6)');
  });
  golden('madvise over a hole goes on behind it and fails', (w) => {
    w.map(0, 2);
    w.map(4, 2);
    w.write(0, 4);
    expect(w.advise(0, 6, MADV_DONTNEED)).toBe(ENOMEM);
    expect(w.present(6)).toEqual([]);
  });
});

describe('mremap', () => {
  golden('R1 an unfaulted VMA gets the page offset of its new place', (w) => {
    w.map(0, 3);
    w.move(0, 20, 3);
    expect(w.vmas()).toBe('[20,23)');
  });
  golden('R1 a faulted VMA keeps its page offset and its pages', (w) => {
    w.map(0, 3);
    w.write(0);
    const pfn = w.pfn(0);
    w.move(0, 20, 3);
    expect(w.vmas()).toBe('[20,23) A pg=0');
    expect(w.pfn(20)).toBe(pfn);
  });
  golden('R2 a piece moved away and back merges again', (w) => {
    w.map(0, 6);
    w.write(0, 2, 3);
    w.move(2, 20, 2);
    expect(w.vmas()).toBe('[0,2) A [4,6) A [20,22) A pg=2');
    expect(w.counts(0)).toEqual([1, 3, 1]);
    w.move(20, 2, 2);
    expect(w.vmas()).toBe('[0,6) A');
    expect(w.counts(0)).toEqual([1, 1, 1]);
  });
  golden('R3 a faulted VMA does not merge where its page offset does not fit', (w) => {
    w.map(0, 3);
    w.map(10, 3);
    w.write(10);
    w.move(10, 3, 3);
    expect(w.vmas()).toBe('[0,3) [3,6) A pg=10');
  });
  golden('R4 a faulted VMA moved next to an unfaulted one gives it its chain', (w) => {
    w.map(3, 3);
    w.write(3);
    w.move(3, 20, 3);
    w.map(0, 3);
    w.move(20, 3, 3);
    expect(w.vmas()).toBe('[0,6) A');
    expect(w.counts(0)).toEqual([1, 1, 1]);
  });
  golden('R4 the same with MREMAP_DONTUNMAP', (w) => {
    w.map(3, 3);
    w.write(3);
    w.move(3, 20, 3);
    w.map(0, 3);
    w.dontunmap(20, 3, 3);
    expect(w.vmas()).toBe('[0,6) A [20,23) pg=3');
  });
  golden('R4 a fork child does not', (w) => {
    w.map(3, 3);
    w.write(3);
    const child = w.fork();
    child.move(3, 20, 3);
    child.map(0, 3);
    child.move(20, 3, 3);
    expect(child.vmas()).toBe('[0,3) [3,6) A');
    expect(child.problems()).toEqual([]);
  });
  golden('R5 both unfaulted sides take part', (w) => {
    w.map(3, 3);
    w.write(3);
    w.move(3, 20, 3);
    w.map(0, 3);
    w.map(6, 3);
    w.move(20, 3, 3);
    expect(w.vmas()).toBe('[0,9) A');
    expect(w.counts(0)).toEqual([1, 1, 1]);
  });
  golden('R6 an unfaulted VMA moved behind a faulted one merges', (w) => {
    w.map(0, 3);
    w.write(0);
    w.map(10, 3);
    w.move(10, 3, 3);
    expect(w.vmas()).toBe('[0,6) A');
  });
  golden('R7 between two anon_vmas it goes left', (w) => {
    w.map(0, 3);
    w.write(0);
    w.map(6, 3);
    w.write(6);
    w.map(20, 3);
    w.move(20, 3, 3);
    expect(w.vmas()).toBe('[0,6) A [6,9) B');
  });
  golden('R8 MREMAP_DONTUNMAP of a whole VMA leaves it unfaulted', (w) => {
    w.map(0, 3);
    w.write(0, 1);
    w.dontunmap(0, 20, 3);
    expect(w.vmas()).toBe('[0,3) [20,23) A pg=0');
    expect(w.present(3)).toEqual([]);
    w.write(0);
    expect(w.vmas()).toBe('[0,3) B [20,23) A pg=0');
  });
  golden('R9 MREMAP_DONTUNMAP of a part keeps the anon_vma', (w) => {
    w.map(0, 6);
    w.write(0, 2);
    w.dontunmap(2, 20, 2);
    expect(w.vmas()).toBe('[0,6) A [20,22) A pg=2');
    expect(w.counts(0)).toEqual([1, 2, 1]);
    expect(w.present(6)).toEqual([0]);
  });
  golden('R10 copies in a fork child keep the exact chain', (w) => {
    w.map(0, 4);
    w.write(0);
    expect(w.vmas()).toBe('[0,4) A');
    const child = w.fork();
    expect(child.vmas()).toBe('[0,4) B');
    child.move(0, 10, 2);
    expect(child.vmas()).toBe('[2,4) B [10,12) B pg=0');
    expect([child.chain(2), child.chain(10)]).toEqual(['BA', 'BA']);
    expect(child.counts(2)[1]).toBe(2);
    child.dontunmap(10, 20, 1);
    expect(child.vmas()).toBe('[2,4) B [10,12) B pg=0 [20,21) B pg=0');
    child.dontunmap(10, 30, 2);
    expect(child.vmas()).toBe('[2,4) B [10,12) pg=0 [20,21) B pg=0 [30,32) B pg=0');
    expect(child.chain(30)).toBe('BA');
    expect(child.problems()).toEqual([]);
  });
  golden('R11 MREMAP_DONTUNMAP of an unfaulted VMA next to itself', (w) => {
    w.map(0, 3);
    w.dontunmap(0, 3, 3);
    expect(w.vmas()).toBe('[0,6)');
  });
  golden('R12 an unfaulted VMA moved between itself and the next', (w) => {
    w.map(0, 3);
    w.map(6, 3);
    w.move(0, 3, 3);
    expect(w.vmas()).toBe('[3,9)');
  });
  golden('an unfaulted VMA copied next to itself joins the faulted one behind', (w) => {
    w.map(0, 6);
    w.map(12, 8);
    w.write(19);
    w.dontunmap(0, 6, 6);
    expect(w.vmas()).toBe('[0,20) A');
  });
  golden('R13 shrinking inside a VMA leaves a hole', (w) => {
    w.map(0, 6);
    w.resize(1, 3, 1);
    expect(w.vmas()).toBe('[0,2) [4,6)');
  });
  golden('R14 shrinking may cross VMAs and holes', (w) => {
    w.map(0, 2);
    w.map(3, 2);
    w.map(6, 2);
    expect(w.resize(0, 8, 1)).toBe(w.at(0));
    expect(w.vmas()).toBe('[0,1)');
  });
  golden('R15, R16 growing in place absorbs a next VMA that fits', (w) => {
    w.map(0, 2);
    w.write(0);
    w.resize(0, 2, 4);
    expect(w.vmas()).toBe('[0,4) A');
    w.map(6, 2);
    w.resize(0, 4, 6);
    expect(w.vmas()).toBe('[0,8) A');
    w.map(10, 2);
    w.write(10);
    w.resize(0, 8, 10);
    expect(w.vmas()).toBe('[0,10) A [10,12) B');
    expect(w.resize(0, 10, 11)).toBe(ENOMEM);
  });
  golden('R17 a fork child that grows in place absorbs an unfaulted next', (w) => {
    w.map(0, 3);
    w.write(0);
    expect(w.vmas()).toBe('[0,3) A');
    const child = w.fork();
    child.map(6, 3);
    child.resize(0, 3, 6);
    expect(child.vmas()).toBe('[0,9) B');
    expect(child.chain(0)).toBe('BA');
    expect(child.problems()).toEqual([]);
  });
  golden('R18 moving and growing at once', (w) => {
    w.map(0, 6);
    w.write(2);
    w.resize(2, 2, 4, MREMAP_MAYMOVE | MREMAP_FIXED, 20);
    expect(w.vmas()).toBe('[0,2) A [4,6) A [20,24) A pg=2');
    expect(w.counts(0)).toEqual([1, 3, 1]);
  });
  golden('R19 several VMAs move with their distances', (w) => {
    w.map(0, 2);
    w.map(3, 1, R);
    w.map(5, 2);
    w.write(0, 5);
    w.move(0, 20, 8);
    expect(w.vmas()).toBe('[20,22) A pg=0 [23,24)r [25,27) B pg=5');
  });
  golden('R20 a mapping in a gap of the destination survives', (w) => {
    w.map(0, 2);
    w.map(3, 1);
    w.map(22, 1, R, NR);
    w.move(0, 20, 4);
    expect(w.vmas()).toBe('[20,22) [22,23)r [23,24)');
  });
  golden('R22 MREMAP_DONTUNMAP unlocks the source', (w) => {
    w.map(0, 3);
    w.lock(0, 3);
    w.dontunmap(0, 20, 3);
    expect(w.vmas()).toBe('[0,3) [20,23)lo A pg=0');
  });
  golden('R21 a hole at the start is an error, one at the end is not', (w) => {
    w.map(1, 2);
    expect(w.move(0, 20, 4)).toBe(EFAULT);
    w.unmap(0, 4);
    w.map(0, 2);
    expect(w.move(0, 20, 4)).toBe(w.at(20));
    expect(w.vmas()).toBe('[20,22)');
  });
  golden('R21 a resizing move stays inside one VMA', (w) => {
    w.map(0, 2);
    w.map(2, 1, R);
    const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    expect(w.resize(0, 3, 4, flags, 20)).toBe(EFAULT);
    expect(w.resize(0, 3, 2, flags, 20)).toBe(w.at(20));
    expect(w.vmas()).toBe('[20,22)');
  });
});

describe('fork', () => {
  golden('F2 an unfaulted VMA gives the child nothing', (w) => {
    w.map(0, 2);
    const child = w.fork();
    expect(child.vmas()).toBe('[0,2)');
    child.write(0);
    expect(child.vmas()).toBe('[0,2) A');
    expect(child.counts(0)).toEqual([1, 1, 1]);
  });
  golden('F3 pages of a parent that unmapped them become the child’s', (w) => {
    w.map(0, 4);
    w.write(0, 1);
    expect(w.vmas()).toBe('[0,4) A');
    const child = w.fork();
    const pfn = w.pfn(0);
    w.unmap(0, 4);
    child.write(0);
    expect(child.pfn(0)).toBe(pfn);
    expect(child.vmas()).toBe('[0,4) B');
    expect(child.chain(0)).toBe('BA');
  });
  golden('F6 the heap of a fork child goes on in a VMA of its own', (w) => {
    const heap = w.mm().start_brk;
    expect(w.call('brk', heap + 2 * 4096)).toBe(heap + 2 * 4096);
    w.call('store', heap, 1);
    const child = w.fork();
    child.call('brk', heap + 4 * 4096);
    expect(child.list().length).toBe(2);
    child.call('store', heap + 2 * 4096, 1);
    child.call('brk', heap + 5 * 4096);
    expect(child.list().length).toBe(2);
    expect(child.problems()).toEqual([]);
  });
  golden('F7 a fork child’s VMA is unlocked', (w) => {
    w.map(0, 2);
    w.lock(0, 2);
    expect(w.vmas()).toBe('[0,2)lo A');
    const child = w.fork();
    expect(child.vmas()).toBe('[0,2) B');
    expect(child.mm().locked_vm).toBe(0);
  });
  golden('F4 a fork child splits and merges its own VMA', (w) => {
    w.map(0, 6);
    w.write(0);
    expect(w.vmas()).toBe('[0,6) A');
    const child = w.fork();
    child.protect(2, 2, R);
    expect(child.vmas()).toBe('[0,2) B [2,4)r B [4,6) B');
    expect(child.counts(0)).toEqual([0, 3, 1]);
    child.protect(2, 2, RW);
    expect(child.vmas()).toBe('[0,6) B');
    expect(child.counts(0)).toEqual([0, 1, 1]);
    expect(child.problems()).toEqual([]);
  });
  golden('F5 a fork child does not merge with a new mapping', (w) => {
    w.map(0, 6);
    w.write(0);
    expect(w.vmas()).toBe('[0,6) A');
    const child = w.fork();
    child.unmap(2, 2);
    child.map(2, 2);
    expect(child.vmas()).toBe('[0,2) B [2,4) [4,6) B');
    child.write(2);
    expect(child.vmas()).toBe('[0,2) B [2,4) C [4,6) B');
    expect(child.problems()).toEqual([]);
  });
});

describe('brk', () => {
  golden('keeps one page of air below the next mapping', (w) => {
    const heap = w.mm().start_brk;
    w.call('mmap', heap + 4 * 4096, 4096, RW, 0x32, -1, 0);
    expect(w.call('brk', heap + 4 * 4096)).toBe(heap);
    expect(w.call('brk', heap + 3 * 4096)).toBe(heap + 3 * 4096);
    expect(w.call('brk', heap + 4096)).toBe(heap + 4096);
    expect(w.call('brk', heap - 1)).toBe(heap + 4096);
  });
});

describe('placement', () => {
  const anywhere = (w: World, pages: number, hint = 0): number =>
    w.call('mmap', hint, pages * 4096, RW, 0x22, -1, 0);
  golden('packs downwards, refills the top of a hole, takes a free hint', (w) => {
    const a = anywhere(w, 4);
    const b = anywhere(w, 4);
    expect(b).toBe(a - 4 * 4096);
    w.call('munmap', a, 2 * 4096);
    expect(anywhere(w, 1)).toBe(a + 4096);
    expect(anywhere(w, 1, w.at(5) + 7)).toBe(w.at(5));
    expect(anywhere(w, 1, 0x1000)).toBe(0x10000);
  });
  golden('aligns 2 MiB of anonymous memory', (w) => {
    const a = anywhere(w, 512);
    expect(a % 0x200000).toBe(0);
    expect(anywhere(w, 512)).toBe(a - 0x200000);
    expect(anywhere(w, 513) % 0x200000).not.toBe(0);
  });
  golden('keeps 256 pages below a stack free', (w) => {
    const stack = anywhere(w, 600);
    w.call('munmap', stack, 300 * 4096);
    w.call('mmap', stack + 299 * 4096, 4096, RW, 0x132, -1, 0);
    expect(anywhere(w, 4)).toBe(stack + (299 - 256 - 4) * 4096);
  });
});
