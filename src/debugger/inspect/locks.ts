/** Locks: held and waited for now, the order seen so far, and the documented tree with its holders. */

import { held_locks, READ } from '../../linux/kernel/locking/lockdep.ts';
import type { kernel } from '../../linux/kernel.ts';
import { vma_lock_word } from '../../linux/mm/mmap_lock_types.ts';
import { mm_cachep } from '../../linux/mm_types.ts';
import type { Machine } from '../../sim/machine.ts';
import type { sim_task } from '../../sim/task.ts';
import type { LocksView, LockView, Ref } from '../view.ts';
import type { LockIndex } from './lock-index.ts';
import { eraClass, lockClass, lockKind, lockOwner } from './lock-names.ts';
import { kernelNow, looking, vmasOf } from './objects.ts';
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
function locksNow(machine: Machine): readonly LockView[] {
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
    for (const lock of vmaWriteLocks(block)) word(lock).holders.push({ task, mode: 'write' });
    if (block.rcu_depth > 0) at(RCU, 'rcu_read_lock', 'rcu').holders.push({ task, mode: 'read' });
    const wait = block.op === 0 ? null : waitOf(block);
    if (wait === null) continue;
    const waiter: Taker = { task, mode: wait.mode };
    if (wait.isPage && wait.target !== null) {
      at(wait.target, eraClass(FOLIO_LOCK), 'page').waiters.push(waiter);
    } else if (wait.target !== null) word(wait.target.id).waiters.push(waiter);
    else if (wait.condition.startsWith('RCU')) {
      at(RCU, 'rcu_read_lock', 'rcu').waiters.push(waiter);
    }
  }
  return [...found.values()];
}

/** More write-locked VMAs of one address space than anybody reads in a list. */
const MAX_VMA_LOCKS = 100;

/**
 * VMAs that a task has write-locked: those with the sequence number of an mmap_lock it holds for write.
 * They are on no held stack, and are all released with that lock.
 */
function* vmaWriteLocks(block: sim_task): Generator<number, void, void> {
  // There the word is something else (mm/early24/vma_list.ts).
  if (kernelNow().features?.has('i_mmap_lists') === true) return;
  for (const { lock, mode } of held_locks(block)) {
    const mm = mode === READ ? null : lockOwner(lock);
    if (mm === null || !mm_cachep.isInstance(mm) || mm.mmap_lock !== lock) continue;
    let left = MAX_VMA_LOCKS;
    for (const vma of vmasOf(mm)) {
      if (vma.vm_lock_seq !== mm.mm_lock_seq) continue;
      yield vma_lock_word(vma);
      left--;
      if (left === 0) break;
    }
  }
}

/** Class of the lock bit in page.flags. Linux's lockdep does not see it, and nobody records who holds it. */
const FOLIO_LOCK = 'folio.PG_locked';

function treeView(machine: Machine, locks: readonly LockView[]): LocksView['tree'] {
  const tree = (machine.config.kernel as Partial<kernel> | null)?.lock_tree ?? [];
  return tree.map((node) => {
    const { depth } = node;
    const cls = eraClass(node.cls);
    const ofClass = locks.filter((lock) => lock.cls === cls);
    const holders = ofClass.flatMap((lock) => lock.holders);
    return { depth, cls, holders: holdersText(holders) };
  });
}

/** `A (read), B (write) x2`. */
function holdersText(holders: readonly Taker[]): string {
  const counts = new Map<string, number>();
  for (const { task, mode } of holders) {
    const name = `${task} (${mode})`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => (count > 1 ? `${name} x${count}` : name)).join(', ');
}
