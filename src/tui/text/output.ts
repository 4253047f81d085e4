import type { OutputLine } from '../../debugger/view.ts';
import { row, type Sheet, sheet, span } from './row.ts';

const WORDS: Record<OutputLine['role'], string> = {
  text: '  ',
  error: '! ',
  stop: '* ',
  echo: '> ',
  hint: '  ',
};

/** What the commands printed. A mark at the left says what a line is, as its role does. */
export function outputSheet(lines: readonly OutputLine[], dropped: number): Sheet {
  return sheet(
    [
      {
        length: lines.length,
        key: (index) => `line ${dropped + index}`,
        row: (index) => {
          const line = lines[index];
          if (!line) return { spans: [] };
          return row([span(WORDS[line.role], line.role), span(line.text, line.role)]);
        },
      },
    ],
    { home: lines.length - 1, subtitle: '' },
  );
}
