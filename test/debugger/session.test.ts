import { expect, test } from 'vitest';
import { openSession } from '../../src/debugger/open.ts';
import type { Session } from '../../src/debugger/session.ts';

const family = `
A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
A: B = fork()
A: C = fork()
A: D = fork()
C: store(p, 5)
kernel: referenced(A, p)
`;

function open(text: string): Session {
  const session = openSession(text, { file: 'test.mm' });
  if ('errors' in session) throw new Error(session.errors.map((e) => e.message).join('\n'));
  return session;
}

/** Runs a command to its end; returns what it printed. */
function run(session: Session, line: string): string {
  session.execute(line);
  while (session.pump(50_000) === 'running') {}
  return session
    .takeOutput()
    .map((l) => l.text)
    .join('\n');
}

test('a walk can be stepped visit by visit and backwards, and its cost printed', () => {
  const session = open(family);
  run(session, 'break rmap:walk_visit');
  const steps: number[] = [];
  for (let visit = 1; visit <= 4; visit++) {
    expect(run(session, 'continue')).toMatch(/Breakpoint 1, rmap:walk_visit/);
    expect(session.walks().at(-1)?.visits.length).toBe(visit);
    steps.push(session.status().step);
  }
  expect(run(session, 'reverse-continue')).toMatch(/Breakpoint 1/);
  expect(session.status().step).toBe(steps[2]);
  expect(session.walks().at(-1)?.visits.length).toBe(3);
  expect(run(session, 'reverse-continue')).toMatch(/Breakpoint 1/);
  expect(session.status().step).toBe(steps[1]);
  // Forward again, inside recorded history.
  run(session, 'continue');
  expect(session.status().step).toBe(steps[2]);
  run(session, 'delete');
  run(session, 'continue');
  expect(session.finished).toBe(true);
  expect(run(session, 'print walk_cost(A, p).visited')).toMatch(/= 4$/);
  expect(run(session, 'print walk_cost(A, p).wasted')).toMatch(/= 1$/);
});

test('every step back and forward again shows the same state', () => {
  const session = open(family);
  run(session, 'continue');
  const end = session.status().lastStep;
  const hash = session.machine.hash();
  const trace = session.machine.traceHash();
  for (const step of [end - 1, Math.floor(end / 2), Math.floor(end / 3), 1]) {
    run(session, `goto ${step}`);
    expect(session.status().step).toBe(step);
    run(session, 'next');
    run(session, 'step 5');
    run(session, 'finish');
    run(session, 'continue');
    expect(session.status().step).toBe(end);
    expect(session.machine.hash()).toBe(hash);
    expect(session.machine.traceHash()).toBe(trace);
  }
});

test('reverse-step undoes step one by one', () => {
  const session = open(family);
  run(session, 'step 200');
  const places: string[] = [];
  for (let i = 0; i < 60; i++) {
    const { file, line } = session.source();
    places.push(`${session.status().step} ${file}:${line} ${session.machine.hash()}`);
    run(session, 'step');
  }
  for (const place of places.reverse()) {
    run(session, 'reverse-step');
    const { file, line } = session.source();
    expect(`${session.status().step} ${file}:${line} ${session.machine.hash()}`).toBe(place);
  }
});

test('a condition sees the fields of the event', () => {
  const session = open(family);
  run(session, 'break rmap:walk_visit if vma.vm_mm == C.mm');
  run(session, 'continue');
  const walk = session.walks().at(-1);
  expect(walk?.visits.at(-1)?.process).toBe('C');
});

test('next runs calls to their end and finish leaves the function', () => {
  const session = open(family);
  run(session, 'break anon_vma_fork');
  run(session, 'continue');
  expect(session.source().fn).toBe('anon_vma_fork');
  for (let i = 0; i < 5; i++) {
    const before = session.inspector.frames().length;
    run(session, 'next');
    expect(session.inspector.frames().length).toBeLessThanOrEqual(before);
  }
  const depth = session.inspector.frames().length;
  run(session, 'finish');
  expect(session.inspector.frames().length).toBeLessThan(depth);
});

test('another task chosen in the past makes another future', () => {
  const session = open(`
A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
A: B = fork()
race {
  A: store(p, 2)
  B: store(p, 3)
}
`);
  run(session, 'break user_store');
  run(session, 'continue');
  run(session, 'continue');
  run(session, 'delete');
  expect(session.choosable().length).toBe(2);
  const before = session.status().step;
  run(session, 'continue');
  const first = session.machine.traceHash();
  run(session, `goto ${before}`);
  run(session, 'task B');
  run(session, 'continue');
  expect(session.finished).toBe(true);
  expect(session.machine.traceHash()).not.toBe(first);
});

