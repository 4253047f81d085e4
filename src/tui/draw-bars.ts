import type { OutputLine } from '../debugger/view.ts';
import { type Region, STRONG, style } from './cells.ts';
import { LEAST_COLUMNS, LEAST_ROWS } from './layout.ts';
import { PANES } from './panes.ts';
import { cut } from './text/columns.ts';
import type { Role } from './text/row.ts';
import { textWidth } from './text-width.ts';
import type { Ui } from './ui.ts';

/** The header, the tab bar, the status row and the command row. */

export function drawHeader(ui: Ui, region: Region): void {
  const status = ui.views.status();
  region.fill(0, 0, region.width, 1, 0x20, style('bar'));
  const where = `step ${status.step}/${status.lastStep}`;
  const right = ` ${where} `;
  const room = region.width - textWidth(right);
  region.text(Math.max(0, room), 0, right, style('barStrong'));
  const left = region.inside(0, 0, Math.max(0, room), 1);
  let x = left.text(1, 0, status.kernel, style('barStrong'));
  if (status.task !== '') {
    const fn = status.fn === '' ? '' : ` in ${status.fn}()`;
    x = left.text(x + 2, 0, `${status.task}${fn}`, style('barStrong'));
  }
  if (status.statement.line > 0) {
    x = left.text(x + 2, 0, `${status.statement.line}: ${status.statement.text}`, style('bar'));
  }
  // What never changes comes last: on a narrow screen it is what is cut.
  left.text(x + 2, 0, status.title, style('barDim'));
}

export function drawTabs(ui: Ui, region: Region): void {
  const shown = new Set(ui.layout().panes.map((pane) => pane.id));
  // Full names where they sized, else the number and as much of the name as there is room for.
  const full = PANES.map((pane) => ` ${pane.key === '' ? '' : `${pane.key} `}${pane.title} `);
  const width = full.reduce((sum, text) => sum + text.length, 0);
  const short = PANES.map((pane) => ` ${pane.key}${SHORT[pane.id] ?? pane.title} `);
  let x = 0;
  for (const [index, pane] of PANES.entries()) {
    const text = (width <= region.width ? full : short)[index] ?? '';
    const value =
      pane.id === ui.focus
        ? style('titleFocused')
        : style(shown.has(pane.id) ? 'title' : 'dim', shown.has(pane.id) ? STRONG : 0);
    x = region.text(x, 0, text, value);
  }
}

const SHORT: Partial<Record<string, string>> = {
  source: 'Src',
  'page-tables': 'PT',
  tasks: 'Task',
  'anon-vma': 'anon',
  locks: 'Lock',
  events: 'Evt',
  costs: 'Cost',
  output: 'Out',
};

/** Why it stopped, or that it runs; findings; what is pending. */
export function drawStatus(ui: Ui, region: Region): void {
  const status = ui.views.status();
  region.fill(0, 0, region.width, 1, 0x20, style('bar'));
  const pieces: { text: string; role: Role }[] = [];
  if (ui.count.length > 1) pieces.push({ text: ` count ${Number(ui.count)} `, role: 'barStrong' });
  if (status.findings.length > 0) {
    const kinds = [...new Set(status.findings.map((finding) => finding.kind))].join(', ');
    const plural = status.findings.length === 1 ? '' : 's';
    pieces.push({
      text: ` ${status.findings.length} finding${plural}: ${kinds} `,
      role: 'barAlert',
    });
  }
  let right = region.width;
  for (const { text, role } of pieces) {
    right -= textWidth(text);
    region.text(Math.max(0, right), 0, text, style(role));
  }
  const left = region.inside(0, 0, Math.max(0, right - 1), 1);
  if (ui.runner.isRunning) {
    left.text(1, 0, `running... step ${status.step}   Ctrl-C interrupts`, style('barStrong'));
    return;
  }
  const ended = status.finished ? 'The scenario has ended.' : ui.lastStop;
  const text = status.stop !== '' ? status.stop : ended;
  left.text(1, 0, text, style(status.finished ? 'barStrong' : 'bar'));
}

const NOTE_ROLES: Record<OutputLine['role'], Role> = {
  text: 'text',
  error: 'error',
  stop: 'stop',
  echo: 'echo',
  hint: 'hint',
};

/** The likeliest first: a narrow screen loses the last ones, never the way to all of them. */
const REMINDERS: readonly (readonly [string, string])[] = [
  ['s', 'step'],
  ['S', 'back'],
  ['n', 'next'],
  ['c', 'continue'],
  [':', 'command'],
  ['?', 'help'],
  ['q', 'quit'],
  ['1-9', 'pane'],
  ['z', 'zoom'],
  ['/', 'filter'],
];

/** The line being typed, else the last note, else a reminder of the first keys. */
export function drawCommand(ui: Ui, region: Region): void {
  const { command } = ui;
  if (command.isOpen) {
    const prompt = command.mode === 'filter' ? '/' : ':';
    const before = command.line.text.slice(0, command.line.cursor);
    // A long line scrolls so that its cursor stays in view.
    const shift = Math.max(0, textWidth(before) - (region.width - 4));
    const line = region.inside(1, 0, region.width - 1, 1);
    line.text(-shift, 0, command.line.text, style('text'));
    region.text(0, 0, prompt, style('prompt'));
    region.placeCursor(1 + textWidth(before) - shift, 0);
    return;
  }
  if (ui.note) {
    region.text(0, 0, cut(ui.note.text, region.width), style(NOTE_ROLES[ui.note.role]));
    return;
  }
  let x = 0;
  for (const [key, what] of REMINDERS) {
    const width = key.length + what.length + 3;
    if (x + width > region.width) break;
    x = region.text(x, 0, key, style('prompt'));
    x = region.text(x, 0, ` ${what}  `, style('dim'));
  }
}

/** Under the least size nothing is drawn but what is needed. */
export function drawTooSmall(region: Region): void {
  const lines = [
    'This terminal is too small.',
    `It has ${region.width}x${region.height},`,
    `rmapdbg needs ${LEAST_COLUMNS}x${LEAST_ROWS}.`,
    'q quits.',
  ];
  const top = Math.max(0, (region.height - lines.length) >> 1);
  for (const [index, line] of lines.entries()) {
    const x = Math.max(0, (region.width - line.length) >> 1);
    region.text(x, top + index, line, style(index === 0 ? 'echo' : 'text'));
  }
}
