/** Views of the running v6.18 kernel, stopped at its own events. */
import { beforeEach, describe, expect, it } from 'vitest';
import { anonVmasView } from '../../../src/debugger/inspect/anon-vmas.ts';
import { Changes } from '../../../src/debugger/inspect/changes.ts';
import { LockIndex } from '../../../src/debugger/inspect/lock-index.ts';
import { locksView } from '../../../src/debugger/inspect/locks.ts';
import { mappingsOf } from '../../../src/debugger/inspect/mappings.ts';
import { mmOfTask } from '../../../src/debugger/inspect/objects.ts';
import { pageView } from '../../../src/debugger/inspect/page.ts';
import { mappedPage } from '../../../src/debugger/inspect/page-walk.ts';
import { NOTHING_SELECTED } from '../../../src/debugger/inspect/selection.ts';
import { sourceView } from '../../../src/debugger/inspect/source.ts';
import { tasksView } from '../../../src/debugger/inspect/tasks.ts';
import { vmasView } from '../../../src/debugger/inspect/vmas.ts';
import { WalkIndex } from '../../../src/debugger/inspect/walks.ts';
import type { mm_struct } from '../../../src/linux/mm_types.ts';
import { allEvents, eventAt } from '../../../src/sim/event.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { bootTest, call, operation, spawnInit, spawnKernelThread } from '../../linux/driver.ts';

const PAGE = 4096;
const P = 0x700000000000;

let m: Machine;
let a: number;
let worker: number;
let changes: Changes;
let walks: WalkIndex;

/** A, its child B that has copied the page, and its child C. */
beforeEach(() => {
  m = bootTest({ memoryPages: 512 });
  a = spawnInit(m, 'A');
  worker = spawnKernelThread(m, 'kcompactd');
  call(m, a, 'mmap', [P, 4 * PAGE, 3, 0x32, -1, 0]);
  call(m, a, 'store', [P, 1, 1]);
  call(m, a, 'fork', [], { name: 'B' });
  call(m, a, 'fork', [], { name: 'C' });
  call(m, m.names.indexOf('B'), 'store', [P, 2, 1]);
  changes = new Changes(m);
  walks = new WalkIndex(m);
});

/** Runs an operation and calls `look` each time one of its events fires. */
function atEvents(task: number, name: string, args: number[], look: (event: string) => void): void {
  m.begin(task, operation(name, args));
  const ids = allEvents().map((type) => type.id);
  m.arm([], ids, (kind, id) => {
    if (kind === 'event') look(eventAt(id).type.name);
  });
  expect(m.run(task, 100_000, null)).toBe('done');
}

const page = (): number => mappedPage(mmOfTask(m, a) as mm_struct, P);

describe('a reverse-map walk', () => {
  it('is drawn visit by visit in the forest', () => {
    const marks: string[] = [];
    atEvents(worker, 'referenced', [a, P], (event) => {
      if (!event.startsWith('rmap:walk_')) return;
      const root = anonVmasView(m, NOTHING_SELECTED, changes, walks).nodes[0];
      const drawn = root?.vmas.map(({ process, mark }) => `${process}:${mark}`).join(' ');
      marks.push(`${event.slice(10)} ${drawn}`);
    });
    expect(marks).toMatchInlineSnapshot(`
      [
        "begin A:next B:none C:none",
        "visit A:current B:next C:none",
        "hit A:hit B:next C:none",
        "visit A:hit B:current C:next",
        "miss A:hit B:miss C:next",
        "visit A:hit B:miss C:current",
        "hit A:hit B:miss C:hit",
        "end A:none B:none C:none",
      ]
    `);
  });

  it('costs what its events say', () => {
    call(m, worker, 'referenced', [a, P]);
    expect(walks.views()).toMatchObject([
      { task: 'kcompactd', visited: 3, hits: 2, wasted: 1, ptes: 2, locksTaken: 3 },
    ]);
  });
});

describe('pageView', () => {
  it('lists migration entries while a page is being migrated', () => {
    const pfn = page();
    const seen = new Set<string>();
    atEvents(worker, 'migrate', [a, P], () => {
      const entries = mappingsOf(pfn);
      seen.add(`${entries.filter((entry) => entry.present).length} of ${entries.length}`);
      expect(pageView(m, { ...NOTHING_SELECTED, page: pfn }, changes)?.mappings).toHaveLength(
        entries.length,
      );
    });
    // An entry is empty for a moment between its two states.
    expect([...seen]).toEqual(expect.arrayContaining(['2 of 2', '1 of 2', '0 of 2', '0 of 0']));
    expect(page()).not.toBe(pfn);
  });
});

describe('locksView', () => {
  it('shows the VMAs that mprotect has write-locked, and the tree with its holders', () => {
    const index = new LockIndex(m);
    const held = new Set<string>();
    let tree = '';
    atEvents(a, 'mprotect', [P, PAGE, 1], (event) => {
      const view = locksView(m, index);
      for (const lock of view.locks) held.add(`${lock.cls} ${lock.kind} ${lock.holders[0]?.mode}`);
      if (event !== 'vma:split') return;
      tree = view.tree
        .filter((node) => node.holders !== '')
        .map((node) => `${node.cls}: ${node.holders}`)
        .join('; ');
    });
    expect([...held].sort()).toMatchInlineSnapshot(`
      [
        "anon_vma.rwsem rwsem write",
        "mm_struct.mmap_lock rwsem write",
        "ptdesc.ptl spinlock write",
        "rcu_read_lock rcu read",
        "vm_area_struct.vm_refcnt vma write",
      ]
    `);
    expect(tree).toMatchInlineSnapshot(
      `"mm_struct.mmap_lock: A (write); vm_area_struct.vm_refcnt: A (write) x2"`,
    );
  });
});

describe('sourceView', () => {
  it('shows the frame asked for, counted from the innermost', () => {
    m.begin(a, operation('mprotect', [P, PAGE, 1]));
    m.run(a, 60, null);
    const [task] = tasksView(m, { ...NOTHING_SELECTED, task: a }).filter((each) => each.id === a);
    const shown = task?.frames.map(({ depth }) => {
      const { fn, line } = sourceView(m, { ...NOTHING_SELECTED, task: a, frame: depth }, []);
      return { fn, line };
    });
    expect(shown?.length).toBeGreaterThan(2);
    expect(shown).toEqual(task?.frames.map(({ fn, line }) => ({ fn, line })));
  });
});

describe('vmasView', () => {
  it('names a half made address space after the process that makes it', () => {
    const names = new Set<string>();
    atEvents(a, 'fork', [], () => {
      const mms = vmasView(m, NOTHING_SELECTED, changes, 60);
      names.add(mms.map((mm) => mm.process).join(' '));
    });
    expect([...names]).toMatchInlineSnapshot(`
      [
        "A B C A'",
      ]
    `);
  });
});
