import { describe, expect, test } from 'vitest';
import { folder, rmapdbg } from './program.ts';

const map = 'A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n';

const cwd = folder({
  'good.mm': `${map}expect vmas(A) == 1\n`,
  'late.mm': `${map}A: store(p)\nexpect vmas(A) == 7\n`,
  'unasked.mm': `${map}A: munmap(p+1, 1p)\nA: B = fork()\nB: store(p+8p, 1)\n`,
  'result.mm': `${map}A: munmap(p+1, 1p) = 0\n`,
  'deadlock.mm': `${map}A: B = vfork()\n`,
  'race.mm': `${map}A: B = fork()\nrace {\n  A: store(p, 1)\n  B: store(p, 2)\n}\n`,
  'killed.mm':
    'config memory=2M swap=64K\n' +
    'A: p = mmap(NULL, 800p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0)\n' +
    'A: B = fork()\nB: store(p, 1, 800p)\nexpect len(live("mm_struct")) == 1\n',
  'other.mm': `${map}A: C = fork()\n`,
  'diverges.strace':
    '10 brk(NULL) = 0x555555559000\n' +
    '10 munmap(0x7ffff7000001, 4096) = 0\n' +
    '10 +++ exited with 0 +++\n',
  'script.gdb': '# a walk\nbreak do_anonymous_page\n\ncontinue\nprint 1 + 1\nquit\nprint 99\n',
  'mistake.gdb': 'print 1\nfoo\nprint 99\n',
});

interface Line {
  readonly type: string;
  readonly [name: string]: unknown;
}

const json = (out: string): Line[] =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

describe.concurrent('exit codes', () => {
  test.each([
    ['good.mm', 0, '0 failed expectations'],
    ['killed.mm', 0, 'out of memory: B (pid 2) was killed'],
    ['unasked.mm', 0, '2 calls failed and had no expected result'],
    ['late.mm', 1, '1 failed expectations'],
    ['result.mm', 1, 'munmap() returned EINVAL, the script says 0'],
    ['deadlock.mm', 1, 'finding: deadlock: vfork() never finished'],
    ['diverges.strace', 1, 'diverges.strace:2: divergence: munmap() returned EINVAL'],
  ])('%s: %d', async (file, wanted, text) => {
    const { code, out } = await rmapdbg(cwd, ['run', file]);
    expect(out).toContain(text);
    expect(code).toBe(wanted);
  });
});

describe.concurrent('-x', () => {
  test('expectations that were not reached are not reported', async () => {
    const { code, out, err } = await rmapdbg(cwd, ['run', 'late.mm', '-x', 'print 2 + 2']);
    expect(out).toContain('2 + 2 = 4\n');
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });

  test('takes files of commands up to quit, and does not swallow FILE', async () => {
    const args = ['run', '-x', 'script.gdb', 'late.mm'];
    const { code, out, err } = await rmapdbg(cwd, args);
    expect(out).toMatch(/^Breakpoint 1 at .*\nBreakpoint 1, do_anonymous_page\(\)/);
    expect(out).toContain('1 + 1 = 2\n');
    expect(out).not.toContain('99');
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });

  test('what was seen counts, though time was turned back', async () => {
    const args = ['run', 'late.mm', '-x', 'continue', '-x', 'goto begin', '-x', 'quit'];
    expect((await rmapdbg(cwd, args)).code).toBe(1);
  });

  test('a mistake ends its file, names the line and makes code 2', async () => {
    const args = ['run', 'good.mm', '-x', 'mistake.gdb', '-x', 'print 3'];
    const { code, out, err } = await rmapdbg(cwd, args);
    expect(err).toContain('undefined command: foo');
    expect(err).toContain('mistake.gdb:2: ');
    expect(out).toContain('3 = 3\n');
    expect(out).not.toContain('99');
    expect(code).toBe(2);
  });

  test('every line of --json parses; stops and views are data', async () => {
    const script = ['-x', 'break do_anonymous_page', '-x', 'continue'];
    const views = ['vmas', 'anon_vma', 'walk', 'locks', 'tasks', 'pte', 'pages', 'events'];
    const asked = views.flatMap((name) => ['-x', `info ${name}`]);
    const { code, out, err } = await rmapdbg(cwd, [
      'run',
      'late.mm',
      '--json',
      ...script,
      ...asked,
    ]);
    const lines = json(out);
    expect(lines.filter((l) => l.type === 'stop')).toMatchObject([
      { task: 'A', fn: 'do_anonymous_page', finished: false },
    ]);
    expect(lines.filter((l) => l.type === 'view').map((l) => l.name)).toEqual(views);
    expect(lines.find((l) => l.name === 'vmas')).toMatchObject({ data: [{ process: 'A' }] });
    expect(lines.at(-1)).toMatchObject({ type: 'summary', finished: false });
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });
});

