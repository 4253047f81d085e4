import xterm from '@xterm/headless';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CellBuffer, CURSOR, glyphText, Region, style, TAIL } from '../../src/tui/cells.ts';
import { Painter, type PaintTarget } from '../../src/tui/painter.ts';
import { ROLES } from '../../src/tui/text/row.ts';

/** Each style as a palette colour of its own, so that the emulator's cells tell styles apart. */
const sgr = (value: number): string => `\x1b[0;38;5;${value & 0xff}${value & CURSOR ? ';4' : ''}m`;

class Recorder implements PaintTarget {
  readonly emulator;
  accepts = true;
  writes: string[] = [];
  drained: () => void = () => {};

  constructor(columns: number, rows: number) {
    this.emulator = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true });
  }

  write(data: string): boolean {
    this.writes.push(data);
    this.emulator.write(data);
    return this.accepts;
  }

  once(_event: 'drain', listener: () => void): void {
    this.drained = listener;
  }

  async cells(): Promise<string[]> {
    await new Promise<void>((resolve) => this.emulator.write('', resolve));
    const out: string[] = [];
    for (let y = 0; y < this.emulator.rows; y++) {
      const line = this.emulator.buffer.active.getLine(y);
      for (let x = 0; x < this.emulator.cols; x++) {
        const cell = line?.getCell(x);
        const isTail = cell?.getWidth() === 0;
        const color = cell?.isFgDefault() ? 0 : (cell?.getFgColor() ?? 0);
        out.push(
          isTail ? 'tail' : `${cell?.getChars() || ' '} ${color} ${cell?.isUnderline() ? 1 : 0}`,
        );
      }
    }
    return out;
  }
}

function intended(buffer: CellBuffer): string[] {
  return Array.from(buffer.glyphs, (glyph, i) => {
    const value = buffer.styles[i] ?? 0;
    if (glyph === TAIL) return 'tail';
    return `${glyphText(glyph)} ${value & 0xff} ${value & CURSOR ? 1 : 0}`;
  });
}

const COLUMNS = 24;
const ROWS = 5;

const drawing = fc.record({
  x: fc.integer({ min: -3, max: COLUMNS }),
  y: fc.nat(ROWS - 1),
  text: fc.oneof(
    fc.constantFrom('▶ ✓✗', '漢字', 'a漢b', '─────', 'é', '语言abc', '\x1b[2J', 'tab\there'),
    fc.string({ unit: 'grapheme-ascii', maxLength: 12 }),
  ),
  role: fc.constantFrom(...ROLES),
  flags: fc.constantFrom(0, CURSOR),
});
const frame = fc.array(drawing, { maxLength: 14 });

function draw(
  buffer: CellBuffer,
  drawings: readonly (typeof drawing extends fc.Arbitrary<infer T> ? T : never)[],
): void {
  const region = new Region(buffer, 0, 0, COLUMNS, ROWS);
  for (const { x, y, text, role, flags } of drawings) region.text(x, y, text, style(role, flags));
}

describe('Painter', () => {
  it('leaves exactly the intended cells on the terminal after any frames', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { minLength: 1, maxLength: 5 }), async (frames) => {
        const target = new Recorder(COLUMNS, ROWS);
        const painter = new Painter(target, sgr);
        const buffer = new CellBuffer(COLUMNS, ROWS);
        for (const drawings of frames) {
          buffer.clear();
          draw(buffer, drawings);
          painter.paint(buffer);
          expect(await target.cells()).toEqual(intended(buffer));
        }
      }),
      { numRuns: 150 },
    );
  });

  it('writes nothing when nothing changed', () => {
    const target = new Recorder(COLUMNS, ROWS);
    const painter = new Painter(target, sgr);
    const buffer = new CellBuffer(COLUMNS, ROWS);
    new Region(buffer, 0, 0, COLUMNS, ROWS).text(1, 1, 'still', style('text'));
    painter.paint(buffer);
    painter.paint(buffer);
    expect(target.writes.length).toBe(1);
  });

  it('sends a frame as one synchronized write of the cells that changed', () => {
    const target = new Recorder(COLUMNS, ROWS);
    const painter = new Painter(target, () => '');
    const buffer = new CellBuffer(COLUMNS, ROWS);
    const region = new Region(buffer, 0, 0, COLUMNS, ROWS);
    region.text(0, 0, 'step 1', 0);
    painter.paint(buffer);
    region.text(0, 0, 'step 2', 0);
    region.text(3, 4, 'x', 0);
    painter.paint(buffer);
    expect(target.writes[1]).toBe('\x1b[?2026h\x1b[1;6H2\x1b[5;4Hx\x1b[0m\x1b[?2026l');
  });

  it('drops frames while the terminal is full and shows the newest after', () => {
    const target = new Recorder(COLUMNS, ROWS);
    const painter = new Painter(target, sgr);
    const buffer = new CellBuffer(COLUMNS, ROWS);
    const region = new Region(buffer, 0, 0, COLUMNS, ROWS);
    let ready = 0;
    painter.onReady = () => {
      ready++;
      painter.paint(buffer);
    };
    target.accepts = false;
    region.text(0, 0, 'one', 0);
    painter.paint(buffer);
    region.text(0, 0, 'two', 0);
    painter.paint(buffer);
    region.text(0, 0, 'six', 0);
    painter.paint(buffer);
    expect(target.writes.length).toBe(1);
    target.accepts = true;
    target.drained();
    expect(ready).toBe(1);
    expect(target.writes.length).toBe(2);
    expect(target.writes[1]).toContain('six');
    expect(painter.framesDropped).toBe(2);
  });

  it('shows the cursor where text is typed and hides it after', () => {
    const target = new Recorder(COLUMNS, ROWS);
    const painter = new Painter(target, sgr);
    const buffer = new CellBuffer(COLUMNS, ROWS);
    painter.paint(buffer);
    buffer.cursor = { x: 4, y: 4 };
    painter.paint(buffer);
    expect(target.writes[1]).toContain('\x1b[5;5H\x1b[?25h');
    buffer.cursor = null;
    painter.paint(buffer);
    expect(target.writes[2]).toContain('\x1b[?25l');
    painter.paint(buffer);
    expect(target.writes.length).toBe(3);
  });
});
