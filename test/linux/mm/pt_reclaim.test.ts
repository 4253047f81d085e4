/** MADV_DONTNEED of a whole page table: the table goes, and nobody is caught in it. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { mmOfTask } from '../../../src/linux/describe.ts';
import { MADV_DONTNEED, MADV_GUARD_INSTALL, PMD_SIZE } from '../../../src/linux/mm/mm.ts';
import { mm_find_pmd, pmd_none, pmdp_get } from '../../../src/linux/mm/pgtable.ts';
import { ptdesc_cachep } from '../../../src/linux/mm/pgtable_types.ts';
import type { mm_struct } from '../../../src/linux/mm_types.ts';
import { ENDLESS } from '../../../src/sim/cpu.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { begin, bootTest, call, findings, settle, spawnInit } from '../driver.ts';

const PAGE = 4096;
const P = 0x10_0000_0000;
const PRIVATE_FIXED = 0x32;

class World {
  readonly m: Machine = bootTest();
  readonly p = spawnInit(this.m, 'P', { mmapBase: P + 8 * PMD_SIZE });
  constructor() {
    this.do('mmap', [P, 2 * PMD_SIZE, 3, PRIVATE_FIXED, -1, 0]);
    this.do('store', [P, 1]);
    this.do('store', [P + PMD_SIZE, 2]);
  }
  do(name: string, args: readonly unknown[], task = this.p): number {
    return call(this.m, task, name, args);
  }
  mm(): mm_struct {
    this.m.activate();
    return mmOfTask(this.m, this.p) as mm_struct;
  }
  hasTable(address: number): boolean {
    return !pmd_none(pmdp_get(mm_find_pmd(this.mm(), address)));
  }
  liveTables(): number {
    this.m.activate();
    return ptdesc_cachep.live();
  }
  check(): void {
    expect(findings(this.m)).toEqual([]);
    expect(judge(this.m, 'operation-end')).toEqual([]);
  }
}

describe('zap_pte_range', () => {
  test('frees the table of a range that covers it, after a grace period', () => {
    const w = new World();
    const tables = w.liveTables();
    const bytes = w.mm().pgtables_bytes;
    w.do('madvise', [P, PMD_SIZE + PAGE, MADV_DONTNEED]);
    expect([w.hasTable(P), w.hasTable(P + PMD_SIZE)]).toEqual([false, true]);
    expect(w.mm().pgtables_bytes).toBe(bytes - PAGE);
    expect(w.liveTables()).toBe(tables);
    w.check();
    settle(w.m);
    expect(w.liveTables()).toBe(tables - 1);
    expect(w.do('load', [P])).toBe(0);
    w.check();
  });

  test('keeps it where something stays, where a page is missing, and at munmap', () => {
    const w = new World();
    w.do('madvise', [P + 7 * PAGE, PAGE, MADV_GUARD_INSTALL]);
    w.do('madvise', [P, PMD_SIZE, MADV_DONTNEED]);
    expect(w.hasTable(P)).toBe(true);
    w.do('madvise', [P + PMD_SIZE, PMD_SIZE - PAGE, MADV_DONTNEED]);
    expect(w.hasTable(P + PMD_SIZE)).toBe(true);
    w.check();
  });

  /** One thread accesses, parked at each of its statements while another empties the table. */
  test.each(['store', 'load'])('lets a %s of another thread fault into a new table', (access) => {
    const page = P + 3 * PAGE;
    for (let fuel = 0; fuel < 600; fuel++) {
      const w = new World();
      const thread = w.do('thread', []);
      w.do('load', [page]);
      begin(w.m, thread, access, access === 'store' ? [page, 7] : [page]);
      const early = w.m.run(thread, fuel, null) === 'done';
      begin(w.m, w.p, 'madvise', [P, PMD_SIZE, MADV_DONTNEED]);
      w.m.run(w.p, ENDLESS, null);
      if (!early) {
        expect(w.m.run(thread, ENDLESS, null)).toBe('done');
      }
      if (w.m.operationOf(w.p) !== null) {
        expect(w.m.run(w.p, ENDLESS, null)).toBe('done');
      }
      settle(w.m);
      w.check();
      if (early) {
        return;
      }
    }
    throw new Error('the access never ended');
  });
});
