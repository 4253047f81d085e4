/** The recorder of `oracle/`: whether it can run on this machine, and running it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Fields } from '../../src/conform/json.ts';
import { parseRecording, type Recording } from '../../src/conform/program.ts';
import type { KernelTimes } from '../bench/programs.ts';

/** npm runs scripts in the folder of package.json. */
const folder = path.resolve('test/live/oracle');
/** A program takes well under a second; a profile of some hundred seeds a minute. */
const LIMIT_MS = 30 * 60 * 1000;

export const profiles: readonly string[] = [
  'vma',
  'cow',
  'chain',
  'mremapfork',
  'advise',
  'file',
  'errors',
  'ksm',
  'ksmset',
  'thp',
  'thpksm',
  'swap',
  'guard',
  'mixed',
];

function contents(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
}

function hasCommand(name: string): boolean {
  return (process.env.PATH ?? '').split(':').some((dir) => existsSync(path.join(dir, name)));
}

/** What keeps the recorder from running here; empty: nothing. */
export function missing(): string[] {
  const reasons: string[] = [];
  const need = (there: boolean, what: string): void => {
    if (!there) reasons.push(what);
  };
  need(
    os.platform() === 'linux' && os.release().startsWith('6.18.') && os.arch() === 'x64',
    `Linux 6.18 on x86-64 (this is ${os.platform()} ${os.release()} on ${os.arch()})`,
  );
  need(process.getuid?.() === 0, 'root');
  for (const name of ['make', 'cc', 'clang', 'python3', 'mkswap']) need(hasCommand(name), name);
  need(existsSync('/usr/include/bpf/libbpf.h'), 'libbpf-dev');
  need(existsSync('/sys/kernel/btf/vmlinux'), 'kernel type information (/sys/kernel/btf/vmlinux)');
  need(contents('/proc/swaps').split('\n').length <= 1, 'swap off');
  need(contents('/sys/kernel/mm/ksm/run') === '0', 'KSM stopped (/sys/kernel/mm/ksm/run 0)');
  return reasons;
}

export function build(): void {
  execFileSync('make', ['-s', '-C', folder], { stdio: 'inherit' });
}

/** Runs `oracle.py`; its exit code. What it prints is for the user only if it failed. */
function oracle(args: readonly string[]): { readonly code: number | null; readonly told: string } {
  const { status, stdout, stderr } = spawnSync(
    'python3',
    [path.join(folder, 'oracle.py'), ...args],
    {
      encoding: 'utf8',
      timeout: LIMIT_MS,
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  return { code: status, told: `${stdout}${stderr}` };
}

/** Generates and records the programs of some seeds; the files are `PROFILE-SEED.jsonl.gz`. */
export function generate(profile: string, seeds: string, out: string): void {
  const { code, told } = oracle(['gen', profile, seeds, '--out', out]);
  if (code !== 0) throw new Error(`recording ${profile} ${seeds} failed\n${told}`);
}

/** Whether the kernel does the same again, twice. */
export function repeats(file: string): boolean {
  return [0, 1].every(() => oracle(['repeat', file]).code === 0);
}

type Measured = Pick<KernelTimes, 'operations' | 'profiles'>;

/** Runs recordings so many times each, with nothing looked at but the clock. */
export function timed(files: readonly string[], runs: number): Measured {
  const { code, told } = oracle(['bench', ...files, '--runs', String(runs), '--json']);
  if (code !== 0) throw new Error(`timing failed\n${told}`);
  return JSON.parse(told) as Measured;
}

export function readRecorded(file: string): Recording {
  return parseRecording(gunzipSync(readFileSync(file)).toString('utf8'));
}

/** Records a program; null if it cannot be run. `stem` names the files it goes through. */
export function record(header: Fields, ops: readonly Fields[], stem: string): Recording | null {
  const program = `${stem}.jsonl`;
  const lines = [header, ...ops.map((op) => ({ t: 'op', op }))];
  writeFileSync(program, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const file = `${stem}.jsonl.gz`;
  return oracle(['record', program, '--out', file]).code === 0 ? readRecorded(file) : null;
}
