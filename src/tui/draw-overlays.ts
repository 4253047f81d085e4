import { type Region, style } from './cells.ts';
import type { Glyphs } from './glyphs.ts';
import { KEY_TABLE, type KeyBinding, type KeyContext, keyLabel } from './key-table.ts';
import { cut, sized, widest } from './text/columns.ts';
import { type Row, row, span } from './text/row.ts';
import { textWidth } from './text-width.ts';
import type { Ui } from './ui.ts';

/** Boxes over the panes: help, question, candidates, first hints. */

const HELP_CONTEXTS: readonly KeyContext[] = ['global', 'pane', 'source', 'command', 'filter'];

/** Room for the keys of a binding, some take more: what they do has to fit beside on 80 columns. */
const KEYS_WIDTH = 20;

/** The help text, made from the key table: one row a binding, grouped, in table order. */
export function helpRows(contexts: readonly KeyContext[] = HELP_CONTEXTS): Row[] {
  const groups = new Map<string, KeyBinding[]>();
  for (const binding of KEY_TABLE) {
    if (!contexts.includes(binding.context)) continue;
    groups.set(binding.group, [...(groups.get(binding.group) ?? []), binding]);
  }
  const rows: Row[] = [];
  for (const [group, bindings] of groups) {
    if (rows.length > 0) rows.push(row([]));
    rows.push(row([span(group, 'popupStrong')]));
    for (const binding of bindings) {
      const keys = binding.keys.map((key) => keyLabel(key)).join(', ');
      const command = 'command' in binding.target ? `${binding.target.command}: ` : '';
      rows.push(
        row([
          span(`  ${keys.padEnd(KEYS_WIDTH)} `, 'popupStrong'),
          span(`${command}${binding.help}`, 'popup'),
        ]),
      );
    }
  }
  rows.push(
    row([]),
    row([span('Counts', 'popupStrong')]),
    row([span('  10s steps ten times, 03s three: one digit alone focuses a pane.', 'popup')]),
    row([span('  The mouse is left to the terminal: select and copy as usual.', 'popup')]),
  );
  return rows;
}

const HELP_ROWS = helpRows();
export const HELP_WIDTH = 80;
export const HELP_HEIGHT = HELP_ROWS.length + 2;

export function drawHelp(ui: Ui, region: Region): void {
  const body = drawBox(ui.glyphs, region, 'Keys', 'Esc closes, j k scroll');
  ui.helpTop = Math.max(0, Math.min(ui.helpTop, HELP_ROWS.length - body.height));
  drawRows(body, HELP_ROWS.slice(ui.helpTop, ui.helpTop + body.height));
}

export const CONFIRM_WIDTH = 44;
export const CONFIRM_HEIGHT = 4;

export function drawConfirm(ui: Ui, region: Region): void {
  const body = drawBox(ui.glyphs, region, 'Quit', '');
  drawRows(body, [
    row([span('Leave the debugger?', 'popup')]),
    row([
      span('y', 'popupStrong'),
      span(' or ', 'popup'),
      span('q', 'popupStrong'),
      span(' quits, ', 'popup'),
      span('n', 'popupStrong'),
      span(' stays', 'popup'),
    ]),
  ]);
}

const HINTS: readonly (readonly [string, string])[] = [
  ['s  S', 'step to the next statement; step back'],
  ['n  N', 'the same over calls'],
  ['c  C', 'run to the next breakpoint; run back'],
  ['1-9', 'focus a pane; z gives it the screen'],
  ['j  k', 'move; Enter opens the object, - goes back'],
  ['b', 'breakpoint on the source line'],
  [':', 'any command: break rmap:walk_visit'],
  ['?', 'every key'],
];
export const HINTS_WIDTH = 54;
export const HINTS_HEIGHT = HINTS.length + 2;

export function drawHints(ui: Ui, region: Region): void {
  const body = drawBox(ui.glyphs, region, 'First steps', 'Esc hides this');
  drawRows(
    body,
    HINTS.map(([key, what]) => row([span(sized(key, 5), 'popupStrong'), span(what, 'popup')])),
  );
}

const CANDIDATES_SHOWN = 12;

export function candidatesSize(ui: Ui): { width: number; height: number } {
  const { completions } = ui.command;
  const texts = completions.map((candidate) => candidate.text);
  const helps = completions.map((candidate) => candidate.help);
  const width = widest(texts, 8, 32) + widest(helps, 0, 50) + 6;
  return { width, height: Math.min(completions.length, CANDIDATES_SHOWN) + 2 };
}

export function drawCandidates(ui: Ui, region: Region): void {
  const { completions, chosen } = ui.command;
  const body = drawBox(ui.glyphs, region, `${completions.length} candidates`, 'Tab next');
  const top = Math.max(0, Math.min(chosen - (body.height >> 1), completions.length - body.height));
  const width = widest(
    completions.map((candidate) => candidate.text),
    8,
    32,
  );
  const rows = completions.slice(top, top + body.height).map((candidate, index) => {
    const isChosen = top + index === chosen;
    return row([
      span(
        `${isChosen ? ui.glyphs.cursor : ' '}${sized(candidate.text, width)} `,
        isChosen ? 'popupSelected' : 'popupStrong',
      ),
      span(candidate.help, isChosen ? 'popupSelected' : 'popup'),
    ]);
  });
  drawRows(body, rows);
}

/** A bordered box; answers the region inside it. */
function drawBox(glyphs: Glyphs, region: Region, title: string, hint: string): Region {
  const { width, height } = region;
  const border = style('popup');
  region.fill(0, 0, width, height, 0x20, border);
  const line = glyphs.horizontal.codePointAt(0) ?? 0x2d;
  region.fill(1, 0, width - 2, 1, line, border);
  region.fill(1, height - 1, width - 2, 1, line, border);
  for (let y = 1; y < height - 1; y++) {
    region.text(0, y, glyphs.vertical, border);
    region.text(width - 1, y, glyphs.vertical, border);
  }
  region.text(0, 0, glyphs.topLeft, border);
  region.text(width - 1, 0, glyphs.topRight, border);
  region.text(0, height - 1, glyphs.bottomLeft, border);
  region.text(width - 1, height - 1, glyphs.bottomRight, border);
  region.text(2, 0, ` ${title} `, style('popupStrong'));
  if (hint !== '') {
    const text = ` ${hint} `;
    region.text(Math.max(2, width - 2 - textWidth(text)), height - 1, text, border);
  }
  return region.inside(2, 1, Math.max(0, width - 4), Math.max(0, height - 2));
}

function drawRows(region: Region, rows: readonly Row[]): void {
  for (const [y, { spans }] of rows.entries()) {
    let x = 0;
    for (const part of spans) x = region.text(x, y, cut(part.text, region.width), style(part.role));
  }
}
