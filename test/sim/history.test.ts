import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { cpu, ENDLESS, redo_to, SPACE_HEAP, undo_to, write_heap } from '../../src/sim/cpu.ts';
import { eventAt } from '../../src/sim/event.ts';
import type { Machine } from '../../src/sim/machine.ts';
import { siteInfo } from '../../src/sim/site.ts';
import { the_pool } from './kernel/structs.ts';
import {
  allFrames,
  call,
  miniMachine,
  operation,
  randomHistory,
  randomSlice,
} from './mini-machine.ts';

interface Truth {
  readonly hash: number;
  readonly frames: string;
  readonly events: number;
  readonly findings: number;
  readonly choices: number;
}

function look(machine: Machine): Truth {
  return {
    hash: machine.hash(),
    frames: allFrames(machine),
    events: cpu.event_count,
    findings: machine.findings().length,
    choices: machine.choices().length,
  };
}

/** A history made in single steps, and what was true right after each mark. */
function observed(seed: number, steps: number): { machine: Machine; truth: Map<number, Truth> } {
  const truth = new Map<number, Truth>();
  const machine = randomHistory(seed, steps, {}, (m) => truth.set(m.step, look(m)));
  return { machine, truth };
}

describe('a schedule', () => {
  test('gives the same events and the same memory each time', () => {
    const first = randomHistory(11, 8000);
    const second = randomHistory(11, 8000);
    expect(second.traceHash()).toBe(first.traceHash());
    expect(second.hash()).toBe(first.hash());
    expect(second.slices).toEqual(first.slices);
    expect(randomHistory(12, 8000).traceHash()).not.toBe(first.traceHash());
  });

  test('does not depend on how its slices are cut into single steps', () => {
    const whole = randomHistory(13, 8000);
    const cut = randomHistory(13, 8000, {}, () => {});
    expect(cut.traceHash()).toBe(whole.traceHash());
    expect(cut.hash()).toBe(whole.hash());
    expect(cut.step).toBe(whole.step);
  });

  test('does not depend on what else the process has run, nor on recording', () => {
    const alone = randomHistory(14, 4000);
    const hash = alone.hash();
    const other = miniMachine();
    const task = other.spawn('a name that nobody else has');
    call(other, task, 'make_task', 'another new name');
    const again = randomHistory(14, 4000, { recording: false });
    expect(again.hash()).toBe(hash);
    expect(again.traceHash()).toBe(alone.traceHash());
    expect(alone.hash()).toBe(hash);
  });
});

describe('undo and redo', () => {
  test('give back every word for random writes with a growing heap, journal and ring', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(200_000), fc.integer()), { maxLength: 9000 }),
        fc.array(fc.double({ min: 0, max: 1 }), { minLength: 1, maxLength: 6 }),
        (writes, stops) => {
          miniMachine({ historyEntries: 1 << 14 }).activate();
          cpu.heap = new Float64Array(200_001);
          const images: Float64Array[] = [];
          for (const [at, value] of writes) {
            if (cpu.journal_count % 1000 === 0) images.push(cpu.heap.slice());
            write_heap(at, value);
          }
          const end = cpu.journal_count;
          const last = cpu.heap.slice();
          for (const stop of stops) {
            const n = Math.floor(stop * (images.length - 1));
            undo_to(Math.max(0, n * 1000));
            expect(cpu.heap).toEqual(images[Math.max(0, n)] ?? last);
            redo_to(end);
            expect(cpu.heap).toEqual(last);
          }
        },
      ),
      { numRuns: 15, seed: 1 },
    );
  });

  test('survive growth of heap, page tables and journal between two positions', () => {
    const machine = miniMachine();
    const task = machine.spawn('A');
    const before = machine.hash();
    for (let i = 0; i < 40; i++) {
      call(machine, task, 'add', 60);
      call(machine, task, 'map', 20);
    }
    expect(cpu.heap.length).toBeGreaterThan(1 << 14);
    expect(cpu.journal_at.length).toBeGreaterThan(1 << 12);
    const after = machine.hash();
    machine.seekSlice(0);
    machine.seek(0);
    expect(machine.taskCount()).toBe(0);
    machine.seekSlice(0);
    expect(machine.hash()).not.toBe(before);
    machine.seek(machine.endStep);
    expect(machine.hash()).toBe(after);
  });
});

