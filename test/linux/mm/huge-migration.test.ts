/** Migration of a huge page that one entry maps: what its migration entry promises, as v6.18 has it. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { takePicture } from '../../../src/check/picture.ts';
import { pteAt } from '../../../src/linux/describe.ts';
import {
  folio_entire_mapcount,
  folio_large_mapcount,
  folio_nr_pages,
} from '../../../src/linux/mm/large_folio.ts';
import { NODE_DATA } from '../../../src/linux/mm/node.ts';
import {
  folio_clear,
  folio_set,
  folio_test_large,
  folio_test_mlocked,
  PageAnonExclusive,
  PG_locked,
} from '../../../src/linux/mm/page-flags.ts';
import {
  is_migration_entry,
  is_migration_entry_dirty,
  is_migration_entry_young,
  is_swap_pmd,
  make_migration_pte,
  migration_kind,
  migration_pfn,
  mm_find_pmd,
  pmd_present,
  pmd_to_swp_entry,
  pmd_trans_huge,
  pte_page,
  pte_present,
  pte_write,
  ptep_get,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  swp_entry_to_pmd,
} from '../../../src/linux/mm/pgtable.ts';
import { cpu, ENDLESS } from '../../../src/sim/cpu.ts';
import { eventAt } from '../../../src/sim/event.ts';
import { begin, call, findings, settle } from '../driver.ts';
import { at, HUGE, P, PAGE, pages, World } from './huge-world.ts';

const EBUSY = 16;
const [MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT] = [4, 8, 20, 21];
const [MADV_COLLAPSE, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE] = [25, 102, 103];

const events = (name: string): number => {
  let count = 0;
  for (let n = 0; n < cpu.event_count; n++) if (eventAt(n).type.name === name) count++;
  return count;
};

/** The migration entry of the first block as a PTE, 0 if there is none. */
function entry(w: World, task = w.a, address = P): number {
  const word = mm_find_pmd(w.mm(task), address);
  const pmd = word === 0 ? 0 : ptep_get(word);
  return is_swap_pmd(pmd) ? pmd_to_swp_entry(pmd) : 0;
}

/** Stops a migration of the block behind try_to_migrate(), with no lock but that of the folio. */
function stopped(w = new World().huge()): World {
  w.m.activate();
  const walks = events('rmap:walk_end');
  begin(w.m, w.kernel, 'migrate', [w.a, P]);
  while (events('rmap:walk_end') === walks) w.m.run(w.kernel, 0, null);
  for (let i = 0; i < 6; i++) w.m.run(w.kernel, 0, null);
  expect(is_migration_entry(entry(w))).toBe(true);
  expect(judge(w.m, 'step')).toEqual([]);
  return w;
}

/** An operation of a process in the middle of it. */
function during(w: World, name: string, ...args: unknown[]): number {
  const result = call(w.m, w.a, name, args);
  expect(findings(w.m), name).toEqual([]);
  expect(judge(w.m, 'step'), name).toEqual([]);
  return result;
}

function finish(w: World): number {
  expect(w.m.run(w.kernel, ENDLESS, null)).toBe('done');
  const { result } = w.m.block(w.kernel);
  settle(w.m);
  w.check('migrate');
  return result;
}

test('no migration entry in a PMD looks like a mapping, a table or nothing, and it comes back as it was', () => {
  for (const pfn of [1, 512, 0xff_fe00]) {
    for (const kind of [SWP_MIGRATION_READ, SWP_MIGRATION_READ_EXCLUSIVE, SWP_MIGRATION_WRITE]) {
      for (const bits of [0, 1, 2, 3]) {
        const pte = make_migration_pte(pfn, kind, (bits & 1) !== 0, (bits & 2) !== 0);
        const pmd = swp_entry_to_pmd(pte);
        expect([is_swap_pmd(pmd), pmd_trans_huge(pmd), pmd_present(pmd)]).toEqual([
          true,
          false,
          false,
        ]);
        expect(pmd_to_swp_entry(pmd)).toBe(pte);
      }
    }
  }
});

