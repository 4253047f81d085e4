import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { printOperation } from '../../src/scenario/print.ts';
import { parseStrace, type TraceScenario } from '../../src/scenario/strace.ts';
import { isStraceLog } from '../../src/scenario/strace-detect.ts';

/** The operations of a log, one line each. */
function linesOf(trace: TraceScenario): string[] {
  return trace.statements.map(printOperation);
}

function trace(...lines: string[]): TraceScenario {
  return parseStrace(lines.map((line) => `${line}\n`).join(''));
}

function recorded(name: string): TraceScenario {
  const path = join(import.meta.dirname, '../../scenarios/traces', name);
  return parseStrace(readFileSync(path, 'latin1'), name);
}

const clone = 'clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f10)';

describe('line prefixes', () => {
  test.each([
    ['-o', '7 brk(NULL) = 0x5000', 7, undefined],
    ['-o with a wide pid column', '123456 brk(NULL) = 0x5000', 123456, undefined],
    ['-f', '[pid  77] brk(NULL)                    = 0x5000', 77, undefined],
    ['-Y', '7<sh> brk(NULL) = 0x5000', 7, undefined],
    ['-t', '7 12:00:01 brk(NULL) = 0x5000', 7, 43201],
    ['-tt', '7 00:00:01.500000 brk(NULL) = 0x5000', 7, 1.5],
    ['-ttt', '7 1700000000.250000 brk(NULL) = 0x5000', 7, 1700000000.25],
    ['-r', '[pid 7]      0.000250 brk(NULL) = 0x5000', 7, 0.00025],
    ['-t -r', '7 12:00:01 (+     0.000020) brk(NULL) = 0x5000', 7, 43201],
    ['-T', '7 brk(NULL) = 0x5000 <0.000007>', 7, undefined],
    ['-i', '7 [00007f825a36eca3] brk(NULL) = 0x5000', 7, undefined],
    ['-n', '7 [  12] brk(NULL) = 0x5000', 7, undefined],
    ['no option', 'brk(NULL)                               = 0x5000', 0, undefined],
  ])('%s', (_, line, pid, time) => {
    const { statements, trace: facts } = trace(line);
    expect(statements).toHaveLength(1);
    const [operation] = statements;
    expect(operation?.actor).toMatchObject({ kind: 'pid', pid });
    expect(operation?.time).toBe(time);
    expect(operation?.expectedResult).toMatchObject({ value: { value: 0x5000 } });
    expect(facts.notes).toEqual([]);
  });

  test('relative stamps add up', () => {
    const { statements } = trace('     0.000000 brk(NULL) = 0x1', '     0.500000 brk(NULL) = 0x1');
    expect(statements.map((operation) => operation.time)).toEqual([0, 0.5]);
  });
});

describe('interrupted calls', () => {
  test('count from their end', () => {
    const result = trace(
      '1 mmap(NULL, 4096, PROT_READ,  <unfinished ...>',
      '2 brk(NULL) = 0x5000',
      '1 <... mmap resumed>MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7000',
    );
    expect(linesOf(result)).toEqual([
      '[pid 2] brk(NULL) = 0x5000',
      '[pid 1] mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7000',
    ]);
  });

  test('munmap counts from its beginning: its range may be given away before it returns', () => {
    const result = trace(
      '1 munmap(0x7000, 4096 <unfinished ...>',
      '2 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7000',
      '1 <... munmap resumed>) = 0',
    );
    expect(linesOf(result).map((line) => line.slice(0, 14))).toEqual([
      '[pid 1] munmap',
      '[pid 2] mmap(N',
    ]);
  });

  test('that are to be restarted did nothing', () => {
    const result = trace(
      `1 ${clone} = ? ERESTARTNOINTR (To be restarted)`,
      '1 --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---',
      `1 ${clone} = 2`,
    );
    expect(result.statements.map((operation) => operation.child?.pid)).toEqual([2]);
  });

  test('without a beginning or an end are left out with a note', () => {
    const { statements, trace: facts } = trace(
      '1 <... mmap resumed>-1, 0) = 0x7000',
      '1 mprotect(0x7000, 4096,  <unfinished ...>',
    );
    expect(statements).toEqual([]);
    expect(facts.notes.map((note) => note.line)).toEqual([1, 2]);
  });

  test('may be broken by a message of strace', () => {
    const result = trace(
      'vfork(strace: Process 8 attached',
      ' <unfinished ...>',
      '[pid     8] exit(0)                     = ?',
      '[pid     8] +++ exited with 0 +++',
      '<... vfork resumed>)                    = 8',
      'exit_group(0)                           = ?',
    );
    expect(linesOf(result)).toEqual([
      '[pid 0] vfork() = 8',
      '[pid 8] exit(0) = ?',
      '[pid 0] exit_group(0) = ?',
    ]);
  });
});