describe('going back in time', () => {
  const { machine, truth } = observed(21, 12_000);
  const end = machine.endStep;
  const endHash = machine.hash();
  const trace = machine.traceHash();

  test('shows the state of any step: memory, frames, events, findings, choices', () => {
    const prng = new Prng(1);
    for (let i = 0; i < 400; i++) {
      const step = 1 + prng.below(end - 1);
      machine.seek(step);
      expect(machine.step).toBe(step);
      expect(look(machine)).toEqual(truth.get(step));
    }
  });

  test('and running on equals the original, 1,000 times', () => {
    const prng = new Prng(2);
    let compared = 0;
    for (let i = 0; i < 1000; i++) {
      const step = 1 + prng.below(end - 1);
      machine.seek(step);
      const frames = allFrames(machine);
      machine.revive();
      expect(machine.step).toBe(step);
      expect(allFrames(machine)).toBe(frames);
      expect(machine.hash()).toBe(truth.get(step)?.hash);
      const until = step + 1 + prng.below(i % 50 === 0 ? end : 200);
      while (machine.step < until) {
        const more = machine.replay(
          prng.below(3) === 0 ? 1 : Math.min(until - machine.step, 1 + prng.below(70)),
        );
        if (!more) break;
        // A slice may have gone on to its end without a mark: then the state is between two steps.
        const mark = machine.currentSlice();
        const then = truth.get(machine.step);
        if (then === undefined || mark === null) continue;
        if (mark.end === 'fuel' || machine.step < mark.endStep) {
          expect(machine.hash()).toBe(then.hash);
          expect(allFrames(machine)).toBe(then.frames);
          compared++;
        }
      }
    }
    expect(compared).toBeGreaterThan(3000);
    while (machine.replay(ENDLESS));
    expect(machine.atEnd()).toBe(true);
    expect(machine.hash()).toBe(endHash);
    expect(machine.traceHash()).toBe(trace);
  });

  test('and doing the same again makes the same history again', () => {
    const slices = machine.slices.map((s) => ({ ...s }));
    const operations = [...machine.operations];
    const prng = new Prng(3);
    for (let round = 0; round < 10; round++) {
      machine.seekSlice(1 + prng.below(slices.length - 1));
      machine.truncate();
      let done = machine.slices.length;
      expect(machine.atEnd()).toBe(true);
      while (done < slices.length) {
        const slice = slices[done] as (typeof slices)[number];
        if (machine.block(slice.task).op === 0) {
          machine.begin(slice.task, operations[slice.operation] as (typeof operations)[number]);
        }
        const fuel = slice.end === 'fuel' ? slice.endStep - slice.step - 1 : ENDLESS;
        machine.run(slice.task, fuel, null);
        done++;
      }
      expect(machine.hash()).toBe(endHash);
      expect(machine.traceHash()).toBe(trace);
      expect(machine.slices).toEqual(slices);
    }
  });

  test('single steps through recorded history pass every step exactly once', () => {
    machine.seek(0);
    let last = machine.step;
    let stops = 0;
    while (machine.replay(1)) {
      expect(machine.step - last === 0 || machine.step - last === 1).toBe(true);
      if (machine.step !== last) stops++;
      last = machine.step;
    }
    expect(stops).toBe(end);
    expect(machine.hash()).toBe(endHash);
  });

  test('reaches the last statement although it has run', () => {
    const small = miniMachine();
    const task = small.spawn('A');
    call(small, task, 'add', 1);
    const step = small.step;
    expect(small.frames(task)).toEqual([]);
    small.seekMark(step);
    expect(small.step).toBe(step);
    expect(small.frames(task)).toHaveLength(1);
    expect(small.atEnd()).toBe(false);
    small.seek(step);
    expect(small.frames(task)).toEqual([]);
  });
});

describe('a different future', () => {
  test('equals a history that never had the first one', () => {
    const prng = new Prng(7);
    for (let round = 0; round < 30; round++) {
      const machine = randomHistory(100 + round, 1500);
      machine.seek(1 + prng.below(machine.endStep - 1));
      machine.truncate();
      const kept = machine.slices.map((s) => ({ ...s }));
      const begun = [...machine.operations];
      const other = new Prng(500 + round);
      for (let i = 0; i < 60; i++) randomSlice(machine, other, 60);

      // The same made from nothing: the slices that were kept, then the same new ones.
      const fresh = miniMachine();
      fresh.setChooser((_kind, count, nth) => (nth * 7 + 100 + round) % count);
      for (let i = 1; i <= 4; i++) fresh.spawn(`task${i}`);
      for (const slice of kept) {
        if (fresh.block(slice.task).op === 0) {
          fresh.begin(slice.task, begun[slice.operation] as (typeof begun)[number]);
        }
        fresh.run(
          slice.task,
          slice.end === 'fuel' ? slice.endStep - slice.step - 1 : ENDLESS,
          null,
        );
      }
      const again = new Prng(500 + round);
      for (let i = 0; i < 60; i++) randomSlice(fresh, again, 60);
      expect(machine.hash()).toBe(fresh.hash());
      expect(machine.traceHash()).toBe(fresh.traceHash());
      expect(machine.findings()).toEqual(fresh.findings());

      // And it can be travelled in like any other.
      const hash = machine.hash();
      machine.seek(1 + prng.below(machine.endStep - 1));
      machine.revive();
      while (machine.replay(13));
      expect(machine.hash()).toBe(hash);
    }
  });

  test('chooses anew, the kept past as before', () => {
    const machine = miniMachine();
    const asked: number[] = [];
    machine.setChooser((_kind, _count, nth) => {
      asked.push(nth);
      return 1;
    });
    const task = machine.spawn('A');
    for (let i = 0; i < 4; i++) call(machine, task, 'retag', i);
    expect(machine.choices()).toEqual([1, 1, 1, 1]);
    const third = machine.slices[2]?.step ?? 0;
    machine.seek(third);
    expect(machine.choices()).toEqual([1, 1]);
    machine.revive();
    expect(asked).toEqual([0, 1, 2, 3]);
    machine.truncate();
    machine.setChooser(() => 0);
    while (machine.block(task).op !== 0) machine.run(task, ENDLESS, null);
    call(machine, task, 'retag', 9);
    expect(machine.choices()).toEqual([1, 1, 0]);
  });

  test('refuses an answer that is none of the alternatives', () => {
    const machine = miniMachine();
    machine.setChooser(() => 2);
    const task = machine.spawn('A');
    expect(() => call(machine, task, 'retag', 1)).toThrow('choice 0 (slab_reuse) of 2 was 2');
  });
});

