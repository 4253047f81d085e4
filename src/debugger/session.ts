/**
 * A debugging session: one scenario on one machine, and everything the user can do with it. Every
 * front end (TUI, batch, tests) is a client of this class through SessionView.
 *
 * The session runs nothing by itself: a verb (step, continue, goto ...) begins in execute() and is
 * carried on by pump(), so that a front end can draw, and interrupt, between slices.
 */

import { KernelError } from '../linux/kernels.ts';
import type { Command, Expect, Expr, Print } from '../scenario/ast.ts';
import { formatScenarioError, ScenarioError } from '../scenario/errors.ts';
import { printExpr } from '../scenario/print.ts';
import type { ScenarioRun } from '../scenario/run.ts';
import { didYouMean } from '../scenario/suggest.ts';
import { eventAt } from '../sim/event.ts';
import type { Machine } from '../sim/machine.ts';
import { ScheduleError } from '../sim/schedule.ts';
import { siteInfo } from '../sim/site.ts';
import { type Breakpoint, Breakpoints, LocationError } from './breakpoints.ts';
import { CommandError, type CommandSpec } from './command-table.ts';
import { breakpointCommands } from './commands/breakpoints.ts';
import { dataCommands } from './commands/data.ts';
import { runningCommands } from './commands/running.ts';
import { sessionCommands } from './commands/session.ts';
import type { ComparedRun } from './compare.ts';
import { completions } from './completions.ts';
import { ExpressionError, evaluate, formatValue, isTrue, type Scope } from './expression.ts';
import { Inspector } from './inspector.ts';
import { logText } from './log-text.ts';
import { nextLine } from './next-statement.ts';
import { ReverseSearch } from './reverse-search.ts';
import type { SessionOptions } from './session-options.ts';
import { SessionViews } from './session-views.ts';
import type { Verb } from './verbs.ts';
import type {
  Completion,
  FindingView,
  OutputLine,
  SessionView,
  SourceView,
  StatusView,
} from './view.ts';

export const commandTable: readonly CommandSpec[] = [
  ...runningCommands,
  ...breakpointCommands,
  ...dataCommands,
  ...sessionCommands,
];

/** A breakpoint that stops a run, and what was hit. */
interface Hit {
  readonly breakpoint: Breakpoint;
  readonly text: string;
}

export class Session extends SessionViews implements SessionView {
  machine: Machine;
  run: ScenarioRun;
  override inspector: Inspector;
  kernel: string;
  readonly options: SessionOptions;
  readonly commands = commandTable;
  readonly breakpoints = new Breakpoints();
  readonly marks = new Map<string, number>();
  readonly displays: { readonly id: number; readonly text: string; readonly expr: Expr }[] = [];
  /** Frame that up/down selected: 0 is the innermost. */
  frameIndex = 0;
  schedulerLocking: 'off' | 'on' | 'step' = 'step';
  stopOnFinding: boolean;
  /** Steps of the expectations that failed. */
  #failed: number[] = [];
  /** Commands and statements that mean nothing here: faults of what the user wrote. */
  mistakes = 0;
  lastMistake = '';
  /** `FILE:LINE: ` while a statement of the scenario is carried out. */
  #origin = '';
  #output: OutputLine[] = [];
  #verb: Verb | null = null;
  #interrupted = false;
  #stop = '';
  #hit: Hit | null = null;
  #finished = false;
  #last = '';
  #findingsSeen = 0;
  /** Command statements of the scenario already executed, by statement index. */
  readonly #commandsDone = new Set<number>();
  /** Output of expect and print statements already shown. */
  readonly #statementsDone = new Map<number, number>();
  #pendingCommands: string[] = [];
  /** Lines of `source` that are not executed yet: a verb among them runs first. */
  #script: { readonly text: string; readonly at: string }[] = [];
  /** reverse-continue in progress. */
  #search: ReverseSearch | null = null;
  /** Positions before each jump, for back and forward. */
  readonly #past: number[] = [];
  readonly #future: number[] = [];
  #defining: { readonly breakpoint: Breakpoint; readonly lines: string[] } | null = null;

