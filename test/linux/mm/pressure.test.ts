/** Too little memory: reclaim, kswapd, the OOM killer. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { cpu } from '../../../src/sim/cpu.ts';
import { eventAt } from '../../../src/sim/event.ts';
import { RandomProgram } from '../../support/random-program.ts';
import { bootTest } from '../driver.ts';

/** How often each tracepoint fired. Of the active machine. */
function eventCounts(): Map<string, number> {
  const counts = new Map<string, number>();
  for (let n = 0; n < cpu.event_count; n++) {
    const { name } = eventAt(n).type;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

describe('random programs on a machine that is too small', () => {
  test('no judge ever has anything to say, with swap or without', () => {
    const seen = { direct: 0, kswapd: 0, killed: 0 };
    for (let seed = 1; seed <= 220; seed++) {
      const machine = bootTest({ memoryPages: 320, swapPages: seed % 4 === 0 ? 0 : 150 });
      const program = new RandomProgram(machine, seed, { arenaPages: 300, pressure: true });
      const log: string[] = [];
      for (let i = 0; i < 60 && program.alive.length > 0; i++) {
        log.push(program.step());
        const found = [...machine.findings(), ...judge(machine, 'operation-end')];
        expect(found, `seed ${seed}, operation ${i}:\n${log.slice(-8).join('\n')}`).toEqual([]);
      }
      const counts = eventCounts();
      seen.direct += counts.get('vmscan:mm_vmscan_direct_reclaim_begin') ?? 0;
      seen.kswapd += counts.get('vmscan:mm_vmscan_kswapd_wake') ?? 0;
      seen.killed += counts.get('oom:mark_victim') ?? 0;
    }
    // All three happened, and often.
    expect(seen.direct).toBeGreaterThan(100);
    expect(seen.kswapd).toBeGreaterThan(100);
    expect(seen.killed).toBeGreaterThan(50);
  });
});
