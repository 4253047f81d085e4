import type { UiAction } from './key-table.ts';

/** One line of text under Emacs keys: a pure function of the line and the key's action. */

export interface Line {
  readonly text: string;
  /** Index in `text` (UTF-16, never inside a surrogate pair). */
  readonly cursor: number;
  /** What the last cut took. */
  readonly killed: string;
}

export const EMPTY_LINE: Line = { text: '', cursor: 0, killed: '' };

export function lineOf(text: string, killed = ''): Line {
  return { text, cursor: text.length, killed };
}

export function insert(line: Line, typed: string): Line {
  // A pasted line break would run half a command: breaks become blanks.
  const clean = typed.replaceAll(/[\r\n\t]+/g, ' ').replaceAll(/\p{Cc}/gu, '');
  return {
    ...line,
    text: line.text.slice(0, line.cursor) + clean + line.text.slice(line.cursor),
    cursor: line.cursor + clean.length,
  };
}

/** The line after an editing action; the same line when the action edits nothing. */
export function edit(line: Line, action: UiAction): Line {
  const { text, cursor } = line;
  switch (action) {
    case 'cursor-start':
      return { ...line, cursor: 0 };
    case 'cursor-end':
      return { ...line, cursor: text.length };
    case 'cursor-left':
      return { ...line, cursor: before(text, cursor) };
    case 'cursor-right':
      return { ...line, cursor: after(text, cursor) };
    case 'word-left':
      return { ...line, cursor: wordBefore(text, cursor) };
    case 'word-right':
      return { ...line, cursor: wordAfter(text, cursor) };
    case 'delete-left':
      return remove(line, before(text, cursor), cursor, false);
    case 'delete-right':
      return remove(line, cursor, after(text, cursor), false);
    case 'kill-to-end':
      return remove(line, cursor, text.length, true);
    case 'kill-to-start':
      return remove(line, 0, cursor, true);
    case 'kill-word-left':
      return remove(line, spaceWordBefore(text, cursor), cursor, true);
    case 'kill-word-right':
      return remove(line, cursor, wordAfter(text, cursor), true);
    case 'yank':
      return insert(line, line.killed);
    case 'transpose':
      return transpose(line);
    default:
      return line;
  }
}

function remove(line: Line, from: number, to: number, keep: boolean): Line {
  if (from === to) return line;
  return {
    text: line.text.slice(0, from) + line.text.slice(to),
    cursor: from,
    killed: keep ? line.text.slice(from, to) : line.killed,
  };
}

function transpose(line: Line): Line {
  const { text, cursor } = line;
  // At the end Emacs exchanges the two characters before the cursor.
  const at = cursor === text.length ? before(text, cursor) : cursor;
  const left = before(text, at);
  const right = after(text, at);
  if (left === at || at === right) return line;
  return {
    ...line,
    text: text.slice(0, left) + text.slice(at, right) + text.slice(left, at) + text.slice(right),
    cursor: right,
  };
}

function before(text: string, cursor: number): number {
  if (cursor <= 0) return 0;
  const low = text.charCodeAt(cursor - 1);
  return cursor >= 2 && low >= 0xdc00 && low <= 0xdfff ? cursor - 2 : cursor - 1;
}

function after(text: string, cursor: number): number {
  if (cursor >= text.length) return text.length;
  const code = text.codePointAt(cursor) ?? 0;
  return cursor + (code > 0xffff ? 2 : 1);
}

const WORD = /[\p{L}\p{N}_]/u;

function wordBefore(text: string, cursor: number): number {
  let at = cursor;
  while (at > 0 && !WORD.test(text[at - 1] ?? '')) at--;
  while (at > 0 && WORD.test(text[at - 1] ?? '')) at--;
  return at;
}

function wordAfter(text: string, cursor: number): number {
  let at = cursor;
  while (at < text.length && !WORD.test(text[at] ?? '')) at++;
  while (at < text.length && WORD.test(text[at] ?? '')) at++;
  return at;
}

function spaceWordBefore(text: string, cursor: number): number {
  let at = cursor;
  while (at > 0 && text[at - 1] === ' ') at--;
  while (at > 0 && text[at - 1] !== ' ') at--;
  return at;
}

/**
 * Where a completion goes: from the longest tail of the text before the cursor that it continues,
 * else from the start of the word, whichever idea of a word the completer has.
 */
export function applyCompletion(line: Line, completion: string): Line {
  const head = line.text.slice(0, line.cursor);
  let from = head.length;
  for (let start = 0; start < head.length; start++) {
    if (completion.startsWith(head.slice(start))) {
      from = start;
      break;
    }
  }
  if (from === head.length) from = spaceWordStart(head);
  const tail = line.text.slice(line.cursor);
  const text = head.slice(0, from) + completion;
  return { ...line, text: text + tail, cursor: text.length };
}

function spaceWordStart(head: string): number {
  return head.lastIndexOf(' ') + 1;
}

export function commonPrefix(texts: readonly string[]): string {
  let prefix = texts[0] ?? '';
  for (const text of texts) {
    let same = 0;
    while (same < prefix.length && prefix[same] === text[same]) same++;
    prefix = prefix.slice(0, same);
  }
  return prefix;
}

/** Commands typed before, and the one being looked at. Moving keeps only those that start like the draft. */
export class History {
  readonly #lines: string[];
  #at: number;
  #draft = '';

  constructor(lines: readonly string[]) {
    this.#lines = [...lines];
    this.#at = this.#lines.length;
  }

  get last(): string {
    return this.#lines.at(-1) ?? '';
  }

  /** Answers whether the line is new: an immediate repetition is not kept. */
  add(line: string): boolean {
    const isNew = line !== this.last;
    if (isNew) this.#lines.push(line);
    this.#at = this.#lines.length;
    this.#draft = '';
    return isNew;
  }

  older(current: string): string | null {
    if (this.#at === this.#lines.length) this.#draft = current;
    for (let i = this.#at - 1; i >= 0; i--) {
      const line = this.#lines[i] ?? '';
      if (!line.startsWith(this.#draft) || line === current) continue;
      this.#at = i;
      return line;
    }
    return null;
  }

  newer(current: string): string | null {
    for (let i = this.#at + 1; i < this.#lines.length; i++) {
      const line = this.#lines[i] ?? '';
      if (!line.startsWith(this.#draft) || line === current) continue;
      this.#at = i;
      return line;
    }
    if (this.#at === this.#lines.length) return null;
    this.#at = this.#lines.length;
    return this.#draft;
  }

  rewind(): void {
    this.#at = this.#lines.length;
    this.#draft = '';
  }
}
