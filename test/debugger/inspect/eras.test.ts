/** Views of kernels before 6.18: families of anon_vmas, walks and locks are read as each kernel has them. */
import { describe, expect, test } from 'vitest';
import { openSession } from '../../../src/debugger/open.ts';
import type { Session } from '../../../src/debugger/session.ts';
import { ASCII } from '../../../src/tui/glyphs.ts';
import { anonVmaSheet } from '../../../src/tui/text/anon-vma.ts';

const family = `
A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
A: B = fork()
B: C = fork()
C: store(p, 5)
kernel: referenced(C, p)
`;

function open(kernel: string): Session {
  const session = openSession(family, { file: 'test.mm', kernel });
  if ('errors' in session) throw new Error(session.errors.map((e) => e.message).join('\n'));
  return session;
}

function run(session: Session, line: string): string {
  session.execute(line);
  while (session.pump(50_000) === 'running') {}
  return session
    .takeOutput()
    .map((each) => each.text)
    .join('\n');
}

/** Processes of each anon_vma, indented by its depth. */
function forest(session: Session): string[] {
  return session
    .anonVmas()
    .nodes.map(({ depth, vmas }) => `${'  '.repeat(depth)}${vmas.map((v) => v.process).join(' ')}`);
}

const chained = ['v2.6.34', 'v2.6.34-mel', 'v2.6.36', 'v3.0', 'v3.6', 'v3.7', 'v3.18', 'v6.18'];

describe('the forest of anon_vmas', () => {
  test.each(chained)('of %s has a line for each generation', (kernel) => {
    const session = open(kernel);
    run(session, 'continue');
    expect(session.finished).toBe(true);
    expect(forest(session)).toEqual(['A B C', '  B C', '    C']);
    const own = session
      .anonVmas()
      .rows.map(({ process, cells }) => `${process} ${cells.map((cell) => cell.link).join(' ')}`);
    expect(own).toEqual(['A own none none', 'B linked own none', 'C linked linked own']);
  });

  test('of 2.6.33 is one line', () => {
    const session = open('v2.6.33');
    run(session, 'continue');
    expect(forest(session)).toEqual(['A B C']);
    const { rows } = session.anonVmas();
    expect(rows.map(({ cells }) => cells.map((cell) => cell.link))).toEqual([
      ['own'],
      ['own'],
      ['own'],
    ]);
  });

  test('of the anon layer is one area, and of 2.4.0 nothing', () => {
    const session = open('v2.3.99-anon');
    run(session, 'continue');
    expect(forest(session)).toEqual(['C B A']);
    expect(session.anonVmas().nodes.map(({ ref, refcount }) => [ref.label, refcount])).toEqual([
      [expect.stringMatching(/^anon_area@/), 3],
    ]);
    expect(session.anonVmas().rows.length).toBe(3);
    expect(run(session, 'rmap C p')).toMatch(/via anon_area@/);
    const without = open('v2.4.0');
    run(without, 'continue');
    expect(forest(without)).toEqual([]);
    expect(run(without, 'info anon_vma')).toMatch(/no reverse map/);
    expect(run(without, 'rmap C p')).toContain('via scan of all address spaces');
    expect(run(without, 'info walk')).toContain('through all address spaces');
  });

  test.each([
    ['v2.3.99-anon', ['count']],
    ['v2.6.33', []],
    ['v2.6.34', ['ext']],
    ['v3.0', ['ref']],
    ['v3.19', ['ref', 'degree']],
    ['v6.1', ['ref', 'child', 'act']],
  ])('of %s shows the counters that there are', (kernel, titles) => {
    const session = open(kernel);
    expect(session.anonVmas().columns.map((each) => each.title)).toEqual(titles);
    run(session, 'continue');
    const { head } = anonVmaSheet(session.anonVmas(), ASCII);
    const text = head.map((row) => row.spans.map((span) => span.text).join('')).join('');
    for (const title of titles) expect(text).toContain(` ${title}`);
  });
});

