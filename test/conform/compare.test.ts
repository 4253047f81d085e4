/** The comparer: it agrees with the recorder's own (reference/compare.py) on runs with one fact changed. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { Comparer, compareOperation, type Level } from '../../src/conform/compare.ts';
import { printStep, runProgram } from '../../src/conform/conform.ts';
import { parseRecording, type Recording } from '../../src/conform/program.ts';
import { openRecording, recordingPath } from './recording-files.ts';

const sample = [
  'cow-1',
  'chain-2',
  'mremapfork-3',
  'file-4',
  'guard-2',
  'vma-2',
  'swap-1',
  'hand-thp-mprotect',
  'ksm-1',
];
const levels: readonly Level[] = ['core', 'full'];

/** A recording as lines with whole states, as `--print` writes them; up to what cannot be run. */
function printed(recording: Recording): string[] {
  const lines = [JSON.stringify(recording.header.text)];
  for (const [operation, step] of runProgram(recording)) {
    if (!('kind' in step)) lines.push(JSON.stringify(printStep(operation, step)));
  }
  return lines;
}

/** The recording itself as such lines. */
function expanded(recording: Recording): string[] {
  const lines = [JSON.stringify(recording.header.text)];
  for (const operation of recording.operations) {
    const { result, state } = operation;
    if (result === null || state === null) throw new Error('a recording tells everything');
    lines.push(JSON.stringify(printStep(operation, { result, state })));
  }
  return lines;
}

/** `4 pte`: operations that are equal, and what is first different. */
function verdict(reference: Recording, candidate: Recording, level: Level): string {
  const comparer = new Comparer(level);
  for (const [i, expected] of reference.operations.entries()) {
    const got = candidate.operations[i];
    if (got === undefined) return `${i} res`;
    const difference = compareOperation(comparer, expected, got);
    if (difference !== null) return `${i} ${difference.group}`;
  }
  return `${reference.operations.length} -`;
}

type Json = { [key: string]: unknown };

/** Every number and text in an object, as the object that has it and its key. */
function leaves(value: unknown, found: [Json, string][] = []): [Json, string][] {
  if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      if (typeof inner === 'object') leaves(inner, found);
      else found.push([value as Json, key]);
    }
  }
  return found;
}

function other(value: unknown): unknown {
  if (typeof value === 'number') return value + 1;
  if (typeof value !== 'string') return value;
  if (value.startsWith('0x')) return `0x${(Number(value) + 0x1000).toString(16)}`;
  if (/^[fms]\d:\d+$/.test(value)) return value.replace(/\d+$/, (n) => String(Number(n) + 1));
  return value === '' ? 'w' : value.slice(0, -1);
}

/** The lines with one fact of one state changed; null if there is none in the state that was drawn. */
function mutated(lines: readonly string[], random: Prng): string[] | null {
  const at = 1 + random.below(lines.length - 1);
  const line = JSON.parse(lines[at] as string) as { state: Json };
  const found = leaves(line.state).filter(([object]) => !('n' in object && 'id' in object));
  if (found.length === 0) return null;
  const [object, key] = random.pick(found);
  object[key] = other(object[key]);
  return lines.with(at, JSON.stringify(line));
}

test('a printed state is read as it was', () => {
  for (const name of sample) {
    const recording = openRecording(name);
    const again = parseRecording(expanded(recording).join('\n'));
    expect(again.operations).toEqual(recording.operations);
    for (const level of levels) expect(verdict(recording, again, level)).toMatch(/ -$/);
  }
});

const judgePy = `
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import compare, statefmt
for pair in sys.stdin.read().split("\\n"):
    if not pair:
        continue
    ref, cand = (statefmt.read_recording(f)[1] for f in pair.split("\\t"))
    out = []
    for level in ("core", "full"):
        try:
            r = compare.compare(ref, cand, compare.choose(level))
            out.append("%d %s" % (r["ops"], r["diffs"][0][2].group if r["diffs"] else "-"))
        except Exception as e:
            out.append("unreadable")
    print("\\t".join(out))
`;

const hasPython = spawnSync('python3', ['--version']).status === 0;

test.runIf(hasPython)('it finds what compare.py finds, where it finds it', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rmapdbg-conform-'));
  try {
    const random = new Prng(1);
    const pairs: string[] = [];
    const ours: string[] = [];
    for (const name of sample) {
      const recording = openRecording(name);
      const whole = expanded(recording);
      const candidates = [printed(recording)];
      while (candidates.length < 12) {
        const lines = mutated(whole, random);
        if (lines !== null) candidates.push(lines);
      }
      for (const [i, lines] of candidates.entries()) {
        const file = path.join(folder, `${name}-${i}.jsonl`);
        writeFileSync(file, `${lines.join('\n')}\n`);
        pairs.push(`${recordingPath(name)}\t${file}`);
        const candidate = parseRecording(lines.join('\n'));
        ours.push(levels.map((level) => verdict(recording, candidate, level)).join('\t'));
      }
    }
    const judge = spawnSync(
      'python3',
      ['-c', judgePy, path.join(import.meta.dirname, 'reference')],
      { input: pairs.join('\n'), encoding: 'utf8' },
    );
    expect(judge.stderr).toBe('');
    const theirs = judge.stdout.trimEnd().split('\n');
    const named = (verdicts: readonly string[]): string[] =>
      verdicts.map((text, i) => `${path.basename(pairs[i]?.split('\t')[1] ?? '')}: ${text}`);
    expect(named(ours)).toEqual(named(theirs));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
