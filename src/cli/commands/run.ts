/** `rmapdbg run FILE…`: headless. Runs scenarios, checks their expectations, prints what was found. */
import type { ArgumentsCamelCase, CommandModule } from 'yargs';
import { openSession } from '../../debugger/open.ts';
import { formatScenarioError } from '../../scenario/errors.ts';
import { parseSchedule } from '../../sim/schedule.ts';
import { EXIT_OK, EXIT_USAGE } from '../exit-codes.ts';
import { tellFailure } from '../failure.ts';
import { readScenarioText, sessionFiles } from '../files.ts';
import { Headless } from '../headless.ts';
import { type CommonOptions, paramsOf, withScenario } from '../options.ts';
import { writeJson } from '../output.ts';
import { doing } from '../report.ts';
import { isQuit, readScript, type Script } from '../script.ts';
import { summarise } from '../summary.ts';
import { viewOf } from '../views.ts';

interface RunArguments extends CommonOptions {
  readonly files: string[];
  readonly command: readonly string[] | undefined;
}

/** Larger texts take a while to read: something is said before. */
const LARGE = 4_000_000;

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
        requiresArg: true,
        describe: 'debugger commands: a line, or a file of lines (as gdb -batch -x)',
      })
      .example('$0 run scenarios/tour/1-fork-and-cow.mm', 'run the tour')
      .example(
        "$0 run FILE -x 'break rmap:walk_visit' -x continue -x 'info walk'",
        'drive it like gdb',
      ) as never,
  handler: runHandler,
};

/** What one file came to. */
interface Outcome {
  readonly code: number;
  readonly interrupted: boolean;
}

async function runHandler(args: ArgumentsCamelCase<RunArguments>): Promise<void> {
  const scripts = args.command?.map(readScript);
  let code = EXIT_OK;
  for (const file of args.files) {
    let outcome: Outcome;
    try {
      outcome = await runFile(file, scripts, args);
    } catch (error) {
      // One bad file does not keep the others from being run.
      outcome = { code: tellFailure(error, args.json), interrupted: false };
    }
    code = Math.max(code, outcome.code);
    if (outcome.interrupted) break;
  }
  process.exitCode = code;
}

async function runFile(
  file: string,
  scripts: readonly Script[] | undefined,
  args: RunArguments,
): Promise<Outcome> {
  doing.file = file;
  const text = readScenarioText(file);
  const says = text.length > LARGE && process.stderr.isTTY === true && !args.json;
  if (says) process.stderr.write(`\r\x1b[Kreading ${file}`);
  const schedule = args.schedule === undefined ? undefined : parseSchedule(args.schedule);
  const session = openSession(text, {
    file,
    ...(args.touch === undefined ? {} : { touch: args.touch }),
    stopOnFinding: false,
    files: sessionFiles,
    forwardOnly: scripts === undefined,
    params: paramsOf(args.param),
    ...(args.kernel === undefined ? {} : { kernel: args.kernel }),
    ...(args.patch === undefined ? {} : { patch: args.patch }),
    ...(args.without === undefined ? {} : { without: args.without }),
    ...(args.seed === undefined ? {} : { seed: args.seed }),
    ...(schedule === undefined ? {} : { schedule }),
  });
  if (says) process.stderr.write('\r\x1b[K');
  if ('errors' in session) {
    for (const error of session.errors) {
      if (args.json) writeJson({ type: 'error', ...error, message: error.message });
      else process.stderr.write(`${formatScenarioError(error)}\n`);
    }
    return { code: EXIT_USAGE, interrupted: false };
  }
  doing.kernel = session.kernel;
  const run = new Headless(session, args);
  if (scripts === undefined) await runToEnd(run);
  else await runScripts(run, scripts, args.json);
  return { code: summarise(run, args), interrupted: run.interrupted };
}

/** A breakpoint in the scenario does not end a headless run. */
async function runToEnd(run: Headless): Promise<void> {
  do {
    await run.execute('continue');
  } while (!run.session.finished && !run.interrupted);
}

async function runScripts(run: Headless, scripts: readonly Script[], json: boolean): Promise<void> {
  for (const script of scripts) {
    for (const line of script) {
      if (isQuit(line)) return;
      doing.commands.push(line.text);
      const mistakes = run.session.mistakes;
      const view = json ? viewOf(run.session, line.text) : null;
      if (view !== null) writeJson({ type: 'view', ...view });
      else await run.execute(line.text);
      if (run.interrupted) return;
      if (run.session.mistakes > mistakes && line.at !== '') {
        const message = `${line.at}the rest of this file is not executed`;
        if (json) writeJson({ type: 'error', message });
        else process.stderr.write(`${message}\n`);
        break;
      }
    }
  }
}
