/** The programs whose speed is compared with a real kernel's: the recorded random ones of each profile. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const recordings = path.resolve('test/conform/recordings');

export const timesFile = path.resolve('test/bench/kernel-times.json');

/** One time, in nanoseconds for each operation. */
export interface Time {
  readonly count: number;
  readonly mean: number;
  /** Mean over the operations of the fastest run of each. */
  readonly best: number;
}

/** What `npm run bench:kernel` measured. */
export interface KernelTimes {
  readonly kernel: string;
  readonly cpu: string;
  readonly runs: number;
  readonly programs: readonly string[];
  /** By the name of the operation. */
  readonly operations: Readonly<Record<string, Time>>;
  /** Without exit, which is measured from outside, and ksm, which is a pass over all of memory. */
  readonly profiles: Readonly<Record<string, Time>>;
}

export function programPath(name: string): string {
  return path.join(recordings, `${name}.jsonl.gz`);
}

/** `cow-1`, `cow-2` …: all of the given profiles. */
export function programNames(profiles: readonly string[]): readonly string[] {
  const files = readdirSync(recordings).map((file) => file.replace(/\.jsonl\.gz$/, ''));
  return profiles.flatMap((profile) =>
    files.filter((name) => new RegExp(`^${profile}-\\d+$`).test(name)).sort(),
  );
}

export function readTimes(): KernelTimes {
  return JSON.parse(readFileSync(timesFile, 'utf8')) as KernelTimes;
}
