/** What happens to pages: copy on write, walks, swap, migration, page cache. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { mmOfTask, taskIsAlive, vmaAt } from '../../../src/linux/describe.ts';
import { NODE_DATA } from '../../../src/linux/mm/node.ts';
import {
  folio_anon_vma,
  folio_test_swapcache,
  PageAnonExclusive,
} from '../../../src/linux/mm/page-flags.ts';
import {
  lookupPte,
  pte_is_swap_entry,
  pte_page,
  pte_present,
  pte_special,
  pte_swp_exclusive,
  pte_to_swp_entry,
  pte_write,
  ptep_get,
} from '../../../src/linux/mm/pgtable.ts';
import { swap_count, swap_info } from '../../../src/linux/mm/swapfile.ts';
import type { anon_vma, page } from '../../../src/linux/mm_types.ts';
import { cpu } from '../../../src/sim/cpu.ts';
import { eventAt } from '../../../src/sim/event.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import {
  begin,
  bootTest,
  call,
  findings,
  settle,
  spawnInit,
  spawnKernelThread,
} from '../driver.ts';
import { brokenInvariants } from './invariants.ts';

const PAGE = 4096;
const P = 0x10_0000_0000;
const at = (page: number): number => P + page * PAGE;
const RW = 3;
const PRIVATE = 0x32;
const SHARED = 0x31;

class World {
  readonly m: Machine = bootTest();
  start(): number {
    return spawnInit(this.m, 'P', { mmapBase: P + 64 * PAGE });
  }
  map(task: number, page: number, n: number, flags = PRIVATE, fd = -1, prot = RW, off = 0): number {
    return call(this.m, task, 'mmap', [at(page), n * PAGE, prot, flags, fd, off]);
  }
  store(task: number, page: number, value: number): number {
    return call(this.m, task, 'store', [at(page), value]);
  }
  load(task: number, page: number): number {
    return call(this.m, task, 'load', [at(page)]);
  }
  fork(task: number): number {
    return call(this.m, task, 'fork');
  }
  pte(task: number, page: number): number {
    this.m.activate();
    const mm = mmOfTask(this.m, task);
    const ptr = mm === null ? 0 : lookupPte(mm, at(page));
    return ptr === 0 ? 0 : ptep_get(ptr);
  }
  page(task: number, page: number): page {
    const pte = this.pte(task, page);
    if (!pte_present(pte)) throw new Error(`page ${page} of ${task} is not present`);
    return pte_page(pte);
  }
  anonVma(task: number, page: number): anon_vma | null {
    const mm = mmOfTask(this.m, task);
    return mm === null ? null : (vmaAt(mm, at(page))?.anon_vma ?? null);
  }
  kernel(name: string, task: number, page: number): number {
    return call(this.m, spawnKernelThread(this.m, 'kernel'), name, [task, at(page)]);
  }
  /** Names and fields of the events of one system since event number `from`. */
  events(from: number, prefix: string): string[] {
    const found: string[] = [];
    for (let i = from; i < cpu.event_count; i++) {
      const event = eventAt(i);
      if (event.type.name.startsWith(prefix)) found.push(event.type.name.slice(prefix.length));
    }
    return found;
  }
  check(): void {
    expect(findings(this.m)).toEqual([]);
    expect(brokenInvariants(this.m)).toEqual([]);
  }
}

describe('do_anonymous_page', () => {
  test('maps the zero page for a read, without anon_vma, and a new page for the write', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 3);
    expect(w.load(p, 0)).toBe(0);
    expect(pte_special(w.pte(p, 0))).toBe(true);
    expect(w.anonVma(p, 0)).toBeNull();
    w.store(p, 0, 5);
    expect(w.page(p, 0).pfn).not.toBe(0);
    expect(PageAnonExclusive(w.page(p, 0))).toBe(true);
    expect(w.load(p, 0)).toBe(5);
    w.check();
  });
});

