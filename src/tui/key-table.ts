import { PANES } from './panes.ts';

/**
 * Every key of the program, once: the dispatcher looks keys up here and the help overlay prints
 * this. The letters that run are gdb's SingleKey letters; upper case is the same thing backwards.
 */

/** Where a key is valid. Keys of `global` hold wherever no text is being typed. */
export type KeyContext =
  | 'global'
  | 'pane'
  | 'source'
  | 'command'
  | 'filter'
  | 'help'
  | 'confirm'
  | 'picker';

export type UiAction =
  | `focus-${string}`
  | 'focus-next'
  | 'focus-previous'
  | 'zoom'
  | 'line-down'
  | 'line-up'
  | 'page-down'
  | 'page-up'
  | 'first'
  | 'last'
  | 'scroll-left'
  | 'scroll-right'
  | 'next-object'
  | 'open'
  | 'back'
  | 'command-line'
  | 'filter'
  | 'find-next'
  | 'find-previous'
  | 'help'
  | 'toggle-breakpoint'
  | 'copy'
  | 'repeat'
  | 'interrupt'
  | 'suspend'
  | 'quit'
  | 'close'
  | 'repaint'
  | 'accept'
  | 'complete'
  | 'complete-back'
  | 'history-previous'
  | 'history-next'
  | 'cursor-start'
  | 'cursor-end'
  | 'cursor-left'
  | 'cursor-right'
  | 'word-left'
  | 'word-right'
  | 'delete-left'
  | 'delete-right'
  | 'kill-to-end'
  | 'kill-to-start'
  | 'kill-word-left'
  | 'kill-word-right'
  | 'yank'
  | 'transpose';

export type KeyTarget =
  /** A debugger command; a typed count is appended to it. */
  { readonly command: string } | { readonly action: UiAction };

export interface KeyBinding {
  readonly keys: readonly string[];
  readonly context: KeyContext;
  readonly group: string;
  readonly target: KeyTarget;
  readonly help: string;
}

const run = (keys: readonly string[], command: string, help: string): KeyBinding => ({
  keys,
  context: 'global',
  group: 'Run (upper case goes back)',
  target: { command },
  help,
});

const ui = (
  context: KeyContext,
  group: string,
  keys: readonly string[],
  action: UiAction,
  help: string,
): KeyBinding => ({ keys, context, group, target: { action }, help });

const VIEW = 'Panes';
const MOVE = 'Within a pane';
const TALK = 'Commands';
const LINE = 'Command line';

