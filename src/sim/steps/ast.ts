/** Syntax trees of kernel source, from the parser that Vite brings. */
import { parseSync } from 'vite';

export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

export function children(node: Node): Node[] {
  const found: Node[] = [];
  for (const key in node) {
    const value = node[key];
    if (Array.isArray(value)) {
      for (const item of value) if (isNode(item)) found.push(item);
    } else if (isNode(value)) {
      found.push(value);
    }
  }
  return found;
}

export function parse(code: string, file: string): Node {
  const result = parseSync(file, code, { sourceType: 'module' });
  const error = result.errors[0];
  if (error !== undefined) throw new StepError(file, 0, error.message);
  return result.program as unknown as Node;
}

/** A mistake in kernel source that the build refuses. */
export class StepError extends Error {
  override readonly name = 'StepError';
  constructor(file: string, line: number, message: string) {
    super(`${file}:${line}: ${message}`);
  }
}
