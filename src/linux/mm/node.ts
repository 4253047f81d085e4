/** contig_page_data: the one memory node, the root object of the page side (src/linux/roots.ts). */
import { ROOT_PAGE, rootAt } from '../roots.ts';
import type { pglist_data } from './mmzone_types.ts';

/** NODE_DATA(0). */
export function NODE_DATA(): pglist_data {
  return rootAt(ROOT_PAGE) as pglist_data;
}
