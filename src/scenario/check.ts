/** What a well-formed statement must still obey: known calls, their arguments, known names. */
import type { ChildFacts, Expr, Operation, Race, Scenario } from './ast.ts';
import { kernelThreads } from './ast.ts';
import { type ArgKind, type CallSpec, calls, describeKind, signatureOf } from './calls.ts';
import { constantsWithPrefix, exactAnd, familyPrefixOf } from './constants.ts';
import { ScenarioError } from './errors.ts';
import { flagsValue } from './flags.ts';
import { shorten } from './lex.ts';
import type { SourceText } from './source.ts';
import { didYouMean } from './suggest.ts';
import { isSystemCall } from './syscalls.ts';

/** The first thing wrong with a call and its arguments, or undefined. */
export function callError(source: SourceText, operation: Operation): ScenarioError | undefined {
  const spec = calls.get(operation.callee);
  if (spec === undefined) return unknownCall(source, operation);
  const fromTrace = operation.actor.kind === 'pid' || operation.args.some(isTraceForm);
  // strace labels and merges the arguments of some calls; their number says nothing then.
  if (fromTrace) return undefined;
  return countError(source, operation, spec) ?? kindError(source, operation, spec);
}

function unknownCall(source: SourceText, operation: Operation): ScenarioError {
  const name = operation.callee;
  const real = isSystemCall(name);
  return new ScenarioError(source, operation.calleeSpan, {
    message: real ? `${name} is not simulated` : `no call named ${shorten(name)}`,
    expected: 'a call that concerns memory or processes',
    hint: real
      ? 'in a recorded program (an strace log) it is counted and skipped'
      : didYouMean(name, calls.keys()),
  });
}

function countError(
  source: SourceText,
  operation: Operation,
  spec: CallSpec,
): ScenarioError | undefined {
  const given = operation.args.length;
  if (given >= spec.required && given <= spec.params.length) return undefined;
  const surplus = operation.args[spec.params.length];
  const wanted =
    spec.required === spec.params.length
      ? `${spec.required}`
      : `${spec.required} to ${spec.params.length}`;
  const plural = wanted === '1' ? 'argument' : 'arguments';
  return new ScenarioError(source, surplus?.span ?? operation.calleeSpan, {
    message: `${spec.name} takes ${wanted} ${plural}, not ${given}`,
    expected: signatureOf(spec),
  });
}

function kindError(
  source: SourceText,
  operation: Operation,
  spec: CallSpec,
): ScenarioError | undefined {
  for (const [i, arg] of operation.args.entries()) {
    const param = spec.params[i];
    if (param === undefined) continue;
    const wrong = wrongPart(arg, param.kind);
    if (wrong === undefined) continue;
    return new ScenarioError(source, wrong.span, {
      message: `${wrong.what} cannot be the ${param.name} of ${spec.name}`,
      expected: `${describeKind(param.kind)}, in ${signatureOf(spec)}`,
      hint: wrong.hint,
    });
  }
  return undefined;
}

interface WrongPart {
  readonly span: Expr['span'];
  readonly what: string;
  readonly hint?: string | undefined;
}

/** The part of an argument that cannot be of that kind. Names are only known when running. */
function wrongPart(arg: Expr, kind: ArgKind): WrongPart | undefined {
  if (kind === 'any' || arg.kind === 'name' || arg.kind === 'opaque') return undefined;
  if (kind === 'path') {
    if (arg.kind === 'string') return undefined;
    return { span: arg.span, what: 'this', hint: 'write the name in double quotes' };
  }
  const isSelf = arg.kind === 'constant' && familyPrefixOf(arg.name) === 'PIDFD_';
  if (kind === 'pidfd' && isSelf) return undefined;
  if (kind === 'task' || kind === 'pidfd') {
    return { span: arg.span, what: arg.kind === 'number' ? shorten(arg.text) : 'this' };
  }
  if (arg.kind === 'string') return { span: arg.span, what: 'a string' };
  if (kind.startsWith('flags:')) return wrongFlag(arg, kind.slice('flags:'.length));
  return undefined;
}

