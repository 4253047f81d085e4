/** Judges of one scheme or one daemon: each says what it is there for when somebody has broken it. */
import { expect, test } from 'vitest';
import { judge } from '../../src/check/judges.ts';
import { bootMachine } from '../../src/linux/boot.ts';
import { mmOfTask, pteAt, vmasOf } from '../../src/linux/describe.ts';
import { selectKernel } from '../../src/linux/kernels.ts';
import { list_del } from '../../src/linux/lib/list.ts';
import { khugepaged_mm_slot_cachep } from '../../src/linux/mm/khugepaged_types.ts';
import { ksmGlobals } from '../../src/linux/mm/ksm_globals.ts';
import { ksm_stable_node_cachep } from '../../src/linux/mm/ksm_types.ts';
import { PG_anon_exclusive } from '../../src/linux/mm/page-flags.ts';
import { type anonmm, NRPTE, pte_chain_cachep } from '../../src/linux/mm/rmap/early_types.ts';
import {
  mem_map,
  type mm_struct,
  type page,
  type vm_area_struct,
} from '../../src/linux/mm_types.ts';
import { read_heap, write_heap } from '../../src/sim/cpu.ts';
import type { Machine } from '../../src/sim/machine.ts';
import { liveObjects } from '../../src/sim/struct.ts';
import { call, settle, spawnInit, spawnKernelThread } from '../linux/driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const RW = 3;
const FIXED_ANON = 0x32;
const MERGEABLE = 12;
const HUGEPAGE = 14;
const PIN_WRITE = 1;

/** A parent and a child that share the page at AT, on some kernel. */
class World {
  readonly machine: Machine;
  readonly parent: number;
  readonly driver: number;

  constructor(kernel: string) {
    this.machine = bootMachine({
      kernel: selectKernel(kernel),
      memoryPages: 1024,
      swapPages: 64,
    });
    this.parent = spawnInit(this.machine, 'A');
    this.driver = spawnKernelThread(this.machine, 'kernel');
    this.run('mmap', AT, 2 * PAGE, RW, FIXED_ANON, -1, 0);
    this.run('store', AT, 7);
    this.run('fork');
  }

  run(name: string, ...args: unknown[]): number {
    return call(this.machine, this.parent, name, args);
  }

  get mm(): mm_struct {
    return mmOfTask(this.machine, this.parent) as mm_struct;
  }

  get vma(): vm_area_struct {
    return vmasOf(this.mm).find((vma) => vma.vm_start === AT) as vm_area_struct;
  }

  page(address = AT): page {
    return mem_map.at(pteAt(this.mm, address) >>> 8);
  }
}

/** Kernel, what is wrong, what is said of it; `prepare` comes before, and must leave all well. */
interface Case {
  readonly kernel: string;
  readonly what: string;
  readonly kind: string;
  readonly prepare?: (world: World) => void;
  readonly breakIt: (world: World) => void;
}

function merge(world: World): void {
  world.run('store', AT + PAGE, 7);
  world.run('madvise', AT, 2 * PAGE, MERGEABLE);
  const ksmd = spawnKernelThread(world.machine, 'ksmd');
  call(world.machine, ksmd, 'ksm_scan', [4]);
}

function only<T>(found: Iterable<T>): T {
  const [first] = found;
  if (first === undefined) throw new Error('there is none');
  return first;
}

const cases: readonly Case[] = [
  {
    kernel: 'v2.6.0',
    what: 'a pte_chain names an entry twice',
    kind: 'pte-chain-wrong',
    breakIt: () => {
      const last = only(liveObjects(pte_chain_cachep)).ptes + NRPTE - 1;
      write_heap(last - 1, read_heap(last));
    },
  },
  {
    kernel: 'v2.6.6-anonmm',
    what: 'a family counts a member too many',
    kind: 'anonmm-wrong',
    breakIt: ({ mm }) => {
      const own = mm.anonmm as anonmm;
      own.count = own.count + 1;
    },
  },
  {
    kernel: 'v2.6.6-anonmm',
    what: 'a page names another address than it has',
    kind: 'rmap-unreachable',
    breakIt: (world) => {
      world.page().index = AT + PAGE;
    },
  },
  {
    kernel: 'v2.6.33',
    what: 'a VMA is off the list of its anon_vma',
    kind: 'anon-vma-linkage',
    breakIt: ({ vma }) => list_del(vma.anon_vma_chain),
  },
  {
    kernel: 'v2.4.0',
    what: 'a node of the AVL tree has another height',
    kind: 'vma-tree',
    prepare: (world) => {
      for (let i = 1; i <= 40; i++)
        world.run('mmap', AT + 4 * i * PAGE, PAGE, RW, FIXED_ANON, -1, 0);
    },
    breakIt: ({ vma }) => {
      vma.vm_lock_seq = vma.vm_lock_seq + 1;
    },
  },
  {
    kernel: 'v6.18',
    what: 'ksmd counts an item too many',
    kind: 'ksm-item',
    prepare: merge,
    breakIt: () => {
      const globals = ksmGlobals();
      globals.ksm_rmap_items = globals.ksm_rmap_items + 1;
    },
  },
  {
    kernel: 'v6.18',
    what: 'a stable node names another page',
    kind: 'ksm-unreachable',
    prepare: merge,
    breakIt: () => {
      const node = only(liveObjects(ksm_stable_node_cachep));
      node.kpfn = node.kpfn + 1;
    },
  },
  {
    kernel: 'v6.18',
    what: 'khugepaged has a slot that is not listed',
    kind: 'khugepaged-slot',
    prepare: (world) => {
      world.run('mmap', AT + 1024 * PAGE, 1024 * PAGE, RW, FIXED_ANON, -1, 0);
      world.run('madvise', AT + 1024 * PAGE, 1024 * PAGE, HUGEPAGE);
      world.run('store', AT + 1024 * PAGE, 7);
    },
    breakIt: () => {
      khugepaged_mm_slot_cachep.alloc();
    },
  },
  {
    kernel: 'v6.18',
    what: 'a pinned page is not marked exclusive any more',
    kind: 'pinned-not-exclusive',
    prepare: (world) => {
      call(world.machine, world.driver, 'pin', [world.parent, AT + PAGE, PIN_WRITE]);
    },
    breakIt: (world) => {
      const page = world.page(AT + PAGE);
      page.flags = page.flags & ~PG_anon_exclusive;
    },
  },
];

test.each(cases)('$kernel: $kind is said when $what', ({ kernel, kind, prepare, breakIt }) => {
  const world = new World(kernel);
  prepare?.(world);
  settle(world.machine);
  expect(judge(world.machine, 'operation-end')).toEqual([]);
  breakIt(world);
  expect(judge(world.machine, 'operation-end').map((verdict) => verdict.kind)).toContain(kind);
});
