/** The report of an internal error: what is needed to see it again. */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** What the program was doing, filled in as it goes. */
export const doing: { file: string; kernel: string; commands: string[] } = {
  file: '',
  kernel: '',
  commands: [],
};

/** Writes the report; returns its path. */
export function writeReport(error: unknown): string {
  const file = path.join(tmpdir(), `rmapdbg-report-${process.pid}.txt`);
  const lines = [
    `rmapdbg ${VERSION}, Node ${process.version}, ${process.platform} ${process.arch}`,
    `command: rmapdbg ${process.argv.slice(2).join(' ')}`,
    `scenario: ${doing.file}`,
    `kernel: ${doing.kernel}`,
    'last commands:',
    ...doing.commands.slice(-200).map((line) => `  ${line}`),
    error instanceof Error ? (error.stack ?? error.message) : String(error),
  ];
  try {
    writeFileSync(file, `${lines.join('\n')}\n`);
  } catch {
    return '(not written)';
  }
  return file;
}
