/**
 * The step transform. Kernel functions are written as plain generators (`function*`, calls are
 * `yield*`); this inserts one step point before each statement, so that kernel source reads like
 * kernel source.
 *
 *   step build:  if(step($s+7,$d,()=>({vma,addr})))yield;vma.vm_start = addr;
 *   both:        {if($log.on)trace_vma_adjust({ vma });}
 *   fast build:  generators erased (`function`, no `yield*`); for unwatched bulk replay
 *
 * A generator whose doc comment says `@atomic` gets no step points: lock primitives, which must not be
 * preempted between looking at a lock word and taking it. They may still wait (src/sim/wait.ts). `@stepless`
 * at the head of a file says the same of all its generators: code of ours between operations and kernel.
 *
 * Rules the transform enforces, each a build error with file and line: a kernel generator is always
 * called through `yield*`; no `yield` is written by hand outside src/sim/wait.ts; structs and
 * tracepoints are defined in files that neither have nor import kernel functions (those exist once for
 * each build).
 */
import MagicString, { type SourceMap } from 'magic-string';
import { children, type Node, parse, StepError } from './ast.ts';

export type Mode = 'step' | 'fast';

export interface Site {
  readonly fn: string;
  readonly line: number;
  /** First statement of its function: where a breakpoint on the function sits. */
  readonly entry: boolean;
}

export interface Transformed {
  readonly code: string;
  readonly map: SourceMap;
  readonly sites: readonly Site[];
}

function lineCounter(code: string): (offset: number) => number {
  const starts = [0];
  for (let i = 0; i < code.length; i++) if (code[i] === '\n') starts.push(i + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  };
}

/** Names a pattern binds. */
function boundNames(pattern: Node, into: string[]): void {
  switch (pattern.type) {
    case 'Identifier':
      into.push(pattern.name as string);
      break;
    case 'AssignmentPattern':
      boundNames(pattern.left as Node, into);
      break;
    case 'RestElement':
      boundNames(pattern.argument as Node, into);
      break;
    case 'ObjectPattern':
      for (const property of pattern.properties as Node[]) {
        boundNames((property.value ?? property) as Node, into);
      }
      break;
    case 'ArrayPattern':
      for (const element of pattern.elements as (Node | null)[]) {
        if (element !== null) boundNames(element, into);
      }
      break;
    default:
  }
}

/** Names that the statements of one list declare. */
function declaredNames(body: readonly Node[]): string[] {
  const names: string[] = [];
  for (const statement of body) {
    if (statement.type !== 'VariableDeclaration') continue;
    for (const declarator of statement.declarations as Node[]) {
      boundNames(declarator.id as Node, names);
    }
  }
  return names;
}

const NO_STEP = new Set([
  'FunctionDeclaration',
  'EmptyStatement',
  'BreakStatement',
  'ContinueStatement',
  'BlockStatement',
  'TSTypeAliasDeclaration',
  'TSInterfaceDeclaration',
]);

/** `trace_*()` statements belong to the statement before them. */
function isTrace(statement: Node): boolean {
  if (statement.type !== 'ExpressionStatement') return false;
  const call = statement.expression as Node;
  if (call.type !== 'CallExpression') return false;
  const callee = call.callee as Node;
  return callee.type === 'Identifier' && (callee.name as string).startsWith('trace_');
}

interface Named {
  readonly name: string;
  readonly start: number;
  readonly method: boolean;
}

/** `{ name: function* () {} }`, `{ *name() {} }` and `const name = function* () {}`. */
function namesItsFunction(node: Node): Named | null {
  const id = (node.type === 'Property' ? node.key : node.id) as Node | null | undefined;
  if (node.type !== 'Property' && node.type !== 'VariableDeclarator') return null;
  if (id?.type !== 'Identifier') return null;
  return { name: id.name as string, start: node.start, method: node.method === true };
}

export interface TransformOptions {
  readonly mode: Mode;
  /** Path shown to users: `mm/vma.ts`. */
  readonly shown: string;
  /** Functions that must be called through `yield*`, by the name they have in this file. */
  readonly generators: ReadonlySet<string>;
  /** Members of operation records that must: `ops.prepare()`. */
  readonly members: ReadonlySet<string>;
  /** Another build of this file exists beside this one, as it has or imports kernel functions. */
  readonly perBuild: boolean;
  /** src/sim/wait.ts: written with bare `yield`; gets no step points. */
  readonly runtime?: boolean;
  /** Module specifier of src/sim, without a trailing slash. */
  readonly sim: string;
}

