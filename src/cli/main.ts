/** The command line. One file per command in commands/; this one only assembles them. */
import yargs from 'yargs';
import { InternalError } from '../base/assert.ts';
import { commandsCommand } from './commands/commands.ts';
import { eventsCommand } from './commands/events.ts';
import { kernelsCommand } from './commands/kernels.ts';
import { runCommand } from './commands/run.ts';
import { scenariosCommand } from './commands/scenarios.ts';
import { tuiCommand } from './commands/tui.ts';
import { EXIT_INTERNAL, EXIT_USAGE } from './exit-codes.ts';
import { UsageError } from './files.ts';
import { writeReport } from './report.ts';

/** Runs the command line; sets process.exitCode. */
async function main(args: readonly string[]): Promise<void> {
  const parser = yargs([...args])
    .scriptName('rmapdbg')
    .usage('$0 [FILE]  debug a scenario, an strace log or a saved session in the terminal')
    .parserConfiguration({ 'populate--': true, 'duplicate-arguments-array': false })
    .strict()
    .version(VERSION)
    .help()
    .alias('help', 'h')
    .completion('completion', 'print a shell completion script')
    .command(tuiCommand)
    .command(runCommand)
    .command(kernelsCommand)
    .command(scenariosCommand)
    .command(eventsCommand)
    .command(commandsCommand)
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message, error) => {
      if (error !== undefined && error !== null) throw error;
      throw new UsageError(`${message}; rmapdbg --help shows the usage`);
    });
  await parser.parseAsync();
}

function fail(error: unknown): void {
  const name = error instanceof Error ? error.name : '';
  if (error instanceof UsageError || name === 'KernelError' || name === 'ScheduleError') {
    process.stderr.write(`rmapdbg: ${(error as Error).message}\n`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  const report = writeReport(error);
  const text = error instanceof InternalError ? error.message : String(error);
  process.stderr.write(`rmapdbg: internal error: ${text}\n`);
  process.stderr.write(`rmapdbg: this is a fault of rmapdbg; the report is in ${report}\n`);
  process.exitCode = EXIT_INTERNAL;
}

// A reader that has seen enough (`| head`) is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await main(process.argv.slice(2));
} catch (error) {
  fail(error);
}
