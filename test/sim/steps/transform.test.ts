import { SourceMap } from 'node:module';
import { describe, expect, test } from 'vitest';
import { StepError } from '../../../src/sim/steps/ast.ts';
import { KernelNames, namesOf } from '../../../src/sim/steps/names.ts';
import { type Mode, transform } from '../../../src/sim/steps/transform.ts';

function build(code: string, mode: Mode = 'step', others: readonly string[] = []) {
  const names = namesOf(code, 'k.ts');
  const generators = new Set([...names.functions, ...others]);
  const members = new Set([...names.members, ...others]);
  const options = { mode, shown: 'mm/k.ts', generators, members, perBuild: false, sim: '/sim' };
  return transform(code, 'k.ts', options);
}

/** The built code without the imports that the build puts in front. */
function body(code: string, mode: Mode = 'step'): string {
  return build(code, mode).code.replace(/^(import .*?;)*(const \$s=.*?\]\);)?/, '');
}

/** Names visible at each step point, by line. */
function scopes(code: string): Record<number, string> {
  const built = build(code);
  const lists = [...built.code.matchAll(/\(\)=>\(\{(.*?)\}\)/g)].map((m) => m[1] ?? '');
  return Object.fromEntries(built.sites.map((site, n) => [site.line, lists[n] ?? '']));
}

const small = `export function* twice(vma: vma): K<number> {
  const a = yield* once(vma, 1);
  if (a > 0) {
    vma.x = a;
  }
  return a;
}
function* once(vma: vma, n: number): K<number> {
  return vma.x + n;
}
`;

describe('the step build', () => {
  test('puts one step point before each statement and wraps each call', () => {
    expect(body(small)).toMatchInlineSnapshot(`
      "export function* twice(vma: vma): K<number> {const $d=$cpu.depth+1;
        if($step($s+0,$d,()=>({vma})))yield;const a = yield* $call(once(vma, 1),$d);
        if($step($s+1,$d,()=>({vma,a})))yield;if (a > 0) {
          if($step($s+2,$d,()=>({vma,a})))yield;vma.x = a;
        }
        if($step($s+3,$d,()=>({vma,a})))yield;return a;
      }
      function* once(vma: vma, n: number): K<number> {const $d=$cpu.depth+1;
        if($step($s+4,$d,()=>({vma,n})))yield;return vma.x + n;
      }
      "
    `);
  });

  test('registers its file, its text and its statements', () => {
    const built = build(small);
    expect(built.code.split('\n')[0]).toContain(
      `$register("mm/k.ts",${JSON.stringify(small)},[["twice",2,1],["twice",3,0]`,
    );
    expect(built.sites).toEqual([
      { fn: 'twice', line: 2, entry: true },
      { fn: 'twice', line: 3, entry: false },
      { fn: 'twice', line: 4, entry: false },
      { fn: 'twice', line: 6, entry: false },
      { fn: 'once', line: 9, entry: true },
    ]);
  });

  test('keeps every line where it was', () => {
    expect(build(small).code.split('\n').length).toBe(small.split('\n').length);
  });

  test('makes no step of declarations of types, break, continue, empty and trace statements', () => {
    const { sites } = build(`function* f(): K {
  type t = number;
  for (;;) {
    trace_x({ a: 1 });
    if (a) {
      break;
    }
    continue;
  }
  ;
  b();
}
`);
    expect(sites.map((s) => s.line)).toEqual([3, 5, 11]);
  });

  test('steps into loops, switch cases, try blocks and labels', () => {
    const { sites } = build(`function* f(x: number): K {
  again: while (x) {
    x = x - 1;
  }
  switch (x) {
    case 1:
      a();
      break;
    default: {
      b();
    }
  }
  try {
    c();
  } finally {
    d();
  }
  do {
    e();
  } while (x);
}
`);
    expect(sites.map((s) => s.line)).toEqual([2, 3, 5, 7, 10, 13, 14, 16, 18, 19]);
  });

  test('puts no step into an @atomic function; its calls stand at its own depth', () => {
    const code = `/** spin_lock(). @atomic */
export function* spin_lock(l: number): K {
  if (l) {
    yield* block(l);
  }
}
/** After an atomic one. */
function* g(): K {
  a();
}
`;
    expect(body(code)).toBe(
      code
        .replace('(l: number): K {', '(l: number): K {const $d=$cpu.depth;')
        .replace('block(l)', '$call(block(l),$d)')
        .replace(
          '): K {\n  a();',
          '): K {const $d=$cpu.depth+1;\n  if($step($s+0,$d,()=>({})))yield;a();',
        ),
    );
  });

  test('does not touch plain functions, closures in kernel functions included', () => {
    const code = 'export function f(a: number): number {\n  const b = a;\n  return b;\n}\n';
    expect(build(code).code).toBe(code);
    const { sites } = build(`function* g(): K {
  const f = (x: number) => {
    const y = x;
    return y;
  };
  f(1);
}
`);
    expect(sites.map((s) => s.line)).toEqual([2, 6]);
  });

  test('handles methods and function expressions of operation records', () => {
    const code = `export const ops = {
  *prepare(vma: vma): K<number> {
    return vma.x * 2;
  },
  clone: function* (a: number): K<number> {
    return a * 2;
  },
};
const helper = function* (a: number): K<number> {
  return a * 2;
};
`;
    expect(build(code).sites.map((s) => s.fn)).toEqual(['prepare', 'clone', 'helper']);
    const names = namesOf(code, 'k.ts');
    expect(names.members).toEqual(new Set(['prepare', 'clone']));
    expect(names.functions).toEqual(new Set(['helper']));
    expect(body(code, 'fast')).toBe(
      code.replaceAll('*prepare', ' prepare').replaceAll('function*', 'function '),
    );
  });
});

