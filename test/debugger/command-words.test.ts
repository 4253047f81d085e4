import { expect, test } from 'vitest';
import { commandTable } from '../../src/debugger/session.ts';
import { commandWords } from '../../src/scenario/command-words.ts';

/** Statements of the language itself, and what starts the session anew. */
const elsewhere = new Set(['print', 'schedule', 'run', 'start']);

test('each command may stand in a scenario', () => {
  const words = new Set(commandWords);
  const missing = commandTable
    .map((command) => command.names[0])
    .filter((name) => !words.has(name) && !elsewhere.has(name));
  expect(missing).toEqual([]);
});
