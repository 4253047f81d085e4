/** `rmapdbg [FILE]`: the terminal user interface; without FILE the scenario picker. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import type { ArgumentsCamelCase, CommandModule } from 'yargs';
import { openSession } from '../../debugger/open.ts';
import type { Session } from '../../debugger/session.ts';
import { formatScenarioError } from '../../scenario/errors.ts';
import { parseSchedule } from '../../sim/schedule.ts';
import { pickScenario, runTui } from '../../tui/run.tsx';
import { withTerminal } from '../../tui/terminal.ts';
import type { ThemeName } from '../../tui/theme.ts';
import { EXIT_OK, EXIT_USAGE } from '../exit-codes.ts';
import { readScenarioText, sessionFiles, UsageError } from '../files.ts';
import { runLinear } from '../linear.ts';
import { type CommonOptions, paramsOf, withScenario } from '../options.ts';
import { colorLevel } from '../output.ts';
import { doing } from '../report.ts';
import { shippedScenarios } from '../shipped.ts';

interface TuiArguments extends CommonOptions {
  readonly file: string | undefined;
  readonly theme: ThemeName;
  readonly linear: boolean | undefined;
}

export const tuiCommand: CommandModule<object, TuiArguments> = {
  command: '$0 [file]',
  describe: 'debug a scenario or an strace log in the terminal',
  builder: (argv) =>
    withScenario(argv)
      .positional('file', {
        type: 'string',
        describe: 'scenario (*.mm) or strace -f log; without it, pick one',
      })
      .option('theme', {
        choices: ['dark', 'light', 'high-contrast', 'colour-blind'] as const,
        default: 'dark' as const,
        describe: 'colours of the screen',
      })
      .option('linear', {
        type: 'boolean',
        describe: 'lines instead of a screen, for a screen reader; also INK_SCREEN_READER=true',
      })
      .example('$0', 'pick a scenario; the tour comes first')
      .example('$0 trace.strace --touch all', 'step through a recorded program') as never,
  handler: tuiHandler,
};

function stateFile(name: string): string {
  const base = process.env.XDG_STATE_HOME ?? path.join(homedir(), '.local', 'state');
  return path.join(base, 'rmapdbg', name);
}

function readState(name: string): string[] {
  try {
    return readFileSync(stateFile(name), 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch {
    return [];
  }
}

/** History is a convenience: a home that cannot be written loses it silently. */
function appendState(name: string, line: string): void {
  try {
    mkdirSync(path.dirname(stateFile(name)), { recursive: true });
    appendFileSync(stateFile(name), `${line}\n`);
  } catch {
    // Nothing to do: the session itself goes on.
  }
}

function open(file: string, args: ArgumentsCamelCase<TuiArguments>): Session {
  const schedule = args.schedule === undefined ? undefined : parseSchedule(args.schedule);
  const session = openSession(readScenarioText(file), {
    file,
    files: sessionFiles,
    params: paramsOf(args.param),
    ...(args.touch === undefined ? {} : { touch: args.touch }),
    ...(args.kernel === undefined ? {} : { kernel: args.kernel }),
    ...(args.patch === undefined ? {} : { patch: args.patch }),
    ...(args.without === undefined ? {} : { without: args.without }),
    ...(args.seed === undefined ? {} : { seed: args.seed }),
    ...(schedule === undefined ? {} : { schedule }),
  });
  if ('errors' in session) {
    throw new UsageError(session.errors.map(formatScenarioError).join('\n'));
  }
  doing.file = file;
  doing.kernel = session.kernel;
  // As gdb's start: the first statement of the first operation is about to run.
  session.execute('step');
  while (session.pump(1000) === 'running') {}
  // Where it stopped is on the screen; what went wrong must be told.
  for (const line of session.takeOutput()) {
    if (line.role === 'error') session.print(line.text, 'error');
  }
  return session;
}

async function tuiHandler(args: ArgumentsCamelCase<TuiArguments>): Promise<void> {
  const { stdin, stdout } = process;
  if (stdin.isTTY !== true || stdout.isTTY !== true) {
    throw new UsageError('the screen needs a terminal; `rmapdbg run FILE` works without one');
  }
  const screen = {
    theme: args.theme,
    color: colorLevel(args.color, stdout),
    ascii: args.ascii || !isUtf8(),
  };
  // Bad input is told before the screen is taken.
  const given = args.file === undefined ? null : open(args.file, args);
  if (args.linear ?? process.env.INK_SCREEN_READER === 'true') {
    if (given === null) throw new UsageError('lines need a FILE: `rmapdbg scenarios` lists them');
    await runLinear(given, stdin, stdout);
    process.exit(EXIT_OK);
  }
  await withTerminal({ stdin, stdout }, async (terminal) => {
    let session = given;
    if (session === null) {
      const items = shippedScenarios().map((s) => ({
        name: s.path,
        title: s.title,
        about: s.about,
      }));
      const picked = await pickScenario(items, terminal, screen);
      if (picked === null) return;
      session = open(picked, args);
    }
    await runTui(session, terminal, {
      ...screen,
      showHints: readState('seen').length === 0,
      loadHistory: () => readState('history').slice(-1000),
      appendHistory: (line) => {
        doing.commands.push(line);
        appendState('history', line);
      },
      saveScreen: (file, text) => writeFileSync(file, text),
      hintsDismissed: () => appendState('seen', 'hints'),
    });
  });
  // Timers of the component library may hold the process; everything is written by now.
  process.exit(process.exitCode === EXIT_USAGE ? EXIT_USAGE : EXIT_OK);
}

function isUtf8(): boolean {
  const { env } = process;
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  return locale === '' || /utf-?8/i.test(locale);
}
