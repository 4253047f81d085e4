/**
 * The driver: carries out a scenario on a machine. It decides what runs next (`next()`); whoever owns
 * the machine runs it. All of its state is one immutable value, kept with every slice of history, so
 * that after going back and taking another way the driver goes back too.
 *
 * Outside `race` one operation runs at a time, to its end. An operation that cannot go on (vfork waits
 * for its child) stays in flight while the next lines run, and is finished as soon as it can be.
 */
import { assert } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import { taskByPid } from '../linux/describe.ts';
import { IS_ERR_VALUE } from '../linux/errno.ts';
import type { kernel } from '../linux/kernel.ts';
import { ENDLESS } from '../sim/cpu.ts';
import type { Machine, Operation as MachineOperation } from '../sim/machine.ts';
import {
  parseSchedule,
  type Schedule,
  ScheduleError,
  type ScheduleSlice,
} from '../sim/schedule.ts';
import { conditionById } from '../sim/wait.ts';
import { type ArgumentValue, evaluateArgument, type Names } from './arguments.ts';
import type {
  Actor,
  Command,
  Expect,
  Expr,
  Operation,
  Print,
  Race,
  Scenario,
  Statement,
} from './ast.ts';
import { isKernelThread } from './ast.ts';
import { errnoName } from './errno.ts';
import { ScenarioError } from './errors.ts';
import { LeftOut } from './left-out.ts';
import { printOperation } from './print.ts';
import { didYouMean } from './suggest.ts';
import { orderVforks } from './trace-order.ts';
import {
  afterTraceOperation,
  prepareTraceOperation,
  type TouchPolicy,
  traceOperationOptions,
} from './trace-run.ts';
import { isSimulated, notSimulated } from './unsimulated.ts';

/** One operation in flight, and the statement that it belongs to. */
export interface Flight {
  readonly task: number;
  readonly operation: Operation;
  /** Made by the driver (a touch, an inferred image mapping), not written in the scenario. */
  readonly extra: boolean;
}

/** A race in progress: the operations each task still has to do, and who runs now. */
interface RaceState {
  readonly statement: Race;
  /** Task of each column, in order of first appearance: the ordinals of a schedule. */
  readonly tasks: readonly number[];
  readonly queues: readonly (readonly Operation[])[];
  /** How many of each queue have begun. */
  readonly begun: readonly number[];
  readonly flights: readonly (Flight | null)[];
  /** Column that runs, and the machine step at which the decision ends. */
  readonly column: number;
  readonly until: number;
  /** When set, the decision ends with this operation instead (or when it blocks). */
  readonly whole: Flight | null;
  /** Decisions made so far in this race. */
  readonly picks: number;
  /** The interleaving that `--schedule`, or else a `schedule` line of the race, fixes; null for none. */
  readonly plan: readonly ScheduleSlice[] | null;
}

/** A list linked forwards: thousands of touches may follow one mmap, and each state keeps its own rest. */
interface Queued {
  readonly task: number;
  readonly operation: Operation;
  readonly next: Queued | null;
}

/** Everything the driver must go back to. */
export interface RunState {
  /** Index of the statement to do next (or being done). */
  readonly at: number;
  readonly variables: ReadonlyMap<string, number>;
  readonly actors: ReadonlyMap<string, number>;
  readonly flight: Flight | null;
  /** Operations that wait for something only later lines bring about. */
  readonly waiting: readonly Flight[];
  /** Operations to do before the next statement. */
  readonly queue: Queued | null;
  readonly race: RaceState | null;
  /** Races finished: index into the schedule. */
  readonly races: number;
  /** Operations after which the judges looked. */
  readonly judged: number;
  /** Calls of a script's processes that failed, and no result was expected of them. */
  readonly unasked: number;
}

export type Decision =
  | { readonly kind: 'run'; readonly task: number; readonly fuel: number }
  /** The caller evaluates it, then calls passStatement(). */
  | { readonly kind: 'statement'; readonly statement: Command | Expect | Print }
  | { readonly kind: 'stuck'; readonly text: string }
  | { readonly kind: 'end' };

