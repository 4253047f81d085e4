/** One workload on several kernels: what each pays for its reverse mapping. */
import { KernelError } from '../linux/kernels.ts';
import { formatScenarioError, type ScenarioError } from '../scenario/errors.ts';
import type { Session } from './session.ts';
import type { CostsView, CostView } from './view.ts';

/** A scenario run to its end on one kernel. */
export interface ComparedRun {
  readonly kernel: string;
  /** Value of the parameter that is swept; null without a sweep. */
  readonly at: number | null;
  /** Why the scenario cannot run on this kernel, else empty. */
  readonly refused: string;
  /** Null when refused. */
  readonly costs: CostView | null;
  readonly steps: number;
  readonly operations: number;
  readonly findings: readonly string[];
  /** Expectations of the scenario that failed, divergences included. */
  readonly failed: number;
}

export interface Sweep {
  readonly param: string;
  readonly values: readonly number[];
}

/** A number of a run that can be put in a table, a plot, a column. */
export interface Metric {
  readonly name: string;
  readonly doc: string;
  readonly of: (costs: CostView) => number;
}

const rmapLocks = (costs: CostView, of: (lock: CostView['locks'][number]) => number): number =>
  costs.locks.reduce((sum, lock) => sum + (lock.rmap ? of(lock) : 0), 0);

export const metrics: readonly Metric[] = [
  { name: 'walks', doc: 'reverse-map walks that ended', of: (c) => c.walks.visits.count },
  { name: 'visits_min', doc: 'VMAs visited by the shortest walk', of: (c) => c.walks.visits.min },
  { name: 'visits', doc: 'VMAs visited by a walk, mean', of: (c) => c.walks.visits.mean },
  { name: 'visits_max', doc: 'VMAs visited by the longest walk', of: (c) => c.walks.visits.max },
  { name: 'visits_total', doc: 'VMAs visited by all walks', of: (c) => c.walks.visits.total },
  { name: 'wasted', doc: 'visits that found nothing', of: (c) => c.walks.wasted },
  { name: 'ptes', doc: 'page-table entries that walks found', of: (c) => c.walks.ptes },
  {
    name: 'rmap_locks',
    doc: 'locks of rmap objects taken',
    of: (c) => rmapLocks(c, (l) => l.taken),
  },
  {
    name: 'locks',
    doc: 'locks taken, all classes',
    of: (c) => c.locks.reduce((sum, lock) => sum + lock.taken, 0),
  },
  {
    name: 'contended',
    doc: 'times a task had to wait for a lock of an rmap object',
    of: (c) => rmapLocks(c, (l) => l.contended),
  },
  {
    name: 'held',
    doc: 'steps that locks of rmap objects were held, all together',
    of: (c) => rmapLocks(c, (l) => l.held.total),
  },
  {
    name: 'held_max',
    doc: 'steps that one lock of an rmap object was held at most',
    of: (c) => c.locks.reduce((max, l) => (l.rmap ? Math.max(max, l.held.max) : max), 0),
  },
  { name: 'fork_steps', doc: 'steps of one fork, mean', of: (c) => c.forks.steps.mean },
  { name: 'fork_steps_max', doc: 'steps of the dearest fork', of: (c) => c.forks.steps.max },
  {
    name: 'fork_links',
    doc: 'links a fork made between VMAs and anon_vmas, mean',
    of: (c) => c.forks.links.mean,
  },
  { name: 'fork_locks', doc: 'locks that a fork took, mean', of: (c) => c.forks.locks.mean },
  {
    name: 'objects',
    doc: 'rmap objects alive at the end',
    of: (c) => c.objects.reduce((sum, { count }) => sum + count, 0),
  },
  { name: 'bytes', doc: 'bytes of rmap objects alive at the end', of: (c) => c.bytes },
  { name: 'bytes_page', doc: 'those bytes for each mapped page', of: (c) => c.bytesPerPage },
  { name: 'bytes_vma', doc: 'those bytes for each VMA', of: (c) => c.bytesPerVma },
];

export function metricNamed(name: string): Metric | undefined {
  return metrics.find((metric) => metric.name === name);
}

/** What a pane of costs shows of each kernel. */
const SHOWN = [
  'visits',
  'visits_max',
  'wasted',
  'rmap_locks',
  'held_max',
  'fork_steps',
  'objects',
  'bytes',
];

