/** Breakpoints, watchpoints, catchpoints, logpoints. */
import { parseExpression } from '../../scenario/expr.ts';
import type { Breakpoint } from '../breakpoints.ts';
import { resolveLocation } from '../breakpoints.ts';
import { CommandError, type CommandSpec } from '../command-table.ts';
import { checkConditionNames } from '../condition-names.ts';
import type { Session } from '../session.ts';

interface Parts {
  readonly location: string;
  readonly task: string | null;
  readonly condition: {
    readonly text: string;
    readonly expr: ReturnType<typeof parseExpression>;
  } | null;
}

/** Splits `LOCATION [task T] [if EXPR]`. */
function partsOf(args: string): Parts {
  const conditionAt = /(^|\s)if\s+/.exec(args);
  const head = conditionAt === null ? args : args.slice(0, conditionAt.index);
  const text =
    conditionAt === null ? '' : args.slice(conditionAt.index + conditionAt[0].length).trim();
  if (conditionAt !== null && text === '') throw new CommandError('if needs a condition');
  const task = /\s(?:task|thread)\s+(\S+)\s*$/.exec(head);
  const location = (task === null ? head : head.slice(0, task.index)).trim();
  return {
    location,
    task: task?.[1] ?? null,
    condition: text === '' ? null : { text, expr: parseExpression(text, '<condition>') },
  };
}

/** A line of the file shown; without a number the one about to run. */
export function hereLocation(session: Session, line = ''): string {
  const source = session.source();
  if (source.line === 0 || source.isScenario)
    throw new CommandError('no kernel function is running here: give a location');
  return `${source.file}:${line === '' ? source.line : line}`;
}

function set(session: Session, args: string, temporary: boolean, log: string | null): Breakpoint {
  const { location, task, condition } = partsOf(args);
  const spec = /^\d*$/.test(location) ? hereLocation(session, location) : location;
  const place = resolveLocation(spec);
  if (condition !== null) checkConditionNames(session, place, condition.expr);
  const breakpoint = session.breakpoints.add({
    ...place,
    spec,
    watched: null,
    condition,
    task,
    temporary,
    log,
  });
  session.rearm();
  const where = breakpoint.sites.length + breakpoint.events.length;
  session.print(
    `${log === null ? 'Breakpoint' : 'Logpoint'} ${breakpoint.id} at ${spec}${where > 1 ? ` (${where} locations)` : ''}${condition === null ? '' : ` if ${condition.text}`}`,
  );
  return breakpoint;
}

function byId(session: Session, text: string): Breakpoint {
  const breakpoint = session.breakpoints.get(Number(text.trim()));
  if (breakpoint === undefined) {
    const ids = session.breakpoints.list().map((b) => b.id);
    throw new CommandError(
      `no breakpoint ${text.trim()}; ${ids.length === 0 ? 'there are none' : `there are ${ids.join(', ')}`}`,
    );
  }
  return breakpoint;
}

function forEach(session: Session, args: string, change: (b: Breakpoint) => void): void {
  const words = args.trim() === '' ? [] : args.trim().split(/\s+/);
  const chosen =
    words.length === 0 ? [...session.breakpoints.list()] : words.map((word) => byId(session, word));
  for (const breakpoint of chosen) change(breakpoint);
  session.rearm();
}

const locations = (session: Session): Iterable<string> => session.inspector.locations();
const ids = (session: Session): Iterable<string> =>
  session.breakpoints.list().map((b) => String(b.id));

