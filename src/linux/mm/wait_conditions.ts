/** What tasks of the page side wait for. */
import { waitCondition } from '../../sim/wait.ts';
import { mem_map } from '../mm_types.ts';
import { PG_locked, PG_writeback } from './page-flags.ts';

/** `at` is a pfn. */
export const folio_unlocked = waitCondition(
  'folio lock',
  (_task, at) => (mem_map.at(at).flags & PG_locked) === 0,
);
export const folio_no_writeback = waitCondition(
  'folio writeback',
  (_task, at) => (mem_map.at(at).flags & PG_writeback) === 0,
);
