import { describe, expect, test } from 'vitest';
import { R, RW, World } from './world.ts';

/** Fails the k-th allocation of `run`, for every k until none fails any more. Returns how many there were. */
function failEach(prepare: (w: World) => void, run: (w: World) => void): number {
  for (let k = 0; k < 200; k++) {
    const w = new World();
    prepare(w);
    let seen = 0;
    let failed = false;
    w.m.setChooser((kind) => {
      if (kind !== 'fail_alloc') return 0;
      seen++;
      if (seen - 1 !== k) return 0;
      failed = true;
      return 1;
    });
    run(w);
    w.m.setChooser(() => 0);
    expect(w.problems(), `allocation ${k} failed`).toEqual([]);
    w.call('exit', 0);
    expect(w.findings(), `exit after allocation ${k} failed`).toEqual([]);
    if (!failed) return k;
  }
  throw new Error('allocations without end');
}

describe('a failed allocation leaves the address space whole', () => {
  const faulted = (w: World): void => {
    w.map(0, 6);
    w.write(0, 3);
  };
  test('mprotect: split in three', () => {
    expect(failEach(faulted, (w) => w.protect(2, 2, R))).toBeGreaterThan(3);
  });
  test('mprotect: merge of three with a chain to copy', () => {
    const prepare = (w: World): void => {
      w.map(0, 3, R);
      w.map(3, 3, RW, 0x4000);
      w.map(6, 3, R);
      w.unmap(0, 3);
      w.unmap(6, 3);
      w.map(0, 3, R, 0x4000);
      w.map(6, 3, R, 0x4000);
      w.write(3);
    };
    expect(failEach(prepare, (w) => w.protect(3, 3, R))).toBeGreaterThan(1);
  });
  test('MAP_FIXED over the middle', () => {
    expect(failEach(faulted, (w) => w.map(2, 2))).toBeGreaterThan(3);
  });
  test('munmap of the middle', () => {
    expect(failEach(faulted, (w) => w.unmap(2, 2))).toBeGreaterThan(3);
  });
  test('mremap of a piece', () => {
    expect(failEach(faulted, (w) => w.move(2, 20, 2))).toBeGreaterThan(4);
  });
  test('fork', () => {
    expect(
      failEach(faulted, (w) => {
        w.call('fork');
      }),
    ).toBeGreaterThan(4);
  });
});
