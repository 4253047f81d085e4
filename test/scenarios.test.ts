/** Every scenario that comes with the program runs to its end, as it says, and the same way each time. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSession } from '../src/debugger/open.ts';
import type { Session } from '../src/debugger/session.ts';
import { kernelNames } from '../src/linux/kernels.ts';
import type { TouchPolicy } from '../src/scenario/trace-run.ts';

const folder = path.resolve(import.meta.dirname, '../scenarios');
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(mm|strace)$/.test(file))
  .sort();
const textOf = (file: string): string => readFileSync(path.join(folder, file), 'utf8');
const index = textOf('README.md');

/** The scenario at its end, without stopping at breakpoints or findings on the way. */
function runToEnd(
  file: string,
  seed: number,
  touch: TouchPolicy = 'writable',
  kernel?: string,
): Session {
  const session = openSession(textOf(file), {
    file,
    seed,
    touch,
    stopOnFinding: false,
    ...(kernel === undefined ? {} : { kernel }),
  });
  if ('errors' in session) throw session.errors[0];
  for (let stops = 0; !session.finished; stops++) {
    expect(stops).toBeLessThan(1000);
    session.execute('continue');
    while (session.pump(1_000_000) === 'running');
  }
  return session;
}

/** All that can be wrong with a run. */
function complaints(session: Session): readonly string[] {
  return [
    ...session.findings().map((f) => `finding: ${f.kind}: ${f.text} (step ${f.step})`),
    ...session.run.reports().map((r) => `${r.kind}: line ${r.line}: ${r.text}`),
    ...session
      .takeOutput()
      .filter((line) => line.role === 'error')
      .map((line) => line.text),
    ...(session.failures > 0 ? [`${session.failures} failures`] : []),
  ];
}

const hashes = ({ machine }: Session): readonly number[] => [
  machine.endStep,
  machine.traceHash(),
  machine.hash(),
];

test.each(files)('%s runs as it says, twice the same', (file) => {
  const first = runToEnd(file, 0);
  expect(complaints(first)).toEqual([]);
  const seen = hashes(first);
  expect(hashes(runToEnd(file, 0))).toEqual(seen);
});

/** Kernels of a scenario's header that there are. */
function kernelsOf(file: string): readonly string[] {
  const line = /^kernels +(.*)$/m.exec(textOf(file))?.[1] ?? '';
  return line.split(/\s+/).filter((name) => kernelNames().includes(name));
}

const onSeveral = files
  .filter((file) => file.endsWith('.mm'))
  .flatMap((file) =>
    kernelsOf(file)
      .slice(1)
      .map((kernel) => [file, kernel] as const),
  );

/** Kinds of findings that the header says this kernel has. */
function verdictOf(session: Session): readonly string[] {
  return session.run.scenario.header.verdicts
    .filter(({ kernels }) => kernels.length === 0 || kernels.some((k) => k.text === session.kernel))
    .flatMap(({ findings }) => findings.map(({ text }) => text))
    .filter((kind) => kind !== 'none');
}

test.each(onSeveral)('%s runs as it says on %s', (file, kernel) => {
  const session = runToEnd(file, 0, 'writable', kernel);
  const kinds = new Set(session.findings().map(({ kind }) => kind));
  const expected = verdictOf(session);
  expect([...kinds].sort()).toEqual([...expected].sort());
  const complained = complaints(session).filter((line) => !line.startsWith('finding:'));
  expect(complained).toEqual([]);
});

// Recorded programs have no races: a seed changes nothing there.
const races = files.filter((file) => /^race \{/m.test(textOf(file)));

test.each(races)('%s runs as it says whatever the interleaving', (file) => {
  for (let seed = 1; seed <= 40; seed++) {
    expect(complaints(runToEnd(file, seed)), `seed ${seed}`).toEqual([]);
  }
  expect(hashes(runToEnd(file, 7))).toEqual(hashes(runToEnd(file, 7)));
});

const traces = files.filter((file) => file.endsWith('.strace'));

test.each(traces)('%s has no divergence with every page touched, or none', (file) => {
  for (const touch of ['none', 'all'] as const) {
    expect(complaints(runToEnd(file, 0, touch)), touch).toEqual([]);
  }
});

describe('the index', () => {
  test('names every scenario, and no other', () => {
    const named = [...index.matchAll(/\]\(((?:tour|seeds|selftests|traces)\/[^)]+)\)/g)].map(
      ([, name]) => name,
    );
    expect([...named].sort()).toEqual(files);
  });

  test('has the tour in the order of its numbers', () => {
    const tour = files
      .filter((file) => file.startsWith('tour/'))
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    const places = tour.map((file) => index.indexOf(`(${file})`));
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });

  test.each(files.filter((file) => file.endsWith('.mm')))('%s explains itself', (file) => {
    const text = textOf(file);
    for (const word of ['title', 'about', 'kernels', 'expect']) {
      expect(text).toMatch(new RegExp(`^${word} `, 'm'));
    }
  });
});
