/** Drives a booted machine in tests: one call an operation, run to its end. */
import { bootMachine, spawnInit, spawnKernelThread } from '../../src/linux/boot.ts';
import { selectKernel } from '../../src/linux/kernels.ts';
import { cpu, ENDLESS } from '../../src/sim/cpu.ts';
import type { Machine, Operation } from '../../src/sim/machine.ts';
import { allStructs, GRANULE } from '../../src/sim/struct.ts';

export interface TestOptions {
  readonly memoryPages?: number;
  readonly swapPages?: number;
  readonly recording?: boolean;
  readonly maxMapCount?: number;
  readonly swapOnDisk?: boolean;
}

export function bootTest(options: TestOptions = {}): Machine {
  return bootMachine({
    kernel: selectKernel('v6.18'),
    memoryPages: options.memoryPages ?? 4096,
    swapPages: options.swapPages ?? 256,
    swapOnDisk: options.swapOnDisk ?? false,
    recording: options.recording ?? true,
    ...(options.maxMapCount === undefined ? {} : { maxMapCount: options.maxMapCount }),
  });
}

export type Args = readonly unknown[];
type Options = Readonly<Record<string, unknown>>;

export function operation(name: string, args: Args = [], options?: Options): Operation {
  return {
    name,
    args,
    ...(options === undefined ? {} : { options }),
    text: `${name}(${args.join(', ')})`,
    line: 0,
  };
}

/** Begins an operation without running it. */
export function begin(
  m: Machine,
  task: number,
  name: string,
  args: Args = [],
  options?: Options,
): void {
  m.begin(task, operation(name, args, options));
}

/** Runs an operation to its end and returns its result. Throws when it blocks or oopses. */
export function call(
  m: Machine,
  task: number,
  name: string,
  args: Args = [],
  options?: Options,
): number {
  begin(m, task, name, args, options);
  const end = m.run(task, ENDLESS, null);
  if (end !== 'done') {
    throw new Error(
      `${name}: ${end}; ${m
        .findings()
        .map((f) => `${f.kind}: ${f.text} ${f.evidence.join(' ')}`)
        .join('\n')}`,
    );
  }
  return m.block(task).result;
}

/** `kind: text` of all findings. */
export function findings(m: Machine): string[] {
  return m.findings().map((f) => `${f.kind}: ${f.text}`);
}

/** Runs pending RCU callbacks and drains the LRU batch, which holds references. */
export function settle(m: Machine): void {
  call(m, spawnKernelThread(m, 'rcu'), 'settle');
}

/** Live objects of every struct type that has any, but tasks of the machine (they are never freed). */
export function liveObjectCounts(m: Machine): Record<string, number> {
  m.activate();
  const counts: Record<string, number> = {};
  for (const info of allStructs()) {
    // sim/struct.ts: two words per cache after the allocator granule, the second counts live objects.
    const live = cpu.heap[GRANULE + (info.id - 1) * 2 + 1] as number;
    if (live !== 0 && info.name !== 'sim_task') counts[info.name] = live;
  }
  return counts;
}

export { spawnInit, spawnKernelThread };
