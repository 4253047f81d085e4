import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { profiles } from '../live/oracle.ts';
import { programPath, readTimes } from './programs.ts';

test('kernel-times.json has a time for each profile of programs that there are', () => {
  const times = readTimes();
  const ofPrograms = new Set(times.programs.map((name) => name.replace(/-\d+$/, '')));
  expect(Object.keys(times.profiles).sort()).toEqual([...ofPrograms].sort());
  expect(profiles).toEqual(expect.arrayContaining([...ofPrograms]));
  expect(ofPrograms.size).toBeGreaterThanOrEqual(12);
  expect(times.programs.every((name) => existsSync(programPath(name)))).toBe(true);
  for (const { count, mean, best } of Object.values(times.profiles)) {
    expect(count).toBeGreaterThan(100);
    expect(best).toBeGreaterThan(0);
    expect(mean).toBeGreaterThanOrEqual(best);
  }
});
