import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { start } from '../support/pty.ts';
import { folder, rmapdbg } from './program.ts';

const first = 'A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n';
const child = `${first}A: B = fork()\n`;

/** Text of a scenario, and what its error must begin with. */
const scenarios: Readonly<Record<string, readonly [text: string, error: string]>> = {
  'unknown-call': [`${first}A: frobnicate(p)`, '2:4: error: no call named frobnicate'],
  'bad-flag': [`${first}A: mprotect(p, 1p, PROT_REED)`, '2:20: error: no constant named PROT_REED'],
  'open-race': [`${first}race {\n A: store(p, 1)`, '2:1: error: this race block is not closed'],
  arity: [`${first}A: munmap(p)`, '2:4: error: munmap takes 2 arguments, not 1'],
  actor: [`${first}Z: munmap(p, 1p)`, '2:1: error: no process or thread named Z here'],
  variable: [`${first}A: munmap(q, 1p)`, '2:11: error: unknown name q'],
  'race-variable': [`${child}race {\n A: store(p)\n B: store(q)\n}`, '5:11: error: unknown name q'],
  'expect-function': [`${first}expect vmaz(A) == 1`, '2:8: error: no function vmaz'],
  'expect-name': [`${first}expect q == 1`, '2:8: error: no name q'],
  'expect-field': [`${first}expect vma(A, p).foo == 1`, '2:8: error: no field of'],
  'expect-dead': [`${child}B: exit(0)\nexpect vmas(B) == 0`, '4:13: error: B has no address space'],
  'print-name': [`${first}print q`, '2:7: error: no name q'],
  ended: [`${child}B: exit(0)\nB: store(p)`, '4:1: error: this task has ended'],
  'race-ended': [
    `${child}B: exit(0)\nrace {\n A: store(p)\n B: store(p)\n}`,
    '6:2: error: this task has ended',
  ],
  'command-location': [`${first}break no_such_function`, '2: '],
  'command-word': [`${first}explore`, '2: undefined command: explore'],
  'command-argument': [`${first}x`, '2: give a process and an address'],
  'unknown-kernel': [`kernels v6.18 v2.6.99\n${first}`, '1:15: error: no kernel named v2.6.99'],
  'no-scenario': ['hello world', '1:1: error: unexpected hello'],
};

const strace =
  '10 brk(NULL) = 0x555555559000\n' +
  '10 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7ffff7000000\n';

const cwd = folder({
  ...Object.fromEntries(
    Object.entries(scenarios).map(([name, [text]]) => [`${name}.mm`, `${text}\n`]),
  ),
  'good.mm': first,
  'empty.mm': '',
  'binary.mm': new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2, 3]),
  'unreadable.mm': first,
  'folder/': '',
  'cut.strace': `${strace}10 munmap(0x7ffff70`,
});
chmodSync(path.join(cwd, 'unreadable.mm'), 0);
const isRoot = process.getuid?.() === 0;

describe.concurrent('what the user wrote is told with file and line, code 2', () => {
  test.each(Object.entries(scenarios))('%s', async (name, [, error]) => {
    const { code, err } = await rmapdbg(cwd, ['run', `${name}.mm`]);
    expect(err).toContain(`${name}.mm:${error}`);
    expect(err).not.toContain('internal');
    expect(code).toBe(2);
  });
});

describe.concurrent('what is no scenario at all, code 2', () => {
  test.each([
    ['empty.mm', 'is empty'],
    ['binary.mm', 'is a binary file'],
    ['folder', 'is a directory'],
    ['missing.mm', 'no such file'],
    ['/dev/zero', 'is a device'],
  ])('%s', async (file, error) => {
    const { code, out, err } = await rmapdbg(cwd, ['run', file]);
    expect(err).toContain(`rmapdbg: ${file}: ${error}`);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });

  test.skipIf(isRoot)('an unreadable file', async () => {
    const { code, err } = await rmapdbg(cwd, ['run', 'unreadable.mm']);
    expect(err).toContain('unreadable.mm: permission denied');
    expect(code).toBe(2);
  });
});