describe('tasks', () => {
  test('are made before their first line, wherever the call that made them ends', () => {
    const result = trace(
      `1 ${clone.slice(0, -1)} <unfinished ...>`,
      '3 brk(NULL) = 0x5000',
      '3 exit_group(0) = ?',
      '3 +++ exited with 0 +++',
      '1 <... clone resumed>) = 3',
    );
    expect(linesOf(result).map((line) => line.slice(0, 13))).toEqual([
      '[pid 1] clone',
      '[pid 3] brk(N',
      '[pid 3] exit_',
    ]);
    expect(result.trace.tasks).toEqual([
      { pid: 1, process: 1 },
      { pid: 3, process: 3, parent: 1 },
    ]);
  });

  test('belong to a process or are one, as CLONE_THREAD says', () => {
    const { statements, trace: facts } = trace(
      '1 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD|CLONE_SIGHAND, stack=0x7f00, stack_size=0x7f00} => {parent_tid=[2]}, 88) = 2',
      '2 clone(child_stack=0x7f00, flags=CLONE_VM|CLONE_VFORK|SIGCHLD) = 3',
    );
    expect(statements.map((operation) => operation.child)).toEqual([
      { pid: 2, sharesMemory: true, isThread: true, isVfork: false },
      { pid: 3, sharesMemory: true, isThread: false, isVfork: true },
    ]);
    expect(facts.tasks.map((task) => task.process)).toEqual([1, 1, 3]);
  });

  test('that share a number one after the other are different', () => {
    const { trace: facts, statements } = trace(
      '1 fork() = 2',
      '2 +++ killed by SIGKILL +++',
      '1 fork() = 2',
      '2 +++ exited with 3 +++',
    );
    expect(facts.tasks.map((task) => task.pid)).toEqual([1, 2, 2]);
    expect(statements.map(printOperation).filter((line) => line.includes('exit'))).toEqual([
      '[pid 2] exit_group(137) = ?',
      '[pid 2] exit_group(3) = ?',
    ]);
  });

  test('without owner in the log are told apart once a second one prints', () => {
    const result = trace(
      'execve("/bin/sh", ["sh"], 0x7ffd /* 3 vars */) = 0',
      `${clone} = 12`,
      'strace: Process 12 attached',
      '[pid    11] brk(NULL)                   = 0x1000',
      '[pid    12] brk(NULL)                   = 0x2000',
      '[pid    12] +++ exited with 0 +++',
      'brk(NULL)                               = 0x3000',
    );
    expect(result.statements.map(({ actor }) => actor.kind === 'pid' && actor.pid)).toEqual([
      11, 11, 11, 12, 12, 11,
    ]);
    expect(result.trace.tasks[0]).toEqual({ pid: 11, process: 11 });
  });

  test('of a log that was cut before fork returned are given to the call in progress', () => {
    const result = trace(
      '1 vfork( <unfinished ...>',
      '2 execve("/bin/true", ["true"], 0x7ffd) = 0',
    );
    expect(result.statements.map((operation) => operation.callee)).toEqual(['vfork', 'execve']);
    expect(result.statements[0]?.child?.pid).toBe(2);
    expect(result.trace.notes[0]?.message).toContain('2 is taken for its child');
  });
});

