/** Numbers that tell the early designs apart: what a walk visits, what is allocated, what mremap() does. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { mmOfTask, vmasOf } from '../../../src/linux/describe.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import { lookupPte, pte_is_swap_entry, pte_pfn, ptep_get } from '../../../src/linux/mm/pgtable.ts';
import { anonmm_cachep, pte_chain_cachep } from '../../../src/linux/mm/rmap/early_types.ts';
import { vmaTreeAtOrAfter } from '../../../src/linux/mm/vma_tree.ts';
import type { mm_struct } from '../../../src/linux/mm_types.ts';
import { cpu, ENDLESS } from '../../../src/sim/cpu.ts';
import { eventAt } from '../../../src/sim/event.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { begin, call, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const ELSEWHERE = AT + 64 * PAGE;
/** NRPTE of 64-byte cache lines and 8-byte entries. */
const NRPTE = 7;

interface World {
  readonly m: Machine;
  readonly a: number;
  readonly kernel: number;
}

function boot(kernel: string, patches: readonly string[] = []): World {
  const m = bootMachine({
    kernel: selectKernel(kernel, patches),
    memoryPages: 1024,
    swapPages: 64,
  });
  const a = spawnInit(m, 'A');
  call(m, a, 'mmap', [AT, 4 * PAGE, 3, 0x32, -1, 0]);
  return { m, a, kernel: spawnKernelThread(m, 'kswapd') };
}

function frameAt(task: number, m: Machine, address: number): number {
  const ptep = lookupPte(mmOfTask(m, task) as mm_struct, address);
  return ptep === 0 ? 0 : pte_pfn(ptep_get(ptep));
}

function fork({ m, a }: World, parent = a): number {
  call(m, parent, 'fork');
  return m.taskCount();
}

/** VMAs or entries that one page_referenced() of a page looks at. */
function visits({ m, kernel }: World, task: number, address: number): number {
  call(m, kernel, 'settle');
  const from = cpu.event_count;
  call(m, kernel, 'referenced', [task, address]);
  let count = 0;
  for (let n = from; n < cpu.event_count; n++) {
    if (eventAt(n).type.name === 'rmap:walk_visit') count++;
  }
  expect(judge(m, 'operation-end')).toEqual([]);
  return count;
}

/** A page that the last of `n` children has to itself: everybody else has made a copy of it. */
function lastSharer(world: World, n: number): number {
  const { m, a } = world;
  call(m, a, 'store', [AT, 1]);
  const children = Array.from({ length: n }, () => fork(world));
  for (const task of [a, ...children.slice(0, -1)]) call(m, task, 'store', [AT, 2]);
  return children.at(-1) as number;
}

