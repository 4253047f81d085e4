/**
 * What a recorded program needs that its log does not say: where mappings were placed, which
 * mappings execve made itself, and which pages were touched.
 */

import { missing_ranges } from '../linux/describe.ts';
import type { Expr, Operation, Scenario, Statement } from './ast.ts';
import { constantValue, exactAnd, exactOr } from './constants.ts';
import { flagsValue } from './flags.ts';
import type { ScenarioRun } from './run.ts';

/**
 * Which pages of a recorded program are touched: `none`; `first` page of each new mapping;
 * `writable` (default): every page of a new private writable mapping is stored to, at most
 * `maxTouched`, and the first page of other readable ones is read; `all` without the limit.
 */
export type TouchPolicy = 'none' | 'first' | 'writable' | 'all';

/** Pages touched of one mapping under `writable`: a thread stack is 2048 pages of which few are used. */
const maxTouched = 64;
const PAGE = 4096;

const constant = (name: string): number => constantValue(name) ?? 0;
const PROT_READ = constant('PROT_READ');
const PROT_WRITE = constant('PROT_WRITE');
const MAP_SHARED_BITS = constant('MAP_SHARED');
const MAP_FIXED = constant('MAP_FIXED');
const MAP_PRIVATE = constant('MAP_PRIVATE');
const MAP_ANONYMOUS = constant('MAP_ANONYMOUS');

function numberOf(expr: Expr | undefined): number | null {
  if (expr === undefined) return null;
  const value = flagsValue(expr);
  return value ?? null;
}

function literal(value: number, like: Operation): Expr {
  const text = value >= PAGE ? `0x${value.toString(16)}` : String(value);
  return { kind: 'number', value, text, span: like.span };
}

/** An operation of the driver's own at the place of `like`. */
function extra(like: Operation, callee: string, args: readonly number[]): Operation {
  return {
    kind: 'operation',
    origin: 'script',
    actor: like.actor,
    callee,
    calleeSpan: like.span,
    args: args.map((value) => literal(value, like)),
    span: like.span,
  };
}

/** Recorded result of a call that returned a number, else null. */
function recorded(operation: Operation): number | null {
  const result = operation.expectedResult;
  if (result?.kind !== 'value') return null;
  return numberOf(result.value);
}

/**
 * Mappings to make before a recorded operation: execve's own (program, loader, stack), which no log
 * shows, are inferred from the calls that succeed on them.
 */
export function prepareTraceOperation(
  run: ScenarioRun,
  task: number,
  operation: Operation,
): readonly Operation[] {
  if (operation.origin !== 'trace' || recorded(operation) === null) return [];
  if (!needsMapping.has(operation.callee)) return [];
  const address = numberOf(operation.args[0]);
  const length = numberOf(operation.args[1]);
  if (address === null || length === null || length === 0) return [];
  const end = Math.ceil((address + length) / PAGE) * PAGE;
  const flags = exactOr(exactOr(MAP_PRIVATE, MAP_ANONYMOUS), MAP_FIXED);
  return missing_ranges(run.machine, task, address, end).map(([from, to]) =>
    extra(operation, 'mmap', [from, to - from, exactOr(PROT_READ, PROT_WRITE), flags, -1, 0]),
  );
}

/** For each statement: what the same process's last brk() returned, and its next one in the same program. */
interface Breaks {
  readonly before: readonly (number | null)[];
  readonly after: readonly (number | null)[];
}

/** Read off each log once: a log has thousands of brk(). */
const breaks = new WeakMap<Scenario, Breaks>();

function breaksOf(scenario: Scenario): Breaks {
  const known = breaks.get(scenario);
  if (known !== undefined) return known;
  const { statements } = scenario;
  const last = new Map<number, number | null>();
  /** What the statement says of its process's break, after the answer for the statement itself is read. */
  const see = (statement: Statement, forgets: RegExp): number | null => {
    if (statement.kind !== 'operation' || statement.actor.kind !== 'pid') return null;
    const { pid } = statement.actor;
    const known = last.get(pid) ?? null;
    if (statement.callee === 'brk') last.set(pid, recorded(statement));
    else if (forgets.test(statement.callee)) last.delete(pid);
    return known;
  };
  const before = statements.map((statement) => see(statement, /^execve/));
  last.clear();
  const after = statements.toReversed().map((statement) => see(statement, /^(execve|exit)/));
  const found = { before, after: after.reverse() };
  breaks.set(scenario, found);
  return found;
}

