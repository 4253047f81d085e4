/**
 * The processor under the simulated kernel: the memory of the machine that is running now, and the
 * step hook that the build puts before every kernel statement.
 *
 * `cpu` holds the arrays of the *active* machine. What else of module scope belongs to the active
 * machine (task blocks, event log, chooser, sink of findings) changes with it in activate()
 * (machine.ts) and nowhere else. Kernel code, accessors and locks all work on it, so that a field
 * access is two loads and no lookup. Nothing keeps a reference to these arrays across activate() or
 * growth: read them through `cpu` each time.
 *
 * Journal entry: `journal_at` holds space (3 bits) and location (29 bits), `journal_value` the value
 * that the location had before. Undo and redo swap, so that one array serves both directions.
 */
import { assert } from '../base/assert.ts';

export const SPACE_SHIFT = 29;
export const SPACE_HEAP = 0;
export const SPACE_PTE = 1;
export const SPACE_FRAME = 2;
export const SPACE_FRAME_INDEX = 3;
export const SPACE_EVENT = 4;
export const SPACE_MARK = 5;
export const SPACE_FINDING = 6;
export const LOCATION_MASK = 0x1fff_ffff;

/** Words of a frame (`struct page`) in `cpu.frame`. */
export const FRAME_WORDS = 9;
/** Deepest call chain of one kernel operation. */
export const MAX_DEPTH = 256;
/** More steps than any slice runs. */
export const ENDLESS = 0x3fff_ffff;

/** Values in scope at a step point, by name; made by the step transform, called only when somebody looks. */
export type Locals = () => Readonly<Record<string, unknown>>;

export interface Cpu {
  /** Struct memory: doubles, addressed by word. */
  heap: Float64Array;
  /** Page tables: 512 words a table. */
  pte: Uint32Array;
  /** Page frames: FRAME_WORDS words each. */
  frame: Int32Array;
  /** `index` of each page frame: needs more than 32 bits. */
  frame_index: Float64Array;
  /** Canonical handles by granule (16 words); [0] is the null pointer. */
  handles: unknown[];
  /** Canonical `struct page` handles by pfn. */
  frame_handles: unknown[];
  /** Whether writes are journalled. */
  recording: boolean;
  journal_at: Uint32Array;
  journal_value: Float64Array;
  journal_mask: number;
  /** Entries written since boot; the next entry goes to `journal_count & journal_mask`. */
  journal_count: number;
  /** Entries that fit before the journal must grow or wrap. */
  journal_limit: number;
  grow_journal: () => void;
  /** Journal position of the mark of every 256th step. */
  step_index: Float64Array;
  /** Statements executed since boot, the parked one included. */
  step: number;
  /** Statements the running task may still execute before it parks. */
  fuel: number;
  /** Task running, or 0. */
  task: number;
  depth: number;
  /** Step site of each open frame of the running task, by depth. */
  frames: Int32Array;
  locals: (Locals | null)[];
  /** Sites with a breakpoint: the task parks there. */
  site_break: Uint8Array;
  /** Event ids with a breakpoint. */
  event_break: Uint8Array;
  /** Journal entries of the events: number so far. */
  event_count: number;
  /** Findings so far: journal entries too. */
  finding_count: number;
  on_break: (kind: 'site' | 'event', id: number) => void;
}

const nothing = (): void => {};

/** The active processor. See the head of this file. */
export const cpu: Cpu = {
  heap: new Float64Array(0),
  pte: new Uint32Array(0),
  frame: new Int32Array(0),
  frame_index: new Float64Array(0),
  handles: [null],
  frame_handles: [],
  recording: false,
  journal_at: new Uint32Array(1),
  journal_value: new Float64Array(1),
  journal_mask: 0,
  journal_count: 0,
  journal_limit: 0,
  grow_journal: nothing,
  step_index: new Float64Array(0),
  step: 0,
  fuel: 0,
  task: 0,
  depth: 0,
  frames: new Int32Array(MAX_DEPTH),
  locals: [],
  site_break: new Uint8Array(0),
  event_break: new Uint8Array(0),
  event_count: 0,
  finding_count: 0,
  on_break: nothing,
};

/** Appends one entry; the caller has checked `cpu.recording`. */
function log(space: number, location: number, old: number): void {
  const n = cpu.journal_count;
  if (n === cpu.journal_limit) cpu.grow_journal();
  const slot = n & cpu.journal_mask;
  cpu.journal_at[slot] = ((space << SPACE_SHIFT) | location) >>> 0;
  cpu.journal_value[slot] = old;
  cpu.journal_count = n + 1;
}

