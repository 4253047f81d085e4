import { describe, expect, test } from 'vitest';
import { InternalError } from '../../../src/base/assert.ts';
import { Prng } from '../../../src/base/prng.ts';
import { cpu, ENDLESS } from '../../../src/sim/cpu.ts';
import type { Machine, Operation } from '../../../src/sim/machine.ts';
import { allSites, siteInfo, sourceLines } from '../../../src/sim/site.ts';
import type { K } from '../../../src/sim/wait.ts';
import type * as mini from '../kernel/mini.ts';
import * as fastModule from '../kernel/mini.ts?fast';
import { node_cache } from '../kernel/structs.ts';
import { call, miniMachine, operation } from '../mini-machine.ts';

const fast = fastModule as typeof mini;

/** An operation of the fast build as the machine wants it: it never parks. */
// biome-ignore lint/correctness/useYield: that is the point
function* startFast(op: Operation): K<number> {
  return fast.start(op) as unknown as number;
}

function sequence(machine: Machine, operations: number, fuel: () => number): number[] {
  const prng = new Prng(77);
  const results: number[] = [];
  const task = machine.spawn('A');
  for (let i = 0; i < operations; i++) {
    const name = prng.pick(['add', 'remove', 'walk', 'bump', 'map', 'retag']);
    machine.begin(task, operation(name, prng.below(5)));
    while (machine.block(task).op !== 0) machine.run(task, fuel(), null);
    results.push(machine.block(task).result);
  }
  return results;
}

describe('step and fast build', () => {
  test('end a random run of 20,000 operations in the same state with the same results', () => {
    const prng = new Prng(5);
    const machines = [
      miniMachine({ recording: false }, startFast),
      miniMachine({ recording: false }),
      miniMachine(),
      miniMachine({ historyEntries: 1 << 12 }),
    ];
    const [truth, ...others] = machines.map((machine, n) => {
      const results = sequence(machine, 20_000, n < 3 ? () => ENDLESS : () => prng.below(40));
      return { results, hash: machine.hash(), events: cpu.event_count };
    });
    for (const other of others) expect(other).toEqual(truth);
    expect(machines[0]?.step).toBe(0);
    expect(machines[2]?.step).toBe(machines[1]?.step);
  });

  test('share structs and sim: both work on one machine', () => {
    const machine = miniMachine({}, (op) => (op.line === 1 ? startFast(op) : fast.start(op)));
    const task = machine.spawn('A');
    machine.begin(task, { ...operation('add', 2), line: 1 });
    machine.run(task, ENDLESS, null);
    expect(node_cache.live()).toBe(2);
  });

  test('the fast build refuses to wait instead of hanging', () => {
    const machine = miniMachine({}, (op) => (op.line === 1 ? startFast(op) : stepStart(op)));
    const a = machine.spawn('A');
    const b = machine.spawn('B');
    machine.begin(a, operation('add', 2));
    machine.run(a, 3, null);
    machine.begin(b, { ...operation('add', 2), line: 1 });
    expect(() => machine.run(b, ENDLESS, null)).toThrow(InternalError);
    expect(machine.findings()).toEqual([]);
  });
});

const { start: stepStart } = await import('../kernel/mini.ts');

describe('what a step point knows', () => {
  test('function, file, line, source text, depth and locals', () => {
    const machine = miniMachine();
    const task = machine.spawn('A');
    call(machine, task, 'add', 1);
    machine.begin(task, operation('walk', 2));
    while (machine.frames(task).length < 4) machine.run(task, 0, null);
    const frames = machine.frames(task);
    expect(frames.map((f) => siteInfo(f.site).fn)).toEqual([
      'walk',
      'look_at',
      'look_at',
      'look_at',
    ]);
    expect(frames.map((f) => f.locals?.().depth)).toEqual([undefined, 2, 1, 0]);
    expect(frames[0]?.locals?.()).toMatchObject({ n: 2, sum: 0 });
    for (const frame of frames) {
      const site = siteInfo(frame.site);
      expect(site.file).toBe('mini.ts');
      expect(sourceLines('mini.ts')?.[site.line - 1]).toMatch(/look_at|spin_lock/);
    }
  });

  test('each function has one entry, before its first statement', () => {
    const entries = allSites().filter((s) => s.file === 'mini.ts' && s.entry);
    const names = entries.map((s) => s.fn);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain('lock_both');
  });

  test('an exception in kernel code shows the line of the .ts file', () => {
    const machine = miniMachine();
    const task = machine.spawn('A');
    call(machine, task, 'crash');
    const [oops] = machine.findings();
    const line =
      (sourceLines('mini.ts') ?? []).findIndex((l) => l.includes('return node.value;')) + 1;
    expect(line).toBeGreaterThan(0);
    expect(oops?.text).toContain('null');
    expect(oops?.evidence[0]).toMatch(new RegExp(`boom.*mini\\.ts:${line}:`));
  });
});

describe('breakpoints', () => {
  test('on a statement park the task before it; on an event, at the next statement', () => {
    const machine = miniMachine();
    const task = machine.spawn('A');
    const entry = allSites().findIndex((s) => s.fn === 'new_node' && s.entry);
    let hits = 0;
    machine.arm([entry], [], (kind, id) => {
      expect([kind, id]).toEqual(['site', entry]);
      hits++;
      machine.park();
    });
    machine.begin(task, operation('add', 3));
    for (let i = 1; i <= 3; i++) {
      expect(machine.run(task, ENDLESS, null)).toBe('fuel');
      expect(hits).toBe(i);
      expect(machine.lastMark()).toMatchObject({ site: entry, depth: 2 });
      expect(node_cache.live()).toBe(i - 1);
    }
    expect(machine.run(task, ENDLESS, null)).toBe('done');
    // Rebuilding generators must not stop anywhere.
    hits = 0;
    machine.seekMark(machine.step - 1);
    machine.revive();
    expect(hits).toBe(0);
  });
});
