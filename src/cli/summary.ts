/** What a headless run found, as text or JSON, and the exit code it makes. */
import { scheduleOf } from '../scenario/schedule-of.ts';
import { printSchedule } from '../sim/schedule.ts';
import { EXIT_BOUND, EXIT_FOUND, EXIT_OK, EXIT_USAGE } from './exit-codes.ts';
import type { Headless } from './headless.ts';
import { oomKills, oomKillText } from './oom-kills.ts';
import type { CommonOptions } from './options.ts';
import { writeJson } from './output.ts';

/** Lines of evidence shown of one finding. */
const EVIDENCE = 12;

interface Totals {
  readonly findings: number;
  readonly divergences: number;
  readonly failed: number;
  readonly mistakes: number;
}

function totals(run: Headless): Totals {
  const reports = run.reports();
  const divergences = reports.filter((r) => r.kind === 'divergence').length;
  return {
    findings: run.findings().length,
    divergences,
    failed: reports.length - divergences + run.session.failures,
    mistakes: run.session.mistakes,
  };
}

/** A finding weighs most: what comes after it may only be its consequence. */
function exitCode(run: Headless, { findings, divergences, failed, mistakes }: Totals): number {
  if (findings > 0) return EXIT_FOUND;
  if (run.interrupted) return EXIT_BOUND;
  if (mistakes > 0) return EXIT_USAGE;
  return divergences + failed > 0 ? EXIT_FOUND : EXIT_OK;
}

function quoted(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The interleaving of the races and the command that shows it again; null where there is no use for it. */
function replay(
  run: Headless,
  args: CommonOptions,
  count: Totals,
): { readonly schedule: string; readonly command: string } | null {
  const { session } = run;
  const races = session.run.scenario.statements.some((s) => s.kind === 'race');
  const inFile = session.run.scenario.header.config.find((c) => c.key === 'seed')?.value;
  const worth = (args.seed ?? inFile ?? 0) !== 0 || count.findings + count.failed > 0;
  if (!races || !worth || args.schedule !== undefined) return null;
  const schedule = printSchedule(scheduleOf(session.run, session.kernel));
  const words = ['rmapdbg', 'run', session.options.file, '--kernel', session.kernel];
  for (const name of args.patch ?? []) words.push('--patch', name);
  for (const name of args.without ?? []) words.push('--without', name);
  for (const word of args.param ?? []) words.push('--param', word);
  words.push('--schedule', schedule);
  return { schedule, command: words.map(quoted).join(' ') };
}

/** Writes the summary; returns the exit code. */
export function summarise(run: Headless, args: CommonOptions): number {
  const count = totals(run);
  if (args.json) writeJsonSummary(run, args, count);
  else writeTextSummary(run, args, count);
  return exitCode(run, count);
}

function writeJsonSummary(run: Headless, args: CommonOptions, count: Totals): void {
  const { session } = run;
  const { machine } = session;
  const { trace } = session.run.scenario;
  for (const report of run.reports()) writeJson({ ...report, type: report.kind });
  for (const finding of run.findings()) writeJson({ type: 'finding', ...finding });
  for (const kill of oomKills(machine)) writeJson({ type: 'oom-kill', ...kill });
  for (const note of trace?.notes ?? []) writeJson({ type: 'note', ...note });
  const again = replay(run, args, count);
  const hash = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');
  writeJson({
    type: 'summary',
    file: session.options.file,
    kernel: session.kernel,
    finished: session.finished,
    interrupted: run.interrupted,
    steps: machine.endStep,
    operations: machine.operations.length,
    judged: session.run.state.judged,
    findings: count.findings,
    divergences: count.divergences,
    failedExpectations: count.failed,
    failedUnasked: session.run.state.unasked,
    mistakes: count.mistakes,
    skipped: Object.fromEntries(trace?.skipped ?? []),
    unsimulated: Object.fromEntries(session.run.unsimulated),
    stateHash: hash(machine.hash()),
    // A long recorded program keeps no events.
    ...(session.keepsEvents ? { traceHash: hash(machine.traceHash()) } : {}),
    ...(again === null ? {} : { schedule: again.schedule, replay: again.command }),
  });
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function sum(counts: Iterable<readonly [string, number]>): number {
  let total = 0;
  for (const [, n] of counts) total += n;
  return total;
}

function writeTextSummary(run: Headless, args: CommonOptions, count: Totals): void {
  const { session } = run;
  const { file } = session.options;
  const lines: string[] = [];
  for (const report of run.reports()) {
    lines.push(`${file}:${report.line}: ${report.kind}: ${report.text} (step ${report.step})`);
  }
  for (const finding of run.findings()) {
    const task = finding.task === '' ? 'no task' : finding.task;
    lines.push(`finding: ${finding.kind}: ${finding.text} (step ${finding.step}, ${task})`);
    const evidence = finding.evidence.flatMap((text) => text.split('\n')).slice(0, EVIDENCE);
    lines.push(...evidence.map((line) => `    ${line}`));
  }
  for (const kill of oomKills(session.machine)) lines.push(`${file}: ${oomKillText(kill)}`);
  const { trace } = session.run.scenario;
  for (const note of trace?.notes ?? []) lines.push(`${file}:${note.line}: note: ${note.message}`);
  if (run.interrupted) {
    lines.push(`${file}: interrupted at line ${session.status().statement.line}; until then:`);
  }
  const again = replay(run, args, count);
  if (again !== null) lines.push(`schedule: ${again.schedule}`, `replay: ${again.command}`);
  if (!args.quiet) lines.push(`${file}: ${session.kernel}: ${summaryLine(run, count)}`);
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

function summaryLine(run: Headless, count: Totals): string {
  const { machine, run: driver } = run.session;
  const operations = machine.operations.length;
  const skipped = sum(driver.scenario.trace?.skipped ?? []);
  const unsimulated = [...driver.unsimulated].map(([name, n]) => `${name} ${n}`);
  const parts = [
    `${operations} operations, ${machine.endStep} steps, ${count.findings} findings, ` +
      `${count.divergences} divergences, ${count.failed} failed expectations`,
  ];
  if (count.mistakes > 0) parts.push(plural(count.mistakes, 'error'));
  const { unasked } = driver.state;
  if (unasked > 0) parts.push(`${plural(unasked, 'call')} failed and had no expected result`);
  // Operations in flight are not judged, and neither is every operation of a long recorded program.
  const { judged } = driver.state;
  if (driver.scenario.trace !== undefined && judged < operations - 1) {
    parts.push(`judged after ${judged} of the operations`);
  }
  if (skipped > 0) parts.push(`${skipped} calls outside memory and processes skipped`);
  if (unsimulated.length > 0) parts.push(`not simulated: ${unsimulated.join(', ')}`);
  return parts.join('; ');
}
