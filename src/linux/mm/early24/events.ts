/** Events of the anon layer. */
import { tracepoint } from '../../../sim/event.ts';

export const trace_area_alloc = tracepoint(
  'rmap:area_alloc',
  { area: 'obj', vma: 'obj' },
  'a VMA got an anon area (2.3.99-anon)',
);
export const trace_area_free = tracepoint(
  'rmap:area_free',
  { area: 'obj' },
  'an anon area lost its last VMA and was freed (2.3.99-anon)',
);
export const trace_area_page = tracepoint(
  'rmap:area_page',
  { area: 'obj', page: 'page', vma: 'obj', address: 'x' },
  'a page was put on the list of an anon area (2.3.99-anon)',
);
