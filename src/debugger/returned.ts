/**
 * What `finish` says a function returned. A frame leaves no record of its value; but the statement that
 * called it may have put it into a local, and an operation keeps its result.
 */
import { errnoName } from '../scenario/errno.ts';
import type { Frame, Machine } from '../sim/machine.ts';
import { siteInfo, sourceLines } from '../sim/site.ts';
import { readLocals } from './inspect/source.ts';

/** Asked before the function runs on: gives what to ask when it has returned. `frames`: outermost first. */
export function returnedFrom(machine: Machine, task: number, frame: number): () => string {
  const { op } = machine.block(task);
  const frames = machine.frames(task);
  const callee = frames[frame];
  if (callee === undefined) return () => '';
  const { fn } = siteInfo(callee.site);
  const caller = frames[frame - 1];
  const local = caller === undefined ? null : assigned(caller, fn);
  return () => {
    if (machine.block(task).op !== op) {
      return caller === undefined
        ? `Value returned: ${resultText(machine.block(task).result)}`
        : '';
    }
    const now = machine.frames(task);
    const back = now[frame - 1];
    // Still in the same caller, at a statement where the local is in scope.
    if (local === null || back === undefined || now.length !== frame) return '';
    if (siteInfo(back.site).fn !== siteInfo(caller?.site ?? 0).fn) return '';
    const value = readLocals(back.locals).get(local);
    return value === undefined ? '' : `Value returned: ${local} = ${value.text}`;
  };
}

/** Local that the statement in progress gives the result of `fn` to: `const x = yield* fn(`, `x = yield* fn(`. */
function assigned(caller: Frame, fn: string): string | null {
  const { file, line } = siteInfo(caller.site);
  const lines = sourceLines(file) ?? [];
  // A long statement may have the call on its second line.
  const text = lines.slice(line - 1, line + 1).join(' ');
  const found =
    /^\s*(?:const |let )?([A-Za-z_$][\w$]*)(?::[^=]*)? =\s+\(?yield\* (?:\w+\(\)\.)?([\w$]+)\(/.exec(
      text,
    );
  return found !== null && found[2] === fn ? (found[1] ?? null) : null;
}

/** Result of a system call as strace prints it. */
function resultText(value: unknown): string {
  if (typeof value !== 'number') return String(value);
  const name = value < 0 ? errnoName(-value) : '';
  if (name !== '') return `-1 ${name}`;
  return value > 0xffff ? `0x${value.toString(16)}` : String(value);
}
