/** mremap(2), where scenarios and recordings do not reach. Results are those of Linux 6.18.44. */
import { expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { EFAULT } from '../../../src/linux/errno.ts';
import { bootTest, call, findings, spawnInit } from '../driver.ts';

const PAGE = 4096;
const P = 0x10_0000_0000;
const Q = 0x10_1000_0000;
const LENGTH = 8 * PAGE;
const MAYMOVE_FIXED = 3;

test.each([
  ['private', 0x12, -EFAULT],
  ['shared', 0x11, Q],
])('several VMAs of /dev/zero, %s', (_kind, flags, several) => {
  const m = bootTest();
  const task = spawnInit(m, 'A');
  const fd = call(m, task, 'open', ['/dev/zero', 2]);
  const map = (): number => call(m, task, 'mmap', [P, LENGTH, 3, flags, fd, 0]);
  // A single VMA moves. Private memory of /dev/zero keeps the file, whose placement is not known to obey.
  map();
  call(m, task, 'store', [P, 7]);
  expect(call(m, task, 'mremap', [P, LENGTH, LENGTH, MAYMOVE_FIXED, Q])).toBe(Q);
  expect(call(m, task, 'load', [Q])).toBe(7);
  map();
  call(m, task, 'store', [P, 8]);
  call(m, task, 'mprotect', [P + 4 * PAGE, 4 * PAGE, 1]);
  expect(call(m, task, 'mremap', [P, LENGTH, LENGTH, MAYMOVE_FIXED, Q])).toBe(several);
  // Refused before anything was unmapped.
  expect(call(m, task, 'load', [Q])).toBe(several === Q ? 8 : 7);
  expect(findings(m)).toEqual([]);
  expect(judge(m, 'operation-end')).toEqual([]);
});
