import { describe, expect, it } from 'vitest';
import type { UiAction } from '../../src/tui/key-table.ts';
import {
  applyCompletion,
  edit,
  History,
  insert,
  type Line,
  lineOf,
} from '../../src/tui/line-editor.ts';

/** Applies actions to `text`, in which `|` is the cursor. */
function edited(text: string, ...actions: readonly UiAction[]): string {
  const cursor = text.indexOf('|');
  let line: Line = { text: text.replace('|', ''), cursor, killed: '' };
  for (const action of actions) line = edit(line, action);
  return `${line.text.slice(0, line.cursor)}|${line.text.slice(line.cursor)}`;
}

describe('edit', () => {
  it('moves by character and word', () => {
    expect(edited('break rmap:walk|', 'word-left')).toBe('break rmap:|walk');
    expect(edited('|break rmap:walk', 'word-right', 'word-right')).toBe('break rmap|:walk');
    expect(edited('a😀|b', 'cursor-left')).toBe('a|😀b');
    expect(edited('a|😀b', 'cursor-right')).toBe('a😀|b');
    expect(edited('ab|', 'cursor-start')).toBe('|ab');
  });

  it('cuts and puts back', () => {
    expect(edited('print a.b|', 'kill-word-left', 'yank')).toBe('print a.b|');
    expect(edited('print |a', 'kill-to-start')).toBe('|a');
    expect(edited('print |a', 'kill-to-end', 'cursor-start', 'yank')).toBe('a|print ');
    expect(edited('a|b c', 'kill-word-right')).toBe('a| c');
  });

  it('deletes whole characters and exchanges two', () => {
    expect(edited('a😀|', 'delete-left')).toBe('a|');
    expect(edited('|😀a', 'delete-right')).toBe('|a');
    expect(edited('ab|', 'transpose')).toBe('ba|');
    expect(edited('a|b', 'transpose')).toBe('ba|');
    expect(edited('a|', 'transpose')).toBe('a|');
  });
});

describe('insert', () => {
  it('never puts a line break or control character into the line', () => {
    expect(insert(lineOf('a'), 'b\r\nc\x1bd').text).toBe('ab cd');
  });
});

describe('applyCompletion', () => {
  it('continues the longest tail that the candidate begins with', () => {
    expect(applyCompletion(lineOf('break rmap:wa'), 'rmap:walk_visit').text).toBe(
      'break rmap:walk_visit',
    );
    expect(applyCompletion(lineOf('info '), 'vmas').text).toBe('info vmas');
    expect(applyCompletion(lineOf('print vma(A,p).an'), 'anon_vma').text).toBe(
      'print vma(A,p).anon_vma',
    );
    expect(applyCompletion(lineOf('bre'), 'break').text).toBe('break');
  });

  it('replaces the word when the candidate does not continue it', () => {
    expect(applyCompletion(lineOf('info vms'), 'vmas').text).toBe('info vmas');
  });
});

describe('History', () => {
  it('goes through the lines that start like the draft and comes back to it', () => {
    const history = new History(['step', 'info vmas', 'info locks', 'next']);
    expect(history.older('info')).toBe('info locks');
    expect(history.older('info locks')).toBe('info vmas');
    expect(history.older('info vmas')).toBeNull();
    expect(history.newer('info vmas')).toBe('info locks');
    expect(history.newer('info locks')).toBe('info');
    expect(history.newer('info')).toBeNull();
  });

  it('does not keep an immediate repetition', () => {
    const history = new History(['step']);
    expect(history.add('step')).toBe(false);
    expect(history.add('next')).toBe(true);
    expect(history.last).toBe('next');
  });
});
