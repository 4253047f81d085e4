import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatScenarioError, maxErrors, ScenarioError } from '../../src/scenario/errors.ts';
import { parseExpression } from '../../src/scenario/expr.ts';
import { mergeFaults, parseFaults } from '../../src/scenario/faults.ts';
import { loadScenario } from '../../src/scenario/load.ts';
import { parseScenario, parseStatement } from '../../src/scenario/parse.ts';
import { printScenario } from '../../src/scenario/print.ts';
import { parseStrace } from '../../src/scenario/strace.ts';
import { scenario, withoutSpans } from './support.ts';

/** Text made of what the grammar is sensitive to, and of anything. */
const pieces = fc.constantFrom(
  ...[
    'race {\n',
    '}\n',
    'A: ',
    'p = ',
    'mmap(',
    ')',
    '(',
    ' = ',
    '|',
    'PROT_READ',
    'MAP_',
    '"',
    '\\',
    '\\\n',
  ],
  ...[
    '\n',
    '\r\n',
    '#',
    ' ',
    '\t',
    '0x',
    '4p',
    '9',
    '{',
    '[',
    ']',
    '...',
    '=>',
    '/*',
    '*/',
    '<',
    '</a>',
    '>',
    '.',
  ],
  ...[
    'title ',
    'config cpus=',
    'verdict ',
    ':',
    'expect ',
    'commands\n',
    'end\n',
    'schedule ',
    '-1 ENOMEM',
    '?',
  ],
  ...[
    '[pid 7] ',
    '7 ',
    '<unfinished ...>\n',
    '<... mmap resumed>',
    '+++ exited with 0 +++\n',
    'clone(',
    'fork()',
  ],
  ...[
    'strace: Process 8 attached\n',
    '12:00:01 ',
    '1700000000.5 ',
    '\0',
    '\u{1f600}',
    '\ud800',
    '\u2028',
  ],
);
const tokens = fc.array(pieces, { maxLength: 40 }).map((list) => list.join(''));
const anything = fc.oneof(
  tokens,
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => String.fromCharCode(...bytes)),
  fc.array(fc.nat(0xffff), { maxLength: 100 }).map((units) => String.fromCharCode(...units)),
);

interface Edit {
  readonly at: number;
  readonly remove: number;
  readonly insert: string;
}

const edits = fc.array(
  fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), remove: fc.nat(30), insert: pieces }),
  { minLength: 1, maxLength: 6 },
);

function mutate(text: string, changes: readonly Edit[]): string {
  let result = text;
  for (const { at, remove, insert } of changes) {
    const start = Math.floor(at * result.length);
    result = result.slice(0, start) + insert + result.slice(start + remove);
  }
  return result;
}

function recorded(name: string): string {
  return readFileSync(join(import.meta.dirname, '../../scenarios/traces', name), 'latin1');
}

/** What must hold of every text: a tree or errors, and errors that point into the text. */
function checkScript(text: string): void {
  const { errors, scenario: tree } = parseScenario(text);
  expect(errors.length).toBeLessThanOrEqual(maxErrors);
  const lines = text.split('\n');
  for (const error of errors) {
    expect(error.line).toBeGreaterThanOrEqual(1);
    expect(error.line).toBeLessThanOrEqual(lines.length);
    expect(error.column).toBeLessThanOrEqual((lines[error.line - 1] ?? '').length + 1);
    expect(formatScenarioError(error)).toContain('error: ');
  }
  if (errors.length > 0) return;
  // What was read without complaint can be written and read again.
  const again = parseScenario(printScenario(tree));
  expect(again.errors.map(formatScenarioError)).toEqual([]);
  expect(printScenario(again.scenario)).toBe(printScenario(tree));
}

