/**
 * Questions to the journal of the active machine, answered by scanning it backwards: nothing is
 * executed and nothing moves. `oldest` is always the first entry that the ring still holds.
 */
import { cpu, LOCATION_MASK, MAX_DEPTH, SPACE_MARK, SPACE_SHIFT } from './cpu.ts';

/** A mark: the statement before which a task was parked, or through which it ran. */
export interface Mark {
  readonly task: number;
  readonly site: number;
  readonly depth: number;
}

/** The last write of one word. */
export interface LastWrite {
  /** Step whose statement was running. */
  readonly step: number;
  /** Journal position of the write. */
  readonly entry: number;
  /** Value of the word before. */
  readonly old: number;
}

function isMark(n: number): boolean {
  return (cpu.journal_at[n & cpu.journal_mask] as number) >>> SPACE_SHIFT === SPACE_MARK;
}

function markAt(n: number): Mark {
  const slot = n & cpu.journal_mask;
  const value = cpu.journal_value[slot] as number;
  return {
    task: Math.floor(value / MAX_DEPTH),
    site: (cpu.journal_at[slot] as number) & LOCATION_MASK,
    depth: value % MAX_DEPTH,
  };
}

/**
 * Journal position right after mark number `mark` (from 0), which the journal must hold. `end` and
 * `endStep` are the end of recorded history, `first` the first mark that was recorded.
 */
export function entryAfterMark(
  mark: number,
  first: number,
  oldest: number,
  end: number,
  endStep: number,
): number {
  const block = mark >>> 8;
  // The index knows where the mark of every 256th step is.
  const known = Math.max(block * 256, first);
  let n = known === first ? 0 : (cpu.step_index[block] as number);
  if (n >= oldest) {
    for (let at = known; ; n++) {
      if (!isMark(n)) continue;
      if (at === mark) return n + 1;
      at++;
    }
  }
  // The ring has dropped that one: count back from the next.
  const next = (block + 1) * 256;
  let at = Math.min(next, endStep);
  n = next < endStep ? (cpu.step_index[block + 1] as number) : end;
  for (n--; ; n--) {
    if (!isMark(n)) continue;
    at--;
    if (at === mark) return n + 1;
  }
}

/** The last mark before journal position `before`, of `task` if that is not 0; null if there is none. */
export function lastMarkBack(oldest: number, before: number, task: number): Mark | null {
  for (let n = before - 1; n >= oldest; n--) {
    if (!isMark(n)) continue;
    const mark = markAt(n);
    if (task === 0 || mark.task === task) return mark;
  }
  return null;
}

/**
 * Looks at marks from the current position backwards until `found` says true; returns the step at
 * which that mark's statement is about to run, or -1. The current mark itself is looked at first.
 */
export function findMarkBack(
  oldest: number,
  found: (task: number, site: number, depth: number, step: number) => boolean,
): number {
  let step = cpu.step;
  for (let n = cpu.journal_count - 1; n >= oldest; n--) {
    const slot = n & cpu.journal_mask;
    const packed = cpu.journal_at[slot] as number;
    if (packed >>> SPACE_SHIFT !== SPACE_MARK) continue;
    const value = cpu.journal_value[slot] as number;
    const task = Math.floor(value / MAX_DEPTH);
    if (found(task, packed & LOCATION_MASK, value % MAX_DEPTH, step)) return step;
    step--;
  }
  return -1;
}

/**
 * The innermost mark of each depth of a task's operation, outermost first: its call chain at the
 * current position. `start` is where the operation began; deeper marks than `deepest` belong to calls
 * that had returned before the task blocked.
 */
export function framesBack(task: number, start: number, deepest: number): Mark[] {
  const frames: Mark[] = [];
  let above = deepest + 1;
  for (let n = cpu.journal_count - 1; n >= start && above > 1; n--) {
    const slot = n & cpu.journal_mask;
    if ((cpu.journal_at[slot] as number) >>> SPACE_SHIFT !== SPACE_MARK) continue;
    const value = cpu.journal_value[slot] as number;
    const depth = value % MAX_DEPTH;
    if (depth >= above || Math.floor(value / MAX_DEPTH) !== task) continue;
    above = depth;
    frames.push(markAt(n));
  }
  return frames.reverse();
}

/** Last write of a word at or before the current position; null if the journal holds none. */
export function lastWriteBack(oldest: number, space: number, location: number): LastWrite | null {
  const packed = ((space << SPACE_SHIFT) | location) >>> 0;
  let step = cpu.step;
  for (let n = cpu.journal_count - 1; n >= oldest; n--) {
    const slot = n & cpu.journal_mask;
    const entry = cpu.journal_at[slot] as number;
    if (entry === packed) return { step, entry: n, old: cpu.journal_value[slot] as number };
    if (entry >>> SPACE_SHIFT === SPACE_MARK) step--;
  }
  return null;
}
