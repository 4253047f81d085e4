import type { Completion, SessionView } from '../debugger/view.ts';
import type { UiAction } from './key-table.ts';
import {
  applyCompletion,
  commonPrefix,
  EMPTY_LINE,
  edit,
  History,
  insert,
  type Line,
  lineOf,
} from './line-editor.ts';
import { localCompletions } from './local-commands.ts';

/** The line at the bottom of the screen while something is typed there: a command or a filter. */
export class CommandLine {
  readonly history: History;
  readonly #session: SessionView;
  mode: 'closed' | 'command' | 'filter' = 'closed';
  line: Line = EMPTY_LINE;
  completions: readonly Completion[] = [];
  /** Candidate shown in the line, or -1. */
  chosen = -1;
  /** What `.` and an empty Enter repeat. */
  lastCommand = '';
  /** The line before the first candidate was put in. */
  #base: Line = EMPTY_LINE;

  constructor(session: SessionView, history: readonly string[]) {
    this.#session = session;
    this.history = new History(history);
  }

  get isOpen(): boolean {
    return this.mode !== 'closed';
  }

  open(mode: 'command' | 'filter', text: string): void {
    this.mode = mode;
    this.line = lineOf(text, this.line.killed);
    this.dropCompletions();
    this.history.rewind();
  }

  close(): void {
    this.mode = 'closed';
    this.dropCompletions();
  }

  type(text: string): void {
    this.line = insert(this.line, text);
    this.dropCompletions();
  }

  dropCompletions(): void {
    this.completions = [];
    this.chosen = -1;
  }

  act(action: UiAction): void {
    switch (action) {
      case 'complete':
        this.#complete(1);
        return;
      case 'complete-back':
        this.#complete(-1);
        return;
      case 'history-previous':
        if (this.completions.length > 0) this.#complete(-1);
        else this.#show(this.history.older(this.line.text));
        return;
      case 'history-next':
        if (this.completions.length > 0) this.#complete(1);
        else this.#show(this.history.newer(this.line.text));
        return;
      default:
        this.line = edit(this.line, action);
        this.dropCompletions();
    }
  }

  /** Ends the line and says what to run: what was typed, or the last command for an empty line. */
  take(): { line: string; isNew: boolean } {
    const typed = this.line.text.trim();
    this.close();
    this.line = lineOf('', this.line.killed);
    if (typed === '') return { line: this.lastCommand, isNew: false };
    this.lastCommand = typed;
    return { line: typed, isNew: this.history.add(typed) };
  }

  #show(text: string | null): void {
    if (text !== null) this.line = lineOf(text, this.line.killed);
  }

  #complete(direction: number): void {
    if (this.completions.length > 0) {
      const count = this.completions.length;
      this.chosen =
        this.chosen < 0 && direction < 0 ? count - 1 : (this.chosen + direction + count) % count;
      const choice = this.completions[this.chosen];
      if (choice) this.line = applyCompletion(this.#base, choice.text);
      return;
    }
    const { text, cursor } = this.line;
    const found = [
      ...this.#session.complete(text, cursor),
      ...localCompletions(text.slice(0, cursor)),
    ];
    const [only] = found;
    if (only && found.length === 1) {
      this.line = applyCompletion(this.line, only.text);
      // A complete word wants its argument next.
      if (this.line.cursor === this.line.text.length && !this.line.text.endsWith(' ')) {
        this.line = insert(this.line, ' ');
      }
      return;
    }
    if (found.length === 0) return;
    const prefix = commonPrefix(found.map((completion) => completion.text));
    if (prefix !== '') {
      const longer = applyCompletion(this.line, prefix);
      if (longer.text.length > this.line.text.length) this.line = longer;
    }
    this.#base = this.line;
    this.completions = found;
    this.chosen = -1;
  }
}
