/**
 * The order of a recorded program around vfork. The kernel lets the parent go while the child's execve
 * is still under way, so a log can show the parent's next call before the child's execve has returned.
 * The machine lets the parent go at the same point, which is inside that execve: so it must come first.
 */
import type { Operation, Statement } from './ast.ts';

function pidOf(statement: Statement): number | null {
  if (statement.kind !== 'operation' || statement.actor.kind !== 'pid') return null;
  return statement.actor.pid;
}

/** Ends a vfork child's hold on its parent. */
function releases(statement: Operation): boolean {
  if (statement.callee.startsWith('exit')) return true;
  return statement.callee.startsWith('execve') && statement.expectedResult?.kind === 'value';
}

/** Statements with each vfork child's calls up to its execve or exit before its parent's next call. */
export function orderVforks(statements: readonly Statement[]): readonly Statement[] {
  const ordered = [...statements];
  for (let i = 0; i < ordered.length; i++) {
    const call = ordered[i];
    if (call?.kind !== 'operation' || call.child?.isVfork !== true) continue;
    const child = call.child.pid;
    const parent = pidOf(call);
    if (child === undefined || parent === null) continue;
    let next = -1;
    for (let j = i + 1; j < ordered.length; j++) {
      const statement = ordered[j];
      if (statement === undefined) break;
      const pid = pidOf(statement);
      if (pid === parent && next < 0) next = j;
      if (pid !== child || statement.kind !== 'operation') continue;
      if (next >= 0) {
        ordered.splice(j, 1);
        ordered.splice(next, 0, statement);
        next++;
      }
      if (releases(statement)) break;
    }
  }
  return ordered;
}
