/** Tasks: what each is doing, what it waits for, what it holds. */
import { held_locks, READ } from '../../linux/kernel/locking/lockdep.ts';
import type { Machine } from '../../sim/machine.ts';
import { siteInfo } from '../../sim/site.ts';
import type { sim_task } from '../../sim/task.ts';
import { conditionById } from '../../sim/wait.ts';
import type { FrameView, HeldLockView, Ref, TaskView } from '../view.ts';
import { eraClass, lockClass } from './lock-names.ts';
import { contextOf, looking, processOf } from './objects.ts';
import { lockRef, pageRef, taskRef } from './refs.ts';
import type { Selection } from './selection.ts';

export function tasksView(machine: Machine, selection: Selection): readonly TaskView[] {
  return looking(machine, () => {
    const last = machine.lastMark()?.task ?? 0;
    const crashed = new Set(
      machine
        .findings()
        .filter((finding) => finding.kind === 'oops')
        .map((finding) => finding.task),
    );
    const views: TaskView[] = [];
    for (let id = 1; id <= machine.taskCount(); id++) {
      const block = machine.block(id);
      views.push({
        ref: taskRef(machine, id),
        id,
        name: machine.names[id] ?? `task ${id}`,
        process: processOfTask(machine, id),
        state: stateOf(machine, block, id === last, crashed.has(id)),
        operation: machine.operationOf(id)?.text ?? '',
        waitsFor: block.op === 0 ? '' : waitText(machine, block),
        held: heldView(block),
        frames: framesView(machine, id),
        selected: id === selection.task,
      });
    }
    return views;
  });
}

/** Name of the process (thread group) of a task; empty for kernel threads and dead tasks. */
export function processOfTask(machine: Machine, id: number): string {
  const context = contextOf(machine, id);
  if (context?.mm === null || context === null) return '';
  if (context.tgid === context.pid) return machine.names[id] ?? processOf(context.mm);
  for (let other = 1; other <= machine.taskCount(); other++) {
    if (contextOf(machine, other)?.pid === context.tgid) return machine.names[other] ?? '';
  }
  return processOf(context.mm);
}

function stateOf(
  machine: Machine,
  block: sim_task,
  ranLast: boolean,
  crashed: boolean,
): TaskView['state'] {
  if (block.dead === 1) return crashed ? 'oops' : 'dead';
  if (block.op === 0) return 'idle';
  if (!machine.enabled(block.id)) return 'blocked';
  return ranLast ? 'running' : 'runnable';
}

/** A wait as data; `lock` is null for waits on something else than a lock word. */
export interface Wait {
  readonly condition: string;
  readonly target: Ref | null;
  readonly isPage: boolean;
  readonly mode: 'read' | 'write';
}

/** What a task waits for, or null. */
export function waitOf(block: sim_task): Wait | null {
  if (block.wait_kind === 0) return null;
  const { name } = conditionById(block.wait_kind);
  const isPage = name.startsWith('folio');
  const isLock = /^(spinlock|mutex|rwsem|vma)/.test(name);
  return {
    condition: eraClass(name),
    target: isPage ? pageRef(block.wait_at) : isLock ? lockRef(block.wait_at) : null,
    isPage,
    mode: name === 'rwsem read' ? 'read' : 'write',
  };
}

function waitText(machine: Machine, block: sim_task): string {
  const wait = waitOf(block);
  if (wait === null) return '';
  if (wait.target === null) return wait.condition;
  const holders = wait.isPage ? [] : holdersOf(machine, wait.target.id);
  const by = holders.map(({ task, mode }) => `${task} (${mode})`).join(', ');
  return `${wait.condition} ${wait.target.label}${by === '' ? '' : `, held by ${by}`}`;
}

export interface Holder {
  readonly task: string;
  readonly mode: 'read' | 'write';
}

/** Who holds which lock word, of all tasks. */
export function allHolders(machine: Machine): ReadonlyMap<number, readonly Holder[]> {
  const holders = new Map<number, Holder[]>();
  for (let id = 1; id <= machine.taskCount(); id++) {
    for (const { lock, mode } of held_locks(machine.block(id))) {
      const of = holders.get(lock) ?? [];
      of.push({ task: machine.names[id] ?? '', mode: modeOf(mode) });
      holders.set(lock, of);
    }
  }
  return holders;
}

/** Tasks that hold a lock word. */
export function holdersOf(machine: Machine, lock: number): readonly Holder[] {
  return allHolders(machine).get(lock) ?? [];
}

export function modeOf(mode: number): 'read' | 'write' {
  return mode === READ ? 'read' : 'write';
}

function heldView(block: sim_task): readonly HeldLockView[] {
  return held_locks(block).map(({ lock, mode }) => ({
    lock: lockRef(lock),
    cls: lockClass(lock),
    mode: modeOf(mode),
  }));
}

/** Open frames of a task, innermost first. */
function framesView(machine: Machine, id: number): readonly FrameView[] {
  return machine
    .frames(id)
    .map(({ site }) => siteInfo(site))
    .reverse()
    .map(({ fn, file, line }, depth) => ({ depth, fn, file, line }));
}
