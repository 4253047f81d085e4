import { describe, expect, test } from 'vitest';
import { formatScenarioError, maxErrors, ScenarioError } from '../../src/scenario/errors.ts';
import { parseExpression } from '../../src/scenario/expr.ts';
import { parseScenario, parseStatement } from '../../src/scenario/parse.ts';
import { errorsOf } from './support.ts';

/** The error of an expression, as printed. */
function exprError(text: string): string {
  try {
    parseExpression(text, '<prompt>');
  } catch (error) {
    if (error instanceof ScenarioError) return formatScenarioError(error);
    throw error;
  }
  return 'no error';
}

describe('operation lines', () => {
  test('an unknown call names the nearest known one', () => {
    expect(errorsOf('A: p = mmpa(NULL, 8p)')).toMatchInlineSnapshot(`
      "x.mm:1:8: error: no call named mmpa
        A: p = mmpa(NULL, 8p)
               ^~~~
        expected: a call that concerns memory or processes
        hint: did you mean mmap?"
    `);
  });

  test('a system call that is not simulated is told from a mistyped one', () => {
    expect(errorsOf('A: read(3, p, 4096)')).toMatchInlineSnapshot(`
      "x.mm:1:4: error: read is not simulated
        A: read(3, p, 4096)
           ^~~~
        expected: a call that concerns memory or processes
        hint: in a recorded program (an strace log) it is counted and skipped"
    `);
  });

  test('an unknown flag names the nearest of its family', () => {
    expect(
      errorsOf('mmap(NULL, 4p, PROT_READ|PROT_WRIT, MAP_PRIVATE, -1, 0)'),
    ).toMatchInlineSnapshot(`
      "x.mm:1:26: error: no constant named PROT_WRIT
        mmap(NULL, 4p, PROT_READ|PROT_WRIT, MAP_PRIVATE, -1, 0)
                                 ^~~~~~~~~
        expected: a PROT_* constant
        hint: did you mean PROT_WRITE?"
    `);
  });

  test('a flag of another family is refused', () => {
    expect(errorsOf('mmap(NULL, 4p, MAP_PRIVATE, PROT_READ, -1, 0)')).toMatchInlineSnapshot(`
      "x.mm:1:16: error: MAP_PRIVATE cannot be the prot of mmap
        mmap(NULL, 4p, MAP_PRIVATE, PROT_READ, -1, 0)
                       ^~~~~~~~~~~
        expected: PROT_* flags or a number, in mmap(addr, length, prot, flags, fd, offset)"
    `);
  });

  test('too few and too many arguments show the signature', () => {
    expect(errorsOf('munmap(p)\nfork(1)\nmremap(p, 1p, 2p, 0, q, 9)')).toMatchInlineSnapshot(`
      "x.mm:1:1: error: munmap takes 2 arguments, not 1
        munmap(p)
        ^~~~~~
        expected: munmap(addr, length)

      x.mm:2:6: error: fork takes 0 arguments, not 1
        fork(1)
             ^
        expected: fork()

      x.mm:3:25: error: mremap takes 3 to 5 arguments, not 6
        mremap(p, 1p, 2p, 0, q, 9)
                                ^
        expected: mremap(addr, old_length, new_length, [flags], [new_addr])"
    `);
  });

  test('a missing parenthesis is reported where it belongs', () => {
    expect(errorsOf('A: munmap(p, 4p')).toMatchInlineSnapshot(`
      "x.mm:1:16: error: missing )
        A: munmap(p, 4p
                       ^
        expected: ) to match the ( in column 10"
    `);
    expect(errorsOf('A: munmap(p, 4p = 0')).toMatchInlineSnapshot(`
      "x.mm:1:16: error: missing )
        A: munmap(p, 4p = 0
                       ^
        expected: ) to match the ( in column 10"
    `);
  });

  test('a bad number suffix offers the nearest good one', () => {
    expect(errorsOf('munmap(p, 4k)\nmunmap(p, 16q)\nmunmap(p, 099)')).toMatchInlineSnapshot(`
      "x.mm:1:11: error: bad number 4k: no size is called k
        munmap(p, 4k)
                  ^~
        expected: digits or 0x…, then nothing, p (4 KiB pages), K, M, G or T
        hint: did you mean 4K?

      x.mm:2:11: error: bad number 16q: no size is called q
        munmap(p, 16q)
                  ^~~
        expected: digits or 0x…, then nothing, p (4 KiB pages), K, M, G or T

      x.mm:3:11: error: bad octal number 099
        munmap(p, 099)
                  ^~~
        expected: digits 0 to 7
        hint: did you mean 99?"
    `);
  });

  test('a forgotten colon after the actor is guessed', () => {
    expect(errorsOf('A fork()')).toMatchInlineSnapshot(`
      "x.mm:1:1: error: unexpected A
        A fork()
        ^
        expected: a header line, a call, race, repeat, expect, print or a debugger command
        hint: did you mean A: fork(…)?"
    `);
  });

  test('an actor that nothing made names the nearest one', () => {
    expect(
      errorsOf('worker: fork()\nworkr: fork()\nkswpd: reclaim(worker, p)'),
    ).toMatchInlineSnapshot(`
      "x.mm:2:1: error: no process or thread named workr here
        workr: fork()
        ^~~~~
        expected: one of worker, kswapd, kcompactd, ksmd, khugepaged, kernel
        hint: did you mean worker?

      x.mm:3:1: error: no process or thread named kswpd here
        kswpd: reclaim(worker, p)
        ^~~~~
        expected: one of worker, kswapd, kcompactd, ksmd, khugepaged, kernel
        hint: did you mean kswapd?"
    `);
  });

  test('a process that is made later is not known yet', () => {
    expect(errorsOf('A: fork()\nB: fork()\nA: B = fork()')).toContain(
      'no process or thread named B',
    );
  });

  test('an unknown errno names the nearest one', () => {
    expect(errorsOf('munmap(p, 1p) = -1 ENOMEN')).toMatchInlineSnapshot(`
      "x.mm:1:20: error: no error named ENOMEN
        munmap(p, 1p) = -1 ENOMEN
                           ^~~~~~
        expected: an errno name such as ENOMEM
        hint: did you mean ENOMEM?"
    `);
  });

  test('a string that does not end is reported from its quote', () => {
    expect(errorsOf('fd = open("f0, O_RDWR)')).toMatchInlineSnapshot(`
      "x.mm:1:11: error: a string that does not end
        fd = open("f0, O_RDWR)
                  ^~~~~~~~~~~~
        expected: a closing ""
    `);
  });

  test('a continued line begins as it would on one line', () => {
    const messages = (text: string): string[] =>
      parseScenario(text).errors.map(({ message }) => message);
    expect(messages('title \\\n:')).toEqual(messages('title :'));
    expect(messages('A \\\n : fork()')).toEqual(messages('A: fork()'));
    expect(messages('title :')).toHaveLength(1);
  });

  test('the error of a continued line stands in the physical line it is in', () => {
    expect(errorsOf('munmap(p, \\\n  4x)')).toMatchInlineSnapshot(`
      "x.mm:2:3: error: bad number 4x: no size is called x
          4x)
          ^~
        expected: digits or 0x…, then nothing, p (4 KiB pages), K, M, G or T"
    `);
  });
});

