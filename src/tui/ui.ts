import type { OutputLine, SessionView } from '../debugger/view.ts';
import { CommandLine } from './command-line.ts';
import { ASCII, type Glyphs, UNICODE } from './glyphs.ts';
import { KeyDispatcher } from './key-dispatch.ts';
import type { InputEvent } from './keys-decoder.ts';
import { type Layout, type LayoutName, layout } from './layout.ts';
import { runLocalCommand } from './local-commands.ts';
import { moveToKey, type PaneState, paneState } from './pane-state.ts';
import { PANE_IDS, type PaneId } from './panes.ts';
import { Runner } from './runner.ts';
import { outputSheet } from './text/output.ts';
import { filtered, type Sheet } from './text/row.ts';
import { Views } from './views.ts';

/** What the caller lends: everything that touches files, the clock or the process. */
export interface UiHost {
  readonly ascii: boolean;
  readonly showHints: boolean;
  loadHistory(): readonly string[];
  appendHistory(line: string): void;
  /** Writes a frame as text; throws an Error with a readable message when it cannot. */
  saveScreen(file: string, text: string): void;
  hintsDismissed(): void;
  now(): number;
  /** Runs a callback soon, after input that has already arrived. */
  schedule(callback: () => void): void;
}

/** What the drawing side offers to the state side. */
export interface Stage {
  frameText(): string;
  copy(text: string): void;
  repaint(): void;
  suspend(): void;
}

export type Overlay = 'none' | 'help' | 'confirm';

const OUTPUT_LIMIT = 5000;
const PROGRESS_MS = 33;

/**
 * The state of the screen: focus, panes, overlays, the line being typed. It lives outside React;
 * the session owns the truth about the machine. Keys change it at once, a tick runs and paints.
 */
export class Ui {
  readonly session: SessionView;
  readonly host: UiHost;
  readonly glyphs: Glyphs;
  readonly views: Views;
  readonly runner: Runner;
  readonly command: CommandLine;
  readonly panes: Readonly<Record<PaneId, PaneState>>;
  readonly #keys: KeyDispatcher;

  focus: PaneId = 'source';
  recent: PaneId[] = ['source', 'anon-vma', 'walk', 'tasks', 'page-tables'];
  zoom = false;
  layoutName: LayoutName = 'auto';
  overlay: Overlay = 'none';
  helpTop = 0;
  showsHints: boolean;
  /** Digits typed so far: a count once there are two. */
  count = '';
  note: OutputLine | null = null;
  /** Where the last run stopped, for verbs that stop without a reason worth a status. */
  lastStop = '';
  output: OutputLine[] = [];
  outputDropped = 0;
  columns = 80;
  rows = 24;
  stage: Stage | null = null;
  /** Grows with every frame worth drawing; React watches it. */
  frame = 0;

  #backStack: PaneId[] = [];
  #listeners = new Set<() => void>();
  #scheduled = false;
  #lastPaint = 0;
  #outputVersion = 0;
  /** The user typed a command and has not seen its answer. */
  asked = false;
  #exit: () => void;

  constructor(session: SessionView, host: UiHost, onExit: () => void) {
    this.session = session;
    this.host = host;
    this.#exit = onExit;
    this.glyphs = host.ascii ? ASCII : UNICODE;
    this.views = new Views(session, this.glyphs);
    this.runner = new Runner(session, host.now, { onStop: () => this.refresh() });
    this.command = new CommandLine(session, host.loadHistory());
    this.#keys = new KeyDispatcher(this);
    this.showsHints = host.showHints;
    this.panes = Object.fromEntries(PANE_IDS.map((id) => [id, paneState()])) as Record<
      PaneId,
      PaneState
    >;
    this.#takeOutput();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  layout(): Layout {
    const { columns, rows, focus, recent, zoom, layoutName } = this;
    return layout({ columns, rows, focus, recent, zoom, name: layoutName });
  }

  sheet(id: PaneId): Sheet {
    const { filter } = this.panes[id];
    if (id === 'output') return filtered(outputSheet(this.output, this.outputDropped), filter);
    return this.views.sheet(id, filter);
  }

  /** Version of what a pane shows, for anchoring: output grows without the machine moving. */
  versionOf(id: PaneId): number {
    return id === 'output' ? this.#outputVersion : this.views.version;
  }

  resize(columns: number, rows: number): void {
    this.columns = columns;
    this.rows = rows;
    this.changed();
  }

  /** Something on the screen is stale: paint once in the coming tick. */
  changed(): void {
    this.#lastPaint = 0;
    this.#wake();
  }

  get countValue(): number {
    return this.count.length < 2 ? 1 : Math.max(1, Number(this.count));
  }

  setFocus(id: PaneId): void {
    this.focus = id;
    this.recent = [id, ...this.recent.filter((other) => other !== id)];
  }

  /** Runs a command line of the user or of a key. */
  execute(line: string): void {
    if (runLocalCommand(this, line)) return;
    this.runner.submit(line);
  }

  print(role: OutputLine['role'], text: string): void {
    this.output.push({ role, text });
    this.#trimOutput();
  }

  quit(): void {
    this.#exit();
  }

  /** Shows what a command or a selection changed. */
  refresh(): void {
    this.views.invalidate();
    this.#takeOutput();
  }

  /** Puts every pane's cursor on the selected objects it shows. */
  followSelection(): void {
    const selected = this.views.selection();
    for (const id of PANE_IDS) {
      if (id === 'source' || id === 'events' || id === 'output' || id === 'walk') continue;
      moveToKey(this.panes[id], this.sheet(id), selected);
    }
  }

  pushBack(): void {
    this.#backStack.push(this.focus);
  }

  popBack(): PaneId | null {
    return this.#backStack.pop() ?? null;
  }

  input(events: readonly InputEvent[]): void {
    for (const event of events) this.#keys.take(event);
    this.changed();
  }

  /** One turn: run what waits for a slice, then at most one frame. */
  tick(): void {
    const stopped = this.runner.slice();
    if (this.runner.isRunning) this.views.invalidateStatus();
    const now = this.host.now();
    const due = stopped || this.#lastPaint === 0 || now - this.#lastPaint >= PROGRESS_MS;
    // While a verb still runs only progress is worth a frame, 30 times a second.
    if (due) {
      this.#lastPaint = now;
      this.frame++;
      for (const listener of this.#listeners) listener();
    }
    if (this.runner.hasWork) this.#wake();
  }

  #wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.host.schedule(() => {
      this.#scheduled = false;
      this.tick();
    });
  }

  #takeOutput(): void {
    const lines = this.session.takeOutput();
    if (lines.length === 0) return;
    this.output.push(...lines);
    this.#trimOutput();
    this.lastStop = lines.findLast((line) => line.role === 'stop')?.text ?? this.lastStop;
    const error = lines.findLast((line) => line.role === 'error');
    if (this.asked) this.#showOutput();
    if (error) this.note = error;
    else if (this.asked && !this.layout().panes.some((pane) => pane.id === 'output')) {
      this.note = lines.at(-1) ?? null;
    }
    this.asked = false;
  }

  /** An answer comes forward where Output shares its place, without taking the focus. */
  #showOutput(): void {
    const others = this.recent.filter((id) => id !== 'output' && id !== this.focus);
    this.recent = [this.focus, 'output', ...others];
  }

  #trimOutput(): void {
    this.#outputVersion++;
    const extra = this.output.length - OUTPUT_LIMIT;
    if (extra <= 0) return;
    this.output = this.output.slice(extra);
    this.outputDropped += extra;
  }
}
