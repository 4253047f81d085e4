/**
 * Breakpoints. The user's breakpoint names a place (function, file:line, event or a glob of them);
 * it sits on step sites and event types of the loaded kernel. Breakpoints belong to the session, not
 * to the machine: going back in time changes none of them.
 */

import type { Expr } from '../scenario/ast.ts';
import { didYouMean } from '../scenario/suggest.ts';
import { allEvents } from '../sim/event.ts';
import { allSites } from '../sim/site.ts';

export type BreakpointKind = 'event' | 'function' | 'line' | 'watch' | 'finding';

export interface Breakpoint {
  readonly id: number;
  readonly kind: BreakpointKind;
  /** As the user wrote it: `rmap:walk_*`, `anon_vma_fork`, `mm/rmap.ts:120`, an expression. */
  readonly spec: string;
  readonly sites: readonly number[];
  readonly events: readonly number[];
  /** What a watchpoint evaluates. */
  readonly watched: Expr | null;
  condition: { readonly text: string; readonly expr: Expr } | null;
  /** Only when this task hits it; null = any. */
  readonly task: string | null;
  readonly temporary: boolean;
  /** Set by until: goes at the next stop, whatever it is. */
  readonly untilStop?: boolean;
  enabled: boolean;
  hits: number;
  ignore: number;
  /** Commands run at each stop. */
  commands: readonly string[];
  /** A logpoint prints this and goes on; null for a breakpoint. */
  readonly log: string | null;
}

/** A location that names nothing. Shown to the user without a stack. */
export class LocationError extends Error {
  override readonly name = 'LocationError';
}

function globPattern(glob: string): RegExp {
  const escaped = glob.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`);
}

/** Where a location stands in the loaded kernel. Throws LocationError with a suggestion. */
export function resolveLocation(spec: string): Pick<Breakpoint, 'kind' | 'sites' | 'events'> {
  const sites = allSites();
  const line = /^([\w./-]+\.ts):(\d+)$/.exec(spec);
  if (line !== null) {
    const [, file = '', number = ''] = line;
    const inFile = sites
      .map((site, n) => ({ site, n }))
      .filter(({ site }) => site.file === file || site.file.endsWith(`/${file}`));
    if (inFile.length === 0) {
      const files = new Set(sites.map((s) => s.file));
      throw new LocationError(withHint(`no kernel source file ${file}`, didYouMean(file, files)));
    }
    const named = new Set(inFile.map(({ site }) => site.file));
    if (named.size > 1) {
      throw new LocationError(`${file} is one of ${[...named].join(', ')}: say which`);
    }
    const wanted = Number(number);
    const next = inFile
      .filter(({ site }) => site.line >= wanted)
      .sort((a, b) => a.site.line - b.site.line)[0];
    if (next === undefined)
      throw new LocationError(`no statement at or after line ${number} of ${file}`);
    const same = inFile.filter(
      ({ site }) => site.line === next.site.line && site.fn === next.site.fn,
    );
    return { kind: 'line', sites: same.slice(0, 1).map(({ n }) => n), events: [] };
  }
  if (spec.includes(':')) {
    const pattern = globPattern(spec);
    const events = allEvents()
      .filter((e) => pattern.test(e.name))
      .map((e) => e.id);
    if (events.length > 0) return { kind: 'event', sites: [], events };
    const names = allEvents().map((e) => e.name);
    throw new LocationError(
      withHint(`no event is called ${spec}`, didYouMean(spec, names) ?? '`info events` lists them'),
    );
  }
  const pattern = globPattern(spec);
  const entries: number[] = [];
  for (const [n, site] of sites.entries()) if (site.entry && pattern.test(site.fn)) entries.push(n);
  if (entries.length > 0) return { kind: 'function', sites: entries, events: [] };
  const names = new Set(sites.map((s) => s.fn));
  throw new LocationError(
    withHint(`no kernel function or event is called ${spec}`, didYouMean(spec, names)),
  );
}

function withHint(text: string, hint: string | undefined): string {
  return hint === undefined ? text : `${text}; ${hint}`;
}

/** The breakpoints of a session. */
export class Breakpoints {
  readonly #all: Breakpoint[] = [];
  #next = 1;

  list(): readonly Breakpoint[] {
    return this.#all;
  }

  get(id: number): Breakpoint | undefined {
    return this.#all.find((b) => b.id === id);
  }

  add(what: Omit<Breakpoint, 'id' | 'enabled' | 'hits' | 'ignore' | 'commands'>): Breakpoint {
    const breakpoint: Breakpoint = {
      ...what,
      id: this.#next++,
      enabled: true,
      hits: 0,
      ignore: 0,
      commands: [],
    };
    this.#all.push(breakpoint);
    return breakpoint;
  }

  delete(id: number): boolean {
    const at = this.#all.findIndex((b) => b.id === id);
    if (at >= 0) this.#all.splice(at, 1);
    return at >= 0;
  }

  clear(): void {
    this.#all.length = 0;
  }

  /** Sites and events of the enabled ones. */
  armed(): { readonly sites: Set<number>; readonly events: Set<number> } {
    const sites = new Set<number>();
    const events = new Set<number>();
    for (const b of this.#all) {
      if (!b.enabled) continue;
      for (const site of b.sites) sites.add(site);
      for (const event of b.events) events.add(event);
    }
    return { sites, events };
  }

  watchpoints(): readonly Breakpoint[] {
    return this.#all.filter((b) => b.enabled && b.kind === 'watch');
  }

  /** The lines that make these breakpoints again, for `save breakpoints`. */
  script(): readonly string[] {
    return this.#all.flatMap((b) => {
      const verb =
        b.log !== null
          ? 'logpoint'
          : b.kind === 'watch'
            ? 'watch'
            : b.kind === 'finding'
              ? 'catch'
              : b.temporary
                ? 'tbreak'
                : 'break';
      const parts = [verb, b.spec];
      if (b.task !== null) parts.push('task', b.task);
      if (b.log !== null) parts.push(JSON.stringify(b.log));
      if (b.condition !== null) parts.push('if', b.condition.text);
      const lines = [parts.join(' ')];
      if (b.commands.length > 0) lines.push('commands', ...b.commands, 'end');
      return lines;
    });
  }
}
