/**
 * A machine: memory, tasks, operations in flight and the recorded history of how they were
 * scheduled. One machine is active at a time (cpu.ts); every method activates its machine first.
 *
 * History is a list of slices: "task T ran until it parked, blocked, finished or died". State at any
 * past step is an undo or redo of the journal. To *run on* from there the generators of the
 * operations in flight are rebuilt: their slices are executed again from the earliest start, while
 * everybody else's writes are redone from the journal.
 *
 * "State at step N" is the state right after the N-th mark: a task is parked before that statement.
 */
import { assert, InternalError } from '../base/assert.ts';
import { CHOICE_COUNT, type Chooser, choices } from './choice.ts';
import {
  cpu,
  ENDLESS,
  FRAME_WORDS,
  log_finding,
  MAX_DEPTH,
  redo_to,
  undo_to,
  write_heap,
} from './cpu.ts';
import { allEvents, type EventLog, eventLog, newEventLog } from './event.ts';
import { type Finding, findingSink, reportFinding, reportOops } from './finding.ts';
import {
  entryAfterMark,
  findMarkBack,
  framesBack,
  type LastWrite,
  lastMarkBack,
  lastWriteBack,
  type Mark,
} from './history.ts';
import type { MachineConfig, Operation } from './operation.ts';
import { siteCount } from './site.ts';
import { type Frame, newThread, type Slice, type SliceEnd, type Thread } from './slice.ts';
import { memoryHash, traceHash } from './state-hash.ts';
import { initHeap } from './struct.ts';
import { allocTaskBlock, type sim_task, taskBlocks } from './task.ts';
import { conditionById } from './wait.ts';

export type { MachineConfig, Operation } from './operation.ts';
export type { Frame, Slice, SliceEnd } from './slice.ts';

const DEFAULT_HISTORY = 1 << 24;

let active: Machine | null = null;

/** The active machine. Only for src/linux's view of its own configuration. */
export function activeMachine(): Machine {
  assert(active !== null, 'no machine is active');
  return active;
}

export class Machine {
  readonly config: MachineConfig;
  readonly operations: Operation[] = [];
  readonly slices: Slice[] = [];
  readonly #blocks: (sim_task | undefined)[] = [undefined];
  readonly #threads: Thread[] = [newThread()];
  readonly names: string[] = [''];
  /** Events that the judges have followed so far; cut with the log (truncate). */
  eventsJudged = 0;
  /** By number; `cpu.finding_count` says how many are current. */
  readonly #findings: Finding[] = [];
  #chooser: Chooser;
  /** Every choice made, by number, so that re-execution chooses the same again. */
  readonly #choices: number[] = [];
  #saved: Partial<typeof cpu> = {};
  #events: EventLog = newEventLog(0);
  /** Slice the live generators are in; slices.length at the end of history. */
  #cursor = 0;
  /** False after a seek: memory is at some step, generators are not. */
  #live = true;
  /** End of history; up to date whenever the current position is not the end. */
  #endStep = 0;
  #endJournal = 0;
  /** Highest journal position ever reached before the current end: decides what the ring has dropped. */
  #top = 0;
  /** Slice with which each started operation began, by operation. */
  readonly #startOf: (number | undefined)[] = [];
  /** Where history begins, for the ring and end it was computed for. */
  #first = { oldest: 0, slices: 0, end: 0, slice: 0 };
  #bootStep = 0;

