import { type CellBuffer, CLUSTER, type Cursor, glyphText, TAIL } from './cells.ts';

/**
 * The one output stage. A frame is compared with what the terminal shows and leaves as one write
 * of absolute cursor moves and runs inside synchronized output; an equal frame leaves as no write.
 */

/** The part of a terminal stream the painter needs; `write` answers false when it is full. */
export interface PaintTarget {
  write(data: string): boolean;
  once(event: 'drain', listener: () => void): unknown;
}

const BEGIN = '\x1b[?2026h';
const END = '\x1b[?2026l';
/** Unchanged cells shorter than a cursor move are written again rather than jumped over. */
const GAP = 6;
const NO_STYLE = -1;

const glyphTexts = new Map<number, string>();

function cachedGlyph(code: number): string {
  let text = glyphTexts.get(code);
  if (text === undefined) {
    text = glyphText(code);
    glyphTexts.set(code, text);
  }
  return text;
}

export class Painter {
  readonly #target: PaintTarget;
  readonly #sgr: (style: number) => string;
  /** What the terminal shows; null before the first frame and after it may have changed behind us. */
  #shown: { columns: number; rows: number; glyphs: Uint32Array; styles: Uint16Array } | null = null;
  #cursor: Cursor | null = null;
  #blocked = false;
  #missed = false;
  #controls = '';
  /** Called when a frame was dropped and the terminal can take one again. */
  onReady: () => void = () => {};
  framesWritten = 0;
  bytesWritten = 0;
  framesDropped = 0;

  constructor(target: PaintTarget, sgr: (style: number) => string) {
    this.#target = target;
    this.#sgr = sgr;
  }

  /** The next frame repaints everything: after a resize, SIGCONT, Ctrl-L or a change of theme. */
  invalidate(): void {
    this.#shown = null;
    this.#cursor = null;
  }

  /** A sequence without visible effect (OSC 52, say) that leaves with the next frame. */
  queueControl(sequence: string): void {
    this.#controls += sequence;
  }

  paint(next: CellBuffer): void {
    const { cursor } = next;
    if (this.#blocked) {
      // Dropped, not queued: only the newest frame is worth showing.
      this.#missed = true;
      this.framesDropped++;
      return;
    }
    const body = this.#difference(next);
    const moved = cursor?.x !== this.#cursor?.x || cursor?.y !== this.#cursor?.y;
    if (body === '' && !moved && this.#controls === '') return;
    // A frame moves the cursor about, so it is hidden first and placed last.
    const before = this.#cursor && body !== '' ? '\x1b[?25l' : '';
    const after = cursor
      ? `${moveTo(cursor.x, cursor.y)}\x1b[?25h`
      : this.#cursor && before === ''
        ? '\x1b[?25l'
        : '';
    this.#cursor = cursor;
    const data = `${BEGIN}${this.#controls}${before}${body}${after}${END}`;
    this.#controls = '';
    this.#write(data);
  }

  #write(data: string): void {
    this.framesWritten++;
    this.bytesWritten += data.length;
    if (this.#target.write(data)) return;
    this.#blocked = true;
    this.#target.once('drain', () => {
      this.#blocked = false;
      if (!this.#missed) return;
      this.#missed = false;
      this.onReady();
    });
  }

  #difference(next: CellBuffer): string {
    const { columns, rows } = next;
    let shown = this.#shown;
    let out = '';
    const whole = !shown || shown.columns !== columns || shown.rows !== rows;
    if (!shown || whole) {
      shown = {
        columns,
        rows,
        glyphs: new Uint32Array(columns * rows).fill(0x20),
        styles: new Uint16Array(columns * rows),
      };
      this.#shown = shown;
      out = `\x1b[0m\x1b[2J`;
    }
    const { glyphs, styles } = next;
    const oldGlyphs = shown.glyphs;
    const oldStyles = shown.styles;
    let style = NO_STYLE;
    for (let y = 0; y < rows; y++) {
      const start = y * columns;
      // Column the terminal's cursor is at within this row; -1 when it is elsewhere.
      let at = -1;
      for (let x = 0; x < columns; x++) {
        const i = start + x;
        if (glyphs[i] === oldGlyphs[i] && styles[i] === oldStyles[i]) continue;
        const code = glyphs[i] as number;
        // A tail goes with its head.
        if (code === TAIL) continue;
        const from = at >= 0 && x - at <= GAP ? at : x;
        if (from !== at) out += moveTo(from, y);
        for (let column = from; column <= x; column++) {
          const cell = start + column;
          const glyph = glyphs[cell] as number;
          if (glyph === TAIL) continue;
          const value = styles[cell] as number;
          if (value !== style) {
            out += this.#sgr(value);
            style = value;
          }
          out += cachedGlyph(glyph);
        }
        const wide = x + 1 < columns && glyphs[i + 1] === TAIL;
        // Terminals disagree on the width of unusual graphemes: after one, place the cursor again.
        at = code >= CLUSTER || wide ? -1 : x + 1;
        if (wide) x++;
      }
    }
    if (style !== NO_STYLE) out += '\x1b[0m';
    oldGlyphs.set(glyphs);
    oldStyles.set(styles);
    return out;
  }
}

function moveTo(x: number, y: number): string {
  return `\x1b[${y + 1};${x + 1}H`;
}