describe.concurrent('schedules', () => {
  test('a seed prints the word and the command that replays it', async () => {
    const seeded = json((await rmapdbg(cwd, ['run', 'race.mm', '--json', '--seed', '7'])).out);
    const summary = seeded.at(-1) as Line;
    expect(summary.schedule).toMatch(/^r1_v6\.18_/);
    const [, ...args] = (summary.replay as string).split(' ');
    const again = json((await rmapdbg(cwd, [...args, '--json'])).out).at(-1) as Line;
    expect(again.traceHash).toBe(summary.traceHash);
    expect(again.stateHash).toBe(summary.stateHash);
    const { out } = await rmapdbg(cwd, ['run', 'race.mm', '--seed', '7']);
    expect(out).toContain(`schedule: ${summary.schedule}\nreplay: ${summary.replay}\n`);
  });

  test('none is printed where it says nothing', async () => {
    expect((await rmapdbg(cwd, ['run', 'race.mm'])).out).not.toContain('schedule:');
    expect((await rmapdbg(cwd, ['run', 'good.mm', '--seed', '7'])).out).not.toContain('schedule:');
  });

  test('the word of another scenario is refused', async () => {
    const seeded = json((await rmapdbg(cwd, ['run', 'race.mm', '--json', '--seed', '7'])).out);
    const word = seeded.at(-1)?.schedule as string;
    const { code, err } = await rmapdbg(cwd, ['run', 'other.mm', '--schedule', word]);
    expect(err).toMatch(/the schedule was made for scenario \w+, this one is \w+/);
    expect(code).toBe(2);
    const damaged = `${word.slice(0, -1)}${word.endsWith('0') ? '1' : '0'}`;
    const second = await rmapdbg(cwd, ['run', 'race.mm', '--schedule', damaged]);
    expect(second.err).toContain('the schedule is damaged');
    expect(second.code).toBe(2);
  });
});

describe.concurrent('colour and quiet', () => {
  test('colour is for terminals, or by choice', async () => {
    const plain = await rmapdbg(cwd, ['run', 'good.mm']);
    expect(plain.out).not.toContain('\x1b');
    const always = await rmapdbg(cwd, ['run', 'good.mm', '--color', 'always'], { NO_COLOR: '1' });
    expect(always.out).toContain('\x1b[1mThe scenario has ended.\x1b[0m');
    const forced = await rmapdbg(cwd, ['run', 'good.mm'], { FORCE_COLOR: '1' });
    expect(forced.out).toContain('\x1b[1m');
    const refused = await rmapdbg(cwd, ['run', 'good.mm'], { FORCE_COLOR: '1', NO_COLOR: '1' });
    expect(refused.out).not.toContain('\x1b');
  });

  test('-q prints nothing when nothing was found', async () => {
    expect(await rmapdbg(cwd, ['run', '-q', 'good.mm'])).toEqual({ code: 0, out: '', err: '' });
  });
});

describe.concurrent('help', () => {
  test.each([
    '',
    'run',
    'kernels',
    'scenarios',
    'events',
    'commands',
  ])('%s --help shows examples', async (command) => {
    const { code, out } = await rmapdbg(cwd, [...command.split(' ').filter(Boolean), '--help']);
    expect(out).toContain(`Examples:\n  rmapdbg${command === '' ? '' : ` ${command}`}`);
    expect(code).toBe(0);
  });

  test('completion prints a script, and answers it', async () => {
    const script = await rmapdbg(cwd, ['completion']);
    expect(script.out).toContain('--get-yargs-completions');
    expect({ code: script.code, err: script.err }).toEqual({ code: 0, err: '' });
    const answer = await rmapdbg(cwd, ['--get-yargs-completions', 'rmapdbg', 'run', '--s']);
    expect(answer.out).toMatch(/^--seed$/m);
    expect(answer.code).toBe(0);
  });
});
