/**
 * Calls functions of mm/vma.c on VMAs made by hand, as the kernel's tools/testing/vma does, but on a whole
 * machine: the anon_vmas, their trees and the locks are real. Ranges are pages relative to the base of
 * World; the page offset of a VMA is its first page unless a test says otherwise.
 */
import { expect } from 'vitest';
import { bootMachine } from '../../../src/linux/boot.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import {
  PAGE_SIZE,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_OPS_SPECIAL,
  VM_READ,
  VM_WRITE,
} from '../../../src/linux/mm/mm.ts';
import { mmap_write_lock, mmap_write_unlock } from '../../../src/linux/mm/mmap_lock.ts';
import {
  anon_vma_clone,
  anon_vma_fork,
  anon_vma_prepare,
} from '../../../src/linux/mm/rmap/anon_vma_chain.ts';
import {
  vma_link,
  vma_merge_existing_range,
  vma_merge_new_range,
} from '../../../src/linux/mm/vma.ts';
import { vm_area_alloc } from '../../../src/linux/mm/vma_init.ts';
import {
  VMG_STATE,
  VMG_VMA_STATE,
  type vma_merge_struct,
} from '../../../src/linux/mm/vma_rules.ts';
import { vmaTreeAtOrAfter, vmaTreeBefore } from '../../../src/linux/mm/vma_tree.ts';
import type { mm_struct, vm_area_struct } from '../../../src/linux/mm_types.ts';
import { ENDLESS } from '../../../src/sim/cpu.ts';
import type { Operation } from '../../../src/sim/machine.ts';
import type { K } from '../../../src/sim/wait.ts';
import { spawnInit } from '../driver.ts';
import { brokenInvariants } from './invariants.ts';
import { World } from './world.ts';

export const FLAGS = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE;

/** How a merge ended, and the request as it is now. */
export interface Merged {
  readonly vma: vm_area_struct | null;
  readonly vmg: vma_merge_struct;
}

const startBody = (op: Operation): K<number> => (op.args[0] as () => K<number>)();

export class VmaUnit {
  readonly world: World;
  readonly mm: mm_struct;
  /** vm_lock_seq of what the last run() has write-locked. */
  #sequence = 0;

  constructor() {
    const kernel = { ...selectKernel('v6.18'), startOperation: startBody };
    const machine = bootMachine({ kernel, memoryPages: 64, swapPages: 0 });
    this.world = new World(machine, spawnInit(machine, 'A'));
    this.mm = this.world.mm();
  }

  at(page: number): number {
    return this.world.at(page);
  }

  /** Page offset of a page: anonymous VMAs have that of their address. */
  pgoff(page: number): number {
    return this.at(page) / PAGE_SIZE;
  }

  /** Runs kernel functions in a task that holds mmap_lock for write. */
  run<T>(body: () => K<T>): T {
    const { m, task } = this.world;
    const results: T[] = [];
    const { mm } = this;
    const locked = function* (): K<number> {
      yield* mmap_write_lock(mm);
      results.push(yield* body());
      mmap_write_unlock(mm);
      return 0;
    };
    m.begin(task, { name: 'test', args: [locked], text: 'test', line: 0 });
    expect(m.run(task, ENDLESS, null)).toBe('done');
    // Taking and dropping mmap_lock each move the sequence number of the mm on by one.
    this.#sequence = mm.mm_lock_seq - 1;
    return results[0] as T;
  }

  /** A VMA that is in no tree. */
  alloc(start: number, end: number, flags = FLAGS, pgoff = start): vm_area_struct {
    this.world.m.activate();
    const vma = vm_area_alloc(this.mm) as vm_area_struct;
    vma.vm_start = this.at(start);
    vma.vm_end = this.at(end);
    vma.vm_pgoff = this.pgoff(pgoff);
    vma.vm_flags = flags;
    return vma;
  }

