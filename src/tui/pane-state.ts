import type { Sheet } from './text/row.ts';

/**
 * Where a pane is scrolled to. The cursor is a row's key, not its number: after a step the same
 * object is under it, at the same height of the pane, whatever was added above.
 */
export interface PaneState {
  cursor: number;
  /** Key of the row under the cursor; empty before the first drawing. */
  key: string;
  top: number;
  left: number;
  filter: string;
  /** Object of the row that Enter opens, as its number among the row's objects. */
  object: number;
  /** The cursor was at the sheet's home and goes there with it. */
  following: boolean;
  /** Stop the pane was last shown at. */
  version: number;
  /** Rows in view when last drawn. */
  height: number;
}

export function paneState(): PaneState {
  return {
    cursor: 0,
    key: '',
    top: 0,
    left: 0,
    filter: '',
    object: 0,
    following: true,
    version: -1,
    height: 1,
  };
}

/** Brings the state to a new sheet or height: finds the anchored row again and keeps it in view. */
export function settle(state: PaneState, sheet: Sheet, height: number, version: number): void {
  const isNewStop = version !== state.version;
  state.version = version;
  state.height = Math.max(1, height);
  if (sheet.length === 0) {
    state.cursor = 0;
    state.top = 0;
    state.key = '';
    return;
  }
  const goesHome = sheet.home >= 0 && isNewStop && (sheet.insist || state.following);
  if (goesHome) moveHome(state, sheet);
  else anchor(state, sheet);
  keepVisible(state, sheet.length);
  state.key = sheet.key(state.cursor);
}

function moveHome(state: PaneState, sheet: Sheet): void {
  const { home } = sheet;
  const inView = home >= state.top + 1 && home < state.top + state.height - 1;
  state.cursor = home;
  state.following = true;
  // A jump out of view lands a third down, with what led there above it.
  if (!inView) state.top = home - Math.floor(state.height / 3);
  if (home === sheet.length - 1) state.top = sheet.length - state.height;
}

function anchor(state: PaneState, sheet: Sheet): void {
  const found = sheet.locate ? sheet.locate(state.key) : indexOfKey(sheet, state.key, state.cursor);
  if (found >= 0) {
    state.top += found - state.cursor;
    state.cursor = found;
  }
}

/** Rows seldom move far, so the search goes outward from where the row was. */
function indexOfKey(sheet: Sheet, key: string, near: number): number {
  if (key === '') return -1;
  const most = Math.max(near, sheet.length - near);
  for (let distance = 0; distance <= most; distance++) {
    const below = near + distance;
    if (below < sheet.length && sheet.key(below) === key) return below;
    const above = near - distance;
    if (above >= 0 && above < sheet.length && sheet.key(above) === key) return above;
  }
  return -1;
}

function keepVisible(state: PaneState, length: number): void {
  state.cursor = Math.max(0, Math.min(state.cursor, length - 1));
  if (state.cursor < state.top) state.top = state.cursor;
  if (state.cursor >= state.top + state.height) state.top = state.cursor - state.height + 1;
  state.top = Math.max(0, Math.min(state.top, length - state.height));
}

export function moveTo(state: PaneState, sheet: Sheet, index: number): void {
  if (sheet.length === 0) return;
  state.cursor = Math.max(0, Math.min(index, sheet.length - 1));
  state.key = sheet.key(state.cursor);
  state.object = 0;
  state.following = state.cursor === sheet.home;
  keepVisible(state, sheet.length);
}

/** Puts the cursor on the first row whose key is one of these; false when there is none. */
export function moveToKey(state: PaneState, sheet: Sheet, keys: ReadonlySet<string>): boolean {
  if (sheet.locate) {
    for (const key of keys) {
      const at = sheet.locate(key);
      if (at < 0) continue;
      moveTo(state, sheet, at);
      return true;
    }
    return false;
  }
  for (let i = 0; i < sheet.length; i++) {
    if (!keys.has(sheet.key(i))) continue;
    moveTo(state, sheet, i);
    return true;
  }
  return false;
}