describe('locals', () => {
  test('are the parameters and what was declared before, from the inside out', () => {
    expect(
      scopes(`function* f(a: number, { b, c: [d, ...e] }: t, g = 1): K {
  const h = 1;
  for (let i = 0; i < 3; i++) {
    const j = i;
    use(j);
  }
  for (const k of list) {
    use(k);
  }
  const { l, m: n = 2 } = h;
  return n;
}
`),
    ).toEqual({
      2: 'a,b,d,e,g',
      3: 'a,b,d,e,g,h',
      4: 'a,b,d,e,g,h,i',
      5: 'a,b,d,e,g,h,i,j',
      7: 'a,b,d,e,g,h',
      8: 'a,b,d,e,g,h,k',
      10: 'a,b,d,e,g,h',
      11: 'a,b,d,e,g,h,l,n',
    });
  });

  test('leave out a name that an inner declaration hides and has not set yet', () => {
    expect(
      scopes(`function* f(x: number): K {
  if (x) {
    use();
    const x = 1;
    use(x);
  }
  switch (x) {
    case 1:
      use();
      break;
    default:
      const x = 2;
      use(x);
  }
}
`),
    ).toEqual({ 2: 'x', 3: '', 4: '', 5: 'x', 7: 'x', 9: '', 12: '', 13: 'x' });
  });
});

describe('the fast build', () => {
  test('erases the generators and moves nothing', () => {
    const fast = body(small, 'fast');
    expect(fast).toBe(small.replaceAll('function*', 'function ').replaceAll('yield*', '      '));
    expect(fast.length).toBe(small.length);
  });
});

describe('an event', () => {
  test('costs nothing in kernel code when events are off', () => {
    const code = `function* f(vma: vma): K {
  if (vma) {
    trace_x({ vma });
  }
}
function plain(): void {
  trace_x({ vma: null });
}
`;
    const guarded = '    {if($log.on)trace_x({ vma });}';
    expect(body(code).split('\n')[2]).toBe(guarded);
    expect(body(code, 'fast')).toBe(
      code.replace('function*', 'function ').replace('    trace_x({ vma });', guarded),
    );
    expect(build(code, 'fast').code).toMatch(
      /^import \{eventLog as \$log\} from '\/sim\/event.ts';/,
    );
  });
});

