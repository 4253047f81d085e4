import { expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { RandomProgram } from '../../support/random-program.ts';
import { bootTest } from '../driver.ts';
const from = Number(process.env.HUGE_FROM ?? 1);
const seeds = Array.from({ length: Number(process.env.HUGE_SEEDS ?? 10) }, (_, i) => i + from);
test.each(seeds)('seed %i', (seed) => {
      const machine = bootTest({ memoryPages: seed % 2 ? 3000 : 6144, swapPages: 2100 });
      const program = new RandomProgram(machine, seed, { processes: 4, thp: true, uninterrupted: true });
      for (let i = 0; i < 30; i++) program.step();
      const log: string[] = [];
      for (let round = 0; round < 25; round++) {
        const begun = new Set<number>();
        for (let n = 0; n < 4; n++) {
          const { task, operation } = program.next();
          if (begun.has(task) || machine.block(task).op !== 0) continue;
          if (/fork|exit/.test(operation.name)) continue;
          begun.add(task);
          log.push(`${round} ${task}: ${operation.text}`);
          machine.begin(task, operation);
        }
        for (let turn = 0; ; turn++) {
          const enabled = [...begun].filter((id) => machine.enabled(id));
          if (enabled.length === 0) break;
          const id = program.prng.pick(enabled);
          machine.run(id, program.prng.pick([0, 1, 3, 12, 40, 700]), null);
          if (turn % 8 === 0) {
          const v = [...machine.findings(), ...judge(machine, 'step')];
          expect(v.slice(0, 4), `seed ${seed} step ${machine.step} ${log.slice(-8).join('\n')}`).toEqual([]);
          }
        }
        expect(judge(machine, 'operation-end').slice(0, 4), `seed ${seed} round ${round} ${log.slice(-8).join('\n')}`).toEqual([]);
        program.step();
      }
      expect(machine.findings()).toEqual([]);
}, 60000);
