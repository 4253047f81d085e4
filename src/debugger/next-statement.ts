/** Which line of the scenario is being done or comes next. */
import type { Statement } from '../scenario/ast.ts';
import type { RunState } from '../scenario/run.ts';

/** Statements that do something: blank lines, comments and the head do not. */
const DOES: ReadonlySet<string> = new Set(['operation', 'race', 'expect', 'print', 'command']);

/** From 1; 0 at the end of the scenario. */
export function nextLine(statements: readonly Statement[], state: RunState): number {
  let next = state.at;
  while (next < statements.length && !DOES.has(statements[next]?.kind ?? '')) next++;
  return state.flight?.operation.span.line ?? statements[next]?.span.line ?? 0;
}
