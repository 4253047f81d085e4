import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { ENDLESS } from '../../src/sim/cpu.ts';
import type { Machine } from '../../src/sim/machine.ts';
import { the_pool } from './kernel/structs.ts';
import { call, miniMachine, operation } from './mini-machine.ts';

/** Runs what is in flight under a random schedule; returns the tasks that never finished. */
function race(machine: Machine, seed: number, longest: number): number[] {
  const prng = new Prng(seed);
  for (;;) {
    const tasks = Array.from({ length: machine.taskCount() }, (_, i) => i + 1);
    const enabled = tasks.filter((id) => machine.enabled(id));
    if (enabled.length === 0) return tasks.filter((id) => machine.block(id).op !== 0);
    machine.run(prng.pick(enabled), prng.below(longest), null);
  }
}

const anOperation = fc.record({
  name: fc.constantFrom('add', 'remove', 'walk', 'map'),
  size: fc.nat(4),
});

describe('locks under random schedules', () => {
  test('exclude writers, let all tasks finish, and end unlocked', () => {
    fc.assert(
      fc.property(
        fc.array(anOperation, { minLength: 2, maxLength: 6 }),
        fc.nat(),
        fc.integer({ min: 1, max: 30 }),
        (operations, seed, longest) => {
          const machine = miniMachine();
          const first = machine.spawn('setup');
          call(machine, first, 'add', 3);
          for (const { name, size } of operations) {
            machine.begin(machine.spawn(name), operation(name, size));
          }
          expect(race(machine, seed, longest)).toEqual([]);
          // The kernel itself checks who is inside (mini-exclusion).
          expect(machine.findings()).toEqual([]);
          for (let id = 1; id <= machine.taskCount(); id++) {
            const block = machine.block(id);
            expect([block.held_count, block.atomic_depth, block.wait_kind]).toEqual([0, 0, 0]);
          }
          const added = operations.reduce((n, o) => n + (o.name === 'add' ? o.size : 0), 3);
          expect(the_pool().count).toBeLessThanOrEqual(added);
          expect([the_pool().readers, the_pool().writers]).toEqual([0, 0]);
        },
      ),
      { numRuns: 300, seed: 9 },
    );
  });

  test('without a lock lose updates in some schedules, and never in others', () => {
    const results = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const machine = miniMachine();
      for (const name of ['A', 'B']) machine.begin(machine.spawn(name), operation('bump', 4));
      race(machine, seed, 6);
      results.add(the_pool().shared);
    }
    expect(Math.max(...results)).toBe(8);
    expect(Math.min(...results)).toBeLessThan(8);
  });

  test('taken in opposite orders deadlock in some schedules: no task is enabled then', () => {
    let deadlocks = 0;
    for (let seed = 0; seed < 60; seed++) {
      const machine = miniMachine();
      for (const order of [0, 1]) {
        machine.begin(machine.spawn(`T${order}`), operation('lock_both', order));
      }
      const stuck = race(machine, seed, 2);
      if (stuck.length === 0) continue;
      deadlocks++;
      expect(stuck).toEqual([1, 2]);
      expect(stuck.map((id) => machine.block(id).wait_at)).toEqual([
        the_pool().sem,
        the_pool().big,
      ]);
      expect(stuck.map((id) => machine.block(id).held_count)).toEqual([1, 1]);
    }
    expect(deadlocks).toBeGreaterThan(5);
    expect(deadlocks).toBeLessThan(60);
  });
});

describe('an rwsem', () => {
  const readers = (machine: Machine, count: number) => {
    const ids = Array.from({ length: count }, (_, i) => machine.spawn(`reader${i}`));
    for (const id of ids) {
      machine.begin(id, operation('walk', 0));
      machine.run(id, 4, null);
    }
    return ids;
  };

  test('is shared by readers', () => {
    const machine = miniMachine();
    call(machine, machine.spawn('setup'), 'add', 3);
    readers(machine, 3);
    expect(the_pool().readers).toBe(3);
  });

  test('lets no new reader pass a waiting writer', () => {
    const machine = miniMachine();
    call(machine, machine.spawn('setup'), 'add', 3);
    const [old = 0] = readers(machine, 1);
    const writer = machine.spawn('writer');
    machine.begin(writer, operation('add', 1));
    expect(machine.run(writer, ENDLESS, null)).toBe('blocked');
    const late = machine.spawn('late');
    machine.begin(late, operation('walk', 0));
    expect(machine.run(late, ENDLESS, null)).toBe('blocked');
    expect([machine.enabled(writer), machine.enabled(late)]).toEqual([false, false]);
    machine.run(old, ENDLESS, null);
    expect([machine.enabled(writer), machine.enabled(late)]).toEqual([true, false]);
    machine.run(writer, ENDLESS, null);
    expect(machine.enabled(late)).toBe(true);
    expect(machine.run(late, ENDLESS, null)).toBe('done');
  });

  test('woken without need, a task goes on waiting', () => {
    const machine = miniMachine();
    call(machine, machine.spawn('setup'), 'add', 3);
    readers(machine, 1);
    const writer = machine.spawn('writer');
    machine.begin(writer, operation('add', 1));
    machine.run(writer, ENDLESS, null);
    const frames = machine.frames(writer);
    expect(machine.run(writer, ENDLESS, null)).toBe('blocked');
    expect(machine.frames(writer).map((f) => f.site)).toEqual(frames.map((f) => f.site));
    expect(frames).toHaveLength(1);
  });
});
