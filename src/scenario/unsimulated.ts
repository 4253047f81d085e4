/** Which calls of the language the running kernel has a function for, and the error for those it has not. */
import type { kernel } from '../linux/kernel.ts';
import { operationNames } from '../linux/operations.ts';
import type { Operation } from './ast.ts';
import { ScenarioError } from './errors.ts';

type Source = ConstructorParameters<typeof ScenarioError>[0];

const simulated: ReadonlySet<string> = new Set(operationNames());

/** A log does not tell whose pidfd a descriptor is. */
const onlyInScripts: ReadonlySet<string> = new Set(['process_madvise']);

export function isSimulated(running: kernel, { callee, origin }: Operation): boolean {
  if (origin === 'trace' && onlyInScripts.has(callee)) return false;
  return simulated.has(callee) && running.mm.missing[callee] === undefined;
}

export function notSimulated(running: kernel, source: Source, operation: Operation): ScenarioError {
  const reason = running.mm.missing[operation.callee];
  if (reason !== undefined) {
    return new ScenarioError(source, operation.calleeSpan, {
      message: `${running.name} has no ${operation.callee}(): ${reason}`,
      hint: 'choose another kernel with --kernel',
    });
  }
  return new ScenarioError(source, operation.calleeSpan, {
    message: `${operation.callee}() is not simulated yet`,
    expected: [...simulated].join(', '),
  });
}
