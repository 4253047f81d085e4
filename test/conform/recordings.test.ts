/** What a real 6.18 did, operation by operation: each recording goes exactly as far as it is listed to go. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { conform, type Outcome } from '../../src/conform/conform.ts';
import type { Recording } from '../../src/conform/program.ts';
import { openRecording, recordingNames } from './recording-files.ts';
import { stops } from './stops.ts';

/** `end`, or `8 mlock fl`: the first operation that differs, and in what kind of fact. */
function reached({ operations }: Recording, { equal, stop }: Outcome): string {
  if (stop === null) return 'end';
  const what = stop.kind === 'different' ? stop.difference.group : stop.kind;
  return `${equal} ${operations[equal]?.op.op} ${what}`;
}

test.each(recordingNames)('%s goes as far as listed', (name) => {
  const recording = openRecording(name);
  const { core, full } = conform(recording);
  const found = { core: reached(recording, core), full: reached(recording, full) };
  expect(found, 'stops.ts lists how far each goes: further is progress to be noted there').toEqual({
    core: stops[name]?.core ?? 'end',
    full: stops[name]?.full ?? stops[name]?.core ?? 'end',
  });
});

test('only recordings that stop are listed', () => {
  expect(Object.keys(stops).filter((name) => !recordingNames.includes(name))).toEqual([]);
  const ends = Object.entries(stops).filter(([, { core, full }]) => (core ?? full) === undefined);
  expect(ends).toEqual([]);
});

test('docs/FIDELITY.md tells the numbers', () => {
  const file = path.join(import.meta.dirname, '../../docs/FIDELITY.md');
  const text = readFileSync(file, 'utf8').replace(/\s+/g, ' ');
  const all = recordingNames.length;
  const core = Object.values(stops).filter((stop) => stop.core !== undefined).length;
  const full = Object.keys(stops).length;
  expect(text).toContain(`replays ${all} programs`);
  expect(text).toContain(
    `${all - core} recordings are equal to their end at \`core\`, ${all - full} at \`full\``,
  );
});
