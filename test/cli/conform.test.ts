import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { recordingPath } from '../conform/recording-files.ts';
import { folder, rmapdbg } from './program.ts';

const world = { arena: ['0x1000000000', '0x1004000000'], brk: '0x1003000000', files: {} };
const header = JSON.stringify({ t: 'header', format: 'rmap-oracle-1', profile: 'mine', ...world });
const brk = (res: object | null): string =>
  JSON.stringify({ t: 'op', op: { op: 'brk', p: 0, addr: '0x1003001000' }, ...(res && { res }) });

const cwd = folder({
  'equal.jsonl': `${header}\n${brk({ ret: '0x1003001000' })}\n`,
  'zipped.jsonl.gz': gzipSync(`${header}\n${brk({ ret: '0x1003001000' })}\n`),
  'differs.jsonl': `${header}\n${brk({ err: 'ENOMEM' })}\n`,
  'bare.jsonl': `${header}\n${brk(null)}\n`,
  'unknown.jsonl': `${header}\n${brk(null)}\n{"t":"op","op":{"op":"userfault","passes":4}}\n`,
  'broken.jsonl': `${header}\n{"t":"op","op":{"op":"load","p":3,"addr":1}}\n{"t":\n`,
  'stranger.jsonl': `${header}\n{"t":"op","op":{"op":"load","p":3,"addr":1},"res":{"vals":[0]}}\n`,
  'elsewhere.jsonl': `${header.replace('0x1004000000', '0xffffffffffff')}\n${brk({ ret: 0 })}\n`,
  'notes.txt': 'not a recording\n',
  'empty/': '',
});

describe.concurrent('conform', () => {
  test.each([
    ['equal.jsonl', 0, /mine +1 +1 +1 +1 +1 +1 +0\n/, ''],
    ['zipped.jsonl.gz', 0, /mine +1 +1 +1 +1 +1 +1 +0\n/, ''],
    ['differs.jsonl', 1, /operation 0 .*\n {2}\[res\] result.err\n {4}recorded: .*ENOMEM/, ''],
    ['broken.jsonl', 2, /^$/, 'rmapdbg: broken.jsonl: line 3: '],
    ['stranger.jsonl', 2, /^$/, 'rmapdbg: stranger.jsonl: there is no process 3'],
    ['elsewhere.jsonl', 2, /^$/, 'rmapdbg: elsewhere.jsonl: the arena '],
    ['notes.txt', 2, /^$/, 'rmapdbg: notes.txt: line 1: '],
    ['nowhere.jsonl', 2, /^$/, 'rmapdbg: nowhere.jsonl: no such file\n'],
    ['empty', 2, /^$/, 'rmapdbg: empty: no recording '],
  ])('%s: %d', async (file, wanted, out, err) => {
    const found = await rmapdbg(cwd, ['conform', file]);
    expect(found.out).toMatch(out);
    expect(found.err.slice(0, err.length)).toBe(err);
    expect(found.code).toBe(wanted);
  });

  test('a bad file does not keep the others from being judged', async () => {
    const { code, out } = await rmapdbg(cwd, ['conform', 'notes.txt', 'equal.jsonl']);
    expect(out).toMatch(/mine +1 +1 +1/);
    expect(code).toBe(2);
  });

  test('a program without results is printed, up to what is not simulated', async () => {
    const bare = await rmapdbg(cwd, ['conform', 'bare.jsonl']);
    const [first, second, ...rest] = bare.out.trimEnd().split('\n');
    expect(first).toBe(header);
    expect(JSON.parse(second ?? '')).toMatchObject({ i: 0, res: { ret: '0x1003001000' } });
    expect({ rest, code: bare.code }).toEqual({ rest: [], code: 0 });
    const unknown = await rmapdbg(cwd, ['conform', 'unknown.jsonl']);
    expect(unknown.out).toBe(bare.out);
    expect(unknown.err).toContain(
      'operation 1 {"op":"userfault","passes":4}\n  unsupported: userfault',
    );
    expect(unknown.code).toBe(1);
  });

  test('--print writes what --json and a second run then call equal', async () => {
    const file = recordingPath('cow-1');
    const printed = await rmapdbg(cwd, ['conform', '--print', file]);
    expect(printed.code).toBe(0);
    const again = folder({ 'printed.jsonl': printed.out, 'cow-1.jsonl.gz': readFileSync(file) });
    const { code, out } = await rmapdbg(again, ['conform', '--json', 'printed.jsonl', file]);
    const lines = out.trimEnd().split('\n');
    const end = { equal: 35, stop: null };
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ profile: 'cow', core: end, full: end });
    expect(JSON.parse(lines[2] ?? '')).toMatchObject({ type: 'profile', recordings: 2, full: 2 });
    expect(code).toBe(0);
  });

  test('--print takes one recording', async () => {
    const { code, err } = await rmapdbg(cwd, ['conform', '--print', 'equal.jsonl', 'bare.jsonl']);
    expect(err).toBe('rmapdbg: --print takes one recording\n');
    expect(code).toBe(2);
  });
});
