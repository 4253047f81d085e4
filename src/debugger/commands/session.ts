/** Help, settings, and starting again. */
import { kernelNames } from '../../linux/kernels.ts';
import { scheduleOf } from '../../scenario/schedule-of.ts';
import { printSchedule } from '../../sim/schedule.ts';
import { CommandError, type CommandGroup, type CommandSpec } from '../command-table.ts';
import { screenText } from '../compare-positions.ts';
import { compareTables } from '../compare-text.ts';
import type { Session } from '../session.ts';
import type { SessionFiles } from '../session-options.ts';
import { statementVerb } from '../verbs.ts';

const groupTitles: Readonly<Record<CommandGroup, string>> = {
  running: 'Running',
  reverse: 'Going back',
  breakpoints: 'Breakpoints',
  data: 'Looking',
  walks: 'Reverse mapping',
  session: 'Session',
};

function help(session: Session, args: string): void {
  const word = args.trim();
  if (word !== '') {
    const command = session.findCommand(word);
    if (command === undefined) throw new CommandError(`no command ${word}; help lists them`);
    session.print(`${command.names.join(', ')} ${command.usage}`.trim());
    session.print(`  ${command.help}`);
    return;
  }
  for (const [group, title] of Object.entries(groupTitles)) {
    const commands = session.commands.filter((c) => c.group === group);
    if (commands.length === 0) continue;
    session.print(`${title}:`, 'hint');
    for (const c of commands) {
      session.print(`  ${`${c.names[0]} ${c.usage}`.trim().padEnd(36)} ${c.help}`);
    }
  }
}

/** Starts again on another kernel and runs to the statement where the session was. */
function changeKernel(session: Session, kernel: string): void {
  const at = session.statementNumber();
  if (at === 0) {
    restart(session, kernel);
    return;
  }
  session.restart(kernel);
  const line = session.run.scenario.statements[at]?.span.line;
  const where =
    line === undefined ? 'to the end' : `to line ${line}: ${session.inspector.lineText(line)}`;
  session.print(`${session.status().stop}, ${where}`, 'stop');
  session.begin(statementVerb(at));
}

/** Starts again, and says where that is. */
export function restart(session: Session, kernel: string): void {
  session.restart(kernel);
  session.print(`${session.status().stop}, step ${session.machine.step}; c runs it`, 'stop');
}

function withFiles<T>(session: Session, use: (files: SessionFiles) => T): T {
  const { files } = session.options;
  if (files === undefined) throw new CommandError('there are no files here');
  try {
    return use(files);
  } catch (error) {
    throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}

export const sessionCommands: readonly CommandSpec[] = [
  {
    names: ['help', 'h'],
    group: 'session',
    usage: '[COMMAND]',
    help: 'what there is, or what one command does',
    run: help,
    complete: (session) => session.commands.map((c) => c.names[0]),
  },
  {
    names: ['apropos'],
    group: 'session',
    usage: 'WORD',
    help: 'commands, functions and events that a word occurs in',
    run: (session, args) => {
      const word = args.trim().toLowerCase();
      if (word === '') throw new CommandError('apropos needs a word');
      for (const c of session.commands) {
        if (`${c.names.join(' ')} ${c.help}`.toLowerCase().includes(word)) {
          session.print(`${c.names[0]} -- ${c.help}`);
        }
      }
      for (const location of session.inspector.locations()) {
        if (location.toLowerCase().includes(word)) session.print(location);
      }
    },
  },
  {
    names: ['kernel'],
    group: 'session',
    usage: '[NAME]',
    help: 'the scenario on another kernel, up to the statement where you are; without a name, say which one runs',
    run: (session, args) => {
      if (args.trim() === '') session.print(session.kernel);
      else changeKernel(session, args.trim());
    },
  },
  {
    names: ['compare'],
    group: 'walks',
    usage: '[KERNEL...]',
    help: 'run the scenario on these kernels, or those it names, or all, and compare what each pays (pane Costs)',
    run: (session, args) => {
      const kernels = args.split(/[\s,]+/).filter((word) => word !== '');
      for (const line of compareTables(session.compare(kernels))) session.print(line);
    },
    complete: () => kernelNames(),
  },
  {
    names: ['set'],
    group: 'session',
    usage: 'scheduler-locking on|off|step | stop-on-finding on|off',
    help: 'change a setting',
    run: (session, args) => {
      const [name = '', value = ''] = args.trim().split(/\s+/);
      if (name === 'scheduler-locking' && (value === 'on' || value === 'off' || value === 'step')) {
        session.schedulerLocking = value;
      } else if (name === 'stop-on-finding' && (value === 'on' || value === 'off')) {
        session.stopOnFinding = value === 'on';
      } else {
        throw new CommandError('set scheduler-locking on|off|step, or set stop-on-finding on|off');
      }
    },
    complete: () => ['scheduler-locking', 'stop-on-finding', 'on', 'off', 'step'],
  },
  {
    names: ['schedule'],
    group: 'session',
    usage: '',
    help: 'the interleaving of the races so far, as one word for --schedule',
    run: (session) => session.print(printSchedule(scheduleOf(session.run, session.kernel))),
  },
  {
    names: ['source'],
    group: 'session',
    usage: 'FILE',
    help: 'execute the commands of a file, such as save breakpoints made; the rest is dropped at a mistake',
    run: (session, args) => {
      const name = args.trim();
      if (name === '') throw new CommandError('source needs a file name');
      session.runFile(
        name,
        withFiles(session, (files) => files.read(name)),
      );
    },
  },
  {
    names: ['screen'],
    group: 'session',
    usage: 'FILE',
    help: 'write the screen to a file as text; without a screen, what the info tables say',
    run: (session, args) => {
      const name = args.trim();
      if (name === '') throw new CommandError('screen needs a file name');
      const text = screenText(session);
      withFiles(session, (files) => files.write(name, text));
      session.print(`wrote ${name}`);
    },
  },
  {
    names: ['echo'],
    group: 'session',
    usage: 'TEXT',
    help: 'print a text',
    run: (session, args) => session.print(args),
  },
];