describe('a build error', () => {
  const refused = (code: string, others: readonly string[] = []) => {
    for (const mode of ['step', 'fast'] as const) {
      try {
        build(code, mode, others);
      } catch (error) {
        expect(error).toBeInstanceOf(StepError);
        if (mode === 'fast') return (error as StepError).message;
        continue;
      }
      return `${mode}: accepted`;
    }
    return '';
  };

  test('names file and line of a call without yield*', () => {
    expect(refused('function* g(): K {}\nfunction* f(): K {\n  g();\n}\n')).toBe(
      'k.ts:3: g() is a kernel generator: called without yield* it would do nothing',
    );
    expect(refused('function* f(): K {\n  const x = spin_lock(l);\n}\n', ['spin_lock'])).toContain(
      'k.ts:2: spin_lock()',
    );
    expect(refused('function plain() {\n\n  g();\n}\nfunction* g(): K {}\n')).toContain(
      'k.ts:3: g()',
    );
    expect(refused('function* g(n): K {}\nfunction* f(): K {\n  yield* h(g(1));\n}\n')).toContain(
      'k.ts:3: g()',
    );
  });

  test('knows the members of operation records by their type', () => {
    const types = `export interface ops {
  prepare(vma: vma): K<number>;
  readonly one: (a: number) => K<boolean>;
  readonly done?: (a: number) => boolean;
}
`;
    expect(namesOf(types, 'ops.ts').members).toEqual(new Set(['prepare', 'one']));
    expect(refused('function* f(o: ops): K {\n  o.prepare(v);\n}\n', ['prepare', 'one'])).toContain(
      'k.ts:2: prepare()',
    );
    expect(refused('function* f(): K {\n  anon_rmap().prepare(v);\n}\n', ['prepare'])).toContain(
      'k.ts:2: prepare()',
    );
    expect(
      build('function* f(o: ops): K {\n  yield* o.prepare(v);\n  o.done(1);\n}\n', 'step', [
        'prepare',
      ]).sites,
    ).toHaveLength(2);
  });

  test('refuses a yield written by hand', () => {
    expect(refused('function* f(): K {\n  yield;\n}\n')).toBe(
      'k.ts:2: a bare yield outside src/sim/wait.ts',
    );
  });

  test('refuses structs and tracepoints beside kernel functions', () => {
    for (const word of ['struct', 'tracepoint', 'frames']) {
      expect(refused(`const a = ${word}('a', {});\nfunction* f(): K {}\n`)).toContain(
        'k.ts:1: structs and tracepoints are defined in files that neither have nor import kernel',
      );
      expect(build(`const a = ${word}('a', {});\n`).sites).toEqual([]);
    }
  });

  test('finds a callback that returns K by the type of the parameter', () => {
    const head = 'function* each(fn: (a: number) => K<number>): K {\n';
    expect(refused(`${head}  fn(1);\n}\n`)).toContain('k.ts:2: fn()');
    expect(build(`${head}  yield* fn(1);\n}\n`).sites).toHaveLength(1);
  });

  test('says where the text is not TypeScript', () => {
    expect(() => build('function* f( {')).toThrow(StepError);
  });
});

describe('the names of all files', () => {
  const wait = 'export function* block(): K {}\nexport const conditions = [];\n';
  const files = new Map([
    ['/k/vma.ts', 'export function* split(): K {}\nexport function size(): number {}\n'],
    ['/k/other.ts', "import { size } from './list.ts';\nsize();\n"],
    ['/k/list.ts', 'export function size(): number {}\nexport function split(): void {}\n'],
    ['/k/again.ts', "export { split as divide, size } from './vma.ts';\n"],
    [
      '/k/user.ts',
      "import { divide, size } from './again.ts';\nimport { split } from './list.ts';\nimport type { K } from '../sim/wait.ts';\n",
    ],
    ['/k/ops.ts', "import type { size } from './vma.ts';\nexport interface ops { open(): K; }\n"],
    ['/k/cond.ts', "import { conditions } from '../sim/wait.ts';\n"],
    ['/sim/wait.ts', wait],
  ]);
  const names = new KernelNames(files, '/sim/wait.ts');

  test('tell a generator from a plain function of the same name, through imports and other names', () => {
    expect(names.generatorsIn('/k/user.ts')).toEqual(new Set(['divide']));
    expect(names.generatorsIn('/k/vma.ts')).toEqual(new Set(['split']));
    expect(names.generatorsIn('/k/other.ts')).toEqual(new Set());
    expect(names.members).toEqual(new Set(['open']));
  });

  test('a file belongs to a build when it has or imports kernel functions, directly or not', () => {
    const perBuild = [...files.keys()].filter((file) => names.isPerBuild(file));
    expect(perBuild).toEqual(['/k/vma.ts', '/k/again.ts', '/k/user.ts', '/sim/wait.ts']);
  });
});

describe('the source map', () => {
  test('leads from every piece of built code back to its line and column', () => {
    for (const mode of ['step', 'fast'] as const) {
      const built = build(small, mode);
      const map = new SourceMap(JSON.parse(built.map.toString()));
      const at = built.code.split('\n')[3]?.indexOf('vma.x = a') ?? -1;
      expect(at).toBeGreaterThan(0);
      const found = map.findEntry(3, at);
      expect(found).toMatchObject({ originalLine: 3, originalColumn: 4, originalSource: 'k.ts' });
    }
  });
});
