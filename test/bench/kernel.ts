/**
 * `npm run bench:kernel`: how long the kernel of this machine takes for the programs that `npm run bench`
 * runs on the simulated one, written to kernel-times.json. Where they cannot be run it says why and leaves
 * that file as it is.
 */
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { build, missing, profiles, timed } from '../live/oracle.ts';
import { type KernelTimes, programNames, programPath, timesFile } from './programs.ts';

const RUNS = 60;

function main(): void {
  const reasons = missing();
  if (reasons.length > 0) {
    console.log(`skipped: running programs on a real kernel needs ${reasons.join(', ')}`);
    return;
  }
  build();
  const programs = programNames(profiles);
  const measured = timed(programs.map(programPath), RUNS);
  const times: KernelTimes = {
    kernel: /^[\d.]+/.exec(os.release())?.[0] ?? os.release(),
    cpu: `${os.cpus().length} x ${os.cpus()[0]?.model.trim() ?? '?'}`,
    runs: RUNS,
    programs,
    ...measured,
  };
  writeFileSync(timesFile, `${JSON.stringify(times, null, 2)}\n`);
  console.log(`${timesFile}: Linux ${times.kernel}, ${times.cpu}, ${programs.length} programs`);
}

main();
