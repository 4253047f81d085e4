/**
 * What the session looks through: the selection, what changed since the last stop, and the builders of
 * inspect/. One per machine; going back in time changes what it sees, not the object itself.
 */

import type { Expr } from '../scenario/ast.ts';
import type { RunState, ScenarioRun } from '../scenario/run.ts';
import { cpu, type Locals } from '../sim/cpu.ts';
import { allEvents, eventAt, eventStepAt, eventTypeAt } from '../sim/event.ts';
import type { Machine } from '../sim/machine.ts';
import { allSites, siteInfo } from '../sim/site.ts';
import type { Breakpoints } from './breakpoints.ts';
import { CommandError } from './command-table.ts';
import {
  ExpressionError,
  evaluate,
  formatValue,
  functionNames,
  placeOf,
  type Scope,
} from './expression.ts';
import { anonVmasView } from './inspect/anon-vmas.ts';
import { Changes } from './inspect/changes.ts';
import { costsOf } from './inspect/costs.ts';
import { EventFilter, eventFields, eventsView } from './inspect/events.ts';
import { LockIndex } from './inspect/lock-index.ts';
import { locksView } from './inspect/locks.ts';
import { memoryLines } from './inspect/memory.ts';
import { looking, mmOfTask } from './inspect/objects.ts';
import { pageView } from './inspect/page.ts';
import { PageList } from './inspect/page-rows.ts';
import { pageTablesView } from './inspect/page-tables.ts';
import { pteRef } from './inspect/refs.ts';
import { NOTHING_SELECTED, pick, type Selection, selectedRefs } from './inspect/selection.ts';
import { sourceView } from './inspect/source.ts';
import { tasksView } from './inspect/tasks.ts';
import { vmasView } from './inspect/vmas.ts';
import { WalkIndex } from './inspect/walks.ts';
import type {
  AnonVmaView,
  CostView,
  EventsView,
  FrameView,
  LocksView,
  MmView,
  PagesView,
  PageTablesView,
  PageView,
  Ref,
  SourceView,
  TaskView,
  WalkView,
} from './view.ts';

/** Width that the VMA picture is made for; panes cut or scroll it. */
const pictureWidth = 72;

export class Inspector {
  readonly machine: Machine;
  readonly run: ScenarioRun;
  readonly #changes: Changes;
  readonly #walks: WalkIndex;
  readonly #locks: LockIndex;
  readonly #filter: EventFilter;
  readonly #pages: PageList;
  /** Lines of the scenario. */
  readonly lines: readonly string[];
  readonly #history: Selection[] = [];
  #selection: Selection = NOTHING_SELECTED;
  /** The user chose the task; else it follows the task that runs. */
  #followed = true;

  constructor(machine: Machine, run: ScenarioRun) {
    this.machine = machine;
    this.run = run;
    this.#changes = new Changes(machine);
    this.#walks = new WalkIndex(machine);
    this.#locks = new LockIndex(machine);
    this.#filter = new EventFilter(machine);
    this.#pages = new PageList(machine, this.#changes);
    this.lines = run.scenario.source.text.split('\n');
  }

  // ---------------------------------------------------------------- where we are

  /** A run begins: what the views show now is what they will be compared with. */
  beginRun(): void {
    this.#changes.remember(this.selection());
    this.#pages.forget();
    this.#followed = true;
  }

  /** Nothing counts as changed: another position was looked at in between. */
  forgetChanges(): void {
    this.#changes.forget();
    this.#pages.forget();
  }

  /** The task that parked last, or 0. */
  currentTask(): number {
    return this.machine.lastMark()?.task ?? 0;
  }

