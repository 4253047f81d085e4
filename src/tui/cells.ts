import { assert } from '../base/assert.ts';
import { ROLES, type Role } from './text/row.ts';
import { isAscii, textWidth } from './text-width.ts';

/**
 * The screen as two flat arrays. A glyph is a code point, or CLUSTER | index for a grapheme of
 * several; the right half of a wide glyph holds TAIL. A style is a role number with flags, so cells
 * know nothing of colours and one buffer serves every theme.
 */

export const TAIL = 0xffff_ffff;
export const CLUSTER = 0x8000_0000;

/** Flags above the role number (low 8 bits) of a style. */
export const CURSOR = 0x100;
export const SELECTED = 0x200;
export const STRONG = 0x400;

const SPACE = 0x20;
const REPLACEMENT = 0xfffd;

const roleNumbers = new Map<Role, number>(ROLES.map((role, index) => [role, index]));

export function style(role: Role, flags = 0): number {
  return (roleNumbers.get(role) ?? 0) | flags;
}

export function roleOf(value: number): Role {
  return ROLES[value & 0xff] ?? 'text';
}

interface Glyph {
  readonly code: number;
  readonly width: 1 | 2;
}

const clusters: string[] = [];
const clusterNumbers = new Map<string, number>();
const parsed = new Map<string, readonly Glyph[]>();
const segmenter = new Intl.Segmenter();
const PARSED_LIMIT = 20_000;

/** Text of a glyph code; TAIL has none. */
export function glyphText(code: number): string {
  if (code === TAIL) return '';
  if (code >= CLUSTER) return clusters[code - CLUSTER] ?? '?';
  return String.fromCodePoint(code);
}

/** Where the terminal's own cursor stands while text is typed. */
export interface Cursor {
  readonly x: number;
  readonly y: number;
}

export class CellBuffer {
  readonly columns: number;
  readonly rows: number;
  readonly glyphs: Uint32Array;
  readonly styles: Uint16Array;
  /** Replaces what is not ASCII by `?`, for terminals and locales that cannot show it. */
  readonly ascii: boolean;
  cursor: Cursor | null = null;

  constructor(columns: number, rows: number, ascii = false) {
    this.columns = columns;
    this.rows = rows;
    this.ascii = ascii;
    this.glyphs = new Uint32Array(columns * rows).fill(SPACE);
    this.styles = new Uint16Array(columns * rows);
  }

  clear(): void {
    this.glyphs.fill(SPACE);
    this.styles.fill(0);
    this.cursor = null;
  }

  /** The visible text, one string a row, trailing blanks cut. */
  lines(): string[] {
    const out: string[] = [];
    for (let y = 0; y < this.rows; y++) {
      let line = '';
      for (let x = 0; x < this.columns; x++) {
        line += glyphText(this.glyphs[y * this.columns + x] ?? SPACE);
      }
      out.push(line.trimEnd());
    }
    return out;
  }

  /** Writes one cell and keeps wide glyphs whole: a half that loses its other half becomes a blank. */
  put(x: number, y: number, code: number, value: number): void {
    const at = y * this.columns + x;
    const before = this.glyphs[at];
    if (before === TAIL && code !== TAIL) this.glyphs[at - 1] = SPACE;
    if (x + 1 < this.columns && this.glyphs[at + 1] === TAIL) this.glyphs[at + 1] = SPACE;
    this.glyphs[at] = code;
    this.styles[at] = value;
  }
}

/** A rectangle of a buffer; drawing outside it is cut, never an error. */
export class Region {
  readonly buffer: CellBuffer;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;

  constructor(buffer: CellBuffer, x: number, y: number, width: number, height: number) {
    assert(x >= 0 && y >= 0, 'region starts inside its buffer');
    this.buffer = buffer;
    this.x = x;
    this.y = y;
    this.width = Math.max(0, Math.min(width, buffer.columns - x));
    this.height = Math.max(0, Math.min(height, buffer.rows - y));
  }

  /** Shows the terminal's cursor here. */
  placeCursor(x: number, y: number): void {
    this.buffer.cursor = { x: this.x + x, y: this.y + y };
  }

  inside(x: number, y: number, width: number, height: number): Region {
    return new Region(
      this.buffer,
      this.x + x,
      this.y + y,
      Math.min(width, this.width - x),
      Math.min(height, this.height - y),
    );
  }

  fill(x: number, y: number, width: number, height: number, code: number, value: number): void {
    const right = Math.min(x + width, this.width);
    const bottom = Math.min(y + height, this.height);
    for (let row = Math.max(0, y); row < bottom; row++) {
      for (let column = Math.max(0, x); column < right; column++) {
        this.buffer.put(this.x + column, this.y + row, code, value);
      }
    }
  }

  /** Draws text from column `x` (which may be negative: the left part is cut); returns the column after it. */
  text(x: number, y: number, value: string, styleValue: number): number {
    if (y < 0 || y >= this.height) return x + textWidth(value);
    const { buffer } = this;
    const line = this.y + y;
    if (isAscii(value)) {
      const from = Math.max(0, -x);
      const to = Math.min(value.length, this.width - x);
      for (let i = from; i < to; i++) {
        buffer.put(this.x + x + i, line, value.charCodeAt(i), styleValue);
      }
      return x + value.length;
    }
    let column = x;
    for (const glyph of glyphsOf(value)) {
      if (column >= 0 && column + glyph.width <= this.width) {
        const code = buffer.ascii && glyph.code > 0x7e ? 0x3f : glyph.code;
        buffer.put(this.x + column, line, code, styleValue);
        if (glyph.width === 2) {
          // In ASCII mode the second column of a wide glyph is a plain cell.
          const tail = buffer.ascii ? SPACE : TAIL;
          buffer.put(this.x + column + 1, line, tail, styleValue);
        }
      } else if (glyph.width === 2 && (column === -1 || column === this.width - 1)) {
        // Half a wide glyph would show: a blank holds its place.
        buffer.put(this.x + Math.max(0, column), line, SPACE, styleValue);
      }
      column += glyph.width;
    }
    return column;
  }
}

/** Text cut into cells, once for each distinct string. Control characters cannot reach the terminal. */
function glyphsOf(text: string): readonly Glyph[] {
  const known = parsed.get(text);
  if (known) return known;
  if (parsed.size >= PARSED_LIMIT) parsed.clear();
  const glyphs: Glyph[] = [];
  for (const { segment } of segmenter.segment(text)) {
    const code = segment.codePointAt(0) ?? SPACE;
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
      glyphs.push({ code: REPLACEMENT, width: 1 });
      continue;
    }
    const width = textWidth(segment);
    if (width === 0) continue;
    const whole = segment.length === String.fromCodePoint(code).length;
    glyphs.push({ code: whole ? code : clusterCode(segment), width: width >= 2 ? 2 : 1 });
  }
  parsed.set(text, glyphs);
  return glyphs;
}

function clusterCode(segment: string): number {
  const known = clusterNumbers.get(segment);
  if (known !== undefined) return CLUSTER + known;
  const index = clusters.push(segment) - 1;
  clusterNumbers.set(segment, index);
  return CLUSTER + index;
}
