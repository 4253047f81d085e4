/**
 * Operations of several processes at once, interleaved statement by statement by a seed, on every kernel whose locks
 * keep its promises: judged at every few statements, and in full when all have ended. Then the races that
 * the kernels of 2.6.34 lose, which a search finds there and not in the kernel that mended them.
 */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { judge } from '../../../src/check/judges.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { mmOfTask, vmaAt } from '../../../src/linux/describe.ts';
import type { kernel } from '../../../src/linux/kernel.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import { STACK_TOP_MAX } from '../../../src/linux/mm/mm.ts';
import { ENDLESS } from '../../../src/sim/cpu.ts';
import type { Machine, Operation } from '../../../src/sim/machine.ts';
import { RandomProgram } from '../../support/random-program.ts';
import { call, operation, spawnInit, spawnKernelThread } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;

function boot(kernel: string): Machine {
  return bootMachine({ kernel: selectKernel(kernel), memoryPages: 512, swapPages: 64 });
}

interface Started {
  readonly task: number;
  readonly operation: Operation;
}

/** What was wrong during a race and after it. */
function verdicts(machine: Machine, moment: 'step' | 'operation-end'): string[] {
  return [
    ...machine.findings().map((each) => `${each.kind}: ${each.text}`),
    ...judge(machine, moment).map((each) => `${each.kind}: ${each.text}`),
  ];
}

/** Starts all and runs them by turns of at most `turn` statements until none is left. Null: a deadlock. */
function race(
  machine: Machine,
  started: readonly Started[],
  prng: Prng,
  turn: number,
): readonly string[] | null {
  for (const each of started) machine.begin(each.task, each.operation);
  for (let turns = 0; ; turns++) {
    const able: number[] = [];
    let open = false;
    for (let id = 1; id <= machine.taskCount(); id++) {
      if (machine.block(id).op !== 0) open = true;
      if (machine.enabled(id)) able.push(id);
    }
    if (!open) return verdicts(machine, 'operation-end');
    if (able.length === 0) return null;
    machine.run(prng.pick(able), 1 + prng.below(turn), null);
    if (turns % 5 !== 0) continue;
    const wrong = verdicts(machine, 'step');
    if (wrong.length > 0) return wrong;
  }
}

const sound = ['v2.6.33', 'v2.6.36', 'v3.0', 'v3.6', 'v3.7', 'v3.18', 'v3.19', 'v6.1'];

describe.each(sound)('%s', (name) => {
  test.each([1, 2])('is right in races of random operations, seed %i', (seed) => {
    const machine = boot(name);
    const program = new RandomProgram(machine, seed, { uninterrupted: true, processes: 4 });
    const { missing } = (machine.config.kernel as kernel).mm;
    const prng = new Prng(seed * 31);
    for (let round = 0; round < 60; round++) {
      const started = new Map<number, Operation>();
      const wanted = 2 + prng.below(2);
      for (let tries = 0; tries < 20 && started.size < wanted; tries++) {
        const next = program.next();
        if (missing[next.operation.name] === undefined && !started.has(next.task)) {
          started.set(next.task, next.operation);
        }
      }
      const all = [...started].map(([task, op]) => ({ task, operation: op }));
      const before = machine.taskCount();
      const text = all.map((each) => `${each.task}: ${each.operation.text}`).join(' | ');
      expect(race(machine, all, prng, 12), `round ${round}: ${text}`).toEqual([]);
      for (let id = before + 1; id <= machine.taskCount(); id++) program.alive.push(id);
      program.alive = program.alive.filter((id) => machine.block(id).dead === 0);
    }
  });
});

/** A VMA of four pages whose last is migrated while the VMA is split below it. */
function splitUnderMigration(kernel: string, seed: number): readonly string[] | null {
  const machine = boot(kernel);
  const a = spawnInit(machine, 'A');
  const k = spawnKernelThread(machine, 'K');
  call(machine, a, 'mmap', [AT, 4 * PAGE, 3, 0x32, -1, 0]);
  call(machine, a, 'store', [AT + 3 * PAGE, 1]);
  call(machine, k, 'settle');
  const started = [
    { task: a, operation: operation('mprotect', [AT, 2 * PAGE, 1]) },
    { task: k, operation: operation('migrate', [a, AT + 3 * PAGE]) },
  ];
  return race(machine, started, new Prng(seed), 40);
}

/** Runs whoever can until all have ended, `first` before others. */
function finish(machine: Machine, first: number): readonly string[] | null {
  for (;;) {
    const open = [first, 1, 2, 3, 4].filter(
      (id) => id <= machine.taskCount() && machine.block(id).op !== 0,
    );
    if (open.length === 0) return verdicts(machine, 'operation-end');
    const able = open.find((id) => machine.enabled(id));
    if (able === undefined) return null;
    machine.run(able, ENDLESS, null);
  }
}

/**
 * A child's stack grows while an inherited page of it is migrated: the migration runs `lead` statements, then the fault
 * until it has moved vm_start and not yet vm_pgoff, then the migration to its end. True as long as it goes so far.
 */