describe('do_wp_page', () => {
  test('copies while the child shares, and reuses the page once it is alone', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 4);
    w.store(p, 0, 1);
    w.store(p, 1, 2);
    const [first, second] = [w.page(p, 0), w.page(p, 1)];
    const c = w.fork(p);
    expect(first._mapcount + 1).toBe(2);
    expect(PageAnonExclusive(first)).toBe(false);
    expect(pte_write(w.pte(p, 0)) || pte_write(w.pte(c, 0))).toBe(false);
    w.store(c, 2, 3);
    expect(folio_anon_vma(w.page(c, 2))).toBe(w.anonVma(c, 0));
    w.store(c, 0, 4);
    expect(w.page(c, 0)).not.toBe(first);
    expect(w.page(p, 0)).toBe(first);
    w.store(p, 0, 6);
    expect(w.page(p, 0)).toBe(first);
    expect(PageAnonExclusive(first)).toBe(true);
    w.store(p, 1, 7);
    expect(w.page(p, 1)).not.toBe(second);
    expect([w.load(p, 0), w.load(p, 1), w.load(c, 0), w.load(c, 1)]).toEqual([6, 7, 4, 2]);
    w.check();
  });

  test('moves the page of a parent that is gone to the anon_vma of the child', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 2);
    w.store(p, 0, 1);
    const c = w.fork(p);
    const page = w.page(c, 0);
    call(w.m, p, 'munmap', [at(0), 2 * PAGE]);
    expect(folio_anon_vma(page)).toBe(w.anonVma(c, 0)?.root);
    w.store(c, 0, 2);
    expect(w.page(c, 0)).toBe(page);
    expect(folio_anon_vma(page)).toBe(w.anonVma(c, 0));
    w.check();
  });
});

describe('a reverse-map walk', () => {
  test('visits every VMA of the anon_vma and counts hits and misses', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 2);
    w.store(p, 0, 1);
    const children = [w.fork(p), w.fork(p), w.fork(p)];
    w.store(children[1] as number, 0, 2);
    const from = cpu.event_count;
    // Fork made the children's entries old: only the parent has used the page since.
    expect(w.kernel('referenced', p, 0)).toBe(1);
    const walk = w.events(from, 'rmap:walk_');
    expect(walk).toEqual([
      ...['begin', 'visit', 'hit', 'visit', 'hit', 'visit', 'miss', 'visit', 'hit', 'end'],
    ]);
    const last = [...Array(cpu.event_count - from).keys()]
      .map((i) => eventAt(from + i))
      .find((e) => e.type.name === 'rmap:walk_end');
    expect(last?.values.slice(1, 3)).toEqual([4, 3]);
    // The copy belongs to the child's own anon_vma: one VMA, found at once.
    const own = cpu.event_count;
    expect(w.kernel('referenced', children[1] as number, 0)).toBe(1);
    expect(w.events(own, 'rmap:walk_')).toEqual(['begin', 'visit', 'hit', 'end']);
    expect(w.kernel('referenced', p, 0)).toBe(0);
    w.check();
  });
});

describe('reclaim', () => {
  test('keeps a page that was just used, then swaps it out of every sharer', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 2);
    w.store(p, 0, 8);
    const c = w.fork(p);
    expect(w.kernel('reclaim', p, 0)).toBe(0);
    expect(w.kernel('reclaim', p, 0)).toBe(1);
    for (const task of [p, c]) {
      expect(pte_is_swap_entry(w.pte(task, 0))).toBe(true);
      expect(pte_swp_exclusive(w.pte(task, 0))).toBe(false);
    }
    expect(swap_count(pte_to_swp_entry(w.pte(p, 0)))).toBe(2);
    expect([mmOfTask(w.m, p)?.rss_swap, mmOfTask(w.m, p)?.rss_anon]).toEqual([1, 0]);
    // A shared page comes back into the root's anon_vma and is copied by a write.
    expect(w.load(c, 0)).toBe(8);
    expect(folio_anon_vma(w.page(c, 0))).toBe(w.anonVma(c, 0)?.root);
    expect(PageAnonExclusive(w.page(c, 0))).toBe(false);
    w.store(c, 0, 9);
    expect([w.load(c, 0), w.load(p, 0)]).toEqual([9, 8]);
    w.check();
    call(w.m, c, 'exit', [0]);
    call(w.m, p, 'exit', [0]);
    settle(w.m);
    expect(swap_info()?.inuse_pages).toBe(0);
    expect(NODE_DATA().used_pages).toBe(1);
  });

  test('remembers that the only owner was exclusive: read keeps the slot, write frees it', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 2);
    for (const page of [0, 1]) {
      w.store(p, page, 3);
      w.kernel('reclaim', p, page);
      expect(w.kernel('reclaim', p, page)).toBe(1);
      expect(pte_swp_exclusive(w.pte(p, page))).toBe(true);
    }
    expect(w.load(p, 0)).toBe(3);
    const page = w.page(p, 0);
    expect([PageAnonExclusive(page), folio_test_swapcache(page), pte_write(w.pte(p, 0))]).toEqual([
      true,
      true,
      true,
    ]);
    w.store(p, 1, 4);
    expect(folio_test_swapcache(w.page(p, 1))).toBe(false);
    expect(swap_info()?.inuse_pages).toBe(1);
    expect(w.load(p, 1)).toBe(4);
    w.check();
  });

  test('finds a page-cache page that nobody wrote and reads it again from the disk', () => {
    const w = new World();
    const p = w.start();
    const fd = call(w.m, p, 'open', ['/f', 2], { size: 8 * PAGE, kind: 'file' });
    w.map(p, 0, 8, 0x11, fd, 1);
    expect(w.load(p, 2)).toBe(0);
    const page = w.page(p, 2);
    settle(w.m);
    for (let i = 0; i < 4 && pte_present(w.pte(p, 2)); i++) w.kernel('reclaim', p, 2);
    expect(w.pte(p, 2)).toBe(0);
    expect(w.load(p, 2)).toBe(0);
    expect(w.page(p, 2)._mapcount).toBe(0);
    expect(page.pfn).toBeGreaterThan(0);
    w.check();
  });
});