/** The first constant of another family: MAP_PRIVATE given as a protection. */
function wrongFlag(arg: Expr, prefix: string): WrongPart | undefined {
  const pending: Expr[] = [arg];
  for (let expr = pending.pop(); expr !== undefined; expr = pending.pop()) {
    if (expr.kind === 'binary') pending.push(expr.right, expr.left);
    if (expr.kind !== 'constant') continue;
    const family = familyPrefixOf(expr.name);
    const isSignal = prefix === 'CLONE_' && family === 'SIG';
    if (family === prefix || isSignal) continue;
    const name = expr.name;
    const hint = didYouMean(name, constantsWithPrefix(prefix));
    return { span: expr.span, what: name, hint };
  }
  return undefined;
}

/** Forms that only strace prints, where the order of arguments is strace's. */
function isTraceForm(arg: Expr): boolean {
  return arg.kind === 'labelled' || (arg.kind === 'opaque' && arg.text === '...');
}

/** What a fork-like call makes, as far as its flags tell; undefined for other calls. */
export function childFacts(callee: string, args: readonly Expr[]): ChildFacts | undefined {
  if (callee === 'fork') return { sharesMemory: false, isThread: false, isVfork: false };
  if (callee === 'vfork') return { sharesMemory: true, isThread: false, isVfork: true };
  if (callee !== 'clone' && callee !== 'clone3') return undefined;
  const flags = cloneFlags(args);
  const has = (bits: number) => exactAnd(flags, bits) === bits;
  return { sharesMemory: has(0x100), isThread: has(0x10000), isVfork: has(0x4000) };
}

/** The flags of clone and clone3, in the script's form or strace's; 0 when they cannot be told. */
export function cloneFlags(args: readonly Expr[]): number {
  const labelled = (list: readonly Expr[]) =>
    list.find((arg) => arg.kind === 'labelled' && arg.label === 'flags');
  const first = args[0];
  const found = first?.kind === 'struct' ? labelled(first.members) : (labelled(args) ?? first);
  const flags = found?.kind === 'labelled' ? found.value : found;
  const value = (flags && flagsValue(flags)) ?? 0;
  return Math.max(0, value);
}

/**
 * Tasks that are used before anything makes them. The first name that nothing made names the first
 * process; the others come from `NAME = fork()` and its kin. In a race the order of lines means nothing.
 */
export function taskErrors(scenario: Scenario): ScenarioError[] {
  const errors: ScenarioError[] = [];
  const tasks = new Set<string>();
  let first: string | undefined;
  const visit = (operation: Operation) => {
    const actor = operation.actor;
    if (actor.kind !== 'task' || tasks.has(actor.name)) return;
    if (first === undefined) {
      first = actor.name;
      tasks.add(first);
    } else {
      errors.push(unknownTask(scenario.source, actor, tasks));
    }
  };
  const declare = (operation: Operation) => {
    if (operation.bind && calls.get(operation.callee)?.makesTask) tasks.add(operation.bind.text);
  };
  for (const statement of scenario.statements) {
    if (statement.kind === 'operation') {
      visit(statement);
      declare(statement);
    } else if (statement.kind === 'race') {
      const operations = operationsOf(statement);
      operations.forEach(declare);
      operations.forEach(visit);
    }
  }
  return errors;
}

function operationsOf(race: Race): Operation[] {
  return race.body.filter((statement) => statement.kind === 'operation');
}

function unknownTask(
  source: SourceText,
  actor: { name: string; span: Operation['span'] },
  tasks: ReadonlySet<string>,
): ScenarioError {
  const known = [...tasks, ...kernelThreads];
  return new ScenarioError(source, actor.span, {
    message: `no process or thread named ${shorten(actor.name)} here`,
    expected: `one of ${known.slice(0, 12).join(', ')}`,
    hint: didYouMean(actor.name, known) ?? `a new one is made by ${shorten(actor.name)} = fork()`,
  });
}
