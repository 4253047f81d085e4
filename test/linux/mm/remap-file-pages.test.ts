/** remap_file_pages(): each result is that of 6.18.44 for the same calls. */
import { beforeEach, expect, test } from 'vitest';
import { mmOfTask, vmaAt } from '../../../src/linux/describe.ts';
import { EINVAL, EOVERFLOW, EPERM } from '../../../src/linux/errno.ts';
import { MAP_NONBLOCK, VM_LOCKED } from '../../../src/linux/mm/mm.ts';
import { lookupPte, pte_present, ptep_get } from '../../../src/linux/mm/pgtable.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { bootTest, call, findings, spawnInit } from '../driver.ts';
import { brokenInvariants } from './invariants.ts';

const PAGE = 4096;
const P = 0x7000_0000_0000;
const SHARED = 0x11;
const RW = 3;
let m: Machine;
let p: number;
let fd: number;

const run = (name: string, ...args: unknown[]): number => call(m, p, name, args);
const remap = (addr: number, size: number, pgoff: number, prot = 0, flags = 0): number =>
  run('remap_file_pages', addr, size, prot, pgoff, flags);
const bytes = (...pages: number[]): number[] => pages.map((n) => run('load', P + n * PAGE));

function isPresent(page: number): boolean {
  const mm = mmOfTask(m, p);
  const ptr = mm === null ? 0 : lookupPte(mm, P + page * PAGE);
  return ptr !== 0 && pte_present(ptep_get(ptr));
}

function vmFlags(page: number): number {
  const mm = mmOfTask(m, p);
  return (mm === null ? null : vmaAt(mm, P + page * PAGE))?.vm_flags ?? 0;
}

/** Eight pages that hold their number from 1, mapped anew and touched by nobody. */
function fresh(): void {
  run('munmap', P, 64 * PAGE);
  expect(run('mmap', P, 8 * PAGE, RW, SHARED, fd, 0)).toBe(P);
}

beforeEach(() => {
  m = bootTest();
  p = spawnInit(m, 'P');
  fd = run('memfd_create', 'x', 0);
  run('ftruncate', fd, 8 * PAGE);
  fresh();
  for (let n = 0; n < 8; n++) run('store', P + n * PAGE, n + 1);
  fresh();
});

test('shows other pages of the file, and takes part of a page as none', () => {
  expect(remap(P, 2 * PAGE, 4)).toBe(0);
  expect(bytes(0, 1, 2)).toEqual([5, 6, 3]);
  fresh();
  expect(remap(P + 5, PAGE + 7, 4)).toBe(0);
  expect(bytes(0, 1)).toEqual([5, 2]);
  expect(brokenInvariants(m)).toEqual([]);
  expect(findings(m)).toEqual([]);
});

test('fills the range in, unless told not to', () => {
  expect(remap(P + PAGE, PAGE, 4, 0, MAP_NONBLOCK)).toBe(0);
  expect([isPresent(1), isPresent(0)]).toEqual([false, false]);
  fresh();
  expect(remap(P + PAGE, PAGE, 4)).toBe(0);
  expect([isPresent(1), isPresent(0)]).toEqual([true, false]);
});

test('refuses a protection, no length, and what wraps', () => {
  expect(remap(P, PAGE, 0, 1)).toBe(-EINVAL);
  expect(remap(P, 0, 0)).toBe(-EINVAL);
  expect(remap(P, PAGE - 1, 0)).toBe(-EINVAL);
  expect(remap(P, 2 ** 64 - PAGE, 0)).toBe(-EINVAL);
  expect(remap(P, PAGE, 2 ** 64 - 1)).toBe(-EINVAL);
  expect(remap(P, PAGE, 2 ** 52)).toBe(-EOVERFLOW);
  expect(remap(P, PAGE, 2 ** 51 - 2)).toBe(0);
  fresh();
  expect(remap(P, 2 * PAGE, 100)).toBe(0);
});

test('spans mappings of the same file with the same flags, without holes', () => {
  run('mprotect', P + 2 * PAGE, PAGE, 1);
  expect(remap(P, 3 * PAGE, 0)).toBe(-EINVAL);
  expect(remap(P, 2 * PAGE, 3)).toBe(0);
  fresh();
  run('munmap', P + 2 * PAGE, PAGE);
  expect(remap(P, 4 * PAGE, 0)).toBe(-EINVAL);
  expect(remap(P + 2 * PAGE, PAGE, 0)).toBe(-EINVAL);
  fresh();
  expect(remap(P + 2 * PAGE, PAGE, 7)).toBe(0);
  expect(remap(P, 8 * PAGE, 0)).toBe(0);
  expect(bytes(2, 7)).toEqual([3, 8]);
  expect(remap(P + 4 * PAGE, 5 * PAGE, 0)).toBe(-EINVAL);
});

test('is for shared mappings that may be written', () => {
  run('munmap', P, 8 * PAGE);
  run('mmap', P, 8 * PAGE, RW, 0x12, fd, 0);
  expect(remap(P, PAGE, 1)).toBe(-EINVAL);
  run('munmap', P, 8 * PAGE);
  run('mmap', P, 8 * PAGE, RW, 0x31, -1, 0);
  run('store', P + 3 * PAGE, 11);
  expect(remap(P, PAGE, 3)).toBe(0);
  expect(bytes(0)).toEqual([11]);
  run('munmap', P, 8 * PAGE);
  const readOnly = call(m, p, 'open', ['/ro', 0], { size: 8 * PAGE });
  run('mmap', P, 8 * PAGE, 1, SHARED, readOnly, 0);
  expect(remap(P, PAGE, 1)).toBe(-EINVAL);
});

test('keeps a range locked, and leaves a sealed one alone', () => {
  run('mlock', P, 8 * PAGE);
  expect(remap(P, PAGE, 4)).toBe(0);
  const locked = [0, 1].map((n) => vmFlags(n) & VM_LOCKED);
  expect(locked).toEqual([VM_LOCKED, VM_LOCKED]);
  run('mseal', P, 8 * PAGE, 0);
  expect(remap(P, PAGE, 4)).toBe(-EPERM);
});
