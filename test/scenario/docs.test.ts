import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { calls, signatureOf } from '../../src/scenario/calls.ts';
import { formatScenarioError } from '../../src/scenario/errors.ts';
import { configKeys } from '../../src/scenario/header.ts';
import { parseScenario } from '../../src/scenario/parse.ts';

const manual = readFileSync(join(import.meta.dirname, '../../docs/SCENARIOS.md'), 'utf8');

describe('docs/SCENARIOS.md', () => {
  const examples = [...manual.matchAll(/```mm\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');

  test.each(examples)('has examples that can be read: %#', (example) => {
    expect(parseScenario(example).errors.map(formatScenarioError)).toEqual([]);
  });

  test('describes every call, in the order of the table', () => {
    const rows = manual.split('\n').filter((line) => /^\| `\w+\(/.test(line));
    const expected = [...calls.values()].map(
      (spec) => `| \`${signatureOf(spec)}\` | ${spec.help} |`,
    );
    expect(rows).toEqual(expected);
  });

  test('describes every config key', () => {
    for (const key of configKeys.keys()) expect(manual).toContain(`\`${key}\``);
  });
});
