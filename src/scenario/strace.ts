/**
 * A recorded program, `strace -f`, as a scenario. The second half of the reading: whole calls to
 * operations, in program order, with the files behind their descriptors.
 */
import type { Actor, Expr, Operation, Scenario } from './ast.ts';
import { headerOf } from './ast.ts';
import { calls } from './calls.ts';
import { cloneFlags } from './check.ts';
import { constantValue, exactAnd } from './constants.ts';
import { Cursor } from './cursor.ts';
import { ScenarioError } from './errors.ts';
import { flagsValue } from './flags.ts';
import { tokenize } from './lex.ts';
import { childOf, readOperation } from './operation.ts';
import { type SourceText, type Span, spanInLine } from './source.ts';
import {
  closeOnExec,
  type Descriptors,
  descriptorCalls,
  resultNumber,
  TraceFiles,
} from './strace-files.ts';
import { readTraceLines, type TraceCall } from './strace-lines.ts';
import { isSystemCall } from './syscalls.ts';
import { maxNotes, type TraceFacts, type TraceNote, type TraceTask } from './trace-facts.ts';

/** A scenario made of a recorded program: operations only, and what else the trace told. */
export interface TraceScenario extends Scenario {
  readonly origin: 'trace';
  readonly statements: readonly Operation[];
  readonly trace: TraceFacts;
}

/** prctl options that change memory management; the others are counted as skipped. */
const memoryOptions: ReadonlySet<number | undefined> = new Set([
  constantValue('PR_SET_MEMORY_MERGE'),
  constantValue('PR_SET_THP_DISABLE'),
]);

/** Arguments kept to be shared, and the longest of them. */
const maxShared = 20_000;
const maxSharedLength = 200;

const cloneFiles = constantValue('CLONE_FILES') ?? 0;

/** Calls whose effect on memory is lost when they are skipped. */
const missedMemoryCalls: ReadonlySet<string> = new Set([
  'shmat',
  'shmdt',
  'io_setup',
  'map_shadow_stack',
]);

/** Reads a whole log. Never throws on any text; what could not be used is in `trace.notes`. */
export function parseStrace(text: string, file = '<trace>'): TraceScenario {
  return new TraceReader({ file, text }).read();
}

class TraceReader {
  readonly #source: SourceText;
  readonly #files = new TraceFiles();
  readonly #tables = new Map<number, Descriptors>();
  readonly #tasks = new Map<number, TraceTask>();
  readonly #seen: TraceTask[] = [];
  /** Tasks that ended by a call, so that their `+++` line adds nothing. */
  readonly #exited = new Set<number>();
  readonly #exitedProcesses = new Set<number>();
  readonly #followed = new Map<string, number>();
  readonly #operations: Operation[] = [];
  readonly #arguments = new Map<string, Expr>();
  #notes: TraceNote[] = [];
  #skipped = new Map<string, number>();

  constructor(source: SourceText) {
    this.#source = source;
  }

  read(): TraceScenario {
    const lines = readTraceLines(this.#source.text, {
      wants: isWanted,
      isSystemCall,
      makesTask,
      childOf: (call) => this.#newTask(call),
    });
    this.#notes = lines.notes;
    this.#skipped = lines.skipped;
    if (lines.pids[0] !== undefined) this.#task(lines.pids[0]);
    for (const call of lines.calls) this.#add(call);
    for (const name of lines.skipped.keys()) {
      if (missedMemoryCalls.has(name)) this.#note(0, `${name} maps memory but is not simulated`);
    }
    const trace: TraceFacts = {
      files: this.#files.files,
      tasks: this.#seen,
      skipped: this.#skipped,
      followed: this.#followed,
      ...(lines.clock === undefined ? {} : { clock: lines.clock }),
      notes: this.#notes,
      unreadLines: lines.unreadLines,
    };
    const source = this.#source;
    return { source, origin: 'trace', header: headerOf([]), statements: this.#operations, trace };
  }

