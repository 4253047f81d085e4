import type { StatusView } from '../../debugger/view.ts';
import { type Row, rowText, type Sheet } from './row.ts';

/**
 * The same rows for a reader that hears them one by one: no boxes, no columns to keep in mind, every
 * pane announced by name, and the row that matters said in words instead of shown by an arrow.
 */
export function linearPane(title: string, sheet: Sheet, most = 200): string[] {
  const heading = sheet.subtitle === '' ? `${title}:` : `${title}: ${sheet.subtitle}`;
  const lines = [heading];
  for (const row of sheet.head) lines.push(rowLine(row));
  const shown = Math.min(sheet.length, most);
  // The window around the row that matters, not always the beginning.
  const first = Math.max(0, Math.min(sheet.home - (shown >> 1), sheet.length - shown));
  if (first > 0) lines.push(`(${first} rows before)`);
  for (let i = first; i < first + shown; i++) {
    const text = rowLine(sheet.row(i));
    if (text !== '') lines.push(i === sheet.home ? `${text} (here)` : text);
  }
  const rest = sheet.length - first - shown;
  if (rest > 0) lines.push(`(${rest} rows after)`);
  for (const row of sheet.foot) lines.push(rowLine(row));
  return lines;
}

export function linearStatus(status: StatusView): string[] {
  const lines = [
    `${status.title}, kernel ${status.kernel}, step ${status.step} of ${status.lastStep}`,
  ];
  if (status.task !== '') lines.push(`task ${status.task} in ${status.fn}`);
  if (status.stop !== '') lines.push(status.stop);
  for (const finding of status.findings) {
    lines.push(`finding ${finding.kind} at step ${finding.step}: ${finding.text}`);
  }
  return lines;
}

function rowLine(row: Row): string {
  return rowText(row).replaceAll(/\s+/g, ' ').trim();
}
