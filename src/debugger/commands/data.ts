/** Looking at state: expressions, frames, tables, page-table walks, reverse maps. */

import { KernelError, kernelNames } from '../../linux/kernels.ts';
import { parseExpression } from '../../scenario/expr.ts';
import { siteInfo, sourceLines } from '../../sim/site.ts';
import { resolveLocation } from '../breakpoints.ts';
import { CommandError, type CommandSpec, countOf } from '../command-table.ts';
import { diffPositions } from '../compare-positions.ts';
import { diffKernels } from '../diff-kernels.ts';
import { evaluate, formatValue, numberOf } from '../expression.ts';
import { infoCommands, infoNames } from '../info.ts';
import type { Session } from '../session.ts';
import { positionOf } from './running.ts';

/** `A, ADDR` or `A ADDR`: splits at the first comma or blank. */
function processAndAddress(session: Session, args: string): { process: string; address: number } {
  const match = /^\s*([\w$]+)\s*[,\s]\s*(.+)$/s.exec(args);
  if (match === null) throw new CommandError('give a process and an address: A p+2p');
  const [, process = '', text = ''] = match;
  const value = evaluate(parseExpression(text, '<address>'), session.scope());
  const address = numberOf(value);
  if (address === null) throw new CommandError(`${text} is not an address`);
  return { process, address };
}

export const dataCommands: readonly CommandSpec[] = [
  {
    names: ['print', 'p', 'inspect'],
    group: 'data',
    usage: '[/x | /d] EXPR',
    help: 'value of an expression or a local: vma(A, p).anon_vma.root, page(A, p).index, walk_cost(A, p), mapcount(page(A, p))',
    run: (session, args) => {
      const [, format = '', text = ''] = /^(?:\/(\w+)\s*)?(.*)$/s.exec(args.trim()) ?? [];
      if (text === '') throw new CommandError('print needs an expression');
      if (format !== '' && !/^[xd]$/.test(format)) {
        throw new CommandError(`print takes /x or /d, not /${format}`);
      }
      // As gdb: a name means the local of the selected frame before anything else.
      const local = session.source().locals.find((each) => each.name === text);
      if (local !== undefined && format === '') {
        session.print(`${text} = ${local.value}`);
        return;
      }
      const value = evaluate(parseExpression(text, '<print>'), session.scope());
      const number = format === '' ? null : numberOf(value);
      if (number === null) session.print(`${text} = ${formatValue(value)}`);
      else session.print(`${text} = ${format === 'x' ? hex(number) : number}`);
    },
    complete: (session) => session.inspector.expressionWords(),
  },
  {
    names: ['display', 'disp'],
    group: 'data',
    usage: '[EXPR]',
    help: 'print an expression at every stop; without one, show them all now',
    run: (session, args) => {
      if (args.trim() !== '') {
        const id = (session.displays.at(-1)?.id ?? 0) + 1;
        session.displays.push({ id, text: args.trim(), expr: parseExpression(args, '<display>') });
      }
      for (const d of args.trim() === '' ? session.displays : session.displays.slice(-1)) {
        session.print(`${d.id}: ${d.text} = ${formatValue(evaluate(d.expr, session.scope()))}`);
      }
    },
    complete: (session) => session.inspector.expressionWords(),
  },
  {
    names: ['undisplay'],
    group: 'data',
    usage: '[ID]',
    help: 'stop displaying an expression, or all',
    run: (session, args) => {
      const id = args.trim() === '' ? 0 : Number(args.trim());
      const at = session.displays.findIndex((d) => d.id === id);
      if (id === 0) session.displays.length = 0;
      else if (at >= 0) session.displays.splice(at, 1);
      else throw new CommandError(`no display ${args.trim()}`);
    },
  },
  {
    names: ['backtrace', 'bt', 'where', 'w'],
    group: 'data',
    usage: '[COUNT]',
    help: 'the call chain of the selected task, or its COUNT innermost frames',
    run: (session, args) => {
      const count = args.trim() === '' ? Number.POSITIVE_INFINITY : countOf(args);
      const frames = session.inspector.frames();
      if (frames.length === 0) session.print('no kernel function is running in this task');
      for (const [n, frame] of [...frames].reverse().entries()) {
        if (n >= count) break;
        const mark = n === session.frameIndex ? '*' : ' ';
        session.print(`${mark}#${n} ${frame.fn}() at ${frame.file}:${frame.line}`);
      }
    },
  },
  {
    names: ['up'],
    group: 'data',
    usage: '[COUNT]',
    help: 'select the calling frame',
    repeats: true,
    run: (session, args) => moveFrame(session, countOf(args)),
  },
  {
    names: ['down'],
    group: 'data',
    usage: '[COUNT]',
    help: 'select the called frame',
    repeats: true,
    run: (session, args) => moveFrame(session, -countOf(args)),
  },
  {
    names: ['frame', 'f'],
    group: 'data',
    usage: '[N]',
    help: 'select frame N of the backtrace',
    run: (session, args) => {
      if (args.trim() !== '') moveFrame(session, Number(args.trim()) - session.frameIndex);
      else session.print(session.inspector.position(session.frameIndex));
    },
  },
  {
    names: ['list', 'l'],
    group: 'data',
    usage: '[LINE | FUNCTION | FILE:LINE]',
    help: 'source around the current statement, or around a place',
    run: (session, args) => list(session, args.trim()),
    complete: (session) => session.inspector.locations(),
  },
  {
    names: ['info', 'i'],
    group: 'data',
    usage: infoNames.join('|'),
    help: 'tables of what there is now',
    run: (session, args) => infoCommands(session, args),
    complete: () => infoNames,
  },
  {
    names: ['diff'],
    group: 'data',
    usage: 'MARK|STEP [MARK|STEP] | KERNEL',
    help: 'what the tables say at one position of this run and not at the other (default: here); with a kernel, both states side by side',
    run: (session, args) => diff(session, args),
    complete: (session) => [...session.marks.keys(), ...kernelNames()],
  },
  {
    names: ['x'],
    group: 'data',
    usage: '[/PAGES] A ADDR',
    help: 'the bytes of a process at an address, as runs of equal bytes, page by page',
    run: (session, args) => {
      const [, count = '1', rest = ''] = /^(?:\/(\d+)\w*\s+)?(.*)$/s.exec(args.trim()) ?? [];
      const { process, address } = processAndAddress(session, rest);
      for (const line of session.inspector.memory(process, address, countOf(count))) {
        session.print(line);
      }
    },
  },
  {
    names: ['vtop'],
    group: 'walks',
    usage: 'A ADDR',
    help: 'translate an address as crash does: the entry at each level, the VMA, the page',
    run: (session, args) => {
      const { process, address } = processAndAddress(session, args);
      for (const line of session.inspector.vtop(process, address)) session.print(line);
    },
  },
  {
    names: ['rmap'],
    group: 'walks',
    usage: 'A ADDR',
    help: 'every mapping of the page there, and how a reverse-map walk finds it',
    run: (session, args) => {
      const { process, address } = processAndAddress(session, args);
      for (const line of session.inspector.rmap(process, address)) session.print(line);
    },
  },
  {
    names: ['why'],
    group: 'walks',
    usage: 'EXPR',
    help: 'the last write of a field: step, task, function',
    run: (session, args) => {
      if (args.trim() === '') throw new CommandError('why needs a field: why vma(A, p).vm_start');
      const found = session.inspector.lastWriter(parseExpression(args, '<why>'), session.scope());
      session.print(found);
    },
    complete: (session) => session.inspector.expressionWords(),
  },
];

