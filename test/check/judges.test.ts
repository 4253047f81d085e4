import { describe, expect, test } from 'vitest';
import { judge } from '../../src/check/judges.ts';
import { type FindingKind, findingKinds, isFindingKind } from '../../src/check/kinds.ts';
import { bootMachine, spawnInit, spawnKernelThread } from '../../src/linux/boot.ts';
import { mmOfTask, pteAt, vmasOf } from '../../src/linux/describe.ts';
import { selectKernel } from '../../src/linux/kernels.ts';
import {
  trace_pte_clear,
  trace_pte_set,
  trace_walk_begin,
  trace_walk_end,
  trace_walk_visit,
} from '../../src/linux/mm/events.ts';
import { lookupPte } from '../../src/linux/mm/pgtable.ts';
import {
  anon_vma_cachep,
  anon_vma_chain_cachep,
  mem_map,
  type mm_struct,
  type vm_area_struct,
} from '../../src/linux/mm_types.ts';
import { cpu, ENDLESS, write_heap, write_pte } from '../../src/sim/cpu.ts';
import type { Machine } from '../../src/sim/machine.ts';
import { RandomProgram } from '../support/random-program.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;

function boot(): Machine {
  return bootMachine({ kernel: selectKernel('v6.18'), memoryPages: 512, swapPages: 64 });
}

function call(machine: Machine, task: number, name: string, ...args: unknown[]): number {
  machine.begin(task, { name, args, text: name, line: 0 });
  expect(machine.run(task, ENDLESS, null)).toBe('done');
  return machine.block(task).result;
}

/** Two processes that share four anonymous pages; the child has written the first. */
function family(): { machine: Machine; parent: mm_struct; child: mm_struct; vma: vm_area_struct } {
  const machine = boot();
  const a = spawnInit(machine, 'A');
  call(machine, a, 'mmap', AT, 8 * PAGE, 3, 0x32, -1, 0);
  call(machine, a, 'store', AT, 7, 4 * PAGE);
  call(machine, a, 'fork');
  const b = machine.taskCount();
  call(machine, b, 'store', AT, 8);
  call(machine, a, 'mmap', AT + 16 * PAGE, 2 * PAGE, 3, 0x32, -1, 0);
  call(machine, a, 'store', AT + 16 * PAGE, 1);
  call(machine, spawnKernelThread(machine, 'rcu'), 'settle');
  expect(judge(machine, 'operation-end')).toEqual([]);
  const parent = mmOfTask(machine, a) as mm_struct;
  return {
    machine,
    parent,
    child: mmOfTask(machine, b) as mm_struct,
    vma: vmaAtRaw(parent, AT),
  };
}

function vmaAtRaw(mm: mm_struct, address: number): vm_area_struct {
  const vma = vmasOf(mm).find((v) => v.vm_start <= address && address < v.vm_end);
  if (vma === undefined) throw new Error('no VMA there');
  return vma;
}

const pageAt = (mm: mm_struct, address: number) => mem_map.at(pteAt(mm, address) >>> 8);

function kinds(machine: Machine): Set<string> {
  return new Set(judge(machine, 'operation-end').map((v) => v.kind));
}

describe('a correct kernel', () => {
  for (const seed of [1, 2, 3]) {
    test(`is not accused: random program ${seed}`, () => {
      const machine = bootMachine({
        kernel: selectKernel('v6.18'),
        memoryPages: 1024,
        swapPages: 128,
      });
      const program = new RandomProgram(machine, seed);
      for (let i = 0; i < 600; i++) {
        const text = program.step();
        expect(machine.findings(), text).toEqual([]);
        expect(judge(machine, 'operation-end'), `${i} ${text}`).toEqual([]);
      }
      expect(machine.taskCount()).toBeGreaterThan(10);
    });
  }

  test('is not accused at any step while operations race', () => {
    for (const seed of [4, 5]) {
      const machine = boot();
      const program = new RandomProgram(machine, seed, { processes: 4 });
      for (let i = 0; i < 80; i++) program.step();
      for (let round = 0; round < 25; round++) {
        const begun = new Set<number>();
        for (let n = 0; n < 3; n++) {
          const { task, operation } = program.next();
          if (begun.has(task) || machine.block(task).op !== 0) continue;
          if (/fork|exit/.test(operation.name)) continue;
          begun.add(task);
          machine.begin(task, operation);
        }
        for (;;) {
          const enabled = [...begun].filter((id) => machine.enabled(id));
          if (enabled.length === 0) break;
          machine.run(program.prng.pick(enabled), program.prng.below(12), null);
          expect(judge(machine, 'step'), `seed ${seed} step ${machine.step}`).toEqual([]);
        }
        expect(judge(machine, 'operation-end'), `seed ${seed} round ${round}`).toEqual([]);
      }
      expect(machine.findings()).toEqual([]);
    }
  });

  test('is judged without being changed', () => {
    const { machine } = family();
    const hash = machine.hash();
    const step = machine.step;
    judge(machine, 'operation-end');
    judge(machine, 'step');
    expect(machine.hash()).toBe(hash);
    expect(machine.step).toBe(step);
  });
});

