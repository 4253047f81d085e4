/** Locks: held and waited for now, the order seen so far, and the documented tree with its holders. */

import { held_locks } from '../../linux/kernel/locking/lockdep.ts';
import type { kernel } from '../../linux/kernel.ts';
import type { Machine } from '../../sim/machine.ts';
import type { LocksView, LockView, Ref } from '../view.ts';
import type { LockIndex } from './lock-index.ts';
import { lockClass, lockKind } from './lock-names.ts';
import { looking } from './objects.ts';
import { lockRef } from './refs.ts';
import { modeOf, waitOf } from './tasks.ts';

type Taker = LockView['holders'][number];

interface Found {
  readonly ref: Ref;
  readonly cls: string;
  readonly kind: LockView['kind'];
  readonly holders: Taker[];
  readonly waiters: Taker[];
}

const RCU: Ref = { kind: 'lock', id: 0, serial: 0, label: 'rcu_read_lock' };

export function locksView(machine: Machine, index: LockIndex): LocksView {
  return looking(machine, () => {
    const locks = locksNow(machine);
    return { locks, order: index.order(), tree: treeView(machine, locks) };
  });
}

/** Locks held or waited for now, in order of the tasks that hold or want them. */
export function locksNow(machine: Machine): readonly LockView[] {
  const found = new Map<string, Found>();
  const at = (ref: Ref, cls: string, kind: LockView['kind']): Found => {
    const key = `${ref.kind}:${ref.id}`;
    let lock = found.get(key);
    if (lock === undefined) {
      lock = { ref, cls, kind, holders: [], waiters: [] };
      found.set(key, lock);
    }
    return lock;
  };
  const word = (lock: number): Found => at(lockRef(lock), lockClass(lock), lockKind(lock));
  for (let id = 1; id <= machine.taskCount(); id++) {
    const block = machine.block(id);
    const task = machine.names[id] ?? '';
    for (const { lock, mode } of held_locks(block))
      word(lock).holders.push({ task, mode: modeOf(mode) });
    if (block.rcu_depth > 0) at(RCU, 'rcu_read_lock', 'rcu').holders.push({ task, mode: 'read' });
    const wait = block.op === 0 ? null : waitOf(block);
    if (wait === null) continue;
    const waiter: Taker = { task, mode: wait.mode };
    if (wait.isPage && wait.target !== null) {
      at(wait.target, FOLIO_LOCK, 'page').waiters.push(waiter);
    } else if (wait.target !== null) word(wait.target.id).waiters.push(waiter);
    else if (wait.condition.startsWith('RCU')) {
      at(RCU, 'rcu_read_lock', 'rcu').waiters.push(waiter);
    }
  }
  return [...found.values()];
}

/** Class of the lock bit in page.flags. Linux's lockdep does not see it, and nobody records who holds it. */
const FOLIO_LOCK = 'folio.PG_locked';

function treeView(machine: Machine, locks: readonly LockView[]): LocksView['tree'] {
  const tree = (machine.config.kernel as Partial<kernel> | null)?.lock_tree ?? [];
  return tree.map(({ depth, cls }) => ({
    depth,
    cls,
    holders: locks
      .filter((lock) => lock.cls === cls)
      .flatMap((lock) => lock.holders.map(({ task, mode }) => `${task} (${mode})`))
      .join(', '),
  }));
}
