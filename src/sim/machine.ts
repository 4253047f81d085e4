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
import { assert } from '../base/assert.ts';
import { mixNumber, mixWord } from '../base/hash.ts';
import { type Chooser, choices } from './choice.ts';
import {
  cpu,
  ENDLESS,
  FRAME_WORDS,
  LOCATION_MASK,
  type Locals,
  MAX_DEPTH,
  redo_to,
  SPACE_MARK,
  SPACE_SHIFT,
  undo_to,
  write_heap,
} from './cpu.ts';
import { type EventLog, eventLog, newEventLog } from './event.ts';
import { type Finding, findingSink, reportFinding } from './finding.ts';
import { siteCount } from './site.ts';
import { heapEnd, initHeap } from './struct.ts';
import { tableEnd } from './table.ts';
import { allocTaskBlock, type sim_task, taskBlocks } from './task.ts';
import { conditionById, type K } from './wait.ts';

/** An operation as data, so that it can be started again after going back in time. */
export interface Operation {
  readonly name: string;
  readonly args: readonly unknown[];
  /** What the driver knows and the arguments do not say: `pid`, `fd`, `size`, `image`. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** As the scenario wrote it. */
  readonly text: string;
  /** Line of the scenario, 0 if none. */
  readonly line: number;
}

export interface MachineConfig {
  /** Page frames of physical memory. */
  readonly frames: number;
  /** Starts the kernel function an operation names. Throws InternalError for an unknown name. */
  readonly start: (operation: Operation) => K<number>;
  /** Builds the initial kernel state; runs once, outside history. */
  readonly boot: () => void;
  /** What the kernel is: read by src/linux, never by sim. */
  readonly kernel: unknown;
  /** Keep a journal (time travel). Off for bulk replay. */
  readonly recording?: boolean;
  /** Journal entries kept, a power of two; older history is dropped. */
  readonly historyEntries?: number;
}

export type SliceEnd = 'fuel' | 'blocked' | 'done' | 'oops';

export interface Slice {
  readonly task: number;
  readonly operation: number;
  /** The operation began with this slice. */
  readonly starts: boolean;
  readonly step: number;
  readonly journal: number;
  endStep: number;
  endJournal: number;
  end: SliceEnd;
  /** Whatever the driver needs to go on from the start of this slice. */
  readonly driver: unknown;
}

/** The part of a task that is derived: rebuilt, never rewound. */
interface Thread {
  generator: K<number> | null;
  frames: Int32Array;
  locals: (Locals | null)[];
  depth: number;
}

export interface Frame {
  readonly depth: number;
  readonly site: number;
  readonly locals: Locals | null;
}

const DEFAULT_HISTORY = 1 << 24;

