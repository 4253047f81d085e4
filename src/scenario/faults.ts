/**
 * Page faults recorded by perf, and their place among the calls of an strace log.
 *
 *     perf record -e page-faults -d -k CLOCK_REALTIME …
 *     perf script -F pid,tid,time,event,addr
 */
import type { Expr, Operation } from './ast.ts';
import { isSpace } from './lex.ts';
import { type Span, spanInLine } from './source.ts';

export interface PageFault {
  readonly pid: number;
  readonly tid: number;
  /** Seconds, on the clock that perf was told to use. */
  readonly time: number;
  readonly addr: number;
  readonly kind: 'minor' | 'major' | 'unknown';
  /** Whether it was a store, where the event tells (exceptions:page_fault_user). */
  readonly isWrite?: boolean;
  readonly span: Span;
}

export interface FaultList {
  readonly faults: readonly PageFault[];
  /** Lines that are no page fault; comments and empty lines are not counted. */
  readonly unreadLines: number;
}

/** Reads `perf script` lines. Never throws; linear. */
export function parseFaults(text: string): FaultList {
  const faults: PageFault[] = [];
  let unreadLines = 0;
  let line = 0;
  let start = 0;
  while (start < text.length) {
    line++;
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    // A fault's line is short; longer ones are something else and are not looked through.
    const words = wordsOf(text.slice(start, Math.min(end, start + 400)));
    if (words.length > 0 && !words[0]?.startsWith('#')) {
      const fault = readFault(words, spanInLine(line, start, start, end));
      if (fault) faults.push(fault);
      else unreadLines++;
    }
    start = end + 1;
  }
  return { faults, unreadLines };
}

function wordsOf(line: string): string[] {
  const words: string[] = [];
  let at = 0;
  while (at < line.length) {
    while (at < line.length && isSpace(line.charCodeAt(at))) at++;
    const start = at;
    while (at < line.length && !isSpace(line.charCodeAt(at))) at++;
    if (at > start) words.push(line.slice(start, at));
  }
  return words;
}

/** `[COMM…] PID/TID TIME: [PERIOD] EVENT: ADDR…`. */
function readFault(words: readonly string[], span: Span): PageFault | undefined {
  const owner = words.findIndex((word) => /^\d{1,10}\/\d{1,10}$/.test(word));
  const ids = words[owner]?.split('/') ?? [];
  // Between owner and time perf may print the processor, as [003].
  const stamp = words.findIndex((word, i) => i > owner && /^\d{1,12}\.\d{1,9}:$/.test(word));
  if (owner < 0 || stamp < 0 || stamp > owner + 2) return undefined;
  const time = Number(words[stamp]?.slice(0, -1));
  const event = words.findIndex((word, i) => i > stamp && /fault/.test(word) && word.endsWith(':'));
  if (event < 0 || event > stamp + 2) return undefined;
  const name = words[event] ?? '';
  const fields = words.slice(event + 1);
  const written = fields.find((word) => word.startsWith('address=')) ?? fields[0] ?? '';
  const digits = written.replace(/^address=/, '').replace(/^0x/, '');
  if (!/^[0-9a-f]{1,16}$/.test(digits)) return undefined;
  const addr = Number.parseInt(digits, 16);
  if (!Number.isSafeInteger(addr)) return undefined;
  const code = fields.find((word) => word.startsWith('error_code='))?.slice('error_code='.length);
  const bits = code === undefined ? undefined : Number.parseInt(code, 16);
  return {
    pid: Number(ids[0]),
    tid: Number(ids[1]),
    time,
    addr,
    kind: name.startsWith('major') ? 'major' : name.startsWith('minor') ? 'minor' : 'unknown',
    // Bit 1 of the x86 error code: the access was a write.
    ...(bits === undefined || Number.isNaN(bits) ? {} : { isWrite: (bits & 2) !== 0 }),
    span,
  };
}

export interface MergedFaults {
  readonly operations: readonly Operation[];
  /** Faults of tasks that the log does not know, or before their first call. */
  readonly unplaced: number;
}

/**
 * The operations with a `touch` (`store` or `load` where the fault tells which) for every fault, in
 * the order of their stamps. Operations keep their own order, and a task's faults come after the call
 * that made it. `offset` seconds are added to the stamps of the faults where perf used another clock.
 * Without stamps in the log nothing can be placed.
 */
export function mergeFaults(
  operations: readonly Operation[],
  faults: readonly PageFault[],
  offset = 0,
): MergedFaults {
  const births = birthsOf(operations);
  const ordered = faults
    .filter(
      (fault) => (births.get(fault.tid)?.time ?? Number.POSITIVE_INFINITY) <= fault.time + offset,
    )
    .sort((a, b) => a.time - b.time);
  const merged: Operation[] = [];
  /** Faults of tasks whose making call stands later, although it began earlier. */
  const early = new Map<number, Operation[]>();
  let next = 0;
  for (const [index, operation] of operations.entries()) {
    const time = operation.time;
    while (time !== undefined && next < ordered.length) {
      const fault = ordered[next] as PageFault;
      if (fault.time + offset >= time) break;
      const touch = touchOf(fault, fault.time + offset);
      if ((births.get(fault.tid)?.index ?? 0) < index) merged.push(touch);
      else hold(early, fault.tid, touch);
      next++;
    }
    merged.push(operation);
    const child = operation.child?.pid;
    const held = child === undefined ? undefined : early.get(child);
    if (child !== undefined && held !== undefined) {
      for (const touch of held) merged.push(touch);
      early.delete(child);
    }
  }
  for (const fault of ordered.slice(next)) merged.push(touchOf(fault, fault.time + offset));
  return { operations: merged, unplaced: faults.length - ordered.length };
}

function hold(early: Map<number, Operation[]>, tid: number, touch: Operation): void {
  const held = early.get(tid);
  if (held) held.push(touch);
  else early.set(tid, [touch]);
}

interface Birth {
  /** When the task is first known to exist. */
  readonly time: number;
  /** The operation that made it; -1 for a task that made its first call by itself. */
  readonly index: number;
}

function birthsOf(operations: readonly Operation[]): Map<number, Birth> {
  const births = new Map<number, Birth>();
  for (const [index, { actor, child, time }] of operations.entries()) {
    if (time === undefined) continue;
    if (actor.kind === 'pid' && !births.has(actor.pid)) births.set(actor.pid, { time, index: -1 });
    if (child?.pid !== undefined && !births.has(child.pid)) births.set(child.pid, { time, index });
  }
  return births;
}

function touchOf(fault: PageFault, time: number): Operation {
  const { span } = fault;
  const text = `0x${fault.addr.toString(16)}`;
  const address: Expr = { kind: 'number', value: fault.addr, text, span };
  const callee = fault.isWrite === undefined ? 'touch' : fault.isWrite ? 'store' : 'load';
  return {
    kind: 'operation',
    origin: 'trace',
    actor: { kind: 'pid', pid: fault.tid, span },
    callee,
    calleeSpan: span,
    args: [address],
    time,
    span,
  };
}
