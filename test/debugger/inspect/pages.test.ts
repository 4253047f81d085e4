import { beforeEach, describe, expect, it } from 'vitest';
import { openSession } from '../../../src/debugger/open.ts';
import type { Session } from '../../../src/debugger/session.ts';
import type { PageRowView } from '../../../src/debugger/view.ts';

const scenario = `
A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: s = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 4p)
A: store(s, 1, 2p)
A: load(p+5p)
A: B = fork()
B: store(p, 5)
kernel: reclaim(A, p+1p)
A: load(p+1p)
kernel: reclaim(A, p+2p)
kernel: reclaim(A, p+2p)
`;

function open(): Session {
  const session = openSession(scenario, { file: 'test.mm' });
  if ('errors' in session) throw new Error(session.errors.map((e) => e.message).join('\n'));
  return session;
}

function run(session: Session, line: string): string {
  session.execute(line);
  while (session.pump(50_000) === 'running') {}
  const lines = session.takeOutput();
  return lines.map((each) => each.text).join('\n');
}

const rows = (session: Session, filter = ''): readonly PageRowView[] =>
  session.pages(0, Number.POSITIVE_INFINITY, filter).rows;

let session: Session;
beforeEach(() => {
  session = open();
});

describe('pages()', () => {
  it('has every frame in use once, with as many entries as the kernel counts when all is at rest', () => {
    run(session, 'continue');
    const all = rows(session);
    const frames = all.filter((each) => each.ref !== null && each.kind !== 'free');
    expect(new Set(frames.map((each) => each.at)).size).toBe(frames.length);
    for (const each of frames) {
      if (each.kind === 'zero') continue;
      expect(each.entries, each.key).toBe(each.mapcount);
      expect(each.extraRefs, each.key).toBe(0);
    }
    const { counts } = session.pages(0, 0, '');
    const count = (name: string): number => counts.find((c) => c.name === name)?.pages ?? 0;
    expect(count('MemTotal') - count('MemFree')).toBe(frames.length);
    expect(count('Shmem')).toBe(2);
    const lru = counts.filter(({ name }) => name.includes('('));
    expect(lru.reduce((sum, { pages }) => sum + pages, 0)).toBe(
      all.filter(({ lru: list }) => list !== '' && list !== 'batch').length,
    );
  });

  it('shows the locked page that reclaim holds, and slots that entries name', () => {
    run(session, 'break try_to_unmap');
    run(session, 'continue');
    const busy = rows(session).filter(({ flags }) => flags.includes('locked'));
    expect(busy).toHaveLength(1);
    expect(busy[0]?.extraRefs).toBeGreaterThan(0);
    run(session, 'delete');
    run(session, 'continue');
    const slots = rows(session, 'swap').filter(({ kind }) => kind === 'swap');
    for (const slot of slots) {
      expect(slot.entries).toBe(2);
      expect(slot.by.map(({ process }) => process)).toEqual(['A', 'B']);
      expect(slot.shared).toBe(true);
    }
    expect(slots.length).toBeGreaterThan(0);
  });

  it('filters by process, kind and sharing, and by their absence', () => {
    run(session, 'continue');
    const all = rows(session);
    const own = rows(session, 'B');
    expect(own).toEqual(all.filter(({ by }) => by.some(({ process }) => process === 'B')));
    expect(rows(session, 'shmem')).toEqual(all.filter(({ kind }) => kind === 'shmem'));
    expect(rows(session, 'shared')).toEqual(all.filter(({ shared }) => shared));
    expect(rows(session, '~shared').length + rows(session, 'shared').length).toBe(all.length);
    expect(rows(session, 'A ~B anon')).toEqual(
      all.filter(({ by, kind }) => kind === 'anon' && by.length === 1 && by[0]?.process === 'A'),
    );
    expect(session.pageRow(own[0]?.key ?? '', 'B')).toBe(0);
  });

  it('marks what a step changed: a new page, its counters, a freed page', () => {
    run(session, 'break page:alloc');
    run(session, 'break kmem:mm_page_alloc');
    run(session, 'continue');
    const before = new Set(rows(session).map(({ key }) => key));
    run(session, 'delete');
    run(session, 'finish');
    for (const each of rows(session)) expect(each.isNew, each.key).toBe(!before.has(each.key));
    run(session, 'continue');
    run(session, 'goto 1');
    const after = rows(session);
    expect(after.some(({ kind }) => kind === 'free')).toBe(true);
    expect(after.filter(({ kind }) => kind !== 'free').every(({ isNew }) => !isNew)).toBe(true);
  });

  it('selects the page of its row everywhere', () => {
    run(session, 'continue');
    const shared = rows(session, 'anon shared')[0];
    if (!shared?.ref) throw new Error('no shared page');
    session.select(shared.ref);
    const view = session.pages(0, 64, '');
    expect(view.rows[view.selected]?.key).toBe(shared.key);
    expect(session.page()?.pfn).toBe(shared.at);
    expect(session.pageTables()?.entries.find((e) => e.selected)?.note).toContain(
      `map ${shared.mapcount} ref ${shared.refcount}`,
    );
  });
});

describe('info pages', () => {
  it('prints the counts and the pages that a filter leaves', () => {
    run(session, 'continue');
    const text = run(session, 'info pages shmem');
    expect(text).toMatch(/^MemTotal 16384 {2}MemFree \d+/);
    expect(text.match(/shmem +1 +2 inactive_anon/g)).toHaveLength(2);
    expect(run(session, 'info pages ksm')).toContain('no page is ksm');
  });
});