function newThread(): Thread {
  return { generator: null, frames: new Int32Array(MAX_DEPTH), locals: [], depth: 0 };
}

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
  #findings: Finding[] = [];
  #chooser: Chooser;
  #saved: Partial<typeof cpu> = {};
  #events: EventLog = newEventLog(0);
  /** Slice the live generators are in; slices.length at the end of history. */
  #cursor = 0;
  /** False after a seek: memory is at some step, generators are not. */
  #live = true;
  #endStep = 0;
  #endJournal = 0;
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
      frame_handles: [],
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
      site_break: new Uint8Array(siteCount()),
      event_break: new Uint8Array(256),
      event_count: 0,
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
    taskBlocks.byId = this.#blocks;
    eventLog.active = this.#events;
    choices.decide = (kind, count, nth) => this.#chooser(kind, count, nth);
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

  #report(finding: Finding): void {
    const known = this.#findings.some(
      (f) => f.step === finding.step && f.kind === finding.kind && f.text === finding.text,
    );
    if (!known) this.#findings.push(finding);
  }

  /** Findings up to the current step, oldest first. */
  findings(): readonly Finding[] {
    this.activate();
    return this.#findings.filter((f) => f.step <= cpu.step);
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

  /** First step that can still be reached by going back. */
  get firstStep(): number {
    this.activate();
    const oldest = Math.max(cpu.journal_count, this.#endJournal) - cpu.journal_at.length;
    if (oldest <= 0) return this.#bootStep;
    const slice = this.slices.find((s) => s.starts && s.journal >= oldest);
    return slice?.step ?? cpu.step;
  }

  /** Whether the current state is the latest one: running on makes new history. */
  atEnd(): boolean {
    return this.#live && this.#cursor >= this.slices.length;
  }

  // ---------------------------------------------------------------- tasks

  /** Creates a task; part of history like any other write. */
  spawn(name: string): number {
    this.activate();
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

  /** The innermost mark of each depth, scanning back: frames of a past state without execution. */
  #framesFromJournal(id: number): readonly Frame[] {
    const block = this.block(id);
    if (block.op === 0) return [];
    const start = this.slices.findLast(
      (s) => s.starts && s.operation === block.op - 1 && s.task === id,
    );
    if (start === undefined) return [];
    const frames: Frame[] = [];
    let above = MAX_DEPTH;
    for (let n = cpu.journal_count - 1; n >= start.journal && above > 1; n--) {
      const slot = n & cpu.journal_mask;
      const packed = cpu.journal_at[slot] as number;
      if (packed >>> SPACE_SHIFT !== SPACE_MARK) continue;
      const value = cpu.journal_value[slot] as number;
      const depth = value % MAX_DEPTH;
      if (Math.floor(value / MAX_DEPTH) !== id || depth >= above) continue;
      above = depth;
      frames.unshift({ depth, site: packed & LOCATION_MASK, locals: null });
    }
    return frames;
  }

  /** Task and site of the last mark at or before the current position, or null at the start. */
  lastMark(): { readonly task: number; readonly site: number; readonly depth: number } | null {
    this.activate();
    const oldest = Math.max(0, cpu.journal_count - cpu.journal_at.length);
    for (let n = cpu.journal_count - 1; n >= oldest; n--) {
      const slot = n & cpu.journal_mask;
      const packed = cpu.journal_at[slot] as number;
      if (packed >>> SPACE_SHIFT !== SPACE_MARK) continue;
      const value = cpu.journal_value[slot] as number;
      return {
        task: Math.floor(value / MAX_DEPTH),
        site: packed & LOCATION_MASK,
        depth: value % MAX_DEPTH,
      };
    }
    return null;
  }

  // ---------------------------------------------------------------- running

  /** Arms breakpoints: tasks park at these sites, and `onBreak` hears of these events as they are emitted. */
  arm(
    sites: Iterable<number>,
    events: Iterable<number>,
    onBreak: (kind: 'site' | 'event', id: number) => void,
  ): void {
    this.activate();
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

  /**
   * Looks at marks from the current position backwards until `found` says true; returns the step at
   * which that mark's statement is about to run, or -1. The current mark itself is looked at first.
   */
  findMarkBack(found: (task: number, site: number, depth: number, step: number) => boolean): number {
    this.activate();
    const oldest = Math.max(0, cpu.journal_count - cpu.journal_at.length);
    let step = cpu.step;
    for (let n = cpu.journal_count - 1; n >= oldest; n--) {
      const slot = n & cpu.journal_mask;
      const packed = cpu.journal_at[slot] as number;
      if (packed >>> SPACE_SHIFT !== SPACE_MARK) continue;
      const value = cpu.journal_value[slot] as number;
      const task = Math.floor(value / MAX_DEPTH);
      if (found(task, packed & LOCATION_MASK, value % MAX_DEPTH, step)) return step;
      step--;
    }
    return -1;
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
    cpu.depth = 0;
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
      reportFinding('oops', error instanceof Error ? error.message : String(error), [
        error instanceof Error ? (error.stack ?? '') : '',
      ]);
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

  /** Journal position right after mark number `step` (1-based count of executed marks). */
  #journalAt(step: number): number {
    if (step <= this.#bootStep) return 0;
    const mark = step - 1;
    let n = cpu.step_index[mark >>> 8] as number;
    let at = Math.max(mark & ~255, this.#bootStep);
    if (at > (mark & ~255)) n = 0;
    for (; ; n++) {
      if ((cpu.journal_at[n & cpu.journal_mask] as number) >>> SPACE_SHIFT === SPACE_MARK) {
        if (at === mark) return n + 1;
        at++;
      }
    }
  }

  #leaveEnd(): void {
    if (this.atEnd()) {
      this.#endStep = cpu.step;
      this.#endJournal = cpu.journal_count;
    }
  }

  /** Takes memory to the state at `step`. Frames come from the journal until revive(). */
  seek(step: number): void {
    this.activate();
    this.#leaveEnd();
    const target = Math.max(this.firstStep, Math.min(step, this.#endStep));
    const at = target === this.#endStep ? this.#endJournal : this.#journalAt(target);
    this.#seekJournal(at);
  }

  /** Takes memory to where slice number `index` begins (before its first statement). */
  seekSlice(index: number): void {
    this.activate();
    this.#leaveEnd();
    const slice = this.slices[index];
    this.#seekJournal(slice === undefined ? this.#endJournal : slice.journal);
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
    for (let id = 1; id <= this.taskCount(); id++) {
      (this.#threads[id] as Thread).generator = null;
      (this.#threads[id] as Thread).depth = 0;
      const op = this.block(id).op;
      if (op === 0) continue;
      for (let i = last; i >= 0; i--) {
        const slice = this.slices[i] as Slice;
        if (slice.task === id && slice.operation === op - 1 && slice.starts) {
          if (slice.journal < target) starts.set(id, i);
          break;
        }
      }
    }
    let executed = 0;
    if (starts.size > 0) {
      const first = Math.min(...starts.values());
      undo_to((this.slices[first] as Slice).journal);
      const breaks = cpu.on_break;
      cpu.on_break = () => {};
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
        const stopsInside = slice.endJournal > target || (i === last && slice.end === 'fuel');
        const steps = Math.min(slice.endStep, targetStep) - before;
        this.#resume(slice.task, slice.end === 'fuel' || stopsInside ? steps - 1 : ENDLESS);
        executed += cpu.step - before;
      }
      cpu.on_break = breaks;
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
    for (let id = 1; id <= this.taskCount(); id++)
      operations = Math.max(operations, this.block(id).op);
    this.operations.length = operations;
    this.#findings = this.#findings.filter((f) => f.step <= cpu.step);
  }

  /** Last write of a heap word at or before here: journal position and value before it; null if none is kept. */
  lastWrite(
    space: number,
    location: number,
  ): { readonly step: number; readonly old: number } | null {
    this.activate();
    const packed = ((space << SPACE_SHIFT) | location) >>> 0;
    const oldest = Math.max(0, cpu.journal_count - cpu.journal_at.length);
    let step = cpu.step;
    for (let n = cpu.journal_count - 1; n >= oldest; n--) {
      const slot = n & cpu.journal_mask;
      const entry = cpu.journal_at[slot] as number;
      if (entry === packed) return { step, old: cpu.journal_value[slot] as number };
      if (entry >>> SPACE_SHIFT === SPACE_MARK) step--;
    }
    return null;
  }

  /** Bytes of history kept. */
  historyBytes(): number {
    this.activate();
    return cpu.journal_at.byteLength + cpu.journal_value.byteLength + cpu.step_index.byteLength;
  }

  /** Hash of the whole kernel state: struct memory, page tables, page frames. 32 bits, signed. */
  hash(): number {
    this.activate();
    let hash = 0;
    const end = heapEnd();
    for (let i = 0; i < end; i++) hash = mixNumber(hash, cpu.heap[i] as number);
    const tables = tableEnd();
    for (let i = 0; i < tables; i++) hash = mixWord(hash, cpu.pte[i] as number);
    for (const word of cpu.frame) hash = mixWord(hash, word);
    for (const index of cpu.frame_index) hash = mixNumber(hash, index);
    return hash;
  }

  /** Hash of all events so far. */
  traceHash(): number {
    this.activate();
    const log = eventLog.active;
    let hash = cpu.event_count;
    const words = log.start[cpu.event_count] ?? 0;
    for (let i = 0; i < cpu.event_count; i++) {
      hash = mixNumber(
        mixWord(mixWord(hash, log.type[i] as number), log.task[i] as number),
        log.step[i] as number,
      );
    }
    for (let i = 0; i < words; i++) hash = mixNumber(hash, log.words[i] as number);
    return hash;
  }
}

/** Heap word of the allocator granule that counts tasks (words 0 and 1 are the allocator's own). */
const TASK_COUNT = 2;
