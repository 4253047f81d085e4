/**
 * Contents of page frames. A frame holds a content id: a name for an immutable sequence of 4096 bytes,
 * kept as runs of equal bytes. Writing gives another id; equal contents have equal ids.
 *
 * The table of contents is a memo that only grows: it is shared by all machines and takes no part in
 * going back in time. An id is a hash of the content, so that the same program gives the same ids
 * whatever ran before in the process. Compare contents with compare_content(), never ids with `<`.
 * Fidelity: custom.
 */
import { hashText } from '../../base/hash.ts';

const PAGE_SIZE = 4096;

/** Content of a page of zeros. */
export const ZERO_CONTENT = 0;

/** Runs as a flat list: end offset (exclusive), byte, end offset, byte, ... */
type Runs = readonly number[];

const contents = new Map<number, Runs>([[ZERO_CONTENT, [PAGE_SIZE, 0]]]);
const ids = new Map<string, number>([[`${PAGE_SIZE},0`, ZERO_CONTENT]]);

function intern(runs: Runs): number {
  const key = runs.join(',');
  let id = ids.get(key);
  if (id === undefined) {
    // 31 bits: a frame's word is signed. Of two contents with one hash the later takes the next free id.
    id = hashText(key) >>> 1;
    while (contents.has(id)) {
      id = (id + 1) >>> 0;
    }
    contents.set(id, runs);
    ids.set(key, id);
  }
  return id;
}

function runsOf(content: number): Runs {
  return contents.get(content) ?? [PAGE_SIZE, 0];
}

/** The content `content` with `length` bytes from `offset` replaced by `byte`. */
export function store_content(
  content: number,
  offset: number,
  length: number,
  byte: number,
): number {
  if (length <= 0) {
    return content;
  }
  const old = runsOf(content);
  const runs: number[] = [];
  const appendRun = (end: number, value: number): void => {
    const n = runs.length;
    if (n > 0 && (runs[n - 2] as number) >= end) {
      return;
    }
    if (n > 0 && runs[n - 1] === value) {
      runs[n - 2] = end;
    } else {
      runs.push(end, value);
    }
  };
  const stop = offset + length;
  let start = 0;
  let written = false;
  for (let i = 0; i < old.length; i += 2) {
    const end = old[i] as number;
    const value = old[i + 1] as number;
    if (start < offset) {
      appendRun(Math.min(end, offset), value);
    }
    if (end > offset && !written) {
      appendRun(stop, byte & 0xff);
      written = true;
    }
    if (end > stop) {
      appendRun(end, value);
    }
    start = end;
  }
  return intern(runs);
}

/** The byte at `offset`. */
export function load_content(content: number, offset: number): number {
  const runs = runsOf(content);
  for (let i = 0; i < runs.length; i += 2) {
    if (offset < (runs[i] as number)) {
      return runs[i + 1] as number;
    }
  }
  return 0;
}

/** A page whose bytes are all `byte`. */
export function fill_content(byte: number): number {
  return intern([PAGE_SIZE, byte & 0xff]);
}

/** memcmp() of two pages: negative, 0 or positive. */
export function compare_content(a: number, b: number): number {
  if (a === b) {
    return 0;
  }
  const left = runsOf(a);
  const right = runsOf(b);
  let i = 0;
  let j = 0;
  while (i < left.length && j < right.length) {
    const difference = (left[i + 1] as number) - (right[j + 1] as number);
    if (difference !== 0) {
      return difference;
    }
    const end = Math.min(left[i] as number, right[j] as number);
    if (left[i] === end) {
      i += 2;
    }
    if (right[j] === end) {
      j += 2;
    }
  }
  return 0;
}

/** The runs of equal bytes of a page, for views and hashes. */
export function content_runs(
  content: number,
): readonly { readonly start: number; readonly end: number; readonly byte: number }[] {
  const flat = runsOf(content);
  const runs: { start: number; end: number; byte: number }[] = [];
  let start = 0;
  for (let i = 0; i < flat.length; i += 2) {
    const end = flat[i] as number;
    runs.push({ start, end, byte: flat[i + 1] as number });
    start = end;
  }
  return runs;
}

/** A hash of the bytes (FNV-1a over the runs): equal in every process, unlike the id. */
export function hash_content(content: number): number {
  let hash = 0x811c9dc5;
  for (const word of runsOf(content)) {
    hash = Math.imul(hash ^ word, 0x01000193);
  }
  return hash >>> 0;
}
