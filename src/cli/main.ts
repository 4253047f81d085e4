/** The command line. One file per command in commands/; this one only assembles them. */
import yargs from 'yargs';
import { commandsCommand } from './commands/commands.ts';
import { compareCommand } from './commands/compare.ts';
import { conformCommand } from './commands/conform.ts';
import { eventsCommand } from './commands/events.ts';
import { kernelsCommand } from './commands/kernels.ts';
import { runCommand } from './commands/run.ts';
import { scenariosCommand } from './commands/scenarios.ts';
import { tuiCommand } from './commands/tui.ts';
import { EXIT_OK } from './exit-codes.ts';
import { tellFailure } from './failure.ts';
import { refuseMissing, UsageError } from './files.ts';

/** What no single option can refuse. */
function checkTogether(argv: Readonly<Record<string, unknown>>): true {
  // Of two values neither is more meant than the other.
  for (const name of ['kernel', 'seed', 'schedule', 'touch', 'color', 'theme', 'level']) {
    if (Array.isArray(argv[name])) throw new UsageError(`--${name} is given twice`);
  }
  // Without a command it is FILE that names what to open, or a command mistyped.
  if (typeof argv.file === 'string') refuseMissing(argv.file);
  return true;
}

/** Runs the command line; sets process.exitCode. */
async function main(args: readonly string[]): Promise<void> {
  const parser = yargs([...args])
    .scriptName('rmapdbg')
    .usage('$0 [FILE]  debug a scenario or an strace log in the terminal')
    // One value per option, so that `-x CMD FILE` leaves FILE alone.
    .parserConfiguration({ 'populate--': true, 'greedy-arrays': false })
    .strict()
    .version(VERSION)
    .help()
    .alias('help', 'h')
    .completion('completion', 'print a shell completion script')
    .command(tuiCommand)
    .command(runCommand)
    .command(compareCommand)
    .command(conformCommand)
    .command(kernelsCommand)
    .command(scenariosCommand)
    .command(eventsCommand)
    .command(commandsCommand)
    .check(checkTogether)
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message, error) => {
      // yargs tells some usage errors by an exception of its own.
      if (error !== undefined && error !== null && error.name !== 'YError') throw error;
      throw new UsageError(`${message}; rmapdbg --help shows the usage`);
    });
  if (args[0] === 'completion') {
    parser.showCompletionScript();
    return;
  }
  await parser.parseAsync();
}

// A reader that has seen enough (`| head`) is not an error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_OK);
    throw error;
  });
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const args = process.argv.slice(2);
  process.exitCode = tellFailure(error, args.includes('--json'));
}
