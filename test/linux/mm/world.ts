/**
 * Small worlds for VMA tests, in the notation of the recorded micro-scenarios: pages relative to a base,
 * private anonymous MAP_FIXED mappings, and the VMA list drawn as text.
 */

import { list_entries } from '../../../src/linux/lib/list.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  VM_ACCOUNT,
  VM_EXEC,
  VM_LOCKED,
  VM_READ,
  VM_WRITE,
} from '../../../src/linux/mm/mm.ts';
import { lookupPte, pte_pfn, pte_present, ptep_get } from '../../../src/linux/mm/pgtable.ts';
import { vmaTreeRange } from '../../../src/linux/mm/vma_tree.ts';
import {
  type anon_vma,
  anon_vma_chain_cachep,
  type mm_struct,
  type task_struct,
  type vm_area_struct,
} from '../../../src/linux/mm_types.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { liveObjects } from '../../../src/sim/struct.ts';
import { bootTest, call, findings, spawnInit } from '../driver.ts';

export const BASE = 0x1000000000;
export const RW = 3;
export const R = 1;
export const RWX = 7;
export const NONE = 0;

const avcOf = anon_vma_chain_cachep.container('same_vma');

/** Result of a call: 0, a page number relative to the base, or `-ERRNO`. */
export class World {
  readonly m: Machine;
  task: number;
  readonly #letters = new Map<anon_vma, string>();

  constructor(m: Machine = bootTest(), task?: number) {
    this.m = m;
    this.task = task ?? spawnInit(m, 'A');
  }