  #newTask(call: TraceCall): number | undefined {
    if (!makesTask(call.name)) return undefined;
    return this.#parse(call)?.child?.pid;
  }

  #add(call: TraceCall): void {
    if (call.name === '+++') {
      this.#addEnd(call);
      return;
    }
    const operation = this.#parse(call);
    if (operation === undefined || wasRestarted(operation)) return;
    if (operation.expectedResult === undefined && !call.name.startsWith('exit')) {
      // Only a call that made a task is certain to have happened.
      if (operation.child?.pid === undefined) {
        this.#note(call.line, `${call.name} has no result and is left out`);
        return;
      }
    }
    const task = this.#task(call.pid);
    const table = this.#tableOf(call.pid);
    if (descriptorCalls.has(call.name)) {
      count(this.#followed, call.name);
      this.#files.follow(table, operation);
      return;
    }
    if (call.name === 'prctl' && !memoryOptions.has(flagsOf(operation, 0))) {
      count(this.#skipped, call.name);
      return;
    }
    this.#operations.push(this.#withFile(operation, table));
    this.#afterwards(operation, call, task);
  }

  /** Adds the file behind the descriptor of mmap, ftruncate, fallocate. */
  #withFile(operation: Operation, table: Descriptors): Operation {
    const { callee, args } = operation;
    if (callee === 'mmap') {
      const file = this.#files.fileOf(table, args[4]);
      return file && !isAnonymous(operation) ? { ...operation, file } : operation;
    }
    if (callee !== 'ftruncate' && callee !== 'fallocate') return operation;
    const file = this.#files.fileOf(table, args[0]);
    if (file === undefined) return operation;
    if (resultNumber(operation) === 0) {
      const isFallocate = callee === 'fallocate';
      const keepsSize = isFallocate && (flagsOf(operation, 1) ?? 0) % 2 === 1;
      const end = (isFallocate ? (flagsOf(operation, 2) ?? 0) : 0) + (lastOf(operation) ?? 0);
      if (!keepsSize) this.#files.resize(file, end, isFallocate);
    }
    return { ...operation, file };
  }

  /** What the call means for tasks and descriptor tables. */
  #afterwards(operation: Operation, call: TraceCall, task: TraceTask): void {
    const child = operation.child;
    if (child?.pid !== undefined) {
      const own = this.#tableOf(call.pid);
      const shares = exactAnd(cloneFlags(operation.args), cloneFiles) === cloneFiles;
      this.#tables.set(child.pid, shares ? own : new Map(own));
      const process = child.isThread ? task.process : child.pid;
      this.#addTask({ pid: child.pid, process, parent: call.pid });
      return;
    }
    switch (call.name) {
      case 'execve':
      case 'execveat':
        if (resultNumber(operation) === 0) {
          this.#tables.set(call.pid, closeOnExec(this.#tableOf(call.pid)));
        }
        return;
      case 'exit_group':
        this.#exitedProcesses.add(task.process);
        return;
      case 'exit':
        this.#exited.add(call.pid);
    }
  }

  /** `+++ killed by SIGKILL +++`, or an end that no call announced. */
  #addEnd(call: TraceCall): void {
    const task = this.#task(call.pid);
    if (this.#exited.has(call.pid) || this.#exitedProcesses.has(task.process)) return;
    const [segment] = call.segments;
    if (segment === undefined) return;
    const text = this.#source.text.slice(segment.start, Math.min(segment.end, segment.start + 100));
    const status = /exited with (\d+)/.exec(text)?.[1];
    const signal = /killed by (SIG\w+)/.exec(text)?.[1];
    if (status === undefined && signal === undefined) return;
    const span = spanInLine(segment.line, segment.lineOffset, segment.start, segment.end);
    // As a shell counts it: 128 and the signal.
    const value = status === undefined ? 128 + (constantValue(signal ?? '') ?? 0) : Number(status);
    this.#operations.push({
      kind: 'operation',
      origin: 'trace',
      actor: pidActor(call.pid, span),
      callee: 'exit_group',
      calleeSpan: span,
      args: [{ kind: 'number', value, text: `${value}`, span }],
      expectedResult: { kind: 'none', span },
      ...(call.time === undefined ? {} : { time: call.time }),
      span,
    });
    this.#exitedProcesses.add(task.process);
  }

  #parse(call: TraceCall): Operation | undefined {
    const [first] = call.segments;
    if (first === undefined) return undefined;
    const span = spanInLine(first.line, first.lineOffset, first.start, first.start);
    const cursor = new Cursor(this.#source, tokenize(this.#source.text, call.segments), true);
    try {
      const actor = pidActor(call.pid, span);
      const time = call.time === undefined ? {} : { time: call.time };
      const operation = this.#share(
        readOperation(cursor, { origin: 'trace', actor, span, ...time }),
      );
      const child = childOf(operation.callee, operation.args, operation.expectedResult);
      // A child known by other means than the result: the call's end is not in the log.
      if (call.child === undefined || child === undefined) return operation;
      return { ...operation, child: { ...child, pid: call.child } };
    } catch (error) {
      if (!(error instanceof ScenarioError)) throw error;
      this.#note(call.line, `${call.name} cannot be read: ${error.message}`);
      return undefined;
    }
  }

  /**
   * Arguments that are written alike are one object: of a long log they are most of the memory. Only
   * numbers and flags, which no error can concern later: a shared one stands where it was first.
   */
  #share(operation: Operation): Operation {
    const args = operation.args.map((arg) => this.#shared(arg));
    const result = operation.expectedResult;
    if (result?.kind !== 'value') return { ...operation, args };
    return { ...operation, args, expectedResult: { ...result, value: this.#shared(result.value) } };
  }

  #shared(arg: Expr): Expr {
    if (!isPlain(arg)) return arg;
    const { offset, length } = arg.span;
    if (length > maxSharedLength) return arg;
    const text = this.#source.text.slice(offset, offset + length);
    const known = this.#arguments.get(text);
    if (known?.kind === arg.kind) return known;
    if (this.#arguments.size >= maxShared) this.#arguments.clear();
    this.#arguments.set(text, arg);
    return arg;
  }

  #task(pid: number): TraceTask {
    return this.#tasks.get(pid) ?? this.#addTask({ pid, process: pid });
  }

  #addTask(task: TraceTask): TraceTask {
    this.#tasks.set(task.pid, task);
    this.#seen.push(task);
    // An id that is used again is a new task.
    this.#exited.delete(task.pid);
    if (task.process === task.pid) this.#exitedProcesses.delete(task.pid);
    return task;
  }

  #tableOf(pid: number): Descriptors {
    const known = this.#tables.get(pid);
    if (known) return known;
    const table: Descriptors = new Map();
    this.#tables.set(pid, table);
    return table;
  }

  #note(line: number, message: string): void {
    if (this.#notes.length < maxNotes) this.#notes.push({ line, message });
  }
}