describe('v2.6.0', () => {
  test('a walk looks at the entries that there are, whatever the family', () => {
    const world = boot('v2.6.0');
    expect(visits(world, lastSharer(world, 9), AT)).toBe(1);
  });

  test('page_referenced() goes down each chunk from its last slot, the newest chunk first', () => {
    const world = boot('v2.6.0');
    const { m, a, kernel } = world;
    call(m, a, 'store', [AT, 1]);
    const children = Array.from({ length: NRPTE + 2 }, () => fork(world));
    call(m, kernel, 'settle');
    const from = cpu.event_count;
    call(m, kernel, 'referenced', [a, AT]);
    const seen: unknown[] = [];
    for (let n = from; n < cpu.event_count; n++) {
      const { type, values } = eventAt(n);
      if (type.name === 'rmap:walk_visit') seen.push(values[1]);
    }
    const of = (task: number): unknown => {
      const vma = vmaTreeAtOrAfter(mmOfTask(m, task) as mm_struct, AT);
      return expect.objectContaining({ addr: vma?.addr });
    };
    // Seven entries fill the first chunk from its end down: A and six children.
    const newest = children.slice(NRPTE - 1);
    expect(seen).toEqual([...newest, a, ...children.slice(0, NRPTE - 1)].map(of));
  });

  test.each([1, 2, 7, 8, 9, 14, 15])('%i mappings of a page are found by as many visits', (m) => {
    const world = boot('v2.6.0');
    call(world.m, world.a, 'store', [AT, 1]);
    for (let i = 1; i < m; i++) fork(world);
    expect(visits(world, world.a, AT)).toBe(m);
    // One entry is in struct page itself; the CPU keeps one spare.
    expect(pte_chain_cachep.live()).toBe((m === 1 ? 0 : Math.ceil(m / NRPTE)) + 1);
  });

  test('a chain with one entry left becomes PG_direct when reclaim looks, not when entries go', () => {
    const world = boot('v2.6.0');
    call(world.m, world.a, 'store', [AT, 1]);
    const child = fork(world);
    call(world.m, child, 'exit_group', [0]);
    const before = pte_chain_cachep.live();
    expect(visits(world, world.a, AT)).toBe(1);
    // The freed chain becomes the spare, and the spare is freed.
    expect(pte_chain_cachep.live()).toBe(before - 1);
  });

  test('mremap() of a shared page moves the entry and copies nothing', () => {
    const world = boot('v2.6.0');
    const { m, a } = world;
    call(m, a, 'store', [AT, 1]);
    const child = fork(world);
    const frame = frameAt(a, m, AT);
    call(m, a, 'mremap', [AT, PAGE, PAGE, 3, ELSEWHERE]);
    expect(frameAt(a, m, ELSEWHERE)).toBe(frame);
    expect(frameAt(child, m, AT)).toBe(frame);
    expect(visits(world, child, AT)).toBe(2);
  });

  test('anonymous neighbours merge whatever their page offsets were', () => {
    const { m, a } = boot('v2.6.0');
    call(m, a, 'store', [AT, 1, 4 * PAGE]);
    call(m, a, 'mremap', [AT, PAGE, PAGE, 3, ELSEWHERE]);
    call(m, a, 'mmap', [ELSEWHERE + PAGE, PAGE, 3, 0x32, -1, 0]);
    expect((mmOfTask(m, a) as mm_struct).map_count).toBe(2);
  });
});

describe('v2.6.6-anonmm', () => {
  test('a page of one child is looked for in every mm of the family before it', () => {
    const world = boot('v2.6.6-anonmm');
    const n = 9;
    // The page names the parent, which has another page there now; the sharer is last in the family.
    expect(visits(world, lastSharer(world, n), AT)).toBe(n + 1);
  });

  test('a page that a child made itself is found at once', () => {
    const world = boot('v2.6.6-anonmm');
    call(world.m, world.a, 'store', [AT, 1]);
    const children = Array.from({ length: 9 }, () => fork(world));
    const child = children[4] as number;
    call(world.m, child, 'store', [AT, 2]);
    expect(visits(world, child, AT)).toBe(1);
  });

  test("mremap() of a shared page copies it; one that is nobody else's moves", () => {
    const world = boot('v2.6.6-anonmm');
    const { m, a } = world;
    call(m, a, 'store', [AT, 1, 2 * PAGE]);
    const child = fork(world);
    call(m, a, 'store', [AT + PAGE, 2]);
    const [shared, own] = [frameAt(a, m, AT), frameAt(a, m, AT + PAGE)];
    call(m, a, 'mremap', [AT, 2 * PAGE, 2 * PAGE, 3, ELSEWHERE]);
    expect(frameAt(a, m, ELSEWHERE)).not.toBe(shared);
    expect(frameAt(a, m, ELSEWHERE + PAGE)).toBe(own);
    expect(frameAt(child, m, AT)).toBe(shared);
    expect(call(m, a, 'load', [ELSEWHERE])).toBe(1);
    expect(visits(world, child, AT)).toBe(2);
  });

  test('what was moved while it was in swap is copied when it comes back', () => {
    const world = boot('v2.6.6-anonmm');
    const { m, a, kernel } = world;
    call(m, a, 'store', [AT, 5]);
    const child = fork(world);
    call(m, kernel, 'settle');
    for (let i = 0; i < 3; i++) call(m, kernel, 'reclaim', [a, AT]);
    const mm = mmOfTask(m, a) as mm_struct;
    expect(pte_is_swap_entry(ptep_get(lookupPte(mm, AT)))).toBe(true);
    call(m, a, 'mremap', [AT, PAGE, PAGE, 3, ELSEWHERE]);
    expect(call(m, child, 'load', [AT])).toBe(5);
    expect(call(m, a, 'load', [ELSEWHERE])).toBe(5);
    expect(frameAt(a, m, ELSEWHERE)).not.toBe(frameAt(child, m, AT));
    expect(judge(m, 'operation-end')).toEqual([]);
  });

  test('the anonmm of a dead mm lives as long as a page names it; page_referenced() moves the page', () => {
    const world = boot('v2.6.6-anonmm');
    const { m, a } = world;
    const child = fork(world);
    call(m, child, 'store', [AT, 1]);
    const grandchild = fork(world, child);
    call(m, child, 'exit_group', [0]);
    expect(anonmm_cachep.live()).toBe(3);
    visits(world, grandchild, AT);
    expect(anonmm_cachep.live()).toBe(2);
    call(m, grandchild, 'exit_group', [0]);
    call(m, a, 'exit_group', [0]);
    expect(anonmm_cachep.live()).toBe(0);
  });
});

