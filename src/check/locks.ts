/** LK3, and which locks keep a judge from looking: held stacks of all tasks, read raw. */
import { cpu } from '../sim/cpu.ts';
import type { Machine } from '../sim/machine.ts';
import { describeObject, ownerOf } from '../sim/struct.ts';
import type { Verdicts } from './verdict.ts';

/** `mm_struct.mmap_lock of mm_struct@…`. */
function lockText(lock: number): string {
  const owner = ownerOf(lock);
  if (owner === null) return `lock ${lock}`;
  return `${owner.field.name} of ${describeObject(owner.object)}`;
}

export interface HeldLocks {
  /** Locks that somebody holds, for write or read. */
  readonly any: ReadonlySet<number>;
  readonly write: ReadonlySet<number>;
}

export function heldLocks(machine: Machine): HeldLocks {
  const any = new Set<number>();
  const write = new Set<number>();
  for (let id = 1; id <= machine.taskCount(); id++) {
    const block = machine.block(id);
    for (let i = 0; i < block.held_count; i++) {
      const lock = cpu.heap[block.held + i * 2] as number;
      any.add(lock);
      if (cpu.heap[block.held + i * 2 + 1] === 1) write.add(lock);
    }
  }
  return { any, write };
}

/** A task without an operation in flight holds nothing. */
export function judgeHeld(machine: Machine): Verdicts {
  const verdicts: Verdicts = [];
  for (let id = 1; id <= machine.taskCount(); id++) {
    const block = machine.block(id);
    if (block.op !== 0 || diedInside(machine, id)) continue;
    const name = machine.names[id] ?? `task ${id}`;
    if (block.held_count > 0) {
      const held = Array.from({ length: block.held_count }, (_, i) =>
        lockText(cpu.heap[block.held + i * 2] as number),
      );
      verdicts.push({
        kind: 'held-at-end',
        text: `${name} ended its operation with a lock held`,
        evidence: held,
      });
    }
    if (block.rcu_depth !== 0 || block.atomic_depth !== 0) {
      verdicts.push({
        kind: 'held-at-end',
        text: `${name} ended its operation inside an RCU or atomic section`,
        evidence: [`rcu depth ${block.rcu_depth}, atomic depth ${block.atomic_depth}`],
      });
    }
  }
  return verdicts;
}

/** A task that an oops killed keeps what it held: nothing can be expected of that state. */
export function diedInside(machine: Machine, id: number): boolean {
  if (machine.block(id).dead === 0) return false;
  return machine.findings().some((f) => f.kind === 'oops' && f.task === id);
}
