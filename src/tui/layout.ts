import type { PaneId } from './panes.ts';

/** Where everything is: one pure function of the screen's size and what the user looks at. */

export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A pane and its rectangle; the first row is its title rule. `tabs` share the place. */
export interface PaneBox extends Rect {
  readonly id: PaneId;
  readonly tabs: readonly PaneId[];
}

export type LayoutName = 'auto' | 'source' | 'rmap' | 'memory';
export const LAYOUT_NAMES: readonly LayoutName[] = ['auto', 'source', 'rmap', 'memory'];

export interface LayoutInput {
  readonly columns: number;
  readonly rows: number;
  readonly focus: PaneId;
  /** Panes in the order they were last focused, newest first; decides which tab shows. */
  readonly recent: readonly PaneId[];
  readonly zoom: boolean;
  readonly name: LayoutName;
}

export interface Layout {
  readonly mode: 'columns' | 'stacked' | 'zoom' | 'small';
  readonly columns: number;
  readonly rows: number;
  readonly panes: readonly PaneBox[];
  /** Columns where a vertical rule separates panes. */
  readonly rules: readonly Rect[];
  readonly header: Rect;
  /** Bar of all panes, in the modes that do not show them all. */
  readonly tabs: Rect | null;
  readonly status: Rect;
  readonly command: Rect;
}

export const LEAST_COLUMNS = 60;
export const LEAST_ROWS = 15;
const ONE_COLUMN_BELOW = 84;
const ALL_LIVE_COLUMNS = 150;
const ALL_LIVE_ROWS = 40;

/** A place for one pane of several, with its share of the column's height. */
interface Slot {
  readonly tabs: readonly PaneId[];
  readonly weight: number;
  readonly least: number;
}

interface Column {
  readonly weight: number;
  readonly slots: readonly Slot[];
}

const slot = (weight: number, least: number, ...tabs: PaneId[]): Slot => ({ tabs, weight, least });

/** All panes live but Costs, which shares a place. Columns read left to right as cause and effect: code, objects, what the rmap does with them. */
const WIDE: Record<LayoutName, readonly Column[]> = {
  auto: [
    {
      weight: 70,
      slots: [slot(30, 8, 'source'), slot(15, 5, 'tasks'), slot(11, 4, 'output')],
    },
    {
      weight: 66,
      slots: [
        slot(16, 6, 'vmas'),
        slot(18, 8, 'anon-vma'),
        slot(14, 6, 'pages'),
        slot(9, 5, 'locks'),
      ],
    },
    {
      weight: 62,
      slots: [
        slot(17, 6, 'walk'),
        slot(14, 5, 'page-tables'),
        slot(12, 5, 'page'),
        slot(14, 5, 'events', 'costs'),
      ],
    },
  ],
  source: [
    { weight: 96, slots: [slot(44, 8, 'source'), slot(13, 4, 'output')] },
    {
      weight: 52,
      slots: [slot(16, 5, 'tasks'), slot(22, 8, 'anon-vma'), slot(19, 5, 'locks')],
    },
    {
      weight: 50,
      slots: [
        slot(16, 6, 'vmas'),
        slot(16, 6, 'walk'),
        slot(12, 5, 'page-tables', 'page', 'pages'),
        slot(13, 5, 'events', 'costs'),
      ],
    },
  ],
  rmap: [
    {
      weight: 56,
      slots: [slot(24, 8, 'source'), slot(20, 5, 'tasks'), slot(13, 4, 'output')],
    },
    { weight: 76, slots: [slot(40, 8, 'anon-vma'), slot(17, 6, 'vmas')] },
    {
      weight: 66,
      slots: [
        slot(26, 8, 'walk'),
        slot(15, 5, 'page', 'page-tables', 'pages'),
        slot(16, 5, 'events', 'locks', 'costs'),
      ],
    },
  ],
  memory: [
    {
      weight: 56,
      slots: [slot(26, 8, 'source'), slot(18, 5, 'tasks'), slot(13, 4, 'output')],
    },
    { weight: 76, slots: [slot(26, 8, 'vmas'), slot(31, 8, 'pages', 'anon-vma', 'locks')] },
    {
      weight: 66,
      slots: [
        slot(24, 8, 'page-tables'),
        slot(17, 6, 'page'),
        slot(16, 5, 'walk', 'events', 'costs'),
      ],
    },
  ],
};

/** Between one column and all live: two columns of tabbed places. */
const MEDIUM: Record<LayoutName, readonly Column[]> = {
  auto: [
    {
      weight: 50,
      slots: [slot(14, 6, 'source'), slot(8, 5, 'tasks', 'locks', 'output')],
    },
    {
      weight: 50,
      slots: [
        slot(11, 6, 'anon-vma', 'vmas', 'page-tables', 'page', 'pages'),
        slot(11, 5, 'walk', 'events', 'costs'),
      ],
    },
  ],
  source: [
    { weight: 60, slots: [slot(20, 8, 'source'), slot(5, 4, 'output', 'tasks')] },
    {
      weight: 40,
      slots: [
        slot(12, 6, 'vmas', 'anon-vma', 'page-tables', 'page', 'pages'),
        slot(10, 5, 'walk', 'events', 'locks', 'costs'),
      ],
    },
  ],
  rmap: [
    {
      weight: 42,
      slots: [slot(12, 6, 'source'), slot(10, 5, 'tasks', 'vmas', 'locks', 'output')],
    },
    {
      weight: 58,
      slots: [
        slot(12, 6, 'anon-vma', 'page', 'page-tables', 'pages'),
        slot(12, 6, 'walk', 'events', 'costs'),
      ],
    },
  ],
  memory: [
    {
      weight: 42,
      slots: [
        slot(12, 6, 'source'),
        slot(10, 5, 'tasks', 'locks', 'walk', 'events', 'costs', 'output'),
      ],
    },
    {
      weight: 58,
      slots: [slot(10, 6, 'vmas', 'anon-vma'), slot(14, 6, 'pages', 'page-tables', 'page')],
    },
  ],
};

