/** Processes that were killed for want of memory in a run: no findings, but nothing to pass over in silence. */
import { cpu } from '../sim/cpu.ts';
import { allEvents, eventAt, eventTypeAt } from '../sim/event.ts';
import type { Machine } from '../sim/machine.ts';

const EVENT = 'oom:oom_kill_process';

export interface OomKill {
  readonly step: number;
  readonly process: string;
  readonly pid: number;
  /** Pages: resident, swapped, and of page tables. */
  readonly badness: number;
  readonly free: number;
  readonly swapFree: number;
  /** Whose allocation it was. */
  readonly by: string;
}

/** In the order of killing; none where the run keeps no events. */
export function oomKills(machine: Machine): OomKill[] {
  machine.activate();
  const id = allEvents().findIndex((type) => type.name === EVENT);
  const kills: OomKill[] = [];
  for (let n = 0; n < cpu.event_count; n++) {
    if (eventTypeAt(n) !== id) continue;
    const { step, values } = eventAt(n);
    const [pid, process, badness, free, , swapFree, by] = values;
    kills.push({
      step,
      process: String(process),
      pid: Number(pid),
      badness: Number(badness),
      free: Number(free),
      swapFree: Number(swapFree),
      by: String(by),
    });
  }
  return kills;
}

export function oomKillText({ process, pid, badness, free, swapFree, by, step }: OomKill): string {
  return (
    `out of memory: ${process} (pid ${pid}) was killed: it had ${badness} pages; ` +
    `${free} pages and ${swapFree} swap slots were free when ${by} needed more (step ${step})`
  );
}
