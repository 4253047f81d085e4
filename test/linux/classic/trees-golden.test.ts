/**
 * What the designs from lists to counters cost, counted on the objects themselves: the numbers are those of the
 * kernels' rules (chain lengths, anon_vmas alive, VMAs that a walk visits), and the same for every memory manager.
 */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { avcsOfAnonVma, avcsOfVma, mmOfTask, vmaAt, vmasOf } from '../../../src/linux/describe.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import type { anon_vma, vm_area_struct } from '../../../src/linux/mm_types.ts';
import { cpu } from '../../../src/sim/cpu.ts';
import { eventAt } from '../../../src/sim/event.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { call, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const RW = 3;
const RWX = 7;
const FIXED_ANON = 0x32;

/** One mapping at AT and the processes that inherited it. */
class Family {
  readonly machine: Machine;
  readonly kthread: number;
  tasks: number[];

  constructor(
    kernel: string,
    pages: number,
    patches: readonly string[] = [],
    withouts: readonly string[] = [],
  ) {
    const selected = selectKernel(kernel, patches, withouts);
    this.machine = bootMachine({ kernel: selected, memoryPages: 4096, swapPages: 64 });
    this.tasks = [spawnInit(this.machine, 'P0')];
    this.kthread = spawnKernelThread(this.machine, 'kernel');
    this.run(0, 'mmap', AT, pages * PAGE, RW, FIXED_ANON, -1, 0);
  }

  /** Operation of process number `process`. */
  run(process: number, name: string, ...args: unknown[]): number {
    return call(this.machine, this.tasks[process] as number, name, args);
  }

  write(process: number, ...pages: number[]): void {
    for (const page of pages) this.run(process, 'store', AT + page * PAGE, 1 + page);
  }

  /** A child of process number `parent`: its number. */
  fork(parent: number): number {
    this.run(parent, 'fork');
    this.tasks.push(this.machine.taskCount());
    return this.tasks.length - 1;
  }

  exit(process: number): void {
    this.run(process, 'exit_group', 0);
  }

  vma(process: number, page = 0): vm_area_struct {
    const mm = mmOfTask(this.machine, this.tasks[process] as number);
    const vma = mm === null ? null : vmaAt(mm, AT + page * PAGE);
    if (vma === null) throw new Error(`no VMA at page ${page} of process ${process}`);
    return vma;
  }

  chain(process: number, page = 0): anon_vma[] {
    return avcsOfVma(this.vma(process, page)).map((avc) => avc.anon_vma);
  }

  /** anon_vmas and links of the mapping in all processes that live. */
  costs(): { anon_vmas: number; links: number } {
    const anon_vmas = new Set<anon_vma>();
    let links = 0;
    for (const task of this.tasks) {
      const mm = mmOfTask(this.machine, task);
      if (mm === null) continue;
      for (const vma of vmasOf(mm)) {
        if (vma.vm_start < AT || vma.vm_start >= AT + 1024 * PAGE) continue;
        for (const avc of avcsOfVma(vma)) {
          anon_vmas.add(avc.anon_vma);
          links++;
        }
      }
    }
    return { anon_vmas: anon_vmas.size, links };
  }

  /** VMAs that the walk visits which puts back the entries of a migrated page: it must see them all. */
  visits(process: number, page: number): number {
    const from = cpu.event_count;
    call(this.machine, this.kthread, 'settle', []);
    call(this.machine, this.kthread, 'migrate', [this.tasks[process], AT + page * PAGE]);
    let visits = 0;
    let counts = false;
    for (let n = from; n < cpu.event_count; n++) {
      const { type, values } = eventAt(n);
      if (type.name === 'rmap:walk_begin') counts = values.includes('remove_migration_ptes');
      if (type.name === 'rmap:walk_visit' && counts) visits++;
    }
    return visits;
  }

  verdicts(): string[] {
    return [...new Set(judge(this.machine, 'operation-end').map((verdict) => verdict.kind))].sort();
  }
}

const noReuse = ['v2.6.34', 'v2.6.36', 'v3.7', 'v3.18'];
const reuse = ['v3.19', 'v5.19', 'v6.1', 'v6.18'];
const limited = ['v3.7-limit'];

/** Depth 10: each process forks the next, all live. */
function depth(kernel: string): Family {
  const family = new Family(kernel, 4);
  family.write(0, 0, 1, 2, 3);
  for (let i = 0; i < 10; i++) family.fork(i);
  return family;
}

/** Each generation forks the next and exits. */
function daemon(kernel: string, generations: number): { family: Family; lengths: number[] } {
  const family = new Family(kernel, 2);
  family.write(0, 0);
  const lengths: number[] = [];
  for (let i = 0; i < generations; i++) {
    const child = family.fork(i);
    lengths.push(family.chain(child).length);
    family.exit(i);
  }
  return { family, lengths };
}

