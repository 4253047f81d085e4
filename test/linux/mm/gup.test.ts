/** Pinned pages: what the device sees, and who must leave them alone. Expectations are those of mm/gup.c's callers. */
import { expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { mmOfTask } from '../../../src/linux/describe.ts';
import { EBUSY, EFAULT, ENOENT, ESRCH } from '../../../src/linux/errno.ts';
import { PageAnonExclusive } from '../../../src/linux/mm/page-flags.ts';
import { lookupPte, pte_page, pte_present, ptep_get } from '../../../src/linux/mm/pgtable.ts';
import { pinnedPageAt } from '../../../src/linux/mm/user_pin.ts';
import type { page } from '../../../src/linux/mm_types.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { bootTest, call, findings, settle, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const P = 0x10_0000_0000;
const RW = 3;
const PRIVATE = 0x32;
const SHARED_FILE = 0x11;
const PRIVATE_FILE = 0x12;
const WRITE = 1;
const LONGTERM = 0x100;
const FORCE = 8;
const BIAS = 1024;

class World {
  readonly m: Machine = bootTest();
  readonly p = spawnInit(this.m, 'P', { mmapBase: P + 64 * PAGE });
  readonly driver = spawnKernelThread(this.m, 'kernel');
  constructor() {
    call(this.m, this.p, 'mmap', [P, 4 * PAGE, RW, PRIVATE, -1, 0]);
  }
  do(name: string, args: readonly unknown[], task = this.p): number {
    return call(this.m, task, name, args);
  }
  pin(flags = WRITE, addr = P, task = this.p, by = this.driver): number {
    return this.do('pin', [task, addr, flags], by);
  }
  fork(): number {
    this.do('fork', []);
    return this.m.taskCount();
  }
  device(addr = P, task = this.p): number {
    return this.do('device_load', [task, addr], this.driver);
  }
  page(addr = P, task = this.p): page | null {
    this.m.activate();
    const mm = mmOfTask(this.m, task);
    const ptr = mm === null ? 0 : lookupPte(mm, addr);
    const pte = ptr === 0 ? 0 : ptep_get(ptr);
    return pte_present(pte) ? pte_page(pte) : null;
  }
  check(): void {
    settle(this.m);
    expect(findings(this.m)).toEqual([]);
    expect(judge(this.m, 'operation-end')).toEqual([]);
  }
}

test('a pin faults the page in, counts 1024 references and marks the mm', () => {
  for (const own of [true, false]) {
    const w = new World();
    expect(w.pin(WRITE, P, w.p, own ? w.p : w.driver)).toBe(1);
    settle(w.m);
    expect(w.page()?._refcount).toBe(1 + BIAS);
    expect(w.pin(WRITE, P + 5)).toBe(1);
    expect(w.page()?._refcount).toBe(1 + 2 * BIAS);
    w.do('store', [P, 7]);
    expect(w.device()).toBe(7);
    w.do('device_store', [w.p, P + 1, 9], w.driver);
    expect(w.do('load', [P + 1])).toBe(9);
    expect(w.do('unpin', [w.p, P], w.driver)).toBe(0);
    expect(w.do('unpin', [w.p, P], w.driver)).toBe(0);
    expect(w.do('unpin', [w.p, P], w.driver)).toBe(-ENOENT);
    expect(w.page()?._refcount).toBe(1);
    w.check();
  }
});

test('fork copies a pinned page for the child at once: parent and device keep theirs', () => {
  const w = new World();
  w.do('store', [P, 1]);
  w.do('store', [P + PAGE, 1]);
  w.pin();
  const pinned = w.page() as page;
  const child = w.fork();
  expect(w.page()).toBe(pinned);
  expect(w.page(P, child)).not.toBe(pinned);
  expect(PageAnonExclusive(w.page(P, child) as page)).toBe(true);
  // The page beside it is shared as ever.
  expect(w.page(P + PAGE, child)).toBe(w.page(P + PAGE));
  w.do('store', [P, 2]);
  expect(w.page()).toBe(pinned);
  expect(w.device()).toBe(2);
  expect(w.do('load', [P], child)).toBe(1);
  w.do('device_store', [w.p, P, 3], w.driver);
  expect(w.do('load', [P])).toBe(3);
  expect(w.do('load', [P], child)).toBe(1);
  w.check();
});

test('an unpinned mm shares all pages at fork, a mark without a pin changes nothing', () => {
  const w = new World();
  w.do('store', [P, 1]);
  w.pin();
  w.do('unpin', [w.p, P], w.driver);
  const child = w.fork();
  expect(w.page(P, child)).toBe(w.page());
  w.check();
});

test('a read-only pin of a page shared since fork gets a page of its own (unsharing)', () => {
  for (const flags of [0, LONGTERM]) {
    const w = new World();
    w.do('store', [P, 1]);
    const child = w.fork();
    const shared = w.page();
    expect(w.pin(flags)).toBe(1);
    expect(w.page()).not.toBe(shared);
    expect(w.page(P, child)).toBe(shared);
    w.do('store', [P, 5]);
    expect(w.device()).toBe(5);
    w.do('store', [P, 6], child);
    expect(w.device()).toBe(5);
    expect(w.do('device_store', [w.p, P, 9], w.driver)).toBe(-EFAULT);
    w.check();
  }
});

test('a short read-only pin may be of the zero page; a long one never is', () => {
  const w = new World();
  w.do('load', [P]);
  const zero = w.page() as page;
  expect(w.pin(0)).toBe(1);
  expect(pinnedPageAt(w.p, P)).toBe(zero);
  expect(zero._refcount).toBe(1);
  w.do('store', [P, 4]);
  expect(w.device()).toBe(0);
  expect(w.do('load', [P + PAGE])).toBe(0);
  expect(w.pin(LONGTERM, P + PAGE)).toBe(1);
  w.do('store', [P + PAGE, 4]);
  expect(w.device(P + PAGE)).toBe(4);
  w.check();
});

test('reclaim and migration leave a pinned page where it is', () => {
  const w = new World();
  w.do('store', [P, 1]);
  w.pin();
  settle(w.m);
  const pinned = w.page() as page;
  for (let i = 0; i < 3; i++) expect(w.do('reclaim', [w.p, P], w.driver)).toBe(0);
  expect(w.do('migrate', [w.p, P], w.driver)).toBe(-EBUSY);
  expect(w.do('madvise', [P, PAGE, 21])).toBe(0);
  expect(w.page()).toBe(pinned);
  expect(PageAnonExclusive(pinned)).toBe(true);
  w.do('unpin', [w.p, P], w.driver);
  expect(w.do('migrate', [w.p, P], w.driver)).toBe(0);
  expect(w.page()).not.toBe(pinned);
  w.check();
});

test('MADV_DONTNEED, munmap and exit leave the device a page that nobody else sees', () => {
  for (const end of ['madvise', 'munmap', 'exit_group']) {
    const w = new World();
    const child = w.fork();
    w.do('store', [P, 8], child);
    expect(w.pin(WRITE, P, child)).toBe(1);
    const pinned = pinnedPageAt(child, P) as page;
    if (end === 'madvise') w.do('madvise', [P, PAGE, 4], child);
    if (end === 'munmap') w.do('munmap', [P, PAGE], child);
    if (end === 'exit_group') w.do('exit_group', [0], child);
    settle(w.m);
    expect(pinned._refcount).toBe(BIAS);
    expect(w.device(P, child)).toBe(8);
    w.check();
    expect(w.do('unpin', [child, P], w.driver)).toBe(0);
    expect(pinned._refcount).toBe(0);
    w.check();
  }
});

test('what may not be accessed is not pinned', () => {
  const w = new World();
  expect(w.pin(WRITE, P + 32 * PAGE)).toBe(-EFAULT);
  w.do('mprotect', [P, PAGE, 1]);
  expect(w.pin(WRITE)).toBe(-EFAULT);
  expect(w.pin(0)).toBe(1);
  w.do('mprotect', [P + PAGE, PAGE, 0]);
  expect(w.pin(0, P + PAGE)).toBe(-EFAULT);
  expect(w.pin(0, P, w.driver)).toBe(-ESRCH);
  w.check();
});

test('a file that needs its dirty pages tracked takes no long-term writer; others do', () => {
  const w = new World();
  const fd = call(w.m, w.p, 'open', ['/tmp/file', 2], { size: 4 * PAGE });
  const memfd = call(w.m, w.p, 'memfd_create', ['m', 0]);
  w.do('ftruncate', [memfd, 4 * PAGE]);
  const map = (page: number, flags: number, which: number): number =>
    w.do('mmap', [P + page * PAGE, PAGE, RW, flags, which, 0]);
  map(8, SHARED_FILE, fd);
  map(9, PRIVATE_FILE, fd);
  map(10, SHARED_FILE, memfd);
  for (const by of [w.p, w.driver]) {
    expect(w.pin(WRITE | LONGTERM, P + 8 * PAGE, w.p, by)).toBe(-EFAULT);
    expect(w.pin(WRITE, P + 8 * PAGE, w.p, by)).toBe(1);
    expect(w.pin(WRITE | LONGTERM, P + 9 * PAGE, w.p, by)).toBe(1);
    expect(w.pin(WRITE | LONGTERM, P + 10 * PAGE, w.p, by)).toBe(1);
  }
  w.check();
});

test('a long-term reader of a private file mapping gets the copy that the process will write to', () => {
  const w = new World();
  const fd = call(w.m, w.p, 'open', ['/tmp/file', 2], { size: 4 * PAGE });
  w.do('mmap', [P + 8 * PAGE, 2 * PAGE, RW, PRIVATE_FILE, fd, 0]);
  w.pin(0, P + 8 * PAGE);
  w.pin(LONGTERM, P + 9 * PAGE);
  for (const page of [8, 9]) w.do('store', [P + page * PAGE, 77]);
  expect(w.device(P + 8 * PAGE)).not.toBe(77);
  expect(w.device(P + 9 * PAGE)).toBe(77);
  w.check();
});

test('FOLL_FORCE reads and writes private memory that is PROT_NONE, a page that fork shares as a copy', () => {
  const w = new World();
  w.do('store', [P, 7]);
  const child = w.fork();
  w.do('mprotect', [P, 4 * PAGE, 0]);
  expect(w.pin(WRITE)).toBe(-EFAULT);
  expect(w.pin(WRITE | FORCE)).toBe(1);
  w.do('device_store', [w.p, P, 8], w.driver);
  w.do('unpin', [w.p, P], w.driver);
  expect(w.pin(FORCE)).toBe(1);
  expect(w.device()).toBe(8);
  w.do('unpin', [w.p, P], w.driver);
  expect(w.do('load', [P])).toBe(-EFAULT);
  expect(w.do('load', [P], child)).toBe(7);
  w.check();
});
