import { textWidth } from '../text-width.ts';

/** Cuts or pads to exactly `width` columns, so that values never push their neighbours about. */
export function sized(text: string, width: number): string {
  const used = textWidth(text);
  if (used === width) return text;
  if (used < width) return text + ' '.repeat(width - used);
  return width < 1 ? '' : `${cut(text, width - 1)}~`;
}

export function sizedLeft(text: string, width: number): string {
  const used = textWidth(text);
  return used >= width ? sized(text, width) : ' '.repeat(width - used) + text;
}

/** The longest prefix no wider than `width`. */
export function cut(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let out = '';
  let used = 0;
  for (const char of text) {
    const w = textWidth(char);
    if (used + w > width) break;
    out += char;
    used += w;
  }
  return out + ' '.repeat(width - used);
}

/** Twelve hexadecimal digits: every user address of a 47-bit address space has the same width. */
export function address(value: number): string {
  return value.toString(16).padStart(12, '0');
}

/** Widest text of a column between two bounds. */
export function widest(texts: Iterable<string>, least: number, most: number): number {
  let width = least;
  for (const text of texts) width = Math.max(width, textWidth(text));
  return Math.min(width, most);
}

/** A count of bytes in pages, as the scenario language writes sizes. */
export function pages(bytes: number): string {
  return `${Math.ceil(bytes / 4096)}p`;
}

export function count(value: number, noun: string): string {
  return `${value} ${noun}${value === 1 ? '' : 's'}`;
}
