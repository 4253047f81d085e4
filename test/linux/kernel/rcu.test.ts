/** RCU: a callback, or the return of synchronize_rcu(), never comes while an earlier reader is inside. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { bootMachine, spawnInit, spawnKernelThread } from '../../../src/linux/boot.ts';
import {
  call_rcu,
  rcu_read_lock,
  rcu_read_unlock,
  rcuPending,
  synchronize_rcu,
} from '../../../src/linux/kernel/rcu.ts';
import { rcuFunction } from '../../../src/linux/kernel/rcu_types.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import { type completion, completion_cachep } from '../../../src/linux/mm_types.ts';
import { startOperation } from '../../../src/linux/operations.ts';
import { ENDLESS } from '../../../src/sim/cpu.ts';
import type { Machine, Operation } from '../../../src/sim/machine.ts';
import type { K } from '../../../src/sim/wait.ts';
import { begin, call, findings } from '../driver.ts';

/** Read sections open now, by number; the test's own truth. */
const open = new Set<number>();
/** What was open when each callback was queued. */
const earlier = new Map<number, number[]>();
const violations: string[] = [];
let sections = 0;
let callbacks = 0;

const probe = rcuFunction('test_probe', (object) => {
  const id = (object as completion).done;
  for (const section of earlier.get(id) ?? []) {
    if (open.has(section)) violations.push(`callback ${id} ran inside section ${section}`);
  }
  earlier.delete(id);
  completion_cachep.free(object as completion);
});

function* reader(op: Operation): K<number> {
  rcu_read_lock();
  const section = ++sections;
  open.add(section);
  for (let i = 0; i < Number(op.args[0]); i++) {
    yield;
    if (i === 1) {
      rcu_read_lock();
      yield;
      rcu_read_unlock();
    }
  }
  open.delete(section);
  rcu_read_unlock();
  return 0;
}

function* updater(): K<number> {
  yield;
  const object = completion_cachep.alloc();
  object.done = ++callbacks;
  earlier.set(object.done, [...open]);
  call_rcu(object, probe);
  return 0;
}

function* waiter(): K<number> {
  yield;
  const before = [...open];
  yield* synchronize_rcu();
  for (const section of before) {
    if (open.has(section)) violations.push(`synchronize_rcu() returned inside section ${section}`);
  }
  return 0;
}

function boot(): Machine {
  open.clear();
  earlier.clear();
  violations.length = 0;
  const kernel = {
    ...selectKernel('v6.18'),
    startOperation: (op: Operation): K<number> => {
      if (op.name === 'reader') return reader(op);
      if (op.name === 'updater') return updater();
      return op.name === 'waiter' ? waiter() : startOperation(op);
    },
  };
  return bootMachine({ kernel, memoryPages: 64, swapPages: 0, recording: false });
}

describe('synchronize_rcu', () => {
  test('waits for a reader that is inside and not for one that comes later', () => {
    const m = boot();
    const a = spawnInit(m, 'A');
    const b = spawnInit(m, 'B');
    const c = spawnInit(m, 'C');
    begin(m, a, 'reader', [3]);
    m.run(a, 0, null);
    begin(m, b, 'synchronize_rcu');
    expect(m.run(b, ENDLESS, null)).toBe('blocked');
    begin(m, c, 'reader', [3]);
    m.run(c, 0, null);
    expect(m.enabled(b)).toBe(false);
    while (m.block(a).op !== 0) m.run(a, 0, null);
    expect(m.enabled(b)).toBe(true);
    expect(m.run(b, ENDLESS, null)).toBe('done');
    expect(m.block(c).op).not.toBe(0);
  });

  test('inside a read section is a finding', () => {
    const m = boot();
    const a = spawnInit(m, 'A');
    m.block(a).rcu_depth = 1;
    begin(m, a, 'synchronize_rcu');
    // It waits for itself.
    expect(m.run(a, ENDLESS, null)).toBe('blocked');
    expect(findings(m)[0]).toContain('sleep-in-atomic');
  });
});

describe('call_rcu', () => {
  test('runs callbacks only when the rcu task is given a batch', () => {
    const m = boot();
    const a = spawnInit(m, 'A');
    begin(m, a, 'updater');
    while (m.block(a).op !== 0) m.run(a, ENDLESS, null);
    expect(rcuPending()).toBe(1);
    expect(call(m, spawnKernelThread(m, 'rcu'), 'rcu_do_batch')).toBe(1);
    expect(rcuPending()).toBe(0);
    expect(call(m, spawnKernelThread(m, 'rcu'), 'rcu_do_batch')).toBe(0);
  });

  test('never runs a callback before the readers of its time have left, whatever the schedule', () => {
    let ran = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const m = boot();
      const prng = new Prng(seed);
      const tasks = ['A', 'B', 'C', 'D', 'E'].map((name) => spawnInit(m, name));
      const rcu = spawnKernelThread(m, 'rcu');
      for (let turn = 0; turn < 250; turn++) {
        const task = prng.below(6) === 0 ? rcu : prng.pick(tasks);
        if (m.block(task).op === 0) {
          if (task === rcu) begin(m, rcu, 'rcu_do_batch');
          else if (prng.below(2) === 0) begin(m, task, 'reader', [1 + prng.below(6)]);
          else begin(m, task, prng.below(3) === 0 ? 'waiter' : 'updater');
        }
        if (m.enabled(task)) m.run(task, prng.below(4), null);
      }
      expect(violations, `seed ${seed}`).toEqual([]);
      expect(findings(m), `seed ${seed}`).toEqual([]);
      ran += callbacks;
    }
    expect(ran).toBeGreaterThan(1000);
  });
});
