import type { SessionView } from '../debugger/view.ts';
import { SPOKEN } from './glyphs.ts';
import { PANES, type PaneId } from './panes.ts';
import { linearPane, linearStatus } from './text/linear.ts';
import { Views } from './views.ts';

/** What one pane or all of them show, as lines to be read aloud: the same rows, announced by name. */
export function linearScreen(
  session: SessionView,
  only: PaneId | null = null,
  mostRows = 40,
): string[] {
  const views = new Views(session, SPOKEN);
  const lines = linearStatus(session.status());
  for (const { id, title } of PANES) {
    if (id === 'output' || (only !== null && id !== only)) continue;
    lines.push('', ...linearPane(title, views.sheet(id, ''), mostRows));
  }
  return lines;
}
