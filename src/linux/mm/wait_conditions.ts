/** What tasks of the page side wait for. */
import { cpu } from '../../sim/cpu.ts';
import { GRANULE } from '../../sim/struct.ts';
import { waitCondition } from '../../sim/wait.ts';
import { type inode, mem_map } from '../mm_types.ts';
import { PG_locked, PG_maplock, PG_writeback } from './page-flags.ts';

/** `at` is a pfn. */
export const folio_unlocked = waitCondition(
  'folio lock',
  (_task, at) => (mem_map.at(at).flags & PG_locked) === 0,
);
export const folio_no_writeback = waitCondition(
  'folio writeback',
  (_task, at) => (mem_map.at(at).flags & PG_writeback) === 0,
);
/** `at` is a pfn. */
export const page_map_unlocked = waitCondition(
  'page map lock',
  (_task, at) => (mem_map.at(at).flags & PG_maplock) === 0,
);
/** `at` is the address of an inode that a hole is being punched into. */
export const shmem_falloc_done = waitCondition(
  'shmem hole punch',
  (_task, at) => (cpu.handles[at / GRANULE] as inode).falloc_next === 0,
);
/** `at` is the address of an inode that swapoff may be working on. */
export const shmem_eviction_allowed = waitCondition(
  'shmem eviction',
  (_task, at) => (cpu.handles[at / GRANULE] as inode).stop_eviction === 0,
);
