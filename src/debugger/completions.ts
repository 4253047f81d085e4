/** What may stand where the cursor is: a command word, then what its command knows of. */
import type { Session } from './session.ts';
import type { Completion } from './view.ts';

export function completions(session: Session, line: string, cursor: number): readonly Completion[] {
  const before = line.slice(0, cursor);
  const space = before.search(/\s/);
  if (space < 0) {
    return session.commands
      .filter((c) => c.names[0].startsWith(before))
      .map((c) => ({ text: c.names[0], help: c.help }));
  }
  const command = session.findCommand(before.slice(0, space));
  if (command?.complete === undefined) return [];
  const word = /[^\s]*$/.exec(before)?.[0] ?? '';
  const found: Completion[] = [];
  for (const text of command.complete(session)) {
    if (text.startsWith(word)) found.push({ text, help: '' });
    if (found.length >= 200) break;
  }
  return found;
}