export const breakpointCommands: readonly CommandSpec[] = [
  {
    names: ['break', 'b'],
    group: 'breakpoints',
    usage: '[FUNCTION | LINE | FILE:LINE | SYSTEM:EVENT] [task NAME] [if EXPR]',
    help: 'stop at a kernel function, line or event; globs name several; EXPR may use fields of the event and parameters of the function; a name that can mean nothing there is refused',
    run: (session, args) => void set(session, args, false, null),
    complete: locations,
  },
  {
    names: ['tbreak', 'tb'],
    group: 'breakpoints',
    usage: '[LOCATION] [task NAME] [if EXPR]',
    help: 'a breakpoint that is deleted when it is hit',
    run: (session, args) => void set(session, args, true, null),
    complete: locations,
  },
  {
    names: ['logpoint', 'dprintf'],
    group: 'breakpoints',
    usage: 'LOCATION ["TEXT {EXPR}"] [if EXPR]',
    help: 'print and go on',
    run: (session, args) => {
      const text = /"((?:[^"\\]|\\.)*)"/.exec(args);
      const rest = text === null ? args : args.replace(text[0], '');
      set(session, rest.replace(/,\s*$/, ''), false, text?.[1] ?? '');
    },
    complete: locations,
  },
  {
    names: ['watch', 'wa'],
    group: 'breakpoints',
    usage: 'EXPR',
    help: 'stop when the value of an expression changes',
    run: (session, args) => {
      if (args.trim() === '')
        throw new CommandError('watch needs an expression: watch vma(A, p).vm_start');
      const breakpoint = session.breakpoints.add({
        kind: 'watch',
        spec: args.trim(),
        sites: [],
        events: [],
        watched: parseExpression(args.trim(), '<watch>'),
        condition: null,
        task: null,
        temporary: false,
        log: null,
      });
      session.print(`Watchpoint ${breakpoint.id}: ${breakpoint.spec}`);
    },
  },
  {
    names: ['rwatch', 'awatch'],
    group: 'breakpoints',
    usage: 'EXPR',
    help: 'not possible: reads leave no record (watch stops at writes, break at the functions that read)',
    run: () => {
      throw new CommandError(
        'a read of simulated memory leaves no record, so it cannot stop a run: watch EXPR stops when the value changes; break FUNCTION, or an event such as rmap:walk_visit, stops at those that read',
      );
    },
  },
  {
    names: ['catch'],
    group: 'breakpoints',
    usage: 'finding | fork | exec | exit',
    help: 'stop at any finding, or when a task is made, execs or exits',
    run: (session, args) => {
      const word = args.trim();
      if (word === 'finding') {
        session.stopOnFinding = true;
        session.print('stopping at findings');
        return;
      }
      const event = {
        fork: 'task:task_newtask',
        exec: 'sched:sched_process_exec',
        exit: 'sched:sched_process_exit',
      }[word];
      if (event === undefined) throw new CommandError('catch takes finding, fork, exec or exit');
      set(session, event, false, null);
    },
    complete: () => ['finding', 'fork', 'exec', 'exit'],
  },
  {
    names: ['delete', 'd'],
    group: 'breakpoints',
    usage: '[ID ...]',
    help: 'delete breakpoints; all without an id',
    run: (session, args) => forEach(session, args, (b) => session.breakpoints.delete(b.id)),
    complete: ids,
  },
  {
    names: ['enable', 'en'],
    group: 'breakpoints',
    usage: '[ID ...]',
    help: 'enable breakpoints',
    run: (session, args) =>
      forEach(session, args, (b) => {
        b.enabled = true;
      }),
    complete: ids,
  },
  {
    names: ['disable', 'dis'],
    group: 'breakpoints',
    usage: '[ID ...]',
    help: 'disable breakpoints without deleting them',
    run: (session, args) =>
      forEach(session, args, (b) => {
        b.enabled = false;
      }),
    complete: ids,
  },
  {
    names: ['condition', 'cond'],
    group: 'breakpoints',
    usage: 'ID [EXPR]',
    help: 'set the condition of a breakpoint, or remove it',
    run: (session, args) => {
      const [, id = '', text = ''] = /^\s*(\S+)\s*(?:if\b\s*)?(.*)$/s.exec(args) ?? [];
      const breakpoint = byId(session, id);
      const condition = text === '' ? null : { text, expr: parseExpression(text, '<condition>') };
      if (condition !== null) checkConditionNames(session, breakpoint, condition.expr);
      breakpoint.condition = condition;
    },
    complete: ids,
  },
  {
    names: ['ignore'],
    group: 'breakpoints',
    usage: 'ID COUNT',
    help: 'let the next COUNT hits pass',
    run: (session, args) => {
      const [id = '', count = ''] = args.trim().split(/\s+/);
      const n = Number(count);
      if (!Number.isInteger(n) || n < 0 || count === '')
        throw new CommandError('ignore takes an id and a count');
      byId(session, id).ignore = n;
    },
    complete: ids,
  },
  {
    names: ['commands'],
    group: 'breakpoints',
    usage: '[ID]',
    help: 'the lines up to `end` run each time the breakpoint stops',
    run: (session, args) => {
      const last = session.breakpoints.list().at(-1);
      const breakpoint = args.trim() === '' ? last : byId(session, args);
      if (breakpoint === undefined) throw new CommandError('there is no breakpoint yet');
      session.print(
        `commands for breakpoint ${breakpoint.id}, one a line; a line \`end\` ends them`,
        'hint',
      );
      session.beginCommands(breakpoint);
    },
    complete: ids,
  },
  {
    names: ['save'],
    group: 'breakpoints',
    usage: 'breakpoints',
    help: 'print the commands that make the breakpoints again',
    run: (session, args) => {
      if (args.trim() !== 'breakpoints') throw new CommandError('save breakpoints');
      for (const line of session.breakpoints.script()) session.print(line);
    },
    complete: () => ['breakpoints'],
  },
];