describe('a full journal', () => {
  test('drops the oldest steps, says where history begins, and is right from there on', () => {
    for (const seed of [31, 32, 33]) {
      const truth = new Map<number, Truth>();
      const machine = randomHistory(seed, 30_000, { historyEntries: 1 << 14 }, (m) =>
        truth.set(m.step, look(m)),
      );
      const first = machine.firstStep;
      const end = machine.endStep;
      const hash = machine.hash();
      expect(first).toBeGreaterThan(0);
      expect(first).toBeLessThan(end - 1000);
      machine.seek(0);
      expect(machine.step).toBe(first);
      expect(machine.firstStep).toBe(first);
      machine.revive();
      while (machine.replay(1));
      expect(machine.hash()).toBe(hash);
      const prng = new Prng(seed);
      for (let i = 0; i < 200; i++) {
        const step = first + 1 + prng.below(end - first - 1);
        machine.seek(step);
        expect(machine.step).toBe(step);
        expect(look(machine)).toEqual(truth.get(step));
        machine.revive();
        expect(look(machine)).toEqual(truth.get(step));
      }
      // What a truncate overwrote is not reachable again.
      machine.seek(first + 500);
      machine.truncate();
      expect(machine.firstStep).toBe(first);
      const other = new Prng(seed);
      for (let i = 0; i < 20; i++) randomSlice(machine, other, 60);
      expect(machine.firstStep).toBe(first);
      const future = machine.hash();
      machine.seek(0);
      machine.revive();
      while (machine.replay(ENDLESS));
      expect(machine.hash()).toBe(future);
    }
  });

  test('keeps no history that began before an operation still in flight', () => {
    const machine = miniMachine({ historyEntries: 1 << 12 });
    const a = machine.spawn('A');
    const b = machine.spawn('B');
    machine.begin(a, operation('add', 50));
    machine.run(a, 20, null);
    for (let i = 0; i < 30; i++) call(machine, b, 'bump', 100);
    machine.run(a, ENDLESS, null);
    const step = machine.step;
    expect(machine.firstStep).toBe(step);
    call(machine, a, 'walk', 1);
    expect(machine.firstStep).toBe(step);
    const hash = machine.hash();
    machine.seek(0);
    expect(machine.step).toBe(step);
    machine.revive();
    while (machine.replay(7));
    expect(machine.hash()).toBe(hash);
  });
});