describe('a chain of ten forks, all alive', () => {
  test.each([...noReuse, ...reuse])('costs 11 anon_vmas and 66 links on %s', (kernel) => {
    expect(depth(kernel).costs()).toEqual({ anon_vmas: 11, links: 66 });
  });

  test.each(limited)('costs 6 anon_vmas and 51 links on %s', (kernel) => {
    expect(depth(kernel).costs()).toEqual({ anon_vmas: 6, links: 51 });
  });

  test('costs 1 anon_vma and 11 links on root-only', () => {
    expect(depth('root-only').costs()).toEqual({ anon_vmas: 1, links: 11 });
  });

  test.each([
    ...noReuse,
    ...reuse,
  ])('hides the pages of a generation from its ancestors on %s', (kernel) => {
    const family = depth(kernel);
    family.write(7, 2);
    // Processes 7 to 10 are linked to the anon_vma of process 7.
    expect(family.visits(7, 2)).toBe(4);
  });

  test('hides nothing beyond the limit', () => {
    const family = depth('v3.7-limit');
    family.write(7, 2);
    // Process 7 shares the anon_vma of process 5, and so do all below that.
    expect(family.visits(7, 2)).toBe(6);
  });
});

describe('a star of ten children', () => {
  const star = (kernel: string): Family => {
    const family = new Family(kernel, 4);
    family.write(0, 0, 1, 2, 3);
    for (let i = 0; i < 10; i++) family.fork(0);
    return family;
  };

  test.each([
    ...noReuse,
    ...reuse,
    ...limited,
  ])('costs 11 anon_vmas and 21 links on %s', (kernel) => {
    expect(star(kernel).costs()).toEqual({ anon_vmas: 11, links: 21 });
  });

  test.each([
    ...noReuse,
    ...reuse,
    ...limited,
  ])('finds the own page of a child in one visit on %s', (kernel) => {
    const family = star(kernel);
    family.write(3, 0);
    expect(family.visits(3, 0)).toBe(1);
  });

  test.each(['v2.6.33', 'root-only'])('looks at all relatives on %s', (kernel) => {
    const family = star(kernel);
    family.write(3, 0);
    expect(family.visits(3, 0)).toBe(11);
  });
});

