/** Protection keys on a processor without them: results of 6.18.44 on such a machine. */
import { expect, test } from 'vitest';
import { EINVAL, ENOMEM, ENOSPC } from '../../../src/linux/errno.ts';
import { bootTest, call, spawnInit } from '../driver.ts';

const PAGE = 4096;
const P = 0x10_0000_0000;

function world() {
  const m = bootTest();
  const p = spawnInit(m, 'P');
  call(m, p, 'mmap', [P, 2 * PAGE, 3, 0x32, -1, 0]);
  const run = (name: string, ...args: number[]): number => call(m, p, name, args);
  return { m, p, run };
}

test('pkey_mprotect takes no key but that of mprotect, an int', () => {
  const { run } = world();
  const withKey = (key: number): number => run('pkey_mprotect', P, PAGE, 1, key);
  expect([0, 1, 5, -2].map(withKey)).toEqual([-EINVAL, -EINVAL, -EINVAL, -EINVAL]);
  expect(run('store', P, 1)).toBe(0);
  expect([-1, 0xffff_ffff].map(withKey)).toEqual([0, 0]);
  expect(run('store', P, 1)).toBeLessThan(0);
});

test('pkey_mprotect looks at the key after the range and the protection, and before the mapping', () => {
  const { run } = world();
  expect(run('pkey_mprotect', P, 0, 1, 5)).toBe(0);
  expect(run('pkey_mprotect', P + 1, PAGE, 1, 5)).toBe(-EINVAL);
  expect(run('pkey_mprotect', P, 2 ** 64 - PAGE, 1, 5)).toBe(-ENOMEM);
  expect(run('pkey_mprotect', P, PAGE, 0x100, -1)).toBe(-EINVAL);
  expect(run('pkey_mprotect', 0x1000, PAGE, 1, 5)).toBe(-EINVAL);
  expect(run('pkey_mprotect', 0x1000, PAGE, 1, -1)).toBe(-ENOMEM);
});

test('pkey_alloc gives none, and after the first try of an address space there is none left', () => {
  const { m, p, run } = world();
  expect(run('pkey_alloc', 1, 0)).toBe(-EINVAL);
  expect(run('pkey_alloc', 0, 8)).toBe(-EINVAL);
  expect(run('pkey_alloc', 0, 0)).toBe(-EINVAL);
  expect(run('pkey_alloc', 0, 1)).toBe(-ENOSPC);
  expect([0, 1, -1].map((key) => run('pkey_free', key))).toEqual([-EINVAL, -EINVAL, -EINVAL]);
  // dup_mm() copies the bits, and without keys nothing sets them anew.
  const child = call(m, p, 'fork');
  expect(call(m, child, 'pkey_alloc', [0, 0])).toBe(-ENOSPC);
});
