import { describe, expect, test } from 'vitest';
import { parseScenario, parseStatement } from '../../src/scenario/parse.ts';
import { printScenario } from '../../src/scenario/print.ts';

const head = 'A: p = mmap(NULL, 4p, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n';

/** The statements of a body after `head`, printed. */
function written(body: string, params: Record<string, number> = {}): string[] {
  const { scenario, errors } = parseScenario(body.replace('HEAD\n', head), {
    params: new Map(Object.entries(params)),
  });
  expect(errors.map((error) => error.message)).toEqual([]);
  return printScenario({ ...scenario, header: { ...scenario.header, lines: [] } })
    .split('\n')
    .slice(1, -1);
}

/** The first error of a text: line, column and message. */
function errorOf(text: string): string {
  const { errors } = parseScenario(text);
  const [first] = errors;
  return first === undefined ? '' : `${first.line}:${first.column}: ${first.message}`;
}

describe('repeat', () => {
  test('writes its body out, numbers in names and arguments', () => {
    expect(written('HEAD\nrepeat i = 1..3 {\n  A: C{i} = fork()\n  C{i}: store(p, i)\n}')).toEqual([
      'A: C1 = fork()',
      'C1: store(p, 1)',
      'A: C2 = fork()',
      'C2: store(p, 2)',
      'A: C3 = fork()',
      'C3: store(p, 3)',
    ]);
  });

  test('takes sums and quotients in a name: a chain and a binary tree of forks', () => {
    const chain = 'HEAD\nA: C0 = fork()\nrepeat i = 1..2 {\n  C{i-1}: C{i} = fork()\n}';
    expect(written(chain)).toEqual(['A: C0 = fork()', 'C0: C1 = fork()', 'C1: C2 = fork()']);
    const tree = 'HEAD\nA: C1 = fork()\nrepeat i = 2..5 {\n  C{i/2}: C{i} = fork()\n}';
    const fromZero = 'HEAD\nA: C0 = fork()\nrepeat i = 1..4 {\n  C{(i-1)/2}: C{i} = fork()\n}';
    expect(written(tree)).toEqual([
      'A: C1 = fork()',
      'C1: C2 = fork()',
      'C1: C3 = fork()',
      'C2: C4 = fork()',
      'C2: C5 = fork()',
    ]);
    expect(written(fromZero)).toEqual([
      'A: C0 = fork()',
      'C0: C1 = fork()',
      'C0: C2 = fork()',
      'C1: C3 = fork()',
      'C1: C4 = fork()',
    ]);
  });

  test('may stand in a race and in another block, and be empty', () => {
    const text =
      'HEAD\nrepeat i = 1..2 {\n  race {\n    repeat j = 1..i {\n      A: load(p+j*1p)\n    }\n    kernel: migrate(A, p)\n  }\n}\nrepeat k = 1..0 {\n  A: exit(0)\n}';
    expect(written(text)).toEqual([
      'race {',
      '  A: load(p + 1p)',
      '  kernel: migrate(A, p)',
      '}',
      'race {',
      '  A: load(p + 1p)',
      '  A: load(p + 2p)',
      '  kernel: migrate(A, p)',
      '}',
    ]);
  });

  test('fills in expectations and the braces of commands and strings', () => {
    const text =
      'param N=2\nHEAD\nrepeat i = 1..N {\n  break store if i == {i}\n  A: open("f{i}", O_RDWR)\n}\nexpect vmas(A) == N\nexpect "{other}" == "{other}"';
    expect(written(text)).toEqual([
      'break store if i == 1',
      'A: open("f1", O_RDWR)',
      'break store if i == 2',
      'A: open("f2", O_RDWR)',
      'expect vmas(A) == 2',
      'expect "{other}" == "{other}"',
    ]);
  });

  test('reading what was printed gives the same statements', () => {
    const text = `param N=3\n${head}repeat i = 1..N {\n  A: C{i} = fork()\n}\n`;
    const once = parseScenario(text).scenario;
    const again = parseScenario(printScenario(once)).scenario;
    expect(printScenario(again)).toBe(printScenario(once));
  });

  test('tells what is wrong, and where', () => {
    expect(errorOf(`${head}repeat i = 1..3 {\n A: fork()\n`)).toBe(
      '2:1: this repeat block is not closed',
    );
    expect(errorOf(`${head}repeat i = 1..n {\n}`)).toBe(
      '2:15: no parameter or repeat variable named n',
    );
    expect(errorOf(`${head}repeat i = 1..2 {\n A: C{k} = fork()\n}`)).toBe(
      '3:7: no parameter or repeat variable named k',
    );
    expect(errorOf(`${head}repeat i = 1..2 {\n repeat i = 1..2 {\n }\n}`)).toBe(
      '3:9: i has a meaning already',
    );
    expect(errorOf(`param p=1\n${head}`)).toBe('2:4: p is a number here');
    expect(errorOf(`${head}repeat i = 1..2000000 {\n A: load(p)\n}`)).toBe(
      '3:2: this block becomes too long',
    );
    expect(errorOf('param N\n')).toBe('1:7: N is no parameter');
    expect(errorOf('param N=1 N=2\n')).toBe('1:11: N is given twice');
    expect(errorOf(`${head}C{i}: load(p)`)).toContain('no parameter or repeat variable named i');
  });

  test('is no single statement of the prompt', () => {
    expect(() => parseStatement('repeat i = 1..2 {\nA: fork()\n}')).toThrow(
      'more than one statement',
    );
  });
});

describe('param', () => {
  test('has the value of the header unless another is given', () => {
    const text = 'param N=1\nHEAD\nrepeat i = 1..N {\n  A: load(p)\n}';
    expect(written(text)).toHaveLength(1);
    expect(written(text, { N: 4 })).toHaveLength(4);
  });
});
