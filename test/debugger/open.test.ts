import { describe, expect, test } from 'vitest';
import { openSession } from '../../src/debugger/open.ts';
import type { Session } from '../../src/debugger/session.ts';

function open(text: string, options: { touch?: 'none'; seed?: number } = {}): Session {
  const session = openSession(text, { file: 'test.mm', ...options });
  if ('errors' in session) throw new Error(session.errors.map((e) => e.message).join('\n'));
  return session;
}

function runAll(session: Session): string {
  session.execute('continue');
  while (session.pump(50_000) === 'running') {}
  return session
    .takeOutput()
    .map((line) => line.text)
    .join('\n');
}

const RACE = `p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
A: B = fork()
race {
  A: munmap(p, 1p)
  B: store(p, 1)
}
`;

describe('config', () => {
  test('places the heap and the mappings of the first process', () => {
    const session = open(`config brk=0x600000 arena_end=0x70000000
A: p = mmap(NULL, 1p, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x6ffff000
A: brk(NULL) = 0x600000
`);
    runAll(session);
    expect(session.finished).toBe(true);
    expect(session.run.reports()).toEqual([]);
  });

  test('gives the seed that --seed overrides', () => {
    const trace = (text: string, seed?: number): number => {
      const session = open(text, seed === undefined ? {} : { seed });
      runAll(session);
      return session.machine.traceHash();
    };
    const third = trace(`config seed=3\n${RACE}`);
    expect(third).toBe(trace(RACE, 3));
    expect(third).not.toBe(trace(RACE));
    expect(trace(`config seed=3\n${RACE}`, 0)).toBe(trace(RACE));
  });

  test('says which keys change nothing', () => {
    expect(runAll(open(`config cpus=2 memory=8M\n${RACE}`))).toContain(
      'config cpus=2 has no effect here',
    );
  });
});
