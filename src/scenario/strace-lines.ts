/**
 * First half of reading an strace log: physical lines to whole calls. Joins interrupted calls, finds
 * out whose a line without an owner is, and puts the call that made a task before the task's first
 * line. Looks into the calls of interest only, and keeps offsets instead of text.
 */
import { isNamePart, isNameStart, isSpace, type Segment } from './lex.ts';
import { type Clock, readPrefix, skipSpaces } from './strace-line.ts';
import { maxNotes, type TraceNote } from './trace-facts.ts';

/** One call, or the end of a task. */
export interface TraceCall {
  /** Order in the program: the line of completion, or half a line before the new task's first. */
  order: number;
  /** The line where it began. */
  readonly line: number;
  /** 0 until known. */
  readonly pid: number;
  /** The system call's name, or `+++` for the end of a task. */
  readonly name: string;
  readonly segments: readonly Segment[];
  readonly time: number | undefined;
  /** For calls that make a task. */
  child?: number;
}

export interface TraceLines {
  /** In program order. */
  readonly calls: TraceCall[];
  /** Ids in order of appearance, the traced program first. */
  readonly pids: readonly number[];
  readonly skipped: Map<string, number>;
  readonly clock: Clock | undefined;
  readonly notes: TraceNote[];
  readonly unreadLines: number;
}

/** What the second half wants of the first. */
export interface Interest {
  /** Whether a call's text is needed; the others are only counted. */
  readonly wants: (name: string) => boolean;
  readonly isSystemCall: (name: string) => boolean;
  /** The new task's id in the result of a fork-like call, or undefined for other calls. */
  readonly childOf: (call: TraceCall) => number | undefined;
  readonly makesTask: (name: string) => boolean;
}

const unfinishedMark = '<unfinished ...>';

/** An owner, stamps and segments of a line or of a line so far. */
interface OpenLine {
  readonly pid: number;
  readonly time: number | undefined;
  readonly segments: Segment[];
}

/** Reads all lines of `text`. Linear in its length. */
export function readTraceLines(text: string, interest: Interest): TraceLines {
  const reader = new LineReader(text, interest);
  let line = 0;
  let start = 0;
  while (start < text.length) {
    line++;
    const newline = text.indexOf('\n', start);
    let end = newline < 0 ? text.length : newline;
    const next = newline < 0 ? text.length : newline + 1;
    while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
    reader.add({ line, lineOffset: start, start, end }, newline < 0);
    start = next;
  }
  return reader.finish();
}

class LineReader {
  readonly #text: string;
  readonly #interest: Interest;
  readonly #calls: TraceCall[] = [];
  readonly #skipped = new Map<string, number>();
  readonly #notes: TraceNote[] = [];
  #unread = 0;
  #clock: Clock | undefined;
  #sum = 0;
  /** Calls that have begun, by owner. */
  readonly #pending = new Map<number, TraceCall>();
  /** First line of a task's present life, by id. */
  readonly #firstLine = new Map<number, number>();
  readonly #ended = new Set<number>();
  readonly #alive = new Set<number>();
  /** Ids that a fork-like call or `Process N attached` told of. */
  readonly #born = new Set<number>();
  /** The traced program's id; 0 while lines had no owner. */
  #main: number | undefined;
  #carried: OpenLine | undefined;
  #needsSort = false;

  constructor(text: string, interest: Interest) {
    this.#text = text;
    this.#interest = interest;
  }