  constructor(options: SessionOptions) {
    super();
    this.options = options;
    this.kernel = options.kernel;
    this.stopOnFinding = options.stopOnFinding ?? true;
    const parts = options.boot(options.kernel);
    this.machine = parts.machine;
    this.run = parts.run;
    this.inspector = new Inspector(parts.machine, parts.run);
    this.rearm();
  }

  /** Starts the scenario again, on another kernel if asked. Breakpoints and marks by name stay. */
  restart(kernel: string): void {
    const parts = this.options.boot(kernel);
    this.kernel = kernel;
    this.machine = parts.machine;
    this.run = parts.run;
    this.inspector = new Inspector(parts.machine, parts.run);
    this.#verb = null;
    this.#finished = false;
    this.#stop = `${this.options.title} on ${kernel}`;
    this.#findingsSeen = 0;
    this.#statementsDone.clear();
    this.#failed = [];
    this.marks.clear();
    this.#past.length = 0;
    this.#future.length = 0;
    this.rearm();
  }

  // ---------------------------------------------------------------- output

  print(text: string, role: OutputLine['role'] = 'text'): void {
    for (const line of text.split('\n')) this.#output.push({ role, text: line });
  }

  takeOutput(): readonly OutputLine[] {
    const lines = this.#output;
    this.#output = [];
    return lines;
  }

  // ---------------------------------------------------------------- commands

  findCommand(word: string): CommandSpec | undefined {
    const exact = commandTable.find((c) => c.names.includes(word));
    if (exact !== undefined) return exact;
    // As gdb: an unambiguous prefix will do.
    const prefixed = commandTable.filter((c) => c.names[0].startsWith(word));
    return prefixed.length === 1 ? prefixed[0] : undefined;
  }

  execute(line: string): void {
    if (this.#defining !== null) {
      this.#define(line.trim());
      return;
    }
    const text = line.trim() === '' ? this.#last : line.trim();
    if (text === '' || text.startsWith('#')) return;
    const [, word = '', args = ''] = /^([\w-]+!?|!)\s*(.*)$/s.exec(text) ?? ['', text, ''];
    const command = this.findCommand(word);
    if (command === undefined) {
      const names = commandTable.flatMap((c) => c.names);
      const hint = didYouMean(word, names);
      this.#mistake(`undefined command: ${word}${hint === undefined ? '; try help' : `; ${hint}`}`);
      return;
    }
    this.#last = command.repeats === true ? text : '';
    this.guard(() => command.run(this, args));
  }