describe('blocks', () => {
  test('a race without its brace is reported where it began', () => {
    expect(errorsOf('race {\n  A: fork()\n')).toMatchInlineSnapshot(`
      "x.mm:1:1: error: this race block is not closed
        race {
        ^~~~~~
        expected: a line with }"
    `);
  });

  test('only operations and a schedule stand in a race', () => {
    expect(errorsOf('race {\n  expect 1\n  race {\n  shedule x\n}')).toMatchInlineSnapshot(`
      "x.mm:2:3: error: expect inside a race
          expect 1
          ^~~~~~
        expected: an operation, schedule WORD, repeat or }
        hint: close the race with } before this line, or move expect out of it

      x.mm:3:3: error: a race inside a race
          race {
          ^~~~
        expected: an operation, schedule WORD, repeat or }
        hint: the race of line 1 is still open

      x.mm:4:3: error: unexpected shedule
          shedule x
          ^~~~~~~
        expected: an operation, schedule WORD, repeat or }
        hint: did you mean schedule?"
    `);
  });

  test('a commands block without end is reported where it began', () => {
    expect(errorsOf('break munmap\ncommands 1\n  backtrace\n')).toMatchInlineSnapshot(`
      "x.mm:2:1: error: this commands block is not closed
        commands 1
        ^~~~~~~~~~
        expected: a line with end"
    `);
  });
});

describe('one mistake', () => {
  test('in a header word does not make errors of the header lines after it', () => {
    expect(parseScenario('titel one\nkernels v6.18\nfork()').errors).toHaveLength(1);
  });

  test('of a missing brace does not make an error of every line after it', () => {
    const text = `race {\n  A: fork()\n${'expect 1\n'.repeat(30)}`;
    expect(parseScenario(text).errors.map((error) => error.line)).toEqual([3, 1]);
    expect(parseScenario('race\n  A: fork()\n}\nexpect 1').errors).toHaveLength(1);
  });
});

