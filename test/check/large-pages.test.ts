/** Huge pages under the judges: a correct kernel is not accused, and each thing that can be wrong is seen. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../src/check/judges.ts';
import type { FindingKind } from '../../src/check/kinds.ts';
import { mmOfTask, pteAt } from '../../src/linux/describe.ts';
import { NODE_DATA } from '../../src/linux/mm/node.ts';
import { lookupPte, mm_find_pmd } from '../../src/linux/mm/pgtable.ts';
import { mem_map, type mm_struct, type page } from '../../src/linux/mm_types.ts';
import { cpu, write_heap, write_pte } from '../../src/sim/cpu.ts';
import type { Machine } from '../../src/sim/machine.ts';
import { bootTest, call, findings, settle, spawnInit } from '../linux/driver.ts';

const PAGE = 4096;
const HUGE = 512 * PAGE;
const AT = 0x10_0000_0000;
const MADV_HUGEPAGE = 14;

interface Family {
  readonly machine: Machine;
  readonly parent: mm_struct;
  readonly child: mm_struct;
  /** Head of the first huge page, which both map by one entry. */
  readonly shared: page;
  /** Head of the second, which the parent maps page by page and only in part. */
  readonly partial: page;
}

/** Parent and child share a huge page; the parent has another of which a part is unmapped. */
function family(): Family {
  const machine = bootTest({ memoryPages: 4096 });
  const a = spawnInit(machine, 'A');
  call(machine, a, 'mmap', [AT, 4 * HUGE, 3, 0x32, -1, 0]);
  call(machine, a, 'madvise', [AT, 4 * HUGE, MADV_HUGEPAGE]);
  call(machine, a, 'store', [AT, 1]);
  call(machine, a, 'madvise', [AT + HUGE, HUGE, 10]);
  call(machine, a, 'store', [AT + HUGE, 2]);
  call(machine, a, 'munmap', [AT + HUGE, PAGE]);
  call(machine, a, 'fork');
  const b = machine.taskCount();
  settle(machine);
  const parent = mmOfTask(machine, a) as mm_struct;
  const pmd = mm_find_pmd(parent, AT);
  return {
    machine,
    parent,
    child: mmOfTask(machine, b) as mm_struct,
    shared: mem_map.at((cpu.pte[pmd] as number) >>> 8),
    partial: mem_map.at((pteAt(parent, AT + HUGE + PAGE) >>> 8) - 1),
  };
}

const tail = (head: page, n: number): page => mem_map.at(head.pfn + n);

describe('a correct kernel', () => {
  test('is not accused over the life of a huge page', () => {
    const machine = bootTest({ memoryPages: 4096 });
    const a = spawnInit(machine, 'A');
    const quiet = (what: string): void => {
      expect(judge(machine, 'operation-end'), what).toEqual([]);
      expect(findings(machine), what).toEqual([]);
    };
    call(machine, a, 'mmap', [AT, HUGE, 3, 0x32, -1, 0]);
    call(machine, a, 'madvise', [AT, HUGE, MADV_HUGEPAGE]);
    call(machine, a, 'store', [AT, 1]);
    quiet('in the LRU batch');
    settle(machine);
    quiet('on the list');
    call(machine, a, 'fork');
    const b = machine.taskCount();
    quiet('shared');
    call(machine, b, 'store', [AT + 4 * PAGE, 2]);
    quiet('copied in part');
    call(machine, a, 'munmap', [AT, HUGE / 2]);
    quiet('unmapped in part');
    call(machine, a, 'mlock', [AT + HUGE / 2, PAGE]);
    quiet('locked in part');
    call(machine, b, 'mlock', [AT, HUGE]);
    quiet('locked');
    call(machine, b, 'exit_group', [0]);
    quiet('left to the parent');
    call(machine, a, 'exit_group', [0]);
    quiet('gone');
  });

  test('is not accused of a huge page and its parts', () => {
    const { machine } = family();
    expect(judge(machine, 'operation-end')).toEqual([]);
  });
});

