import { beforeEach, describe, expect, it } from 'vitest';
import { openSession } from '../../src/debugger/open.ts';
import type { Session } from '../../src/debugger/session.ts';

const scenario = `
A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p+5, 7, 2)
A: B = fork()
B: munmap(p, 1p)
expect vmas(A) == 9
`;

const files = new Map<string, string>();
let session: Session;

function run(line: string): string {
  session.execute(line);
  while (session.pump(50_000) === 'running' || session.busy) {}
  const lines = session.takeOutput();
  return lines.map((each) => each.text).join('\n');
}

beforeEach(() => {
  files.clear();
  const opened = openSession(scenario, {
    file: 'test.mm',
    files: {
      read: (name) => {
        const text = files.get(name);
        if (text === undefined) throw new Error(`no file ${name}`);
        return text;
      },
      write: (name, text) => void files.set(name, text),
    },
  });
  if ('errors' in opened) throw new Error(opened.errors.map((e) => e.message).join('\n'));
  session = opened;
});

describe('diff', () => {
  it('says what differs between two positions, and stays where it is', () => {
    run('mark first');
    run('break anon_vma_fork');
    run('continue');
    const { step } = session.status();
    const hash = session.machine.hash();
    const text = run('diff begin');
    expect(text).toContain('vmas:');
    expect(text).toMatch(/^\+ .*rw-p pgoff/m);
    expect(session.status().step).toBe(step);
    expect(session.machine.hash()).toBe(hash);
    expect(run(`diff ${step} ${step}`)).toContain('no table differs');
    expect(run('diff 999999')).toContain('is not in history');
  });
});

describe('x', () => {
  it('prints the bytes that a process stored, and what is not there', () => {
    run('continue');
    expect(run('x A p')).toMatch(/00 x 5 .*\n.*07 x 2 .*\n.*00 x 4089 /);
    expect(run('x/2 A p+5')).toMatch(/07 x 2 .*\n.*00 x 4089 .*\n.*not present: none/);
    expect(run('x B p')).toContain('no mapping');
    expect(run('x Q p')).toContain('no process Q');
  });
});

describe('source and screen', () => {
  it('executes the lines of a file, those after a verb when it has stopped', () => {
    files.set('b.gdb', '# a comment\nbreak anon_vma_fork\ncontinue\nprint vmas(A)\n');
    const text = run('source b.gdb');
    expect(text).toMatch(/Breakpoint 1, anon_vma_fork\(\)[\s\S]*vmas\(A\) = 1/);
  });

  it('drops the rest at a mistake and names the line', () => {
    files.set('b.gdb', 'break nothing_like_this\nprint 5\n');
    const text = run('source b.gdb');
    expect(text).toContain('b.gdb:1: no kernel function');
    expect(text).not.toContain('= 5');
    expect(run('source none.gdb')).toContain('no file none.gdb');
  });

  it('writes the tables to a file', () => {
    run('continue');
    run('screen out.txt');
    expect(files.get('out.txt')).toMatch(/-- vmas[\s\S]*rw-p[\s\S]*-- pages/);
  });
});

describe('failures', () => {
  it('of expectations are forgotten with the history they belong to', () => {
    run('continue');
    expect(session.failures).toBe(1);
    run('run');
    expect(session.failures).toBe(1);
    run('start');
    expect(session.failures).toBe(0);
  });
});
