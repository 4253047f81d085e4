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
    ];
    for (const name of all) expect([...seen]).toContain(name);
  });
});