const needsMapping: ReadonlySet<string> = new Set([
  'mprotect',
  'madvise',
  'mremap',
  'mlock',
  'mlock2',
]);

/** Options of a recorded operation: the file behind a descriptor, a forced placement, an empty image. */
export function traceOperationOptions(
  run: ScenarioRun,
  operation: Operation,
): Readonly<Record<string, unknown>> {
  const options: Record<string, unknown> = {};
  const file = operation.file;
  if (file !== undefined) {
    const facts = run.scenario.trace?.files[file.file];
    options.file = {
      path: facts === undefined || facts.path === '' ? `file ${file.file}` : facts.path,
      kind: facts?.kind ?? 'file',
      size: facts?.size ?? null,
      readable: file.readable,
      writable: file.writable,
    };
  }
  if (operation.child?.pid !== undefined) options.pid = operation.child.pid;
  const result = recorded(operation);
  if (result !== null && result > 0 && placed.has(operation.callee)) options.place = result;
  if (operation.callee.startsWith('execve')) {
    options.image = false;
    // A search along PATH: what the log says is not there is not there.
    if (operation.expectedResult?.kind === 'errno' && operation.expectedResult.name === 'ENOENT') {
      options.missing = true;
    }
    const brk = firstBrk(run);
    if (brk !== null) options.brk = brk;
  }
  return options;
}

const placed: ReadonlySet<string> = new Set(['mmap', 'mremap']);

/** The break that a program starts with: what its first brk() after this execve returned. */
function firstBrk(run: ScenarioRun): number | null {
  return breaksOf(run.scenario).after[run.state.at] ?? null;
}

/** Operations that follow a finished recorded one: names its child, touches its new pages. */
export function afterTraceOperation(
  run: ScenarioRun,
  _task: number,
  operation: Operation,
  result: number,
  policy: TouchPolicy,
): readonly Operation[] {
  if (operation.origin !== 'trace') return [];
  if (operation.child !== undefined && result > 0) {
    if (operation.child.pid !== undefined) run.addPid(operation.child.pid, result);
    return [];
  }
  if (result < 0 || policy === 'none') return [];
  if (operation.callee === 'mmap') return touchMapping(operation, result, policy);
  if (operation.callee === 'brk') return touchHeap(run, operation, result, policy);
  return [];
}

function touchMapping(
  operation: Operation,
  address: number,
  policy: TouchPolicy,
): readonly Operation[] {
  const length = numberOf(operation.args[1]) ?? 0;
  const prot = numberOf(operation.args[2]) ?? 0;
  const flags = numberOf(operation.args[3]) ?? 0;
  const pages = Math.ceil(length / PAGE);
  const writable = exactAnd(prot, PROT_WRITE) !== 0 && exactAnd(flags, MAP_SHARED_BITS) === 0;
  if (writable && policy !== 'first') return stores(operation, address, limit(pages, policy));
  if (writable) return stores(operation, address, 1);
  if (exactAnd(prot, PROT_READ) === 0) return [];
  return [extra(operation, 'load', [address])];
}

function touchHeap(
  run: ScenarioRun,
  operation: Operation,
  result: number,
  policy: TouchPolicy,
): readonly Operation[] {
  // What the heap was before is what the last brk() of this task returned; the log has it.
  const before = breaksOf(run.scenario).before[run.state.at] ?? null;
  if (before === null || result <= before) return [];
  const from = Math.ceil(before / PAGE) * PAGE;
  const pages = Math.ceil((result - from) / PAGE);
  return stores(operation, from, policy === 'first' ? Math.min(1, pages) : limit(pages, policy));
}

function limit(pages: number, policy: TouchPolicy): number {
  return policy === 'all' ? pages : Math.min(pages, maxTouched);
}

function stores(operation: Operation, address: number, pages: number): readonly Operation[] {
  const list: Operation[] = [];
  for (let i = 0; i < pages; i++) list.push(extra(operation, 'store', [address + i * PAGE, 1]));
  return list;
}
