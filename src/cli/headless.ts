/** A session without a screen: runs it to its stops, writes what it says, keeps what was found. */
import type { Session } from '../debugger/session.ts';
import type { FindingView, OutputLine } from '../debugger/view.ts';
import type { Report } from '../scenario/run.ts';
import type { CommonOptions } from './options.ts';
import { writeJson, writeLines } from './output.ts';

/** Statements between two looks at the progress line and at Ctrl-C. */
const SLICE = 200_000;

/** Milliseconds between two progress lines. */
const PROGRESS = 100;

export type HeadlessOptions = Pick<CommonOptions, 'json' | 'quiet' | 'color'>;

export class Headless {
  readonly session: Session;
  /** Ctrl-C was pressed: what has been found so far is the result. */
  interrupted = false;
  readonly #options: HeadlessOptions;
  /** Everything seen so far, though a script may have gone back before it. */
  readonly #findings = new Map<string, FindingView>();
  readonly #reports = new Map<string, Report>();

  constructor(session: Session, options: HeadlessOptions) {
    this.session = session;
    this.#options = options;
  }

  findings(): readonly FindingView[] {
    return [...this.#findings.values()];
  }

  reports(): readonly Report[] {
    return [...this.#reports.values()];
  }

  /** Executes one command and everything it sets going. */
  async execute(line: string): Promise<void> {
    this.session.execute(line);
    await this.#pump();
    this.#flush();
  }

  async #pump(): Promise<void> {
    const { session } = this;
    const progress = process.stderr.isTTY === true && !this.#options.json;
    let shown = 0;
    const onInterrupt = (): void => {
      // A second Ctrl-C does not wait for the end of a slice.
      if (this.interrupted) process.exit(130);
      this.interrupted = true;
      session.interrupt();
    };
    process.on('SIGINT', onInterrupt);
    try {
      // The commands of a breakpoint can set it going again.
      while (session.busy) {
        if (session.pump(SLICE) === 'stopped') {
          if (shown > 0) process.stderr.write('\r\x1b[K');
          this.#flush();
        } else if (progress && Date.now() - shown > PROGRESS) {
          shown = Date.now();
          process.stderr.write(`\r\x1b[K${this.#progress()}`);
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      if (shown > 0) process.stderr.write('\r\x1b[K');
      process.off('SIGINT', onInterrupt);
    }
  }

  #progress(): string {
    const { step, statement } = this.session.status();
    const total = this.session.run.scenario.statements.length;
    const percent = Math.floor((this.session.run.state.at / Math.max(1, total)) * 100);
    return `${percent}%, line ${statement.line}, step ${step}`;
  }

  #flush(): void {
    const { session } = this;
    for (const finding of session.findings()) {
      this.#findings.set(`${finding.step} ${finding.kind} ${finding.text}`, finding);
    }
    for (const report of session.run.reports()) {
      this.#reports.set(`${report.line} ${report.text}`, report);
    }
    const lines = session.takeOutput();
    if (this.#options.json) this.#writeJson(lines);
    else {
      const wanted = (line: OutputLine): boolean => line.role === 'text' || line.role === 'error';
      writeLines(this.#options.quiet ? lines.filter(wanted) : lines, this.#options.color);
    }
  }

  /** A stop is told once, as data, in place of its lines. */
  #writeJson(lines: readonly OutputLine[]): void {
    let told = false;
    for (const line of lines) {
      if (line.role !== 'stop') writeJson({ type: 'output', ...line });
      else if (!told) {
        told = true;
        writeJson({ type: 'stop', ...this.session.status() });
      }
    }
  }
}
