/**
 * The reference pages of docs/generated, made from the program's own tables. test/docs.test.ts compares
 * them with the committed files, and `npm run docs` writes them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { findingKinds, isFindingKind } from '../../src/check/kinds.ts';
import type { CommandGroup } from '../../src/debugger/command-table.ts';
import { FUNCTIONS } from '../../src/debugger/expression-functions.ts';
import { commandTable } from '../../src/debugger/session.ts';
import '../../src/linux/kernels.ts';
import { operationNames } from '../../src/linux/operations.ts';
import { calls, signatureOf } from '../../src/scenario/calls.ts';
import { allEvents } from '../../src/sim/event.ts';
import { KEY_TABLE, type KeyBinding, type KeyContext, keyLabel } from '../../src/tui/key-table.ts';

export const root = path.resolve(import.meta.dirname, '../..');

const code = (text: string): string =>
  text.includes('`') ? `\`\` ${text} \`\`` : `\`${text.replaceAll('|', '\\|')}\``;
const cell = (text: string): string => text.replaceAll('|', '\\|');

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** A page: title, one paragraph, then sections. Says at its top where it comes from. */
function page(title: string, intro: string, sections: readonly string[]): string {
  const origin = '<!-- Made by `npm run docs` from the program. Do not edit. -->';
  return `${[`# ${title}`, origin, intro, ...sections].join('\n\n')}\n`;
}

function grouped<T>(items: readonly T[], groupOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groupOf(item);
    const list = groups.get(group);
    if (list === undefined) groups.set(group, [item]);
    else list.push(item);
  }
  return groups;
}

// ---------------------------------------------------------------- commands

const commandGroups: Readonly<Record<CommandGroup, string>> = {
  running: 'Running',
  reverse: 'Going back',
  breakpoints: 'Breakpoints',
  data: 'Looking',
  walks: 'Reverse mapping',
  session: 'Session',
};

function commandsPage(): string {
  const groups = grouped(commandTable, (c) => c.group);
  const sections = Object.entries(commandGroups).flatMap(([group, title]) => {
    const rows = (groups.get(group) ?? []).map((c) => [
      code(`${c.names[0]} ${c.usage}`.trim()),
      c.names.slice(1).map(code).join(' '),
      `${cell(c.help)}${c.repeats === true ? ' ⏎' : ''}`,
    ]);
    return rows.length === 0 ? [] : [`## ${title}\n\n${table(['command', 'or', ''], rows)}`];
  });
  return page(
    'Debugger commands',
    'Typed after `:` on the screen, given to `rmapdbg run -x`, or written as lines of a scenario. Words and meanings are gdb’s; an unambiguous beginning of a word will do. ⏎: an empty line runs it again.',
    sections,
  );
}

// ---------------------------------------------------------------- events

const fieldKinds = {
  n: 'number',
  x: 'address',
  obj: 'pointer',
  page: 'page',
  str: 'text',
} as const;