describe('lastWrite', () => {
  test('names step, task, statement and old value', () => {
    const machine = miniMachine();
    const a = machine.spawn('A');
    const b = machine.spawn('B');
    call(machine, a, 'bump', 2);
    call(machine, b, 'bump', 1);
    const word = the_pool().addr + 3 + 4 + 2 + 1 + 1 + 1 + 1;
    expect(cpu.heap[word]).toBe(3);
    const write = machine.lastWrite(SPACE_HEAP, word);
    expect(write).toMatchObject({ task: b, old: 2, depth: 1 });
    expect(siteInfo(write?.site ?? -1)).toMatchObject({ fn: 'bump', file: 'mini.ts' });
    machine.seek((write?.step ?? 0) - 1);
    expect(cpu.heap[word]).toBe(2);
    expect(machine.lastWrite(SPACE_HEAP, word)).toMatchObject({ task: a, old: 1 });
    machine.seek(write?.step ?? 0);
    machine.replay(1);
    expect(cpu.heap[word]).toBe(3);
    machine.seekSlice(0);
    expect(machine.lastWrite(SPACE_HEAP, word)).toBeNull();
  });

  test('blames the task that woke up, not the one that let it', () => {
    const machine = miniMachine();
    const a = machine.spawn('A');
    const b = machine.spawn('B');
    machine.begin(a, operation('add', 1));
    machine.run(a, 3, null);
    machine.begin(b, operation('add', 1));
    expect(machine.run(b, ENDLESS, null)).toBe('blocked');
    machine.run(a, ENDLESS, null);
    expect(machine.run(b, 0, null)).toBe('fuel');
    const pool = the_pool();
    const owner = machine.lastWrite(SPACE_HEAP, (pool.sem as number) + 1);
    expect(owner).toMatchObject({ task: b, old: 0 });
    expect(siteInfo(owner?.site ?? -1).fn).toBe('add');
  });

  test('of what the driver wrote names no task', () => {
    const machine = miniMachine();
    const a = machine.spawn('A');
    call(machine, a, 'bump', 1);
    machine.begin(a, operation('bump', 1));
    const op = machine.block(a).addr + 3 + 1;
    expect(machine.lastWrite(SPACE_HEAP, op)).toMatchObject({ task: 0, old: 0 });
  });
});

describe('events and findings', () => {
  test('rewind with the steps around them, contents too', () => {
    const machine = miniMachine();
    const a = machine.spawn('A');
    call(machine, a, 'add', 2);
    call(machine, a, 'remove', 1);
    const all = Array.from({ length: cpu.event_count }, (_, i) => eventAt(i));
    const added = all.filter((e) => e.type.name === 'mini:add');
    expect(added.map((e) => e.values[1])).toEqual([0, 8]);
    const removed = all.find((e) => e.type.name === 'mini:del');
    expect(removed?.values).toEqual([added[1]?.values[0], 'remove']);
    for (const event of added) {
      machine.seek(event.step);
      expect(cpu.event_count).toBeLessThanOrEqual(event.index);
      machine.seek(event.step + 1);
      expect(cpu.event_count).toBeGreaterThan(event.index);
    }
    machine.revive();
    while (machine.replay(1));
    expect(Array.from({ length: cpu.event_count }, (_, i) => eventAt(i))).toEqual(all);
  });

  test('a finding is there after its statement, not before, and only once', () => {
    const machine = miniMachine();
    const a = machine.spawn('A');
    call(machine, a, 'misuse');
    const found = machine.findings();
    expect(found.map((f) => f.kind)).toEqual(['use-after-free', 'double-free']);
    for (const [n, finding] of found.entries()) {
      machine.seek(finding.step);
      expect(machine.findings()).toHaveLength(n);
      machine.seek(finding.step + 1);
      expect(machine.findings()).toHaveLength(n + 1);
    }
    machine.seek(1);
    machine.revive();
    while (machine.replay(1));
    expect(machine.findings()).toEqual(found);
  });

  test('an exception in kernel code is an oops of the task, and replays as one', () => {
    const machine = miniMachine();
    const a = machine.spawn('A');
    const b = machine.spawn('B');
    machine.begin(a, operation('crash'));
    expect(machine.run(a, ENDLESS, null)).toBe('oops');
    expect(machine.enabled(a)).toBe(false);
    const [oops] = machine.findings();
    expect(oops?.kind).toBe('oops');
    expect(oops?.sites.map((site) => siteInfo(site).fn)).toEqual(['crash']);
    // The lock dies with it.
    machine.begin(b, operation('map', 1));
    expect(machine.run(b, ENDLESS, null)).toBe('blocked');
    expect(machine.enabled(b)).toBe(false);
    const hash = machine.hash();
    machine.seek(1);
    machine.revive();
    while (machine.replay(1));
    expect(machine.hash()).toBe(hash);
    expect(machine.findings()).toHaveLength(1);
  });
});

describe('two machines', () => {
  test('side by side do not disturb each other', () => {
    const alone = randomHistory(41, 3000).hash();
    const prngs = [new Prng(41), new Prng(42)];
    const machines = prngs.map((_prng, n) => {
      const machine = miniMachine();
      machine.setChooser((_kind, count, nth) => (nth * 7 + 41 + n) % count);
      for (let i = 1; i <= 4; i++) machine.spawn(`task${i}`);
      return machine;
    });
    const [one, two] = machines as [Machine, Machine];
    while (one.step < 3000 || two.step < 3000) {
      for (const [n, machine] of machines.entries()) {
        if (machine.step < 3000) randomSlice(machine, prngs[n] as Prng, 60);
      }
    }
    expect(one.hash()).toBe(alone);
    expect(two.hash()).toBe(randomHistory(42, 3000).hash());
  });
});
