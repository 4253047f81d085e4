/** Runs the built program under a pseudo terminal and reads its screen through an emulator. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type IPty, spawn } from '@lydell/node-pty';
import xterm from '@xterm/headless';
import { onTestFinished } from 'vitest';

const program = new URL('../../bin/rmapdbg.js', import.meta.url).pathname;
export const root = new URL('../..', import.meta.url).pathname;

export interface Program {
  readonly pty: IPty;
  readonly exit: Promise<{ exitCode: number; signal?: number }>;
  text(): Promise<string>;
  /** Waits until the screen shows it; the last screen is the failure's message. */
  until(wanted: string | RegExp): Promise<string>;
  type(keys: string): void;
}

/** Starts `rmapdbg ARGS` with a home of its own. */
export function start(
  args: readonly string[],
  size: { readonly columns: number; readonly rows: number } = { columns: 200, rows: 60 },
): Program {
  const emulator = new xterm.Terminal({
    cols: size.columns,
    rows: size.rows,
    allowProposedApi: true,
  });
  const home = mkdtempSync(join(tmpdir(), 'rmapdbg-home-'));
  const pty = spawn(process.execPath, [program, ...args], {
    cols: size.columns,
    rows: size.rows,
    cwd: root,
    env: {
      PATH: process.env.PATH ?? '',
      HOME: home,
      TERM: 'xterm-256color',
      LANG: 'C.UTF-8',
    },
  });
  pty.onData((data) => emulator.write(data));
  const exit = new Promise<{ exitCode: number; signal?: number }>((resolve) => pty.onExit(resolve));
  onTestFinished(() => {
    try {
      pty.kill('SIGKILL');
    } catch {
      // It has ended already.
    }
    rmSync(home, { recursive: true, force: true });
  });
  const text = async (): Promise<string> => {
    await new Promise<void>((resolve) => emulator.write('', resolve));
    const { active } = emulator.buffer;
    return Array.from({ length: emulator.rows }, (_, y) =>
      (active.getLine(active.baseY + y)?.translateToString() ?? '').trimEnd(),
    ).join('\n');
  };
  return {
    pty,
    exit,
    text,
    type: (keys) => pty.write(keys),
    until: async (wanted) => {
      let shown = '';
      for (let turn = 0; turn < 1500; turn++) {
        shown = await text();
        if (typeof wanted === 'string' ? shown.includes(wanted) : wanted.test(shown)) return shown;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      throw new Error(`never on the screen: ${String(wanted)}\n${shown}`);
    },
  };
}
