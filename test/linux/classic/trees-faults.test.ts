/** Faults of the kernels with interval trees: what 3.15 maps around, what 5.19 and 6.1 reuse and write to. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { mmOfTask, pteAt } from '../../../src/linux/describe.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import { PageAnonExclusive } from '../../../src/linux/mm/page-flags.ts';
import { pte_pfn, pte_present, pte_write } from '../../../src/linux/mm/pgtable.ts';
import { mem_map, type mm_struct } from '../../../src/linux/mm_types.ts';
import { cpu, ENDLESS } from '../../../src/sim/cpu.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { begin, call, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const R = 1;
const RW = 3;
const FIXED_ANON = 0x32;
const FIXED_PRIVATE = 0x12;
const FIXED_SHARED = 0x11;
const O_RDWR_CREAT = 0x42;

class World {
  readonly machine: Machine;
  readonly a: number;
  readonly kernel: number;

  constructor(kernel: string, withouts: readonly string[] = []) {
    const selected = selectKernel(kernel, [], withouts);
    this.machine = bootMachine({ kernel: selected, memoryPages: 1024, swapPages: 64 });
    this.a = spawnInit(this.machine, 'A');
    this.kernel = spawnKernelThread(this.machine, 'kernel');
  }

  run(name: string, ...args: unknown[]): number {
    return call(this.machine, this.a, name, args);
  }

  pte(page: number, task = this.a): number {
    return pteAt(mmOfTask(this.machine, task) as mm_struct, AT + page * PAGE);
  }

  isRight(): void {
    expect(this.machine.findings()).toEqual([]);
    expect(judge(this.machine, 'operation-end')).toEqual([]);
  }
}

/** Pages that are mapped after a read of the first page of a file whose 16 pages are in the page cache. */
function mappedAfterRead(world: World): number {
  const fd = call(world.machine, world.a, 'open', ['/tmp/file', O_RDWR_CREAT], { size: 16 * PAGE });
  world.run('mmap', AT, 16 * PAGE, RW, FIXED_SHARED, fd, 0);
  for (let i = 0; i < 16; i++) world.run('store', AT + i * PAGE, i);
  world.run('munmap', AT, 16 * PAGE);
  world.run('mmap', AT, 16 * PAGE, R, FIXED_PRIVATE, fd, 0);
  expect(world.run('load', AT + PAGE)).toBe(1);
  let mapped = 0;
  for (let i = 0; i < 16; i++) if (pte_present(world.pte(i))) mapped++;
  world.isRight();
  return mapped;
}

describe('a read of a cached page of a file', () => {
  test.each(['v2.6.36', 'v3.7'])('maps that page on %s', (kernel) => {
    expect(mappedAfterRead(new World(kernel))).toBe(1);
  });

  test.each(['v3.18', 'v3.19', 'v5.19', 'v6.1'])('maps all 16 around it on %s', (kernel) => {
    expect(mappedAfterRead(new World(kernel))).toBe(16);
  });

  test('maps that page on v3.18 without fault_around', () => {
    expect(mappedAfterRead(new World('v3.18', ['fault_around']))).toBe(1);
  });
});

/** A page of A's after a fork, a write of the child and its exit: whether A has it alone by the rules of the kernel. */
describe('a page that a child has copied and left', () => {
  const leftAlone = (kernel: string): World => {
    const world = new World(kernel);
    world.run('mmap', AT, PAGE, RW, FIXED_ANON, -1, 0);
    world.run('store', AT, 1);
    world.run('fork');
    const child = world.machine.taskCount();
    call(world.machine, child, 'store', [AT, 2]);
    call(world.machine, child, 'exit_group', [0]);
    expect(pte_write(world.pte(0))).toBe(false);
    return world;
  };

  test.each(['v3.7', 'v3.19', 'v5.19', 'v6.1'])('is written to in its place on %s', (kernel) => {
    const world = leftAlone(kernel);
    const pfn = pte_pfn(world.pte(0));
    world.run('store', AT, 3);
    expect(pte_pfn(world.pte(0))).toBe(pfn);
    world.isRight();
  });

  test.each(['v5.19', 'v6.1'])('is exclusive again after that on %s', (kernel) => {
    const world = leftAlone(kernel);
    expect(PageAnonExclusive(mem_map.at(pte_pfn(world.pte(0))))).toBe(false);
    world.run('store', AT, 3);
    expect(PageAnonExclusive(mem_map.at(pte_pfn(world.pte(0))))).toBe(true);
  });
});

