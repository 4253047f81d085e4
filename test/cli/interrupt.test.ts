import path from 'node:path';
import { expect, test } from 'vitest';
import { start } from '../support/pty.ts';
import { folder } from './program.ts';

const one =
  '10 mmap(NULL, 16384, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7ffff7000000\n' +
  '10 munmap(0x7ffff7000000, 16384) = 0\n';

const cwd = folder({ 'long.strace': `10 brk(NULL) = 0x555555559000\n${one.repeat(60_000)}` });

test('a long log shows progress; Ctrl-C ends it with what was found so far, code 3', async () => {
  const run = start(['run', path.join(cwd, 'long.strace')], { columns: 200, rows: 24 });
  await run.until(/\d+%, line \d+, step \d+/);
  run.type('\x03');
  const screen = await run.until(/0 failed expectations/);
  expect(screen).toMatch(/long\.strace: interrupted at line \d+; until then:/);
  expect((await run.exit).exitCode).toBe(3);
});