  selectedTask(): number {
    const chosen = this.#selection.task;
    if (!this.#followed && chosen > 0 && chosen <= this.machine.taskCount()) return chosen;
    return this.currentTask();
  }

  /** The selection with the task that is looked at filled in. */
  selection(frameIndex = 0): Selection {
    return { ...this.#selection, task: this.selectedTask(), frame: frameIndex };
  }

  /** The log was cut (Machine.truncate): what was read from it is read again. */
  forget(): void {
    this.#walks.forget();
    this.#locks.forget();
    this.#filter.forget();
    this.#pages.forget();
  }

  /** Frames of the selected task, outermost first. */
  frames(): readonly FrameView[] {
    const task = this.selectedTask();
    if (task === 0) return [];
    return this.machine.frames(task).map((frame) => {
      const { fn, file, line } = siteInfo(frame.site);
      return { depth: frame.depth, fn, file, line };
    });
  }

  where(): { readonly task: string; readonly fn: string } {
    const task = this.selectedTask();
    return { task: this.machine.names[task] ?? '', fn: this.frames().at(-1)?.fn ?? '' };
  }

  /** One line, gdb style: `A: anon_vma_fork() at mm/rmap/anon_vma_chain.ts:120  step 1234`. */
  position(frameIndex = 0): string {
    const frames = this.frames();
    const frame = frames[frames.length - 1 - frameIndex];
    const step = `step ${this.machine.step}`;
    if (frame === undefined) return `between operations, ${step}`;
    const name = this.machine.names[this.selectedTask()] ?? '';
    return `${name}: ${frame.fn}() at ${frame.file}:${frame.line}, ${step}`;
  }

  /** Line of the scenario, from 1; empty outside it. */
  lineText(line: number): string {
    return (this.lines[line - 1] ?? '').trim().slice(0, 300);
  }

  /** What a location may be: functions, then events. */
  *locations(): Generator<string, void, void> {
    const seen = new Set<string>();
    for (const { fn } of allSites()) {
      if (seen.has(fn)) continue;
      seen.add(fn);
      yield fn;
    }
    for (const event of allEvents()) yield event.name;
  }

  // ---------------------------------------------------------------- events

  /** `rmap:walk_visit (page 1f3, vma A:7f.., ...)`. */
  eventText(index: number): string {
    const event = eventAt(index);
    const fields = eventFields(this.machine, event).map((f) => `${f.name}=${f.value}`);
    return `${event.type.name} (${fields.join(' ')})`;
  }

  /** Steps at which events of these types fired, up to now. */
  *eventSteps(types: ReadonlySet<number>): Generator<number, void, void> {
    if (types.size === 0) return;
    this.machine.activate();
    for (let i = cpu.event_count - 1; i >= 0; i--) {
      if (types.has(eventTypeAt(i))) yield eventStepAt(i);
    }
  }

  runningTaskName(): string {
    return this.machine.names[cpu.task] ?? '';
  }

  // ---------------------------------------------------------------- expressions

  /** Locals of the statement being executed, else of the selected frame. */
  #locals(frameIndex: number): Locals | null {
    if (cpu.task !== 0) return cpu.locals[cpu.depth] ?? null;
    const task = this.selectedTask();
    return task === 0 ? null : (this.machine.frames(task).at(-1 - frameIndex)?.locals ?? null);
  }

  scope(state: RunState, event: number, frameIndex = 0): Scope {
    return {
      machine: this.machine,
      walks: this.#walks,
      variables: state.variables,
      actors: state.actors,
      locals: this.#locals(frameIndex),
      ...(event < 0 ? {} : { event: eventAt(event) }),
    };
  }

  *expressionWords(): Generator<string, void, void> {
    yield* this.run.state.variables.keys();
    yield* this.run.state.actors.keys();
    for (const name of functionNames) yield `${name}(`;
  }

  /** ` (left is 3, right is 4)` for a comparison that failed. */
  explain(expr: Expr, scope: Scope): string {
    if (expr.kind !== 'binary') return '';
    try {
      const left = formatValue(evaluate(expr.left, scope));
      const right = formatValue(evaluate(expr.right, scope));
      return ` (${left} ${expr.operator} ${right})`;
    } catch {
      return '';
    }
  }

  /** Value of each watchpoint, as text; one that cannot be evaluated has the error as its value. */
  watchValues(breakpoints: Breakpoints, scope: Scope): ReadonlyMap<number, string> {
    const values = new Map<number, string>();
    for (const breakpoint of breakpoints.watchpoints()) {
      if (breakpoint.watched === null) continue;
      try {
        values.set(breakpoint.id, formatValue(evaluate(breakpoint.watched, scope)));
      } catch (error) {
        if (!(error instanceof ExpressionError)) throw error;
        values.set(breakpoint.id, `<${error.message}>`);
      }
    }
    return values;
  }

  /** Who wrote a field last: step, task, function. */
  lastWriter(expr: Expr, scope: Scope): string {
    const place = placeOf(expr, scope);
    if (place === null)
      throw new CommandError('why takes a field of an object: why vma(A, p).vm_start');
    const write = this.machine.lastWrite(place.space, place.location);
    if (write === null) return 'not written since history began';
    const step = write.step;
    const mark = this.machine.findMarkBack((_t, _s, _d, at) => at === step);
    let fn = '';
    this.machine.findMarkBack((task, site, _depth, at) => {
      if (at !== mark) return false;
      const { file, line } = siteInfo(site);
      fn = `${this.machine.names[task] ?? task}: ${siteInfo(site).fn}() at ${file}:${line}`;
      return true;
    });
    return `step ${step}: ${fn || 'the driver'}; it was ${write.old} before (goto ${step} shows it)`;
  }

  // ---------------------------------------------------------------- reverse maps

  #mmOf(process: string): ReturnType<typeof mmOfTask> {
    const task = this.run.state.actors.get(process);
    const mm = task === undefined ? null : mmOfTask(this.machine, task);
    if (mm === null) {
      throw new CommandError(
        `no process ${process} with an address space; there are ${[...this.run.state.actors.keys()].join(', ')}`,
      );
    }
    return mm;
  }

