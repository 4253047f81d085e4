/** `info X`: the views as text lines. */
import { allEvents } from '../sim/event.ts';
import { CommandError } from './command-table.ts';
import type { Session } from './session.ts';
import type { CostView, PageRowView, Spread, WalkCost, WalkView } from './view.ts';

const hex = (n: number): string => `0x${n.toString(16)}`;

/** Walks of kernels without a reverse map, which begin at no object. */
const isScan = (walk: WalkView): boolean => walk.purpose === 'scan' || walk.purpose === 'swap_out';

function vmas(session: Session): void {
  for (const mm of session.mms()) {
    const plural = mm.mapCount === 1 ? '' : 's';
    session.print(`${mm.process}  ${mm.mapCount} VMA${plural}, ${mm.totalPages} pages`, 'hint');
    for (const line of mm.picture) session.print(`  ${line}`);
    for (const v of mm.vmas) {
      session.print(
        `  ${v.letter} ${v.start.toString(16)}-${v.end.toString(16)} ${v.perms} pgoff ${hex(v.pgoff)}` +
          ` ${v.anonVma?.label ?? 'no anon_vma'} avcs ${v.avcs} present ${v.present}` +
          `${v.swapped === 0 ? '' : ` swapped ${v.swapped}`} ${v.file} [${v.vmFlags}]`,
      );
    }
  }
}

function anonVmas(session: Session): void {
  const { nodes, early } = session.anonVmas();
  for (const { depth, text } of early) session.print(`${'  '.repeat(depth)}${text}`);
  if (nodes.length + early.length === 0) {
    session.print('no anon_vma yet: nothing has been written to');
  }
  for (const n of nodes) {
    session.print(
      `${'  '.repeat(n.depth)}${n.ref.label} refcount ${n.refcount} children ${n.numChildren} active ${n.numActiveVmas}` +
        `${n.lockedBy === '' ? '' : ` locked by ${n.lockedBy}`}`,
    );
    for (const { vma, process, mark } of n.vmas) {
      session.print(
        `${'  '.repeat(n.depth + 1)}- ${process} ${vma.label}${mark === 'none' ? '' : ` <${mark}>`}`,
      );
    }
  }
}

function avcs(session: Session): void {
  const { nodes, rows } = session.anonVmas();
  for (const row of rows) {
    const links = row.cells
      .map((cell, i) =>
        cell.link === 'none' ? '' : `${nodes[i]?.ref.label}${cell.link === 'own' ? '*' : ''}`,
      )
      .filter((text) => text !== '');
    session.print(`${row.process} ${row.vma.label}: ${links.join(' ')}`);
  }
}

function pte(session: Session): void {
  const view = session.pageTables();
  if (view === null) throw new CommandError('select an address first: vtop A ADDR');
  for (const level of view.levels) session.print(`${level.name} ${level.index}: ${level.entry}`);
  for (const entry of view.entries) {
    session.print(
      `${entry.selected ? '=>' : '  '} ${hex(entry.address)} ${entry.text} ${entry.bits}`,
    );
  }
}

/** All pages, or those that the words of a filter leave. */
function pages(session: Session, filter: string): void {
  const view = session.pages(0, MAX_PAGES, filter);
  session.print(view.counts.map(({ name, pages: n }) => `${name} ${n}`).join('  '), 'hint');
  if (view.total === 0) session.print(filter === '' ? 'no page is in use' : `no page is ${filter}`);
  else session.print(pageHead, 'hint');
  for (const each of view.rows) session.print(pageLine(each));
  if (view.total > view.rows.length) {
    session.print(
      `and ${view.total - view.rows.length} more; info pages WORD... narrows it`,
      'hint',
    );
  }
}

const MAX_PAGES = 500;
const pageHead = `  ${'pfn'.padEnd(9)} ${'kind'.padEnd(6)} map  ref lru            mapping, by, flags`;

function pageLine(each: PageRowView): string {
  const mark = each.isNew ? '+' : each.kind === 'free' ? '-' : each.changed.length > 0 ? '~' : ' ';
  const place = each.pages > 1 ? `${each.at.toString(16)}+${each.pages}` : each.at.toString(16);
  const by = each.by.map((b) => (b.entries === 1 ? b.process : `${b.process}*${b.entries}`));
  const rest = [
    each.mappingText === '' ? '' : `${each.mappingText} index ${hex(each.index)}`,
    by.length === 0 ? '' : `by ${by.join(' ')}`,
    each.entries === each.mapcount || each.kind === 'swap' ? '' : `${each.entries} in tables`,
    ...each.notes,
    each.flags.join(','),
  ].filter((text) => text !== '');
  return (
    `${mark}${each.part ? '  ' : ' '}${place.padEnd(each.part ? 8 : 9)} ${each.kind.padEnd(6)}` +
    ` ${String(each.mapcount).padStart(3)} ${String(each.refcount).padStart(4)} ${each.lru.padEnd(14)} ${rest.join(', ')}`
  );
}

