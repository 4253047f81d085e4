import { Box } from 'ink';
import { type ReactNode, useLayoutEffect, useSyncExternalStore } from 'react';
import { Canvas, type CanvasStage, StageContext } from './canvas.tsx';
import { CURSOR, type Region, style } from './cells.ts';
import { drawTooSmall } from './draw-bars.ts';
import { ASCII, type Glyphs, UNICODE } from './glyphs.ts';
import { lookUp, type UiAction } from './key-table.ts';
import type { InputEvent } from './keys-decoder.ts';
import { LEAST_COLUMNS, LEAST_ROWS } from './layout.ts';
import { sized, widest } from './text/columns.ts';
import { textWidth } from './text-width.ts';

/** The start without a file: which scenario? */

export interface PickerItem {
  readonly name: string;
  readonly title: string;
  readonly about: string;
}

export class PickerState {
  readonly glyphs: Glyphs;
  readonly #items: readonly PickerItem[];
  readonly #schedule: (callback: () => void) => void;
  readonly #finish: (name: string | null) => void;
  readonly #suspend: () => void;
  readonly #listeners = new Set<() => void>();
  shown: readonly PickerItem[];
  filter = '';
  /** The first item, the tour, is preselected. */
  cursor = 0;
  top = 0;
  height = 1;
  columns = 80;
  rows = 24;
  frame = 0;
  #scheduled = false;

  constructor(
    items: readonly PickerItem[],
    ascii: boolean,
    schedule: (callback: () => void) => void,
    finish: (name: string | null) => void,
    suspend: () => void,
  ) {
    this.#items = items;
    this.shown = items;
    this.glyphs = ascii ? ASCII : UNICODE;
    this.#schedule = schedule;
    this.#finish = finish;
    this.#suspend = suspend;
  }

  get total(): number {
    return this.#items.length;
  }

  get isSmall(): boolean {
    return this.columns < LEAST_COLUMNS || this.rows < LEAST_ROWS;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  resize(columns: number, rows: number): void {
    this.columns = columns;
    this.rows = rows;
    this.#changed();
  }

  input(event: InputEvent): void {
    if (event.type === 'paste') this.#setFilter(this.filter + event.text.trim());
    if (event.type === 'key') this.#key(event.name, event.text);
    this.#changed();
  }

  #changed(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(() => {
      this.#scheduled = false;
      this.frame++;
      for (const listener of this.#listeners) listener();
    });
  }

  #key(name: string, text: string): void {
    const binding = lookUp(['picker'], name);
    // A filter may contain a `q`; as the first key it quits.
    if (binding && !(name === 'q' && this.filter !== '')) {
      if ('action' in binding.target) this.#act(binding.target.action);
    } else if (text !== '') this.#setFilter(this.filter + text);
  }

  #act(action: UiAction): void {
    const page = Math.max(1, this.height - 1);
    switch (action) {
      case 'accept': {
        const item = this.shown[this.cursor];
        if (item && !this.isSmall) this.#finish(item.name);
        return;
      }
      case 'quit':
      case 'interrupt':
        this.#finish(null);
        return;
      case 'close':
        if (this.filter === '') this.#finish(null);
        else this.#setFilter('');
        return;
      case 'suspend':
        this.#suspend();
        return;
      case 'delete-left':
        this.#setFilter([...this.filter].slice(0, -1).join(''));
        return;
      case 'kill-to-start':
        this.#setFilter('');
        return;
      case 'line-down':
        this.#move(this.cursor + 1);
        return;
      case 'line-up':
        this.#move(this.cursor - 1);
        return;
      case 'page-down':
        this.#move(this.cursor + page);
        return;
      case 'page-up':
        this.#move(this.cursor - page);
        return;
      case 'first':
        this.#move(0);
        return;
      case 'last':
        this.#move(this.shown.length - 1);
        return;
      default:
        return;
    }
  }

  #move(index: number): void {
    this.cursor = Math.max(0, Math.min(index, this.shown.length - 1));
  }

  /** Every word typed must be somewhere in the name, the title or the text. */
  #setFilter(filter: string): void {
    this.filter = filter;
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    this.shown = this.#items.filter((item) => {
      const text = `${item.name} ${item.title} ${item.about}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    this.#move(0);
  }
}

export function PickerApp(props: {
  readonly state: PickerState;
  readonly stage: CanvasStage;
}): ReactNode {
  const { state, stage } = props;
  useSyncExternalStore(state.subscribe, () => state.frame);
  useLayoutEffect(() => stage.render(state.columns, state.rows));
  return (
    <StageContext value={stage}>
      <Box position="absolute" width={state.columns} height={state.rows}>
        <Canvas
          x={0}
          y={0}
          width={state.columns}
          height={state.rows}
          draw={(region) => drawPicker(state, region)}
        />
      </Box>
    </StageContext>
  );
}

function drawPicker(state: PickerState, region: Region): void {
  if (state.isSmall) {
    drawTooSmall(region);
    return;
  }
  const { width, height } = region;
  region.fill(0, 0, width, 1, 0x20, style('bar'));
  region.text(1, 0, 'rmapdbg', style('barStrong'));
  region.text(10, 0, 'a debugger for a simulated Linux memory manager', style('bar'));
  const prompt = 'Scenario: ';
  region.text(1, 2, prompt, style('prompt'));
  region.text(1 + prompt.length, 2, state.filter, style('text'));
  const tally = `${state.shown.length}/${state.total}`;
  region.text(width - tally.length - 1, 2, tally, style('dim'));

  // The list, and under it what the chosen one is about.
  const aboutHeight = Math.min(7, Math.floor(height / 4));
  const list = region.inside(0, 4, width, height - 6 - aboutHeight);
  drawList(state, list);
  const about = region.inside(0, height - 1 - aboutHeight, width, aboutHeight);
  const line = state.glyphs.horizontal.codePointAt(0) ?? 0x2d;
  about.fill(0, 0, width, 1, line, style('border'));
  const item = state.shown[state.cursor];
  if (item) {
    about.text(1, 0, ` ${item.name} `, style('title'));
    for (const [index, text] of wrap(item.about, width - 4).entries()) {
      about.text(2, 1 + index, text, style('text'));
    }
  }
  region.text(
    1,
    height - 1,
    'Enter opens   type to filter   Up Down choose   Esc clears   q quits',
    style('dim'),
  );
  region.placeCursor(1 + prompt.length + textWidth(state.filter), 2);
}

function drawList(state: PickerState, list: Region): void {
  state.height = list.height;
  const { cursor, shown } = state;
  if (cursor < state.top) state.top = cursor;
  if (cursor >= state.top + list.height) state.top = cursor - list.height + 1;
  state.top = Math.max(0, Math.min(state.top, shown.length - list.height));
  if (shown.length === 0) list.text(2, 0, 'No scenario matches.', style('hint'));
  const nameWidth = widest(
    shown.map((item) => item.name),
    10,
    36,
  );
  for (let y = 0; y < list.height; y++) {
    const item = shown[state.top + y];
    if (!item) break;
    const isChosen = state.top + y === cursor;
    const flags = isChosen ? CURSOR : 0;
    if (isChosen) list.fill(0, y, list.width, 1, 0x20, style('text', flags));
    if (isChosen) list.text(0, y, state.glyphs.cursor, style('current', flags));
    list.text(2, y, sized(item.name, nameWidth), style('ref', flags));
    list.text(4 + nameWidth, y, item.title, style('text', flags));
  }
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (textWidth(longer) > width && line !== '') {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  if (line !== '') lines.push(line);
  return lines;
}
