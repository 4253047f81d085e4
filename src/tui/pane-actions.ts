import type { Ref } from '../debugger/view.ts';
import type { UiAction } from './key-table.ts';
import { focusOrder } from './layout.ts';
import { moveTo, settle } from './pane-state.ts';
import { PANE_IDS, type PaneId } from './panes.ts';
import { type Row, rowText, sameRef } from './text/row.ts';
import type { Ui } from './ui.ts';

/** What the keys of a focused pane do. */

const SIDEWAYS = 8;

const PANE_OF_KIND: Record<Ref['kind'], PaneId | null> = {
  task: 'tasks',
  mm: 'vmas',
  vma: 'vmas',
  anon_vma: 'anon-vma',
  avc: 'anon-vma',
  page: 'page',
  pte: 'page-tables',
  lock: 'locks',
  file: null,
  source: 'source',
};

export function actOnPane(ui: Ui, action: UiAction | 'find-here'): void {
  const state = ui.panes[ui.focus];
  const sheet = ui.sheet(ui.focus);
  // Typed-ahead keys reach a pane before it was ever drawn at this stop.
  settle(state, sheet, state.height, ui.versionOf(ui.focus));
  const go = (index: number): void => moveTo(state, sheet, index);
  switch (action) {
    case 'line-down':
      go(state.cursor + ui.countValue);
      return;
    case 'line-up':
      go(state.cursor - ui.countValue);
      return;
    case 'page-down':
      go(state.cursor + Math.max(1, state.height - 1));
      return;
    case 'page-up':
      go(state.cursor - Math.max(1, state.height - 1));
      return;
    case 'first':
      go(ui.count.length < 2 ? 0 : ui.countValue - 1);
      return;
    case 'last':
      go(ui.count.length < 2 ? sheet.length - 1 : ui.countValue - 1);
      return;
    case 'scroll-left':
      state.left = Math.max(0, state.left - SIDEWAYS);
      return;
    case 'scroll-right':
      state.left += SIDEWAYS;
      return;
    case 'next-object': {
      const count = objectsOf(sheet.row(state.cursor)).length;
      if (count > 0) state.object = (state.object + 1) % count;
      return;
    }
    case 'focus-next':
      moveFocus(ui, 1);
      return;
    case 'focus-previous':
      moveFocus(ui, -1);
      return;
    case 'zoom':
      ui.zoom = !ui.zoom;
      return;
    case 'open':
      if (sheet.length > 0) open(ui, sheet.row(state.cursor), state.object);
      return;
    case 'back':
      back(ui);
      return;
    case 'filter':
      ui.command.open('filter', state.filter);
      return;
    case 'find-next':
      find(ui, 1, 1);
      return;
    case 'find-previous':
      find(ui, -1, 1);
      return;
    case 'find-here':
      find(ui, 1, 0);
      return;
    case 'toggle-breakpoint':
      toggleBreakpoint(ui, state.cursor + 1);
      return;
    case 'copy':
      if (sheet.length > 0) copy(ui, sheet.row(state.cursor));
      return;
    default:
      return;
  }
}

/** The objects of a row, the one it is about first. */
export function objectsOf(row: Row): readonly Ref[] {
  const refs: Ref[] = row.ref ? [row.ref] : [];
  for (const { ref } of row.spans) {
    if (ref && !refs.some((other) => sameRef(other, ref))) refs.push(ref);
  }
  return refs;
}

function moveFocus(ui: Ui, direction: number): void {
  const order = focusOrder(ui.layout(), PANE_IDS);
  const at = order.indexOf(ui.focus);
  const next = order[(at + direction + order.length) % order.length];
  if (next) ui.setFocus(next);
}

function open(ui: Ui, row: Row, object: number): void {
  const ref = objectsOf(row)[object];
  if (!ref) {
    if (row.command) ui.execute(row.command);
    return;
  }
  ui.pushBack();
  ui.session.select(ref);
  ui.refresh();
  ui.followSelection();
  // Focus moves only when the object's own pane is not on the screen already.
  const target = PANE_OF_KIND[ref.kind];
  const isShown = ui.layout().panes.some((pane) => pane.id === target);
  if (target && !isShown) ui.setFocus(target);
}

function back(ui: Ui): void {
  if (!ui.session.back()) {
    ui.note = { role: 'hint', text: 'Nothing to go back to.' };
    return;
  }
  ui.refresh();
  ui.followSelection();
  const focus = ui.popBack();
  if (focus) ui.setFocus(focus);
}

/** Moves to the next row that contains the filter text; `skip` 0 lets the cursor's own row match. */
function find(ui: Ui, direction: number, skip: number): void {
  const state = ui.panes[ui.focus];
  const sheet = ui.sheet(ui.focus);
  const wanted = state.filter.toLowerCase();
  if (wanted === '' || sheet.length === 0) return;
  for (let distance = skip; distance < sheet.length + skip; distance++) {
    const index = (state.cursor + direction * distance + sheet.length * 2) % sheet.length;
    if (!rowText(sheet.row(index)).toLowerCase().includes(wanted)) continue;
    moveTo(state, sheet, index);
    return;
  }
  ui.note = { role: 'hint', text: `No "${state.filter}" here.` };
}

function toggleBreakpoint(ui: Ui, line: number): void {
  const source = ui.session.source();
  if (source.isScenario) {
    ui.note = {
      role: 'hint',
      text: 'A breakpoint sits in the kernel: break FUNCTION or SYSTEM:EVENT.',
    };
    return;
  }
  const existing = source.breakpoints.find((point) => point.line === line);
  if (existing) ui.execute(`delete ${existing.id}`);
  else if (source.file !== '') ui.execute(`break ${source.file}:${line}`);
}

function copy(ui: Ui, row: Row): void {
  const text = rowText(row).trim();
  ui.stage?.copy(text);
  ui.note = { role: 'hint', text: 'Copied the row to the clipboard (if the terminal allows it).' };
}
