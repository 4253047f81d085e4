/**
 * Stacks that grow, droppable memory, reservation and accounting. Each result, mapping and flag is what Linux
 * 6.18.44 answered to the same calls (smaps, signals), with RLIMIT_STACK of 8 MiB.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { mmOfTask, vmasOf, vmFlagCodes } from '../../../src/linux/describe.ts';
import { EFAULT, EINVAL, ENOMEM } from '../../../src/linux/errno.ts';
import {
  MADV_COLD,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTFORK,
  MADV_FREE,
  MADV_KEEPONFORK,
  MADV_MERGEABLE,
  MADV_PAGEOUT,
  MADV_WIPEONFORK,
  MAP_DROPPABLE,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_GROWSDOWN,
  PROT_GROWSUP,
} from '../../../src/linux/mm/mm.ts';
import { vmaGlobals } from '../../../src/linux/mm/util.ts';
import { cpu } from '../../../src/sim/cpu.ts';
import { eventAt } from '../../../src/sim/event.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { bootTest, call, findings, spawnInit } from '../driver.ts';

const PAGE = 4096;
const G = 0x7300_0000_0000;
const STACK = MAP_PRIVATE | MAP_GROWSDOWN;
const ANON_FIXED = 0x30;
const FIXED = 0x10;
const at = (page: number): number => G + page * PAGE;
let m: Machine;
let p: number;
let fd: number;

const run = (name: string, ...args: unknown[]): number => call(m, p, name, args);
const map = (page: number, pages: number, prot: number, flags: number): number =>
  run('mmap', at(page), pages * PAGE, prot, flags | ANON_FIXED, -1, 0);
const ofFile = (page: number, prot: number, flags: number): number =>
  run('mmap', at(page), PAGE, prot, flags | FIXED, fd, 0);

/** 0, or signal * 100 + code. */
function access(name: 'load' | 'store', page: number): number {
  const events = cpu.event_count;
  const result = run(name, at(page), 1);
  if (result >= 0) return 0;
  expect(result).toBe(-EFAULT);
  for (let n = events; n < cpu.event_count; n++) {
    const { type, values } = eventAt(n);
    if (type.name === 'signal:signal_deliver') return Number(values[0]) * 100 + Number(values[1]);
  }
  return -1;
}
const store = (page: number): number => access('store', page);
const MAPERR = 1101;
const ACCERR = 1102;

/** The mappings above G as smaps has them. */
function maps(task = p): string[] {
  m.activate();
  const mm = mmOfTask(m, task);
  const vmas = mm === null ? [] : [...vmasOf(mm)];
  return vmas
    .filter((vma) => vma.vm_start >= G && vma.vm_start < at(100_000))
    .map(
      (vma) =>
        `[${(vma.vm_start - G) / PAGE},${(vma.vm_end - G) / PAGE}) ${vmFlagCodes(vma.vm_flags)}`,
    );
}

beforeEach(() => {
  m = bootTest();
  p = spawnInit(m, 'P');
  fd = run('memfd_create', 'x', 0);
  run('ftruncate', fd, 8 * PAGE);
  return () => {
    expect(findings(m)).toEqual([]);
    expect(judge(m, 'operation-end')).toEqual([]);
  };
});

