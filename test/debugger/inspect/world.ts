/**
 * A small hand-made kernel state and scripted tasks, so that views can be tested without running the
 * kernel: an operation is a list of actions, each preceded by one step.
 */

import { INIT_LIST_HEAD, list_add } from '../../../src/linux/lib/list.ts';
import {
  trace_walk_begin,
  trace_walk_end,
  trace_walk_hit,
  trace_walk_miss,
  trace_walk_visit,
} from '../../../src/linux/mm/events.ts';
import { anon_vma_interval_tree_insert } from '../../../src/linux/mm/interval_tree.ts';
import {
  VM_ACCOUNT,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_READ,
  VM_WRITE,
} from '../../../src/linux/mm/mm.ts';
import { mem_init } from '../../../src/linux/mm/page_alloc.ts';
import { anon_mapping } from '../../../src/linux/mm/page-flags.ts';
import { pfn_pte } from '../../../src/linux/mm/pgtable.ts';
import { vm_area_alloc } from '../../../src/linux/mm/vma_init.ts';
import { vmaTreeStore } from '../../../src/linux/mm/vma_tree.ts';
import {
  type anon_vma,
  anon_vma_cachep,
  type anon_vma_chain,
  anon_vma_chain_cachep,
  mem_map,
  mm_cachep,
  type mm_struct,
  task_struct_cachep,
  type vm_area_struct,
} from '../../../src/linux/mm_types.ts';
import { cpu, ENDLESS, step, write_pte } from '../../../src/sim/cpu.ts';
import { Machine, type Operation } from '../../../src/sim/machine.ts';
import { registerSource } from '../../../src/sim/site.ts';
import { allocTable, PTRS_PER_TABLE } from '../../../src/sim/table.ts';
import { textId } from '../../../src/sim/text.ts';
import type { K } from '../../../src/sim/wait.ts';

export const PAGE = 4096;
export const BASE = 0x7f0000000000;

type Action = () => void;

const site = registerSource('test/script.ts', 'one\ntwo\nthree', [['script', 2, 1]]);

function* script(actions: readonly Action[]): K<number> {
  for (const action of actions) {
    if (step(site, 1, () => ({ left: actions.length, at: BASE }))) yield;
    action();
  }
  return 0;
}

export function newMachine(frames = 64): Machine {
  return new Machine({
    frames,
    kernel: {
      lock_tree: [{ depth: 1, cls: 'mm_struct.mmap_lock' }],
      anon_rmap: { shape: 'avc_tree' },
    },
    start: (operation: Operation) => script(operation.args as Action[]),
    boot: () => mem_init(),
  });
}

/** Runs actions as one operation of a task, `fuel` statements of them. */
export function run(m: Machine, task: number, actions: readonly Action[], fuel = ENDLESS): void {
  m.begin(task, { name: 'script', args: actions, text: 'script()', line: 0 });
  m.run(task, fuel, null);
}

/** A process: task, task_struct and an empty address space. */
export function process(m: Machine, name: string): { task: number; mm: mm_struct } {
  const task = m.spawn(name);
  const mm = mm_cachep.alloc();
  mm.owner = textId(name);
  mm.pgd = allocTable();
  const context = task_struct_cachep.alloc();
  context.pid = task;
  context.tgid = task;
  context.comm = mm.owner;
  context.sim_id = task;
  context.mm = mm;
  m.block(task).context = context;
  return { task, mm };
}

export function addVma(mm: mm_struct, startPage: number, pages: number): vm_area_struct {
  const vma = vm_area_alloc(mm) as vm_area_struct;
  vma.vm_start = BASE + startPage * PAGE;
  vma.vm_end = vma.vm_start + pages * PAGE;
  vma.vm_pgoff = vma.vm_start / PAGE;
  vma.vm_flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_ACCOUNT;
  vmaTreeStore(mm, vma);
  mm.map_count = mm.map_count + 1;
  mm.total_vm = mm.total_vm + pages;
  return vma;
}

export function addAnonVma(parent: anon_vma | null): anon_vma {
  const av = anon_vma_cachep.alloc();
  av.parent = parent ?? av;
  av.root = parent === null ? av : parent.root;
  av.refcount = 1;
  av.num_active_vmas = 1;
  av.num_children = parent === null ? 1 : 0;
  return av;
}

export function link(vma: vm_area_struct, av: anon_vma): anon_vma_chain {
  const avc = anon_vma_chain_cachep.alloc();
  avc.vma = vma;
  avc.anon_vma = av;
  INIT_LIST_HEAD(avc.same_vma);
  list_add(avc.same_vma, vma.anon_vma_chain);
  anon_vma_interval_tree_insert(avc, av.rb_root);
  return avc;
}

/** Maps a page frame at an address with nothing but the page tables knowing. */
export function mapPage(mm: mm_struct, address: number, pfn: number): void {
  let table = mm.pgd;
  for (const span of [2 ** 39, 2 ** 30, 2 ** 21]) {
    const at = table * PTRS_PER_TABLE + (Math.floor(address / span) % 512);
    if (cpu.pte[at] === 0) write_pte(at, (allocTable() << 8) | 0xf);
    table = (cpu.pte[at] as number) >>> 8;
  }
  write_pte(table * PTRS_PER_TABLE + (Math.floor(address / PAGE) % 512), pfn_pte(pfn, 0x7));
}

/** Makes a frame an anonymous page of `av`, mapped nowhere yet. */
export function anonPage(pfn: number, av: anon_vma, index: number): void {
  const page = mem_map.at(pfn);
  page.mapping = anon_mapping(av);
  page.index = index;
  page._refcount = 1;
}

export interface Visited {
  readonly vma: vm_area_struct;
  readonly hit: boolean;
}

/** The actions of a walk: its begin, each visit and what it came to, its end. */
export function walkActions(pfn: number, av: anon_vma, visits: readonly Visited[]): Action[] {
  const page = mem_map.at(pfn);
  const index = page.index;
  const actions: Action[] = [
    () => trace_walk_begin({ page, anon_vma: av, index, purpose: 'folio_referenced_one' }),
  ];
  for (const { vma, hit } of visits) {
    const address = vma.vm_start + (index - vma.vm_pgoff) * PAGE;
    actions.push(() => trace_walk_visit({ page, vma, anon_vma: av, address }));
    actions.push(() => (hit ? trace_walk_hit : trace_walk_miss)({ page, vma, address }));
  }
  const hits = visits.filter((visit) => visit.hit).length;
  actions.push(() => trace_walk_end({ page, visits: visits.length, hits, stopped: 0 }));
  return actions;
}

/** Parent A and child B share page 20 at BASE + 1 page; B has its own anon_vma too. */
export function family(m: Machine) {
  const a = process(m, 'A');
  const b = process(m, 'B');
  const vmaA = addVma(a.mm, 0, 4);
  const far = addVma(a.mm, 100, 40);
  const vmaB = addVma(b.mm, 0, 4);
  const root = addAnonVma(null);
  const child = addAnonVma(root);
  vmaA.anon_vma = root;
  vmaB.anon_vma = child;
  link(vmaA, root);
  link(vmaB, root);
  link(vmaB, child);
  const pfn = 20;
  anonPage(pfn, root, vmaA.vm_pgoff + 1);
  mapPage(a.mm, vmaA.vm_start + PAGE, pfn);
  mapPage(b.mm, vmaB.vm_start + PAGE, pfn);
  mem_map.at(pfn)._mapcount = 1;
  return { m, a, b, vmaA, vmaB, far, root, child, pfn };
}
