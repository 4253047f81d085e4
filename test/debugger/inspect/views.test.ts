import { beforeEach, describe, expect, it } from 'vitest';
import { anonVmasView } from '../../../src/debugger/inspect/anon-vmas.ts';
import { Changes } from '../../../src/debugger/inspect/changes.ts';
import { mappingsOf } from '../../../src/debugger/inspect/mappings.ts';
import { pageView } from '../../../src/debugger/inspect/page.ts';
import { pageTablesView } from '../../../src/debugger/inspect/page-tables.ts';
import {
  objectRef,
  pageRef,
  pteRef,
  resolveRef,
  vmaRef,
} from '../../../src/debugger/inspect/refs.ts';
import { NOTHING_SELECTED, pick, selectedRefs } from '../../../src/debugger/inspect/selection.ts';
import { sourceView } from '../../../src/debugger/inspect/source.ts';
import { tasksView } from '../../../src/debugger/inspect/tasks.ts';
import { vmasView } from '../../../src/debugger/inspect/vmas.ts';
import { WalkIndex } from '../../../src/debugger/inspect/walks.ts';
import { vmaTreeClear } from '../../../src/linux/mm/vma_tree.ts';
import { mem_map, type task_struct, vm_area_cachep } from '../../../src/linux/mm_types.ts';
import { family, newMachine, PAGE, run } from './world.ts';

let world: ReturnType<typeof family>;
let changes: Changes;

beforeEach(() => {
  world = family(newMachine());
  changes = new Changes(world.m);
});

describe('vmasView', () => {
  it('draws a letter per page, stars where pages are, and shortens gaps and long VMAs', () => {
    const [a] = vmasView(world.m, NOTHING_SELECTED, changes, 72);
    expect(a?.picture).toMatchInlineSnapshot(`
      [
        "7f0000000 7f0000064",
        "a*aa..96..bbbbb<30>bbbbb",
      ]
    `);
  });

  it('tells how many VMAs do not fit', () => {
    const [a] = vmasView(world.m, NOTHING_SELECTED, changes, 12);
    expect(a?.picture[1]).toBe('a*aa +1 vmas');
  });

  it('has the fields of every VMA', () => {
    const [, b] = vmasView(world.m, NOTHING_SELECTED, changes, 72);
    expect(b).toMatchObject({ process: 'B', mapCount: 1, totalPages: 4, selected: false });
    expect(b?.vmas[0]).toMatchObject({
      letter: 'a',
      perms: 'rw-p',
      vmFlags: 'rd wr mr mw ac',
      avcs: 2,
      present: 1,
      swapped: 0,
      anonVma: { kind: 'anon_vma' },
      isNew: false,
      changed: [],
    });
  });

  it('marks what changed since the previous stop, in the selected address space', () => {
    const { m, vmaA, a } = world;
    const selection = pick(m, NOTHING_SELECTED, vmaRef(vmaA));
    changes.remember(selection);
    vmaA.vm_flags = 1;
    vmaA.vm_end = vmaA.vm_end - PAGE;
    mem_map.at(world.pfn)._refcount = 5;
    const [view] = vmasView(m, selection, changes, 72);
    expect(view?.ref.id).toBe(a.mm.addr);
    expect(view?.vmas[0]?.changed).toEqual(['end', 'vmFlags', 'perms']);
    expect(view?.vmas[1]?.changed).toEqual([]);
    const page = pageView(m, selection, changes);
    expect(page).toBeNull();
  });
});

describe('anonVmasView', () => {
  it('shows the tree and the matrix of links', () => {
    const { m } = world;
    const view = anonVmasView(m, NOTHING_SELECTED, changes, new WalkIndex(m));
    expect(view.nodes.map(({ depth, last }) => ({ depth, last }))).toEqual([
      { depth: 0, last: [true] },
      { depth: 1, last: [true, true] },
    ]);
    expect(view.nodes.map((node) => node.vmas.map((each) => each.process))).toEqual([
      ['A', 'B'],
      ['B'],
    ]);
    expect(view.rows.map((row) => [row.process, ...row.cells.map((cell) => cell.link)])).toEqual([
      ['A', 'own', 'none'],
      ['B', 'linked', 'own'],
    ]);
  });

  it('shows the family of the selection only when there are more than fit', () => {
    const { m, child } = world;
    const selection = pick(m, NOTHING_SELECTED, objectRef(child) as never);
    const view = anonVmasView(m, selection, changes, new WalkIndex(m), 1);
    expect(view.nodes).toHaveLength(1);
  });
});