describe('migration', () => {
  test('moves a page for all that map it and keeps what each could do', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 2);
    w.store(p, 0, 5);
    const before = w.page(p, 0);
    expect(w.kernel('migrate', p, 0)).toBe(0);
    expect(w.page(p, 0)).not.toBe(before);
    expect([PageAnonExclusive(w.page(p, 0)), pte_write(w.pte(p, 0))]).toEqual([true, true]);
    const c = w.fork(p);
    const shared = w.page(p, 0);
    const from = cpu.event_count;
    expect(w.kernel('migrate', c, 0)).toBe(0);
    expect(w.events(from, 'migrate:')).toEqual([
      'begin',
      'set_migration_pte',
      'set_migration_pte',
      'remove_migration_pte',
      'remove_migration_pte',
      'end',
    ]);
    expect(w.page(p, 0)).not.toBe(shared);
    expect(w.page(p, 0)).toBe(w.page(c, 0));
    expect(PageAnonExclusive(w.page(p, 0)) || pte_write(w.pte(p, 0))).toBe(false);
    expect([w.load(p, 0), w.load(c, 0)]).toEqual([5, 5]);
    settle(w.m);
    expect(w.page(p, 0)._refcount).toBe(2);
    w.check();
  });

  test('of a page-cache page replaces it in the file', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 4, SHARED);
    w.store(p, 1, 7);
    const c = w.fork(p);
    expect(w.load(c, 1)).toBe(7);
    const before = w.page(p, 1);
    expect(w.kernel('migrate', p, 1)).toBe(0);
    expect(w.page(p, 1)).not.toBe(before);
    expect(w.page(c, 1)).toBe(w.page(p, 1));
    w.store(c, 1, 8);
    expect(w.load(p, 1)).toBe(8);
    w.check();
  });
});

describe('do_fault', () => {
  test('maps 16 ready pages around a read, one for a write, copies for a private write', () => {
    const w = new World();
    const p = w.start();
    const fd = call(w.m, p, 'open', ['/f', 2], { size: 32 * PAGE, kind: 'file' });
    w.map(p, 0, 30, 0x12, fd);
    // The first read finds nothing ready and maps its own page only.
    w.load(p, 3);
    w.load(p, 5);
    const present = (n: number): number[] =>
      [...Array(n).keys()].filter((i) => pte_present(w.pte(p, i)));
    expect(present(16)).toEqual([...Array(16).keys()]);
    expect(w.anonVma(p, 0)).toBeNull();
    w.store(p, 3, 9);
    expect(w.page(p, 3).index).toBe(3);
    expect(folio_anon_vma(w.page(p, 3))).toBe(w.anonVma(p, 0));
    w.check();
    // The file itself is not changed.
    w.map(p, 40, 30, 0x11, fd);
    expect([w.load(p, 43), w.load(p, 3)]).toEqual([0, 9]);
    w.store(p, 45, 6);
    expect(w.load(p, 5)).toBe(6);
    w.check();
  });

  test('of shared memory starts empty in the child and finds its pages again', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 4, SHARED);
    expect(w.load(p, 0)).toBe(0);
    w.store(p, 1, 4);
    const c = w.fork(p);
    expect([w.pte(c, 0), w.pte(c, 1)]).toEqual([0, 0]);
    expect(w.load(c, 0)).toBe(0);
    expect(w.page(c, 1)).toBe(w.page(p, 1));
    expect(w.load(c, 1)).toBe(4);
    w.check();
  });

  test('beyond the end of the file is a bus error, also after truncation', () => {
    const w = new World();
    const p = w.start();
    const fd = call(w.m, p, 'open', ['/f', 2], { size: 4 * PAGE, kind: 'tmpfs' });
    w.map(p, 0, 8, 0x11, fd);
    w.store(p, 3, 5);
    expect(w.load(p, 4)).toBeLessThan(0);
    expect(call(w.m, p, 'ftruncate', [fd, 2 * PAGE])).toBe(0);
    expect(w.load(p, 3)).toBeLessThan(0);
    expect(call(w.m, p, 'ftruncate', [fd, 4 * PAGE])).toBe(0);
    expect(w.load(p, 3)).toBe(0);
    w.check();
  });
});

