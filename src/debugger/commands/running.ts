/** Running forward and backward. Words and meanings are gdb's. */

import { resolveLocation } from '../breakpoints.ts';
import { CommandError, type CommandSpec, countOf } from '../command-table.ts';
import { returnedFrom } from '../returned.ts';
import type { Session } from '../session.ts';
import {
  continueVerb,
  finishVerb,
  gotoVerb,
  nextVerb,
  reverseFinishTarget,
  reverseNextTarget,
  reverseStepTarget,
  stepVerb,
} from '../verbs.ts';
import { hereLocation } from './breakpoints.ts';
import { restart } from './session.ts';

/** Task that stepping keeps to: the selected one inside a race, unless locking is off. */
function steppedTask(session: Session): number {
  if (session.schedulerLocking === 'off') return 0;
  const task = session.inspector.selectedTask();
  return session.choosable().includes(task) ? task : 0;
}

function currentDepth(session: Session): number {
  const frames = session.inspector.frames();
  const frame = frames[frames.length - 1 - session.frameIndex];
  if (frame === undefined) throw new CommandError('no kernel function is running here');
  return frame.depth;
}

/** What to ask when the selected function has returned. */
function returned(session: Session): () => string {
  const frame = session.inspector.frames().length - 1 - session.frameIndex;
  return returnedFrom(session.machine, session.inspector.selectedTask(), frame);
}

/** A breakpoint that goes at the next stop. */
function stopAt(session: Session, command: string, args: string): void {
  const text = args.trim();
  if (text === '') throw new CommandError(`${command} needs a location`);
  const spec = /^\d+$/.test(text) ? hereLocation(session, text) : text;
  session.breakpoints.add({
    ...resolveLocation(spec),
    spec,
    watched: null,
    condition: null,
    task: null,
    temporary: true,
    untilStop: true,
    log: null,
  });
  session.rearm();
}

/** `STEP`, a mark's name, `begin`, `end`, `+N` or `-N`. */
export function positionOf(session: Session, text: string): number {
  const word = text.trim();
  const { machine } = session;
  if (word === 'begin' || word === 'start') return machine.firstStep;
  if (word === 'end') return machine.endStep;
  const mark = session.marks.get(word);
  if (mark !== undefined) return mark;
  const number = Number(word.replace(/[_,]/g, ''));
  if (word === '' || !Number.isInteger(number)) {
    throw new CommandError(
      `${word === '' ? 'goto needs a position' : `no mark is called ${word}`}: a step number, +N, -N, a mark, begin or end`,
    );
  }
  return /^[+-]/.test(word) ? machine.step + number : number;
}

function reverse(session: Session, target: number): void {
  if (target < 0 || target >= session.machine.step) {
    throw new CommandError(
      session.machine.step <= session.machine.firstStep
        ? 'history begins here'
        : 'no such place further back',
    );
  }
  session.jump(target, '');
}

