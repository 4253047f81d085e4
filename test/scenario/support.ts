import fc from 'fast-check';
import type {
  Expr,
  HeaderLine,
  Operation,
  Result,
  Scenario,
  Statement,
} from '../../src/scenario/ast.ts';
import { headerOf } from '../../src/scenario/ast.ts';
import { childFacts } from '../../src/scenario/check.ts';
import { commandWords } from '../../src/scenario/command-words.ts';
import { constantNames, constantValue } from '../../src/scenario/constants.ts';
import { formatScenarioError } from '../../src/scenario/errors.ts';
import { readNumber } from '../../src/scenario/lex.ts';
import { parseScenario } from '../../src/scenario/parse.ts';
import type { Span } from '../../src/scenario/source.ts';

export const nowhere: Span = { offset: 0, length: 0, line: 1, column: 1 };

/** The tree without the places where its parts stand. */
export function withoutSpans<T>(tree: T): unknown {
  return JSON.parse(
    JSON.stringify(tree, (key, value) =>
      key === 'span' || key === 'calleeSpan' || key === 'source' ? undefined : value,
    ),
  );
}

/** All errors of a text, as printed, with a blank line between. */
export function errorsOf(text: string): string {
  return parseScenario(text, { file: 'x.mm' }).errors.map(formatScenarioError).join('\n\n');
}

const word = fc
  .stringMatching(/^[a-z][a-z0-9]{0,6}$/)
  .filter((text) => !commandWords.includes(text));
const name = word.filter(
  (text) =>
    ![
      'race',
      'expect',
      'print',
      'schedule',
      'title',
      'about',
      'kernels',
      'config',
      'verdict',
    ].includes(text),
);
const constants = [...constantNames()];

const numberText = fc.oneof(
  fc.nat().map(String),
  fc.nat().map((n) => `0x${n.toString(16)}`),
  fc.tuple(fc.nat(9999), fc.constantFrom('p', 'K', 'M', 'G')).map(([n, suffix]) => `${n}${suffix}`),
  fc.nat(0o777).map((n) => `0${n.toString(8)}`),
);

const number: fc.Arbitrary<Expr> = numberText.map((text) => ({
  kind: 'number',
  text,
  value: readNumber(text) as number,
  span: nowhere,
}));

const nameExpr: fc.Arbitrary<Expr> = name.map((text) => ({
  kind: 'name',
  name: text,
  span: nowhere,
}));

const constant: fc.Arbitrary<Expr> = fc.constantFrom(...constants).map((text) => ({
  kind: 'constant',
  name: text,
  value: constantValue(text) ?? 0,
  span: nowhere,
}));

const string: fc.Arbitrary<Expr> = fc
  .tuple(
    fc.oneof(fc.string({ unit: 'binary', maxLength: 12 }), fc.constant('a"\\\n#\x07')),
    fc.boolean(),
  )
  .map(([value, truncated]) => ({ kind: 'string', value, truncated, span: nowhere }));

export const { expr } = fc.letrec<{ expr: Expr; leaf: Expr }>((tie) => ({
  leaf: fc.oneof(number, nameExpr, constant),
  expr: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('leaf'),
    fc
      .tuple(
        fc.constantFrom('||', '&&', '==', '!=', '<', '<=', '>', '>=', '|', '&', '+', '-', '*', '/'),
        tie('expr'),
        tie('expr'),
      )
      .map(
        ([operator, left, right]) =>
          ({ kind: 'binary', operator, left, right, span: nowhere }) as Expr,
      ),
    fc
      .tuple(fc.constantFrom('!', '-'), tie('expr'))
      .map(([operator, operand]) => ({ kind: 'unary', operator, operand, span: nowhere }) as Expr),
    fc
      .tuple(tie('expr'), name)
      .map(([object, field]): Expr => ({ kind: 'field', object, field, span: nowhere })),
    fc
      .tuple(tie('expr'), tie('expr'))
      .map(([object, index]): Expr => ({ kind: 'index', object, index, span: nowhere })),
    fc
      .tuple(name, fc.array(tie('expr'), { maxLength: 3 }))
      .map(([callee, args]): Expr => ({ kind: 'call', callee, args, span: nowhere })),
  ),
}));

/** What an argument may be besides an expression. */
const argument: fc.Arbitrary<Expr> = fc.oneof(
  { weight: 4, arbitrary: expr },
  string,
  fc
    .tuple(fc.nat(99), fc.stringMatching(/^\/[a-z .]{0,9}$/))
    .map(([fd, path]): Expr => ({ kind: 'fd', fd, path, span: nowhere })),
  fc
    .tuple(name, expr)
    .map(([label, value]): Expr => ({ kind: 'labelled', label, value, span: nowhere })),
  fc
    .array(expr, { maxLength: 3 })
    .map((members): Expr => ({ kind: 'struct', members, span: nowhere })),
  fc.array(expr, { maxLength: 3 }).map((items): Expr => ({ kind: 'array', items, span: nowhere })),
);

const result: fc.Arbitrary<Result> = fc.oneof(
  number.map((value): Result => ({ kind: 'value', value, span: nowhere })),
  nameExpr.map((value): Result => ({ kind: 'value', value, span: nowhere })),
  fc.constant<Result>({ kind: 'errno', name: 'ENOMEM', errno: 12, span: nowhere }),
  fc.constant<Result>({ kind: 'signal', name: 'SIGSEGV', span: nowhere }),
  fc.constant<Result>({ kind: 'none', span: nowhere }),
);

/** Comments as the reader keeps them: no blanks at the end. */
const comment = fc.stringMatching(/^ [ -~]{0,10}$/).map((text) => text.trimEnd());
const commented = fc.option(comment, { nil: undefined });

