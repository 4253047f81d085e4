import type { Completion } from '../debugger/view.ts';
import { LAYOUT_NAMES, type LayoutName } from './layout.ts';
import { PANES, paneNamed } from './panes.ts';
import type { Ui } from './ui.ts';

/** The few commands that are about the screen; every other line is the debugger's. */
const LOCAL: readonly Completion[] = [
  { text: 'screen', help: 'write this screen as text to FILE' },
  { text: 'layout', help: `arrange the panes: ${LAYOUT_NAMES.join(', ')}` },
  { text: 'focus', help: 'focus a pane by name or number' },
  { text: 'zoom', help: 'give the whole screen to the focused pane, and back' },
  { text: 'quit', help: 'leave the debugger' },
];

/** Answers false when the line is not about the screen. */
export function runLocalCommand(ui: Ui, line: string): boolean {
  const [word = '', ...rest] = line.trim().split(/\s+/);
  const argument = rest.join(' ');
  switch (word) {
    case 'help':
    case 'h':
      return helpOnScreen(ui, argument);
    case 'quit':
    case 'q':
    case 'exit':
      ui.quit();
      return true;
    case 'zoom':
      ui.zoom = !ui.zoom;
      return true;
    case 'screen':
      saveScreen(ui, argument);
      return true;
    case 'layout':
      if (isLayout(argument)) ui.layoutName = argument;
      else complain(ui, `No layout "${argument}". There are: ${LAYOUT_NAMES.join(', ')}.`);
      return true;
    case 'focus': {
      const pane = paneNamed(argument);
      const names = PANES.map((each) => each.id).join(', ');
      if (pane) ui.setFocus(pane);
      else complain(ui, `No pane "${argument}". There are: ${names}.`);
      return true;
    }
    default:
      return false;
  }
}

/** Help on a word of this file; on everything, these words before those of the debugger. */
function helpOnScreen(ui: Ui, word: string): boolean {
  const asked = LOCAL.filter((each) => word === '' || each.text === word);
  if (asked.length === 0) return false;
  if (word === '') ui.print('hint', 'Screen (? shows the keys):');
  for (const { text, help } of asked) ui.print('text', `  ${text.padEnd(36)} ${help}`);
  return word !== '';
}

/** Completions for the words of this file; the session completes the rest. */
export function localCompletions(head: string): readonly Completion[] {
  const [word = '', ...rest] = head.split(/\s+/);
  if (rest.length === 0) return LOCAL.filter((each) => each.text.startsWith(word));
  const typed = rest.join(' ');
  const names =
    word === 'layout' ? LAYOUT_NAMES : word === 'focus' ? PANES.map((pane) => pane.id) : [];
  return names.filter((name) => name.startsWith(typed)).map((text) => ({ text, help: '' }));
}

function isLayout(text: string): text is LayoutName {
  return (LAYOUT_NAMES as readonly string[]).includes(text);
}

function saveScreen(ui: Ui, file: string): void {
  if (file === '') {
    complain(ui, 'screen needs a file name.');
    return;
  }
  try {
    ui.host.saveScreen(file, ui.stage?.frameText() ?? '');
    ui.print('text', `Wrote this screen to ${file}.`);
  } catch (error) {
    complain(ui, error instanceof Error ? error.message : String(error));
  }
}

function complain(ui: Ui, text: string): void {
  ui.print('error', text);
  ui.note = { role: 'error', text };
}
