/** mremap(2) of 5.19 and 6.1, and what the classic one had wrong. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { mmOfTask, vmaAt } from '../../../src/linux/describe.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import type { mm_struct, vm_area_struct } from '../../../src/linux/mm_types.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { call, spawnInit } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const FAR = AT + 1024 * PAGE;
const RW = 3;
const FIXED_ANON = 0x32;
const MAYMOVE = 1;
const FIXED = 2;
const DONTUNMAP = 4;
const EINVAL = 22;

function boot(kernel: string): { machine: Machine; a: number } {
  const machine = bootMachine({ kernel: selectKernel(kernel), memoryPages: 1024, swapPages: 64 });
  return { machine, a: spawnInit(machine, 'A') };
}

function vma(machine: Machine, a: number, address: number): vm_area_struct | null {
  return vmaAt(mmOfTask(machine, a) as mm_struct, address);
}

function isRight(machine: Machine): void {
  expect(machine.findings()).toEqual([]);
  expect(judge(machine, 'operation-end')).toEqual([]);
}

describe.each(['v5.19', 'v6.1'])('MREMAP_DONTUNMAP on %s', (kernel) => {
  test('takes the pages along and leaves an empty mapping without anon_vma', () => {
    const { machine, a } = boot(kernel);
    call(machine, a, 'mmap', [AT, 2 * PAGE, RW, FIXED_ANON, -1, 0]);
    call(machine, a, 'store', [AT, 7]);
    const flags = MAYMOVE | FIXED | DONTUNMAP;
    expect(call(machine, a, 'mremap', [AT, 2 * PAGE, 2 * PAGE, flags, FAR])).toBe(FAR);
    expect(vma(machine, a, AT)?.anon_vma).toBe(null);
    expect(vma(machine, a, FAR)?.anon_vma).not.toBe(null);
    expect(call(machine, a, 'load', [FAR])).toBe(7);
    expect(call(machine, a, 'load', [AT])).toBe(0);
    isRight(machine);
  });

  test('keeps the anon_vma of a mapping that it takes a part of', () => {
    const { machine, a } = boot(kernel);
    call(machine, a, 'mmap', [AT, 2 * PAGE, RW, FIXED_ANON, -1, 0]);
    call(machine, a, 'store', [AT + PAGE, 7]);
    call(machine, a, 'mremap', [AT, PAGE, PAGE, MAYMOVE | FIXED | DONTUNMAP, FAR]);
    expect(vma(machine, a, AT)?.anon_vma).toBe(vma(machine, a, FAR)?.anon_vma);
    isRight(machine);
  });

  test('refuses another length', () => {
    const { machine, a } = boot(kernel);
    call(machine, a, 'mmap', [AT, 2 * PAGE, RW, FIXED_ANON, -1, 0]);
    const flags = MAYMOVE | FIXED | DONTUNMAP;
    expect(call(machine, a, 'mremap', [AT, PAGE, 2 * PAGE, flags, FAR])).toBe(-EINVAL);
  });
});

test.each(['v3.7', 'v3.19'])('MREMAP_DONTUNMAP is an invalid flag on %s', (kernel) => {
  const { machine, a } = boot(kernel);
  call(machine, a, 'mmap', [AT, PAGE, RW, FIXED_ANON, -1, 0]);
  const flags = MAYMOVE | FIXED | DONTUNMAP;
  expect(call(machine, a, 'mremap', [AT, PAGE, PAGE, flags, FAR])).toBe(-EINVAL);
});

describe('a mapping that grows up to the next one', () => {
  const grow = (kernel: string): { machine: Machine; end: number } => {
    const { machine, a } = boot(kernel);
    call(machine, a, 'mmap', [AT, 4 * PAGE, RW, FIXED_ANON, -1, 0]);
    call(machine, a, 'munmap', [AT + PAGE, PAGE]);
    expect(call(machine, a, 'mremap', [AT, PAGE, 2 * PAGE, 0, 0])).toBe(AT);
    isRight(machine);
    return { machine, end: vma(machine, a, AT)?.vm_end ?? 0 };
  };

  test.each(['v3.7', 'v3.19', 'v5.19'])('stays another on %s', (kernel) => {
    expect(grow(kernel).end).toBe(AT + 2 * PAGE);
  });

  test('becomes one with it on v6.1', () => {
    expect(grow('v6.1').end).toBe(AT + 4 * PAGE);
  });
});

test.each([
  'v2.6.36',
  'v3.7',
  'v5.19',
])('mremap() passes over a range whose page table was never made, on %s', (kernel) => {
  const { machine, a } = boot(kernel);
  // The first page of the same gigabyte has a table, the one that moves has none.
  call(machine, a, 'mmap', [AT, PAGE, RW, FIXED_ANON, -1, 0]);
  call(machine, a, 'store', [AT, 1]);
  call(machine, a, 'mmap', [FAR, 2 * PAGE, RW, FIXED_ANON, -1, 0]);
  const to = FAR + 64 * PAGE;
  expect(call(machine, a, 'mremap', [FAR, 2 * PAGE, 2 * PAGE, MAYMOVE | FIXED, to])).toBe(to);
  isRight(machine);
});