describe('files', () => {
  test('are known by path, mode and size when they are mapped', () => {
    const { statements, trace: facts } = trace(
      '1 openat(AT_FDCWD, "/lib/libc.so.6", O_RDONLY|O_CLOEXEC) = 3',
      '1 newfstatat(3, "", {st_mode=S_IFREG|0755, st_size=1926232, ...}, AT_EMPTY_PATH) = 0',
      '1 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3, 0) = 0x7000',
      '1 close(3) = 0',
      '1 memfd_create("ring", MFD_CLOEXEC) = 3',
      '1 ftruncate(3, 65536) = 0',
      '1 dup(3) = 9',
      '1 mmap(NULL, 65536, PROT_READ|PROT_WRITE, MAP_SHARED, 9, 0) = 0x8000',
      '1 mmap(NULL, 65536, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, 9, 0) = 0x9000',
    );
    const mapped = statements.filter((operation) => operation.callee === 'mmap');
    expect(mapped.map((operation) => operation.file)).toEqual([
      { file: 0, readable: true, writable: false, size: 1926232 },
      { file: 1, readable: true, writable: true, size: 65536 },
      undefined,
    ]);
    expect(facts.files).toEqual([
      { path: '/lib/libc.so.6', kind: 'file', size: 1926232 },
      { path: 'memfd:ring', kind: 'memory', size: 65536 },
    ]);
  });

  test('follow a descriptor through fork, and through exec unless it closes there', () => {
    const map = 'mmap(NULL, 4096, PROT_READ, MAP_SHARED';
    const { statements, trace: facts } = trace(
      '1 openat(AT_FDCWD, "/a", O_RDWR) = 3',
      '1 openat(AT_FDCWD, "/b", O_RDWR|O_CLOEXEC) = 4',
      '1 fork() = 2',
      '1 close(3) = 0',
      '2 execve("/bin/x", ["x"], 0x7ffd) = 0',
      `2 ${map}, 3, 0) = 0x7000`,
      `2 ${map}, 4, 0) = 0x8000`,
    );
    const paths = statements.flatMap(({ file }) => (file ? [facts.files[file.file]?.path] : []));
    expect(paths).toEqual(['/a', '']);
  });

  test('are shared by threads', () => {
    const { statements, trace: facts } = trace(
      '1 clone(child_stack=0x7f00, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD|CLONE_SIGHAND) = 2',
      '2 openat(AT_FDCWD, "/a", O_RDONLY) = 3',
      '1 mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3, 0) = 0x7000',
    );
    expect(facts.files[statements[1]?.file?.file ?? -1]?.path).toBe('/a');
  });

  test('have the path that -y shows', () => {
    const { trace: facts } = trace(
      '1 openat(AT_FDCWD</home/user>, "a", O_RDONLY) = 3</home/user/a>',
      '1 mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3</home/user/a>, 0) = 0x7000',
      '1 mmap(NULL, 4096, PROT_READ, MAP_SHARED, 5</home/user/b>, 0) = 0x8000',
    );
    expect(facts.files.map((file) => file.path)).toEqual(['/home/user/a', '/home/user/b']);
  });
});

describe('what is left out', () => {
  test('is counted by name', () => {
    const { trace: facts } = trace(
      '1 read(3, "\\177ELF", 4) = 4',
      '1 write(1, "x) = 3", 6 <unfinished ...>',
      '1 <... write resumed>) = 6',
      '1 close(3) = 0',
      '1 prctl(PR_SET_NAME, "x") = 0',
      'hello from the program',
    );
    expect([...facts.skipped]).toEqual([
      ['read', 1],
      ['write', 1],
      ['prctl', 1],
    ]);
    expect([...facts.followed]).toEqual([['close', 1]]);
    expect(facts.unreadLines).toBe(1);
  });

  test('errors are kept: the runner compares them', () => {
    const { statements } = trace(
      '1 mprotect(0x1000, 4096, PROT_READ) = -1 ENOMEM (Cannot allocate memory)',
    );
    expect(statements[0]?.expectedResult).toMatchObject({
      kind: 'errno',
      name: 'ENOMEM',
      errno: 12,
    });
  });

  test.each([
    1, 5, 20, 40, 60,
  ])('a last line cut after %i characters loses nothing before it', (length) => {
    const last = '1 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7000';
    const { statements, trace: facts } = parseStrace(
      `1 brk(NULL) = 0x5000\n${last.slice(0, length)}`,
    );
    expect(statements).toHaveLength(1);
    expect(facts.notes).toEqual([
      { line: 2, message: 'the log ends in the middle of this line; everything before it is used' },
    ]);
  });
});

