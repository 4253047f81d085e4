/** Views of random programs: right at every past step, and without any trace of having been looked at. */
import { describe, expect, it } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { ExpressionError, evaluate, formatValue } from '../../../src/debugger/expression.ts';
import { anonVmasView } from '../../../src/debugger/inspect/anon-vmas.ts';
import { Changes } from '../../../src/debugger/inspect/changes.ts';
import { EventFilter, eventsView } from '../../../src/debugger/inspect/events.ts';
import { LockIndex } from '../../../src/debugger/inspect/lock-index.ts';
import { locksView } from '../../../src/debugger/inspect/locks.ts';
import { mappingsOf, viaOf } from '../../../src/debugger/inspect/mappings.ts';
import { allMms, mmOfTask } from '../../../src/debugger/inspect/objects.ts';
import { pageView } from '../../../src/debugger/inspect/page.ts';
import { pageTablesView } from '../../../src/debugger/inspect/page-tables.ts';
import { isPresent, USER_END, visitLeaves } from '../../../src/debugger/inspect/page-walk.ts';
import { kindOfPage } from '../../../src/debugger/inspect/pages.ts';
import { pageRef, taskRef } from '../../../src/debugger/inspect/refs.ts';
import {
  NOTHING_SELECTED,
  pick,
  type Selection,
  selectedRefs,
} from '../../../src/debugger/inspect/selection.ts';
import { sourceView } from '../../../src/debugger/inspect/source.ts';
import { tasksView } from '../../../src/debugger/inspect/tasks.ts';
import { vmasView } from '../../../src/debugger/inspect/vmas.ts';
import { WalkIndex } from '../../../src/debugger/inspect/walks.ts';
import { mem_map } from '../../../src/linux/mm_types.ts';
import { parseExpression } from '../../../src/scenario/expr.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { bootTest, call, operation, spawnInit, spawnKernelThread } from '../../linux/driver.ts';

const PAGE = 4096;
const ARENA = 0x700000000000;

/** One operation of a random program; addresses lie in a small arena so that they meet. */
function randomCall(random: Prng, tasks: number): [name: string, args: number[]] {
  const at = ARENA + random.below(24) * PAGE;
  const length = (1 + random.below(6)) * PAGE;
  switch (random.below(10)) {
    case 0:
    case 1:
      return ['mmap', [at, length, 3, 0x32, -1, 0]];
    case 2:
      return ['munmap', [at, length]];
    case 3:
      return ['mprotect', [at, length, random.pick([1, 3])]];
    case 4:
      return ['mremap', [at, length, length + PAGE, 1, 0]];
    case 5:
      return tasks < 5 ? ['fork', []] : ['load', [at]];
    case 6:
      return ['load', [at]];
    default:
      return ['store', [at, random.below(200), length]];
  }
}

/** Operations of kernel threads on the processes that there are. */
function randomWork(random: Prng): [name: string, args: number[]] {
  const at = ARENA + random.below(24) * PAGE;
  return [random.pick(['reclaim', 'referenced', 'migrate']), [1, at]];
}

/** Runs about `count` operations, interleaved in short slices, then lets everybody finish. */
function runProgram(m: Machine, random: Prng, count: number): void {
  spawnKernelThread(m, 'kernel');
  let left = count;
  for (let slices = 0; slices < count * 400; slices++) {
    const id = 1 + random.below(m.taskCount());
    const block = m.block(id);
    // A task that fork is still making has no task_struct yet.
    if (block.dead === 1 || block.context === null) continue;
    if (block.op === 0) {
      if (left === 0) {
        if (quiescent(m)) return;
        continue;
      }
      left--;
      const [name, args] =
        mmOfTask(m, id) === null ? randomWork(random) : randomCall(random, m.taskCount());
      m.begin(id, operation(name, args));
    }
    if (m.enabled(id)) m.run(id, random.below(120), null);
  }
}

function quiescent(m: Machine): boolean {
  for (let id = 1; id <= m.taskCount(); id++) if (m.block(id).op !== 0) return false;
  return true;
}

function everyView(m: Machine, selection: Selection, indexes: ReturnType<typeof newIndexes>) {
  const { changes, walks, locks, filter } = indexes;
  return [
    sourceView(m, selection, [], changes),
    tasksView(m, selection),
    vmasView(m, selection, changes, 72),
    anonVmasView(m, selection, changes, walks),
    pageTablesView(m, selection, changes),
    pageView(m, selection, changes),
    locksView(m, locks),
    walks.views(),
    eventsView(m, 0, 50, '!pte:*', filter),
    selectedRefs(m, selection),
  ];
}

function newIndexes(m: Machine) {
  return {
    changes: new Changes(m),
    walks: new WalkIndex(m),
    locks: new LockIndex(m),
    filter: new EventFilter(m),
  };
}

