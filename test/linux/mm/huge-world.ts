/** A machine with a process that has huge pages, for the tests of them. */
import { expect } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { mmOfTask } from '../../../src/linux/describe.ts';
import { page_folio } from '../../../src/linux/mm/page_alloc.ts';
import { lookupHugePmd, lookupPte, pte_page, ptep_get } from '../../../src/linux/mm/pgtable.ts';
import type { folio, mm_struct } from '../../../src/linux/mm_types.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { bootTest, call, findings, settle, spawnInit, spawnKernelThread } from '../driver.ts';

export const PAGE = 4096;
export const HUGE = 512 * PAGE;
/** Where the first block is. */
export const P = 0x10_0000_0000;
export const at = (page: number): number => P + page * PAGE;
export const MADV_HUGEPAGE = 14;

/** Of a block. */
export const pages = Array.from({ length: 512 }, (_, i) => i);

export class World {
  readonly m: Machine;
  readonly a: number;
  readonly kernel: number;

  constructor(swapPages = 2200, memoryPages = 6144) {
    this.m = bootTest({ memoryPages, swapPages });
    this.a = spawnInit(this.m, 'A');
    this.kernel = spawnKernelThread(this.m, 'kernel');
  }

  /** Maps blocks and writes the first page of each. */
  huge(blocks = 1): this {
    call(this.m, this.a, 'mmap', [P, blocks * HUGE, 3, 0x32, -1, 0]);
    call(this.m, this.a, 'madvise', [P, blocks * HUGE, MADV_HUGEPAGE]);
    for (let i = 0; i < blocks; i++) call(this.m, this.a, 'store', [P + i * HUGE, 1 + i]);
    settle(this.m);
    return this;
  }

  mm(task = this.a): mm_struct {
    return mmOfTask(this.m, task) as mm_struct;
  }

  do(name: string, ...args: unknown[]): number {
    const result = call(this.m, this.a, name, args);
    this.check(name);
    return result;
  }

  /** An operation of a kernel task on what process A maps at a page. */
  aim(name: string, page = 0, ...more: unknown[]): number {
    const result = call(this.m, this.kernel, name, [this.a, at(page), ...more]);
    this.check(name);
    return result;
  }

  fork(): number {
    this.do('fork');
    return this.m.taskCount();
  }

  load(page: number, task = this.a): number {
    return call(this.m, task, 'load', [at(page)]);
  }

  pmd(task = this.a): number {
    const word = lookupHugePmd(this.mm(task), P);
    return word === 0 ? 0 : ptep_get(word);
  }

  pte(page: number, task = this.a): number {
    const word = lookupPte(this.mm(task), at(page));
    return word === 0 ? 0 : ptep_get(word);
  }

  /** The folio that the first block is mapped to, by its huge entry or the entry of a page. */
  folio(page = 0, task = this.a): folio {
    const pmd = this.pmd(task);
    return page_folio(pmd !== 0 ? pte_page(pmd) : pte_page(this.pte(page, task)));
  }

  check(what: string): void {
    expect(findings(this.m), what).toEqual([]);
    expect(judge(this.m, 'operation-end'), what).toEqual([]);
  }
}
