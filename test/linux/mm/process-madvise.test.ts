/** process_madvise(): each result is that of 6.18.44 for the same calls. */
import { beforeEach, describe, expect, test } from 'vitest';
import { EBADF, EFAULT, EINVAL, ENOMEM, ESRCH } from '../../../src/linux/errno.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { begin, bootTest, call, findings, spawnInit } from '../driver.ts';
import { brokenInvariants } from './invariants.ts';

const PAGE = 4096;
const P = 0x7100_0000_0000;
const at = (page: number): number => P + page * PAGE;
const SELF = -10000;
const DONTNEED = 4;
const COLD = 20;
const PAGEOUT = 21;

let m: Machine;
let p: number;

const run = (name: string, ...args: unknown[]): number => call(m, p, name, args);
type Range = readonly [base: number, length: number];
const advise = (task: number, advice: number, ranges: readonly Range[], flags = 0): number =>
  run('process_madvise', task, ranges, ranges.length, advice, flags);
const bytes = (...pages: number[]): number[] => pages.map((n) => run('load', at(n)));

beforeEach(() => {
  m = bootTest();
  p = spawnInit(m, 'P');
  run('mmap', P, 16 * PAGE, 3, 0x32, -1, 0);
  for (let n = 0; n < 16; n++) run('store', at(n), 1);
});

describe('of oneself', () => {
  test('advises each range, and counts the bytes as they were given', () => {
    const two: readonly Range[] = [
      [at(0), PAGE],
      [at(4), 2 * PAGE],
    ];
    expect(advise(p, DONTNEED, two)).toBe(3 * PAGE);
    expect(bytes(0, 1, 4, 6)).toEqual([0, 1, 0, 1]);
    expect(advise(SELF, DONTNEED, [...two, [at(8), 100]])).toBe(3 * PAGE + 100);
    expect(bytes(8)).toEqual([0]);
    expect(advise(-10001, DONTNEED, [[at(9), PAGE]])).toBe(PAGE);
    expect(brokenInvariants(m)).toEqual([]);
    expect(findings(m)).toEqual([]);
  });

  test('stops at the first range that fails: its error only if nothing was done', () => {
    const hole: Range = [0x7200_0000_0000, PAGE];
    expect(advise(p, DONTNEED, [[at(0), PAGE], hole, [at(1), PAGE]])).toBe(PAGE);
    expect(bytes(0, 1)).toEqual([0, 1]);
    expect(advise(p, DONTNEED, [hole, [at(1), PAGE]])).toBe(-ENOMEM);
    expect(
      advise(p, DONTNEED, [
        [at(0), PAGE],
        [at(0) + 1, PAGE],
      ]),
    ).toBe(PAGE);
  });

  test('looks at an empty range only if it is the first, and something follows', () => {
    const [a, b]: Range[] = [
      [at(0), PAGE],
      [at(1), PAGE],
    ] as const;
    const crooked: Range = [at(0) + 1, 0];
    expect(advise(p, DONTNEED, [crooked, a as Range, b as Range])).toBe(-EINVAL);
    expect(advise(p, DONTNEED, [a as Range, crooked, b as Range, crooked])).toBe(2 * PAGE);
    expect(advise(p, DONTNEED, [[at(0), 0], crooked])).toBe(0);
    expect(advise(p, DONTNEED, [[at(0), 0], b as Range])).toBe(PAGE);
    expect(advise(p, DONTNEED, [])).toBe(0);
    expect(advise(p, 12345, [])).toBe(0);
    expect(advise(p, 12345, [a as Range])).toBe(-EINVAL);
  });

  test('checks flags, the array, and then the process', () => {
    const one: readonly Range[] = [[at(0), PAGE]];
    expect(advise(p, DONTNEED, one, 1)).toBe(-EINVAL);
    expect(run('process_madvise', p, one, 1025, DONTNEED, 0)).toBe(-EINVAL);
    expect(run('process_madvise', p, one, 2, DONTNEED, 0)).toBe(-EFAULT);
    const negative: Range = [at(0), 2 ** 64 - 1];
    expect(advise(p, DONTNEED, [negative])).toBe(-EINVAL);
    expect(advise(p, DONTNEED, [negative, [at(0), PAGE]])).toBe(-EINVAL);
    expect(advise(-1, DONTNEED, [negative])).toBe(-EINVAL);
    expect(advise(-1, DONTNEED, one)).toBe(-EBADF);
    const above: Range = [0x7fff_ffff_f000, PAGE];
    expect(advise(p, DONTNEED, [above])).toBe(-EFAULT);
    expect(advise(p, DONTNEED, [above, [at(0), PAGE]])).toBe(-EFAULT);
    expect(advise(p, COLD, [[0x7fff_ffff_e000, PAGE]])).toBe(-ENOMEM);
  });

  test('takes any advice', () => {
    // Guard install and remove, populate, don't fork, do fork.
    for (const advice of [102, 103, 22, 10, 11]) {
      expect(advise(p, advice, [[at(0), PAGE]])).toBe(PAGE);
    }
  });
});

