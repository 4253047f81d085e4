/** Tells what went wrong, whoever's fault it is. */
import { InternalError } from '../base/assert.ts';
import { ParamError } from '../debugger/open.ts';
import { KernelError } from '../linux/kernels.ts';
import { ScheduleError } from '../sim/schedule.ts';
import { EXIT_INTERNAL, EXIT_USAGE } from './exit-codes.ts';
import { UsageError } from './files.ts';
import { writeJson } from './output.ts';
import { writeReport } from './report.ts';

/** Writes the error, with `json` as a line of JSON on standard output; returns the exit code. */
export function tellFailure(error: unknown, json: boolean): number {
  const isUsers =
    error instanceof UsageError ||
    error instanceof KernelError ||
    error instanceof ParamError ||
    error instanceof ScheduleError;
  if (isUsers) {
    if (json) writeJson({ type: 'error', message: error.message });
    else process.stderr.write(`rmapdbg: ${error.message}\n`);
    return EXIT_USAGE;
  }
  const report = writeReport(error);
  const message = error instanceof InternalError ? error.message : String(error);
  if (json) writeJson({ type: 'internal-error', message, report });
  else {
    process.stderr.write(
      `rmapdbg: internal error: ${message}\n` +
        `rmapdbg: this is a fault of rmapdbg; the report is in ${report}\n`,
    );
  }
  return EXIT_INTERNAL;
}
