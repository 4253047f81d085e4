import { describe, expect, it } from 'vitest';
import { openSession } from '../../src/debugger/open.ts';
import type { Session } from '../../src/debugger/session.ts';

const scenario = `
A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
A: B = fork()
A: munmap(p+1, 1p) = -1 EINVAL
`;

function open(text = scenario): Session {
  const session = openSession(text, { file: 'test.mm' });
  if ('errors' in session) throw new Error(session.errors.map((e) => e.message).join('\n'));
  return session;
}

function run(session: Session, line: string): string {
  session.execute(line);
  while (session.pump(50_000) === 'running') {}
  const lines = session.takeOutput();
  return lines.map((each) => each.text).join('\n');
}

describe('finish', () => {
  it('prints the local that the call gives its value to', () => {
    const session = open();
    run(session, 'break do_mmap');
    run(session, 'continue');
    const text = run(session, 'finish');
    const [, name = ''] = /Value returned: (\w+) = /.exec(text) ?? [];
    const local = session.source().locals.find((each) => each.name === name);
    expect(text).toContain(`Value returned: ${name} = ${local?.value}`);
  });

  it('prints the result of a system call when it leaves the kernel, an error by its name', () => {
    const session = open();
    run(session, 'break __vm_munmap');
    const stop = run(session, 'continue');
    expect(stop).toMatch(/munmap/);
    run(session, 'finish');
    const more = run(session, 'finish');
    expect(more).toContain('-1 EINVAL');
  });
});

describe('run and start', () => {
  it('run goes to the first stop, start stops before the first statement', () => {
    const session = open();
    run(session, 'break anon_vma_fork');
    run(session, 'continue');
    const { step } = session.status();
    run(session, 'continue');
    expect(run(session, 'run')).toContain('Breakpoint 1, anon_vma_fork()');
    expect(session.status().step).toBe(step);
    run(session, 'start');
    expect(session.status().step).toBeLessThanOrEqual(session.machine.firstStep);
    run(session, 'delete');
    expect(run(session, 'r')).toContain('The scenario has ended.');
  });
});

describe('the source between operations', () => {
  it('is the scenario at the statement that comes next', () => {
    const session = open();
    run(session, 'start');
    expect(session.source()).toMatchObject({ file: 'test.mm', line: 2, isScenario: true, fn: '' });
    expect(session.source().lines[1]).toContain('mmap');
    run(session, 'tbreak anon_vma_fork');
    run(session, 'continue');
    expect(session.source().isScenario).toBe(false);
    run(session, 'continue');
    expect(session.source()).toMatchObject({ isScenario: true, line: 0 });
    expect(run(session, 'break')).toContain('no kernel function is running here');
  });
});

describe('reverse-until', () => {
  it('goes back to where a function was entered, and leaves no breakpoint', () => {
    const session = open();
    run(session, 'break anon_vma_fork');
    run(session, 'continue');
    const { step } = session.status();
    run(session, 'delete');
    run(session, 'continue');
    expect(run(session, 'reverse-until anon_vma_fork')).toContain('anon_vma_fork()');
    expect(session.status().step).toBe(step);
    expect(session.breakpoints.list()).toEqual([]);
  });
});

describe('until', () => {
  it('takes a line of the file shown, as break does', () => {
    const session = open();
    run(session, 'break anon_vma_fork');
    run(session, 'continue');
    const { file, line } = session.source();
    expect(run(session, `until ${line + 3}`)).toContain(`${file}:`);
    expect(session.source().line).toBeGreaterThanOrEqual(line + 3);
    expect(session.source().file).toBe(file);
    expect(session.breakpoints.list()).toHaveLength(1);
  });
});

describe('rwatch and awatch', () => {
  it('refuse and say what to use instead', () => {
    const session = open();
    expect(run(session, 'rwatch p')).toMatch(/leaves no record.*watch EXPR/);
    expect(run(session, 'awatch p')).toMatch(/leaves no record/);
  });
});