  add(segment: Segment, isCut: boolean): void {
    if (segment.start >= segment.end && this.#carried === undefined) return;
    const open = this.#carried ? this.#continued(this.#carried, segment) : this.#begun(segment);
    this.#carried = undefined;
    if (open !== undefined) this.#readBody(open, segment, isCut);
  }

  finish(): TraceLines {
    if (this.#carried) this.#note(this.#carried.segments[0]?.line ?? 0, 'a call without its end');
    this.#adoptOrphans();
    for (const call of this.#pending.values()) {
      if (!this.#interest.wants(call.name) || call.name.startsWith('exit')) continue;
      this.#note(call.line, `${call.name} of ${call.pid} never ended and is left out`);
    }
    const main = this.#main ?? 0;
    const calls = main === 0 ? this.#calls : this.#calls.map((call) => ownedBy(call, main));
    if (this.#needsSort) calls.sort((a, b) => a.order - b.order);
    const pids = [main, ...[...this.#firstLine.keys()].filter((pid) => pid !== main && pid !== 0)];
    return {
      calls,
      pids: this.#main === undefined ? pids.slice(1) : pids,
      skipped: this.#skipped,
      clock: this.#clock,
      notes: this.#notes,
      unreadLines: this.#unread,
    };
  }

  #continued(carried: OpenLine, segment: Segment): OpenLine {
    carried.segments.push(segment);
    return carried;
  }

  /** Owner and stamps of a line; undefined when the line says nothing about a call. */
  #begun(segment: Segment): OpenLine | undefined {
    const text = this.#text;
    const first = skipSpaces(text, segment.start, segment.end);
    if (text.startsWith('strace: ', first)) {
      this.#readMessage(text.slice(first, Math.min(segment.end, first + 200)), segment.line);
      return undefined;
    }
    // -k prints the stack under a call.
    if (text.startsWith('> ', first)) return undefined;
    const prefix = readPrefix(text, segment.start, segment.end);
    const time = this.#timeOf(prefix.time, prefix.clock);
    const pid = this.#owner(prefix.pid, segment, prefix.at);
    const rest = { ...segment, start: prefix.at };
    return { pid, time, segments: [rest] };
  }

  #timeOf(time: number | undefined, clock: Clock | undefined): number | undefined {
    if (time === undefined || clock === undefined) return undefined;
    this.#clock ??= clock;
    if (clock !== 'relative') return time;
    this.#sum += time;
    return this.#sum;
  }

  #owner(written: number | undefined, segment: Segment, at: number): number {
    if (written === undefined) return this.#ownerOfUnprefixed();
    const isFirst = !this.#firstLine.has(written) || this.#ended.has(written);
    if (!isFirst) return written;
    const isResumed = this.#text.startsWith('<...', at);
    const canBeMain = !this.#born.has(written) && (isResumed || !this.#pending.has(0));
    if (this.#main === 0 && canBeMain) {
      this.#becomeMain(written);
      return written;
    }
    this.#main ??= written;
    this.#appear(written, segment.line);
    return written;
  }

  /** strace leaves the owner out while only one task is left. */
  #ownerOfUnprefixed(): number {
    if (this.#main === undefined) {
      this.#main = 0;
      this.#appear(0, 1);
      return 0;
    }
    if (this.#alive.size === 1) for (const pid of this.#alive) return pid;
    return this.#main;
  }

  #appear(pid: number, line: number): void {
    this.#ended.delete(pid);
    this.#firstLine.set(pid, line);
    this.#alive.add(pid);
  }

  /** The lines without owner so far were this task's. */
  #becomeMain(pid: number): void {
    this.#main = pid;
    this.#firstLine.delete(0);
    this.#alive.delete(0);
    this.#appear(pid, 1);
    const open = this.#pending.get(0);
    if (open) {
      this.#pending.delete(0);
      this.#pending.set(pid, open);
    }
  }

  /** `strace: Process 1234 attached` and its like. */
  #readMessage(message: string, line: number): void {
    const words = message.split(' ');
    const pid = Number(words[2]);
    if (words[1] !== 'Process' || !Number.isInteger(pid)) return;
    if (words[3] === 'attached') {
      this.#born.add(pid);
      if (!this.#firstLine.has(pid) || this.#ended.has(pid)) this.#appear(pid, line);
    } else if (words[3]?.startsWith('detached')) {
      this.#end(pid);
    }
  }