describe('reclaim and migration against everybody', () => {
  test('never lose a byte, never leave a stale entry, never leak', () => {
    for (let seed = 1; seed <= 80; seed++) {
      const w = new World();
      const prng = new Prng(seed);
      const tasks = [w.start()];
      const kernels = ['kswapd', 'kcompactd'].map((name) => spawnKernelThread(w.m, name));
      w.map(tasks[0] as number, 0, 6);
      w.map(tasks[0] as number, 6, 2, SHARED);
      for (let page = 0; page < 8; page++) w.store(tasks[0] as number, page, page + 1);
      const log: string[] = [];
      let started = 0;
      try {
        for (let turn = 0; turn < 4000; turn++) {
          for (let id = 1; id <= w.m.taskCount(); id++) {
            if (!tasks.includes(id) && w.m.names[id] === 'P' && taskIsAlive(w.m, id))
              tasks.push(id);
          }
          const alive = tasks.filter((t) => taskIsAlive(w.m, t));
          const idle = [...alive, ...kernels].filter((t) => w.m.block(t).op === 0);
          if (started < 50 && idle.length > 0 && alive.length > 0) {
            started++;
            const task = prng.pick(idle);
            const page = prng.below(8);
            let name = prng.pick(['load', 'load', 'load', 'fork', 'exit', 'dontneed', 'mprotect']);
            let args: number[] = [at(page)];
            if (kernels.includes(task)) {
              name = prng.pick(['reclaim', 'migrate', 'referenced']);
              args = [prng.pick(alive), at(page)];
            } else if (name === 'fork' || name === 'exit') {
              args = name === 'exit' ? [0] : [];
              if (name === 'fork' ? alive.length > 4 : alive.length < 2)
                [name, args] = ['load', [at(page)]];
            } else if (name === 'mprotect') {
              args = [at(page), PAGE, prng.below(2) * 2 + 1];
            } else if (name === 'dontneed') {
              name = 'store';
              args = [at(page), page + 1];
            }
            log.push(`${task}: ${name}(${args.map((n) => n.toString(16)).join(', ')})`);
            begin(w.m, task, name, args);
          }
          const busy = [...alive, ...kernels].filter((t) => w.m.block(t).op !== 0);
          if (busy.length === 0 && (started >= 50 || alive.length === 0)) break;
          const ready = busy.filter((t) => w.m.enabled(t));
          if (busy.length > 0 && ready.length === 0) throw new Error('deadlock');
          if (ready.length > 0) {
            const task = prng.pick(ready);
            const operation = w.m.operationOf(task);
            if (w.m.run(task, prng.below(40), null) === 'done' && operation?.name === 'load') {
              const page = ((operation.args[0] as number) - P) / PAGE;
              if (w.m.block(task).result !== page + 1) {
                throw new Error(`${operation.text} gave ${w.m.block(task).result}`);
              }
            }
          }
          expect(findings(w.m)).toEqual([]);
        }
        expect(brokenInvariants(w.m)).toEqual([]);
        for (const task of tasks) if (taskIsAlive(w.m, task)) call(w.m, task, 'exit', [0]);
        settle(w.m);
        expect(findings(w.m)).toEqual([]);
        expect([NODE_DATA().used_pages, swap_info()?.inuse_pages]).toEqual([1, 0]);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}\n${log.join('\n')}`);
      }
    }
  }, 120_000);
});
