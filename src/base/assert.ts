/** A fault of rmapdbg itself (never of the simulated kernel, never of the user). */
export class InternalError extends Error {
  override readonly name = 'InternalError';
}

/** States what must hold in rmapdbg's own code; a failure is our bug and ends with exit code 70. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InternalError(message);
}

/** The `default` of an exhaustive `switch`. */
export function unreachable(value: never): never {
  throw new InternalError(`unreachable: ${String(value)}`);
}
