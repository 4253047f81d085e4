/** Structs and events of the small kernel: a pool of nodes behind locks, and page tables. */
import { tracepoint } from '../../../src/sim/event.ts';
import { activeMachine } from '../../../src/sim/machine.ts';
import {
  type FrameObj,
  frames,
  type mutex,
  type Obj,
  type Ptr,
  type rw_semaphore,
  type spinlock_t,
  struct,
} from '../../../src/sim/struct.ts';

export interface node extends Obj {
  value: number;
  next: Ptr<node>;
  lock: spinlock_t;
  frame: number;
}
export const node_cache = struct<node>('mini_node', {
  value: 'n',
  next: 'p',
  lock: 'spinlock',
  frame: 'n',
});

/** A typesafe slab: freed objects keep their contents. */
export interface tag extends Obj {
  value: number;
  owner: Ptr<node>;
}
export const tag_cache = struct<tag>(
  'mini_tag',
  { value: 'n', owner: 'p' },
  { typesafe: true, ctor: (object: tag) => (object.value = -1) },
);

export interface pool extends Obj {
  sem: rw_semaphore;
  big: mutex;
  head: Ptr<node>;
  count: number;
  /** Tasks inside, to catch a broken lock: writers and readers. */
  writers: number;
  readers: number;
  shared: number;
  table: number;
  last_tag: Ptr<tag>;
}
export const pool_cache = struct<pool>('mini_pool', {
  sem: 'rwsem',
  big: 'mutex',
  head: 'p',
  count: 'n',
  writers: 'n',
  readers: 'n',
  shared: 'n',
  table: 'n',
  last_tag: 'p',
});

export interface mini_page extends FrameObj {
  flags: number;
  users: number;
  index: number;
  next: mini_page | null;
}
export const mini_map = frames<mini_page>({ flags: 'i', users: 'i', index: 'f', next: 'page' });

export const trace_mini_add = tracepoint(
  'mini:add',
  { node: 'obj', value: 'n' },
  'a node was added',
);
export const trace_mini_del = tracepoint(
  'mini:del',
  { node: 'obj', why: 'str' },
  'a node was removed',
);
export const trace_mini_page = tracepoint(
  'mini:page',
  { page: 'page', address: 'x' },
  'a frame was mapped',
);

/** The pool of the active machine, made by its boot. */
export function the_pool(): pool {
  return (activeMachine().config.kernel as { pool: pool }).pool;
}