/** A result that differs from what the scenario or the trace says. */
export interface Report {
  readonly kind: 'expectation' | 'divergence';
  readonly line: number;
  readonly step: number;
  readonly text: string;
}

export interface RunOptions {
  /** Without a schedule: 0 runs the tasks of a race one after the other, else a random interleaving. */
  readonly seed?: number;
  readonly schedule?: Schedule;
  readonly touch?: TouchPolicy;
  /** Creates the first process; returns its task. */
  readonly spawnFirst: (name: string) => number;
  /** Creates (or finds) a kernel thread. */
  readonly spawnKernelThread: (name: string) => number;
  /**
   * Called when an operation has finished, before its result is used: the judges' moment. `last`: it
   * belongs to the scenario's last statement. Returns whether the state was judged.
   */
  readonly operationDone?: (last: boolean) => boolean;
}

/** `operations` of one task, then what is queued already. */
function queueOf(
  task: number,
  operations: readonly Operation[],
  then: Queued | null,
): Queued | null {
  return operations.reduceRight<Queued | null>(
    (next, operation) => ({ task, operation, next }),
    then,
  );
}

const start: RunState = {
  at: 0,
  variables: new Map(),
  actors: new Map(),
  flight: null,
  waiting: [],
  queue: null,
  race: null,
  races: 0,
  judged: 0,
  unasked: 0,
};

/** Longest random slice of a race, in steps. */
const maxRandomSlice = 40;

export class ScenarioRun {
  readonly scenario: Scenario;
  readonly machine: Machine;
  readonly #options: RunOptions;
  readonly #reports = new Map<string, Report>();
  /** Recorded calls left out because nothing simulates them: name to count. */
  readonly unsimulated = new LeftOut();
  state: RunState = start;
  /** A task the user chose to run next in the current race, or 0. */
  #chosen = 0;

  constructor(scenario: Scenario, machine: Machine, options: RunOptions) {
    this.scenario =
      scenario.origin === 'trace'
        ? { ...scenario, statements: orderVforks(scenario.statements) }
        : scenario;
    this.machine = machine;
    this.#options = options;
  }

  /** Differences found up to the current step, in order of step. */
  reports(): readonly Report[] {
    const step = this.machine.step;
    return [...this.#reports.values()].filter((r) => r.step <= step);
  }

  #report(kind: Report['kind'], line: number, text: string): void {
    const step = this.machine.step;
    this.#reports.set(`${line}:${text}`, { kind, line, step, text });
  }

  /** Statement being done or to be done next, or null at the end. */
  statement(state: RunState = this.state): Statement | null {
    return this.scenario.statements[state.at] ?? null;
  }

  names(state: RunState = this.state): Names {
    return { variables: state.variables, actors: state.actors };
  }

  /** Goes back to a state that was handed to Machine.run() as `driver`. */
  restore(state: unknown): void {
    this.state = (state as RunState | undefined) ?? start;
    this.unsimulated.forgetAfter(this.machine.step);
    for (const [key, report] of this.#reports) {
      if (report.step > this.machine.step) this.#reports.delete(key);
    }
  }

  /** Runs `task` next in the race in progress. */
  choose(task: number): void {
    this.#chosen = task;
    const race = this.state.race;
    if (race !== null) {
      this.state = { ...this.state, race: { ...race, until: this.machine.step, whole: null } };
    }
  }

  /**
   * Tasks of the race in progress that could run now; empty outside a race. `state` is the driver's at
   * the machine's current step.
   */
  choosable(state: RunState = this.state): readonly number[] {
    if (state.race === null) return [];
    return state.race.tasks.filter(
      (task) => this.machine.block(task).op !== 0 && this.machine.enabled(task),
    );
  }

  /** The caller has dealt with the statement that next() returned. */
  passStatement(): void {
    this.state = { ...this.state, at: this.state.at + 1 };
  }