  /** The same world seen by another task; letters are shared. */
  as(task: number): World {
    const other = new World(this.m, task);
    for (const [av, letter] of this.#letters) other.#letters.set(av, letter);
    return other;
  }

  mm(): mm_struct {
    return (this.m.block(this.task).context as task_struct).mm as mm_struct;
  }

  call(name: string, ...args: unknown[]): number {
    return call(this.m, this.task, name, args);
  }

  at(page: number): number {
    return BASE + page * PAGE_SIZE;
  }

  map(start: number, pages: number, prot = RW, flags = 0): number {
    const all = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags;
    return this.call('mmap', this.at(start), pages * PAGE_SIZE, prot, all, -1, 0);
  }

  unmap(start: number, pages: number): number {
    return this.call('munmap', this.at(start), pages * PAGE_SIZE);
  }

  protect(start: number, pages: number, prot: number): number {
    return this.call('mprotect', this.at(start), pages * PAGE_SIZE, prot);
  }

  advise(start: number, pages: number, advice: number): number {
    return this.call('madvise', this.at(start), pages * PAGE_SIZE, advice);
  }

  lock(start: number, pages: number, flags = 0): number {
    return this.call('mlock2', this.at(start), pages * PAGE_SIZE, flags);
  }

  unlock(start: number, pages: number): number {
    return this.call('munlock', this.at(start), pages * PAGE_SIZE);
  }

  write(...pages: number[]): void {
    for (const page of pages) this.call('store', this.at(page), 1 + (page % 200));
  }

  read(...pages: number[]): void {
    for (const page of pages) this.call('load', this.at(page));
  }

  /** mremap FIXED of equal size. */
  move(from: number, to: number, pages: number, flags = 0): number {
    const all = MREMAP_MAYMOVE | MREMAP_FIXED | flags;
    const len = pages * PAGE_SIZE;
    return this.call('mremap', this.at(from), len, len, all, this.at(to));
  }

  dontunmap(from: number, to: number, pages: number): number {
    return this.move(from, to, pages, MREMAP_DONTUNMAP);
  }

  resize(start: number, pages: number, to: number, flags = 0, new_page = 0): number {
    const place = (flags & MREMAP_FIXED) === 0 ? 0 : this.at(new_page);
    return this.call('mremap', this.at(start), pages * PAGE_SIZE, to * PAGE_SIZE, flags, place);
  }

  fork(): World {
    return this.as(this.call('fork'));
  }

  #letter(av: anon_vma): string {
    let letter = this.#letters.get(av);
    if (letter === undefined) {
      letter = String.fromCharCode(65 + this.#letters.size);
      this.#letters.set(av, letter);
    }
    return letter;
  }

  list(): vm_area_struct[] {
    this.m.activate();
    return vmaTreeRange(this.mm());
  }

  /** `[0,2) A, [2,4)r NULL pg=9`: range, protection if not rw, anon_vma, vm_pgoff if it is not the address. */
  vmas(ac = false): string {
    return this.list()
      .map((vma) => {
        const start = (vma.vm_start - BASE) / PAGE_SIZE;
        const end = (vma.vm_end - BASE) / PAGE_SIZE;
        const flags = vma.vm_flags;
        let prot = (flags & VM_READ) !== 0 ? 'r' : '-';
        if ((flags & VM_WRITE) !== 0) prot += 'w';
        if ((flags & VM_EXEC) !== 0) prot += 'x';
        if (prot === 'rw') prot = '';
        if (ac && (flags & VM_ACCOUNT) !== 0) prot += 'ac';
        if ((flags & VM_LOCKED) !== 0) prot += 'lo';
        const av = vma.anon_vma === null ? '' : ` ${this.#letter(vma.anon_vma)}`;
        const pgoff = vma.vm_pgoff - BASE / PAGE_SIZE;
        return `[${start},${end})${prot}${av}${pgoff === start ? '' : ` pg=${pgoff}`}`;
      })
      .join(' ');
  }

  /** Chain of the VMA at `page`, newest link first: `BA`. */
  chain(page: number): string {
    const vma = this.vma(page);
    return list_entries(vma.anon_vma_chain)
      .map((at) => this.#letter(avcOf(at).anon_vma))
      .join('');
  }

  vma(page: number): vm_area_struct {
    const found = this.list().find((v) => v.vm_start <= this.at(page) && this.at(page) < v.vm_end);
    if (found === undefined) throw new Error(`no VMA at page ${page}`);
    return found;
  }

  /** num_children, num_active_vmas, refcount of the anon_vma of the VMA at `page`. */
  counts(page: number): [number, number, number] {
    const av = this.vma(page).anon_vma;
    if (av === null) throw new Error(`page ${page} is unfaulted`);
    return [av.num_children, av.num_active_vmas, av.refcount];
  }

  /** Frame mapped at `page`, or null. */
  pfn(page: number): number | null {
    this.m.activate();
    const ptep = lookupPte(this.mm(), this.at(page));
    if (ptep === 0) return null;
    const pte = ptep_get(ptep);
    return pte_present(pte) ? pte_pfn(pte) : null;
  }

  /** Pages below `limit` that are mapped. */
  present(limit: number): number[] {
    return Array.from({ length: limit }, (_, i) => i).filter((i) => this.pfn(i) !== null);
  }

  findings(): string[] {
    return findings(this.m);
  }

  /** What must hold after any operation: the tree agrees with the VMAs, the counters with the tree. */
  problems(): string[] {
    const wrong: string[] = [];
    const mm = this.mm();
    const vmas = this.list();
    let end = 0;
    for (const vma of vmas) {
      const where = `[${(vma.vm_start - BASE) / PAGE_SIZE},${(vma.vm_end - BASE) / PAGE_SIZE})`;
      if (vma.tree_start !== vma.vm_start || vma.tree_end !== vma.vm_end)
        wrong.push(`${where}: tree`);
      if (vma.tree_gap !== vma.vm_start - end) wrong.push(`${where}: gap`);
      if (vma.vm_start < end || vma.vm_end <= vma.vm_start) wrong.push(`${where}: order`);
      if (vma.vm_refcnt !== 1) wrong.push(`${where}: refcnt ${vma.vm_refcnt}`);
      if (vma.vm_mm !== mm) wrong.push(`${where}: mm`);
      end = vma.vm_end;
    }
    if (vmas.length !== mm.map_count) wrong.push(`map_count ${mm.map_count}`);
    const pages = vmas.reduce((n, v) => n + (v.vm_end - v.vm_start) / PAGE_SIZE, 0);
    if (pages !== mm.total_vm) wrong.push(`total_vm ${mm.total_vm}, ${pages} mapped`);
    for (const avc of liveObjects(anon_vma_chain_cachep)) {
      if (avc.vma.vm_refcnt === 0) wrong.push('an avc of a detached VMA');
    }
    return [...wrong, ...this.findings()];
  }
}
