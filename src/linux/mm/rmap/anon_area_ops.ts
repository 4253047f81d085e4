/** The anon layer as a scheme: its hooks are calls of mm/early24/ by name (mm/rmap/anon_area.ts). */
import { no_anon_vma } from './early_ops.ts';
import type { anon_rmap_ops } from './ops.ts';

export const anon_area_ops: anon_rmap_ops = {
  ...no_anon_vma,
  name: 'anon layer',
  shape: 'anon_area',
};