/** Transforms one file of kernel source. Throws StepError. */
export function transform(code: string, file: string, options: TransformOptions): Transformed {
  const { mode, generators, members, shown } = options;
  const program = parse(code, file);
  const out = new MagicString(code);
  const lineOf = lineCounter(code);
  const sites: Site[] = [];
  let hasGenerators = false;
  let traces = false;
  let definition: Node | null = null;

  /** Inserts step points into one statement list; `scope` holds the names visible at its start. */
  const instrument = (
    body: readonly Node[],
    fn: string,
    scope: readonly string[],
    entry: boolean,
  ): void => {
    const names = [...scope];
    // A name declared further down hides an outer one and cannot be read yet.
    const later = declaredNames(body);
    let first = entry;
    for (const statement of body) {
      if (!NO_STEP.has(statement.type) && !isTrace(statement)) {
        const n = sites.push({ fn, line: lineOf(statement.start), entry: first }) - 1;
        first = false;
        const visible = [...new Set(names)].filter((name) => !later.includes(name)).join(',');
        out.appendLeft(statement.start, `if($step($s+${n},$d,()=>({${visible}})))yield;`);
      }
      scopeInside(statement, fn, names);
      for (const name of declaredNames([statement])) {
        names.push(name);
        later.splice(later.indexOf(name), 1);
      }
    }
  };

  /** Finds the statement lists inside one statement (not inside nested functions). */
  const scopeInside = (node: Node, fn: string, scope: readonly string[]): void => {
    if (/Function/.test(node.type)) return;
    if (node.type === 'BlockStatement') {
      instrument(node.body as Node[], fn, scope, false);
      return;
    }
    if (node.type === 'SwitchStatement') {
      // The cases share one scope, but which declarations have run differs from case to case.
      const cases = node.cases as Node[];
      const hidden = declaredNames(cases.flatMap((c) => c.consequent as Node[]));
      const outside = scope.filter((name) => !hidden.includes(name));
      for (const c of cases) instrument(c.consequent as Node[], fn, outside, false);
      return;
    }
    let inner = scope;
    const head = (node.init ?? node.left) as Node | undefined;
    if (/^For/.test(node.type) && head?.type === 'VariableDeclaration') {
      const names = [...scope];
      for (const declarator of head.declarations as Node[])
        boundNames(declarator.id as Node, names);
      inner = names;
    }
    for (const child of children(node)) scopeInside(child, fn, inner);
  };

  const stepless =
    code.startsWith('/**') && code.slice(0, code.indexOf('*/')).includes('@stepless');

  const isAtomic = (fn: Node, named: Named | null): boolean => {
    const before = code
      .slice(0, named?.start ?? fn.start)
      .replace(/(export\s*)?(const\s*)?$/, '')
      .trimEnd();
    return before.endsWith('*/') && before.slice(before.lastIndexOf('/**')).includes('@atomic');
  };

  /** `named`: what an anonymous function is assigned to, and where its declaration starts. */
  const visit = (node: Node, fn: string | null, stepped: boolean, named: Named | null): void => {
    let inside = fn;
    let wraps = stepped;
    if (/^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) {
      if (node.generator === true) {
        hasGenerators = true;
        inside =
          ((node.id as Node | null)?.name as string | undefined) ?? named?.name ?? 'anonymous';
        if (mode === 'fast') {
          // Of a method `*name() {}` the star is before the name.
          const star = code.indexOf('*', named?.method === true ? named.start : node.start);
          out.overwrite(star, star + 1, ' ');
        } else if (options.runtime === true) {
          wraps = false;
        } else if (stepless || isAtomic(node, named)) {
          // It has no frame of its own: what it calls stands where it stands.
          wraps = true;
          out.appendLeft((node.body as Node).start + 1, 'const $d=$cpu.depth;');
        } else {
          wraps = true;
          const names: string[] = [];
          for (const parameter of node.params as Node[]) boundNames(parameter, names);
          const body = node.body as Node;
          out.appendLeft(body.start + 1, 'const $d=$cpu.depth+1;');
          instrument(body.body as Node[], inside, names, true);
        }
      } else {
        inside = null;
      }
    } else if (node.type === 'YieldExpression') {
      if (node.delegate === true) {
        const argument = node.argument as Node;
        if (mode === 'fast') {
          out.overwrite(node.start, argument.start, ' '.repeat(argument.start - node.start));
        } else if (wraps) {
          out.appendLeft(argument.start, '$call(');
          out.appendRight(argument.end, ',$d)');
        }
        // The delegated call itself is the allowed form; look inside its arguments and callee only.
        if (argument.type === 'CallExpression') {
          for (const child of children(argument)) visit(child, inside, wraps, null);
          return;
        }
      } else if (options.runtime !== true) {
        throw new StepError(file, lineOf(node.start), 'a bare yield outside src/sim/wait.ts');
      } else if (mode === 'fast') {
        out.overwrite(node.start, node.end, 'contended()');
      }
    } else if (isTrace(node) && inside !== null) {
      // Switched off, an event costs nothing: its arguments are not even made.
      out.appendLeft(node.start, '{if($log.on)');
      out.appendRight(node.end, '}');
      traces = true;
    } else if (node.type === 'CallExpression') {
      const callee = node.callee as Node;
      const isMember = callee.type === 'MemberExpression' && callee.computed !== true;
      const id = isMember ? (callee.property as Node) : callee;
      const name = id.type === 'Identifier' ? (id.name as string) : '';
      if ((isMember ? members : generators).has(name)) {
        throw new StepError(
          file,
          lineOf(node.start),
          `${name}() is a kernel generator: called without yield* it would do nothing`,
        );
      }
      if (/^(struct|tracepoint|frames)$/.test(name) && callee.type === 'Identifier')
        definition = node;
    }
    const name = namesItsFunction(node);
    for (const child of children(node)) visit(child, inside, wraps, name);
  };
  visit(program, null, false, null);

  if ((hasGenerators || options.perBuild) && definition !== null) {
    throw new StepError(
      file,
      lineOf((definition as Node).start),
      'structs and tracepoints are defined in files that neither have nor import kernel functions (such a file is loaded once for each build)',
    );
  }
  if (mode === 'step' && hasGenerators && options.runtime !== true) {
    const table = JSON.stringify(sites.map((s) => [s.fn, s.line, s.entry ? 1 : 0]));
    out.prepend(
      `import {cpu as $cpu,step as $step} from '${options.sim}/cpu.ts';` +
        `import {registerSource as $register,call as $call} from '${options.sim}/site.ts';` +
        `const $s=$register(${JSON.stringify(shown)},${JSON.stringify(code)},${table});`,
    );
  }
  if (traces) out.prepend(`import {eventLog as $log} from '${options.sim}/event.ts';`);
  return {
    code: out.toString(),
    map: out.generateMap({ hires: true, source: file, includeContent: true }),
    sites,
  };
}
