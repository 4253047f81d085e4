import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseExpression } from '../../src/scenario/expr.ts';
import { loadScenario } from '../../src/scenario/load.ts';
import { parseScenario } from '../../src/scenario/parse.ts';
import { printExpr, printOperation, printScenario } from '../../src/scenario/print.ts';
import { expr, scenario, withoutSpans } from './support.ts';

describe('printExpr', () => {
  test('is undone by parseExpression', () => {
    fc.assert(
      fc.property(expr, (tree) => {
        expect(withoutSpans(parseExpression(printExpr(tree)))).toEqual(withoutSpans(tree));
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ['a|b == c', 'a|b == c'],
    ['(a == b) == c', '(a == b) == c'],
    ['(a + b) + c', 'a + b + c'],
    ['a + (b + c)', 'a + (b + c)'],
    ['-(a + 1).x', '-(a + 1).x'],
    ['(((a)))', 'a'],
    ['!(a && b)', '!(a && b)'],
    ['"a\\x41\\101\\n\\""', '"aAA\\n\\""'],
  ])('%s keeps its meaning with the fewest parentheses', (text, printed) => {
    expect(printExpr(parseExpression(text))).toBe(printed);
  });
});

describe('printScenario', () => {
  test('is undone by parseScenario', () => {
    fc.assert(
      fc.property(scenario, (tree) => {
        const text = printScenario(tree);
        const { scenario: again, errors } = parseScenario(text);
        expect(errors.map((error) => `${error.line} ${error.message}: ${error.text}`)).toEqual([]);
        expect(withoutSpans(again)).toEqual(withoutSpans(tree));
      }),
      { numRuns: 500 },
    );
  });

  const root = join(import.meta.dirname, '../../scenarios');
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' });

  test.each(files.filter((file) => file.endsWith('.mm')))('reads %s back as it was', (file) => {
    const { scenario: tree, errors } = parseScenario(readFileSync(join(root, file), 'utf8'), {
      file,
    });
    expect(errors).toEqual([]);
    expect(withoutSpans(parseScenario(printScenario(tree)).scenario)).toEqual(withoutSpans(tree));
  });

  test.each(
    files.filter((file) => file.endsWith('.strace')),
  )('writes every operation of %s as a line a script can hold', (file) => {
    const { scenario: tree } = loadScenario(readFileSync(join(root, file), 'latin1'), { file });
    const lines = tree.statements.flatMap((line) => (line.kind === 'operation' ? [line] : []));
    const script = parseScenario(lines.map((line) => `${printOperation(line)}\n`).join(''));
    expect(script.errors).toEqual([]);
    expect(printScenario(script.scenario)).toBe(printScenario(tree));
    expect(lines.length).toBeGreaterThan(50);
  });
});
