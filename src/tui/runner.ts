import type { SessionView } from '../debugger/view.ts';

/**
 * Runs debugger commands in slices, so that a long `continue` neither delays a key nor a frame.
 * Typed-ahead commands wait in line; nothing here holds a timer.
 */

const SLICE_MS = 8;
const WAITING_LIMIT = 64;
const LEAST_BUDGET = 64;
const MOST_BUDGET = 1 << 20;

export interface RunnerEvents {
  /** The verb stopped (or the command was none): views may have changed. */
  onStop(line: string): void;
}

export class Runner {
  readonly #session: SessionView;
  readonly #now: () => number;
  readonly #events: RunnerEvents;
  readonly #waiting: string[] = [];
  #active: string | null = null;
  #budget = 1024;

  constructor(session: SessionView, now: () => number, events: RunnerEvents) {
    this.#session = session;
    this.#now = now;
    this.#events = events;
  }

  /** A verb is between its first step and its stop. */
  get isRunning(): boolean {
    return this.#active !== null;
  }

  get hasWork(): boolean {
    return this.#active !== null || this.#waiting.length > 0;
  }

  submit(line: string): void {
    // A key held down outruns a slow verb; what would only pile up is dropped.
    if (this.#waiting.length < WAITING_LIMIT) this.#waiting.push(line);
  }

  /** Stops the verb and forgets what waits behind it. Answers whether there was anything to stop. */
  interrupt(): boolean {
    const had = this.hasWork;
    this.#waiting.length = 0;
    if (this.#active !== null) this.#session.interrupt();
    return had;
  }

  /** Works for at most about SLICE_MS. Answers whether anything stopped, so that the screen is stale. */
  slice(): boolean {
    const end = this.#now() + SLICE_MS;
    let stopped = false;
    while (this.hasWork) {
      if (this.#active === null) {
        this.#active = this.#waiting.shift() ?? '';
        this.#session.execute(this.#active);
      }
      const started = this.#now();
      const state = this.#session.pump(this.#budget);
      this.#adapt(this.#now() - started, state);
      // The commands of a breakpoint may begin the next verb as soon as it stopped.
      if (state === 'stopped' && !this.#session.status().running) {
        const line = this.#active;
        this.#active = null;
        stopped = true;
        this.#events.onStop(line);
      }
      if (this.#now() >= end) break;
    }
    return stopped;
  }

  /** Keeps one pump well under a slice whatever a step costs here. */
  #adapt(tookMs: number, state: 'running' | 'stopped'): void {
    if (tookMs > SLICE_MS / 2) this.#budget = Math.max(LEAST_BUDGET, this.#budget >> 1);
    else if (state === 'running' && tookMs < SLICE_MS / 8) {
      this.#budget = Math.min(MOST_BUDGET, this.#budget << 1);
    }
  }
}
