/** `rmapdbg conform RECORDING…`: does the simulated kernel what a real one was recorded to do? */
import path from 'node:path';
import type { ArgumentsCamelCase, CommandModule } from 'yargs';
import type { Level } from '../../conform/compare.ts';
import {
  type Conformance,
  conform,
  describeStop,
  printStep,
  runProgram,
} from '../../conform/conform.ts';
import { RecordingError } from '../../conform/json.ts';
import { hasResults, type Recording } from '../../conform/program.ts';
import { EXIT_FOUND, EXIT_OK } from '../exit-codes.ts';
import { tellFailure } from '../failure.ts';
import { UsageError } from '../files.ts';
import { type CommonOptions, withOutput } from '../options.ts';
import { writeJson } from '../output.ts';
import { readRecording, recordingFiles } from '../recordings.ts';
import { doing } from '../report.ts';

interface ConformArguments extends Pick<CommonOptions, 'json' | 'quiet'> {
  readonly recordings: string[];
  readonly level: Level;
  readonly print: boolean;
}

export const conformCommand: CommandModule<object, ConformArguments> = {
  command: 'conform <recordings..>',
  describe:
    'replay recordings of a real 6.18 kernel on v6.18 and report the first difference of each',
  builder: (argv) =>
    withOutput(argv)
      .positional('recordings', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'recordings (*.jsonl, *.jsonl.gz) or folders of them',
      })
      .option('level', {
        choices: ['core', 'full'] as const,
        default: 'full' as const,
        describe:
          'what must be equal; core: results, VMAs, anon_vma graph, page tables, pages; full: also ' +
          'counts, tree orders, flags, which object survives',
      })
      .option('print', {
        type: 'boolean',
        default: false,
        describe:
          'compare nothing; write the states of the simulated kernel in the recording format ' +
          '(a program without results is always printed)',
      })
      .example('$0 conform test/conform/recordings', 'all recordings that come with the sources')
      .example('$0 conform --print cow-1.jsonl.gz > out.jsonl', 'for any other comparer') as never,
  handler: conformHandler,
};

function conformHandler(args: ArgumentsCamelCase<ConformArguments>): void {
  const totals = new Map<string, Totals>();
  let code = EXIT_OK;
  const files = recordingFiles(args.recordings);
  if (args.print && files.length > 1) throw new UsageError('--print takes one recording');
  for (const file of files) {
    doing.file = file;
    try {
      const recording = readRecording(file);
      const here = inFile(file, () =>
        args.print || !hasResults(recording)
          ? print(file, recording)
          : judge(file, recording, args, totals),
      );
      code = Math.max(code, here);
    } catch (error) {
      // One bad file does not keep the others from being judged.
      code = Math.max(code, tellFailure(error, args.json));
    }
  }
  if (totals.size > 0) writeTotals(totals, args);
  process.exitCode = code;
}

/** What is wrong with a recording is found when its operations are run, too. */
function inFile<T>(file: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof RecordingError) throw new UsageError(`${file}: ${error.message}`);
    throw error;
  }
}

function print(file: string, recording: Recording): number {
  writeJson(recording.header.text);
  for (const [operation, step] of runProgram(recording)) {
    if ('kind' in step) {
      const op = JSON.stringify(operation.op);
      process.stderr.write(`${file}: operation ${operation.index} ${op}\n`);
      process.stderr.write(`  ${step.kind}: ${step.text}\n`);
      return EXIT_FOUND;
    }
    writeJson(printStep(operation, step));
  }
  return EXIT_OK;
}

function judge(
  file: string,
  recording: Recording,
  args: ConformArguments,
  totals: Map<string, Totals>,
): number {
  const found = conform(recording);
  const { profile } = recording.header;
  add(totals, profile, found);
  const outcome = found[args.level];
  const name = path.basename(file);
  if (args.json) {
    const { operations, core, full } = found;
    writeJson({ type: 'recording', file, profile, operations, core, full });
  } else if (outcome.stop !== null) {
    const [first, ...rest] = describeStop(recording, outcome);
    process.stdout.write(`${name}: ${first}\n${rest.map((line) => `${line}\n`).join('')}`);
  }
  return outcome.stop === null ? EXIT_OK : EXIT_FOUND;
}

// ---------------------------------------------------------------- the table

interface Totals {
  recordings: number;
  /** Recordings that conform to their end. */
  core: number;
  full: number;
  operations: number;
  /** Operations before the first difference. */
  coreOperations: number;
  fullOperations: number;
  /** Recordings that end at something that is not simulated. */
  unsupported: number;
}

function add(totals: Map<string, Totals>, profile: string, found: Conformance): void {
  const none: Totals = {
    recordings: 0,
    core: 0,
    full: 0,
    operations: 0,
    coreOperations: 0,
    fullOperations: 0,
    unsupported: 0,
  };
  const sum = totals.get(profile) ?? none;
  totals.set(profile, {
    recordings: sum.recordings + 1,
    core: sum.core + Number(found.core.stop === null),
    full: sum.full + Number(found.full.stop === null),
    operations: sum.operations + found.operations,
    coreOperations: sum.coreOperations + found.core.equal,
    fullOperations: sum.fullOperations + found.full.equal,
    unsupported: sum.unsupported + Number(found.core.stop?.kind === 'unsupported'),
  });
}

const columns: readonly (readonly [title: string, value: (sum: Totals) => number])[] = [
  ['recordings', (sum) => sum.recordings],
  ['core', (sum) => sum.core],
  ['full', (sum) => sum.full],
  ['operations', (sum) => sum.operations],
  ['equal core', (sum) => sum.coreOperations],
  ['equal full', (sum) => sum.fullOperations],
  ['unsupported', (sum) => sum.unsupported],
];

function tableRow(name: string, cells: readonly string[]): string {
  const padded = cells.map((cell, i) => cell.padStart((columns[i]?.[0].length ?? 0) + 2));
  return `${name.padEnd(12)}${padded.join('')}\n`;
}

function writeTotals(totals: Map<string, Totals>, args: ConformArguments): void {
  const rows = [...totals].sort(([a], [b]) => (a < b ? -1 : 1));
  if (args.json) {
    for (const [profile, sum] of rows) writeJson({ type: 'profile', profile, ...sum });
    return;
  }
  if (args.quiet) return;
  const numbers = (sums: readonly Totals[]): string[] =>
    columns.map(([, value]) => String(sums.reduce((all, sum) => all + value(sum), 0)));
  process.stdout.write(
    tableRow(
      'profile',
      columns.map(([title]) => title),
    ),
  );
  for (const [profile, sum] of rows) process.stdout.write(tableRow(profile, numbers([sum])));
  if (rows.length > 1) process.stdout.write(tableRow('all', numbers([...totals.values()])));
}
