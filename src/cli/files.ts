/** Reading what the user names on the command line, with errors that say what to do instead. */
import { readFileSync, statSync } from 'node:fs';

/** Bad usage or bad input: printed without a stack, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Larger files are refused: a log this long is worth cutting first. */
const maxBytes = 512 * 1024 * 1024;

function reasonOf(error: unknown): string {
  const code = (error as { code?: string }).code;
  if (code === 'ENOENT') return 'no such file';
  if (code === 'EACCES') return 'permission denied';
  return error instanceof Error ? error.message : String(error);
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
    size = stat.size;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(
      `${file}: ${reasonOf(error)}; \`rmapdbg scenarios\` lists what comes with rmapdbg`,
    );
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
