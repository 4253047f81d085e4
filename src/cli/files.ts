/** Reading what the user names on the command line, with errors that say what to do instead. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { didYouMean } from '../scenario/suggest.ts';

/** What the commands source and screen read and write. */
export const sessionFiles = {
  read: (name: string): string => readFileSync(name, 'utf8'),
  write: (name: string, text: string): void => writeFileSync(name, text),
};

/** Bad usage or bad input: printed without a stack, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** What may have been meant by a file that is not there. */
const commandNames = [
  'run',
  'compare',
  'conform',
  'kernels',
  'scenarios',
  'events',
  'commands',
  'completion',
];

/** Larger files are refused: a log this long is worth cutting first. */
const maxBytes = 512 * 1024 * 1024;

function reasonOf(error: unknown): string {
  const code = (error as { code?: string }).code;
  if (code === 'ENOENT') return 'no such file';
  if (code === 'EACCES') return 'permission denied';
  return error instanceof Error ? error.message : String(error);
}

/** Throws UsageError when there is nothing by that name. */
export function refuseMissing(file: string): void {
  if (statSync(file, { throwIfNoEntry: false }) === undefined) throw missing(file, 'no such file');
}

function missing(file: string, reason: string): UsageError {
  const hint =
    didYouMean(file, commandNames) ?? '`rmapdbg scenarios` lists what comes with rmapdbg';
  return new UsageError(`${file}: ${reason}; ${hint}`);
}

/** The text of a scenario or strace log. Throws UsageError for what cannot be one. */
export function readScenarioText(file: string): string {
  let size: number;
  try {
    const stat = statSync(file);
    if (stat.isDirectory()) {
      throw new UsageError(
        `${file}: is a directory; name a scenario (*.mm) or an strace log in it`,
      );
    }
    if (stat.isCharacterDevice() || stat.isBlockDevice()) {
      throw new UsageError(`${file}: is a device; name a scenario (*.mm) or an strace log`);
    }
    size = stat.size;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw missing(file, reasonOf(error));
  }
  if (size > maxBytes) {
    throw new UsageError(
      `${file}: ${Math.round(size / 1e6)} MB is more than rmapdbg reads; cut the log with head -c`,
    );
  }
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new UsageError(`${file}: ${reasonOf(error)}`);
  }
  if (bytes.subarray(0, 65536).includes(0)) {
    throw new UsageError(
      `${file}: is a binary file; expected a scenario (*.mm) or the text that strace -f -o writes`,
    );
  }
  const text = bytes.toString('utf8');
  if (text.trim() === '') {
    throw new UsageError(`${file}: is empty; docs/SCENARIOS.md shows what a scenario looks like`);
  }
  return text;
}