  /**
   * What must happen next. Starts operations on the machine as needed; the machine must be at the end
   * of its history. Throws ScenarioError when the scenario cannot go on.
   */
  next(): Decision {
    for (;;) {
      if (this.state.race !== null) {
        const decision = this.#nextInRace(this.state.race);
        if (decision !== null) return decision;
        continue;
      }
      const waiting = this.#wake();
      if (waiting !== null) return waiting;
      const { flight } = this.state;
      if (flight !== null) {
        if (this.machine.block(flight.task).op !== 0) {
          if (this.machine.enabled(flight.task)) {
            return { kind: 'run', task: flight.task, fuel: ENDLESS };
          }
          // vfork: later lines are the child's.
          this.state = { ...this.state, flight: null, waiting: [...this.state.waiting, flight] };
          if (!flight.extra) this.passStatement();
          continue;
        }
        this.state = { ...this.state, flight: null };
        this.#finish(flight);
        if (!flight.extra) this.passStatement();
        continue;
      }
      const queued = this.state.queue;
      if (queued !== null) {
        this.state = { ...this.state, queue: queued.next };
        this.#begin(queued.task, queued.operation, true);
        continue;
      }
      const statement = this.statement();
      if (statement === null) {
        const stuck = this.state.waiting[0];
        if (stuck === undefined) return { kind: 'end' };
        return {
          kind: 'stuck',
          text: `${stuck.operation.callee}() never finished: nothing is left to wake it`,
        };
      }
      switch (statement.kind) {
        case 'operation':
          this.#startOperation(statement);
          break;
        case 'race':
          this.#startRace(statement);
          break;
        case 'expect':
        case 'print':
        case 'command':
          return { kind: 'statement', statement };
        default:
          this.passStatement();
      }
    }
  }