describe('migrate_pages', () => {
  test('moves a huge page without a split: one entry before and after, as writable as it was', () => {
    const w = new World().huge();
    w.do('store', at(5), 5);
    const old = w.folio();
    const { pfn } = old;
    const tables = w.mm().pgtables_bytes;
    expect(w.aim('migrate', 7)).toBe(0);
    const folio = w.folio();
    expect(folio.pfn).not.toBe(pfn);
    expect(pte_present(w.pmd()) && pte_write(w.pmd())).toBe(true);
    expect([folio_entire_mapcount(folio), folio_large_mapcount(folio)]).toEqual([1, 1]);
    expect([PageAnonExclusive(folio), w.mm().rss_anon]).toEqual([true, 512]);
    expect(w.mm().pgtables_bytes).toBe(tables);
    expect([old._refcount, events('thp:split_pmd'), events('thp:split_folio')]).toEqual([0, 0, 0]);
    expect([events('migrate:set_migration_pmd'), events('migrate:remove_migration_pmd')]).toEqual([
      1, 1,
    ]);
    expect([w.load(0), w.load(5), w.load(6)]).toEqual([1, 5, 0]);
    w.do('store', at(9), 9);
    expect(w.folio()).toBe(folio);
  });

  test('moves one that parent and child map, one by one entry and one page by page', () => {
    const w = new World().huge();
    const b = w.fork();
    call(w.m, b, 'mprotect', [at(511), PAGE, 1]);
    const { pfn } = w.folio();
    expect(w.aim('migrate')).toBe(0);
    const folio = w.folio();
    expect(folio.pfn).not.toBe(pfn);
    expect([folio_entire_mapcount(folio), folio_large_mapcount(folio)]).toEqual([1, 513]);
    expect([w.folio(0, b), PageAnonExclusive(folio), pte_write(w.pmd())]).toEqual([
      folio,
      false,
      false,
    ]);
    expect([w.load(0), w.load(0, b)]).toEqual([1, 1]);
  });

  test('leaves one that is pinned mapped, exclusive and writable', () => {
    const w = new World().huge();
    const folio = w.folio();
    w.aim('pin', 3);
    expect(w.aim('migrate')).toBe(-EBUSY);
    expect([w.folio(), PageAnonExclusive(folio), pte_write(w.pmd())]).toEqual([folio, true, true]);
    w.aim('unpin', 3);
    expect(w.aim('migrate')).toBe(0);
  });

  test('keeps PROT_NONE and mlock', () => {
    const w = new World().huge();
    w.do('mlock', P, HUGE);
    w.do('mprotect', P, HUGE, 0);
    expect(w.aim('migrate')).toBe(0);
    const folio = w.folio();
    expect([folio_test_mlocked(folio), pte_write(w.pmd()), pte_present(w.pmd())]).toEqual([
      true,
      false,
      true,
    ]);
    w.do('mprotect', P, HUGE, 3);
    expect(w.load(0)).toBe(1);
    w.do('munmap', P, HUGE);
  });

  test('splits it when there is no room for its copy, and moves the pages', () => {
    const w = new World(0, 1200).huge();
    w.do('store', at(5), 5);
    const { pfn } = w.folio();
    expect(w.aim('migrate')).toBe(0);
    expect(w.pmd()).toBe(0);
    expect(events('thp:split_folio')).toBe(1);
    expect(folio_test_large(w.folio())).toBe(false);
    for (const i of [0, 5]) expect(pte_page(w.pte(i)).pfn).not.toBe(pfn + i);
    expect([w.load(0), w.load(5), w.load(6)]).toEqual([1, 5, 0]);
  });
});

