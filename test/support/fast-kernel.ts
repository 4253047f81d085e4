/** A preset in the synchronous build: for bulk work in which nobody waits and nobody watches. */
import type { kernel } from '../../src/linux/kernel.ts';
import type * as kernels from '../../src/linux/kernels.ts';
import * as fastModule from '../../src/linux/kernels.ts?fast';

const fast = fastModule as typeof kernels;

export function fastKernel(name: string): kernel {
  const preset = fast.selectKernel(name);
  return {
    ...preset,
    // biome-ignore lint/correctness/useYield: it never parks
    *startOperation(operation) {
      return preset.startOperation(operation) as unknown as number;
    },
  };
}
