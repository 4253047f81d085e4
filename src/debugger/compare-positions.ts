/** The tables of `info` as lines: of one position for `screen`, of two for `diff`. */
import { tableLines } from './info.ts';
import type { Session } from './session.ts';

const TABLES = ['tasks', 'vmas', 'anon_vma', 'pages', 'locks'] as const;

export function screenText(session: Session): string {
  const parts = [session.inspector.position(session.frameIndex)];
  for (const name of TABLES) parts.push(`-- ${name}`, ...tableLines(session, name));
  return `${parts.join('\n')}\n`;
}

/** Lines of the tables at `from` that are not there at `to` (`-`), and the other way round (`+`). */
export function diffPositions(session: Session, from: number, to: number): readonly string[] {
  const { machine } = session;
  const here = machine.step;
  const look = (step: number): ReadonlyMap<string, readonly string[]> => {
    machine.seek(step);
    session.inspector.forgetChanges();
    return new Map(TABLES.map((name) => [name, tableLines(session, name)]));
  };
  const before = look(from);
  const after = look(to);
  machine.seek(here);
  session.inspector.forgetChanges();
  machine.revive();
  const lines = [`step ${from} (-) and step ${to} (+)`];
  for (const name of TABLES) {
    const old = before.get(name) ?? [];
    const now = after.get(name) ?? [];
    const gone = without(old, now).map((line) => `- ${line}`);
    const come = without(now, old).map((line) => `+ ${line}`);
    if (gone.length + come.length > 0) lines.push(`${name}:`, ...gone, ...come);
  }
  if (lines.length === 1) lines.push('no table differs');
  return lines;
}

function without(lines: readonly string[], others: readonly string[]): string[] {
  const known = new Set(others);
  return lines.filter((line) => !known.has(line));
}