describe('while the entry is a migration entry', () => {
  test('it names the folio, which nobody maps, and the pages stay resident', () => {
    const w = new World().huge();
    const folio = w.folio();
    stopped(w);
    expect([migration_pfn(entry(w)), migration_kind(entry(w))]).toEqual([
      folio.pfn,
      SWP_MIGRATION_WRITE,
    ]);
    expect([is_migration_entry_young(entry(w)), is_migration_entry_dirty(entry(w))]).toEqual([
      true,
      true,
    ]);
    expect([folio_large_mapcount(folio), w.mm().rss_anon]).toEqual([0, 512]);
    // What debuggers show of an address inside, and what the judges see.
    expect(migration_pfn(pteAt(w.mm(), at(7)))).toBe(folio.pfn + 7);
    expect(takePicture(w.m).migration.map((e) => [e.pages, e.value])).toEqual([[512, entry(w)]]);
    expect(finish(w)).toBe(0);
  });

  test('the judges see it: nobody may unlock the folio before it is gone', () => {
    const w = new World().huge();
    const folio = w.folio();
    stopped(w);
    folio_clear(folio, PG_locked);
    expect(judge(w.m, 'step').map(({ kind }) => kind)).toContain('migration-page-unlocked');
    folio_set(folio, PG_locked);
    finish(w);
  });

  test('an access and a pin wait until it is over', () => {
    for (const [name, args] of [
      ['store', [at(5), 5]],
      ['pin', null],
    ] as const) {
      const w = stopped();
      begin(w.m, w.a, name, args ?? [w.a, at(5)]);
      expect(w.m.run(w.a, ENDLESS, null)).toBe('blocked');
      expect(w.m.run(w.kernel, ENDLESS, null)).toBe('done');
      expect(w.m.run(w.a, ENDLESS, null)).toBe('done');
      w.check(name);
      expect(w.m.block(w.kernel).result).toBe(0);
      expect(pte_write(w.pmd())).toBe(true);
    }
  });

  test('fork shares it: read-only and not exclusive for both', () => {
    const w = stopped();
    during(w, 'fork');
    const b = w.m.taskCount();
    expect([entry(w), entry(w, b)].map(migration_kind)).toEqual([
      SWP_MIGRATION_READ,
      SWP_MIGRATION_READ,
    ]);
    expect(entry(w, b)).toBe(entry(w));
    expect(w.mm(b).rss_anon).toBe(512);
    expect(finish(w)).toBe(0);
    const folio = w.folio();
    expect([folio, folio_entire_mapcount(folio)]).toEqual([w.folio(0, b), 2]);
    expect([pte_write(w.pmd()), pte_write(w.pmd(b)), PageAnonExclusive(folio)]).toEqual([
      false,
      false,
      false,
    ]);
    w.do('store', at(3), 9);
    expect([w.load(3), w.load(3, b)]).toEqual([9, 0]);
  });

  test('mprotect takes the write bit for good, the page stays exclusive', () => {
    const w = stopped();
    expect(during(w, 'mprotect', P, HUGE, 1)).toBe(0);
    expect(migration_kind(entry(w))).toBe(SWP_MIGRATION_READ_EXCLUSIVE);
    expect(during(w, 'mprotect', P, HUGE, 3)).toBe(0);
    expect(migration_kind(entry(w))).toBe(SWP_MIGRATION_READ_EXCLUSIVE);
    expect(finish(w)).toBe(0);
    expect([pte_write(w.pmd()), PageAnonExclusive(w.folio())]).toEqual([false, true]);
    w.do('store', P, 7);
    expect(pte_write(w.pmd())).toBe(true);
  });

  test('a boundary inside splits it into those of the pages; the folio moves as a whole', () => {
    const w = stopped();
    const first = entry(w);
    expect(during(w, 'mprotect', at(256), 256 * PAGE, 1)).toBe(0);
    expect(entry(w)).toBe(0);
    const kinds = pages.map((i) => migration_kind(w.pte(i)));
    expect(pages.every((i) => migration_pfn(w.pte(i)) === migration_pfn(first) + i)).toBe(true);
    expect(kinds.slice(0, 256).every((kind) => kind === SWP_MIGRATION_WRITE)).toBe(true);
    expect(kinds.slice(256).every((kind) => kind === SWP_MIGRATION_READ_EXCLUSIVE)).toBe(true);
    expect(finish(w)).toBe(0);
    const folio = w.folio();
    expect([folio_nr_pages(folio), folio_entire_mapcount(folio)]).toEqual([512, 0]);
    expect([folio_large_mapcount(folio), folio._refcount]).toEqual([512, 512]);
    expect([pte_write(w.pte(255)), pte_write(w.pte(256))]).toEqual([true, false]);
  });

  test('munmap takes it away, and the folio is freed when migration lets go of it', () => {
    for (const [name, ...args] of [
      ['munmap', P, HUGE],
      ['madvise', P, HUGE, MADV_DONTNEED],
      ['exit_group', 0],
    ] as const) {
      const w = new World().huge();
      const old = w.folio();
      stopped(w);
      call(w.m, w.a, name, args);
      expect(judge(w.m, 'step'), name).toEqual([]);
      finish(w);
      expect(old._refcount).toBe(0);
      expect(NODE_DATA().split_queue_len).toBe(0);
    }
  });

  test('mremap carries it along, and migration finds it at its new place', () => {
    const w = stopped();
    const to = P + 16 * HUGE;
    const before = entry(w);
    expect(during(w, 'mremap', P, HUGE, HUGE, 3, to)).toBe(to);
    expect([entry(w), entry(w, w.a, to)]).toEqual([0, before]);
    expect(finish(w)).toBe(0);
    expect(call(w.m, w.a, 'load', [to])).toBe(1);
    expect(pte_write(pteAt(w.mm(), to))).toBe(true);
  });

  test('mlock counts it when it is back', () => {
    const w = stopped();
    begin(w.m, w.a, 'mlock', [P, HUGE]);
    // It faults everything in.
    expect(w.m.run(w.a, ENDLESS, null)).toBe('blocked');
    w.m.run(w.kernel, ENDLESS, null);
    expect(w.m.run(w.a, ENDLESS, null)).toBe('done');
    w.check('mlock');
    expect(folio_test_mlocked(w.folio())).toBe(true);
    w.do('munlock', P, HUGE);
    expect(folio_test_mlocked(w.folio())).toBe(false);
  });

  test('advice to reclaim passes over it, and for MADV_COLLAPSE it is huge already', () => {
    for (const advice of [MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE]) {
      const w = stopped();
      const before = entry(w);
      expect(during(w, 'madvise', P, HUGE, advice)).toBe(0);
      expect(entry(w)).toBe(before);
      expect(finish(w)).toBe(0);
      expect(w.load(0)).toBe(1);
    }
  });

  test('guard markers find it in the way, and removing them splits it', () => {
    const w = stopped();
    expect(during(w, 'madvise', at(8), PAGE, MADV_GUARD_REMOVE)).toBe(0);
    expect([entry(w), is_migration_entry(w.pte(8))]).toEqual([0, true]);
    expect(during(w, 'madvise', at(8), PAGE, MADV_GUARD_INSTALL)).toBe(0);
    expect(is_migration_entry(w.pte(8))).toBe(false);
    expect(finish(w)).toBe(0);
    expect(w.mm().rss_anon).toBe(511);
    expect([w.load(0), w.load(9)]).toEqual([1, 0]);
  });
});

