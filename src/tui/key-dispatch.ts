import { type KeyContext, lookUp, type UiAction } from './key-table.ts';
import type { InputEvent } from './keys-decoder.ts';
import { actOnPane } from './pane-actions.ts';
import { moveTo } from './pane-state.ts';
import type { PaneId } from './panes.ts';
import type { Ui } from './ui.ts';

/** Keys to actions: what a key means depends on the topmost thing; the key table says the rest. */
export class KeyDispatcher {
  readonly #ui: Ui;
  #focusBeforeCount: PaneId = 'source';
  #quitArmed = false;

  constructor(ui: Ui) {
    this.#ui = ui;
  }

  take(event: InputEvent): void {
    if (event.type === 'paste') this.#paste(event.text);
    else if (event.type === 'key') this.#key(event.name, event.text);
  }

  #paste(text: string): void {
    if (this.#ui.overlay !== 'none') return;
    if (!this.#ui.command.isOpen) this.#ui.command.open('command', '');
    this.#ui.command.type(text);
    if (this.#ui.command.mode === 'filter') this.#filterTyped();
  }

  #contexts(): KeyContext[] {
    if (this.#ui.overlay === 'confirm') return ['confirm'];
    if (this.#ui.overlay === 'help') return ['help'];
    if (this.#ui.command.mode === 'command') return ['command'];
    if (this.#ui.command.mode === 'filter') return ['filter'];
    return this.#ui.focus === 'source' ? ['source', 'pane', 'global'] : ['pane', 'global'];
  }

  #key(name: string, text: string): void {
    if (this.#ui.layout().mode === 'small') {
      // Nothing can be asked on a screen this small: `q` quits at once.
      if (name === 'q' || name === 'ctrl-c') this.#ui.quit();
      return;
    }
    const binding = lookUp(this.#contexts(), name);
    const action = binding && 'action' in binding.target ? binding.target.action : null;
    if (action !== 'interrupt') this.#quitArmed = false;
    const typing = this.#ui.command.isOpen;
    if (!typing && this.#ui.overlay === 'none' && this.#countKey(name)) return;
    this.#ui.note = null;
    if (action) this.#act(action);
    else if (binding && 'command' in binding.target) {
      // `where` is a question; the verbs that run answer in the panes.
      this.#ui.asked = binding.target.command === 'where';
      this.#ui.execute(binding.target.command + this.#countSuffix());
      this.#ui.command.history.rewind();
      this.#ui.command.lastCommand = binding.target.command;
    } else if (typing && text !== '') {
      this.#ui.command.type(text);
      if (this.#ui.command.mode === 'filter') this.#filterTyped();
    }
    this.#ui.count = '';
  }

  /**
   * One digit focuses a pane; two or more, or a leading zero, are a count and the focus returns.
   */
  #countKey(name: string): boolean {
    if (!/^[0-9]$/.test(name)) return false;
    if (this.#ui.count === '') {
      this.#focusBeforeCount = this.#ui.focus;
      if (name !== '0') return this.#firstDigit(name);
    } else if (this.#ui.focus !== this.#focusBeforeCount) {
      this.#ui.setFocus(this.#focusBeforeCount);
    }
    if (this.#ui.count.length < 9) this.#ui.count += name;
    return true;
  }

  #firstDigit(name: string): boolean {
    const binding = lookUp(['global'], name);
    if (binding && 'action' in binding.target) this.#act(binding.target.action);
    this.#ui.count = name;
    return true;
  }

  #countSuffix(): string {
    return this.#ui.count.length < 2 ? '' : ` ${this.#ui.countValue}`;
  }

  #act(action: UiAction): void {
    if (action.startsWith('focus-') && action !== 'focus-next' && action !== 'focus-previous') {
      this.#ui.setFocus(action.slice('focus-'.length) as PaneId);
      return;
    }
    switch (action) {
      case 'interrupt':
        this.#interrupt();
        return;
      case 'close':
        this.#close();
        return;
      case 'quit':
        this.#ui.overlay = 'confirm';
        return;
      case 'help':
        this.#ui.overlay = 'help';
        this.#ui.helpTop = 0;
        return;
      case 'suspend':
        this.#ui.stage?.suspend();
        return;
      case 'repaint':
        this.#ui.stage?.repaint();
        return;
      case 'repeat':
        if (this.#ui.command.lastCommand !== '') {
          this.#ui.execute(this.#ui.command.lastCommand + this.#countSuffix());
        }
        return;
      case 'command-line':
        this.#ui.command.open('command', '');
        return;
      case 'accept':
        this.#accept();
        return;
      default:
        break;
    }
    if (this.#ui.overlay === 'help') this.#scrollHelp(action);
    else if (this.#ui.command.isOpen) {
      if (this.#ui.command.mode === 'filter' && action.startsWith('find-'))
        actOnPane(this.#ui, action);
      else this.#ui.command.act(action);
      if (this.#ui.command.mode === 'filter') this.#filterTyped();
    } else actOnPane(this.#ui, action);
  }

  #interrupt(): void {
    if (this.#quitArmed || this.#ui.overlay === 'confirm') {
      this.#ui.quit();
      return;
    }
    this.#quitArmed = true;
    const interrupted = this.#ui.runner.interrupt();
    if (this.#ui.command.isOpen) this.#closeInput();
    if (this.#ui.overlay === 'help') this.#ui.overlay = 'none';
    this.#ui.note = {
      role: 'hint',
      text: interrupted ? 'Interrupting. Ctrl-C again quits.' : 'Ctrl-C again quits.',
    };
  }

  /** Esc closes the top thing only. */
  #close(): void {
    const state = this.#ui.panes[this.#ui.focus];
    if (this.#ui.overlay !== 'none') this.#ui.overlay = 'none';
    else if (this.#ui.command.isOpen) {
      if (this.#ui.command.completions.length > 0) this.#ui.command.dropCompletions();
      else this.#closeInput();
    } else if (this.#ui.showsHints) {
      this.#ui.showsHints = false;
      this.#ui.host.hintsDismissed();
    } else if (state.filter !== '') state.filter = '';
    else if (this.#ui.zoom) this.#ui.zoom = false;
  }

  #closeInput(): void {
    if (this.#ui.command.mode === 'filter') this.#ui.panes[this.#ui.focus].filter = '';
    this.#ui.command.close();
  }

  #accept(): void {
    if (this.#ui.overlay === 'confirm') {
      this.#ui.quit();
      return;
    }
    if (this.#ui.command.mode === 'filter') {
      this.#ui.command.close();
      return;
    }
    const { line, isNew } = this.#ui.command.take();
    if (line === '') return;
    if (isNew) this.#ui.host.appendHistory(line);
    this.#ui.print('echo', line);
    this.#ui.asked = true;
    this.#ui.execute(line);
  }

  #filterTyped(): void {
    const state = this.#ui.panes[this.#ui.focus];
    state.filter = this.#ui.command.line.text;
    if (this.#ui.focus === 'source') actOnPane(this.#ui, 'find-here');
    else moveTo(state, this.#ui.sheet(this.#ui.focus), state.cursor);
  }

  #scrollHelp(action: UiAction): void {
    const page = Math.max(1, this.#ui.rows - 8);
    const moves: Partial<Record<UiAction, number>> = {
      'line-down': 1,
      'line-up': -1,
      'page-down': page,
      'page-up': -page,
      first: -100_000,
      last: 100_000,
    };
    this.#ui.helpTop = Math.max(0, this.#ui.helpTop + (moves[action] ?? 0));
  }
}
