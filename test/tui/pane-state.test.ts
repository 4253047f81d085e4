import { describe, expect, it } from 'vitest';
import { moveTo, paneState, settle } from '../../src/tui/pane-state.ts';
import { type Sheet, type SheetOptions, sheet } from '../../src/tui/text/row.ts';

function sheetOf(keys: readonly string[], options: SheetOptions = {}): Sheet {
  const rows = {
    length: keys.length,
    row: (index: number) => ({ spans: [{ text: keys[index] ?? '', role: 'text' as const }] }),
    key: (index: number) => keys[index] ?? '',
  };
  return sheet([rows], options);
}

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `row ${from + index}`);

describe('settle', () => {
  it('keeps the same object under the cursor, at the same height, when rows appear above', () => {
    const state = paneState();
    settle(state, sheetOf(numbers(0, 50)), 10, 1);
    moveTo(state, sheetOf(numbers(0, 50)), 20);
    const height = state.cursor - state.top;
    const grown = sheetOf([...numbers(100, 107), ...numbers(0, 50)]);
    settle(state, grown, 10, 2);
    expect(grown.key(state.cursor)).toBe('row 20');
    expect(state.cursor - state.top).toBe(height);
  });

  it('stays near when the object is gone', () => {
    const state = paneState();
    settle(state, sheetOf(numbers(0, 50)), 10, 1);
    moveTo(state, sheetOf(numbers(0, 50)), 49);
    settle(state, sheetOf(numbers(0, 20)), 10, 2);
    expect(state.cursor).toBe(19);
    settle(state, sheetOf([]), 10, 3);
    expect(state.cursor).toBe(0);
  });

  it('follows the end of a growing list until the cursor leaves it', () => {
    const state = paneState();
    settle(state, sheetOf(numbers(0, 50), { home: 49 }), 10, 1);
    expect(state.cursor).toBe(49);
    settle(state, sheetOf(numbers(0, 60), { home: 59 }), 10, 2);
    expect(state.cursor).toBe(59);
    moveTo(state, sheetOf(numbers(0, 60), { home: 59 }), 30);
    settle(state, sheetOf(numbers(0, 70), { home: 69 }), 10, 3);
    expect(state.cursor).toBe(30);
  });

  it('goes home at every stop when the sheet insists, but not on a mere repaint', () => {
    const state = paneState();
    const source = sheetOf(numbers(0, 50), { home: 25, insist: true });
    settle(state, source, 10, 1);
    moveTo(state, source, 3);
    settle(state, source, 10, 1);
    expect(state.cursor).toBe(3);
    settle(state, source, 10, 2);
    expect(state.cursor).toBe(25);
  });

  it('keeps the cursor in view at any height', () => {
    const state = paneState();
    const source = sheetOf(numbers(0, 50));
    settle(state, source, 40, 1);
    moveTo(state, source, 35);
    settle(state, source, 5, 1);
    expect(state.cursor).toBe(35);
    expect(state.top).toBeLessThanOrEqual(35);
    expect(state.top + 5).toBeGreaterThan(35);
  });
});