describe('a page that nobody else has, swapped in for a read', () => {
  const swappedIn = (kernel: string): World => {
    const world = new World(kernel);
    world.run('mmap', AT, PAGE, RW, FIXED_ANON, -1, 0);
    world.run('store', AT, 1);
    call(world.machine, world.kernel, 'settle', []);
    for (let i = 0; i < 2; i++) {
      call(world.machine, world.kernel, 'reclaim', [world.a, AT]);
    }
    expect(pte_present(world.pte(0))).toBe(false);
    expect(world.run('load', AT)).toBe(1);
    world.isRight();
    return world;
  };

  test.each(['v3.7', 'v3.19', 'v5.19', 'v6.1'])('cannot be written to at once on %s', (kernel) => {
    expect(pte_write(swappedIn(kernel).pte(0))).toBe(false);
  });

  test('can be on v6.18', () => {
    expect(pte_write(swappedIn('v6.18').pte(0))).toBe(true);
  });
});

describe('mprotect() that allows writing again', () => {
  const allowed = (kernel: string): boolean => {
    const world = new World(kernel);
    world.run('mmap', AT, PAGE, RW, FIXED_ANON, -1, 0);
    world.run('store', AT, 1);
    world.run('mprotect', AT, PAGE, R);
    world.run('mprotect', AT, PAGE, RW);
    world.isRight();
    return pte_write(world.pte(0));
  };

  test.each(['v3.7', 'v3.19', 'v5.19'])('leaves it to a write fault on %s', (kernel) => {
    expect(allowed(kernel)).toBe(false);
  });

  test('makes a page writable that the process has alone on v6.1', () => {
    expect(allowed('v6.1')).toBe(true);
  });
});

describe('madvise() of later kernels', () => {
  const advise = (kernel: string, advice: number): { world: World; result: number } => {
    const world = new World(kernel);
    world.run('mmap', AT, 2 * PAGE, RW, FIXED_ANON, -1, 0);
    world.run('store', AT, 7);
    call(world.machine, world.kernel, 'settle', []);
    const result = world.run('madvise', AT, 2 * PAGE, advice);
    world.isRight();
    return { world, result };
  };
  const EINVAL = 22;
  const FREE = 8;
  const WIPEONFORK = 18;
  const PAGEOUT = 21;

  test.each([FREE, WIPEONFORK, PAGEOUT])('advice %i is refused by v3.19', (advice) => {
    expect(advise('v3.19', advice).result).toBe(-EINVAL);
  });

  test.each(['v5.19', 'v6.1'])('MADV_WIPEONFORK gives a child of %s zeros', (kernel) => {
    const { world, result } = advise(kernel, WIPEONFORK);
    expect(result).toBe(0);
    world.run('fork');
    expect(call(world.machine, world.machine.taskCount(), 'load', [AT])).toBe(0);
    expect(world.run('load', AT)).toBe(7);
    world.isRight();
  });

  test.each(['v5.19', 'v6.1'])('MADV_PAGEOUT swaps pages of %s out', (kernel) => {
    const { world, result } = advise(kernel, PAGEOUT);
    expect(result).toBe(0);
    expect(pte_present(world.pte(0))).toBe(false);
    expect(world.run('load', AT)).toBe(7);
    world.isRight();
  });
});

describe('a swap-in that finds its page locked', () => {
  /** mmap_sem of A while its fault waits for the page that reclaim has locked. */
  const waitsWithSem = (kernel: string, withouts: readonly string[] = []): boolean => {
    const world = new World(kernel, withouts);
    const { machine, a } = world;
    world.run('mmap', AT, PAGE, RW, FIXED_ANON, -1, 0);
    world.run('store', AT, 1);
    call(machine, world.kernel, 'settle', []);
    call(machine, world.kernel, 'reclaim', [a, AT]);
    begin(machine, world.kernel, 'reclaim', [a, AT]);
    // Until its entry is that of a slot.
    while (world.pte(0) === 0 || pte_present(world.pte(0))) {
      expect(machine.run(world.kernel, 1, null)).toBe('fuel');
    }
    begin(machine, a, 'load', [AT]);
    expect(machine.run(a, ENDLESS, null)).toBe('blocked');
    const held = cpu.heap[(mmOfTask(machine, a) as mm_struct).mmap_lock] !== 0;
    for (let turn = 0; turn < 4; turn++) {
      for (const task of [world.kernel, a])
        if (machine.enabled(task)) machine.run(task, ENDLESS, null);
    }
    expect(machine.block(a).result).toBe(1);
    world.isRight();
    return held;
  };

  test.each(['v2.6.36'])('waits with mmap_sem on %s', (kernel) => {
    expect(waitsWithSem(kernel)).toBe(true);
  });

  test('waits with it on v3.7 without fault_retry', () => {
    expect(waitsWithSem('v3.7', ['fault_retry'])).toBe(true);
  });

  test.each(['v3.0', 'v3.7', 'v3.19', 'v5.19'])('waits without it on %s', (kernel) => {
    expect(waitsWithSem(kernel)).toBe(false);
  });
});