/** The costs at the current step beside those of kernels compared before. */
export function costsView(here: CostView, runs: readonly ComparedRun[]): CostsView {
  const compared = metrics.filter(({ name }) => runs.length > 0 && SHOWN.includes(name));
  return {
    here,
    compared: compared.map(({ name, doc, of }) => ({
      metric: name,
      doc,
      kernels: runs.flatMap(({ kernel, costs }) =>
        costs === null ? [] : [{ kernel, value: of(costs) }],
      ),
    })),
    refused: runs.flatMap(({ kernel, refused }) =>
      refused === '' ? [] : [{ kernel, why: refused.split('\n')[0] ?? '' }],
    ),
  };
}

/** Steps between two yields of compareKernels(). */
const SLICE = 200_000;

/** Opens the scenario that is compared: without stops at findings, judged as said, with these parameters changed. */
export type OpenOn = (
  kernel: string,
  params: ReadonlyMap<string, number>,
  judge: 'each' | 'end',
) => Session | { readonly errors: readonly ScenarioError[] };

/**
 * Runs a scenario on each kernel, and with each value of the sweep. Yields between slices of work the
 * runs finished so far. Throws what `open` throws.
 */
export function* compareKernels(
  open: OpenOn,
  kernels: readonly string[],
  sweep: Sweep | null,
): Generator<readonly ComparedRun[], readonly ComparedRun[], void> {
  const runs: ComparedRun[] = [];
  for (const at of sweep?.values ?? [null]) {
    for (const kernel of kernels) {
      const params = new Map(sweep === null || at === null ? [] : [[sweep.param, at]]);
      // A point of a curve is judged once, at its end: judges look at everything.
      const session = open(kernel, params, sweep === null ? 'each' : 'end');
      if ('errors' in session) {
        const refused = session.errors.map(formatScenarioError).join('\n');
        runs.push({ ...nothing, kernel, at, refused });
        continue;
      }
      do {
        session.execute('continue');
        while (session.busy) {
          session.pump(SLICE);
          yield runs;
        }
      } while (!session.finished);
      runs.push(finished(session, at));
    }
  }
  return runs;
}

const nothing = { costs: null, steps: 0, operations: 0, findings: [], failed: 0 };

function finished(session: Session, at: number | null): ComparedRun {
  const { kernel, machine } = session;
  // An expectation that means nothing on this kernel is one that failed; what ends the script is another matter.
  const ended = session.run.state.at >= session.run.scenario.statements.length;
  if (session.mistakes > 0 && !ended) {
    // The last one is what a script ends at.
    return { ...nothing, kernel, at, refused: session.lastMistake };
  }
  return {
    kernel,
    at,
    refused: '',
    costs: session.inspector.costs(),
    steps: machine.endStep,
    operations: machine.operations.length,
    findings: session.findings().map(({ kind, text }) => `${kind}: ${text}`),
    failed: session.failures + session.mistakes + session.run.reports().length,
  };
}

/** Points of a curve where a range has more: enough to see its shape, few enough to wait for. */
const MOST_POINTS = 24;

/** `N=1..256`, `N=0..64/8`, `N=1,5,10`: doubling where every number would be too many. Null when it is none. */
export function parseSweep(text: string): Sweep | null {
  const [, param = '', what = ''] = /^([A-Za-z_]\w*)=([\d.,/]+)$/.exec(text) ?? [];
  if (param === '') return null;
  const range = /^(\d+)\.\.(\d+)(?:\/(\d+))?$/.exec(what);
  if (range === null) {
    if (!/^\d+(,\d+)*$/.test(what)) return null;
    return { param, values: what.split(',').map(Number) };
  }
  const from = Number(range[1]);
  const to = Number(range[2]);
  const by = range[3] === undefined ? 0 : Number(range[3]);
  if (to < from || (range[3] !== undefined && by === 0)) return null;
  const values: number[] = [];
  if (by === 0 && to - from >= MOST_POINTS) {
    for (let n = Math.max(1, from); n < to; n *= 2) values.push(n);
    if (from === 0) values.unshift(0);
    values.push(to);
  } else {
    for (let n = from; n <= to; n += by === 0 ? 1 : by) values.push(n);
  }
  return { param, values };
}

/** The kernels to compare: those asked for, else the scenario's, else all there are. */
export function kernelsToCompare(
  asked: readonly string[],
  ofScenario: readonly string[],
  all: readonly string[],
): readonly string[] {
  for (const name of asked) {
    if (!all.includes(name)) throw new KernelError('kernel', name, all);
  }
  if (asked.length > 0) return asked;
  return ofScenario.length > 1 ? ofScenario : all;
}
