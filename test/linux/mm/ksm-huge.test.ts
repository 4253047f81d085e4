/** KSM over transparent huge pages: what splits them, when, and that every count stays right. */
import { expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { judge } from '../../../src/check/judges.ts';
import { mmOfTask } from '../../../src/linux/describe.ts';
import { ksmGlobals } from '../../../src/linux/mm/ksm_globals.ts';
import { folio_test_ksm } from '../../../src/linux/mm/page-flags.ts';
import {
  lookupHugePmd,
  lookupPte,
  pte_page,
  pte_present,
  ptep_get,
} from '../../../src/linux/mm/pgtable.ts';
import type { mm_struct, page } from '../../../src/linux/mm_types.ts';
import { cpu } from '../../../src/sim/cpu.ts';
import { eventAt } from '../../../src/sim/event.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { RandomProgram } from '../../support/random-program.ts';
import { begin, bootTest, call, findings, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const HUGE = 512;
const BASE = 0x10_0000_0000;
const OTHER = BASE + 2 * HUGE * PAGE;
const MERGEABLE = 12;
const UNMERGEABLE = 13;
const HUGEPAGE = 14;
const DONTNEED = 4;
const RW_FIXED_PRIVATE_ANON = [3, 0x32, -1, 0];
interface World {
  readonly m: Machine;
  readonly task: number;
  readonly ksmd: number;
}

/** A huge page at `at` whose n-th page has content number which(n). */
function hugePage(w: World, at: number, which: (n: number) => number): void {
  const { m, task } = w;
  call(m, task, 'mmap', [at, HUGE * PAGE, ...RW_FIXED_PRIVATE_ANON]);
  call(m, task, 'madvise', [at, HUGE * PAGE, HUGEPAGE]);
  for (let n = 0; n < HUGE; n++) call(m, task, 'store', [at + n * PAGE + which(n), 1]);
  call(m, task, 'madvise', [at, HUGE * PAGE, MERGEABLE]);
  expect(isHuge(w, at)).toBe(true);
}

function world(): World {
  const m = bootTest({ recording: false });
  return { m, task: spawnInit(m, 'A'), ksmd: spawnKernelThread(m, 'ksmd') };
}

const mmOf = (m: Machine, task: number) => mmOfTask(m, task) as mm_struct;

function isHuge({ m, task }: { m: Machine; task: number }, at: number): boolean {
  return lookupHugePmd(mmOf(m, task), at) !== 0;
}

function pageAt({ m, task }: World, at: number): page | null {
  const ptep = lookupPte(mmOf(m, task), at);
  const pte = ptep === 0 ? 0 : ptep_get(ptep);
  return pte_present(pte) ? pte_page(pte) : null;
}

function scan({ m, ksmd }: World, passes: number): void {
  call(m, ksmd, 'ksm_scan', [passes]);
}

function expectSound({ m }: World): void {
  expect(findings(m)).toEqual([]);
  expect(judge(m, 'operation-end')).toEqual([]);
}

function ksmPages(w: World, at: number): number {
  let count = 0;
  for (let n = 0; n < HUGE; n++) {
    const page = pageAt(w, at + n * PAGE);
    if (page !== null && folio_test_ksm(page)) count++;
  }
  return count;
}

test('a huge page without a page that has its like stays huge', () => {
  const w = world();
  hugePage(w, BASE, (n) => n);
  scan(w, 4);
  expect(isHuge(w, BASE)).toBe(true);
  expect(ksmGlobals().ksm_pages_unshared).toBe(HUGE);
  expectSound(w);
});

test('two equal pages of one huge page: the pass that finds them only splits it, the next one merges them', () => {
  const w = world();
  hugePage(w, BASE, (n) => (n === 500 ? 3 : n));
  scan(w, 1);
  expect(isHuge(w, BASE)).toBe(true);
  scan(w, 1);
  expect(isHuge(w, BASE)).toBe(false);
  expect(ksmPages(w, BASE)).toBe(0);
  expectSound(w);
  scan(w, 1);
  expect(pageAt(w, BASE + 3 * PAGE)).toBe(pageAt(w, BASE + 500 * PAGE));
  expect(ksmPages(w, BASE)).toBe(2);
  expectSound(w);
});

test('two equal pages of two huge pages are merged in the pass that finds them, and both huge pages are split', () => {
  const w = world();
  hugePage(w, BASE, (n) => n);
  hugePage(w, OTHER, (n) => (n === 7 ? 9 : HUGE + n));
  scan(w, 2);
  expect(isHuge(w, BASE)).toBe(false);
  expect(isHuge(w, OTHER)).toBe(false);
  expect(pageAt(w, BASE + 9 * PAGE)).toBe(pageAt(w, OTHER + 7 * PAGE));
  expect(ksmPages(w, BASE) + ksmPages(w, OTHER)).toBe(2);
  expectSound(w);
});

test('a page like a KSM page is taken out of its huge page, which a child shares', () => {
  const w = world();
  call(w.m, w.task, 'mmap', [OTHER, 2 * PAGE, ...RW_FIXED_PRIVATE_ANON]);
  call(w.m, w.task, 'madvise', [OTHER, 2 * PAGE, MERGEABLE]);
  for (const at of [OTHER, OTHER + PAGE]) call(w.m, w.task, 'store', [at + 5, 1]);
  scan(w, 2);
  const kpage = pageAt(w, OTHER);
  expect(kpage !== null && folio_test_ksm(kpage)).toBe(true);
  hugePage(w, BASE, (n) => n);
  const child = call(w.m, w.task, 'fork');
  scan(w, 2);
  // Both map the same pages, and both by page now; the child, in its turn, is scanned too.
  expect(pageAt(w, BASE + 5 * PAGE)).toBe(kpage);
  expect(pageAt({ ...w, task: child }, BASE + 5 * PAGE)).toBe(kpage);
  expect(pageAt({ ...w, task: child }, BASE + 6 * PAGE)).toBe(pageAt(w, BASE + 6 * PAGE));
  expectSound(w);
});

test('what happens to a huge page in the middle of a scan never leaves a wrong count behind', () => {
  const meanwhile: readonly (readonly [string, number, number, ...number[]])[] = [
    ['madvise', BASE, HUGE * PAGE, DONTNEED],
    ['madvise', BASE + 9 * PAGE, PAGE, DONTNEED],
    ['munmap', BASE + 4 * PAGE, 20 * PAGE],
    ['store', BASE + 9 * PAGE, 7],
    ['mprotect', BASE + 8 * PAGE, 4 * PAGE, 1],
    ['madvise', BASE, HUGE * PAGE, UNMERGEABLE],
    ['exit_group', 0, 0],
  ];
  const prng = new Prng(20);
  let split = 0;
  for (let run = 0; run < 21; run++) {
    const w = world();
    hugePage(w, BASE, (n) => (n === 500 ? 9 : n % 256));
    scan(w, 1);
    const [name, ...args] = meanwhile[run % meanwhile.length] as (typeof meanwhile)[number];
    begin(w.m, w.ksmd, 'ksm_scan', [2]);
    // Near the first pair of equal pages, number 256 after number 0, or anywhere.
    w.m.run(w.ksmd, prng.below(60_000), null);
    begin(w.m, w.task, name, args);
    const both = [w.ksmd, w.task];
    for (let left = both; left.length > 0; left = both.filter((id) => w.m.block(id).op !== 0)) {
      const able = left.filter((id) => w.m.enabled(id));
      expect(able, `run ${run}`).not.toEqual([]);
      w.m.run(prng.pick(able), 1 + prng.below(200), null);
    }
    if (name !== 'exit_group' && !isHuge(w, BASE)) split++;
    expect(findings(w.m), `run ${run}: ${name}`).toEqual([]);
    expect(judge(w.m, 'operation-end'), `run ${run}: ${name}`).toEqual([]);
  }
  expect(split).toBeGreaterThan(12);
});

test('random programs with huge pages and KSM: no judge has anything to say', () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= 30; seed++) {
    const machine = bootTest({ memoryPages: 6144, recording: false });
    const program = new RandomProgram(machine, seed, { huge: true, processes: 3 });
    const log: string[] = [];
    for (let i = 0; i < 60 && program.alive.length > 0; i++) {
      log.push(program.step());
      const found = [...machine.findings(), ...judge(machine, 'operation-end')];
      expect(found, `seed ${seed}, operation ${i}:\n${log.slice(-8).join('\n')}`).toEqual([]);
    }
    for (let n = 0; n < cpu.event_count; n++) {
      const { name } = eventAt(n).type;
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
  }
  expect(seen.get('thp:split_pmd') ?? 0).toBeGreaterThan(60);
  expect(seen.get('thp:split_folio') ?? 0).toBeGreaterThan(60);
});