  /** Runs or finishes an operation that waited and now can go on. */
  #wake(): Decision | null {
    for (const flight of this.state.waiting) {
      if (this.machine.block(flight.task).op === 0) {
        this.state = { ...this.state, waiting: this.state.waiting.filter((f) => f !== flight) };
        this.#finish(flight);
        return this.#wake();
      }
      if (this.machine.enabled(flight.task))
        return { kind: 'run', task: flight.task, fuel: ENDLESS };
    }
    return null;
  }

  // ---------------------------------------------------------------- operations

  #task(actor: Actor, operation: Operation): number {
    const name =
      actor.kind === 'first' ? '' : actor.kind === 'pid' ? String(actor.pid) : actor.name;
    if (actor.kind === 'kthread') {
      const known = this.state.actors.get(name);
      return known ?? this.#addActor(name, this.#options.spawnKernelThread(name));
    }
    const first = this.#firstProcess();
    const key = name === '' ? (first ?? 'A') : name;
    const known = this.state.actors.get(key) ?? this.#born(key);
    if (known !== undefined) return known;
    if (first === null) return this.#addActor(key, this.#options.spawnFirst(key));
    const span = actor.kind === 'first' ? operation.span : actor.span;
    throw new ScenarioError(this.scenario.source, span, {
      message: `no process or thread is called ${key} here`,
      expected: `one of ${[...this.state.actors.keys()].join(', ')}`,
      hint: didYouMean(key, this.state.actors.keys()) ?? `make it first: ${key} = fork()`,
    });
  }

  /** Name of the first actor that is no kernel thread, or null. */
  #firstProcess(): string | null {
    for (const name of this.state.actors.keys()) if (!isKernelThread(name)) return name;
    return null;
  }

  /** A child whose parent is still inside vfork(): named by the call, not bound by its result yet. */
  #born(name: string): number | undefined {
    for (let id = this.machine.taskCount(); id > 0; id--) {
      if (this.machine.names[id] === name) return this.#addActor(name, id);
    }
    return undefined;
  }

  #addActor(name: string, task: number): number {
    const actors = new Map(this.state.actors).set(name, task);
    this.state = { ...this.state, actors };
    return task;
  }

  #startOperation(operation: Operation): void {
    if (!isSimulated(this.#kernel(), operation)) {
      this.#unsimulated(operation);
      return;
    }
    const task = this.#task(operation.actor, operation);
    const extra = prepareTraceOperation(this, task, operation);
    if (extra.length > 0) {
      this.state = { ...this.state, queue: queueOf(task, extra, null) };
      return;
    }
    this.#begin(task, operation, false);
  }

  #kernel(): kernel {
    return this.machine.config.kernel as kernel;
  }

  /** A call of the language that this kernel has no function for yet: an error in a script, skipped in a trace. */
  #unsimulated(operation: Operation): void {
    if (operation.origin === 'script') throw this.#notSimulated(operation);
    this.unsimulated.add(operation.callee, this.machine.step);
    this.passStatement();
  }

  #notSimulated(operation: Operation): ScenarioError {
    return notSimulated(this.#kernel(), this.scenario.source, operation);
  }

  #ended(task: number, operation: Operation): ScenarioError {
    const oopsed = this.machine.findings().some((f) => f.kind === 'oops' && f.task === task);
    return new ScenarioError(this.scenario.source, operation.span, {
      message: 'this task has ended',
      hint: oopsed ? 'an oops in the kernel ended it' : undefined,
    });
  }

  #machineOperation(operation: Operation): MachineOperation {
    const names = this.names();
    const args: ArgumentValue[] = operation.args.map((arg) =>
      evaluateArgument(arg, names, this.scenario.source),
    );
    const given = operation.origin === 'trace' ? traceOperationOptions(this, operation) : {};
    const childName = operation.bind?.text ?? operation.child?.pid;
    const options =
      makesTask.has(operation.callee) && childName !== undefined
        ? { ...given, name: String(childName) }
        : given;
    return {
      name: operation.callee,
      args,
      options,
      text: printOperation(operation),
      line: operation.span.line,
    };
  }

  #begin(task: number, operation: Operation, extra: boolean): void {
    const block = this.machine.block(task);
    if (block.op !== 0) {
      throw new ScenarioError(this.scenario.source, operation.span, {
        message: 'this task is still inside an operation',
        hint: `it waits in ${this.machine.operationOf(task)?.text ?? '?'}`,
      });
    }
    if (block.dead === 1) throw this.#ended(task, operation);
    const machineOperation = this.#machineOperation(operation);
    const child = machineOperation.options?.name;
    // A pid, or a name, that is used again is a new task.
    if (typeof child === 'string' && this.state.actors.has(child)) {
      const actors = new Map(this.state.actors);
      actors.delete(child);
      this.state = { ...this.state, actors };
    }
    this.machine.begin(task, machineOperation);
    this.state = { ...this.state, flight: { task, operation, extra } };
  }

  /** Uses the result of a finished operation: names, expectations, the trace's follow-up. */
  #finish(flight: Flight): void {
    const { operation, task } = flight;
    const result = this.machine.block(task).result;
    const last = this.state.at >= this.scenario.statements.length - 1;
    if (this.#options.operationDone?.(last) === true) {
      this.state = { ...this.state, judged: this.state.judged + 1 };
    }
    if (operation.bind !== undefined) this.#bind(operation, result);
    this.#compare(operation, result);
    const isAsked = operation.expectedResult !== undefined || operation.actor.kind === 'kthread';
    if (operation.origin === 'script' && !isAsked && IS_ERR_VALUE(result)) {
      this.state = { ...this.state, unasked: this.state.unasked + 1 };
    }
    if (flight.extra) return;
    const follow = afterTraceOperation(
      this,
      task,
      operation,
      result,
      this.#options.touch ?? 'writable',
    );
    if (follow.length > 0) {
      this.state = { ...this.state, queue: queueOf(task, follow, this.state.queue) };
    }
  }

  #bind(operation: Operation, result: number): void {
    const name = operation.bind?.text ?? '';
    if (result >= 0 && makesTask.has(operation.callee)) {
      this.#nameChild(name, result);
    } else {
      const variables = new Map(this.state.variables).set(name, result);
      this.state = { ...this.state, variables };
    }
  }

  /** Names the task that a call made; it may have ended already (vfork), and then has no pid any more. */
  #nameChild(name: string, pid: number): void {
    if (this.state.actors.has(name)) return;
    const task = taskByPid(this.machine, pid);
    if (task > 0) this.#addActor(name, task);
    else this.#born(name);
  }

  /** Names the task that a recorded fork made. */
  addPid(pid: number, result: number): void {
    this.#nameChild(String(pid), result);
  }

  #compare(operation: Operation, result: number): void {
    const expected = operation.expectedResult;
    if (expected === undefined || expected.kind === 'none') return;
    const got = IS_ERR_VALUE(result) ? errnoName(-result) : String(result);
    let wanted: string;
    let same: boolean;
    if (expected.kind === 'errno') {
      wanted = expected.name;
      same = result === -expected.errno;
    } else if (expected.kind === 'signal') {
      wanted = expected.name;
      same = got === expected.name || (result < 0 && got === 'EFAULT');
    } else {
      const value = this.#expectedValue(expected.value);
      wanted = String(value);
      // A recorded pid or descriptor names something; the machine numbers its own.
      same =
        makesTask.has(operation.callee) || operation.callee.startsWith('open')
          ? result >= 0
          : result === value;
    }
    if (same) return;
    const kind = operation.origin === 'trace' ? 'divergence' : 'expectation';
    const shown = (text: string): string =>
      /^\d{5,}$/.test(text) ? `0x${Number(text).toString(16)}` : text;
    this.#report(
      kind,
      operation.span.line,
      `${operation.callee}() returned ${shown(got)}, the ${operation.origin} says ${shown(wanted)}`,
    );
  }

  #expectedValue(expr: Expr): number {
    const value = evaluateArgument(expr, this.names(), this.scenario.source);
    assert(typeof value === 'number', 'a result is a number');
    return value;
  }

  // ---------------------------------------------------------------- races

  /**
   * What a `schedule` line of the race fixes. The hash in its word is not looked at: the word stands in
   * the very text that it would be the hash of.
   */
  #planOf(statement: Race): readonly ScheduleSlice[] | null {
    const line = statement.body.find((item) => item.kind === 'schedule');
    if (line === undefined) return null;
    const fail = (message: string): ScenarioError =>
      new ScenarioError(this.scenario.source, line.span, {
        message,
        expected: 'a word that the debugger command `schedule` or `rmapdbg run --seed N` printed',
      });
    try {
      const schedule = parseSchedule(line.word);
      const { name } = this.machine.config.kernel as { readonly name: string };
      if (schedule.kernel !== name) {
        throw fail(`this schedule was made on kernel ${schedule.kernel}, this run is on ${name}`);
      }
      return schedule.races[this.state.races] ?? schedule.races[0] ?? null;
    } catch (error) {
      if (error instanceof ScheduleError) throw fail(error.message);
      throw error;
    }
  }

  #startRace(statement: Race): void {
    const tasks: number[] = [];
    const queues: Operation[][] = [];
    for (const item of statement.body) {
      if (item.kind !== 'operation') continue;
      if (!isSimulated(this.#kernel(), item)) throw this.#notSimulated(item);
      const task = this.#task(item.actor, item);
      if (this.machine.block(task).dead === 1) throw this.#ended(task, item);
      let column = tasks.indexOf(task);
      if (column < 0) {
        column = tasks.push(task) - 1;
        queues.push([]);
      }
      queues[column]?.push(item);
    }
    const plan = this.#options.schedule?.races[this.state.races] ?? this.#planOf(statement);
    this.state = {
      ...this.state,
      race: {
        plan,
        statement,
        tasks,
        queues,
        begun: tasks.map(() => 0),
        flights: tasks.map(() => null),
        column: -1,
        until: 0,
        whole: null,
        picks: 0,
      },
    };
  }

  #nextInRace(race: RaceState): Decision | null {
    // Finish what has finished; begin what each free task does next.
    for (const [column, task] of race.tasks.entries()) {
      const flight = race.flights[column] ?? null;
      if (flight !== null && this.machine.block(task).op === 0) {
        this.#setRace({ ...race, flights: race.flights.with(column, null) });
        this.#finish(flight);
        return null;
      }
      const begun = race.begun[column] ?? 0;
      const operation = race.queues[column]?.[begun];
      if (flight === null && operation !== undefined && this.machine.block(task).dead === 0) {
        this.#begin(task, operation, false);
        this.state = { ...this.state, flight: null };
        const flights = race.flights.with(column, { task, operation, extra: false });
        this.#setRace({ ...race, begun: race.begun.with(column, begun + 1), flights });
        return null;
      }
    }
    if (race.flights.every((flight) => flight === null)) {
      this.state = { ...this.state, race: null, races: this.state.races + 1 };
      this.passStatement();
      return null;
    }
    const enabled = race.tasks.filter(
      (task, column) => race.flights[column] !== null && this.machine.enabled(task),
    );
    if (enabled.length === 0) {
      if (this.#leaveRace(race)) return null;
      const waits = race.tasks
        .filter((task) => this.machine.block(task).op !== 0)
        .map((task) => this.machine.names[task] ?? String(task));
      return { kind: 'stuck', text: `deadlock: ${waits.join(', ')} wait for each other` };
    }
    const current = race.tasks[race.column];
    if (current !== undefined && enabled.includes(current)) {
      if (race.whole !== null && race.whole === race.flights[race.column]) {
        return { kind: 'run', task: current, fuel: ENDLESS };
      }
      const left = race.until - this.machine.step;
      if (left > 0) return { kind: 'run', task: current, fuel: left - 1 };
    }
    const { task, steps } = this.#pick(race, enabled);
    const column = race.tasks.indexOf(task);
    this.#setRace({
      ...race,
      column,
      until: this.machine.step + steps,
      whole: steps === 0 ? (race.flights[column] ?? null) : null,
      picks: race.picks + 1,
    });
    return null;
  }

  /** Ends a race in which all that is left waits for a process outside it (vfork): later lines are the child's. */
  #leaveRace(race: RaceState): boolean {
    const left = race.flights.filter((flight) => flight !== null);
    const waitsForProcess = ({ task }: Flight): boolean =>
      conditionById(this.machine.block(task).wait_kind).name === 'completion';
    if (race.queues.some((queue, n) => queue.length > (race.begun[n] ?? 0))) return false;
    if (!left.every(waitsForProcess)) return false;
    this.state = {
      ...this.state,
      race: null,
      races: this.state.races + 1,
      waiting: [...this.state.waiting, ...left],
    };
    this.passStatement();
    return true;
  }

  #setRace(race: RaceState): void {
    this.state = { ...this.state, race };
  }

  /** The task to run next and for how many steps; 0 = until its operation ends or blocks. */
  #pick(race: RaceState, enabled: readonly number[]): { task: number; steps: number } {
    if (this.#chosen !== 0 && enabled.includes(this.#chosen)) {
      const task = this.#chosen;
      this.#chosen = 0;
      return { task, steps: 0 };
    }
    const planned = race.plan?.[race.picks];
    if (planned !== undefined) {
      const task = race.tasks[planned.task];
      if (task !== undefined && enabled.includes(task)) return { task, steps: planned.steps };
      const { line } = race.statement.span;
      this.#report(
        'divergence',
        line,
        `entry ${race.picks + 1} of the schedule names a task that cannot run here`,
      );
    }
    const seed = this.#options.seed ?? 0;
    if (seed === 0) return { task: enabled[0] as number, steps: 0 };
    // Stateless: the same race position always draws the same numbers.
    const prng = new Prng(Math.imul(seed, 0x9e3779b1) ^ (this.state.races * 0x10001 + race.picks));
    return { task: prng.pick(enabled), steps: 1 + prng.below(maxRandomSlice) };
  }
}

const makesTask: ReadonlySet<string> = new Set(['fork', 'vfork', 'clone', 'clone3']);