describe('any text', () => {
  test('is a scenario or has errors', () => {
    fc.assert(fc.property(anything, checkScript), { numRuns: 3000 });
  });

  test('is a scenario or has errors, when it nearly is one', () => {
    fc.assert(
      fc.property(scenario, edits, (tree, changes) => {
        checkScript(mutate(printScenario(tree), changes));
      }),
      { numRuns: 1000 },
    );
  });

  test('is an expression or throws a ScenarioError', () => {
    fc.assert(
      fc.property(anything, (text) => {
        for (const read of [parseExpression, parseStatement]) {
          try {
            read(text);
          } catch (error) {
            expect(error).toBeInstanceOf(ScenarioError);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('can be read as a log, or as a list of faults', () => {
    fc.assert(
      fc.property(anything, (text) => {
        const { statements } = parseStrace(text);
        mergeFaults(statements, parseFaults(text).faults);
        loadScenario(text);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a damaged log', () => {
  const log = recorded('threads.strace');
  const whole = parseStrace(log).statements.length;

  test('is read but for the damage', () => {
    fc.assert(
      fc.property(edits, (changes) => {
        const { statements } = parseStrace(mutate(log, changes));
        // One edit touches at most two lines, and a lost fork or unfinished half one call more.
        expect(statements.length).toBeGreaterThan(whole - changes.length * 6);
      }),
      { numRuns: 150 },
    );
  });

  test('that is cut anywhere gives the beginning of the whole', () => {
    const lines = log.split('\n').length;
    fc.assert(
      fc.property(fc.nat(log.length), (length) => {
        const { statements, trace } = parseStrace(log.slice(0, length));
        expect(statements.length).toBeLessThanOrEqual(whole);
        expect(trace.notes.every((note) => note.line <= lines)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});

describe('time', () => {
  /** Texts that invite reading the same part again and again. */
  test.each<[string, (n: number) => string]>([
    ['open brackets', (n) => `A: f(${'('.repeat(n)}`],
    ['open strings', (n) => '"'.repeat(n)],
    ['escapes', (n) => `A: open("${'\\'.repeat(n)}`],
    ['continued lines', (n) => 'a\\\n'.repeat(n)],
    ['remarks', (n) => `brk(${'/*'.repeat(n)}`],
    ['decorations', (n) => `7 brk(${'3</a'.repeat(n)}`],
    ['hashes', (n) => `title ${'# '.repeat(n)}`],
    ['lines of one race', (n) => `race {\n${'A: fork()\n'.repeat(n / 10)}}`],
    ['config lines', (n) => 'config cpus=1\n'.repeat(n / 14)],
    ['digits', (n) => `brk(${'1'.repeat(n)})`],
    ['unfinished calls', (n) => '7 clone( <unfinished ...>\n'.repeat(n / 26)],
    [
      'orphans',
      (n) => Array.from({ length: n / 20 }, (_, i) => `${i + 1} brk( <unfinished ...>\n`).join(''),
    ],
    [
      'forks that never end',
      (n) => Array.from({ length: n / 20 }, (_, i) => `${i + 1} fork( <unfinished ...>\n`).join(''),
    ],
    ['about lines', (n) => 'about x\n'.repeat(n / 8)],
    ['comments', (n) => '#\n\n'.repeat(n / 3)],
  ])('%s take linear time', (_, make) => {
    const text = make(400_000);
    const start = performance.now();
    parseScenario(text);
    parseStrace(text);
    loadScenario(text);
    // Quadratic behaviour takes minutes here; linear at most a few seconds, on a busy machine, too.
    expect(performance.now() - start).toBeLessThan(20_000);
  });
});

describe('a span', () => {
  test('covers the text of its node', () => {
    fc.assert(
      fc.property(scenario, (tree) => {
        const text = printScenario(tree);
        for (const statement of parseScenario(text).scenario.statements) {
          if (statement.kind !== 'expect' && statement.kind !== 'print') continue;
          const { offset, length } = statement.expr.span;
          const part = parseExpression(text.slice(offset, offset + length));
          expect(withoutSpans(part)).toEqual(withoutSpans(statement.expr));
        }
      }),
    );
  });
});
