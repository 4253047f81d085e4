import { describe, expect, test } from 'vitest';
import { MADV_POPULATE_WRITE, PAGE_SIZE } from '../../../src/linux/mm/mm.ts';
import { ENDLESS } from '../../../src/sim/cpu.ts';
import { conditionById } from '../../../src/sim/wait.ts';
import { begin } from '../driver.ts';
import { R, RW, World } from './world.ts';

/**
 * Parks a store of one thread after each number of statements, then runs `writer` in another thread of
 * the same mm to its end or until it waits; lets the store finish, then the writer. Returns what the
 * writer waited for, by number of times.
 */
function raceWithStore(
  name: string,
  args: (w: World) => unknown[],
  check: (w: World, stored: number) => void,
): Record<string, number> {
  const waits: Record<string, number> = {};
  for (let fuel = 0; fuel < 400; fuel++) {
    const w = new World();
    w.map(0, 4);
    w.write(1);
    const thread = w.call('thread');
    begin(w.m, thread, 'store', [w.at(0), 7]);
    if (w.m.run(thread, fuel, null) === 'done') return waits;
    begin(w.m, w.task, name, args(w));
    if (w.m.run(w.task, ENDLESS, null) === 'blocked') {
      const kind = conditionById(w.m.block(w.task).wait_kind).name;
      waits[kind] = (waits[kind] ?? 0) + 1;
    }
    const end = w.m.run(thread, ENDLESS, null);
    if (end === 'blocked') {
      expect(w.m.run(w.task, ENDLESS, null)).toBe('done');
      w.m.run(thread, ENDLESS, null);
    } else if (w.m.operationOf(w.task) !== null) {
      expect(w.m.run(w.task, ENDLESS, null)).toBe('done');
    }
    check(w, w.m.block(thread).result);
  }
  throw new Error('the store never ended');
}

describe('per-VMA lock', () => {
  test('mprotect waits for a fault that read-locked the VMA, at every point of the fault', () => {
    const waits = raceWithStore(
      'mprotect',
      (w) => [w.at(0), 2 * PAGE_SIZE, R],
      (w) => {
        expect(w.vmas()).toBe('[0,2)r A [2,4) A');
        expect(w.problems()).toEqual([]);
      },
    );
    expect(waits['vma readers']).toBeGreaterThan(0);
    expect(Object.keys(waits)).toEqual(['vma readers']);
  });

  test('munmap waits for it too, and the fault then finds nothing', () => {
    const waits = raceWithStore(
      'munmap',
      (w) => [w.at(0), 2 * PAGE_SIZE],
      (w) => {
        expect(w.vmas()).toBe('[2,4) A');
        expect(w.pfn(0)).toBe(null);
        expect(w.problems()).toEqual([]);
      },
    );
    expect(waits['vma readers']).toBeGreaterThan(0);
  });
});

/** How often munmap() of something else gets in while four pages of a mapping with these flags are populated half. */
function unmapsDuringPopulate(flags: number): number {
  let count = 0;
  for (let fuel = 0; fuel < 3000; fuel += 1) {
    const w = new World();
    w.call('mmap', w.at(0), 4 * PAGE_SIZE, RW, flags, -1, 0);
    w.map(8, 1);
    const thread = w.call('thread');
    begin(w.m, thread, 'madvise', [w.at(0), 4 * PAGE_SIZE, MADV_POPULATE_WRITE]);
    if (w.m.run(thread, fuel, null) === 'done') return count;
    const present = [0, 1, 2, 3].filter((page) => w.pfn(page) !== null).length;
    if (present === 0 || present === 4) continue;
    begin(w.m, w.task, 'munmap', [w.at(8), PAGE_SIZE]);
    if (w.m.run(w.task, ENDLESS, null) === 'done') count += 1;
  }
  throw new Error('madvise never ended');
}

test('a first write to a shared page gives the lock back before it is held up as a dirtier', () => {
  const [PRIVATE, SHARED] = [0x32, 0x31];
  expect(unmapsDuringPopulate(PRIVATE)).toBe(0);
  expect(unmapsDuringPopulate(SHARED)).toBeGreaterThan(0);
});
