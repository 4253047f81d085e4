/** `rmapdbg compare FILE`: what one workload costs on several kernels. */
import type { ArgumentsCamelCase, CommandModule } from 'yargs';
import {
  type ComparedRun,
  compareKernels,
  kernelsToCompare,
  metricNamed,
  metrics,
  parseSweep,
  type Sweep,
} from '../../debugger/compare.ts';
import { compareCsv, compareTables, sweepText } from '../../debugger/compare-text.ts';
import { openSession } from '../../debugger/open.ts';
import { kernelNames } from '../../linux/kernels.ts';
import { formatScenarioError } from '../../scenario/errors.ts';
import { loadScenario } from '../../scenario/load.ts';
import { EXIT_BOUND, EXIT_FOUND, EXIT_OK, EXIT_USAGE } from '../exit-codes.ts';
import { readScenarioText, UsageError } from '../files.ts';
import { type CommonOptions, paramsOf, withScenario } from '../options.ts';
import { writeJson } from '../output.ts';
import { doing } from '../report.ts';

interface CompareArguments extends CommonOptions {
  readonly file: string;
  readonly kernels: readonly string[] | undefined;
  readonly sweep: string | undefined;
  readonly metric: readonly string[] | undefined;
  readonly csv: boolean;
}

const DEFAULT_METRICS: readonly string[] = ['visits', 'fork_steps', 'bytes'];

export const compareCommand: CommandModule<object, CompareArguments> = {
  command: 'compare <file>',
  describe: 'what one workload costs on several kernels: walks, locks, forks, bytes',
  builder: (argv) =>
    withScenario(argv)
      .positional('file', {
        type: 'string',
        demandOption: true,
        describe: 'scenario or strace log',
      })
      .option('kernels', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: "kernels by name, with commas between (default: the scenario's, else all)",
      })
      .option('sweep', {
        type: 'string',
        requiresArg: true,
        describe: 'run with many values of a parameter: N=1..256, N=0..64/8, N=1,5,10',
      })
      .option('metric', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: `with --sweep, what to draw (default: ${DEFAULT_METRICS.join(', ')})`,
      })
      .option('csv', { type: 'boolean', default: false, describe: 'one line a run, all numbers' })
      .example('$0 compare scenarios/seeds/fork-chain.mm', 'a table over its kernels')
      .example('$0 compare FILE --sweep N=1..256', 'growth curves over a parameter of it') as never,
  handler: compareHandler,
};

async function compareHandler(args: ArgumentsCamelCase<CompareArguments>): Promise<void> {
  const sweep = sweepOf(args);
  if (args.metric !== undefined && sweep === null) {
    throw new UsageError('--metric chooses what --sweep draws, and there is no --sweep');
  }
  const names = namesOf(args.metric) ?? DEFAULT_METRICS;
  for (const name of names) {
    if (metricNamed(name) !== undefined) continue;
    const known = metrics.map((each) => each.name).join(', ');
    throw new UsageError(`no metric named ${name}; there is ${known}`);
  }
  if (args.csv && args.json) throw new UsageError('--csv or --json, not both');
  if (args.kernel !== undefined) throw new UsageError('compare takes --kernels, not --kernel');
  doing.file = args.file;
  const text = readScenarioText(args.file);
  const params = paramsOf(args.param);
  if (sweep !== null && params.has(sweep.param)) {
    throw new UsageError(`--param ${sweep.param} and --sweep ${sweep.param}: which?`);
  }
  const { scenario, errors } = loadScenario(text, {
    file: args.file,
    params,
    kernels: kernelNames(),
  });
  if (errors.length > 0) {
    for (const error of errors) {
      if (args.json) writeJson({ type: 'error', ...error, message: error.message });
      else process.stderr.write(`${formatScenarioError(error)}\n`);
    }
    process.exitCode = EXIT_USAGE;
    return;
  }
  if (args.schedule !== undefined) {
    throw new UsageError('a schedule belongs to one kernel: compare takes --seed');
  }
  const kernels = kernelsToCompare(
    namesOf(args.kernels) ?? [],
    scenario.header.kernels?.kernels.map((word) => word.text) ?? [],
    kernelNames(),
  );
  const work = compareKernels(
    (kernel, more, judge) =>
      openSession(text, {
        file: args.file,
        kernel,
        params: new Map([...params, ...more]),
        judge,
        stopOnFinding: false,
        ...(args.touch === undefined ? {} : { touch: args.touch }),
        ...(args.patch === undefined ? {} : { patch: args.patch }),
        ...(args.without === undefined ? {} : { without: args.without }),
        ...(args.seed === undefined ? {} : { seed: args.seed }),
      }),
    kernels,
    sweep,
  );
  const total = kernels.length * (sweep?.values.length ?? 1);
  const { runs, interrupted } = await runAll(work, total, args);
  write(runs, sweep, names, args);
  process.exitCode = exitCode(runs, interrupted);
}

function namesOf(words: readonly string[] | undefined): readonly string[] | undefined {
  const names = words?.flatMap((word) => word.split(',')).filter((name) => name !== '');
  return names === undefined ? undefined : [...new Set(names)];
}

function sweepOf(args: CompareArguments): Sweep | null {
  if (args.sweep === undefined) return null;
  const sweep = parseSweep(args.sweep);
  if (sweep !== null) return sweep;
  throw new UsageError(`--sweep takes N=1..256, N=0..64/8 or N=1,5,10, not ${args.sweep}`);
}

/** To the end, or to Ctrl-C: then what is finished. */
async function runAll(
  work: ReturnType<typeof compareKernels>,
  total: number,
  args: CompareArguments,
): Promise<{ readonly runs: readonly ComparedRun[]; readonly interrupted: boolean }> {
  const progress = process.stderr.isTTY === true && !args.json;
  let interrupted = false;
  const onInterrupt = (): void => {
    // A second Ctrl-C does not wait.
    if (interrupted) process.exit(130);
    interrupted = true;
  };
  process.on('SIGINT', onInterrupt);
  try {
    for (;;) {
      const { value: runs, done } = work.next();
      if (done === true || interrupted) return { runs, interrupted };
      if (progress) process.stderr.write(`\r\x1b[K${runs.length} of ${total} runs`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    if (progress) process.stderr.write('\r\x1b[K');
    process.off('SIGINT', onInterrupt);
  }
}

function write(
  runs: readonly ComparedRun[],
  sweep: Sweep | null,
  names: readonly string[],
  args: CompareArguments,
): void {
  if (args.json) {
    for (const run of runs) {
      const numbers = run.costs;
      const byName = numbers && Object.fromEntries(metrics.map((m) => [m.name, m.of(numbers)]));
      writeJson({
        type: 'run',
        ...(sweep === null ? {} : { param: sweep.param }),
        ...run,
        metrics: byName,
      });
    }
    return;
  }
  const lines: string[] = [];
  if (args.csv) lines.push(...compareCsv(runs, sweep?.param ?? ''));
  else if (sweep === null) lines.push(...compareTables(runs));
  else {
    const size = { width: Math.min(72, (process.stdout.columns ?? 80) - 14), height: 16 };
    for (const name of names) lines.push(...sweepText(sweep.param, name, runs, size), '');
  }
  process.stdout.write(`${lines.join('\n')}\n`);
}

function exitCode(runs: readonly ComparedRun[], interrupted: boolean): number {
  if (interrupted) return EXIT_BOUND;
  if (runs.every((run) => run.costs === null)) return EXIT_USAGE;
  return runs.some((run) => run.findings.length > 0 || run.failed > 0) ? EXIT_FOUND : EXIT_OK;
}