/** Numbers and constants joined with |: nothing that must be evaluated. */
function isPlain(expr: Expr): boolean {
  switch (expr.kind) {
    case 'number':
    case 'constant':
      return true;
    case 'unary':
      return isPlain(expr.operand);
    case 'binary':
      return expr.operator === '|' && isPlain(expr.left) && isPlain(expr.right);
    default:
      return false;
  }
}

function isWanted(name: string): boolean {
  return descriptorCalls.has(name) || (calls.get(name)?.isSystemCall ?? false);
}

function makesTask(name: string): boolean {
  return calls.get(name)?.makesTask ?? false;
}

function pidActor(pid: number, span: Span): Actor {
  return { kind: 'pid', pid, span };
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** `= ? ERESTART…`: interrupted before it did anything; it is called again. */
function wasRestarted(operation: Operation): boolean {
  return operation.expectedResult?.kind === 'none' && !operation.callee.startsWith('exit');
}

function flagsOf(operation: Operation, index: number): number | undefined {
  const arg = operation.args[index];
  return arg && flagsValue(arg);
}

function lastOf(operation: Operation): number | undefined {
  return flagsOf(operation, operation.args.length - 1);
}

function isAnonymous(operation: Operation): boolean {
  return Math.floor((flagsOf(operation, 3) ?? 0) / 0x20) % 2 === 1;
}
