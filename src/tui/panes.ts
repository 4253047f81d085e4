/** The panes, in the order of Tab. */
export const PANES = [
  { id: 'source', key: '1', title: 'Source' },
  { id: 'tasks', key: '2', title: 'Tasks' },
  { id: 'vmas', key: '3', title: 'VMAs' },
  { id: 'anon-vma', key: '4', title: 'anon_vma' },
  { id: 'page-tables', key: '5', title: 'Page tables' },
  { id: 'page', key: '6', title: 'Page' },
  { id: 'pages', key: 'p', title: 'Pages' },
  { id: 'locks', key: '7', title: 'Locks' },
  { id: 'walk', key: '8', title: 'Walk' },
  { id: 'events', key: '9', title: 'Events' },
  { id: 'costs', key: '$', title: 'Costs' },
  { id: 'output', key: '', title: 'Output' },
] as const;

export type PaneId = (typeof PANES)[number]['id'];

export const PANE_IDS: readonly PaneId[] = PANES.map((pane) => pane.id);

export function paneTitle(id: PaneId): string {
  return PANES.find((pane) => pane.id === id)?.title ?? id;
}

export function paneKey(id: PaneId): string {
  return PANES.find((pane) => pane.id === id)?.key ?? '';
}

/** A pane by what a user may type for it: number, name, title, or the start of one. */
export function paneNamed(text: string): PaneId | null {
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return null;
  for (const pane of PANES) {
    const names = [pane.key, pane.id, pane.title.toLowerCase(), pane.id.replace('-', '_')];
    if (names.includes(wanted)) return pane.id;
  }
  return PANES.find((pane) => pane.id.startsWith(wanted))?.id ?? null;
}