/** R-G4-4: the boundary between a VMA with pages and one without anon_vma moves down (case 4). No race. */
function shiftBoundary({ m, a }: World): void {
  call(m, a, 'mmap', [AT, 16 * PAGE, 3, 0x32, -1, 0]);
  call(m, a, 'mprotect', [AT + 8 * PAGE, 8 * PAGE, 1]);
  call(m, a, 'store', [AT, 1, 8 * PAGE]);
  expect(judge(m, 'operation-end')).toEqual([]);
  call(m, a, 'mprotect', [AT + 4 * PAGE, 4 * PAGE, 1]);
}

describe('v2.6.7', () => {
  test('a page of one child is looked for in every VMA of the family', () => {
    const world = boot('v2.6.7');
    const n = 9;
    // New VMAs are put at the head of the list: the last child is looked at first, its parent last.
    expect(visits(world, lastSharer(world, n), AT)).toBe(1);
    call(world.m, world.a, 'store', [AT + PAGE, 1]);
    expect(visits(world, world.a, AT + PAGE)).toBe(n + 1);
  });

  test('mremap() of a shared page moves the entry and copies nothing', () => {
    const world = boot('v2.6.7');
    const { m, a } = world;
    call(m, a, 'store', [AT, 1]);
    const child = fork(world);
    const frame = frameAt(a, m, AT);
    call(m, a, 'mremap', [AT, PAGE, PAGE, 3, ELSEWHERE]);
    expect(frameAt(a, m, ELSEWHERE)).toBe(frame);
    expect(visits(world, child, AT)).toBeGreaterThan(0);
  });

  test('a VMA that takes over pages does not get their anon_vma: exactly those pages are lost to a walk', () => {
    const world = boot('v2.6.7');
    shiftBoundary(world);
    const { m, a, kernel } = world;
    const verdicts = judge(m, 'operation-end');
    const kinds = ['anon-page-without-anon-vma', 'rmap-unreachable'];
    expect(new Set(verdicts.map((v) => v.kind))).toEqual(new Set(kinds));
    const lost = [4, 5, 6, 7].map((i) => (AT + i * PAGE).toString(16));
    for (const kind of kinds) {
      const said = verdicts.filter((v) => v.kind === kind);
      expect(said).toHaveLength(lost.length);
      for (const at of lost) {
        expect(said.some((v) => `${v.text} ${v.evidence.join(' ')}`.includes(at))).toBe(true);
      }
    }
    // The other half goes, and the anon_vma with it; the next walk looks into freed memory, with an empty list.
    call(m, a, 'munmap', [AT, 4 * PAGE]);
    call(m, kernel, 'settle');
    call(m, kernel, 'referenced', [a, AT + 5 * PAGE]);
    expect(m.findings().map((f) => f.kind)).toEqual(['bug']);
    expect(judge(m, 'operation-end').map((v) => v.kind)).toContain('anon-vma-freed');
  });

  test('the importer of 2.6.8 closes the hole', () => {
    const world = boot('v2.6.7', ['links_importer']);
    shiftBoundary(world);
    expect(judge(world.m, 'operation-end')).toEqual([]);
    call(world.m, world.a, 'munmap', [AT, 4 * PAGE]);
    expect(visits(world, world.a, AT + 5 * PAGE)).toBe(1);
  });

  test('a write fault in the VMA that took over heals it: it adopts the anon_vma of its neighbour', () => {
    const world = boot('v2.6.7');
    const { m, a } = world;
    call(m, a, 'mmap', [AT, 16 * PAGE, 3, 0x32, -1, 0]);
    call(m, a, 'mprotect', [AT + 8 * PAGE, 8 * PAGE, 7]);
    call(m, a, 'store', [AT, 1, 8 * PAGE]);
    call(m, a, 'mprotect', [AT + 4 * PAGE, 4 * PAGE, 7]);
    expect(judge(m, 'operation-end')).not.toEqual([]);
    call(m, a, 'store', [AT + 12 * PAGE, 2]);
    expect(judge(m, 'operation-end')).toEqual([]);
  });

  test('anonymous neighbours merge only if their page offsets fit', () => {
    const { m, a } = boot('v2.6.7');
    call(m, a, 'store', [AT, 1, 4 * PAGE]);
    call(m, a, 'mremap', [AT, PAGE, PAGE, 3, ELSEWHERE]);
    call(m, a, 'mmap', [ELSEWHERE + PAGE, PAGE, 3, 0x32, -1, 0]);
    expect((mmOfTask(m, a) as mm_struct).map_count).toBe(3);
  });
});

