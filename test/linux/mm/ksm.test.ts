/** KSM: what mm/ksm.c promises, where the recordings do not reach: limits, chains, swap, migration, settings, leftovers. */
import { expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { judge } from '../../../src/check/judges.ts';
import { mmOfTask } from '../../../src/linux/describe.ts';
import { EBUSY, EINVAL } from '../../../src/linux/errno.ts';
import { is_ksm_zero_pte, ksmGlobals } from '../../../src/linux/mm/ksm_globals.ts';
import {
  ksm_mm_slot_cachep,
  ksm_rmap_item_cachep,
  ksm_stable_node_cachep,
} from '../../../src/linux/mm/ksm_types.ts';
import { folio_test_ksm } from '../../../src/linux/mm/page-flags.ts';
import { lookupPte, pte_page, pte_present, ptep_get } from '../../../src/linux/mm/pgtable.ts';
import {
  anon_vma_cachep,
  mm_cachep,
  type mm_struct,
  type page,
} from '../../../src/linux/mm_types.ts';
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

const PAGE = 4096;
const BASE = 0x10_0000_0000;
const RW = 3;
const FIXED_PRIVATE_ANON = 0x32;
const MERGEABLE = 12;
const UNMERGEABLE = 13;
const DONTNEED = 4;
const SET_MEMORY_MERGE = 67;
const GET_MEMORY_MERGE = 68;

interface World {
  readonly m: Machine;
  readonly task: number;
  readonly ksmd: number;
}

/** A process with a mergeable mapping of so many pages, page i filled with byte(i). */
function world(pages: number, byte: (n: number) => number): World {
  const m = bootTest();
  const task = spawnInit(m, 'A');
  const ksmd = spawnKernelThread(m, 'ksmd');
  call(m, task, 'mmap', [BASE, pages * PAGE, RW, FIXED_PRIVATE_ANON, -1, 0]);
  call(m, task, 'madvise', [BASE, pages * PAGE, MERGEABLE]);
  for (let n = 0; n < pages; n++) call(m, task, 'store', [BASE + n * PAGE, byte(n)]);
  return { m, task, ksmd };
}

function scan({ m, ksmd }: World, passes: number): void {
  call(m, ksmd, 'ksm_scan', [passes]);
}

function pageAt({ m, task }: World, n: number, of = task): page | null {
  const at = lookupPte(mmOfTask(m, of) as mm_struct, BASE + n * PAGE);
  const pte = at === 0 ? 0 : ptep_get(at);
  return pte_present(pte) ? pte_page(pte) : null;
}

/** How many of the first n addresses each KSM page is mapped at, most first. */
function sharing(w: World, pages: number): number[] {
  const counts = new Map<page, number>();
  for (let n = 0; n < pages; n++) {
    const page = pageAt(w, n);
    if (page !== null && folio_test_ksm(page)) counts.set(page, (counts.get(page) ?? 0) + 1);
  }
  return [...counts.values()].sort((a, b) => b - a);
}

function expectSound(w: World): void {
  expect(findings(w.m)).toEqual([]);
  expect(judge(w.m, 'operation-end')).toEqual([]);
}

test('a page merges when it is found unchanged: not in the first pass, but in the second', () => {
  const w = world(4, () => 7);
  scan(w, 1);
  expect(sharing(w, 4)).toEqual([]);
  scan(w, 1);
  expect(sharing(w, 4)).toEqual([4]);
  expectSound(w);
});

test('a page that changes between two passes does not merge', () => {
  const w = world(3, () => 7);
  for (let pass = 0; pass < 4; pass++) {
    scan(w, 1);
    call(w.m, w.task, 'store', [BASE, 10 + pass]);
    call(w.m, w.task, 'store', [BASE + PAGE, 10 + pass]);
  }
  expect(sharing(w, 3)).toEqual([]);
  expectSound(w);
});

test('pages of many contents are each found: the trees are searched by content', () => {
  const w = world(120, (n) => (n * 37) % 60);
  scan(w, 2);
  expect(sharing(w, 120)).toEqual(new Array<number>(60).fill(2));
  expect(ksmGlobals().ksm_pages_shared).toBe(60);
  expect(ksmGlobals().ksm_pages_sharing).toBe(60);
  expectSound(w);
});

test('no KSM page is shared more than max_page_sharing times: more make a chain of pages', () => {
  const w = world(600, () => 7);
  scan(w, 3);
  expect(sharing(w, 600)).toEqual([256, 256, 88]);
  expect(ksmGlobals().ksm_stable_node_chains).toBe(1);
  expect(ksmGlobals().ksm_stable_node_dups).toBe(3);
  expectSound(w);
  // Only one page of the chain stays: it takes the place of the chain.
  const one = pageAt(w, 0);
  for (let n = 1; n < 600; n++) {
    if (pageAt(w, n) !== one) call(w.m, w.task, 'madvise', [BASE + n * PAGE, PAGE, DONTNEED]);
  }
  call(w.m, w.task, 'store', [BASE + 599 * PAGE, 7]);
  scan(w, 3);
  expect(ksmGlobals().ksm_stable_node_chains).toBe(0);
  expectSound(w);
});

test('a store takes one mapping away, the last sharer keeps the KSM page', () => {
  const w = world(2, () => 7);
  scan(w, 2);
  const shared = pageAt(w, 1);
  call(w.m, w.task, 'store', [BASE, 8]);
  expect(pageAt(w, 0)).not.toBe(shared);
  expect(sharing(w, 2)).toEqual([1]);
  call(w.m, w.task, 'store', [BASE + PAGE, 9]);
  expect(pageAt(w, 1)).not.toBe(shared);
  expect(sharing(w, 2)).toEqual([]);
  expect(call(w.m, w.task, 'load', [BASE])).toBe(8);
  expectSound(w);
});

test('migration moves a KSM page under all its mappings, those of a child that ksmd has not seen included', () => {
  const w = world(3, () => 7);
  scan(w, 2);
  const child = call(w.m, w.task, 'fork');
  const before = pageAt(w, 0);
  settle(w.m);
  expect(call(w.m, w.ksmd, 'migrate', [w.task, BASE])).toBe(0);
  const after = pageAt(w, 0) as page;
  expect(after).not.toBe(before);
  expect(folio_test_ksm(after)).toBe(true);
  for (let n = 0; n < 3; n++) {
    expect(pageAt(w, n)).toBe(after);
    expect(pageAt(w, n, child)).toBe(after);
  }
  expectSound(w);
  // Its stable node has followed it: a new equal page joins it.
  call(w.m, w.task, 'store', [BASE, 7]);
  scan(w, 2);
  expect(pageAt(w, 0)).toBe(after);
  expectSound(w);
});

test('a KSM page that is swapped out leaves every mapping and comes back with its content', () => {
  const w = world(3, () => 7);
  scan(w, 2);
  settle(w.m);
  // Twice: the first look only clears the accessed bits.
  call(w.m, w.ksmd, 'reclaim', [w.task, BASE]);
  call(w.m, w.ksmd, 'reclaim', [w.task, BASE]);
  call(w.m, w.ksmd, 'reclaim', [w.task, BASE]);
  expect([0, 1, 2].map((n) => pageAt(w, n))).toEqual([null, null, null]);
  expectSound(w);
  for (let n = 0; n < 3; n++) expect(call(w.m, w.task, 'load', [BASE + n * PAGE])).toBe(7);
  expectSound(w);
  scan(w, 3);
  expect(sharing(w, 3)).toEqual([3]);
  expectSound(w);
});

test('MADV_UNMERGEABLE gives each address a page of its own; its items go at the next pass', () => {
  const w = world(4, () => 7);
  scan(w, 2);
  expect(call(w.m, w.task, 'madvise', [BASE, 4 * PAGE, UNMERGEABLE])).toBe(0);
  const pages = new Set([0, 1, 2, 3].map((n) => pageAt(w, n)));
  expect(pages.size).toBe(4);
  expect(sharing(w, 4)).toEqual([]);
  expect(ksm_rmap_item_cachep.live()).toBe(4);
  scan(w, 1);
  expect(ksm_rmap_item_cachep.live()).toBe(0);
  expectSound(w);
});

test('items outlive their process until the next pass, and hold its anon_vma and mm', () => {
  const w = world(2, () => 7);
  const survivor = spawnInit(w.m, 'B');
  scan(w, 2);
  const before = anon_vma_cachep.live();
  call(w.m, w.task, 'exit_group', [0]);
  settle(w.m);
  expect(survivor).toBeGreaterThan(0);
  expect(anon_vma_cachep.live()).toBe(before);
  expectSound(w);
  scan(w, 2);
  expect(anon_vma_cachep.live()).toBe(0);
  expect(ksm_rmap_item_cachep.live()).toBe(0);
  expect(ksm_stable_node_cachep.live()).toBe(0);
  expectSound(w);
});

test('a process that ksmd has not come to leaves its list at once when it exits', () => {
  const w = world(2, () => 7);
  call(w.m, w.task, 'exit_group', [0]);
  settle(w.m);
  // The head of the list stays.
  expect(ksm_mm_slot_cachep.live()).toBe(1);
  expect(mm_cachep.live()).toBe(0);
  expectSound(w);
});

test('prctl: each new mapping is mergeable, for children and after execve too; off un-merges', () => {
  const w = world(2, () => 7);
  expect(call(w.m, w.task, 'prctl', [GET_MEMORY_MERGE])).toBe(0);
  expect(call(w.m, w.task, 'prctl', [SET_MEMORY_MERGE, 1])).toBe(0);
  expect(call(w.m, w.task, 'prctl', [GET_MEMORY_MERGE])).toBe(1);
  call(w.m, w.task, 'mmap', [BASE + 2 * PAGE, 2 * PAGE, RW, FIXED_PRIVATE_ANON, -1, 0]);
  for (const n of [2, 3]) call(w.m, w.task, 'store', [BASE + n * PAGE, 7]);
  const child = call(w.m, w.task, 'fork');
  expect(call(w.m, child, 'prctl', [GET_MEMORY_MERGE])).toBe(1);
  call(w.m, child, 'execve', ['/bin/true']);
  expect(call(w.m, child, 'prctl', [GET_MEMORY_MERGE])).toBe(1);
  scan(w, 3);
  expect(sharing(w, 4)).toEqual([4]);
  expect(call(w.m, w.task, 'prctl', [SET_MEMORY_MERGE, 0])).toBe(0);
  expect(sharing(w, 4)).toEqual([]);
  expectSound(w);
});

// ---- the files of /sys/kernel/mm/ksm

function set({ m, ksmd }: World, name: string, value: number): number {
  return call(m, ksmd, 'ksm_set', [name, value]);
}

const zeroEntries = (w: World, pages: number, of = w.task): number => {
  let count = 0;
  for (let n = 0; n < pages; n++) {
    const at = lookupPte(mmOfTask(w.m, of) as mm_struct, BASE + n * PAGE);
    if (at !== 0 && is_ksm_zero_pte(ptep_get(at)) && pte_present(ptep_get(at))) count++;
  }
  return count;
};

test('run = 2 gives each address a page of its own; no item and no stable node is left, and ksmd may begin again', () => {
  const w = world(4, () => 7);
  scan(w, 2);
  const child = call(w.m, w.task, 'fork');
  const gone = call(w.m, w.task, 'fork');
  scan(w, 3);
  call(w.m, gone, 'exit_group', [0]);
  expect(sharing(w, 4)).toEqual([4]);
  expect(set(w, 'run', 2)).toBe(0);
  const pages = new Set([0, 1, 2, 3].flatMap((n) => [pageAt(w, n), pageAt(w, n, child)]));
  expect(pages.size).toBe(8);
  expect(sharing(w, 4)).toEqual([]);
  expect(ksm_rmap_item_cachep.live()).toBe(0);
  expect(ksm_stable_node_cachep.live()).toBe(0);
  // The list has its head, parent and child; the slot of the one that has exited has gone.
  expect(ksm_mm_slot_cachep.live()).toBe(3);
  expectSound(w);
  scan(w, 2);
  expect(sharing(w, 4)).toEqual([4]);
  expectSound(w);
});

test('max_page_sharing changes only while nothing is merged; at 2 every KSM page has two users', () => {
  const w = world(8, () => 7);
  scan(w, 2);
  expect(set(w, 'max_page_sharing', 2)).toBe(-EBUSY);
  expect(set(w, 'max_page_sharing', 1)).toBe(-EINVAL);
  expect(set(w, 'run', 3)).toBe(-EINVAL);
  set(w, 'run', 2);
  expect(set(w, 'max_page_sharing', 2)).toBe(0);
  scan(w, 4);
  expect(sharing(w, 8)).toEqual([2, 2, 2, 2]);
  expectSound(w);
  set(w, 'run', 2);
  expect(ksm_stable_node_cachep.live()).toBe(0);
  expectSound(w);
});

test('use_zero_pages: pages of zeros become the zero page, counted until something else is mapped there', () => {
  const w = world(6, (n) => (n < 4 ? 0 : 7));
  const mm = mmOfTask(w.m, w.task) as mm_struct;
  expect(set(w, 'use_zero_pages', 1)).toBe(0);
  scan(w, 2);
  expect(zeroEntries(w, 6)).toBe(4);
  expect(mm.ksm_zero_pages).toBe(4);
  expect(mm.rss_anon).toBe(2);
  expect(sharing(w, 6)).toEqual([2]);
  expectSound(w);
  // A child has the same entries, and they count for it.
  const child = call(w.m, w.task, 'fork');
  expect(zeroEntries(w, 6, child)).toBe(4);
  expect((mmOfTask(w.m, child) as mm_struct).ksm_zero_pages).toBe(4);
  expect(ksmGlobals().ksm_zero_pages).toBe(8);
  // A load leaves the entry, a store and MADV_DONTNEED take it away, MADV_UNMERGEABLE puts a page there.
  expect(call(w.m, w.task, 'load', [BASE])).toBe(0);
  expect(mm.ksm_zero_pages).toBe(4);
  call(w.m, w.task, 'store', [BASE, 9]);
  call(w.m, w.task, 'madvise', [BASE + PAGE, PAGE, DONTNEED]);
  expect(mm.ksm_zero_pages).toBe(2);
  call(w.m, w.task, 'madvise', [BASE, 6 * PAGE, UNMERGEABLE]);
  expect(mm.ksm_zero_pages).toBe(0);
  expect(zeroEntries(w, 6)).toBe(0);
  expect(call(w.m, w.task, 'load', [BASE + 2 * PAGE])).toBe(0);
  expect(mm.rss_anon).toBe(5);
  expectSound(w);
  call(w.m, child, 'exit_group', [0]);
  expect(ksmGlobals().ksm_zero_pages).toBe(0);
  expectSound(w);
});

test('the zero page that a read fault maps is not the one of ksmd', () => {
  const w = world(2, () => 7);
  set(w, 'use_zero_pages', 1);
  call(w.m, w.task, 'madvise', [BASE, PAGE, DONTNEED]);
  expect(call(w.m, w.task, 'load', [BASE])).toBe(0);
  scan(w, 3);
  expect(zeroEntries(w, 2)).toBe(0);
  call(w.m, w.task, 'store', [BASE, 1]);
  expect(ksmGlobals().ksm_zero_pages).toBe(0);
  expectSound(w);
});

test('smart_scan passes over pages that found no match, ever more often, and finds them when their time has come', () => {
  const w = world(2, (n) => n + 1);
  set(w, 'smart_scan', 1);
  scan(w, 6);
  const skipped = ksmGlobals().ksm_pages_skipped;
  expect(skipped).toBeGreaterThan(0);
  call(w.m, w.task, 'store', [BASE, 2]);
  scan(w, 12);
  expect(ksmGlobals().ksm_pages_skipped).toBeGreaterThan(skipped);
  expect(sharing(w, 2)).toEqual([2]);
  expectSound(w);
});

test('run = 2 in the middle of what processes do to their KSM pages leaves nothing wrong behind', () => {
  const prng = new Prng(7);
  const meanwhile: readonly (readonly [string, ...number[]])[] = [
    ['store', BASE + PAGE, 1],
    ['fork'],
    ['munmap', BASE, 2 * PAGE],
    ['madvise', BASE, 4 * PAGE, UNMERGEABLE],
    ['madvise', BASE, 4 * PAGE, DONTNEED],
    ['exit_group', 0],
  ];
  for (let run = 0; run < 120; run++) {
    const w = world(4, (n) => (n < 2 ? 0 : 7));
    set(w, 'use_zero_pages', run % 2);
    scan(w, 2);
    const [name, ...args] = meanwhile[run % meanwhile.length] as (typeof meanwhile)[number];
    begin(w.m, w.ksmd, 'ksm_set', ['run', 2]);
    begin(w.m, w.task, name, args);
    const both = [w.ksmd, w.task];
    for (let left = both; left.length > 0; left = both.filter((id) => w.m.block(id).op !== 0)) {
      const able = left.filter((id) => w.m.enabled(id));
      expect(able, `run ${run}: ${name}`).not.toEqual([]);
      w.m.run(prng.pick(able), 1 + prng.below(60), null);
    }
    expect(findings(w.m), `run ${run}: ${name}`).toEqual([]);
    expect(judge(w.m, 'operation-end'), `run ${run}: ${name}`).toEqual([]);
  }
});