type Family = ReturnType<typeof family>;

/** One act of sabotage for each kind that a judge reports, and the kinds that may come with it. */
const sabotage: readonly (readonly [FindingKind, string, (f: Family) => void])[] = [
  [
    'rmap-unreachable',
    'the start of a VMA moves without its pgoff',
    ({ vma }) => {
      vma.vm_pgoff = vma.vm_pgoff + 1;
    },
  ],
  [
    'rmap-unreachable',
    'a page belongs to an anon_vma that the VMA is not linked to',
    ({ parent, child }) => {
      // The child's own page: its anon_vma has no link to the parent.
      const at = lookupPte(parent, AT + 5 * PAGE);
      write_pte(at, pteAt(child, AT));
    },
  ],
  [
    'anon-vma-freed',
    'the anon_vma of a mapped page is freed',
    ({ vma }) => {
      if (vma.anon_vma !== null) anon_vma_cachep.free(vma.anon_vma);
    },
  ],
  [
    'anon-vma-linkage',
    'a link is taken off its list',
    ({ vma }) => {
      write_heap(vma.anon_vma_chain, vma.anon_vma_chain);
      write_heap(vma.anon_vma_chain + 1, vma.anon_vma_chain);
    },
  ],
  [
    'anon-vma-linkage',
    'the maximum of a subtree is stale',
    ({ vma }) => {
      const link = cpu.heap[vma.anon_vma_chain] as number;
      const avc = anon_vma_chain_cachep.container('same_vma')(link);
      avc.rb_subtree_last = avc.rb_subtree_last + 1;
    },
  ],
  [
    'anon-vma-merge',
    'two VMAs share an anon_vma and have different chains',
    ({ parent, vma }) => {
      vmaAtRaw(parent, AT + 16 * PAGE).anon_vma = vma.anon_vma;
    },
  ],
  [
    'anon-vma-counter',
    'num_children is one off',
    ({ vma }) => {
      if (vma.anon_vma !== null) vma.anon_vma.num_children = vma.anon_vma.num_children - 1;
    },
  ],
  [
    'anon-vma-counter',
    'num_active_vmas is one off',
    ({ vma }) => {
      if (vma.anon_vma !== null) vma.anon_vma.num_active_vmas = 0;
    },
  ],
  [
    'anon-vma-counter',
    'a reference is never dropped',
    ({ vma }) => {
      if (vma.anon_vma !== null) vma.anon_vma.refcount = vma.anon_vma.refcount + 1;
    },
  ],
  [
    'mapcount-wrong',
    'a mapping is not counted',
    ({ parent }) => {
      const page = pageAt(parent, AT + PAGE);
      page._mapcount = page._mapcount - 1;
    },
  ],
  [
    'refcount-wrong',
    'a reference is held by nobody',
    ({ parent }) => {
      const page = pageAt(parent, AT);
      page._refcount = page._refcount + 1;
    },
  ],
  [
    'leaked-page',
    'a mapping goes without its reference',
    ({ parent }) => {
      write_pte(lookupPte(parent, AT), 0);
    },
  ],
  [
    'exclusive-wrong',
    'a shared page is marked exclusive',
    ({ parent }) => {
      const page = pageAt(parent, AT + PAGE);
      page.flags = page.flags | (1 << 15);
    },
  ],
  [
    'cow-shared-writable',
    'a shared page is mapped writable',
    ({ parent }) => {
      const at = lookupPte(parent, AT + PAGE);
      write_pte(at, (cpu.pte[at] as number) | 2);
    },
  ],
  [
    'pte-freed-page',
    'a mapped page is free',
    ({ parent }) => {
      pageAt(parent, AT)._refcount = 0;
    },
  ],
  [
    'pte-outside-vma',
    'an entry is left behind a VMA',
    ({ parent }) => {
      const at = lookupPte(parent, AT + 8 * PAGE);
      write_pte(at, pteAt(parent, AT));
    },
  ],
  [
    'pte-permission',
    'an entry is writable in a read-only VMA',
    ({ child }) => {
      const vma = vmaAtRaw(child, AT);
      vma.vm_flags = vma.vm_flags & ~2;
    },
  ],
  [
    'anon-page-without-anon-vma',
    'a VMA with anonymous pages loses its anon_vma',
    ({ vma }) => {
      vma.anon_vma = null;
    },
  ],
  [
    'rss-wrong',
    'a counter is one off',
    ({ child }) => {
      child.rss_anon = child.rss_anon + 1;
    },
  ],
  [
    'migration-page-unlocked',
    'a migration entry names an unlocked page',
    ({ parent }) => {
      const at = lookupPte(parent, AT);
      write_pte(at, (((cpu.pte[at] as number) >>> 8) << 8) | 4);
    },
  ],
  [
    'stale-migration-entry',
    'a migration entry is left',
    ({ parent }) => {
      const at = lookupPte(parent, AT);
      pageAt(parent, AT).flags |= 1;
      write_pte(at, (((cpu.pte[at] as number) >>> 8) << 8) | 4);
    },
  ],
  [
    'swap-count-wrong',
    'an entry names a free slot',
    ({ parent }) => {
      write_pte(lookupPte(parent, AT + 5 * PAGE), (9 << 8) | 2);
    },
  ],
  [
    'vma-tree',
    'two VMAs overlap',
    ({ vma }) => {
      vma.vm_end = vma.vm_end + 16 * PAGE;
    },
  ],
  [
    'vma-tree',
    'a gap is not known',
    ({ vma }) => {
      vma.rb_subtree_gap = vma.rb_subtree_gap - PAGE;
    },
  ],
  [
    'vma-tree',
    'map_count is one off',
    ({ parent }) => {
      parent.map_count = parent.map_count + 1;
    },
  ],
  [
    'held-at-end',
    'a lock is still on the stack',
    ({ machine, parent }) => {
      const block = machine.block(1);
      write_heap(block.held, parent.mmap_lock);
      block.held_count = 1;
    },
  ],
  [
    'held-at-end',
    'an RCU section is still open',
    ({ machine }) => {
      machine.block(1).rcu_depth = 1;
    },
  ],
  [
    'leaked-object',
    'a link is allocated and forgotten',
    () => {
      anon_vma_chain_cachep.alloc();
    },
  ],
];

