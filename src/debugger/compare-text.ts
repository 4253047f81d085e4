/** A comparison as text: tables, curves, CSV. */
import { plot } from 'simple-ascii-chart';
import { type ComparedRun, type Metric, metricNamed, metrics } from './compare.ts';

interface Column {
  readonly head: string;
  readonly cell: (run: ComparedRun) => string;
}

function metric(name: string): Metric {
  const found = metricNamed(name);
  if (found === undefined) throw new RangeError(`no metric ${name}`);
  return found;
}

/** At most three digits of what is not whole. */
function short(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const of =
  (name: string) =>
  (run: ComparedRun): string =>
    run.costs === null ? '-' : short(metric(name).of(run.costs));

const kernel: Column = { head: 'kernel', cell: (run) => run.kernel };

const walkColumns: readonly Column[] = [
  kernel,
  { head: 'walks', cell: of('walks') },
  {
    head: 'visits min/mean/max',
    cell: (run) => ['visits_min', 'visits', 'visits_max'].map((name) => of(name)(run)).join(' / '),
  },
  { head: 'wasted', cell: of('wasted') },
  { head: 'PTEs', cell: of('ptes') },
  { head: 'rmap locks', cell: of('rmap_locks') },
  { head: 'waited', cell: of('contended') },
  { head: 'held', cell: of('held') },
  { head: 'longest', cell: of('held_max') },
];

const objectColumns: readonly Column[] = [
  kernel,
  { head: 'fork steps', cell: of('fork_steps') },
  { head: 'links', cell: of('fork_links') },
  { head: 'locks', cell: of('fork_locks') },
  {
    head: 'objects',
    cell: (run) =>
      run.costs === null
        ? '-'
        : run.costs.objects.map(({ name, count }) => `${count} ${name}`).join(', ') || 'none',
  },
  { head: 'bytes', cell: of('bytes') },
  { head: '/page', cell: of('bytes_page') },
  { head: '/VMA', cell: of('bytes_vma') },
];

/** Columns under their heads: the first to the left, the others to the right. */
function table(columns: readonly Column[], runs: readonly ComparedRun[]): string[] {
  const cells = runs.map((run) => columns.map(({ cell }) => cell(run)));
  const widths = columns.map(({ head }, i) =>
    Math.max(head.length, ...cells.map((row) => row[i]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(columns.map(({ head }) => head)), ...cells.map(line)];
}

/** The tables of a comparison without a sweep. */
export function compareTables(runs: readonly ComparedRun[]): string[] {
  const ran = runs.filter(({ costs }) => costs !== null);
  const lines = [
    'Reverse-map walks (VMAs visited), locks of rmap objects (times; held in steps)',
    ...table(walkColumns, ran),
    '',
    'Each fork, and the rmap objects at the end (bytes of the real kernel)',
    ...table(objectColumns, ran),
  ];
  const notes = runs.flatMap(noteLines);
  return notes.length === 0 ? lines : [...lines, '', ...notes];
}

/** What a number of a run cannot say. */
function noteLines(run: ComparedRun): string[] {
  const at = run.at === null ? '' : ` at ${run.at}`;
  const name = `${run.kernel}${at}`;
  if (run.refused !== '') return [`${name}: not run: ${run.refused.split('\n')[0]}`];
  const lines = run.findings.slice(0, 3).map((finding) => `${name}: ${finding}`);
  if (run.findings.length > 3) lines.push(`${name}: and ${run.findings.length - 3} more findings`);
  if (run.failed > 0) lines.push(`${name}: ${run.failed} failed expectations or divergences`);
  return lines;
}

const MARKS = 'abcdefghijklmnopqrstuvwxyz';
/** Mark of a point that is the same on several kernels. */
const SEVERAL = '*';

export interface PlotSize {
  readonly width: number;
  readonly height: number;
}

/** Table and curve of one metric over the values of a sweep. */
export function sweepText(
  param: string,
  name: string,
  runs: readonly ComparedRun[],
  size: PlotSize,
): string[] {
  const { doc } = metric(name);
  const kernels = [...new Set(runs.map((run) => run.kernel))];
  const values = [...new Set(runs.map((run) => run.at ?? 0))];
  const byPlace = new Map(runs.map((run) => [`${run.kernel} ${run.at ?? 0}`, run]));
  const cell = (kernelName: string, at: number): string => {
    const run = byPlace.get(`${kernelName} ${at}`);
    return run === undefined ? '' : of(name)(run);
  };
  const widths = kernels.map((kernelName) =>
    Math.max(kernelName.length, ...values.map((at) => cell(kernelName, at).length)),
  );
  const first = Math.max(param.length, ...values.map((at) => String(at).length));
  const row = (head: string, texts: readonly string[]): string =>
    [head.padStart(first), ...texts.map((text, i) => text.padStart(widths[i] ?? 0))].join('  ');
  return [
    `${name}: ${doc}`,
    row(param, kernels),
    ...values.map((at) =>
      row(
        String(at),
        kernels.map((kernelName) => cell(kernelName, at)),
      ),
    ),
    '',
    ...curve(param, metric(name), runs, kernels, values, size),
  ];
}

/** A curve on logarithmic axes, a letter a kernel. */
function curve(
  param: string,
  shown: Metric,
  runs: readonly ComparedRun[],
  kernels: readonly string[],
  values: readonly number[],
  { width, height }: PlotSize,
): string[] {
  if (values.length < 2) return [];
  const scale = (value: number): number => Math.log2(value + 1);
  const series = kernels.map((kernelName) =>
    runs.flatMap((run): [number, number][] =>
      run.kernel === kernelName && run.costs !== null
        ? [[scale(run.at ?? 0), scale(shown.of(run.costs))]]
        : [],
    ),
  );
  if (series.every((points) => points.every(([, y]) => y === 0))) return [];
  // The plotting library does not say which series a point is of.
  const markAt = (x: number, y: number): string => {
    const here = kernels
      .map((_, i) => i)
      .filter((i) => series[i]?.some((p) => p[0] === x && p[1] === y));
    return here.length === 1 ? (MARKS[(here[0] ?? 0) % MARKS.length] ?? SEVERAL) : SEVERAL;
  };
  const drawn = kernels.map((_, i) => i).filter((i) => (series[i]?.length ?? 0) > 0);
  const text = plot(
    drawn.map((i) => series[i] ?? []),
    {
      width,
      height,
      xLabel: param,
      mode: 'point',
      formatter: (value) => short(Math.round((2 ** value - 1) * 100) / 100),
      customXAxisTicks: values.map(scale),
      lineFormatter: ({ x, y, plotX, plotY }) => ({ x: plotX, y: plotY, symbol: markAt(x, y) }),
    },
  );
  const legend = kernels.map((kernelName, i) => `${MARKS[i % MARKS.length]} ${kernelName}`);
  return [
    ...text.split('\n').map((line) => line.trimEnd()),
    `${legend.join('   ')}   ${SEVERAL} several`,
    'Both axes are logarithmic, and points go to the nearest row: the numbers are in the table.',
  ];
}

/** One line a run, every metric a column. */
export function compareCsv(runs: readonly ComparedRun[], param: string): string[] {
  const head = ['kernel', ...(param === '' ? [] : [param]), ...metrics.map(({ name }) => name)];
  const rows = runs.map((run) => [
    run.kernel,
    ...(param === '' ? [] : [String(run.at ?? '')]),
    ...metrics.map((each) => (run.costs === null ? '' : String(each.of(run.costs)))),
  ]);
  return [head, ...rows].map((row) => row.join(','));
}