function line<T extends object>(parts: fc.Arbitrary<T>) {
  return fc.tuple(parts, commented).map(([part, text]) => ({
    ...part,
    span: nowhere,
    ...(text === undefined ? {} : { comment: text }),
  }));
}

/** `prctl` takes one to five arguments of any kind but its option. */
const operation: fc.Arbitrary<Operation> = line(
  fc.record({
    bind: fc.option(name, { nil: undefined }),
    option: fc.constantFrom('PR_SET_MEMORY_MERGE', 'PR_SET_NAME'),
    args: fc.array(argument, { maxLength: 4 }),
    result: fc.option(result, { nil: undefined }),
    actor: fc.constantFrom<Operation['actor'][]>(
      { kind: 'first' },
      { kind: 'task', name: 'A', span: nowhere },
      { kind: 'kthread', name: 'ksmd', span: nowhere },
    ),
    makes: fc.boolean(),
  }),
).map(({ bind, option, args, result: expectedResult, actor, makes, span, comment: text }) => {
  const value = constantValue(option) ?? 0;
  const all: Expr[] = makes ? [] : [{ kind: 'constant', name: option, value, span }, ...args];
  const callee = makes ? 'fork' : 'prctl';
  // The child of a fork with a result is not what this is about.
  const outcome = makes ? undefined : expectedResult;
  const child = childFacts(callee, all);
  return {
    kind: 'operation',
    origin: 'script',
    actor,
    ...(bind ? { bind: { text: bind, span } } : {}),
    callee,
    calleeSpan: span,
    args: all,
    ...(outcome ? { expectedResult: outcome } : {}),
    ...(child ? { child } : {}),
    span,
    ...(text === undefined ? {} : { comment: text }),
  };
});

const trivia = fc.oneof(
  comment.map((text): Statement => ({ kind: 'comment', text, span: nowhere })),
);

const blank: Statement = { kind: 'blank', span: nowhere };

const expectation = line(fc.record({ kind: fc.constantFrom('expect', 'print'), expr }));

const command = line(
  fc.record({
    kind: fc.constant('command'),
    word: fc.constantFrom(...commandWords.filter((text) => text !== 'commands')),
    rest: fc.stringMatching(/^(?:[a-z*][a-z0-9:_ ]{0,8}[a-z])?$/),
  }),
);

const block = fc
  .tuple(fc.array(fc.stringMatching(/^[a-z]{1,5} x$/), { maxLength: 3 }))
  .map(([lines]) => ({
    kind: 'command',
    word: 'commands',
    rest: '1',
    span: nowhere,
    body: lines.map((text) => ({ text, span: nowhere })),
  }));

const schedule = line(
  fc.record({
    kind: fc.constant('schedule'),
    word: fc.stringMatching(/^[a-z0-9][a-z0-9:.]{0,8}$/),
  }),
);

const race = line(
  fc.record({
    kind: fc.constant('race'),
    body: fc
      .tuple(
        fc.array(fc.oneof(operation, trivia), { maxLength: 4 }),
        fc.option(schedule, { nil: undefined }),
      )
      .map(([body, order]) => (order ? [order, ...body] : body)),
  }),
);

const statement = fc.oneof(
  { weight: 4, arbitrary: operation as fc.Arbitrary<Statement> },
  trivia,
  fc.oneof(expectation, command, block, race) as fc.Arbitrary<Statement>,
);

const text = fc
  .stringMatching(/^[a-z][a-z "'.]{0,20}[a-z.]$/)
  .filter((value) => !value.includes('"'));
const words = fc
  .uniqueArray(fc.stringMatching(/^v[0-9]\.[0-9]{1,2}$/), { minLength: 1, maxLength: 3 })
  .map((list) => list.map((value) => ({ text: value, span: nowhere })));

const header = fc
  .record({
    title: fc.option(line(fc.record({ kind: fc.constant('title'), text })), { nil: undefined }),
    about: fc.array(line(fc.record({ kind: fc.constant('about'), text })), { maxLength: 2 }),
    kernels: fc.option(line(fc.record({ kind: fc.constant('kernels'), kernels: words })), {
      nil: undefined,
    }),
    config: fc.option(fc.nat(64), { nil: undefined }),
    verdicts: fc.array(
      line(
        fc.record({
          kind: fc.constant('verdict'),
          kernels: fc.oneof(words, fc.constant([])),
          findings: fc.constantFrom(
            [{ text: 'none', span: nowhere }],
            [
              { text: 'use-after-free', span: nowhere },
              { text: 'leak', span: nowhere },
            ],
          ),
        }),
      ),
      { maxLength: 2 },
    ),
  })
  .map((parts) => {
    const entry = {
      key: 'memory',
      text: `${parts.config}M`,
      value: (parts.config ?? 0) * 2 ** 20,
      span: nowhere,
    };
    const config = { kind: 'config', entries: [entry], span: nowhere };
    return [
      parts.title,
      ...parts.about,
      parts.kernels,
      parts.config === undefined ? undefined : config,
      ...parts.verdicts,
    ].filter((part) => part !== undefined) as HeaderLine[];
  });

/** Whole scenarios whose tree is what the reader would make of them. */
export const scenario: fc.Arbitrary<Scenario> = fc
  .tuple(header, fc.array(statement, { maxLength: 8 }), fc.boolean())
  .map(([lines, statements, spaced]) => ({
    source: { file: '', text: '' },
    origin: 'script',
    header: headerOf(lines),
    statements: spaced && statements.length > 0 ? [blank, ...statements] : statements,
  }));