/** What process A, or a kernel task, does beside a migration. */
const others: readonly (readonly [string, ...unknown[]])[] = [
  ['load', at(3)],
  ['store', at(3), 8],
  ['fork'],
  ['mprotect', P, HUGE, 1],
  ['mprotect', at(100), PAGE, 1],
  ['munmap', P, HUGE],
  ['munmap', at(100), PAGE],
  ['mremap', P, HUGE, HUGE, 3, P + 16 * HUGE],
  ['mremap', at(8), 8 * PAGE, 8 * PAGE, 3, P + 16 * HUGE],
  ['madvise', P, HUGE, MADV_DONTNEED],
  ['madvise', P, HUGE, MADV_FREE],
  ['madvise', P, HUGE, MADV_PAGEOUT],
  ['madvise', at(8), PAGE, MADV_PAGEOUT],
  ['madvise', P, HUGE, MADV_COLLAPSE],
  ['madvise', at(8), PAGE, MADV_GUARD_INSTALL],
  ['mlock', P, HUGE],
  ['pin', 1, at(3)],
  ['split', 1, P],
  ['reclaim', 1, P],
  ['migrate', 1, P],
  ['referenced', 1, P],
  ['exit_group', 0],
];

describe('beside a migration, begun at any of its steps', () => {
  test.each(others.map((other) => [other.join(' '), other] as const))('%s', (_text, other) => {
    const [name, ...args] = other;
    for (const shared of [false, true]) {
      for (let steps = 0; ; steps += steps < 400 ? 19 : 150) {
        const w = new World().huge();
        if (shared) w.fork();
        begin(w.m, w.kernel, 'migrate', [w.a, P]);
        const early = w.m.run(w.kernel, steps, null) === 'done';
        begin(w.m, w.a, name, args[0] === 1 ? [w.a, ...args.slice(1)] : args);
        for (let turn = 0; turn < 10_000; turn++) {
          const ready = [w.a, w.kernel].filter(
            (task) => w.m.block(task).op !== 0 && w.m.enabled(task),
          );
          if (ready.length === 0) break;
          w.m.run(
            ready[turn % ready.length] as number,
            turn > 60 ? 500 : turn % 2 === 0 ? 17 : 5,
            null,
          );
          if (turn % 8 === 0 && turn < 200)
            expect(judge(w.m, 'step').slice(0, 3), `${steps}`).toEqual([]);
        }
        expect([w.m.block(w.a).op, w.m.block(w.kernel).op], `stuck at ${steps}`).toEqual([0, 0]);
        w.check(`${name} at ${steps}`);
        if (early) break;
      }
    }
  });
});