describe('pageView', () => {
  it('finds every mapping by brute force and says how a walk reaches it', () => {
    const { m, pfn, root } = world;
    const view = pageView(m, { ...NOTHING_SELECTED, page: pfn }, changes);
    expect(view?.mappings.map(({ process, via }) => ({ process, via }))).toEqual([
      { process: 'A', via: objectRef(root)?.label },
      { process: 'B', via: objectRef(root)?.label },
    ]);
    expect(view?.fields.find((field) => field.name === 'mapping')?.ref?.kind).toBe('anon_vma');
  });

  it('says when no walk would find a mapping', () => {
    const { m, pfn, child } = world;
    mem_map.at(pfn).mapping = ((child.addr >>> 4) << 2) | 1;
    const view = pageView(m, { ...NOTHING_SELECTED, page: pfn }, changes);
    expect(view?.mappings.map((mapping) => mapping.via !== '')).toEqual([false, true]);
  });

  it('counts as many mappings as the page does', () => {
    expect(mappingsOf(world.pfn)).toHaveLength(mem_map.at(world.pfn)._mapcount + 1);
  });
});

describe('pageTablesView', () => {
  it('stops at the first missing level', () => {
    const { m, a, far } = world;
    const selection = pick(m, NOTHING_SELECTED, pteRef(a.mm, far.vm_start + 2 ** 40));
    const view = pageTablesView(m, selection, changes);
    expect(view?.levels.map(({ name, present }) => [name, present])).toEqual([['PGD', false]]);
    expect(view?.vma).toBeNull();
  });

  it('decodes the entry and its neighbours, and marks what changed', () => {
    const { m, a, vmaA } = world;
    const selection = pick(m, NOTHING_SELECTED, pteRef(a.mm, vmaA.vm_start + PAGE));
    changes.remember(selection);
    const view = pageTablesView(m, selection, changes, 1);
    expect(view?.entries.map(({ index, kind, text, bits }) => [index, kind, text, bits])).toEqual([
      [0, 'none', '', ''],
      [1, 'page', 'pfn 14', 'PRESENT RW ACCESSED'],
      [2, 'none', '', ''],
    ]);
  });
});

describe('selection', () => {
  it('follows from a page to its address, address space and anon_vma', () => {
    const { m, pfn, a, vmaA, root } = world;
    const selection = pick(m, NOTHING_SELECTED, pageRef(pfn));
    expect(selection).toMatchObject({
      page: pfn,
      address: vmaA.vm_start + PAGE,
      mm: { id: a.mm.addr },
      vma: { id: vmaA.addr },
      anonVma: { id: root.addr },
    });
    expect(selectedRefs(m, selection).map((ref) => ref.kind)).toEqual([
      'page',
      'vma',
      'mm',
      'anon_vma',
      'pte',
    ]);
  });

  it('knows that an object is gone although its slot was reused', () => {
    const { m, far, a } = world;
    const ref = vmaRef(far);
    vmaTreeClear(a.mm, far.vm_start, far.vm_end);
    vm_area_cachep.free(far);
    expect(resolveRef(m, ref).state).toBe('gone');
    expect(vm_area_cachep.alloc()).toBe(far);
    expect(resolveRef(m, ref).state).toBe('gone');
    expect(m.findings()).toEqual([]);
  });
});

describe('tasksView and sourceView', () => {
  it('show where a task is and its locals', () => {
    const { m, a } = world;
    run(m, a.task, [() => {}, () => {}], 0);
    const selection = { ...NOTHING_SELECTED, task: a.task };
    const [task] = tasksView(m, selection);
    expect(task).toMatchObject({ name: 'A', process: 'A', state: 'running', selected: true });
    expect(task?.frames).toEqual([{ depth: 0, fn: 'script', file: 'test/script.ts', line: 2 }]);
    const source = sourceView(m, selection, [{ id: 1, enabled: true, sites: [] }], changes);
    expect(source).toMatchObject({ fn: 'script', line: 2, lines: ['one', 'two', 'three'] });
    expect(source.locals).toEqual([
      { name: 'left', value: '2', changed: false },
      { name: 'at', value: '0x7f0000000000', changed: false },
    ]);
  });
});

describe('names of processes', () => {
  it('follow the task, not what fork copied, and mark an address space without a task', () => {
    const { m, a, b } = world;
    b.mm.owner = a.mm.owner;
    const names = () => vmasView(m, NOTHING_SELECTED, changes, 72).map((mm) => mm.process);
    expect(names()).toEqual(['A', 'B']);
    const context = m.block(b.task).context as task_struct;
    context.mm = null;
    expect(names()).toEqual(['A', "A'"]);
    context.active_mm = b.mm;
    expect(names()).toEqual(['A', 'B']);
  });
});
