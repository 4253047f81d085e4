/**
 * A schedule: everything about one run that the scenario does not say, namely who ran how long in
 * each race and which choices were not the undramatic one.
 *
 * Its printed form is one word that can be copied from a terminal:
 *
 *   r1_v6.18_0badcafe_04g2081a…      r + format version, kernel, scenario hash, payload
 *
 * The payload is base32 (Crockford's digits, lower case) of varints: races, slices of each (task,
 * steps), then the choices (distance to the one before, value), then 32 bits of checksum over
 * everything before it, kernel and scenario hash included. The checksum is a CRC, so that damage to
 * any single character is always noticed.
 */
import { hashHex } from '../base/hash.ts';

const FORMAT_VERSION = 1;

export interface ScheduleSlice {
  /** Ordinal of the task within its race, from 0. */
  readonly task: number;
  readonly steps: number;
}

export interface ScheduleChoice {
  /** Number of the choice within the run. */
  readonly nth: number;
  /** Alternative taken, never 0. */
  readonly value: number;
}

export interface Schedule {
  /** Preset name: `v6.18`. */
  readonly kernel: string;
  /** 32 bits, unsigned: hashText() of what the schedule belongs to. */
  readonly scenarioHash: number;
  readonly races: readonly (readonly ScheduleSlice[])[];
  /** In ascending order of `nth`. */
  readonly choices: readonly ScheduleChoice[];
}

export type ScheduleErrorKind = 'not-a-schedule' | 'unknown-version' | 'damaged' | 'mismatch';

/** A word that is no usable schedule. The message is for the user. */
export class ScheduleError extends Error {
  override readonly name = 'ScheduleError';
  readonly kind: ScheduleErrorKind;
  constructor(kind: ScheduleErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';
const WORD = /^r(\d+)_([a-z0-9.+-]+)_([0-9a-f]{8})_([0-9a-hjkmnp-tv-z]*)$/;

function pushVarint(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
}

/** CRC-32 (reflected 0xedb88320), unsigned. */
function crc32(bytes: readonly number[]): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function checksum(head: string, payload: readonly number[]): number {
  return crc32([...Array.from(head, (c) => c.charCodeAt(0)), ...payload]);
}

function toBase32(bytes: readonly number[]): string {
  let text = '';
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += DIGITS[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  // The bits left over are zero, and fromBase32() insists on it.
  if (bits > 0) text += DIGITS[(held << (5 - bits)) & 31];
  return text;
}

/** Null when the text is not what toBase32() prints. */
function fromBase32(text: string): number[] | null {
  const bytes: number[] = [];
  let held = 0;
  let bits = 0;
  for (const digit of text) {
    held = (held << 5) | DIGITS.indexOf(digit);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((held >>> bits) & 255);
    }
    held &= (1 << bits) - 1;
  }
  return bits < 5 && held === 0 ? bytes : null;
}

function head(schedule: Schedule): string {
  return `r${FORMAT_VERSION}_${schedule.kernel}_${hashHex(schedule.scenarioHash)}_`;
}

/** The one copyable word. */
export function printSchedule(schedule: Schedule): string {
  const bytes: number[] = [];
  pushVarint(bytes, schedule.races.length);
  for (const race of schedule.races) {
    pushVarint(bytes, race.length);
    for (const slice of race) {
      pushVarint(bytes, slice.task);
      pushVarint(bytes, slice.steps);
    }
  }
  pushVarint(bytes, schedule.choices.length);
  let last = 0;
  for (const choice of schedule.choices) {
    pushVarint(bytes, choice.nth - last);
    pushVarint(bytes, choice.value);
    last = choice.nth;
  }
  const sum = checksum(head(schedule), bytes);
  bytes.push(sum & 255, (sum >>> 8) & 255, (sum >>> 16) & 255, sum >>> 24);
  return head(schedule) + toBase32(bytes);
}

/** Reads varints; `damaged` when they end too early or do not end. */
class Reader {
  readonly #bytes: readonly number[];
  #at = 0;
  constructor(bytes: readonly number[]) {
    this.#bytes = bytes;
  }
  next(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 50; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
    throw damaged();
  }
  get rest(): number {
    return this.#bytes.length - this.#at;
  }
}

function damaged(): ScheduleError {
  return new ScheduleError(
    'damaged',
    'the schedule is damaged: its checksum is wrong (was it copied whole?)',
  );
}

/** Reads a schedule word. Throws ScheduleError. */
export function parseSchedule(word: string): Schedule {
  const match = WORD.exec(word);
  if (match === null) {
    throw new ScheduleError(
      'not-a-schedule',
      `not a schedule: '${word.length > 40 ? `${word.slice(0, 40)}…` : word}' (expected r1_KERNEL_HASH_…)`,
    );
  }
  const [, version = '', kernel = '', hash = '', payload = ''] = match;
  if (version !== String(FORMAT_VERSION)) {
    throw new ScheduleError(
      'unknown-version',
      `the schedule has format version ${version}; this rmapdbg reads version ${FORMAT_VERSION}`,
    );
  }
  const bytes = fromBase32(payload);
  if (bytes === null || bytes.length < 4) throw damaged();
  const [a = 0, b = 0, c = 0, d = 0] = bytes.splice(bytes.length - 4);
  const sum = (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  if (checksum(word.slice(0, word.length - payload.length), bytes) !== sum) throw damaged();

  const reader = new Reader(bytes);
  const races: ScheduleSlice[][] = [];
  for (let count = reader.next(); count > 0; count--) {
    const race: ScheduleSlice[] = [];
    for (let slices = reader.next(); slices > 0; slices--) {
      race.push({ task: reader.next(), steps: reader.next() });
    }
    races.push(race);
  }
  const choices: ScheduleChoice[] = [];
  let nth = 0;
  for (let count = reader.next(); count > 0; count--) {
    nth += reader.next();
    choices.push({ nth, value: reader.next() });
  }
  if (reader.rest !== 0) throw damaged();
  return { kernel, scenarioHash: Number.parseInt(hash, 16), races, choices };
}

/**
 * Why `schedule` must not be used for `scenarioHash` on `kernel`, naming both sides; null when it
 * fits.
 */
export function refuseMismatch(
  schedule: Schedule,
  kernel: string,
  scenarioHash: number,
): string | null {
  if (schedule.kernel !== kernel) {
    return `the schedule was made on kernel ${schedule.kernel}, this run is on ${kernel} (use --kernel ${schedule.kernel})`;
  }
  if (schedule.scenarioHash !== scenarioHash >>> 0) {
    return `the schedule was made for scenario ${hashHex(schedule.scenarioHash)}, this one is ${hashHex(scenarioHash)}: the scenario has changed since`;
  }
  return null;
}

/** The choices of a run as a schedule keeps them. */
export function scheduleChoices(made: readonly number[]): ScheduleChoice[] {
  return made.flatMap((value, nth) => (value === 0 ? [] : [{ nth, value }]));
}

/** A chooser's answer from recorded choices: 0 where nothing is recorded. */
export function plannedChoices(
  choices: readonly ScheduleChoice[],
): (kind: string, count: number, nth: number) => number {
  const byNumber = new Map(choices.map((c) => [c.nth, c.value]));
  return (_kind, count, nth) => Math.min(byNumber.get(nth) ?? 0, count - 1);
}