export function layout(input: LayoutInput): Layout {
  const { columns, rows } = input;
  const frame = {
    columns,
    rows,
    header: { x: 0, y: 0, width: columns, height: 1 },
    status: { x: 0, y: rows - 2, width: columns, height: 1 },
    command: { x: 0, y: rows - 1, width: columns, height: 1 },
  };
  if (columns < LEAST_COLUMNS || rows < LEAST_ROWS) {
    return { ...frame, mode: 'small', panes: [], rules: [], tabs: null };
  }
  const tabBar = { x: 0, y: 1, width: columns, height: 1 };
  if (input.zoom) {
    const box = { x: 0, y: 2, width: columns, height: rows - 4 };
    const panes = [{ ...box, id: input.focus, tabs: [input.focus] }];
    return { ...frame, mode: 'zoom', panes, rules: [], tabs: tabBar };
  }
  if (columns < ONE_COLUMN_BELOW) return { ...frame, ...stacked(input), tabs: tabBar };
  const live = columns >= ALL_LIVE_COLUMNS && rows >= ALL_LIVE_ROWS;
  const plan = (live ? WIDE : MEDIUM)[input.name];
  const body = live
    ? { x: 0, y: 1, width: columns, height: rows - 3 }
    : { x: 0, y: 2, width: columns, height: rows - 4 };
  return { ...frame, mode: 'columns', ...columned(plan, body, input), tabs: live ? null : tabBar };
}

/** One column: the focused pane, and under it a strip of the pane the user came from. */
function stacked(input: LayoutInput): Pick<Layout, 'mode' | 'panes' | 'rules'> {
  const { columns, rows, focus } = input;
  const body = rows - 4;
  const strip = Math.max(5, Math.floor(body * 0.32));
  const companion = input.recent.find((id) => id !== focus) ?? 'source';
  const panes = [
    { id: focus, tabs: [focus], x: 0, y: 2, width: columns, height: body - strip },
    { id: companion, tabs: [companion], x: 0, y: 2 + body - strip, width: columns, height: strip },
  ];
  return { mode: 'stacked', panes, rules: [] };
}

function columned(
  plan: readonly Column[],
  body: Rect,
  input: LayoutInput,
): Pick<Layout, 'panes' | 'rules'> {
  const widths = share(
    body.width - (plan.length - 1),
    plan.map((column) => ({ weight: column.weight, least: 20 })),
  );
  const panes: PaneBox[] = [];
  const rules: Rect[] = [];
  let x = body.x;
  for (const [index, column] of plan.entries()) {
    const width = widths[index] ?? 0;
    const heights = share(body.height, column.slots);
    let y = body.y;
    for (const [place, { tabs }] of column.slots.entries()) {
      const height = heights[place] ?? 0;
      panes.push({ id: shownTab(tabs, input), tabs, x, y, width, height });
      y += height;
    }
    x += width;
    if (index < plan.length - 1) rules.push({ x, y: body.y, width: 1, height: body.height });
    x += 1;
  }
  return { panes, rules };
}

/** Of the panes that share a place, the one focused last. */
function shownTab(tabs: readonly PaneId[], input: LayoutInput): PaneId {
  if (tabs.includes(input.focus)) return input.focus;
  return input.recent.find((id) => tabs.includes(id)) ?? (tabs[0] as PaneId);
}

/** Divides `total` by weight, giving each its least first; the parts always add up. */
function share(
  total: number,
  parts: readonly { readonly weight: number; readonly least: number }[],
): number[] {
  const weights = parts.reduce((sum, part) => sum + part.weight, 0);
  const sizes = parts.map((part) =>
    Math.max(part.least, Math.floor((total * part.weight) / weights)),
  );
  let rest = total - sizes.reduce((sum, size) => sum + size, 0);
  for (let i = 0; rest > 0; i = (i + 1) % sizes.length) {
    sizes[i] = (sizes[i] ?? 0) + 1;
    rest--;
  }
  // Least sizes took too much: the largest give way.
  while (rest < 0) {
    const largest = sizes.indexOf(Math.max(...sizes));
    sizes[largest] = (sizes[largest] ?? 0) - 1;
    rest++;
  }
  return sizes;
}

/** Panes in reading order, for Tab: those on the screen first, then the hidden tabs. */
export function focusOrder(value: Layout, all: readonly PaneId[]): readonly PaneId[] {
  return value.mode === 'columns' && !value.tabs ? value.panes.map((pane) => pane.id) : all;
}
