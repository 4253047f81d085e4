import { describe, expect, test } from 'vitest';
import { bootMachine, spawnInit, spawnKernelThread } from '../../src/linux/boot.ts';
import { selectKernel } from '../../src/linux/kernels.ts';
import { loadScenario } from '../../src/scenario/load.ts';
import { ScenarioRun } from '../../src/scenario/run.ts';

/** Runs a scenario without statements of the session's to its end. */
function runAll(text: string): ScenarioRun {
  const { scenario, errors } = loadScenario(text);
  expect(errors).toEqual([]);
  const machine = bootMachine({ kernel: selectKernel('v6.18'), memoryPages: 512, swapPages: 64 });
  const run = new ScenarioRun(scenario, machine, {
    spawnFirst: (name) => spawnInit(machine, name),
    spawnKernelThread: (name) => spawnKernelThread(machine, name),
  });
  for (;;) {
    const decision = run.next();
    if (decision.kind !== 'run') {
      expect(decision.kind).toBe('end');
      return run;
    }
    machine.run(decision.task, decision.fuel, run.state);
  }
}

const MAP = 'mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)';

describe('actors', () => {
  test('a line without actor belongs to the first process, also after a kernel thread', () => {
    const run = runAll(`kernel: settle()\np = ${MAP}\nstore(p, 1)\n`);
    expect([...run.state.actors.keys()]).toEqual(['kernel', 'A']);
  });

  test('a vfork in a race waits for its child after the race', () => {
    const run = runAll(
      `A: p = ${MAP}\nrace {\n  A: B = vfork()\n  kernel: settle()\n}\nB: store(p, 1)\nB: exit(0)\nA: load(p) = 1\n`,
    );
    expect(run.reports()).toEqual([]);
    expect(run.state.waiting).toEqual([]);
  });

  test('a process may be called what it likes', () => {
    const run = runAll(`kid: p = ${MAP}\nkid: store(p, 1)\n`);
    expect([...run.state.actors.keys()]).toEqual(['kid']);
  });
});