describe('header lines', () => {
  test('a second title points to the first', () => {
    expect(errorsOf('title one\ntitle two')).toMatchInlineSnapshot(`
      "x.mm:2:1: error: a second title
        title two
        ^~~~~
        expected: one title
        hint: the first is in line 1"
    `);
  });

  test('an unknown word at the top names the nearest header word', () => {
    expect(errorsOf('titel one')).toMatchInlineSnapshot(`
      "x.mm:1:1: error: unexpected titel
        titel one
        ^~~~~
        expected: a header line, a call, race, repeat, expect, print or a debugger command
        hint: did you mean title?"
    `);
  });

  test('a header line after a statement is refused', () => {
    expect(errorsOf('fork()\ntitle late')).toMatchInlineSnapshot(`
      "x.mm:2:1: error: title after the first statement
        title late
        ^~~~~
        hint: header lines stand at the top of the file"
    `);
  });

  test('config keys and values are checked', () => {
    expect(
      errorsOf('config memroy=64M\nconfig memory=lots\nconfig thp=allways\nconfig cpus'),
    ).toMatchInlineSnapshot(`
      "x.mm:1:8: error: no config key named memroy
        config memroy=64M
               ^~~~~~
        expected: one of cpus, memory, swap, seed, thp, ksm, overcommit, max_map_count, memlock, arena_start, arena_end, brk, touch, preempt
        hint: did you mean memory?

      x.mm:2:15: error: memory cannot be lots
        config memory=lots
                      ^~~~
        expected: a size such as 64M

      x.mm:3:12: error: thp cannot be allways
        config thp=allways
                   ^~~~~~~
        expected: never, madvise, always
        hint: did you mean always?

      x.mm:4:8: error: cpus has no value
        config cpus
               ^~~~
        expected: cpus=VALUE, without blanks"
    `);
  });

  test('kernels are checked where they are known', () => {
    const { errors } = parseScenario('kernels v2.6.43', { kernels: ['v2.6.34', 'v6.18'] });
    expect(errors.map((error) => error.hint)).toEqual(['did you mean v2.6.34?']);
  });
});

describe('expressions', () => {
  test.each([
    ['a +'],
    ['(a'],
    ['a < b < c'],
    ['vma(A, p)->anon_vma'],
    ['a.'],
    ['MADV_DONTNED'],
    ['0x20000000000001'],
    ['a = 1'],
  ])('%s', (text) => {
    expect(exprError(text)).toMatchSnapshot();
  });

  test('one = in an expectation is recognised', () => {
    expect(errorsOf('expect vmas(A) = 2')).toMatchInlineSnapshot(`
      "x.mm:1:16: error: unexpected =
        expect vmas(A) = 2
                       ^
        expected: an operator or the end of the line
        hint: comparison is written =="
    `);
  });

  test('nesting and length are bounded', () => {
    expect(exprError('('.repeat(5000))).toContain('too large');
    expect(exprError(`1${'+1'.repeat(5000)}`)).toContain('too large');
    expect(exprError('!'.repeat(5000))).toContain('too large');
    expect(exprError(`a${'.b'.repeat(5000)}`)).toContain('too large');
  });
});

describe('recovery', () => {
  test('one report has the errors of several lines, in order', () => {
    const { errors, scenario } = parseScenario('fork(\nA: p = brk(NULL)\nfrok()\nexpect 1 +\n');
    expect(errors.map((error) => error.line)).toEqual([1, 3, 4]);
    expect(scenario.statements).toHaveLength(1);
  });

  test('a report stops at its limit', () => {
    expect(parseScenario('frok()\n'.repeat(500)).errors).toHaveLength(maxErrors);
  });
});

describe('formatScenarioError', () => {
  test('shows a part of a long line and keeps the caret under the text', () => {
    const text = `A: munmap(p, ${'1 + '.repeat(100)}4x)`;
    const [, line = '', caret = ''] = errorsOf(text).split('\n');
    expect(line.length).toBeLessThan(180);
    expect(line.slice(caret.indexOf('^')).startsWith('4x')).toBe(true);
  });

  test('keeps tabs in front of the caret', () => {
    expect(errorsOf('\tfrok()').split('\n').slice(1, 3)).toEqual(['  \tfrok()', '  \t^~~~']);
  });
});

describe('parseStatement', () => {
  test('takes one statement of any kind', () => {
    const kinds = ['A: fork()', 'expect 1', 'print (1 + 2)', 'break munmap', '# note', ''].map(
      (text) => parseStatement(text)?.kind,
    );
    expect(kinds).toEqual(['operation', 'expect', 'print', 'command', undefined, undefined]);
  });

  test('refuses two statements and header lines', () => {
    expect(() => parseStatement('fork()\nfork()')).toThrow('more than one statement');
    expect(() => parseStatement('title x')).toThrow('a header line, not a statement');
  });
});