describe('a judge', () => {
  for (const [kind, what, act] of sabotage) {
    test(`says ${kind} when ${what}`, () => {
      const setting = family();
      act(setting);
      expect(kinds(setting.machine)).toContain(kind);
      for (const verdict of judge(setting.machine, 'operation-end')) {
        expect(isFindingKind(verdict.kind)).toBe(true);
        expect(verdict.text).not.toContain('undefined');
      }
    });
  }

  test('says file-rmap-unreachable when a VMA is out of its file tree', () => {
    const machine = boot();
    const a = spawnInit(machine, 'A');
    machine.begin(a, {
      name: 'open',
      args: ['/f', 0x42],
      options: { size: 4 * PAGE },
      text: 'open',
      line: 0,
    });
    machine.run(a, ENDLESS, null);
    call(machine, a, 'mmap', AT, 4 * PAGE, 3, 0x11, machine.block(a).result, 0);
    call(machine, a, 'store', AT, 7);
    expect(judge(machine, 'operation-end')).toEqual([]);
    const mapping = vmaAtRaw(mmOfTask(machine, a) as mm_struct, AT).vm_file?.f_mapping;
    write_heap(mapping?.i_mmap ?? 0, 0);
    write_heap((mapping?.i_mmap ?? 0) + 1, 0);
    expect(kinds(machine)).toContain('file-rmap-unreachable');
  });

  test('says walk-missed also in a future that replaces a longer one', () => {
    const { machine, parent, vma } = family();
    for (let i = 0; i < 20; i++)
      call(machine, 1, 'mmap', AT + (32 + i) * PAGE, PAGE, 3, 0x32, -1, 0);
    expect(judge(machine, 'operation-end')).toEqual([]);
    machine.seekSlice(machine.slices.length - 20);
    machine.truncate();
    expect(machine.run(1, ENDLESS, null)).toBe('done');
    const page = pageAt(parent, AT + PAGE);
    const purpose = 'try_to_migrate';
    trace_walk_begin({ page, anon_vma: vma.anon_vma, index: page.index, purpose });
    trace_walk_end({ page, visits: 0, hits: 0, stopped: 0 });
    expect(kinds(machine)).toEqual(new Set(['walk-missed']));
  });

  test('stays silent after an oops: that state promises nothing', () => {
    const { machine, vma } = family();
    vma.vm_mm = null;
    machine.begin(1, { name: 'mprotect', args: [AT, PAGE, 1], text: 'mprotect', line: 0 });
    expect(machine.run(1, ENDLESS, null)).toBe('oops');
    expect(judge(machine, 'operation-end')).toEqual([]);
  });

  test('says walk-missed when a walk that must find everything did not visit a mapping', () => {
    const { machine, parent, child, vma } = family();
    const page = pageAt(parent, AT + PAGE);
    const walk = (visits: readonly vm_area_struct[], purpose: string, stopped: number) => {
      trace_walk_begin({ page, anon_vma: vma.anon_vma, index: page.index, purpose });
      for (const v of visits) {
        trace_walk_visit({ page, vma: v, anon_vma: vma.anon_vma, address: AT + PAGE });
      }
      trace_walk_end({ page, visits: visits.length, hits: 0, stopped });
      return judge(machine, 'operation-end').map((v) => `${v.kind}: ${v.text}`);
    };
    const both = [vma, vmaAtRaw(child, AT)];
    expect(walk(both, 'try_to_migrate', 0)).toEqual([]);
    expect(walk([vma], 'try_to_migrate', 1)).toEqual([]);
    expect(walk([vma], 'folio_referenced', 0)).toEqual([]);
    expect(walk([vma], 'try_to_migrate', 0)).toEqual([
      `walk-missed: try_to_migrate of pfn ${page.pfn.toString(16)} did not visit mm ${child.mm_id} at ${(AT + PAGE).toString(16)}`,
    ]);
    // Judged once.
    expect(judge(machine, 'operation-end')).toEqual([]);
    // A mapping that mremap carried past the walk was there all the time; a new one was not.
    const pte = pteAt(child, AT + PAGE);
    trace_walk_begin({
      page,
      anon_vma: vma.anon_vma,
      index: page.index,
      purpose: 'try_to_migrate',
    });
    for (const v of both) {
      trace_walk_visit({ page, vma: v, anon_vma: vma.anon_vma, address: AT + 6 * PAGE });
    }
    trace_pte_set({ mm: child, address: AT + PAGE, pte, old: 0 });
    trace_walk_visit({ page, vma, anon_vma: vma.anon_vma, address: AT + PAGE });
    trace_walk_end({ page, visits: 3, hits: 1, stopped: 0 });
    expect(kinds(machine)).toEqual(new Set());
    trace_walk_begin({
      page,
      anon_vma: vma.anon_vma,
      index: page.index,
      purpose: 'try_to_migrate',
    });
    trace_walk_visit({ page, vma, anon_vma: vma.anon_vma, address: AT + PAGE });
    trace_walk_visit({
      page,
      vma: vmaAtRaw(child, AT),
      anon_vma: vma.anon_vma,
      address: AT + PAGE,
    });
    trace_pte_clear({ mm: child, address: AT + 6 * PAGE, old: pte });
    trace_pte_set({ mm: child, address: AT + PAGE, pte, old: 0 });
    trace_walk_end({ page, visits: 2, hits: 1, stopped: 0 });
    expect(kinds(machine)).toEqual(new Set(['walk-missed']));
  });

  test('has a kind with a line of documentation for everything it says', () => {
    for (const [kind, doc] of Object.entries(findingKinds)) {
      expect(kind).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(doc.length).toBeGreaterThan(20);
    }
    expect(isFindingKind('none')).toBe(false);
  });
});