describe('a walk', () => {
  test.each([
    ['v2.3.99-anon', 'anon_area.i_shared_lock'],
    ['v2.6.33', 'anon_vma.lock'],
    ['v2.6.34', 'anon_vma.lock'],
    ['v3.0', 'anon_vma.mutex'],
  ])('of %s is seen with the lock it holds', (kernel, lock) => {
    const session = open(kernel);
    run(session, 'break rmap:walk_visit');
    expect(run(session, 'continue')).toMatch(/rmap:walk_visit/);
    const view = session.anonVmas();
    expect(view.nodes.some((node) => node.vmas.some((vma) => vma.mark === 'current'))).toBe(true);
    expect(view.nodes.filter((node) => node.lockedBy !== '').length).toBe(1);
    expect(session.locks().locks.map((each) => each.cls)).toContain(lock);
  });
});

describe('words', () => {
  test('the lock of an address space is mmap_sem until 5.7', () => {
    for (const [kernel, word] of [
      ['v2.6.36', 'mm_struct.mmap_sem'],
      ['v6.18', 'mm_struct.mmap_lock'],
    ] as const) {
      const session = open(kernel);
      run(session, 'break rmap:anon_vma_prepare');
      run(session, 'continue');
      expect(session.locks().tree.map((node) => node.cls)).toContain(word);
      if (kernel === 'v2.6.36') {
        expect(session.locks().locks.map((each) => each.cls)).toContain(word);
      }
    }
  });
});

describe('what stands in the place of anon_vmas', () => {
  const lines = (kernel: string): string[] => {
    const text = `A: p = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
A: B = fork()
B: C = fork()
C: store(p, 2)
`;
    const session = openSession(text, { file: 'test.mm', kernel });
    if ('errors' in session) throw session.errors[0];
    session.execute('continue');
    while (session.pump(1_000_000) === 'running');
    return session.anonVmas().early.map((line) => `${line.depth} ${line.text}`);
  };

  test('are the entries that each page lists on v2.6.0', () => {
    const seen = lines('v2.6.0');
    expect(seen.filter((line) => line.startsWith('0'))).toEqual([
      expect.stringMatching(/^0 page \w+ {2}2 entries$/),
      expect.stringMatching(/^0 page \w+ {2}1 entry$/),
    ]);
    const under = seen.filter((line) => line.startsWith('1'));
    expect(under.map((line) => line[2])).toEqual(['A', 'B', 'C']);
    expect(under.filter((line) => line.includes('pte_chain'))).toHaveLength(2);
    expect(under.filter((line) => line.endsWith('PG_direct'))).toHaveLength(1);
  });

  test('are a field of the page on v2.6.0, in the word of the map count of later kernels', () => {
    const session = open('v2.6.0');
    run(session, 'continue');
    const shown = (where: string): string => {
      run(session, `rmap ${where}`);
      return run(session, 'info page');
    };
    expect(shown('A p')).toMatch(/^pte = pte_chain@/m);
    expect(shown('C p')).toMatch(/^pte = PG_direct$/m);
    expect(shown('A p')).not.toContain('_mapcount');
  });

  test('are families of address spaces on v2.6.6-anonmm', () => {
    const seen = lines('v2.6.6-anonmm');
    expect(seen.filter((line) => line.startsWith('0'))).toHaveLength(1);
    expect(new Set(seen.map((line) => line.at(-1)))).toEqual(new Set(['A', 'B', 'C']));
    const names = seen.map((line) => /anonmm@\w+#\d+/.exec(line)?.[0]);
    expect(new Set(names).size).toBe(seen.length);
    expect(names).not.toContain(undefined);
  });

  test('is nothing on v2.4.0, and on v6.18 there are anon_vmas', () => {
    expect(lines('v2.4.0')).toEqual(['0 no reverse map: a walk looks through all address spaces']);
    expect(lines('v6.18')).toEqual([]);
  });
});
