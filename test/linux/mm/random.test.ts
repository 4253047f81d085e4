import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MADV_DONTNEED, MADV_NORMAL, MADV_SEQUENTIAL } from '../../../src/linux/mm/mm.ts';
import { NONE, R, RW, RWX, World } from './world.ts';

const PAGES = 24;

const page = fc.integer({ min: 0, max: PAGES - 1 });
const pages = fc.integer({ min: 1, max: 6 });
const step = fc.record({
  op: fc.constantFrom(
    'map',
    'map',
    'unmap',
    'protect',
    'write',
    'write',
    'move',
    'dontunmap',
    'resize',
    'advise',
    'fork',
  ),
  a: page,
  b: page,
  n: pages,
  prot: fc.constantFrom(RW, RW, R, RWX, NONE),
});

describe('random operations', () => {
  test('leave tree, counters and chains consistent in every process', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
        const worlds = [new World()];
        for (const { op, a, b, n, prot } of steps) {
          const w = worlds[b % worlds.length] as World;
          if (op === 'map') w.map(a, n, prot);
          else if (op === 'unmap') w.unmap(a, n);
          else if (op === 'protect') w.protect(a, n, prot);
          else if (op === 'write') {
            const vma = w.list().find((v) => v.vm_start <= w.at(a) && w.at(a) < v.vm_end);
            if (vma !== undefined && (vma.vm_flags & 2) !== 0) w.write(a);
          } else if (op === 'move') w.move(a, b + PAGES * 2, n);
          else if (op === 'dontunmap') w.dontunmap(a, b, n);
          else if (op === 'resize') w.resize(a, n, 1 + (b % 8), 1);
          else if (op === 'advise')
            w.advise(a, n, [MADV_DONTNEED, MADV_NORMAL, MADV_SEQUENTIAL][b % 3] as number);
          else if (worlds.length < 4) worlds.push(w.fork());
          for (const world of worlds) expect(world.problems()).toEqual([]);
        }
      }),
      { numRuns: 120 },
    );
  }, 120_000);
});