export const runningCommands: readonly CommandSpec[] = [
  {
    names: ['step', 's'],
    group: 'running',
    usage: '[COUNT]',
    help: 'execute one kernel statement, entering functions',
    repeats: true,
    run: (session, args) =>
      session.begin(stepVerb(session.machine, countOf(args), steppedTask(session))),
  },
  {
    names: ['next', 'n'],
    group: 'running',
    usage: '[COUNT]',
    help: 'execute one statement of this function, running calls to their end',
    repeats: true,
    run: (session, args) =>
      session.begin(nextVerb(session.machine, countOf(args), steppedTask(session))),
  },
  {
    names: ['stepi', 'si'],
    group: 'running',
    usage: '[COUNT]',
    help: 'execute one statement of whichever task the schedule runs next',
    repeats: true,
    run: (session, args) => session.begin(stepVerb(session.machine, countOf(args), 0)),
  },
  {
    names: ['finish', 'fin'],
    group: 'running',
    usage: '',
    help: 'run until the selected function has returned; prints what it returned when the call keeps it',
    repeats: true,
    run: (session) =>
      session.begin(
        finishVerb(session.machine, currentDepth(session), steppedTask(session), returned(session)),
      ),
  },
  {
    names: ['continue', 'c'],
    group: 'running',
    usage: '[COUNT]',
    help: 'run to the next stop; COUNT ignores that many stops of the breakpoint just hit',
    repeats: true,
    run: (session, args) => {
      const count = countOf(args);
      const id = /[Bb]reakpoint (\d+)/.exec(session.status().stop)?.[1];
      const breakpoint = id === undefined ? undefined : session.breakpoints.get(Number(id));
      if (count > 1 && breakpoint !== undefined) breakpoint.ignore = count - 1;
      session.begin(continueVerb());
    },
  },
  {
    names: ['until', 'u', 'advance'],
    group: 'running',
    usage: 'LOCATION',
    help: 'run until a function, line, file:line or event is reached',
    run: (session, args) => {
      stopAt(session, 'until', args);
      session.begin(continueVerb());
    },
    complete: (session) => session.inspector.locations(),
  },
  {
    names: ['goto'],
    group: 'running',
    usage: 'STEP | +N | -N | MARK | begin | end',
    help: 'go to a position in history, or run on to a step ahead',
    run: (session, args) => {
      const step = positionOf(session, args);
      const { machine } = session;
      if (step < machine.firstStep) {
        throw new CommandError(`history begins at step ${machine.firstStep}`);
      }
      if (step <= machine.endStep) session.jump(step, '');
      else session.begin(gotoVerb(machine, step));
    },
    complete: (session) => [...session.marks.keys(), 'begin', 'end'],
  },
  {
    names: ['reverse-step', 'rs'],
    group: 'reverse',
    usage: '[COUNT]',
    help: 'go back one kernel statement',
    repeats: true,
    run: (session, args) => reverse(session, reverseStepTarget(session.machine, countOf(args))),
  },
  {
    names: ['reverse-stepi', 'rsi'],
    group: 'reverse',
    usage: '[COUNT]',
    help: 'go back one statement of any task',
    repeats: true,
    run: (session, args) => reverse(session, reverseStepTarget(session.machine, countOf(args))),
  },
  {
    names: ['reverse-next', 'rn'],
    group: 'reverse',
    usage: '[COUNT]',
    help: 'go back one statement of this function, over calls',
    repeats: true,
    run: (session, args) => reverse(session, reverseNextTarget(session.machine, countOf(args))),
  },
  {
    names: ['reverse-finish', 'rf'],
    group: 'reverse',
    usage: '',
    help: 'go back to where the selected function was called',
    repeats: true,
    run: (session) => reverse(session, reverseFinishTarget(session.machine, currentDepth(session))),
  },
  {
    names: ['reverse-continue', 'rc'],
    group: 'reverse',
    usage: '',
    help: 'go back to the previous stop of a breakpoint, or to the beginning',
    repeats: true,
    run: (session) => session.reverseContinue(),
  },
  {
    names: ['reverse-until', 'reverse-advance'],
    group: 'reverse',
    usage: 'LOCATION',
    help: 'go back to where a function, line, file:line or event was reached, or to a breakpoint before that',
    run: (session, args) => {
      stopAt(session, 'reverse-until', args);
      session.reverseContinue();
    },
    complete: (session) => session.inspector.locations(),
  },
  {
    names: ['run', 'r'],
    group: 'running',
    usage: '',
    help: 'start the scenario again and run to the first stop; breakpoints stay',
    run: (session) => {
      session.restart(session.kernel);
      session.begin(continueVerb());
    },
  },
  {
    names: ['start', 'starti'],
    group: 'running',
    usage: '',
    help: 'start the scenario again and stop before its first statement; breakpoints stay',
    run: (session) => restart(session, session.kernel),
  },
  {
    names: ['back'],
    group: 'reverse',
    usage: '',
    help: 'return to the position before the last jump',
    run: (session) => session.history(false),
  },
  {
    names: ['forward'],
    group: 'reverse',
    usage: '',
    help: 'undo back',
    run: (session) => session.history(true),
  },
  {
    names: ['mark'],
    group: 'session',
    usage: 'NAME',
    help: 'name this position, for goto',
    run: (session, args) => {
      const name = args.trim();
      if (!/^[A-Za-z_][\w-]*$/.test(name))
        throw new CommandError('mark needs a name: mark before-fork');
      session.marks.set(name, session.machine.step);
      session.print(`mark ${name}: step ${session.machine.step}`);
    },
  },
  {
    names: ['task', 'thread', 't'],
    group: 'running',
    usage: '[NAME]',
    help: 'select a task; in a race it also runs next',
    run: (session, args) => {
      const name = args.trim();
      if (name === '') {
        for (const t of session.tasks()) {
          session.print(`${t.selected ? '*' : ' '} ${t.id} ${t.name} ${t.state} ${t.operation}`);
        }
        return;
      }
      const task = session.tasks().find((t) => t.name === name || String(t.id) === name);
      if (task === undefined) {
        throw new CommandError(
          `no task ${name}; there are ${session
            .tasks()
            .map((t) => t.name)
            .join(', ')}`,
        );
      }
      session.select(task.ref);
      if (session.choosable().includes(task.id)) session.divert(task.id);
    },
    complete: (session) => session.tasks().map((t) => t.name),
  },
  {
    names: ['choices'],
    group: 'running',
    usage: '',
    help: 'list the tasks that could run next in this race',
    run: (session) => {
      const choosable = session.choosable();
      if (choosable.length === 0) session.print('no choice here: one task runs');
      for (const [n, task] of choosable.entries()) {
        session.print(
          `${n + 1}  ${session.machine.names[task] ?? task}  ${session.machine.operationOf(task)?.text ?? ''}`,
        );
      }
    },
  },
  {
    names: ['take'],
    group: 'running',
    usage: 'N',
    help: 'let choice number N run next',
    run: (session, args) => {
      const task = session.choosable()[countOf(args) - 1];
      if (task === undefined) throw new CommandError(`no choice ${args.trim()}; see choices`);
      session.divert(task);
      session.begin(stepVerb(session.machine, 1, task));
    },
  },
];