/**
 * R-G4-2: a fault adopts the anon_vma of a neighbour, and a forked VMA on its list goes, at each statement of the
 * fault in turn. Kinds of what is then found.
 */
function exitDuringAdoption(patches: readonly string[]): Set<string> {
  const kinds = new Set<string>();
  for (let steps = 1; ; steps++) {
    const { m, a } = boot('v2.6.7', patches);
    // The second half has other flags and no anon_vma yet.
    call(m, a, 'mprotect', [AT + 2 * PAGE, 2 * PAGE, 7]);
    call(m, a, 'store', [AT, 1, 2 * PAGE]);
    call(m, a, 'fork');
    const child = m.taskCount();
    begin(m, a, 'store', [AT + 3 * PAGE, 2]);
    if (m.run(a, steps, null) === 'done') return kinds;
    begin(m, child, 'exit_group', [0]);
    // Whoever must wait for a lock lets the other one go on.
    for (let turn = 0; turn < 10; turn++) {
      for (const task of [child, a]) if (m.enabled(task)) m.run(task, ENDLESS, null);
    }
    for (const { kind } of m.findings()) kinds.add(kind);
    for (const { kind } of judge(m, 'operation-end')) kinds.add(kind);
  }
}

test('2.6.7 adopts an anon_vma without its lock: its list can break; 2.6.8 takes the lock', () => {
  expect(exitDuringAdoption(['prepare_locks_adopted'])).toEqual(new Set());
  expect(exitDuringAdoption([])).toContain('anon-vma-linkage');
});

/**
 * R-G4-3: [0, 4) read-only, [4, 8) writable with a page at its end; mprotect() makes [4, 6) read-only, and the start of
 * the second VMA moves. At each statement of that a walk looks for the page. How often it looked elsewhere, or nowhere.
 */
function missedDuringExtend(patches: readonly string[]): number {
  let missed = 0;
  for (let steps = 1; ; steps++) {
    const { m, a, kernel } = boot('v2.6.5-aa', patches);
    call(m, a, 'mmap', [AT, 8 * PAGE, 3, 0x32, -1, 0]);
    call(m, a, 'mprotect', [AT, 4 * PAGE, 1]);
    const page = AT + 7 * PAGE;
    call(m, a, 'store', [page, 1]);
    call(m, kernel, 'settle');
    begin(m, a, 'mprotect', [AT + 4 * PAGE, 2 * PAGE, 1]);
    if (m.run(a, steps, null) === 'done') return missed;
    const from = cpu.event_count;
    begin(m, kernel, 'referenced', [a, page]);
    // Whoever must wait for a lock lets the other one go on.
    for (let turn = 0; turn < 4; turn++) {
      for (const task of [kernel, a]) if (m.enabled(task)) m.run(task, ENDLESS, null);
    }
    const looked = [];
    for (let n = from; n < cpu.event_count; n++) {
      const event = eventAt(n);
      if (event.type.name === 'rmap:walk_visit') {
        looked.push(event.values[event.type.fields.findIndex((f) => f.name === 'address')]);
      }
    }
    if (!looked.includes(page)) missed++;
  }
}