function page(session: Session): void {
  const page = session.page();
  if (page === null) throw new CommandError('select a page first: rmap A ADDR');
  for (const f of page.fields) session.print(`${f.name} = ${f.value}`);
  for (const m of page.mappings) {
    session.print(
      `mapped by ${m.process} at ${hex(m.address)} ${m.pte} via ${m.via === '' ? 'nothing: no walk finds it' : m.via}`,
    );
  }
  for (const item of page.items) {
    session.print(
      `ksm item of ${item.process || 'a process that is gone'} at ${hex(item.address)} by ${item.anonVma?.label ?? '?'}` +
        `${item.stale ? ', stale' : ''}`,
    );
  }
}

function locks(session: Session): void {
  const view = session.locks();
  if (view.locks.length === 0) session.print('no lock is held');
  for (const l of view.locks) {
    const holders = l.holders.map((h) => `${h.task} (${h.mode})`).join(', ');
    const waiters = l.waiters.map((w) => `${w.task} (${w.mode})`).join(', ');
    session.print(
      `${l.cls} ${l.ref.label} held by ${holders || 'nobody'}${waiters === '' ? '' : `, waiting: ${waiters}`}`,
    );
  }
  for (const edge of view.order) session.print(`  ${edge.from} -> ${edge.to} (${edge.count})`);
}

function tasks(session: Session): void {
  for (const t of session.tasks()) {
    session.print(
      `${t.selected ? '*' : ' '} ${String(t.id).padStart(3)} ${t.name.padEnd(10)} ${t.state.padEnd(9)}` +
        `${t.operation}${t.waitsFor === '' ? '' : ` waits for ${t.waitsFor}`}`,
    );
  }
}

/** One walk: a line per visit and its cost. */
function walkLines(walk: WalkView): string[] {
  const lines = [
    `walk ${walk.id}: ${walk.purpose} by ${walk.task} of ${walk.page.label} through ${walk.anonVma?.label ?? (isScan(walk) ? 'all address spaces' : 'a file')}`,
  ];
  for (const v of walk.visits) {
    lines.push(
      `  ${String(v.index + 1).padStart(3)} step ${v.step} ${v.process} ${v.vma.label} ${hex(v.address)} ${v.result}${v.ptes > 0 ? ` ptes ${v.ptes}` : ''} cost ${v.cost}`,
    );
  }
  lines.push(
    `  ${walk.visited} visited, ${walk.hits} hit, ${walk.wasted} wasted, ${walk.ptes} PTEs, ${walk.locksTaken} locks, ${walk.steps} steps${walk.endedAt < 0 ? ' (running)' : ''}`,
  );
  return lines;
}

function spread({ min, mean, max }: Spread): string {
  return `${min} / ${Math.round(mean * 100) / 100} / ${max}`;
}

function walkCost({ purpose, visits, hits, wasted, ptes }: WalkCost): string {
  return `${purpose.padEnd(24)} walks ${visits.count} visits ${spread(visits)} hits ${hits} wasted ${wasted} PTEs ${ptes}`;
}

/** What the reverse mapping has cost so far. */
function costLines(view: CostView): string[] {
  const { forks } = view;
  return [
    walkCost(view.walks),
    ...view.byPurpose.map((each) => `  ${walkCost(each)}`),
    ...view.locks
      .filter((lock) => lock.rmap)
      .map(
        ({ cls, taken, contended, held }) =>
          `${cls.padEnd(24)} taken ${taken} waited ${contended} held ${spread(held)} steps`,
      ),
    `${'forks'.padEnd(24)} ${forks.steps.count}, steps ${spread(forks.steps)}, links ${spread(forks.links)}, locks ${spread(forks.locks)}`,
    ...view.objects.map(
      (o) => `${o.name.padEnd(24)} ${o.count} object${o.count === 1 ? '' : 's'}, ${o.bytes} bytes`,
    ),
    `${'rmap objects'.padEnd(24)} ${view.bytes} bytes, ${Math.round(view.bytesPerPage)} a page, ${Math.round(view.bytesPerVma)} a VMA (${view.pages} pages, ${view.vmas} VMAs)`,
  ];
}

function walk(session: Session): void {
  const last = session.walks().at(-1);
  if (last === undefined) session.print('no reverse-map walk yet');
  else for (const line of walkLines(last)) session.print(line);
}

