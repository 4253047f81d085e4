/** How the memory manager of early 2.6 reaches the hooks of the kernel's scheme. Fidelity: custom. */
import { assert } from '../../../base/assert.ts';
import { anon_rmap } from '../../kernel.ts';
import type { early_rmap_ops } from '../rmap/early_ops.ts';

export function hooks(): early_rmap_ops {
  const { early } = anon_rmap();
  assert(early !== undefined, 'this memory manager runs schemes with hooks only');
  return early;
}
