/** Descriptors, files and inodes. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { Machine } from '../../../src/sim/machine.ts';
import { bootTest, call, findings, liveObjectCounts, spawnInit } from '../driver.ts';

const EBADF = 9;
const ENOENT = 2;
const EEXIST = 17;
const EINVAL = 22;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_EXCL = 0o200;

let m: Machine;
let a: number;

beforeEach(() => {
  m = bootTest();
  a = spawnInit(m, 'A');
});

describe('open', () => {
  test('hands out the lowest free descriptor', () => {
    expect(call(m, a, 'open', ['/a', 0])).toBe(3);
    expect(call(m, a, 'open', ['/b', 0])).toBe(4);
    expect(call(m, a, 'close', [3])).toBe(0);
    expect(call(m, a, 'open', ['/c', 0])).toBe(3);
    expect(call(m, a, 'close', [0])).toBe(0);
    expect(call(m, a, 'openat', [-100, '/c', 0])).toBe(0);
  });

  test('takes the descriptor of a recording', () => {
    expect(call(m, a, 'open', ['/a', 0], { fd: 700 })).toBe(700);
    expect(call(m, a, 'open', ['/b', 0], { fd: 700 })).toBe(700);
    expect(call(m, a, 'close', [700])).toBe(0);
    expect(call(m, a, 'close', [700])).toBe(-EBADF);
    expect(findings(m)).toEqual([]);
  });

  test('makes one inode for each path', () => {
    const before = liveObjectCounts(m).inode ?? 0;
    call(m, a, 'open', ['/a', 0]);
    call(m, a, 'open', ['/a', O_RDWR]);
    expect(liveObjectCounts(m).inode).toBe(before + 1);
  });

  test('gives ENOENT, EEXIST where Linux does', () => {
    expect(call(m, a, 'open', ['/x', 0], { missing: true })).toBe(-ENOENT);
    expect(call(m, a, 'open', ['/x', O_CREAT | O_EXCL])).toBe(3);
    expect(call(m, a, 'open', ['/x', O_CREAT | O_EXCL])).toBe(-EEXIST);
  });
});

describe('dup', () => {
  test('shares one open file between descriptors', () => {
    call(m, a, 'open', ['/a', 0]);
    const files = liveObjectCounts(m).file;
    expect(call(m, a, 'dup', [3])).toBe(4);
    expect(call(m, a, 'dup2', [3, 9])).toBe(9);
    expect(call(m, a, 'dup3', [3, 9, 0])).toBe(9);
    expect(liveObjectCounts(m).file).toBe(files);
    call(m, a, 'close', [3]);
    call(m, a, 'close', [4]);
    expect(liveObjectCounts(m).file).toBe(files);
    call(m, a, 'close', [9]);
    expect(liveObjectCounts(m).file).toBe((files ?? 0) - 1);
  });

  test('checks its arguments', () => {
    expect(call(m, a, 'dup', [3])).toBe(-EBADF);
    expect(call(m, a, 'dup2', [3, 4])).toBe(-EBADF);
    expect(call(m, a, 'dup2', [1, 1])).toBe(1);
    expect(call(m, a, 'dup3', [1, 1, 0])).toBe(-EINVAL);
    expect(call(m, a, 'dup3', [1, 4, 1])).toBe(-EINVAL);
  });
});

describe('memfd_create', () => {
  test('makes a file that goes with its last descriptor', () => {
    const before = liveObjectCounts(m);
    const fd = call(m, a, 'memfd_create', ['x', 0]);
    expect(call(m, a, 'ftruncate', [fd, 0x4000])).toBe(0);
    expect(liveObjectCounts(m).inode).toBe((before.inode ?? 0) + 1);
    call(m, a, 'close', [fd]);
    expect(liveObjectCounts(m)).toEqual(before);
    expect(call(m, a, 'memfd_create', ['x', 4])).toBe(-EINVAL);
  });
});

describe('ftruncate', () => {
  test('needs a writable regular file', () => {
    expect(call(m, a, 'ftruncate', [9, 0])).toBe(-EBADF);
    expect(call(m, a, 'ftruncate', [1, 0])).toBe(-EINVAL);
    call(m, a, 'open', ['/a', 0]);
    expect(call(m, a, 'ftruncate', [3, 0])).toBe(-EINVAL);
    call(m, a, 'open', ['/a', O_RDWR]);
    expect(call(m, a, 'ftruncate', [4, -1])).toBe(-EINVAL);
    expect(call(m, a, 'ftruncate', [4, 8192])).toBe(0);
  });
});

describe('mmap of a file', () => {
  const SHARED = 1;
  const PRIVATE = 2;

  test('keeps the file open after close()', () => {
    const fd = call(m, a, 'memfd_create', ['x', 0]);
    call(m, a, 'ftruncate', [fd, 0x2000]);
    const p = call(m, a, 'mmap', [0, 0x2000, 3, SHARED, fd, 0]);
    expect(p).toBeGreaterThan(0);
    const files = liveObjectCounts(m).file ?? 0;
    call(m, a, 'close', [fd]);
    expect(liveObjectCounts(m).file).toBe(files);
    call(m, a, 'munmap', [p, 0x2000]);
    expect(liveObjectCounts(m).file).toBe(files - 1);
    expect(findings(m)).toEqual([]);
  });

  test('gives the errors of the descriptor', () => {
    expect(call(m, a, 'mmap', [0, 0x1000, 1, PRIVATE, 9, 0])).toBe(-EBADF);
    expect(call(m, a, 'mmap', [0, 0x1000, 1, PRIVATE, 1, 0])).toBe(-19);
    call(m, a, 'open', ['/a', 0]);
    expect(call(m, a, 'mmap', [0, 0x1000, 3, SHARED, 3, 0])).toBe(-13);
    expect(call(m, a, 'mmap', [0, 0x1000, 3, PRIVATE, 3, 0])).toBeGreaterThan(0);
    call(m, a, 'open', ['/a', 1]);
    expect(call(m, a, 'mmap', [0, 0x1000, 1, PRIVATE, 4, 0])).toBe(-13);
  });

  test('maps the file that a recording names, whatever the descriptor was', () => {
    const file = { path: '/lib/x.so', kind: 'file', size: 0x5000, readable: true, writable: false };
    const p = call(m, a, 'mmap', [0, 0x1000, 1, PRIVATE, 33, 0], { file, place: 0x7f0000000000 });
    expect(p).toBe(0x7f0000000000);
    expect(call(m, a, 'close', [33])).toBe(0);
    expect(findings(m)).toEqual([]);
  });
});

describe('a sparse file', () => {
  const PAGE = 4096;
  const AT = 0x7000_0000_0000;
  // Of each: the first and last page under one table of the index, and under one table of tables.
  const pages = [0, 511, 512, 262_143, 262_144, 262_145];

  const map = (page: number): void => {
    expect(call(m, a, 'mmap', [AT + page * PAGE, PAGE, 3, 0x11, 3, page * PAGE])).toBeGreaterThan(
      0,
    );
  };

  test.each([
    'file',
    'shm',
  ])('of kind %s loses what is behind its new end, wherever that is', (kind) => {
    for (const [n, last] of pages.entries()) {
      m = bootTest();
      a = spawnInit(m, 'A');
      call(m, a, 'open', ['/big', O_RDWR], { kind, size: 262_146 * PAGE });
      for (const page of pages) {
        map(page);
        expect(call(m, a, 'store', [AT + page * PAGE, 7])).toBe(0);
      }
      call(m, a, 'msync', [AT, PAGE, 4]);
      expect(call(m, a, 'ftruncate', [3, (last + 1) * PAGE])).toBe(0);
      expect(call(m, a, 'ftruncate', [3, 262_146 * PAGE])).toBe(0);
      const bytes = pages.map((page) => call(m, a, 'load', [AT + page * PAGE]));
      expect(bytes).toEqual(pages.map((_page, i) => (i <= n ? 7 : 0)));
      expect(findings(m)).toEqual([]);
    }
  });
});