describe('size', () => {
  test('a line of megabytes is no trouble', () => {
    const text = 'x'.repeat(2 ** 21);
    const { statements, trace: facts } = trace(
      `1 write(1, "${text}", 2097152) = 2097152`,
      `1 execve("/bin/x", ["${text}"], 0x7ffd) = 0`,
      `1 mmap(${'['.repeat(2 ** 20)}) = 1`,
      '1 brk(NULL) = 0x5000',
    );
    expect(statements.map((operation) => operation.callee)).toEqual(['execve', 'brk']);
    expect(facts.notes).toHaveLength(1);
  });

  test('twice the lines take about twice the time', { retry: 2 }, () => {
    const path = join(import.meta.dirname, '../../scenarios/traces/multiprocessing.strace');
    const once = readFileSync(path, 'latin1');
    const timeOf = (copies: number) => {
      const text = once.repeat(copies);
      const start = performance.now();
      parseStrace(text);
      return performance.now() - start;
    };
    timeOf(10);
    const small = timeOf(10);
    // Quadratic behaviour would show as a factor of 64.
    expect(timeOf(80)).toBeLessThan(small * 24 + 50);
  });
});

describe('recorded programs', () => {
  test.each([
    'pipeline.strace',
    'multiprocessing.strace',
    'threads.strace',
  ])('%s is read whole', (name) => {
    const { statements, trace: facts } = recorded(name);
    expect(facts.notes).toEqual([]);
    expect(facts.unreadLines).toBe(0);
    const made = new Set(facts.tasks.slice(0, 1).map((task) => task.pid));
    for (const { actor, child } of statements) {
      expect(actor.kind === 'pid' && made.has(actor.pid)).toBe(true);
      if (child?.pid !== undefined) made.add(child.pid);
    }
    const unplaced = statements.filter(({ callee, file, args }) => {
      const isFile = args[4]?.kind === 'number' || args[4]?.kind === 'fd';
      return callee === 'mmap' && isFile && (file === undefined || file.size === undefined);
    });
    expect(unplaced.map(printOperation)).toEqual([]);
  });

  test('the program with threads has four of them, a child and a spawned program', () => {
    const { trace: facts } = recorded('threads.strace');
    const [main] = facts.tasks;
    const inMain = facts.tasks.filter((task) => task.process === main?.pid);
    expect([inMain.length, facts.tasks.length]).toEqual([5, 7]);
  });
});

describe('isStraceLog', () => {
  test.each([
    ['1 brk(NULL) = 0x5000\n', true],
    ['execve("/bin/x", ["x"], 0x7ffd /* 3 vars */) = 0\nhello\nbrk(NULL)    = 0x5000\n', true],
    ['[pid 1] mmap(NULL,  <unfinished ...>\n', true],
    ['1 execve("/x", ["x"], 0x1) = 0\n > /lib/ld.so(a+0x1) [0x1]\n > /lib/b [0x2]\n', true],
    ['title x\n1 brk(NULL) = 0x5000\n', false],
    ['1 brk(NULL) = 0x5000\n# a remark\n', false],
    ['p = mmap(NULL, 1p, 0, 0, -1, 0) = 0x5000\n', false],
    ['A: brk(NULL) = 0x5000\n', false],
    ['fork()\nstore(p)\n', false],
    ['', false],
    ['once upon a time\n', false],
  ])('%j: %s', (text, expected) => {
    expect(isStraceLog(text)).toBe(expected);
  });
});
