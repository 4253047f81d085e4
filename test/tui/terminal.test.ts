import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type IPty, spawn } from '@lydell/node-pty';
import xterm from '@xterm/headless';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

/**
 * The terminal is given back on every way out: the harness runs under a pseudo terminal, a shell's
 * line stands on the normal screen before it, and after it that screen must be as it was.
 */

let directory = '';
let harness = '';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'rmapdbg-tui-'));
  // Its own process: the test runner's NODE_ENV would choose React's development build.
  const builder = new URL('build-harness.ts', import.meta.url).pathname;
  const env = { ...process.env, NODE_ENV: 'production' };
  execFileSync(process.execPath, [builder, directory], { env, stdio: 'inherit' });
  harness = join(directory, 'harness.js');
}, 60_000);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Running {
  readonly pty: IPty;
  readonly emulator: InstanceType<typeof xterm.Terminal>;
  readonly exit: Promise<{ exitCode: number; signal?: number }>;
  raw(): string;
  until(holds: (text: string) => boolean): Promise<void>;
}

function run(env: Record<string, string> = {}): Running {
  const emulator = new xterm.Terminal({ cols: 100, rows: 30, allowProposedApi: true });
  // The shell prints a line, runs the program, and then tells how the terminal was left.
  const script = `printf 'before\\n'; "$0" "$1"; code=$?; printf 'code %s ' $code; stty -a | tr ' ;' '\\n\\n' | grep -x -e '-\\?icanon' -e '-\\?echo' | tr '\\n' ' '; printf 'after\\n'`;
  const pty = spawn('/bin/sh', ['-c', script, process.execPath, harness], {
    cols: 100,
    rows: 30,
    env: { ...process.env, TERM: 'xterm-256color', ...env } as Record<string, string>,
  });
  let raw = '';
  pty.onData((data) => {
    raw += data;
    emulator.write(data);
  });
  const exit = new Promise<{ exitCode: number; signal?: number }>((resolve) => {
    pty.onExit(resolve);
  });
  onTestFinished(() => {
    try {
      pty.kill('SIGKILL');
    } catch {
      // It has ended already.
    }
  });
  const text = (): string => {
    const { active } = emulator.buffer;
    const lines = Array.from({ length: emulator.rows }, (_, y) =>
      (active.getLine(active.baseY + y)?.translateToString() ?? '').trimEnd(),
    );
    return lines.join('\n');
  };
  const until = async (holds: (text: string) => boolean): Promise<void> => {
    for (let turn = 0; turn < 1000; turn++) {
      await new Promise<void>((resolve) => emulator.write('', resolve));
      if (holds(text())) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`never on the screen\n${text()}`);
  };
  return { pty, emulator, exit, raw: () => raw, until };
}

/** Pid of the harness: it is the shell's only child. */
function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
}

async function expectRestored(running: Running, code: number): Promise<void> {
  await running.until((text) => text.includes('after'));
  const screen: string[] = [];
  const { active } = running.emulator.buffer;
  expect(active.type).toBe('normal');
  for (let y = 0; y < running.emulator.rows; y++) {
    screen.push((active.getLine(active.baseY + y)?.translateToString() ?? '').trimEnd());
  }
  expect(screen[0]).toBe('before');
  expect(screen.join('\n')).toContain(`code ${code} `);
  expect(screen.join('\n')).toMatch(/ (?:icanon echo|echo icanon) after/);
  expect(running.emulator.modes.bracketedPasteMode).toBe(false);
  expect(running.emulator.modes.wraparoundMode).toBe(true);
  const raw = running.raw();
  expect(raw.lastIndexOf('\x1b[?25h')).toBeGreaterThan(raw.lastIndexOf('\x1b[?25l'));
}

const isUp = (text: string): boolean => text.includes('1 Source') && text.includes('s step');

describe('the terminal is restored', { timeout: 30_000 }, () => {
  it('after quitting', async () => {
    const running = run();
    await running.until(isUp);
    running.pty.write('qq');
    await expectRestored(running, 0);
  });

  it('after an exception, which is then told', async () => {
    const running = run({ FAKE_MODE: 'throw' });
    await running.until((text) => text.includes('thrown on purpose'));
    await expectRestored(running, 1);
  });

  it('after an unhandled rejection', async () => {
    const running = run({ FAKE_MODE: 'reject' });
    await running.until((text) => text.includes('rejected on purpose'));
    await expectRestored(running, 1);
  });

  it('after process.exit', async () => {
    await expectRestored(run({ FAKE_MODE: 'exit' }), 7);
  });

  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGQUIT', 131],
    ['SIGHUP', 129],
  ] as const) {
    it(`after ${signal}`, async () => {
      const running = run();
      await running.until(isUp);
      process.kill(childOf(running.pty.pid), signal);
      await expectRestored(running, code);
    });
  }

  it('and painted again after SIGSTOP and SIGCONT', async () => {
    const running = run();
    await running.until(isUp);
    const child = childOf(running.pty.pid);
    process.kill(child, 'SIGSTOP');
    running.emulator.write('\x1b[2J');
    await running.until((text) => !isUp(text));
    process.kill(child, 'SIGCONT');
    await running.until(isUp);
    running.pty.write('qq');
    await expectRestored(running, 0);
  });

  it('on Ctrl-Z, and taken back where nobody can be stopped (no shell with job control)', async () => {
    const running = run();
    await running.until(isUp);
    const { raw } = running;
    const before = raw().length;
    running.pty.write('\x1a');
    await running.until(() => raw().indexOf('\x1b[?1049h', before) > 0);
    expect(raw().indexOf('\x1b[?1049l', before)).toBeGreaterThan(0);
    await running.until(isUp);
    running.pty.write('s');
    await running.until((text) => text.includes('step 813/'));
    running.pty.write('qq');
    await expectRestored(running, 0);
  });

  it('keeps a key typed before the first frame off the screen, and obeys it', async () => {
    const running = run();
    await running.until((text) => text.includes('before'));
    running.pty.write('8');
    await running.until((text) => text.includes('8 Walk') && isUp(text));
    running.pty.write('qq');
    await expectRestored(running, 0);
  });
});

describe('the program in a pseudo terminal', { timeout: 30_000 }, () => {
  it('steps, resizes and tells Escape from a sequence', async () => {
    const running = run();
    await running.until(isUp);
    running.pty.write('s');
    await running.until((text) => text.includes('step 813/'));
    running.emulator.resize(80, 24);
    running.pty.resize(80, 24);
    await running.until((text) => text.includes('1Src'));
    running.pty.write('z');
    await running.until((text) => !text.includes('4 anon_vma ─'));
    running.pty.write('\x1b');
    await running.until((text) => text.includes('4 anon_vma ─'));
    running.pty.write('qq');
    await running.exit;
  });
});
