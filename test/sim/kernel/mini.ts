/** The small kernel of the engine's own tests: locks, lists, slabs, page tables, nested calls. */
import { mutex_lock, mutex_unlock } from '../../../src/linux/kernel/locking/mutex.ts';
import {
  down_read,
  down_write,
  up_read,
  up_write,
} from '../../../src/linux/kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../../src/linux/kernel/locking/spinlock.ts';
import { choose } from '../../../src/sim/choice.ts';
import { read_pte, write_pte } from '../../../src/sim/cpu.ts';
import { reportFinding } from '../../../src/sim/finding.ts';
import { activeMachine, type Operation } from '../../../src/sim/machine.ts';
import { allocTable, freeTable } from '../../../src/sim/table.ts';
import type { K } from '../../../src/sim/wait.ts';
import {
  mini_map,
  type node,
  node_cache,
  tag_cache,
  the_pool,
  trace_mini_add,
  trace_mini_del,
  trace_mini_page,
} from './structs.ts';

function* new_node(value: number): K<node> {
  const node = node_cache.alloc();
  node.value = value;
  node.frame = value % 64;
  return node;
}

/** Adds `n` nodes under the write lock. */
export function* add(n: number): K<number> {
  const pool = the_pool();
  yield* down_write(pool.sem);
  pool.writers = pool.writers + 1;
  if (pool.writers !== 1 || pool.readers !== 0) {
    reportFinding('mini-exclusion', 'a writer is not alone');
  }
  for (let i = 0; i < n; i++) {
    const node = yield* new_node(pool.count * 7 + i);
    node.next = pool.head;
    pool.head = node;
    pool.count = pool.count + 1;
    trace_mini_add({ node, value: node.value });
  }
  pool.writers = pool.writers - 1;
  up_write(pool.sem);
  return pool.count;
}

/** Removes up to `n` nodes under both locks. */
export function* remove(n: number): K<number> {
  const pool = the_pool();
  let removed = 0;
  yield* mutex_lock(pool.big);
  yield* down_write(pool.sem);
  pool.writers = pool.writers + 1;
  if (pool.writers !== 1 || pool.readers !== 0) {
    reportFinding('mini-exclusion', 'a writer is not alone');
  }
  while (removed < n) {
    const node = pool.head;
    if (node === null) {
      break;
    }
    pool.head = node.next;
    pool.count = pool.count - 1;
    trace_mini_del({ node, why: 'remove' });
    node_cache.free(node);
    removed = removed + 1;
  }
  pool.writers = pool.writers - 1;
  up_write(pool.sem);
  mutex_unlock(pool.big);
  return removed;
}

function* look_at(node: node, depth: number): K<number> {
  yield* spin_lock(node.lock);
  node.value = node.value + 1;
  const value = node.value;
  spin_unlock(node.lock);
  if (depth > 0) {
    return value + (yield* look_at(node, depth - 1));
  }
  return value;
}

/** Sums the values under the read lock, calling down to depth `n` for each node. */
export function* walk(n: number): K<number> {
  const pool = the_pool();
  let sum = 0;
  yield* down_read(pool.sem);
  pool.readers = pool.readers + 1;
  if (pool.writers !== 0) {
    reportFinding('mini-exclusion', 'a reader is beside a writer');
  }
  for (let node = pool.head; node !== null; node = node.next) {
    sum = sum + (yield* look_at(node, n));
  }
  pool.readers = pool.readers - 1;
  up_read(pool.sem);
  return sum;
}

/** Not locked on purpose: updates can be lost. */
export function* bump(n: number): K<number> {
  const pool = the_pool();
  for (let i = 0; i < n; i++) {
    const seen = pool.shared;
    pool.shared = seen + 1;
  }
  return pool.shared;
}

/** Maps `n` frames in a new page table and frees the old one. */
export function* map(n: number): K<number> {
  const pool = the_pool();
  yield* mutex_lock(pool.big);
  const old = pool.table;
  pool.table = allocTable();
  for (let i = 0; i < n; i++) {
    const page = mini_map.at((i * 5) % 64);
    page.users = page.users + 1;
    page.index = 0x7_f000_0000 + i;
    page.next = mini_map.at(i % 64);
    write_pte(pool.table * 512 + i, page.pfn * 256 + 1);
    trace_mini_page({ page, address: i * 4096 });
  }
  let present = 0;
  if (old !== 0) {
    for (let i = 0; i < 24; i++) {
      present = present + (read_pte(old * 512 + i) & 1);
    }
    freeTable(old);
  }
  mutex_unlock(pool.big);
  return present;
}

/** Takes a tag and forgets the one before, which stays readable: the slab is typesafe. */
export function* retag(value: number): K<number> {
  const pool = the_pool();
  const fresh = choose('slab_reuse', 2) === 0;
  const old = pool.last_tag;
  if (old !== null && fresh) {
    tag_cache.free(old);
  }
  const tag = tag_cache.alloc();
  tag.value = value;
  pool.last_tag = tag;
  return old === null ? 0 : old.value;
}

/** Creates a task from inside the kernel, as fork does. */
export function* make_task(name: string): K<number> {
  const pool = the_pool();
  yield* mutex_lock(pool.big);
  const id = activeMachine().spawn(name);
  mutex_unlock(pool.big);
  return id;
}

/** Reads a freed node, then frees it again. */
export function* misuse(): K<number> {
  const node = yield* new_node(5);
  node_cache.free(node);
  const value = node.value;
  node_cache.free(node);
  return value;
}

/** Dereferences NULL with a lock held. */
export function* crash(): K<number> {
  const pool = the_pool();
  yield* mutex_lock(pool.big);
  pool.head = null;
  return boom(pool.head as unknown as node);
}

function boom(node: node): number {
  return node.value;
}

/** Takes the two locks in one order or the other: two of them can deadlock. */
export function* lock_both(order: number): K<number> {
  const pool = the_pool();
  if (order === 0) {
    yield* mutex_lock(pool.big);
    yield* down_write(pool.sem);
  } else {
    yield* down_write(pool.sem);
    yield* mutex_lock(pool.big);
  }
  up_write(pool.sem);
  mutex_unlock(pool.big);
  return order;
}

export function start(operation: Operation): K<number> {
  const n = operation.args[0] as number;
  switch (operation.name) {
    case 'add':
      return start_as(add, n);
    case 'remove':
      return start_as(remove, n);
    case 'walk':
      return start_as(walk, n);
    case 'bump':
      return start_as(bump, n);
    case 'map':
      return start_as(map, n);
    case 'retag':
      return start_as(retag, n);
    case 'make_task':
      return start_as(make_task, operation.args[0] as string);
    case 'misuse':
      return start_as(misuse, n);
    case 'crash':
      return start_as(crash, n);
    default:
      return start_as(lock_both, n);
  }
}

function start_as<A>(fn: (argument: A) => K<number>, argument: A): K<number> {
  return fn(argument);
}
