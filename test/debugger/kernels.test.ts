import { describe, expect, test } from 'vitest';
import { openSession } from '../../src/debugger/open.ts';
import type { Session } from '../../src/debugger/session.ts';

const text = `A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
A: B = fork()
B: store(p, 2)
A: mprotect(p, 1p, PROT_READ)
B: C = fork()
A: munmap(p, 1p)
`;

function open(kernel = 'v6.18'): Session {
  const session = openSession(text, { file: 'test.mm', kernel });
  if ('errors' in session) throw session.errors[0];
  return session;
}

/** Executes a command and all that it sets going; returns what was said. */
function run(session: Session, line: string): string[] {
  session.execute(line);
  while (session.busy) session.pump(10_000);
  return session.takeOutput().map((each) => each.text);
}

/** Where the session is: between which lines of the scenario. */
const line = (session: Session): number => session.status().statement.line;

describe('kernel NAME', () => {
  test('runs to the statement where the session was, past the breakpoints, which stay', () => {
    const session = open();
    run(session, 'break do_wp_page');
    run(session, 'break mprotect_fixup');
    run(session, 'continue');
    run(session, 'continue');
    expect(line(session)).toBe(5);
    run(session, 'kernel v2.6.33');
    expect(session.kernel).toBe('v2.6.33');
    expect([line(session), session.busy]).toEqual([5, false]);
    expect(session.mms().map((mm) => mm.vmas.length)).toEqual([1, 1]);
    expect(run(session, 'continue').join('\n')).toContain('Breakpoint 2, mprotect_fixup()');
  });

  test('at the end of a statement goes to the end of the same', () => {
    const session = open();
    run(session, 'continue');
    run(session, 'kernel v2.6.34');
    expect(session.finished).toBe(true);
    expect(session.mms().map((mm) => mm.process)).toEqual(['A', 'B', 'C']);
  });

  test('at the beginning begins', () => {
    const session = open();
    run(session, 'kernel v3.0');
    expect([session.kernel, session.machine.step, session.mms().length]).toEqual([
      'v3.0',
      session.machine.firstStep,
      0,
    ]);
  });
});

describe('diff KERNEL', () => {
  test('marks what differs, and only that', () => {
    const session = open();
    run(session, 'break mprotect_fixup');
    run(session, 'continue');
    const { step } = session.machine;
    const lines = run(session, 'diff v2.6.33');
    expect(session.machine.step).toBe(step);
    expect(lines[0]).toBe('before line 5: A: mprotect(p, 1p, PROT_READ)');
    // One anon_vma of the whole family there, one of each process here.
    const costs = lines.slice(lines.indexOf('-- costs'));
    expect(
      costs.find((each) =>
        /anon_vma +2 objects, 208 bytes +\| anon_vma +1 object, 32 bytes/.test(each),
      ),
    ).toBeDefined();
    expect(costs.find((each) => each.includes('anon_vma_chain'))).toMatch(/ [|<]/);
    // The session goes on as if nobody had looked.
    run(session, 'delete');
    expect(run(session, 'continue')).toContain('The scenario has ended.');
    expect(session.machine.hash()).toBe(finished().machine.hash());
  });

  test('of a kernel that there is not names those there are', () => {
    const session = open();
    expect(run(session, 'diff v9').join()).toContain('no kernel named v9; there is');
  });

  test('of a kernel with itself says that all is the same', () => {
    const session = open();
    run(session, 'break mprotect_fixup');
    run(session, 'continue');
    const lines = run(session, 'diff v6.18');
    expect(lines.filter((each) => each.startsWith('-- '))).toEqual([
      '-- vmas: the same',
      '-- anon_vma: the same',
      '-- avcs: the same',
      '-- pages: the same',
      '-- costs: the same',
    ]);
  });
});

function finished(): Session {
  const session = open();
  run(session, 'continue');
  return session;
}