describe('a daemon whose generations fork and exit', () => {
  test.each(noReuse)('leaves a link behind each time on %s', (kernel) => {
    expect(daemon(kernel, 12).lengths).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    expect(daemon(kernel, 30).family.costs()).toEqual({ anon_vmas: 31, links: 31 });
  });

  test.each(limited)('leaves six at most on %s', (kernel) => {
    expect(daemon(kernel, 12).lengths).toEqual([2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6]);
    expect(daemon(kernel, 30).family.costs()).toEqual({ anon_vmas: 6, links: 6 });
  });

  test.each(reuse)('leaves three on %s', (kernel) => {
    expect(daemon(kernel, 12).lengths).toEqual([2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
    expect(daemon(kernel, 30).family.costs()).toEqual({ anon_vmas: 3, links: 3 });
  });

  test('leaves one on root-only', () => {
    expect(daemon('root-only', 30).family.costs()).toEqual({ anon_vmas: 1, links: 1 });
  });
});

test.each([
  ...noReuse,
  ...reuse,
  ...limited,
])('a binary tree of 16 processes costs 48 links on %s', (kernel) => {
  const family = new Family(kernel, 2);
  family.write(0, 0);
  for (let d = 0; d < 4; d++) for (let i = 0, n = 2 ** d; i < n; i++) family.fork(i);
  expect(family.costs()).toEqual({ anon_vmas: 16, links: 48 });
});

describe('a VMA split in four and forked', () => {
  const split = (kernel: string): Family => {
    const family = new Family(kernel, 4);
    family.write(0, 0, 1, 2, 3);
    family.run(0, 'mprotect', AT + PAGE, PAGE, RWX);
    family.run(0, 'mprotect', AT + 3 * PAGE, PAGE, RWX);
    return family;
  };

  test.each([
    'v3.7',
    'v3.18',
    'v3.19',
    'v5.19',
    'v6.1',
  ])('is walked in one piece on %s', (kernel) => {
    const family = split(kernel);
    expect(family.visits(0, 3)).toBe(1);
    family.fork(0);
    expect(family.costs()).toEqual({ anon_vmas: 5, links: 12 });
    const root = family.vma(0).anon_vma?.root as anon_vma;
    expect(avcsOfAnonVma(root).length).toBe(8);
  });

  test.each([
    'v3.7',
    'v3.18',
    'v3.19',
    'v5.19',
    'v6.1',
  ])('merges again in the parent and not in the child on %s', (kernel) => {
    const family = split(kernel);
    const child = family.fork(0);
    for (const process of [0, child]) {
      family.run(process, 'mprotect', AT + PAGE, PAGE, RW);
      family.run(process, 'mprotect', AT + 3 * PAGE, PAGE, RW);
    }
    expect(family.vma(0).vm_end - family.vma(0).vm_start).toBe(4 * PAGE);
    expect(family.vma(child).vm_end - family.vma(child).vm_start).toBe(PAGE);
    expect(family.verdicts()).toEqual([]);
  });
});

describe('three generations (S1)', () => {
  const generations = (kernel: string): Family => {
    const family = new Family(kernel, 4);
    family.write(0, 0, 3);
    family.fork(0);
    family.write(1, 0);
    family.fork(1);
    return family;
  };

  test.each([...noReuse, ...reuse, ...limited])('have chains of 1, 2 and 3 on %s', (kernel) => {
    const family = generations(kernel);
    const [a0] = family.chain(0);
    const [a1, ...old] = family.chain(1);
    expect(old).toEqual([a0]);
    expect(family.chain(2).slice(1)).toEqual([a1, a0]);
    expect(family.vma(2).anon_vma).toBe(family.chain(2)[0]);
  });

  test.each(['v3.19', 'v5.19'])('count their degrees on %s', (kernel) => {
    const family = generations(kernel);
    const degrees = (): number[] => family.chain(2).map((anon_vma) => anon_vma.num_children);
    expect(degrees()).toEqual([1, 2, 3]);
    family.exit(1);
    expect(degrees()[1]).toBe(1);
  });

  test.each(reuse)('give a child of the third the anon_vma of the dead second on %s', (kernel) => {
    const family = generations(kernel);
    const second = family.vma(1).anon_vma;
    family.exit(1);
    family.fork(2);
    expect(family.vma(3).anon_vma).toBe(second);
    expect(family.chain(3)).toEqual(family.chain(2));
  });

  test.each(noReuse)('give it a new one on %s', (kernel) => {
    const family = generations(kernel);
    family.exit(1);
    family.fork(2);
    expect(family.chain(3).slice(1)).toEqual(family.chain(2));
  });
});

/** CVE-2022-42703: the anon_vma left by one process is taken over by two VMAs with different chains. */
function doubleReuse(family: Family): void {
  family.write(0, 0);
  family.fork(0);
  family.fork(1);
  family.exit(1);
  family.fork(2);
  family.run(3, 'mprotect', AT + PAGE, PAGE, RWX);
  family.exit(2);
  family.fork(3);
  family.fork(3);
  family.exit(4);
  family.write(5, 1);
  family.fork(5);
}

describe('the double reuse of an anon_vma', () => {
  const twice = [
    ['v5.19', [], []],
    ['v3.19', [], []],
    ['v6.1', [], ['two_counters']],
  ] as const;

  test.each(twice)('loses a page of a merged VMA on %s %j %j', (kernel, patches, withouts) => {
    const family = new Family(kernel, 2, patches, withouts);
    doubleReuse(family);
    expect(family.vma(6, 0).anon_vma).toBe(family.vma(6, 1).anon_vma);
    expect(family.chain(6, 0)).not.toEqual(family.chain(6, 1));
    family.run(6, 'mprotect', AT + PAGE, PAGE, RW);
    expect(family.verdicts()).toContain('rmap-unreachable');
    family.exit(5);
    expect(family.verdicts()).toContain('anon-vma-freed');
  });

  const once: readonly (readonly [string, readonly string[]])[] = [
    ...[...noReuse, ...limited, 'root-only', 'v6.1', 'v6.18'].map(
      (kernel) => [kernel, []] as const,
    ),
    ['v5.19', ['two_counters']],
  ];

  test.each(once)('does not happen on %s %j', (kernel, patches) => {
    const family = new Family(kernel, 2, patches);
    doubleReuse(family);
    family.run(6, 'mprotect', AT + PAGE, PAGE, RW);
    expect(family.verdicts()).toEqual([]);
    family.exit(5);
    expect(family.verdicts()).toEqual([]);
  });
});

describe('an unfaulted VMA that takes in a faulted one', () => {
  /** Case 1: a hole between the two is filled. The importer has no anon_vma yet. */
  const fill = (kernel: string, withouts: readonly string[]): Family => {
    const family = new Family(kernel, 8, [], withouts);
    family.run(0, 'munmap', AT + 2 * PAGE, 2 * PAGE);
    family.write(0, 5);
    family.run(0, 'mmap', AT + 2 * PAGE, 2 * PAGE, RW, FIXED_ANON, -1, 0);
    return family;
  };

  test('stays apart on v6.1, where the range goes to the faulted side', () => {
    const family = fill('v6.1', []);
    expect(family.vma(0).vm_end).toBe(AT + 2 * PAGE);
    expect(family.vma(0, 2).vm_end).toBe(AT + 8 * PAGE);
    expect(family.verdicts()).toEqual([]);
  });

  test.each(['v3.7', 'v3.18', 'v3.19', 'v5.19'])('has its chain on %s', (kernel) => {
    const family = fill(kernel, []);
    expect(family.vma(0).vm_end).toBe(AT + 8 * PAGE);
    expect(family.chain(0)).toEqual([family.vma(0).anon_vma]);
    expect(family.verdicts()).toEqual([]);
    family.exit(0);
    expect(family.machine.findings()).toEqual([]);
  });

  test('is counted once too little when the chain is cloned before the anon_vma is set', () => {
    const family = fill('v3.19', ['import_before_clone']);
    expect(family.verdicts()).toEqual(['anon-vma-counter']);
    family.exit(0);
    expect(family.machine.findings().map((finding) => finding.kind)).toContain('bug');
  });
});
