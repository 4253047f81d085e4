/** What strace puts before a call: who, when, and with some options more. */
import { isDigit, isNamePart, isSpace } from './lex.ts';

export type Clock = 'epoch' | 'day' | 'relative';

export interface LinePrefix {
  readonly pid?: number;
  /** Seconds: since 1970 (-ttt), since midnight (-t, -tt) or since the line before (-r). */
  readonly time?: number;
  readonly clock?: Clock;
  /** Where the call starts. */
  readonly at: number;
}

/** Relative stamps are smaller: nobody waits three years for one call. */
const smallestEpoch = 1e8;

/**
 * Reads `1234 `, `[pid 1234] `, the stamps of -r -t -tt -ttt, the instruction pointer of -i and the
 * number of -n, between `start` and `end`. Looks at the prefix only, however long the line is.
 */
export function readPrefix(text: string, start: number, end: number): LinePrefix {
  let at = skipSpaces(text, start, end);
  let pid: number | undefined;
  const owner = readOwner(text, at, end);
  if (owner !== undefined) {
    pid = owner.pid;
    at = owner.next;
  }
  let time: number | undefined;
  let clock: Clock | undefined;
  for (let rounds = 0; rounds < 4; rounds++) {
    at = skipSpaces(text, at, end);
    const stamp = readStamp(text, at, end);
    if (stamp !== undefined) {
      // With -t and -r the wall clock stands first and is the better one.
      if (clock === undefined) {
        time = stamp.time;
        clock = stamp.clock;
      }
      at = stamp.next;
      continue;
    }
    const bracket = bracketEnd(text, at, end);
    if (bracket === undefined) break;
    at = bracket;
  }
  return {
    ...(pid === undefined ? {} : { pid }),
    ...(time === undefined || clock === undefined ? {} : { time, clock }),
    at,
  };
}

/** `1234 `, `1234<comm> ` or `[pid 1234<comm>] `. */
function readOwner(
  text: string,
  start: number,
  end: number,
): { pid: number; next: number } | undefined {
  const isBracket = text.startsWith('[pid ', start);
  let at = isBracket ? skipSpaces(text, start + 5, end) : start;
  const digits = at;
  while (at < end && isDigit(text.charCodeAt(at))) at++;
  if (at === digits || at - digits > 10) return undefined;
  const pid = Number(text.slice(digits, at));
  if (text[at] === '<') {
    const close = text.indexOf('>', at);
    if (close < 0 || close - at > 40) return undefined;
    at = close + 1;
  }
  if (isBracket) return text[at] === ']' ? { pid, next: at + 1 } : undefined;
  return at < end && isSpace(text.charCodeAt(at)) ? { pid, next: at } : undefined;
}

/** `12:34:56`, `12:34:56.123456`, `1700000000.123456`, `0.000123` or `(+     0.000123)`. */
function readStamp(
  text: string,
  start: number,
  end: number,
): { time: number; clock: Clock; next: number } | undefined {
  if (text.startsWith('(+', start)) {
    const close = text.indexOf(')', start);
    if (close < 0 || close > end || close - start > 30) return undefined;
    const time = Number(text.slice(start + 2, close));
    return Number.isNaN(time) ? undefined : { time, clock: 'relative', next: close + 1 };
  }
  let at = start;
  while (at < end && at - start < 24) {
    const code = text.charCodeAt(at);
    if (!isDigit(code) && code !== 0x3a && code !== 0x2e) break;
    at++;
  }
  if (at === start || at >= end || !isSpace(text.charCodeAt(at))) return undefined;
  const word = text.slice(start, at);
  const parts = word.split(':');
  if (parts.length === 3) {
    const [hours, minutes, seconds] = parts.map(Number);
    const time = (hours ?? Number.NaN) * 3600 + (minutes ?? 0) * 60 + (seconds ?? 0);
    return Number.isNaN(time) ? undefined : { time, clock: 'day', next: at };
  }
  const time = Number(word);
  if (parts.length !== 1 || Number.isNaN(time)) return undefined;
  return { time, clock: time >= smallestEpoch ? 'epoch' : 'relative', next: at };
}

/** After the `[00007f12…]` of -i or the `[ 59]` of -n, where such stands at `start`. */
function bracketEnd(text: string, start: number, end: number): number | undefined {
  if (text[start] !== '[') return undefined;
  let at = skipSpaces(text, start + 1, end);
  const digits = at;
  while (at < end && at - digits <= 16 && isNamePart(text.charCodeAt(at))) at++;
  // -i prints question marks when the pointer cannot be read.
  if (at === digits) while (at < end && at - digits <= 16 && text[at] === '?') at++;
  return at > digits && text[at] === ']' ? at + 1 : undefined;
}

export function skipSpaces(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && isSpace(text.charCodeAt(at))) at++;
  return at;
}