  #end(pid: number): void {
    this.#ended.add(pid);
    this.#alive.delete(pid);
  }

  #readBody(open: OpenLine, segment: Segment, isCut: boolean): void {
    const text = this.#text;
    const start = open.segments[0]?.start ?? segment.start;
    if (text.startsWith('+++ ', start)) this.#readEnd(open, segment);
    else if (text.startsWith('<... ', start)) this.#readResumed(open, segment, isCut);
    else if (!text.startsWith('--- ', start)) this.#readCall(open, segment, isCut);
  }

  #readCall(open: OpenLine, segment: Segment, isCut: boolean): void {
    const text = this.#text;
    const first = open.segments[0] as Segment;
    const start = first.start;
    const name = wordAt(text, start, first.end);
    if (name === '' || text[start + name.length] !== '(' || !this.#interest.isSystemCall(name)) {
      this.#unread++;
      if (isCut) this.#noteCut(segment.line);
      return;
    }
    if (this.#carries(open, segment)) return;
    this.#begin(open, name, segment, isCut);
  }

  /** A message of strace's own can break into a call: `vfork(strace: Process 7 attached`. */
  #carries(open: OpenLine, segment: Segment): boolean {
    const text = this.#text;
    if (!text.startsWith(' attached', segment.end - 9)) return false;
    const from = Math.max(segment.start, segment.end - 40);
    const at = text.slice(from, segment.end).lastIndexOf('strace: Process ');
    if (at < 0) return false;
    this.#readMessage(text.slice(from + at, segment.end), segment.line);
    const last = open.segments.pop() as Segment;
    open.segments.push({ ...last, end: from + at });
    this.#carried = open;
    return true;
  }

  #begin(open: OpenLine, name: string, segment: Segment, isCut: boolean): void {
    const wanted = this.#interest.wants(name);
    if (!wanted) this.#skipped.set(name, (this.#skipped.get(name) ?? 0) + 1);
    const { pid, time } = open;
    const call: TraceCall = {
      order: segment.line,
      line: open.segments[0]?.line ?? segment.line,
      pid,
      name,
      segments: open.segments,
      time,
    };
    const markAt = segment.end - unfinishedMark.length;
    if (markAt >= segment.start && this.#text.startsWith(unfinishedMark, markAt)) {
      const last = open.segments.pop() as Segment;
      open.segments.push({ ...last, end: markAt });
      this.#pending.set(pid, call);
      // The task is not seen again: exit does not return, and its memory goes from here on.
      if (name === 'exit_group' || name === 'exit') this.#calls.push(call);
      return;
    }
    if (wanted) this.#complete(call, segment, isCut);
    else if (isCut) this.#noteCut(segment.line);
  }

  #readResumed(open: OpenLine, segment: Segment, isCut: boolean): void {
    const text = this.#text;
    const first = open.segments[0] as Segment;
    const name = wordAt(text, first.start + 5, first.end);
    const close = first.start + 5 + name.length;
    if (!text.startsWith(' resumed>', close)) {
      this.#unread++;
      return;
    }
    const begun = this.#pending.get(open.pid);
    if (begun === undefined || begun.name !== name) {
      if (this.#interest.wants(name)) {
        this.#note(segment.line, `${name} of ${open.pid} has no beginning and is left out`);
      }
      return;
    }
    if (this.#carries(open, segment)) return;
    this.#pending.delete(open.pid);
    if (!this.#interest.wants(name) || name === 'exit_group' || name === 'exit') return;
    const after = close + ' resumed>'.length;
    const rest = open.segments.map((part) => (part === first ? { ...part, start: after } : part));
    const segments = [...begun.segments, ...rest];
    // Another thread may be given the range before munmap is seen to return, so it counts from its
    // beginning; every other call counts from its end.
    const order = name === 'munmap' ? begun.line : segment.line;
    if (order !== segment.line) this.#needsSort = true;
    this.#complete({ ...begun, order, segments }, segment, isCut);
  }

  #complete(call: TraceCall, segment: Segment, isCut: boolean): void {
    if (isCut && !this.#hasResult(call)) {
      this.#noteCut(segment.line);
      return;
    }
    const child = this.#interest.childOf(call);
    if (child !== undefined && child > 0) this.#linkChild(call, child);
    this.#calls.push(call);
  }

  #hasResult(call: TraceCall): boolean {
    const last = call.segments[call.segments.length - 1];
    if (last === undefined) return false;
    const tail = this.#text.slice(Math.max(last.start, last.end - 300), last.end);
    const equals = tail.lastIndexOf(') ');
    return equals >= 0 && /= *\S/.test(tail.slice(equals));
  }

  /** A new task may print before the call that made it ends: the call then comes first. */
  #linkChild(call: TraceCall, child: number): void {
    call.child = child;
    this.#born.add(child);
    const first = this.#firstLine.get(child);
    // The same line only where `Process N attached` broke into the call.
    if (first !== undefined && first >= call.line && first <= call.order) {
      call.order = first - 0.5;
      this.#needsSort = true;
    } else if (first === undefined || this.#ended.has(child)) {
      // Not seen yet, but alive: lines without owner are not the sole task's any more.
      this.#alive.add(child);
    }
  }

  #readEnd(open: OpenLine, segment: Segment): void {
    const text = this.#text.slice(segment.start, Math.min(segment.end, segment.start + 200));
    const superseded = /\+\+\+ superseded by execve in pid (\d+)/.exec(text);
    if (superseded) {
      // The leader's id goes on with the thread that called execve.
      const caller = Number(superseded[1]);
      const call = this.#pending.get(caller);
      if (call) this.#pending.set(open.pid, { ...call, pid: open.pid });
      this.#pending.delete(caller);
      this.#end(caller);
      return;
    }
    this.#calls.push({
      order: segment.line,
      line: segment.line,
      pid: open.pid,
      name: '+++',
      segments: open.segments,
      time: open.time,
    });
    this.#end(open.pid);
  }

  /** Calls whose end is not in the log but whose child is: the log was cut, or the parent killed. */
  #adoptOrphans(): void {
    const orphans = [...this.#firstLine].filter(
      ([pid]) => pid !== this.#main && !this.#hasMaker(pid),
    );
    const makers = [...this.#pending].filter(([, call]) => this.#interest.makesTask(call.name));
    makers.sort(([, a], [, b]) => a.line - b.line);
    orphans.sort(([, a], [, b]) => a - b);
    let next = 0;
    for (const [pid, call] of makers) {
      while (next < orphans.length && (orphans[next]?.[1] ?? 0) <= call.line) {
        this.#noteOrphan(orphans[next]);
        next++;
      }
      const orphan = orphans[next];
      if (orphan === undefined) break;
      next++;
      this.#pending.delete(pid);
      this.#calls.push({ ...call, order: orphan[1] - 0.5, child: orphan[0] });
      this.#needsSort = true;
      const guess = `${orphan[0]} is taken for its child`;
      this.#note(call.line, `${call.name} of ${call.pid} has no end; ${guess}`);
    }
    for (const orphan of orphans.slice(next)) this.#noteOrphan(orphan);
  }

  #noteOrphan(orphan: readonly [pid: number, line: number] | undefined): void {
    if (orphan === undefined || orphan[0] === 0) return;
    this.#note(orphan[1], `task ${orphan[0]} appears without the call that made it`);
  }

  #makers: Set<number> | undefined;

  #hasMaker(pid: number): boolean {
    this.#makers ??= new Set(this.#calls.map((call) => call.child ?? -1));
    return this.#makers.has(pid);
  }

  #noteCut(line: number): void {
    this.#note(line, 'the log ends in the middle of this line; everything before it is used');
  }

  #note(line: number, message: string): void {
    if (this.#notes.length < maxNotes) this.#notes.push({ line, message });
  }
}

function ownedBy(call: TraceCall, main: number): TraceCall {
  return call.pid === 0 ? { ...call, pid: main } : call;
}

function wordAt(text: string, start: number, end: number): string {
  let at = start;
  if (at >= end || !isNameStart(text.charCodeAt(at))) return '';
  while (at < end && isNamePart(text.charCodeAt(at))) at++;
  return text.slice(start, at);
}