export const KEY_TABLE: readonly KeyBinding[] = [
  run(['s', 'f11'], 'step', 'step to the next statement, into calls'),
  run(['S'], 'reverse-step', 'step back one statement'),
  run(['n', 'f10'], 'next', 'step to the next statement, over calls'),
  run(['N'], 'reverse-next', 'step back over calls'),
  run(['i'], 'stepi', 'one step of whichever task runs next'),
  run(['I'], 'reverse-stepi', 'one step back, of any task'),
  run(['f', 'shift-f11'], 'finish', 'run until this function returns'),
  run(['F'], 'reverse-finish', 'run back to where this function was called'),
  run(['c', 'f5'], 'continue', 'run to the next breakpoint'),
  run(['C', 'ctrl-f5', 'shift-f5'], 'reverse-continue', 'run back to the last breakpoint'),
  run(['u'], 'up', 'select the calling frame'),
  run(['d'], 'down', 'select the called frame'),
  run(['w'], 'where', 'print the backtrace'),

  ui('global', VIEW, ['tab'], 'focus-next', 'focus the next pane'),
  ui('global', VIEW, ['shift-tab'], 'focus-previous', 'focus the previous pane'),
  ui('global', VIEW, ['z'], 'zoom', 'give the whole screen to the focused pane, and back'),
  ...PANES.filter((pane) => pane.key !== '').map((pane) =>
    ui('global', VIEW, [pane.key, `alt-${pane.key}`], `focus-${pane.id}`, `focus ${pane.title}`),
  ),
  ui('global', VIEW, ['alt-0'], 'focus-output', 'focus Output'),

  ui('pane', MOVE, ['j', 'down'], 'line-down', 'one row down'),
  ui('pane', MOVE, ['k', 'up'], 'line-up', 'one row up'),
  ui('pane', MOVE, ['pagedown', 'ctrl-d', 'space'], 'page-down', 'one page down'),
  ui('pane', MOVE, ['pageup', 'ctrl-u'], 'page-up', 'one page up'),
  ui('pane', MOVE, ['g', 'home'], 'first', 'first row'),
  ui('pane', MOVE, ['G', 'end'], 'last', 'last row'),
  ui('pane', MOVE, ['h', 'left'], 'scroll-left', 'scroll left'),
  ui('pane', MOVE, ['l', 'right'], 'scroll-right', 'scroll right'),
  ui('pane', MOVE, ['o'], 'next-object', 'next object in the row, for Enter to open'),
  ui('pane', MOVE, ['enter'], 'open', 'open the object: it is selected in every pane'),
  ui('pane', MOVE, ['backspace', '-'], 'back', 'back to the previous selection'),
  ui('pane', MOVE, ['/'], 'filter', 'show only rows that contain a text; in Source, search'),
  ui('pane', MOVE, ['ctrl-n'], 'find-next', 'next match'),
  ui('pane', MOVE, ['ctrl-p'], 'find-previous', 'previous match'),
  ui('pane', MOVE, ['y'], 'copy', 'copy the row (OSC 52 clipboard)'),
  ui('source', MOVE, ['b'], 'toggle-breakpoint', 'set or delete a breakpoint on this line'),

  ui('global', TALK, [':'], 'command-line', 'type a debugger command; empty repeats the last'),
  ui('global', TALK, ['.'], 'repeat', 'repeat the last command'),
  ui('global', TALK, ['?', 'f1'], 'help', 'this help'),
  ui('global', TALK, ['escape'], 'close', 'close the topmost thing: popup, filter, zoom'),
  ui('global', TALK, ['ctrl-c'], 'interrupt', 'interrupt what runs; twice quits'),
  ui('global', TALK, ['ctrl-z'], 'suspend', 'back to the shell; `fg` returns'),
  ui('global', TALK, ['ctrl-l'], 'repaint', 'paint the screen again'),
  ui('global', TALK, ['q'], 'quit', 'quit, after asking once'),

  ui('command', LINE, ['enter'], 'accept', 'run the command'),
  ui('command', LINE, ['escape', 'ctrl-g'], 'close', 'leave the command line'),
  ui('command', LINE, ['tab'], 'complete', 'complete; again: next candidate'),
  ui('command', LINE, ['shift-tab'], 'complete-back', 'previous candidate'),
  ui('command', LINE, ['up', 'ctrl-p'], 'history-previous', 'older command that starts like this'),
  ui('command', LINE, ['down', 'ctrl-n'], 'history-next', 'newer command'),
  ui('command', LINE, ['ctrl-a', 'home'], 'cursor-start', 'start of line'),
  ui('command', LINE, ['ctrl-e', 'end'], 'cursor-end', 'end of line'),
  ui('command', LINE, ['ctrl-b', 'left'], 'cursor-left', 'one character left'),
  ui('command', LINE, ['ctrl-f', 'right'], 'cursor-right', 'one character right'),
  ui('command', LINE, ['alt-b', 'ctrl-left', 'alt-left'], 'word-left', 'one word left'),
  ui('command', LINE, ['alt-f', 'ctrl-right', 'alt-right'], 'word-right', 'one word right'),
  ui('command', LINE, ['backspace'], 'delete-left', 'delete to the left'),
  ui('command', LINE, ['ctrl-d', 'delete'], 'delete-right', 'delete to the right'),
  ui('command', LINE, ['ctrl-k'], 'kill-to-end', 'cut to the end'),
  ui('command', LINE, ['ctrl-u'], 'kill-to-start', 'cut to the start'),
  ui('command', LINE, ['ctrl-w', 'alt-backspace'], 'kill-word-left', 'cut the word to the left'),
  ui('command', LINE, ['alt-d'], 'kill-word-right', 'cut the word to the right'),
  ui('command', LINE, ['ctrl-y'], 'yank', 'put back what was cut'),
  ui('command', LINE, ['ctrl-t'], 'transpose', 'exchange two characters'),
  ui('command', LINE, ['ctrl-c'], 'interrupt', 'clear the line; interrupt what runs; twice quits'),
  ui('command', LINE, ['ctrl-z'], 'suspend', 'back to the shell; `fg` returns'),
  ui('command', LINE, ['ctrl-l'], 'repaint', 'paint the screen again'),

  ui('filter', 'Filter', ['enter'], 'accept', 'keep the filter'),
  ui('filter', 'Filter', ['escape', 'ctrl-g'], 'close', 'drop the filter'),
  ui('filter', 'Filter', ['down', 'ctrl-n'], 'find-next', 'next match'),
  ui('filter', 'Filter', ['up', 'ctrl-p'], 'find-previous', 'previous match'),
  ui('filter', 'Filter', ['backspace'], 'delete-left', 'delete to the left'),
  ui('filter', 'Filter', ['ctrl-u'], 'kill-to-start', 'empty the filter'),
  ui('filter', 'Filter', ['ctrl-w', 'alt-backspace'], 'kill-word-left', 'delete a word'),
  ui('filter', 'Filter', ['ctrl-c'], 'interrupt', 'drop the filter; twice quits'),

  ui('help', 'This help', ['escape', 'q', '?', 'enter', 'f1'], 'close', 'close'),
  ui('help', 'This help', ['j', 'down'], 'line-down', 'scroll down'),
  ui('help', 'This help', ['k', 'up'], 'line-up', 'scroll up'),
  ui('help', 'This help', ['pagedown', 'space'], 'page-down', 'a page down'),
  ui('help', 'This help', ['pageup'], 'page-up', 'a page up'),
  ui('help', 'This help', ['g', 'home'], 'first', 'top'),
  ui('help', 'This help', ['G', 'end'], 'last', 'end'),
  ui('help', 'This help', ['ctrl-c'], 'interrupt', 'interrupt what runs; twice quits'),

  ui('confirm', 'Question', ['y', 'q', 'enter'], 'accept', 'yes'),
  ui('confirm', 'Question', ['n', 'escape'], 'close', 'no'),
  ui('confirm', 'Question', ['ctrl-c'], 'interrupt', 'yes'),

  ui('picker', 'Scenario picker', ['enter'], 'accept', 'open the scenario'),
  ui('picker', 'Scenario picker', ['down', 'ctrl-n', 'tab'], 'line-down', 'next scenario'),
  ui('picker', 'Scenario picker', ['up', 'ctrl-p', 'shift-tab'], 'line-up', 'previous scenario'),
  ui('picker', 'Scenario picker', ['pagedown', 'ctrl-d'], 'page-down', 'a page down'),
  ui('picker', 'Scenario picker', ['pageup'], 'page-up', 'a page up'),
  ui('picker', 'Scenario picker', ['home'], 'first', 'first scenario'),
  ui('picker', 'Scenario picker', ['end'], 'last', 'last scenario'),
  ui('picker', 'Scenario picker', ['escape'], 'close', 'empty the filter; then quit'),
  ui('picker', 'Scenario picker', ['backspace'], 'delete-left', 'delete to the left'),
  ui('picker', 'Scenario picker', ['ctrl-u'], 'kill-to-start', 'empty the filter'),
  ui('picker', 'Scenario picker', ['q'], 'quit', 'quit (while the filter is empty)'),
  ui('picker', 'Scenario picker', ['ctrl-c'], 'interrupt', 'quit'),
  ui('picker', 'Scenario picker', ['ctrl-z'], 'suspend', 'back to the shell'),
  ui('picker', 'Scenario picker', ['ctrl-l'], 'repaint', 'paint the screen again'),
];

