/** Random programs with huge pages under the judges. */
import { afterAll, describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { cpu } from '../../../src/sim/cpu.ts';
import { eventAt } from '../../../src/sim/event.ts';
import { RandomProgram } from '../../support/random-program.ts';
import { bootTest } from '../driver.ts';

const seeds = Array.from({ length: 14 }, (_, i) => i + 1);
const seen = new Set<string>();

describe('random programs with huge pages', () => {
  test.each(seeds)('are not accused of anything: seed %i', (seed) => {
    // Every second machine is so small that huge pages must be split, swapped out or done without.
    const memoryPages = seed % 2 === 0 ? 1400 : 6144;
    const machine = bootTest({ memoryPages, swapPages: seed % 3 === 0 ? 300 : 2100 });
    const program = new RandomProgram(machine, seed, { thp: true, processes: 4 });
    const log: string[] = [];
    for (let i = 0; i < 120 && program.alive.length > 0; i++) {
      log.push(program.step());
      const found = [...machine.findings(), ...judge(machine, 'operation-end')];
      const text = `operation ${i}:\n${log.slice(-12).join('\n')}`;
      expect(found.slice(0, 5), text).toEqual([]);
    }
    for (let n = 0; n < cpu.event_count; n++) seen.add(eventAt(n).type.name);
  });

  afterAll(() => {
    const all = [
      'thp:split_pmd',
      'thp:split_folio',
      'thp:collapse',
      'swap:out',
      'swap:in',
      'migrate:end',
      'migrate:set_migration_pmd',
      'migrate:remove_migration_pmd',
    ];
    for (const name of all) expect([...seen]).toContain(name);
  });
});

const races = Array.from({ length: 8 }, (_, i) => i + 1);

describe('random races of operations on huge pages', () => {
  test.each(races)('are not accused of anything at any step: seed %i', (seed) => {
    const memoryPages = seed % 2 === 0 ? 6144 : 3000;
    const machine = bootTest({ memoryPages, swapPages: 2100 });
    const program = new RandomProgram(machine, seed, {
      processes: 4,
      thp: true,
      uninterrupted: true,
    });
    for (let i = 0; i < 30; i++) program.step();
    for (let round = 0; round < 25; round++) {
      const begun = new Map<number, string>();
      for (let n = 0; n < 4; n++) {
        const { task, operation } = program.next();
        if (begun.has(task) || machine.block(task).op !== 0) continue;
        if (/fork|exit/.test(operation.name)) continue;
        begun.set(task, operation.text);
        machine.begin(task, operation);
      }
      const text = `round ${round}: ${[...begun.values()].join('; ')}`;
      for (let turn = 0; ; turn++) {
        const enabled = [...begun.keys()].filter((id) => machine.enabled(id));
        if (enabled.length === 0) break;
        machine.run(program.prng.pick(enabled), program.prng.pick([0, 1, 3, 12, 40, 700]), null);
        if (turn % 16 === 0) expect(judge(machine, 'step').slice(0, 4), text).toEqual([]);
      }
      expect(judge(machine, 'operation-end').slice(0, 4), text).toEqual([]);
      program.step();
    }
    expect(machine.findings()).toEqual([]);
  });
});