describe('a mapping that grows downwards', () => {
  test('grows to any access below it, up to the limit', () => {
    map(5000, 2, 3, STACK);
    expect([store(4999), access('load', 4990), store(4690)]).toEqual([0, 0, 0]);
    expect(maps()).toEqual(['[4690,5002) rd wr mr mw me gd ac']);
    expect([store(5002 - 2049), store(5002 - 2048)]).toEqual([MAPERR, 0]);
    expect(maps()).toEqual(['[2954,5002) rd wr mr mw me gd ac']);
  });

  test('keeps 256 pages away from what can be accessed below', () => {
    map(5000, 1, 3, STACK);
    map(4600, 1, 3, MAP_PRIVATE);
    expect([store(4601 + 255), store(4601 + 256)]).toEqual([MAPERR, 0]);
    expect(maps()).toEqual(['[4600,4601) rd wr mr mw me ac', '[4857,5001) rd wr mr mw me gd ac']);
  });

  test('comes up to what cannot be accessed, and to another stack', () => {
    map(5000, 1, 3, STACK);
    map(4600, 1, 0, MAP_PRIVATE);
    expect([store(4601), store(4600)]).toEqual([0, ACCERR]);
    expect(maps()).toEqual(['[4600,4601) mr mw me', '[4601,5001) rd wr mr mw me gd ac']);
    run('munmap', G, 100_000 * PAGE);
    map(5000, 1, 3, STACK);
    map(4600, 1, 3, STACK);
    expect(store(4602)).toBe(0);
    expect(maps()).toEqual([
      '[4600,4601) rd wr mr mw me gd ac',
      '[4602,5001) rd wr mr mw me gd ac',
    ]);
  });

  test('keeps new mappings out of the gap, unless they are fixed', () => {
    map(5000, 1, 3, STACK);
    const hint = (page: number, flags = 0): number =>
      run('mmap', at(page), PAGE, 3, MAP_PRIVATE | 0x20 | flags, -1, 0);
    expect(hint(4900)).not.toBe(at(4900));
    expect(hint(4744)).not.toBe(at(4744));
    expect(hint(4743)).toBe(at(4743));
    expect(hint(4990, MAP_FIXED_NOREPLACE)).toBe(at(4990));
    run('munmap', G, 5000 * PAGE);
    map(4600, 1, 3, MAP_PRIVATE);
    expect(run('mremap', at(4600), PAGE, 400 * PAGE, 0)).toBe(at(4600));
  });

  test('is private and anonymous', () => {
    expect(map(5000, 2, 3, MAP_SHARED | MAP_GROWSDOWN)).toBe(-EINVAL);
    expect(ofFile(5000, 3, STACK)).toBe(-EINVAL);
    expect(ofFile(5000, 3, MAP_SHARED | MAP_GROWSDOWN)).toBe(-EINVAL);
  });

  test('is protected from its lowest page on by PROT_GROWSDOWN', () => {
    map(5000, 4, 3, STACK);
    expect(run('mprotect', at(5002), PAGE, 1 | PROT_GROWSDOWN)).toBe(0);
    expect(maps()).toEqual(['[5000,5003) rd mr mw me gd', '[5003,5004) rd wr mr mw me gd ac']);
    map(6000, 4, 3, MAP_PRIVATE);
    for (const grows of [PROT_GROWSDOWN, PROT_GROWSUP, PROT_GROWSDOWN | PROT_GROWSUP]) {
      expect(run('mprotect', at(6002), PAGE, 1 | grows)).toBe(-EINVAL);
    }
  });

  test('grows before its protection is looked at', () => {
    map(5000, 4, 0, STACK);
    expect(store(4999)).toBe(ACCERR);
    expect(maps()).toEqual(['[4999,5004) mr mw me gd']);
    run('munmap', G, 100_000 * PAGE);
    map(5000, 4, 1, STACK);
    expect([store(4999), access('load', 4998)]).toEqual([ACCERR, 0]);
    expect(maps()).toEqual(['[4998,5004) rd mr mw me gd']);
  });

  test('grows by itself in a child, and stays locked', () => {
    map(5000, 1, 3, STACK);
    store(5000);
    const child = run('fork');
    expect(call(m, child, 'store', [at(4995), 1])).toBe(0);
    expect([maps(child), maps()]).toEqual([
      ['[4995,5001) rd wr mr mw me gd ac'],
      ['[5000,5001) rd wr mr mw me gd ac'],
    ]);
    expect(run('mlock', at(5000), PAGE)).toBe(0);
    expect(store(4995)).toBe(0);
    expect(maps()).toEqual(['[4995,5001) rd wr mr mw me gd lo ac']);
    expect(mmOfTask(m, p)?.locked_vm).toBe(6);
  });
});

describe('a droppable mapping', () => {
  const flags = 'rd wr mr mw me nr wf dd dp';

  test('is anonymous, neither locked nor a stack, of a type of its own', () => {
    expect(map(10, 4, 3, MAP_DROPPABLE)).toBe(at(10));
    expect(maps()).toEqual([`[10,14) ${flags}`]);
    expect(ofFile(20, 3, MAP_DROPPABLE)).toBe(-EINVAL);
    for (const with_ of [MAP_LOCKED, MAP_GROWSDOWN, MAP_SHARED, MAP_PRIVATE]) {
      expect(map(20, 1, 3, MAP_DROPPABLE | with_)).toBe(-EINVAL);
    }
    map(6, 4, 3, MAP_PRIVATE);
    expect(maps()).toEqual(['[6,10) rd wr mr mw me ac', `[10,14) ${flags}`]);
  });

  test('is not locked by mlock, and cannot be told to be kept or dumped', () => {
    map(10, 4, 3, MAP_DROPPABLE);
    store(10);
    expect(run('mlock', at(10), PAGE)).toBe(0);
    expect(run('mlock2', at(10), PAGE, 1)).toBe(0);
    const advise = (advice: number): number => run('madvise', at(10), PAGE, advice);
    expect([MADV_KEEPONFORK, MADV_DODUMP].map(advise)).toEqual([-EINVAL, -EINVAL]);
    const fine = [MADV_WIPEONFORK, MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_FREE];
    expect(fine.map(advise)).toEqual([0, 0, 0, 0, 0]);
    expect(maps()).toEqual([`[10,14) ${flags}`]);
  });

  test('is empty in a child, and loses its pages to reclaim without swap', () => {
    m = bootTest({ swapPages: 0 });
    p = spawnInit(m, 'P');
    map(10, 4, 3, MAP_DROPPABLE);
    store(10);
    store(11);
    const child = run('fork');
    expect(call(m, child, 'load', [at(10)])).toBe(0);
    expect(maps(child)).toEqual([`[10,14) ${flags}`]);
    expect(run('load', at(10))).toBe(1);
    expect(run('madvise', at(10), PAGE, MADV_PAGEOUT)).toBe(0);
    expect(run('madvise', at(11), PAGE, MADV_COLD)).toBe(0);
    expect([run('load', at(10)), run('load', at(11))]).toEqual([0, 1]);
    expect(run('mremap', at(10), 4 * PAGE, 4 * PAGE, 3, at(40))).toBe(at(40));
    expect(maps()).toEqual([`[40,44) ${flags}`]);
  });
});

