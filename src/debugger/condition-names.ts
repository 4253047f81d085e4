/**
 * Names in a condition, judged when it is set: a mistyped one is refused at once, and not first at
 * the hit. A name is let through where some moment could give it a meaning: a field of the events
 * stopped at, a local of the kernel functions there, a variable or an actor that the scenario makes later.
 */

import type { Expr, Operation, Statement } from '../scenario/ast.ts';
import { kernelThreads } from '../scenario/ast.ts';
import { allEvents } from '../sim/event.ts';
import { allSites, siteInfo, sourceLines } from '../sim/site.ts';
import type { Breakpoint } from './breakpoints.ts';
import { functionNames, namesIn } from './expression.ts';
import { unknownName } from './expression-error.ts';
import type { Session } from './session.ts';

type Place = Pick<Breakpoint, 'sites' | 'events'>;
type Named = Extract<Expr, { kind: 'name' | 'call' }>;

/** Throws ExpressionError, with the column, at the first name that can mean nothing at this place. */
export function checkConditionNames(session: Session, place: Place, expr: Expr): void {
  let known: { readonly likely: Set<string>; readonly locals: Set<string> } | undefined;
  for (const use of namesUsed(expr)) {
    const at = ` (column ${use.span.column} of the condition)`;
    if (use.kind === 'call') {
      if (!functionNames.includes(use.callee)) {
        throw unknownName('function', use.callee, functionNames, use.span, at);
      }
      continue;
    }
    // A recorded program names its tasks as it goes.
    if (session.run.scenario.origin === 'trace') continue;
    known ??= { likely: likelyNames(session, place), locals: localNames(place) };
    if (known.likely.has(use.name) || known.locals.has(use.name)) continue;
    throw unknownName('name', use.name, [...known.likely, ...known.locals], use.span, at);
  }
}

function* namesUsed(expr: Expr): Generator<Named> {
  switch (expr.kind) {
    case 'name':
      yield expr;
      return;
    case 'call':
      yield expr;
      for (const arg of expr.args) yield* namesUsed(arg);
      return;
    case 'field':
      yield* namesUsed(expr.object);
      return;
    case 'index':
      yield* namesUsed(expr.object);
      yield* namesUsed(expr.index);
      return;
    case 'unary':
      yield* namesUsed(expr.operand);
      return;
    case 'binary':
      yield* namesUsed(expr.left);
      yield* namesUsed(expr.right);
      return;
    case 'array':
      for (const item of expr.items) yield* namesUsed(item);
      return;
    default:
  }
}

/** Event fields, what the scope knows now, what the scenario will name. */
function likelyNames(session: Session, place: Place): Set<string> {
  const names = new Set<string>();
  const events = new Set(place.events);
  for (const event of allEvents()) {
    if (events.has(event.id)) for (const field of event.fields) names.add(field.name);
  }
  for (const name of namesIn(session.scope())) names.add(name);
  for (const name of session.machine.names) names.add(name);
  for (const name of kernelThreads) names.add(name);
  for (const operation of operationsOf(session.run.scenario.statements)) {
    if (operation.bind !== undefined) names.add(operation.bind.text);
    if (operation.actor.kind === 'task') names.add(operation.actor.name);
  }
  return names;
}

function* operationsOf(statements: readonly Statement[]): Generator<Operation> {
  for (const statement of statements) {
    if (statement.kind === 'operation') yield statement;
    if (statement.kind === 'race') {
      for (const inner of statement.body) if (inner.kind === 'operation') yield inner;
    }
  }
}

/** Words of the source around the place; an event may be emitted anywhere, so there of all sources. */
function localNames(place: Place): Set<string> {
  const sites = place.events.length > 0 ? allSites() : place.sites.map((site) => siteInfo(site));
  const words = new Set<string>();
  for (const file of new Set(sites.map((site) => site.file))) {
    for (const line of sourceLines(file) ?? []) {
      for (const [word] of line.matchAll(/[A-Za-z_$][\w$]*/g)) words.add(word);
    }
  }
  return words;
}