  /** Runs something the user asked for; user errors become output, never exceptions. */
  guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof ScenarioError) this.#mistake(formatScenarioError(error));
      else if (
        error instanceof CommandError ||
        error instanceof LocationError ||
        error instanceof ExpressionError ||
        error instanceof KernelError ||
        error instanceof ScheduleError
      ) {
        this.#mistake(error.message);
      } else throw error;
    }
  }

  #mistake(text: string): void {
    this.mistakes++;
    this.lastMistake = `${this.#origin}${text}`;
    this.print(this.lastMistake, 'error');
  }

  /** Reads `commands` bodies line by line until `end`. */
  beginCommands(breakpoint: Breakpoint): void {
    this.#defining = { breakpoint, lines: [] };
  }

  #define(line: string): void {
    const defining = this.#defining;
    if (defining === null) return;
    if (line !== 'end') {
      defining.lines.push(line);
      return;
    }
    defining.breakpoint.commands = defining.lines;
    this.#defining = null;
  }

  complete(line: string, cursor: number): readonly Completion[] {
    return completions(this, line, cursor);
  }

  // ---------------------------------------------------------------- breakpoints

  rearm(): void {
    const { sites, events } = this.breakpoints.armed();
    this.machine.arm(sites, events, (kind, id) => this.#onBreak(kind, id));
  }

  #onBreak(kind: 'site' | 'event', id: number): void {
    for (const breakpoint of this.breakpoints.list()) {
      if (!breakpoint.enabled) continue;
      const matches =
        kind === 'site'
          ? breakpoint.sites.includes(id)
          : breakpoint.events.includes(eventAt(id).type.id);
      if (!matches || !this.#passes(breakpoint, kind === 'event' ? id : -1)) continue;
      breakpoint.hits++;
      if (breakpoint.ignore > 0) {
        breakpoint.ignore--;
        continue;
      }
      const what =
        kind === 'event'
          ? this.inspector.eventText(id)
          : `${siteInfo(id).fn}() at ${siteInfo(id).file}:${siteInfo(id).line}`;
      if (breakpoint.log !== null) {
        this.print(logText(breakpoint.log, what, () => this.scope(kind === 'event' ? id : -1)));
        continue;
      }
      this.#hit ??= { breakpoint, text: what };
      this.machine.park();
    }
  }

  /** Task filter and condition of a breakpoint, at the moment it is hit. */
  #passes(breakpoint: Breakpoint, event: number): boolean {
    if (breakpoint.task !== null && this.inspector.runningTaskName() !== breakpoint.task)
      return false;
    if (breakpoint.condition === null) return true;
    try {
      const value = evaluate(breakpoint.condition.expr, this.scope(event));
      return isTrue(value);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      this.#mistake(`error in the condition of breakpoint ${breakpoint.id}: ${error.message}`);
      return true;
    }
  }

  /** Names for expressions: the scenario's variables and actors, the fields of an event. */
  scope(event = -1): Scope {
    return this.inspector.scope(this.driverState(), event, this.frameIndex);
  }

  // ---------------------------------------------------------------- running

  /** The driver's state at the current position, which may be in the past. */
  driverState(): ScenarioRun['state'] {
    if (this.machine.atEnd()) return this.run.state;
    const slice = this.machine.currentSlice();
    return (slice?.driver as ScenarioRun['state'] | undefined) ?? this.run.state;
  }

  /** The statement that is in progress here or comes next, by its number in the scenario. */
  statementNumber(): number {
    const { at, flight, race } = this.driverState();
    const over = race === null && flight !== null && this.machine.block(flight.task).op === 0;
    return over && !flight.extra ? at + 1 : at;
  }

  /** The same scenario on another kernel, at its beginning. */
  beside(kernel: string): Session {
    return new Session({ ...this.options, kernel, stopOnFinding: false });
  }

  begin(verb: Verb): void {
    if (this.#verb !== null) throw new CommandError('something is running; interrupt it first');
    this.inspector.beginRun();
    this.frameIndex = 0;
    this.#hit = null;
    this.#interrupted = false;
    this.#verb = verb;
    if (verb.silent === true) this.machine.arm([], [], () => {});
  }

  /** A verb that is over at once, such as a jump back in time. */
  jump(step: number, text: string): void {
    this.#past.push(this.machine.step);
    this.#future.length = 0;
    this.#arrive(step, text);
  }

  #arrive(step: number, text: string): void {
    this.inspector.beginRun();
    this.frameIndex = 0;
    this.machine.seek(step);
    this.#stopped(text);
  }

  /** Goes to the position before (or, with `forward`, after) the last jump. */
  history(forward: boolean): void {
    const from = forward ? this.#future : this.#past;
    const to = forward ? this.#past : this.#future;
    const step = from.pop();
    if (step === undefined)
      throw new CommandError(`no position to go ${forward ? 'forward' : 'back'} to`);
    to.push(this.machine.step);
    this.#arrive(step, `step ${step}`);
  }

  interrupt(): void {
    this.#interrupted = true;
  }

  /** False for a recorded program so long that nothing but its results is kept. */
  get keepsEvents(): boolean {
    return this.options.keepsEvents ?? true;
  }

  /** Expectations of the scenario that failed. */
  get failures(): number {
    return this.#failed.length;
  }

  get busy(): boolean {
    return this.#verb !== null;
  }

  get finished(): boolean {
    return this.#finished && this.machine.atEnd();
  }

  pump(budgetSteps: number): 'running' | 'stopped' {
    const verb = this.#verb;
    if (verb === null) return 'stopped';
    let left = Math.max(1, budgetSteps);
    if (this.#search !== null) return this.#pumpSearch(this.#search, left);
    const watches = verb.silent !== true && this.breakpoints.watchpoints().length > 0;
    try {
      while (left > 0) {
        if (this.#interrupted) return this.#end('Interrupted.');
        const before = this.machine.step;
        const watched = watches ? this.watchValues() : null;
        const ended = this.#advance(watches ? 1 : Math.min(left, verb.every), verb);
        if (ended === null) return this.#end('');
        left -= Math.max(1, this.machine.step - before);
        if (watched !== null) this.#watch(watched);
        if (this.#hit !== null) {
          return this.#end(this.#hitText(this.#hit));
        }
        if (this.machine.findingCount > this.#findingsSeen) {
          const finding = this.machine.findings()[this.#findingsSeen];
          this.#findingsSeen = this.machine.findingCount;
          if (finding !== undefined && this.stopOnFinding && verb.silent !== true) {
            return this.#end(`Finding: ${finding.kind}: ${finding.text}`);
          }
        }
        if (ended !== '') return this.#end(ended);
        if (verb.done()) return this.#end(verb.report?.() ?? '');
      }
    } catch (error) {
      if (error instanceof ScenarioError) {
        this.#finished = true;
        this.#mistake(formatScenarioError(error));
        return this.#end('The scenario cannot go on.');
      }
      throw error;
    }
    return 'running';
  }

  #pumpSearch(search: ReverseSearch, budgetSteps: number): 'running' | 'stopped' {
    for (let left = budgetSteps; left > 0; left -= search.cost) {
      const stop = this.#interrupted ? 'Interrupted.' : search.try();
      if (stop === null) continue;
      this.#search = null;
      return this.#end(stop);
    }
    return 'running';
  }

  /** Runs at most `steps` statements; returns why the whole run is over, else '', or null at the verb's own end. */
  #advance(steps: number, { only, statement }: Verb): string | null {
    const { machine, run } = this;
    if (!machine.atEnd() && machine.replay(steps)) return '';
    if (only !== 0 && run.choosable().includes(only)) run.choose(only);
    const decision = run.next();
    const arrived = statement !== undefined && run.state.at >= statement;
    if (arrived && decision.kind !== 'end') return null;
    switch (decision.kind) {
      case 'run':
        machine.run(decision.task, Math.min(decision.fuel, steps - 1), run.state);
        return '';
      case 'statement':
        this.#statement(decision.statement);
        run.passStatement();
        return '';
      case 'stuck':
        this.#finished = true;
        machine.report('deadlock', decision.text);
        return decision.text;
      case 'end':
        this.#finished = true;
        return 'The scenario has ended.';
    }
  }

  #statement(statement: Command | Expect | Print): void {
    const at = this.run.state.at;
    if (statement.kind === 'command') {
      if (this.#commandsDone.has(at)) return;
      this.#commandsDone.add(at);
      this.#scriptCommand(statement);
      return;
    }
    const done = this.#statementsDone.get(at) === this.machine.step;
    this.#statementsDone.set(at, this.machine.step);
    if (done) return;
    try {
      this.#showOrExpect(statement);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      const { source } = this.run.scenario;
      this.#mistake(
        formatScenarioError(new ScenarioError(source, error.span, { message: error.message })),
      );
    }
  }

  #showOrExpect(statement: Expect | Print): void {
    const { kernels } = statement.kind === 'expect' ? statement : {};
    if (kernels !== undefined && !kernels.some(({ text }) => text === this.kernel)) return;
    const value = evaluate(statement.expr, this.scope());
    if (statement.kind === 'print') {
      this.print(`${this.sourceText(statement.expr)} = ${formatValue(value)}`);
      return;
    }
    if (isTrue(value)) return;
    this.#failed.push(this.machine.step);
    const parts = this.inspector.explain(statement.expr, this.scope());
    this.print(
      `${this.options.file}:${statement.span.line}: expectation failed: ${this.sourceText(statement.expr)}${parts}`,
      'error',
    );
  }

  /** The text of an expression as the scenario has it, with the numbers of a `repeat` in its names. */
  sourceText(expr: Expr): string {
    const { offset, length } = expr.span;
    const text = this.run.scenario.source.text.slice(offset, offset + length);
    return text.includes('{') ? printExpr(expr) : text;
  }

  /** A debugger command in a script: verbs would run the script inside itself and are refused. */
  #scriptCommand(statement: Command): void {
    const command = this.findCommand(statement.word);
    if (command?.group === 'running' || command?.group === 'reverse') {
      this.print(
        `${this.options.file}:${statement.span.line}: ${statement.word} is ignored in a script`,
        'hint',
      );
      return;
    }
    this.#origin = `${this.options.file}:${statement.span.line}: `;
    try {
      this.execute(`${statement.word} ${statement.rest}`.trim());
      for (const line of statement.body ?? []) this.execute(line.text);
      if (statement.body !== undefined) this.execute('end');
    } finally {
      this.#origin = '';
    }
  }

  #watch(before: ReadonlyMap<number, string>): void {
    const now = this.watchValues();
    for (const [id, value] of now) {
      const old = before.get(id);
      const breakpoint = this.breakpoints.get(id);
      if (old === value || old === undefined || breakpoint === undefined) continue;
      breakpoint.hits++;
      if (breakpoint.ignore > 0) {
        breakpoint.ignore--;
        continue;
      }
      this.#hit ??= { breakpoint, text: `${breakpoint.spec}: ${old} -> ${value}` };
    }
  }

  /** What a hit is told as; takes a temporary breakpoint away and lines its commands up. */
  #hitText({ breakpoint, text }: Hit): string {
    if (breakpoint.temporary) this.breakpoints.delete(breakpoint.id);
    this.#pendingCommands = [...breakpoint.commands];
    const kind = breakpoint.kind === 'watch' ? 'watchpoint' : 'breakpoint';
    const label = breakpoint.temporary
      ? `Temporary ${kind}`
      : kind === 'watchpoint'
        ? 'Watchpoint'
        : 'Breakpoint';
    return `${label} ${breakpoint.id}, ${text}`;
  }

  #end(text: string): 'stopped' {
    this.#verb = null;
    // As gdb: what until set is gone at any stop.
    for (const breakpoint of [...this.breakpoints.list()]) {
      if (breakpoint.untilStop === true) this.breakpoints.delete(breakpoint.id);
    }
    this.rearm();
    this.#stopped(text);
    const commands = this.#pendingCommands;
    this.#pendingCommands = [];
    for (const line of commands) this.execute(line);
    this.#runScript();
    return 'stopped';
  }

  /** Executes the lines of a file, those after a verb when it has stopped. A mistake drops the rest. */
  runFile(name: string, text: string): void {
    const lines = text.split('\n').map((line, i) => ({ text: line, at: `${name}:${i + 1}: ` }));
    this.#script = [...lines.filter((line) => !/^\s*(#|$)/.test(line.text)), ...this.#script];
    this.#runScript();
  }

  #runScript(): void {
    while (this.#verb === null) {
      const line = this.#script.shift();
      if (line === undefined) return;
      const before = this.mistakes;
      const origin = this.#origin;
      this.#origin = line.at;
      this.execute(line.text);
      this.#origin = origin;
      if (this.mistakes > before) this.#script = [];
    }
  }

  #stopped(text: string): void {
    this.#findingsSeen = this.machine.findingCount;
    this.machine.revive();
    this.#stop = text;
    if (text !== '') this.print(text, 'stop');
    const here = this.inspector.position();
    if (here !== '') this.print(here, 'stop');
    for (const display of this.displays) {
      this.guard(() => {
        this.print(
          `${display.id}: ${display.text} = ${formatValue(evaluate(display.expr, this.scope()))}`,
        );
      });
    }
  }

  /** Begins the search for the previous stop; pump() carries it on. */
  reverseContinue(): void {
    const search = new ReverseSearch(this);
    this.begin({ name: 'reverse-continue', every: 1, only: 0, done: () => false });
    this.#past.push(this.machine.step);
    this.#search = search;
  }

  watchValues(): ReadonlyMap<number, string> {
    return this.inspector.watchValues(this.breakpoints, this.scope());
  }

  tryStatement(step: number): string | null {
    this.machine.seek(step);
    this.rearm();
    this.#hit = null;
    this.machine.replay(1);
    const hit = this.#hit as Hit | null;
    return hit === null ? null : this.#hitText(hit);
  }

  /** Tasks that could run next at the current position, which may be in the past. */
  choosable(): readonly number[] {
    return this.run.choosable(this.driverState());
  }

  /** Throws the future away and makes `task` run next. */
  divert(task: number): void {
    if (!this.choosable().includes(task)) {
      throw new CommandError('that task cannot run here: `choices` lists those that can');
    }
    if (!this.machine.atEnd()) {
      this.machine.truncate();
      this.inspector.forget();
      this.run.restore(this.machine.slices.at(-1)?.driver);
      // What is no longer history did not happen.
      this.#failed = this.#failed.filter((step) => step <= this.machine.step);
      for (const [at, step] of this.#statementsDone) {
        if (step > this.machine.step) this.#statementsDone.delete(at);
      }
      this.#finished = false;
    }
    this.run.choose(task);
  }

  // ---------------------------------------------------------------- views

  status(): StatusView {
    const { machine, run } = this;
    const state = this.driverState();
    const statement = run.statement(state);
    const line = state.flight?.operation.span.line ?? statement?.span.line ?? 0;
    return {
      title: this.options.title,
      file: this.options.file,
      kernel: this.kernel,
      step: machine.step,
      lastStep: machine.endStep,
      ...this.inspector.where(),
      statement: { line, text: this.inspector.lineText(line) },
      stop: this.#stop,
      running: this.#verb !== null,
      finished: this.finished,
      findings: this.findings(),
      marks: [...this.marks].map(([name, step]) => ({ name, step })),
    };
  }

  findings(): readonly FindingView[] {
    return this.machine.findings().map((f) => ({
      kind: f.kind,
      step: f.step,
      task: this.machine.names[f.task] ?? '',
      text: f.text,
      evidence: f.evidence,
    }));
  }

  source(): SourceView {
    const view = this.inspector.source(this.frameIndex, this.breakpoints);
    return view.line > 0 ? view : this.#scenarioSource(view);
  }

  /** Outside the kernel: the scenario, and the statement that runs or comes next. */
  #scenarioSource(view: SourceView): SourceView {
    const { options, inspector } = this;
    const line = nextLine(this.run.scenario.statements, this.driverState());
    return { ...view, file: options.file, line, lines: inspector.lines, isScenario: true };
  }

  /** Runs the scenario on other kernels, beside this session. */
  compare(kernels: readonly string[]): readonly ComparedRun[] {
    const { compare } = this.options;
    if (compare === undefined) throw new CommandError('there is nothing to compare here');
    this.compared = compare(kernels);
    this.machine.activate();
    return this.compared;
  }
}
