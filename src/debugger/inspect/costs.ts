/**
 * What the reverse mapping has cost up to the current step: its walks, its locks, its forks, its
 * objects. Counted from the event log, so that every kernel is measured by the same rule, whatever its
 * mechanism.
 */
import type { kernel } from '../../linux/kernel.ts';
import { vm_area_cachep } from '../../linux/mm_types.ts';
import { cpu } from '../../sim/cpu.ts';
import { allEvents, eventLog } from '../../sim/event.ts';
import type { Machine, Slice } from '../../sim/machine.ts';
import { liveCount } from '../../sim/struct.ts';
import { textOf } from '../../sim/text.ts';
import type { CostView, LockCost, Spread, WalkCost } from '../view.ts';
import { eventWord } from './event-reader.ts';
import { lockClass } from './lock-names.ts';
import { allMms, looking } from './objects.ts';
import { isPresent, USER_END, visitLeaves } from './page-walk.ts';
import type { WalkIndex } from './walks.ts';

/** Operations that copy an address space. */
const FORKS: ReadonlySet<string> = new Set(['fork', 'clone', 'clone3']);

/** Keys of `object_bytes` that are there with or without reverse mapping. */
const NOT_RMAP: ReadonlySet<string> = new Set(['vm_area_struct', 'page']);

/** Smallest, largest and sum of some numbers. */
class Sum {
  count = 0;
  total = 0;
  #min = 0;
  #max = 0;

  add(value: number): void {
    this.#min = this.count === 0 ? value : Math.min(this.#min, value);
    this.#max = Math.max(this.#max, value);
    this.count++;
    this.total += value;
  }

  spread(): Spread {
    const mean = this.count === 0 ? 0 : this.total / this.count;
    return { count: this.count, min: this.#min, mean, max: this.#max, total: this.total };
  }
}

class WalkSums {
  readonly visits = new Sum();
  hits = 0;
  wasted = 0;
  ptes = 0;

  view(purpose: string): WalkCost {
    const { hits, wasted, ptes } = this;
    return { purpose, visits: this.visits.spread(), hits, wasted, ptes };
  }
}

class LockSums {
  taken = 0;
  contended = 0;
  readonly held = new Sum();
}

/** The costs at the machine's current step; `walks` is the index of its reverse-map walks. */
export function costsOf(machine: Machine, walks: WalkIndex): CostView {
  return looking(machine, () => {
    const counter = new Counter(machine);
    counter.readWalks(walks);
    counter.readEvents();
    return counter.view();
  });
}

class Counter {
  readonly #machine: Machine;
  readonly #kernel: kernel;
  readonly #rmap: readonly string[];
  readonly #all = new WalkSums();
  readonly #byPurpose = new Map<string, WalkSums>();
  readonly #locks = new Map<string, LockSums>();
  readonly #classes = new Map<number, string>();
  /** Step at which a task took a lock, by `task:lock`. */
  readonly #since = new Map<string, number[]>();
  readonly #forkSteps = new Sum();
  readonly #forkLocks = new Sum();
  readonly #forkLinks = new Sum();

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#kernel = machine.config.kernel as kernel;
    this.#rmap = Object.keys(this.#kernel.object_bytes).filter((name) => !NOT_RMAP.has(name));
  }

  readEvents(): void {
    const log = eventLog.active;
    const types = allEvents();
    const inFork = this.#forks();
    for (let index = 0; index < cpu.event_count; index++) {
      const type = types[log.type[index] as number];
      if (type === undefined) continue;
      const task = log.task[index] as number;
      const start = log.start[index] as number;
      switch (type.name) {
        case 'rmap:link':
        // Before anon_vma_chain the VMA itself is what is linked.
        case 'rmap:vma_link':
          inFork.at(log.step[index] as number, task, (fork) => fork.links++);
          break;
        case 'lock:acquire':
          inFork.at(log.step[index] as number, task, (fork) => fork.locks++);
          this.#acquired(task, eventWord(start), log.step[index] as number);
          break;
        case 'lock:contended':
          this.#lock(eventWord(start)).contended++;
          break;
        case 'lock:release':
          if (textOf(eventWord(start + 1)) !== 'downgrade') {
            this.#released(task, eventWord(start), log.step[index] as number);
          }
          break;
        default:
      }
    }
    for (const fork of inFork.forks) {
      this.#forkSteps.add(fork.steps);
      this.#forkLocks.add(fork.locks);
      this.#forkLinks.add(fork.links);
    }
  }

