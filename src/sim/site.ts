/** The step sites of the loaded kernel source: what a step number means in function, file and line. */
import { cpu } from './cpu.ts';
import type { K } from './wait.ts';

export interface SiteInfo {
  readonly fn: string;
  /** Path below src/linux: `mm/vma.ts`. */
  readonly file: string;
  readonly line: number;
  readonly entry: boolean;
}

const sites: SiteInfo[] = [];
const sources = new Map<string, readonly string[]>();

/** Called by transformed files when they load; returns the number of their first site. */
export function registerSource(
  file: string,
  code: string,
  table: readonly (readonly [fn: string, line: number, entry: number])[],
): number {
  const base = sites.length;
  for (const [fn, line, entry] of table) sites.push({ fn, file, line, entry: entry === 1 });
  sources.set(file, code.split('\n'));
  return base;
}

/** Makes `callee` start one level below `depth`. Written by the step transform around each `yield*`. */
export function call<T>(callee: K<T>, depth: number): K<T> {
  cpu.depth = depth;
  return callee;
}

export function siteCount(): number {
  return sites.length;
}

export function siteInfo(site: number): SiteInfo {
  return sites[site] ?? { fn: '?', file: '?', line: 0, entry: false };
}

export function allSites(): readonly SiteInfo[] {
  return sites;
}

/** Lines of a loaded kernel source file, or null. */
export function sourceLines(file: string): readonly string[] | null {
  return sources.get(file) ?? null;
}
