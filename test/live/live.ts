/**
 * `npm run conform:live`: fresh random programs run on the kernel of this machine and are recorded, then
 * replayed on the simulated one. Each that differs is run again (one that the kernel itself does not
 * repeat is only counted) and made small. Where nothing can be recorded it says why and does nothing.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { Level } from '../../src/conform/compare.ts';
import { conform, describeStop, type Outcome } from '../../src/conform/conform.ts';
import type { Fields } from '../../src/conform/json.ts';
import type { Recording } from '../../src/conform/program.ts';
import { livingOperations, minimise } from './minimise.ts';
import { build, generate, missing, profiles, readRecorded, record, repeats } from './oracle.ts';

const { values } = parseArgs({
  options: {
    profile: { type: 'string', multiple: true, default: [] },
    seeds: { type: 'string', default: '1-20' },
    level: { type: 'string', default: 'full' },
    keep: { type: 'string' },
    trials: { type: 'string', default: '300' },
    help: { type: 'boolean', default: false },
  },
});

const USAGE = `npm run conform:live -- [options]
  --profile NAME   which (again for more); without: ${profiles.join(' ')}
  --seeds A-B      of the programs (default 1-20)
  --level LEVEL    core or full (default): what must be equal
  --keep DIR       where the recordings of differences go, whole and made small
  --trials N       most recordings spent on making one small (default 300)
`;

function usageError(text: string): never {
  process.stderr.write(`${text}\n${USAGE}`);
  process.exit(2);
}

function options(): { level: Level; chosen: readonly string[]; trials: number } {
  const { level, profile, seeds, trials } = values;
  if (level !== 'core' && level !== 'full') usageError(`--level ${level}: core or full`);
  const unknown = profile.filter((name) => !profiles.includes(name));
  if (unknown.length > 0) usageError(`no such profile: ${unknown.join(' ')}`);
  const [first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(seeds)?.slice(1) ?? [];
  if (Number.isNaN(Number(first)) || Number(last) < Number(first)) usageError(`--seeds ${seeds}`);
  if (!/^\d+$/.test(trials)) usageError(`--trials ${trials}`);
  return { level, chosen: profile.length === 0 ? profiles : profile, trials: Number(trials) };
}

/** What kind of difference: a smaller program must show the same. */
function kindOf({ stop }: Outcome): string | null {
  if (stop === null || stop.kind === 'unsupported') return null;
  return stop.kind === 'different' ? stop.difference.group : stop.kind;
}

function small(recording: Recording, level: Level, trials: number, stem: string): Recording {
  const first = conform(recording)[level];
  const kind = kindOf(first);
  const { text } = recording.header;
  const upTo = recording.operations.slice(0, first.equal + 1).map(({ op }) => op);
  let best = recording;
  let least = upTo;
  // What needs a process goes with the fork that made it.
  const fails = (ops: readonly Fields[]): boolean => {
    const living = livingOperations(ops);
    if (living.length === least.length && living.every((op, i) => op === least[i])) return true;
    const again = record(text, living, stem);
    if (again === null || kindOf(conform(again)[level]) !== kind) return false;
    best = again;
    least = living;
    copyFileSync(`${stem}.jsonl.gz`, `${stem}-small.jsonl.gz`);
    return true;
  };
  minimise(upTo, fails, trials);
  return best;
}

interface Sum {
  programs: number;
  operations: number;
  core: number;
  full: number;
  different: number;
  unrepeatable: number;
  unsupported: number;
}

const { level, chosen, trials } = options();
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const reasons = missing();
if (reasons.length > 0) {
  console.log(`skipped: recording needs ${reasons.join(', ')}`);
  process.exit(0);
}

function tell(name: string, recording: Recording, outcome: Outcome): void {
  const [where, ...rest] = describeStop(recording, outcome);
  console.log([`${name}: ${where}`, ...rest].join('\n'));
}

/** A program that does not do the same here. True if that counts. */
function different(name: string, recording: Recording, work: string): boolean {
  const file = path.join(work, `${name}.jsonl.gz`);
  if (!repeats(file)) return false;
  tell(name, recording, conform(recording)[level]);
  const stem = path.join(work, `small.${name}`);
  const least = small(recording, level, trials, stem);
  console.log(`  made small, ${least.operations.length} operations:`);
  for (const { op } of least.operations) console.log(`    ${JSON.stringify(op)}`);
  tell('  small', least, conform(least)[level]);
  if (values.keep !== undefined) {
    copyFileSync(file, path.join(values.keep, path.basename(file)));
    if (least !== recording) {
      copyFileSync(`${stem}-small.jsonl.gz`, path.join(values.keep, `small-${name}.jsonl.gz`));
    }
  }
  return true;
}

function profileRun(profile: string, work: string): Sum {
  const sum: Sum = {
    programs: 0,
    operations: 0,
    core: 0,
    full: 0,
    different: 0,
    unrepeatable: 0,
    unsupported: 0,
  };
  generate(profile, values.seeds, work);
  for (const file of readdirSync(work).sort()) {
    const name = path.basename(file, '.jsonl.gz');
    const recording = readRecorded(path.join(work, file));
    const found = conform(recording);
    sum.programs++;
    sum.operations += recording.operations.length;
    const isDifferent = kindOf(found[level]) !== null;
    if (isDifferent && !different(name, recording, work)) {
      sum.unrepeatable++;
      continue;
    }
    sum.different += Number(isDifferent);
    sum.unsupported += Number(found.core.stop?.kind === 'unsupported');
    sum.core += Number(found.core.stop === null);
    sum.full += Number(found.full.stop === null);
  }
  return sum;
}

function row(name: string, cells: readonly (string | number)[]): void {
  console.log(`${name.padEnd(12)}${cells.map((cell) => String(cell).padStart(13)).join('')}`);
}

build();
if (values.keep !== undefined) mkdirSync(values.keep, { recursive: true });
console.log(`${os.release()}, seeds ${values.seeds}, level ${level}`);
const sums: (readonly [string, Sum])[] = [];
for (const profile of chosen) {
  const work = mkdtempSync(path.join(os.tmpdir(), 'rmapdbg-live-'));
  try {
    sums.push([profile, profileRun(profile, work)]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
const names = [
  'programs',
  'operations',
  'core',
  'full',
  'different',
  'unrepeatable',
  'unsupported',
] as const;
row('profile', names);
for (const [profile, sum] of sums) {
  row(
    profile,
    names.map((name) => sum[name]),
  );
}
row(
  'all',
  names.map((name) => sums.reduce((total, [, sum]) => total + sum[name], 0)),
);
process.exitCode = sums.some(([, sum]) => sum.different > 0) ? 1 : 0;
