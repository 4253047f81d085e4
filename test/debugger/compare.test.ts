import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  type ComparedRun,
  compareKernels,
  metricNamed,
  type OpenOn,
  parseSweep,
  type Sweep,
} from '../../src/debugger/compare.ts';
import { compareCsv, compareTables, sweepText } from '../../src/debugger/compare-text.ts';
import { openSession } from '../../src/debugger/open.ts';

const star = `
param N=4
A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
A: store(p+1p, 1)
repeat i = 1..N {
  A: C{i} = fork()
  C{i}: store(p+1p, i)
}
kernel: referenced(A, p)
kernel: referenced(C1, p+1p)
`;

function opener(text: string, seed = 0): OpenOn {
  return (kernel, params, judge) =>
    openSession(text, { file: 'test.mm', kernel, params, judge, seed, stopOnFinding: false });
}

function compare(text: string, kernels: readonly string[], sweep: Sweep | null = null) {
  const work = compareKernels(opener(text), kernels, sweep);
  for (;;) {
    const { value, done } = work.next();
    if (done === true) return value;
  }
}

function number(run: ComparedRun | undefined, metric: string): number {
  const found = metricNamed(metric);
  if (run?.costs == null || found === undefined) throw new Error(`no ${metric}`);
  return found.of(run.costs);
}

describe('costs', () => {
  test('of a star of N forks are those of the formulas: N + 1 anon_vmas, 2N + 1 links', () => {
    for (const run of compare(star, ['v2.6.34', 'v2.6.36', 'v6.18'])) {
      expect(run.findings).toEqual([]);
      const counts = Object.fromEntries((run.costs?.objects ?? []).map((o) => [o.name, o.count]));
      expect(counts).toEqual({ anon_vma: 5, anon_vma_chain: 9 });
      // A parent's page is looked for in every relative, a child's own page in one VMA.
      expect([number(run, 'visits_min'), number(run, 'visits_max')]).toEqual([1, 5]);
      expect(number(run, 'walks')).toBe(2);
      expect(number(run, 'ptes')).toBe(6);
      expect(number(run, 'wasted')).toBe(0);
      expect(number(run, 'fork_links')).toBe(2);
    }
  });

  test('a fork on a kernel without anon_vma_chain links the VMA itself', () => {
    const [run] = compare(star, ['v2.6.33']);
    expect(Object.fromEntries((run?.costs?.objects ?? []).map((o) => [o.name, o.count]))).toEqual({
      anon_vma: 1,
    });
    expect(number(run, 'fork_links')).toBe(1);
  });

  test('bytes are objects of the real kernel', () => {
    const [old, now] = compare(star, ['v2.6.34', 'v6.18']);
    expect(number(old, 'bytes')).toBe(5 * 32 + 9 * 48);
    expect(number(now, 'bytes')).toBe(5 * 104 + 9 * 64);
    expect(number(now, 'bytes_vma')).toBe((5 * 104 + 9 * 64) / 5);
  });

  test('a contended lock is counted with the steps it was held', () => {
    const race = `${star}race {\n  kernel: migrate(A, p)\n  A: munmap(p, 4p)\n  C1: munmap(p, 4p)\n}\n`;
    const work = compareKernels(opener(race, 3), ['v6.18'], null);
    let last = work.next();
    while (last.done !== true) last = work.next();
    const costs = last.value[0]?.costs;
    const rmap = costs?.locks.find((lock) => lock.cls === 'anon_vma.rwsem');
    expect(rmap?.rmap).toBe(true);
    expect(rmap?.contended).toBeGreaterThan(0);
    expect(rmap?.held.count).toBe(rmap?.taken);
    expect(rmap?.held.max).toBeGreaterThan(0);
  });

  test('a kernel that cannot run the scenario says why', () => {
    const [old, now] = compare(`${star}expect N == 5\nA: mseal(p, 1p, 0)\n`, ['v2.6.34', 'v6.18']);
    expect(old?.costs).toBeNull();
    expect(old?.refused).toMatch(/^[^\n]*mseal/);
    expect(now?.failed).toBe(1);
    expect(now?.refused).toBe('');
  });
});

describe('a sweep', () => {
  test('runs each kernel with each value', () => {
    const runs = compare(star, ['v2.6.36', 'v6.18'], { param: 'N', values: [1, 3] });
    expect(runs.map((run) => [run.kernel, run.at, number(run, 'visits_max')])).toEqual([
      ['v2.6.36', 1, 2],
      ['v6.18', 1, 2],
      ['v2.6.36', 3, 4],
      ['v6.18', 3, 4],
    ]);
    const csv = compareCsv(runs, 'N');
    expect(csv).toHaveLength(5);
    expect(csv[0]?.split(',').slice(0, 2)).toEqual(['kernel', 'N']);
    const text = sweepText('N', 'visits_max', runs, { width: 40, height: 8 }).join('\n');
    expect(text).toContain('a v2.6.36   b v6.18');
  });

  test('of a parameter that the scenario has not is refused', () => {
    expect(() => compare(star, ['v6.18'], { param: 'M', values: [1] })).toThrow(
      'the scenario has no parameter M; it has N',
    );
  });

  test('is a range, a range with a step, or a list; a long range doubles', () => {
    expect(parseSweep('N=1..4')?.values).toEqual([1, 2, 3, 4]);
    expect(parseSweep('N=0..64/16')?.values).toEqual([0, 16, 32, 48, 64]);
    expect(parseSweep('N=1,5,10')?.values).toEqual([1, 5, 10]);
    expect(parseSweep('N=1..256')?.values).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256]);
    for (const bad of ['N', 'N=', 'N=4..1', 'N=1..8/0', 'N=a', '=1..2'])
      expect(parseSweep(bad)).toBeNull();
  });
});

test('the tables name every kernel that ran and every one that did not', () => {
  const lines = compareTables(compare(`${star}A: mseal(p, 1p, 0)\n`, ['v2.6.34', 'v6.18']));
  expect(lines.filter((line) => line.startsWith('v6.18'))).toHaveLength(2);
  expect(lines.filter((line) => line.startsWith('v2.6.34: not run'))).toHaveLength(1);
});

/** Objects of one kind at the end of a shipped scenario, by kernel. */
function objectsIn(file: string, name: string, kernels: readonly string[]): readonly number[] {
  const text = readFileSync(`scenarios/seeds/${file}`, 'utf8');
  return compare(text, kernels).map(
    (run) => run.costs?.objects.find((object) => object.name === name)?.count ?? -1,
  );
}

test('the numbers of the discussions come out: 66 links of ten generations alive, 31 of thirty that exited', () => {
  const kernels = ['v2.6.34', 'v3.7-limit', 'v6.18', 'root-only'];
  expect(objectsIn('fork-chain.mm', 'anon_vma_chain', kernels)).toEqual([66, 51, 66, 11]);
  expect(objectsIn('fork-chain.mm', 'anon_vma', kernels)).toEqual([11, 6, 11, 1]);
  expect(objectsIn('serial-forks.mm', 'anon_vma_chain', kernels)).toEqual([31, 6, 3, 1]);
});
