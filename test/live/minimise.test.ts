/** Making failing programs small: what is left fails, and nothing in it can go. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { livingOperations, minimise } from './minimise.ts';

test('what is left fails, keeps its order, and no single item can go', () => {
  const needed = fc.uniqueArray(fc.nat(40), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(needed, (wanted) => {
      const all = Array.from({ length: 41 }, (_, n) => n);
      const fails = (left: readonly number[]): boolean => wanted.every((n) => left.includes(n));
      expect(minimise(all, fails, 10_000)).toEqual(wanted.toSorted((a, b) => a - b));
    }),
  );
});

test('the budget bounds the trials, and what is left still fails', () => {
  let trials = 0;
  const all = Array.from({ length: 64 }, (_, n) => n);
  const fails = (left: readonly number[]): boolean => {
    trials++;
    return left.includes(3) && left.includes(60);
  };
  const left = minimise(all, fails, 5);
  expect(trials).toBe(5);
  expect(left).toContain(3);
  expect(left).toContain(60);
});

test('operations of processes that are not there go', () => {
  const ops = [
    { op: 'store', p: 0 },
    { op: 'store', p: 1 },
    { op: 'fork', p: 0, child: 2 },
    { op: 'fork', p: 2, child: 3 },
    { op: 'exit', p: 2 },
    { op: 'load', p: 2 },
    { op: 'load', p: 3 },
    { op: 'ksm' },
  ];
  expect(livingOperations(ops)).toEqual([ops[0], ops[2], ops[3], ops[4], ops[6], ops[7]]);
});