/**
 * The step hook: the transform puts `if (step(SITE, $d, locals)) yield;` before every statement of a
 * kernel function. Returns true when the task must park before that statement.
 */
export function step(site: number, depth: number, locals: Locals | null): boolean {
  cpu.depth = depth;
  cpu.frames[depth] = site;
  cpu.locals[depth] = locals;
  if (cpu.recording) {
    if ((cpu.step & 255) === 0) mark_step_index();
    log(SPACE_MARK, site, cpu.task * MAX_DEPTH + depth);
  }
  cpu.step++;
  if (cpu.site_break[site] === 1) {
    cpu.on_break('site', site);
  }
  return --cpu.fuel < 0;
}

function mark_step_index(): void {
  const at = cpu.step >>> 8;
  if (at >= cpu.step_index.length) {
    const grown = new Float64Array(Math.max(1024, cpu.step_index.length * 2));
    grown.set(cpu.step_index);
    cpu.step_index = grown;
  }
  cpu.step_index[at] = cpu.journal_count;
}

/** Writes one word of struct memory. */
export function write_heap(at: number, value: number): void {
  if (cpu.recording) log(SPACE_HEAP, at, cpu.heap[at] as number);
  cpu.heap[at] = value;
}

/** Reads one word of struct memory. */
export function read_heap(at: number): number {
  return cpu.heap[at] as number;
}

/** Writes one page-table entry; `at` = table number * 512 + index. */
export function write_pte(at: number, value: number): void {
  if (cpu.recording) log(SPACE_PTE, at, cpu.pte[at] as number);
  cpu.pte[at] = value;
}

export function read_pte(at: number): number {
  return cpu.pte[at] as number;
}

/** Writes one 32-bit word of a page frame; `at` = pfn * FRAME_WORDS + word. */
export function write_frame(at: number, value: number): void {
  if (cpu.recording) log(SPACE_FRAME, at, cpu.frame[at] as number);
  cpu.frame[at] = value;
}

export function write_frame_index(pfn: number, value: number): void {
  if (cpu.recording) log(SPACE_FRAME_INDEX, pfn, cpu.frame_index[pfn] as number);
  cpu.frame_index[pfn] = value;
}

/** Logs that event number `cpu.event_count` was emitted (event.ts holds its fields). */
export function log_event(): void {
  if (cpu.recording) log(SPACE_EVENT, cpu.event_count, 0);
  cpu.event_count++;
}

/** Logs that finding number `cpu.finding_count` was reported (machine.ts holds it). */
export function log_finding(): void {
  if (cpu.recording) log(SPACE_FINDING, cpu.finding_count, 0);
  cpu.finding_count++;
}

/** Swaps one journal entry with the memory it describes, undoing (`back`) or redoing it. */
function swap_entry(slot: number, back: boolean): void {
  const packed = cpu.journal_at[slot] as number;
  const at = packed & LOCATION_MASK;
  const saved = cpu.journal_value[slot] as number;
  switch (packed >>> SPACE_SHIFT) {
    case SPACE_HEAP:
      cpu.journal_value[slot] = cpu.heap[at] as number;
      cpu.heap[at] = saved;
      break;
    case SPACE_PTE:
      cpu.journal_value[slot] = cpu.pte[at] as number;
      cpu.pte[at] = saved;
      break;
    case SPACE_FRAME:
      cpu.journal_value[slot] = cpu.frame[at] as number;
      cpu.frame[at] = saved;
      break;
    case SPACE_FRAME_INDEX:
      cpu.journal_value[slot] = cpu.frame_index[at] as number;
      cpu.frame_index[at] = saved;
      break;
    case SPACE_EVENT:
      cpu.event_count = back ? at : at + 1;
      break;
    case SPACE_FINDING:
      cpu.finding_count = back ? at : at + 1;
      break;
    default:
      cpu.step += back ? -1 : 1;
  }
}

/** Takes memory, step and event counts back to journal position `to`. */
export function undo_to(to: number): void {
  assert(to >= 0 && to <= cpu.journal_count, `undo to ${to} of ${cpu.journal_count}`);
  let n = cpu.journal_count;
  const mask = cpu.journal_mask;
  while (n > to) {
    n--;
    swap_entry(n & mask, true);
  }
  cpu.journal_count = n;
}

/** Takes memory forward again to journal position `to`, which must have been reached before. */
export function redo_to(to: number): void {
  let n = cpu.journal_count;
  const mask = cpu.journal_mask;
  while (n < to) {
    swap_entry(n & mask, false);
    n++;
  }
  cpu.journal_count = n;
}
