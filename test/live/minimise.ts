/** Making a failing program small: delta debugging over its operations. */
import type { Fields } from '../../src/conform/json.ts';

/**
 * The fewest items found that still fail: removes ever smaller parts (ddmin) until no single one can go
 * or `budget` trials are used up. The order of items stays. `fails(items)` is taken to be true.
 */
export function minimise<T>(
  items: readonly T[],
  fails: (candidate: readonly T[]) => boolean,
  budget: number,
): readonly T[] {
  let left = items;
  let trials = 0;
  let size = Math.ceil(left.length / 2);
  while (size >= 1 && trials < budget) {
    let shrunk = false;
    // From the end: what comes late is most often what nothing else needs.
    for (let end = left.length; end > 0 && trials < budget; end -= size) {
      const start = Math.max(0, end - size);
      const candidate = [...left.slice(0, start), ...left.slice(end)];
      if (candidate.length === 0) continue;
      trials++;
      if (!fails(candidate)) continue;
      left = candidate;
      shrunk = true;
    }
    if (size > 1) size = Math.min(Math.ceil(size / 2), Math.max(1, left.length));
    else if (!shrunk) break;
  }
  return left;
}

/** The operations whose process is there: made by a fork that is still in the program, and not gone. */
export function livingOperations(operations: readonly Fields[]): Fields[] {
  const alive = new Set<unknown>([0]);
  return operations.filter((op) => {
    if (!alive.has(op.p ?? 0)) return false;
    if (op.op === 'fork') alive.add(op.child);
    if (op.op === 'exit') alive.delete(op.p ?? 0);
    return true;
  });
}
