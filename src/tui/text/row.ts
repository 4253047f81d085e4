import type { Ref } from '../../debugger/view.ts';

/**
 * What a pane shows, before any screen: rows of spans with roles. A role says what a span means;
 * the theme alone knows how that looks. The painter, the linear sink and the tests read the same rows.
 */

export const ROLES = [
  'text',
  'dim',
  'label',
  'border',
  'title',
  'titleFocused',
  'bar',
  'barStrong',
  'barDim',
  'barAlert',
  'keyword',
  'comment',
  'string',
  'number',
  'function',
  'address',
  'ref',
  'process',
  'current',
  'breakpoint',
  'breakpointOff',
  'changed',
  'added',
  'hit',
  'miss',
  'visiting',
  'next',
  'running',
  'blocked',
  'idle',
  'dead',
  'write',
  'read',
  'error',
  'stop',
  'echo',
  'hint',
  'prompt',
  'match',
  'popup',
  'popupStrong',
  'popupSelected',
] as const;

export type Role = (typeof ROLES)[number];

export interface Span {
  readonly text: string;
  readonly role: Role;
  /** The object this span names: Enter opens it, and it is marked wherever it is selected. */
  readonly ref?: Ref;
}

export interface Row {
  readonly spans: readonly Span[];
  /** The object the whole row is about. */
  readonly ref?: Ref;
  /** Debugger command that Enter runs when the row is about no object: `goto 812`, `frame 2`. */
  readonly command?: string;
}

/** Rows made when asked for, so that a pane over 10,000 objects costs what its window shows. */
export interface Block {
  readonly length: number;
  row(index: number): Row;
  /** Identity of a row across stops: scroll and cursor are anchored by it, never by the index. */
  key(index: number): string;
}

export interface Sheet extends Block {
  /** Pinned above and below the scrolling rows. */
  readonly head: readonly Row[];
  readonly foot: readonly Row[];
  /** Row the cursor rests on after a stop, or -1. */
  readonly home: number;
  /** The cursor goes home at every stop; otherwise only when it was there before. */
  readonly insist: boolean;
  /** Short text after the pane's name in its title. */
  readonly subtitle: string;
  /** Index of a key, or -1, for sheets too long to be searched. */
  readonly locate?: (key: string) => number;
}

export type SheetOptions = Partial<
  Pick<Sheet, 'head' | 'foot' | 'home' | 'insist' | 'subtitle' | 'locate'>
>;

/** A span; the object only when there is one. */
export function span(text: string, role: Role = 'text', ref?: Ref | null): Span {
  return ref ? { text, role, ref } : { text, role };
}

export function row(spans: readonly Span[], about?: Ref | null): Row {
  return about ? { spans, ref: about } : { spans };
}

export function refKey(ref: Ref): string {
  return `${ref.kind}:${ref.id}:${ref.serial}`;
}

export function sameRef(a: Ref, b: Ref): boolean {
  return a.kind === b.kind && a.id === b.id && a.serial === b.serial;
}

export function rowText(value: Row): string {
  let text = '';
  for (const part of value.spans) text += part.text;
  return text;
}

/** A block over ready rows. Keys default to the row's object, else to its place. */
export function block(rows: readonly Row[], name = ''): Block {
  return {
    length: rows.length,
    row: (index) => rows[index] ?? EMPTY_ROW,
    key: (index) => {
      const ref = rows[index]?.ref;
      return ref ? `${name}${refKey(ref)}` : `${name}@${index}`;
    },
  };
}

export function sheet(blocks: readonly Block[], options: SheetOptions = {}): Sheet {
  const starts: number[] = [];
  let length = 0;
  for (const part of blocks) {
    starts.push(length);
    length += part.length;
  }
  // The block that holds row `index`: the last one that starts at or before it.
  const find = (index: number): number => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  return {
    head: [],
    foot: [],
    home: -1,
    insist: false,
    subtitle: '',
    ...options,
    length,
    row: (index) => {
      const at = find(index);
      return blocks[at]?.row(index - (starts[at] ?? 0)) ?? EMPTY_ROW;
    },
    key: (index) => {
      const at = find(index);
      return blocks[at]?.key(index - (starts[at] ?? 0)) ?? '';
    },
  };
}

/** The rows whose text contains `needle`, ignoring case; heads and feet stay. */
export function filtered(source: Sheet, needle: string): Sheet {
  if (needle === '') return source;
  const wanted = needle.toLowerCase();
  const kept: number[] = [];
  for (let i = 0; i < source.length; i++) {
    if (rowText(source.row(i)).toLowerCase().includes(wanted)) kept.push(i);
  }
  const { locate: _unfiltered, ...rest } = source;
  return {
    ...rest,
    length: kept.length,
    home: kept.indexOf(source.home),
    row: (index) => source.row(kept[index] ?? -1),
    key: (index) => source.key(kept[index] ?? -1),
  };
}

const EMPTY_ROW: Row = { spans: [] };