const byContext = new Map<string, KeyBinding>();
for (const binding of KEY_TABLE) {
  for (const key of binding.keys) byContext.set(`${binding.context} ${key}`, binding);
}

/** The binding of a key in the first of the contexts that has one. */
export function lookUp(contexts: readonly KeyContext[], key: string): KeyBinding | null {
  for (const context of contexts) {
    const binding = byContext.get(`${context} ${key}`);
    if (binding) return binding;
  }
  return null;
}

/** How help and hints write a key: `Ctrl-C`, `Shift-F11`, `PgUp`. */
export function keyLabel(key: string): string {
  const parts = /^((?:ctrl-|alt-|shift-)*)(.+)$/.exec(key);
  const modifiers = (parts?.[1] ?? '').replace(/\b[a-z]/g, (letter) => letter.toUpperCase());
  const base = parts?.[2] ?? key;
  const named = KEY_LABELS[base];
  if (named) return modifiers + named;
  if (/^f\d+$/.test(base)) return modifiers + base.toUpperCase();
  return modifiers + (modifiers === '' ? base : base.toUpperCase());
}

const KEY_LABELS: Record<string, string> = {
  pageup: 'PgUp',
  pagedown: 'PgDn',
  escape: 'Esc',
  enter: 'Enter',
  backspace: 'Backspace',
  tab: 'Tab',
  space: 'Space',
  up: 'Up',
  down: 'Down',
  left: 'Left',
  right: 'Right',
  home: 'Home',
  end: 'End',
  delete: 'Del',
};
