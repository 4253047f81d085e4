import { CURSOR, type Region, SELECTED, STRONG, style } from './cells.ts';
import type { Layout, PaneBox } from './layout.ts';
import { objectsOf } from './pane-actions.ts';
import { settle } from './pane-state.ts';
import { type PaneId, paneKey, paneTitle } from './panes.ts';
import { type Row, refKey, rowText, type Sheet, sameRef } from './text/row.ts';
import { isAscii, textWidth } from './text-width.ts';
import type { Ui } from './ui.ts';

/** A pane: its title rule, pinned rows, the rows in view, the cursor. */
export function drawPane(ui: Ui, box: PaneBox, region: Region): void {
  const { id } = box;
  const sheet = ui.sheet(id);
  const state = ui.panes[id];
  const bodyHeight = region.height - 1;
  const head = sheet.head.slice(0, bodyHeight);
  const footSize = Math.min(sheet.foot.length, Math.floor(bodyHeight / 3));
  const foot = sheet.foot.slice(0, footSize);
  const height = Math.max(0, bodyHeight - head.length - foot.length);
  settle(state, sheet, height, ui.versionOf(id));

  drawTitle(ui, box, region, sheet, height);
  const isFocused = ui.focus === id;
  const painter = new RowPainter(ui, id, state.left);
  let y = 1;
  for (const row of head) painter.draw(region, y++, row, false);
  for (let i = 0; i < height && state.top + i < sheet.length; i++) {
    const index = state.top + i;
    painter.draw(region, y + i, sheet.row(index), isFocused && index === state.cursor);
  }
  y = region.height - foot.length;
  for (const row of foot) painter.draw(region, y++, row, false);
}

class RowPainter {
  readonly #ui: Ui;
  readonly #left: number;
  readonly #selection: ReadonlySet<string>;
  readonly #needle: string;
  readonly #object: number;

  constructor(ui: Ui, id: PaneId, left: number) {
    this.#ui = ui;
    this.#left = left;
    this.#selection = ui.views.selection();
    this.#needle = ui.panes[id].filter.toLowerCase();
    this.#object = ui.panes[id].object;
  }

  draw(region: Region, y: number, row: Row, atCursor: boolean): void {
    const { glyphs } = this.#ui;
    const flags = atCursor ? CURSOR : 0;
    if (atCursor) region.fill(0, y, region.width, 1, 0x20, style('text', CURSOR));
    const chosen = atCursor && this.#object > 0 ? objectsOf(row)[this.#object] : undefined;
    const body = region.inside(1, y, region.width - 1, 1);
    let x = -this.#left;
    for (const { text, role, ref } of row.spans) {
      let value = style(role, flags);
      if (ref) {
        if (chosen && sameRef(ref, chosen)) value = style('popupSelected');
        else if (this.#selection.has(refKey(ref))) value |= SELECTED;
      }
      x = body.text(x, 0, text, value);
      // The mark of a selected object ends with its name, not with its column.
      const blank = value & SELECTED ? text.length - text.trimEnd().length : 0;
      if (blank > 0) body.text(x - blank, 0, ' '.repeat(blank), style(role, flags));
      if (x >= body.width) break;
    }
    if (this.#needle !== '') this.#mark(body, row);
    const dim = style('dim', flags);
    if (x > body.width) body.text(body.width - 1, 0, glyphs.more, dim);
    if (this.#left > 0 && row.spans.length > 0) region.text(0, y, glyphs.moreLeft, dim);
    if (atCursor) region.text(0, y, glyphs.cursor, style('current', CURSOR));
    else if (row.ref && this.#selection.has(refKey(row.ref))) {
      region.text(0, y, glyphs.selected, style('ref'));
    }
  }

  /** Shows where the filter's text is in the row. */
  #mark(body: Region, row: Row): void {
    const text = rowText(row);
    const lower = text.toLowerCase();
    let at = lower.indexOf(this.#needle);
    while (at >= 0) {
      const found = text.slice(at, at + this.#needle.length);
      const before = isAscii(text) ? at : textWidth(text.slice(0, at));
      body.text(before - this.#left, 0, found, style('match'));
      at = lower.indexOf(this.#needle, at + this.#needle.length);
    }
  }
}

/** The rule above a pane carries its number, name, subject and position. */
function drawTitle(ui: Ui, box: PaneBox, region: Region, sheet: Sheet, height: number): void {
  const { glyphs } = ui;
  const state = ui.panes[box.id];
  const isFocused = ui.focus === box.id;
  const line = glyphs.horizontal.codePointAt(0) ?? 0x2d;
  region.fill(0, 0, region.width, 1, line, style('border'));
  let right = region.width - 1;
  const put = (text: string, value: number): void => {
    right -= textWidth(text);
    region.text(right, 0, text, value);
  };
  if (sheet.length > height && height > 0) {
    const up = state.top > 0 ? glyphs.up : ' ';
    const down = state.top + height < sheet.length ? glyphs.down : ' ';
    put(` ${state.cursor + 1}/${sheet.length} ${up}${down}`, style('dim'));
  }
  if (state.filter !== '') put(` /${state.filter} `, style('match'));

  const titleRegion = region.inside(0, 0, Math.max(0, right), 1);
  const label = (id: PaneId): string => `${paneKey(id)} ${paneTitle(id)}`.trim();
  let x = 1;
  for (const id of box.tabs) {
    const isShown = id === box.id;
    const value = !isShown
      ? style('dim')
      : isFocused
        ? style('titleFocused')
        : style('title', STRONG);
    const mark = isShown && isFocused ? glyphs.cursor : ' ';
    x = titleRegion.text(x, 0, `${mark}${label(id)} `, value);
  }
  if (sheet.subtitle !== '') titleRegion.text(x + 1, 0, ` ${sheet.subtitle} `, style('dim'));
}

/** The vertical rules between columns, joined to the title rules they meet. */
export function drawRules(ui: Ui, layout: Layout, region: Region): void {
  const { glyphs } = ui;
  const border = style('border');
  for (const rule of layout.rules) {
    for (let y = rule.y; y < rule.y + rule.height; y++) {
      const left = layout.panes.some((pane) => pane.y === y && pane.x + pane.width === rule.x);
      const right = layout.panes.some((pane) => pane.y === y && pane.x === rule.x + 1);
      const top = y === rule.y;
      const glyph =
        left && right
          ? top
            ? glyphs.teeDown
            : glyphs.cross
          : left
            ? glyphs.teeLeft
            : right
              ? glyphs.teeRight
              : glyphs.vertical;
      region.text(rule.x, y, glyph, border);
    }
  }
}