  link(start: number, end: number, flags = FLAGS, pgoff = start): vm_area_struct {
    const vma = this.alloc(start, end, flags, pgoff);
    expect(this.run(() => vma_link(this.mm, vma))).toBe(0);
    return vma;
  }

  /** A VMA with a close() hook: such a one must not be merged away. */
  linkWithClose(start: number, end: number): vm_area_struct {
    const vma = this.link(start, end);
    vma.vm_ops = VM_OPS_SPECIAL;
    return vma;
  }

  /** Gives the VMA an anon_vma, as its first write fault does. */
  fault(vma: vm_area_struct): vm_area_struct {
    expect(this.run(() => anon_vma_prepare(vma))).toBe(0);
    return vma;
  }

  /** Gives `vma` the chain of `like`: two parts of what was one VMA. */
  share(vma: vm_area_struct, like: vm_area_struct): vm_area_struct {
    vma.anon_vma = like.anon_vma;
    expect(this.run(() => anon_vma_clone(vma, like))).toBe(0);
    return vma;
  }

  /** Gives the VMA the chain of a fork child: its own anon_vma and one of a parent. */
  forked(vma: vm_area_struct, parentAt = 0x100): vm_area_struct {
    const parent = this.fault(this.link(parentAt, parentAt + 4));
    expect(this.run(() => anon_vma_fork(vma, parent))).toBe(0);
    return vma;
  }

  /** Whether the last run() has write-locked the VMA. */
  wasLocked(vma: vm_area_struct): boolean {
    return vma.vm_lock_seq === this.#sequence;
  }

  /** vma_merge_new_range() of [start, end), between what is there; of a copy of `source`, if given. */
  mergeNew(
    start: number,
    end: number,
    flags = FLAGS,
    source: vm_area_struct | null = null,
  ): Merged {
    const vmg = VMG_STATE(
      this.mm,
      this.at(start),
      this.at(end),
      flags,
      this.pgoff(start),
      null,
      source === null ? null : source.anon_vma,
    );
    vmg.copied_from = source;
    vmg.prev = vmaTreeBefore(this.mm, vmg.start);
    vmg.next = vmaTreeAtOrAfter(this.mm, vmg.start);
    return { vma: this.run(() => vma_merge_new_range(vmg)), vmg };
  }

  /** The same as brk() asks for it: only by growing the VMA before. */
  mergeNewExpanding(start: number, end: number): Merged {
    const vmg = VMG_STATE(this.mm, this.at(start), this.at(end), FLAGS, this.pgoff(start));
    vmg.prev = vmaTreeBefore(this.mm, vmg.start);
    vmg.just_expand = true;
    return { vma: this.run(() => vma_merge_new_range(vmg)), vmg };
  }

  /** The same; where nothing merges, the range gets a VMA of its own, which is returned. */
  mergeOrLink(start: number, end: number): { vma: vm_area_struct; merged: boolean } {
    const { vma, vmg } = this.mergeNew(start, end);
    expect(vmg.state).toBe(vma === null ? 'nomerge' : 'success');
    return { vma: vma ?? this.link(start, end), merged: vma !== null };
  }

  /** vma_merge_existing_range(): [start, end) of `middle` gets `flags`. */
  mergeExisting(
    prev: vm_area_struct | null,
    middle: vm_area_struct,
    start: number,
    end: number,
    flags = FLAGS,
  ): Merged {
    const vmg = VMG_VMA_STATE(prev, middle, this.at(start), this.at(end));
    vmg.vm_flags = flags;
    return { vma: this.run(() => vma_merge_existing_range(vmg)), vmg };
  }

  /** `[0,3) A`: as World draws them. */
  vmas(): string {
    return this.world.vmas();
  }

  /** What is inconsistent now. Pages are not accounted here: VMAs come from nowhere. */
  problems(): string[] {
    const { m } = this.world;
    return [
      ...this.world.problems().filter((text) => !text.startsWith('total_vm')),
      ...brokenInvariants(m),
    ];
  }
}
