/** `diff KERNEL`: the state of this kernel and of another at the same statement, side by side. */
import { diffArrays } from 'diff';
import type { RunState } from '../scenario/run.ts';
import { tableLines } from './info.ts';
import type { Session } from './session.ts';
import { statementVerb } from './verbs.ts';

const TABLES = ['vmas', 'anon_vma', 'avcs', 'pages', 'costs'] as const;

/** Columns of one side at most. */
const SIDE = 96;

/** Statements run between two looks at whether the other kernel has arrived. */
const SLICE = 1_000_000;

/**
 * The tables of both kernels before the statement that this session is in or comes to next: `|` between
 * lines that differ, `<` and `>` at what only one has. Objects and frames are numbered by appearance,
 * since their addresses say nothing across kernels.
 */
export function diffKernels(session: Session, kernel: string): readonly string[] {
  const at = session.statementNumber();
  const other = session.beside(kernel);
  other.begin(statementVerb(at));
  while (other.busy) other.pump(SLICE);
  const mistakes = other.takeOutput().filter(({ role }) => role === 'error');
  if (mistakes.length > 0) {
    return [`${kernel} does not come here:`, ...mistakes.map(({ text }) => text)];
  }
  const there = pictures(other);
  session.machine.activate();
  const here = before(session, () => pictures(session));
  const line = session.run.scenario.statements[at]?.span.line;
  const lines = [
    line === undefined
      ? 'at the end of the scenario'
      : `before line ${line}: ${session.inspector.lineText(line)}`,
  ];
  const width = Math.min(
    SIDE,
    Math.max(20, ...[...here.values()].flat().map((text) => text.length)),
  );
  lines.push(`  ${session.kernel.padEnd(width)}   ${kernel}`);
  for (const name of TABLES) {
    const rows = sideBySide(here.get(name) ?? [], there.get(name) ?? [], width);
    const differs = rows.some((row) => row[width + 3] !== ' ');
    lines.push(`-- ${name}${differs ? '' : ': the same'}`);
    if (differs) lines.push(...rows);
  }
  return lines;
}

/** Runs `look` with the session at the start of the statement it is in the middle of. */
function before<T>(session: Session, look: () => T): T {
  const { machine } = session;
  const here = machine.step;
  const at = session.statementNumber();
  const first = machine.slices.find(
    (slice) => slice.step <= here && ((slice.driver as RunState | undefined)?.at ?? -1) >= at,
  );
  if (first === undefined || first.step >= here) return look();
  machine.seek(first.step);
  session.inspector.forgetChanges();
  try {
    return look();
  } finally {
    machine.seek(here);
    session.inspector.forgetChanges();
    machine.revive();
  }
}

/** Lines of each table, with objects and frames renamed. */
function pictures(session: Session): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string>();
  const counts = new Map<string, number>();
  const rename = (kind: string, key: string): string => {
    let name = names.get(key);
    if (name === undefined) {
      const count = (counts.get(kind) ?? 0) + 1;
      counts.set(kind, count);
      name = `${kind} ${count}`;
      names.set(key, name);
    }
    return name;
  };
  return new Map(
    TABLES.map((table) => [
      table,
      tableLines(session, table).map((line) =>
        line
          .replaceAll(/(\w+)@[0-9a-f]+#\d+/g, (key, kind: string) => rename(kind, key))
          .replace(
            table === 'pages' ? /^([ +~-] {1,2})([0-9a-f]+)/ : /$^/,
            (_, mark, pfn: string) => {
              // What is new since the last stop is no difference of the kernels.
              return `${' '.repeat(mark.length)}${rename('page', `pfn ${pfn}`)}`;
            },
          ),
      ),
    ]),
  );
}

function sideBySide(left: readonly string[], right: readonly string[], width: number): string[] {
  const rows: string[] = [];
  const put = (a: string, mark: string, b: string): void => {
    rows.push(`  ${cut(a, width).padEnd(width)} ${mark} ${b}`.trimEnd().padEnd(width + 4));
  };
  let gone: readonly string[] = [];
  const flush = (come: readonly string[]): void => {
    for (let i = 0; i < Math.max(gone.length, come.length); i++) {
      const a = gone[i];
      const b = come[i];
      put(a ?? '', a === undefined ? '>' : b === undefined ? '<' : '|', b ?? '');
    }
    gone = [];
  };
  for (const part of diffArrays([...left], [...right])) {
    if (part.removed === true) gone = part.value;
    else if (part.added === true) flush(part.value);
    else {
      flush([]);
      for (const line of part.value) put(line, ' ', line);
    }
  }
  flush([]);
  return rows;
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}~`;
}
