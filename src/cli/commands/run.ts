/** `rmapdbg run FILE…`: headless. Runs scenarios, checks their expectations, prints what was found. */
import { readFileSync } from 'node:fs';
import type { ArgumentsCamelCase, CommandModule } from 'yargs';
import { openSession } from '../../debugger/open.ts';
import type { Session } from '../../debugger/session.ts';
import { formatScenarioError } from '../../scenario/errors.ts';
import { parseSchedule } from '../../sim/schedule.ts';
import { EXIT_FOUND, EXIT_OK, EXIT_USAGE } from '../exit-codes.ts';
import { readScenarioText } from '../files.ts';
import { type CommonOptions, withScenario } from '../options.ts';
import { colorLevel, writeJson, writeLines } from '../output.ts';
import { doing } from '../report.ts';

interface RunArguments extends CommonOptions {
  readonly files: string[];
  readonly command: readonly string[] | undefined;
}

/** Statements between two looks at the clock and the progress line. */
const slice = 200_000;

export const runCommand: CommandModule<object, RunArguments> = {
  command: 'run <files..>',
  describe: 'run scenarios without a screen: check expectations, report findings and divergences',
  builder: (argv) =>
    withScenario(argv)
      .positional('files', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'scenarios or strace logs',
      })
      .option('command', {
        alias: 'x',
        type: 'string',
        array: true,
        describe: 'debugger commands: a line, or a file of lines (as gdb -batch -x)',
      })
      .example('$0 run scenarios/tour/1-fork-and-cow.mm', 'run the tour')
      .example(
        "$0 run FILE -x 'break rmap:walk_visit' -x continue -x 'info walk'",
        'drive it like gdb',
      ) as never,
  handler: runHandler,
};

async function runHandler(args: ArgumentsCamelCase<RunArguments>): Promise<void> {
  let code = EXIT_OK;
  for (const file of args.files) {
    const result = await runFile(file, args);
    code = Math.max(code, result);
  }
  process.exitCode = code;
}

function scriptLines(commands: readonly string[]): string[] {
  return commands.flatMap((command) => {
    try {
      return readFileSync(command, 'utf8').split('\n');
    } catch {
      return [command];
    }
  });
}

async function runFile(file: string, args: RunArguments): Promise<number> {
  const text = readScenarioText(file);
  const schedule = args.schedule === undefined ? undefined : parseSchedule(args.schedule);
  const session = openSession(text, {
    file,
    touch: args.touch,
    stopOnFinding: false,
    ...(args.kernel === undefined ? {} : { kernel: args.kernel }),
    ...(args.patch === undefined ? {} : { patch: args.patch }),
    ...(args.without === undefined ? {} : { without: args.without }),
    ...(args.seed === undefined ? {} : { seed: args.seed }),
    ...(schedule === undefined ? {} : { schedule }),
  });
  if ('errors' in session) {
    for (const error of session.errors) {
      if (args.json) writeJson({ type: 'error', ...error, message: error.message });
      else process.stderr.write(`${formatScenarioError(error)}\n`);
    }
    return EXIT_USAGE;
  }
  doing.file = file;
  doing.kernel = session.kernel;
  const color = colorLevel(args.color, process.stdout) !== 'none';
  const flush = (): void => {
    const lines = session.takeOutput();
    if (args.json) for (const line of lines) writeJson({ type: 'output', ...line });
    else writeLines(args.quiet ? lines.filter((l) => l.role === 'error') : lines, color);
  };
  if (args.command !== undefined && args.command.length > 0) {
    for (const line of scriptLines(args.command)) {
      if (/^\s*(quit|q|exit)\s*$/.test(line)) break;
      doing.commands.push(line);
      session.execute(line);
      await pumpToStop(session);
      flush();
    }
    flush();
    return summary(session, args);
  }
  session.execute('continue');
  await pumpToStop(session);
  // A breakpoint in the scenario does not end a headless run.
  while (!session.finished) {
    flush();
    session.execute('continue');
    await pumpToStop(session);
  }
  flush();
  return summary(session, args);
}

async function pumpToStop(session: Session): Promise<void> {
  let interrupts = 0;
  const onInterrupt = (): void => {
    interrupts++;
    if (interrupts > 1) process.exit(130);
    session.interrupt();
  };
  process.on('SIGINT', onInterrupt);
  const progress = process.stderr.isTTY === true;
  let shown = false;
  while (session.pump(slice) === 'running') {
    if (progress) {
      const { step, statement } = session.status();
      process.stderr.write(`\r\x1b[Kstep ${step}, line ${statement.line}`);
      shown = true;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (shown) process.stderr.write('\r\x1b[K');
  process.off('SIGINT', onInterrupt);
}

function summary(session: Session, args: RunArguments): number {
  const status = session.status();
  const reports = session.run.reports();
  const { trace } = session.run.scenario;
  const skipped = trace === undefined ? {} : Object.fromEntries(trace.skipped);
  const divergences = reports.filter((r) => r.kind === 'divergence').length;
  const unmet = reports.length - divergences + session.failures;
  if (args.json) {
    for (const report of reports) writeJson({ type: report.kind, ...report });
    for (const finding of status.findings) writeJson({ type: 'finding', ...finding });
    writeJson({
      type: 'summary',
      file: status.file,
      kernel: status.kernel,
      steps: status.lastStep,
      operations: session.machine.operations.length,
      findings: status.findings.length,
      divergences,
      failedExpectations: unmet,
      skipped,
      traceHash: (session.machine.traceHash() >>> 0).toString(16).padStart(8, '0'),
    });
  } else {
    for (const report of reports) {
      process.stdout.write(
        `${status.file}:${report.line}: ${report.kind}: ${report.text} (step ${report.step})\n`,
      );
    }
    for (const finding of status.findings) {
      process.stdout.write(
        `finding: ${finding.kind}: ${finding.text} (step ${finding.step}, ${finding.task || 'no task'})\n`,
      );
      for (const line of finding.evidence.join('\n').split('\n').slice(0, 12)) {
        process.stdout.write(`    ${line}\n`);
      }
    }
    for (const note of trace?.notes ?? []) {
      process.stdout.write(`${status.file}:${note.line}: note: ${note.message}\n`);
    }
    if (!args.quiet) {
      const calls = Object.entries(skipped).sort((a, b) => b[1] - a[1]);
      const total = calls.reduce((sum, [, n]) => sum + n, 0);
      process.stdout.write(
        `${status.file}: ${status.kernel}: ${session.machine.operations.length} operations, ${status.lastStep} steps, ` +
          `${status.findings.length} findings, ${divergences} divergences, ${unmet} failed expectations` +
          `${total === 0 ? '' : `; ${total} calls outside memory and processes skipped`}\n`,
      );
    }
  }
  return status.findings.length + divergences + unmet > 0 ? EXIT_FOUND : EXIT_OK;
}
