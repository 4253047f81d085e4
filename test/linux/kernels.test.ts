import { describe, expect, test } from 'vitest';
import { KernelError, kernelNames, selectKernel } from '../../src/linux/kernels.ts';
import { allStructs } from '../../src/sim/struct.ts';

function errorOf(action: () => unknown): KernelError {
  try {
    action();
  } catch (error) {
    if (error instanceof KernelError) return error;
    throw error;
  }
  throw new Error('no error');
}

describe('selectKernel', () => {
  test('knows v6.18 with all its features', () => {
    const kernel = selectKernel('v6.18');
    expect(kernel.name).toBe('v6.18');
    expect([...kernel.features].sort()).toEqual([
      'copied_from',
      'maybe_guard',
      'per_vma_lock',
      'pt_reclaim',
      'swapin_writable',
    ]);
  });

  test('adds and removes features by name', () => {
    const without = selectKernel('v6.18', [], ['maybe_guard']);
    expect(without.features.has('maybe_guard')).toBe(false);
    expect(selectKernel('v6.18', ['maybe_guard'], []).features.has('maybe_guard')).toBe(true);
  });

  test('names the kernels there are when asked for another', () => {
    const error = errorOf(() => selectKernel('v9.9'));
    expect(error.what).toBe('kernel');
    expect(error.wanted).toBe('v9.9');
    expect(error.known).toEqual(kernelNames());
    expect(errorOf(() => selectKernel('toString')).what).toBe('kernel');
  });

  test('names the features there are when asked for another', () => {
    expect(errorOf(() => selectKernel('v6.18', ['nonsense'])).what).toBe('feature');
    const error = errorOf(() => selectKernel('v6.18', [], ['nonsense']));
    expect(error.known).toContain('copied_from');
  });

  test('names in its lock tree only lock fields that exist', () => {
    const fields = new Set(
      allStructs().flatMap((info) => info.fields.map((field) => `${info.name}.${field.name}`)),
    );
    for (const name of kernelNames()) {
      for (const node of selectKernel(name).lock_tree) expect(fields).toContain(node.cls);
    }
  });

  test.each(kernelNames())('lists each lock of %s once, outermost first', (name) => {
    const tree = selectKernel(name).lock_tree;
    expect(new Set(tree.map(({ cls }) => cls)).size).toBe(tree.length);
    const depths = tree.map(({ depth }) => depth);
    expect(depths).toEqual(depths.toSorted((a, b) => a - b));
  });
});
