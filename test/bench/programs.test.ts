import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { profiles } from '../live/oracle.ts';
import { programNames, programPath, readTimes } from './programs.ts';

test('kernel-times.json has a time for each profile, of exactly the programs that there are', () => {
  const times = readTimes();
  expect(Object.keys(times.profiles).sort()).toEqual([...profiles].sort());
  expect(times.programs).toEqual(programNames(profiles));
  expect(times.programs.every((name) => existsSync(programPath(name)))).toBe(true);
  for (const { count, mean, best } of Object.values(times.profiles)) {
    expect(count).toBeGreaterThan(100);
    expect(best).toBeGreaterThan(0);
    expect(mean).toBeGreaterThanOrEqual(best);
  }
});
