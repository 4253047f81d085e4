/** Too little memory: reclaim, kswapd, the OOM killer. */
import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { openSession } from '../../../src/debugger/open.ts';
import { NODE_DATA } from '../../../src/linux/mm/node.ts';
import { cpu, write_heap } from '../../../src/sim/cpu.ts';
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
  }, 240_000);
});

/** Runs a scenario to its end; its findings, and how often each event fired. */
function runScenario(
  text: string,
  seed: number,
): { findings: unknown; events: Map<string, number> } {
  const session = openSession(text, { file: 'pressure.mm', seed, stopOnFinding: false });
  if ('errors' in session) throw session.errors[0];
  session.execute('continue');
  while (session.pump(1_000_000) === 'running');
  expect(session.failures, `seed ${seed}`).toBe(0);
  expect(session.finished, `seed ${seed}`).toBe(true);
  return { findings: session.findings(), events: eventCounts() };
}

test('shared memory goes to swap and comes back, whoever wrote it and whoever reads it', () => {
  const scenario = `
config memory=4M swap=8M
A: p = mmap(NULL, 1500p, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)
A: B = fork()
A: store(p, 5, 700p)
B: store(p+700p, 6, 800p)
A: load(p) = 5
A: load(p+699p) = 5
A: load(p+700p) = 6
B: load(p+1499p) = 6
B: load(p+300p) = 5
kernel: kswapd(3)
A: munmap(p, 1500p)
B: munmap(p, 1500p)
`;
  const { findings, events } = runScenario(scenario, 1);
  expect(findings).toEqual([]);
  expect(events.get('vmscan:mm_vmscan_direct_reclaim_begin')).toBeGreaterThan(0);
});

describe('kswapd', () => {
  const race = `
config memory=2M swap=1M
A: p = mmap(NULL, 480p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 300p)
A: fd = open("/f", O_RDWR)
A: f = mmap(NULL, 64p, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0)
A: store(f, 2, 64p)
A: store(p+300p, 3, 100p)
A: B = fork()
race {
  kswapd: kswapd(5)
  kswapd: kswapd(5)
  kcompactd: migrate(A, p+350p)
  A: munmap(p+10p, 100p)
  A: C = fork()
  A: store(p+380p, 5, 20p)
  B: store(p+200p, 6, 20p)
  B: exit_group(0)
}
kernel: settle()
expect byte(A, p+399p) == 5
`;
  test('against munmap, fork, faults and migration leaves no finding under 60 seeds', () => {
    let rounds = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const { findings, events } = runScenario(race, seed);
      expect(findings, `seed ${seed}`).toEqual([]);
      rounds += events.get('vmscan:mm_vmscan_kswapd_wake') ?? 0;
    }
    expect(rounds).toBeGreaterThan(30);
  });
});

describe('out_of_memory', () => {
  const race = `
config memory=2M swap=256K
A: p = mmap(NULL, 1000p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0)
A: store(p, 1, 60p)
A: B = fork()
A: C = fork()
race {
  A: load(p, 60p)
  A: munmap(p+40p, 4p)
  B: store(p, 2, 1000p)
  C: store(p, 3, 1000p)
  kswapd: kswapd(20)
}
kernel: settle()
expect len(live("mm_struct")) == 1
A: load(p) = 1
`;
  test('kills those that want all there is, whatever they are doing, and spares the others', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { findings, events } = runScenario(race, seed);
      expect(findings, `seed ${seed}`).toEqual([]);
      expect(events.get('oom:mark_victim'), `seed ${seed}`).toBe(2);
    }
  });
});

test('the first to be killed when swapoff finds no room is who called it', () => {
  const scenario = `
config memory=2M swap=4M
A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 8p)
A: B = fork()
B: q = mmap(NULL, 900p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0)
B: store(q, 2, 900p)
A: swapoff()
kernel: settle()
expect len(live("mm_struct")) == 1
B: load(q+899p) = 2
`;
  const { findings, events } = runScenario(scenario, 1);
  expect(findings).toEqual([]);
  expect(events.get('oom:mark_victim')).toBe(1);
});

describe('init_per_zone_wmark_min', () => {
  // The table in the comment above calculate_min_free_kbytes(): memory in MiB, min_free_kbytes.
  test.each([
    [16, 512],
    [32, 724],
    [64, 1024],
    [128, 1448],
  ])('of %i MiB keeps %i KiB back', (megabytes, kbytes) => {
    bootTest({ memoryPages: megabytes * 256 + 1 });
    const node = NODE_DATA();
    const min = Math.floor(kbytes / 4);
    expect(node.watermark_min).toBe(min);
    // A quarter of the minimum, as a thousandth of memory is less.
    expect(node.watermark_low).toBe(min + Math.floor(min / 4));
    expect(node.watermark_high).toBe(min + 2 * Math.floor(min / 4));
  });
});

describe('the judge of lists', () => {
  const words = () => {
    const machine = bootTest({ memoryPages: 512 });
    const program = new RandomProgram(machine, 5, { arenaPages: 60, pressure: true });
    for (let i = 0; i < 10; i++) program.step();
    return machine;
  };
  test.each([
    ['a list size', () => write_heap(NODE_DATA().lists + 2, 7777)],
    ['the end of a list', () => write_heap(NODE_DATA().lists + 1, 3)],
  ])('sees that %s is wrong', (_what, spoil) => {
    const machine = words();
    spoil();
    expect(judge(machine, 'step').map((v) => v.kind)).toContain('lru-wrong');
  });
  test('sees that a free page is counted as used', () => {
    const machine = words();
    NODE_DATA().used_pages = NODE_DATA().used_pages + 1;
    expect(judge(machine, 'step').map((v) => v.kind)).toContain('free-pages-wrong');
  });
});

describe('compact', () => {
  const text = `
config memory=4M swap=1M
A: p = mmap(NULL, 512p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: madvise(p, 512p, MADV_NOHUGEPAGE)
A: store(p, 1, 512p)
A: B = fork()
B: madvise(p, 500p, MADV_DONTNEED)
A: munmap(p+4p, 40p)
A: munmap(p+100p, 200p)
race {
  kcompactd: compact()
  B: store(p+505p, 4)
  A: mprotect(p+50p, 10p, PROT_READ)
}
expect byte(A, p+40p+4p) == 1 && byte(A, p+505p) == 1 && byte(B, p+505p) == 4
expect pte(A, p).pfn >= 512
`;
  test('moves pages up, whatever else goes on', () => {
    for (let seed = 1; seed <= 20; seed++) {
      expect(runScenario(text, seed).findings, `seed ${seed}`).toEqual([]);
    }
  });
});