describe('v2.6.5-aa', () => {
  test('mprotect() moves the start of a VMA without its lock: a walk looks at a wrong place', () => {
    expect(missedDuringExtend([])).toBeGreaterThan(0);
    expect(missedDuringExtend(['extend_locks'])).toBe(0);
  });

  test('the VMA that mprotect() extends does not get the anon_vma of what it takes over', () => {
    const take = (patches: readonly string[]): World => {
      const world = boot('v2.6.5-aa', patches);
      const { m, a } = world;
      call(m, a, 'mmap', [AT, 8 * PAGE, 3, 0x32, -1, 0]);
      call(m, a, 'mprotect', [AT, 4 * PAGE, 1]);
      call(m, a, 'store', [AT + 4 * PAGE, 1, 4 * PAGE]);
      call(m, a, 'mprotect', [AT + 4 * PAGE, 2 * PAGE, 1]);
      return world;
    };
    const kinds = judge(take([]).m, 'operation-end').map((v) => v.kind);
    expect(new Set(kinds)).toEqual(new Set(['anon-page-without-anon-vma', 'rmap-unreachable']));
    expect(judge(take(['extend_links']).m, 'operation-end')).toEqual([]);
  });

  test('mprotect() merges mappings of a file; 2.6.0 does not', () => {
    const mapped = (kernel: string): number => {
      const { m, a } = boot(kernel);
      call(m, a, 'munmap', [AT, 4 * PAGE]);
      const fd = call(m, a, 'open', ['/tmp/file', 0x42], { size: 8 * PAGE });
      call(m, a, 'mmap', [AT, 4 * PAGE, 1, 0x12, fd, 0]);
      call(m, a, 'mprotect', [AT + PAGE, PAGE, 3]);
      call(m, a, 'mprotect', [AT + PAGE, PAGE, 7]);
      call(m, a, 'mprotect', [AT + 2 * PAGE, PAGE, 7]);
      return (mmOfTask(m, a) as mm_struct).map_count;
    };
    // [0] [1] [2] [3]: the two in the middle differ in VM_ACCOUNT until the second one is writable too.
    expect(mapped('v2.6.0')).toBe(4);
    expect(mapped('v2.6.5-aa')).toBe(3);
  });

  test('a new mapping beside one that differs in protection joins its anon_vma', () => {
    const { m, a } = boot('v2.6.5-aa');
    call(m, a, 'store', [AT, 1]);
    call(m, a, 'mmap', [AT + 4 * PAGE, PAGE, 7, 0x32, -1, 0]);
    const [first, second] = vmasOf(mmOfTask(m, a) as mm_struct);
    expect(second?.anon_vma).toBe(first?.anon_vma);
    call(m, a, 'mprotect', [AT + 4 * PAGE, PAGE, 3]);
    expect((mmOfTask(m, a) as mm_struct).map_count).toBe(1);
    expect(judge(m, 'operation-end')).toEqual([]);
  });

  test('two threads that fault a new VMA can put it on two lists', () => {
    const kinds = new Set<string>();
    for (let steps = 1; ; steps++) {
      const { m, a } = boot('v2.6.5-aa');
      const thread = call(m, a, 'thread');
      begin(m, a, 'store', [AT, 1]);
      if (m.run(a, steps, null) === 'done') break;
      begin(m, thread, 'store', [AT + PAGE, 1]);
      for (let turn = 0; turn < 4; turn++) {
        for (const task of [thread, a]) if (m.enabled(task)) m.run(task, ENDLESS, null);
      }
      for (const { kind } of [...m.findings(), ...judge(m, 'operation-end')]) kinds.add(kind);
    }
    expect(kinds).toContain('rmap-unreachable');
  });
});