/** One act of sabotage, and what it must be called. */
const sabotage: readonly (readonly [FindingKind, string, (f: Family) => void])[] = [
  [
    'lru-wrong',
    'a list counts a huge page as one',
    () => {
      const count = NODE_DATA().lists + 2;
      write_heap(count, (cpu.heap[count] as number) - 511);
    },
  ],
  [
    'lru-wrong',
    'a huge page says that it is on no list',
    ({ shared }) => {
      shared.flags = shared.flags & ~(1 << 5);
    },
  ],
  [
    'rss-wrong',
    'a huge page was counted as one',
    ({ parent }) => {
      parent.rss_anon = parent.rss_anon - 511;
    },
  ],
  [
    'mapcount-wrong',
    'an entry is not counted in _entire_mapcount',
    ({ shared }) => {
      tail(shared, 1).lru_next = tail(shared, 1).lru_next - 1;
    },
  ],
  [
    'mapcount-wrong',
    'an entry is not counted in _large_mapcount',
    ({ partial }) => {
      tail(partial, 1).mapping = tail(partial, 1).mapping - 1;
    },
  ],
  [
    'mapcount-wrong',
    'an unmapped page is still in _nr_pages_mapped',
    ({ partial }) => {
      tail(partial, 1).private = tail(partial, 1).private + 1;
    },
  ],
  [
    'mapcount-wrong',
    'two processes map it, and it is taken for one alone',
    ({ shared }) => {
      tail(shared, 2).index = 0;
    },
  ],
  [
    'mapcount-wrong',
    'a process is said to have more mappings than it has',
    ({ partial }) => {
      tail(partial, 2).lru_next = 600;
    },
  ],
  [
    'mapcount-wrong',
    'a huge entry maps the middle of a huge page',
    ({ parent }) => {
      const pmd = mm_find_pmd(parent, AT);
      write_pte(pmd, (cpu.pte[pmd] as number) + (1 << 8));
    },
  ],
  [
    'refcount-wrong',
    'a reference is held by nobody',
    ({ shared }) => {
      shared._refcount = shared._refcount + 1;
    },
  ],
  [
    'exclusive-wrong',
    'a shared huge page is marked exclusive',
    ({ shared }) => {
      shared.flags = shared.flags | (1 << 15);
    },
  ],
  [
    'cow-shared-writable',
    'a shared huge page is mapped writable',
    ({ child }) => {
      const pmd = mm_find_pmd(child, AT);
      write_pte(pmd, (cpu.pte[pmd] as number) | 2);
    },
  ],
  [
    'split-queue-wrong',
    'the queue counts one folio too many',
    () => {
      NODE_DATA().split_queue_len = NODE_DATA().split_queue_len + 1;
    },
  ],
  [
    'split-queue-wrong',
    'a folio mapped in part has left the queue',
    ({ partial }) => {
      tail(partial, 3).private = 0;
    },
  ],
  [
    'pte-outside-vma',
    'a huge entry is where no VMA is',
    ({ parent }) => {
      const pmd = mm_find_pmd(parent, AT);
      write_pte(pmd + 8, cpu.pte[pmd] as number);
    },
  ],
  [
    'pte-permission',
    'a huge entry is writable in a read-only VMA',
    ({ machine, child }) => {
      call(machine, 2, 'mprotect', [AT, HUGE, 1]);
      const pmd = mm_find_pmd(child, AT);
      write_pte(pmd, (cpu.pte[pmd] as number) | 2);
    },
  ],
  [
    'rmap-unreachable',
    'a huge page has another index',
    ({ shared }) => {
      shared.index = shared.index + 512;
    },
  ],
  [
    'pte-freed-page',
    'a mapped huge page is free',
    ({ shared }) => {
      shared._refcount = 0;
    },
  ],
  [
    'leaked-page',
    'the only entry goes without its reference',
    ({ parent, partial }) => {
      for (let i = 1; i < 512; i++) write_pte(lookupPte(parent, AT + HUGE + i * PAGE), 0);
      for (let i = 1; i < 512; i++) tail(partial, i)._mapcount = tail(partial, i)._mapcount - 1;
      partial._refcount = 3;
    },
  ],
];

describe('a judge', () => {
  for (const [kind, what, act] of sabotage) {
    test(`says ${kind} when ${what}`, () => {
      const setting = family();
      expect(judge(setting.machine, 'operation-end')).toEqual([]);
      act(setting);
      const found = judge(setting.machine, 'operation-end');
      expect(new Set(found.map((v) => v.kind))).toContain(kind);
    });
  }
});
