/**
 * What a real 6.18 did, operation by operation: each recording goes exactly as far as it is listed to go.
 * `UPDATE_STOPS=1 vitest run --config test/vitest.config.ts test/conform` notes progress in the list.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
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

interface Reached {
  readonly core: string;
  readonly full: string;
}

const reachedBy = new Map<string, Reached>();
const isUpdate = process.env.UPDATE_STOPS === '1';

/** Number of the operation in `8 mlock fl`. */
function distance(text: string): number {
  return text === 'end' ? Number.POSITIVE_INFINITY : Number.parseInt(text, 10);
}

test.each(recordingNames)('%s goes as far as listed', (name) => {
  const recording = openRecording(name);
  const { core, full } = conform(recording);
  const found = { core: reached(recording, core), full: reached(recording, full) };
  const stop = stops[name];
  const listed = { core: stop?.core ?? 'end', full: stop?.full ?? stop?.core ?? 'end' };
  if (isUpdate) {
    expect(distance(found.core)).toBeGreaterThanOrEqual(distance(listed.core));
    expect(distance(found.full)).toBeGreaterThanOrEqual(distance(listed.full));
  } else {
    const hint = 'stops.ts lists how far each goes; if it goes further, note it: UPDATE_STOPS=1';
    expect(found, hint).toEqual(listed);
  }
  reachedBy.set(name, found);
});

afterAll(() => {
  // One that goes less far keeps the list from being written.
  if (!isUpdate || reachedBy.size < recordingNames.length) return;
  const file = path.join(import.meta.dirname, 'stops.ts');
  const [head] = readFileSync(file, 'utf8').split(/(?<== \{\n)/);
  const lines = [...reachedBy].flatMap(([name, { core, full }]) => {
    const told = [
      ...(core === 'end' ? [] : [`core: '${core}'`]),
      ...(full === core ? [] : [`full: '${full}'`]),
    ];
    return told.length === 0 ? [] : [`  '${name}': { ${told.join(', ')} },\n`];
  });
  writeFileSync(file, `${head}${lines.join('')}};\n`);
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
