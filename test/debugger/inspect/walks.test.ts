import { beforeEach, describe, expect, it } from 'vitest';
import { anonVmasView } from '../../../src/debugger/inspect/anon-vmas.ts';
import { Changes } from '../../../src/debugger/inspect/changes.ts';
import { EventFilter, eventsView } from '../../../src/debugger/inspect/events.ts';
import { LockIndex } from '../../../src/debugger/inspect/lock-index.ts';
import { locksView } from '../../../src/debugger/inspect/locks.ts';
import { NOTHING_SELECTED } from '../../../src/debugger/inspect/selection.ts';
import { WalkIndex } from '../../../src/debugger/inspect/walks.ts';
import {
  trace_lock_acquired,
  trace_lock_release,
} from '../../../src/linux/kernel/locking/events.ts';
import { lock_acquire, lock_release, WRITE } from '../../../src/linux/kernel/locking/lockdep.ts';
import { family, newMachine, run, walkActions } from './world.ts';

let world: ReturnType<typeof family>;
let walks: WalkIndex;

beforeEach(() => {
  world = family(newMachine());
  walks = new WalkIndex(world.m);
});

const visitsOf = () => [
  { vma: world.vmaA, hit: true },
  { vma: world.vmaB, hit: false },
];

describe('WalkIndex', () => {
  it('adds up a finished walk', () => {
    const { m, a, pfn, root } = world;
    run(m, a.task, walkActions(pfn, root, visitsOf()));
    expect(walks.views()).toMatchObject([
      {
        id: 1,
        task: 'A',
        purpose: 'folio_referenced_one',
        page: { id: pfn },
        anonVma: { id: root.addr },
        visited: 2,
        hits: 1,
        wasted: 1,
        ptes: 1,
        steps: 5,
        visits: [
          { process: 'A', result: 'hit', ptes: 1, cost: 3 },
          { process: 'B', result: 'miss', ptes: 0, cost: 5 },
        ],
      },
    ]);
  });

  it('is right at every past step, without the future', () => {
    const { m, a, pfn, root } = world;
    run(m, a.task, walkActions(pfn, root, visitsOf()));
    const end = m.step;
    expect(walks.views()).toHaveLength(1);
    const shown: string[] = [];
    for (let step = 1; step <= end; step++) {
      m.seek(step);
      const [walk] = walks.views();
      const results = walk?.visits.map((visit) => visit.result).join(' ') ?? 'none';
      shown.push(`${results} ${walk?.endedAt === -1 ? 'runs' : ''}`.trim());
    }
    expect(shown).toEqual([
      'none',
      'runs',
      'pending runs',
      'hit runs',
      'hit pending runs',
      'hit miss',
    ]);
  });

  it('keeps the walks of concurrent tasks apart, and counts only their own steps', () => {
    const { m, a, b, pfn, root } = world;
    run(m, a.task, walkActions(pfn, root, visitsOf()), 1);
    run(m, b.task, walkActions(pfn, root, [{ vma: world.vmaB, hit: true }]));
    m.run(a.task, 100, null);
    const [first, second] = walks.views();
    expect(first).toMatchObject({ task: 'A', visited: 2, steps: 5 });
    expect(second).toMatchObject({ task: 'B', visited: 1, steps: 3 });
  });

  it('starts again when another future was taken', () => {
    const { m, a, pfn, root } = world;
    let other = false;
    const first = walkActions(pfn, root, visitsOf());
    const second = walkActions(pfn, root, [{ vma: world.vmaB, hit: true }]);
    const either = first.map((action, i) => () => (other ? second[i]?.() : action()));
    run(m, a.task, either);
    expect(walks.views()).toMatchObject([{ visited: 2, hits: 1 }]);
    m.seekSlice(0);
    m.truncate();
    walks.forget();
    other = true;
    m.run(a.task, 100, null);
    expect(walks.views()).toMatchObject([{ visited: 1, hits: 1 }]);
  });

  it('marks the visits and the next one in the forest', () => {
    const { m, a, pfn, root } = world;
    run(m, a.task, walkActions(pfn, root, visitsOf()));
    const changes = new Changes(m);
    const marks: string[] = [];
    for (let step = 2; step <= m.endStep; step++) {
      m.seek(step);
      const [node] = anonVmasView(m, NOTHING_SELECTED, changes, walks).nodes;
      marks.push(node?.vmas.map((vma) => vma.mark).join(' ') ?? '');
    }
    expect(marks).toEqual(['next none', 'current next', 'hit next', 'hit current', 'none none']);
  });
});

describe('LockIndex', () => {
  it('has an edge from each class held to the class taken', () => {
    const { m, a, root } = world;
    const outer = a.mm.mmap_lock;
    const inner = root.rwsem;
    const take = (lock: number) => () => {
      lock_acquire(lock, WRITE);
      trace_lock_acquired({ lock, mode: 'write' });
    };
    const drop = (lock: number) => () => {
      lock_release(lock, WRITE);
      trace_lock_release({ lock, mode: 'write' });
    };
    run(m, a.task, [take(outer), take(inner), drop(inner), take(inner), drop(inner), drop(outer)]);
    const index = new LockIndex(m);
    const edge = { from: 'mm_struct.mmap_lock', to: 'anon_vma.rwsem' };
    expect(locksView(m, index).order).toEqual([{ ...edge, count: 2 }]);
    m.seek(3);
    const view = locksView(m, index);
    expect(view.order).toEqual([{ ...edge, count: 1 }]);
    expect(view.locks.map(({ cls, kind, holders }) => [cls, kind, holders])).toEqual([
      ['mm_struct.mmap_lock', 'rwsem', [{ task: 'A', mode: 'write' }]],
      ['anon_vma.rwsem', 'rwsem', [{ task: 'A', mode: 'write' }]],
    ]);
    expect(view.tree).toEqual([{ depth: 1, cls: 'mm_struct.mmap_lock', holders: 'A (write)' }]);
  });
});

describe('eventsView', () => {
  it('shows a window of the events that pass a filter', () => {
    const { m, a, pfn, root } = world;
    run(m, a.task, walkActions(pfn, root, visitsOf()));
    expect(eventsView(m, 0, 2, '').total).toBe(6);
    const filter = new EventFilter(m);
    const view = eventsView(m, 1, 5, 'walk_* !walk_visit', filter);
    expect(view).toMatchObject({ total: 4, first: 1 });
    expect(view.rows.map((row) => row.name)).toEqual([
      'rmap:walk_hit',
      'rmap:walk_miss',
      'rmap:walk_end',
    ]);
    expect(eventsView(m, 0, 9, 'task=B', filter).total).toBe(0);
    m.seek(2);
    expect(eventsView(m, 0, 9, 'walk_begin', filter).total).toBe(1);
  });
});
