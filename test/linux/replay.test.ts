/**
 * A run can be rewound to any step and run again to the same state: so no kernel function keeps state
 * outside the heap, the page tables and the page frames.
 */
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { taskIsAlive } from '../../src/linux/describe.ts';
import type { Machine } from '../../src/sim/machine.ts';
import { begin, bootTest, call, spawnInit, spawnKernelThread } from './driver.ts';

const PAGE = 4096;
const BASE = 0x10_0000_0000;
const PRIVATE_FIXED = 0x32;
const SHARED_FIXED = 0x31;

function beginRandom(m: Machine, task: number, prng: Prng): void {
  const addr = BASE + prng.below(16) * PAGE;
  const length = (1 + prng.below(4)) * PAGE;
  const target = BASE + prng.below(16) * PAGE;
  const calls: readonly (readonly [string, unknown[], Record<string, unknown>?])[] = [
    ['mmap', [addr, length, 3, prng.below(4) === 0 ? SHARED_FIXED : PRIVATE_FIXED, -1, 0]],
    ['munmap', [addr, length]],
    ['mprotect', [addr, length, prng.pick([1, 3])]],
    ['mremap', [addr, length, length, 3, target]],
    ['madvise', [addr, length, 4]],
    ['store', [addr, prng.below(256)]],
    ['store', [addr, prng.below(256)]],
    ['load', [addr]],
    ['fork', []],
    ['vfork', []],
    ['clone', [0x10f00]],
    ['execve', ['/bin/true']],
    ['open', [`/tmp/${prng.below(3)}`, 2]],
    ['memfd_create', ['x', 0]],
    ['mmap', [addr, length, 3, SHARED_FIXED - 0x20, 3, 0]],
    ['ftruncate', [3, prng.below(4) * PAGE]],
    ['close', [3]],
    ['exit', [0]],
  ];
  let [name, args] = prng.pick(calls);
  if (m.taskCount() > 7 && /fork|clone/.test(name)) [name, args] = ['store', [addr, 1]];
  begin(m, task, name, args);
}

function randomRun(seed: number): Machine {
  const m = bootTest({ memoryPages: 512 });
  const prng = new Prng(seed);
  const first = spawnInit(m, 'P');
  const kswapd = spawnKernelThread(m, 'kswapd');
  call(m, first, 'mmap', [BASE, 16 * PAGE, 3, PRIVATE_FIXED, -1, 0]);
  for (let turn = 0; turn < 400; turn++) {
    const users = Array.from({ length: m.taskCount() }, (_, i) => i + 1).filter(
      (id) => id !== kswapd && taskIsAlive(m, id),
    );
    if (users.length === 0) break;
    const task = prng.below(6) === 0 ? kswapd : prng.pick(users);
    if (m.block(task).op === 0) {
      if (task !== kswapd) beginRandom(m, task, prng);
      else {
        const work = prng.pick(['reclaim', 'migrate', 'referenced', 'settle']);
        begin(m, kswapd, work, [prng.pick(users), BASE + prng.below(16) * PAGE]);
      }
    }
    if (m.enabled(task)) m.run(task, prng.below(80), null);
  }
  return m;
}

test('a random run of v6.18 can be rewound to any step and run again to the same state', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const m = randomRun(seed);
    const found = m.findings().map((f) => `${f.kind}: ${f.text} ${f.evidence.join(' ')}`);
    expect(found, `seed ${seed}`).toEqual([]);
    const end = m.endStep;
    const hash = m.hash();
    const trace = m.traceHash();
    const prng = new Prng(seed);
    for (let i = 0; i < 4; i++) {
      const step = m.firstStep + prng.below(end - m.firstStep);
      m.seek(step);
      m.revive();
      let budget = 100_000;
      while (m.replay(1 + prng.below(500)) && budget > 0) budget--;
      expect(m.step, `seed ${seed} from step ${step}`).toBe(end);
      expect(m.hash(), `seed ${seed} from step ${step}`).toBe(hash);
      expect(m.traceHash(), `seed ${seed} from step ${step}`).toBe(trace);
    }
  }
}, 300_000);
