/** Writing results: text or JSON lines, coloured only where that is wanted. */
import type { OutputLine } from '../debugger/view.ts';

export type ColorChoice = 'auto' | 'always' | 'never' | '16' | '256' | 'true';

/** Colours a terminal gets: by choice, then NO_COLOR and FORCE_COLOR, then what the stream is. */
export function colorLevel(
  choice: ColorChoice,
  stream: { readonly isTTY?: boolean },
): 'none' | '16' | '256' | 'truecolor' {
  const { env } = process;
  if (choice === 'never') return 'none';
  if (choice === '16' || choice === '256') return choice;
  if (choice === 'true') return 'truecolor';
  const terminal = /truecolor|24bit/.test(env.COLORTERM ?? '')
    ? 'truecolor'
    : /256/.test(env.TERM ?? '')
      ? '256'
      : '16';
  if (choice === 'always') return terminal;
  if ((env.NO_COLOR ?? '') !== '') return 'none';
  if ((env.FORCE_COLOR ?? '') !== '' && env.FORCE_COLOR !== '0') return terminal;
  if (stream.isTTY !== true || env.TERM === 'dumb') return 'none';
  return terminal;
}

const sgr: Readonly<Record<OutputLine['role'], string>> = {
  text: '',
  error: '31',
  stop: '1',
  echo: '2',
  hint: '36',
};

/** Writes command output; errors go to standard error. */
export function writeLines(lines: readonly OutputLine[], choice: ColorChoice): void {
  for (const line of lines) {
    const stream = line.role === 'error' ? process.stderr : process.stdout;
    const code = colorLevel(choice, stream) === 'none' ? '' : sgr[line.role];
    stream.write(code === '' ? `${line.text}\n` : `\x1b[${code}m${line.text}\x1b[0m\n`);
  }
}

export function writeJson(object: unknown): void {
  process.stdout.write(`${JSON.stringify(object)}\n`);
}