function costs(session: Session): void {
  for (const line of costLines(session.costs().here)) session.print(line);
  for (const w of session.walks()) {
    session.print(
      `walk ${w.id} ${w.purpose.padEnd(24)} visited ${w.visited} hits ${w.hits} wasted ${w.wasted} ptes ${w.ptes} locks ${w.locksTaken} steps ${w.steps}`,
    );
  }
}

function breakpoints(session: Session): void {
  const list = session.breakpoints.list();
  if (list.length === 0) session.print('no breakpoints');
  for (const b of list) {
    session.print(
      `${b.id} ${b.log === null ? b.kind : 'logpoint'} ${b.enabled ? 'y' : 'n'} ${b.spec}` +
        `${b.task === null ? '' : ` task ${b.task}`}${b.condition === null ? '' : ` if ${b.condition.text}`}` +
        `${b.hits === 0 ? '' : `, hit ${b.hits} times`}`,
    );
    for (const line of b.commands) session.print(`    ${line}`);
  }
}

function locals(session: Session): void {
  const view = session.source();
  if (view.locals.length === 0) session.print('no locals here');
  for (const l of view.locals) session.print(`${l.name} = ${l.value}`);
}

function findings(session: Session): void {
  const list = session.findings();
  if (list.length === 0) session.print('no findings');
  for (const f of list) session.print(`step ${f.step} ${f.task}: ${f.kind}: ${f.text}`);
}

function events(session: Session): void {
  const { total } = session.events(0, 0, '');
  const view = session.events(Math.max(0, total - 20), 20, '');
  for (const e of view.rows) {
    session.print(
      `${String(e.step).padStart(8)} ${e.task.padEnd(10)} ${e.name} ${e.fields.map((f) => `${f.name}=${f.value}`).join(' ')}`,
    );
  }
  session.print(`${total} events so far; ${allEvents().length} kinds (rmapdbg events)`, 'hint');
}

function marks(session: Session): void {
  for (const [name, step] of session.marks) session.print(`${name}: step ${step}`);
  session.print(`history: steps ${session.machine.firstStep} to ${session.machine.endStep}`);
}

/** What is being debugged: title, what the scenario says about itself, kernel, place. */
function scenario(session: Session): void {
  const { scenario: read } = session.run;
  const { statement, step, kernel } = session.status();
  session.print(session.options.title);
  session.print(`${session.options.file} on ${kernel}, step ${step}`);
  if (statement.line > 0) session.print(`line ${statement.line}: ${statement.text}`);
  // Last, so that a pane of few rows shows it.
  const about = read.header.about.map(({ text }) => text).join(' ');
  for (const line of wrapped(about, 64)) session.print(`  ${line}`.trimEnd(), 'hint');
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter((each) => each !== '')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}

function frame(session: Session): void {
  session.print(session.inspector.position(session.frameIndex));
}

function displays(session: Session): void {
  if (session.displays.length === 0) session.print('no displays');
  for (const d of session.displays) session.print(`${d.id}: ${d.text}`);
}

const infos: Readonly<Record<string, (session: Session, rest: string) => void>> = {
  vmas,
  anon_vma: anonVmas,
  avcs,
  pte,
  pages,
  page,
  locks,
  tasks,
  walk,
  costs,
  breakpoints,
  locals,
  findings,
  events,
  marks,
  frame,
  display: displays,
  scenario,
};

export const infoNames: readonly string[] = Object.keys(infos);

/** Words that gdb and crash users type. */
const aliases: Readonly<Record<string, string>> = {
  threads: 'tasks',
  args: 'locals',
  line: 'frame',
  source: 'scenario',
  program: 'scenario',
  watchpoints: 'breakpoints',
  record: 'marks',
  maps: 'vmas',
  kmem: 'pages',
  meminfo: 'pages',
};

/** The lines of one table. */
export function tableLines(session: Session, name: string): readonly string[] {
  const kept = session.takeOutput();
  infos[name]?.(session, '');
  const lines = session.takeOutput().map((line) => line.text);
  for (const { role, text } of kept) session.print(text, role);
  return lines;
}

/** Runs `info NAME`; an unambiguous prefix will do. */
export function infoCommands(session: Session, args: string): void {
  const [word = '', ...rest] = args.trim().split(/\s+/);
  const named = Object.hasOwn(aliases, word) ? (aliases[word] as string) : word;
  const exact = Object.hasOwn(infos, named) ? infos[named] : undefined;
  const close = infoNames.filter((name) => word !== '' && name.startsWith(word));
  const chosen = exact ?? (close.length === 1 ? infos[close[0] as string] : undefined);
  if (chosen === undefined) throw new CommandError(`info takes ${infoNames.join(', ')}`);
  chosen(session, rest.join(' '));
}