test('gdb habits of looking: locals, formats, a place, a short backtrace', () => {
  const session = open(family);
  run(session, 'break rmap:walk_visit');
  run(session, 'continue');
  run(session, 'condition 1 if hits == 3');
  expect(run(session, 'info breakpoints')).toMatch(/ if hits == 3/);
  expect(run(session, 'print visits')).toBe('visits = 1');
  expect(run(session, 'print/x 255')).toBe('255 = 0xff');
  expect(run(session, 'print/s 1')).toBe('print takes /x or /d, not /s');
  expect(run(session, 'break 350')).toMatch(/anon_vma_chain\.ts:350$/);
  expect(run(session, 'bt 2').split('\n')).toHaveLength(2);
  expect(run(session, 'frame 1').split('\n')).toHaveLength(1);
  expect(run(session, 'list try_to_unmap')).toContain('function* try_to_unmap(');
  expect(run(session, 'info threads')).toBe(run(session, 'info tasks'));
  expect(run(session, 'info scenario')).toContain('kernel: referenced(A, p)');
});

test('what cannot be done is said, and the session goes on', () => {
  const session = open(family);
  expect(run(session, 'brek x')).toMatch(/undefined command: brek; did you mean/);
  expect(run(session, 'break rmap:walk_visti')).toMatch(/did you mean rmap:walk_visit/);
  expect(run(session, 'print vma(A')).toMatch(/error/i);
  expect(run(session, 'goto nowhere')).toMatch(/no mark is called nowhere/);
  expect(run(session, 'reverse-step')).toMatch(/history begins here/);
  run(session, 'step');
  expect(session.status().step).toBe(1);
});

test('reverse-continue finds where a watched value changed', () => {
  const session = open(family);
  run(session, 'continue');
  run(session, 'watch mapcount(page(A, p))');
  const values: string[] = [];
  for (let i = 0; i < 3; i++) {
    const text = run(session, 'reverse-continue');
    values.push(/: (\S+ -> \S+) by/.exec(text)?.[1] ?? text);
    const before = session.status().step;
    run(session, 'stepi');
    expect(session.status().step).toBe(before + 1);
    run(session, `goto ${before}`);
  }
  // C copied the page last; before that three forks shared it.
  expect(values).toEqual(['4 -> 3', '3 -> 4', '2 -> 3']);
});

test('parameters of a kernel function stand in conditions and in print', () => {
  const session = open(family);
  run(session, 'break rmap_walk_anon if folio == page(B, p)');
  expect(run(session, 'continue')).toMatch(/Breakpoint 1, rmap_walk_anon/);
  expect(run(session, 'print folio.index == vma(A, p).vm_pgoff')).toMatch(/= true|= 1/);
  expect(run(session, 'print mapcount(folio)')).toMatch(/= 3$/);
});

test('a name that a condition cannot know is refused when it is set', () => {
  const session = open(family);
  expect(run(session, 'break rmap:walk_visit if vmaa.vm_mm == C.mm')).toMatch(
    /no name vmaa \(column 1 of the condition\); did you mean vma\?/,
  );
  expect(run(session, 'break rmap_walk_anon if 1 == mapcuont(folio)')).toMatch(
    /no function mapcuont \(column 6 of the condition\); did you mean mapcount\?/,
  );
  expect(run(session, 'info breakpoints')).not.toMatch(/walk/);
  // C and p are made later by the scenario, folio is a parameter.
  expect(run(session, 'break rmap_walk_anon if folio == page(C, p)')).toMatch(/^Breakpoint 1/);
  expect(run(session, 'condition 1 folioo == page(C, p)')).toMatch(/did you mean folio\?/);
  expect(run(session, 'info breakpoints')).toMatch(/if folio == page\(C, p\)/);
});

test('a schedule line inside a race fixes its interleaving', () => {
  const race = (line: string): string => `
A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p+2p, 7)
A: B = fork()
race {
${line}
  A: mprotect(p, 2p, PROT_READ)
  B: store(p+2p, 9)
}
`;
  const seeded = openSession(race('  # by seed'), { file: 'test.mm', seed: 5 });
  if ('errors' in seeded) throw new Error('does not parse');
  run(seeded, 'continue');
  const word = run(seeded, 'schedule');
  const slices = (session: Session): string =>
    session.machine.slices.map((s) => `${s.task}:${s.endStep - s.step}`).join(' ');
  expect(seeded.machine.slices.length).toBeGreaterThan(6);
  const fixed = open(race(`  schedule ${word}`));
  run(fixed, 'continue');
  expect(slices(fixed)).toBe(slices(seeded));
  expect(fixed.machine.hash()).toBe(seeded.machine.hash());
  expect(fixed.run.reports()).toEqual([]);
  const damaged = open(race(`  schedule ${word.slice(0, -1)}${word.endsWith('0') ? '1' : '0'}`));
  expect(run(damaged, 'continue')).toMatch(/test\.mm:6:.*damaged/s);
});
