/**
 * reverse-continue: the search for the previous stop. Breakpoints are found in the log of events and
 * the marks of history: executing the statement at such a place again tells whether a condition holds.
 * Watched values have no log: the search goes back statement by statement and compares.
 */
import type { Machine } from '../sim/machine.ts';
import type { Breakpoints } from './breakpoints.ts';
import type { Inspector } from './inspector.ts';

/** What the search needs of its session. */
export interface SearchHost {
  readonly machine: Machine;
  readonly inspector: Inspector;
  readonly breakpoints: Breakpoints;
  /** Values of the watchpoints at the current position. */
  watchValues(): ReadonlyMap<number, string>;
  /** Executes the statement at `step` again; the stop that a breakpoint makes there, or null. */
  tryStatement(step: number): string | null;
}

export class ReverseSearch {
  readonly #host: SearchHost;
  /** Steps before which a breakpoint may be hit by executing one statement, earliest first. */
  readonly #candidates: number[];
  /** Watched values at the current position; null when nothing is watched. */
  #watched: ReadonlyMap<number, string> | null;

  constructor(host: SearchHost) {
    this.#host = host;
    const { machine, inspector, breakpoints } = host;
    const { sites, events } = breakpoints.armed();
    const candidates = new Set<number>(inspector.eventSteps(events));
    if (sites.size > 0) {
      machine.findMarkBack((_task, site, _depth, step) => {
        if (sites.has(site)) candidates.add(step - 1);
        return false;
      });
    }
    const now = machine.step;
    this.#candidates = [...candidates].filter((s) => s + 1 < now && s >= machine.firstStep);
    this.#candidates.sort((a, b) => a - b);
    this.#watched = breakpoints.watchpoints().length > 0 ? host.watchValues() : null;
  }

  /** Statements that one try() is worth: a candidate's generators are rebuilt, a watched expression is evaluated. */
  get cost(): number {
    return this.#watched === null ? 10_000 : 100;
  }

  /** Looks one place further back. The text of the stop when the search is over, else null. */
  try(): string | null {
    return this.#watched === null ? this.#tryCandidate() : this.#tryWatched(this.#watched);
  }

  #tryCandidate(): string | null {
    const { machine } = this.#host;
    const step = this.#candidates.pop();
    if (step !== undefined) return this.#host.tryStatement(step);
    machine.seek(machine.firstStep);
    return 'History begins here.';
  }

  #tryWatched(after: ReadonlyMap<number, string>): string | null {
    const { machine, breakpoints } = this.#host;
    const to = machine.step - 1;
    if (to < machine.firstStep) return 'History begins here.';
    if (this.#candidates.at(-1) === to) {
      const stop = this.#tryCandidate();
      if (stop !== null) return stop;
    }
    machine.seek(to);
    const before = this.#host.watchValues();
    this.#watched = before;
    for (const [id, value] of before) {
      const next = after.get(id);
      const breakpoint = breakpoints.get(id);
      if (next === undefined || next === value || breakpoint === undefined) continue;
      breakpoint.hits++;
      return `Watchpoint ${id}, ${breakpoint.spec}: ${value} -> ${next} by the next statement`;
    }
    return null;
  }
}
