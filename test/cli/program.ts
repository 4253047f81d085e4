/** Runs the built program as a user does, in a folder of its own. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';

const program = path.resolve(import.meta.dirname, '../../bin/rmapdbg.js');

export interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A folder with these files; gone when the test file is done. A name ending in / is a folder. */
export function folder(files: Readonly<Record<string, string | Uint8Array>>): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'rmapdbg-test-'));
  for (const [name, text] of Object.entries(files)) {
    if (name.endsWith('/')) mkdirSync(path.join(directory, name));
    else writeFileSync(path.join(directory, name), text);
  }
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** `rmapdbg ARGS` in `cwd`, standard input not a terminal. */
export function rmapdbg(
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [program, ...args],
      { cwd, env: { PATH: process.env.PATH ?? '', HOME: cwd, TMPDIR: cwd, ...env } },
      (error, out, err) => resolve({ code: Number(error?.code ?? 0), out, err }),
    );
    child.stdin?.end();
  });
}