describe('of another process', () => {
  const two: readonly Range[] = [
    [at(0), PAGE],
    [at(4), 2 * PAGE],
  ];

  test('takes advice that destroys nothing', () => {
    const child = call(m, p, 'fork');
    const refused = [0, 4, 8, 9, 10, 12, 14, 15, 18, 22, 23, 25, 102, 103, 12345];
    expect(refused.map((advice) => advise(child, advice, two))).toEqual(refused.map(() => -EINVAL));
    expect([3, COLD, PAGEOUT].map((advice) => advise(child, advice, two))).toEqual([
      3 * PAGE,
      3 * PAGE,
      3 * PAGE,
    ]);
    // Asked for by the parent, done to the child: its own page goes to swap.
    call(m, child, 'store', [at(0), 9]);
    expect(advise(child, PAGEOUT, [[at(0), PAGE]])).toBe(PAGE);
    expect(call(m, child, 'load', [at(0)])).toBe(9);
    expect(brokenInvariants(m)).toEqual([]);
    expect(findings(m)).toEqual([]);
  });

  test('needs one that lives', () => {
    const child = call(m, p, 'fork');
    call(m, child, 'exit', [0]);
    expect(advise(child, COLD, two)).toBe(-ESRCH);
    expect(advise(child, DONTNEED, two)).toBe(-ESRCH);
    expect(advise(child, COLD, two, 1)).toBe(-EINVAL);
  });

  test('keeps its address space while it exits, at every step', () => {
    const results: number[] = [];
    for (let steps = 1; ; steps += 3) {
      m = bootTest();
      p = spawnInit(m, 'P');
      run('mmap', P, 4 * PAGE, 3, 0x32, -1, 0);
      const child = call(m, p, 'fork');
      for (let n = 0; n < 4; n++) call(m, child, 'store', [at(n), n]);
      begin(m, p, 'process_madvise', [child, [[at(0), 4 * PAGE]], 1, PAGEOUT, 0]);
      const isWhole = m.run(p, steps, null) === 'done';
      begin(m, child, 'exit', [0]);
      while (m.block(p).op !== 0 || m.block(child).op !== 0) {
        for (const task of [child, p]) {
          if (m.block(task).op !== 0 && m.enabled(task)) m.run(task, 1000, null);
        }
      }
      // Before it has the reference there is nothing to advise any more.
      const { result } = m.block(p);
      expect(result).toBe(results.at(-1) === 4 * PAGE || result > 0 ? 4 * PAGE : -ESRCH);
      results.push(result);
      expect(findings(m)).toEqual([]);
      expect(brokenInvariants(m)).toEqual([]);
      if (isWhole) break;
    }
    expect(new Set(results)).toEqual(new Set([-ESRCH, 4 * PAGE]));
  });
});
