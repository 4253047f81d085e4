/** Files that get shorter, or a hole, while others use them: at every step of either. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { mmOfTask, vmaAt } from '../../../src/linux/describe.ts';
import { EFAULT } from '../../../src/linux/errno.ts';
import { page_cache_next } from '../../../src/linux/mm/page_cache.ts';
import type { address_space } from '../../../src/linux/mm_types.ts';
import { ENDLESS } from '../../../src/sim/cpu.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { conditionById } from '../../../src/sim/wait.ts';
import { begin, bootTest, call, findings, settle, spawnInit } from '../driver.ts';

const PAGE = 4096;
const P = 0x10_0000_0000;
const at = (page: number): number => P + page * PAGE;
const SHARED = 0x11;

interface World {
  readonly m: Machine;
  readonly p: number;
  readonly thread: number;
  readonly fd: number;
  readonly mapping: address_space;
}

/** A file of eight pages, mapped and written, whose entries are gone again; and a second thread. */
function world(kind: string): World {
  const m = bootTest({ memoryPages: 256, swapPages: 16 });
  const p = spawnInit(m, 'P', { mmapBase: P + 64 * PAGE });
  const fd = call(m, p, 'open', ['/f', 2], { kind, size: 8 * PAGE });
  call(m, p, 'mmap', [P, 8 * PAGE, 3, SHARED, fd, 0]);
  for (let page = 0; page < 8; page++) call(m, p, 'store', [at(page), 7]);
  call(m, p, 'madvise', [P, 8 * PAGE, 4]);
  const thread = call(m, p, 'thread');
  const mm = mmOfTask(m, p);
  const vma = mm === null ? null : vmaAt(mm, P);
  return { m, p, thread, fd, mapping: vma?.vm_file?.f_mapping as address_space };
}

/** Runs all to their ends, the first that can go on first; what was waited for on the way. */
function finish(m: Machine, tasks: readonly number[], waits: Set<string>): void {
  while (tasks.some((task) => m.block(task).op !== 0)) {
    const next = tasks.find((task) => m.block(task).op !== 0 && m.enabled(task));
    if (next === undefined) throw new Error('deadlock');
    m.run(next, ENDLESS, null);
    for (const task of tasks) {
      const kind = m.block(task).wait_kind;
      if (m.block(task).op !== 0 && kind !== 0) waits.add(conditionById(kind).name);
    }
  }
  settle(m);
  expect(findings(m)).toEqual([]);
  expect(judge(m, 'operation-end')).toEqual([]);
}

type Call = readonly [name: string, ...args: number[]];

/** `first` is interrupted after each number of steps by `second`; `check` looks at what came of it. */
function race(
  kind: string,
  first: (w: World) => Call,
  second: (w: World) => Call,
  check: (w: World) => void,
): Set<string> {
  const waits = new Set<string>();
  for (let steps = 1; ; steps++) {
    const w = world(kind);
    const { m, p, thread } = w;
    const [a, ...aArgs] = first(w);
    const [b, ...bArgs] = second(w);
    begin(m, p, a, aArgs);
    const isOver = m.run(p, steps, null) === 'done';
    begin(m, thread, b, bArgs);
    finish(m, [thread, p], waits);
    check(w);
    if (isOver) return waits;
  }
}

describe.each(['file', 'shm'])('in a file of kind %s', (kind) => {
  const shorten = ({ fd }: World): Call => ['ftruncate', fd, 4 * PAGE];
  const load = (): Call => ['load', at(6)];
  const store = (): Call => ['store', at(6), 9];

  /**
   * A longer file reads zeros where it was cut off. On a disk a fault that fails may leave a page beyond the end
   * in the page cache, with what is there: nothing.
   */
  const isShort = ({ m, p, fd, mapping }: World): void => {
    m.activate();
    if (kind === 'shm') expect(page_cache_next(mapping, 4, 1000)).toBe(-1);
    expect(call(m, p, 'load', [at(6)])).toBe(-EFAULT);
    expect(call(m, p, 'ftruncate', [fd, 8 * PAGE])).toBe(0);
    expect([call(m, p, 'load', [at(3)]), call(m, p, 'load', [at(6)])]).toEqual([7, 0]);
  };

  test.each([
    ['load', load],
    ['store', store],
  ])('ftruncate leaves no page behind its back, whatever a %s does meanwhile', (_name, access) => {
    race(kind, shorten, access, isShort);
    race(kind, access, shorten, isShort);
  });

  test('two ftruncate at once come one after the other', () => {
    const longer = ({ fd }: World): Call => ['ftruncate', fd, 6 * PAGE];
    const sizes = new Set<number>();
    const waits = race(kind, shorten, longer, ({ m, mapping }) => {
      m.activate();
      const pages = (mapping.host?.i_size ?? 0) / PAGE;
      sizes.add(pages);
      expect([4, 6]).toContain(pages);
      expect(page_cache_next(mapping, pages, 1000)).toBe(-1);
      // Shortened to four at some time, whoever was first.
      expect(page_cache_next(mapping, 4, 1000)).toBe(-1);
    });
    expect([...sizes]).toContain(6);
    expect([...waits]).toContain('rwsem write');
  });

  test('a hole is empty but for what was written after it', () => {
    const punch = ({ fd }: World): Call => ['punch', fd, 4 * PAGE, 4 * PAGE];
    const isHole = ({ m, p }: World): void => {
      expect([0, 9]).toContain(call(m, p, 'load', [at(6)]));
      expect([call(m, p, 'load', [at(3)]), call(m, p, 'load', [at(5)])]).toEqual([7, 0]);
    };
    const waits = race(kind, punch, store, isHole);
    race(kind, store, punch, isHole);
    expect([...waits]).toContain(kind === 'shm' ? 'shmem hole punch' : 'rwsem read');
    const outside = race(
      kind,
      punch,
      () => ['store', at(2), 9],
      ({ m, p }) => {
        expect(call(m, p, 'load', [at(2)])).toBe(9);
      },
    );
    expect([...outside]).not.toContain('shmem hole punch');
  });
});
