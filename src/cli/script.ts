/** `-x`: debugger commands from the command line, or from a file of them. */
import { readFileSync, statSync } from 'node:fs';
import { commandTable } from '../debugger/session.ts';
import { UsageError } from './files.ts';

export interface ScriptLine {
  readonly text: string;
  /** `FILE:LINE: ` in a file, else empty. */
  readonly at: string;
}

/** What one -x says. As in gdb, a mistake ends the rest of a file, but not the next -x. */
export type Script = readonly ScriptLine[];

const quitWords: ReadonlySet<string> = new Set(['quit', 'q', 'exit']);

export function isQuit(line: ScriptLine): boolean {
  return quitWords.has(line.text.trim());
}

function isFile(name: string): boolean {
  const stat = statSync(name, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true) {
    throw new UsageError(`-x ${name}: is a directory; name a file of debugger commands`);
  }
  return stat !== undefined;
}

/** Throws UsageError for a file that cannot be read. */
export function readScript(command: string): Script {
  const word = /^\s*([\w-]*)/.exec(command)?.[1] ?? '';
  const isCommand =
    /\s/.test(command.trim()) ||
    commandTable.some((c) => c.names.includes(word) && word === command);
  if (isCommand || quitWords.has(command) || !isFile(command)) return [{ text: command, at: '' }];
  let text: string;
  try {
    text = readFileSync(command, 'utf8');
  } catch (error) {
    throw new UsageError(`-x ${command}: ${error instanceof Error ? error.message : error}`);
  }
  if (text.includes('\0')) {
    throw new UsageError(`-x ${command}: is a binary file, not debugger commands`);
  }
  // An empty line at the prompt repeats the last command; in a file it is only a gap.
  return text
    .split('\n')
    .map((line, i) => ({ text: line.trim(), at: `${command}:${i + 1}: ` }))
    .filter((line) => line.text !== '');
}
