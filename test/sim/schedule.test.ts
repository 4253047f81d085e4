import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  parseSchedule,
  plannedChoices,
  printSchedule,
  refuseMismatch,
  type Schedule,
  ScheduleError,
  scheduleChoices,
} from '../../src/sim/schedule.ts';

const slice = fc.record({ task: fc.nat(40), steps: fc.nat(2 ** 30) });
const anySchedule: fc.Arbitrary<Schedule> = fc
  .record({
    kernel: fc.constantFrom('v6.18', 'v2.3.99-anon', 'v2.6.34-rc3', 'next-lazy', 'root-only'),
    scenarioHash: fc.nat(0xffff_ffff),
    races: fc.array(fc.array(slice, { maxLength: 8 }), { maxLength: 4 }),
    choices: fc.uniqueArray(
      fc.record({ nth: fc.nat(100_000), value: fc.integer({ min: 1, max: 300 }) }),
      { selector: (c) => c.nth, maxLength: 6 },
    ),
  })
  .map((s) => ({ ...s, choices: s.choices.toSorted((a, b) => a.nth - b.nth) }));

const example: Schedule = {
  kernel: 'v2.6.34-mel',
  scenarioHash: 0x0badcafe,
  races: [
    [
      { task: 0, steps: 17 },
      { task: 1, steps: 300 },
    ],
    [],
  ],
  choices: [{ nth: 4, value: 1 }],
};

function kindOf(word: string): string {
  try {
    parseSchedule(word);
  } catch (error) {
    if (error instanceof ScheduleError) return error.kind;
    throw error;
  }
  return 'accepted';
}

describe('a schedule word', () => {
  test('is stable: old words must stay readable', () => {
    expect(printSchedule(example)).toMatchInlineSnapshot(
      `"r1_v2.6.34-mel_0badcafe_08100481ng10008405gx1rt2"`,
    );
    expect(parseSchedule(printSchedule(example))).toEqual(example);
  });

  test('is one word and parses to what was printed', () => {
    fc.assert(
      fc.property(anySchedule, (schedule) => {
        const word = printSchedule(schedule);
        expect(word).toMatch(/^[a-z0-9._+-]+$/);
        expect(parseSchedule(word)).toEqual(schedule);
      }),
      { numRuns: 500, seed: 3 },
    );
  });

  test('is refused after damage to any single character', () => {
    const letters = '0123456789abcdefghijklmnopqrstuvwxyz._-+ZX ';
    fc.assert(
      fc.property(anySchedule, fc.nat(), fc.nat(), (schedule, where, what) => {
        const word = printSchedule(schedule);
        const at = where % word.length;
        const letter = letters[what % letters.length] as string;
        fc.pre(letter !== word[at]);
        expect(kindOf(word.slice(0, at) + letter + word.slice(at + 1))).not.toBe('accepted');
      }),
      { numRuns: 3000, seed: 4 },
    );
    const word = printSchedule(example);
    for (let at = 0; at < word.length; at++) {
      expect(kindOf(word.slice(0, at) + word.slice(at + 1))).not.toBe('accepted');
      for (const letter of letters) {
        if (letter === word[at]) continue;
        expect(kindOf(word.slice(0, at) + letter + word.slice(at + 1))).not.toBe('accepted');
      }
    }
  });

  test('is refused with the reason', () => {
    expect(kindOf('')).toBe('not-a-schedule');
    expect(kindOf('hello')).toBe('not-a-schedule');
    expect(kindOf(printSchedule(example).toUpperCase())).toBe('not-a-schedule');
    expect(kindOf(printSchedule(example).replace('r1_', 'r2_'))).toBe('unknown-version');
    expect(kindOf(printSchedule(example).slice(0, -3))).toBe('damaged');
    expect(kindOf('r1_v6.18_00000000_')).toBe('damaged');
    expect(() => parseSchedule('r7_v6.18_00000000_00')).toThrow(
      'the schedule has format version 7; this rmapdbg reads version 1',
    );
  });
});

describe('refuseMismatch', () => {
  test('names both sides, and is silent when they agree', () => {
    expect(refuseMismatch(example, 'v2.6.34-mel', 0x0badcafe)).toBeNull();
    expect(refuseMismatch(example, 'v6.18', 0x0badcafe)).toBe(
      'the schedule was made on kernel v2.6.34-mel, this run is on v6.18 (use --kernel v2.6.34-mel)',
    );
    expect(refuseMismatch(example, 'v2.6.34-mel', 1)).toContain('0badcafe');
    expect(refuseMismatch(example, 'v2.6.34-mel', 1)).toContain('00000001');
    // Hashes are compared as 32 bits, however they are signed.
    expect(refuseMismatch({ ...example, scenarioHash: 0xffff_ffff }, 'v2.6.34-mel', -1)).toBeNull();
  });
});

describe('choices', () => {
  test('keep only what was not the undramatic one, and answer the same again', () => {
    const made = [0, 0, 2, 0, 1];
    const kept = scheduleChoices(made);
    expect(kept).toEqual([
      { nth: 2, value: 2 },
      { nth: 4, value: 1 },
    ]);
    const choose = plannedChoices(kept);
    expect(made.map((_, nth) => choose('trylock', 3, nth))).toEqual(made);
    expect(choose('trylock', 2, 2)).toBe(1);
  });
});