  constructor(config: MachineConfig) {
    this.config = config;
    this.#chooser = () => 0;
    const capacity = config.historyEntries ?? DEFAULT_HISTORY;
    this.#saved = {
      heap: new Float64Array(1 << 14),
      pte: new Uint32Array(512 * 16),
      frame: new Int32Array(config.frames * FRAME_WORDS),
      frame_index: new Float64Array(config.frames),
      handles: [null],
      frame_handles: new Array<unknown>(config.frames).fill(undefined),
      recording: false,
      journal_at: new Uint32Array(1 << 12),
      journal_value: new Float64Array(1 << 12),
      journal_mask: (1 << 12) - 1,
      journal_count: 0,
      journal_limit: 1 << 12,
      grow_journal: () => this.#growJournal(capacity),
      step_index: new Float64Array(0),
      step: 0,
      fuel: 0,
      task: 0,
      depth: 0,
      frames: new Int32Array(MAX_DEPTH),
      locals: [],
      site_break: new Uint8Array(siteCount()),
      event_break: new Uint8Array(allEvents().length),
      event_count: 0,
      finding_count: 0,
      on_break: () => {},
    };
    this.activate();
    initHeap();
    config.boot();
    cpu.recording = config.recording ?? true;
    cpu.journal_count = 0;
    this.#bootStep = cpu.step;
    this.#endStep = cpu.step;
  }

  /** Makes this machine the one that `cpu` and all handles speak of. */
  activate(): void {
    if (active === this) return;
    if (active !== null) active.#save();
    Object.assign(cpu, this.#saved);
    this.#saved = {};
    taskBlocks.byId = this.#blocks;
    eventLog.active = this.#events;
    choices.decide = (kind, count, nth) => this.#choose(kind, count, nth);
    findingSink.report = (finding) => this.#report(finding);
    active = this;
  }

  #save(): void {
    this.#saved = { ...cpu };
  }

  #growJournal(capacity: number): void {
    const length = cpu.journal_at.length;
    if (length >= capacity) {
      // The ring is full: from here on each entry drops the oldest one.
      cpu.journal_limit = Number.MAX_SAFE_INTEGER;
      return;
    }
    const at = new Uint32Array(length * 2);
    at.set(cpu.journal_at);
    const value = new Float64Array(length * 2);
    value.set(cpu.journal_value);
    cpu.journal_at = at;
    cpu.journal_value = value;
    cpu.journal_mask = length * 2 - 1;
    cpu.journal_limit = length * 2;
  }

  /** A finding is a journal entry like an event: it goes and comes back with the steps around it. */
  #report(finding: Finding): void {
    // A look at the past from outside (a view, a judge) makes no history.
    if (cpu.task === 0 && !this.atEnd()) return;
    for (let n = cpu.finding_count - 1; n >= 0; n--) {
      const known = this.#findings[n] as Finding;
      if (known.step !== finding.step) break;
      if (known.kind === finding.kind && known.text === finding.text) return;
    }
    this.#findings[cpu.finding_count] = finding;
    log_finding();
  }

  /** Adds a finding of the driver's or a judge's at the end of history. */
  report(kind: string, text: string, evidence: readonly string[] = []): void {
    this.activate();
    reportFinding(kind, text, evidence);
  }

  /** How many findings() there are. */
  get findingCount(): number {
    this.activate();
    return cpu.finding_count;
  }

  /** Findings up to the current position, oldest first. */
  findings(): readonly Finding[] {
    this.activate();
    return this.#findings.slice(0, cpu.finding_count);
  }

  #choose(kind: string, count: number, nth: number): number {
    const made = this.#choices[nth];
    if (made !== undefined) return made;
    const value = this.#chooser(kind, count, nth);
    assert(value >= 0 && value < count, `choice ${nth} (${kind}) of ${count} was ${value}`);
    this.#choices[nth] = value;
    return value;
  }

  /** Alternatives taken by the choices up to the current position, by number; 0 is the undramatic one. */
  choices(): readonly number[] {
    this.activate();
    return this.#choices.slice(0, cpu.heap[CHOICE_COUNT] as number);
  }

  get step(): number {
    this.activate();
    return cpu.step;
  }

  /** Last step that history knows. */
  get endStep(): number {
    this.activate();
    return this.atEnd() ? cpu.step : this.#endStep;
  }

  /** First journal entry that the ring still holds. */
  #oldest(): number {
    return Math.max(0, Math.max(this.#top, cpu.journal_count) - cpu.journal_at.length);
  }

  /**
   * Slice before which the reachable history begins: after it the ring holds everything that
   * executed, back to the start of every operation in flight.
   */
  #firstSlice(): number {
    const oldest = this.#oldest();
    if (oldest === 0) return 0;
    const end = this.atEnd() ? cpu.journal_count : this.#endJournal;
    const known = this.#first;
    if (known.oldest === oldest && known.slices === this.slices.length && known.end === end) {
      return known.slice;
    }
    let slice = 0;
    const tasks = new Set<number>();
    for (let i = this.slices.length - 1; i >= 0; i--) {
      const here = this.slices[i] as Slice;
      const start = this.slices[this.#startOf[here.operation] as number] as Slice;
      const unfinished = !tasks.has(here.task) && here.end !== 'done' && here.end !== 'oops';
      tasks.add(here.task);
      if (start.journal >= oldest) continue;
      slice = Math.max(slice, unfinished ? this.slices.length : i + 1);
    }
    this.#first = { oldest, slices: this.slices.length, end, slice };
    return slice;
  }

  /** First step that can still be reached by going back. */
  get firstStep(): number {
    this.activate();
    const first = this.#firstSlice();
    if (first === 0) return this.#bootStep;
    return this.slices[first]?.step ?? (this.atEnd() ? cpu.step : this.#endStep);
  }

  /** Whether the current state is the latest one: running on makes new history. */
  atEnd(): boolean {
    return this.#live && this.#cursor >= this.slices.length;
  }

  // ---------------------------------------------------------------- tasks

  /** Creates a task; part of history like any other write. */
  spawn(name: string): number {
    this.activate();
    assert(cpu.task !== 0 || this.atEnd(), 'a task is spawned at the end of history');
    const block = allocTaskBlock();
    const id = this.taskCount() + 1;
    write_heap(TASK_COUNT, id);
    block.id = id;
    this.#blocks[id] = block;
    this.#threads[id] = newThread();
    this.names[id] = name;
    return id;
  }

  /** Tasks that exist at the current step; ids are 1..taskCount(). */
  taskCount(): number {
    return cpu.heap[TASK_COUNT] as number;
  }

  block(id: number): sim_task {
    this.activate();
    const block = this.#blocks[id];
    assert(block !== undefined && id <= this.taskCount(), `no task ${id}`);
    return block;
  }

  operationOf(id: number): Operation | null {
    const op = this.block(id).op;
    return op === 0 ? null : (this.operations[op - 1] ?? null);
  }

  /** Whether a task has an operation in flight and could execute a statement now. */
  enabled(id: number): boolean {
    const block = this.block(id);
    if (block.op === 0 || block.dead === 1) return false;
    return (
      block.wait_kind === 0 ||
      conditionById(block.wait_kind).ready(id, block.wait_at, block.wait_arg)
    );
  }

  /** Gives an idle task its next operation. Nothing runs yet. */
  begin(id: number, operation: Operation): void {
    const block = this.block(id);
    assert(block.op === 0, `task ${id} already runs ${this.operationOf(id)?.text ?? ''}`);
    assert(this.atEnd(), 'an operation begins at the end of history; truncate() first');
    this.operations.push(operation);
    block.op = this.operations.length;
    (this.#threads[id] as Thread).generator = null;
  }

  /** Open frames of a task, outermost first, as they are in the live state. */
  frames(id: number): readonly Frame[] {
    this.activate();
    if (!this.#live) return this.#framesFromJournal(id);
    const thread = this.#threads[id] as Thread;
    if (thread.generator === null) return [];
    const frames: Frame[] = [];
    for (let depth = 1; depth <= thread.depth; depth++) {
      frames.push({
        depth,
        site: thread.frames[depth] as number,
        locals: thread.locals[depth] ?? null,
      });
    }
    return frames;
  }

  /** Frames of a past state, without execution. */
  #framesFromJournal(id: number): readonly Frame[] {
    const block = this.block(id);
    const start = block.op === 0 ? undefined : this.slices[this.#startOf[block.op - 1] ?? -1];
    if (start === undefined) return [];
    const deepest = block.wait_kind === 0 ? MAX_DEPTH - 1 : block.wait_depth;
    return framesBack(id, start.journal, deepest).map(({ depth, site }) => ({
      depth,
      site,
      locals: null,
    }));
  }

  /** The last mark at or before the current position, or null at the start. */
  lastMark(): Mark | null {
    this.activate();
    return lastMarkBack(this.#oldest(), cpu.journal_count, 0);
  }

  // ---------------------------------------------------------------- running

  /** Arms breakpoints: tasks park at these sites, and `onBreak` hears of these events as they are emitted. */
  arm(
    sites: Iterable<number>,
    events: Iterable<number>,
    onBreak: (kind: 'site' | 'event', id: number) => void,
  ): void {
    this.activate();
    if (cpu.site_break.length < siteCount()) cpu.site_break = new Uint8Array(siteCount());
    cpu.site_break.fill(0);
    for (const site of sites) cpu.site_break[site] = 1;
    cpu.event_break.fill(0);
    for (const event of events) cpu.event_break[event] = 1;
    cpu.on_break = onBreak;
  }

  /** Makes the running task park at its next step point. Only inside `onBreak`. */
  park(): void {
    cpu.fuel = 0;
  }

  /** Marks from the current position backwards: see history.ts. */
  findMarkBack(
    found: (task: number, site: number, depth: number, step: number) => boolean,
  ): number {
    this.activate();
    return findMarkBack(this.#oldest(), found);
  }

  /** How non-scheduler choices (slab reuse, trylock, allocation failure) are made. */
  setChooser(chooser: Chooser): void {
    this.#chooser = chooser;
  }

  /** Resumes a generator; returns how it came back. Memory writes only, no history records. */
  #resume(id: number, fuel: number): SliceEnd {
    const thread = this.#threads[id] as Thread;
    const block = this.block(id);
    thread.generator ??= this.config.start(this.operations[block.op - 1] as Operation);
    cpu.task = id;
    cpu.depth = thread.depth;
    cpu.fuel = fuel;
    cpu.frames = thread.frames;
    cpu.locals = thread.locals;
    let end: SliceEnd;
    try {
      const result = thread.generator.next();
      thread.depth = cpu.depth;
      if (result.done === true) {
        thread.generator = null;
        thread.depth = 0;
        block.op = 0;
        block.result = result.value;
        end = 'done';
      } else {
        end = block.wait_kind === 0 ? 'fuel' : 'blocked';
      }
    } catch (error) {
      // A fault of ours is not the simulated kernel's.
      if (error instanceof InternalError) {
        cpu.task = 0;
        throw error;
      }
      reportOops(error);
      thread.generator = null;
      thread.depth = 0;
      block.op = 0;
      block.dead = 1;
      end = 'oops';
    }
    cpu.task = 0;
    return end;
  }

  /**
   * Runs `task` at the end of history for at most `fuel + 1` statements (fuel 0 = one statement) and
   * records the slice. `driver` is kept with the slice for whoever must go on from there.
   */
  run(task: number, fuel: number, driver: unknown): SliceEnd {
    this.activate();
    assert(this.atEnd(), 'run() works at the end of history');
    const block = this.block(task);
    assert(block.op !== 0, `task ${task} has no operation to run`);
    const operation = block.op - 1;
    const last = this.slices.at(-1);
    const starts = (this.#threads[task] as Thread).generator === null;
    const extend =
      last !== undefined &&
      last.task === task &&
      last.operation === operation &&
      last.end === 'fuel' &&
      last.endJournal === cpu.journal_count;
    const slice: Slice = extend
      ? last
      : {
          task,
          operation,
          starts,
          step: cpu.step,
          journal: cpu.journal_count,
          endStep: cpu.step,
          endJournal: cpu.journal_count,
          end: 'fuel',
          driver,
        };
    if (starts) this.#startOf[operation] = this.slices.length;
    slice.end = this.#resume(task, fuel);
    slice.endStep = cpu.step;
    slice.endJournal = cpu.journal_count;
    if (!cpu.recording) return slice.end;
    if (!extend) this.slices.push(slice);
    this.#cursor = this.slices.length;
    return slice.end;
  }

  /**
   * Runs forward inside recorded history, at most `budget` statements and never past the current
   * slice. Returns false when the end of history is reached.
   */
  replay(budget: number): boolean {
    this.activate();
    this.revive();
    let slice = this.slices[this.#cursor];
    while (slice !== undefined && this.#sliceIsOver(slice)) {
      this.#cursor++;
      slice = this.slices[this.#cursor];
    }
    if (slice === undefined) {
      if (cpu.journal_count < this.#endJournal) redo_to(this.#endJournal);
      return false;
    }
    if (cpu.journal_count < slice.journal) redo_to(slice.journal);
    const left = slice.endStep - cpu.step;
    let fuel = slice.end === 'fuel' ? left - 1 : ENDLESS;
    fuel = Math.min(fuel, budget - 1);
    this.#resume(slice.task, fuel);
    if (cpu.journal_count === slice.endJournal) this.#cursor++;
    assert(
      cpu.journal_count <= slice.endJournal,
      `replay of ${this.operations[slice.operation]?.text ?? ''} left its recorded slice`,
    );
    return true;
  }

  #sliceIsOver(slice: Slice): boolean {
    return cpu.journal_count >= slice.endJournal;
  }

  /** Slice that contains the current position (the latest one at the end), or null before the first. */
  currentSlice(): Slice | null {
    this.activate();
    if (this.atEnd()) return this.slices.at(-1) ?? null;
    return this.slices[this.#sliceAt(cpu.journal_count)] ?? null;
  }

  /** Index of the first slice that ends at or after journal position `at`. */
  #sliceAt(at: number): number {
    let low = 0;
    let high = this.slices.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.slices[middle] as Slice).endJournal < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // ---------------------------------------------------------------- time

  #leaveEnd(): void {
    assert(cpu.recording, 'time travel needs a journal');
    assert(cpu.task === 0, 'time travel from inside a kernel function');
    if (!this.atEnd()) return;
    this.#endStep = cpu.step;
    this.#endJournal = cpu.journal_count;
    this.#top = Math.max(this.#top, cpu.journal_count);
  }

  /**
   * Takes memory to the state at `step`; the last step stands for the end of history. Frames come
   * from the journal until revive().
   */
  seek(step: number): void {
    this.activate();
    this.#leaveEnd();
    if (step >= this.#endStep) this.#seekJournal(this.#endJournal);
    else this.seekMark(step);
  }

  /** As seek(), but the last step means: parked before the last statement, though it has run. */
  seekMark(step: number): void {
    this.activate();
    this.#leaveEnd();
    if (step <= this.firstStep) {
      // Without a ring that dropped any, history begins before the driver made its first task.
      if (this.#firstSlice() === 0) this.#seekJournal(0);
      else this.seekSlice(0);
      return;
    }
    const mark = Math.min(step, this.#endStep) - 1;
    this.#seekJournal(
      entryAfterMark(mark, this.#bootStep, this.#oldest(), this.#endJournal, this.#endStep),
    );
  }

  /** Takes memory to where slice number `index` begins (before its first statement). */
  seekSlice(index: number): void {
    this.activate();
    this.#leaveEnd();
    const slice = this.slices[Math.max(index, this.#firstSlice())];
    this.#seekJournal(slice?.journal ?? this.#endJournal);
  }

  #seekJournal(at: number): void {
    if (at === cpu.journal_count) return;
    if (at < cpu.journal_count) undo_to(at);
    else redo_to(at);
    this.#live = false;
  }

  /** Rebuilds the generators of the operations in flight at the current position. Returns statements re-executed. */
  revive(): number {
    this.activate();
    if (this.#live) return 0;
    const target = cpu.journal_count;
    const targetStep = cpu.step;
    const last = Math.min(this.#sliceAt(target), this.slices.length - 1);
    // Operations in flight: those of tasks with a non-zero op whose first slice began before here.
    const starts = new Map<number, number>();
    // Also those of tasks that do not exist yet: they must not wake up with a later generator.
    for (const thread of this.#threads) {
      thread.generator = null;
      thread.depth = 0;
    }
    for (let id = 1; id <= this.taskCount(); id++) {
      const op = this.block(id).op;
      const start = op === 0 ? undefined : this.#startOf[op - 1];
      const slice = start === undefined ? undefined : this.slices[start];
      if (start !== undefined && slice !== undefined && slice.journal < target) {
        starts.set(id, start);
      }
    }
    let executed = 0;
    if (starts.size > 0) {
      const first = Math.min(...starts.values());
      undo_to((this.slices[first] as Slice).journal);
      const breaks = cpu.on_break;
      cpu.on_break = () => {};
      try {
        for (let i = first; i <= last && cpu.journal_count < target; i++) {
          const slice = this.slices[i] as Slice;
          if (slice.journal >= target) break;
          if (cpu.journal_count < slice.journal) redo_to(slice.journal);
          const from = starts.get(slice.task);
          if (from === undefined || i < from) {
            redo_to(Math.min(slice.endJournal, target));
            continue;
          }
          const before = cpu.step;
          const stopsInside = slice.endJournal > target;
          const steps = Math.min(slice.endStep, targetStep) - before;
          this.#resume(slice.task, slice.end === 'fuel' || stopsInside ? steps - 1 : ENDLESS);
          executed += cpu.step - before;
        }
      } finally {
        cpu.on_break = breaks;
      }
      if (cpu.journal_count < target) redo_to(target);
    }
    assert(
      cpu.journal_count === target && cpu.step === targetStep,
      `rebuilding stopped at step ${cpu.step}, wanted ${targetStep}`,
    );
    this.#cursor = this.#sliceAt(target);
    const here = this.slices[this.#cursor];
    if (here !== undefined && here.endJournal === target) this.#cursor++;
    this.#live = true;
    return executed;
  }

  /** Forgets everything after the current position: from here a different future is made. */
  truncate(): void {
    this.activate();
    this.revive();
    if (this.atEnd()) return;
    const here = this.slices[this.#cursor];
    if (here !== undefined && here.journal < cpu.journal_count) {
      here.endStep = cpu.step;
      here.endJournal = cpu.journal_count;
      here.end = 'fuel';
      this.#cursor++;
    }
    this.slices.length = this.#cursor;
    let operations = 0;
    for (const slice of this.slices) operations = Math.max(operations, slice.operation + 1);
    for (let id = 1; id <= this.taskCount(); id++) {
      operations = Math.max(operations, this.block(id).op);
      // Begun, but the slice that started it is forgotten.
      const op = this.block(id).op;
      if (op !== 0 && (this.#startOf[op - 1] ?? 0) >= this.#cursor) {
        this.#startOf[op - 1] = undefined;
      }
    }
    this.operations.length = operations;
    this.#startOf.length = Math.min(this.#startOf.length, operations);
    this.#findings.length = cpu.finding_count;
    this.eventsJudged = Math.min(this.eventsJudged, cpu.event_count);
    this.#choices.length = cpu.heap[CHOICE_COUNT] as number;
    this.#endStep = cpu.step;
    this.#endJournal = cpu.journal_count;
  }

  /**
   * Last write of a word (SPACE_* and location, cpu.ts) at or before here, with the task that wrote
   * it (0: the driver) and the statement it was in; null if the ring holds none.
   */
  lastWrite(space: number, location: number): (LastWrite & Mark) | null {
    this.activate();
    const write = lastWriteBack(this.#oldest(), space, location);
    if (write === null) return null;
    const slice = this.slices[this.#sliceAt(write.entry + 1)];
    const task = slice !== undefined && slice.journal <= write.entry ? slice.task : 0;
    // Not simply the mark before it: a task that comes out of a wait writes before its next mark.
    const mark = task === 0 ? null : lastMarkBack(this.#oldest(), write.entry, task);
    return { ...write, ...(mark ?? { task, site: -1, depth: 0 }) };
  }

  /** Bytes of history kept. */
  historyBytes(): number {
    this.activate();
    return cpu.journal_at.byteLength + cpu.journal_value.byteLength + cpu.step_index.byteLength;
  }

  /** Hash of the whole kernel state: struct memory, page tables, page frames. 32 bits, signed. */
  hash(): number {
    this.activate();
    return memoryHash();
  }

  /** Hash of all events so far. */
  traceHash(): number {
    this.activate();
    return traceHash();
  }
}

/** Heap word of the allocator granule that counts tasks (words 0 and 1 are the allocator's own). */
const TASK_COUNT = 2;
