/** `info NAME` under --json: the view itself, as data. */
import { infoNames } from '../debugger/info.ts';
import type { Session } from '../debugger/session.ts';

/** Events shown at most: the latest. */
const EVENTS = 1000;

function lastEvents(session: Session): unknown {
  const { total } = session.events(0, 0, '');
  return session.events(Math.max(0, total - EVENTS), EVENTS, '');
}

const views: Readonly<Record<string, (session: Session, rest: string) => unknown>> = {
  vmas: (session) => session.mms(),
  anon_vma: (session) => session.anonVmas(),
  avcs: (session) => session.anonVmas(),
  pte: (session) => session.pageTables(),
  pages: (session, rest) => session.pages(0, Number.POSITIVE_INFINITY, rest),
  page: (session) => session.page(),
  locks: (session) => session.locks(),
  tasks: (session) => session.tasks(),
  walk: (session) => session.walks().at(-1) ?? null,
  costs: (session) => session.costs(),
  findings: (session) => session.findings(),
  locals: (session) => session.source().locals,
  events: lastEvents,
};

/** The view that a command line asks for; null when it is not `info` of one. */
export function viewOf(session: Session, line: string): { name: string; data: unknown } | null {
  const [, command = '', word = '', rest = ''] = /^\s*(\S+)\s+(\S+)\s*(.*)$/.exec(line) ?? [];
  if (rest !== '' && word !== 'pages') return null;
  if (session.findCommand(command)?.names[0] !== 'info') return null;
  const close = infoNames.filter((name) => name === word || name.startsWith(word));
  const name = close.includes(word) ? word : close.length === 1 ? (close[0] ?? '') : '';
  const view = views[name];
  return view === undefined ? null : { name, data: view(session, rest.trim()) };
}
