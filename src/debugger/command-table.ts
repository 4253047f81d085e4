/** The shape of debugger commands. The tables are in commands/*.ts; help, completion and docs are made from them. */
import type { Session } from './session.ts';

export type CommandGroup = 'running' | 'reverse' | 'breakpoints' | 'data' | 'walks' | 'session';

export interface CommandSpec {
  /** The word, then its aliases as gdb has them. */
  readonly names: readonly [string, ...string[]];
  readonly group: CommandGroup;
  /** `[COUNT]`; empty for a command without arguments. */
  readonly usage: string;
  readonly help: string;
  /** Empty Enter runs it again. */
  readonly repeats?: boolean;
  readonly run: (session: Session, args: string) => void;
  /** Words that may stand in its argument. */
  readonly complete?: (session: Session) => Iterable<string>;
}

/** What the user typed cannot be done; the text says what to do instead. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** A count argument: empty is 1. */
export function countOf(args: string): number {
  if (args.trim() === '') return 1;
  const count = Number(args.trim());
  if (!Number.isInteger(count) || count < 1) {
    throw new CommandError(`a count is a whole number from 1, not ${args.trim()}`);
  }
  return count;
}
