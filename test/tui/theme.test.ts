import { describe, expect, it } from 'vitest';
import { CURSOR, SELECTED, style } from '../../src/tui/cells.ts';
import { ROLES } from '../../src/tui/text/row.ts';
import { sgrTable, THEME_NAMES } from '../../src/tui/theme.ts';

const shown = (text: string): string => text.replace('\x1b', 'ESC');

describe('sgrTable', () => {
  it('uses no colour at level none, only attributes', () => {
    for (const theme of THEME_NAMES) {
      const sgr = sgrTable(theme, 'none');
      for (const role of ROLES) {
        for (const flags of [0, CURSOR, SELECTED]) {
          expect(shown(sgr(style(role, flags)))).toMatch(/^ESC\[0(;[1247])*m$/);
        }
      }
    }
  });

  it('degrades the same role by level', () => {
    const hit = (level: '16' | '256' | 'truecolor'): string =>
      shown(sgrTable('dark', level)(style('hit')));
    expect(hit('16')).toBe('ESC[0;1;92m');
    expect(hit('256')).toBe('ESC[0;1;38;5;114m');
    expect(hit('truecolor')).toBe('ESC[0;1;38;2;127;201;138m');
  });

  it('leaves the default background to the terminal', () => {
    for (const theme of THEME_NAMES) {
      expect(shown(sgrTable(theme, 'truecolor')(style('text')))).toBe('ESC[0m');
      expect(shown(sgrTable(theme, 'truecolor')(style('changed')))).not.toContain('48;');
    }
  });

  it('marks the cursor row and the selection by more than colour at every level', () => {
    expect(shown(sgrTable('dark', 'none')(style('ref', CURSOR)))).toBe('ESC[0;7m');
    expect(shown(sgrTable('dark', 'none')(style('ref', SELECTED)))).toBe('ESC[0;4m');
  });
});