describe('what is accounted', () => {
  /** One page each at even places: private, shared and file mappings, with and without MAP_NORESERVE. */
  function all(): void {
    map(0, 1, 3, MAP_PRIVATE);
    map(2, 1, 1, MAP_PRIVATE);
    map(4, 1, 3, MAP_PRIVATE | MAP_NORESERVE);
    map(6, 1, 1, MAP_PRIVATE | MAP_NORESERVE);
    map(8, 1, 3, MAP_SHARED);
    map(10, 1, 3, MAP_SHARED | MAP_NORESERVE);
    ofFile(12, 3, MAP_PRIVATE);
    ofFile(14, 1, MAP_PRIVATE);
    ofFile(16, 3, MAP_SHARED);
  }
  const codes = (): string[] => maps().map((line) => line.slice(line.indexOf(' ') + 1));

  test('is private and writable, or was', () => {
    all();
    const rest = ['rd wr sh mr mw me ms', 'rd wr sh mr mw me ms nr'];
    expect(codes()).toEqual([
      'rd wr mr mw me ac',
      'rd mr mw me',
      'rd wr mr mw me nr',
      'rd mr mw me nr',
      ...rest,
      'rd wr mr mw me ac',
      'rd mr mw me',
      'rd wr sh mr mw me ms',
    ]);
    for (const page of [2, 6, 10, 14]) run('mprotect', at(page), PAGE, 3);
    expect(codes()).toEqual([
      'rd wr mr mw me ac',
      'rd wr mr mw me ac',
      'rd wr mr mw me nr',
      'rd wr mr mw me nr',
      ...rest,
      'rd wr mr mw me ac',
      'rd wr mr mw me ac',
      'rd wr sh mr mw me ms',
    ]);
    for (let page = 0; page <= 14; page += 2) run('mprotect', at(page), PAGE, 1);
    expect(codes()).toEqual([
      'rd mr mw me',
      'rd mr mw me',
      'rd mr mw me nr',
      'rd mr mw me nr',
      'rd sh mr mw me ms',
      'rd sh mr mw me ms nr',
      'rd mr mw me ac',
      'rd mr mw me ac',
      'rd wr sh mr mw me ms',
    ]);
    map(0, 1, 3, MAP_PRIVATE);
    store(0);
    run('mprotect', at(0), PAGE, 1);
    expect(codes()[0]).toBe('rd mr mw me ac');
  });

  test('counts as committed as long as it is mapped', () => {
    const committed = (): number => {
      m.activate();
      return vmaGlobals().vm_committed_as;
    };
    const before = committed();
    all();
    // Two private ones; the shared one as memory of tmpfs.
    expect(committed() - before).toBe(3);
    run('mprotect', at(2), PAGE, 3);
    expect(committed() - before).toBe(4);
    run('mprotect', at(2), PAGE, 1);
    expect(committed() - before).toBe(3);
    const child = run('fork');
    expect(committed() - before).toBe(5);
    call(m, child, 'exit', [0]);
    expect(committed() - before).toBe(3);
    run('munmap', G, 100 * PAGE);
    call(m, p, 'settle', []);
    expect(committed() - before).toBe(0);
  });

  test('may not be more than there is, reserved or not', () => {
    const big = 2 ** 44;
    const make = (prot: number, flags: number): number =>
      run('mmap', 0, big, prot, flags | 0x20, -1, 0);
    const made = (prot: number, flags: number): number => {
      const where = make(prot, flags);
      expect(where).toBeGreaterThan(0);
      return where;
    };
    expect(make(3, MAP_PRIVATE)).toBe(-ENOMEM);
    run('munmap', made(3, MAP_PRIVATE | MAP_NORESERVE), big);
    const readOnly = made(1, MAP_PRIVATE);
    expect(run('mprotect', readOnly, big, 3)).toBe(-ENOMEM);
    run('munmap', readOnly, big);
    expect([make(3, MAP_SHARED), make(1, MAP_SHARED)]).toEqual([-ENOMEM, -ENOMEM]);
    run('munmap', made(3, MAP_SHARED | MAP_NORESERVE), big);
    const unreserved = made(1, MAP_PRIVATE | MAP_NORESERVE);
    expect(run('mprotect', unreserved, big, 3)).toBe(0);
    run('munmap', unreserved, big);
    made(3, MAP_DROPPABLE);
  });
});