function eventsPage(): string {
  const sorted = [...allEvents()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const sections = [...grouped(sorted, (e) => e.name.split(':')[0] ?? '')].map(
    ([system, events]) => {
      const rows = events.map((e) => [
        code(e.name),
        e.fields.map((f) => `${code(f.name)} ${fieldKinds[f.kind]}`).join(', '),
        cell(e.doc),
      ]);
      return `## ${system}\n\n${table(['event', 'fields', ''], rows)}`;
    },
  );
  return page(
    'Events',
    'Where a breakpoint can stop besides functions and lines: `break rmap:walk_visit if vma.mm == B.mm`. Names are globs, and the fields may stand in the condition. Where Linux has the tracepoint, its name is used.',
    sections,
  );
}

// ---------------------------------------------------------------- keys

const keyContexts: Readonly<Record<KeyContext, string>> = {
  global: 'Wherever no text is being typed',
  pane: 'In every pane',
  source: 'In the Source pane',
  command: 'On the command line',
  filter: 'In a filter',
  help: 'In the help',
  confirm: 'At a question',
  picker: 'In the scenario picker',
};

function keyRow(binding: KeyBinding): string[] {
  const keys = binding.keys.map((key) => code(keyLabel(key))).join(' ');
  const command = 'command' in binding.target ? code(binding.target.command) : '';
  return [keys, command, cell(binding.help)];
}

function keysPage(): string {
  const contexts = grouped(KEY_TABLE, (b) => b.context);
  const sections = Object.entries(keyContexts).flatMap(([context, title]) => {
    const groups = grouped(contexts.get(context) ?? [], (b) => b.group);
    const tables = [...groups].map(([group, bindings]) => {
      const head = groups.size > 1 ? `${group}\n\n` : '';
      return `${head}${table(['key', 'command', ''], bindings.map(keyRow))}`;
    });
    return tables.length === 0 ? [] : [`## ${title}\n\n${tables.join('\n\n')}`];
  });
  return page(
    'Keys',
    'The letters that run are gdb’s; upper case is the same thing backwards. A number before a key that runs is a count; one digit alone focuses a pane, so three steps are `03s`. `?` shows this on the screen.',
    sections,
  );
}

// ---------------------------------------------------------------- calls and expression functions

function callsPage(): string {
  const known = new Set(operationNames());
  const row = (name: string): string[] => {
    const spec = calls.get(name);
    if (spec === undefined) throw new Error(`no call ${name}`);
    const missing = known.has(name) ? '' : ' (not simulated yet)';
    return [code(signatureOf(spec)), `${cell(spec.help)}${missing}`];
  };
  const of = (system: boolean): string[][] =>
    [...calls.values()].filter((c) => c.isSystemCall === system).map((c) => row(c.name));
  const functions = Object.values(FUNCTIONS).map((f) => [code(f.usage), cell(f.help)]);
  return page(
    'Calls and functions',
    'What a scenario’s lines may call, and what its expressions may. [SCENARIOS.md](../SCENARIOS.md) describes the language around them. A call that is not simulated yet can be written; running it is an error.',
    [
      `## System calls\n\n${table(['call', ''], of(true))}`,
      `## In scenarios only\n\nThose that name a task act on the page mapped at the address in its address space.\n\n${table(['call', ''], of(false))}`,
      `## Functions of expressions\n\nFor \`expect\`, \`print\`, \`display\`, \`watch\` and conditions.\n\n${table(['function', ''], functions)}`,
    ],
  );
}

// ---------------------------------------------------------------- finding kinds

/** Rooms of src that report a finding of each kind: judges name kinds in many ways. */
export function reportersOf(folders: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const folder of folders) {
    const files = readdirSync(path.join(root, 'src', folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && name !== 'kinds.ts')
      .map((name) => `${folder}/${name}`)
      .sort();
    const pattern =
      folder === 'check' ? /'([a-z-]+)'/g : /(?:reportFinding|\.report)\(\s*'([a-z-]+)'/g;
    for (const file of files) {
      const text = readFileSync(path.join(root, 'src', file), 'utf8');
      for (const [, kind = ''] of text.matchAll(pattern)) {
        if (folder === 'check' && !isFindingKind(kind)) continue;
        const known = found.get(kind) ?? [];
        if (!known.includes(folder)) found.set(kind, [...known, folder]);
      }
    }
  }
  return found;
}

const engine = ['sim', 'linux', 'debugger'] as const;

function kindsPage(): string {
  const reporters = reportersOf([...engine, 'check']);
  const rows = Object.entries(findingKinds).map(([kind, doc]) => ({
    judged: (reporters.get(kind) ?? []).every((room) => room === 'check'),
    cells: [code(kind), cell(doc)],
  }));
  const of = (judged: boolean): string[][] =>
    rows.filter((r) => r.judged === judged).map((r) => r.cells);
  return page(
    'Findings',
    'The stable words for what can be found, usable in the `verdict` lines of a scenario. Ids in brackets name the rule that is broken.',
    [
      `## Reported as it happens\n\nBy the kernel’s own assertions, by its lock checks and by the machine under it.\n\n${table(['kind', ''], of(false))}`,
      `## Judged after each operation\n\nBy brute force over all page tables, and by no code that the kernel uses itself.\n\n${table(['kind', ''], of(true))}`,
    ],
  );
}

/** Kinds that the engine reports under a literal name. */
export const engineKinds = (): string[] => [...reportersOf(engine).keys()];

/** Every generated page by its path below the root of the project. */
export function generatedPages(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/generated/calls.md', callsPage()],
    ['docs/generated/commands.md', commandsPage()],
    ['docs/generated/events.md', eventsPage()],
    ['docs/generated/keys.md', keysPage()],
    ['docs/generated/kinds.md', kindsPage()],
  ]);
}
