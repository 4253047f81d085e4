import type { CostsView, CostView, Spread, WalkCost } from '../../debugger/view.ts';
import type { Glyphs } from '../glyphs.ts';
import { sized, sizedLeft, widest } from './columns.ts';
import { block, type Row, row, type Sheet, type Span, sheet, span } from './row.ts';

/** Columns of the longest bar. */
const BAR = 32;

/** What the reverse mapping has cost up to here, and a chart of each metric over the kernels compared. */
export function costsSheet(view: CostsView, glyphs: Glyphs): Sheet {
  const { here, compared, refused } = view;
  const charts = compared.map(({ metric, doc, kernels }) =>
    block([title(`${metric}: ${doc}`), ...bars(kernels, here.kernel, glyphs)], metric),
  );
  const left = refused.map(({ kernel, why }) =>
    row([span(` ${kernel} `, 'text'), span(`not run: ${why}`, 'dim')]),
  );
  const hint = row([span(' :compare runs the scenario on other kernels too', 'hint')]);
  return sheet(
    [
      block(walkRows(here), 'walks'),
      block(lockRows(here), 'locks'),
      block(objectRows(here), 'objects'),
      ...(charts.length === 0 ? [block([hint], 'hint')] : charts),
      block(left, 'refused'),
    ],
    { subtitle: `${here.kernel}, ${here.walks.visits.count} walks, ${here.bytes} bytes` },
  );
}

function title(text: string): Row {
  return row([span(` ${text}`, 'label')]);
}

function number(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function spread({ min, mean, max }: Spread): string {
  return `${min}/${number(mean)}/${max}`;
}

function walkRows(view: CostView): Row[] {
  const line = ({ purpose, visits, hits, wasted, ptes }: WalkCost): Row =>
    row([
      span(` ${sized(purpose, 20)} `, 'text'),
      span(sizedLeft(String(visits.count), 5), 'number'),
      span(sizedLeft(spread(visits), 14), 'number'),
      span(sizedLeft(String(hits), 7), 'hit'),
      span(sizedLeft(String(wasted), 8), wasted > 0 ? 'miss' : 'dim'),
      span(sizedLeft(String(ptes), 7), 'number'),
    ]);
  const head = `${sized(' walks of', 21)} ${sizedLeft('walks', 5)}${sizedLeft('visits', 14)}${sizedLeft('hits', 7)}${sizedLeft('wasted', 8)}${sizedLeft('PTEs', 7)}`;
  return [row([span(head, 'label')]), line(view.walks), ...view.byPurpose.map(line)];
}

function lockRows({ locks }: CostView): Row[] {
  const rmap = locks.filter((lock) => lock.rmap);
  if (rmap.length === 0) return [];
  const head = `${sized(' locks of', 21)} ${sizedLeft('taken', 5)}${sizedLeft('held, steps', 14)}${sizedLeft('waited', 7)}`;
  return [
    row([span(head, 'label')]),
    ...rmap.map(({ cls, taken, contended, held }) =>
      row([
        span(` ${sized(cls, 20)} `, 'text'),
        span(sizedLeft(String(taken), 5), 'number'),
        span(sizedLeft(spread(held), 14), 'number'),
        span(sizedLeft(String(contended), 7), contended > 0 ? 'blocked' : 'dim'),
      ]),
    ),
  ];
}

function objectRows(view: CostView): Row[] {
  const { forks } = view;
  const fork: Span[] = [
    span(` forks ${forks.steps.count}`, 'text'),
    span(
      `  steps ${spread(forks.steps)}  links ${spread(forks.links)}  locks ${spread(forks.locks)}`,
      'dim',
    ),
  ];
  return [
    title('forks and objects'),
    row(fork),
    ...view.objects.map(({ name, count, bytes }) =>
      row([
        span(` ${sized(name, 20)} `, 'text'),
        span(sizedLeft(String(count), 5), 'number'),
        span(`  ${bytes} bytes`, 'dim'),
      ]),
    ),
    row([
      span(` ${number(view.bytesPerPage)} bytes a page, ${number(view.bytesPerVma)} a VMA`, 'text'),
      span(`  of ${view.pages} pages, ${view.vmas} VMAs`, 'dim'),
    ]),
  ];
}

/** A bar a kernel, the longest of them full; the kernel that runs here stands out. */
function bars(
  kernels: readonly { readonly kernel: string; readonly value: number }[],
  current: string,
  glyphs: Glyphs,
): Row[] {
  const most = Math.max(0, ...kernels.map(({ value }) => value));
  const width = widest(
    kernels.map(({ kernel }) => kernel),
    6,
    20,
  );
  return kernels.map(({ kernel, value }) => {
    const length = most === 0 ? 0 : Math.round((value / most) * BAR);
    const role = kernel === current ? 'current' : 'text';
    return row([
      span(` ${sized(kernel, width)} `, role),
      span(glyphs.bar.repeat(value > 0 ? Math.max(1, length) : 0), role),
      span(` ${number(value)}`, 'number'),
    ]);
  });
}