const EXPRESSIONS = [
  'vmas(A)',
  'vma(A, p).anon_vma.root.vmas',
  'vma(A, p).avcs[0].anon_vma.parent.children',
  'avcs(A, p) + len(avcs(A, p)) == 2 * len(vma(A, p).avcs)',
  'page(A, p).anon_vma == anon_vma(A, p)',
  'mapcount(page(A, p)) == mappings(page(A, p))',
  'page(A, p).mapping',
  'page(A, p).exclusive && page(A, p).anon',
  'pte(A, p).page.flags',
  'refcount(anon_vma(A, p)) > 0 || refcount(page(A, p)) > 0',
  'walk_cost(A, p).wasted',
  'held(A)[0].holders',
  'A.mm.mmap_lock.held',
  'byte(A, p)',
  'rss(A) + live("page")',
];

/** Frames that some page table maps, with how often. */
function mappedFrames(m: Machine): ReadonlyMap<number, number> {
  m.activate();
  const counts = new Map<number, number>();
  for (const mm of allMms()) {
    visitLeaves(mm, 0, USER_END, (_address, pte) => {
      const pfn = pte >>> 8;
      if (isPresent(pte) && pfn !== 0) counts.set(pfn, (counts.get(pfn) ?? 0) + 1);
    });
  }
  return counts;
}

describe.each([1, 2, 3, 4, 5, 6])('a random program, seed %i', (seed) => {
  const random = new Prng(seed);
  const m = bootTest({ memoryPages: 512 });
  const first = spawnInit(m, 'A');
  call(m, first, 'mmap', [ARENA, 24 * PAGE, 3, 0x32, -1, 0]);
  call(m, first, 'store', [ARENA, 1, 24 * PAGE]);
  runProgram(m, random, 120);

  it('ends quiescent, with every page mapped as often as it says, and found by the reverse map', () => {
    expect(quiescent(m)).toBe(true);
    expect(m.findings().map((finding) => `${finding.kind}: ${finding.text}`)).toEqual([]);
    const mapped = mappedFrames(m);
    expect(mapped.size).toBeGreaterThan(0);
    for (const [pfn, count] of mapped) {
      const page = mem_map.at(pfn);
      const mappings = mappingsOf(pfn).filter((mapping) => mapping.present);
      expect(mappings).toHaveLength(count);
      expect(page._mapcount + 1).toBe(count);
      if (kindOfPage(page) !== 'anon') continue;
      for (const mapping of mappings) expect(viaOf(pfn, mapping)).toMatch(/^anon_vma@/);
    }
  });

  it('has views at any past step that leave no trace', () => {
    const indexes = newIndexes(m);
    const end = m.endStep;
    let selection = NOTHING_SELECTED;
    for (let i = 0; i < 60; i++) {
      m.seek(1 + random.below(end));
      const before = m.hash();
      const findings = m.findings().length;
      if (m.taskCount() > 0) {
        selection = pick(m, selection, taskRef(m, 1 + random.below(m.taskCount())));
        const [pfn] = random.pick([...mappedFrames(m), [-1, 0]]) as [number, number];
        if (pfn >= 0) selection = pick(m, selection, pageRef(pfn));
      }
      // Nothing live may hide in a view: it must survive as text.
      const text = JSON.stringify(everyView(m, selection, indexes));
      expect(JSON.stringify(everyView(m, selection, indexes))).toBe(text);
      expect(m.hash()).toBe(before);
      expect(m.findings()).toHaveLength(findings);
      indexes.changes.remember(selection);
    }
    m.seek(end);
  });

  it('evaluates any expression or says why not', () => {
    const walks = new WalkIndex(m);
    const end = m.endStep;
    for (let i = 0; i < 40; i++) {
      m.seek(1 + random.below(end));
      const variables = new Map([['p', ARENA + random.below(24) * PAGE]]);
      const actors = new Map(m.names.slice(1, m.taskCount() + 1).map((name, at) => [name, at + 1]));
      const scope = { machine: m, walks, variables, actors };
      for (const text of EXPRESSIONS) {
        try {
          formatValue(evaluate(parseExpression(text), scope));
        } catch (error) {
          expect(error).toBeInstanceOf(ExpressionError);
        }
      }
    }
    m.seek(end);
  });

  it('has the same walks and lock orders whether read at once or bit by bit, back and forth', () => {
    const often = newIndexes(m);
    const end = m.endStep;
    for (let i = 0; i < 20; i++) {
      m.seek(1 + random.below(end));
      const fresh = newIndexes(m);
      expect(often.walks.views()).toEqual(fresh.walks.views());
      expect(often.locks.order()).toEqual(fresh.locks.order());
    }
    m.seek(end);
    for (const walk of often.walks.views()) {
      expect(walk.endedAt).toBeGreaterThanOrEqual(walk.beganAt);
      expect(walk.hits + walk.wasted).toBe(walk.visited);
    }
  });
});