describe.concurrent('bad usage, code 2', () => {
  test.each([
    ['run', 'Not enough non-option arguments'],
    ['run good.mm --nope', 'Unknown argument: nope'],
    ['rnu', 'rnu: no such file; did you mean run?'],
    ['good.mm', 'the screen needs a terminal'],
    ['run good.mm --kernel v9', 'no kernel named v9'],
    ['run good.mm --kernel', 'Not enough arguments following: kernel'],
    ['run good.mm --patch foo', 'no feature named foo'],
    ['run good.mm --without foo', 'no feature named foo'],
    ['run good.mm --schedule zzz', "not a schedule: 'zzz'"],
    ['run good.mm --seed abc', '--seed takes a whole number'],
    ['run good.mm --seed -1', '--seed takes a whole number'],
    ['run good.mm --seed 1.5', '--seed takes a whole number'],
    ['run good.mm --seed 1 --seed 2', '--seed is given twice'],
    ['run good.mm --touch some', 'Given: "some"'],
    ['run good.mm --color pink', 'Given: "pink"'],
    ['run good.mm -x', 'Not enough arguments following: x'],
    ['run good.mm -x folder', '-x folder: is a directory'],
    ['run good.mm -x binary.mm', '-x binary.mm: is a binary file'],
    ['run good.mm -x brek', 'undefined command: brek; did you mean break?'],
    ['events zzz*', 'no event matches zzz*'],
  ])('%s', async (line, error) => {
    const { code, err } = await rmapdbg(cwd, line.split(' '));
    expect(err).toContain(error);
    expect(err).not.toContain('internal');
    expect(code).toBe(2);
  });
});

test.each([
  ['arity.mm', 'arity.mm:2:4: error: munmap takes 2 arguments'],
  ['binary.mm', 'binary.mm: is a binary file'],
  ['missing.mm', 'missing.mm: no such file'],
])('on a terminal %s is told before the screen is taken', async (file, error) => {
  const screen = start([path.join(cwd, file)]);
  let written = '';
  screen.pty.onData((data) => {
    written += data;
  });
  await screen.until(error);
  expect((await screen.exit).exitCode).toBe(2);
  expect(written).not.toContain('\x1b[?1049h');
});

test('a statement that means nothing does not end the session on the screen', async () => {
  const screen = start([path.join(cwd, 'expect-function.mm')]);
  await screen.until('line 1: A: p = mmap');
  screen.type(':continue\r');
  await screen.until(/expect-function.mm:2:8: error/);
  screen.type('q');
  await screen.until(/quit/i);
  screen.type('y');
  expect((await screen.exit).exitCode).toBe(0);
});

test('one bad file does not keep the others from being run', async () => {
  const { code, out, err } = await rmapdbg(cwd, ['run', 'missing.mm', 'arity.mm', 'good.mm']);
  expect(err).toMatch(/missing\.mm: no such file[\s\S]*arity\.mm:2:4: error/);
  expect(out).toContain('good.mm: v6.18: 1 operations');
  expect(code).toBe(2);
});

test('a log cut in the middle of a line is used up to there', async () => {
  const { code, out, err } = await rmapdbg(cwd, ['run', '--touch', 'none', 'cut.strace']);
  expect(out).toContain('cut.strace:3: note: the log ends in the middle of this line');
  expect(out).toContain('2 operations');
  expect({ code, err }).toEqual({ code: 0, err: '' });
});

test('errors under --json are lines of JSON on standard output', async () => {
  for (const args of [
    ['run', 'missing.mm', '--json'],
    ['run', 'arity.mm', '--json'],
    ['run', 'good.mm', '--kernel', 'v9', '--json'],
    ['run', '--json'],
  ]) {
    const { code, out, err } = await rmapdbg(cwd, args);
    const lines = out.trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { type: string }).type)).toEqual(['error']);
    expect({ code, err }).toEqual({ code: 2, err: '' });
  }
});

test('a reader that has seen enough is no error', () => {
  const program = path.resolve(import.meta.dirname, '../../bin/rmapdbg.js');
  const script = `"${process.execPath}" "${program}" events -v | head -1; echo "\${PIPESTATUS[0]}"`;
  const out = execFileSync('bash', ['-c', script], { encoding: 'utf8' });
  expect(out.trimEnd().split('\n').at(-1)).toBe('0');
});
