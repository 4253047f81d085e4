/** The options that commands share. */
import type { Argv } from 'yargs';
import { readNumber } from '../scenario/lex.ts';
import { UsageError } from './files.ts';
import type { ColorChoice } from './output.ts';

const MAX_SEED = 0xffffffff;

export interface CommonOptions {
  readonly kernel: string | undefined;
  readonly patch: readonly string[] | undefined;
  readonly without: readonly string[] | undefined;
  readonly seed: number | undefined;
  readonly schedule: string | undefined;
  /** As written: `N=10`. */
  readonly param: readonly string[] | undefined;
  readonly touch: 'none' | 'first' | 'writable' | 'all' | undefined;
  readonly json: boolean;
  readonly color: ColorChoice;
  readonly ascii: boolean;
  readonly quiet: boolean;
}

/** The numbers of `--param NAME=NUMBER`. Throws UsageError. */
export function paramsOf(words: readonly string[] | undefined): ReadonlyMap<string, number> {
  const params = new Map<string, number>();
  for (const word of words ?? []) {
    const [, name = '', digits = ''] = /^([A-Za-z_]\w*)=(.+)$/.exec(word) ?? [];
    const value = readNumber(digits);
    if (name === '' || typeof value !== 'number') {
      throw new UsageError(`--param takes NAME=NUMBER, not ${word}`);
    }
    if (params.has(name)) throw new UsageError(`--param ${name} is given twice`);
    params.set(name, value);
  }
  return params;
}

export function withOutput<T>(argv: Argv<T>) {
  return argv
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object per line' })
    .option('color', {
      choices: ['auto', 'always', 'never', '16', '256', 'true'] as const,
      default: 'auto' as ColorChoice,
      describe: 'colours (NO_COLOR and FORCE_COLOR are honoured)',
    })
    .option('ascii', { type: 'boolean', default: false, describe: 'draw with ASCII only' })
    .option('quiet', {
      alias: 'q',
      type: 'boolean',
      default: false,
      describe: 'print only what matters',
    });
}

export function withScenario<T>(argv: Argv<T>) {
  return withOutput(argv)
    .option('kernel', {
      type: 'string',
      requiresArg: true,
      describe: 'kernel preset (see: rmapdbg kernels)',
    })
    .option('patch', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'put a named feature on the kernel',
    })
    .option('without', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'take a named feature off the kernel',
    })
    .option('seed', {
      type: 'number',
      requiresArg: true,
      describe: 'random interleaving of races; 0: one task after the other',
    })
    .option('schedule', {
      type: 'string',
      requiresArg: true,
      describe: 'the interleaving of races, as printed before',
    })
    .option('param', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'value of a parameter of the scenario: N=10',
    })
    .option('touch', {
      choices: ['none', 'first', 'writable', 'all'] as const,
      defaultDescription: "the scenario's, else writable",
      describe: 'which pages of a recorded program are touched',
    })
    .check(({ seed }) => {
      // Neither NaN nor a fraction names a sequence of random numbers.
      if (seed === undefined || (Number.isInteger(seed) && seed >= 0 && seed <= MAX_SEED)) {
        return true;
      }
      throw new UsageError(`--seed takes a whole number from 0 to ${MAX_SEED}`);
    });
}
