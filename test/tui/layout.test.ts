import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LAYOUT_NAMES, type Layout, type LayoutInput, layout } from '../../src/tui/layout.ts';
import { PANE_IDS } from '../../src/tui/panes.ts';

function input(columns: number, rows: number, rest: Partial<LayoutInput> = {}): LayoutInput {
  return {
    columns,
    rows,
    focus: 'source',
    recent: ['source', 'anon-vma', 'walk'],
    zoom: false,
    name: 'auto',
    ...rest,
  };
}

/** The layout as boxes at a quarter of its width and half its height. */
function drawing(value: Layout): string {
  const width = Math.ceil(value.columns / 4);
  const height = Math.ceil(value.rows / 2);
  const cells = Array.from({ length: height }, () => Array.from({ length: width }, () => ' '));
  const put = (x: number, y: number, text: string): void => {
    for (const [i, char] of [...text].entries()) {
      const line = cells[y];
      if (line && x + i < width) line[x + i] = char;
    }
  };
  for (const pane of value.panes) {
    const x = Math.floor(pane.x / 4);
    const y = Math.floor(pane.y / 2);
    const w = Math.floor((pane.x + pane.width) / 4) - x;
    put(x, y, '-'.repeat(w));
    put(x + 1, y, `${pane.tabs.length > 1 ? pane.tabs.join(' ') : pane.id}`.slice(0, w - 1));
    put(x + 1, y + 1, `${pane.width}x${pane.height}`);
    for (let line = y + 1; line < Math.floor((pane.y + pane.height) / 2); line++) put(x, line, '|');
  }
  return `${value.mode}\n${cells.map((line) => line.join('').trimEnd()).join('\n')}`;
}

describe('layout', () => {
  it('has every pane but Costs live at 200x60, and Costs with Events', () => {
    const value = layout(input(200, 60));
    const live = PANE_IDS.filter((id) => id !== 'costs');
    expect(new Set(value.panes.map((pane) => pane.id))).toEqual(new Set(live));
    expect(value.panes.find((pane) => pane.id === 'events')?.tabs).toContain('costs');
    expect(drawing(value)).toMatchInlineSnapshot(`
      "columns
      -source-----------vmas-------------walk-----------
      |70x31           |66x16           |62x17
      |                |                |
      |                |                |
      |                |                |
      |                |                |
      |                |                |
      |                |                |
      |                -anon-vma--------|
      |                |66x18           -page-tables----
      |                |                |62x14
      |                |                |
      |                |                |
      |                |                |
      |                |                |
      |                |                |
      -tasks-----------|                -page-----------
      |70x15           -pages-----------|62x12
      |                |66x14           |
      |                |                |
      |                |                |
      |                |                |
      |                |                -events costs---
      -output----------|                |62x14
      |70x11           -locks-----------|
      |                |66x9            |
      |                |                |
      |                |                |
      |                |                |
      "
    `);
  });

  it('shares places between panes at 120x36', () => {
    expect(drawing(layout(input(120, 36)))).toMatchInlineSnapshot(`
      "columns

      -source---------anon-vma vmas
      |60x21         |59x16
      |              |
      |              |
      |              |
      |              |
      |              |
      |              |
      |              -walk events co
      |              |59x16
      -tasks locks ou|
      |60x11         |
      |              |
      |              |
      |              |
      |              |
      "
    `);
  });

  it('is one column with a companion under 84 columns', () => {
    expect(
      drawing(layout(input(80, 24, { focus: 'walk', recent: ['walk', 'source'] }))),
    ).toMatchInlineSnapshot(`
      "stacked

      -walk---------------
      |80x14
      |
      |
      |
      |
      |
      -source-------------
      |80x6
      |
      "
    `);
  });

  it('gives everything to the zoomed pane', () => {
    expect(drawing(layout(input(80, 24, { zoom: true, focus: 'locks' })))).toMatchInlineSnapshot(`
      "zoom

      -locks--------------
      |80x20
      |
      |
      |
      |
      |
      |
      |
      |
      "
    `);
  });

  it('says when the screen is too small', () => {
    expect(layout(input(59, 24)).mode).toBe('small');
    expect(layout(input(60, 14)).mode).toBe('small');
    expect(layout(input(60, 15)).mode).toBe('stacked');
  });

  it('tiles the screen without overlap, shows the focus, at every size, name and zoom', () => {
    const any = fc.record({
      columns: fc.integer({ min: 60, max: 400 }),
      rows: fc.integer({ min: 15, max: 150 }),
      focus: fc.constantFrom(...PANE_IDS),
      recent: fc.shuffledSubarray([...PANE_IDS]),
      zoom: fc.boolean(),
      name: fc.constantFrom(...LAYOUT_NAMES),
    });
    fc.assert(
      fc.property(any, (chosen) => {
        const value = layout(chosen);
        const owner = new Int8Array(chosen.columns * chosen.rows);
        const boxes = [value.header, value.status, value.command, ...value.panes, ...value.rules];
        if (value.tabs) boxes.push(value.tabs);
        for (const box of boxes) {
          expect(box.x + box.width).toBeLessThanOrEqual(chosen.columns);
          for (let y = box.y; y < box.y + box.height; y++) {
            for (let x = box.x; x < box.x + box.width; x++) {
              const at = y * chosen.columns + x;
              owner[at] = (owner[at] ?? 0) + 1;
            }
          }
        }
        expect(owner.every((count) => count === 1)).toBe(true);
        expect(value.panes.some((pane) => pane.id === chosen.focus)).toBe(true);
        expect(value.panes.every((pane) => pane.height >= 2)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it('offers every pane in every named layout', () => {
    for (const name of LAYOUT_NAMES) {
      for (const [columns, rows] of [
        [200, 60],
        [100, 30],
      ] as const) {
        const tabs = layout(input(columns, rows, { name })).panes.flatMap((pane) => pane.tabs);
        expect([...tabs].sort(), `${name} ${columns}`).toEqual([...PANE_IDS].sort());
      }
    }
  });
});