  #look(process: string, address: number): void {
    const mm = this.#mmOf(process);
    if (mm !== null) this.select(pteRef(mm, address));
  }

  vtop(process: string, address: number): readonly string[] {
    this.#look(process, address);
    const view = this.pageTables();
    if (view === null) return ['nothing is mapped'];
    const lines = [`${process} ${address.toString(16)}`];
    for (const level of view.levels) {
      lines.push(`  ${level.name.padEnd(4)} [${level.index}] ${level.entry}`);
    }
    const entry = view.entries.find((e) => e.selected);
    if (entry !== undefined) lines.push(`  ${entry.kind} ${entry.text} ${entry.bits}`.trimEnd());
    lines.push(`  VMA  ${view.vma?.label ?? 'none'}`);
    const page = entry?.page === null ? null : this.page();
    for (const field of page?.fields ?? []) lines.push(`  PAGE ${field.name} = ${field.value}`);
    return lines;
  }

  /** What a process would read from an address on: runs of equal bytes of each page. */
  memory(process: string, address: number, pages: number): readonly string[] {
    const mm = this.#mmOf(process);
    return mm === null ? [] : looking(this.machine, () => memoryLines(mm, address, pages));
  }

  rmap(process: string, address: number): readonly string[] {
    this.#look(process, address);
    const tables = this.pageTables();
    const entry = tables?.entries.find((e) => e.selected);
    if (entry === undefined || entry.page === null)
      return [`no page is mapped at ${address.toString(16)}`];
    this.select(entry.page);
    const page = this.page();
    const lines = [`${entry.page.label}: ${page?.mappings.length ?? 0} mappings`];
    for (const m of page?.mappings ?? []) {
      const via = m.via === '' ? 'NOT reachable: no walk finds it' : `via ${m.via}`;
      lines.push(`  ${m.process.padEnd(8)} ${m.address.toString(16)} ${m.pte}  ${via}`);
    }
    return lines;
  }

  // ---------------------------------------------------------------- selection

  select(ref: Ref): void {
    this.#history.push(this.#selection);
    if (this.#history.length > 200) this.#history.shift();
    if (ref.kind === 'task') this.#followed = false;
    this.#selection = pick(this.machine, this.#selection, ref);
  }

  selected(): readonly Ref[] {
    return selectedRefs(this.machine, this.selection());
  }

  back(): boolean {
    const before = this.#history.pop();
    if (before === undefined) return false;
    this.#selection = before;
    return true;
  }

  // ---------------------------------------------------------------- views

  source(frameIndex: number, breakpoints: Breakpoints): SourceView {
    return sourceView(this.machine, this.selection(frameIndex), breakpoints.list(), this.#changes);
  }

  tasks(): readonly TaskView[] {
    return tasksView(this.machine, this.selection());
  }

  mms(): readonly MmView[] {
    return vmasView(this.machine, this.selection(), this.#changes, pictureWidth);
  }

  anonVmas(): AnonVmaView {
    return anonVmasView(this.machine, this.selection(), this.#changes, this.#walks);
  }

  pageTables(): PageTablesView | null {
    return pageTablesView(this.machine, this.selection(), this.#changes);
  }

  page(): PageView | null {
    return pageView(this.machine, this.selection(), this.#changes);
  }

  pages(first: number, count: number, filter: string): PagesView {
    return this.#pages.view(this.selection(), first, count, filter);
  }

  pageRow(key: string, filter: string): number {
    return this.#pages.rowOf(key, filter);
  }

  locks(): LocksView {
    return locksView(this.machine, this.#locks);
  }

  costs(): CostView {
    return costsOf(this.machine, this.#walks);
  }

  walks(): readonly WalkView[] {
    return this.#walks.views();
  }

  events(first: number, count: number, filter: string): EventsView {
    return eventsView(this.machine, first, count, filter, this.#filter);
  }
}