const hex = (n: number): string => (n < 0 ? `-0x${(-n).toString(16)}` : `0x${n.toString(16)}`);

function diff(session: Session, args: string): void {
  const words = args
    .trim()
    .split(/\s+/)
    .filter((word) => word !== '');
  const [first = '', second] = words;
  // No step and hardly a mark: a kernel mistyped is told which there are.
  if (/^v\d/.test(first) && !session.marks.has(first) && !kernelNames().includes(first)) {
    throw new KernelError('kernel', first, kernelNames());
  }
  if (words.length === 1 && kernelNames().includes(first) && !session.marks.has(first)) {
    for (const line of diffKernels(session, first)) session.print(line);
    return;
  }
  if (words.length === 0 || words.length > 2) {
    throw new CommandError(
      'diff takes one or two positions (a step, a mark, begin or end), or a kernel',
    );
  }
  const from = positionOf(session, first);
  const to = second === undefined ? session.machine.step : positionOf(session, second);
  for (const step of [from, to]) {
    if (step < session.machine.firstStep || step > session.machine.endStep) {
      throw new CommandError(
        `step ${step} is not in history, which has ${session.machine.firstStep} to ${session.machine.endStep}`,
      );
    }
  }
  for (const line of diffPositions(session, from, to)) session.print(line);
}

function list(session: Session, place: string): void {
  const source = session.source();
  let { lines } = source;
  let middle = source.line;
  if (place !== '' && !/^\d+$/.test(place)) {
    const site = resolveLocation(place).sites[0];
    if (site === undefined) throw new CommandError(`${place} is no place in the source`);
    const at = siteInfo(site);
    middle = at.line;
    if (at.file !== source.file) lines = sourceLines(at.file) ?? [];
  } else if (source.line === 0) {
    throw new CommandError('no kernel function is running here; list FUNCTION shows one');
  } else if (place !== '') {
    middle = Math.min(Number(place), lines.length);
  }
  const from = Math.max(1, middle - 6);
  for (let n = from; n <= Math.min(lines.length, middle + 6); n++) {
    const mark = n === source.line && lines === source.lines ? '=>' : '  ';
    session.print(`${mark}${String(n).padStart(5)}  ${lines[n - 1] ?? ''}`);
  }
}

function moveFrame(session: Session, by: number): void {
  const frames = session.inspector.frames();
  const to = session.frameIndex + by;
  if (frames.length === 0) throw new CommandError('no kernel function is running in this task');
  if (!Number.isInteger(to) || to < 0) throw new CommandError('innermost frame selected');
  if (to >= frames.length) throw new CommandError('outermost frame selected');
  session.frameIndex = to;
  session.print(session.inspector.position(to));
}