  /** The walks that have ended. */
  readWalks(index: WalkIndex): void {
    for (const walk of index.walks()) {
      if (walk.end < 0 || walk.end >= cpu.event_count) continue;
      let sums = this.#byPurpose.get(walk.purpose);
      if (sums === undefined) {
        sums = new WalkSums();
        this.#byPurpose.set(walk.purpose, sums);
      }
      const hits = walk.visits.filter((visit) => visit.hits.length > 0).length;
      const ptes = walk.visits.reduce((sum, visit) => sum + visit.hits.length, 0);
      for (const each of [this.#all, sums]) {
        each.visits.add(walk.visits.length);
        each.hits += hits;
        each.wasted += walk.visits.length - hits;
        each.ptes += ptes;
      }
    }
  }

  #lock(lock: number): LockSums {
    let cls = this.#classes.get(lock);
    if (cls === undefined) {
      cls = lockClass(lock);
      this.#classes.set(lock, cls);
    }
    let sums = this.#locks.get(cls);
    if (sums === undefined) {
      sums = new LockSums();
      this.#locks.set(cls, sums);
    }
    return sums;
  }

  #acquired(task: number, lock: number, step: number): void {
    this.#lock(lock).taken++;
    const key = `${task}:${lock}`;
    const since = this.#since.get(key);
    if (since === undefined) this.#since.set(key, [step]);
    else since.push(step);
  }

  #released(task: number, lock: number, step: number): void {
    const since = this.#since.get(`${task}:${lock}`)?.pop();
    if (since !== undefined) this.#lock(lock).held.add(step - since);
  }

  /** The forks so far, and which of them a task was in at a step; to be asked in order of step. */
  #forks() {
    const { slices, operations } = this.#machine;
    interface Fork {
      steps: number;
      locks: number;
      links: number;
    }
    const forks = new Map<number, Fork>();
    const parts: { readonly slice: Slice; readonly fork: Fork }[] = [];
    for (const slice of slices) {
      if (slice.step >= cpu.step) break;
      if (!FORKS.has(operations[slice.operation]?.name ?? '')) continue;
      const fork = forks.get(slice.operation) ?? { steps: 0, locks: 0, links: 0 };
      forks.set(slice.operation, fork);
      fork.steps += Math.min(slice.endStep, cpu.step) - slice.step;
      parts.push({ slice, fork });
    }
    let next = 0;
    return {
      forks: [...forks.values()],
      at(step: number, task: number, count: (fork: Fork) => void): void {
        while (next < parts.length && (parts[next]?.slice.endStep ?? 0) < step) next++;
        const part = parts[next];
        if (part !== undefined && part.slice.step <= step && part.slice.task === task) {
          count(part.fork);
        }
      },
    };
  }

  #lockViews(): LockCost[] {
    return [...this.#locks].map(([cls, { taken, contended, held }]) => ({
      cls,
      rmap: this.#rmap.some((name) => cls.startsWith(`${name}.`)),
      taken,
      contended,
      held: held.spread(),
    }));
  }

  view(): CostView {
    const objects = this.#rmap.map((name) => {
      const count = liveCount(name);
      return { name, count, bytes: count * (this.#kernel.object_bytes[name] ?? 0) };
    });
    const bytes = objects.reduce((sum, { bytes: each }) => sum + each, 0);
    const frames = new Set<number>();
    for (const mm of allMms()) {
      visitLeaves(mm, 0, USER_END, (_, pte, pages) => {
        if (!isPresent(pte)) return;
        for (let i = 0; i < pages; i++) frames.add((pte >>> 8) + i);
      });
    }
    const vmas = liveCount(vm_area_cachep.info.name);
    return {
      kernel: this.#kernel.name,
      step: this.#machine.step,
      walks: this.#all.view('all'),
      byPurpose: [...this.#byPurpose].map(([purpose, sums]) => sums.view(purpose)),
      locks: this.#lockViews().sort((a, b) => b.taken - a.taken || (a.cls < b.cls ? -1 : 1)),
      forks: {
        steps: this.#forkSteps.spread(),
        locks: this.#forkLocks.spread(),
        links: this.#forkLinks.spread(),
      },
      objects,
      bytes,
      pages: frames.size,
      vmas,
      bytesPerPage: frames.size === 0 ? 0 : bytes / frames.size,
      bytesPerVma: vmas === 0 ? 0 : bytes / vmas,
    };
  }
}
