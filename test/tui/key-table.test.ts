import { describe, expect, it } from 'vitest';
import { helpRows } from '../../src/tui/draw-overlays.ts';
import { KEY_TABLE, keyLabel } from '../../src/tui/key-table.ts';
import { rowText } from '../../src/tui/text/row.ts';

describe('KEY_TABLE', () => {
  it('has a help line for every key', () => {
    for (const binding of KEY_TABLE) {
      expect(binding.help, binding.keys.join()).not.toBe('');
      expect(binding.keys.length).toBeGreaterThan(0);
    }
  });

  it('binds no key twice in a context', () => {
    const seen = new Set<string>();
    for (const { context, keys } of KEY_TABLE) {
      // Keys of a pane and of everywhere are looked up together.
      const scope = context === 'global' || context === 'source' ? 'pane' : context;
      for (const key of keys) {
        expect(seen, `${scope} ${key}`).not.toContain(`${scope} ${key}`);
        seen.add(`${scope} ${key}`);
      }
    }
  });

  it('never binds a letter where text is typed', () => {
    for (const { context, keys } of KEY_TABLE) {
      if (context !== 'command' && context !== 'filter') continue;
      for (const key of keys) expect([...key].length, key).toBeGreaterThan(1);
    }
  });

  it('shows every key of the screen in the help', () => {
    const help = helpRows().map(rowText).join('\n');
    for (const { context, keys, help: line } of KEY_TABLE) {
      if (['help', 'confirm', 'picker'].includes(context)) continue;
      expect(help).toContain(line);
      for (const key of keys) expect(help).toContain(keyLabel(key));
    }
  });

  it('keeps to the letters of gdb, upper case for backwards', () => {
    const commands = KEY_TABLE.flatMap(({ keys, target }) =>
      'command' in target ? [`${keys.map(keyLabel).join(' ')}: ${target.command}`] : [],
    );
    expect(commands).toMatchInlineSnapshot(`
      [
        "s F11: step",
        "S: reverse-step",
        "n F10: next",
        "N: reverse-next",
        "i: stepi",
        "I: reverse-stepi",
        "f Shift-F11: finish",
        "F: reverse-finish",
        "c F5: continue",
        "C Ctrl-F5 Shift-F5: reverse-continue",
        "u: up",
        "d: down",
        "w: where",
      ]
    `);
  });
});