function growUnderMigration(
  name: string,
  lead: number,
): { readonly wrong: readonly string[] | null; readonly more: boolean } {
  const machine = boot(name);
  const a = spawnInit(machine, 'A');
  const k = spawnKernelThread(machine, 'K');
  call(machine, a, 'mmap', [AT, 2 * PAGE, 3, 0x32 | 0x100, -1, 0]);
  call(machine, a, 'store', [AT + PAGE, 1]);
  call(machine, a, 'fork');
  const b = machine.taskCount();
  call(machine, k, 'settle');
  const mm = mmOfTask(machine, b);
  const vma = mm === null ? null : vmaAt(mm, AT);
  machine.begin(k, operation('migrate', [b, AT + PAGE]));
  machine.begin(b, operation('store', [AT - PAGE, 2]));
  const more = machine.run(k, lead, null) !== 'done';
  while (machine.enabled(b) && machine.block(b).op !== 0 && vma?.vm_start === AT) {
    machine.run(b, 0, null);
  }
  return { wrong: finish(machine, k), more };
}

describe('migration during a split', () => {
  const seeds = Array.from({ length: 120 }, (_, i) => i + 1);
  const loses = (name: string): boolean =>
    seeds.some((seed) => (splitUnderMigration(name, seed) ?? ['deadlock']).length > 0);

  test('leaves an entry behind in 2.6.34', () => {
    expect(loses('v2.6.34')).toBe(true);
  });

  test.each(['v2.6.33', 'v2.6.34-mel', 'v2.6.36', 'v3.0'])('loses nothing in %s', (name) => {
    expect(loses(name)).toBe(false);
  });
});

describe('migration during stack growth of a child', () => {
  const loses = (name: string): boolean => {
    for (let lead = 1; ; lead += 2) {
      const { wrong, more } = growUnderMigration(name, lead);
      if (wrong === null || wrong.length > 0) return true;
      if (!more) return false;
    }
  };

  test('leaves an entry behind in 2.6.34, which locks the anon_vma of the child only', () => {
    expect(loses('v2.6.34')).toBe(true);
  });

  test.each(['v2.6.33', 'v2.6.34-mel', 'v2.6.36', 'v3.0'])('loses nothing in %s', (name) => {
    expect(loses(name)).toBe(false);
  });
});

/**
 * Lets `work` run `lead` statements, then `other` while `still` says so, then `work` to its end, for every `lead`. Whether some
 * page is lost, or nothing goes on, in any of these.
 */
function losesInHandover(
  make: () => {
    machine: Machine;
    work: Started;
    other: Started;
    /** Before `work` begins: brings `other` to where the race is. */
    prepare?: () => void;
    still: () => boolean;
  },
): boolean {
  for (let lead = 1; ; lead += 2) {
    const { machine, work, other, prepare, still } = make();
    machine.begin(other.task, other.operation);
    prepare?.();
    machine.begin(work.task, work.operation);
    const more = machine.run(work.task, lead, null) !== 'done';
    const goesOn = (): boolean => machine.enabled(other.task) && machine.block(other.task).op !== 0;
    while (goesOn() && still()) machine.run(other.task, 1, null);
    const wrong = finish(machine, work.task);
    if (wrong === null || wrong.length > 0) return true;
    if (!more) return false;
  }
}

describe('migration of an argument page while execve() moves its stack', () => {
  const loses = (name: string): boolean =>
    losesInHandover(() => {
      const machine = boot(name);
      const a = spawnInit(machine, 'A');
      const k = spawnKernelThread(machine, 'K');
      const top = STACK_TOP_MAX - PAGE;
      const old = mmOfTask(machine, a);
      const stackStart = (): number => {
        const mm = mmOfTask(machine, a);
        return mm === null || mm === old ? -1 : (vmaAt(mm, top)?.vm_start ?? 0);
      };
      return {
        machine,
        work: { task: k, operation: operation('migrate', [a, top]) },
        other: { task: a, operation: operation('execve', ['/bin/prog']) },
        prepare: () => {
          while (stackStart() !== top) machine.run(a, 1, null);
        },
        still: () => stackStart() === top,
      };
    });

  test('leaves an entry behind in 2.6.34', () => {
    expect(loses('v2.6.34')).toBe(true);
  });

  test.each(['v2.6.34-mel', 'v2.6.36', 'v3.0'])('leaves temporary stacks alone in %s', (name) => {
    expect(loses(name)).toBe(false);
  });
});

describe('migration of a page that mremap() moves back into its old neighbour', () => {
  const FAR = AT + 1024 * PAGE;
  const loses = (name: string): boolean =>
    losesInHandover(() => {
      const machine = boot(name);
      const a = spawnInit(machine, 'A');
      const k = spawnKernelThread(machine, 'K');
      call(machine, a, 'mmap', [AT, 4 * PAGE, 3, 0x32, -1, 0]);
      for (let i = 0; i < 4; i++) call(machine, a, 'store', [AT + i * PAGE, i]);
      call(machine, a, 'mremap', [AT + 2 * PAGE, 2 * PAGE, 2 * PAGE, 3, FAR]);
      call(machine, k, 'settle');
      const back = [FAR, 2 * PAGE, 2 * PAGE, 3, AT + 2 * PAGE];
      return {
        machine,
        work: { task: k, operation: operation('migrate', [a, FAR]) },
        other: { task: a, operation: operation('mremap', back) },
        still: () => true,
      };
    });

  test.each([
    'v2.6.34',
    'v2.6.36',
    'v3.0',
  ])('is lost in %s: walks meet the new place first', (name) => {
    expect(loses(name)).toBe(true);
  });

  test.each(['v3.6', 'v3.7'])('is found in %s', (name) => {
    expect(loses(name)).toBe(false);
  });
});
