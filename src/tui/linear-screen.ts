import type { SessionView } from '../debugger/view.ts';
import { SPOKEN } from './glyphs.ts';
import { PANES } from './panes.ts';
import { linearPane, linearStatus } from './text/linear.ts';
import { Views } from './views.ts';

/** Everything the panes show, as lines to be read aloud or kept: the same rows, announced by name. */
export function linearScreen(session: SessionView, mostRows = 40): string[] {
  const views = new Views(session, SPOKEN);
  const lines = linearStatus(session.status());
  for (const { id, title } of PANES) {
    if (id !== 'output') lines.push('', ...linearPane(title, views.sheet(id, ''), mostRows));
  }
  return lines;
}
