/**
 * The kernels with interval trees under preemption: operations of several processes and of kernel tasks, interleaved
 * statement by statement, and the races that one feature each is there for.
 */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import type { kernel } from '../../../src/linux/kernel.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import { cpu, ENDLESS } from '../../../src/sim/cpu.ts';
import { eventAt } from '../../../src/sim/event.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { RandomProgram } from '../../support/random-program.ts';
import { begin, call, findings, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;
const RW = 3;
const FIXED_ANON = 0x32;
const kernels = ['v3.7', 'v3.7-limit', 'v3.18', 'root-only', 'v3.19', 'v5.19', 'v6.1'];

function boot(name: string, withouts: readonly string[] = [], recording = true): Machine {
  const selected = selectKernel(name, [], withouts);
  return bootMachine({ kernel: selected, memoryPages: 1024, swapPages: 128, recording });
}

function verdicts(machine: Machine): string[] {
  return [
    ...findings(machine),
    ...judge(machine, 'operation-end').map(({ kind, text }) => `${kind}: ${text}`),
  ];
}

/** Rounds of up to three operations that run at once. */
function interleave(machine: Machine, seed: number, rounds: number): void {
  const program = new RandomProgram(machine, seed, { uninterrupted: true, processes: 4 });
  const prng = new Prng(seed);
  const { missing } = (machine.config.kernel as kernel).mm;
  for (let round = 0; round < rounds; round++) {
    const before = machine.taskCount();
    const texts: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { task, operation } = program.next();
      if (machine.block(task).op !== 0 || missing[operation.name] !== undefined) continue;
      machine.begin(task, operation);
      texts.push(`${task}: ${operation.text}`);
    }
    for (;;) {
      const ready: number[] = [];
      for (let id = 1; id <= machine.taskCount(); id++) if (machine.enabled(id)) ready.push(id);
      if (ready.length === 0) break;
      machine.run(prng.pick(ready), 1 + prng.below(60), null);
    }
    for (let id = before + 1; id <= machine.taskCount(); id++) program.alive.push(id);
    program.alive = program.alive.filter((id) => machine.block(id).dead === 0);
    expect(verdicts(machine), `${round} ${texts.join('; ')}`).toEqual([]);
  }
}

describe.each(kernels)('%s', (name) => {
  test.each([1, 2])('is right after operations that ran at once, program %i', (seed) => {
    interleave(boot(name, [], false), seed, 150);
  });
});

describe.each(['v3.7', 'v3.18'])('%s without its interval trees', (name) => {
  test('is right with lists in their place', () => {
    const machine = boot(name, ['interval_tree'], false);
    const program = new RandomProgram(machine, 1);
    for (let i = 0; i < 200; i++) {
      const text = program.step();
      expect(verdicts(machine), text).toEqual([]);
    }
  });
});

/** Runs `task` until an event comes that `wanted` knows; false if its operation ended first. */
function runToEvent(machine: Machine, task: number, wanted: (text: string) => boolean): boolean {
  let from = cpu.event_count;
  for (;;) {
    const end = machine.run(task, 1, null);
    for (; from < cpu.event_count; from++) {
      const { type, values } = eventAt(from);
      if (wanted(`${type.name} ${values.filter((v) => typeof v === 'string').join(' ')}`)) {
        return true;
      }
    }
    if (end !== 'fuel') return false;
  }
}

/**
 * A page comes home to a VMA that walks meet before the one it comes from, while it is migrated: the walk that puts
 * its entry back is `steps` statements old when the page-table entry moves. What the judges say in the end.
 */
function moveHome(name: string, withouts: readonly string[], steps: number): string[] {
  const machine = boot(name, withouts);
  const a = spawnInit(machine, 'A');
  const k = spawnKernelThread(machine, 'kcompactd');
  call(machine, a, 'mmap', [AT, 8 * PAGE, RW, FIXED_ANON, -1, 0]);
  for (let i = 0; i < 8; i++) call(machine, a, 'store', [AT + i * PAGE, 10 + i]);
  call(machine, a, 'mremap', [AT + 4 * PAGE, PAGE, PAGE, 3, AT + 32 * PAGE]);
  call(machine, k, 'settle', []);
  begin(machine, k, 'migrate', [a, AT + 32 * PAGE]);
  // The entry stands for the page now, and no lock is held.
  expect(runToEvent(machine, k, (event) => event.startsWith('rmap:walk_end'))).toBe(true);
  machine.run(k, 5, null);
  begin(machine, a, 'mremap', [AT + 32 * PAGE, PAGE, PAGE, 3, AT + 4 * PAGE]);
  expect(runToEvent(machine, a, (event) => event.startsWith('vma:merge'))).toBe(true);
  runToEvent(machine, k, (event) => event === 'rmap:walk_begin remove_migration_ptes');
  machine.run(k, steps, null);
  for (let turn = 0; turn < 10; turn++) {
    for (const task of [a, k]) if (machine.enabled(task)) machine.run(task, ENDLESS, null);
  }
  return verdicts(machine);
}

describe('mremap() to a place that walks come to first', () => {
  const steps = Array.from({ length: 60 }, (_, i) => 2 * i);

  test.each(['v3.7', 'v3.18', 'v5.19'])('loses no page on %s, whenever it comes', (name) => {
    for (const n of steps) expect(moveHome(name, [], n), `${n}`).toEqual([]);
  });

  test.each(['v3.7', 'v3.18', 'v5.19'])('loses one on %s without need_rmap_locks', (name) => {
    const lost = steps.filter((n) => moveHome(name, ['need_rmap_locks'], n).length > 0);
    expect(lost.length).toBeGreaterThan(0);
  });
});
